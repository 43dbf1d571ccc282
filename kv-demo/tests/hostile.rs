//! The store in a hostile world: no replica ever takes a step back, nothing deleted comes back, and
//! all end up the same.

#![allow(clippy::unwrap_used, reason = "this is test code")]

use core::time::Duration;
use std::collections::BTreeMap;

use bytes::Bytes;
use kv_demo::config::{Mode, Overrides, Preset};
use kv_demo::peer::Peer;
use kv_demo::settings::Settings;
use kv_demo::sim_node::SimNode;
use kv_demo::store::Entry;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use rumormill::{Config, Params};
use rumormill_sim::{Clock, Latency, Link, Network, ProcessId, Ratio, Spawn, Streams, World};

const SECOND: Duration = Duration::from_secs(1);
const NODES: usize = 5;
/// As long as it may take until everybody has met everybody again.
const HEALS_WITHIN: Duration = Duration::from_secs(120);

#[derive(Clone, Debug)]
enum Deed {
    /// A write of a key by a node; without a value, a delete.
    Write(usize, u8, Option<u8>),
    Crash(usize),
    Restart(usize),
    Pause(usize),
    Resume(usize),
    /// Nothing gets from one to the other.
    Cut(usize, usize),
    /// What is sent from one to the other waits.
    Clog(usize, usize),
    Open(usize, usize),
}

fn deeds() -> impl Strategy<Value = Vec<(Deed, u64)>> {
    let node = || 0..NODES;
    let deed = prop_oneof![
        6 => (node(), 0..4_u8, any::<Option<u8>>()).prop_map(|(n, k, v)| Deed::Write(n, k, v)),
        1 => node().prop_map(Deed::Crash),
        2 => node().prop_map(Deed::Restart),
        1 => node().prop_map(Deed::Pause),
        2 => node().prop_map(Deed::Resume),
        2 => (node(), node()).prop_map(|(from, to)| Deed::Cut(from, to)),
        2 => (node(), node()).prop_map(|(from, to)| Deed::Clog(from, to)),
        2 => (node(), node()).prop_map(|(from, to)| Deed::Open(from, to)),
    ];
    vec((deed, 0..3_000_u64), 1..40)
}

fn networks() -> impl Strategy<Value = Network> {
    (0..=30_u32, 0..=10_u32, 0..=30_u32, 1..3_000_usize, 0..=20_u32).prop_map(
        |(loss, duplication, reordering, piece_max, resets)| Network {
            latency: Latency::Uniform(Duration::from_millis(3)),
            jitter: Duration::from_millis(10),
            loss: Ratio::percent(loss),
            duplication: Ratio::percent(duplication),
            reordering: Ratio::percent(reordering),
            streams: Streams {
                piece_max,
                resets: Ratio::percent(resets),
                black_holes: Ratio::percent(resets / 2),
            },
            ..Network::default()
        },
    )
}

/// The same cases each time, so that a rare one fails for whoever looks for it; `PROPTEST_RNG_SEED`
/// draws others.
fn config() -> ProptestConfig {
    let mut config = ProptestConfig { cases: 24, ..ProptestConfig::default() };
    if config.rng_seed == RngSeed::Random {
        config.rng_seed = RngSeed::Fixed(1);
    }
    config
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn replicas_take_no_step_back_and_agree_when_all_is_well_again(
        seed: u64, mode in 0..4_usize, network in networks(), deeds in deeds(),
        clocks in vec((0..100_u64, -1_000..1_000_i32), NODES),
    ) {
        let mut store = Hosted::new(seed, Mode::ALL[mode], network, &clocks);
        for (deed, pause) in deeds {
            store.perform(&deed);
            store.run(Duration::from_millis(pause))?;
        }
        store.heal();
        let agreed = store.world.run_until_seen(HEALS_WITHIN, SECOND / 10, |world| {
            let of = |index| world.app(ProcessId::new(index)).and_then(|app| app.peer().state());
            (1..NODES).all(|index| of(index) == of(0))
        });
        store.run(Duration::ZERO)?;
        prop_assert!(agreed, "they differ still");
    }
}

/// Ask 14: a replica that was away for long comes back with a value that all others have deleted. Deletions
/// are never forgotten, so it learns of this one and revives nothing.
#[test]
fn a_replica_that_comes_back_with_a_deleted_value_revives_nothing() {
    const DELETED: u8 = 0;
    const KEPT: u8 = 1;
    const AWAY: usize = NODES - 1;
    for mode in Mode::ALL {
        let network = Network { latency: Latency::Uniform(SECOND / 500), ..Network::default() };
        let mut store = Hosted::new(14, mode, network, &[(0, 0); NODES]);
        let all = |store: &Hosted, key| (0..NODES).filter(|&index| store.reads(index, key)).count();
        store.run(5 * SECOND).unwrap();
        store.write(0, DELETED, Some(1));
        store.write(0, KEPT, Some(2));
        store.run(5 * SECOND).unwrap();
        assert_eq!([DELETED, KEPT].map(|key| all(&store, key)), [NODES; 2], "{mode:?}");
        for other in 0..AWAY {
            store.perform(&Deed::Cut(other, AWAY));
            store.perform(&Deed::Cut(AWAY, other));
        }
        store.write(1, DELETED, None);
        store.run(60 * SECOND).unwrap();
        assert_eq!(all(&store, DELETED), 1, "{mode:?}: only who is away has it");
        assert!(store.reads(AWAY, DELETED));
        store.heal();
        store.run(20 * SECOND).unwrap();
        assert_eq!([DELETED, KEPT].map(|key| all(&store, key)), [0, NODES], "{mode:?}");
        for index in 0..NODES {
            let app = store.world.app(ProcessId::new(index)).unwrap();
            let entry = app.peer().replica().store().entry(b"a");
            assert!(entry.is_some_and(|entry| entry.value.is_none()), "its deletion is remembered");
        }
    }
}

