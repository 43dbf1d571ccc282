//! The experiment: clusters of processes, one run after the other, and what comes of them.

mod batch;
mod clock;
mod cluster;
mod conditions;
mod course;
mod crew;
pub mod epidemic;
pub mod flood;
mod hosts;
mod interrupt;
mod link;
mod machines;
mod page;
mod processes;
pub mod run;
mod world;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use indicatif::ProgressBar;
use thiserror::Error;

pub use cluster::{Cluster, ClusterError, Site};
pub use conditions::{
    BadChurn, BadKill, Churn, Conditions, Kill, KillError, MESSAGES_MAX, RATE_MAX,
};
pub use crew::Crew;
pub use hosts::{HostSpec, HostsError, HostsPlan, LAUNCHER_DEFAULT};
pub use interrupt::{EXIT_INTERRUPTED, catch_interrupts, is_interrupted};
pub use link::{HostError, HostTrouble};
pub use page::write_page;
pub use run::Keep;
pub use world::{BadDelay, Delay, WorldPlan};

use crate::agent::scratch::Scratch;
use crate::config::{Mode, Overrides, Phase, Preset};
use crate::metrics::{self, MetricsError, Overlay, Run, RunFigures, Runtime};
use crate::plot::{self, PlotError, TimeAxis};
use crate::report::{self, Barrier, Floor, HostClock, ReportError, Results};
use crate::settings::{Settings, window_ms};
use crate::topology::{self, Graph, SourceError, Topology};
use crate::trace::TraceFormat;
use batch::{Batch, progress_bar};
use flood::Calibration;
use run::{RunError, RunFile, RunPlan};

/// Time between push/pulls until the barrier.
const BARRIER_PUSH_PULL_MS: u64 = 1_000;
/// Factor of the retransmit limit of membership updates until the barrier.
const BARRIER_RETRANSMIT_MULT: u32 = 4;

/// What to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The graphs.
    pub graphs: Vec<Arc<Graph>>,
    /// What has decided about those that were drawn, and decides about who is killed.
    pub seed: u64,
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
    /// What is written into the clusters, and what is done to them.
    pub conditions: Conditions,
    /// How long copies are counted, in milliseconds; `None` takes the preset's.
    pub window_ms: Option<u64>,
    /// How long a run waits for the last receipt, in milliseconds.
    pub horizon_ms: u64,
    /// Time between the starts of two nodes, in milliseconds.
    pub spacing_ms: u64,
    /// Least time from the first start to the key, in milliseconds.
    pub warm_up_ms: u64,
    /// Rounds of the calibration; 0 leaves it out.
    pub calibrate_rounds: u32,
    /// How nodes write their traces.
    pub trace_format: TraceFormat,
    /// Where the nodes are.
    pub place: Place,
    /// What remains of each run.
    pub keep: Keep,
    /// What happens to runs that were finished before.
    pub go_on: Continue,
    /// Where everything goes.
    pub out: PathBuf,
    /// The hosts that share the nodes; `None`: all are on this one.
    pub hosts: Option<HostsPlan>,
}

/// Where the nodes of a run are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In processes with sockets, on this machine.
    Processes,
    /// In the simulator.
    World(WorldPlan),
}

impl Place {
    const fn runtime(self) -> Runtime {
        match self {
            Self::Processes => Runtime::Udp,
            Self::World(_) => Runtime::Sim,
        }
    }

    const fn world(self) -> Option<WorldPlan> {
        match self {
            Self::Processes => None,
            Self::World(world) => Some(world),
        }
    }
}

