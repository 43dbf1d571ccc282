//! Clusters, and what their applications take down.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use rumormill::{Channel, Config, Event, Fact, Instant, MemberState, NodeName, Params, Verdict};

use crate::network::{Latency, Network};
use crate::world::{App, Ctl, Link, ProcessId, Spawn, World};

pub(super) const MS: Duration = Duration::from_millis(1);
pub(super) const SECOND: Duration = Duration::from_secs(1);

/// The channel of our applications' state.
pub(super) const STATE: Channel = Channel(9);

/// Longest time until nodes of a faultless network know each other.
const FORMING: Duration = Duration::from_secs(120);
/// How often a condition that is costly to see is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// What clocks show at the start where nodes begin with the seconds of the calendar.
pub(super) const CALENDAR: Duration = Duration::from_secs(1_790_000_000);

/// What a node told, and what it heard.
#[derive(Debug, Default)]
pub(super) struct Witness {
    pub(super) joined: Vec<NodeName>,
    pub(super) suspected: Vec<NodeName>,
    pub(super) failed: Vec<NodeName>,
    pub(super) left: Vec<NodeName>,
    pub(super) reaped: u64,
    pub(super) seeds_failed: u64,
    pub(super) has_said_goodbye: bool,
    /// The numbers that were broadcast, with the time at which they came.
    pub(super) heard: BTreeMap<u64, Instant>,
    /// What it says when it is asked about a join or a merge.
    pub(super) policy: Option<Verdict>,
    /// Whether what it heard rides in push/pulls.
    pub(super) tells_state: bool,
    is_changed: bool,
}

impl Witness {
    pub(super) fn hear(&mut self, bytes: &[u8], now: Instant) {
        for number in bytes.as_chunks().0 {
            self.is_changed = true;
            self.heard.entry(u64::from_be_bytes(*number)).or_insert(now);
        }
    }
}

impl App for Witness {
    fn on_event(&mut self, ctl: &mut Ctl<'_>, event: Event) {
        match event.fact {
            Fact::Joined { name, .. } => self.joined.push(name),
            Fact::Suspected { name, .. } => self.suspected.push(name),
            Fact::Failed { name, .. } => self.failed.push(name),
            Fact::Left { name, .. } => self.left.push(name),
            Fact::Reaped { .. } => self.reaped += 1,
            Fact::SeedFailed { .. } => self.seeds_failed += 1,
            Fact::LeaveDone => self.has_said_goodbye = true,
            // Beside its number a broadcast may carry padding.
            Fact::Rumor { payload, .. } => {
                self.hear(payload.get(..8).unwrap_or_default(), ctl.now());
            }
            Fact::PeerState { channel: STATE, bytes, .. } => self.hear(&bytes, ctl.now()),
            Fact::AskJoin { ask, .. } | Fact::AskMerge { ask, .. } => {
                if let Some(verdict) = self.policy {
                    ctl.act(|node, now| node.answer(now, ask, verdict));
                }
            }
            _ => {}
        }
    }

    fn on_turn(&mut self, ctl: &mut Ctl<'_>) {
        if self.tells_state && core::mem::take(&mut self.is_changed) {
            let state = self.heard.keys().flat_map(|number| number.to_be_bytes()).collect();
            ctl.act(|node, _| node.set_channel_state(STATE, state));
        }
    }
}

/// Links as in a local network.
pub(super) fn network() -> Network {
    Network { latency: Latency::Uniform(MS), jitter: 2 * MS, ..Network::default() }
}

pub(super) fn params(config: Config) -> Params {
    Params::try_from(config).expect("a field's configuration is valid")
}

pub(super) fn id(index: usize) -> ProcessId {
    ProcessId::new(index)
}

/// Nodes that know each other, on a network without faults.
pub(super) fn cluster<A: App + Default>(seed: u64, nodes: usize, config: &Config) -> World<A> {
    cluster_of(seed, nodes, config, |index| Spawn::numbered(index, params(config.clone())))
}

