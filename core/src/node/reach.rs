//! What gets through to each member: a firewall that lets one kind of traffic pass makes a cluster that
//! looks well and cannot exchange state, or one that runs on its slow path (memberlist #264).
//!
//! Datagrams are judged by the probes, streams by whatever is sent over them. A stream that fails alone
//! proves nothing, its other end may have had too much to do: from then on each probe of the member
//! also asks it over a stream, until one answer clears it or one more failure confirms it.

use alloc::collections::BTreeMap;
use core::net::SocketAddr;

use super::Node;
use crate::event::Fact;
use crate::member::{Member, MemberId, MemberState, Record};

/// Most members that something does not get through to which are remembered; of more, nothing is told.
pub(super) const TROUBLES_MAX: usize = 1_024;

/// Failures in a row after which streams to a member count as lost.
const FAILURES: u8 = 2;

/// What gets through to a member, as far as this node has found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Reach {
    /// Nothing is known to be amiss.
    #[default]
    Both,
    /// Datagrams, and no stream: it stays a member, but state cannot be exchanged with it from here.
    DatagramsOnly,
    /// Streams, and no datagram: it is probed and told nothing but by streams from here.
    StreamsOnly,
}

impl core::fmt::Display for Reach {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Both => "datagrams and streams",
            Self::DatagramsOnly => "datagrams only",
            Self::StreamsOnly => "streams only",
        })
    }
}

/// What failed last.
#[derive(Clone, Copy, Debug, Default)]
struct Trouble {
    datagrams_lost: bool,
    stream_failures: u8,
}

impl Trouble {
    const fn reach(self) -> Reach {
        if self.datagrams_lost {
            Reach::StreamsOnly
        } else if self.stream_failures >= FAILURES {
            Reach::DatagramsOnly
        } else {
            Reach::Both
        }
    }

    const fn is_none(self) -> bool {
        !self.datagrams_lost && self.stream_failures == 0
    }
}

/// Those to whom something does not get through. They are few, so the record of a member has no place
/// for it.
#[derive(Debug, Default)]
pub(super) struct Troubles(BTreeMap<MemberId, Trouble>);

impl Troubles {
    fn reach(&self, member: MemberId) -> Reach {
        self.0.get(&member).map_or(Reach::Both, |trouble| trouble.reach())
    }

    /// Changes what is known of a member. What gets through now, if that is not what did before.
    fn change(&mut self, member: MemberId, change: impl FnOnce(&mut Trouble)) -> Option<Reach> {
        let before = self.0.get(&member).copied().unwrap_or_default();
        let mut after = before;
        change(&mut after);
        if after.is_none() {
            self.0.remove(&member);
        } else if self.0.len() < TROUBLES_MAX || self.0.contains_key(&member) {
            self.0.insert(member, after);
        } else {
            return None;
        }
        (before.reach() != after.reach()).then_some(after.reach())
    }

    /// The member is gone, or begins anew elsewhere.
    pub(super) fn forget(&mut self, member: MemberId) {
        self.0.remove(&member);
    }

    pub(super) fn check(&self) {
        assert!(self.0.len() <= TROUBLES_MAX, "the troubled members stay within their limit");
        assert!(self.0.values().all(|trouble| !trouble.is_none()), "no trouble, no entry");
    }
}

impl Node {
    /// A member as the application sees it.
    pub(super) fn view<'a>(&self, id: MemberId, record: &'a Record) -> Member<'a> {
        Member { reach: self.troubles.reach(id), ..record.view() }
    }

    /// A probe was answered by a datagram in time.
    pub(super) fn datagrams_pass(&mut self, member: MemberId) {
        self.change_reach(member, |trouble| trouble.datagrams_lost = false);
    }

    /// A probe was answered over a stream only.
    pub(super) fn only_streams_pass(&mut self, member: MemberId) {
        self.change_reach(member, |trouble| {
            *trouble = Trouble { datagrams_lost: true, stream_failures: 0 };
        });
    }

    /// A stream of ours was answered by whoever is at this address.
    pub(super) fn stream_passed(&mut self, peer: SocketAddr) {
        if let Some(member) = self.table.find_unburied_addr(peer) {
            self.change_reach(member, |trouble| trouble.stream_failures = 0);
        }
    }

    /// A stream of ours to this address was not taken, broke, or carried nothing.
    pub(super) fn stream_failed(&mut self, peer: SocketAddr) {
        let Some(member) = self.table.find_unburied_addr(peer) else { return };
        // A suspect may be dead: that is for the probes to find.
        if self.table.get(member).is_some_and(|record| record.state == MemberState::Alive) {
            let failed = |trouble: &mut Trouble| {
                trouble.stream_failures = trouble.stream_failures.saturating_add(1);
            };
            self.change_reach(member, failed);
        }
    }

    fn change_reach(&mut self, member: MemberId, change: impl FnOnce(&mut Trouble)) {
        let Some(reach) = self.troubles.change(member, change) else { return };
        let Some(name) = self.name_of(member) else { return };
        self.stats.reach_changes += 1;
        self.tell(Fact::ReachChanged { name, reach });
    }

    /// Whether a member is to be asked over a stream too when it is probed.
    pub(super) fn doubts_streams(&self, member: MemberId) -> bool {
        self.troubles.0.get(&member).is_some_and(|trouble| trouble.stream_failures > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::member::Table;

    #[test]
    fn one_failure_is_a_doubt_two_are_told_and_one_answer_clears() {
        let (table, _) = Table::sample(1);
        let member = table.find(b"0").unwrap();
        let mut troubles = Troubles::default();
        let fails = |troubles: &mut Troubles| {
            troubles.change(member, |trouble| trouble.stream_failures += 1)
        };
        assert_eq!(fails(&mut troubles), None);
        assert_eq!(fails(&mut troubles), Some(Reach::DatagramsOnly));
        assert_eq!(fails(&mut troubles), None, "once");
        let passed = troubles.change(member, |trouble| trouble.stream_failures = 0);
        assert_eq!((passed, troubles.0.len()), (Some(Reach::Both), 0));
        fails(&mut troubles);
        assert_eq!(troubles.change(member, |trouble| trouble.stream_failures = 0), None);
        troubles.check();
    }

    #[test]
    fn the_troubled_are_limited_in_number() {
        let (table, _) = Table::sample(2_000);
        let mut troubles = Troubles::default();
        for (id, _) in table.iter() {
            troubles.change(id, |trouble| trouble.datagrams_lost = true);
        }
        assert_eq!(troubles.0.len(), TROUBLES_MAX);
        let (last, _) = table.iter().last().unwrap();
        assert_eq!(troubles.reach(last), Reach::Both);
        troubles.check();
    }
}
