//! One run in the simulator's virtual time: the same start, barrier, write, window and traces as
//! with processes, and the very same nodes.

mod spread;

use core::fmt;
use core::str::FromStr;
use core::time::Duration;
use std::collections::BTreeMap;
use std::fs;

use rumormill::{Config, Instant, Params};
use rumormill_sim::chance::{Chance, Part, named_seed};
use rumormill_sim::{Latency, Network, ProcessId, Ratio, Spawn, World};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::cluster::ClusterError;
use super::interrupt::is_interrupted;
use super::run::{BARRIER_MAX, RunError, RunFile, RunPlan, Stage, trace_paths, write_run_file};
use crate::agent::job::node_name;
use crate::metrics::Outage;
use crate::peer::Peer;
use crate::settings::Settings;
use crate::sim_node::SimNode;
use crate::topology::Graph;
use crate::trace::TraceWriter;
use spread::{Receipts, Turnover};

/// How often the world is looked at from outside, as a coordinator would.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// Providers of the thesis' network: contiguous groups of nodes.
const THESIS_GROUPS: usize = 4;
/// Longest delay that may be asked for, in milliseconds.
const DELAY_MS_MAX: u32 = 60_000;

/// What is true of the world that runs take place in, beside the seed of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorldPlan {
    /// Where all chance comes from.
    pub seed: u64,
    /// How long datagrams travel.
    pub delay: Delay,
    /// Share of datagrams that are lost from the first measured message on, in parts per million.
    pub loss_ppm: u32,
}

impl WorldPlan {
    fn loss(self) -> Ratio {
        Ratio::per_million(self.loss_ppm)
    }
}

impl fmt::Display for WorldPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed {}, delay {}, loss {}", self.seed, self.delay, self.loss())
    }
}

/// How long a datagram travels between two nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Delay {
    /// No time.
    None,
    /// The same between any two nodes, in milliseconds.
    Uniform(u32),
    /// The thesis' network: 25 ms within each of four contiguous groups, 250 ms between them.
    Thesis,
}

impl Delay {
    fn latency(self, nodes: usize) -> Latency {
        let millis = |ms: u32| Duration::from_millis(ms.into());
        match self {
            Self::None => Latency::Uniform(Duration::ZERO),
            Self::Uniform(ms) => Latency::Uniform(millis(ms)),
            Self::Thesis => Latency::Groups {
                size: nodes.div_ceil(THESIS_GROUPS),
                inside: millis(25),
                between: millis(250),
            },
        }
    }
}

impl fmt::Display for Delay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.pad("none"),
            Self::Uniform(ms) => write!(f, "uniform:{ms}"),
            Self::Thesis => f.pad("thesis"),
        }
    }
}

impl From<Delay> for String {
    fn from(delay: Delay) -> Self {
        delay.to_string()
    }
}

/// A text that is no [`Delay`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{given}` is no delay: use none, uniform:MS (at most {DELAY_MS_MAX}) or thesis")]
pub struct BadDelay {
    /// What was given.
    pub given: String,
}

impl FromStr for Delay {
    type Err = BadDelay;

    fn from_str(text: &str) -> Result<Self, BadDelay> {
        let bad = || BadDelay { given: text.to_owned() };
        match text {
            "none" => Ok(Self::None),
            "thesis" => Ok(Self::Thesis),
            _ => {
                let ms = text.strip_prefix("uniform:").and_then(|ms| ms.parse().ok());
                ms.filter(|&ms| ms <= DELAY_MS_MAX).map(Self::Uniform).ok_or_else(bad)
            }
        }
    }
}

impl TryFrom<String> for Delay {
    type Error = BadDelay;

    fn try_from(text: String) -> Result<Self, BadDelay> {
        text.parse()
    }
}

/// The time that a flood along the links needs: the longest of the shortest ways from the first
/// node.
#[must_use]
pub fn floor(graph: &Graph, delay: Delay) -> Duration {
    let latency = delay.latency(graph.nodes());
    graph.floor(0, |from, to| latency.between(from, to))
}

