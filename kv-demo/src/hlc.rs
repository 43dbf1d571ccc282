//! A hybrid logical clock: timestamps that stay near the wall clock, never run backwards, and put a
//! cause before its effects on every node.
//!
//! Read first: Kulkarni et al., *Logical Physical Clocks* (2014). The paper carries the physical
//! part and the counter as two numbers; here they are packed into one `u64`, so that "the next
//! timestamp" is plus one and a full counter carries into the milliseconds by itself.
//!
//! No clock is read here: wall-clock milliseconds since the Unix epoch come in as an argument.

use core::fmt;

use thiserror::Error;

/// How far ahead of the local wall clock a remote timestamp may be: 500 ms.
///
/// Hosts that run NTP agree within tens of milliseconds, so half a second leaves honest clocks
/// room. More would let one wrong clock win every conflict for longer: under last-writer-wins a
/// timestamp from the future blocks its key until that time comes.
pub const SKEW_MAX_MS: u32 = 500;

/// One point in hybrid time: 48 bits of milliseconds since the Unix epoch, then a 16-bit counter.
/// `Ord` is time order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hlc(u64);

impl Hlc {
    /// Before everything. No clock issues it, so a message that carries it is malformed.
    pub const ZERO: Self = Self(0);

    /// The largest number of milliseconds that fits: the year 10889.
    pub const MS_MAX: u64 = u64::MAX >> COUNTER_BITS;

    /// The timestamp of `counter` within millisecond `ms` since the Unix epoch.
    ///
    /// # Panics
    /// If `ms` is over [`Hlc::MS_MAX`].
    #[must_use]
    pub fn new(ms: u64, counter: u16) -> Self {
        assert!(ms <= Self::MS_MAX, "{ms} ms do not fit in 48 bits");
        Self(ms << COUNTER_BITS | u64::from(counter))
    }

    /// The timestamp with this packed form. Every `u64` is one.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The packed form, as it travels.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Milliseconds since the Unix epoch, at most [`Hlc::MS_MAX`].
    #[must_use]
    pub const fn ms(self) -> u64 {
        self.0 >> COUNTER_BITS
    }

    /// Position within the millisecond.
    #[must_use]
    pub const fn counter(self) -> u16 {
        (self.0 & COUNTER_MASK) as u16
    }

    fn successor(self) -> Self {
        let bits = self.0.checked_add(1);
        Self(bits.expect("clocks stop at WALL_MS_MAX plus a skew: 2^62 ticks are left after that"))
    }
}

/// Milliseconds since the Unix epoch, `+`, the counter.
impl fmt::Display for Hlc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{}", self.ms(), self.counter())
    }
}

/// Issues timestamps, each greater than all that this node issued or observed before.
///
/// ```
/// use kv_demo::hlc::Clock;
///
/// let mut clock = Clock::default();
/// let cause = clock.tick(1_700_000_000_000);
/// let effect = clock.tick(1_600_000_000_000); // the wall clock stepped back; hybrid time does not
/// assert!(effect > cause);
/// ```
#[derive(Clone, Debug)]
pub struct Clock {
    last: Hlc,
    skew_max_ms: u32,
}

impl Clock {
    /// A clock that has seen nothing and accepts remote timestamps up to `skew_max_ms` milliseconds
    /// ahead of the wall.
    #[must_use]
    pub const fn new(skew_max_ms: u32) -> Self {
        Self { last: Hlc::ZERO, skew_max_ms }
    }

    /// The greatest timestamp issued or observed so far; [`Hlc::ZERO`] at the start.
    #[must_use]
    pub const fn last(&self) -> Hlc {
        self.last
    }

    /// The timestamp of something that happens here, now: strictly greater than [`Clock::last`],
    /// never zero.
    ///
    /// It equals the wall clock (`wall_ms`, milliseconds since the Unix epoch) when that has moved
    /// on, and counts on from the last timestamp when the wall clock stands still or steps back.
    /// After 65,536 timestamps in one millisecond it runs ahead of the wall clock.
    pub fn tick(&mut self, wall_ms: u64) -> Hlc {
        let wall = Hlc::new(wall_ms.min(WALL_MS_MAX), 0);
        self.last = wall.max(self.last.successor());
        self.last
    }

