//! One run's figures, from the traces of its nodes. Pure: the same traces give the same figures,
//! whether real processes wrote them or the simulator did.
//!
//! A run spreads one rumour, or several that are measured one by one. The definitions are the original's where it has one, so that numbers
//! compare (DESIGN.md, "The experiment"):
//!
//! - *reached*: the creator, and every node that received the rumour within the horizon;
//! - *convergence time*: from the creation to the latest first receipt, over the nodes reached;
//! - *window*: from the creation, up to and not including the creation + `window_ms`;
//! - *until convergence*: from the creation, up to and including the latest first receipt;
//! - *copies*: how often the rumour was put into a datagram. The original logged those of its
//!   gossip tick, one line each, and called them packets. Copies that were forwarded at once and
//!   copies that rode on probes are counted apart, and so are datagrams and bytes;
//! - *the live*: nodes that were up from the creation until the horizon, see [`Delivery`];
//! - *RMR* (Plumtree's relative message redundancy): copies / (reached − 1) − 1, so 0 is a tree.
//!
//! The clocks of all nodes are taken as one. A receipt before the creation, which only a clock that
//! is off can write down, counts as one at the creation.

mod copies;
mod delivery;
mod history;
mod infection;
mod parts;
mod scene;
mod story;

use core::fmt;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::config::{Mode, Preset};
use crate::topology::Topology;
use crate::trace::{RumorTag, Trace, TraceFormat};

pub use delivery::Delivery;
pub use history::{Down, History, Receipt, Sent, Told, history, history_of};
pub use scene::{Outage, Scene};

use copies::Load;
use delivery::{Upkeep, numbers};
use infection::Infection;

/// Gossip intervals in a horizon, at most: two days at 200 ms. It bounds what a trace with a time
/// far ahead can make [`RunFigures::infected_per_epoch`] grow to.
pub const EPOCHS_MAX: u64 = 1_000_000;

const NS_PER_MS: u64 = 1_000_000;

/// Which links rumours spread along.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum Overlay {
    /// None: members are drawn at random.
    None,
    /// The neighbours of the plan.
    Static,
}

impl Overlay {
    /// What a mode uses unless told otherwise.
    #[must_use]
    pub const fn of(mode: Mode) -> Self {
        if mode.is_classic() { Self::None } else { Self::Static }
    }
}

impl fmt::Display for Overlay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::None => "none",
            Self::Static => "static",
        })
    }
}

/// What the nodes of a run are.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum Runtime {
    /// Processes with sockets.
    Udp,
    /// Machines in the simulator's virtual time.
    Sim,
}

impl fmt::Display for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Udp => "udp",
            Self::Sim => "sim",
        })
    }
}

/// What was run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// The graph of the plan.
    pub topology: Topology,
    /// Its dimension.
    pub dim: u32,
    /// How many nodes were started.
    pub nodes: u32,
    /// How rumours spread.
    pub mode: Mode,
    /// Along which links.
    pub overlay: Overlay,
    /// Number of the repeat within its group, from 0.
    pub repeat: u32,
    /// Processes or the simulator.
    pub runtime: Runtime,
    /// Where the knobs come from.
    pub preset: Preset,
    /// Time between gossip ticks, in milliseconds; at least 1. The length of an epoch.
    pub interval_ms: u64,
    /// How long after the creation copies are counted, in milliseconds.
    pub window_ms: u64,
    /// How long after the creation the run was watched, in milliseconds. Later events do not count.
    pub horizon_ms: u64,
}

/// What came out of one run. Serialises under these names, in this order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunFigures {
    /// See [`Run::topology`].
    pub topology: Topology,
    /// See [`Run::dim`].
    pub dim: u32,
    /// See [`Run::nodes`].
    pub nodes: u32,
    /// See [`Run::mode`].
    pub mode: Mode,
    /// See [`Run::overlay`].
    pub overlay: Overlay,
    /// See [`Run::repeat`].
    pub repeat: u32,
    /// See [`Run::runtime`].
    pub runtime: Runtime,
    /// See [`Run::preset`].
    pub preset: Preset,
    /// Reached nodes / nodes, 0 to 1.
    pub convergence_rate: f64,
    /// Convergence time in milliseconds; `None` when nobody received the rumour.
    pub convergence_ms: Option<f64>,
    /// Copies sent by gossip ticks until convergence; `None` when nobody received the rumour.
    pub tick_copies_until_convergence: Option<u64>,
    /// Copies sent by gossip ticks in the window: the original's "packets".
    pub tick_copies_in_window: u64,
    /// Copies forwarded at once, in the window; `None` for thesis logs, which lack them.
    pub immediate_copies: Option<u64>,
    /// Copies that rode on probes, answers and the rest, in the window; `None` for thesis logs.
    pub piggybacked_copies: Option<u64>,
    /// Datagrams in the window that carried the rumour; `None` for thesis logs.
    pub datagrams_in_window: Option<u64>,
    /// Bytes of those datagrams, headers of UDP and IP left out; `None` for thesis logs.
    pub bytes_in_window: Option<u64>,
    /// Relative message redundancy over all copies in the window; `None` when nobody received the
    /// rumour, and for thesis logs.
    pub rmr: Option<f64>,
    /// Depth of the infection tree: links from the creator to the node furthest down. `None` when
    /// nobody received the rumour, and when a trace does not say, or not truly, whom it came from.
    pub last_delivery_hop: Option<u32>,
    /// Nodes newly reached in each gossip interval since the creation, the creator among the first,
    /// up to the interval of the last receipt.
    pub infected_per_epoch: Vec<u32>,
    /// As `immediate_copies`, until convergence; `None` also when nobody received the rumour.
    pub immediate_copies_until_convergence: Option<u64>,
    /// As `piggybacked_copies`, until convergence; `None` also when nobody received the rumour.
    pub piggybacked_copies_until_convergence: Option<u64>,
    /// All three kinds of copies until convergence; `None` as for its parts.
    pub copies_until_convergence: Option<u64>,
    /// How it got to those who live.
    #[serde(flatten)]
    pub delivery: Delivery,
    /// See [`Run::interval_ms`].
    pub interval_ms: u64,
    /// See [`Run::window_ms`].
    pub window_ms: u64,
    /// See [`Run::horizon_ms`].
    pub horizon_ms: u64,
    /// Times of the first receipts since the creation in milliseconds, ascending: the infection
    /// curve. One for each reached node but the creator.
    pub receipts_ms: Vec<f64>,
    /// Why the figures may be too low: traces that are missing or cut off. `None`: they are whole.
    pub error: Option<String>,
}

