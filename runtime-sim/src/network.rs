//! What links do to datagrams: delay, jitter, loss, duplication, reordering.
//!
//! Streams have the delay and the jitter too, but what is lost of them is sent again by whoever
//! carries them, and arrives in order.

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
        }
    }
}

/// What happens to one datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It arrives after this long.
    Arrives(Duration),
    /// It arrives twice, after these times.
    ArrivesTwice(Duration, Duration),
    /// It does not arrive.
    Lost,
}

impl Network {
    /// The same links without loss, duplication and reordering.
    #[must_use]
    pub const fn healed(self) -> Self {
        Self { loss: Ratio::ZERO, duplication: Ratio::ZERO, reordering: Ratio::ZERO, ..self }
    }

    /// Decides about a datagram.
    pub(crate) fn fate(&self, from: usize, to: usize, chance: &mut Chance) -> Fate {
        if chance.happens(self.loss) {
            return Fate::Lost;
        }
        let first = self.delay(from, to, chance);
        if chance.happens(self.duplication) {
            return Fate::ArrivesTwice(first, self.delay(from, to, chance));
        }
        Fate::Arrives(first)
    }

    /// How long one copy of a datagram travels.
    fn delay(&self, from: usize, to: usize, chance: &mut Chance) -> Duration {
        let held = if chance.happens(self.reordering) { self.held_back } else { Duration::ZERO };
        self.stream_delay(from, to, chance) + held
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
            assert_eq!(network.fate(0, 1, &mut chance), Fate::Arrives(3 * MS));
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
        let count = |is: &dyn Fn(&Fate) -> bool| fates.iter().filter(|fate| is(fate)).count();
        let lost = count(&|fate| *fate == Fate::Lost);
        let twice = count(&|fate| matches!(fate, Fate::ArrivesTwice(..)));
        let held = count(&|fate| matches!(fate, Fate::Arrives(after) if *after >= 50 * MS));
        assert!((1_800..2_200).contains(&lost), "{lost}");
        assert!((650..950).contains(&twice), "{twice}");
        assert!((600..850).contains(&held), "{held}");
    }

    #[test]
    fn a_healed_network_keeps_its_delays() {
        let network =
            Network { jitter: MS, loss: Ratio::ONE, duplication: Ratio::ONE, ..Network::default() };
        assert_eq!(network.healed(), Network { jitter: MS, ..Network::default() });
    }
}
