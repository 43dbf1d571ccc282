//! One run: a cluster of processes comes up, meets at the barrier, spreads one key, and is
//! measured.
//!
//! ```text
//! spawn ─► all bound ─► started one by one ─► all see all (the barrier) ─► settled
//!       ─► one key through the first node's HTTP door ─► window and horizon ─► traces
//! ```

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::cluster::{Cluster, ClusterError};
use crate::config::Overrides;
use crate::members::Door;
use crate::metrics::{MetricsError, Run, RunFigures, measure};
use crate::node::control::{Order, Report};
use crate::report::Barrier;
use crate::topology;
use crate::trace::{self, Trace, TraceError, TraceFormat};

/// The key and value of the original experiment: they make its message 53 bytes long.
pub const KEY_AND_VALUE: (&str, &str) = ("mgossip", "better");

/// Longest wait for processes to bind their ports.
const BIND_MAX: Duration = Duration::from_secs(30);
/// Longest wait at the barrier. Sixteen nodes take a second or two.
const BARRIER_MAX: Duration = Duration::from_secs(120);
/// Longest wait for the last traces.
const FINISH_MAX: Duration = Duration::from_secs(20);
/// The window is watched this much longer, so that its last datagrams are in the traces.
const MARGIN: Duration = Duration::from_millis(100);

/// What a run is, as it is written beside its traces so that they can be measured again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunFile {
    /// What was run.
    pub run: Run,
    /// How the cluster came up.
    pub barrier: Barrier,
    /// What replaced the preset's numbers, in the words of the command line.
    pub overrides: Vec<String>,
}

/// How to run.
#[derive(Clone, Debug)]
pub struct RunPlan {
    /// What.
    pub file: RunFile,
    /// What replaces the preset's numbers.
    pub overrides: Overrides,
    /// How the nodes write their traces.
    pub trace_format: TraceFormat,
    /// Where they write them.
    pub dir: PathBuf,
}

/// Why a run came to nothing; one line.
#[derive(Debug, Error)]
pub enum RunError {
    /// The processes failed.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// A file or folder could not be written or read.
    #[error("{}: {reason}", path.display())]
    Files {
        /// Which.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// The key could not be written.
    #[error("the first node took no key: {0}")]
    Write(String),
    /// A trace makes no sense.
    #[error(transparent)]
    Trace(#[from] TraceError),
    /// The traces do not make a run.
    #[error("{}: {error}", dir.display())]
    Metrics {
        /// The run's folder.
        dir: PathBuf,
        /// Why.
        error: MetricsError,
    },
}

impl RunError {
    /// Whether somebody interrupted.
    #[must_use]
    pub const fn is_interrupt(&self) -> bool {
        matches!(self, Self::Cluster(ClusterError::Interrupted))
    }

    pub(super) fn files(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |error| Self::Files { path, reason: error.to_string() }
    }
}

/// Where a run stands, for a progress bar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Processes start.
    Starting,
    /// So many nodes see all nodes.
    Joining(usize),
    /// So many nodes have the key.
    Spreading(usize),
    /// All have it or the horizon is over; the window is watched to its end.
    Watching,
}

/// Carries out a run and measures it.
///
/// # Errors
///
/// [`RunError`]; no process is left then either.
pub fn run(
    program: &Path,
    plan: &RunPlan,
    mut progress: impl FnMut(Stage),
) -> Result<RunFigures, RunError> {
    fs::create_dir_all(&plan.dir).map_err(RunError::files(&plan.dir))?;
    write_run_file(plan)?;
    progress(Stage::Starting);
    let mut cluster = Cluster::spawn(program, &plan.dir, children(plan))?;
    let nodes = come_up(&mut cluster, plan, &mut progress)?;
    spread(&mut cluster, plan, &nodes, &mut progress)?;
    finish(&mut cluster)?;
    drop(cluster);
    measure_again(&plan.dir)
}

/// Measures a run from its folder.
///
/// # Errors
///
/// [`RunError`] if files are missing or make no sense.
pub fn measure_again(dir: &Path) -> Result<RunFigures, RunError> {
    let file = read_run_file(dir)?;
    let traces = read_traces(dir, &file.run)?;
    measure(&file.run, &traces).map_err(|error| RunError::Metrics { dir: dir.to_owned(), error })
}

/// Reads the traces of a run's nodes, in the order of the nodes, from its folder.
///
/// # Errors
///
/// [`RunError::Trace`]. A trace that is missing is no error here.
pub fn read_traces(dir: &Path, run: &Run) -> Result<Vec<Trace>, RunError> {
    let mut traces = Vec::new();
    for number in 1..=run.nodes {
        let log = trace_path(dir, &format!("Node{number}"));
        // What the name ends in is its writer's affair; the content tells the formats apart.
        let candidates = [log.with_extension("jsonl"), log];
        if let Some(path) = candidates.iter().find(|path| path.exists()) {
            traces.push(trace::read(path)?);
        }
    }
    Ok(traces)
}

/// Reads what a run was from its folder.
///
/// # Errors
///
/// [`RunError::Files`].
pub fn read_run_file(dir: &Path) -> Result<RunFile, RunError> {
    let path = dir.join("run.json");
    let text = fs::read_to_string(&path).map_err(RunError::files(&path))?;
    let reason = |error: serde_json::Error| RunError::Files { path, reason: error.to_string() };
    serde_json::from_str(&text).map_err(reason)
}

fn write_run_file(plan: &RunPlan) -> Result<(), RunError> {
    let path = plan.dir.join("run.json");
    let text = serde_json::to_string_pretty(&plan.file)
        .map_err(|error| RunError::Files { path: path.clone(), reason: error.to_string() })?;
    fs::write(&path, text).map_err(RunError::files(&path))
}

fn trace_path(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!("{name}.log"))
}

