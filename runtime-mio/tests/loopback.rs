//! Real sockets on loopback.

#![allow(clippy::unwrap_used, reason = "this is test code")]

use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use bytes::Bytes;
use rumormill::{
    Channel, Config, Delivery, Event, Fact, MemberState, Mode, Node, NodeName, Params,
};
use rumormill_mio::{App, Ctl, HandleError, NodeKey, NodeOptions, Runtime, StartError};

/// No test waits longer than this for its condition; none waits this long when all is well.
const PATIENCE: Duration = Duration::from_secs(30);
const CHANNEL: Channel = Channel(1);

/// Keeps what it hears.
#[derive(Default)]
struct Log {
    facts: Vec<(NodeKey, Fact)>,
    commands: Vec<u32>,
}

impl App for Log {
    type Command = u32;

    fn on_event(&mut self, _: &mut Ctl<'_>, node: NodeKey, event: Event) {
        self.facts.push((node, event.fact));
    }

    fn on_command(&mut self, ctl: &mut Ctl<'_>, command: u32) {
        self.commands.push(command);
        if command == 0 {
            ctl.stop();
        }
    }
}

type World = Runtime<Log>;

fn world() -> World {
    Runtime::new(Log::default()).unwrap().0
}

fn fast() -> Config {
    Config {
        gossip_interval: Some(Duration::from_millis(20)),
        // The preset's two copies per node would miss one of four nodes in one run of nine.
        rumor_retransmit_mult: 16,
        ..Config::local()
    }
}

fn options(name: &str, bind: &str, config: Config) -> NodeOptions {
    let name = NodeName::new(name).unwrap();
    NodeOptions::new(name, bind.parse().unwrap(), Params::try_from(config).unwrap())
}

fn add(world: &mut World, name: &str, bind: &str) -> NodeKey {
    world.add(options(name, bind, fast())).unwrap()
}

/// Turns the loop until the condition holds.
#[track_caller]
fn wait(world: &mut World, what: &str, reached: impl Fn(&World) -> bool) {
    let clock = rumormill_mio::Clock::start();
    while !reached(world) {
        let waited = Duration::from_micros(clock.now().as_micros());
        assert!(waited < PATIENCE, "waited in vain: {what}");
        world.turn(Some(Duration::from_millis(10))).unwrap();
    }
}

fn join(world: &mut World, node: NodeKey, seed: SocketAddr) {
    world.act(node, |node, now| node.join(now, &[seed]));
}

#[test]
fn two_nodes_join_over_both_families() {
    for bind in ["127.0.0.1:0", "[::1]:0"] {
        let mut world = world();
        let (a, b) = (add(&mut world, "a", bind), add(&mut world, "b", bind));
        let seed = world.local_addr(a);
        join(&mut world, b, seed);
        wait(&mut world, "both know each other", |world| {
            world.node(a).live_members() == 2 && world.node(b).live_members() == 2
        });
        assert_eq!(world.node(b).member(b"a").unwrap().addr, seed);
    }
}

#[test]
fn an_unspecified_v6_address_serves_both_families() {
    let mut world = world();
    let mut dual = options("dual", "[::]:0", fast());
    dual.advertise = Some("127.0.0.1:0".parse().unwrap());
    let dual = world.add(dual).unwrap();
    let v4 = add(&mut world, "v4", "127.0.0.1:0");
    let seed = SocketAddr::new("127.0.0.1".parse().unwrap(), world.local_addr(dual).port());
    join(&mut world, v4, seed);
    wait(&mut world, "they know each other", |world| {
        world.node(dual).live_members() == 2 && world.node(v4).live_members() == 2
    });
    wait(&mut world, "probes pass in both directions", |world| {
        let probed = |key| world.node(key).stats().probes > 1;
        probed(dual) && probed(v4)
    });
    for key in [dual, v4] {
        assert_eq!(world.node(key).stats().probes_failed, 0);
    }
}

#[test]
fn a_node_is_known_by_the_address_that_it_advertises() {
    let mut world = world();
    let a = add(&mut world, "a", "127.0.0.1:0");
    let mut hidden = options("hidden", "0.0.0.0:0", fast());
    hidden.advertise = Some("127.0.0.2:0".parse().unwrap());
    let hidden = world.add(hidden).unwrap();
    let port = world.local_addr(hidden).port();
    let seed = world.local_addr(a);
    join(&mut world, hidden, seed);
    wait(&mut world, "the seed knows it", |world| world.node(a).live_members() == 2);
    let known = world.node(a).member(b"hidden").unwrap().addr;
    assert_eq!(known, SocketAddr::from(([127, 0, 0, 2], port)));
    wait(&mut world, "it is probed there", |world| world.node(a).stats().probes > 1);
    assert_eq!(world.node(a).stats().probes_failed, 0);
}

