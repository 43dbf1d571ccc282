//! What links do to datagrams: delay, jitter, loss, duplication, reordering, corruption; and to
//! streams: pieces, resets, black holes.
//!
//! Streams have the delay and the jitter too, but what is lost of them is sent again by whoever
//! carries them, and arrives in order and unchanged.

use core::fmt;
use core::time::Duration;

use crate::chance::{Chance, Ratio};

/// The one-way delay of a link without jitter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Latency {
    /// The same between any two processes.
    Uniform(Duration),
    /// Processes lie in contiguous groups, as hosts in the networks of providers do.
    Groups {
        /// Processes of a group; the last one may have fewer.
        size: usize,
        /// Within a group.
        inside: Duration,
        /// Between any two groups.
        between: Duration,
    },
}

impl Latency {
    /// The delay from one process to another, by index.
    #[must_use]
    pub fn between(self, from: usize, to: usize) -> Duration {
        match self {
            Self::Uniform(delay) => delay,
            Self::Groups { size, inside, between } => {
                let group = |index: usize| index / size.max(1);
                if group(from) == group(to) { inside } else { between }
            }
        }
    }
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uniform(delay) => write!(f, "{delay:?}"),
            Self::Groups { size, inside, between } => {
                write!(f, "{inside:?} within {size} nodes, {between:?} between")
            }
        }
    }
}

/// What all links do to datagrams. [`Default`] does nothing: no delay, no fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// The delay of each link.
    pub latency: Latency,
    /// Uniformly random delay on top, from 0 up to this. More than the pause between two datagrams
    /// lets them overtake one another.
    pub jitter: Duration,
    /// Share of datagrams that are lost.
    pub loss: Ratio,
    /// Share of datagrams that arrive twice.
    pub duplication: Ratio,
    /// Share of datagrams that are held back by [`held_back`](Self::held_back), so that later ones
    /// overtake them.
    pub reordering: Ratio,
    /// How long.
    pub held_back: Duration,
    /// Share of datagrams, of each copy, that arrive with one to three bytes changed: what UDP's
    /// checksum of 16 bits lets pass.
    pub corruption: Ratio,
    /// What happens to streams.
    pub streams: Streams,
}

/// Bytes that a stream takes at a time if nothing else is said. Odd, because a stream has no
/// message boundaries.
pub const PIECE_LEN: usize = 16_381;

/// What all links do to streams. [`Default`] does nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Streams {
    /// Below [`PIECE_LEN`], what is written arrives in pieces of random size, from 1 byte to this.
    pub piece_max: usize,
    /// Share of writes in the middle of which the stream breaks, and both ends hear of it.
    pub resets: Ratio,
    /// Share of calls and of writes with which the stream stops carrying anything, and nobody says
    /// so.
    pub black_holes: Ratio,
}

impl Default for Streams {
    fn default() -> Self {
        Self { piece_max: PIECE_LEN, resets: Ratio::ZERO, black_holes: Ratio::ZERO }
    }
}

impl Default for Network {
    fn default() -> Self {
        Self {
            latency: Latency::Uniform(Duration::ZERO),
            jitter: Duration::ZERO,
            loss: Ratio::ZERO,
            duplication: Ratio::ZERO,
            reordering: Ratio::ZERO,
            held_back: Duration::from_millis(50),
            corruption: Ratio::ZERO,
            streams: Streams::default(),
        }
    }
}

/// How one copy of a datagram travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Path {
    /// How long.
    pub(crate) delay: Duration,
    /// Whether others may overtake it.
    pub(crate) is_held_back: bool,
}

/// What becomes of one datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Copies {
    /// It arrives.
    One(Path),
    /// It arrives twice.
    Two(Path, Path),
    /// It does not arrive.
    None,
}

impl Network {
    /// The same links without any fault: only delay and jitter stay.
    #[must_use]
    pub fn healed(self) -> Self {
        let Self { latency, jitter, held_back, .. } = self;
        Self { latency, jitter, held_back, ..Self::default() }
    }

    /// Decides about a datagram.
    pub(crate) fn fate(&self, from: usize, to: usize, chance: &mut Chance) -> Copies {
        if chance.happens(self.loss) {
            return Copies::None;
        }
        let first = self.path(from, to, chance);
        if chance.happens(self.duplication) {
            return Copies::Two(first, self.path(from, to, chance));
        }
        Copies::One(first)
    }

    fn path(&self, from: usize, to: usize, chance: &mut Chance) -> Path {
        let is_held_back = chance.happens(self.reordering);
        let held = if is_held_back { self.held_back } else { Duration::ZERO };
        Path { delay: self.stream_delay(from, to, chance) + held, is_held_back }
    }

    /// How long a piece of a stream travels.
    pub(crate) fn stream_delay(&self, from: usize, to: usize, chance: &mut Chance) -> Duration {
        self.latency.between(from, to) + chance.below_duration(self.jitter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chance::Part;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn groups_are_contiguous() {
        let latency = Latency::Groups { size: 4, inside: 25 * MS, between: 250 * MS };
        assert_eq!(latency.between(0, 3), 25 * MS);
        assert_eq!(latency.between(3, 4), 250 * MS);
        assert_eq!(latency.between(15, 12), 25 * MS);
    }

    #[test]
    fn a_network_without_faults_delays_and_nothing_else() {
        let network = Network { latency: Latency::Uniform(3 * MS), ..Network::default() };
        let mut chance = Chance::child(1, Part::Network);
        for _ in 0..100 {
            let path = Path { delay: 3 * MS, is_held_back: false };
            assert_eq!(network.fate(0, 1, &mut chance), Copies::One(path));
        }
    }

    #[test]
    fn every_fault_happens_as_often_as_it_says() {
        let network = Network {
            jitter: 2 * MS,
            loss: Ratio::percent(20),
            duplication: Ratio::percent(10),
            reordering: Ratio::percent(10),
            ..Network::default()
        };
        let mut chance = Chance::child(1, Part::Network);
        let fates: Vec<_> = (0..10_000).map(|_| network.fate(0, 1, &mut chance)).collect();
        let count = |is: &dyn Fn(&Copies) -> bool| fates.iter().filter(|fate| is(fate)).count();
        let lost = count(&|fate| *fate == Copies::None);
        let twice = count(&|fate| matches!(fate, Copies::Two(..)));
        let held = count(
            &|fate| matches!(fate, Copies::One(path) if path.is_held_back && path.delay >= 50 * MS),
        );
        assert!((1_800..2_200).contains(&lost), "{lost}");
        assert!((650..950).contains(&twice), "{twice}");
        assert!((600..850).contains(&held), "{held}");
    }

    #[test]
    fn a_healed_network_keeps_its_delays() {
        let network = Network {
            jitter: MS,
            loss: Ratio::ONE,
            duplication: Ratio::ONE,
            corruption: Ratio::ONE,
            streams: Streams { piece_max: 1, resets: Ratio::ONE, black_holes: Ratio::ONE },
            ..Network::default()
        };
        assert_eq!(network.healed(), Network { jitter: MS, ..Network::default() });
    }
}
