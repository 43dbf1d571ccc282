//! Anti-entropy of membership: which seeds to reach, and whether two clusters may merge.
//!
//! The exchange itself is a stream (protocol page §3.5); `node` drives it.

use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use crate::identity::StreamId;
use crate::member::{MemberState, Table};
use crate::rng::Rng;
use crate::time::Instant;
use crate::wire::message::{NodeState, Versions, WireState};

/// Most seeds that are kept.
pub const SEEDS_MAX: usize = 64;

/// An address given to `join` that has not answered yet.
#[derive(Clone, Copy, Debug)]
struct Seed {
    addr: SocketAddr,
    attempts: u32,
    state: SeedState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SeedState {
    Due(Instant),
    Trying(StreamId),
}

/// Seeds yet to be reached: each is tried for ever, with growing pauses.
#[derive(Debug, Default)]
pub(crate) struct Seeds {
    seeds: Vec<Seed>,
}

impl Seeds {
    /// Adds a seed to be tried at once; `false` if the list is full.
    pub(crate) fn add(&mut self, addr: SocketAddr, now: Instant) -> bool {
        if self.seeds.iter().any(|seed| seed.addr == addr) {
            return true;
        }
        if self.seeds.len() >= SEEDS_MAX {
            return false;
        }
        self.seeds.push(Seed { addr, attempts: 0, state: SeedState::Due(now) });
        true
    }

    /// When the next attempt is due.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let due = self.seeds.iter().filter_map(|seed| match seed.state {
            SeedState::Due(at) => Some(at),
            SeedState::Trying(_) => None,
        });
        due.min()
    }

    /// A seed whose attempt is due.
    pub(crate) fn due(&self, now: Instant) -> Option<SocketAddr> {
        let due = |seed: &&Seed| matches!(seed.state, SeedState::Due(at) if at <= now);
        self.seeds.iter().find(due).map(|seed| seed.addr)
    }

    pub(crate) fn trying(&mut self, addr: SocketAddr, stream: StreamId) {
        if let Some(seed) = self.seeds.iter_mut().find(|seed| seed.addr == addr) {
            seed.state = SeedState::Trying(stream);
        }
    }

    /// It is not tried again: it answered, or nobody wants it any more.
    pub(crate) fn remove(&mut self, addr: SocketAddr) {
        self.seeds.retain(|seed| seed.addr != addr);
    }

    /// The attempt failed. Returns how many have, and the pause before the next one.
    pub(crate) fn failed(
        &mut self,
        addr: SocketAddr,
        now: Instant,
        first: Duration,
        max: Duration,
        rng: &mut Rng,
    ) -> Option<(u32, Duration)> {
        let seed = self.seeds.iter_mut().find(|seed| seed.addr == addr)?;
        let doubled = first.saturating_mul(1_u32.checked_shl(seed.attempts).unwrap_or(u32::MAX));
        seed.attempts = seed.attempts.saturating_add(1);
        // A quarter of jitter, so that nodes that start together do not retry together.
        let pause = doubled.min(max);
        let pause = pause - rng.below_duration(pause / 4);
        seed.state = SeedState::Due(now + pause);
        Some((seed.attempts, pause))
    }

    /// Nobody is to be reached any more.
    pub(crate) fn clear(&mut self) {
        self.seeds.clear();
    }

    pub(crate) fn len(&self) -> usize {
        self.seeds.len()
    }
}

/// The protocol versions that everybody in an exchange must speak (protocol page §4.9).
#[derive(Clone, Copy, Debug)]
struct Common {
    protocol: (u8, u8),
    delegate: (u8, u8),
}

impl Common {
    const ALL: Self = Self { protocol: (0, u8::MAX), delegate: (0, u8::MAX) };

    fn narrow(&mut self, versions: Versions) {
        let [pmin, pmax, _] = versions.protocol();
        let [dmin, dmax, _] = versions.delegate();
        self.protocol = (self.protocol.0.max(pmin), self.protocol.1.min(pmax));
        self.delegate = (self.delegate.0.max(dmin), self.delegate.1.min(dmax));
    }

    fn holds(&self, spoken: u8, delegate: u8) -> bool {
        let within = |range: (u8, u8), version| range.0 <= version && version <= range.1;
        within(self.protocol, spoken) && within(self.delegate, delegate)
    }
}

