//! The set-up of the Plumtree paper in virtual time: many nodes that know their neighbours alone, on
//! a random graph of one degree, one broadcast after the other, then undetected deaths at once
//! (Leitão, Pereira, Rodrigues, TR-07-14 §5).
//!
//! Nodes are whole ones of mode `matching` on their real bytes. Nobody probes, so nobody is ever
//! condemned: what a tree does about the dead is its own doing. HyParView's part, replacing lost
//! neighbours, is left out; so whoever is cut off stays so.

mod published;
mod render;

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

use crate::experiment::epidemic::Verdict;
use crate::topology::{Graph, GraphError, Topology};
use published::verdict;

pub use published::{Beside, Cost, Reliability};

/// Most nodes. Memory grows with their number.
pub const NODES_MAX: usize = 100_000;
/// Neighbours of each node: log10 of ten thousand, and one.
const DEGREE: u32 = 5;
/// The node that broadcasts.
const ORIGIN: usize = 0;
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
    /// Ids, wishes and prunes sent: the control messages of the paper. Digests are none.
    pub said: u64,
    /// Datagrams without payloads, those of digests among them.
    pub control: u64,
    /// Most hops.
    pub last_hop: u8,
    /// Milliseconds until the last one had it.
    pub t_full_ms: f64,
}

impl Cycle {
    /// Payloads over the nodes reached less one, less one.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "figures for people")]
    pub fn rmr(&self) -> f64 {
        self.payload as f64 / (self.reached.max(2) - 1) as f64 - 1.0
    }
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
    /// Whether the first one reached all that are linked.
    pub reached_is: Verdict,
    /// Share of the living that the first one reached, in percent.
    pub own_percent: f64,
    /// The same on average over all the living as origins: each reaches its own part of the graph.
    pub any_percent: f64,
    /// What was published for so many deaths, if there are as many nodes as there.
    pub published: Option<Reliability>,
    /// The average beside it.
    pub any_is: Option<Verdict>,
    /// How many thirds of our own share come nearest to it.
    pub thirds: Option<u8>,
}

impl Deaths {
    /// After how many broadcasts all that are linked had one.
    #[must_use]
    pub fn heals(&self) -> Option<u32> {
        let reached = [self.first.reached, self.second.reached];
        (1..).zip(reached).find(|(_, reached)| *reached == self.linked).map(|(number, _)| number)
    }
}

/// What came of it.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// How many nodes.
    pub nodes: usize,
    /// Broadcasts of one sender in a whole cluster, in order.
    pub cycles: Vec<Cycle>,
    /// The last of them beside what was published, if there are as many nodes as there.
    pub beside: Vec<Beside>,
    /// After deaths.
    pub deaths: Vec<Deaths>,
}

impl Outcome {
    /// How many figures are not what they should be. The average over all senders is not judged here:
    /// the paper's own runs are too few for it.
    #[must_use]
    pub fn outside(&self) -> usize {
        let costs = self.beside.iter().flat_map(Beside::verdicts);
        let reached = self.deaths.iter().map(|deaths| deaths.reached_is);
        costs.chain(reached).filter(|&found| found == Verdict::Outside).count()
    }

    /// For people; ends with a newline.
    #[must_use]
    pub fn to_table(&self) -> String {
        render::table(self)
    }
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
    said: u64,
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
        self.said += sent.said().len() as u64;
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
    let mut outcome =
        Outcome { nodes: plan.nodes, cycles: Vec::new(), beside: Vec::new(), deaths: Vec::new() };
    let mut world = start(plan.seed, &graph, true);
    for cycle in 0..plan.cycles {
        if tell(Phase::Cycle(cycle)).is_break() {
            return Ok(None);
        }
        outcome.cycles.push(broadcast(&mut world, ORIGIN, CYCLE));
    }
    drop(world);
    outcome.beside = Beside::all(plan.nodes, &outcome.cycles);
    for &percent in &plan.deaths {
        for (repair, run) in
            [false, true].into_iter().flat_map(|on| (0..plan.runs).map(move |run| (on, run)))
        {
            if tell(Phase::Deaths(percent, repair, run)).is_break() {
                return Ok(None);
            }
            let seed = plan.seed.wrapping_add(u64::from(run));
            let graph = Graph::of(Topology::RandomRegular(DEGREE), plan.nodes, seed)?;
            let deaths = die(seed, &graph, percent, repair, run);
            outcome.deaths.push(deaths.beside_published(plan.nodes));
        }
    }
    Ok(Some(outcome))
}