fn children(plan: &RunPlan) -> impl Iterator<Item = (String, Vec<String>)> + '_ {
    let run = plan.file.run;
    let format = match plan.trace_format {
        TraceFormat::Json => "json",
        TraceFormat::Thesis => "thesis",
    };
    (1..=run.nodes).map(move |number| {
        let name = format!("Node{number}");
        let trace = trace_path(&plan.dir, &name).display().to_string();
        let mut arguments: Vec<String> = [
            "node",
            "--control",
            "--label",
            &name,
            "--bind",
            "127.0.0.1:0",
            "--http",
            "127.0.0.1:0",
            "--trace",
            &trace,
            "--trace-format",
            format,
            "--mode",
            run.mode.name(),
            "--preset",
            run.preset.name(),
        ]
        .map(str::to_owned)
        .into();
        arguments.extend(plan.file.overrides.iter().cloned());
        (name, arguments)
    })
}

/// A node's addresses.
#[derive(Clone, Copy, Debug)]
struct Addresses {
    gossip: SocketAddr,
    http: Option<SocketAddr>,
}

/// Brings the cluster through the barrier.
fn come_up(
    cluster: &mut Cluster,
    plan: &RunPlan,
    progress: &mut impl FnMut(Stage),
) -> Result<Vec<Addresses>, ClusterError> {
    let nodes = wait_bound(cluster)?;
    let (run, barrier) = (plan.file.run, plan.file.barrier);
    for index in 0..nodes.len() {
        let ends = topology::neighbors(run.topology, run.dim, index);
        let neighbors = ends.into_iter().map(|end| nodes[end].gossip).collect();
        cluster.order(
            index,
            &Order::Start {
                neighbors,
                seed: (index > 0).then_some(nodes[0].gossip),
                push_pull_ms: barrier.push_pull_ms,
                retransmit_mult: barrier.retransmit_mult,
            },
        );
        std::thread::sleep(Duration::from_millis(barrier.spacing_ms));
    }
    wait_all_see_all(cluster, progress)?;
    cluster.order_all(&Order::Settle);
    wait_for_each(
        cluster,
        "all nodes have no more to tell about members",
        BARRIER_MAX,
        |report| *report == Report::Settled,
    )?;
    Ok(nodes)
}

fn wait_bound(cluster: &mut Cluster) -> Result<Vec<Addresses>, ClusterError> {
    let mut nodes = vec![None; cluster.len()];
    let mut missing = nodes.len();
    let take = |index: usize, report| {
        if let Report::Bound { gossip, http } = report {
            nodes[index] = Some(Addresses { gossip, http });
            missing -= 1;
        }
        missing == 0
    };
    cluster.wait_until("all nodes have their ports", BIND_MAX, take, String::new)?;
    Ok(nodes.into_iter().flatten().collect())
}

