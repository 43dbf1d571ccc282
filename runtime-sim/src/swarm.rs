//! Many seeds, and what came of them in numbers that can be added up.
//!
//! What a range of seeds gives is a function of the range, of what is masked, and of how nodes and
//! worlds behave: any number of machines may each run a part, and [`Tally::merge`] makes one of them.

use core::fmt;
use core::hash::Hasher as _;
use core::panic::AssertUnwindSafe;
use core::time::Duration;
use std::collections::BTreeMap;
use std::panic::catch_unwind;
use std::sync::OnceLock;

use rumormill::Mode;
use serde::{Deserialize, Serialize};
use siphasher::sip128::{Hasher128 as _, SipHasher13};
use thiserror::Error;

use crate::scenario::{Class, Classes, Outcome, Scenario};
use crate::trace::{Hash, Tracer};

/// A swarm of at least so many seeds must have seen every kind of fault.
pub const TELLING_SEEDS: u64 = 200;
/// Failures that are kept in words; all are counted.
pub const FAILURES_KEPT: usize = 100;
/// Seeds of a swarm at most.
pub const SEEDS_MAX: u64 = 1 << 40;

const MICROS_PER_HOUR: f64 = 3_600e6;

/// Which faults do not happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// Masked.
    pub no: Classes,
}

impl Choice {
    /// What a seed draws under this choice.
    #[must_use]
    pub fn scenario(&self, seed: u64) -> Scenario {
        Scenario::draw(seed).without(self.no)
    }

    /// The command that runs a seed again.
    #[must_use]
    pub fn command(&self, seed: u64) -> String {
        let mut command = format!("sim run --seed {seed}");
        if self.no != Classes::NONE {
            command += &format!(" --no {}", self.no);
        }
        command
    }

    /// Kinds that a swarm must have seen.
    fn expected(&self) -> impl Iterator<Item = Class> {
        let Self { no } = *self;
        Class::ALL.iter().copied().filter(move |class| !no.has(*class))
    }
}

/// How a seed failed, from the worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The code itself gave up: a bug of ours.
    Panic,
    /// Something happened that never may.
    Breach,
    /// Something did not happen that should.
    NoConvergence,
}

/// A seed that failed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// Which.
    pub seed: u64,
    /// How.
    pub kind: Kind,
    /// What did not hold, without when and where: failures with the same are alike.
    pub rule: String,
    /// In words.
    pub what: String,
    /// The command that shows it again.
    pub command: String,
}

/// What tells two programs apart that do not behave alike, whatever they call themselves: the hash of
/// three small runs, one in each mode. Equal in every build of the same source, on every machine; a
/// change that shows in none of the three stays unseen.
#[must_use]
pub fn behaviour() -> Hash {
    static BEHAVIOUR: OnceLock<Hash> = OnceLock::new();
    *BEHAVIOUR.get_or_init(|| {
        let mut hasher = SipHasher13::new_with_keys(7, 8);
        for (seed, mode) in [(1, Mode::Classic), (12, Mode::Matching), (4, Mode::ThesisMatching)] {
            let scenario = Scenario { mode, ..Scenario::draw(seed).with_nodes(3) };
            // A program that panics is another one, too.
            let ran = catch_unwind(|| scenario.run(Tracer::default()).1.hash());
            hasher.write(&ran.unwrap_or(Hash(0)).0.to_be_bytes());
        }
        Hash(hasher.finish128().as_u128())
    })
}

/// Runs one seed.
///
/// # Errors
///
/// [`Failure`].
pub fn run_seed(seed: u64, choice: &Choice) -> Result<(Scenario, Outcome), Failure> {
    let scenario = choice.scenario(seed);
    match run_scenario(&scenario, choice.command(seed)) {
        Ok(outcome) => Ok((scenario, outcome)),
        Err(failure) => Err(failure),
    }
}

/// Runs a scenario, which this command shows again.
///
/// # Errors
///
/// [`Failure`].
pub fn run_scenario(scenario: &Scenario, command: String) -> Result<Outcome, Failure> {
    let ran = catch_unwind(AssertUnwindSafe(|| scenario.run(Tracer::default()).0));
    let (kind, rule, what) = match ran {
        Ok(Ok(outcome)) => return Ok(outcome),
        Ok(Err(violation)) => {
            let is_breach = violation.is_breach();
            let kind = if is_breach { Kind::Breach } else { Kind::NoConvergence };
            (kind, violation.rule(), violation.to_string())
        }
        Err(panic) => {
            let what = words(&*panic);
            // The numbers of an assertion differ from run to run.
            let rule = what.split(|c: char| c.is_ascii_digit()).next().unwrap_or_default();
            (Kind::Panic, rule.to_owned(), what)
        }
    };
    Err(Failure { seed: scenario.seed, kind, rule, what, command })
}

