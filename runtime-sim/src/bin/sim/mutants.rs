//! `sim mutants`.

#![allow(clippy::disallowed_methods, reason = "compilers are timed here, not nodes")]

mod bench;

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use rumormill_sim::mutants::{Mutant, Workshop};
use rumormill_sim::swarm::SEEDS_MAX;
use serde::Serialize;

use super::swarm::{Format, jobs};
use super::{EXIT_INTERRUPTED, EXIT_USAGE};
use bench::{Bench, Catch, Failure, Settings};

/// What a shell sees if nobody saw a bug.
const EXIT_SURVIVED: u8 = 6;
/// Characters of what was seen that a table shows; JSON has all of them.
const WHAT_SHOWN: usize = 160;

#[derive(Debug, Args)]
pub(super) struct MutantsArgs {
    /// Only those whose names contain one of these, with commas between them
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    only: Vec<String>,
    /// Threads of the swarm and of the compiler [default: one per core]
    #[arg(long, value_name = "J", value_parser = jobs)]
    jobs: Option<usize>,
    /// How many seeds a bug may hide from
    #[arg(long, value_name = "N", default_value_t = 150,
        value_parser = clap::value_parser!(u64).range(1..=SEEDS_MAX))]
    seeds: u64,
    /// The workspace that is copied
    #[arg(long, value_name = "DIR", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/.."))]
    workspace: PathBuf,
    /// Where to build, for the next time too; one such command at a time [default: in the copy, which goes]
    #[arg(long, value_name = "DIR")]
    target: Option<PathBuf>,
    /// How to print who caught what
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// What came of a bug.
#[derive(Debug, Serialize)]
struct Row {
    mutant: String,
    breaks: String,
    caught_by: Option<String>,
    /// `sim run --seed` or `sim fields --seed` of a build with the bug shows it again.
    seed: Option<u64>,
    what: String,
    /// Whether it was caught as its patch says.
    as_said: bool,
    seconds: u64,
}

impl Row {
    fn new(mutant: Mutant, caught: Option<Catch>, seconds: u64) -> Self {
        let Mutant { name: mutant, breaks, sight, .. } = mutant;
        match caught {
            Some(Catch { by, seed, what, is_as_said: as_said }) => {
                Self { mutant, breaks, caught_by: Some(by), seed, what, as_said, seconds }
            }
            None => {
                let what = format!("{sight} sees nothing");
                Self { mutant, breaks, caught_by: None, seed: None, what, as_said: false, seconds }
            }
        }
    }

    fn line(&self) -> String {
        let Self { mutant, caught_by, seed, what, as_said, seconds, .. } = self;
        let by = caught_by.as_deref().unwrap_or("SURVIVED");
        let seed = seed.map_or_else(|| "–".to_owned(), |seed| seed.to_string());
        let what = brief(what);
        let but = if *as_said || caught_by.is_none() { "" } else { " (its patch says otherwise)" };
        format!("| {mutant} | {by} | {seed} | {seconds} | {what}{but} |")
    }
}

/// What fits a line of a table.
fn brief(what: &str) -> String {
    let line = what.lines().next().unwrap_or_default();
    let mut brief: String = line.chars().take(WHAT_SHOWN).collect();
    if brief.len() < line.len() {
        brief.push('…');
    }
    brief
}

pub(super) fn mutants(args: &MutantsArgs) -> ExitCode {
    let is_over = Arc::new(AtomicBool::new(false));
    let on_signal = Arc::clone(&is_over);
    if let Err(error) = ctrlc::set_handler(move || on_signal.store(true, Ordering::Relaxed)) {
        eprintln!("sim: Ctrl-C will leave a folder behind ({error})");
    }
    match hunt(args, is_over) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(EXIT_SURVIVED),
        Err(Failure::Interrupted) => ExitCode::from(EXIT_INTERRUPTED),
        Err(error) => {
            eprintln!("sim: {error}");
            let is_usage = matches!(error, Failure::NoSuchMutant { .. });
            if is_usage { ExitCode::from(EXIT_USAGE) } else { ExitCode::FAILURE }
        }
    }
}

/// `true` if somebody saw every bug.
fn hunt(args: &MutantsArgs, is_over: Arc<AtomicBool>) -> Result<bool, Failure> {
    let mutants = chosen(args)?;
    let bench = bench(args, is_over)?;
    let total = mutants.len();
    let mutants = fitting(&bench, mutants);
    let bar = bar(mutants.len());
    bar.set_message("without a bug");
    bench.prepare(&mutants)?;
    let is_text = args.format == Format::Text;
    if is_text {
        told(&bar, "| bug | caught by | seed | s | what it saw |\n|---|---|---|---|---|");
    }
    let mut rows = Vec::new();
    for mutant in mutants {
        bar.set_message(mutant.name.clone());
        let began = Instant::now();
        bench.workshop.put_in(&mutant)?;
        let caught = bench.judge(&mutant)?;
        bench.workshop.take_out(&mutant)?;
        let row = Row::new(mutant, caught, began.elapsed().as_secs());
        if is_text {
            told(&bar, &row.line());
        }
        rows.push(row);
        bar.inc(1);
    }
    bar.finish_and_clear();
    let caught = rows.iter().filter(|row| row.caught_by.is_some()).count();
    if is_text {
        println!("\n{}", sum(&rows, total));
    } else {
        let json = serde_json::to_string_pretty(&rows).expect("rows have only text keys");
        println!("{json}");
    }
    Ok(caught == total)
}