/// Whether every member on both sides speaks versions that every live one understands. A record
/// without version bytes counts as speaking version 0.
pub(crate) fn versions_agree<'a>(
    table: &Table,
    remote: impl Iterator<Item = NodeState<'a>> + Clone,
) -> bool {
    let mut common = Common::ALL;
    for node in remote.clone().filter(|node| node.state == WireState::ALIVE) {
        if let Some(versions) = Versions::from_wire(&node.alive.vsn) {
            common.narrow(versions);
        }
    }
    for (_, record) in table.iter().filter(|(_, record)| record.state == MemberState::Alive) {
        common.narrow(record.versions);
    }
    let mut remote = remote.map(|node| Versions::from_wire(&node.alive.vsn));
    let remote_agrees = remote.all(|versions| match versions {
        Some(versions) => common.holds(versions.protocol()[2], versions.delegate()[2]),
        None => common.holds(0, 0),
    });
    remote_agrees
        && table.iter().filter(|(_, record)| !record.is_buried()).all(|(_, record)| {
            common.holds(record.versions.protocol()[2], record.versions.delegate()[2])
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::member::Record;
    use crate::rng::Stream;
    use crate::wire::message::Alive;
    use crate::wire::msgpack::Blob;

    const SECOND: Duration = Duration::from_secs(1);

    fn addr(port: u16) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, 1], port))
    }

    #[test]
    fn a_seed_is_retried_with_growing_pauses_until_it_answers() {
        let mut rng = Rng::child([5; 32], Stream::PushPull);
        let (mut seeds, mut now) = (Seeds::default(), Instant::ZERO);
        assert!(seeds.add(addr(1), now));
        let mut pauses = Vec::new();
        for attempt in 1..=10 {
            assert_eq!(seeds.due(now), Some(addr(1)));
            seeds.trying(addr(1), StreamId(1));
            assert_eq!((seeds.due(now), seeds.deadline()), (None, None));
            let (attempts, pause) =
                seeds.failed(addr(1), now, SECOND, 30 * SECOND, &mut rng).unwrap();
            assert_eq!(attempts, attempt);
            pauses.push(pause);
            now = seeds.deadline().unwrap();
        }
        for (pause, whole) in pauses.iter().zip([1, 2, 4, 8, 16, 30, 30, 30, 30, 30]) {
            let whole = whole * SECOND;
            assert!(*pause <= whole && *pause > whole * 3 / 4, "{pause:?} of {whole:?}");
        }
        seeds.remove(addr(1));
        assert_eq!((seeds.deadline(), seeds.len()), (None, 0));
    }

    #[test]
    fn seeds_are_limited_and_a_repeated_one_counts_once() {
        let mut seeds = Seeds::default();
        for port in 0..SEEDS_MAX as u16 {
            assert!(seeds.add(addr(port), Instant::ZERO));
        }
        assert!(seeds.add(addr(0), Instant::ZERO));
        assert!(!seeds.add(addr(9_999), Instant::ZERO));
    }

    fn agree(local: [u8; 6], remote: &[(&'static [u8], WireState)]) -> bool {
        let mut rng = Rng::child([5; 32], Stream::Membership);
        let mut table = Table::new([1; 32], 10);
        let mut record = Record::sample("local", 1);
        record.versions = Versions::from_wire(&local).unwrap();
        table.insert(record, &mut rng).unwrap();
        let nodes = remote.iter().map(|&(vsn, state)| NodeState {
            alive: Alive { vsn: Blob::Borrowed(vsn), ..Alive::default() },
            state,
        });
        versions_agree(&table, nodes)
    }

    #[test]
    fn versions_must_lie_in_the_range_of_every_live_member() {
        let ours = [1, 5, 2, 0, 0, 0];
        let alive = WireState::ALIVE;
        assert!(agree(ours, &[(&[1, 5, 2, 0, 0, 0], alive)]));
        assert!(agree(ours, &[(&[1, 4, 3, 0, 0, 0], alive)]));
        assert!(!agree(ours, &[(&[3, 5, 3, 0, 0, 0], alive)]), "they cannot read our 2");
        assert!(!agree(ours, &[(&[1, 7, 6, 0, 0, 0], alive)]), "we cannot read their 6");
        assert!(!agree(ours, &[(&[1, 5, 2, 2, 5, 4], alive)]), "a Serf agent wants 2 to 5");
        assert!(agree([1, 5, 2, 2, 5, 4], &[(&[1, 5, 2, 2, 5, 5], alive)]));
    }

    #[test]
    fn a_dead_record_does_not_narrow_the_range_but_must_lie_in_it() {
        let ours = [1, 5, 2, 0, 0, 0];
        let dead = WireState::DEAD;
        assert!(agree(ours, &[(&[3, 5, 3, 0, 0, 0], dead)]));
        assert!(!agree(ours, &[(&[1, 7, 6, 0, 0, 0], dead)]));
        assert!(!agree(ours, &[(&[], dead)]), "no version bytes count as version 0");
    }
}
