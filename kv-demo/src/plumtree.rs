//! The set-up of the Plumtree paper in virtual time: many nodes that know their neighbours alone, on
//! a random graph of one degree, one broadcast after the other, then undetected deaths at once
//! (Leitão, Pereira, Rodrigues, TR-07-14 §5).
//!
//! Nodes are whole ones of mode `matching` on their real bytes. Nobody probes, so nobody is ever
//! condemned: what a tree does about the dead is its own doing. HyParView's part, replacing lost
//! neighbours, is left out; so whoever is cut off stays so.

use core::ops::ControlFlow;
use core::time::Duration;

use rumormill::wire::message::{Alive, Message, NodeAddr};
use rumormill::wire::packet::{Checksum, PacketWriter};
use rumormill::wire::tags::{Advert, CAPABILITY_ENVELOPE};
use rumormill::{
    BootEpoch, Cause, Channel, Config, Datagram, Event, Fact, Incarnation, Instant, Mode, Params,
};
use rumormill_sim::chance::{Chance, Part};
use rumormill_sim::{App, Ctl, Latency, Network, ProcessId, Spawn, World};
use serde::Serialize;

use crate::topology::{Graph, GraphError, Topology};

/// Most nodes. Memory grows with their number.
pub const NODES_MAX: usize = 100_000;
/// Neighbours of each node: log10 of ten thousand, and one.
const DEGREE: u32 = 5;
/// Each hop.
const HOP: Duration = Duration::from_millis(1);
/// Time for one broadcast in a whole cluster: longer than anything that follows from it.
const CYCLE: Duration = Duration::from_secs(3);
/// Time for the first broadcast after deaths.
const MENDING: Duration = Duration::from_secs(15);
/// What every node speaks.
const VERSIONS: [u8; 6] = [1, 5, 2, 0, 0, 0];
const CHANNEL: Channel = Channel(1);
const PAYLOAD: &[u8] = b"a message of the study";

/// What is to be run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Everything that is left to chance.
    pub seed: u64,
    /// How many nodes, up to [`NODES_MAX`].
    pub nodes: usize,
    /// Broadcasts before anybody dies, at least 1.
    pub cycles: u32,
    /// Shares of the nodes that die, in percent below 100, each in a world of its own.
    pub deaths: Vec<u32>,
    /// In how many worlds each share dies.
    pub runs: u32,
}

/// What one broadcast did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Cycle {
    /// Nodes that got it, its origin included.
    pub reached: usize,
    /// Payloads sent.
    pub payload: u64,
    /// Datagrams of ids and wishes sent.
    pub control: u64,
    /// Most hops.
    pub last_hop: u8,
    /// Milliseconds until the last one had it.
    pub t_full_ms: f64,
}

/// The broadcasts after deaths.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Deaths {
    /// Share of the nodes that died, in percent.
    pub percent: u32,
    /// Whether digests repaired.
    pub repair: bool,
    /// The world, from 0.
    pub run: u32,
    /// Nodes that live.
    pub live: usize,
    /// Of these, those that the graph of the living still links with the origin.
    pub linked: usize,
    /// The first broadcast.
    pub first: Cycle,
    /// The second one, when the time for the first is over.
    pub second: Cycle,
}

/// What came of it.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// How many nodes.
    pub nodes: usize,
    /// Broadcasts of one sender in a whole cluster, in order.
    pub cycles: Vec<Cycle>,
    /// After deaths.
    pub deaths: Vec<Deaths>,
}

/// How far a study is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Broadcasting in a whole cluster.
    Cycle(u32),
    /// This share has died, with or without repair, in this world.
    Deaths(u32, bool, u32),
}

/// What a node saw of the broadcast under way.
#[derive(Debug, Default)]
struct Ear {
    heard_at: Option<Instant>,
    hop: u8,
    payload: u64,
    control: u64,
}

impl App for Ear {
    fn on_event(&mut self, ctl: &mut Ctl<'_>, event: Event) {
        if let Fact::Rumor { hop, .. } = event.fact {
            self.heard_at = Some(ctl.now());
            self.hop = hop.unwrap_or(0);
        }
    }

