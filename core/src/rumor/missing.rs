//! Rumours that others have and this node lacks: who has them, and when to stop waiting for the tree.

use alloc::collections::{BTreeMap, BTreeSet};
use core::net::SocketAddr;
use core::time::Duration;

use smallvec::SmallVec;

use super::ShortId;
use super::shares::{Room, room};
use crate::time::Instant;

/// Most rumours missed at a time, of which each member may have named a share. Digests name them again.
pub(crate) const MISSING_MAX: usize = 4_096;

/// Most members remembered that have one of them.
const HOLDERS_MAX: usize = 8;

/// How often each holder is asked.
const ROUNDS: usize = 2;

/// How near a holder is: nearer ones are asked first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Distance {
    /// A neighbour of the list.
    Near,
    /// A neighbour of the floor.
    Floor,
    /// Anybody else.
    Far,
}

/// Somebody who has the rumour.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Holder {
    pub(crate) addr: SocketAddr,
    pub(crate) distance: Distance,
    /// When the payload would have come along its link.
    pub(crate) since: Instant,
    asked: usize,
}

impl Holder {
    /// Whether it was asked for the payload.
    pub(crate) const fn was_asked(&self) -> bool {
        self.asked > 0
    }
}

/// A rumour that is missed.
#[derive(Debug)]
pub(crate) struct Missing {
    pub(crate) tree: u8,
    /// Who named it first.
    named_by: SocketAddr,
    holders: SmallVec<[Holder; 2]>,
    due: Instant,
    /// Whom the last question went to.
    asked: Option<SocketAddr>,
    /// It does not come unasked.
    fetch: bool,
}

/// What is said about a rumour that is missed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rumored {
    pub(crate) id: ShortId,
    pub(crate) tree: u8,
    /// Who has it.
    pub(crate) holder: SocketAddr,
    pub(crate) distance: Distance,
    /// Since when.
    pub(crate) since: Instant,
    /// Whether it does not come unasked.
    pub(crate) fetch: bool,
}

impl Missing {
    /// Who has it, as far as that was said.
    pub(crate) fn holders(&self) -> impl Iterator<Item = &Holder> {
        self.holders.iter()
    }

    /// Who of the neighbours had it first.
    pub(crate) fn first_near(&self) -> Option<&Holder> {
        let near = self.holders.iter().filter(|holder| holder.distance == Distance::Near);
        near.min_by_key(|holder| holder.since)
    }

    /// Since when somebody who is no neighbour of the list has had it.
    pub(crate) fn far_since(&self) -> Option<Instant> {
        let far = self.holders.iter().filter(|holder| holder.distance != Distance::Near);
        far.map(|holder| holder.since).min()
    }
}

/// All that this node misses.
#[derive(Debug, Default)]
pub(crate) struct MissingRumors {
    missing: BTreeMap<ShortId, Missing>,
    due: BTreeSet<(Instant, ShortId)>,
    /// How many each member named first.
    named: BTreeMap<SocketAddr, usize>,
}

impl MissingRumors {
    /// Notes that somebody has a rumour, if there is room for one more; it is asked for at `due`, or
    /// earlier if that was planned.
    pub(crate) fn note(&mut self, rumored: Rumored, due: Instant) -> Room {
        let Rumored { id, tree, holder, distance, since, fetch } = rumored;
        if !self.missing.contains_key(&id) {
            let own = self.named.get(&holder).copied().unwrap_or_default();
            let room = room(self.missing.len(), own, MISSING_MAX);
            if room != Room::Free {
                return room;
            }
            let (holders, asked) = (SmallVec::new(), None);
            let missing = Missing { tree, named_by: holder, holders, due, asked, fetch };
            self.missing.insert(id, missing);
            self.due.insert((due, id));
            *self.named.entry(holder).or_default() += 1;
        }
        let Some(missing) = self.missing.get_mut(&id) else { return Room::Full };
        // Neighbours know better than whoever only says that it has it.
        if distance != Distance::Far {
            missing.tree = tree;
        }
        missing.fetch |= fetch;
        // Once somebody was asked, the answer is waited for.
        if due < missing.due && missing.asked.is_none() {
            self.due.remove(&(missing.due, id));
            self.due.insert((due, id));
            missing.due = due;
        }
        let holders = &mut missing.holders;
        let holders_full = holders.len() >= HOLDERS_MAX;
        if let Some(known) = holders.iter_mut().find(|known| known.addr == holder) {
            // What a digest said, its link says now.
            if distance < known.distance {
                (known.distance, known.since) = (distance, since);
            }
        } else {
            let new = Holder { addr: holder, distance, since, asked: 0 };
            let farthest = holders.iter_mut().max_by_key(|known| (known.distance, known.since));
            match farthest.filter(|_| holders_full) {
                // A neighbour is never one too many for those who only say that they have it.
                Some(farthest) if distance < farthest.distance => *farthest = new,
                Some(_) => {}
                None => holders.push(new),
            }
        }
        Room::Free
    }

