//! Whom to meet again: peers that were believed dead, and seeds.
//!
//! memberlist forgets its dead after a while and nobody dials them again, so that a partition that
//! outlasts this stays for ever. Here one of those that are missing is asked for its state now and
//! then. The cluster as a whole asks about six times a minute, however large it is (Ringpop's rate).

use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use crate::push_pull::SEEDS_MAX;
use crate::rng::Rng;
use crate::time::Instant;

/// Most lost peers that are remembered; beyond it the one lost longest ago is given up.
pub(crate) const LOST_MAX: usize = 128;

/// How many members of a cluster ask in each interval, on average.
const ASKING: usize = 3;

/// A peer that was believed dead.
#[derive(Clone, Copy, Debug)]
struct Lost {
    addr: SocketAddr,
    since: Instant,
}

/// Peers that might be there again.
#[derive(Debug, Default)]
pub(crate) struct Healer {
    /// In the order in which they were lost.
    lost: Vec<Lost>,
    /// All seeds that were ever wanted: whoever started alone finds the others through them.
    seeds: Vec<SocketAddr>,
}

impl Healer {
    /// A peer is believed dead.
    pub(crate) fn lose(&mut self, addr: SocketAddr, now: Instant) {
        self.lost.retain(|lost| lost.addr != addr);
        if self.lost.len() >= LOST_MAX {
            self.lost.remove(0);
        }
        self.lost.push(Lost { addr, since: now });
    }

    /// This address leads to the cluster.
    pub(crate) fn remember_seed(&mut self, addr: SocketAddr) {
        if self.seeds.contains(&addr) {
            return;
        }
        if self.seeds.len() >= SEEDS_MAX {
            self.seeds.remove(0);
        }
        self.seeds.push(addr);
    }

    /// Nobody is to be met any more.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// One that is missing, or nobody: it is not this node's turn, or all are there. Whoever was
    /// lost longer than `keep` ago is given up.
    pub(crate) fn pick(
        &mut self,
        now: Instant,
        keep: Duration,
        live_members: usize,
        rng: &mut Rng,
        is_live: impl Fn(SocketAddr) -> bool,
    ) -> Option<SocketAddr> {
        self.lost.retain(|lost| now.saturating_since(lost.since) <= keep && !is_live(lost.addr));
        if rng.below(live_members) >= ASKING {
            return None;
        }
        let seeds = self.seeds.iter().copied().filter(|&seed| !is_live(seed));
        let missing: Vec<_> = self.lost.iter().map(|lost| lost.addr).chain(seeds).collect();
        missing.get(rng.below(missing.len())).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Stream;

    const SECOND: Duration = Duration::from_secs(1);
    const HOUR: Duration = Duration::from_secs(3_600);

    fn addr(port: u16) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, 1], port))
    }

    fn at(seconds: u32) -> Instant {
        Instant::ZERO + seconds * SECOND
    }

    fn rng() -> Rng {
        Rng::child([5; 32], Stream::Healing)
    }

    #[test]
    fn the_missing_are_picked_until_they_are_back_or_given_up() {
        let (mut healer, mut rng) = (Healer::default(), rng());
        let mut pick = |healer: &mut Healer, now, live: u16| {
            healer.pick(now, HOUR, 1, &mut rng, |missing| missing == addr(live))
        };
        assert_eq!(pick(&mut healer, at(0), 0), None);
        healer.lose(addr(1), at(0));
        assert_eq!(pick(&mut healer, at(1), 0), Some(addr(1)));
        assert_eq!(pick(&mut healer, at(2), 1), None, "it is back");
        assert_eq!(pick(&mut healer, at(3), 0), None, "and forgotten");
        healer.lose(addr(2), at(10));
        assert_eq!(pick(&mut healer, at(3_610), 0), Some(addr(2)));
        assert_eq!(pick(&mut healer, at(3_611), 0), None, "given up");
        healer.remember_seed(addr(3));
        assert_eq!(pick(&mut healer, at(9_999), 0), Some(addr(3)), "seeds are never given up");
        assert_eq!(pick(&mut healer, at(9_999), 3), None);
        assert_eq!(pick(&mut healer, at(9_999), 0), Some(addr(3)));
    }

    #[test]
    fn a_cluster_asks_as_often_whatever_its_size() {
        let (mut healer, mut rng) = (Healer::default(), rng());
        healer.lose(addr(1), at(0));
        for (members, least, most) in [(1, 3_000, 3_000), (3, 3_000, 3_000), (300, 15, 60)] {
            let turns = 0..3_000;
            let asked = turns
                .filter(|_| healer.pick(at(0), HOUR, members, &mut rng, |_| false).is_some())
                .count();
            assert!((least..=most).contains(&asked), "{asked} of 3000 with {members} members");
        }
    }

    #[test]
    fn memory_is_bounded_and_the_latest_are_kept() {
        let (mut healer, mut rng) = (Healer::default(), rng());
        for port in 0..1_000 {
            healer.lose(addr(port), at(u32::from(port)));
            healer.remember_seed(addr(port));
        }
        assert_eq!((healer.lost.len(), healer.seeds.len()), (LOST_MAX, SEEDS_MAX));
        for _ in 0..1_000 {
            let picked = healer.pick(at(1_000), HOUR, 1, &mut rng, |_| false).unwrap();
            assert!(picked.port() >= 1_000 - 128);
        }
    }
}
