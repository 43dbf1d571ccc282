//! A large cluster on a good network: how long it takes to form, what it sends, what everybody hears.
//!
//! All nodes are whole ones with memberlist's defaults for a local network, on the bytes that they
//! would send. They start at once and know one address, the first one's; when all count all, they
//! broadcast. It is the simulator's own measure too: how much time passes in it while a second
//! passes here is whoever calls it to take.

use core::ops::ControlFlow;
use core::time::Duration;

use rumormill::{Channel, Config, Event, Fact, Node, Params, Stagger};
use serde::Serialize;

use crate::network::{Latency, Network};
use crate::trace::Hash;
use crate::world::{App, Ctl, ProcessId, Spawn, World, WorldStats};

/// Most nodes. Each knows each, so memory grows with the square: a thousand take a gigabyte.
pub const NODES_MAX: usize = 10_000;
/// Longest broadcasting, in seconds.
pub const SECONDS_MAX: u64 = 3_600;
/// Most broadcasts per second.
pub const RATE_MAX: u64 = 10_000;

/// Bytes of each broadcast, its number included.
const PAYLOAD_LEN: usize = 64;
const CHANNEL: Channel = Channel(1);
/// Nodes that have not found each other by then will not.
const FORMING_MAX: Duration = Duration::from_secs(120);
/// How long after the last broadcast its copies may still travel: until all budgets are spent.
const SETTLING_MAX: Duration = Duration::from_secs(300);
/// How often it is looked, and said, how far things are.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Every this-many-th node in turn broadcasts: a prime that divides no number of nodes but its own
/// multiples.
const STRIDE: u64 = 7_919;

/// What is to be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Everything that is left to chance.
    pub seed: u64,
    /// How many nodes, 2 to [`NODES_MAX`].
    pub nodes: usize,
    /// How long they broadcast, in virtual seconds, 1 to [`SECONDS_MAX`].
    pub seconds: u64,
    /// Broadcasts per virtual second of all together, 1 to [`RATE_MAX`].
    pub rate: u64,
}

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The nodes find each other: what share of all pairs has, in thousandths.
    Forming(u64),
    /// All count all.
    Formed,
    /// They broadcast: how much of the time is over.
    Broadcasting(Duration),
    /// The last copies travel.
    Settling,
}

/// What was on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Traffic {
    /// Datagrams that were sent.
    pub datagrams: u64,
    /// Bytes of them, of UDP payload.
    pub datagram_bytes: u64,
    /// Bytes on streams.
    pub stream_bytes: u64,
}

impl Traffic {
    fn between(before: &WorldStats, after: &WorldStats) -> Self {
        Self {
            datagrams: after.datagrams - before.datagrams,
            datagram_bytes: after.datagram_bytes - before.datagram_bytes,
            stream_bytes: after.stream_bytes - before.stream_bytes,
        }
    }
}

/// What came of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Until all counted all, in virtual time; `None`: they never did, and nothing was broadcast.
    pub formed: Option<Duration>,
    /// What that took on the wire.
    pub forming: Traffic,
    /// What was on the wire while they broadcast, probes and all.
    pub broadcasting: Traffic,
    /// How long after the last broadcast nodes still had copies to send, in virtual time.
    pub settling: Duration,
    /// Broadcasts that were made.
    pub broadcasts: u64,
    /// Pairs of a broadcast and another node that should have heard it.
    pub wanted: u64,
    /// Of these, those that did.
    pub heard: u64,
    /// Members that were wrongly believed dead.
    pub failures: u64,
    /// The run's name: everything that happened.
    pub hash: Hash,
}

impl Outcome {
    /// Whether all met, everybody heard everything, and nobody was believed dead.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.formed.is_some() && self.heard == self.wanted && self.failures == 0
    }
}

/// Which broadcasts a node heard.
#[derive(Debug, Default)]
struct Ear {
    heard: Vec<u64>,
    failures: u64,
}

