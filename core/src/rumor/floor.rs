//! The floor: links that follow from the members alone, so that a cluster stays in one piece when
//! the neighbours of a list die.
//!
//! In each ring all live members stand in the order of an agreed hash of their names; a node is
//! linked with the next one to either side. Nobody has to say so: both ends compute it (Rapid §4.1).

use alloc::vec::Vec;
use core::net::SocketAddr;

use crate::hash;
use crate::member::{MemberId, Table};

/// Most rings.
pub(crate) const RINGS_MAX: usize = 2;

/// From how many live members on two rings are kept: one alone is too long to go round, and two
/// neighbours of one node die together too often.
const SECOND_RING_FROM: usize = 1_000;

/// Below how many the second one is given up again. A cluster whose size hovers around one boundary would
/// make and drop links at each join and death.
const SECOND_RING_TO: usize = 800;

/// How many rings a cluster of this size has, to a node that has kept so many. Between the boundaries
/// members may differ, because they came at different times: along a link that only one end knows go
/// that end's ids, and whoever lacks one of them pulls it.
pub(crate) const fn rings(live: usize, kept: usize) -> usize {
    let from = if kept < RINGS_MAX { SECOND_RING_FROM } else { SECOND_RING_TO };
    if live < from { 1 } else { RINGS_MAX }
}

/// Where a name stands in a ring; the name itself parts equals.
fn position(ring: usize, name: &[u8]) -> u128 {
    hash::agreed(&[b"ring", &[u8::try_from(ring).unwrap_or(u8::MAX)], name])
}

/// The addresses of `me`'s neighbours in so many rings, each once. Members that do not take envelopes
/// have no place there. Looks at every member.
pub(crate) fn neighbors(table: &Table, me: MemberId, rings: usize) -> Vec<SocketAddr> {
    let mut found = Vec::new();
    let Some(my_name) = table.get(me).map(|record| record.name.clone()) else { return found };
    for ring in 0..rings {
        let mine = position(ring, my_name.as_bytes());
        // The distance to either side, around the end.
        let (mut next, mut previous) = (None, None);
        for (id, record) in table.iter() {
            if id == me || !record.state.is_live() || !record.takes_envelopes() {
                continue;
            }
            let theirs = position(ring, record.name.as_bytes());
            let (ahead, behind) = (theirs.wrapping_sub(mine), mine.wrapping_sub(theirs));
            let addr = record.addr.socket_addr();
            if next.is_none_or(|(best, _)| ahead < best) {
                next = Some((ahead, addr));
            }
            if previous.is_none_or(|(best, _)| behind < best) {
                previous = Some((behind, addr));
            }
        }
        for (_, addr) in [next, previous].into_iter().flatten() {
            if !found.contains(&addr) {
                found.push(addr);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::BootEpoch;
    use crate::member::MemberState;
    use crate::time::Instant;
    use crate::wire::tags::{Advert, CAPABILITY_ENVELOPE};

    fn table(size: u16) -> Table {
        let (mut table, _) = Table::sample(size);
        let advert = Advert { capabilities: CAPABILITY_ENVELOPE, epoch: BootEpoch(1), zone: 0 };
        let ids: Vec<MemberId> = table.iter().map(|(id, _)| id).collect();
        for id in ids {
            table.get_mut(id).unwrap().set_meta(&advert.add_to(b"").unwrap());
        }
        table
    }

    fn ports(table: &Table, name: &str) -> Vec<u16> {
        let me = table.find(name.as_bytes()).unwrap();
        neighbors(table, me, rings(table.live(), 1)).iter().map(SocketAddr::port).collect()
    }

    #[test]
    fn the_ring_closes_over_all_and_both_ends_agree() {
        let table = table(50);
        let mut at = ports(&table, "0")[0];
        let (mut before, mut seen) = (0, Vec::from([0]));
        while at != 0 {
            let around = ports(&table, &alloc::format!("{at}"));
            assert_eq!(around.len(), 2);
            assert!(around.contains(&before), "{at} knows {before}");
            seen.push(at);
            let on = around.into_iter().find(|&port| port != before).unwrap();
            (before, at) = (at, on);
        }
        assert_eq!(seen.len(), 50);
    }

    #[test]
    fn who_dies_makes_neighbours_of_its_neighbours() {
        let mut table = table(10);
        let around = ports(&table, "3");
        let dead = table.find(b"3").unwrap();
        table.set_state(dead, MemberState::Dead, Instant::ZERO);
        let [a, b] = around[..] else { panic!("two neighbours: {around:?}") };
        assert!(ports(&table, &alloc::format!("{a}")).contains(&b));
        assert!(ports(&table, &alloc::format!("{b}")).contains(&a));
    }

    #[test]
    fn few_members_and_plain_ones_make_a_short_floor() {
        assert!(ports(&table(1), "0").is_empty());
        assert_eq!(ports(&table(2), "0"), [1]);
        let (plain, _) = Table::sample(5);
        assert!(ports(&plain, "0").is_empty(), "they do not take envelopes");
    }

    #[test]
    fn a_thousand_members_have_two_rings() {
        assert!(ports(&table(1_000), "7").len() > 2);
    }

    #[test]
    fn the_second_ring_comes_at_1000_and_goes_below_800() {
        let after = |kept| [799, 800, 801, 999, 1_000, 1_001].map(|live| rings(live, kept));
        assert_eq!(after(1), [1, 1, 1, 1, 2, 2]);
        assert_eq!(after(2), [1, 2, 2, 2, 2, 2]);
        assert_eq!(after(0), after(1), "a node that has kept none yet");
    }

    #[test]
    fn a_cluster_that_hovers_around_a_boundary_keeps_its_rings() {
        for (sizes, kept) in [([1_000, 999, 1_001, 999], 2), ([799, 800, 801, 799], 1)] {
            let mut rings_now = rings(sizes[0], 2);
            for live in sizes {
                rings_now = rings(live, rings_now);
                assert_eq!(rings_now, kept, "{live}");
            }
        }
    }
}
