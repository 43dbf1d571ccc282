//! What comes of fields over several seeds: one run is a sample, and says nothing about the next.

use core::ops::Range;
use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use serde::Serialize;

use super::{Contrast, Field, Figure, Verdict};

/// A field with what came of it, seed by seed.
#[derive(Clone, Debug)]
pub struct Survey {
    /// Which.
    pub field: Field,
    /// The first seed; the others follow it.
    pub start: u64,
    /// One for each seed, at least one.
    pub verdicts: Vec<Verdict>,
}

/// What the reporters' settings came to over all seeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Contrasts {
    /// With these settings it came to something between these, all of which must miss the bar.
    Runs {
        /// What is set otherwise.
        with: &'static str,
        /// The one that came nearest to the bar.
        best: Figure,
        /// The one farthest from it.
        worst: Figure,
    },
    /// No public setting of ours shows it.
    PeerOnly {
        /// Why.
        because: &'static str,
    },
}

impl Survey {
    /// Runs fields over these seeds, on all cores. The same seeds give the same verdicts.
    ///
    /// # Panics
    ///
    /// If there is no seed.
    #[must_use]
    pub fn run(fields: &[Field], seeds: Range<u64>) -> Vec<Self> {
        assert!(!seeds.is_empty(), "a survey has a seed");
        let count = usize::try_from(seeds.end - seeds.start).unwrap_or(usize::MAX);
        let jobs: Vec<_> =
            fields.iter().flat_map(|field| seeds.clone().map(move |seed| (field, seed))).collect();
        let mut verdicts = all(&jobs).into_iter();
        let survey = |field: &Field| Self {
            field: *field,
            start: seeds.start,
            verdicts: verdicts.by_ref().take(count).collect(),
        };
        fields.iter().map(survey).collect()
    }

    /// Half of the seeds came to no more than this.
    #[must_use]
    pub fn median(&self) -> Figure {
        let ours = self.ours();
        ours[(ours.len() - 1) / 2]
    }

    /// No seed came to more than this.
    #[must_use]
    pub fn worst(&self) -> Figure {
        *self.ours().last().expect("a survey has a seed")
    }

    fn ours(&self) -> Vec<Figure> {
        let mut ours: Vec<_> = self.verdicts.iter().map(|verdict| verdict.ours).collect();
        ours.sort_by(Figure::compare);
        ours
    }

    /// What must not be missed.
    #[must_use]
    pub fn bar(&self) -> Figure {
        self.verdicts[0].bar
    }

    /// What ours ran with.
    #[must_use]
    pub fn with(&self) -> &'static str {
        self.verdicts[0].with
    }

    /// What proves that the situation arose, and the least that there was of it.
    #[must_use]
    pub fn arose(&self) -> (&'static str, u64) {
        let (what, _) = self.verdicts[0].arose;
        (what, self.verdicts.iter().map(|verdict| verdict.arose.1).min().unwrap_or_default())
    }

    /// The same as the reporters ran it.
    #[must_use]
    pub fn contrast(&self) -> Contrasts {
        let (mut figures, mut settings) = (Vec::new(), "");
        for verdict in &self.verdicts {
            match verdict.contrast {
                Contrast::Run { with, figure } => {
                    settings = with;
                    figures.push(figure);
                }
                Contrast::PeerOnly { because } => return Contrasts::PeerOnly { because },
            }
        }
        figures.sort_by(Figure::compare);
        Contrasts::Runs { with: settings, best: figures[0], worst: figures[figures.len() - 1] }
    }

    /// The seeds with which it does not hold, and what came of them.
    pub fn missed(&self) -> impl Iterator<Item = (u64, &Verdict)> {
        let numbered = (self.start..).zip(&self.verdicts);
        numbered.filter(|(_, verdict)| !verdict.holds())
    }

    /// A line of the table.
    pub(super) fn line(&self) -> String {
        let Field { name, reports, story, measure, .. } = self.field;
        let (median, worst) = (self.median().to_string(), self.worst().to_string());
        let ours = if median == worst { median } else { format!("{median}, at worst {worst}") };
        let (theirs, theirs_with) = match self.contrast() {
            Contrasts::Runs { with, best, worst } => (span(best, worst), with),
            Contrasts::PeerOnly { because } => ("–".to_owned(), because),
        };
        let (bar, with) = (self.bar(), self.with());
        format!(
            "| `{name}` | {reports} | {story} | {measure} | ≤ {bar} | {ours} | {with} | {theirs} | \
             {theirs_with} |\n"
        )
    }
}

fn span(best: Figure, worst: Figure) -> String {
    let (best, worst) = (best.to_string(), worst.to_string());
    if best == worst { best } else { format!("{best} to {worst}") }
}

/// What comes of all these, in their order.
fn all(jobs: &[(&Field, u64)]) -> Vec<Verdict> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        while let number = next.fetch_add(1, Ordering::Relaxed)
            && let Some((field, seed)) = jobs.get(number)
        {
            done.push((number, field.run(*seed)));
        }
        done
    };
    let workers = thread::available_parallelism().map_or(1, NonZero::get).min(jobs.len());
    let mut done: Vec<_> = thread::scope(|scope| {
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        workers
            .into_iter()
            .flat_map(|worker| worker.join().expect("a field does not panic"))
            .collect()
    });
    done.sort_unstable_by_key(|&(number, _)| number);
    done.into_iter().map(|(_, verdict)| verdict).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(ours: u64, theirs: u64) -> Verdict {
        Verdict {
            arose: ("x", ours + 1),
            with: "y",
            ours: Figure::Count(ours),
            bar: Figure::Count(3),
            contrast: Contrast::Run { with: "z", figure: Figure::Count(theirs) },
        }
    }

    #[test]
    fn a_survey_tells_the_middle_the_worst_and_whoever_missed() {
        let verdicts = vec![verdict(2, 9), verdict(0, 5), verdict(4, 7), verdict(1, 3)];
        let field = Field::named("moved").unwrap();
        let survey = Survey { field, start: 10, verdicts };
        assert_eq!((survey.median(), survey.worst()), (Figure::Count(1), Figure::Count(4)));
        assert_eq!(survey.arose(), ("x", 1));
        let (best, worst) = (Figure::Count(3), Figure::Count(9));
        assert_eq!(survey.contrast(), Contrasts::Runs { with: "z", best, worst });
        let missed: Vec<_> = survey.missed().map(|(seed, _)| seed).collect();
        assert_eq!(missed, [12, 13], "one over the bar, one contrast that is not");
        assert!(survey.line().contains("| 1, at worst 4 | y | 3 to 9 | z |"), "{}", survey.line());
    }

    #[test]
    fn what_is_the_same_with_all_seeds_is_told_once() {
        let field = Field::named("moved").unwrap();
        let survey = Survey { field, start: 0, verdicts: vec![verdict(2, 9); 3] };
        assert!(survey.line().contains("| ≤ 3 | 2 | y | 9 | z |"), "{}", survey.line());
    }

    #[test]
    fn verdicts_stay_with_their_fields_and_seeds() {
        let fields = ["moved", "dead-seeds"].map(|name| Field::named(name).unwrap());
        let surveys = Survey::run(&fields, 5..8);
        for (survey, field) in surveys.iter().zip(fields) {
            let alone: Vec<_> = (5..8).map(|seed| field.run(seed)).collect();
            assert_eq!((survey.field.name, &survey.verdicts), (field.name, &alone));
        }
    }
}