struct Hosted {
    world: World<SimNode>,
    mode: Mode,
    /// What each life of each replica held last.
    held: Vec<BTreeMap<Bytes, Entry>>,
}

impl Hosted {
    fn new(seed: u64, mode: Mode, network: Network, clocks: &[(u64, i32)]) -> Self {
        let mut world = World::new(seed, network);
        for (index, &(ahead, drift)) in clocks.iter().enumerate() {
            let clock = Clock::new(Duration::from_millis(ahead), drift);
            let spawn = Spawn { clock, ..Spawn::numbered(index, params(mode, index)) };
            world.spawn(spawn, SimNode::new(Peer::new(mode, None)));
        }
        let mut hosted = Self { world, mode, held: vec![BTreeMap::new(); NODES] };
        for index in 0..NODES {
            hosted.introduce(index);
        }
        hosted
    }

    fn introduce(&mut self, index: usize) {
        let seeds = [0, 1].map(|index| self.world.addr(ProcessId::new(index)));
        self.world.act(ProcessId::new(index), |ctl, app| {
            app.adopt(ctl.now(), ctl.node(), "node");
            ctl.act(|node, now| node.join(now, &seeds));
        });
    }

    fn perform(&mut self, deed: &Deed) {
        let id = ProcessId::new;
        let link = |world: &mut World<_>, from, to, link| {
            if from != to {
                world.set_link(id(from), id(to), link);
            }
        };
        match *deed {
            Deed::Write(index, key, value) => self.write(index, key, value),
            Deed::Crash(index) => {
                self.world.crash(id(index));
                self.held[index].clear();
            }
            Deed::Restart(index) => self.restart(index),
            Deed::Pause(index) => self.world.pause(id(index)),
            Deed::Resume(index) => self.world.resume(id(index)),
            Deed::Cut(from, to) => link(&mut self.world, from, to, Link::Cut),
            Deed::Clog(from, to) => link(&mut self.world, from, to, Link::Clogged),
            Deed::Open(from, to) => link(&mut self.world, from, to, Link::Open),
        }
    }

    fn write(&mut self, index: usize, key: u8, value: Option<u8>) {
        let id = ProcessId::new(index);
        if self.world.node(id).is_none() || self.world.is_paused(id) {
            return;
        }
        let value = value.map(|value| Bytes::from(value.to_string()));
        self.world.act(id, |ctl, app| app.write(ctl, &[key + b'a'], value).unwrap());
    }

    /// Whether a replica has a value for a key.
    fn reads(&self, index: usize, key: u8) -> bool {
        let app = self.world.app(ProcessId::new(index)).unwrap();
        let entry = app.peer().replica().store().entry(&[key + b'a']);
        entry.is_some_and(|entry| entry.value.is_some())
    }

    fn restart(&mut self, index: usize) {
        let id = ProcessId::new(index);
        if self.world.node(id).is_none() {
            let app = SimNode::new(Peer::new(self.mode, None));
            self.world.restart(id, params(self.mode, index), app);
            self.introduce(index);
        }
    }

    /// Lets time pass, and looks every now and then whether a replica has forgotten something.
    fn run(&mut self, duration: Duration) -> Result<(), TestCaseError> {
        let (end, step) = (self.world.now() + duration, Duration::from_millis(50));
        loop {
            for index in 0..NODES {
                self.look(index)?;
            }
            let left = end.saturating_since(self.world.now());
            if left.is_zero() {
                return Ok(());
            }
            self.world.run_for(left.min(step));
        }
    }

    fn look(&mut self, index: usize) -> Result<(), TestCaseError> {
        let Some(app) = self.world.app(ProcessId::new(index)) else { return Ok(()) };
        let store = app.peer().replica().store();
        for (key, before) in &self.held[index] {
            let now = store.entry(key);
            let version = now.map(|entry| &entry.version);
            prop_assert!(
                version >= Some(&before.version),
                "replica {index} fell back: {key:?} was {before:?}, is {now:?}"
            );
            let is_alike = now.is_none_or(|now| !now.conflicts_with(before));
            prop_assert!(is_alike, "one version, two values: {before:?}, {now:?}");
        }
        self.held[index] = store.iter().map(|(key, entry)| (key.clone(), entry.clone())).collect();
        Ok(())
    }

    fn heal(&mut self) {
        *self.world.network_mut() = self.world.network_mut().healed();
        self.world.open_links();
        for index in 0..NODES {
            self.world.resume(ProcessId::new(index));
            self.restart(index);
        }
        let seeds = [0, 1].map(|index| self.world.addr(ProcessId::new(index)));
        for id in self.world.ids() {
            self.world.act(id, |ctl, _| ctl.act(|node, now| node.join(now, &seeds)));
        }
    }
}

fn params(mode: Mode, index: usize) -> Params {
    let links = [(index + 1) % NODES, (index + NODES - 1) % NODES];
    let plain = Params::try_from(Config::lan()).unwrap();
    let mut settings = Settings::new(Preset::Lan, mode, Overrides::default());
    settings.neighbors =
        links.iter().map(|&end| Spawn::numbered(end, plain.clone()).addr).collect();
    let config = Config {
        push_pull_interval: Some(SECOND),
        join_retry_max: 2 * SECOND,
        ..settings.config()
    };
    Params::try_from(config).unwrap()
}