/// Carries out a run in virtual time and leaves its traces.
pub(super) fn run(
    plan: &RunPlan,
    world: WorldPlan,
    progress: &mut dyn FnMut(Stage),
) -> Result<(), RunError> {
    fs::create_dir_all(&plan.dir).map_err(RunError::files(&plan.dir))?;
    write_run_file(&plan.dir, &plan.file)?;
    progress(Stage::Starting);
    let mut play = Play::new(plan, world);
    play.come_up(progress)?;
    play.spread(progress)?;
    play.write_traces()
}

/// A run under way.
struct Play<'a> {
    plan: &'a RunPlan,
    conditions: WorldPlan,
    settings: Settings,
    world: World<SimNode>,
    chance: Chance,
    receipts: Receipts,
    turnover: Option<Turnover>,
    /// Who is down, with its trace.
    dead: BTreeMap<ProcessId, SimNode>,
    outages: Vec<Outage>,
}

impl<'a> Play<'a> {
    /// All nodes have their addresses and are silent.
    fn new(plan: &'a RunPlan, conditions: WorldPlan) -> Self {
        let run = plan.file.run;
        let settings = Settings::new(run.preset, run.mode, plan.overrides);
        let nodes = plan.graph.nodes();
        let latency = conditions.delay.latency(nodes);
        let seed = named_seed(conditions.seed, &super::label(&run));
        let network = Network { latency, ..Network::default() };
        let mut world = World::new(seed, network);
        let silent = Config {
            gossip_interval: None,
            probe_interval: None,
            push_pull_interval: None,
            ..settings.config()
        };
        for (index, number) in (0..nodes).zip(1..=run.nodes) {
            let trace = TraceWriter::new(Vec::new(), plan.trace_format);
            let peer = Peer::new(run.mode, Some(trace));
            let id =
                world.spawn(Spawn::numbered(index, params(silent.clone())), SimNode::new(peer));
            let label = node_name(number);
            world.act(id, |ctl, app| app.adopt(ctl.now(), ctl.node(), &label));
        }
        Self {
            plan,
            conditions,
            settings,
            world,
            chance: Chance::child(seed, Part::Workload),
            receipts: Receipts::default(),
            turnover: None,
            dead: BTreeMap::new(),
            outages: Vec::new(),
        }
    }

    /// Brings the cluster through the barrier.
    fn come_up(&mut self, progress: &mut dyn FnMut(Stage)) -> Result<(), RunError> {
        let barrier = self.plan.file.barrier;
        let seed = self.world.addr(ProcessId::new(0));
        for id in self.world.ids() {
            let mut config = self.config_of(id);
            config.push_pull_interval = Some(Duration::from_millis(barrier.push_pull_ms));
            config.retransmit_mult = barrier.retransmit_mult;
            let seeds = if id.index() == 0 { vec![] } else { vec![seed] };
            self.world.act(id, |ctl, _| {
                ctl.act(|node, now| {
                    node.set_params(now, params(config));
                    node.join(now, &seeds);
                });
            });
            self.world.run_for(Duration::from_millis(barrier.spacing_ms));
            check_interrupt()?;
        }
        let size = self.world.size();
        self.wait("all nodes see all nodes", |world| {
            let whole = count(world, |node| node.live_members() == size);
            progress(Stage::Joining(whole));
            whole == size
        })?;
        for id in self.world.ids() {
            let config = self.config_of(id);
            self.world.act(id, |ctl, _| ctl.act(|node, now| node.set_params(now, params(config))));
        }
        self.wait("all nodes have no more to tell about members", |world| {
            count(world, |node| node.updates_waiting() == 0) == size
        })?;
        let warmed_up_at = Instant::ZERO + Duration::from_millis(barrier.warm_up_ms);
        self.world.run_for(warmed_up_at.saturating_since(self.world.now()));
        Ok(())
    }