fn words(panic: &(dyn core::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("it panicked").to_owned()
}

/// The same failure with as few kinds of faults as it takes: one after the other is left out if it
/// fails alike without, until it needs each of those that are left.
#[must_use]
pub fn shrink(failure: Failure, choice: &Choice) -> Failure {
    let seed = failure.seed;
    shrink_by(failure, choice, |fewer| run_seed(seed, fewer).err())
}

/// As [`shrink`], where `again` tells how the seed fails under another choice.
#[must_use]
pub fn shrink_by(
    failure: Failure,
    choice: &Choice,
    mut again: impl FnMut(&Choice) -> Option<Failure>,
) -> Failure {
    let (mut best, mut choice) = (failure, *choice);
    loop {
        let before = choice;
        for class in choice.scenario(best.seed).faults.iter() {
            let mut fewer = choice;
            fewer.no.insert(class);
            // Another rule is another bug.
            let is_alike = |found: &Failure| (found.kind, &found.rule) == (best.kind, &best.rule);
            if let Some(found) = again(&fewer).filter(is_alike) {
                (best, choice) = (found, fewer);
            }
        }
        // What is left out may have been all that another one was needed for.
        if choice == before {
            return best;
        }
    }
}

/// Seeds that follow one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Range {
    /// The first.
    pub start: u64,
    /// How many.
    pub seeds: u64,
}

impl Range {
    const fn end(self) -> u64 {
        self.start.saturating_add(self.seeds)
    }
}

/// How often a kind of fault happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Times {
    /// In all.
    pub times: u64,
    /// In how many seeds.
    pub seeds: u64,
}

/// Times, summed up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spans {
    /// The longest, in microseconds.
    pub max_us: u64,
    /// All of them, in microseconds.
    pub sum_us: u64,
}

impl Spans {
    fn add(&mut self, span: Duration) {
        let micros = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        self.merge(Self { max_us: micros, sum_us: micros });
    }

    fn merge(&mut self, other: Self) {
        self.max_us = self.max_us.max(other.max_us);
        self.sum_us = self.sum_us.saturating_add(other.sum_us);
    }

    /// The mean of so many, and the longest.
    fn words(self, of: u64) -> String {
        let mean = Duration::from_micros(self.sum_us.checked_div(of).unwrap_or_default());
        format!("{mean:?} on average, {:?} at most", Duration::from_micros(self.max_us))
    }
}

/// What came of seeds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tally {
    /// Of which program.
    pub version: String,
    /// How it behaves, see [`behaviour`]: a version has many commits.
    pub behaviour: String,
    /// What was masked.
    pub no: String,
    /// Which seeds, ordered, none twice.
    pub ranges: Vec<Range>,
    /// How many of them were well.
    pub passed: u64,
    /// How many were not.
    pub failed: u64,
    /// The worst of them, ordered by seed.
    pub failures: Vec<Failure>,
    /// Virtual time of all that were well, in microseconds.
    pub cluster_us: u64,
    /// The same, of each node.
    pub node_us: u64,
    /// Things that happened in their worlds.
    pub steps: u64,
    /// Datagrams that were sent.
    pub datagrams: u64,
    /// Bytes on the wire.
    pub wire_bytes: u64,
    /// From the healing until all saw all, in those that were well.
    pub healed: Spans,
    /// From the last broadcast until all knew the same, in those that were well.
    pub delivered: Spans,
    /// How often each kind of fault happened, by name.
    pub fired: BTreeMap<String, Times>,
    /// All runs that were well, whatever their order.
    pub hash: String,
}