fn chosen(args: &MutantsArgs) -> Result<Vec<Mutant>, Failure> {
    let mut mutants = Mutant::all_in(&args.workspace.join("runtime-sim/mutants"))?;
    if mutants.is_empty() {
        return Err(Failure::NoMutants);
    }
    let is_no_name = |only: &&String| !mutants.iter().any(|mutant| mutant.name.contains(*only));
    if let Some(given) = args.only.iter().find(is_no_name) {
        let names = mutants.iter().map(|mutant| &*mutant.name).collect::<Vec<_>>().join(", ");
        return Err(Failure::NoSuchMutant { given: given.clone(), names });
    }
    let is_chosen = |mutant: &Mutant| args.only.iter().any(|only| mutant.name.contains(only));
    mutants.retain(|mutant| args.only.is_empty() || is_chosen(mutant));
    Ok(mutants)
}

/// The copy lies where it lay the last time, if what was built from it stays: a compiler that finds
/// it elsewhere builds all of it anew.
fn bench(args: &MutantsArgs, is_over: Arc<AtomicBool>) -> Result<Bench, Failure> {
    let failed = |error| Failure::Program("--target", error);
    let (folder, target) = if let Some(target) = &args.target {
        std::fs::create_dir_all(target).map_err(failed)?;
        let target = std::path::absolute(target).map_err(failed)?;
        (target.join("copy"), target)
    } else {
        let name = format!("rumormill-mutants-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        (folder.clone(), folder.join("target"))
    };
    let workshop = Workshop::copy(&args.workspace, folder)?;
    let settings = Settings { target, jobs: args.jobs, seeds: args.seeds };
    Ok(Bench { workshop, settings, is_over })
}

/// Those that can still be put in. All others are named before the first is built.
fn fitting(bench: &Bench, mut mutants: Vec<Mutant>) -> Vec<Mutant> {
    mutants.retain(|mutant| {
        let tried = bench.workshop.put_in(mutant).and_then(|()| bench.workshop.take_out(mutant));
        tried.inspect_err(|error| eprintln!("sim: {error}")).is_ok()
    });
    mutants
}

/// Whoever closes the output early has seen enough; the exit code still tells.
fn told(bar: &ProgressBar, text: &str) {
    bar.suspend(|| {
        let _ = writeln!(io::stdout().lock(), "{text}");
    });
}

fn sum(rows: &[Row], total: usize) -> String {
    let caught_by = |who: &str| {
        rows.iter()
            .filter(|row| row.caught_by.as_ref().is_some_and(|by| by.starts_with(who)))
            .count()
    };
    let [swarm, fields, tests] = ["swarm", "field", "test"].map(caught_by);
    let caught = swarm + fields + tests;
    format!(
        "{caught} of {total} caught: {swarm} by the swarm, {fields} by fields, {tests} by tests"
    )
}

fn bar(mutants: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{wide_bar} {pos}/{len} mutants, {msg}, {elapsed}");
    let bar = ProgressBar::new(mutants as u64);
    bar.enable_steady_tick(Duration::from_secs(1));
    style.map_or_else(|_| bar.clone(), |style| bar.clone().with_style(style))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(caught_by: Option<&str>, what: &str, as_said: bool) -> Row {
        let (mutant, breaks, what) = ("01-x".to_owned(), "All.".to_owned(), what.to_owned());
        let caught_by = caught_by.map(str::to_owned);
        Row { mutant, breaks, caught_by, seed: Some(7), what, as_said, seconds: 3 }
    }

    #[test]
    fn the_table_tells_who_saw_what_and_whether_that_was_said() {
        let line = row(Some("swarm"), "a rule\nleft: 1", true).line();
        assert_eq!(line, "| 01-x | swarm | 7 | 3 | a rule |");
        let line = row(Some("swarm"), "a rule", false).line();
        assert!(line.ends_with("a rule (its patch says otherwise) |"), "{line}");
        let line = row(None, &"ü".repeat(WHAT_SHOWN + 1), false).line();
        assert!(line.contains("SURVIVED") && line.ends_with("ü… |"), "{line}");
    }

    #[test]
    fn those_that_cannot_be_put_in_count_as_not_caught() {
        let by = ["swarm", "field churn", "test lib::x"].map(|by| row(Some(by), "", true));
        let [swarm, field, test] = by;
        let rows = [swarm, row(None, "", false), field, test];
        assert_eq!(sum(&rows, 5), "3 of 5 caught: 1 by the swarm, 1 by fields, 1 by tests");
    }
}
