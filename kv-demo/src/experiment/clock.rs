//! How far another host's clock is off, from pings and their answers.
//!
//! An exchange bounds the offset: the answer's two times lie between the ping's departure and its
//! return. If both ways took equally long, the offset is the difference of the middles, and however
//! they differ, it is wrong by half of the round trip at most. So the fastest exchange knows best
//! (RFC 5905, section 8, has the formulas).

/// A ping and its answer; times in nanoseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Exchange {
    /// Departure, by our clock.
    pub(super) ping: u64,
    /// Arrival there, by the other clock.
    pub(super) received: u64,
    /// Departure from there, by the other clock.
    pub(super) sent: u64,
    /// Return, by our clock.
    pub(super) returned: u64,
}

/// What an exchange tells, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reading {
    /// The other clock minus ours.
    pub(super) offset_ns: i64,
    /// Largest error of the offset.
    pub(super) error_ns: u64,
}

impl Exchange {
    /// `None` for times that cannot be: a clock was set in between, or somebody makes them up.
    pub(super) fn reading(&self) -> Option<Reading> {
        let [ping, received, sent, returned] =
            [self.ping, self.received, self.sent, self.returned].map(i128::from);
        let round_trip = (returned - ping) - (sent - received);
        let offset = ((received - ping) + (sent - returned)) / 2;
        let is_possible = received <= sent && round_trip >= 0;
        let reading = Reading {
            offset_ns: i64::try_from(offset).ok()?,
            // Half of an odd number is rounded up: the bound must hold.
            error_ns: u64::try_from(round_trip).ok()?.div_ceil(2),
        };
        is_possible.then_some(reading)
    }
}

/// The best reading of a run.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Offset {
    best: Option<Reading>,
}

impl Offset {
    pub(super) fn add(&mut self, exchange: &Exchange) {
        let Some(reading) = exchange.reading() else { return };
        if self.best.is_none_or(|best| reading.error_ns < best.error_ns) {
            self.best = Some(reading);
        }
    }

    /// Clocks drift, so every run is read anew.
    pub(super) fn forget(&mut self) {
        self.best = None;
    }

    /// `None` before the first answer.
    pub(super) const fn best(&self) -> Option<Reading> {
        self.best
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn equal_ways_give_the_offset_exactly() {
        // The other clock is 1 000 ahead, each way takes 50, the answer 7.
        let exchange = Exchange { ping: 100, received: 1_150, sent: 1_157, returned: 207 };
        assert_eq!(exchange.reading(), Some(Reading { offset_ns: 1_000, error_ns: 50 }));
    }

    #[test]
    fn times_that_cannot_be_are_no_reading() {
        for (ping, received, sent, returned) in
            [(100, 50, 40, 200), (100, 100, 100, 99), (0, 0, 101, 100), (0, u64::MAX, u64::MAX, 1)]
        {
            let exchange = Exchange { ping, received, sent, returned };
            assert_eq!(exchange.reading(), None, "{exchange:?}");
        }
    }

    #[test]
    fn the_fastest_exchange_counts_until_it_is_forgotten() {
        let mut offset = Offset::default();
        for (way, skew) in [(90, 60), (10, 5), (40, 40)] {
            let ping = 1_000;
            let received = ping + way + skew;
            let exchange = Exchange { ping, received, sent: received, returned: ping + 2 * way };
            offset.add(&exchange);
        }
        assert_eq!(offset.best(), Some(Reading { offset_ns: 5, error_ns: 10 }));
        offset.forget();
        assert_eq!(offset.best(), None);
    }

    proptest! {
        #[test]
        fn the_true_offset_lies_within_the_error(
            truth in -1_000_000_000_i64..1_000_000_000,
            there in 0_u64..1_000_000,
            answering in 0_u64..1_000_000,
            back in 0_u64..1_000_000,
        ) {
            let ping = 10_000_000_000_u64;
            let received = (ping + there).checked_add_signed(truth).unwrap();
            let (sent, returned) = (received + answering, ping + there + answering + back);
            let reading = Exchange { ping, received, sent, returned }.reading().unwrap();
            prop_assert!(reading.offset_ns.abs_diff(truth) <= reading.error_ns);
        }
    }
}
