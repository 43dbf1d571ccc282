//! The one way for chance to enter a world: a seed, split into children by label.
//!
//! A child is the same ChaCha8 key with another stream number, so that what one part of the world
//! draws never shifts what another part draws.

use core::fmt;
use core::str::FromStr;
use core::time::Duration;

use chacha20::ChaCha8Rng;
use chacha20::rand_core::{Rng as _, SeedableRng};
use core::hash::Hasher as _;
use siphasher::sip::SipHasher13;

/// What a child stream is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// What links do to datagrams.
    Network,
    /// The configuration of a scenario.
    Scenario,
    /// What users do in it, and when.
    Workload,
    /// What else they do, and when.
    Errands,
    /// Faults of single datagrams and streams.
    LinkFaults,
    /// The faults of one class, by its number: when, and to whom.
    Fault(u8),
    /// The seed of a process' node: which process, and which of its starts.
    Process(u32, u32),
}

impl Part {
    /// Processes lie apart from everything else: their stream numbers begin at 2^32.
    fn stream(self) -> u64 {
        match self {
            Self::Network => 1,
            Self::Scenario => 2,
            Self::Workload => 3,
            Self::LinkFaults => 4,
            Self::Errands => 5,
            Self::Fault(class) => 256 | u64::from(class),
            Self::Process(index, boot) => (u64::from(index) + 1) << 32 | u64::from(boot),
        }
    }
}

/// A reproducible source of chance.
///
/// ```
/// use rumormill_sim::chance::{Chance, Part};
///
/// let draw = || Chance::child(7, Part::Workload).below(1_000);
/// assert_eq!(draw(), draw());
/// ```
#[derive(Debug)]
pub struct Chance(ChaCha8Rng);

impl Chance {
    /// The child of `seed` for a part of the world.
    #[must_use]
    pub fn child(seed: u64, part: Part) -> Self {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_be_bytes());
        let mut rng = ChaCha8Rng::from_seed(key);
        rng.set_stream(part.stream());
        Self(rng)
    }

    /// A uniform number below `bound`; 0 if `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 {
            return 0;
        }
        // Numbers of the last, incomplete run of `bound` would make small results more likely.
        let fair = u64::MAX - u64::MAX % bound;
        loop {
            let draw = self.0.next_u64();
            if draw < fair {
                return draw % bound;
            }
        }
    }

    /// A uniform number of microseconds in `[0, bound)`; 0 if `bound` is 0.
    pub fn below_duration(&mut self, bound: Duration) -> Duration {
        let micros = u64::try_from(bound.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(self.below(micros))
    }

    /// Whether something of this probability happens. A probability of 0 draws nothing.
    pub fn happens(&mut self, ratio: Ratio) -> bool {
        ratio.0 > 0 && self.below(u64::from(Ratio::ONE.0)) < u64::from(ratio.0)
    }

    /// One of some things.
    ///
    /// # Panics
    ///
    /// If there are none.
    pub fn pick<'a, T>(&mut self, things: &'a [T]) -> &'a T {
        &things[self.index_below(things.len())]
    }

    /// A uniform index below `bound`; 0 if `bound` is 0.
    pub fn index_below(&mut self, bound: usize) -> usize {
        usize::try_from(self.below(bound as u64)).unwrap_or(usize::MAX)
    }

    /// A uniform duration from `least` up to `most`, in microseconds.
    pub fn between(&mut self, least: Duration, most: Duration) -> Duration {
        least + self.below_duration(most.saturating_sub(least))
    }

    /// Puts things into a random order.
    pub fn shuffle<T>(&mut self, things: &mut [T]) {
        for last in (1..things.len()).rev() {
            things.swap(last, self.index_below(last + 1));
        }
    }

    /// A seed for a node.
    pub fn node_seed(&mut self) -> [u8; 32] {
        let mut seed = [0; 32];
        self.0.fill_bytes(&mut seed);
        seed
    }
}

/// The seed of one world among many: every name has another one.
#[must_use]
pub fn named_seed(seed: u64, name: &str) -> u64 {
    let mut hasher = SipHasher13::new_with_keys(seed, 0);
    hasher.write(name.as_bytes());
    hasher.finish()
}

