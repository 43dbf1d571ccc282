//! The repair of rumours: at each tick digests of what is new to one neighbour and to one random
//! member, who ask for what they lack (Demers et al. 1987 §1.3-1.4).
//!
//! Digests carry ids, each with its tree. Whoever lacks something says so at once, which keeps the rumour
//! hot with the one that told, but asks for the payload only when its tree has had its time.
//!
//! Interest is lost within a second where all is well. So every tenth tick is about all that came of
//! late, both ways, and so are those after it until somebody answers: whoever was out of reach has it
//! soon after, whatever else there is to talk about. Who heard nothing at all for a while asks so even
//! with nothing to tell.

use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use super::Node;
use crate::epidemic::{Epidemic, Exchange};
use crate::member::ring::{Sampling, sample};
use crate::member::{MemberId, Record};
use crate::rumor::ShortId;
use crate::rumor::controls::Digest;
use crate::rumor::links::LinkId;
use crate::rumor::missing::{Distance, Rumored};
use crate::rumor::overlay::Told;
use crate::wire::control::{Branch, Entries, Entry};
use crate::wire::envelope::Envelope;
use crate::wire::packet::PART_OVERHEAD;

/// How often a tick repeats what is not so new.
const WHOLE_EVERY: u32 = 10;

/// Most ids in a digest: what a datagram of the usual size holds; fewer where datagrams are shorter. Where
/// more came of late, whole digests take turns.
const DIGEST_IDS_MAX: usize = 128;

/// In so many intervals of probes some datagram comes, an ack at least.
const USUAL_PROBES: u32 = 3;

/// Of those who were sent a whole digest and did not answer, so many may still do so.
const ASKED_MAX: usize = 4;

/// What a digest is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Breadth {
    /// What its sender still talks about.
    Hot,
    /// All that came of late.
    Whole,
}

impl Node {
    /// The repair's part of a tick.
    pub(super) fn repair(&mut self) {
        self.overlay.told.clear();
        let Some(epidemic) = self.params.repair.filter(|_| self.has_overlay()) else { return };
        self.overlay.courses.cool_the_old(self.now, self.params.payload_cache_for);
        self.overlay.ticks = self.overlay.ticks.wrapping_add(1);
        if self.overlay.ticks.is_multiple_of(WHOLE_EVERY) {
            self.overlay.whole.get_or_insert_default();
        }
        let is_whole = self.overlay.whole.is_some();
        let breadth = if is_whole { Breadth::Whole } else { Breadth::Hot };
        let ids = self.ids_to_talk_about(breadth, &[]);
        if ids.is_empty() && !(is_whole && self.overlay.was_deaf) {
            return;
        }
        let near = self.digest_to_neighbor(epidemic, &ids);
        // Where there is nobody else, the neighbour gets the whole one.
        self.digest_to_anybody(epidemic, breadth, &ids, near.filter(|_| !is_whole));
        if !epidemic.feedback {
            ids.iter().for_each(|&id| self.count_contact(epidemic, id, false));
        }
    }

    /// A datagram has come. After a long silence others may have said what did not get through.
    pub(super) fn break_silence(&mut self) {
        let before = core::mem::replace(&mut self.overlay.datagram_at, self.now);
        let probes = self.params.probe_interval.unwrap_or_default();
        let ticks = self.params.gossip_interval.unwrap_or_default();
        let usual = (probes * USUAL_PROBES).max(ticks * WHOLE_EVERY);
        if self.has_overlay() && self.now.saturating_since(before) > usual {
            self.overlay.whole.get_or_insert_default();
            self.overlay.was_deaf = true;
        }
    }

    /// As many ids as a digest holds, less those that the other side named, which are in order.
    fn ids_to_talk_about(&self, breadth: Breadth, known: &[ShortId]) -> Vec<ShortId> {
        let courses = &self.overlay.courses;
        let max = self.digest_ids_max();
        let is_news = |id: &ShortId| known.binary_search(id).is_err();
        if breadth == Breadth::Hot {
            return courses.hot().filter(is_news).take(max).collect();
        }
        let turn = (self.overlay.ticks / WHOLE_EVERY) as usize;
        let then = self.now.before(self.lately());
        courses.part_since(then, turn, max).filter(is_news).collect()
    }

    fn digest_ids_max(&self) -> usize {
        let room = self.datagram_room(Envelope::CONTROL_OVERHEAD + PART_OVERHEAD);
        (room / Branch::LEN).clamp(1, DIGEST_IDS_MAX)
    }

    /// What came of late, so that whoever asks for it finds it: beyond three quarters of the time that
    /// payloads are kept, the one asked might have forgotten it.
    fn lately(&self) -> Duration {
        self.params.payload_cache_for * 3 / 4
    }

    /// A neighbour that was out of reach may have missed all that can still be had.
    pub(super) fn welcome_with_digest(&mut self, addr: SocketAddr) {
        let Some(epidemic) = self.params.repair else { return };
        let ids = self.ids_to_talk_about(Breadth::Whole, &[]);
        if !ids.is_empty() {
            self.digest(epidemic, Breadth::Whole, addr, ids);
        }
    }

