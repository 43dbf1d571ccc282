//! Who gets which news, in which datagrams.

#![allow(clippy::unwrap_used, reason = "this is test code")]

mod util;

use std::time::Duration;

use bytes::Bytes;
use rumormill::wire::Sink;
use rumormill::wire::message::{Message, MessageType};
use rumormill::wire::packet::{Checksum, PacketWriter};
use rumormill::{
    Cause, Channel, Config, Delivery, Fact, Incarnation, Key, Keyring, MemberState, Mode, Node,
};
use util::{Accuse, Cluster, accusation, addr, alive, blob, name, parts, ping_from, still};

const MILLI: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// Node 0 alone, gossiping every 10 ms to all that it has heard of: nodes 1 and 2, who do not run.
fn gossiping() -> Cluster {
    let config = Config {
        gossip_interval: Some(10 * MILLI),
        gossip_to_dead: 100 * MILLI,
        ..still(Config::lan())
    };
    let mut world = Cluster::new(1, &config);
    for index in 1..=2 {
        world.hear(0, index, &alive(index, |_| ()));
    }
    world
}

/// Who is told that node 2 has restated itself. With two to tell, every tick reaches both.
fn told_of_news(world: &mut Cluster, incarnation: u32) -> Vec<usize> {
    world.run_for(SECOND);
    assert_eq!(world.node(0).updates_waiting(), 0, "all older news was told");
    world.sent.clear();
    world.hear(0, 2, &alive(2, |alive| alive.incarnation = Incarnation(incarnation)));
    world.run_for(SECOND);
    let told = |&to: &usize| world.sent.iter().any(|sent| sent.to == addr(to));
    (1..3).filter(told).collect()
}

#[test]
fn the_living_and_suspects_are_told() {
    let mut world = gossiping();
    assert_eq!(told_of_news(&mut world, 2), [1, 2]);
    world.hear(0, 2, &accusation(Accuse::Suspect, 1, 2, 1));
    assert_eq!(told_of_news(&mut world, 3), [1, 2]);
    assert_eq!(world.state(0, 1), Some(MemberState::Suspect));
}

#[test]
fn those_who_left_are_never_told() {
    let mut world = gossiping();
    world.run_for(SECOND);
    world.sent.clear();
    world.hear(0, 2, &accusation(Accuse::Dead, 2, 2, 1));
    world.run_for(SECOND);
    let told = |to: usize| world.sent.iter().any(|sent| sent.to == addr(to));
    assert!(told(1) && !told(2));
}

/// The number of transmissions follows from it.
#[test]
fn the_dead_count_in_the_size_of_the_cluster() {
    for (others, dead, transmissions) in [(9, 5, 8), (9, 0, 8), (4, 0, 4)] {
        let mut world = Cluster::new(1, &still(Config::lan()));
        for index in 1..=others {
            world.hear(0, index, &alive(index, |_| ()));
        }
        for index in 5..5 + dead {
            world.hear(0, 1, &accusation(Accuse::Dead, index, 1, 1));
        }
        world.settle(0, 1);
        world.hear(0, 1, &alive(1, |alive| alive.incarnation = Incarnation(2)));
        let told = (0..20).filter(|_| !world.news(0, 1).is_empty()).count();
        assert_eq!(told, transmissions, "{others} others, {dead} of them dead");
    }
}

/// Node 0 alone, gossiping to node 1 and to many more who are dead or suspect.
fn beside_the_doubtful(mode: Mode, doubtful: Accuse) -> Cluster {
    let config = Config {
        gossip_interval: Some(10 * MILLI),
        rumor_mode: mode,
        neighbors: (1..=10).map(addr).collect(),
        ..still(Config::lan())
    };
    let mut world = Cluster::new(1, &config);
    for index in 1..=10 {
        world.hear(0, index, &alive(index, |_| ()));
    }
    for index in 2..=10 {
        world.hear(0, 1, &accusation(doubtful, index, 1, 1));
    }
    world.run_for(SECOND);
    assert_eq!(world.node(0).updates_waiting(), 0, "all older news was told");
    world.sent.clear();
    world
}

