//! Rumour mongering in cycles, as Demers et al. 1987 (§1.4) studied it: how many sites a rumour misses,
//! how many copies it costs and how long it takes, by the policy that decides when interest is lost.
//!
//! No node takes part, and no network: cycles, sites and chance, with the core's [`Epidemic::cools`] as
//! the one truth about losing interest. What a cycle is stands in `spread.rs`.

mod published;
mod render;
mod spread;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use rumormill::{Epidemic, Exchange, Stop};
use rumormill_sim::chance::{Chance, Part};
use serde::Serialize;

pub use published::{Printed, Published, SITES, TABLES, Table, Verdict};

use super::batch::progress_bar;
use super::interrupt::is_interrupted;
use crate::summary::Statistics;
use published::runs_to_judge;
use spread::{Course, spread};

/// Most sites of an epidemic.
pub const SITES_MAX: u32 = 100_000;
/// Most runs of a policy.
pub const RUNS_MAX: u32 = 1_000_000;
/// Runs that a thread takes at once.
const SHARE: u32 = 64;

/// What is to be studied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Study {
    /// The policies.
    pub policies: Vec<Policy>,
    /// How many sites there are, 2 to [`SITES_MAX`].
    pub sites: u32,
    /// How many epidemics of each, 1 to [`RUNS_MAX`].
    pub runs: u32,
    /// Where all chance comes from.
    pub seed: u64,
}

/// How rumours are mongered, and with whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Who tells whom, and when interest is lost.
    pub epidemic: Epidemic,
    /// Who may be told.
    pub partner: Partner,
}

/// Whom a site may tell. Without anybody left it loses interest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Partner {
    /// Any other, as in the published tables.
    Any,
    /// Not the one from which it has the rumour: the first one, if several told it in one cycle.
    NotBack,
    /// Nor those that it has told already.
    Unsent,
}

impl Partner {
    /// The word for it on the command line.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::NotBack => "not-back",
            Self::Unsent => "unsent",
        }
    }
}

/// What was found out.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Findings {
    /// How many sites there were.
    pub sites: u32,
    /// How many epidemics of each policy.
    pub runs: u32,
    /// Where all chance came from.
    pub seed: u64,
    /// A row for each policy.
    pub rows: Vec<Row>,
}

/// A policy and what becomes of its rumours: means over all runs, with half the width of their 95 %
/// confidence intervals.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// Who tells whom: push, pull or push-pull.
    pub exchange: &'static str,
    /// Which contacts count: feedback or blind.
    pub interest: &'static str,
    /// What ends the interest: counter or coin.
    pub stop: &'static str,
    /// Whom a site may tell: any, not-back or unsent.
    pub partner: &'static str,
    /// After how many contacts, or with a chance of one in how many.
    pub k: u8,
    /// The share of the sites that were never told, s.
    pub residue: f64,
    /// See above.
    pub residue_ci95: Option<f64>,
    /// The same sites, in number, over all runs.
    pub missed: u64,
    /// Copies sent per site, m.
    pub traffic: f64,
    /// See above.
    pub traffic_ci95: Option<f64>,
    /// Cycles until a site was told, over those that were; `None` if never any was.
    pub t_ave: Option<f64>,
    /// Cycles until the last site was told.
    pub t_last: Option<f64>,
    /// e to the power of -m: the residue that any push has (Demers et al. §1.4).
    pub push_law: f64,
    /// The table that has this policy.
    pub table: Option<&'static str>,
    /// What stands there for this k.
    pub published: Option<Published>,
    /// The residue beside it.
    pub residue_is: Option<Verdict>,
    /// If these runs are too few to say: how many are not.
    pub runs_to_judge: Option<u64>,
    /// The traffic beside it.
    pub traffic_is: Option<Verdict>,
}

/// Carries the study out, on all cores; the findings do not depend on how many there are. `None`:
/// somebody interrupted.
#[must_use]
pub fn study(study: &Study) -> Option<Findings> {
    let bar = progress_bar(study.policies.len() * study.runs as usize);
    let row = |&policy: &Policy| {
        let k = k_of(policy.epidemic);
        bar.set_message(format!(
            "{}, {}, k = {k}",
            words(policy.epidemic).join(", "),
            policy.partner.word()
        ));
        let courses = courses(study, policy, &|runs| bar.inc(runs))?;
        Some(Row::new(policy, study, &courses))
    };
    let rows = study.policies.iter().map(row).collect::<Option<Vec<_>>>();
    bar.finish_and_clear();
    Some(Findings { sites: study.sites, runs: study.runs, seed: study.seed, rows: rows? })
}

/// All runs of a policy, in no order; `None`: somebody interrupted.
fn courses(study: &Study, policy: Policy, done: &(dyn Fn(u64) + Sync)) -> Option<Vec<Course>> {
    let (next, all) = (AtomicU32::new(0), Mutex::new(Vec::new()));
    let work = || {
        while !is_interrupted() {
            let first = next.fetch_add(SHARE, Ordering::Relaxed);
            let share = first..study.runs.min(first.saturating_add(SHARE));
            if share.is_empty() {
                return;
            }
            let courses: Vec<Course> = share.map_while(|run| one(study, policy, run)).collect();
            done(courses.len() as u64);
            all.lock().unwrap_or_else(std::sync::PoisonError::into_inner).extend(courses);
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
        work();
    });
    let all = all.into_inner().unwrap_or_default();
    (all.len() == study.runs as usize).then_some(all)
}

