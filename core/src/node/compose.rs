//! From an intent to bytes: the only place where datagrams are written.

use core::net::SocketAddr;

use smallvec::SmallVec;

use super::membership::accusation_of;
use super::outbox::{Intent, Load};
use super::{Node, Output, rumors::USER_TYPE};
use crate::broadcast::{Account, Offer};
use crate::identity::SeqNo;
use crate::member::{MemberId, MemberState, Record};
use crate::rumor::{RumorKey, ShortId};
use crate::wire::message::{Ack, IndirectPing, MessageType, Nack, Ping, Source};
use crate::wire::msgpack::Blob;
use crate::wire::packet::{Checksum, Finish, PART_OVERHEAD, PacketWriter};
use crate::wire::{CRC_SINCE, Full, NACK_SINCE, Sink, SliceWriter};

/// Why a datagram was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Cause {
    /// Our own probe.
    #[default]
    Probe,
    /// A probe for somebody else.
    RelayedProbe,
    /// A request to probe for us.
    ProbeRequest,
    /// Answer to a probe.
    Ack,
    /// A relayed probe got no answer.
    Nack,
    /// The gossip tick.
    Tick,
    /// A rumour forwarded at once.
    Forward,
    /// A rumour sent to who asked for it.
    Repair,
    /// Ids and wishes of the overlay, and no rumour.
    Control,
    /// A message for the recipient alone.
    Direct,
}

/// What a datagram said of a rumour without carrying it, or of the link that it took, see
/// [`Control`](crate::wire::control::Control).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Said {
    /// IHAVE: it is here. An id that only confirms a receipt does not count.
    IHave(ShortId),
    /// GRAFT: send it, and its like from now on.
    Graft(ShortId),
    /// GRAFT without the payload: send its like from now on.
    Swap(ShortId),
    /// PULL: send it.
    Pull(ShortId),
    /// IDONTWANT: do not send it.
    IDontWant(ShortId),
    /// PRUNE: send ids alone in one tree from now on.
    Prune,
}

/// What a datagram carried, for traces and experiments.
#[derive(Clone, Debug, Default)]
pub struct Datagram {
    /// Why it was sent.
    pub cause: Cause,
    /// The rumours on board with the number of copies of each, in order of appearance.
    rumors: SmallVec<[(ShortId, u32); 4]>,
    said: SmallVec<[Said; 4]>,
}

impl Datagram {
    /// The rumours on board with the number of copies of each.
    #[must_use]
    pub fn rumors(&self) -> &[(ShortId, u32)] {
        &self.rumors
    }

    /// What it said without a copy. Digests and their answers are left out: they name all that is
    /// new, to anybody.
    #[must_use]
    pub fn said(&self) -> &[Said] {
        &self.said
    }

    pub(super) fn begin(&mut self, cause: Cause) {
        self.cause = cause;
        self.rumors.clear();
        self.said.clear();
    }

    pub(super) fn say(&mut self, said: impl IntoIterator<Item = Said>) {
        self.said.extend(said);
    }

    pub(super) fn note(&mut self, key: RumorKey) {
        let id = key.short();
        match self.rumors.iter_mut().find(|(other, _)| *other == id) {
            Some((_, copies)) => *copies += 1,
            None => self.rumors.push((id, 1)),
        }
    }

    fn copies(&self) -> u64 {
        self.rumors.iter().map(|&(_, copies)| u64::from(copies)).sum()
    }
}

impl Node {
    /// Turns an intent into an output; `None` if it has become pointless.
    pub(super) fn carry_out(&mut self, intent: Intent, buf: &mut [u8]) -> Option<Output> {
        match intent {
            Intent::Connect { stream, to } => Some(Output::Connect { stream, to }),
            Intent::Close { stream } => Some(Output::Close { stream }),
            Intent::Write { stream } => {
                let len = self.streams.next_chunk(stream, buf)?;
                Some(Output::Write { stream, len })
            }
            datagram => {
                let limit = self.params.packet_size_max();
                let (to, len) = self.compose(datagram, &mut buf[..limit])?;
                self.count_datagram(len);
                Some(Output::Send { to, len })
            }
        }
    }

