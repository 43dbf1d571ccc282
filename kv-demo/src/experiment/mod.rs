//! The experiment: clusters of processes, one run after the other, and what comes of them.

mod clock;
mod cluster;
mod crew;
pub mod flood;
mod hosts;
mod interrupt;
mod link;
pub mod run;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressStyle};
use thiserror::Error;

pub use cluster::{Cluster, ClusterError, Site};
pub use crew::Crew;
pub use hosts::{HostSpec, HostsError, HostsPlan, LAUNCHER_DEFAULT};
pub use interrupt::catch_interrupts;
pub use link::{HostError, HostTrouble};

use crate::config::{Mode, Overrides, Preset};
use crate::metrics::{Overlay, Run, RunFigures, Runtime};
use crate::plot::{self, PlotError, TimeAxis};
use crate::report::{self, Barrier, Floor, HostClock, ReportError, Results};
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
    /// The hosts that share the nodes; `None`: all are on this one.
    pub hosts: Option<HostsPlan>,
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
    /// The hosts cannot be worked with, or one of them cannot be had.
    #[error(transparent)]
    Hosts(#[from] ClusterError),
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
    let mut site = open_site(program, options, &bar)?;
    let floors = calibrate_all(&mut site, options, &bar)?;
    write_floors(&options.out, &floors)?;
    let mut figures = Vec::with_capacity(runs.len());
    for plan in &runs {
        let label = label(&plan.file.run);
        let progress = |stage| bar.set_message(message(&label, &plan.file.run, stage));
        match run::run(&mut site, plan, progress) {
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
                if error.is_lost_host() {
                    // Its traces are lost with it, and half a run measures nothing.
                    let _ = fs::remove_dir_all(&plan.dir);
                }
                return Err(ExperimentError::Run { label, error });
            }
        }
    }
    drop(site);
    bar.finish_and_clear();
    let hosts = clocks(runs.iter().map(|plan| plan.dir.as_path()))?;
    let shared = Shared { barrier: Some(barrier(options)), hosts };
    write_results(&options.out, floors, figures, shared)
}

/// Agents on the hosts, if there are any.
fn open_site(
    program: &Path,
    options: &Options,
    bar: &ProgressBar,
) -> Result<Site, ExperimentError> {
    let hosts = options.hosts.as_ref();
    if let Some(plan) = hosts {
        bar.set_message(format!("starting agents on {} hosts", plan.hosts.len()));
    }
    Site::open(program, hosts, &options.out).map_err(|error| {
        bar.finish_and_clear();
        match error {
            ClusterError::Interrupted => {
                ExperimentError::Interrupted { finished: 0, out: options.out.clone() }
            }
            error => error.into(),
        }
    })
}

/// Sums up a folder again, from its traces.
///
/// # Errors
///
/// [`ExperimentError`].
pub fn report_again(dir: &Path) -> Result<Results, ExperimentError> {
    let runs_dir = dir.join("runs");
    let no_runs = || ExperimentError::NoRuns { dir: dir.to_owned() };
    let mut run_dirs: Vec<PathBuf> = fs::read_dir(&runs_dir)
        .map_err(|_| no_runs())?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.join("run.json").exists())
        .collect();
    run_dirs.sort();
    if run_dirs.is_empty() {
        return Err(no_runs());
    }
    let mut figures = Vec::with_capacity(run_dirs.len());
    let mut barriers = Vec::with_capacity(run_dirs.len());
    for run_dir in &run_dirs {
        let label = || run_dir.display().to_string();
        let failed = |error| ExperimentError::Run { label: label(), error };
        barriers.push(run::read_run_file(run_dir).map_err(failed)?.barrier);
        figures.push(run::measure_again(run_dir).map_err(failed)?);
    }
    let same = barriers.iter().all(|barrier| *barrier == barriers[0]);
    let hosts = clocks(run_dirs.iter().map(PathBuf::as_path))?;
    let shared = Shared { barrier: same.then_some(barriers[0]), hosts };
    write_results(dir, read_floors(dir), figures, shared)
}

