//! What a world does to single links and processes.

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "this is test code")]

use core::net::SocketAddr;
use core::time::Duration;

use rumormill::wire::message::{Message, Ping, Source};
use rumormill::{
    Channel, Config, Delivery, Event, Fact, Instant, MemberState, Node, NodeName, Params,
};
use rumormill_sim::{
    App, Bandwidth, Clock, Ctl, Latency, Link, Network, ProcessId, Ratio, Spawn, Streams, Watch,
    World,
};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const A: usize = 0;
const B: usize = 1;

/// The messages that a process got, with the time that its clock showed, and what survives a crash.
#[derive(Debug, Default)]
struct Inbox {
    messages: Vec<(Instant, Vec<u8>)>,
    saved: usize,
}

impl App for Inbox {
    fn on_event(&mut self, ctl: &mut Ctl<'_>, event: Event) {
        if let Fact::Message { payload, .. } = event.fact {
            self.messages.push((ctl.now(), payload.to_vec()));
        }
    }

    fn on_crash(&mut self) {
        self.messages.truncate(self.saved);
    }
}

/// Where datagrams came from and went to.
#[derive(Debug, Default)]
struct Log {
    sent: Vec<(ProcessId, SocketAddr)>,
    received: usize,
    lives: usize,
}

impl Watch for Log {
    fn started(&mut self, _: Instant, _: ProcessId, _: &Node) {
        self.lives += 1;
    }

    fn ended(&mut self, _: Instant, _: ProcessId, _: &Node) {
        self.lives -= 1;
    }

    fn sent(&mut self, _: Instant, id: ProcessId, _: &Node, to: SocketAddr, _: &[u8]) {
        self.sent.push((id, to));
    }

    fn received(&mut self, _: Instant, _: ProcessId, _: SocketAddr, _: &[u8]) {
        self.received += 1;
    }
}

type Quiet = World<Inbox, Log>;

#[test]
fn a_cut_link_loses_datagrams_one_way_and_lets_streams_wait() {
    let mut world = pair(Network::default());
    world.set_link(id(A), id(B), Link::Cut);
    tell(&mut world, A, b"lost", Delivery::BestEffort);
    tell(&mut world, A, b"late", Delivery::Reliable);
    tell(&mut world, B, b"back", Delivery::BestEffort);
    world.run_for(2 * SECOND);
    assert_eq!((texts(&world, A), texts(&world, B)), (vec![&b"back"[..]], vec![]));
    assert_eq!((world.stats().cut, world.stats().waited), (1, 1));
    world.open_links();
    world.run_for(SECOND);
    assert_eq!(texts(&world, B), [b"late"]);
}

#[test]
fn what_waits_on_a_clogged_link_arrives_in_order_when_it_opens() {
    let mut world = pair(Network { jitter: 50 * MS, ..Network::default() });
    world.set_link(id(A), id(B), Link::Clogged);
    for text in [b"1", b"2", b"3"] {
        tell(&mut world, A, text, Delivery::BestEffort);
        world.run_for(SECOND);
    }
    assert!(texts(&world, B).is_empty());
    world.set_link(id(A), id(B), Link::Open);
    world.run_for(SECOND);
    assert_eq!(texts(&world, B), [b"1", b"2", b"3"]);
}

#[test]
fn a_stream_over_a_link_that_stops_and_resumes_is_whole() {
    let network =
        Network { latency: Latency::Uniform(10 * MS), jitter: 9 * MS, ..Network::default() };
    let mut world = pair(network);
    let payload: Vec<u8> = (0..500_000_u32).map(|i| (i % 251) as u8).collect();
    tell(&mut world, A, &payload, Delivery::Reliable);
    for _ in 0..20 {
        for (from, to) in [(A, B), (B, A)] {
            world.set_link(id(from), id(to), Link::Clogged);
            world.run_for(7 * MS);
            world.set_link(id(from), id(to), Link::Open);
        }
        world.run_for(3 * MS);
    }
    world.run_for(SECOND);
    assert!(texts(&world, B) == [&payload[..]]);
}