    /// Who was asked last for a rumour.
    pub(crate) fn asked(&self, id: ShortId) -> Option<SocketAddr> {
        self.missing.get(&id)?.asked
    }

    /// Whether a copy that comes from somewhere was asked for there, and not along a tree.
    pub(crate) fn answers_off_tree(&self, id: ShortId, from: SocketAddr) -> bool {
        let Some(missing) = self.missing.get(&id) else { return false };
        let is_far = |holder: &Holder| missing.fetch || holder.distance == Distance::Far;
        let mut asked = missing.holders().filter(|holder| holder.was_asked());
        asked.any(|holder| holder.addr == from && is_far(holder))
    }

    /// Whether a rumour does not come unasked: large ones come over streams, and some bare ones off their tree.
    pub(crate) fn is_fetched(&self, id: ShortId) -> bool {
        self.missing.get(&id).is_some_and(|missing| missing.fetch)
    }

    /// The rumour came.
    pub(crate) fn remove(&mut self, id: ShortId) -> Option<Missing> {
        let missing = self.missing.remove(&id)?;
        self.due.remove(&(missing.due, id));
        if let Some(named) = self.named.get_mut(&missing.named_by) {
            *named -= 1;
            if *named == 0 {
                self.named.remove(&missing.named_by);
            }
        }
        Some(missing)
    }

    /// The node stood still so long: whoever was asked may have answered meanwhile.
    pub(crate) fn postpone(&mut self, by: Duration) {
        self.due.clear();
        for (&id, missing) in &mut self.missing {
            missing.due += by;
            self.due.insert((missing.due, id));
        }
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.due.first().map(|&(due, _)| due)
    }

    /// The next rumour that is due, its tree, and whom to ask: the nearest of those who were asked
    /// least often. Nobody, if all were asked often enough; it is given up then.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<(ShortId, u8, Option<Holder>)> {
        let &(_, id) = self.due.first().filter(|&&(due, _)| due <= now)?;
        let missing = self.missing.get_mut(&id)?;
        let tree = missing.tree;
        let rank = |holder: &Holder| (holder.asked, holder.distance, holder.since);
        let next = missing.holders.iter_mut().min_by_key(|holder| rank(holder));
        let Some(holder) = next.filter(|holder| holder.asked < ROUNDS) else {
            self.remove(id);
            return Some((id, tree, None));
        };
        holder.asked += 1;
        let holder = *holder;
        missing.asked = Some(holder.addr);
        Some((id, tree, Some(holder)))
    }

    /// Waits until then for the answer.
    pub(crate) fn wait(&mut self, id: ShortId, until: Instant) {
        let Some(missing) = self.missing.get_mut(&id) else { return };
        self.due.remove(&(missing.due, id));
        missing.due = until;
        self.due.insert((until, id));
    }

    pub(crate) fn check(&self) {
        assert!(self.missing.len() <= MISSING_MAX, "what is missed is bounded");
        assert_eq!(self.missing.len(), self.due.len(), "each has its deadline");
        let named: usize = self.named.values().sum();
        assert_eq!(self.missing.len(), named, "each was named by somebody");
        assert!(self.named.values().all(|&named| named > 0));
        assert!(self.missing.values().all(|missing| missing.holders.len() <= HOLDERS_MAX));
    }
}

/// How long each tree needs after somebody far away had a rumour. Repair that does not wait so long
/// only sends what is under way.
#[derive(Debug, Default)]
pub(crate) struct Patience {
    /// Microseconds by tree; empty until one was late.
    lags: alloc::vec::Vec<u64>,
}

impl Patience {
    /// A rumour came along its tree so long after somebody far away had it.
    pub(crate) fn learn(&mut self, tree: u8, lag: Duration) {
        let lag = u64::try_from(lag.as_micros()).unwrap_or(u64::MAX);
        if self.lags.is_empty() {
            self.lags.resize(usize::from(crate::wire::control::TREES), 0);
        }
        let known = &mut self.lags[usize::from(tree % crate::wire::control::TREES)];
        // Up at once, down slowly.
        *known = lag.max(*known - *known / 8);
    }

