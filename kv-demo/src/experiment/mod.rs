//! The experiment: clusters of processes, one run after the other, and what comes of them.

mod cluster;
pub mod flood;
mod page;
pub mod run;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressStyle};
use thiserror::Error;

pub use cluster::{Cluster, ClusterError, catch_interrupts};
pub use page::write_page;

use crate::config::{Mode, Overrides, Preset};
use crate::metrics::{Overlay, Run, RunFigures, Runtime};
use crate::plot::{self, PlotError, TimeAxis};
use crate::report::{self, Barrier, Floor, ReportError, Results};
use crate::settings::{Settings, window_ms};
use crate::topology::{self, Topology};
use crate::trace::TraceFormat;
use flood::Calibration;
use run::{RunError, RunFile, RunPlan, Stage};

/// Time between push/pulls until the barrier.
const BARRIER_PUSH_PULL_MS: u64 = 1_000;
/// Factor of the retransmit limit of membership updates until the barrier.
const BARRIER_RETRANSMIT_MULT: u32 = 4;

/// What to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The graphs.
    pub topologies: Vec<Topology>,
    /// Their dimensions.
    pub dims: Vec<u32>,
    /// How rumours spread.
    pub modes: Vec<Mode>,
    /// How often each.
    pub repeats: u32,
    /// Where the numbers come from.
    pub preset: Preset,
    /// What replaces them.
    pub overrides: Overrides,
    /// The same, in the words of the command line, for the nodes.
    pub override_words: Vec<String>,
    /// How long copies are counted, in milliseconds; `None` takes the preset's.
    pub window_ms: Option<u64>,
    /// How long a run waits for the last receipt, in milliseconds.
    pub horizon_ms: u64,
    /// Time between the starts of two nodes, in milliseconds.
    pub spacing_ms: u64,
    /// Rounds of the calibration; 0 leaves it out.
    pub calibrate_rounds: u32,
    /// How nodes write their traces.
    pub trace_format: TraceFormat,
    /// Where everything goes.
    pub out: PathBuf,
}