#[test]
fn a_process_that_lags_is_heard_and_hears_later() {
    let mut world = pair(Network { latency: Latency::Uniform(MS), ..Network::default() });
    world.set_lag(id(B), 100 * MS);
    let sent_at = world.now();
    tell(&mut world, A, b"x", Delivery::BestEffort);
    tell(&mut world, B, b"y", Delivery::BestEffort);
    world.run_for(SECOND);
    for process in [A, B] {
        let arrived = world.app(id(process)).unwrap().messages[0].0;
        assert_eq!(arrived.saturating_since(sent_at), 101 * MS);
    }
    assert_eq!(world.stats().lagged, 2);
}

#[test]
fn a_process_loses_its_share_of_what_it_sends_and_of_what_comes() {
    let mut world = pair(Network::default());
    world.set_loss(id(B), Ratio::percent(50));
    for _ in 0..100 {
        tell(&mut world, A, b"there", Delivery::BestEffort);
        tell(&mut world, B, b"back", Delivery::BestEffort);
    }
    world.run_for(SECOND);
    for process in [A, B] {
        let got = texts(&world, process).len();
        assert!((30..70).contains(&got), "{got} of 100");
    }
    world.set_loss(id(B), Ratio::ZERO);
    let before = world.stats().lost;
    tell(&mut world, A, b"there", Delivery::BestEffort);
    world.run_for(SECOND);
    assert_eq!(world.stats().lost, before);
}

#[test]
fn a_narrow_link_spaces_datagrams_and_loses_what_its_queue_does_not_hold() {
    let mut world = pair(Network::default());
    let narrow = Bandwidth { bytes_per_second: 10_000, queue_bytes_max: 5_000 };
    world.set_bandwidth(id(A), Some(narrow));
    let payload = [7; 900];
    for _ in 0..10 {
        tell(&mut world, A, &payload, Delivery::BestEffort);
    }
    world.run_for(SECOND);
    let times: Vec<_> =
        world.app(id(B)).unwrap().messages.iter().map(|message| message.0).collect();
    assert_eq!(times.len(), 5, "about five kilobytes wait");
    for pair in times.windows(2) {
        let apart = pair[1].saturating_since(pair[0]);
        assert!((90 * MS..100 * MS).contains(&apart), "{apart:?}");
    }
    assert_eq!((world.stats().overflowed, world.stats().queued), (5, 4));
    world.set_bandwidth(id(A), None);
    tell(&mut world, A, b"free", Delivery::BestEffort);
    world.run_for(MS);
    assert_eq!(texts(&world, B).len(), 6);
}

#[test]
fn changed_bytes_are_noticed_between_nodes_that_check_sums() {
    let mut world = pair(Network { corruption: Ratio::ONE, ..Network::default() });
    for _ in 0..50 {
        tell(&mut world, A, b"precious", Delivery::BestEffort);
    }
    world.run_for(SECOND);
    assert_eq!(world.stats().corrupted, 50);
    assert!(!texts(&world, B).contains(&&b"precious"[..]));
}

#[test]
fn a_paused_process_finds_everything_at_once_when_it_goes_on() {
    let mut world = pair(Network::default());
    world.pause(id(B));
    assert!(world.is_paused(id(B)));
    for text in [b"1", b"2"] {
        tell(&mut world, A, text, Delivery::BestEffort);
        world.run_for(SECOND);
    }
    assert!(texts(&world, B).is_empty());
    let resumed_at = world.now();
    world.resume(id(B));
    world.run_for(MS);
    let inbox = &world.app(id(B)).unwrap().messages;
    assert_eq!(texts(&world, B), [b"1", b"2"]);
    assert!(inbox.iter().all(|message| message.0 == resumed_at));
    assert_eq!(world.stats().pauses, 1);
}

