//! Many members at once, many messages at once, and clocks that jump.

use std::time::Duration;

use rumormill_sim::Clock;

use crate::cast::{Cast, MS, SECOND, id, seeds};
use crate::graphs::{cube, regular};

/// Of 96 that list each other 8 run, and the others come at one instant while those 8 talk.
#[test]
fn eighty_eight_members_join_eight_at_once() {
    for seed in seeds() {
        let mut cast = Cast::new(seed, regular(96, seed));
        (8..96).for_each(|index| cast.crash(index));
        assert!(cast.meet(600 * SECOND), "the eight see that they are alone");
        let before = cast.talk(&[0, 7], 2 * SECOND, 100 * MS);
        cast.assert_repaired(before);
        (8..96).for_each(|index| cast.restart(index));
        let said = cast.talk(&[0, 7], 5 * SECOND, 100 * MS);
        cast.assert_repaired(said);
        assert!(cast.meet(60 * SECOND), "all see all");
        let said = cast.talk(&[0, 7], 2 * SECOND, 100 * MS);
        cast.assert_repaired(said.clone());
        assert!(said.clone().all(|number| cast.heard_by(number).len() == 96), "seed {seed}");
        cast.assert_whole(&[0, 7]);
    }
}

/// For a fifth of a second; a whole one takes the invariants, which look at all of them after each step, some
/// minutes.
#[test]
fn ten_thousand_messages_a_second() {
    let mut cast = Cast::new(0, cube(4));
    let origins = [0, 3, 5, 15];
    cast.warm(&origins);
    let said = cast.talk(&origins, SECOND / 5, Duration::from_micros(100));
    assert_eq!(said.len(), 2_000);
    cast.run(SECOND);
    cast.assert_heard(said.clone(), "a second later");
    let copies: usize = said.clone().map(|number| cast.copies(number)).sum();
    assert_eq!(copies, said.len() * 15, "one for each");
    assert_eq!(cast.sum(|stats| stats.outbox_overflows + stats.events_dropped), 0);
    cast.assert_whole(&origins);
}

/// The clock of an inner member goes ahead by ten seconds, and later back again.
#[test]
fn the_clock_of_an_inner_member_jumps() {
    for seed in seeds() {
        let mut cast = Cast::new(seed, cube(5));
        cast.warm(&[0]);
        let inner = cast.busiest(cast.said.len() - 1);
        cast.world.set_clock(id(inner), Clock::new(10 * SECOND, 0));
        let said = cast.talk(&[0], 3 * SECOND, 100 * MS);
        cast.assert_repaired(said);
        cast.world.set_clock(id(inner), Clock::default());
        // Until its clock shows what it showed before, its node answers and asks for nothing.
        let said = cast.talk(&[0], 10 * SECOND, 100 * MS);
        cast.assert_repaired(said);
        assert!(cast.node(inner).stats().clock_regressions > 0, "seed {seed}");
        cast.assert_whole(&[0]);
    }
}
