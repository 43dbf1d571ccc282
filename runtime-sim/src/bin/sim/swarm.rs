//! `sim swarm` and `sim merge`.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use clap::{Args, ValueEnum};
use rumormill_sim::scenario::Class;
use rumormill_sim::swarm::{Choice, Kind, SEEDS_MAX, Tally, run_seed, shrink};

use super::progress::Progress;
use super::{EXIT_BREACH, EXIT_INTERRUPTED, EXIT_NO_CONVERGENCE, EXIT_USAGE, interruptions};

/// What a shell sees if a kind of fault never happened.
const EXIT_VACUOUS: u8 = 5;
/// What a shell sees if a seed panicked, as if the program had.
const EXIT_PANIC: u8 = 101;
/// Threads at most.
const JOBS_MAX: usize = 1_024;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// Lines for people
    Text,
    /// One object, to be merged
    Json,
}

#[derive(Debug, Args)]
pub(super) struct SwarmArgs {
    /// The first seed
    #[arg(long, value_name = "S", default_value_t = 0)]
    start: u64,
    /// How many seeds
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=SEEDS_MAX))]
    seeds: u64,
    /// Threads [default: one per core]
    #[arg(long, value_name = "J", value_parser = jobs)]
    jobs: Option<usize>,
    /// Kinds of faults that do not happen, with commas between them
    #[arg(long, value_name = "FAULTS", value_delimiter = ',')]
    no: Vec<Class>,
    /// Leave faults out of failing seeds as long as they fail
    #[arg(long)]
    shrink: bool,
    /// End with the first seed that fails, and those under way
    #[arg(long)]
    first: bool,
    /// How to print what came of it
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Debug, Args)]
pub(super) struct MergeArgs {
    /// What `sim swarm --format json` printed
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// How to print the sum
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

pub(super) fn jobs(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|jobs| (1..=JOBS_MAX).contains(jobs));
    number.ok_or_else(|| format!("give a number of threads from 1 to {JOBS_MAX}"))
}

/// What all threads of a swarm share.
struct Hunt<'a> {
    args: &'a SwarmArgs,
    choice: Choice,
    next: AtomicU64,
    is_over: Arc<AtomicBool>,
    /// What was looked for is found.
    is_found: AtomicBool,
    tally: Mutex<Tally>,
    progress: Progress,
}

impl Hunt<'_> {
    /// Takes one seed after the other until none is left, a failure is enough, or somebody pressed
    /// Ctrl-C.
    fn work(&self) {
        while !self.is_over.load(Ordering::Relaxed) && !self.is_found.load(Ordering::Relaxed) {
            let index = self.next.fetch_add(1, Ordering::Relaxed);
            if index >= self.args.seeds {
                return;
            }
            let seed = self.args.start.wrapping_add(index);
            let mut ran = run_seed(seed, &self.choice);
            if self.args.shrink {
                ran = ran.map_err(|failure| shrink(failure, &self.choice));
            }
            self.is_found.fetch_or(ran.is_err() && self.args.first, Ordering::Relaxed);
            let failure = ran.as_ref().err().cloned();
            let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
            tally.add(seed, ran);
            self.progress.ended(failure.as_ref(), tally.passed, tally.failed);
        }
    }
}

pub(super) fn swarm(args: &SwarmArgs) -> ExitCode {
    if args.start.checked_add(args.seeds).is_none() {
        eprintln!("sim: there are no seeds beyond {}", u64::MAX);
        return ExitCode::from(EXIT_USAGE);
    }
    let is_over = interruptions();
    let choice = Choice { no: args.no.iter().copied().collect() };
    let hunt = Hunt {
        args,
        choice,
        next: AtomicU64::new(0),
        is_over,
        is_found: AtomicBool::new(false),
        tally: Mutex::new(Tally::new(&choice)),
        progress: Progress::new(args.seeds),
    };
    let cores = || thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..args.jobs.unwrap_or_else(cores) {
            scope.spawn(|| hunt.work());
        }
    });
    let Hunt { is_over, tally, progress, .. } = hunt;
    let tally = tally.into_inner().unwrap_or_else(PoisonError::into_inner);
    let (seeds, elapsed) = (tally.seeds(), progress.elapsed());
    progress.clear();
    print(&tally, args.format);
    #[allow(clippy::cast_precision_loss, reason = "a figure for people")]
    let rate = seeds as f64 / elapsed.as_secs_f64().max(1e-9);
    eprintln!("sim: {seeds} seeds in {:.1} s, {rate:.1} per second", elapsed.as_secs_f64());
    if seeds < args.seeds && is_over.load(Ordering::Relaxed) {
        eprintln!("sim: interrupted; go on with --start {}", args.start + seeds);
        return ExitCode::from(EXIT_INTERRUPTED);
    }
    verdict(&tally)
}

pub(super) fn merge(args: &MergeArgs) -> ExitCode {
    let mut sum: Option<Tally> = None;
    for path in &args.files {
        let read = fs::read_to_string(path).map_err(|error| error.to_string()).and_then(|text| {
            serde_json::from_str(&text).map_err(|error| {
                format!("it is not what `sim swarm --format json` prints ({error})")
            })
        });
        let merged = read.and_then(|tally: Tally| {
            let merged = match &mut sum {
                Some(sum) => sum.merge(&tally),
                // The first is added to nothing, and must be whole too.
                None => tally.check().map(|()| sum = Some(tally)),
            };
            merged.map_err(|error| error.to_string())
        });
        if let Err(error) = merged {
            eprintln!("sim: {}: {error}", path.display());
            return ExitCode::FAILURE;
        }
    }
    let Some(sum) = sum else { return ExitCode::FAILURE };
    print(&sum, args.format);
    verdict(&sum)
}

/// Whoever closes the output early has seen enough; the exit code still tells.
fn print(tally: &Tally, format: Format) {
    let mut out = std::io::stdout().lock();
    let text = match format {
        Format::Text => tally.to_string(),
        Format::Json => {
            let json = serde_json::to_string_pretty(tally).expect("a tally has only text keys");
            json + "\n"
        }
    };
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

fn verdict(tally: &Tally) -> ExitCode {
    match tally.worst() {
        Some(Kind::Panic) => ExitCode::from(EXIT_PANIC),
        Some(Kind::Breach) => ExitCode::from(EXIT_BREACH),
        Some(Kind::NoConvergence) => ExitCode::from(EXIT_NO_CONVERGENCE),
        None if !tally.never_fired().is_empty() => ExitCode::from(EXIT_VACUOUS),
        None => ExitCode::SUCCESS,
    }
}