    /// Takes note of a timestamp that a peer issued, so that everything issued here from now on is
    /// after it.
    ///
    /// # Errors
    /// [`FarFuture`] if `remote` is more than the allowed skew ahead of `wall_ms` (milliseconds
    /// since the Unix epoch): one of the two clocks is wrong. The clock is unchanged and what
    /// carried the timestamp must not be applied. The refusal is not final: the same timestamp is
    /// welcome once the wall clock has caught up with it.
    pub fn observe(&mut self, remote: Hlc, wall_ms: u64) -> Result<(), FarFuture> {
        let ahead_ms = remote.ms().saturating_sub(wall_ms.min(WALL_MS_MAX));
        if ahead_ms > u64::from(self.skew_max_ms) {
            return Err(FarFuture { remote, ahead_ms, skew_max_ms: self.skew_max_ms });
        }
        self.last = self.last.max(remote);
        Ok(())
    }
}

/// Accepts the skew of [`SKEW_MAX_MS`].
impl Default for Clock {
    fn default() -> Self {
        Self::new(SKEW_MAX_MS)
    }
}

/// A peer's timestamp lies too far ahead of the local wall clock; nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("timestamp {remote} is {ahead_ms} ms ahead of the local clock, over {skew_max_ms} ms")]
pub struct FarFuture {
    /// The refused timestamp.
    pub remote: Hlc,
    /// Its distance from the local wall clock, in milliseconds.
    pub ahead_ms: u64,
    /// The distance that would have been accepted, in milliseconds.
    pub skew_max_ms: u32,
}

const COUNTER_BITS: u32 = 16;
const COUNTER_MASK: u64 = (1 << COUNTER_BITS) - 1;

/// A wall clock past the year 6429 is read as that year. The upper half of the 48 bits is room to
/// count in, so that no wall clock, however wrong, and no peer can bring a clock to its last
/// timestamp.
const WALL_MS_MAX: u64 = Hlc::MS_MAX / 2;

