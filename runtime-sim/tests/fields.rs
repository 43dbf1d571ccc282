//! What fails in the field holds here, and the README says how.

#![allow(clippy::unwrap_used, reason = "this is test code")]

use core::ops::Range;
use std::collections::BTreeSet;

use rumormill_sim::fields::{FIELDS, Field, Figure, Survey, table};

/// The README's table is of these.
const SEEDS: Range<u64> = 1_000..1_010;

#[test]
fn everything_holds_and_the_table_of_the_readme_is_what_the_command_prints() {
    let surveys = Survey::run(FIELDS, SEEDS);
    for survey in &surveys {
        let missed: Vec<_> = survey.missed().collect();
        assert!(missed.is_empty(), "{}: {missed:?}", survey.field.name);
    }
    let readme = include_str!("../../README.md");
    let table = table(&surveys);
    assert!(readme.contains(&table), "put the table of `sim fields` into the README:\n{table}");
    let command = format!("fields --seed {} --seeds {}", SEEDS.start, SEEDS.end - SEEDS.start);
    assert!(readme.contains(&command), "and say `{command}`");
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
