//! The store in the simulator: whatever is written, deleted and lost, replicas end up the same.

#![allow(clippy::unwrap_used, reason = "this is test code")]

use core::time::Duration;

use bytes::Bytes;
use kv_demo::config::Mode;
use kv_demo::peer::Peer;
use kv_demo::settings::{Settings, base};
use kv_demo::sim_node::SimNode;
use proptest::collection::vec;
use proptest::prelude::*;
use rumormill::{Config, Params};
use rumormill_sim::{Latency, Network, ProcessId, Ratio, Spawn, World};

const SECOND: Duration = Duration::from_secs(1);
/// Rounds of push/pull until all know all: each node asks another one per round, so that in each at
/// least a part of the ignorant learns; forty rounds fail once in some billions.
const ROUNDS: u32 = 40;

/// A write of a key by a node; without a value, a delete.
#[derive(Clone, Debug)]
struct Deed {
    node: usize,
    key: u8,
    value: Option<u8>,
    pause: Duration,
}

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let deed = (0..5_usize, 0..4_u8, any::<Option<u8>>(), 0..700_u64).prop_map(
        |(node, key, value, pause)| Deed { node, key, value, pause: Duration::from_millis(pause) },
    );
    vec(deed, 0..12)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    #[test]
    fn replicas_agree_once_links_have_healed_in_every_mode(
        seed: u64, mode in 0..4_usize, loss in 0..=30_u32, deeds in deeds(),
    ) {
        let mut world = cluster(seed, Mode::ALL[mode], 5);
        world.network_mut().loss = Ratio::percent(loss);
        for deed in &deeds {
            write(&mut world, deed);
            world.run_for(deed.pause);
        }
        world.network_mut().loss = Ratio::ZERO;
        let agreed = world.run_until(ROUNDS * SECOND, |world| {
            let first = contents(world, 0);
            (1..5).all(|index| contents(world, index) == first)
        });
        prop_assert!(agreed, "{:?}", (0..5).map(|index| contents(&world, index)).collect::<Vec<_>>());
        // The last writer of a key wins where clocks agree, as they do here.
        for key in 0..4 {
            let last = deeds.iter().rfind(|deed| deed.key == key);
            let value = last.and_then(|deed| deed.value).map(|value| vec![value]);
            let found = world.app(ProcessId::new(0)).unwrap();
            let entry = found.peer().replica().store().entry(&[key + b'a']);
            let entry = entry.and_then(|entry| entry.value.as_ref().map(|value| value.to_vec()));
            prop_assert_eq!(entry, value.map(|value| format!("{}", value[0]).into_bytes()));
        }
    }
}

fn cluster(seed: u64, mode: Mode, size: usize) -> World<SimNode> {
    let latency = Latency::Uniform(Duration::from_millis(3));
    let mut world = World::new(seed, Network { latency, ..Network::default() });
    for index in 0..size {
        let links = [(index + 1) % size, (index + size - 1) % size];
        let spawn = Spawn::numbered(index, params(mode, &links));
        let id = world.spawn(spawn, SimNode::new(Peer::new(mode, None)));
        world.act(id, |ctl, app| app.adopt(ctl.now(), ctl.node(), "node"));
    }
    let seeds = [world.addr(ProcessId::new(0))];
    for id in world.ids() {
        world.act(id, |ctl, _| ctl.act(|node, now| node.join(now, &seeds)));
    }
    let met = world.run_until(30 * SECOND, |world| {
        world.ids().all(|id| world.node(id).is_some_and(|node| node.live_members() == size))
    });
    assert!(met, "all nodes see all nodes");
    world
}

fn params(mode: Mode, links: &[usize]) -> Params {
    let overrides = kv_demo::config::Overrides::default();
    let mut settings = Settings::new(kv_demo::config::Preset::Lan, mode, overrides);
    settings.neighbors = links.iter().map(|&end| Spawn::numbered(end, plain()).addr).collect();
    let config = Config { push_pull_interval: Some(SECOND), ..settings.config() };
    Params::try_from(config).unwrap()
}

fn plain() -> Params {
    Params::try_from(base(kv_demo::config::Preset::Lan)).unwrap()
}

fn write(world: &mut World<SimNode>, deed: &Deed) {
    let value = deed.value.map(|value| Bytes::from(value.to_string()));
    world.act(ProcessId::new(deed.node), |ctl, app| {
        app.write(ctl, &[deed.key + b'a'], value).unwrap();
    });
    // Two writes of one millisecond are concurrent, and either may win.
    world.run_for(Duration::from_millis(2));
}

/// What a node's push/pulls would tell: the whole store.
fn contents(world: &World<SimNode>, index: usize) -> Option<Bytes> {
    world.app(ProcessId::new(index)).and_then(|app| app.peer().state())
}