/// The same, of processes that start as they are told.
pub(super) fn cluster_of<A: App + Default>(
    seed: u64,
    nodes: usize,
    config: &Config,
    spawn: impl Fn(usize) -> Spawn,
) -> World<A> {
    let mut world = World::new(seed, network());
    // Incarnation 0 is nobody's.
    world.run_for(SECOND);
    for index in 0..nodes {
        let process =
            world.spawn(Spawn { params: params(config.clone()), ..spawn(index) }, A::default());
        join(&mut world, process, id(0));
    }
    let formed = time_until(&mut world, FORMING, |world| all_see(world, nodes));
    assert!(formed.is_some(), "nodes of a faultless network find each other");
    world
}

/// Changes how all running processes go on.
pub(super) fn reconfigure<A: App>(world: &mut World<A>, config: &Config) {
    for process in world.ids() {
        let params = params(config.clone());
        world.act(process, |ctl, _| ctl.act(|node, now| node.set_params(now, params)));
    }
}

/// Has a process join another.
pub(super) fn join<A: App>(world: &mut World<A>, process: ProcessId, seed: ProcessId) {
    let seed = world.addr(seed);
    if seed != world.addr(process) {
        world.act(process, |ctl, _| ctl.act(|node, now| node.join(now, &[seed])));
    }
}

/// Broadcasts a number, with this much padding behind it.
pub(super) fn broadcast(
    world: &mut World<Witness>,
    process: ProcessId,
    channel: Channel,
    number: u64,
    padding: usize,
) {
    let mut payload = number.to_be_bytes().to_vec();
    payload.resize(8 + padding, 0);
    let sent = world.act(process, |ctl, app| {
        app.hear(&payload[..8], ctl.now());
        ctl.act(|node, now| node.broadcast(now, channel, &payload))
    });
    sent.expect("the broadcast fits");
}

/// Whether every running process counts this many live members.
pub(super) fn all_see<A: App>(world: &World<A>, members: usize) -> bool {
    world.ids().all(|id| world.node(id).is_none_or(|node| node.live_members() == members))
}

/// Whether a process counts another as a member.
pub(super) fn sees<A: App>(world: &World<A>, from: ProcessId, to: ProcessId) -> bool {
    let member = world.node(from).and_then(|node| node.member(world.name(to).as_bytes()));
    member.is_some_and(|member| matches!(member.state, MemberState::Alive | MemberState::Suspect))
}

/// How long until something holds; `None` if it does not within `limit`.
pub(super) fn time_until<A: App>(
    world: &mut World<A>,
    limit: Duration,
    reached: impl FnMut(&World<A>) -> bool,
) -> Option<Duration> {
    let begun = world.now();
    let held = world.run_until_seen(limit, LOOK_EVERY, reached);
    held.then(|| world.now().saturating_since(begun))
}

/// Closes or opens all links between two groups, both ways.
pub(super) fn part<A: App>(world: &mut World<A>, some: &[usize], others: &[usize], link: Link) {
    for &one in some {
        for &other in others {
            world.set_link(id(one), id(other), link);
            world.set_link(id(other), id(one), link);
        }
    }
}

/// The sum of something over all running processes' applications.
pub(super) fn sum(world: &World<Witness>, of: impl Fn(&Witness) -> u64) -> u64 {
    world.ids().filter_map(|id| world.app(id)).map(of).sum()
}

/// How many of these names are among those.
pub(super) fn among(names: &[NodeName], those: &BTreeSet<NodeName>) -> u64 {
    names.iter().filter(|name| those.contains(*name)).count() as u64
}

/// The names of some processes.
pub(super) fn names<A: App>(
    world: &World<A>,
    processes: impl IntoIterator<Item = usize>,
) -> BTreeSet<NodeName> {
    processes.into_iter().map(|index| world.name(id(index)).clone()).collect()
}
