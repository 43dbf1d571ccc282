//! What a run is, what becomes of it, and what is measured from what it leaves.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::cluster::ClusterError;
use super::conditions::Conditions;
use super::hosts::HostSpec;
use super::world::WorldPlan;
use crate::agent::job::trace_path;
use crate::config::Overrides;
use crate::metrics::{MetricsError, Outage, Run, RunFigures, Scene, measure_all};
use crate::report::{Barrier, HostClock, offset_of};
use crate::topology::Graph;
use crate::trace::{self, Trace, TraceError, TraceFormat};

/// The key and value of the original experiment: they make its message 53 bytes long.
pub const KEY_AND_VALUE: (&str, &str) = ("mgossip", "better");

/// What a run is, as it is written beside its traces so that they can be measured again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunFile {
    /// What was run.
    pub run: Run,
    /// How the cluster came up.
    pub barrier: Barrier,
    /// What replaced the preset's numbers, in the words of the command line.
    pub overrides: Vec<String>,
    /// The hosts asked for, in order; none if all nodes were on the coordinator's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub asked_hosts: Vec<HostSpec>,
    /// The version of this program.
    #[serde(default)]
    pub version: String,
    /// The world that it took place in; `None` for processes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub world: Option<WorldPlan>,
    /// The load and the faults.
    #[serde(default)]
    pub conditions: Conditions,
    /// Who was down.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outages: Vec<Outage>,
    /// The hosts and their clocks; none if all nodes were on the coordinator's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<HostClock>,
}

/// How to run.
#[derive(Clone, Debug)]
pub struct RunPlan {
    /// What.
    pub file: RunFile,
    /// Along which links.
    pub graph: Arc<Graph>,
    /// Who is killed, by index.
    pub victims: Vec<usize>,
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
    /// The folder holds the figures of something else.
    #[error("{}: holds a run with other numbers: name another --out", dir.display())]
    Other {
        /// The folder.
        dir: PathBuf,
    },
    /// A trace makes no sense.
    #[error(transparent)]
    Trace(#[from] TraceError),
    /// The traces do not make a run.
    #[error("{error}")]
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

    /// Whether a host was lost, and its traces with it.
    #[must_use]
    pub const fn is_lost_host(&self) -> bool {
        matches!(self, Self::Cluster(ClusterError::Host(_)))
    }

    pub(super) fn files(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |error| Self::Files { path, reason: error.to_string() }
    }
}

/// What remains of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Keep {
    /// Its traces, from which everything can be computed again.
    Traces,
    /// What was computed from them.
    Figures,
}

/// Where a run stands, for a progress bar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Processes start.
    Starting,
    /// So many nodes see all nodes.
    Joining(usize),
    /// So many nodes have no more to tell about members.
    Settling(usize),
    /// So many nodes have the key.
    Spreading(usize),
    /// All have it or the horizon is over; the window is watched to its end.
    Watching,
}

/// Measures a run from its folder: from its traces or, where they were not kept, from the figures
/// that were made of them.
///
/// # Errors
///
/// [`RunError`] if files are missing or make no sense.
pub fn measure_again(dir: &Path, graph: &Graph) -> Result<Vec<RunFigures>, RunError> {
    let file = read_run_file(dir)?;
    let traces = read_traces(dir, &file)?;
    let figures = figures_path(dir);
    // Traces that are about to be removed may be there in part.
    if traces.len() < file.run.nodes as usize && figures.exists() {
        return read_json(&figures);
    }
    measure_all(&file.run, &scene(&file, Some(graph)), &traces)
        .map_err(|error| RunError::Metrics { dir: dir.to_owned(), error })
}

/// What is known of a run beside its traces.
#[must_use]
pub fn scene<'a>(file: &'a RunFile, graph: Option<&'a Graph>) -> Scene<'a> {
    let warm = file.conditions.warm_in(file.run.mode);
    Scene { warm, messages: file.conditions.messages, graph, outages: &file.outages }
}

/// Reads the traces of a run's nodes, in the order of the nodes, from its folder, with their times by
/// the coordinator's clock.
///
/// # Errors
///
/// [`RunError::Trace`]. A trace that is missing is no error here.
pub fn read_traces(dir: &Path, file: &RunFile) -> Result<Vec<Trace>, RunError> {
    let mut traces = Vec::new();
    for (index, path) in trace_paths(dir, &file.run).enumerate() {
        if path.exists() {
            let mut trace = trace::read(&path)?;
            let offset_ns = offset_of(&file.hosts, index);
            trace.events.iter_mut().for_each(|event| event.shift(offset_ns.saturating_neg()));
            traces.push(trace);
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
    read_json(&run_file_path(dir))
}

/// Whether a run was carried out to its end.
pub(super) fn is_finished(dir: &Path) -> bool {
    figures_path(dir).exists()
}

/// The figures of a run that was carried out before; `None` if it was not, or not to its end.
///
/// # Errors
///
/// [`RunError::Other`] if the folder holds another run.
pub(super) fn finished(plan: &RunPlan) -> Result<Option<Vec<RunFigures>>, RunError> {
    if !run_file_path(&plan.dir).exists() || !is_finished(&plan.dir) {
        return Ok(None);
    }
    // The clocks of hosts are measured while it runs, and so are deaths.
    let (hosts, outages) = (Vec::new(), Vec::new());
    let file = RunFile { hosts, outages, ..read_run_file(&plan.dir)? };
    if file != plan.file {
        return Err(RunError::Other { dir: plan.dir.clone() });
    }
    read_json(&figures_path(&plan.dir)).map(Some)
}

/// Measures a run that was just carried out, and keeps of it what is to be kept.
pub(super) fn conclude(plan: &RunPlan, keep: Keep) -> Result<Vec<RunFigures>, RunError> {
    let figures = measure_again(&plan.dir, &plan.graph)?;
    let path = figures_path(&plan.dir);
    let text = serde_json::to_string(&figures)
        .map_err(|error| RunError::Files { path: path.clone(), reason: error.to_string() })?;
    // The file says that the run is finished: it appears whole or not at all.
    crate::report::write_file(&path, &text)
        .map_err(|error| RunError::Files { path, reason: error.to_string() })?;
    if keep == Keep::Figures {
        for path in trace_paths(&plan.dir, &plan.file.run) {
            fs::remove_file(&path).map_err(RunError::files(&path))?;
        }
    }
    Ok(figures)
}

fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, RunError> {
    let text = fs::read_to_string(path).map_err(RunError::files(path))?;
    let reason = |error: serde_json::Error| RunError::Files {
        path: path.to_owned(),
        reason: error.to_string(),
    };
    serde_json::from_str(&text).map_err(reason)
}

pub(super) fn write_run_file(dir: &Path, file: &RunFile) -> Result<(), RunError> {
    let path = run_file_path(dir);
    let text = serde_json::to_string_pretty(file)
        .map_err(|error| RunError::Files { path: path.clone(), reason: error.to_string() })?;
    fs::write(&path, text).map_err(RunError::files(&path))
}

pub(super) fn trace_paths(dir: &Path, run: &Run) -> impl Iterator<Item = PathBuf> {
    (1..=run.nodes).map(move |number| trace_path(dir, number))
}

fn run_file_path(dir: &Path) -> PathBuf {
    dir.join("run.json")
}

fn figures_path(dir: &Path) -> PathBuf {
    dir.join("figures.json")
}