    fn config_of(&self, id: ProcessId) -> Config {
        let ends = self.plan.graph.neighbors(id.index()).iter();
        let neighbors = ends.map(|&end| self.world.addr(ProcessId::new(end))).collect();
        Settings { neighbors, ..self.settings.clone() }.config()
    }

    fn wait(
        &mut self,
        what: &'static str,
        mut reached: impl FnMut(&World<SimNode>) -> bool,
    ) -> Result<(), RunError> {
        let end = self.world.now() + BARRIER_MAX;
        while !reached(&self.world) {
            check_interrupt()?;
            if self.world.now() >= end {
                let (seconds, progress) = (BARRIER_MAX.as_secs(), "in virtual time".to_owned());
                return Err(ClusterError::TimedOut { seconds, what, progress }.into());
            }
            self.world.run_for(LOOK_EVERY);
        }
        Ok(())
    }

    fn write_traces(mut self) -> Result<(), RunError> {
        let live: Vec<ProcessId> =
            self.world.ids().filter(|&id| self.world.app(id).is_some()).collect();
        for id in live {
            self.world.act(id, |ctl, app| app.end(ctl.now(), ctl.node()));
        }
        let ids = self.world.ids();
        let paths = trace_paths(&self.plan.dir, &self.plan.file.run);
        for ((id, app), path) in ids.zip(self.world.into_apps()).zip(paths) {
            let app = app.or_else(|| self.dead.remove(&id));
            let bytes = app.and_then(SimNode::into_trace).unwrap_or_default();
            fs::write(&path, bytes).map_err(RunError::files(&path))?;
        }
        let file = RunFile { outages: self.outages, ..self.plan.file.clone() };
        write_run_file(&self.plan.dir, &file)
    }
}

fn count(world: &World<SimNode>, is_so: impl Fn(&rumormill::Node) -> bool) -> usize {
    world.ids().filter(|&id| world.node(id).is_some_and(&is_so)).count()
}

fn params(config: Config) -> Params {
    Params::try_from(config).expect("the experiment checked its parameters before the first run")
}

fn check_interrupt() -> Result<(), RunError> {
    if is_interrupted() { Err(ClusterError::Interrupted.into()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::Topology;

    const MS: Duration = Duration::from_millis(1);

    fn graph(topology: Topology, dim: u32) -> Graph {
        Graph::of_dim(topology, dim, 0).unwrap()
    }

    #[test]
    fn delays_have_one_name_everywhere() {
        for (text, delay) in
            [("none", Delay::None), ("uniform:25", Delay::Uniform(25)), ("thesis", Delay::Thesis)]
        {
            assert_eq!(text.parse(), Ok(delay));
            assert_eq!(delay.to_string(), text);
            assert_eq!(serde_json::to_string(&delay).unwrap(), format!("{text:?}"));
        }
        for bad in ["", "uniform", "uniform:", "uniform:-1", "uniform:60001", "wan"] {
            assert!(bad.parse::<Delay>().is_err(), "{bad}");
        }
    }

    #[test]
    fn floors_are_the_limits_of_the_thesis_network() {
        // Table 2.3 of the design: limit cube, ring, bus.
        for (dim, cube, ring, bus) in
            [(2, 500, 500, 750), (6, 600, 1_250, 2_250), (10, 700, 13_250, 26_250)]
        {
            assert_eq!(floor(&graph(Topology::Hypercube, dim), Delay::Thesis), cube * MS);
            assert_eq!(floor(&graph(Topology::Ring, dim), Delay::Thesis), ring * MS);
            assert_eq!(floor(&graph(Topology::Bus, dim), Delay::Thesis), bus * MS);
        }
        assert_eq!(floor(&graph(Topology::Hypercube, 6), Delay::Uniform(25)), 150 * MS);
        assert_eq!(floor(&graph(Topology::Bus, 4), Delay::None), Duration::ZERO);
    }
}
