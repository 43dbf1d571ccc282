//! What a world does: time, links, crashes, streams.

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "this is test code")]

use core::time::Duration;

use rumormill::{BootEpoch, Channel, Config, Delivery, Event, Fact, MemberState, Params};
use rumormill_sim::{App, Ctl, Latency, Network, ProcessId, Ratio, Spawn, World};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// Keeps what its node tells.
#[derive(Debug, Default)]
struct Notebook(Vec<Event>);

impl App for Notebook {
    fn on_event(&mut self, _: &mut Ctl<'_>, event: Event) {
        self.0.push(event);
    }
}

#[test]
fn a_datagram_arrives_after_exactly_the_delay_of_its_link() {
    let mut world = joined(2, Network { latency: Latency::Uniform(40 * MS), ..quiet() });
    let (a, b) = (ProcessId::new(0), ProcessId::new(1));
    let name = world.name(b).clone();
    let sent_at = world.now();
    world.act(a, |ctl, _| {
        ctl.act(|node, now| node.send(now, &name, Channel(3), b"x", Delivery::BestEffort)).unwrap();
    });
    assert!(world.run_until(SECOND, |world| message(world, b).is_some()));
    assert_eq!(world.now().saturating_since(sent_at), 40 * MS);
}

#[test]
fn a_reliable_message_of_many_pieces_arrives_whole_and_in_order_whatever_the_jitter() {
    let network = Network { latency: Latency::Uniform(MS), jitter: 30 * MS, ..quiet() };
    let mut world = joined(2, network);
    let (a, b) = (ProcessId::new(0), ProcessId::new(1));
    let name = world.name(b).clone();
    let payload: Vec<u8> = (0..200_000_u32).map(|i| (i % 251) as u8).collect();
    world.act(a, |ctl, _| {
        let send = |node: &mut rumormill::Node, now| {
            node.send(now, &name, Channel(3), &payload, Delivery::Reliable)
        };
        ctl.act(send).unwrap();
    });
    assert!(world.run_until(5 * SECOND, |world| message(world, b).is_some()));
    assert!(message(&world, b) == Some(payload));
}

#[test]
fn links_that_lose_every_datagram_keep_nodes_together_by_streams() {
    let mut world = world(2, Network { loss: Ratio::ONE, ..quiet() });
    join_all(&mut world);
    // The push/pull of a join is a stream, which whoever carries it repeats until it arrives.
    assert!(world.run_until(5 * SECOND, |world| sees(world, 0) == 2));
    let by_stream = |world: &World<Notebook>| {
        world.node(ProcessId::new(0)).unwrap().stats().probes_by_stream_only
    };
    assert!(world.run_until(60 * SECOND, |world| by_stream(world) >= 10), "its probes are lost");
    assert_eq!(sees(&world, 0), 2);
    assert!(world.stats().lost > 0);
    assert_eq!(world.stats().lost, world.stats().datagrams);
}

#[test]
fn a_crashed_process_is_missed_and_welcome_when_it_starts_anew() {
    let mut world = joined(3, quiet());
    let (a, c) = (ProcessId::new(0), ProcessId::new(2));
    assert!(world.crash(c).is_some());
    assert!(world.crash(c).is_none(), "it is down already");
    assert!(world.run_until(60 * SECOND, |world| sees(world, 0) == 2));
    world.restart(c, params(), Notebook::default());
    let seed = world.addr(a);
    world.act(c, |ctl, _| ctl.act(|node, now| node.join(now, &[seed])));
    assert!(world.run_until(30 * SECOND, |world| sees(world, 0) == 3 && sees(world, 2) == 3));
    let name = world.name(c).as_bytes().to_vec();
    let state = world.node(a).and_then(|node| node.member(&name)).map(|member| member.state);
    assert_eq!(state, Some(MemberState::Alive));
    assert_eq!((world.stats().crashes, world.stats().restarts), (1, 1));
}

