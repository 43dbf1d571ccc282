//! A whole configuration drawn from a seed, and what must hold in it.
//!
//! A scenario has two phases. In the first one links lose, double and reorder datagrams, processes
//! crash and start anew, and users broadcast: every node must keep its own books in order at every
//! step, at which builds with debug assertions and small clusters look. Then the links heal and everybody is up: now all nodes must come to see all nodes within a
//! bound, and to know the same broadcasts, those among them that start from here.
//!
//! Broadcasts are told as rumours, and what a node has heard rides in its push/pulls, as the state of
//! any application should: rumours alone miss somebody now and then, by design.

use core::fmt;
use core::time::Duration;
use std::collections::BTreeSet;

use rumormill::{Channel, Config, Event, Fact, Instant, Mode, Node, Params, Stagger};
use thiserror::Error;

use crate::chance::{Chance, Part, Ratio};
use crate::network::{Latency, Network};
use crate::trace::{Hash, Tracer};
use crate::world::{App, Ctl, ProcessId, Spawn, World, WorldStats};

/// Most nodes that a seed draws.
pub const NODES_DRAWN_MAX: usize = 64;
/// Most nodes that may be asked for. Each of them holds a record of each, and sends all of them to
/// another one every second: memory and time grow with the square.
pub const NODES_MAX: usize = 1_000;
/// Most crashes that may be asked for.
pub const CRASHES_MAX: u64 = 1_000;
/// Most broadcasts that may be asked for: whoever has heard them tells all of them in each of its
/// push/pulls.
pub const BROADCASTS_MAX: u64 = 1_000;
/// Groups of nodes, if there are any.
const GROUPS: usize = 4;
/// How often the second phase looks whether all nodes have come together.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// Broadcasts of the second phase: they must reach everybody.
const PROOFS: u64 = 4;
/// How often a node that is cut off is probed, asked or met before the bound runs out.
const CONTACTS: u32 = 40;

const CHANNEL: Channel = Channel(7);

/// What a seed decides, each part of which may be replaced. Prints as `name = value` lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// The seed.
    pub seed: u64,
    /// How many nodes.
    pub nodes: usize,
    /// How rumours spread.
    pub mode: Mode,
    /// Links of the matching modes: each node has those at these distances along a ring.
    pub strides: Vec<usize>,
    /// Whether rumours ride on probes.
    pub piggyback: bool,
    /// What links do in the first phase.
    pub network: Network,
    /// How long the first phase lasts.
    pub faults_for: Duration,
    /// How many times a process crashes in it and starts anew.
    pub crashes: u64,
    /// How many broadcasts start in it.
    pub broadcasts: u64,
}

impl Scenario {
    /// The configuration that a seed draws.
    #[must_use]
    pub fn draw(seed: u64) -> Self {
        let mut chance = Chance::child(seed, Part::Scenario);
        let index = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        let nodes = 2 + index(chance.below(NODES_DRAWN_MAX as u64 - 1));
        // Not `ThesisClassic`: it queues every duplicate again, so that no rumour of it ever ends.
        let mode = *chance.pick(&[Mode::ThesisMatching, Mode::Classic, Mode::Matching]);
        let strides = match chance.below(3) {
            0 => vec![1],
            1 => vec![1, 2],
            _ => vec![1, index(2 + chance.below(6)), index(8 + chance.below(8))],
        };
        let piggyback = chance.below(2) == 0;
        let latency = drawn_latency(&mut chance, nodes);
        let percent = |chance: &mut Chance, most: u64| {
            let of_them = if chance.below(3) == 0 { 0 } else { chance.below(most * 10_000 + 1) };
            Ratio::per_million(u32::try_from(of_them).unwrap_or(u32::MAX))
        };
        let network = Network {
            latency,
            jitter: Duration::from_micros(chance.below(20_000)),
            loss: percent(&mut chance, 30),
            duplication: percent(&mut chance, 10),
            reordering: percent(&mut chance, 20),
            held_back: Duration::from_millis(1 + chance.below(400)),
            ..Network::default()
        };
        let faults_for = Duration::from_secs(10 + chance.below(50));
        let crashes = chance.below(nodes as u64 / 2 + 1);
        let broadcasts = chance.below(30);
        Self { seed, nodes, mode, strides, piggyback, network, faults_for, crashes, broadcasts }
    }

    /// The same configuration with another number of nodes: as many groups as before, which grow or
    /// shrink.
    #[must_use]
    pub const fn with_nodes(mut self, nodes: usize) -> Self {
        self.nodes = nodes;
        if let Latency::Groups { size, .. } = &mut self.network.latency {
            *size = group_size(nodes);
        }
        self
    }