fn one(study: &Study, policy: Policy, run: u32) -> Option<Course> {
    // A stream for each run of each policy: what is studied beside it moves nothing.
    let mut chance = Chance::child(study.seed, Part::Process(run, code(policy)));
    (!is_interrupted()).then(|| spread(policy, study.sites, &mut chance))
}

/// A number of its own for each policy.
fn code(Policy { epidemic, partner }: Policy) -> u32 {
    let partner = match partner {
        Partner::Any => 0,
        Partner::NotBack => 1,
        Partner::Unsent => 2,
    };
    let exchange = match epidemic.exchange {
        Exchange::Push => 0,
        Exchange::Pull => 1,
        Exchange::PushPull => 2,
    };
    let (stop, k) = match epidemic.stop {
        Stop::Counter(k) => (0, k),
        Stop::Coin(k) => (1, k),
    };
    let interest = u32::from(epidemic.feedback);
    partner << 18 | exchange << 16 | interest << 9 | stop << 8 | u32::from(k)
}

/// The same policy with another k.
#[must_use]
pub fn with_k(policy: Epidemic, k: u8) -> Epidemic {
    let stop = match policy.stop {
        Stop::Counter(_) => Stop::Counter(k),
        Stop::Coin(_) => Stop::Coin(k),
    };
    Epidemic { stop, ..policy }
}

fn k_of(policy: Epidemic) -> u8 {
    match policy.stop {
        Stop::Counter(k) | Stop::Coin(k) => k,
    }
}

/// A policy in the words of the command line, without its k.
fn words(policy: Epidemic) -> [&'static str; 3] {
    let exchange = match policy.exchange {
        Exchange::Push => "push",
        Exchange::Pull => "pull",
        Exchange::PushPull => "push-pull",
    };
    let stop = match policy.stop {
        Stop::Counter(_) => "counter",
        Stop::Coin(_) => "coin",
    };
    [exchange, if policy.feedback { "feedback" } else { "blind" }, stop]
}

impl Row {
    fn new(policy: Policy, study: &Study, courses: &[Course]) -> Self {
        let (Policy { epidemic, partner }, &Study { sites, runs, .. }) = (policy, study);
        let over = |figure: &dyn Fn(&Course) -> Option<f64>| -> Statistics {
            courses.iter().filter_map(figure).collect()
        };
        let residues = over(&|course| Some(f64::from(course.missed) / f64::from(sites)));
        let traffics = over(&|course| Some(course.sent as f64 / f64::from(sites)));
        // The origin was told by nobody.
        let reached = |course: &Course| sites - 1 - course.missed;
        let averages = over(&|course| {
            (reached(course) > 0).then(|| course.arrivals as f64 / f64::from(reached(course)))
        });
        let lasts = over(&|course| (reached(course) > 0).then_some(f64::from(course.last)));
        let residue = residues.mean().unwrap_or_default();
        let traffic = traffics.mean().unwrap_or_default();
        let missed = courses.iter().map(|course| u64::from(course.missed)).sum();
        let is_published = sites == SITES && partner == Partner::Any;
        let table = Table::of(epidemic).filter(|_| is_published);
        let published = table.and_then(|table| table.row(k_of(epidemic)));
        let residue_is =
            published.map(|row| Verdict::of_residue(row.residue, residue, missed, runs));
        let is_few = residue_is == Some(Verdict::TooFew);
        let [exchange, interest, stop] = words(epidemic);
        Self {
            exchange,
            interest,
            stop,
            partner: partner.word(),
            k: k_of(epidemic),
            residue,
            residue_ci95: residues.ci95(),
            missed,
            traffic,
            traffic_ci95: traffics.ci95(),
            t_ave: averages.mean(),
            t_last: lasts.mean(),
            push_law: (-traffic).exp(),
            table: table.map(|table| table.name),
            published,
            residue_is,
            runs_to_judge: published.filter(|_| is_few).map(|row| runs_to_judge(row.residue)),
            traffic_is: published.map(|row| Verdict::of(row.traffic, traffic)),
        }
    }

    fn verdicts(&self) -> impl Iterator<Item = Verdict> {
        self.residue_is.into_iter().chain(self.traffic_is)
    }
}

impl Findings {
    /// How many residues and traffics have this verdict.
    #[must_use]
    pub fn count(&self, verdict: Verdict) -> usize {
        self.rows.iter().flat_map(Row::verdicts).filter(|&found| found == verdict).count()
    }

    /// For people; ends with a newline.
    #[must_use]
    pub fn to_table(&self) -> String {
        render::table(self)
    }

    /// Everything as one JSON object; ends with a newline.
    #[must_use]
    pub fn to_json(&self) -> String {
        render::json(self)
    }

    /// One row per policy under a row of names; what there is not is empty.
    #[must_use]
    pub fn to_csv(&self) -> String {
        render::csv(self)
    }
}

#[cfg(test)]
mod tests;
