//! How well this node itself is doing (Lifeguard §IV-A, protocol page §4.3).
//!
//! A node that misses acks and nacks that others got in time is probably the slow one. Its score
//! rises and it waits longer before it accuses anybody.

use core::time::Duration;

/// The local health score: 0 is healthy.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Awareness {
    score: u32,
    /// The score stays below this.
    max: u32,
}

impl Awareness {
    pub(crate) const fn new(max: u32) -> Self {
        Self { score: 0, max }
    }

    pub(crate) const fn score(self) -> u32 {
        self.score
    }

    pub(crate) fn apply(&mut self, delta: i32) {
        self.score = self.score.saturating_add_signed(delta).min(self.max - 1);
    }

    /// `interval` as long as the score makes it.
    pub(crate) fn scale(self, interval: Duration) -> Duration {
        interval.saturating_mul(self.score + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_score_stays_in_its_range_and_scales_the_interval() {
        let mut awareness = Awareness::new(8);
        let mut expected = [0, 0, 0, 1, 0, 7, 6, 5, 4, 3, 2, 1, 0, 0].into_iter();
        for delta in [0, -1, -10, 1, -1, 10, -1, -1, -1, -1, -1, -1, -1, -1] {
            awareness.apply(delta);
            let score = expected.next().unwrap();
            assert_eq!(awareness.score(), score);
            let scaled = awareness.scale(Duration::from_secs(1));
            assert_eq!(scaled, Duration::from_secs(u64::from(score) + 1));
        }
    }
}
