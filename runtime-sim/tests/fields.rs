//! What fails in the field holds here, and the README says how.

#![allow(clippy::unwrap_used, reason = "this is test code")]

use std::collections::BTreeSet;

use rumormill_sim::fields::{FIELDS, Field, Figure, Verdict, table};

/// The README's table is of this one.
const SEED: u64 = 1;

fn verdicts(seed: u64) -> Vec<(Field, Verdict)> {
    FIELDS.iter().map(|field| (*field, field.run(seed))).collect()
}

fn all_hold(seed: u64) {
    for (field, verdict) in verdicts(seed) {
        assert!(verdict.holds(), "seed {seed}, {}: {verdict:?}", field.name);
    }
}

#[test]
fn everything_holds_and_the_table_of_the_readme_is_what_the_command_prints() {
    let verdicts = verdicts(SEED);
    for (field, verdict) in &verdicts {
        assert!(verdict.holds(), "{}: {verdict:?}", field.name);
    }
    let readme = include_str!("../../README.md");
    let table = table(&verdicts);
    assert!(readme.contains(&table), "put the table of `sim fields` into the README:\n{table}");
}

#[test]
fn everything_holds_with_another_seed() {
    all_hold(2);
}

#[test]
fn everything_holds_with_a_third_seed() {
    all_hold(0xfeed);
}

#[test]
fn the_same_seed_gives_the_same_verdict() {
    let quick = Field::named("moved").unwrap();
    assert_eq!(quick.run(5), quick.run(5));
    let Figure::Time(Some(_)) = quick.run(5).ours else { panic!("it is a time") };
}

#[test]
fn names_are_unique_and_every_report_that_is_asked_for_has_one() {
    let names: BTreeSet<_> = FIELDS.iter().map(|field| field.name).collect();
    assert_eq!(names.len(), FIELDS.len());
    assert!(Field::named("no such field").is_none());
    let reports: Vec<_> = FIELDS.iter().flat_map(|field| field.reports.split(", ")).collect();
    for issue in [105, 132, 222, 259, 264, 299, 311, 312] {
        assert!(reports.contains(&format!("memberlist #{issue}").as_str()), "#{issue}");
    }
    for ask in [1, 3, 7, 8, 10, 14, 18, 20, 45, 47, 51] {
        assert!(reports.contains(&format!("ask {ask}").as_str()), "ask {ask}");
    }
}