    fn count_datagram(&mut self, len: usize) {
        self.stats.packets_sent += 1;
        self.stats.bytes_sent += len as u64;
        let copies = self.datagram.copies();
        match self.datagram.cause {
            Cause::Tick => self.stats.rumor_copies_tick += copies,
            Cause::Forward => self.stats.rumor_copies_forwarded += copies,
            // Counted where it is known which kind of repair it was.
            Cause::Repair => {}
            Cause::Control => {
                self.stats.control_sent += 1;
                self.stats.control_bytes_sent += len as u64;
            }
            _ => self.stats.rumor_copies_piggybacked += copies,
        }
    }

    fn compose(&mut self, intent: Intent, buf: &mut [u8]) -> Option<(SocketAddr, usize)> {
        match intent {
            Intent::Ping { target, seq } => self.compose_ping(target, seq, buf),
            Intent::RelayedPing { target, seq } => {
                self.datagram.begin(Cause::RelayedProbe);
                self.compose_to_member(target, buf, |node, record, out| {
                    node.ping(record, seq).encode(out)
                })
            }
            Intent::AskRelay { relay, target, seq } => {
                self.compose_request(relay, target, seq, buf)
            }
            Intent::Ack { to, seq, tells_death } => {
                self.datagram.begin(Cause::Ack);
                // The payload is news too, and strangers get none.
                let payload = self.ack_payload.clone();
                self.compose_answer(to, tells_death, buf, |is_member, out| {
                    let payload = Blob::nil_if_empty(if is_member { &payload } else { &[] });
                    Ack { seq, payload }.encode(out)
                })
            }
            Intent::RelayedAck { to, seq } => {
                self.datagram.begin(Cause::Ack);
                self.compose_answer(to, false, buf, |_, out| {
                    Ack { seq, ..Ack::default() }.encode(out)
                })
            }
            Intent::Nack { to, seq } => {
                self.datagram.begin(Cause::Nack);
                self.compose_answer(to, false, buf, |_, out| Nack { seq }.encode(out))
            }
            Intent::Gossip { to, load } => self.compose_gossip(to, load, buf),
            Intent::Forward { rumor, to, off_tree } => {
                self.compose_forward(rumor, to, off_tree, buf)
            }
            Intent::Supply { to, rumor, off_tree } => {
                self.compose_supply(to, &rumor, off_tree, buf)
            }
            Intent::Plain { rumor, except, next } => self.compose_plain(rumor, except, next, buf),
            Intent::Control { to } => self.compose_control(to, buf),
            Intent::Direct { to, message } => {
                self.datagram.begin(Cause::Direct);
                let record = self.table.get(to)?;
                let addr = record.addr.socket_addr();
                let mut writer = self.writer(buf, checksum_for(record));
                let written = writer.part(|out| {
                    out.put(&[USER_TYPE])?;
                    out.put(&message)
                });
                self.expect_fit(written)?;
                Some((addr, self.finish(writer)))
            }
            Intent::Connect { .. } | Intent::Write { .. } | Intent::Close { .. } => None,
        }
    }

    /// Counts a datagram that cannot be sent for lack of room.
    pub(super) fn expect_fit(&mut self, written: Result<(), Full>) -> Option<()> {
        self.stats.packets_unfit += u64::from(written.is_err());
        written.ok()
    }

