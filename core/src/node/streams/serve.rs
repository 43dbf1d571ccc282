//! What a peer asks for over a stream that it opened.

use alloc::vec::Vec;
use core::net::SocketAddr;

use bytes::Bytes;

use super::exchange::state_form_of;
use super::{Exchange, Node, Phase, Side};
use crate::event::Delivery;
use crate::identity::{Channel, StreamId};
use crate::node::asks::ASK_TIMEOUT;
use crate::push_pull::versions_agree;
use crate::rumor::Arrival;
use crate::wire::envelope::Envelope;
use crate::wire::message::{Ack, Ping};
use crate::wire::stream::{PushPull, StreamError, StreamMessage};

/// What a peer is told that is not let in.
const REFUSAL: &str = "the merge was refused";

impl Node {
    pub(super) fn serve(
        &mut self,
        id: StreamId,
        peer: SocketAddr,
        message: StreamMessage<'_>,
    ) -> Result<Option<Exchange>, StreamError> {
        match message {
            StreamMessage::Ping(ping) => self.serve_ping(id, &ping)?,
            StreamMessage::PushPull(exchange) => return self.serve_push_pull(id, peer, exchange),
            StreamMessage::User(bytes) => {
                self.on_reliable(peer, bytes);
                self.close(id);
            }
            StreamMessage::Ack(_) | StreamMessage::Refusal(_) => {
                self.stats.count_failed_stream();
                self.close(id);
            }
        }
        Ok(None)
    }

    fn serve_ping(&mut self, id: StreamId, ping: &Ping<'_>) -> Result<(), StreamError> {
        if !ping.node.is_empty() && *ping.node != *self.name.as_bytes() {
            self.stats.pings_for_others += 1;
            self.close(id);
            return Ok(());
        }
        let mut answer = Vec::new();
        let written = Ack { seq: ping.seq, ..Ack::default() }.encode(&mut answer);
        debug_assert!(written.is_ok(), "a vector is never full");
        let answer = self.framed(answer);
        self.write_all(id, answer)
    }

    fn serve_push_pull(
        &mut self,
        id: StreamId,
        peer: SocketAddr,
        exchange: PushPull<'_>,
    ) -> Result<Option<Exchange>, StreamError> {
        let ours = Exchange { peer, side: Side::Peer, waiting: Some(id) };
        if self.must_ask(ours, &exchange) && versions_agree(&self.table, exchange.nodes()) {
            self.await_verdict(id);
            return Ok(Some(ours));
        }
        // Our view goes out as it was before theirs came in, and whatever becomes of theirs, as
        // memberlist does it: the initiator judges for itself.
        self.answer_with_ours(id, &exchange)?;
        let merged = self.finish_exchange(Exchange { waiting: None, ..ours }, &exchange);
        merged.inspect_err(|_| self.stats.count_failed_stream())?;
        Ok(None)
    }

    /// Our half waits for the verdict. memberlist's goes out before its delegate is asked, so that
    /// whoever is refused has the list all the same, and believes that it joined.
    fn await_verdict(&mut self, id: StreamId) {
        let Some(stream) = self.streams.open.get_mut(&id) else { return };
        stream.phase = Phase::Judging;
        // The verdict comes before that, or counts as a refusal.
        stream.deadline = self.now + ASK_TIMEOUT + self.params.stream_timeout;
    }

    fn answer_with_ours(
        &mut self,
        id: StreamId,
        exchange: &PushPull<'_>,
    ) -> Result<(), StreamError> {
        let mut answer = Vec::new();
        let graves = self.contradicted_graves(exchange);
        self.put_push_pull(&mut answer, exchange.join, state_form_of(exchange), &graves);
        let answer = self.framed(answer);
        self.write_all(id, answer)
    }

    /// The application has no objection: the peer gets our half, if it still waits for it. If not, it
    /// does not believe that it joined, and will come again.
    pub(in crate::node) fn accept_exchange(
        &mut self,
        exchange: Exchange,
        list: &PushPull<'_>,
    ) -> Result<(), StreamError> {
        if let Some(id) = exchange.waiting {
            self.streams.open.get(&id).ok_or(StreamError::UnknownStream)?;
            self.answer_with_ours(id, list)?;
        }
        self.finish_exchange(exchange, list)
    }

    /// The application, or this node in its place, wants nothing of it: the peer is told.
    pub(in crate::node) fn refuse_exchange(&mut self, exchange: Exchange) {
        if let Some(id) = exchange.waiting.filter(|id| self.streams.open.contains_key(id)) {
            self.answer_no(id, REFUSAL);
        }
    }

    fn on_reliable(&mut self, peer: SocketAddr, bytes: &[u8]) {
        match Envelope::decode(bytes) {
            Ok(Some(Envelope::Direct { channel, payload })) => {
                let payload = Bytes::copy_from_slice(payload);
                self.deliver(peer, channel, payload, Delivery::Reliable);
            }
            Ok(None) => {
                let payload = Bytes::copy_from_slice(bytes);
                self.deliver(peer, Channel::BARE, payload, Delivery::Reliable);
            }
            // Too large for a datagram, and fetched.
            Ok(Some(Envelope::Data(data))) => self.on_rumor(Arrival::numbered(&data, peer)),
            Ok(Some(Envelope::Control(_))) | Err(_) => self.stats.envelopes_refused += 1,
        }
    }
}
