//! What each message in a datagram causes (protocol page §1, §4.2).

use core::net::SocketAddr;
use core::time::Duration;

use bytes::Bytes;

use super::membership::accusation_of;
use super::outbox::Intent;
use super::plausibility::Hearing;
use super::{Node, Stats};
use crate::event::Fact;
use crate::identity::SeqNo;
use crate::member::MemberId;
use crate::time::Instant;
use crate::wire::encoded_len;
use crate::wire::message::{Ack, IndirectPing, Message, MessageType, Nack, NodeAddr, Ping, Source};
use crate::wire::packet::{COMPOUND_OVERHEAD, Opener, PART_OVERHEAD, PacketError, label_overhead};

/// Most probes that this node carries out for others at a time. Each costs two datagrams.
pub(super) const RELAYS_MAX: usize = 256;

/// Most answers that one datagram may cause at members, and at others. The latter get no more bytes
/// than eleven tenths of what came, headers included, and no news: a forged source makes us no means
/// of an attack on it (protocol page §9.1).
const ANSWERS_MAX: usize = 4;
const STRANGER_ANSWERS_MAX: usize = 1;

/// Bytes of an IPv4 and a UDP header.
const HEADERS_LEN: usize = 28;

/// What one datagram has caused so far.
#[derive(Debug)]
struct Answers {
    datagram_len: usize,
    given: usize,
    /// It answers our probe: whoever sent it hears us.
    is_one: bool,
}

/// A probe that somebody asked us for.
#[derive(Clone, Copy, Debug)]
pub(super) struct RelayJob {
    /// The number of our own ping.
    pub(super) seq: SeqNo,
    requester: SocketAddr,
    requester_seq: SeqNo,
    /// When to say that the target did not answer; `None` when that was said or is not wanted.
    nack_at: Option<Instant>,
    until: Instant,
}

impl RelayJob {
    /// Gives lost time back.
    pub(super) fn postpone(&mut self, by: Duration) {
        self.nack_at = self.nack_at.map(|at| at + by);
        self.until += by;
    }

    fn deadline(&self) -> Instant {
        self.nack_at.unwrap_or(self.until)
    }
}

impl Node {
    pub(super) fn on_packet(&mut self, from: SocketAddr, packet: &[u8]) -> Result<(), PacketError> {
        self.stats.packets_received += 1;
        self.stats.bytes_received += packet.len() as u64;
        let result = self.apply_packet(from, packet);
        match result {
            Ok(()) => self.break_silence(),
            Err(error) => {
                self.stats.packets_refused += 1;
                self.stats.label_mismatches += u64::from(error == PacketError::LabelMismatch);
                self.stats.undecryptable += u64::from(matches!(error, PacketError::Sealed(_)));
            }
        }
        result
    }

    fn apply_packet(&mut self, from: SocketAddr, packet: &[u8]) -> Result<(), PacketError> {
        // Taken out, so that messages may borrow from its buffers while the node changes.
        let mut opener = core::mem::take(&mut self.opener);
        let result = self.apply_opened(from, packet, &mut opener);
        self.opener = opener;
        result
    }

    fn apply_opened(
        &mut self,
        from: SocketAddr,
        packet: &[u8],
        opener: &mut Opener,
    ) -> Result<(), PacketError> {
        let mut parts = opener.open(packet, self.protection())?;
        let alone = !parts.is_compound();
        let mut answers = Answers { datagram_len: packet.len(), given: 0, is_one: false };
        for part in parts.by_ref() {
            match Message::decode(part) {
                Ok(message) => self.on_message(from, &message, &mut answers),
                Err(error) if alone => return Err(error.into()),
                Err(_) => self.stats.messages_malformed += 1,
            }
        }
        self.stats.parts_cut_off += parts.cut_off() as u64;
        Ok(())
    }

