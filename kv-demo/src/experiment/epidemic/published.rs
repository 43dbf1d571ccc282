//! The tables 1 to 3 of Demers et al. 1987, and how ours are held against them.

use rumormill::{Epidemic, Exchange, Stop};
use serde::Serialize;

/// How many sites the published epidemics had.
pub const SITES: u32 = 1_000;

/// Fewest sites that must have been missed, over all runs, before a residue is judged: the chance
/// error of fewer is larger than the tenth that is asked for.
const MISSED_MIN: u64 = 100;

/// So many are missed if the published residue is right, in runs enough to judge it: twice as many as
/// it takes, so that fewer than [`MISSED_MIN`] say by themselves that it is not.
const EXPECTED_MIN: u64 = 2 * MISSED_MIN;

/// A figure as it was printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Printed(pub &'static str);

impl Printed {
    /// Its value.
    #[must_use]
    pub fn value(self) -> f64 {
        self.0.parse().expect("the tables hold numbers")
    }

    /// Half a unit of its last digit: it may stand for anything so near.
    fn half_unit(self) -> f64 {
        let (digits, exponent) = self.0.split_once('e').unwrap_or((self.0, "0"));
        let places = digits.split_once('.').map_or(0, |(_, places)| places.len());
        let exponent: i32 = exponent.parse().expect("the tables hold numbers");
        0.5 * 10_f64.powi(exponent - i32::try_from(places).unwrap_or_default())
    }

    /// Whether a figure is within a tenth, or within half a unit of the last digit.
    fn is_near(self, found: f64) -> bool {
        // The limits themselves are within, whatever floating point makes of them.
        const SLACK: f64 = 1.0 + 1e-9;
        let allowed = self.half_unit().max(self.value() * 0.1) * SLACK;
        (found - self.value()).abs() <= allowed
    }
}

/// A row of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Published {
    /// Residue: the share of the sites that were never told.
    pub residue: Printed,
    /// Traffic: copies sent per site.
    pub traffic: Printed,
    /// Cycles until a site was told, on average.
    pub t_ave: Printed,
    /// Cycles until the last site was told.
    pub t_last: Printed,
}

/// What is said of a figure beside a published one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Within a tenth, or half a unit of the last printed digit.
    Within,
    /// Not within.
    Outside,
    /// Not judged: too few sites were missed in all runs together to know it to a tenth.
    TooFew,
}

impl Verdict {
    /// The word for it in tables.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Within => "ok",
            Self::Outside => "OUT",
            Self::TooFew => "few",
        }
    }

    pub(super) fn of_residue(published: Printed, found: f64, missed: u64, runs: u32) -> Self {
        let is_few = missed < MISSED_MIN && u64::from(runs) < runs_to_judge(published);
        if is_few { Self::TooFew } else { Self::of(published, found) }
    }

    /// Of a figure beside a published one.
    pub(crate) fn of(published: Printed, found: f64) -> Self {
        if published.is_near(found) { Self::Within } else { Self::Outside }
    }
}

/// In how many runs a residue like this is sure to be judged.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a count, and rounded up"
)]
pub(super) fn runs_to_judge(published: Printed) -> u64 {
    (EXPECTED_MIN as f64 / (published.value() * f64::from(SITES))).ceil() as u64
}

/// A table: its name, its policy (with any k), and its rows from k = 1.
#[derive(Clone, Copy, Debug)]
pub struct Table {
    /// What it is called.
    pub name: &'static str,
    /// Whose figures it has; its k counts for nothing.
    pub policy: Epidemic,
    rows: &'static [Published],
}

