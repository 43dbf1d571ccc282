//! Members of an overlay, what they said and heard, and what must hold in the end.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

use rumormill::{
    Cause, Channel, Config, Event, Fact, Instant, MemberState, Mode, Node, Params, ShortId, Stats,
};
use rumormill_sim::chance::Part;
use rumormill_sim::check::Checker;
use rumormill_sim::{Chance, Latency, Link, Network, ProcessId, Silent, Spawn, Watch, World};

use crate::graphs::Graph;

pub(crate) const MS: Duration = Duration::from_millis(1);
pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// What our members say.
pub(crate) const CHANNEL: Channel = Channel(1);

/// Every tenth gossip tick is about all that came of late.
const WHOLE_DIGESTS: Duration = Duration::from_secs(2);

/// What a way along a tree takes at most in these worlds where nothing is wrong.
const WAY: Duration = Duration::from_millis(200);

/// How long a tree is given before somebody else is asked: a tick, and a quarter more than it took.
const PATIENCE: Duration = Duration::from_millis(200 + 200 * 5 / 4);

/// Two members are asked, the second after the first had a round trip of 25 ms, its jitter, and 20 ms.
const ASKING: Duration = Duration::from_millis(2 * 50);

/// One repair interval: until a whole digest tells what is lacking, the tree has had its time, somebody
/// was asked, and those behind a cut have it from the first of them.
pub(crate) const REPAIR: Duration =
    WHOLE_DIGESTS.saturating_add(PATIENCE).saturating_add(ASKING).saturating_add(WAY);

/// Rounds of all origins until their trees cost one copy per member.
const ROUNDS_MAX: usize = 12;

/// What they may still cost beyond that where jitter has links swapped now and then.
const COST_MAX: f64 = 0.1;

/// For so long what was said can be asked for, whoever was asked: three quarters of the 30 s that
/// payloads are kept.
const KEPT: Duration = Duration::from_millis(22_500);

/// The seeds of each test; more with `TREES_SEEDS=N`.
pub(crate) fn seeds() -> Range<u64> {
    let count = std::env::var("TREES_SEEDS").ok().and_then(|count| count.parse().ok());
    0..count.unwrap_or(2)
}

/// Who got something, when, and from whom.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Receipt {
    pub(crate) at: Instant,
    pub(crate) from: Option<SocketAddr>,
}

/// A member in one of its lives.
type Life = (ProcessId, u32);

/// All that is seen of a world from outside.
#[derive(Debug, Default)]
pub(crate) struct Log {
    pub(crate) checker: Checker,
    lives: BTreeMap<ProcessId, u32>,
    /// By the number of what was said.
    heard: BTreeMap<usize, BTreeMap<Life, Receipt>>,
    again: Vec<(ProcessId, usize)>,
    copies: BTreeMap<ShortId, usize>,
    /// What was sent along links, by recipient.
    pub(crate) along_links: BTreeMap<SocketAddr, (u64, Instant)>,
    /// Whoever sent somebody a rumour.
    pub(crate) senders: BTreeMap<SocketAddr, BTreeSet<ProcessId>>,
    /// The payloads that were told, by the number in front.
    pub(crate) payloads: BTreeMap<usize, BTreeSet<Vec<u8>>>,
    /// Whoever told that its list has fallen apart, and the neighbours that it has lost.
    pub(crate) degraded: Vec<(ProcessId, Vec<SocketAddr>)>,
}

impl Log {
    /// Whether a process has heard something in its present life.
    pub(crate) fn has(&self, who: ProcessId, number: usize) -> bool {
        let life = (who, self.lives[&who]);
        self.heard.get(&number).is_some_and(|receipts| receipts.contains_key(&life))
    }

    fn hear(&mut self, who: ProcessId, number: usize, receipt: Receipt) {
        let life = (who, self.lives[&who]);
        if self.heard.entry(number).or_default().insert(life, receipt).is_some() {
            self.again.push((who, number));
        }
    }
}

impl Watch for Log {
    fn started(&mut self, at: Instant, id: ProcessId, node: &Node) {
        *self.lives.entry(id).or_default() += 1;
        self.checker.started(at, id, node);
    }

    fn ended(&mut self, at: Instant, id: ProcessId, node: &Node) {
        self.checker.ended(at, id, node);
    }

    fn sent(&mut self, at: Instant, id: ProcessId, node: &Node, to: SocketAddr, bytes: &[u8]) {
        let datagram = node.last_datagram();
        for &(rumor, copies) in datagram.rumors() {
            *self.copies.entry(rumor).or_default() += copies as usize;
            self.senders.entry(to).or_default().insert(id);
        }
        if matches!(datagram.cause, Cause::Forward | Cause::Repair | Cause::Control) {
            let (count, last) = self.along_links.entry(to).or_insert((0, at));
            (*count, *last) = (*count + 1, at);
        }
        self.checker.sent(at, id, node, to, bytes);
    }

