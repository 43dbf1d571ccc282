//! The two phases of a scenario.

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::BTreeMap;

use rumormill::{Channel, Delivery, Incarnation, Instant, Member, MemberState, Node, Params};

use super::adversary::{Stage, VICTIM, Volley};
use super::caps;
use super::class::{Class, Fired};
use super::holds::{Holds, Turn};
use super::listener::{CHANNEL, Disk, Listener, long_message, message, tags};
use super::plan::{Deed, Planned, Size, plan};
use super::{Outcome, Scenario, Violation, numbered};
use crate::chance::Chance;
use crate::check::{Breach, Checker, Rule};
use crate::trace::Tracer;
use crate::world::{Clock, Link, ProcessId, Spawn, World};

/// How often the second phase looks whether all nodes have come together.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// How often the first phase looks whether a rule was broken.
const PATROL_EVERY: Duration = Duration::from_secs(1);
/// How long the last partition lasts: most suspicions end within 20 s, what is dead is forgotten after
/// 10 s, by the next round of probes.
const ESTRANGED_FOR: Duration = Duration::from_secs(60);
/// Broadcasts of the second phase: they must reach everybody.
const PROOFS: u64 = 4;
/// How long a push/pull that has begun may last when nothing goes wrong.
const LAST_EXCHANGES: Duration = Duration::from_secs(3);
/// How long gossip alone may take to reach half of the cluster, hop by hop along a ring if need be.
const GOSSIP_WITHIN: Duration = Duration::from_secs(30);
/// A node must notice that it stood still for so long: from its next timer, a gossip interval away at
/// most, it is longer than the wait for an ack.
const NOTICED_PAUSE: Duration = Duration::from_secs(1);
/// Nodes of the other cluster that wants to join ours.
const FOREIGNERS: usize = 3;
const FOREIGN_LABEL: &str = "green";
/// Most that a clock is ahead of the one that is furthest behind, and runs fast or slow.
const AHEAD_MAX: Duration = Duration::from_secs(3_600);
const DRIFT_PPM_MAX: u64 = 20_000;
/// A clock that gained or lost less than this in a life did no harm.
const NOTICED_DRIFT: Duration = Duration::from_millis(10);

pub(super) fn run(scenario: &Scenario, tracer: Tracer) -> (Result<Outcome, Violation>, Tracer) {
    let mut play = Play::new(scenario, tracer);
    let result = play.all().map(|()| play.outcome());
    (result, play.world.into_tracer())
}

struct Play<'a> {
    scenario: &'a Scenario,
    world: Stage,
    clocks: Chance,
    told: u64,
    /// What is left of the applications of processes that are down.
    left: BTreeMap<ProcessId, Listener>,
    fired: Fired,
    holds: Holds,
    still_since: BTreeMap<ProcessId, Instant>,
    /// When those that run were started, by the world's clock and by their own.
    lives: BTreeMap<ProcessId, [Instant; 2]>,
    healed_after: Duration,
    delivered_after: Duration,
}

/// Whether nodes meet for push/pull.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exchanges {
    On,
    Off,
}

/// Whether all must see the same meta.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Metas {
    Equal,
    Any,
}