/// Copies for node 1 and for all others of the datagrams that hold something.
fn copies(world: &mut Cluster, holds: impl Fn(&Message<'_>) -> bool) -> (usize, usize) {
    world.run_for(SECOND);
    let (mut living, mut others) = (0, 0);
    for sent in &world.sent {
        let copies = parts(&sent.bytes).iter().filter(|part| holds(part)).count();
        *(if sent.to == addr(1) { &mut living } else { &mut others }) += copies;
    }
    world.sent.clear();
    (living, others)
}

/// In memberlist they do, and most of what is sent once the cluster has shrunk reaches nobody.
#[test]
fn copies_for_the_dead_and_for_suspects_are_not_taken_from_the_living() {
    for (mode, doubtful, live) in
        [(Mode::Classic, Accuse::Dead, 2_u32), (Mode::Classic, Accuse::Suspect, 11)]
    {
        let mut world = beside_the_doubtful(mode, doubtful);
        let what = format!("{mode:?}, {doubtful:?}");
        let limit = 4 * (live.ilog10() as usize + 1);
        world.act(0, |node, now| node.broadcast(now, Channel::BARE, b"news")).unwrap();
        let (living, others) = copies(&mut world, |part| matches!(part, Message::User(_)));
        assert_eq!(living, limit, "copies of a rumour, {what}");
        assert!((1..=limit).contains(&others), "{others} copies of a rumour, {what}");

        world.hear(0, 1, &alive(1, |alive| alive.incarnation = Incarnation(2)));
        let (living, others) = copies(&mut world, |part| matches!(part, Message::Alive(_)));
        assert_eq!(living, 8, "copies of an update, {what}");
        assert!((1..=8).contains(&others), "{others} copies of an update, {what}");

        world.act(0, Node::leave);
        let (living, others) = copies(&mut world, |part| matches!(part, Message::Dead(_)));
        assert_eq!(living, 8, "copies of a goodbye, {what}");
        assert!((1..=8).contains(&others), "{others} copies of a goodbye, {what}");
        let is_over = world.facts(0).iter().any(|fact| matches!(fact, Fact::LeaveDone));
        assert!(is_over, "{what}");
    }
}

#[test]
fn the_thesis_modes_count_all_copies_alike() {
    for mode in [Mode::ThesisClassic, Mode::ThesisMatching] {
        let mut world = beside_the_doubtful(mode, Accuse::Dead);
        world.act(0, |node, now| node.broadcast(now, Channel::BARE, b"news")).unwrap();
        let (living, others) = copies(&mut world, |part| matches!(part, Message::User(_)));
        assert_eq!(living + others, 4, "{mode:?}");
    }
}

#[test]
fn the_dead_are_told_for_a_while() {
    for (dead_for, is_told) in [(50 * MILLI, true), (101 * MILLI, false)] {
        let mut world = gossiping();
        world.run_for(SECOND);
        world.hear(0, 2, &accusation(Accuse::Dead, 1, 2, 1));
        world.run_for(dead_for);
        world.sent.clear();
        world.hear(0, 2, &alive(2, |alive| alive.incarnation = Incarnation(2)));
        world.run_for(40 * MILLI);
        let told = world.sent.iter().any(|sent| sent.to == addr(1));
        assert_eq!(told, is_told, "dead for {dead_for:?}");
    }
}

#[test]
fn a_tick_without_news_sends_nothing() {
    let mut world = gossiping();
    told_of_news(&mut world, 2);
    world.sent.clear();
    world.run_for(SECOND);
    assert!(world.sent.is_empty());
}

#[test]
fn an_answer_to_a_member_carries_news_and_one_to_a_stranger_does_not() {
    let mut world = Cluster::new(1, &still(Config::lan()));
    world.hear(0, 1, &alive(1, |_| ()));
    for (from, news) in [(1, 2), (9, 0)] {
        world.hear(0, from, &ping_from(0, from));
        let ack = world.sent.last().unwrap();
        let parts = parts(&ack.bytes);
        assert!(matches!(parts[0], Message::Ack(_)), "the answer comes first");
        assert_eq!(parts.len() - 1, news, "to node {from}");
    }
}

#[test]
fn three_pings_in_one_datagram_get_three_acks() {
    let mut world = Cluster::new(1, &still(Config::lan()));
    world.hear(0, 1, &alive(1, |_| ()));
    let ping = ping_from(0, 1);
    let mut buf = [0; 1_400];
    let mut writer = PacketWriter::new(&mut buf, b"", Checksum::Absent);
    for _ in 0..3 {
        writer.part(|out| out.put(&ping)).unwrap();
    }
    let len = writer.finish();
    world.hear(0, 1, &buf[..len]);
    assert_eq!(world.sent.len(), 3);
    for ack in &world.sent {
        assert_eq!(ack.to, addr(1));
        assert!(matches!(&parts(&ack.bytes)[0], Message::Ack(ack) if ack.seq.0 == 7));
    }
}

/// Gossip and messages for one member have one if the member understands it; probes and their
/// answers never do.
#[test]
fn checksums_are_where_memberlist_has_them() {
    let config = Config {
        gossip_interval: Some(10 * MILLI),
        probe_interval: Some(SECOND),
        ..still(Config::lan())
    };
    let mut world = Cluster::new(1, &config);
    for (index, protocol_max) in [(1, 5), (2, 4)] {
        let vsn = [1, protocol_max, 2, 0, 0, 0];
        world.hear(0, index, &alive(index, |alive| alive.vsn = blob(&vsn)));
    }
    for index in 1..=2 {
        world.hear(0, index, &ping_from(0, index));
        let send = |node: &mut Node, now| {
            node.send(now, &name(index), Channel::BARE, b"hello", Delivery::BestEffort)
        };
        world.act(0, send).unwrap();
    }
    world.run_for(2 * SECOND - MILLI);
    let mut seen = std::collections::BTreeSet::new();
    for sent in &world.sent {
        let has_crc = sent.bytes[0] == MessageType::HAS_CRC.0;
        let takes_crc = sent.to == addr(1);
        let gossip = matches!(sent.cause, Cause::Tick | Cause::Direct);
        assert_eq!(has_crc, takes_crc && gossip, "{:?} to {}", sent.cause, sent.to);
        seen.insert(format!("{:?} {takes_crc}", sent.cause));
    }
    let causes = ["Ack", "Direct", "Probe", "Tick"];
    for cause in causes {
        assert!(seen.contains(&format!("{cause} true")), "{cause} was sent: {seen:?}");
    }
}

#[test]
fn sixteen_nodes_with_a_key_that_join_in_a_chain_soon_see_each_other() {
    let fast = 20 * MILLI;
    let mut keyring = Keyring::new();
    keyring.install(Key::new(&[7; 16]).unwrap()).unwrap();
    let config = Config {
        keyring,
        probe_interval: Some(fast),
        probe_timeout: 10 * MILLI,
        gossip_interval: Some(fast),
        ..Config::lan()
    };
    let mut cluster = Cluster::new(16, &config);
    for index in 1..16 {
        cluster.act(index, |node, now| node.join(now, &[addr(index - 1)]));
        cluster.run_for(5 * MILLI);
    }
    let all_see_all =
        |cluster: &Cluster| (0..16).all(|index| cluster.node(index).live_members() == 16);
    assert!(cluster.run_until(250 * MILLI, all_see_all));
}

#[test]
fn meta_of_both_sides_is_known_after_a_join() {
    let mut cluster = Cluster::new(2, &Config::lan());
    for index in 0..2 {
        let meta = format!("meta of {index}");
        cluster.act(index, |node, now| node.set_meta(now, meta.as_bytes())).unwrap();
    }
    cluster.act(1, |node, now| node.join(now, &[addr(0)]));
    cluster.run_for(SECOND);
    assert_eq!(metas(&cluster), [["meta of 0", "meta of 1"], ["meta of 0", "meta of 1"]]);
}

/// What each of two nodes knows as the meta of both.
fn metas(cluster: &Cluster) -> [[String; 2]; 2] {
    let meta = |at: usize, of: usize| {
        let member = cluster.node(at).member(name(of).as_bytes()).unwrap();
        String::from_utf8_lossy(member.meta).into_owned()
    };
    [0, 1].map(|at| [0, 1].map(|of| meta(at, of)))
}

#[test]
fn new_meta_of_both_sides_reaches_the_other_and_is_told_there() {
    let mut cluster = Cluster::joined(2, &Config::lan());
    cluster.run_for(SECOND);
    for index in 0..2 {
        cluster.facts(index);
        let meta = format!("new {index}");
        cluster.act(index, |node, now| node.set_meta(now, meta.as_bytes())).unwrap();
    }
    let new = [["new 0", "new 1"], ["new 0", "new 1"]];
    assert!(cluster.run_until(SECOND, |cluster| metas(cluster) == new));
    for index in 0..2 {
        let told = cluster.facts(index);
        let other = name(1 - index);
        let is_other = |fact: &Fact| matches!(fact, Fact::Updated { name, .. } if *name == other);
        assert_eq!(told.iter().filter(|fact| is_other(fact)).count(), 1, "{told:?}");
    }
}

/// Both lives say incarnation 1 of themselves.
#[test]
fn a_quick_restart_ends_with_the_new_meta_everywhere() {
    let mut cluster = Cluster::new(3, &Config::lan());
    cluster.act(2, |node, now| node.set_meta(now, b"old life")).unwrap();
    cluster.join_all();
    cluster.crash(2);
    cluster.start(2, Config::lan());
    cluster.act(2, |node, now| node.set_meta(now, b"new life")).unwrap();
    cluster.act(2, |node, now| node.join(now, &[addr(0)]));
    let knows = |cluster: &Cluster, at: usize| {
        cluster.node(at).member(name(2).as_bytes()).unwrap().meta == b"new life"
    };
    let reached =
        cluster.run_until(5 * SECOND, |cluster| (0..3).all(|index| knows(cluster, index)));
    assert!(reached, "the new life refutes what is left of the old one");
    assert_eq!(cluster.state(0, 2), Some(MemberState::Alive));
}

#[test]
fn many_small_rumours_arrive_once_each_and_state_is_exchanged() {
    let mut cluster = Cluster::new(2, &Config::lan());
    for index in 0..2 {
        let state = Bytes::from(format!("state of {index}"));
        cluster.act(index, |node, _| node.set_channel_state(Channel::BARE, state));
    }
    cluster.act(1, |node, now| node.join(now, &[addr(0)]));
    cluster.run_for(SECOND);
    for index in 0..2 {
        let mut states: Vec<_> = cluster.facts(index).into_iter().filter_map(state_of).collect();
        // The joiner's first request went to a stranger, so there were two.
        states.dedup();
        assert_eq!(states, [format!("state of {}", 1 - index)], "at node {index}");
    }
    for number in 0..=255_u8 {
        cluster.act(0, |node, now| node.broadcast(now, Channel(1), &[number])).unwrap();
    }
    cluster.run_for(10 * SECOND);
    let mut heard: Vec<_> = cluster.facts(1).into_iter().filter_map(payload_of).collect();
    heard.sort_unstable();
    assert_eq!(heard, (0..=255).map(|number| vec![number]).collect::<Vec<_>>());
}

fn state_of(fact: Fact) -> Option<String> {
    let Fact::PeerState { bytes, .. } = fact else { return None };
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

fn payload_of(fact: Fact) -> Option<Vec<u8>> {
    let Fact::Rumor { payload, .. } = fact else { return None };
    Some(payload.to_vec())
}
