//! What a peer asks for over a stream that it opened.

use alloc::vec::Vec;
use core::net::SocketAddr;

use bytes::Bytes;

use super::exchange::state_form_of;
use super::{Exchange, Node, Side};
use crate::event::Delivery;
use crate::identity::{Channel, StreamId};
use crate::rumor::Arrival;
use crate::wire::envelope::Envelope;
use crate::wire::message::{Ack, Ping};
use crate::wire::stream::{PushPull, StreamError, StreamMessage};

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
        // Our view goes out as it was before theirs came in, and whatever becomes of theirs, as
        // memberlist does it: the initiator judges for itself.
        let mut answer = Vec::new();
        self.put_push_pull(&mut answer, exchange.join, state_form_of(&exchange));
        let answer = self.framed(answer);
        self.write_all(id, answer)?;
        let merged = self.merge_or_hold(Exchange { peer, side: Side::Peer }, &exchange);
        merged.inspect_err(|_| self.stats.count_failed_stream())
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