/// What everybody should see: name, address, incarnation and meta of everybody.
type View<'a> = BTreeMap<&'a [u8], (SocketAddr, Incarnation, &'a [u8])>;

impl<'a> Play<'a> {
    fn new(scenario: &'a Scenario, tracer: Tracer) -> Self {
        let mut checker = Checker::default();
        checker.protect(VICTIM);
        if scenario.faults.has(Class::Replay) {
            checker.capture();
        }
        if scenario.is_garbling() {
            checker.expect_garbling();
        }
        let world = World::watched(scenario.seed, scenario.network, checker).traced(tracer);
        let mut play = Self {
            scenario,
            world,
            clocks: Class::Clock.chance(scenario.seed ^ 1),
            told: 0,
            left: BTreeMap::new(),
            fired: Fired::default(),
            holds: Holds::default(),
            still_since: BTreeMap::new(),
            lives: BTreeMap::new(),
            healed_after: Duration::ZERO,
            delivered_after: Duration::ZERO,
        };
        for index in 0..scenario.nodes {
            let clock = play.drawn_clock();
            let spawn = Spawn { params: params(scenario, index), clock, ..numbered(index) };
            let id = play.world.spawn(spawn, play.fresh_app());
            play.lives.insert(id, [play.world.now(), play.world.local_now(id)]);
            play.join(id);
        }
        if scenario.faults.has(Class::Crosstalk) {
            play.invite_foreigners();
        }
        play
    }

    fn all(&mut self) -> Result<(), Violation> {
        self.suffer()?;
        self.estrange()?;
        self.heal()?;
        self.prove()?;
        self.part()?;
        self.check_payloads()
    }

    /// Our own processes: those of another cluster come behind them.
    fn ids(&self) -> impl Iterator<Item = ProcessId> + use<> {
        (0..self.scenario.nodes).map(ProcessId::new)
    }

    fn fresh_app(&self) -> Listener {
        let saves = self.scenario.faults.has(Class::Unsynced);
        Listener::new(if saves { Disk::Saved } else { Disk::None })
    }

    fn drawn_clock(&mut self) -> Clock {
        if !self.scenario.faults.has(Class::Clock) {
            return Clock::default();
        }
        let drift = i32::try_from(self.clocks.below(2 * DRIFT_PPM_MAX)).unwrap_or_default();
        let half = i32::try_from(DRIFT_PPM_MAX).unwrap_or_default();
        Clock::new(self.clocks.below_duration(AHEAD_MAX), drift - half)
    }

    /// Everybody joins through the first process, which joins through the second.
    fn join(&mut self, id: ProcessId) {
        let through = ProcessId::new(usize::from(id.index() == 0));
        let seed = if through.index() < self.world.size() {
            self.world.addr(through)
        } else {
            numbered(through.index()).addr
        };
        self.world.act(id, |ctl, _| ctl.act(|node, now| node.join(now, &[seed])));
    }

    /// A cluster with another label, whose nodes take ours for theirs.
    fn invite_foreigners(&mut self) {
        for id in self.ids() {
            let name = self.world.name(id).clone();
            self.world.watch_mut().belongs(name, 0);
        }
        let mut config = self.scenario.config(0);
        config.label = FOREIGN_LABEL.into();
        config.neighbors.clear();
        let params = Params::try_from(config).expect("a scenario's numbers fit together");
        let first = self.scenario.nodes;
        for index in first..first + FOREIGNERS {
            let spawn = Spawn::numbered(index, params.clone());
            self.world.watch_mut().belongs(spawn.name.clone(), 1);
            self.world.watch_mut().lives_apart(spawn.addr.ip());
            let id = self.world.spawn(spawn, self.fresh_app());
            let seeds = [first, index - first, 0].map(|seed| numbered(seed).addr);
            self.world.act(id, |ctl, _| ctl.act(|node, now| node.join(now, &seeds)));
        }
    }

    // ── The first phase ─────────────────────────────────────────────────────────────────────────

    fn suffer(&mut self) -> Result<(), Violation> {
        let begin = self.world.now();
        let end = begin + self.scenario.faults_for;
        for Planned { at, class, deed } in plan(self.scenario) {
            if begin + at >= end {
                break;
            }
            self.run_to(begin + at)?;
            let times = self.perform(class, deed);
            if let Some(class) = class {
                self.fired.add(class, times);
            }
        }
        self.run_to(end)
    }

    /// A last partition, where nobody helps afterwards: both halves forget that there was another.
    fn estrange(&mut self) -> Result<(), Violation> {
        if self.scenario.operators || !self.scenario.faults.has(Class::Partition) {
            return Ok(());
        }
        // What waits in a clogged link would be a minute old when it arrives: no network keeps it so long.
        self.open_links();
        let nodes = self.scenario.nodes;
        let across = (0..nodes / 2).flat_map(|a| (nodes / 2..nodes).map(move |b| [(a, b), (b, a)]));
        let across: Vec<_> = across.flatten().collect();
        let cuts = self.close(&across, Link::Cut, Turn::Begins);
        self.fired.add(Class::Partition, cuts);
        self.run_to(self.world.now() + ESTRANGED_FOR)
    }

    /// Lets time pass as long as no rule is broken.
    fn run_to(&mut self, end: Instant) -> Result<(), Violation> {
        while self.world.now() < end {
            let left = end.saturating_since(self.world.now());
            self.world.run_for(left.min(PATROL_EVERY));
            self.check()?;
        }
        Ok(())
    }

    fn check(&self) -> Result<(), Violation> {
        self.world.watch().breach().map_or(Ok(()), |breach| Err(breach.clone().into()))
    }

    /// Does something; how many faults it was. What cannot be done now is not done.
    fn perform(&mut self, class: Option<Class>, deed: Deed) -> u64 {
        match deed {
            Deed::Broadcast(teller) => self.broadcast(ProcessId::new(teller)),
            Deed::Tell(teller, size, key) => self.tell(ProcessId::new(teller), size, key),
            Deed::Send(from, to, delivery, size) => {
                self.send(ProcessId::new(from), ProcessId::new(to), delivery, size);
            }
            Deed::Meta(who, seed) => self.change(ProcessId::new(who), seed),
            Deed::Crash(victim) => return self.crash(ProcessId::new(victim)),
            Deed::Restart(victim) => {
                self.restart(ProcessId::new(victim), None);
            }
            Deed::RestartAt(victim, addr) => {
                return self.restart(ProcessId::new(victim), Some(addr));
            }
            Deed::Leave(leaver) => return self.leave(ProcessId::new(leaver)),
            Deed::Pause(victim) => return self.pause(ProcessId::new(victim)),
            Deed::Resume(victim) => self.resume(ProcessId::new(victim)),
            Deed::Lag(victims, lag, turn) => {
                for victim in victims {
                    let lag = self.holds.lag(victim, lag, turn);
                    self.world.set_lag(ProcessId::new(victim), lag);
                }
            }
            Deed::Links(links, closed, turn) => return self.close(&links, closed, turn),
            Deed::Bandwidth(victim, bandwidth, turn) => {
                let bandwidth = self.holds.bandwidth(victim, bandwidth, turn);
                self.world.set_bandwidth(ProcessId::new(victim), bandwidth);
            }
            Deed::Attack(seed) => {
                let label = self.scenario.guard.label.as_bytes();
                let volley = Volley::new(&mut self.world, self.scenario.nodes, label, seed);
                return class.map_or(0, |class| volley.fire(class));
            }
        }
        0
    }

    /// Closes links, or has them opened unless something else holds them; how many were closed.
    fn close(&mut self, links: &[(usize, usize)], closed: Link, turn: Turn) -> u64 {
        for &(from, to) in links {
            let state = self.holds.link((from, to), closed, turn);
            self.world.set_link(ProcessId::new(from), ProcessId::new(to), state);
        }
        if turn == Turn::Begins { links.len() as u64 } else { 0 }
    }

    /// Opens all links, whatever held them.
    fn open_links(&mut self) {
        self.holds = Holds::default();
        self.world.open_links();
    }

    /// Whether a process runs and is not paused: users can only talk to such a one.
    fn listens(&self, id: ProcessId) -> bool {
        self.world.node(id).is_some() && !self.world.is_paused(id)
    }

    /// Somebody who is up tells something that nobody told before.
    fn broadcast(&mut self, id: ProcessId) {
        if !self.listens(id) {
            return;
        }
        self.told += 1;
        let payload = message(self.told);
        let channel = self.channel();
        self.world.act(id, |ctl, app| {
            // Who has said goodbye is silent.
            if ctl.act(|node, now| node.broadcast(now, channel, &payload)).is_ok() {
                app.hear(&payload);
            }
        });
    }

    /// Somebody tells something long, which may replace what was told before.
    fn tell(&mut self, id: ProcessId, size: Size, key: Option<u64>) {
        if !self.listens(id) {
            return;
        }
        self.told += 1;
        let (number, channel) = (self.told, self.channel());
        self.world.act(id, |ctl, app| {
            let most = ctl.node().broadcast_len_max();
            let payload = long_message(number, length(size, ctl.node()).min(most));
            let told = ctl.act(|node, now| match key {
                Some(key) => node.broadcast_keyed(now, channel, key, &payload),
                None => node.broadcast(now, channel, &payload),
            });
            if told.is_ok() {
                app.hear_one(&payload);
            }
        });
    }

    /// Somebody tells another one something, which tells it to all by its state.
    fn send(&mut self, from: ProcessId, to: ProcessId, delivery: Delivery, size: Size) {
        if !self.listens(from) || from == to {
            return;
        }
        self.told += 1;
        let (number, channel, name) = (self.told, self.channel(), self.world.name(to).clone());
        self.world.act(from, |ctl, app| {
            let payload = long_message(number, length(size, ctl.node()));
            // Who is not known, or whose datagrams are too short, is told nothing.
            if ctl.act(|node, now| node.send(now, &name, channel, &payload, delivery)).is_ok() {
                app.hear_one(&payload);
            }
        });
    }

    /// What the others see about somebody changes.
    fn change(&mut self, id: ProcessId, seed: u64) {
        if self.listens(id) {
            // Who has said goodbye changes nothing.
            let _ =
                self.world.act(id, |ctl, _| ctl.act(|node, now| node.set_meta(now, &tags(seed))));
        }
    }

    const fn channel(&self) -> Channel {
        if self.scenario.mode.is_thesis() { Channel::BARE } else { CHANNEL }
    }

    fn pause(&mut self, id: ProcessId) -> u64 {
        let before = self.world.stats().pauses;
        self.world.pause(id);
        let pauses = self.world.stats().pauses - before;
        if pauses > 0 {
            self.still_since.insert(id, self.world.now());
        }
        pauses
    }

    /// Lets a process go on. What it waited for had no chance to come: it may accuse nobody at the
    /// moment at which it wakes, unless it stood still so briefly that it cannot know. What others
    /// say of a suspect in what it finds may end a suspicion, though.
    fn resume(&mut self, id: ProcessId) {
        let Some(since) = self.still_since.remove(&id) else { return };
        let now = self.world.now();
        let failed = |world: &Stage| world.node(id).map_or(0, |node| node.stats().probes_failed);
        let before = failed(&self.world);
        self.world.resume(id);
        if now.saturating_since(since) < NOTICED_PAUSE {
            return;
        }
        self.world.run_for(Duration::ZERO);
        let after = failed(&self.world);
        if before != after {
            let detail = format!("{before} probes had failed before, {after} after");
            self.world.watch_mut().broken(Rule::Hasty, now, id, detail);
        }
    }

    fn crash(&mut self, id: ProcessId) -> u64 {
        self.count_refusals(id);
        self.count_drift(id);
        let Some(mut app) = self.world.crash(id) else { return 0 };
        self.still_since.remove(&id);
        self.fired.add(Class::Unsynced, core::mem::take(&mut app.lost));
        self.left.insert(id, app);
        1
    }

    /// Adds up how often limits were reached in a life that ends.
    fn count_refusals(&mut self, id: ProcessId) {
        let reached = self.world.node(id).map(caps::reached);
        for (class, times) in reached.into_iter().flatten() {
            if self.scenario.faults.has(class) {
                self.fired.add(class, times);
            }
        }
    }

    fn leave(&mut self, id: ProcessId) -> u64 {
        if !self.listens(id) {
            return 0;
        }
        self.world.act(id, |ctl, _| ctl.act(Node::leave));
        1
    }

    /// Starts whoever is down; how many it was.
    fn restart(&mut self, id: ProcessId, addr: Option<SocketAddr>) -> u64 {
        if self.world.node(id).is_some() {
            return 0;
        }
        let (before, clock) = (self.world.local_now(id), self.drawn_clock());
        self.world.set_clock(id, clock);
        if self.world.local_now(id) < before {
            self.fired.add(Class::Clock, 1);
        }
        self.lives.insert(id, [self.world.now(), self.world.local_now(id)]);
        let app = self.left.remove(&id).unwrap_or_else(|| self.fresh_app());
        let params = params(self.scenario, id.index());
        let addr = addr.unwrap_or_else(|| self.world.addr(id));
        self.world.restart_at(id, addr, params, app);
        self.join(id);
        1
    }

    /// Counts a life that ends if its clock has shown that it runs fast or slow.
    fn count_drift(&mut self, id: ProcessId) {
        let [began, showed] = self.lives.get(&id).copied().unwrap_or_default();
        let passed = self.world.now().saturating_since(began);
        let shown = self.world.local_now(id).saturating_since(showed);
        if self.world.node(id).is_some() && passed.abs_diff(shown) >= NOTICED_DRIFT {
            self.fired.add(Class::Clock, 1);
        }
    }

    // ── The second phase ────────────────────────────────────────────────────────────────────────

    /// Nothing goes wrong any more, everybody is up, and all nodes must meet.
    fn heal(&mut self) -> Result<(), Violation> {
        *self.world.network_mut() = self.scenario.network.healed();
        self.open_links();
        for id in self.ids() {
            self.resume(id);
            self.world.set_lag(id, Duration::ZERO);
            self.world.set_bandwidth(id, None);
            if self.has_left(id) {
                self.crash(id);
            }
            self.restart(id, None);
        }
        // A seed that has not answered may be none any more: no node could know.
        for id in self.ids() {
            let is_lost = self.world.node(id).is_some_and(|node| node.seeds_waiting() > 0);
            if self.scenario.operators || is_lost {
                self.join(id);
            }
        }
        let (began, bound) = (self.world.now(), self.scenario.heals_within());
        let nodes = self.scenario.nodes;
        // What changed on the way under an incarnation of its own can be told from nothing.
        let metas = if self.scenario.is_garbling() { Metas::Any } else { Metas::Equal };
        self.settle(bound, |world| apart(world, nodes, metas).is_none())?;
        if let Some(who) = apart(&self.world, nodes, metas) {
            return Err(Violation::MembersApart { bound, who });
        }
        self.healed_after = self.world.now().saturating_since(began);
        let names: Vec<_> = self.ids().map(|id| self.world.name(id).clone()).collect();
        self.world.watch_mut().is_healthy(names);
        Ok(())
    }

    fn has_left(&self, id: ProcessId) -> bool {
        self.world.node(id).is_some_and(|node| node.local().state == MemberState::Left)
    }

    /// Waits until something holds, or the bound is over; an error only if a rule is broken.
    fn settle(
        &mut self,
        bound: Duration,
        reached: impl Fn(&Stage) -> bool,
    ) -> Result<bool, Violation> {
        let done = |world: &Stage| world.watch().breach().is_some() || reached(world);
        let is_reached = self.world.run_until_seen(bound, LOOK_EVERY, done);
        self.check().map(|()| is_reached)
    }

    /// Whether nodes meet for push/pull from now on, or have nothing but gossip.
    fn exchange(&mut self, exchanges: Exchanges) {
        for id in self.ids() {
            let mut config = self.scenario.config(id.index());
            if exchanges == Exchanges::Off {
                config.push_pull_interval = None;
            }
            let params = Params::try_from(config).expect("a scenario's numbers fit together");
            self.world.act(id, |ctl, _| ctl.act(|node, now| node.set_params(now, params)));
        }
    }

    /// Something that was said is heard by half of the others without any push/pull: what repairs
    /// gossip must not hide that there is none.
    fn spread(
        &mut self,
        what: &'static str,
        say: impl FnOnce(&mut Self),
        heard: impl Fn(&Stage) -> usize,
    ) -> Result<(), Violation> {
        // The thesis modes count copies for the dead, and where duplicates are queued again, what is old
        // never ends: what is new may starve.
        let mode = self.scenario.mode;
        let are_dead = || nodes_of(&self.world, self.scenario.nodes).any(knows_dead);
        if !mode.drops_duplicates() || mode.is_thesis() && are_dead() {
            say(self);
            return Ok(());
        }
        self.exchange(Exchanges::Off);
        // What is under way is no gossip.
        let settled = self.world.now() + LAST_EXCHANGES;
        self.run_to(settled)?;
        say(self);
        let nodes = self.scenario.nodes;
        let half = 1 + (nodes - 1).div_ceil(2);
        if !self.settle(GOSSIP_WITHIN, |world| heard(world) >= half)? {
            let reached = heard(&self.world);
            return Err(Violation::GossipSilent { bound: GOSSIP_WITHIN, what, reached, nodes });
        }
        self.exchange(Exchanges::On);
        Ok(())
    }

    /// Broadcasts reach everybody, and so does all that anybody knows.
    fn prove(&mut self) -> Result<(), Violation> {
        let (bound, nodes) = (self.scenario.heals_within(), self.scenario.nodes);
        // Links lead to addresses, which those that moved have left.
        if !(self.scenario.mode.follows_links() && self.scenario.faults.has(Class::Move)) {
            let number = self.told + 1;
            let say = |play: &mut Self| play.broadcast(ProcessId::new(0));
            self.spread("a broadcast", say, |world| heard(world, nodes, number))?;
        }
        for proof in 0..PROOFS {
            let began = self.world.now();
            let teller = usize::try_from(proof).unwrap_or_default() * 7 % nodes;
            self.broadcast(ProcessId::new(teller));
            let last = self.told;
            if !self.settle(bound, |world| knowing(world, nodes, last) == nodes)? {
                let reached = knowing(&self.world, nodes, last);
                return Err(Violation::KnowledgeApart { bound, reached, nodes });
            }
            self.delivered_after = self.world.now().saturating_since(began);
        }
        Ok(())
    }

    /// Somebody says goodbye, and everybody hears it as a goodbye.
    fn part(&mut self) -> Result<(), Violation> {
        let (bound, nodes) = (self.scenario.heals_within(), self.scenario.nodes);
        let leaver = ProcessId::new(nodes - 1);
        let name = self.world.name(leaver).clone();
        self.world.watch_mut().leaves(name.clone());
        let say = |play: &mut Self| {
            play.leave(leaver);
        };
        self.spread("a goodbye", say, |world| parted(world, nodes, name.as_bytes()))?;
        if !self.settle(bound, |world| parted(world, nodes, name.as_bytes()) == nodes)? {
            let reached = parted(&self.world, nodes, name.as_bytes()).saturating_sub(1);
            let who = name.to_string();
            return Err(Violation::GoodbyeUnheard { bound, who, reached, nodes: nodes - 1 });
        }
        Ok(())
    }

    /// Applications got nothing that nobody told, unless bytes change on the way and no layer
    /// notices.
    fn check_payloads(&self) -> Result<(), Violation> {
        if self.scenario.is_garbling() {
            return Ok(());
        }
        let garbled = |id: &ProcessId| self.world.app(*id).is_some_and(|app| app.garbled > 0);
        let Some(process) = self.ids().find(garbled) else { return Ok(()) };
        let (at, detail) = (self.world.now(), "of a broadcast or of a state".to_owned());
        Err(Breach { rule: Rule::Garbled, at, process, detail }.into())
    }

    fn outcome(&mut self) -> Outcome {
        self.ids().for_each(|id| {
            self.count_refusals(id);
            self.count_drift(id);
        });
        self.fired.add(Class::Crosstalk, self.world.watch().crossed());
        let stats = *self.world.stats();
        for (class, times) in [
            (Class::Loss, stats.lost),
            (Class::Duplication, stats.duplicated),
            (Class::Reordering, stats.held_back),
            (Class::Corruption, stats.corrupted),
            (Class::Delay, stats.lagged),
            (Class::Bandwidth, stats.queued),
            (Class::Split, stats.splits),
            (Class::Reset, stats.resets),
            (Class::BlackHole, stats.black_holes),
        ] {
            self.fired.add(class, times);
        }
        Outcome {
            hash: self.world.hash(),
            ended_at: self.world.now(),
            healed_after: self.healed_after,
            delivered_after: self.delivered_after,
            fired: self.fired.clone(),
            stats,
        }
    }
}

fn params(scenario: &Scenario, index: usize) -> Params {
    Params::try_from(scenario.config(index)).expect("a scenario's numbers fit together")
}

/// How many bytes it is, where a datagram holds what this node's do.
fn length(size: Size, node: &Node) -> usize {
    match size {
        Size::Datagram(less) => node.params().packet_size_max() - less,
        Size::Bytes(len) => len,
    }
}

fn nodes_of(world: &Stage, nodes: usize) -> impl Iterator<Item = &Node> {
    (0..nodes).filter_map(|index| world.node(ProcessId::new(index)))
}

/// Who does not see everybody as everybody sees itself, and nobody else; `None` if all do.
fn apart(world: &Stage, nodes: usize, metas: Metas) -> Option<String> {
    // What costs little first: it is looked at often.
    if let Some(node) = nodes_of(world, nodes).find(|node| node.live_members() != nodes) {
        let (who, sees) = (node.local().name, node.live_members());
        let lacks = nodes_of(world, nodes).map(Node::local).find_map(|other| {
            let known = node.member(other.name.as_bytes());
            let is_live = known.is_some_and(|known| known.state.is_live());
            (!is_live).then(|| {
                let known = known.map_or("unknown".to_owned(), |known| {
                    format!("{} at {} as {}", known.state, known.incarnation, known.addr)
                });
                format!("; {} at {} is {known}", other.name, other.incarnation)
            })
        });
        return Some(format!("{who} sees {sees} of {nodes} nodes{}", lacks.unwrap_or_default()));
    }
    let view: View<'_> = nodes_of(world, nodes)
        .map(Node::local)
        .map(|local| (local.name.as_bytes(), (local.addr, local.incarnation, local.meta)))
        .collect();
    let sees = |member: &Member<'_>| {
        view.get(member.name.as_bytes()).is_some_and(|&(addr, incarnation, meta)| {
            (member.addr, member.incarnation) == (addr, incarnation)
                && (metas == Metas::Any || member.meta == meta)
        })
    };
    nodes_of(world, nodes).find_map(|node| {
        let live = node.members().filter(|member| member.state.is_live());
        let mut wrong = live.filter(|member| member.state != MemberState::Alive || !sees(member));
        let wrong = wrong.next()?;
        let (who, whom, state) = (node.local().name, wrong.name, wrong.state);
        let meta = String::from_utf8_lossy(wrong.meta);
        let as_what = format!("at {} as {} with {meta:?}", wrong.incarnation, wrong.addr);
        Some(format!("{who} sees {whom} {state} {as_what}"))
    })
}

/// How many know what the first process knows; none, if that lacks the last broadcast.
fn knowing(world: &Stage, nodes: usize, last: u64) -> usize {
    let heard = |index| world.app(ProcessId::new(index)).map(|app: &Listener| &app.heard);
    let Some(first) = heard(0).filter(|heard| heard.contains(&last)) else { return 0 };
    (0..nodes).filter(|&index| heard(index) == Some(first)).count()
}

fn knows_dead(node: &Node) -> bool {
    node.members().any(|member| !member.state.is_live())
}

/// How many know a broadcast.
fn heard(world: &Stage, nodes: usize, number: u64) -> usize {
    let app = |index| world.app(ProcessId::new(index));
    let knows = |index: &usize| app(*index).is_some_and(|app| app.heard.contains(&number));
    (0..nodes).filter(knows).count()
}

/// How many know that somebody has left.
fn parted(world: &Stage, nodes: usize, name: &[u8]) -> usize {
    let has_left =
        |node: &&Node| node.member(name).is_some_and(|member| member.state == MemberState::Left);
    nodes_of(world, nodes).filter(has_left).count()
}