impl Ear {
    fn hear(&mut self, number: u64) {
        let word = usize::try_from(number / 64).unwrap_or(usize::MAX);
        if word >= self.heard.len() {
            self.heard.resize(word + 1, 0);
        }
        self.heard[word] |= 1 << (number % 64);
    }

    fn count(&self) -> u64 {
        self.heard.iter().map(|word| u64::from(word.count_ones())).sum()
    }
}

impl App for Ear {
    fn on_event(&mut self, _: &mut Ctl<'_>, event: Event) {
        match event.fact {
            Fact::Rumor { payload, .. } => {
                if let Some(number) = payload.first_chunk() {
                    self.hear(u64::from_be_bytes(*number));
                }
            }
            Fact::Failed { .. } => self.failures += 1,
            _ => {}
        }
    }
}

/// Runs a plan. `tell` hears ten times in a virtual second how far it is; its `Break` ends the run
/// without an outcome.
///
/// # Panics
///
/// If the plan exceeds a limit of this module.
pub fn run(plan: &Plan, mut tell: impl FnMut(Phase) -> ControlFlow<()>) -> Option<Outcome> {
    let Plan { seed, nodes, seconds, rate } = *plan;
    assert!((2..=NODES_MAX).contains(&nodes), "as many nodes as a plan may have");
    assert!((1..=SECONDS_MAX).contains(&seconds), "as many seconds as a plan may have");
    assert!((1..=RATE_MAX).contains(&rate), "as many broadcasts as a plan may have");
    let mut world = start(seed, nodes);
    let formed = form(&mut world, &mut tell)?;
    let at_first = *world.stats();
    let (mut broadcasts, mut settling, mut broadcasting) = <(u64, Duration, Traffic)>::default();
    if formed.is_some() {
        tell(Phase::Formed).continue_value()?;
        broadcasts = broadcast(&mut world, seconds, rate, &mut tell)?;
        broadcasting = Traffic::between(&at_first, world.stats());
        settling = settle(&mut world, &mut tell)?;
    }
    let apps = || world.ids().filter_map(|id| world.app(id));
    Some(Outcome {
        formed,
        forming: Traffic::between(&WorldStats::default(), &at_first),
        broadcasting,
        settling,
        broadcasts,
        wanted: broadcasts * (nodes as u64 - 1),
        heard: apps().map(Ear::count).sum(),
        failures: apps().map(|app| app.failures).sum(),
        hash: world.hash(),
    })
}

/// Delays of 1 to 6 ms, nothing lost.
fn network() -> Network {
    let ms = Duration::from_millis(1);
    Network { latency: Latency::Uniform(ms), jitter: 5 * ms, ..Network::default() }
}

fn start(seed: u64, nodes: usize) -> World<Ear> {
    let config = Config { stagger: Stagger::Random, ..Config::lan() };
    let params = Params::try_from(config).expect("the preset is valid");
    let mut world = World::new(seed, network());
    let first = ProcessId::new(0);
    for index in 0..nodes {
        let id = world.spawn(Spawn::numbered(index, params.clone()), Ear::default());
        let seed = world.addr(first);
        world.act(id, |ctl, _| ctl.act(|node, now| node.join(now, &[seed])));
    }
    world
}

/// How long until all count all. The outer `None`: somebody wants no more.
fn form(
    world: &mut World<Ear>,
    tell: &mut impl FnMut(Phase) -> ControlFlow<()>,
) -> Option<Option<Duration>> {
    let all = world.size() * world.size();
    let begun = world.now();
    loop {
        let nodes = world.ids().filter_map(|id| world.node(id));
        let seen: usize = nodes.map(Node::live_members).sum();
        let taken = world.now().saturating_since(begun);
        if seen == all {
            return Some(Some(taken));
        }
        if taken >= FORMING_MAX {
            return Some(None);
        }
        tell(Phase::Forming((seen * 1_000 / all) as u64)).continue_value()?;
        world.run_for(LOOK_EVERY);
    }
}