    /// How long after the healing everything must have come together: enough contacts of every
    /// node with others, at memberlist's pace, for a node that everybody believed dead to be heard.
    #[must_use]
    pub fn heals_within(&self) -> Duration {
        let config = self.config(0);
        let exchange = config.push_pull_interval.unwrap_or_default();
        let probe = config.probe_interval.unwrap_or_default();
        let round = self.network.held_back + self.network.jitter + 4 * self.longest_latency();
        (exchange + probe + round) * CONTACTS
    }

    fn longest_latency(&self) -> Duration {
        match self.network.latency {
            Latency::Uniform(delay) => delay,
            Latency::Groups { inside, between, .. } => inside.max(between),
        }
    }

    /// Nodes meet at least once a second, so that a scenario heals while one can watch.
    fn config(&self, index: usize) -> Config {
        let mut config = Config::lan();
        config.rumor_mode = self.mode;
        config.rumor_piggyback = self.piggyback;
        config.push_pull_interval = Some(Duration::from_secs(1));
        config.join_retry_max = Duration::from_secs(2);
        config.stagger = Stagger::Random;
        // The dead are remembered, and met again, until the end of the scenario.
        config.gossip_to_dead = Duration::from_secs(3_600);
        config.neighbors = self.links(index).map(|end| numbered(end).addr).collect();
        config
    }

    /// The ends of a node's links, each once.
    fn links(&self, index: usize) -> impl Iterator<Item = usize> + use<> {
        let nodes = self.nodes;
        let ends = self.strides.iter().flat_map(|stride| {
            let stride = stride % nodes;
            [(index + stride) % nodes, (index + nodes - stride) % nodes]
        });
        let ends: BTreeSet<usize> = ends.filter(|&end| end != index).collect();
        ends.into_iter()
    }

    /// Runs the scenario: what came of it, or what did not hold, and the tracer back, which has the
    /// hash in either case.
    pub fn run(&self, tracer: Tracer) -> (Result<Outcome, Violation>, Tracer) {
        let mut play = Play::new(self, tracer);
        play.suffer();
        let result = play.heal().and_then(|()| play.prove()).map(|()| play.outcome());
        (result, play.world.into_tracer())
    }
}

fn drawn_latency(chance: &mut Chance, nodes: usize) -> Latency {
    let inside = Duration::from_micros(chance.below(30_000));
    match chance.below(2) {
        0 => Latency::Uniform(inside),
        _ => Latency::Groups {
            size: group_size(nodes),
            inside,
            between: inside + Duration::from_micros(chance.below(250_000)),
        },
    }
}

const fn group_size(nodes: usize) -> usize {
    nodes.div_ceil(GROUPS)
}

fn numbered(index: usize) -> Spawn {
    let params = Params::try_from(Config::lan()).expect("a preset is valid");
    Spawn::numbered(index, params)
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Network { latency, jitter, loss, duplication, reordering, held_back, .. } =
            &self.network;
        writeln!(f, "seed        = {}", self.seed)?;
        writeln!(f, "nodes       = {}", self.nodes)?;
        writeln!(f, "mode        = {:?}", self.mode)?;
        writeln!(f, "strides     = {:?}", self.strides)?;
        writeln!(f, "piggyback   = {}", self.piggyback)?;
        writeln!(f, "latency     = {latency}")?;
        writeln!(f, "jitter      = {jitter:?}")?;
        writeln!(f, "loss        = {loss}")?;
        writeln!(f, "duplication = {duplication}")?;
        writeln!(f, "reordering  = {reordering}, held back {held_back:?}")?;
        writeln!(f, "faults for  = {:?}", self.faults_for)?;
        writeln!(f, "crashes     = {}", self.crashes)?;
        writeln!(f, "broadcasts  = {}", self.broadcasts)
    }
}

/// Something that must hold and does not.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Violation {
    /// Links are healed, everybody is up, and not all see all.
    #[error(
        "no convergence: {bound:?} after the healing, node {node} sees {seen} of {nodes} nodes"
    )]
    MembersApart {
        /// The time that was given.
        bound: Duration,
        /// One that lacks some.
        node: usize,
        /// How many it sees.
        seen: usize,
        /// How many there are.
        nodes: usize,
    },
    /// Links are healed, and not all know the same broadcasts, or not the last one.
    #[error("no convergence: after {bound:?} {reached} of {nodes} nodes know what the first knows")]
    KnowledgeApart {
        /// The time that was given.
        bound: Duration,
        /// How many know what the first one knows, itself included.
        reached: usize,
        /// How many there are.
        nodes: usize,
    },
}

