//! What fails in the field, again and again: situations that users of gossip libraries reported,
//! each as a run of whole nodes that can be repeated.
//!
//! Every field sets up the reported situation, proves that it arose, and measures one figure against
//! a bar. Where public parameters, or a habit of embedders, can be set to what the reporters ran, the
//! same run is made with those too, and must miss the bar: otherwise the situation would show
//! nothing. Where only a real peer could show it, the field says so in a sentence.
//!
//! | file | says |
//! |---|---|
//! | `cast` | clusters, and what their applications take down |
//! | `detection` | who is wrongly believed dead |
//! | `healing` | who meets whom again |
//! | `joining` | who gets in |
//! | `news` | what reaches everybody, and when it is quiet again |
//! | `survey` | what comes of them over several seeds |

mod cast;
mod detection;
mod healing;
mod joining;
mod news;
mod survey;

use core::cmp::Ordering;
use core::fmt;
use core::time::Duration;

use serde::{Serialize, Serializer};

pub use survey::{Contrasts, Survey};

/// Something that fails in the field.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// What it is called.
    pub name: &'static str,
    /// Where it was reported: memberlist's issues, and numbered asks of users.
    pub reports: &'static str,
    /// What happens, in a sentence.
    pub story: &'static str,
    /// What is measured.
    pub measure: &'static str,
    run: fn(u64) -> Verdict,
}

/// What ours runs with if nothing is said.
const DEFAULTS: &str = "defaults";

/// All of them, in the order of the table.
pub const FIELDS: &[Field] = &[
    healing::PARTITION,
    healing::MASS_RESTART,
    healing::REVIVAL,
    healing::MOVED,
    joining::DEAD_SEEDS,
    joining::SEED_RUSH,
    joining::REFUSED_JOIN,
    detection::STARVED,
    detection::SMALL_CLUSTER,
    detection::ONE_WAY,
    detection::SLEEPER,
    detection::STREAMS_DOWN,
    news::CHURN,
    news::MISSED,
    news::STORM,
    news::LEAVERS,
    news::ZOMBIE,
];

impl Field {
    /// The one with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        FIELDS.iter().copied().find(|field| field.name == name)
    }

    /// Runs it. The same seed gives the same verdict.
    #[must_use]
    pub fn run(&self, seed: u64) -> Verdict {
        (self.run)(seed)
    }
}

/// What was measured. Smaller is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Figure {
    /// How long something took; `None` if it had not happened when the run ended.
    Time(Option<Duration>),
    /// How many there were.
    Count(u64),
    /// How many of how many.
    Share(u64, u64),
}

impl Figure {
    /// The order of figures of one kind, the best first. Never is the longest time.
    fn compare(&self, other: &Self) -> Ordering {
        match (*self, *other) {
            (Self::Time(one), Self::Time(other)) => {
                one.unwrap_or(Duration::MAX).cmp(&other.unwrap_or(Duration::MAX))
            }
            (Self::Count(one), Self::Count(other)) => one.cmp(&other),
            (Self::Share(one, of), Self::Share(other, of_all)) => (one * of_all).cmp(&(other * of)),
            _ => Ordering::Equal,
        }
    }

    /// Whether this is no worse than a bar.
    fn meets(self, bar: Self) -> bool {
        match (self, bar) {
            (Self::Time(taken), Self::Time(most)) => {
                taken.zip(most).is_some_and(|(taken, most)| taken <= most)
            }
            (Self::Count(count), Self::Count(most)) => count <= most,
            (Self::Share(some, of), Self::Share(most, of_all)) => some * of_all <= most * of,
            _ => false,
        }
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Time(Some(time)) => write!(f, "{:.1} s", time.as_secs_f64()),
            Self::Time(None) => f.write_str("never"),
            Self::Count(count) => write!(f, "{count}"),
            Self::Share(_, 0) => f.write_str("0 %"),
            Self::Share(some, of) => write!(f, "{}.{} %", some * 100 / of, some * 1_000 / of % 10),
        }
    }
}