#[test]
fn a_life_begins_with_the_seconds_and_prevails_over_an_earlier_one_of_the_same_second() {
    let mut world = world(3, quiet());
    let c = ProcessId::new(2);
    let name = world.name(c).as_bytes().to_vec();
    let begins = |world: &World<Notebook>| world.node(c).unwrap().local().incarnation.0;
    join_all(&mut world);
    world.run_for(300 * MS);
    assert_eq!((begins(&world), sees(&world, 0)), (1, 3));
    world.crash(c);
    world.restart(c, params(), Notebook::default());
    assert_eq!(begins(&world), 1, "what runtime-mio would begin with");
    let seed = world.addr(ProcessId::new(0));
    world.act(c, |ctl, _| ctl.act(|node, now| node.join(now, &[seed])));
    let know_it = |world: &World<Notebook>| {
        [0, 1].iter().all(|&index| {
            let node = world.node(ProcessId::new(index)).unwrap();
            let advert = node.member(&name).and_then(|member| member.advert);
            advert.is_some_and(|advert| advert.epoch == BootEpoch(2))
        })
    };
    assert!(!know_it(&world));
    assert!(world.run_until(30 * SECOND, know_it));
    world.run_for(5 * SECOND);
    world.crash(c);
    let now = world.now().as_micros() / 1_000_000;
    world.restart(c, params(), Notebook::default());
    assert_eq!(u64::from(begins(&world)), now + 1);
}

#[test]
fn a_stream_to_a_crashed_process_fails_and_one_to_nobody_too() {
    let mut world = world(2, Network { latency: Latency::Uniform(5 * MS), ..quiet() });
    let (a, b) = (ProcessId::new(0), ProcessId::new(1));
    world.crash(b);
    let nobody = "192.0.2.1:7946".parse().unwrap();
    let seeds = [world.addr(b), nobody];
    world.act(a, |ctl, _| ctl.act(|node, now| node.join(now, &seeds)));
    let failed = |world: &World<Notebook>| {
        let events = &world.app(a).unwrap().0;
        events.iter().filter(|event| matches!(event.fact, Fact::SeedFailed { .. })).count()
    };
    assert!(world.run_until(SECOND, |world| failed(world) == 2));
}

#[test]
fn a_process_that_dies_in_mid_call_takes_the_stream_along() {
    let mut world = joined(2, Network { latency: Latency::Uniform(50 * MS), ..quiet() });
    let (a, b) = (ProcessId::new(0), ProcessId::new(1));
    let name = world.name(b).clone();
    world.act(a, |ctl, _| {
        let payload = vec![1; 100_000];
        let send = |node: &mut rumormill::Node, now| {
            node.send(now, &name, Channel(3), &payload, Delivery::Reliable)
        };
        ctl.act(send).unwrap();
    });
    // The call has arrived; word that it was answered is on its way, and nothing was written yet.
    world.run_for(80 * MS);
    let failed_before = world.node(b).unwrap().stats().streams_failed;
    world.crash(a);
    let failed = |world: &World<Notebook>| world.node(b).unwrap().stats().streams_failed;
    assert!(world.run_until(SECOND, |world| failed(world) > failed_before));
    assert!(message(&world, b).is_none());
}

#[test]
fn a_call_whose_caller_has_given_up_fails_as_soon_as_it_is_taken() {
    // Longer than a node waits for its call to be answered.
    let mut world = world(2, Network { latency: Latency::Uniform(12 * SECOND), ..quiet() });
    let (a, b) = (ProcessId::new(0), ProcessId::new(1));
    let failed = |world: &World<Notebook>, id| world.node(id).unwrap().stats().streams_failed;
    let seed = world.addr(a);
    world.act(b, |ctl, _| ctl.act(|node, now| node.join(now, &[seed])));
    world.run_for(11 * SECOND);
    assert_eq!((failed(&world, b), world.stats().streams), (1, 0), "the caller gives up first");
    assert!(world.run_until(2 * SECOND, |world| world.stats().streams == 1));
    let taken_at = world.now();
    assert!(world.run_until(SECOND, |world| failed(world, a) == 1));
    assert_eq!(world.now(), taken_at);
}

#[test]
fn doubled_and_late_datagrams_do_no_harm_and_are_counted() {
    let network = Network {
        latency: Latency::Uniform(2 * MS),
        duplication: Ratio::percent(50),
        reordering: Ratio::percent(30),
        ..quiet()
    };
    let mut world = joined(8, network);
    world.run_for(20 * SECOND);
    assert!(world.ids().all(|id| sees(&world, id.index()) == 8));
    assert!(world.stats().duplicated > 0);
    assert_eq!(world.stats().refused, 0);
}

#[test]
fn runs_that_differ_only_in_who_sent_a_datagram_have_different_hashes() {
    let run = |sender| {
        let mut world = at_rest(Network { latency: Latency::Uniform(5 * MS), ..quiet() });
        send_to_the_third(&mut world, ProcessId::new(sender));
        world.run_for(SECOND);
        let last = world.app(ProcessId::new(2)).unwrap().0.last().map(|event| event.fact.clone());
        (world.hash(), *world.stats(), format!("{last:?}"))
    };
    let ((hash, stats, event), (other_hash, other_stats, other_event)) = (run(0), run(1));
    assert_eq!(stats, other_stats);
    assert_ne!(event, other_event, "the message says who sent it");
    assert_ne!(hash, other_hash);
}