#[test]
fn rumours_and_messages_cross_real_sockets() {
    let mut world = world();
    let keys: Vec<_> =
        (0..4).map(|index| add(&mut world, &format!("n{index}"), "127.0.0.1:0")).collect();
    let seed = world.local_addr(keys[0]);
    for &key in &keys[1..] {
        join(&mut world, key, seed);
    }
    wait(&mut world, "all know all", |world| {
        keys.iter().all(|&key| world.node(key).live_members() == 4)
    });
    world.app_mut().facts.clear();
    world.act(keys[1], |node, now| node.broadcast(now, CHANNEL, b"news")).unwrap();
    let heard = |world: &World| {
        let news = |fact: &Fact| matches!(fact, Fact::Rumor { payload, .. } if payload == "news");
        world.app().facts.iter().filter(|(_, fact)| news(fact)).count()
    };
    wait(&mut world, "everybody heard it", |world| heard(world) == 3);
    let long = Bytes::from(vec![7; 2 << 20]);
    let to = NodeName::new("n3").unwrap();
    world
        .act(keys[0], |node, now| node.send(now, &to, CHANNEL, &long, Delivery::Reliable))
        .unwrap();
    wait(&mut world, "two megabytes arrived", |world| {
        world.app().facts.iter().any(|(key, fact)| {
            *key == keys[3] && matches!(fact, Fact::Message { payload, .. } if *payload == long)
        })
    });
    assert_eq!(heard(&world), 3, "once each");
}

#[test]
fn a_large_state_crosses_a_stream_whose_peer_reads_slowly() {
    let mut world = world();
    let (a, b) = (add(&mut world, "a", "127.0.0.1:0"), add(&mut world, "b", "127.0.0.1:0"));
    let state = Bytes::from(vec![1; 8 << 20]);
    world.act(a, |node, _| node.set_channel_state(CHANNEL, state.clone()));
    let seed = world.local_addr(a);
    join(&mut world, b, seed);
    wait(&mut world, "eight megabytes arrived", |world| {
        world.app().facts.iter().any(|(key, fact)| {
            *key == b && matches!(fact, Fact::PeerState { bytes, .. } if *bytes == state)
        })
    });
}

#[test]
fn a_stopped_process_is_found_dead_and_a_leaving_one_left() {
    let (mut stays, mut goes) = (world(), world());
    let quick = Config {
        probe_interval: Some(Duration::from_millis(100)),
        probe_timeout: Duration::from_millis(50),
        ..fast()
    };
    let a = stays.add(options("a", "127.0.0.1:0", quick.clone())).unwrap();
    let b = stays.add(options("b", "127.0.0.1:0", quick.clone())).unwrap();
    let c = goes.add(options("c", "127.0.0.1:0", quick)).unwrap();
    let seed = stays.local_addr(a);
    join(&mut stays, b, seed);
    goes.act(c, |node, now| node.join(now, &[seed]));
    let both = |stays: &mut World, goes: &mut World, reached: &dyn Fn(&World, &World) -> bool| {
        let clock = rumormill_mio::Clock::start();
        while !reached(stays, goes) {
            assert!(clock.now().as_micros() < 30_000_000, "waited in vain");
            stays.turn(Some(Duration::from_millis(2))).unwrap();
            goes.turn(Some(Duration::from_millis(2))).unwrap();
        }
    };
    both(&mut stays, &mut goes, &|stays, goes| {
        stays.node(a).live_members() == 3
            && stays.node(b).live_members() == 3
            && goes.node(c).live_members() == 3
    });
    stays.act(b, Node::leave);
    both(&mut stays, &mut goes, &|stays, goes| {
        let left = |node: &Node| node.member(b"b").unwrap().state == MemberState::Left;
        left(stays.node(a)) && left(goes.node(c))
    });
    drop(goes);
    wait(&mut stays, "the silent one is condemned", |world| {
        world.node(a).member(b"c").unwrap().state == MemberState::Dead
    });
}

/// Consul's servers are members of a LAN pool and of a WAN pool: one loop, two nodes of one
/// application, with other parameters, members and labels.
#[test]
fn one_loop_drives_a_node_of_a_lan_and_one_of_a_wan_pool() {
    let pool = |label: &str, preset: Config| Config {
        label: label.into(),
        gossip_interval: Some(Duration::from_millis(20)),
        ..preset
    };
    let (lan, wan) = (pool("lan", Config::lan()), pool("wan", Config::wan()));
    let mut server = world();
    let in_lan = server.add(options("server", "127.0.0.1:0", lan.clone())).unwrap();
    let in_wan = server.add(options("server.dc1", "127.0.0.1:0", wan.clone())).unwrap();
    let client = server.add(options("client", "127.0.0.1:0", lan)).unwrap();
    let remote = server.add(options("server.dc2", "127.0.0.1:0", wan)).unwrap();
    let (lan_seed, wan_seed) = (server.local_addr(in_lan), server.local_addr(in_wan));
    join(&mut server, client, lan_seed);
    join(&mut server, remote, wan_seed);
    wait(&mut server, "both pools are whole", |server| {
        [in_lan, in_wan, client, remote].iter().all(|&key| server.node(key).live_members() == 2)
    });
    assert!(server.node(in_lan).member(b"server.dc2").is_none(), "the pools do not mix");
    assert!(server.node(in_wan).member(b"client").is_none(), "the pools do not mix");
    server.app_mut().facts.clear();
    server.act(in_lan, |node, now| node.broadcast(now, CHANNEL, b"lan news")).unwrap();
    server.act(in_wan, |node, now| node.broadcast(now, CHANNEL, b"wan news")).unwrap();
    let heard = |server: &World, key: NodeKey, news: &'static [u8]| {
        server.app().facts.iter().any(|(at, fact)| {
            *at == key && matches!(fact, Fact::Rumor { payload, .. } if *payload == news)
        })
    };
    wait(&mut server, "each pool has its own news", |server| {
        heard(server, client, b"lan news") && heard(server, remote, b"wan news")
    });
    assert!(!heard(&server, client, b"wan news") && !heard(&server, remote, b"lan news"));
}