/// A probability as a ratio of integers: parts per million, at most all of them.
///
/// Reads and prints as a percentage, `12.5%`, and reads as a share of one, `0.125`, as well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ratio(u32);

/// A text that is no [`Ratio`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is no share: write it as 5% or 0.05, from 0 to all, at most 0.0001% fine")]
pub struct BadRatio {
    /// What was given.
    pub given: String,
}

impl Ratio {
    /// Never.
    pub const ZERO: Self = Self(0);
    /// Always.
    pub const ONE: Self = Self(1_000_000);

    /// This many in a million; all, if it is more.
    #[must_use]
    pub const fn per_million(parts: u32) -> Self {
        if parts > Self::ONE.0 { Self::ONE } else { Self(parts) }
    }

    /// This many in a hundred; all, if it is more.
    #[must_use]
    pub const fn percent(parts: u32) -> Self {
        Self::per_million(parts.saturating_mul(10_000))
    }

    /// Parts per million.
    #[must_use]
    pub const fn as_per_million(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) = (self.0 / 10_000, self.0 % 10_000);
        let digits = format!("{rest:04}");
        match digits.trim_end_matches('0') {
            "" => f.pad(&format!("{whole}%")),
            digits => f.pad(&format!("{whole}.{digits}%")),
        }
    }
}

impl FromStr for Ratio {
    type Err = BadRatio;

    fn from_str(text: &str) -> Result<Self, BadRatio> {
        let parts = match text.strip_suffix('%') {
            Some(number) => scaled(number, 4),
            None => scaled(text, 6),
        };
        let bad = || BadRatio { given: text.to_owned() };
        parts.filter(|&parts| parts <= Self::ONE.0).map(Self).ok_or_else(bad)
    }
}

/// A decimal number times a power of ten; `None` if that is no whole number or none at all.
fn scaled(text: &str, places: usize) -> Option<u32> {
    let (whole, rest) = text.split_once('.').unwrap_or((text, ""));
    let is_number = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || rest.len() > places || !is_number(whole) || !is_number(rest) {
        return None;
    }
    format!("{whole}{rest:0<places$}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_of_one_seed_differ_and_repeat() {
        let draw = |part| Chance::child(9, part).below(u64::MAX);
        let parts = [Part::Network, Part::Scenario, Part::Workload, Part::Process(0, 0)];
        let draws = parts.map(draw);
        assert_eq!(draws, parts.map(draw));
        for (index, one) in draws.iter().enumerate() {
            assert!(!draws[index + 1..].contains(one), "{draws:?}");
        }
        assert_ne!(draw(Part::Process(0, 1)), draw(Part::Process(1, 0)));
    }

    #[test]
    fn a_ratio_happens_as_often_as_it_says() {
        let mut chance = Chance::child(1, Part::Network);
        let hits = (0..10_000).filter(|_| chance.happens(Ratio::percent(30))).count();
        assert!((2_800..3_200).contains(&hits), "{hits}");
        assert!(!(0..1_000).any(|_| chance.happens(Ratio::ZERO)));
        assert!((0..1_000).all(|_| chance.happens(Ratio::ONE)));
    }

    #[test]
    fn ratios_are_read_and_printed() {
        for (text, parts) in [("0", 0), ("5%", 50_000), ("0.05", 50_000), ("12.5%", 125_000)] {
            assert_eq!(text.parse(), Ok(Ratio(parts)), "{text}");
        }
        for text in ["", "%", "-1%", "101%", "1.1", "0.0000001", "5 %", "1e-3", "."] {
            assert!(text.parse::<Ratio>().is_err(), "{text}");
        }
        assert_eq!(Ratio(125_000).to_string(), "12.5%");
        assert_eq!(Ratio::ONE.to_string(), "100%");
    }

    quickcheck::quickcheck! {
        fn a_printed_ratio_reads_back(parts: u32) -> bool {
            let ratio = Ratio::per_million(parts % 1_000_001);
            ratio.to_string().parse() == Ok(ratio)
        }
    }
}