#[test]
fn a_process_that_does_not_read_has_a_bounded_buffer_and_its_crash_empties_it() {
    let mut world = pair(Network::default());
    world.pause(id(B));
    for _ in 0..400 {
        tell(&mut world, A, &[1; 1_000], Delivery::BestEffort);
        world.run_for(MS);
    }
    assert!(world.stats().overflowed > 150, "{:?}", world.stats());
    let unreachable = world.stats().unreachable;
    world.crash(id(B));
    world.run_for(MS);
    assert!(world.stats().unreachable > unreachable + 150);
}

#[test]
fn a_crash_loses_what_was_not_saved() {
    let mut world = pair(Network::default());
    for text in [b"1", b"2"] {
        tell(&mut world, A, text, Delivery::BestEffort);
        world.run_for(MS);
    }
    world.act(id(B), |_, inbox| inbox.saved = 1);
    assert_eq!(world.watch().lives, 2);
    let left = world.crash(id(B)).unwrap();
    assert_eq!((left.messages.len(), world.watch().lives), (1, 1));
}

#[test]
fn a_process_can_come_back_under_its_name_at_another_address() {
    let config = Config { reclaim_after: Some(SECOND), ..lively() };
    let mut world = World::new(3, Network::default());
    let params = Params::try_from(config).unwrap();
    for index in 0..3 {
        world.spawn(Spawn::numbered(index, params.clone()), Inbox::default());
    }
    let seed = world.addr(id(A));
    let join = |world: &mut World<Inbox>, process| {
        world.act(id(process), |ctl, _| ctl.act(|node, now| node.join(now, &[seed])));
    };
    join(&mut world, 1);
    join(&mut world, 2);
    world.run_for(5 * SECOND);
    world.crash(id(2));
    let moved: SocketAddr = "10.9.9.9:7946".parse().unwrap();
    world.restart_at(id(2), moved, params, Inbox::default());
    join(&mut world, 2);
    let name = world.name(id(2)).as_bytes().to_vec();
    let found = |world: &World<Inbox>| {
        let member = world.node(id(A)).unwrap().member(&name).unwrap();
        (member.addr, member.state) == (moved, MemberState::Alive)
    };
    assert!(world.run_until(60 * SECOND, found));
}

#[test]
fn clocks_run_apart_and_timers_follow_them() {
    let mut world = World::<Inbox, Log>::watched(5, Network::default(), Log::default());
    let clock = Clock::new(100 * SECOND, 100_000);
    let spawn = |index, clock| Spawn { clock, ..Spawn::numbered(index, params(lively())) };
    world.spawn(spawn(A, Clock::default()), Inbox::default());
    world.spawn(spawn(B, clock), Inbox::default());
    meet(&mut world);
    world.run_for(100 * SECOND);
    assert_eq!(world.local_now(id(B)), clock.read(world.now()));
    let probes = |process| world.node(id(process)).unwrap().stats().probes as f64;
    let ratio = probes(B) / probes(A);
    assert!((1.08..1.12).contains(&ratio), "{ratio}");
    let of = |process| world.node(id(process)).unwrap().local().incarnation.0;
    assert_eq!(of(B) - of(A), 100, "incarnations begin with the clock's seconds");
}

#[test]
fn reads_of_any_size_make_the_same_message() {
    for piece_max in [1, 2, 7, 1_000] {
        let streams = Streams { piece_max, ..Streams::default() };
        let mut world = pair(Network { streams, jitter: MS, ..Network::default() });
        let payload: Vec<u8> = (0..5_000_u32).map(|i| (i % 251) as u8).collect();
        tell(&mut world, A, &payload, Delivery::Reliable);
        world.run_for(SECOND);
        assert!(texts(&world, B) == [&payload[..]], "pieces of up to {piece_max} bytes");
        assert!(world.stats().splits > 0);
    }
}