/// A tree that has its shape, then deaths, then two broadcasts.
fn die(seed: u64, graph: &Graph, percent: u32, repair: bool, run: u32) -> Deaths {
    let mut world = start(seed, graph, repair);
    for _ in 0..3 {
        broadcast(&mut world, ORIGIN, CYCLE);
    }
    let lives = survivors(seed, graph.nodes(), percent);
    for index in (0..graph.nodes()).filter(|&index| !lives[index]) {
        world.crash(ProcessId::new(index));
    }
    let parts = graph.parts(|index| lives[index]);
    let linked = parts.iter().find(|part| part.contains(&ORIGIN)).map_or(0, Vec::len);
    let first = broadcast(&mut world, ORIGIN, MENDING);
    let second = broadcast(&mut world, ORIGIN, CYCLE);
    let live = lives.iter().filter(|lives| **lives).count();
    Deaths {
        percent,
        repair,
        run,
        live,
        linked,
        first,
        second,
        reached_is: verdict(first.reached == linked),
        own_percent: 100.0 * share(first.reached, live),
        any_percent: 100.0 * mean_reach(&parts),
        published: None,
        any_is: None,
        thirds: None,
    }
}

/// Who lives when so many percent of the nodes have died. The first one broadcasts and so is not among
/// the dead.
fn survivors(seed: u64, nodes: usize, percent: u32) -> Vec<bool> {
    let mut chance = Chance::child(seed, Part::Workload);
    let mut others: Vec<usize> = (0..nodes).filter(|&index| index != ORIGIN).collect();
    chance.shuffle(&mut others);
    let dying = nodes * percent as usize / 100;
    let mut lives = vec![true; nodes];
    for &index in &others[..dying.min(others.len())] {
        lives[index] = false;
    }
    lives
}

/// The share of the living that a broadcast reaches, on average over all of them as its origin: each
/// reaches its own part.
fn mean_reach(parts: &[Vec<usize>]) -> f64 {
    let live = parts.iter().map(Vec::len).sum();
    parts.iter().map(|part| share(part.len(), live).powi(2)).sum()
}