/// What the runs of an experiment share, beside their figures.
struct Shared {
    barrier: Option<Barrier>,
    hosts: Vec<HostClock>,
}

/// The clocks of the hosts of some runs, each as it was known worst.
fn clocks<'a>(run_dirs: impl Iterator<Item = &'a Path>) -> Result<Vec<HostClock>, ExperimentError> {
    let mut readings = Vec::new();
    for dir in run_dirs {
        let label = || dir.display().to_string();
        let file = run::read_run_file(dir);
        let file = file.map_err(|error| ExperimentError::Run { label: label(), error })?;
        readings.extend(file.hosts);
    }
    Ok(report::worst(readings))
}

fn write_results(
    out: &Path,
    floors: Vec<Floor>,
    figures: Vec<RunFigures>,
    shared: Shared,
) -> Result<Results, ExperimentError> {
    let version = env!("CARGO_PKG_VERSION").to_owned();
    let versions = BTreeMap::from([("kv-demo".to_owned(), version)]);
    let mut results = Results::new(versions, floors, figures);
    results.header.barrier = shared.barrier;
    results.header.hosts = shared.hosts;
    report::write_file(&out.join("results.json"), &results.to_json())?;
    report::write_file(&out.join("results.csv"), &results.to_csv())?;
    for drawing in plot::draw(&results, TimeAxis::Auto)? {
        report::write_file(&out.join(drawing.file_name), &drawing.svg)?;
    }
    Ok(results)
}

/// Measures the floor of this machine, or of some hosts, for one graph.
///
/// # Errors
///
/// [`ExperimentError`].
pub fn calibrate(
    program: &Path,
    hosts: Option<&HostsPlan>,
    topology: Topology,
    dim: u32,
    rounds: u32,
) -> Result<Calibration, ExperimentError> {
    check_hosts(hosts, dim)?;
    let temporary = Temporary::new()?;
    let mut site = Site::open(program, hosts, &temporary.0)?;
    let result = flood::calibrate(&mut site, &temporary.0, topology, dim, rounds);
    result.map_err(ExperimentError::Calibrate)
}

/// A folder for the errors of processes that leave nothing else behind.
struct Temporary(PathBuf);

impl Temporary {
    fn new() -> Result<Self, ExperimentError> {
        let dir = std::env::temp_dir().join(format!("kv-demo-calibrate-{}", std::process::id()));
        create_dir(&dir)?;
        Ok(Self(dir))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // Whatever is left in there was told.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn calibrate_all(
    site: &mut Site,
    options: &Options,
    bar: &ProgressBar,
) -> Result<Vec<Floor>, ExperimentError> {
    let mut floors = Vec::new();
    if options.calibrate_rounds == 0 {
        return Ok(floors);
    }
    let temporary = Temporary::new()?;
    for (&topology, &dim) in pairs(&options.topologies, &options.dims) {
        bar.set_message(format!("calibrating {topology}-{dim}"));
        let rounds = options.calibrate_rounds;
        let found = flood::calibrate(site, &temporary.0, topology, dim, rounds);
        let found = found.map_err(|error| {
            bar.finish_and_clear();
            match error {
                ClusterError::Interrupted => {
                    ExperimentError::Interrupted { finished: 0, out: options.out.clone() }
                }
                error => ExperimentError::Calibrate(error),
            }
        })?;
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
    let smallest = options.dims.iter().copied().min();
    smallest.map_or(Ok(()), |dim| check_hosts(options.hosts.as_ref(), dim))
}

/// So are the hosts, for the smallest of some dimensions.
fn check_hosts(hosts: Option<&HostsPlan>, dim: u32) -> Result<(), ExperimentError> {
    let checked = hosts.map_or(Ok(()), |plan| plan.check(topology::node_count(dim)));
    checked.map_err(|error| ClusterError::from(error).into())
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
    let file = RunFile {
        run,
        barrier: barrier(options),
        overrides: options.override_words.clone(),
        hosts: Vec::new(),
    };
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