/// Traces that do not make a run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MetricsError {
    /// Epochs would have no length.
    #[error("the gossip interval is 0 ms: give at least 1")]
    IntervalZero,
    /// There would be more epochs than [`EPOCHS_MAX`].
    #[error(
        "a horizon of {horizon_ms} ms has too many gossip intervals of {interval_ms} ms: \
         shorten it to {EPOCHS_MAX} intervals at most"
    )]
    HorizonTooLong {
        /// [`Run::horizon_ms`].
        horizon_ms: u64,
        /// [`Run::interval_ms`].
        interval_ms: u64,
    },
    /// There are more traces than nodes.
    #[error("{traces} traces for {nodes} nodes: remove those of other runs")]
    TooManyTraces {
        /// How many traces were given.
        traces: usize,
        /// [`Run::nodes`].
        nodes: u32,
    },
    /// Two traces are of one node.
    #[error("two traces are of node `{node}`: remove the one of another run")]
    NodeTwice {
        /// The node's name.
        node: String,
    },
    /// No node created a rumour.
    #[error("no trace has a created rumour: give the run one, or look whether its creator started")]
    NoCreation,
    /// More or fewer rumours were created than should have been.
    #[error("the traces have {count} created rumours: a run spreads {}", in_words(*expected))]
    OtherCreations {
        /// How many.
        count: usize,
        /// How many there should be.
        expected: usize,
    },
}

/// The one rumour of a run.
#[derive(Clone, Copy, Debug)]
struct Creation {
    /// Index of the creator's trace.
    creator: usize,
    tag: RumorTag,
    /// Nanoseconds since the Unix epoch.
    t: u64,
}

/// Computes the figures of `run` from the traces of its nodes, which may come in any order.
///
/// # Errors
///
/// [`MetricsError`] when the traces cannot be those of this run. Traces that are missing or cut off
/// are no error: [`RunFigures::error`] tells of them.
pub fn measure(run: &Run, traces: &[Trace]) -> Result<RunFigures, MetricsError> {
    let mut all = measure_all(run, &Scene::default(), traces)?;
    all.pop().ok_or(MetricsError::NoCreation)
}

/// Computes the figures of each measured rumour of `run`, in the order of their creation.
///
/// # Errors
///
/// As [`measure`].
pub fn measure_all(
    run: &Run,
    scene: &Scene<'_>,
    traces: &[Trace],
) -> Result<Vec<RunFigures>, MetricsError> {
    check(run, traces)?;
    let (is_blind, upkeep) = (is_blind(traces), Upkeep::of(traces));
    let (names, senders) = (numbers(traces), history::nodes_by_address(traces));
    let error = incompleteness(run, scene, traces);
    let figures_of = |(message, story): (u32, &story::Story)| {
        let infection = Infection::of(run, story, &senders, traces.len());
        let load = Load::of(run, story, infection.last_receipt(), is_blind);
        let mut delivery = Delivery::of(run, scene, &names, &infection, &load);
        delivery.message = message;
        if let Some(upkeep) = upkeep {
            upkeep.share(scene.messages, &mut delivery);
        }
        RunFigures { delivery, ..figures(run, &infection, &load, error.clone()) }
    };
    Ok((0..).zip(&story::tell(scene, traces)?).map(figures_of).collect())
}