#[allow(clippy::cast_precision_loss, reason = "far fewer nodes than a float counts")]
fn share(part: usize, whole: usize) -> f64 {
    part as f64 / whole.max(1) as f64
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

/// One broadcast, and what it did.
fn broadcast(world: &mut World<Ear>, origin: usize, within: Duration) -> Cycle {
    let origin = ProcessId::new(origin);
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
        cycle.said += ear.said;
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

    #[test]
    fn every_origin_reaches_its_part_so_the_average_follows_from_the_parts() {
        let nodes = 60;
        let graph = Graph::of(Topology::RandomRegular(DEGREE), nodes, 1).unwrap();
        let lives = survivors(1, nodes, 70);
        let mut world = start(1, &graph, false);
        broadcast(&mut world, ORIGIN, CYCLE);
        let (dead, living): (Vec<usize>, Vec<usize>) = (0..nodes).partition(|&index| !lives[index]);
        for &index in &dead {
            world.crash(ProcessId::new(index));
        }
        let parts = graph.parts(|index| lives[index]);
        let sizes: Vec<usize> = parts.iter().map(Vec::len).collect();
        assert!(sizes.len() > 1 && sizes.iter().any(|&size| size > 2), "{sizes:?}");
        let reached: Vec<usize> =
            living.iter().map(|&origin| broadcast(&mut world, origin, MENDING).reached).collect();
        for (&origin, &reached) in living.iter().zip(&reached) {
            let part = parts.iter().find(|part| part.contains(&origin)).unwrap();
            assert_eq!(reached, part.len(), "{origin}");
        }
        let mean = share(reached.iter().sum(), living.len() * living.len());
        assert!((mean - mean_reach(&parts)).abs() < 1e-12, "{mean} {sizes:?}");
    }

    #[test]
    fn the_average_after_deaths_is_that_of_percolation() {
        let graph = Graph::of(Topology::RandomRegular(DEGREE), published::NODES, 1).unwrap();
        for percent in [50, 60, 70, 80] {
            let lives = survivors(1, graph.nodes(), percent);
            let mean = mean_reach(&graph.parts(|index| lives[index]));
            // A neighbour is dead, or none of its other four leads to the large part: u.
            let survival = 1.0 - f64::from(percent) / 100.0;
            let no_way = |u: f64| 1.0 - survival + survival * u.powi(4);
            let u = (0..10_000).fold(0.0, |u, _| no_way(u));
            let expected = (1.0 - f64::powi(u, 5)).powi(2);
            assert!((mean - expected).abs() < 0.03, "{percent} %: {mean} and {expected}");
        }
    }

    #[test]
    fn another_number_of_nodes_has_no_published_figures() {
        let outcome = study(&[30]);
        assert!(outcome.beside.is_empty() && outcome.outside() == 0);
        for deaths in &outcome.deaths {
            assert_eq!((deaths.published, deaths.any_is, deaths.thirds), (None, None, None));
            assert_eq!((deaths.reached_is, deaths.heals()), (Verdict::Within, Some(1)));
        }
        let table = outcome.to_table();
        assert!(table.lines().all(|line| line.chars().count() <= 100), "{table}");
        assert!(!table.contains("(RMR"), "{table}");
    }

    #[test]
    fn published_figures_stand_beside_ours() {
        let cycle = Cycle {
            reached: 10_000,
            payload: 9_999,
            said: 30_002,
            control: 1,
            last_hop: 8,
            t_full_ms: 8.0,
        };
        let deaths = |percent: u32, linked: usize, any_percent: f64| {
            let live = published::NODES * (100 - percent as usize) / 100;
            let own_percent = 100.0 * share(linked, live);
            let first = Cycle { reached: linked, ..cycle };
            let second = Cycle { payload: linked as u64 - 1, ..first };
            let (repair, run, reached_is) = (true, 0, Verdict::Within);
            Deaths {
                percent,
                repair,
                run,
                live,
                linked,
                first,
                second,
                reached_is,
                own_percent,
                any_percent,
                published: None,
                any_is: None,
                thirds: None,
            }
            .beside_published(published::NODES)
        };
        let deaths = vec![deaths(60, 3_368, 70.9), deaths(70, 1_422, 22.5)];
        let cycles = vec![cycle; 4];
        let beside = Beside::all(published::NODES, &cycles);
        let outcome = Outcome { nodes: published::NODES, cycles, beside, deaths };
        assert_eq!(outcome.outside(), 0);
        let found = outcome.deaths.iter().map(|deaths| (deaths.any_is.unwrap(), deaths.thirds));
        assert_eq!(
            found.collect::<Vec<_>>(),
            [(Verdict::Outside, Some(2)), (Verdict::Within, Some(2))]
        );
        let table = outcome.to_table();
        assert!(table.lines().all(|line| line.chars().count() <= 100), "{table}");
        for row in ["56  OUT  2: 56.1", "31   ok  2: 31.6", "9999.00  ok", "29987.33  ok"] {
            assert!(table.contains(row), "{row}: {table}");
        }
        let missed = Deaths { reached_is: Verdict::Outside, ..outcome.deaths[0] };
        assert_eq!(Outcome { deaths: vec![missed], ..outcome }.outside(), 1);
    }
}