    fn on_message(&mut self, from: SocketAddr, message: &Message<'_>, answers: &mut Answers) {
        match message {
            Message::Ping(ping) => self.on_ping(from, ping, answers),
            Message::IndirectPing(ping) => self.on_indirect_ping(from, ping, answers),
            Message::Ack(ack) => {
                answers.is_one |= self.probe.as_ref().is_some_and(|probe| probe.seq == ack.seq);
                self.on_ack(ack);
            }
            Message::Nack(nack) => self.on_nack(from, *nack),
            Message::Alive(alive) => self.on_alive(Some(from), alive, Hearing::Hearsay(Some(from))),
            Message::Suspect(accusation) => self.on_suspect(from, accusation),
            Message::Dead(accusation) => self.on_dead(from, accusation, answers.is_one),
            Message::User(bytes) => self.on_user(from, bytes),
        }
    }

    fn on_ping(&mut self, from: SocketAddr, ping: &Ping<'_>, answers: &mut Answers) {
        if !ping.node.is_empty() && *ping.node != *self.name.as_bytes() {
            self.stats.pings_for_others += 1;
            return;
        }
        let to = self.reply_address(from, &ping.source);
        if self.may_answer(to, ping.seq, answers) {
            let tells_death = self.pays_for_its_death(to, ping.seq, answers);
            self.intend(Intent::Ack { to, seq: ping.seq, tells_death });
        }
    }

    /// Whether a datagram from where a buried member was is long enough to be answered by what we
    /// believe. It is to strangers what others believe of them.
    fn pays_for_its_death(&self, to: SocketAddr, seq: SeqNo, answers: &Answers) -> bool {
        let member = self.table.find_addr(to).and_then(|id| self.table.get(id));
        let Some(record) = member.filter(|record| record.is_buried()) else { return false };
        let verdict = accusation_of(record, &record.name);
        let verdict = encoded_len(|sink| verdict.encode(MessageType::DEAD, sink));
        self.is_paid_for(seq, COMPOUND_OVERHEAD + 2 * PART_OVERHEAD + verdict, answers)
    }

    /// Whether a stranger's datagram is as long as its ack with so many bytes more, nearly.
    fn is_paid_for(&self, seq: SeqNo, more: usize, answers: &Answers) -> bool {
        let label = label_overhead(&self.params.label);
        let ack = label + encoded_len(|sink| Ack { seq, ..Ack::default() }.encode(sink));
        let wire_len = |len: usize| len + HEADERS_LEN;
        wire_len(ack + more) * 10 <= wire_len(answers.datagram_len) * 11
    }

    /// Whether a datagram may cause one more answer to this address. An honest one asks one thing;
    /// one with hundreds of pings wants us to flood whoever it says that it comes from.
    fn may_answer(&mut self, to: SocketAddr, seq: SeqNo, answers: &mut Answers) -> bool {
        let may = if self.table.find_unburied_addr(to).is_some() {
            answers.given < ANSWERS_MAX
        } else {
            answers.given < STRANGER_ANSWERS_MAX && self.is_paid_for(seq, 0, answers)
        };
        answers.given += usize::from(may);
        self.stats.questions_ignored += u64::from(!may);
        may
    }

    /// Where to answer. A peer behind NAT names another address than its datagrams come from; but
    /// an address that is neither the sender's own nor a member's would make us the means of an
    /// attack on it (protocol page §9.1).
    fn reply_address(&self, from: SocketAddr, source: &Source<'_>) -> SocketAddr {
        let Some(wanted) = source.socket_addr() else { return from };
        let trusted = wanted.ip() == from.ip().to_canonical()
            || self.table.find_unburied_addr(wanted).is_some();
        if trusted { wanted } else { from }
    }