#[test]
fn runs_that_differ_only_in_datagrams_that_nobody_got_have_different_hashes() {
    let run = |sends, is_down| {
        let mut world = at_rest(Network { latency: Latency::Uniform(5 * MS), ..quiet() });
        if is_down {
            world.crash(ProcessId::new(2));
        } else {
            world.network_mut().loss = Ratio::ONE;
        }
        for _ in 0..sends {
            send_to_the_third(&mut world, ProcessId::new(0));
        }
        world.run_for(SECOND);
        world.hash()
    };
    for is_down in [false, true] {
        assert_eq!(run(1, is_down), run(1, is_down));
        assert_ne!(run(0, is_down), run(1, is_down));
        assert_ne!(run(1, is_down), run(2, is_down));
    }
}

#[test]
fn time_moves_on_when_nothing_happens() {
    let mut world: World<Notebook> = World::new(1, Network::default());
    world.run_for(3 * SECOND);
    assert_eq!(world.now().as_micros(), 3_000_000);
    assert!(!world.run_until(SECOND, |_| false));
    assert_eq!(world.now().as_micros(), 4_000_000);
    assert_eq!(world.step(), None);
}

#[test]
fn a_wait_that_looks_seldom_ends_at_a_look_or_at_its_limit() {
    let mut world: World<Notebook> = World::new(1, Network::default());
    let mut looks = 0;
    let reached = |world: &World<Notebook>| {
        looks += 1;
        world.now().as_micros() > 12_000
    };
    assert!(world.run_until_seen(SECOND, 5 * MS, reached));
    assert_eq!((world.now().as_micros(), looks), (15_000, 4));
    assert!(!world.run_until_seen(7 * MS, 5 * MS, |_| false));
    assert_eq!(world.now().as_micros(), 22_000);
    let at_the_limit = |world: &World<Notebook>| world.now().as_micros() == 29_000;
    assert!(world.run_until_seen(7 * MS, 5 * MS, at_the_limit));
}

fn quiet() -> Network {
    Network::default()
}

fn params() -> Params {
    Params::try_from(Config { push_pull_interval: Some(SECOND), ..Config::lan() }).unwrap()
}

fn world(size: usize, network: Network) -> World<Notebook> {
    let mut world = World::new(11, network);
    for index in 0..size {
        world.spawn(Spawn::numbered(index, params()), Notebook::default());
    }
    world
}

fn join_all(world: &mut World<Notebook>) {
    let seed = world.addr(ProcessId::new(0));
    for id in world.ids() {
        world.act(id, |ctl, _| ctl.act(|node, now| node.join(now, &[seed])));
    }
}

fn joined(size: usize, network: Network) -> World<Notebook> {
    let mut world = world(size, network);
    join_all(&mut world);
    let met =
        world.run_until(60 * SECOND, |world| world.ids().all(|id| sees(world, id.index()) == size));
    assert!(met, "all nodes see all nodes");
    world
}

/// Three nodes that know each other, and say nothing unless told to.
fn at_rest(network: Network) -> World<Notebook> {
    let mut world = World::new(3, network);
    let silent = Config { probe_interval: None, push_pull_interval: None, ..Config::lan() };
    let params = Params::try_from(silent).unwrap();
    for index in 0..3 {
        world.spawn(Spawn::numbered(index, params.clone()), Notebook::default());
    }
    join_all(&mut world);
    world.run_for(30 * SECOND);
    assert!(world.ids().all(|id| sees(&world, id.index()) == 3));
    world
}

fn send_to_the_third(world: &mut World<Notebook>, sender: ProcessId) {
    let name = world.name(ProcessId::new(2)).clone();
    world.act(sender, |ctl, _| {
        ctl.act(|node, now| node.send(now, &name, Channel(3), b"x", Delivery::BestEffort)).unwrap();
    });
}

fn sees(world: &World<Notebook>, index: usize) -> usize {
    world.node(ProcessId::new(index)).map_or(0, rumormill::Node::live_members)
}

fn message(world: &World<Notebook>, id: ProcessId) -> Option<Vec<u8>> {
    world.app(id)?.0.iter().find_map(|event| match &event.fact {
        Fact::Message { payload, .. } => Some(payload.to_vec()),
        _ => None,
    })
}