// What is left after the furthest wall clock and the widest skew: 2^46 ms of 2^16 ticks each.
const _: () = assert!(WALL_MS_MAX + u32::MAX as u64 <= Hlc::MS_MAX / 4 * 3);

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const NOW_MS: u64 = 1_700_000_000_000;

    #[test]
    fn timestamp_packs_milliseconds_above_counter() {
        let at = Hlc::new(NOW_MS, 7);
        assert_eq!(at.bits(), NOW_MS * 65_536 + 7);
        assert_eq!((at.ms(), at.counter()), (NOW_MS, 7));
        assert_eq!(Hlc::from_bits(at.bits()), at);
        assert_eq!(at.to_string(), "1700000000000+7");
        assert_eq!(Hlc::new(Hlc::MS_MAX, u16::MAX).bits(), u64::MAX);
    }

    #[test]
    #[should_panic(expected = "do not fit in 48 bits")]
    fn timestamp_refuses_a_49th_bit() {
        let _ = Hlc::new(Hlc::MS_MAX + 1, 0);
    }

    #[test]
    fn tick_follows_the_wall_clock() {
        let mut clock = Clock::default();
        assert_eq!(clock.tick(NOW_MS), Hlc::new(NOW_MS, 0));
        assert_eq!(clock.tick(NOW_MS), Hlc::new(NOW_MS, 1));
        assert_eq!(clock.tick(NOW_MS + 1), Hlc::new(NOW_MS + 1, 0));
    }

    #[test]
    fn tick_counts_on_while_the_wall_clock_is_behind() {
        let mut clock = Clock::default();
        clock.tick(NOW_MS);
        assert_eq!(clock.tick(NOW_MS - 3_600_000), Hlc::new(NOW_MS, 1));
        assert_eq!(clock.tick(0), Hlc::new(NOW_MS, 2));
    }

    #[test]
    fn full_counter_moves_the_millisecond_on() {
        let mut clock = Clock::default();
        clock.observe(Hlc::new(NOW_MS, u16::MAX - 1), NOW_MS).unwrap();
        assert_eq!(clock.tick(NOW_MS), Hlc::new(NOW_MS, u16::MAX));
        assert_eq!(clock.tick(NOW_MS), Hlc::new(NOW_MS + 1, 0));
    }

    #[test]
    fn first_tick_is_never_zero() {
        assert!(Clock::default().tick(0) > Hlc::ZERO);
    }

    #[test]
    fn absurd_wall_clock_leaves_room_to_count() {
        let mut clock = Clock::new(u32::MAX);
        let first = clock.tick(u64::MAX);
        assert_eq!(first, Hlc::new(WALL_MS_MAX, 0));
        let greatest = Hlc::new(WALL_MS_MAX + u64::from(u32::MAX), u16::MAX);
        assert!(clock.observe(Hlc::from_bits(u64::MAX), u64::MAX).is_err());
        clock.observe(greatest, u64::MAX).unwrap();
        assert!(clock.tick(u64::MAX) > greatest);
    }

    #[test]
    fn remote_is_accepted_up_to_the_skew_and_refused_beyond() {
        let skew_ms = u64::from(SKEW_MAX_MS);
        for (ahead_ms, accepted) in [(skew_ms - 1, true), (skew_ms, true), (skew_ms + 1, false)] {
            let mut clock = Clock::default();
            let remote = Hlc::new(NOW_MS + ahead_ms, u16::MAX);
            let observed = clock.observe(remote, NOW_MS);
            if accepted {
                assert_eq!(observed, Ok(()));
                assert_eq!(clock.last(), remote);
            } else {
                assert_eq!(observed, Err(FarFuture { remote, ahead_ms, skew_max_ms: SKEW_MAX_MS }));
                assert_eq!(clock.last(), Hlc::ZERO);
            }
        }
    }

    #[test]
    fn refused_timestamp_is_welcome_once_the_wall_clock_caught_up() {
        let mut clock = Clock::default();
        let remote = Hlc::new(NOW_MS + 2_000, 0);
        assert!(clock.observe(remote, NOW_MS).is_err());
        assert_eq!(clock.observe(remote, NOW_MS + 1_500), Ok(()));
    }

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Tick,
        Observe(u64),
    }

    /// Walls that jump both ways, within a few skews of each other so that both verdicts are
    /// frequent.
    fn steps() -> impl Strategy<Value = Vec<(u64, Step)>> {
        let wall_ms = NOW_MS..NOW_MS + 2_000;
        let remote = (NOW_MS << COUNTER_BITS)..((NOW_MS + 4_000) << COUNTER_BITS);
        let step = prop_oneof![Just(Step::Tick), remote.prop_map(Step::Observe)];
        vec((wall_ms, step), 1..200)
    }

    proptest! {
        #[test]
        fn tick_is_after_all_that_was_issued_or_observed(steps in steps()) {
            let mut clock = Clock::default();
            let mut greatest = Hlc::ZERO;
            for (wall_ms, step) in steps {
                match step {
                    Step::Tick => {
                        let issued = clock.tick(wall_ms);
                        prop_assert!(issued > greatest);
                        prop_assert!(issued.ms() >= wall_ms);
                        greatest = issued;
                    }
                    Step::Observe(bits) => {
                        let remote = Hlc::from_bits(bits);
                        let accepted = clock.observe(remote, wall_ms).is_ok();
                        prop_assert_eq!(accepted, remote.ms() <= wall_ms + u64::from(SKEW_MAX_MS));
                        greatest = if accepted { greatest.max(remote) } else { greatest };
                    }
                }
                prop_assert_eq!(clock.last(), greatest);
            }
        }

        #[test]
        fn clock_takes_any_input(inputs in vec(any::<(u64, u64)>(), 0..50), skew_max_ms: u32) {
            let mut clock = Clock::new(skew_max_ms);
            for (wall_ms, bits) in inputs {
                let before = clock.last();
                let observed = clock.observe(Hlc::from_bits(bits), wall_ms);
                prop_assert!(observed.is_ok() || clock.last() == before);
                prop_assert!(clock.tick(wall_ms) > before);
            }
        }

        #[test]
        fn reply_is_after_the_message_it_answers(
            sender_ms in NOW_MS..NOW_MS + 400,
            receiver_ms in NOW_MS..NOW_MS + 400,
        ) {
            let (mut sender, mut receiver) = (Clock::default(), Clock::default());
            let message = sender.tick(sender_ms);
            receiver.observe(message, receiver_ms).unwrap();
            let reply = receiver.tick(receiver_ms);
            prop_assert!(reply > message);
            sender.observe(reply, sender_ms).unwrap();
            prop_assert!(sender.tick(sender_ms) > reply);
        }
    }
}