#[test]
fn commands_come_in_from_other_threads_and_are_limited() {
    let (mut world, handle) = Runtime::new(Log::default()).unwrap();
    let sender = handle.clone();
    let thread = std::thread::spawn(move || {
        for command in (0..10).rev() {
            sender.send(command).unwrap();
        }
    });
    world.run().unwrap();
    thread.join().unwrap();
    assert_eq!(world.app().commands, (0..10).rev().collect::<Vec<_>>());
    let refused = (0..2_000).find_map(|command| handle.send(command).err());
    assert_eq!(refused, Some(HandleError::Full(1_024)));
    drop(world);
    assert_eq!(handle.send(7), Err(HandleError::Stopped(7)));
}

#[test]
fn a_port_that_is_taken_is_refused_and_nothing_stays_bound() {
    let mut world = world();
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap();
    let error = world.add(options("a", &addr.to_string(), fast())).unwrap_err();
    assert!(matches!(error, StartError::AddressInUse { protocol: "UDP", .. }));
    assert!(error.to_string().contains("bind another port"), "{error}");
    drop(taken);
    world.add(options("a", &addr.to_string(), fast())).unwrap();
}

#[test]
fn garbage_from_strangers_changes_nothing() {
    let mut world = world();
    let a = add(&mut world, "a", "127.0.0.1:0");
    let addr = world.local_addr(a);
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    for len in 0..200 {
        let noise: Vec<u8> = (0..len).map(|byte: u8| byte.wrapping_mul(37)).collect();
        stranger.send_to(&noise, addr).unwrap();
    }
    let mut stream = TcpStream::connect(addr).unwrap();
    std::io::Write::write_all(&mut stream, b"GET / HTTP/1.1\r\n\r\n").unwrap();
    wait(&mut world, "all of it was read", |world| {
        let stats = world.node(a).stats();
        stats.packets_received == 200 && stats.streams_failed == 1
    });
    assert_eq!(world.node(a).members().count(), 1);
    let mut rest = Vec::new();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let _ = std::io::Read::read_to_end(&mut stream, &mut rest);
    assert!(rest.is_empty(), "the stream was closed without a word");
}

#[test]
fn streams_beyond_the_limit_are_hung_up() {
    let mut world = world();
    let config = Config { streams_max: 16, streams_per_peer_max: 3, ..fast() };
    let a = world.add(options("a", "127.0.0.1:0", config)).unwrap();
    let addr = world.local_addr(a);
    let idle: Vec<_> = (0..5).map(|_| TcpStream::connect(addr).unwrap()).collect();
    wait(&mut world, "two were hung up", |world| world.stats().streams_hung_up == 2);
    assert_eq!(world.node(a).stats().streams_refused, 2);
    drop(idle);
}

#[test]
fn matching_mode_forwards_at_once_over_real_sockets() {
    let mut world = world();
    let keys: Vec<_> =
        (0..5).map(|index| add(&mut world, &format!("n{index}"), "127.0.0.1:0")).collect();
    let addrs: Vec<_> = keys.iter().map(|&key| world.local_addr(key)).collect();
    for (index, &key) in keys.iter().enumerate() {
        let ends = [index.checked_sub(1), Some(index + 1)];
        let neighbors = ends.into_iter().flatten().filter_map(|end| addrs.get(end).copied());
        let config = Config {
            rumor_mode: Mode::Matching,
            neighbors: neighbors.collect(),
            rumor_piggyback: false,
            ..fast()
        };
        let params = Params::try_from(config).unwrap();
        world.act(key, |node, now| node.set_params(now, params));
        join(&mut world, key, addrs[0]);
    }
    wait(&mut world, "all know all", |world| {
        keys.iter().all(|&key| world.node(key).live_members() == 5)
    });
    world.app_mut().facts.clear();
    world.act(keys[0], |node, now| node.broadcast(now, CHANNEL, b"news")).unwrap();
    wait(&mut world, "the end of the bus has it", |world| {
        world
            .app()
            .facts
            .iter()
            .any(|(key, fact)| *key == keys[4] && matches!(fact, Fact::Rumor { hop: Some(4), .. }))
    });
}