    pub(super) fn writer<'b>(&self, buf: &'b mut [u8], checksum: Checksum) -> PacketWriter<'b> {
        let label = &self.params.label;
        match self.seal_version() {
            Some(version) => PacketWriter::sealed(buf, label, version, checksum),
            None => PacketWriter::new(buf, label, checksum),
        }
    }

    pub(super) fn finish(&mut self, writer: PacketWriter<'_>) -> usize {
        let nonce = self.seal_version().map(|_| self.nonce_rng.bytes());
        writer.finish_with(Finish {
            compress: self.params.compression.then_some(&mut self.packed),
            seal: nonce.map(|nonce| (&self.keyring, nonce)),
        })
    }

    fn source(&self) -> Source<'_> {
        Source {
            addr: self.addr.ip_bytes().into(),
            port: self.addr.port,
            node: self.name.as_bytes().into(),
        }
    }

    pub(super) fn ping<'a>(&'a self, target: &'a Record, seq: SeqNo) -> Ping<'a> {
        Ping { seq, node: target.name.as_bytes().into(), source: self.source() }
    }

    /// Our own probe. A suspect gets the accusation with it, so that it can refute at once
    /// (Lifeguard §IV-C), and no other news: the datagram should arrive.
    fn compose_ping(
        &mut self,
        target: MemberId,
        seq: SeqNo,
        buf: &mut [u8],
    ) -> Option<(SocketAddr, usize)> {
        self.datagram.begin(Cause::Probe);
        let record = self.table.get(target)?;
        if record.state == MemberState::Alive {
            return self.compose_to_member(target, buf, |node, record, out| {
                node.ping(record, seq).encode(out)
            });
        }
        let addr = record.addr.socket_addr();
        let mut writer = self.writer(buf, checksum_for(record));
        let accusation = accusation_of(record, &self.name);
        let written = writer
            .part(|out| self.ping(record, seq).encode(out))
            .and_then(|()| writer.part(|out| accusation.encode(MessageType::SUSPECT, out)));
        self.expect_fit(written)?;
        Some((addr, self.finish(writer)))
    }

    fn compose_request(
        &mut self,
        relay: MemberId,
        target: MemberId,
        seq: SeqNo,
        buf: &mut [u8],
    ) -> Option<(SocketAddr, usize)> {
        self.datagram.begin(Cause::ProbeRequest);
        // A target that was reaped meanwhile needs no probe.
        self.table.get(target)?;
        self.compose_to_member(relay, buf, |node, relay, out| {
            let target = node.table.get(target).ok_or(Full)?;
            let request = IndirectPing {
                seq,
                target: target.addr.ip_bytes().into(),
                port: target.addr.port,
                node: target.name.as_bytes().into(),
                nack: relay.versions.protocol_max() >= NACK_SINCE,
                source: node.source(),
            };
            request.encode(out)
        })
    }

    /// One message to a member, with as much news beside it as fits. memberlist sends these
    /// without a checksum.
    fn compose_to_member(
        &mut self,
        to: MemberId,
        buf: &mut [u8],
        message: impl FnOnce(&Self, &Record, &mut SliceWriter<'_>) -> Result<(), Full>,
    ) -> Option<(SocketAddr, usize)> {
        let record = self.table.get(to)?;
        let (addr, form) = (record.addr.socket_addr(), self.recipient(record));
        let mut writer = self.writer(buf, Checksum::Absent);
        let written = writer.part(|out| message(self, record, out));
        self.expect_fit(written)?;
        self.fill(&mut writer, self.piggyback(), form);
        Some((addr, self.finish(writer)))
    }

    /// An answer to an address. News goes along only if a member is there: strangers get no more
    /// than they sent. Somebody whom we believe dead or gone, and who asks us something, is told
    /// so, or it might never hear of it: others have stopped talking to it.
    fn compose_answer(
        &mut self,
        to: SocketAddr,
        tells_buried: bool,
        buf: &mut [u8],
        message: impl FnOnce(bool, &mut SliceWriter<'_>) -> Result<(), Full>,
    ) -> Option<(SocketAddr, usize)> {
        let known = self.table.find_addr(to).and_then(|id| self.table.get(id));
        // Whoever has been dead for long is a stranger.
        let member = known.filter(|record| !record.is_buried());
        let mut writer = self.writer(buf, Checksum::Absent);
        let written = writer.part(|out| message(member.is_some(), out));
        let dead = known.filter(|record| !record.state.is_live());
        if let Some(record) = dead.filter(|record| tells_buried || !record.is_buried()) {
            let left = record.state == MemberState::Left;
            let verdict = accusation_of(record, if left { &record.name } else { &self.name });
            // It is news like other news: it rides if there is room.
            let _ = writer.part(|out| verdict.encode(MessageType::DEAD, out));
        }
        let form = member.map(|record| self.recipient(record));
        self.expect_fit(written)?;
        if let Some(form) = form {
            self.fill(&mut writer, self.piggyback(), form);
        }
        Some((to, self.finish(writer)))
    }

    fn compose_gossip(
        &mut self,
        to: MemberId,
        load: Load,
        buf: &mut [u8],
    ) -> Option<(SocketAddr, usize)> {
        self.datagram.begin(Cause::Tick);
        let record = self.table.get(to)?;
        let (addr, form) = (record.addr.socket_addr(), self.recipient(record));
        let mut writer = self.writer(buf, checksum_for(record));
        self.fill(&mut writer, load, form);
        let len = self.finish(writer);
        (len > 0).then_some((addr, len))
    }

    /// The thesis modes count all copies alike, as memberlist does.
    fn recipient(&self, record: &Record) -> Recipient {
        let counts = record.state == MemberState::Alive || self.params.rumor_mode.is_thesis();
        let account = if counts { Account::Budget } else { Account::Apart };
        Recipient { takes_envelopes: record.takes_envelopes(), account }
    }

    /// What rides on probes and their answers.
    fn piggyback(&self) -> Load {
        if self.params.rumor_piggyback { Load::Both } else { Load::Updates }
    }

    /// Fills a datagram with news: members first, then rumours.
    fn fill(&mut self, writer: &mut PacketWriter<'_>, load: Load, recipient: Recipient) {
        let tells_rumors = load != Load::Updates && self.rumors.waiting() > 0;
        let (now, rumor_limit) = (self.now, self.rumor_limit());
        let mut budget = writer.budget();
        if tells_rumors {
            self.stats.rumors_dropped += self.rumors.wake(now, rumor_limit) as u64;
            // News of members in plenty, as when a large cluster starts, must not starve rumours; and
            // half a datagram is not enough for one that takes a whole one.
            let share = if self.is_rumors_turn() { budget } else { budget / 2 };
            let queue = &self.rumors.queue;
            budget -= (queue.bytes() + PART_OVERHEAD * queue.len()).min(share);
        }
        if load != Load::Rumors && !self.updates.is_empty() {
            let (table, limit) = (&self.table, self.update_limit());
            self.updates.collect(budget, PART_OVERHEAD, limit, recipient.account, |update| {
                offer(writer.part(|out| update.encode(table, out)).is_ok(), writer)
            });
        }
        if tells_rumors {
            // Nothing waits for ever for a recipient that understands it.
            let (keep, mut unsent) = (self.params.payload_cache_for, 0);
            let datagram = &mut self.datagram;
            let (budget, account) = (writer.budget(), recipient.account);
            self.rumors.queue.collect(budget, PART_OVERHEAD, rumor_limit, account, |rumor| {
                let Some(form) = rumor.form_for(recipient.takes_envelopes) else {
                    let age = now.saturating_since(rumor.received_at);
                    unsent += u64::from(age > keep);
                    return if age > keep { Offer::Drop } else { Offer::Skipped };
                };
                let written = writer.part(|out| rumor.encode(form, now, out)).is_ok();
                if written {
                    datagram.note(rumor.key);
                }
                offer(written, writer)
            });
            self.stats.rumors_dropped += unsent;
        }
        if load == Load::Both && self.datagram.cause == Cause::Tick {
            let are_left_out = self.datagram.rumors().is_empty() && !self.rumors.queue.is_empty();
            // Every other datagram at most, or news of members would wait for rumours that this
            // recipient does not understand.
            self.rumors_left_out = are_left_out && !self.rumors_left_out;
        }
    }

    /// Whether rumours have this datagram to themselves, because the last tick had no room for them.
    fn is_rumors_turn(&self) -> bool {
        self.rumors_left_out && self.datagram.cause == Cause::Tick
    }
}

/// What matters about a recipient when news is chosen for it.
#[derive(Clone, Copy, Debug)]
struct Recipient {
    takes_envelopes: bool,
    account: Account,
}

fn offer(written: bool, writer: &PacketWriter<'_>) -> Offer {
    match written {
        true => Offer::Taken,
        false if writer.budget() == 0 => Offer::Stop,
        false => Offer::Skipped,
    }
}

pub(super) fn checksum_for(record: &Record) -> Checksum {
    if record.versions.protocol_max() >= CRC_SINCE { Checksum::Present } else { Checksum::Absent }
}