    fn received(&mut self, at: Instant, id: ProcessId, from: SocketAddr, bytes: &[u8]) {
        self.checker.received(at, id, from, bytes);
    }

    fn told(&mut self, at: Instant, id: ProcessId, node: &Node, event: &Event) {
        match &event.fact {
            Fact::Rumor { payload, from, .. } => {
                if let Some(number) = payload.first_chunk() {
                    let number = u64::from_be_bytes(*number) as usize;
                    self.payloads.entry(number).or_default().insert(payload.to_vec());
                    self.hear(id, number, Receipt { at, from: Some(*from) });
                }
            }
            Fact::OverlayDegraded { lost, .. } => self.degraded.push((id, lost.clone())),
            _ => {}
        }
        self.checker.told(at, id, node, event);
    }

    fn turned(&mut self, at: Instant, id: ProcessId, node: &Node, streams: usize) {
        self.checker.turned(at, id, node, streams);
    }
}

/// Something that was said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) id: ShortId,
    pub(crate) at: Instant,
    pub(crate) payload: Vec<u8>,
    /// Those who were members in everybody's eyes.
    owed: BTreeSet<Life>,
}

/// Members that know each other.
pub(crate) struct Cast {
    pub(crate) world: World<Silent, Log>,
    pub(crate) graph: Graph,
    pub(crate) said: Vec<Said>,
    pub(crate) chance: Chance,
    params: Vec<Params>,
    seed: u64,
    /// Who were members in everybody's eyes, and in which step of the world.
    members: (u64, BTreeSet<Life>),
}

pub(crate) fn id(index: usize) -> ProcessId {
    ProcessId::new(index)
}

pub(crate) fn addr(index: usize) -> SocketAddr {
    Spawn::numbered(index, Params::try_from(Config::lan()).unwrap()).addr
}

/// Round trips that differ: within a rack 5 ms at most, between racks 20 to 30 ms.
pub(crate) fn network() -> Network {
    Network {
        latency: Latency::Groups { size: 8, inside: MS, between: 10 * MS },
        jitter: 3 * MS / 2,
        ..Network::default()
    }
}

impl Cast {
    /// One member per node of the graph, with the defaults of `matching`.
    pub(crate) fn new(seed: u64, graph: Graph) -> Self {
        Self::with(seed, graph, |_, _| ())
    }

    /// The same with other configurations.
    pub(crate) fn with(seed: u64, graph: Graph, change: impl Fn(usize, &mut Config)) -> Self {
        let mut world = World::watched(seed, network(), Log::default());
        // Incarnation 0 is nobody's.
        world.run_for(SECOND);
        let params: Vec<Params> = graph
            .iter()
            .enumerate()
            .map(|(index, neighbors)| {
                let mut config = Config {
                    rumor_mode: Mode::Matching,
                    neighbors: neighbors.iter().copied().map(addr).collect(),
                    ..Config::lan()
                };
                change(index, &mut config);
                Params::try_from(config).unwrap()
            })
            .collect();
        let chance = Chance::child(seed, Part::Workload);
        for (index, params) in params.iter().enumerate() {
            world.spawn(Spawn::numbered(index, params.clone()), Silent);
        }
        let mut cast = Self {
            world,
            graph,
            said: Vec::new(),
            chance,
            params,
            seed,
            members: (0, BTreeSet::new()),
        };
        for index in 0..cast.size() {
            cast.join(index);
        }
        assert!(cast.meet(120 * SECOND), "they find each other");
        cast.run(2 * SECOND);
        cast
    }

    pub(crate) fn size(&self) -> usize {
        self.graph.len()
    }

    pub(crate) fn run(&mut self, duration: Duration) {
        self.world.run_for(duration);
    }

    pub(crate) fn node(&self, index: usize) -> &Node {
        self.world.node(id(index)).expect("it runs")
    }