/// What came of a scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The run.
    pub hash: Hash,
    /// Virtual time at the end.
    pub ended_at: Instant,
    /// From the healing until all saw all.
    pub healed_after: Duration,
    /// From the last proof broadcast until all knew the same.
    pub delivered_after: Duration,
    /// What happened in the world.
    pub stats: WorldStats,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let WorldStats { steps, datagrams, lost, duplicated, crashes, restarts, streams, .. } =
            self.stats;
        writeln!(f, "healed after    {:?}", self.healed_after)?;
        writeln!(f, "delivered after {:?}", self.delivered_after)?;
        writeln!(f, "ended at        {:?}", self.ended_at)?;
        writeln!(f, "steps           {steps}")?;
        writeln!(f, "datagrams       {datagrams}, {lost} lost, {duplicated} doubled")?;
        writeln!(f, "streams         {streams}")?;
        writeln!(f, "bytes on wire   {}", self.stats.wire_bytes())?;
        writeln!(f, "crashes         {crashes}, {restarts} started anew")?;
        writeln!(f, "hash            {}", self.hash)
    }
}

/// Knows which broadcasts there were, from rumours and from push/pulls.
#[derive(Debug, Default)]
struct Listener {
    heard: BTreeSet<u64>,
    is_changed: bool,
    turns: usize,
}

impl Listener {
    /// Whether it is time to look at the node's books. That takes longer the more members there
    /// are, so that a node of a large cluster is looked at every few turns.
    const fn is_audit_due(&self, members: usize) -> bool {
        self.turns.is_multiple_of(members.div_ceil(NODES_DRAWN_MAX))
    }

    fn hear(&mut self, bytes: &[u8]) {
        for number in bytes.as_chunks().0 {
            self.is_changed |= self.heard.insert(u64::from_be_bytes(*number));
        }
    }
}

impl App for Listener {
    fn on_event(&mut self, _: &mut Ctl<'_>, event: Event) {
        match event.fact {
            Fact::Rumor { payload, .. } => self.hear(&payload),
            Fact::PeerState { channel: CHANNEL, bytes, .. } => self.hear(&bytes),
            _ => {}
        }
    }

    fn on_turn(&mut self, ctl: &mut Ctl<'_>) {
        if core::mem::take(&mut self.is_changed) {
            let state = self.heard.iter().flat_map(|number| number.to_be_bytes()).collect();
            ctl.act(|node, _| node.set_channel_state(CHANNEL, state));
        }
        self.turns += 1;
        // Builds with debug assertions check at every drain.
        if !cfg!(debug_assertions) && self.is_audit_due(ctl.node().live_members()) {
            ctl.node().check_invariants();
        }
    }
}

/// What users do in the first phase, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Deed {
    Broadcast,
    Crash,
    Restart(ProcessId),
}

struct Play<'a> {
    scenario: &'a Scenario,
    world: World<Listener>,
    workload: Chance,
    told: u64,
    healed_after: Duration,
    delivered_after: Duration,
}

impl<'a> Play<'a> {
    fn new(scenario: &'a Scenario, tracer: Tracer) -> Self {
        let mut world = World::new(scenario.seed, scenario.network).traced(tracer);
        for index in 0..scenario.nodes {
            let spawn = Spawn { params: params(scenario, index), ..numbered(index) };
            let id = world.spawn(spawn, Listener::default());
            join(&mut world, id);
        }
        Self {
            scenario,
            world,
            workload: Chance::child(scenario.seed, Part::Workload),
            told: 0,
            healed_after: Duration::ZERO,
            delivered_after: Duration::ZERO,
        }
    }

    /// The first phase.
    fn suffer(&mut self) {
        let mut deeds = self.deeds();
        let end = self.world.now() + self.scenario.faults_for;
        while let Some((at, deed)) = deeds.pop_first() {
            self.world.run_for(at.saturating_since(self.world.now()));
            match deed {
                Deed::Broadcast => self.broadcast(),
                Deed::Crash => {
                    let id = self.somebody();
                    if self.world.crash(id).is_some() {
                        let down_for = self.workload.below_duration(Duration::from_secs(20));
                        deeds.insert((self.world.now() + down_for, Deed::Restart(id)));
                    }
                }
                Deed::Restart(id) => {
                    self.world.restart(id, params(self.scenario, id.index()), Listener::default());
                    join(&mut self.world, id);
                }
            }
        }
        self.world.run_for(end.saturating_since(self.world.now()));
    }

