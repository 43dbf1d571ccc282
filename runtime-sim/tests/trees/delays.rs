//! Round trips that flap: links are swapped for faster ones, but not for noise, and not without end.

use std::time::Duration;

use rumormill_sim::{Latency, Network};

use crate::cast::{Cast, MS, SECOND, id, seeds};
use crate::graphs::{cube, regular, ring};

/// A link that was given up in a tree is no faster way there for so long.
const BACK_OFF: Duration = Duration::from_secs(5);

#[test]
fn delays_that_differ_by_less_than_the_margin_swap_no_link() {
    for seed in seeds() {
        let mut cast = Cast::new(seed, cube(5));
        // Two ways of as many hops differ by 5 ms at most; a link must be 10 ms faster.
        *cast.world.network_mut() =
            Network { latency: Latency::Uniform(5 * MS), jitter: MS, ..Network::default() };
        cast.warm(&[0]);
        let before = cast.sum(|stats| stats.swaps);
        let said = cast.talk(&[0], 20 * SECOND, 100 * MS);
        cast.assert_repaired(said);
        assert_eq!(cast.sum(|stats| stats.swaps), before, "seed {seed}");
        cast.assert_whole(&[0]);
    }
}

#[test]
fn spikes_swap_a_link_at_most_once_in_its_back_off() {
    for seed in seeds() {
        let mut cast = Cast::new(seed, regular(32, seed));
        cast.warm(&[0]);
        let before: Vec<u64> = (0..32).map(|index| cast.node(index).stats().swaps).collect();
        let duration = 20 * SECOND;
        let said = cast.talk_while(&[0], duration, 100 * MS, |cast| {
            // Everybody has a spike of its own now and then.
            let victim = 1 + cast.chance.index_below(31);
            let lag = if cast.chance.index_below(2) == 0 { 40 * MS } else { Duration::ZERO };
            cast.world.set_lag(id(victim), lag);
        });
        (0..32).for_each(|index| cast.world.set_lag(id(index), Duration::ZERO));
        // A swap ends with a link in back-off, so a node with five has four to choose from.
        let most = 4 * (1 + duration.as_secs() / BACK_OFF.as_secs());
        for (index, before) in before.into_iter().enumerate() {
            let swaps = cast.node(index).stats().swaps - before;
            assert!(swaps <= most, "seed {seed}: node {index} swapped {swaps} times");
        }
        cast.assert_repaired(said);
        cast.assert_whole(&[0]);
    }
}

/// Two ways of two hops to the far side of a ring, of which the one in use becomes slow.
#[test]
fn a_way_that_became_slow_is_left_for_the_other_one() {
    for seed in seeds() {
        let mut cast = Cast::new(seed, ring(4));
        *cast.world.network_mut() = Network { latency: Latency::Uniform(MS), ..Network::default() };
        cast.warm(&[0]);
        cast.run(BACK_OFF);
        let far = 2;
        let slow = cast.parent(cast.said.len() - 1, far).unwrap();
        // Both what comes and what goes waits for it; the word of the other way comes after 22 ms.
        cast.world.set_lag(id(slow), 15 * MS);
        let before = cast.node(far).stats().swaps;
        let [first, second] = [(); 2].map(|()| {
            let number = cast.say(0);
            cast.run(SECOND);
            number
        });
        assert_eq!(cast.node(far).stats().swaps, before + 1, "seed {seed}");
        let took = |number: usize| {
            let receipt = cast.receipt(number, far).unwrap();
            receipt.at.saturating_since(cast.said[number].at)
        };
        assert!(took(first) > 30 * MS && took(second) < 10 * MS, "seed {seed}");
        assert_eq!(cast.copies(second), 3, "seed {seed}: the slow one brings it no more");
        cast.world.set_lag(id(slow), Duration::ZERO);
        cast.assert_whole(&[0]);
    }
}