    pub(crate) fn running(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.size()).filter(|&index| self.world.node(id(index)).is_some())
    }

    /// The sum of something over all who run.
    pub(crate) fn sum(&self, of: impl Fn(&Stats) -> u64) -> u64 {
        self.running().map(|index| of(self.node(index).stats())).sum()
    }

    // ── Members ─────────────────────────────────────────────────────────────────────────────────

    fn join(&mut self, index: usize) {
        let seeds: Vec<SocketAddr> =
            self.running().filter(|&other| other != index).take(1).map(addr).collect();
        self.world.act(id(index), |ctl, _| ctl.act(|node, now| node.join(now, &seeds)));
    }

    /// Waits until all who run see all who run, and nobody else.
    pub(crate) fn meet(&mut self, limit: Duration) -> bool {
        self.world.run_until_seen(limit, 50 * MS, |world| {
            let nodes = || world.ids().filter_map(|id| world.node(id));
            let running = nodes().count();
            nodes().all(|node| node.live_members() == running) && all_listed(world)
        })
    }

    /// Whether one lists another as a live member.
    pub(crate) fn sees(&self, index: usize, other: usize) -> bool {
        sees(&self.world, id(index), id(other))
    }

    pub(crate) fn crash(&mut self, index: usize) {
        self.world.crash(id(index));
    }

    pub(crate) fn restart(&mut self, index: usize) {
        self.world.restart(id(index), self.params[index].clone(), Silent);
        self.join(index);
    }

    pub(crate) fn restart_at(&mut self, index: usize, addr: SocketAddr) {
        self.world.restart_at(id(index), addr, self.params[index].clone(), Silent);
        self.join(index);
    }

    fn life(&self, index: usize) -> Life {
        (id(index), self.world.watch().lives[&id(index)])
    }

    /// Those whom all who run list as alive.
    fn members(&mut self) -> BTreeSet<Life> {
        let stats = self.world.stats();
        let step = stats.steps + stats.crashes + stats.restarts;
        if self.members.0 != step {
            let is_member = |index: &usize| self.running().all(|other| self.sees(other, *index));
            let members = self.running().filter(is_member).map(|index| self.life(index)).collect();
            self.members = (step, members);
        }
        self.members.1.clone()
    }

    /// Changes all links between two groups, both ways.
    pub(crate) fn part(&mut self, some: &[usize], others: &[usize], link: Link) {
        for &one in some {
            for &other in others {
                self.world.set_link(id(one), id(other), link);
                self.world.set_link(id(other), id(one), link);
            }
        }
    }

    // ── What is said ────────────────────────────────────────────────────────────────────────────

    /// Has somebody say something, 64 bytes of it.
    pub(crate) fn say(&mut self, index: usize) -> usize {
        self.say_long(index, CHANNEL, 64)
    }

    pub(crate) fn say_long(&mut self, index: usize, channel: Channel, len: usize) -> usize {
        let number = self.said.len();
        let mut payload = (number as u64).to_be_bytes().to_vec();
        payload.resize(len, 7);
        let (at, owed) = (self.world.now(), self.members());
        let (who, now) = (id(index), self.world.now());
        self.world.watch_mut().hear(who, number, Receipt { at: now, from: None });
        let said = self
            .world
            .act(who, |ctl, _| ctl.act(|node, now| node.broadcast(now, channel, &payload)));
        self.said.push(Said { id: said.unwrap().short(), at, payload, owed });
        number
    }

    /// Has these talk in turn, for so long, with so much time between. Returns what they said.
    pub(crate) fn talk(
        &mut self,
        origins: &[usize],
        duration: Duration,
        pause: Duration,
    ) -> Range<usize> {
        self.talk_while(origins, duration, pause, |_| ())
    }

    /// The same while something happens before each word.
    pub(crate) fn talk_while(
        &mut self,
        origins: &[usize],
        duration: Duration,
        pause: Duration,
        mut happens: impl FnMut(&mut Self),
    ) -> Range<usize> {
        let first = self.said.len();
        let end = self.world.now() + duration;
        for &origin in origins.iter().cycle() {
            if self.world.now() >= end {
                break;
            }
            happens(self);
            if self.world.node(id(origin)).is_some() {
                self.say(origin);
            }
            self.run(pause);
        }
        first..self.said.len()
    }

    /// Has each origin talk until its tree has its shape, as the last round shows.
    pub(crate) fn warm(&mut self, origins: &[usize]) {
        for _ in 0..4 {
            self.talk(origins, 400 * MS * origins.len() as u32, 400 * MS);
        }
        self.run(SECOND);
        let cost = self.cost_of_a_round(origins);
        assert!(cost <= 0.0, "seed {}: warm trees cost {cost} copies too many", self.seed);
    }

    /// What each of these says costs beyond one copy per member, in the mean: RMR.
    pub(crate) fn cost_of_a_round(&mut self, origins: &[usize]) -> f64 {
        let numbers = self.talk(origins, 500 * MS * origins.len() as u32, 500 * MS);
        self.run(SECOND);
        if !self.all_missing(numbers.clone()).is_empty() {
            self.run(REPAIR - SECOND);
        }
        let rmr =
            numbers.clone().map(|number| self.rmr(number)).sum::<f64>() / numbers.len() as f64;
        self.assert_heard(numbers, "in a quiet world");
        rmr
    }

    /// Copies per receiver, less one.
    pub(crate) fn rmr(&self, number: usize) -> f64 {
        let copies = self.copies(number) as f64;
        copies / (self.heard_by(number).len() as f64 - 1.0) - 1.0
    }

    pub(crate) fn copies(&self, number: usize) -> usize {
        self.world.watch().copies.get(&self.said[number].id).copied().unwrap_or(0)
    }

    // ── What is heard ───────────────────────────────────────────────────────────────────────────

    pub(crate) fn receipt(&self, number: usize, index: usize) -> Option<Receipt> {
        let life = self.life(index);
        self.world.watch().heard[&number].get(&life).copied()
    }

    /// All who heard it and still run.
    pub(crate) fn heard_by(&self, number: usize) -> Vec<usize> {
        self.running().filter(|&index| self.receipt(number, index).is_some()).collect()
    }

    /// Who brought it to somebody.
    pub(crate) fn parent(&self, number: usize, index: usize) -> Option<usize> {
        let from = self.receipt(number, index)?.from?;
        (0..self.size()).find(|&other| self.world.addr(id(other)) == from)
    }

    /// To whom somebody brought it.
    pub(crate) fn children(&self, number: usize, index: usize) -> Vec<usize> {
        self.running().filter(|&other| self.parent(number, other) == Some(index)).collect()
    }

    /// The member that passed it on to most, but its origin.
    pub(crate) fn busiest(&self, number: usize) -> usize {
        let inner = self.running().filter(|&index| self.parent(number, index).is_some());
        inner.max_by_key(|&index| self.children(number, index).len()).unwrap()
    }

    /// Those who are owed it and have not heard it.
    pub(crate) fn missing(&self, number: usize) -> Vec<usize> {
        let owed = |index: &usize| self.said[number].owed.contains(&self.life(*index));
        let has = |index: &usize| self.receipt(number, *index).is_some();
        self.running().filter(|index| owed(index) && !has(index)).collect()
    }

    fn all_missing(&self, numbers: Range<usize>) -> BTreeMap<usize, Vec<usize>> {
        let missing = numbers.map(|number| (number, self.missing(number)));
        missing.filter(|(_, who)| !who.is_empty()).collect()
    }

    /// Those of them that are kept until they are repaired.
    pub(crate) fn kept(&self, numbers: Range<usize>) -> Range<usize> {
        let now = self.world.now();
        let is_kept = |number: &usize| now.saturating_since(self.said[*number].at) + REPAIR <= KEPT;
        numbers.clone().find(is_kept).unwrap_or(numbers.end)..numbers.end
    }

    pub(crate) fn assert_heard(&self, numbers: Range<usize>, when: &str) {
        let missing = self.all_missing(numbers);
        assert!(missing.is_empty(), "seed {}, {when}: not heard {missing:?}", self.seed);
    }

    /// Asserts that everybody has all of it within one repair interval from now.
    pub(crate) fn assert_repaired(&mut self, numbers: Range<usize>) {
        self.assert_repaired_within(REPAIR, numbers);
    }

    pub(crate) fn assert_repaired_within(&mut self, limit: Duration, numbers: Range<usize>) {
        let begun = self.world.now();
        let end = begun + limit;
        while self.world.now() < end && !self.all_missing(numbers.clone()).is_empty() {
            self.run(20 * MS);
        }
        let took = self.world.now().saturating_since(begun);
        self.assert_heard(numbers, &format!("{took:?} after the fault"));
    }

    /// Asserts that trees cost one copy per member again soon after all is well, and that all that must
    /// hold held. Duplicates prune at once, but whoever is behind a link that a fault left can swap it
    /// for a faster one only when its back-off is over, and each swap costs a copy or two.
    pub(crate) fn assert_whole(&mut self, origins: &[usize]) {
        let mut costs = Vec::new();
        while costs.len() < ROUNDS_MAX && costs.last() != Some(&0.0) {
            costs.push(self.cost_of_a_round(origins));
        }
        assert!(costs.last() < Some(&COST_MAX), "seed {}: {costs:?}", self.seed);
        self.assert_sound();
    }

    /// Asserts what must hold in any world.
    pub(crate) fn assert_sound(&self) {
        let log = self.world.watch();
        assert_eq!(log.checker.breach(), None, "seed {}", self.seed);
        assert!(log.again.is_empty(), "seed {}: heard twice {:?}", self.seed, log.again);
        self.running().for_each(|index| self.node(index).check_invariants());
    }
}

fn sees(world: &World<Silent, Log>, from: ProcessId, to: ProcessId) -> bool {
    let member = world.node(from).and_then(|node| node.member(world.name(to).as_bytes()));
    member.is_some_and(|member| {
        matches!(member.state, MemberState::Alive | MemberState::Suspect)
            && member.addr == world.addr(to)
    })
}

fn all_listed(world: &World<Silent, Log>) -> bool {
    let running = || world.ids().filter(|&id| world.node(id).is_some());
    running().all(|one| running().all(|other| sees(world, one, other)))
}
