//! The graves: who has been gone for longer than gossip goes to the dead.
//!
//! memberlist forgets them, and with them which incarnation died: whoever was off the network for
//! longer brings old news of a dead member, and revives it everywhere. Here the record stays, and with
//! it the precedence of what is known over what is older. Nobody probes it, gossips to it, or counts
//! it as part of the cluster; an exchange of state tells of it only whom it concerns.

use core::net::SocketAddr;
use core::time::Duration;

use alloc::vec::Vec;

use super::{MEMBERS_PER_ADDR_MAX, Marks, MemberId, Table};
use crate::identity::NodeName;
use crate::rng::Rng;
use crate::time::Instant;
use crate::wire::message::NodeAddr;

/// Most graves of a cluster however small, and however large. Between them, as many as there are live
/// members: what a cluster remembers is no more than what it is.
const GRAVES_MAX: (usize, usize) = (32, 1_024);

/// How long the dead and those who left stay.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keep {
    /// As part of the cluster.
    pub(crate) gossip: Duration,
    /// In a grave, counted from when they died.
    pub(crate) graves: Duration,
}

impl Table {
    /// Buries the dead and left members but `me` that have been so for long, forgets the graves that
    /// are too old or too many and tells their names, then shuffles the probe order (protocol page
    /// §4.11).
    pub(crate) fn reap_and_shuffle(
        &mut self,
        me: MemberId,
        now: Instant,
        keep: Keep,
        rng: &mut Rng,
        mut reaped: impl FnMut(MemberId, NodeName),
    ) {
        let mut order = core::mem::take(&mut self.order);
        order.retain(|&index| {
            let id = self.id_of(index);
            let stays = self.get(id).is_none_or(|record| {
                let age = now.saturating_since(record.since);
                id == me || record.state.is_live() || age <= keep.gossip
            });
            if !stays {
                self.bury(id);
            }
            stays
        });
        rng.shuffle(&mut order);
        self.order = order;
        for grave in self.graves_to_forget(now, keep.graves) {
            if let Some(name) = self.forget_grave(grave) {
                reaped(grave, name);
            }
        }
    }

    fn bury(&mut self, id: MemberId) {
        let Some(record) = self.get_mut(id) else { return };
        record.marks.set(Marks::BURIED, true);
        self.graves.push_back(id.index);
    }

    fn graves_to_forget(&self, now: Instant, keep: Duration) -> Vec<MemberId> {
        let (least, most) = GRAVES_MAX;
        let surplus = self.graves.len().saturating_sub(self.live.clamp(least, most));
        let is_old = |index| now.saturating_since(self.record(index).since) > keep;
        let graves = self.graves.iter().copied().enumerate();
        let unwanted = graves.filter(|&(place, index)| place < surplus || is_old(index));
        unwanted.map(|(_, index)| self.id_of(index)).collect()
    }

    /// Forgets a grave; the name that stood on it.
    pub(crate) fn forget_grave(&mut self, id: MemberId) -> Option<NodeName> {
        if !self.get(id)?.is_buried() {
            return None;
        }
        self.graves.retain(|&index| index != id.index);
        self.remove(id).map(|record| record.name)
    }

    /// A buried member is there again, and part of the cluster.
    pub(super) fn unbury(&mut self, id: MemberId) {
        let Some(record) = self.get_mut(id).filter(|record| record.is_buried()) else { return };
        record.marks.set(Marks::BURIED, false);
        self.graves.retain(|&index| index != id.index);
        self.append_to_order(id.index);
    }

    /// The oldest grave that has to make room if somebody is to be inserted at, or moved to, an
    /// address; `None` if there is room, or if no grave is in the way.
    pub(crate) fn grave_in_the_way(&self, addr: NodeAddr, is_new: bool) -> Option<MemberId> {
        let addr: SocketAddr = addr.socket_addr();
        let is_full = is_new && self.records() >= self.members_max;
        let is_crowded = self.all_at(addr).count() >= MEMBERS_PER_ADDR_MAX;
        if !is_full && !is_crowded {
            return None;
        }
        let is_there = |index: u32| self.record(index).addr.socket_addr() == addr;
        let grave = self.graves.iter().find(|&&index| !is_crowded || is_there(index));
        grave.map(|&index| self.id_of(index))
    }

