//! Many seeds: all are well, everything that may go wrong did, and parts add up to the whole.

#![allow(clippy::unwrap_used, reason = "this is test code")]

use rumormill::Mode;
use rumormill_sim::Tracer;
use rumormill_sim::scenario::{Class, Classes, Scenario, Violation};
use rumormill_sim::swarm::{
    Choice, Failure, Kind, MergeError, Range, TELLING_SEEDS, Tally, run_scenario, run_seed, shrink,
    shrink_by,
};

/// Small clusters only: `sim swarm` has large ones too.
#[test]
fn a_swarm_is_well_and_every_kind_of_fault_happens_in_it() {
    let choice = Choice::default();
    let mut tally = Tally::new(&choice);
    for seed in (0..).filter(|&seed| choice.scenario(seed).nodes <= 8).take(60) {
        tally.add(seed, run_seed(seed, &choice));
    }
    assert_eq!(tally.failures, []);
    assert_eq!((tally.seeds(), tally.passed), (60, 60));
    assert!(tally.cluster_us > 60 * 10_000_000, "each seed has ten seconds of faults at least");
    for &class in Class::ALL {
        let times = tally.fired.get(class.name()).map(|times| times.times);
        assert!(times.is_some_and(|times| times > 0), "{class}: {times:?}");
    }
}

#[test]
fn gossip_that_reaches_nobody_is_seen() {
    let calm = Scenario { nodes: 5, mode: Mode::ThesisMatching, ..Scenario::draw(0) };
    let calm = calm.without(Class::ALL.iter().copied().collect());
    for (strides, is_silent) in [(vec![1], false), (vec![], true)] {
        let scenario = Scenario { piggyback: false, strides, ..calm.clone() };
        let (result, _) = scenario.run(Tracer::default());
        let silent = matches!(result, Err(Violation::GossipSilent { reached: 1, nodes: 5, .. }));
        assert_eq!(silent, is_silent, "{result:?}");
    }
}

#[test]
fn parts_add_up_to_the_whole_in_any_order() {
    let choice = Choice { no: [Class::Partition].into_iter().collect() };
    let whole = ran(&choice, 10, 6);
    let (head, tail) = (ran(&choice, 10, 2), ran(&choice, 12, 4));
    let sum = |mut one: Tally, other: &Tally| {
        one.merge(other).unwrap();
        one
    };
    assert_eq!(sum(head.clone(), &tail), whole);
    assert_eq!(sum(tail.clone(), &head), whole);
    assert!(whole.healed.max_us >= head.healed.max_us.max(tail.healed.max_us));
    assert_eq!(whole.healed.sum_us, head.healed.sum_us + tail.healed.sum_us);
    let outcomes: Vec<_> = (10..16).map(|seed| run_seed(seed, &choice).unwrap().1).collect();
    let slowest = outcomes.iter().map(|outcome| outcome.delivered_after).max().unwrap();
    assert_eq!(u128::from(whole.delivered.max_us), slowest.as_micros());
    let json = serde_json::to_string(&whole).unwrap();
    assert_eq!(serde_json::from_str::<Tally>(&json).unwrap(), whole);
    assert!(!whole.fired.contains_key("partition"), "what is masked does not happen");
    let mut twice = whole.clone();
    assert_eq!(twice.merge(&tail), Err(MergeError::Twice(12)));
    assert_eq!(twice, whole);
}

#[test]
fn tallies_of_other_choices_and_versions_do_not_add_up() {
    let choice = Choice::default();
    let mut tally = Tally::new(&choice);
    let timid = Choice { no: [Class::Hijack].into_iter().collect() };
    assert!(matches!(tally.merge(&Tally::new(&timid)), Err(MergeError::Choices(..))));
    let old = Tally { version: "0.0.0".to_owned(), ..Tally::new(&choice) };
    assert!(matches!(tally.merge(&old), Err(MergeError::Versions(..))));
    let odd = Tally { hash: "x".to_owned(), ..Tally::new(&choice) };
    assert_eq!(tally.merge(&odd), Err(MergeError::Hash("x".to_owned())));
    let changed = Tally { behaviour: "0".repeat(32), ..Tally::new(&choice) };
    let refused = tally.merge(&changed).unwrap_err();
    assert!(matches!(&refused, MergeError::Behaviours(..)));
    assert!(refused.to_string().contains("different commits"), "{refused}");
}

#[test]
fn a_part_with_more_or_fewer_results_than_seeds_does_not_add_up() {
    let choice = Choice::default();
    let part = |ranges: &[(u64, u64)], passed, failed| Tally {
        ranges: ranges.iter().map(|&(start, seeds)| Range { start, seeds }).collect(),
        passed,
        failed,
        ..Tally::new(&choice)
    };
    for (ranges, passed, error) in [
        (&[(10, 6)][..], 5, None),
        (&[(10, 2), (20, 4)], 5, None),
        (&[(10, 6)], 4, Some(MergeError::Results { results: 5, seeds: 6 })),
        (&[(10, 6)], 6, Some(MergeError::Results { results: 7, seeds: 6 })),
        (&[(10, 3), (12, 3)], 5, Some(MergeError::Twice(12))),
        (&[(0, u64::MAX)], u64::MAX, None),
    ] {
        let part = part(ranges, passed, 1);
        let expected = error.map_or(Ok(()), Err);
        assert_eq!(part.check(), expected, "{ranges:?}");
        assert_eq!(Tally::new(&choice).merge(&part), expected, "{ranges:?}");
    }
}