    fn on_datagram(&mut self, _: Instant, _: core::net::SocketAddr, _: usize, sent: &Datagram) {
        self.payload += sent.rumors().iter().map(|&(_, copies)| u64::from(copies)).sum::<u64>();
        self.control += u64::from(sent.cause == Cause::Control);
    }
}

/// Runs a study. `tell` hears how far it is before each step; its `Break` ends it without an outcome.
///
/// # Errors
///
/// [`GraphError`] if there is no such graph.
///
/// # Panics
///
/// If the plan exceeds a limit of this module.
pub fn run(
    plan: &Plan,
    mut tell: impl FnMut(Phase) -> ControlFlow<()>,
) -> Result<Option<Outcome>, GraphError> {
    assert!(plan.nodes <= NODES_MAX && plan.deaths.iter().all(|&percent| percent < 100));
    let graph = Graph::of(Topology::RandomRegular(DEGREE), plan.nodes, plan.seed)?;
    let mut outcome = Outcome { nodes: plan.nodes, cycles: Vec::new(), deaths: Vec::new() };
    let mut world = start(plan.seed, &graph, true);
    for cycle in 0..plan.cycles {
        if tell(Phase::Cycle(cycle)).is_break() {
            return Ok(None);
        }
        outcome.cycles.push(broadcast(&mut world, CYCLE));
    }
    drop(world);
    for &percent in &plan.deaths {
        for (repair, run) in
            [false, true].into_iter().flat_map(|on| (0..plan.runs).map(move |run| (on, run)))
        {
            if tell(Phase::Deaths(percent, repair, run)).is_break() {
                return Ok(None);
            }
            let seed = plan.seed.wrapping_add(u64::from(run));
            let graph = Graph::of(Topology::RandomRegular(DEGREE), plan.nodes, seed)?;
            outcome.deaths.push(die(seed, &graph, percent, repair, run));
        }
    }
    Ok(Some(outcome))
}

/// A tree that has its shape, then deaths, then two broadcasts.
fn die(seed: u64, graph: &Graph, percent: u32, repair: bool, run: u32) -> Deaths {
    let mut world = start(seed, graph, repair);
    for _ in 0..3 {
        broadcast(&mut world, CYCLE);
    }
    let mut chance = Chance::child(seed, Part::Workload);
    // The first one broadcasts and so is not among the dead.
    let mut others: Vec<usize> = (1..graph.nodes()).collect();
    chance.shuffle(&mut others);
    let dying = graph.nodes() * percent as usize / 100;
    let mut lives = vec![true; graph.nodes()];
    for &index in &others[..dying.min(others.len())] {
        lives[index] = false;
        world.crash(ProcessId::new(index));
    }
    let parts = graph.parts(|index| lives[index]);
    let linked = parts.iter().find(|part| part.contains(&0)).map_or(0, Vec::len);
    let first = broadcast(&mut world, MENDING);
    let second = broadcast(&mut world, CYCLE);
    let live = lives.iter().filter(|lives| **lives).count();
    Deaths { percent, repair, run, live, linked, first, second }
}

fn start(seed: u64, graph: &Graph, repair: bool) -> World<Ear> {
    let network = Network { latency: Latency::Uniform(HOP), ..Network::default() };
    let mut world = World::new(seed, network);
    for index in 0..graph.nodes() {
        let spawn = Spawn::numbered(index, params(graph, index, repair));
        world.spawn(spawn, Ear::default());
    }
    for index in 0..graph.nodes() {
        for &neighbor in graph.neighbors(index) {
            introduce(&mut world, ProcessId::new(index), ProcessId::new(neighbor));
        }
    }
    // News of the neighbours, which nobody has room for, is repeated until it ends.
    world.run_for(2 * CYCLE);
    world
}