const fn row(figures: [&'static str; 4]) -> Published {
    let [residue, traffic, t_ave, t_last] = figures;
    Published {
        residue: Printed(residue),
        traffic: Printed(traffic),
        t_ave: Printed(t_ave),
        t_last: Printed(t_last),
    }
}

/// The tables.
pub const TABLES: [Table; 3] = [
    Table {
        name: "T1",
        policy: Epidemic { exchange: Exchange::Push, feedback: true, stop: Stop::Counter(1) },
        rows: &[
            row(["0.18", "1.7", "11.0", "16.8"]),
            row(["0.037", "3.3", "12.1", "16.9"]),
            row(["0.011", "4.5", "12.5", "17.4"]),
            row(["0.0036", "5.6", "12.7", "17.5"]),
            row(["0.0012", "6.7", "12.8", "17.7"]),
        ],
    },
    Table {
        name: "T2",
        policy: Epidemic { exchange: Exchange::Push, feedback: false, stop: Stop::Coin(1) },
        rows: &[
            row(["0.96", "0.04", "19", "38"]),
            row(["0.20", "1.6", "17", "33"]),
            row(["0.060", "2.8", "15", "32"]),
            row(["0.021", "3.9", "14.1", "32"]),
            row(["0.008", "4.9", "13.8", "32"]),
        ],
    },
    Table {
        name: "T3",
        policy: Epidemic { exchange: Exchange::Pull, feedback: true, stop: Stop::Counter(1) },
        rows: &[
            row(["3.1e-2", "2.7", "9.97", "17.6"]),
            row(["5.8e-4", "4.5", "10.07", "15.4"]),
            row(["4.0e-6", "6.1", "10.08", "14.0"]),
        ],
    },
];

impl Table {
    /// The table of a policy, whatever its k.
    #[must_use]
    pub fn of(policy: Epidemic) -> Option<&'static Self> {
        TABLES.iter().find(|table| super::with_k(table.policy, 1) == super::with_k(policy, 1))
    }

    /// The row of this k.
    #[must_use]
    pub fn row(&self, k: u8) -> Option<Published> {
        self.rows.get(usize::from(k).checked_sub(1)?).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_unit_follows_from_what_was_printed() {
        for (text, half) in [("0.18", 0.005), ("0.060", 0.000_5), ("38", 0.5), ("3.1e-2", 5e-4)] {
            assert!((Printed(text).half_unit() - half).abs() < half * 1e-9, "{text}");
        }
        for row in TABLES.iter().flat_map(|table| table.rows) {
            for printed in [row.residue, row.traffic, row.t_ave, row.t_last] {
                assert!(printed.value() > 0.0 && printed.half_unit() > 0.0);
            }
        }
    }

    #[test]
    fn a_tenth_or_half_a_unit_is_near_whichever_is_more() {
        let tenth = Printed("0.011");
        assert!(tenth.is_near(0.0121) && tenth.is_near(0.0099));
        assert!(!tenth.is_near(0.01211) && !tenth.is_near(0.00989));
        let unit = Printed("0.04");
        assert!(unit.is_near(0.045) && unit.is_near(0.035) && !unit.is_near(0.0451));
    }

    #[test]
    fn a_residue_of_a_few_sites_is_not_judged() {
        let tiny = Printed("4.0e-6");
        let judge = |found, missed, runs| Verdict::of_residue(tiny, found, missed, runs);
        assert_eq!(judge(4.0e-6, 99, 1_000), Verdict::TooFew);
        assert_eq!(judge(4.0e-6, 100, 1_000), Verdict::Within);
        assert_eq!(judge(3.1e-6, 100, 1_000), Verdict::Outside);
    }

    #[test]
    fn the_runs_that_are_asked_for_are_sure_to_judge() {
        assert_eq!(runs_to_judge(Printed("4.0e-6")), 50_000);
        for residue in TABLES.iter().flat_map(|table| table.rows).map(|row| row.residue) {
            let runs = u32::try_from(runs_to_judge(residue)).unwrap();
            assert!(runs <= super::super::RUNS_MAX, "{residue:?}");
            // The fewest that are judged by their number, and fewer yet: those are not the published one.
            for missed in [0, 99] {
                let found = missed as f64 / f64::from(runs) / f64::from(SITES);
                let judge = |runs| Verdict::of_residue(residue, found, missed, runs);
                assert_eq!(judge(runs), Verdict::Outside, "{residue:?} {missed}");
                assert_eq!(judge(runs - 1), Verdict::TooFew, "{residue:?} {missed}");
            }
        }
    }

    #[test]
    fn policies_find_their_tables_whatever_their_k() {
        let pull = super::super::with_k(TABLES[2].policy, 7);
        let table = Table::of(pull).unwrap();
        assert_eq!((table.name, table.row(3).is_some(), table.row(4)), ("T3", true, None));
        assert_eq!(table.row(0), None);
        assert!(Table::of(Epidemic::DEFAULT).is_none());
    }
}