    /// How long to wait in a tree: a quarter more than it needed, and no less than `least`.
    pub(crate) fn of(&self, tree: u8, least: Duration, most: Duration) -> Duration {
        let lag = self.lags.get(usize::from(tree)).copied().unwrap_or(0);
        let lag = lag.saturating_add(lag / 4);
        (Duration::from_micros(lag) + least).min(most.max(least))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_micros(millis * 1_000)
    }

    fn addr(port: u16) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, 1], port))
    }

    fn rumored(id: u64, port: u16, distance: Distance) -> Rumored {
        let (holder, since) = (addr(port), at(u64::from(port)));
        Rumored { id: ShortId(id), tree: 0, holder, distance, since, fetch: false }
    }

    #[test]
    fn the_nearest_is_asked_first_and_nobody_more_than_twice() {
        let mut all = MissingRumors::default();
        let id = ShortId(1);
        assert_eq!(all.note(rumored(1, 1, Distance::Far), at(500)), Room::Free);
        let near = Rumored { tree: 3, ..rumored(1, 2, Distance::Near) };
        assert_eq!(all.note(near, at(30)), Room::Free);
        all.check();
        assert_eq!((all.deadline(), all.pop_due(at(29)).is_none()), (Some(at(30)), true));
        for port in [2, 1, 2, 1] {
            let (_, tree, asked) = all.pop_due(at(1_000)).unwrap();
            assert_eq!((tree, asked.unwrap().addr), (3, addr(port)));
            all.wait(id, at(900));
            all.check();
        }
        assert!(all.pop_due(at(1_000)).unwrap().2.is_none());
        assert!(all.remove(id).is_none() && all.deadline().is_none());
        all.check();
    }

    #[test]
    fn what_is_missed_is_bounded() {
        let mut all = MissingRumors::default();
        for id in 0..MISSING_MAX as u64 {
            assert_eq!(all.note(rumored(id, id as u16, Distance::Far), at(1)), Room::Free);
        }
        assert_eq!(all.note(rumored(u64::MAX, 1, Distance::Far), at(1)), Room::Full);
        for port in 2..50 {
            all.note(rumored(0, port, Distance::Far), at(1));
        }
        all.check();
    }

    #[test]
    fn whoever_names_too_many_leaves_room_for_others_and_has_it_again_later() {
        let mut all = MissingRumors::default();
        let mut named = 0;
        while all.note(rumored(named, 1, Distance::Near), at(1)) == Room::Free {
            named += 1;
        }
        assert_eq!(named, MISSING_MAX as u64 / 2);
        assert_eq!(all.note(rumored(named, 1, Distance::Near), at(1)), Room::Spent);
        assert_eq!(all.note(rumored(named, 2, Distance::Far), at(1)), Room::Free);
        assert_eq!(all.note(rumored(named, 1, Distance::Near), at(1)), Room::Free, "it has it too");
        all.check();
        all.remove(ShortId(0));
        all.remove(ShortId(1));
        assert_eq!(all.note(rumored(u64::MAX, 1, Distance::Near), at(1)), Room::Free);
        all.check();
    }

    #[test]
    fn a_neighbour_is_asked_however_many_others_said_before_that_they_have_it() {
        let mut all = MissingRumors::default();
        for port in 10..10 + 2 * HOLDERS_MAX as u16 {
            all.note(rumored(1, port, Distance::Far), at(1));
        }
        all.note(rumored(1, 1, Distance::Near), at(1));
        all.check();
        let (_, _, asked) = all.pop_due(at(1)).unwrap();
        assert_eq!(asked.unwrap().addr, addr(1));
    }

    #[test]
    fn patience_rises_at_once_and_falls_slowly() {
        let mut patience = Patience::default();
        let (least, most) = (Duration::from_millis(200), Duration::from_secs(22));
        assert_eq!(patience.of(7, least, most), least);
        patience.learn(7, Duration::from_millis(800));
        assert_eq!(patience.of(7, least, most), Duration::from_millis(1_200));
        patience.learn(7, Duration::ZERO);
        assert_eq!(patience.of(7, least, most), Duration::from_millis(1_075));
        assert_eq!(patience.of(8, least, most), least, "each tree has its own");
        patience.learn(7, Duration::from_secs(3_600));
        assert_eq!(patience.of(7, least, most), most);
    }
}