fn params(graph: &Graph, index: usize, repair: bool) -> Params {
    let any = Params::try_from(Config::lan()).expect("the preset is valid");
    let addr = |index| Spawn::numbered(index, any.clone()).addr;
    let config = Config {
        rumor_mode: Mode::Matching,
        neighbors: graph.neighbors(index).iter().map(|&neighbor| addr(neighbor)).collect(),
        floor: false,
        repair: repair.then(Default::default),
        probe_interval: None,
        push_pull_interval: None,
        heal_interval: None,
        members_max: graph.neighbors(index).len() + 1,
        ..Config::lan()
    };
    Params::try_from(config).expect("the study's parameters fit together")
}

/// Tells a node of its neighbour, as gossip would.
fn introduce(world: &mut World<Ear>, to: ProcessId, neighbor: ProcessId) {
    let (name, at) = (world.name(neighbor).clone(), world.addr(neighbor));
    let advert = Advert { capabilities: CAPABILITY_ENVELOPE, epoch: BootEpoch(0), zone: 0 };
    let meta = advert.add_to(b"").expect("a tag fits an empty meta");
    let addr = NodeAddr::from(at);
    let alive = Message::Alive(Alive {
        incarnation: Incarnation(1),
        node: name.as_bytes().into(),
        addr: addr.ip_bytes().into(),
        port: addr.port,
        meta: meta[..].into(),
        vsn: VERSIONS[..].into(),
    });
    let mut packet = [0; 1_400];
    let mut writer = PacketWriter::new(&mut packet, b"", Checksum::Absent);
    writer.part(|out| alive.encode(out)).expect("an introduction fits a datagram");
    let len = writer.finish();
    let heard =
        world.act(to, |ctl, _| ctl.act(|node, now| node.handle_packet(now, at, &packet[..len])));
    heard.expect("an introduction makes sense");
}

/// One broadcast of the first node, and what it did.
fn broadcast(world: &mut World<Ear>, within: Duration) -> Cycle {
    let origin = ProcessId::new(0);
    for id in world.ids() {
        if world.node(id).is_some() {
            world.act(id, |_, ear| *ear = Ear::default());
        }
    }
    let since = world.now();
    let sent =
        world.act(origin, |ctl, _| ctl.act(|node, now| node.broadcast(now, CHANNEL, PAYLOAD)));
    sent.expect("the payload fits a datagram");
    world.run_for(within);
    let mut cycle = Cycle { reached: 1, ..Cycle::default() };
    for ear in world.ids().filter_map(|id| world.app(id)) {
        cycle.payload += ear.payload;
        cycle.control += ear.control;
        cycle.last_hop = cycle.last_hop.max(ear.hop);
        if let Some(at) = ear.heard_at {
            cycle.reached += 1;
            let ms = at.saturating_since(since).as_secs_f64() * 1_000.0;
            cycle.t_full_ms = cycle.t_full_ms.max(ms);
        }
    }
    cycle
}

#[cfg(test)]
mod tests {
    use super::*;

    fn study(deaths: &[u32]) -> Outcome {
        let plan = Plan { seed: 1, nodes: 200, cycles: 4, deaths: deaths.to_vec(), runs: 1 };
        run(&plan, |_| ControlFlow::Continue(())).unwrap().unwrap()
    }

    #[test]
    fn a_tree_stands_after_a_few_broadcasts_and_costs_one_payload_per_node() {
        let cycles = study(&[]).cycles;
        assert!(cycles.iter().all(|cycle| cycle.reached == 200), "{cycles:?}");
        // The first one floods: 2E - N + 1 copies.
        assert_eq!(cycles[0].payload, 200 * 4 + 1);
        assert_eq!(cycles[3].payload, 199);
        assert!(cycles[3].last_hop <= cycles[0].last_hop);
    }

    #[test]
    fn whoever_is_linked_still_gets_what_is_said_after_deaths() {
        for deaths in study(&[30]).deaths {
            assert_eq!(deaths.live, 140);
            assert!(deaths.linked > 130, "{deaths:?}");
            assert_eq!(deaths.first.reached, deaths.linked, "{deaths:?}");
            assert_eq!(deaths.second.reached, deaths.linked, "{deaths:?}");
        }
    }
}