/// Why tallies do not add up.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum MergeError {
    /// They come from different programs.
    #[error("versions {0} and {1} draw different scenarios")]
    Versions(String, String),
    /// They come from commits between which nodes or worlds changed.
    #[error(
        "they come from different commits: in one nodes behave as {0}, in the other as {1}; \
         run all parts with one build"
    )]
    Behaviours(String, String),
    /// A part has seeds that were neither well nor not, or more results than seeds.
    #[error("it has {results} results for {seeds} seeds: it was changed or cut short")]
    Results {
        /// What was well and what was not.
        results: u64,
        /// What was run.
        seeds: u64,
    },
    /// Other faults were masked.
    #[error("they did not run the same faults: --no {0}, and --no {1}")]
    Choices(String, String),
    /// A seed would count twice.
    #[error("both ran seed {0}")]
    Twice(u64),
    /// A hash is none.
    #[error("`{0}` is no hash")]
    Hash(String),
}

impl Tally {
    /// Nothing yet.
    #[must_use]
    pub fn new(choice: &Choice) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            behaviour: behaviour().to_string(),
            no: choice.no.to_string(),
            fired: choice
                .expected()
                .map(|class| (class.name().to_owned(), Times::default()))
                .collect(),
            hash: Hash(0).to_string(),
            ..Self::default()
        }
    }

    /// Adds one seed.
    pub fn add(&mut self, seed: u64, ran: Result<(Scenario, Outcome), Failure>) {
        match ran {
            Ok((scenario, outcome)) => self.add_outcome(&scenario, &outcome),
            Err(failure) => {
                self.failed += 1;
                self.failures.push(failure);
            }
        }
        self.ranges.push(Range { start: seed, seeds: 1 });
        self.tidy();
    }

    fn add_outcome(&mut self, scenario: &Scenario, outcome: &Outcome) {
        self.passed += 1;
        let micros = outcome.ended_at.as_micros();
        self.cluster_us += micros;
        self.node_us += micros * scenario.nodes as u64;
        self.steps += outcome.stats.steps;
        self.datagrams += outcome.stats.datagrams;
        self.wire_bytes += outcome.stats.wire_bytes();
        self.healed.add(outcome.healed_after);
        self.delivered.add(outcome.delivered_after);
        for &class in Class::ALL {
            let times = outcome.fired.times(class);
            if times > 0 {
                let sum = self.fired.entry(class.name().to_owned()).or_default();
                sum.times += times;
                sum.seeds += 1;
            }
        }
        let mut hasher = SipHasher13::new_with_keys(5, 6);
        hasher.write(&scenario.seed.to_be_bytes());
        hasher.write(&outcome.hash.0.to_be_bytes());
        let sum = self.hash_sum().unwrap_or_default().wrapping_add(hasher.finish128().as_u128());
        self.hash = Hash(sum).to_string();
    }

    fn hash_sum(&self) -> Result<u128, MergeError> {
        u128::from_str_radix(&self.hash, 16).map_err(|_| MergeError::Hash(self.hash.clone()))
    }

    /// Puts ranges and failures in order.
    fn tidy(&mut self) {
        // The worst are kept, whatever their seeds.
        self.failures.sort_by_key(|failure| (failure.kind, failure.seed));
        self.failures.truncate(FAILURES_KEPT);
        self.failures.sort();
        self.ranges.sort();
        let mut joined: Vec<Range> = Vec::new();
        for range in self.ranges.drain(..) {
            match joined.last_mut() {
                Some(last) if last.end() == range.start => last.seeds += range.seeds,
                _ => joined.push(range),
            }
        }
        self.ranges = joined;
    }

    /// Whether every seed of a part has one result.
    ///
    /// # Errors
    ///
    /// [`MergeError::Results`], [`MergeError::Twice`], [`MergeError::Hash`].
    pub fn check(&self) -> Result<(), MergeError> {
        let twice = self.ranges.windows(2).find(|pair| pair[0].end() > pair[1].start);
        if let Some(pair) = twice {
            return Err(MergeError::Twice(pair[1].start));
        }
        let seeds = self.ranges.iter().fold(0_u64, |sum, range| sum.saturating_add(range.seeds));
        let results = self.passed.saturating_add(self.failed);
        if results != seeds {
            return Err(MergeError::Results { results, seeds });
        }
        self.hash_sum().map(|_| ())
    }

    /// Adds other seeds.
    ///
    /// # Errors
    ///
    /// [`MergeError`]; nothing changed.
    pub fn merge(&mut self, other: &Self) -> Result<(), MergeError> {
        if self.version != other.version {
            return Err(MergeError::Versions(self.version.clone(), other.version.clone()));
        }
        if self.behaviour != other.behaviour {
            let behaviours = [self, other].map(|tally| tally.behaviour.clone());
            let [one, two] = behaviours;
            return Err(MergeError::Behaviours(one, two));
        }
        if self.no != other.no {
            return Err(MergeError::Choices(self.no.clone(), other.no.clone()));
        }
        self.check()?;
        other.check()?;
        for one in &self.ranges {
            let overlaps = |two: &&Range| one.start.max(two.start) < one.end().min(two.end());
            if let Some(two) = other.ranges.iter().find(overlaps) {
                return Err(MergeError::Twice(one.start.max(two.start)));
            }
        }
        let hash = self.hash_sum()?.wrapping_add(other.hash_sum()?);
        self.hash = Hash(hash).to_string();
        for (sum, more) in [
            (&mut self.passed, other.passed),
            (&mut self.failed, other.failed),
            (&mut self.cluster_us, other.cluster_us),
            (&mut self.node_us, other.node_us),
            (&mut self.steps, other.steps),
            (&mut self.datagrams, other.datagrams),
            (&mut self.wire_bytes, other.wire_bytes),
        ] {
            *sum = sum.saturating_add(more);
        }
        self.healed.merge(other.healed);
        self.delivered.merge(other.delivered);
        for (name, more) in &other.fired {
            let sum = self.fired.entry(name.clone()).or_default();
            sum.times = sum.times.saturating_add(more.times);
            sum.seeds = sum.seeds.saturating_add(more.seeds);
        }
        self.failures.extend_from_slice(&other.failures);
        self.ranges.extend_from_slice(&other.ranges);
        self.tidy();
        Ok(())
    }

    /// How many seeds.
    #[must_use]
    pub fn seeds(&self) -> u64 {
        self.ranges.iter().map(|range| range.seeds).sum()
    }

    /// The worst that happened.
    #[must_use]
    pub fn worst(&self) -> Option<Kind> {
        let kept = self.failures.iter().map(|failure| failure.kind).min();
        // A file that was cut short may count failures that it does not name.
        kept.or((self.failed > 0).then_some(Kind::NoConvergence))
    }

    /// Kinds of faults that never happened, though there were seeds enough.
    #[must_use]
    pub fn never_fired(&self) -> Vec<&str> {
        if self.seeds() < TELLING_SEEDS {
            return Vec::new();
        }
        let never = self.fired.iter().filter(|(_, times)| times.times == 0);
        never.map(|(name, _)| name.as_str()).collect()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        #[allow(clippy::cast_precision_loss, reason = "a figure for people")]
        let hours = |micros: u64| micros as f64 / MICROS_PER_HOUR;
        let ranges: Vec<_> = self
            .ranges
            .iter()
            .map(|range| format!("{} to {}", range.start, range.end().saturating_sub(1)))
            .collect();
        writeln!(f, "seeds       {} ({}), {} well", self.seeds(), ranges.join(", "), self.passed)?;
        writeln!(f, "violations  {}", self.failed)?;
        let (clusters, nodes) = (hours(self.cluster_us), hours(self.node_us));
        writeln!(f, "simulated   {clusters:.2} cluster-hours, {nodes:.2} node-hours")?;
        writeln!(f, "steps       {}", self.steps)?;
        writeln!(f, "datagrams   {}, {} bytes on the wire", self.datagrams, self.wire_bytes)?;
        writeln!(f, "healed      {}", self.healed.words(self.passed))?;
        writeln!(f, "delivered   {}", self.delivered.words(self.passed))?;
        for (index, &class) in Class::ALL.iter().enumerate() {
            let head = if index == 0 { "faults" } else { "" };
            let Some(Times { times, seeds }) = self.fired.get(class.name()) else { continue };
            writeln!(f, "{head:<11} {class:<12} {times:>9} in {seeds} seeds")?;
        }
        writeln!(f, "behaviour   {}", self.behaviour)?;
        writeln!(f, "hash        {}", self.hash)?;
        for Failure { seed, kind, what, command, .. } in &self.failures {
            writeln!(f, "{kind:?} of seed {seed}: {what}; again with: {command}")?;
        }
        let never = self.never_fired();
        if !never.is_empty() {
            writeln!(f, "never happened: {}", never.join(", "))?;
        }
        Ok(())
    }
}