fn wait_all_see_all(
    cluster: &mut Cluster,
    progress: &mut impl FnMut(Stage),
) -> Result<(), ClusterError> {
    let size = cluster.len();
    let live = std::cell::RefCell::new(vec![1; size]);
    let whole = || live.borrow().iter().filter(|&&seen| seen == size).count();
    progress(Stage::Joining(0));
    if size == 1 {
        return Ok(());
    }
    let take = |index: usize, report| {
        if let Report::Live { members } = report {
            live.borrow_mut()[index] = members;
            progress(Stage::Joining(whole()));
        }
        whole() == size
    };
    let state = || format!("{} of {size} do", whole());
    cluster.wait_until("all nodes see all nodes", BARRIER_MAX, take, state)
}

fn wait_for_each(
    cluster: &mut Cluster,
    what: &'static str,
    wait: Duration,
    is_it: impl Fn(&Report) -> bool,
) -> Result<(), ClusterError> {
    let size = cluster.len();
    let done = std::cell::Cell::new(0);
    let take = |_: usize, report: Report| {
        done.set(done.get() + usize::from(is_it(&report)));
        done.get() == size
    };
    cluster.wait_until(what, wait, take, || format!("{} of {size}", done.get()))
}

/// Writes the key and waits for window and horizon.
fn spread(
    cluster: &mut Cluster,
    plan: &RunPlan,
    nodes: &[Addresses],
    progress: &mut impl FnMut(Stage),
) -> Result<(), RunError> {
    let door = nodes.first().and_then(|node| node.http);
    let door = Door::new(door.ok_or_else(|| RunError::Write("it has no HTTP door".to_owned()))?);
    // The end of the barrier lies close behind somebody's tick; the key must not.
    cluster.pause(random_part(plan.file.run.interval_ms).map_err(RunError::Write)?)?;
    let (key, value) = KEY_AND_VALUE;
    let clock = rumormill_mio::Clock::start();
    door.add(key, value).map_err(|error| RunError::Write(error.to_string()))?;
    let (size, mut infected) = (cluster.len(), 0);
    progress(Stage::Spreading(0));
    let take = |_: usize, report| {
        infected += usize::from(matches!(report, Report::Infected { .. }));
        progress(Stage::Spreading(infected));
        infected == size
    };
    let horizon = Duration::from_millis(plan.file.run.horizon_ms);
    match cluster.wait_until("all nodes have the key", horizon, take, String::new) {
        // Who has not got it by the horizon shows in the rate.
        Ok(()) | Err(ClusterError::TimedOut { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    progress(Stage::Watching);
    let spent = Duration::from_micros(clock.now().as_micros());
    let window = Duration::from_millis(plan.file.run.window_ms) + MARGIN;
    cluster.pause(window.saturating_sub(spent))?;
    Ok(())
}

/// A uniformly random part of the interval.
fn random_part(interval_ms: u64) -> Result<Duration, String> {
    let bytes = rumormill_mio::entropy::<8>().map_err(|error| error.to_string())?;
    let micros = u64::from_be_bytes(bytes) % (interval_ms * 1_000).max(1);
    Ok(Duration::from_micros(micros))
}

fn finish(cluster: &mut Cluster) -> Result<(), ClusterError> {
    cluster.order_all(&Order::Finish);
    wait_for_each_until_end(cluster)
}

/// A node that is done ends, so the end of one is no failure while others still write.
fn wait_for_each_until_end(cluster: &mut Cluster) -> Result<(), ClusterError> {
    let (size, mut done) = (cluster.len(), 0);
    while done < size {
        match cluster.next(FINISH_MAX) {
            Ok(Some((_, Report::Done))) => done += 1,
            Ok(Some(_)) | Err(ClusterError::Ended { .. }) => {}
            Ok(None) => {
                return Err(ClusterError::TimedOut {
                    seconds: FINISH_MAX.as_secs(),
                    what: "all traces are written",
                    progress: format!("{done} of {size}"),
                });
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