/// What happens when the folder holds runs already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Continue {
    /// Nothing is run: another experiment would be overwritten.
    Never,
    /// Those that are finished, and are the same, are taken as they are.
    Finished,
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
    #[error("interrupted after {finished} runs; to go on, give the same flags with --resume --out {}", out.display())]
    Interrupted {
        /// How many runs were finished.
        finished: usize,
        /// Where they are.
        out: PathBuf,
    },
    /// Somebody interrupted a calibration or a study, of which nothing remains.
    #[error("interrupted")]
    CalibrationInterrupted,
    /// A folder could not be written or read.
    #[error("{}: {reason}", path.display())]
    Files {
        /// Which.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// The folder holds an experiment already.
    #[error("{}: holds an experiment already: name another --out, or go on with it by --resume", out.display())]
    Occupied {
        /// The folder.
        out: PathBuf,
    },
    /// The folder holds runs on other links under the same name.
    #[error("{}: holds other links of that name: name another --out", path.display())]
    OtherGraph {
        /// The file.
        path: PathBuf,
    },
    /// The links of a run cannot be known again.
    #[error(transparent)]
    Graph(#[from] SourceError),
    /// Nobody can be killed like that.
    #[error(transparent)]
    Kill(#[from] KillError),
    /// There is nothing to report.
    #[error("{}: no runs in there: name the folder that an experiment wrote", dir.display())]
    NoRuns {
        /// The folder.
        dir: PathBuf,
    },
    /// The numbers do not fit together.
    #[error(transparent)]
    Config(#[from] rumormill::ConfigError),
    /// What comes of runs with such numbers cannot be measured.
    #[error(transparent)]
    Numbers(MetricsError),
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
    let plans = plans(options)?;
    check(options, plans.first())?;
    if options.go_on == Continue::Never && run_dirs(&options.out).is_ok() {
        return Err(ExperimentError::Occupied { out: options.out.clone() });
    }
    create_dir(&options.out)?;
    write_graphs(options)?;
    let bar = progress_bar(plans.len());
    let figures;
    let floors;
    let Options { keep, go_on, .. } = *options;
    match options.place {
        Place::Processes => {
            let mut site = open_site(program, options, &bar)?;
            floors = calibrate_all(&mut site, options, &bar)?;
            let batch = Batch { keep, go_on, floors: &floors, bar: &bar };
            figures = batch.run_in_turn(&mut site, &plans)?;
        }
        Place::World(world) => {
            floors = worlds_floors(options, world.delay);
            let batch = Batch { keep, go_on, floors: &floors, bar: &bar };
            figures = batch.run_side_by_side(world, &plans)?;
        }
    }
    if options.go_on == Continue::Finished {
        // The folder may hold more than was asked for this time.
        write_floors(&options.out, &merged(read_floors(&options.out), floors))?;
        return report_again(&options.out);
    }
    write_floors(&options.out, &floors)?;
    let shared = shared(plans.iter().map(|plan| plan.dir.as_path()))?;
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
        interrupted_or(error, &options.out, ExperimentError::Hosts)
    })
}

/// An interrupt is told as such, wherever it strikes.
fn interrupted_or(
    error: ClusterError,
    out: &Path,
    other: impl FnOnce(ClusterError) -> ExperimentError,
) -> ExperimentError {
    match error {
        ClusterError::Interrupted => {
            ExperimentError::Interrupted { finished: 0, out: out.to_owned() }
        }
        error => other(error),
    }
}

/// The floors of two lists, the later ones where both have one.
fn merged(earlier: Vec<Floor>, later: Vec<Floor>) -> Vec<Floor> {
    let is_later = |floor: &Floor| {
        later.iter().any(|other| (other.topology, other.nodes) == (floor.topology, floor.nodes))
    };
    let mut floors: Vec<Floor> = earlier.into_iter().filter(|floor| !is_later(floor)).collect();
    floors.extend(later);
    floors
}

/// Sums up a folder again, from its traces. Runs that were not carried out to their end are left out.
///
/// # Errors
///
/// [`ExperimentError`].
pub fn report_again(dir: &Path) -> Result<Results, ExperimentError> {
    let mut run_dirs = run_dirs(dir)?;
    let all = run_dirs.len();
    if run_dirs.iter().any(|dir| run::is_finished(dir)) {
        run_dirs.retain(|dir| run::is_finished(dir));
    }
    if run_dirs.len() < all {
        let left_out = all - run_dirs.len();
        eprintln!(
            "{left_out} unfinished runs are left out; to go on, give the flags with --resume"
        );
    }
    let mut figures = Vec::with_capacity(run_dirs.len());
    for run_dir in &run_dirs {
        let label = || run_dir.display().to_string();
        let failed = |error| ExperimentError::Run { label: label(), error };
        let graph = read_graph(dir, &run::read_run_file(run_dir).map_err(failed)?.run)?;
        figures.extend(run::measure_again(run_dir, &graph).map_err(failed)?);
    }
    let shared = shared(run_dirs.iter().map(PathBuf::as_path))?;
    write_results(dir, read_floors(dir), figures, shared)
}

/// What the runs of an experiment share, beside their figures.
struct Shared {
    conditions: Option<Conditions>,
    overrides: Vec<String>,
    barrier: Option<Barrier>,
    world: Option<WorldPlan>,
    /// The clocks of the hosts, each as it was known worst.
    hosts: Vec<HostClock>,
}

fn shared<'a>(run_dirs: impl Iterator<Item = &'a Path>) -> Result<Shared, ExperimentError> {
    let mut files = Vec::new();
    for dir in run_dirs {
        let label = || dir.display().to_string();
        let file = run::read_run_file(dir);
        files.push(file.map_err(|error| ExperimentError::Run { label: label(), error })?);
    }
    let conditions = report::common(files.iter().map(|file| file.conditions));
    Ok(Shared {
        conditions: conditions.filter(|conditions| *conditions != Conditions::default()),
        overrides: report::common(files.iter().map(|file| file.overrides.clone()))
            .unwrap_or_default(),
        barrier: report::common(files.iter().map(|file| file.barrier)),
        world: report::common(files.iter().map(|file| file.world)).flatten(),
        hosts: report::worst(files.into_iter().flat_map(|file| file.hosts)),
    })
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
    shared: Shared,
) -> Result<Results, ExperimentError> {
    let version = env!("CARGO_PKG_VERSION").to_owned();
    let versions = BTreeMap::from([("kv-demo".to_owned(), version)]);
    let mut results = Results::new(versions, floors, figures);
    results.header.conditions = shared.conditions;
    results.header.overrides = shared.overrides;
    results.header.barrier = shared.barrier;
    results.header.world = shared.world;
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
    graph: &Graph,
    rounds: u32,
) -> Result<Calibration, ExperimentError> {
    check_hosts(hosts, graph.nodes())?;
    let temporary = temporary()?;
    let mut site = Site::open(program, hosts, temporary.path())?;
    let result = flood::calibrate(&mut site, temporary.path(), graph, rounds);
    result.map_err(|error| match error {
        ClusterError::Interrupted => ExperimentError::CalibrationInterrupted,
        error => ExperimentError::Calibrate(error),
    })
}