fn figures(run: &Run, infection: &Infection, load: &Load, error: Option<String>) -> RunFigures {
    let reached = infection.reached();
    let until = load.until_convergence;
    RunFigures {
        topology: run.topology,
        dim: run.dim,
        nodes: run.nodes,
        mode: run.mode,
        overlay: run.overlay,
        repeat: run.repeat,
        runtime: run.runtime,
        preset: run.preset,
        convergence_rate: rounded(f64::from(reached) / f64::from(run.nodes)),
        convergence_ms: infection.convergence_ms(),
        tick_copies_until_convergence: until.map(|copies| copies.tick),
        tick_copies_in_window: load.in_window.tick,
        immediate_copies: load.unless_blind(load.in_window.immediate),
        piggybacked_copies: load.unless_blind(load.in_window.piggybacked),
        datagrams_in_window: load.unless_blind(load.datagrams_in_window),
        bytes_in_window: load.unless_blind(load.bytes_in_window),
        rmr: load
            .unless_blind(load.in_window.total())
            .and_then(|copies| redundancy(copies, reached)),
        last_delivery_hop: infection.last_delivery_hop(),
        infected_per_epoch: infection.per_epoch(run.interval_ms),
        immediate_copies_until_convergence: until
            .and_then(|copies| load.unless_blind(copies.immediate)),
        piggybacked_copies_until_convergence: until
            .and_then(|copies| load.unless_blind(copies.piggybacked)),
        copies_until_convergence: until.and_then(|copies| load.unless_blind(copies.total())),
        delivery: Delivery::default(),
        interval_ms: run.interval_ms,
        window_ms: run.window_ms,
        horizon_ms: run.horizon_ms,
        receipts_ms: infection.receipts_ms(),
        error,
    }
}

/// Whether the numbers of a run can be measured at all, whatever its traces say.
///
/// # Errors
///
/// [`MetricsError::IntervalZero`] and [`MetricsError::HorizonTooLong`].
pub const fn check_numbers(run: &Run) -> Result<(), MetricsError> {
    let Run { interval_ms, horizon_ms, .. } = *run;
    if interval_ms == 0 {
        return Err(MetricsError::IntervalZero);
    }
    if horizon_ms / interval_ms > EPOCHS_MAX {
        return Err(MetricsError::HorizonTooLong { horizon_ms, interval_ms });
    }
    Ok(())
}

fn check(run: &Run, traces: &[Trace]) -> Result<(), MetricsError> {
    check_numbers(run)?;
    let nodes = run.nodes;
    if u32::try_from(traces.len()).is_ok_and(|traces| traces <= nodes) {
        let mut names: Vec<&str> = traces.iter().map(|trace| trace.node.as_str()).collect();
        names.sort_unstable();
        match names.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(MetricsError::NodeTwice { node: pair[0].to_owned() }),
            None => Ok(()),
        }
    } else {
        Err(MetricsError::TooManyTraces { traces: traces.len(), nodes })
    }
}

/// What is missing, in one line.
fn incompleteness(run: &Run, scene: &Scene<'_>, traces: &[Trace]) -> Option<String> {
    let mut lacks = Vec::new();
    let missing = (run.nodes as usize).saturating_sub(traces.len());
    if missing > 0 {
        lacks.push(format!("{missing} of {} traces missing", run.nodes));
    }
    // Whoever is killed leaves half a line, which says nothing about what is measured afterwards.
    let is_torn = |trace: &&Trace| trace.is_torn && !scene.is_dead(scene::number_of(&trace.node));
    let torn: Vec<&str> = traces.iter().filter(is_torn).map(|trace| trace.node.as_str()).collect();
    match torn.as_slice() {
        [] => {}
        [node] => lacks.push(format!("the trace of {node} is cut off")),
        [node, rest @ ..] => {
            lacks.push(format!("the traces of {node} and {} more are cut off", rest.len()));
        }
    }
    (!lacks.is_empty()).then(|| lacks.join("; "))
}

fn in_words(count: usize) -> String {
    if count == 1 { "one".to_owned() } else { count.to_string() }
}

/// Relative message redundancy; `None` when nobody but the creator has the rumour.
fn redundancy(copies: u64, reached: u32) -> Option<f64> {
    let deliveries = reached.checked_sub(1).filter(|deliveries| *deliveries > 0)?;
    // A figure for people: beyond 2^53 copies its last digits are not theirs.
    Some(rounded(copies as f64 / f64::from(deliveries) - 1.0))
}

/// A figure to six decimals, which are nanoseconds where it is in milliseconds. What JSON writes
/// of it then is short, and reads back as the same number.
pub(crate) fn rounded(figure: f64) -> f64 {
    const MILLION: f64 = 1e6;
    // From 2^53 millionths on, a float has no more than six decimals anyway.
    if figure.abs() < 9e9 { (figure * MILLION).round() / MILLION } else { figure }
}

/// Nanoseconds as milliseconds with a fraction; exact to the nanosecond for the first 104 days.
fn as_ms(ns: u64) -> f64 {
    ns as f64 / NS_PER_MS as f64
}

/// `ms` milliseconds after `t`, both ends of the scale kept.
fn after(t: u64, ms: u64) -> u64 {
    t.saturating_add(ms.saturating_mul(NS_PER_MS))
}

/// Whether the traces lack everything that a thesis log lacks.
fn is_blind(traces: &[Trace]) -> bool {
    traces.iter().any(|trace| trace.format == TraceFormat::Thesis)
}

#[cfg(test)]
mod tests;
