//! The fallback probe (protocol page §3.7): the same ping, over a stream.

use super::{Ending, Node, Role};
use crate::event::StreamFailure;
use crate::identity::{SeqNo, StreamId};
use crate::member::MemberId;
use crate::time::Instant;
use crate::wire::STREAM_PING_SINCE;
use crate::wire::message::MessageType;
use crate::wire::stream::{StreamError, StreamMessage};
use alloc::vec::Vec;

impl Node {
    /// Probes a member over a stream, if it answers such probes. The stream's time is the rest of
    /// the probe's.
    pub(in crate::node) fn ping_by_stream(
        &mut self,
        target: MemberId,
        seq: SeqNo,
        until: Instant,
    ) -> Option<StreamId> {
        self.dial_ping(target, seq, Role::Ping { seq }, until)
    }

    /// Asks a member over a stream, of which one failed, whether streams pass. The answer is waited for
    /// as long as that to a probe.
    pub(in crate::node) fn check_streams(&mut self, target: MemberId) {
        let seq = self.take_seq();
        let until = self.now + self.suspicion_interval();
        self.dial_ping(target, seq, Role::Check { seq }, until);
    }

    fn dial_ping(
        &mut self,
        target: MemberId,
        seq: SeqNo,
        role: Role,
        until: Instant,
    ) -> Option<StreamId> {
        let record = self.table.get(target)?;
        if !self.params.stream_pings || record.versions.protocol_max() < STREAM_PING_SINCE {
            return None;
        }
        let mut outgoing = Vec::new();
        let written = self.ping(record, seq).encode(&mut outgoing);
        debug_assert!(written.is_ok(), "a vector is never full");
        let to = record.addr.socket_addr();
        let outgoing = self.request(outgoing);
        self.check_buffers(role, outgoing.len()).ok()?;
        let id = self.dial(to, role, outgoing)?;
        if let Some(stream) = self.streams.open.get_mut(&id) {
            stream.deadline = until;
        }
        Some(id)
    }

    pub(super) fn on_probe_answer(
        &mut self,
        id: StreamId,
        seq: SeqNo,
        message: &StreamMessage<'_>,
    ) -> Result<(), StreamError> {
        match message {
            StreamMessage::Ack(ack) if ack.seq == seq => {
                self.close(id);
                if let Some(probe) = self.probe.as_mut().filter(|probe| probe.seq == seq) {
                    probe.on_stream_ack();
                }
                Ok(())
            }
            StreamMessage::Refusal(_) => {
                self.fail(id, StreamFailure::Answer(StreamError::Refused), Ending::Close);
                Err(StreamError::Refused)
            }
            other => {
                let error = StreamError::UnexpectedAnswer(type_of(other).0);
                self.fail(id, StreamFailure::Answer(error), Ending::Close);
                Err(error)
            }
        }
    }

    /// The probe that the stream belonged to is over.
    pub(in crate::node) fn hang_up(&mut self, stream: Option<StreamId>) {
        if let Some(id) = stream {
            self.close(id);
        }
    }
}

pub(super) const fn type_of(message: &StreamMessage<'_>) -> MessageType {
    match message {
        StreamMessage::Ping(_) => MessageType::PING,
        StreamMessage::Ack(_) => MessageType::ACK,
        StreamMessage::PushPull(_) => MessageType::PUSH_PULL,
        StreamMessage::User(_) => MessageType::USER,
        StreamMessage::Refusal(_) => MessageType::ERR,
    }
}