    fn deeds(&mut self) -> BTreeSet<(Instant, Deed)> {
        let mut deeds = BTreeSet::new();
        for (deed, times) in
            [(Deed::Broadcast, self.scenario.broadcasts), (Deed::Crash, self.scenario.crashes)]
        {
            for _ in 0..times {
                let at = self.workload.below_duration(self.scenario.faults_for);
                deeds.insert((self.world.now() + at, deed));
            }
        }
        deeds
    }

    fn somebody(&mut self) -> ProcessId {
        let index = self.workload.below(self.scenario.nodes as u64);
        ProcessId::new(usize::try_from(index).unwrap_or_default())
    }

    /// Somebody who is up tells something that nobody told before.
    fn broadcast(&mut self) {
        let id = self.somebody();
        if self.world.node(id).is_none() {
            return;
        }
        self.told += 1;
        let payload = self.told.to_be_bytes();
        let channel = if self.scenario.mode.is_thesis() { Channel::BARE } else { CHANNEL };
        let told = self.world.act(id, |ctl, app| {
            app.hear(&payload);
            ctl.act(|node, now| node.broadcast(now, channel, &payload))
        });
        debug_assert!(told.is_ok(), "eight bytes fit a datagram");
    }

    /// The second phase begins: links lose nothing any more, and all nodes must meet.
    fn heal(&mut self) -> Result<(), Violation> {
        *self.world.network_mut() = self.scenario.network.healed();
        // Operators point nodes that may have lost everybody at the seed again.
        for id in self.world.ids() {
            join(&mut self.world, id);
        }
        let (began, bound) = (self.world.now(), self.scenario.heals_within());
        let nodes = self.scenario.nodes;
        let lacking = |world: &World<Listener>| {
            let mut ids = world.ids();
            ids.find(|&id| world.node(id).map_or(0, Node::live_members) != nodes)
        };
        if !self.world.run_until_seen(bound, LOOK_EVERY, |world| lacking(world).is_none())
            && let Some(id) = lacking(&self.world)
        {
            let seen = self.world.node(id).map_or(0, Node::live_members);
            return Err(Violation::MembersApart { bound, node: id.index(), seen, nodes });
        }
        self.healed_after = self.world.now().saturating_since(began);
        Ok(())
    }

    /// Broadcasts reach everybody, and so does all that anybody knows.
    fn prove(&mut self) -> Result<(), Violation> {
        let bound = self.scenario.heals_within();
        for _ in 0..PROOFS {
            let began = self.world.now();
            self.broadcast();
            let last = self.told;
            let all_know = |world: &World<_>| knowing(world, last) == world.size();
            if !self.world.run_until_seen(bound, LOOK_EVERY, all_know) {
                let (reached, nodes) = (knowing(&self.world, last), self.scenario.nodes);
                return Err(Violation::KnowledgeApart { bound, reached, nodes });
            }
            self.delivered_after = self.world.now().saturating_since(began);
        }
        Ok(())
    }

    fn outcome(&self) -> Outcome {
        Outcome {
            hash: self.world.hash(),
            ended_at: self.world.now(),
            healed_after: self.healed_after,
            delivered_after: self.delivered_after,
            stats: *self.world.stats(),
        }
    }
}

/// How many know what the first process knows; none, if that lacks the last broadcast.
fn knowing(world: &World<Listener>, last: u64) -> usize {
    let heard = |id| world.app(id).map(|app: &Listener| &app.heard);
    let Some(first) = heard(ProcessId::new(0)).filter(|heard| heard.contains(&last)) else {
        return 0;
    };
    world.ids().filter(|&id| heard(id) == Some(first)).count()
}

fn params(scenario: &Scenario, index: usize) -> Params {
    Params::try_from(scenario.config(index)).expect("a scenario's numbers fit together")
}

/// Everybody joins through the first process, which joins through the second.
fn join(world: &mut World<Listener>, id: ProcessId) {
    let seed = numbered(usize::from(id.index() == 0)).addr;
    world.act(id, |ctl, _| ctl.act(|node, now| node.join(now, &[seed])));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn books_of_small_clusters_are_looked_at_in_every_turn_and_of_large_ones_less_often() {
        let due = |members| {
            let at = |turns| Listener { turns, ..Listener::default() }.is_audit_due(members);
            (1..=160).filter(|&turns| at(turns)).count()
        };
        assert_eq!([1, 2, NODES_DRAWN_MAX, NODES_MAX].map(due), [160, 160, 160, 10]);
    }
}
