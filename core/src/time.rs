//! Time as the core sees it: microseconds since a start that the runtime chose.
//!
//! There is no `now()` here. Time enters through the `now` argument of the doors of
//! [`Node`](crate::Node) and nowhere else.

use core::fmt;
use core::ops::{Add, AddAssign};
use core::time::Duration;

/// A point in time: microseconds since an arbitrary start, the same for all calls on one node.
///
/// Arithmetic saturates: a deadline that lies beyond the representable range (584 000 years)
/// never comes due, and an earlier instant minus a later one is zero.
///
/// ```
/// use core::time::Duration;
/// use rumormill::Instant;
///
/// let start = Instant::from_micros(1_500);
/// assert_eq!(start + Duration::from_millis(2), Instant::from_micros(3_500));
/// assert_eq!(start.saturating_since(Instant::from_micros(2_000)), Duration::ZERO);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Instant(u64);

impl Instant {
    /// The start itself.
    pub const ZERO: Self = Self(0);

    /// The instant `micros` microseconds after the start.
    #[must_use]
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Microseconds since the start.
    #[must_use]
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// The instant so long before this one, but not before the start.
    pub(crate) fn before(self, duration: Duration) -> Self {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        Self(self.0.saturating_sub(micros))
    }

    /// How long after `earlier` this instant lies; zero if it does not.
    #[must_use]
    pub const fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(micros))
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, duration: Duration) {
        *self = *self + duration;
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}s", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addition_saturates_instead_of_wrapping() {
        let end = Instant::from_micros(u64::MAX - 1);
        assert_eq!(end + Duration::from_secs(1), Instant::from_micros(u64::MAX));
        assert_eq!(Instant::ZERO + Duration::MAX, Instant::from_micros(u64::MAX));
    }
}