impl Serialize for Figure {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The same run as the reporters would have made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Contrast {
    /// With these settings it came to this, which must miss the bar.
    Run {
        /// What is set otherwise.
        with: &'static str,
        /// What came of it.
        figure: Figure,
    },
    /// No public setting of ours shows it.
    PeerOnly {
        /// Why.
        because: &'static str,
    },
}

/// What came of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// What proves that the situation arose: what was counted, and how many there were.
    pub arose: (&'static str, u64),
    /// What ours ran with, beside the defaults for a local network.
    pub with: &'static str,
    /// What it came to.
    pub ours: Figure,
    /// What it may come to at most.
    pub bar: Figure,
    /// The same as the reporters ran it.
    pub contrast: Contrast,
}

impl Verdict {
    /// Whether the situation arose, ours meets the bar, and the contrast, if there is one, does not.
    #[must_use]
    pub fn holds(&self) -> bool {
        let differs = match self.contrast {
            Contrast::Run { figure, .. } => !figure.meets(self.bar),
            Contrast::PeerOnly { .. } => true,
        };
        self.arose.1 > 0 && self.ours.meets(self.bar) && differs
    }
}

/// The table of some surveys, in Markdown.
#[must_use]
pub fn table(surveys: &[Survey]) -> String {
    let head = "| name | reported in | what happens | measured | bar | ours | with | as reported | with |\n\
                |---|---|---|---|---|---|---|---|---|\n";
    core::iter::once(head.to_owned()).chain(surveys.iter().map(Survey::line)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_met_up_to_themselves() {
        let time = |seconds| Figure::Time(Some(Duration::from_secs(seconds)));
        assert!(time(5).meets(time(5)));
        assert!(!time(6).meets(time(5)));
        assert!(!Figure::Time(None).meets(time(5)), "never is no time");
        assert!(Figure::Count(0).meets(Figure::Count(0)));
        assert!(Figure::Share(1, 200).meets(Figure::Share(1, 100)));
        assert!(!Figure::Share(3, 200).meets(Figure::Share(1, 100)));
        assert!(!Figure::Count(0).meets(time(5)), "of another kind");
    }

    #[test]
    fn figures_are_ordered_from_good_to_bad() {
        let time = |seconds| Figure::Time(Some(Duration::from_secs(seconds)));
        for (better, worse) in [
            (time(5), time(6)),
            (time(6), Figure::Time(None)),
            (Figure::Count(0), Figure::Count(1)),
            (Figure::Share(1, 200), Figure::Share(1, 100)),
        ] {
            assert_eq!(better.compare(&worse), Ordering::Less);
            assert_eq!(worse.compare(&better), Ordering::Greater);
            assert_eq!(better.compare(&better), Ordering::Equal);
        }
    }

    #[test]
    fn a_verdict_needs_the_situation_the_bar_and_the_difference() {
        let good = Verdict {
            arose: ("x", 1),
            with: DEFAULTS,
            ours: Figure::Count(1),
            bar: Figure::Count(1),
            contrast: Contrast::Run { with: "y", figure: Figure::Count(2) },
        };
        assert!(good.holds());
        assert!(!Verdict { arose: ("x", 0), ..good }.holds());
        assert!(!Verdict { ours: Figure::Count(2), ..good }.holds());
        let same = Contrast::Run { with: "y", figure: Figure::Count(1) };
        assert!(!Verdict { contrast: same, ..good }.holds());
        assert!(Verdict { contrast: Contrast::PeerOnly { because: "z" }, ..good }.holds());
    }

    #[test]
    fn figures_are_told_in_their_units() {
        let told = [
            Figure::Time(Some(Duration::from_millis(1_250))),
            Figure::Time(None),
            Figure::Count(7),
            Figure::Share(1, 8),
            Figure::Share(0, 0),
        ];
        assert_eq!(told.map(|figure| figure.to_string()), ["1.2 s", "never", "7", "12.5 %", "0 %"]);
    }
}