    /// All graves, the first who was buried first.
    pub(crate) fn graves(&self) -> impl Iterator<Item = MemberId> + '_ {
        self.graves.iter().map(|&index| self.id_of(index))
    }

    /// The member at an address, unless it is buried.
    pub(crate) fn find_unburied_addr(&self, addr: SocketAddr) -> Option<MemberId> {
        self.find_addr(addr).filter(|&id| self.get(id).is_some_and(|record| !record.is_buried()))
    }

    pub(super) fn check_graves(&self) {
        assert!(self.graves.len() <= self.records(), "graves are records");
        for &index in &self.graves {
            let record = self.record(index);
            assert!(record.is_buried() && !record.state.is_live(), "only the dead are buried");
        }
        let buried = self.iter().filter(|(_, record)| record.is_buried()).count();
        assert_eq!(buried, self.graves.len(), "every grave is known");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::member::{MemberState, Record};
    use alloc::format;

    const SECOND: Duration = Duration::from_secs(1);
    const KEEP: Keep = Keep { gossip: Duration::from_secs(30), graves: Duration::from_secs(3_600) };

    fn at(seconds: u32) -> Instant {
        Instant::ZERO + seconds * SECOND
    }

    fn reap(table: &mut Table, rng: &mut Rng, now: Instant) -> Vec<NodeName> {
        let me = table.find(b"0").unwrap();
        let mut names = Vec::new();
        table.reap_and_shuffle(me, now, KEEP, rng, |_, name| names.push(name));
        table.check();
        names
    }

    #[test]
    fn the_long_dead_leave_the_cluster_and_stay_known() {
        let (mut table, mut rng) = Table::sample(4);
        let dead = table.find(b"2").unwrap();
        table.set_state(dead, MemberState::Dead, at(0));
        assert!(reap(&mut table, &mut rng, at(30)).is_empty());
        assert_eq!((table.len(), table.graves().count()), (4, 0), "it still hears gossip");
        assert!(reap(&mut table, &mut rng, at(31)).is_empty());
        assert_eq!((table.len(), table.records(), table.live()), (3, 4, 3));
        assert_eq!(table.graves().collect::<Vec<_>>(), [dead]);
        assert!((0..3).all(|place| table.order().get(place) != Some(dead)), "nobody probes it");
        let addr = table.get(dead).unwrap().addr.socket_addr();
        assert_eq!((table.find(b"2"), table.find_addr(addr)), (Some(dead), Some(dead)));
        assert_eq!(table.find_unburied_addr(addr), None);
        assert!(reap(&mut table, &mut rng, at(3_600)).is_empty());
        assert_eq!(reap(&mut table, &mut rng, at(3_601)), [NodeName::new("2").unwrap()]);
        assert_eq!((table.records(), table.find(b"2")), (3, None));
    }

    #[test]
    fn whoever_comes_back_from_a_grave_is_probed_again() {
        let (mut table, mut rng) = Table::sample(3);
        let dead = table.find(b"1").unwrap();
        table.set_state(dead, MemberState::Left, at(0));
        reap(&mut table, &mut rng, at(31));
        table.set_state(dead, MemberState::Alive, at(40));
        table.check();
        assert_eq!((table.len(), table.graves().count(), table.live()), (3, 0, 3));
        assert!((0..3).any(|place| table.order().get(place) == Some(dead)));
    }

    #[test]
    fn there_are_as_many_graves_as_live_members_and_a_few_in_any_cluster() {
        for (live, died, most) in [(10, 100, 32), (60, 100, 60), (1_100, 1_200, 1_024)] {
            let (mut table, mut rng) = Table::sample(live + died);
            for name in live..live + died {
                let id = table.find(format!("{name}").as_bytes()).unwrap();
                table.set_state(id, MemberState::Dead, at(0));
            }
            let forgotten = reap(&mut table, &mut rng, at(31));
            assert_eq!(table.graves().count(), most, "of {live} live ones");
            assert_eq!(forgotten.len(), usize::from(died) - most);
        }
    }

    #[test]
    fn graves_make_room() {
        let mut rng = Rng::child([5; 32], crate::rng::Stream::Membership);
        let mut table = Table::new([1; 32], 3);
        for port in 0..3 {
            table.insert(Record::sample(&format!("{port}"), port), &mut rng).unwrap();
        }
        let addr = |port| Record::sample("x", port).addr;
        assert_eq!(table.grave_in_the_way(addr(9), true), None, "there is none");
        let dead = table.find(b"1").unwrap();
        table.set_state(dead, MemberState::Dead, at(0));
        reap(&mut table, &mut rng, at(31));
        assert_eq!(table.grave_in_the_way(addr(9), true), Some(dead));
        assert_eq!(table.grave_in_the_way(addr(9), false), None, "nobody is added");
        assert_eq!(table.forget_grave(dead), Some(NodeName::new("1").unwrap()));
        assert_eq!(table.forget_grave(dead), None);
        assert!(table.insert(Record::sample("9", 9), &mut rng).is_ok());
        table.check();
    }

    #[test]
    fn at_a_crowded_address_a_grave_of_that_address_makes_room() {
        let (mut table, mut rng) = Table::sample(3);
        for index in 1..MEMBERS_PER_ADDR_MAX {
            table.insert(Record::sample(&format!("more {index}"), 2), &mut rng).unwrap();
        }
        let [elsewhere, here] = [&b"1"[..], b"2"].map(|name| table.find(name).unwrap());
        for dead in [elsewhere, here] {
            table.set_state(dead, MemberState::Dead, at(0));
        }
        reap(&mut table, &mut rng, at(31));
        let addr = table.get(here).unwrap().addr;
        assert_eq!(table.grave_in_the_way(addr, true), Some(here));
        assert_eq!(table.grave_in_the_way(addr, false), Some(here));
    }
}