/// Why an experiment ended early; one line that names the fix.
#[derive(Debug, Error)]
pub enum ExperimentError {
    /// A run failed.
    #[error("{label}: {error}")]
    Run {
        /// Which.
        label: String,
        /// Why.
        error: RunError,
    },
    /// The calibration failed.
    #[error("calibration: {0}")]
    Calibrate(ClusterError),
    /// Somebody interrupted.
    #[error("interrupted; `kv-demo report {}` sums up the {finished} finished runs", out.display())]
    Interrupted {
        /// How many runs were finished.
        finished: usize,
        /// Where they are.
        out: PathBuf,
    },
    /// A folder could not be written or read.
    #[error("{}: {reason}", path.display())]
    Files {
        /// Which.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// The folder holds an experiment already.
    #[error("{}: holds an experiment already, which would be overwritten: name another --out", out.display())]
    Occupied {
        /// The folder.
        out: PathBuf,
    },
    /// There is nothing to report.
    #[error("{}: no runs in there: name the folder that an experiment wrote", dir.display())]
    NoRuns {
        /// The folder.
        dir: PathBuf,
    },
    /// The numbers do not fit together.
    #[error(transparent)]
    Config(#[from] rumormill::ConfigError),
    /// The results could not be written or read.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// The figures could not be drawn.
    #[error(transparent)]
    Plot(#[from] PlotError),
}

/// Carries the experiment out and writes its results.
///
/// # Errors
///
/// [`ExperimentError`]; runs that were finished stay, and no process is left.
pub fn run_all(program: &Path, options: &Options) -> Result<Results, ExperimentError> {
    check(options)?;
    if options.out.join("runs").exists() {
        return Err(ExperimentError::Occupied { out: options.out.clone() });
    }
    create_dir(&options.out)?;
    let runs = plans(options);
    let bar = progress_bar(runs.len());
    let floors = calibrate_all(program, options, &bar)?;
    write_floors(&options.out, &floors)?;
    let mut figures = Vec::with_capacity(runs.len());
    for plan in &runs {
        let label = label(&plan.file.run);
        let progress = |stage| bar.set_message(message(&label, &plan.file.run, stage));
        match run::run(program, plan, progress) {
            Ok(run) => {
                say(&bar, &line(&label, &run, &floors));
                figures.push(run);
                bar.inc(1);
            }
            Err(error) if error.is_interrupt() => {
                // Half a run measures nothing.
                let _ = fs::remove_dir_all(&plan.dir);
                bar.finish_and_clear();
                let (finished, out) = (figures.len(), options.out.clone());
                return Err(ExperimentError::Interrupted { finished, out });
            }
            Err(error) => {
                bar.finish_and_clear();
                return Err(ExperimentError::Run { label, error });
            }
        }
    }
    bar.finish_and_clear();
    let barrier = Some(barrier(options));
    write_results(&options.out, floors, figures, barrier)
}

/// Sums up a folder again, from its traces.
///
/// # Errors
///
/// [`ExperimentError`].
pub fn report_again(dir: &Path) -> Result<Results, ExperimentError> {
    let run_dirs = run_dirs(dir)?;
    let mut figures = Vec::with_capacity(run_dirs.len());
    let mut barriers = Vec::with_capacity(run_dirs.len());
    for run_dir in &run_dirs {
        let label = || run_dir.display().to_string();
        let failed = |error| ExperimentError::Run { label: label(), error };
        barriers.push(run::read_run_file(run_dir).map_err(failed)?.barrier);
        figures.push(run::measure_again(run_dir).map_err(failed)?);
    }
    let same = barriers.iter().all(|barrier| *barrier == barriers[0]);
    let barrier = same.then_some(barriers[0]);
    write_results(dir, read_floors(dir), figures, barrier)
}

/// The folders of an experiment's runs; there is at least one.
fn run_dirs(dir: &Path) -> Result<Vec<PathBuf>, ExperimentError> {
    let no_runs = || ExperimentError::NoRuns { dir: dir.to_owned() };
    let mut run_dirs: Vec<PathBuf> = fs::read_dir(dir.join("runs"))
        .map_err(|_| no_runs())?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.join("run.json").exists())
        .collect();
    run_dirs.sort();
    if run_dirs.is_empty() { Err(no_runs()) } else { Ok(run_dirs) }
}

fn write_results(
    out: &Path,
    floors: Vec<Floor>,
    figures: Vec<RunFigures>,
    barrier: Option<Barrier>,
) -> Result<Results, ExperimentError> {
    let version = env!("CARGO_PKG_VERSION").to_owned();
    let versions = BTreeMap::from([("kv-demo".to_owned(), version)]);
    let mut results = Results::new(versions, floors, figures);
    results.header.barrier = barrier;
    report::write_file(&out.join("results.json"), &results.to_json())?;
    report::write_file(&out.join("results.csv"), &results.to_csv())?;
    for drawing in plot::draw(&results, TimeAxis::Auto)? {
        report::write_file(&out.join(drawing.file_name), &drawing.svg)?;
    }
    Ok(results)
}

/// Measures the floor of this machine for one graph.
///
/// # Errors
///
/// [`ExperimentError`].
pub fn calibrate(
    program: &Path,
    topology: Topology,
    dim: u32,
    rounds: u32,
) -> Result<Calibration, ExperimentError> {
    let dir = std::env::temp_dir().join(format!("kv-demo-calibrate-{}", std::process::id()));
    create_dir(&dir)?;
    let result = flood::calibrate(program, &dir, topology, dim, rounds);
    // Whatever is left in there are the errors of processes, which were told.
    let _ = fs::remove_dir_all(&dir);
    result.map_err(ExperimentError::Calibrate)
}

fn calibrate_all(
    program: &Path,
    options: &Options,
    bar: &ProgressBar,
) -> Result<Vec<Floor>, ExperimentError> {
    let mut floors = Vec::new();
    if options.calibrate_rounds == 0 {
        return Ok(floors);
    }
    for (&topology, &dim) in pairs(&options.topologies, &options.dims) {
        bar.set_message(format!("calibrating {topology}-{dim}"));
        let found = match calibrate(program, topology, dim, options.calibrate_rounds) {
            Err(ExperimentError::Calibrate(ClusterError::Interrupted)) => {
                bar.finish_and_clear();
                let out = options.out.clone();
                return Err(ExperimentError::Interrupted { finished: 0, out });
            }
            found => found?,
        };
        if let Some(median_ms) = found.median_ms() {
            let repeats = u32::try_from(found.rounds_ms.len()).unwrap_or(u32::MAX);
            floors.push(Floor { topology, dim, median_ms, repeats });
        }
    }
    Ok(floors)
}

/// The parameters of the nodes are checked before the first process starts.
fn check(options: &Options) -> Result<(), ExperimentError> {
    for &mode in &options.modes {
        let (preset, overrides) = (options.preset, options.overrides);
        Settings { preset, mode, overrides, neighbors: Vec::new() }.params()?;
    }
    Ok(())
}

fn barrier(options: &Options) -> Barrier {
    Barrier {
        push_pull_ms: BARRIER_PUSH_PULL_MS,
        retransmit_mult: BARRIER_RETRANSMIT_MULT,
        spacing_ms: options.spacing_ms,
    }
}

/// The runs, repeat by repeat, so that what drifts on the machine drifts through all modes alike.
fn plans(options: &Options) -> Vec<RunPlan> {
    let mut plans = Vec::new();
    for (&topology, &dim) in pairs(&options.topologies, &options.dims) {
        for repeat in 0..options.repeats {
            for &mode in &options.modes {
                plans.push(plan(options, topology, dim, mode, repeat));
            }
        }
    }
    plans
}

fn plan(options: &Options, topology: Topology, dim: u32, mode: Mode, repeat: u32) -> RunPlan {
    let (preset, overrides) = (options.preset, options.overrides);
    let config = Settings { preset, mode, overrides, neighbors: Vec::new() }.config();
    let interval = config.gossip_interval.unwrap_or_default().as_millis();
    let run = Run {
        topology,
        dim,
        nodes: u32::try_from(topology::node_count(dim)).unwrap_or(u32::MAX),
        mode,
        overlay: Overlay::of(mode),
        repeat,
        runtime: Runtime::Udp,
        preset,
        interval_ms: u64::try_from(interval).unwrap_or(u64::MAX),
        window_ms: options.window_ms.unwrap_or_else(|| window_ms(preset, topology, dim)),
        horizon_ms: options.horizon_ms,
    };
    let dir = options.out.join("runs").join(label(&run));
    let file =
        RunFile { run, barrier: barrier(options), overrides: options.override_words.clone() };
    RunPlan { file, overrides, trace_format: options.trace_format, dir }
}

fn pairs<'a>(
    topologies: &'a [Topology],
    dims: &'a [u32],
) -> impl Iterator<Item = (&'a Topology, &'a u32)> {
    topologies.iter().flat_map(move |topology| dims.iter().map(move |dim| (topology, dim)))
}

fn label(run: &Run) -> String {
    format!("{}-{}-{}-{}", run.topology, run.dim, run.mode, run.repeat)
}

fn message(label: &str, run: &Run, stage: Stage) -> String {
    let nodes = run.nodes;
    match stage {
        Stage::Starting => format!("{label}: starting {nodes} processes"),
        Stage::Joining(whole) => format!("{label}: {whole} of {nodes} nodes see all nodes"),
        Stage::Spreading(infected) => format!("{label}: {infected} of {nodes} nodes have the key"),
        Stage::Watching => format!("{label}: watching the window to its end"),
    }
}

/// One run in a line, with the floor of this machine beside it.
fn line(label: &str, run: &RunFigures, floors: &[Floor]) -> String {
    let time = run.convergence_ms.map_or("-".to_owned(), |ms| format!("{ms:.1} ms"));
    let rate = run.convergence_rate;
    let floor = floors.iter().find(|floor| (floor.topology, floor.dim) == (run.topology, run.dim));
    let floor = floor.map_or(String::new(), |floor| format!(", floor {:.1} ms", floor.median_ms));
    format!("{label:<32} rate {rate:.2}, {time}{floor}")
}

/// A line above the bar; without a terminal, a line of its own.
fn say(bar: &ProgressBar, line: &str) {
    if bar.is_hidden() {
        eprintln!("{line}");
    } else {
        bar.println(line);
    }
}

fn progress_bar(runs: usize) -> ProgressBar {
    let bar = ProgressBar::new(runs as u64);
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {elapsed} {wide_msg}");
    if let Ok(style) = style {
        bar.set_style(style);
    }
    bar.enable_steady_tick(std::time::Duration::from_millis(200));
    bar
}

fn create_dir(dir: &Path) -> Result<(), ExperimentError> {
    fs::create_dir_all(dir)
        .map_err(|error| ExperimentError::Files { path: dir.to_owned(), reason: error.to_string() })
}

fn write_floors(out: &Path, floors: &[Floor]) -> Result<(), ExperimentError> {
    let path = out.join("calibrate.json");
    let text = serde_json::to_string_pretty(floors).map_err(|error| ExperimentError::Files {
        path: path.clone(),
        reason: error.to_string(),
    })?;
    report::write_file(&path, &text)?;
    Ok(())
}

/// The floors that were measured with the runs; none if they were not.
fn read_floors(dir: &Path) -> Vec<Floor> {
    let text = fs::read_to_string(dir.join("calibrate.json")).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}
