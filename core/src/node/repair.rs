//! The repair of rumours: at each tick digests of what is new to one neighbour and to one random
//! member, who ask for what they lack (Demers et al. 1987 §1.3-1.4).
//!
//! Digests carry ids alone. Whoever lacks something says so at once, which keeps the rumour hot with
//! the one that told, but asks for the payload only when its tree has had its time.

use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use super::Node;
use crate::epidemic::{Epidemic, Exchange};
use crate::member::ring::{Sampling, sample};
use crate::member::{MemberId, Record};
use crate::rumor::ShortId;
use crate::rumor::links::LinkId;
use crate::rumor::missing::{Distance, Rumored};
use crate::rumor::overlay::Told;
use crate::wire::control::Entries;

/// How often a tick of a node that has nothing new to talk about repeats what is not so new.
const QUIET_EVERY: u32 = 10;

/// What is not so new.
const QUIET_SPAN: Duration = Duration::from_secs(10);

/// Most ids in a digest: what a datagram of the usual size holds.
const DIGEST_IDS_MAX: usize = 128;

impl Node {
    /// The repair's part of a tick.
    pub(super) fn repair(&mut self) {
        self.overlay.told.clear();
        let Some(epidemic) = self.params.repair.filter(|_| self.has_overlay()) else { return };
        self.overlay.courses.cool_the_old(self.now, self.params.payload_cache_for);
        let ids = self.ids_to_talk_about();
        if ids.is_empty() {
            return;
        }
        let near = self.digest_to_neighbor(epidemic, &ids);
        self.digest_to_anybody(epidemic, &ids, near);
        if !epidemic.feedback {
            ids.iter().for_each(|&id| self.count_contact(epidemic, id, false));
        }
    }

    fn ids_to_talk_about(&mut self) -> Vec<ShortId> {
        if !self.overlay.courses.is_quiet() {
            self.overlay.quiet_ticks = 0;
            return self.overlay.courses.hot().take(DIGEST_IDS_MAX).collect();
        }
        self.overlay.quiet_ticks = self.overlay.quiet_ticks.wrapping_add(1);
        if !self.overlay.quiet_ticks.is_multiple_of(QUIET_EVERY) {
            return Vec::new();
        }
        self.ids_since(QUIET_SPAN)
    }

    /// The newest ids that came within so long.
    fn ids_since(&self, span: Duration) -> Vec<ShortId> {
        self.overlay.courses.since(self.now.before(span)).take(DIGEST_IDS_MAX).collect()
    }

    /// A neighbour that was out of reach may have missed all that can still be had.
    pub(super) fn welcome_with_digest(&mut self, addr: SocketAddr) {
        let Some(epidemic) = self.params.repair else { return };
        let ids = self.ids_since(self.params.payload_cache_for);
        if !ids.is_empty() {
            self.digest(epidemic, addr, ids);
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
        self.digest(epidemic, addr, news);
        Some(addr)
    }

    fn digest_to_anybody(&mut self, epidemic: Epidemic, ids: &[ShortId], but: Option<SocketAddr>) {
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
            self.digest(epidemic, addr, ids.to_vec());
        }
    }

    fn digest(&mut self, epidemic: Epidemic, to: SocketAddr, ids: Vec<ShortId>) {
        let (answer, listed) = match epidemic.exchange {
            Exchange::Push => (false, ids.clone()),
            Exchange::Pull => (true, Vec::new()),
            Exchange::PushPull => (true, ids.clone()),
        };
        self.overlay.told.push(Told { to, ids });
        self.tell_now(to, |pending| pending.digest = Some((answer, listed)));
    }

    /// Somebody says what it has.
    pub(super) fn on_digest(
        &mut self,
        from: SocketAddr,
        link: Option<LinkId>,
        answer: bool,
        ids: Entries<'_, u64>,
    ) {
        let epidemic = self.params.repair.unwrap_or_default();
        let (mut lacking, mut known) = (Vec::new(), Vec::new());
        // Ours name no more, and each costs a look at what is hot here.
        for id in ids.iter().take(DIGEST_IDS_MAX).map(ShortId) {
            if self.rumors.knows(id) {
                known.push(id);
                self.on_known_by(id, link);
            } else {
                lacking.push(id);
                self.note_missing(self.rumored(id, from), self.patience(None));
            }
        }
        if epidemic.feedback {
            known.iter().for_each(|&id| self.count_contact(epidemic, id, false));
        }
        if !answer {
            return;
        }
        let mut own: Vec<ShortId> = if self.overlay.courses.is_quiet() {
            self.ids_since(QUIET_SPAN)
        } else {
            self.overlay
                .courses
                .hot()
                .filter(|id| !known.contains(id))
                .take(DIGEST_IDS_MAX)
                .collect()
        };
        own.retain(|id| !known.contains(id));
        self.tell_now(from, |pending| {
            pending.lacking = Some(lacking);
            if !own.is_empty() {
                pending.digest = Some((false, own));
            }
        });
    }

    /// What a digest says about a rumour that is not here.
    fn rumored(&self, id: ShortId, holder: SocketAddr) -> Rumored {
        let (distance, since) = (Distance::Far, self.now);
        Rumored { id, tree: None, holder, distance, since, fetch: false }
    }

    fn on_known_by(&mut self, id: ShortId, link: Option<LinkId>) {
        if let Some((course, link)) = self.overlay.courses.get_mut(id).zip(link) {
            course.known_by.insert(link);
        }
    }

    /// The answer to a digest: what the other side lacks. The rest it knew.
    pub(super) fn on_lacking(&mut self, from: SocketAddr, lacking: Entries<'_, u64>) {
        let epidemic = self.params.repair.unwrap_or_default();
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
