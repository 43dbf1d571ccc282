//! Matching gossip: along links that follow the network's own topology.
//!
//! Links are a static list of addresses. They are looked up in the member table each time they are
//! used, so that no second copy of a member's state can go stale: an address of nobody is skipped
//! until somebody has it, and a neighbour that died is skipped until it is back.

use alloc::vec::Vec;
use core::net::SocketAddr;

use crate::member::ring::Draw;
use crate::member::{MemberId, Table};

/// The links of this node.
#[derive(Debug)]
pub(crate) struct Links {
    addrs: Vec<SocketAddr>,
}

impl Links {
    /// Repeated addresses count once: the original's files list a neighbour of a four-ring twice
    /// where two nodes share it.
    pub(crate) fn new(neighbors: &[SocketAddr]) -> Self {
        let mut addrs = Vec::with_capacity(neighbors.len());
        for &addr in neighbors {
            if !addrs.contains(&addr) {
                addrs.push(addr);
            }
        }
        Self { addrs }
    }

    /// The members at the other ends, in the order of the list, `me` left out.
    pub(crate) fn members(&self, table: &Table, me: MemberId) -> Draw {
        let ends = self.addrs.iter().filter_map(|&addr| table.find_addr(addr));
        ends.filter(|&id| id != me).collect()
    }

    /// The next live end at or after `from` in the list but `except`, and where to go on.
    pub(crate) fn next_live(
        &self,
        from: usize,
        table: &Table,
        me: MemberId,
        except: Option<MemberId>,
    ) -> Option<(MemberId, usize)> {
        (from..self.addrs.len()).find_map(|index| {
            let id = table.find_addr(self.addrs[index])?;
            let live = table.get(id).is_some_and(|record| record.state.is_live());
            (live && id != me && Some(id) != except).then_some((id, index + 1))
        })
    }

    /// How many live ends there are but `except`.
    pub(crate) fn count_live(&self, table: &Table, me: MemberId, except: Option<MemberId>) -> u32 {
        let (mut count, mut from) = (0, 0);
        while let Some((_, next)) = self.next_live(from, table, me, except) {
            (count, from) = (count + 1, next);
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::member::MemberState;

    use crate::time::Instant;

    fn addr(port: u16) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, 1], port))
    }

    fn ends(links: &Links, table: &Table, me: MemberId, except: Option<MemberId>) -> Vec<MemberId> {
        let (mut ends, mut from) = (Vec::new(), 0);
        while let Some((id, next)) = links.next_live(from, table, me, except) {
            ends.push(id);
            from = next;
        }
        assert_eq!(ends.len(), links.count_live(table, me, except) as usize);
        ends
    }

    #[test]
    fn links_lead_to_live_members_but_the_sender_and_oneself() {
        let (mut table, _) = Table::sample(4);
        let id = |name: &[u8]| table.find(name).unwrap();
        let (me, one, two) = (id(b"0"), id(b"1"), id(b"2"));
        let links = Links::new(&[addr(2), addr(9), addr(1), addr(2), addr(0)]);
        assert_eq!(ends(&links, &table, me, None), [two, one]);
        assert_eq!(ends(&links, &table, me, Some(two)), [one]);
        assert_eq!(*links.members(&table, me), [two, one]);
        table.set_state(two, MemberState::Dead, Instant::ZERO);
        assert_eq!(ends(&links, &table, me, None), [one]);
        assert_eq!(*links.members(&table, me), [two, one], "the dead stay listed for the tick");
    }
}
