//! The nodes of a run in the simulator's virtual time: the very same ones as in processes.

mod faults;

use core::time::Duration;
use std::collections::BTreeMap;
use std::fs;

use bytes::Bytes;
use rumormill::{Config, Instant, Params};
use rumormill_sim::chance::{Chance, Part, named_seed};
use rumormill_sim::{Network, ProcessId, Spawn, World};

use super::cluster::ClusterError;
use super::conditions::ORIGIN;
use super::course::{Ending, Nodes, Reach};
use super::interrupt::is_interrupted;
use super::run::{KEY_AND_VALUE, RunError, RunPlan, trace_paths};
use super::world::WorldPlan;
use crate::agent::job::node_name;
use crate::metrics::Outage;
use crate::peer::Peer;
use crate::settings::Settings;
use crate::sim_node::SimNode;
use crate::trace::{RumorTag, TraceWriter};
use faults::Turnover;

/// How often the world is looked at from outside, as a coordinator would.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Machines in a world.
pub(super) struct Machines<'a> {
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

/// Who has which of the messages that are of interest.
#[derive(Debug, Default)]
struct Receipts {
    wanted: Vec<RumorTag>,
    /// When the last of them was written.
    wrote_at: Option<Instant>,
    /// How many of them each node is known to have, in their order.
    had: Vec<usize>,
}

impl<'a> Machines<'a> {
    pub(super) fn new(plan: &'a RunPlan, conditions: WorldPlan) -> Self {
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

    fn config_of(&self, id: ProcessId) -> Config {
        let ends = self.plan.graph.neighbors(id.index()).iter();
        let neighbors = ends.map(|&end| self.world.addr(ProcessId::new(end))).collect();
        Settings { neighbors, ..self.settings.clone() }.config()
    }
}

impl Nodes for Machines<'_> {
    fn size(&self) -> usize {
        self.world.size()
    }

    fn now(&self) -> Duration {
        self.world.now().saturating_since(Instant::ZERO)
    }

    fn pass(&mut self, time: Duration) -> Result<(), RunError> {
        check_interrupt()?;
        self.run_for(time);
        Ok(())
    }

    /// They are looked at from outside, as a coordinator would.
    fn wait(
        &mut self,
        most: Duration,
        mut is_so: impl FnMut(&mut Self) -> bool,
    ) -> Result<bool, RunError> {
        let end = self.world.now() + most;
        while !is_so(self) {
            check_interrupt()?;
            if self.world.now() >= end {
                return Ok(false);
            }
            self.run_for(LOOK_EVERY);
        }
        Ok(true)
    }

    fn part_of(&mut self, time: Duration) -> Result<Duration, RunError> {
        Ok(self.chance.below_duration(time))
    }

    fn start(&mut self, index: usize) {
        let (barrier, id) = (self.plan.file.barrier, ProcessId::new(index));
        let seed = self.world.addr(ProcessId::new(ORIGIN));
        let seeds = if index == ORIGIN { vec![] } else { vec![seed] };
        let mut config = self.config_of(id);
        config.push_pull_interval = Some(Duration::from_millis(barrier.push_pull_ms));
        config.retransmit_mult = barrier.retransmit_mult;
        self.world.act(id, |ctl, _| {
            ctl.act(|node, now| {
                node.set_params(now, params(config));
                node.join(now, &seeds);
            });
        });
    }

    fn seeing_all(&self) -> usize {
        let size = self.size();
        count(&self.world, |node| node.live_members() == size)
    }

    fn settle(&mut self) {
        for id in self.world.ids() {
            let config = self.config_of(id);
            self.world.act(id, |ctl, _| ctl.act(|node, now| node.set_params(now, params(config))));
        }
    }

    fn settled(&self) -> usize {
        count(&self.world, |node| node.updates_waiting() == 0)
    }

    fn write(&mut self) -> Result<(), RunError> {
        let (key, value) = KEY_AND_VALUE;
        let (written, created) = self.world.act(ProcessId::new(ORIGIN), |ctl, app| {
            let value = Bytes::from_static(value.as_bytes());
            (app.write(ctl, key.as_bytes(), Some(value)), app.created())
        });
        written.map_err(|error| RunError::Write(error.to_string()))?;
        self.receipts.wanted.extend(created);
        self.receipts.wrote_at = Some(self.world.now());
        Ok(())
    }

    fn forget(&mut self) {
        self.receipts = Receipts::default();
    }

    fn reach(&mut self) -> Reach {
        let Receipts { wanted, wrote_at, had } = &mut self.receipts;
        if *wrote_at == Some(self.world.now()) {
            // Time must pass before anybody else can have it.
            return Reach { has: 0, live: self.world.size() };
        }
        had.resize(self.world.size(), 0);
        let apps = self.world.ids().filter_map(|id| Some((id, self.world.app(id)?)));
        let mut reach = Reach { has: 0, live: 0 };
        for (id, app) in apps {
            let had = &mut had[id.index()];
            while wanted.get(*had).is_some_and(|rumor| app.has(*rumor)) {
                *had += 1;
            }
            reach.has += usize::from(*had == wanted.len());
            reach.live += 1;
        }
        reach
    }

    fn mark(&mut self) -> Result<(), RunError> {
        for id in self.world.ids() {
            self.world.act(id, |ctl, app| app.mark(ctl.now(), ctl.node()));
        }
        Ok(())
    }

    fn strike(&mut self) -> Result<(), RunError> {
        self.begin_faults();
        Ok(())
    }

    fn end(mut self) -> Result<Ending, RunError> {
        for id in self.world.ids() {
            if self.world.app(id).is_some() {
                self.world.act(id, |ctl, app| app.end(ctl.now(), ctl.node()));
            }
        }
        let ids = self.world.ids();
        let paths = trace_paths(&self.plan.dir, &self.plan.file.run);
        for ((id, app), path) in ids.zip(self.world.into_apps()).zip(paths) {
            let app = app.or_else(|| self.dead.remove(&id));
            let bytes = app.and_then(SimNode::into_trace).unwrap_or_default();
            fs::write(&path, bytes).map_err(RunError::files(&path))?;
        }
        Ok(Ending { hosts: Vec::new(), outages: self.outages })
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