#[test]
fn a_kind_of_fault_that_never_happens_is_named_when_there_are_seeds_enough() {
    let no = [Class::Hijack].into_iter().collect();
    let mut tally = Tally::new(&Choice { no });
    for (seeds, is_told) in [(TELLING_SEEDS - 1, false), (TELLING_SEEDS, true)] {
        tally.ranges = vec![Range { start: 0, seeds }];
        assert_eq!(tally.never_fired().contains(&"swizzle"), is_told, "{seeds} seeds");
        assert!(!tally.never_fired().contains(&"hijack"), "it is not to happen");
    }
}

#[test]
fn failures_are_kept_with_the_command_that_shows_them_and_the_worst_counts() {
    let choice = Choice { no: [Class::Loss, Class::Cut].into_iter().collect() };
    assert_eq!(choice.command(7), "sim run --seed 7 --no loss,cut");
    let mut tally = Tally::new(&choice);
    for (seed, kind) in [(3, Kind::NoConvergence), (2, Kind::Panic), (1, Kind::Breach)] {
        let (what, command) = ("it is so".to_owned(), choice.command(seed));
        tally.add(seed, Err(Failure { seed, kind, rule: what.clone(), what, command }));
    }
    assert_eq!((tally.failed, tally.worst()), (3, Some(Kind::Panic)));
    assert_eq!(tally.failures.iter().map(|failure| failure.seed).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(tally.ranges, [Range { start: 1, seeds: 3 }]);
    assert!(tally.to_string().contains("again with: sim run --seed 1 --no loss,cut"));
}

#[test]
fn shrinking_leaves_out_what_a_failure_does_not_need() {
    // Links along which nothing can be told: no fault is needed to fail by them.
    let seed = (0..).find(|&seed| {
        let drawn = Choice::default().scenario(seed);
        drawn.mode == Mode::ThesisMatching && drawn.nodes < 8 && drawn.faults.iter().count() > 4
    });
    let seed = seed.unwrap();
    let fails = |choice: &Choice| {
        let drawn = Scenario { piggyback: false, strides: vec![], ..choice.scenario(seed) };
        run_scenario(&drawn, choice.command(seed)).err()
    };
    let choice = Choice::default();
    let failure = fails(&choice).unwrap();
    let shrunk = shrink_by(failure.clone(), &choice, fails);
    assert_eq!((shrunk.kind, &shrunk.rule), (failure.kind, &failure.rule));
    let faults = choice.scenario(seed).faults;
    assert_eq!(shrunk.command, format!("sim run --seed {seed} --no {faults}"));
    // What no seed shows needs all its faults.
    let made_up = Failure { rule: "made up".to_owned(), ..failure };
    assert_eq!(shrink(made_up.clone(), &choice), made_up);
}

#[test]
fn shrinking_tries_again_what_was_needed_and_takes_no_other_rule_for_the_same() {
    let seed = (0..).find(|&seed| {
        let faults = Choice::default().scenario(seed).faults;
        [Class::Loss, Class::Crash, Class::Pause].iter().all(|&class| faults.has(class))
    });
    let seed = seed.unwrap();
    let fails = |choice: &Choice| {
        let faults = choice.scenario(seed).faults;
        // Without losses it fails once there are no crashes, and without pauses by another rule.
        let is_well = faults.has(Class::Crash) && !faults.has(Class::Loss);
        let rule = if faults.has(Class::Pause) { "this" } else { "that" }.to_owned();
        let (kind, what, command) = (Kind::Breach, rule.clone(), choice.command(seed));
        (!is_well).then_some(Failure { seed, kind, rule, what, command })
    };
    let choice = Choice::default();
    let shrunk = shrink_by(fails(&choice).unwrap(), &choice, fails);
    let only = choice.scenario(seed).faults.without([Class::Pause].into_iter().collect());
    assert_eq!(shrunk.command, format!("sim run --seed {seed} --no {only}"));
    assert_eq!(shrunk.rule, "this");
}

#[test]
fn masking_one_kind_leaves_the_others_as_they_were() {
    let seed = (0..).find(|&seed| {
        let faults = Choice::default().scenario(seed).faults;
        faults.has(Class::Pause) && faults.has(Class::Partition)
    });
    let seed = seed.unwrap();
    let fired = |no: &[Class]| {
        let choice = Choice { no: no.iter().copied().collect::<Classes>() };
        let (_, outcome) = run_seed(seed, &choice).unwrap();
        [Class::Pause, Class::Partition].map(|class| outcome.fired.times(class) > 0)
    };
    assert_eq!(fired(&[]), [true, true]);
    assert_eq!(fired(&[Class::Partition]), [true, false]);
}

fn ran(choice: &Choice, start: u64, seeds: u64) -> Tally {
    let mut tally = Tally::new(choice);
    for seed in start..start + seeds {
        tally.add(seed, run_seed(seed, choice));
    }
    tally
}

/// Where events are lost, what was seen of members is forgotten, and since when somebody is gone with it: in
/// this seed somebody takes the name of one that had left for 5 s, in a cluster that gives it 4 s.
#[test]
fn whoever_forgot_since_when_somebody_is_gone_accuses_nobody() {
    run_seed(3_000_128, &Choice::default()).unwrap();
}