fn broadcast(
    world: &mut World<Ear>,
    seconds: u64,
    rate: u64,
    tell: &mut impl FnMut(Phase) -> ControlFlow<()>,
) -> Option<u64> {
    let begun = world.now();
    let mut told = begun;
    let broadcasts = seconds * rate;
    for number in 0..broadcasts {
        let nodes = world.size() as u64;
        let turn = usize::try_from(number * STRIDE % nodes).unwrap_or_default();
        let mut payload = [7; PAYLOAD_LEN];
        payload[..8].copy_from_slice(&number.to_be_bytes());
        let sent = world.act(ProcessId::new(turn), |ctl, _| {
            ctl.act(|node, now| node.broadcast(now, CHANNEL, &payload))
        });
        sent.expect("the payload fits a datagram");
        // The whole of the time is spent, whatever the rate divides.
        let next = begun + Duration::from_micros((number + 1) * 1_000_000 / rate);
        world.run_for(next.saturating_since(world.now()));
        if world.now() >= told + LOOK_EVERY {
            told = world.now();
            tell(Phase::Broadcasting(told.saturating_since(begun))).continue_value()?;
        }
    }
    Some(broadcasts)
}

/// Goes on until no node has anything left to pass on.
fn settle(
    world: &mut World<Ear>,
    tell: &mut impl FnMut(Phase) -> ControlFlow<()>,
) -> Option<Duration> {
    let begun = world.now();
    let waiting = |world: &World<Ear>| {
        world.ids().filter_map(|id| world.node(id)).any(|node| node.rumors_waiting() > 0)
    };
    while waiting(world) && world.now() < begun + SETTLING_MAX {
        tell(Phase::Settling).continue_value()?;
        world.run_for(LOOK_EVERY);
    }
    let settled = world.now().saturating_since(begun);
    // What was sent last is on its way.
    world.run_for(LOOK_EVERY);
    Some(settled)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: Plan = Plan { seed: 3, nodes: 24, seconds: 2, rate: 7 };

    #[test]
    fn a_crowd_meets_and_hears_everything_and_the_same_seed_gives_the_same() {
        let mut phases = Vec::new();
        let outcome = run(&PLAN, |phase| {
            phases.push(phase);
            ControlFlow::Continue(())
        });
        let outcome = outcome.unwrap();
        assert!(outcome.is_whole(), "{outcome:?}");
        assert_eq!((outcome.broadcasts, outcome.wanted), (14, 14 * 23));
        assert!(outcome.formed.is_some_and(|taken| taken > Duration::ZERO));
        assert!(outcome.settling > Duration::ZERO);
        assert!(outcome.forming.stream_bytes > 0 && outcome.broadcasting.datagrams > 0);
        assert!(matches!(phases[0], Phase::Forming(0..1_000)));
        assert!(phases.contains(&Phase::Settling));
        let again = run(&PLAN, |_| ControlFlow::Continue(())).unwrap();
        assert_eq!(again, outcome);
        let other = run(&Plan { seed: 4, ..PLAN }, |_| ControlFlow::Continue(())).unwrap();
        assert_ne!(other.hash, outcome.hash);
    }

    #[test]
    fn whoever_wants_no_more_ends_it_in_any_phase() {
        let until = |is_last: fn(&Phase) -> bool| {
            let mut after = 0;
            let outcome = run(&PLAN, |phase| {
                after += 1;
                if is_last(&phase) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
            assert!(outcome.is_none());
            after
        };
        let calls = [
            until(|phase| matches!(phase, Phase::Forming(_))),
            until(|phase| matches!(phase, Phase::Broadcasting(_))),
            until(|phase| matches!(phase, Phase::Settling)),
        ];
        assert!(calls.is_sorted() && calls[0] == 1, "{calls:?}");
    }

    #[test]
    fn what_is_missing_is_told() {
        let whole = run(&PLAN, |_| ControlFlow::Continue(())).unwrap();
        assert!(!Outcome { heard: whole.heard - 1, ..whole }.is_whole());
        assert!(!Outcome { formed: None, ..whole }.is_whole());
        assert!(!Outcome { failures: 1, ..whole }.is_whole());
    }
}