    /// A neighbour hears of what it is not known to have.
    fn digest_to_neighbor(&mut self, epidemic: Epidemic, ids: &[ShortId]) -> Option<SocketAddr> {
        let live = self.overlay.links.live(&self.table, self.me);
        let nth = self.gossip_rng.below(live.len() as usize);
        let link = live.iter().nth(nth)?;
        let addr = self.overlay.links.get(link)?.addr;
        let takes = self.table.find_addr(addr).and_then(|id| self.table.get(id));
        if !takes.is_some_and(Record::takes_envelopes) {
            return None;
        }
        let courses = &self.overlay.courses;
        let is_new =
            |id: &&ShortId| courses.get(**id).is_some_and(|course| !course.known_by.contains(link));
        let news: Vec<ShortId> = ids.iter().filter(is_new).copied().collect();
        if news.is_empty() {
            return None;
        }
        self.digest(epidemic, Breadth::Hot, addr, news);
        Some(addr)
    }

    fn digest_to_anybody(
        &mut self,
        epidemic: Epidemic,
        breadth: Breadth,
        ids: &[ShortId],
        but: Option<SocketAddr>,
    ) {
        let me = self.me;
        let drawn = sample(
            1,
            self.table.order(),
            &self.table,
            Sampling::Exhaustive,
            &mut self.gossip_rng,
            |id: MemberId, record| {
                id != me
                    && record.state.is_live()
                    && record.takes_envelopes()
                    && Some(record.addr.socket_addr()) != but
            },
        );
        let addr = drawn.first().and_then(|&id| self.table.get(id));
        if let Some(addr) = addr.map(|record| record.addr.socket_addr()) {
            self.digest(epidemic, breadth, addr, ids.to_vec());
        }
    }

    fn digest(&mut self, epidemic: Epidemic, breadth: Breadth, to: SocketAddr, ids: Vec<ShortId>) {
        let whole = breadth == Breadth::Whole;
        let (answer, listed) = match epidemic.exchange {
            Exchange::Push => (false, ids),
            Exchange::Pull => (true, Vec::new()),
            Exchange::PushPull => (true, ids),
        };
        self.overlay.told.push(Told { to, ids: listed.clone() });
        if whole {
            self.overlay.whole = self.overlay.whole.take().filter(|_| answer).map(|mut asked| {
                asked.truncate(ASKED_MAX - 1);
                asked.insert(0, to);
                asked
            });
        }
        let digest = Digest { answer, whole, entries: self.with_trees(&listed) };
        self.tell_now(to, |pending| pending.set_digest(digest));
    }

    fn with_trees(&self, ids: &[ShortId]) -> Vec<(u8, ShortId)> {
        let courses = &self.overlay.courses;
        ids.iter().filter_map(|&id| Some((courses.get(id)?.tree, id))).collect()
    }

    /// Somebody says what it has, and may want to hear what is here.
    pub(super) fn on_digest(
        &mut self,
        from: SocketAddr,
        link: Option<LinkId>,
        wants: Option<Breadth>,
        entries: Entries<'_, Branch>,
    ) {
        let epidemic = self.params.repair.unwrap_or_default();
        let (mut lacking, mut known) = (Vec::new(), Vec::new());
        // Ours name no more, and each costs a look at what is hot here.
        for Branch { tree, id } in entries.iter().take(DIGEST_IDS_MAX) {
            let id = ShortId(id);
            if self.rumors.knows(id) {
                known.push(id);
                self.on_known_by(id, link);
            } else {
                lacking.push(id);
                self.note_missing(self.rumored(id, tree, from), self.patience(tree));
            }
        }
        if epidemic.feedback {
            known.iter().for_each(|&id| self.count_contact(epidemic, id, false));
        }
        let Some(breadth) = wants else { return };
        known.sort_unstable();
        let own = self.with_trees(&self.ids_to_talk_about(breadth, &known));
        self.tell_now(from, |pending| {
            pending.lacking = Some(lacking);
            if !own.is_empty() {
                let whole = breadth == Breadth::Whole;
                pending.set_digest(Digest { answer: false, whole, entries: own });
            }
        });
    }

    /// What a digest says about a rumour that is not here.
    fn rumored(&self, id: ShortId, tree: u8, holder: SocketAddr) -> Rumored {
        let (distance, since) = (Distance::Far, self.now);
        Rumored { id, tree, holder, distance, since, fetch: false }
    }

    fn on_known_by(&mut self, id: ShortId, link: Option<LinkId>) {
        if let Some((course, link)) = self.overlay.courses.get_mut(id).zip(link) {
            course.known_by.insert(link);
        }
    }

    /// The answer to a digest: what the other side lacks. The rest it knew.
    pub(super) fn on_lacking(&mut self, from: SocketAddr, lacking: Entries<'_, u64>) {
        let epidemic = self.params.repair.unwrap_or_default();
        if self.overlay.whole.as_ref().is_some_and(|asked| asked.contains(&from)) {
            self.overlay.whole = None;
            self.overlay.was_deaf = false;
        }
        let Some(place) = self.overlay.told.iter().position(|told| told.to == from) else { return };
        let told = self.overlay.told.swap_remove(place);
        if !epidemic.feedback {
            return;
        }
        for id in told.ids {
            let useful = lacking.iter().take(DIGEST_IDS_MAX).any(|other| other == id.0);
            self.count_contact(epidemic, id, useful);
        }
    }

    fn count_contact(&mut self, epidemic: Epidemic, id: ShortId, useful: bool) {
        let rng = &mut self.gossip_rng;
        let Some(course) = self.overlay.courses.get_mut(id) else { return };
        let toss = |k: u8| rng.below(usize::from(k)) == 0;
        if epidemic.cools(&mut course.contacts, useful, toss) {
            self.overlay.courses.cool(id);
        }
    }
}
