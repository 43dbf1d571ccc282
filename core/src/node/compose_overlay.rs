//! Datagrams of the overlay: rumours along links, and what is said about them.

use alloc::sync::Arc;
use core::net::SocketAddr;

use super::Node;
use super::compose::{Cause, Datagram, Said, checksum_for};
use super::outbox::Intent;
use crate::member::MemberId;
use crate::rumor::controls::{Digest, Pending, Urge, Waiting};
use crate::rumor::links::LinkSet;
use crate::rumor::{Rumor, ShortId};
use crate::time::Instant;
use crate::wire::Sink;
use crate::wire::control::{self, Announced, Branch, Control, Entries, Entry};
use crate::wire::envelope::Envelope;
use crate::wire::message::MessageType;
use crate::wire::packet::{PART_OVERHEAD, PacketWriter};

impl Node {
    /// The first of the links that somebody is at who can take it; the others stay intended.
    pub(super) fn compose_forward(
        &mut self,
        rumor: Arc<Rumor>,
        mut to: LinkSet,
        off_tree: bool,
        buf: &mut [u8],
    ) -> Option<(SocketAddr, usize)> {
        // Meanwhile a neighbour may have said that it has it.
        let course = self.overlay.courses.get(rumor.key.short());
        let known_by = course.map_or(LinkSet::EMPTY, |course| course.known_by);
        let mut sent = None;
        while sent.is_none()
            && let Some(link) = to.pop()
        {
            let end = self.overlay.links.member(link, &self.table, self.me);
            if let Some(end) = end.filter(|_| !known_by.contains(link)) {
                sent = self.compose_copy(end, &rumor, off_tree, Cause::Forward, buf);
            }
        }
        sent.as_ref()?;
        if !to.is_empty() {
            self.outbox.unpop(Intent::Forward { rumor, to, off_tree });
        }
        sent
    }

    pub(super) fn compose_supply(
        &mut self,
        to: MemberId,
        rumor: &Rumor,
        off_tree: bool,
        buf: &mut [u8],
    ) -> Option<(SocketAddr, usize)> {
        let sent = self.compose_copy(to, rumor, off_tree, Cause::Repair, buf)?;
        self.count_supplied(off_tree);
        Some(sent)
    }

    pub(super) fn compose_plain(
        &mut self,
        rumor: Arc<Rumor>,
        except: Option<MemberId>,
        mut next: usize,
        buf: &mut [u8],
    ) -> Option<(SocketAddr, usize)> {
        let mut sent = None;
        while sent.is_none()
            && let Some(&client) = self.overlay.clients.get(next)
        {
            next += 1;
            let live = self.table.get(client).is_some_and(|record| record.state.is_live());
            if live && Some(client) != except {
                sent = self.compose_copy(client, &rumor, false, Cause::Forward, buf);
            }
        }
        sent.as_ref()?;
        if next < self.overlay.clients.len() {
            self.outbox.unpop(Intent::Plain { rumor, except, next });
        }
        sent
    }

    /// One copy of a rumour, alone in its datagram.
    fn compose_copy(
        &mut self,
        to: MemberId,
        rumor: &Rumor,
        off_tree: bool,
        cause: Cause,
        buf: &mut [u8],
    ) -> Option<(SocketAddr, usize)> {
        self.datagram.begin(cause);
        let record = self.table.get(to)?;
        let form = rumor.form_for(record.takes_envelopes())?;
        let addr = record.addr.socket_addr();
        let mut writer = self.writer(buf, checksum_for(record));
        let written = writer.part(|out| rumor.encode_copy(form, self.now, off_tree, out));
        self.expect_fit(written)?;
        self.datagram.note(rumor.key);
        Some((addr, self.finish(writer)))
    }

    /// As much of what waits for a member as a datagram holds; the rest stays intended.
    pub(super) fn compose_control(
        &mut self,
        to: SocketAddr,
        buf: &mut [u8],
    ) -> Option<(SocketAddr, usize)> {
        self.datagram.begin(Cause::Control);
        let mut pending = self.overlay.controls.take(to)?;
        let record = self.table.find_addr(to).and_then(|id| self.table.get(id));
        let Some(record) = record.filter(|record| record.takes_envelopes()) else {
            self.stats.controls_dropped += pending.len() as u64;
            return None;
        };
        self.drop_what_is_known(to, &mut pending);
        if pending.is_empty() {
            return None;
        }
        let mut writer = self.writer(buf, checksum_for(record));
        put_pending(&mut writer, &mut pending, self.now, &mut self.datagram);
        if !pending.is_empty() && writer.parts() > 0 {
            self.overlay.controls.put_back(to, pending);
            self.outbox.unpop(Intent::Control { to });
        }
        let len = self.finish(writer);
        (len > 0).then_some((to, len))
    }

    /// Whoever told us of a rumour meanwhile need not be told.
    fn drop_what_is_known(&self, to: SocketAddr, pending: &mut Pending) {
        let Some(link) = self.overlay.links.find(to) else { return };
        let is_known = |id: ShortId| {
            let course = self.overlay.courses.get(id);
            course.is_some_and(|course| course.known_by.contains(link))
        };
        pending.announced.retain(|waiting| {
            matches!(waiting.urge, Urge::Confirm | Urge::Pass) || !is_known(waiting.id)
        });
    }
}