/// A folder for the errors of processes that leave nothing else behind.
fn temporary() -> Result<Scratch, ExperimentError> {
    Scratch::new()
        .map_err(|(path, error)| ExperimentError::Files { path, reason: error.to_string() })
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
    let temporary = temporary()?;
    for graph in &options.graphs {
        let stem = topology::stem(graph.topology(), graph.nodes());
        bar.set_message(format!("calibrating {stem}"));
        let rounds = options.calibrate_rounds;
        let found = flood::calibrate(site, temporary.path(), graph, rounds);
        let found = found.map_err(|error| {
            bar.finish_and_clear();
            interrupted_or(error, &options.out, ExperimentError::Calibrate)
        })?;
        if let Some(median_ms) = found.median_ms() {
            let repeats = u32::try_from(found.rounds_ms.len()).unwrap_or(u32::MAX);
            floors.push(floor_of(graph, median_ms, repeats));
        }
    }
    Ok(floors)
}

/// In virtual time the floor is the longest of the shortest ways: nothing has to be measured.
fn worlds_floors(options: &Options, delay: Delay) -> Vec<Floor> {
    let of = |graph: &Arc<Graph>| {
        let floor = world::floor(graph, delay);
        floor_of(graph, floor.as_secs_f64() * 1_000.0, 1)
    };
    options.graphs.iter().map(of).collect()
}

fn floor_of(graph: &Graph, median_ms: f64, repeats: u32) -> Floor {
    let (topology, dim) = (graph.topology(), graph.dim());
    Floor { topology, dim, nodes: nodes_of(graph), median_ms, repeats }
}

fn nodes_of(graph: &Graph) -> u32 {
    u32::try_from(graph.nodes()).unwrap_or(u32::MAX)
}

/// The parameters of the nodes are checked before the first process starts.
fn check(options: &Options, first: Option<&RunPlan>) -> Result<(), ExperimentError> {
    for &mode in &options.modes {
        let (preset, overrides) = (options.preset, options.overrides);
        Settings::new(preset, mode, overrides).params()?;
    }
    if let Some(plan) = first {
        metrics::check_numbers(&plan.file.run).map_err(ExperimentError::Numbers)?;
    }
    let smallest = options.graphs.iter().map(|graph| graph.nodes()).min();
    smallest.map_or(Ok(()), |nodes| check_hosts(options.hosts.as_ref(), nodes))
}