    fn on_indirect_ping(
        &mut self,
        from: SocketAddr,
        ping: &IndirectPing<'_>,
        answers: &mut Answers,
    ) {
        let requester = self.reply_address(from, &ping.source);
        if !self.may_answer(requester, ping.seq, answers) {
            return;
        }
        let target = self.relay_target(ping);
        if target == Some(self.me) {
            // memberlist pings itself through the network, with the same outcome.
            self.intend(Intent::Ack { to: requester, seq: ping.seq, tells_death: false });
            return;
        }
        let Some(target) = target.filter(|_| self.relays.len() < RELAYS_MAX) else {
            self.stats.relays_refused += 1;
            return;
        };
        self.stats.relays += 1;
        let seq = self.take_seq();
        let timeout = self.params.probe_timeout;
        self.relays.push_back(RelayJob {
            seq,
            requester,
            requester_seq: ping.seq,
            // A nack after the whole timeout reaches the requester after its own probe has ended,
            // and it would blame itself for it (protocol page §4.2, nack timing hazard).
            nack_at: ping.nack.then(|| self.now + timeout * 4 / 5),
            until: self.now + timeout,
        });
        self.intend(Intent::RelayedPing { target, seq });
    }

    /// Only members are probed for others, at the address that we know.
    fn relay_target(&self, ping: &IndirectPing<'_>) -> Option<MemberId> {
        let port = self.port_or_own(ping.port);
        let addr = NodeAddr::from_wire(&ping.target, port)?.socket_addr();
        let id = self.table.find(&ping.node)?;
        let record = self.table.get(id)?;
        (record.addr.socket_addr() == addr).then_some(id)
    }

    fn on_ack(&mut self, ack: &Ack<'_>) {
        if self.probe.as_ref().is_some_and(|probe| probe.seq == ack.seq) {
            self.on_probe_ack(ack);
            return;
        }
        let Some(index) = self.relays.iter().position(|job| job.seq == ack.seq) else {
            self.stats.acks_unmatched += 1;
            return;
        };
        if let Some(job) = self.relays.remove(index) {
            self.intend(Intent::RelayedAck { to: job.requester, seq: job.requester_seq });
        }
    }

    fn on_probe_ack(&mut self, ack: &Ack<'_>) {
        let Some(probe) = self.end_probe() else { return };
        self.awareness.apply(-1);
        self.is_dazed &= probe.is_interrupted();
        let Some(rtt) = probe.round_trip(self.now) else { return };
        self.datagrams_pass(probe.target);
        let Some(record) = self.table.get_mut(probe.target) else { return };
        record.rtt.measure(rtt);
        if self.params.probe_events {
            let name = record.name.clone();
            self.tell(Fact::Probed { name, rtt, payload: Bytes::copy_from_slice(&ack.payload) });
        }
    }

    fn on_nack(&mut self, from: SocketAddr, nack: Nack) {
        let from = self.table.find_addr(from);
        match (self.probe.as_mut().filter(|probe| probe.seq == nack.seq), from) {
            (Some(probe), Some(from)) => probe.on_nack(from),
            (Some(_) | None, _) => self.stats.acks_unmatched += 1,
        }
    }

    /// When a relayed probe wants attention next.
    pub(super) fn relay_deadline(&self) -> Option<Instant> {
        self.relays.iter().map(RelayJob::deadline).min()
    }

    pub(super) fn run_relays(&mut self) {
        let now = self.now;
        let late = |job: &RelayJob| job.nack_at.is_some_and(|at| at <= now);
        for index in 0..self.relays.len() {
            if late(&self.relays[index]) {
                self.relays[index].nack_at = None;
                let (to, seq) = (self.relays[index].requester, self.relays[index].requester_seq);
                self.intend(Intent::Nack { to, seq });
            }
        }
        self.relays.retain(|job| job.until > now);
    }

    /// Suspicions last this long at least, in a cluster of the present size.
    pub(super) fn suspicion_interval(&self) -> Duration {
        self.params.probe_interval.unwrap_or(Duration::from_secs(1))
    }
}

impl Stats {
    /// Counts a message of a stream that made no sense.
    pub(super) fn count_failed_stream(&mut self) {
        self.streams_failed += 1;
    }
}
