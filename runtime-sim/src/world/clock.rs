//! A process' clock against the time of its world.

use core::time::Duration;

use rumormill::Instant;

/// Most that a clock may run fast or slow, in parts per million.
pub const DRIFT_MAX: i32 = 100_000;

const MILLION: i128 = 1_000_000;

/// How a process' clock runs: what it shows at time zero of the world, and how fast it is.
///
/// ```
/// use core::time::Duration;
/// use rumormill::Instant;
/// use rumormill_sim::Clock;
///
/// let hasty = Clock::new(Duration::from_secs(3), 10_000);
/// let at = Instant::ZERO + Duration::from_secs(100);
/// assert_eq!(hasty.read(at), Instant::ZERO + Duration::from_secs(104));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clock {
    ahead: Duration,
    drift_ppm: i32,
}

impl Clock {
    /// A clock that shows `ahead` at time zero, and gains `drift_ppm` microseconds per second; at
    /// most [`DRIFT_MAX`], either way.
    #[must_use]
    pub fn new(ahead: Duration, drift_ppm: i32) -> Self {
        Self { ahead, drift_ppm: drift_ppm.clamp(-DRIFT_MAX, DRIFT_MAX) }
    }

    /// Whether it shows the time of the world.
    #[must_use]
    pub fn is_true(&self) -> bool {
        *self == Self::default()
    }

    /// What it shows.
    #[must_use]
    pub fn read(&self, at: Instant) -> Instant {
        if self.is_true() {
            return at;
        }
        let passed = i128::from(at.as_micros());
        let gained = (passed * i128::from(self.drift_ppm)).div_euclid(MILLION);
        instant(self.ahead_micros() + passed + gained)
    }

    /// The first time of the world at which it shows `reading` or more.
    #[must_use]
    pub fn when(&self, reading: Instant) -> Instant {
        if self.is_true() {
            return reading;
        }
        let shown = i128::from(reading.as_micros()) - self.ahead_micros();
        let speed = MILLION + i128::from(self.drift_ppm);
        // Rounded up; what `read` rounds down is made up for by at most one step more.
        let at = instant((shown * MILLION + speed - 1).div_euclid(speed));
        if self.read(at) < reading { at + Duration::from_micros(1) } else { at }
    }

    fn ahead_micros(&self) -> i128 {
        i128::try_from(self.ahead.as_micros()).unwrap_or(i128::from(u64::MAX))
    }
}

/// Before the start is the start, beyond the end is the end.
fn instant(micros: i128) -> Instant {
    Instant::from_micros(u64::try_from(micros.max(0)).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    quickcheck::quickcheck! {
        fn a_clock_shows_a_reading_at_the_time_that_it_says_and_not_before(
            ahead: u32, drift: i32, reading: u64
        ) -> bool {
            let clock = Clock::new(Duration::from_micros(ahead.into()), drift % DRIFT_MAX);
            let reading = Instant::from_micros(reading >> 8);
            let at = clock.when(reading);
            let before = Instant::from_micros(at.as_micros().saturating_sub(1));
            clock.read(at) >= reading && (at == Instant::ZERO || clock.read(before) < reading)
        }

        fn clocks_never_go_back(ahead: u32, drift: i32, at: u32, later: u32) -> bool {
            let clock = Clock::new(Duration::from_micros(ahead.into()), drift % DRIFT_MAX);
            let at = Instant::from_micros(at.into());
            clock.read(at) <= clock.read(at + Duration::from_micros(later.into()))
        }
    }

    #[test]
    fn deadlines_that_never_come_stay_so() {
        let clock = Clock::new(Duration::from_secs(5), -50_000);
        assert_eq!(clock.when(Instant::from_micros(u64::MAX)).as_micros(), u64::MAX);
    }
}