/// So are the hosts, for the smallest of some graphs.
fn check_hosts(hosts: Option<&HostsPlan>, nodes: usize) -> Result<(), ExperimentError> {
    let checked = hosts.map_or(Ok(()), |plan| plan.check(nodes));
    checked.map_err(|error| ClusterError::from(error).into())
}

fn barrier(options: &Options) -> Barrier {
    Barrier {
        push_pull_ms: BARRIER_PUSH_PULL_MS,
        retransmit_mult: BARRIER_RETRANSMIT_MULT,
        spacing_ms: match options.overrides.phase {
            Some(Phase::Aligned) => 0,
            _ => options.spacing_ms,
        },
        warm_up_ms: options.warm_up_ms,
    }
}

/// The runs, repeat by repeat, so that what drifts on the machine drifts through all modes alike.
fn plans(options: &Options) -> Result<Vec<RunPlan>, ExperimentError> {
    let mut plans = Vec::new();
    for graph in &options.graphs {
        for repeat in 0..options.repeats {
            let kill = options.conditions.kill;
            let victims = kill.map(|kill| kill.victims(graph, options.seed, repeat)).transpose()?;
            let victims = victims.unwrap_or_default();
            for &mode in &options.modes {
                let plan = plan(options, graph, mode, repeat);
                plans.push(RunPlan { victims: victims.clone(), ..plan });
            }
        }
    }
    Ok(plans)
}

fn plan(options: &Options, graph: &Arc<Graph>, mode: Mode, repeat: u32) -> RunPlan {
    let (preset, overrides) = (options.preset, options.overrides);
    let config = Settings::new(preset, mode, overrides).config();
    let interval = config.gossip_interval.unwrap_or_default().as_millis();
    let run = Run {
        topology: graph.topology(),
        dim: graph.dim(),
        nodes: nodes_of(graph),
        mode,
        overlay: Overlay::of(mode),
        repeat,
        runtime: options.place.runtime(),
        preset,
        interval_ms: u64::try_from(interval).unwrap_or(u64::MAX),
        window_ms: options
            .window_ms
            .unwrap_or_else(|| window_ms(preset, graph.topology(), graph.dim())),
        horizon_ms: options.horizon_ms,
    };
    let dir = options.out.join("runs").join(label(&run));
    let file = RunFile {
        run,
        barrier: barrier(options),
        overrides: options.override_words.clone(),
        asked_hosts: options.hosts.as_ref().map(|plan| plan.hosts.clone()).unwrap_or_default(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        world: options.place.world(),
        conditions: options.conditions,
        outages: Vec::new(),
        hosts: Vec::new(),
    };
    let (graph, trace_format) = (Arc::clone(graph), options.trace_format);
    RunPlan { file, graph, victims: Vec::new(), overrides, trace_format, dir }
}

fn label(run: &Run) -> String {
    let network = topology::stem(run.topology, run.nodes as usize);
    format!("{network}-{}-{}", run.mode, run.repeat)
}

/// Where the links of a graph lie that do not follow from its name.
fn graph_path(out: &Path, topology: Topology, nodes: usize) -> PathBuf {
    out.join("graphs").join(format!("{}.txt", topology::stem(topology, nodes)))
}

/// Keeps graphs that do not follow from their names.
fn write_graphs(options: &Options) -> Result<(), ExperimentError> {
    let singular = options.graphs.iter().filter(|graph| graph.topology().is_singular());
    for graph in singular {
        let path = graph_path(&options.out, graph.topology(), graph.nodes());
        let text = topology::to_edge_list(graph);
        match fs::read_to_string(&path) {
            Ok(former) if former != text => return Err(ExperimentError::OtherGraph { path }),
            Ok(_) => {}
            Err(_) => {
                create_dir(&options.out.join("graphs"))?;
                report::write_file(&path, &text)?;
            }
        }
    }
    Ok(())
}

/// The graph of a run in the folder of an experiment.
fn read_graph(out: &Path, run: &Run) -> Result<Graph, ExperimentError> {
    let (topology, nodes) = (run.topology, run.nodes as usize);
    if topology.is_singular() {
        let graph = Graph::read(&graph_path(out, topology, nodes)).map_err(SourceError::from)?;
        return Ok(graph.called(topology));
    }
    Ok(Graph::of(topology, nodes, 0).map_err(SourceError::from)?)
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