/// Wishes first: others wait for what they bring about.
fn put_pending(
    writer: &mut PacketWriter<'_>,
    pending: &mut Pending,
    now: Instant,
    datagram: &mut Datagram,
) {
    let branch = |&(tree, id): &(u8, ShortId)| Branch { tree, id: id.0 };
    let id = |id: &ShortId| id.0;
    let done =
        put(writer, &Control::Prune { trees: Entries::none() }, &pending.prunes, |&tree| tree);
    datagram.say(pending.prunes.drain(..done).map(|_| Said::Prune));
    let graft = |send| Control::Graft { send, entries: Entries::none() };
    let done = put(writer, &graft(true), &pending.grafts, branch);
    datagram.say(pending.grafts.drain(..done).map(|(_, id)| Said::Graft(id)));
    let done = put(writer, &graft(false), &pending.swaps, branch);
    datagram.say(pending.swaps.drain(..done).map(|(_, id)| Said::Swap(id)));
    let done = put(writer, &Control::IDontWant { ids: Entries::none() }, &pending.unwanted, id);
    datagram.say(pending.unwanted.drain(..done).map(Said::IDontWant));
    let pull = |later| Control::Pull { later, ids: Entries::none() };
    let done = put(writer, &pull(false), &pending.pulls, id);
    datagram.say(pending.pulls.drain(..done).map(Said::Pull));
    // An answer or a digest without ids says something too. What they leave out counts as known to the
    // other side, or to this one: they wait for a datagram that has room for all of it.
    if let Some(ids) = pending.lacking.take_if(|ids| has_room::<u64>(writer, ids.len())) {
        put_even_if_empty(writer, &pull(true), &ids, id);
    }
    let fits = |digest: &mut Digest| has_room::<Branch>(writer, digest.entries.len());
    if let Some(Digest { answer, whole, entries }) = pending.digest.take_if(fits) {
        let digest = Control::Digest { answer, whole, entries: Entries::none() };
        put_even_if_empty(writer, &digest, &entries, branch);
    }
    put_announced(writer, &mut pending.announced, now, datagram);
}

fn put_announced(
    writer: &mut PacketWriter<'_>,
    announced: &mut alloc::vec::Vec<Waiting>,
    now: Instant,
    datagram: &mut Datagram,
) {
    for urge in [Urge::Ask, Urge::Fetch, Urge::Pass, Urge::Tell] {
        let is_of = |waiting: &Waiting| match waiting.urge {
            Urge::Confirm => urge == Urge::Tell,
            Urge::AskTogether => urge == Urge::Ask,
            other => other == urge,
        };
        let of_kind: alloc::vec::Vec<Waiting> =
            announced.iter().filter(|w| is_of(w)).copied().collect();
        let control = Control::IHave {
            answer: urge == Urge::Ask,
            fetch: urge == Urge::Fetch,
            passed: urge == Urge::Pass,
            entries: Entries::none(),
        };
        let done = put(writer, &control, &of_kind, |waiting| Announced {
            id: waiting.id.0,
            tree: waiting.tree,
            hold_ms: u8::try_from(now.saturating_since(waiting.since).as_millis())
                .unwrap_or(u8::MAX),
        });
        let told = of_kind[..done].iter().filter(|waiting| waiting.urge != Urge::Confirm);
        datagram.say(told.map(|waiting| Said::IHave(waiting.id)));
        let mut left = done;
        announced.retain(|waiting| {
            let is_done = left > 0 && is_of(waiting);
            left -= usize::from(is_done);
            !is_done
        });
    }
}

/// Writes as many entries as there is room for. Returns how many.
fn put<T, E: Entry>(
    writer: &mut PacketWriter<'_>,
    control: &Control<'_>,
    items: &[T],
    entry: impl Fn(&T) -> E,
) -> usize {
    if items.is_empty() { 0 } else { put_even_if_empty(writer, control, items, entry) }
}

/// How many entries a datagram has room for.
fn room_for<E: Entry>(writer: &PacketWriter<'_>) -> usize {
    let around = PART_OVERHEAD + 1 + Envelope::CONTROL_OVERHEAD;
    writer.budget().saturating_sub(around) / E::LEN
}

/// Whether they need not wait for the next datagram: no other has more room than an empty one.
fn has_room<E: Entry>(writer: &PacketWriter<'_>, entries: usize) -> bool {
    writer.parts() == 0 || entries <= room_for::<E>(writer)
}

fn put_even_if_empty<T, E: Entry>(
    writer: &mut PacketWriter<'_>,
    control: &Control<'_>,
    items: &[T],
    entry: impl Fn(&T) -> E,
) -> usize {
    let count = items.len().min(room_for::<E>(writer));
    if count == 0 && !items.is_empty() {
        return 0;
    }
    let written = writer.part(|out| {
        out.put(&[MessageType::USER.0])?;
        control::put(control, items[..count].iter().map(&entry), out)
    });
    if written.is_ok() { count } else { 0 }
}
