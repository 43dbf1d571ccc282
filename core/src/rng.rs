//! The one way for chance to enter: a 32-byte seed, split into child streams by label.
//!
//! A child is the same ChaCha8 key with another stream number, so that drawing more in one part
//! of the node (say, another probe) never shifts what another part draws. AES-GCM nonces
//! come from a child of their own for the same reason.

use chacha20::ChaCha8Rng;
use chacha20::rand_core::{Rng as _, SeedableRng};

/// What a child stream is for. The discriminant is the ChaCha stream number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub(crate) enum Stream {
    /// Which members to probe and to ask, and the phases of the periodic actions.
    Membership = 1,
    /// Which members or links a gossip tick sends to.
    Gossip = 2,
    /// The keys of hash tables whose keys a peer supplies.
    HashKeys = 3,
    /// Whom to synchronise with, and the pauses between attempts to join.
    PushPull = 4,
    /// The nonces of encrypted datagrams and streams.
    Nonces = 5,
    /// Whom of the missing to ask, and when.
    Healing = 6,
}

/// A reproducible source of chance.
#[derive(Debug)]
pub(crate) struct Rng(ChaCha8Rng);

impl Rng {
    pub(crate) fn child(seed: [u8; 32], stream: Stream) -> Self {
        let mut rng = ChaCha8Rng::from_seed(seed);
        rng.set_stream(stream as u64);
        Self(rng)
    }

    pub(crate) fn next_u32(&mut self) -> u32 {
        self.0.next_u32()
    }

    pub(crate) fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Random bytes.
    pub(crate) fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.0.fill_bytes(&mut bytes);
        bytes
    }

    /// A uniform number below `bound`; 0 if `bound` is 0.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        let bound = bound as u64;
        if bound == 0 {
            return 0;
        }
        // Numbers of the last, incomplete run of `bound` would make small results more likely.
        let fair = u64::MAX - u64::MAX % bound;
        loop {
            let draw = self.next_u64();
            if draw < fair {
                #[allow(clippy::cast_possible_truncation, reason = "below a usize")]
                return (draw % bound) as usize;
            }
        }
    }

    /// A uniform number of microseconds in `[0, bound)`; 0 if `bound` is 0.
    pub(crate) fn below_duration(&mut self, bound: core::time::Duration) -> core::time::Duration {
        let micros = usize::try_from(bound.as_micros()).unwrap_or(usize::MAX);
        core::time::Duration::from_micros(self.below(micros) as u64)
    }

    /// Fisher-Yates: every order is equally likely.
    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_seed_and_stream_give_the_same_numbers() {
        let mut a = Rng::child([7; 32], Stream::Gossip);
        let mut b = Rng::child([7; 32], Stream::Gossip);
        for _ in 0..100 {
            assert_eq!(a.next_u64(), b.next_u64());
        }
    }

    #[test]
    fn streams_of_one_seed_differ() {
        let mut a = Rng::child([7; 32], Stream::Gossip);
        let mut b = Rng::child([7; 32], Stream::Membership);
        assert_ne!(
            core::array::from_fn::<u64, 4, _>(|_| a.next_u64()),
            core::array::from_fn::<u64, 4, _>(|_| b.next_u64())
        );
    }

    #[test]
    fn the_stream_is_pinned_so_that_old_seeds_keep_replaying() {
        let mut rng = Rng::child([0; 32], Stream::Membership);
        assert_eq!(rng.next_u64(), 0xca06_8379_b34b_8f2b);
    }

    #[test]
    fn below_stays_below_and_reaches_every_value() {
        let mut rng = Rng::child([1; 32], Stream::Gossip);
        let mut seen = [0_u32; 5];
        for _ in 0..5_000 {
            seen[rng.below(5)] += 1;
        }
        assert!(seen.iter().all(|&count| (800..1_200).contains(&count)), "{seen:?}");
        assert_eq!(rng.below(0), 0);
        assert_eq!(rng.below(1), 0);
    }

    #[test]
    fn shuffle_keeps_the_items() {
        let mut rng = Rng::child([2; 32], Stream::Gossip);
        let mut items: [u8; 50] = core::array::from_fn(|i| i as u8);
        rng.shuffle(&mut items);
        assert_ne!(items, core::array::from_fn::<u8, 50, _>(|i| i as u8));
        items.sort_unstable();
        assert_eq!(items, core::array::from_fn::<u8, 50, _>(|i| i as u8));
    }

    #[test]
    fn offsets_in_a_large_range_differ() {
        let mut rng = Rng::child([3; 32], Stream::Gossip);
        let mut offsets: [usize; 100] = core::array::from_fn(|_| rng.below(1 << 31));
        offsets.sort_unstable();
        assert!(offsets.windows(2).all(|pair| pair[0] < pair[1]), "{offsets:?}");
    }
}