#[test]
fn a_stream_that_breaks_fails_at_both_ends() {
    let streams = Streams { resets: Ratio::ONE, ..Streams::default() };
    let mut world = pair(Network { streams, ..Network::default() });
    let before = [A, B].map(|process| failed(&world, process));
    tell(&mut world, A, &[1; 50_000], Delivery::Reliable);
    world.run_for(MS);
    assert_eq!([A, B].map(|process| failed(&world, process) - before[process]), [1, 1]);
    assert_eq!((texts(&world, B).len(), world.stats().resets), (0, 1));
}

#[test]
fn a_black_hole_says_nothing_until_both_ends_lose_patience() {
    let mut world = pair(Network { latency: Latency::Uniform(MS), ..Network::default() });
    tell(&mut world, A, &[1; 50_000], Delivery::Reliable);
    // The call is taken; from now on it leads nowhere.
    world.run_for(MS);
    world.network_mut().streams.black_holes = Ratio::ONE;
    world.run_for(5 * SECOND);
    assert_eq!((failed(&world, A), failed(&world, B)), (0, 0));
    world.run_for(6 * SECOND);
    assert_eq!((failed(&world, B), texts(&world, B).len()), (1, 0));
    assert_eq!(world.stats().black_holes, 1);
}

#[test]
fn a_stranger_is_heard_and_answered_but_is_nobody() {
    let mut world = pair(Network::default());
    let stranger: SocketAddr = "192.0.2.1:9".parse().unwrap();
    let mut ping = Vec::new();
    Message::Ping(Ping { source: Source::default(), ..Ping::default() }).encode(&mut ping).unwrap();
    world.forge(stranger, id(B), &ping);
    world.run_for(MS);
    assert_eq!(world.watch().sent.last(), Some(&(id(B), stranger)));
    let stream = world.forge_call(stranger, id(B)).unwrap();
    world.forge_bytes(id(B), stream, b"\xffnonsense");
    world.run_for(MS);
    assert_eq!((failed(&world, B), world.stats().forged), (1, 3));
    assert_eq!(world.node(id(B)).unwrap().live_members(), 2);
}

fn id(index: usize) -> ProcessId {
    ProcessId::new(index)
}

/// Nodes that meet soon.
fn lively() -> Config {
    Config { push_pull_interval: Some(SECOND), ..Config::lan() }
}

fn params(config: Config) -> Params {
    Params::try_from(config).unwrap()
}

/// Two nodes that know each other, and say nothing unless told to.
fn pair(network: Network) -> Quiet {
    let mut world = World::watched(9, Network::default(), Log::default());
    let config = Config { probe_interval: None, push_pull_interval: None, ..Config::lan() };
    for index in [A, B] {
        world.spawn(Spawn::numbered(index, params(config.clone())), Inbox::default());
    }
    meet(&mut world);
    *world.network_mut() = network;
    world
}

fn meet(world: &mut Quiet) {
    let seed = world.addr(id(A));
    world.act(id(B), |ctl, _| ctl.act(|node, now| node.join(now, &[seed])));
    world.run_for(10 * SECOND);
    assert_eq!([A, B].map(|process| world.node(id(process)).unwrap().live_members()), [2, 2]);
}

/// One of the two tells the other something.
fn tell(world: &mut Quiet, from: usize, payload: &[u8], delivery: Delivery) {
    let name: NodeName = world.name(id(1 - from)).clone();
    let sent = world.act(id(from), |ctl, _| {
        ctl.act(|node, now| node.send(now, &name, Channel(3), payload, delivery))
    });
    sent.unwrap();
}

fn texts(world: &Quiet, process: usize) -> Vec<&[u8]> {
    let inbox = world.app(id(process)).unwrap();
    inbox.messages.iter().map(|message| &message.1[..]).collect()
}

fn failed(world: &Quiet, process: usize) -> u64 {
    world.node(id(process)).unwrap().stats().streams_failed
}
