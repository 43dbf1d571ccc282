//! What one injector without a key must not achieve, and what an honest return must.

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "this is test code")]

mod util;

use std::net::SocketAddr;
use std::time::Duration;

use rumormill::wire::message::{Message, NodeAddr, Ping, Source};
use rumormill::wire::msgpack::Blob;
use rumormill::wire::packet::{Checksum, PacketWriter};
use rumormill::{Cause, Config, Fact, Incarnation, MemberState, Node, Params, SeqNo};
use util::{Accuse, Cluster, Sent, accusation, addr, encoded, name, still};

const SECOND: Duration = Duration::from_secs(1);
const MILLI: Duration = Duration::from_millis(1);

fn inject(cluster: &mut Cluster, index: usize, from: SocketAddr, packet: &[u8]) {
    cluster.act(index, |node, now| node.handle_packet(now, from, packet)).unwrap();
}

fn addr_of(cluster: &Cluster, index: usize, about: usize) -> SocketAddr {
    cluster.node(index).member(name(about).as_bytes()).unwrap().addr
}

// ── A forged goodbye, then a forged address ─────────────────────────────────────────────────────

#[test]
fn a_forged_goodbye_does_not_give_the_name_away() {
    for spoofed in [addr(66), addr(3)] {
        let mut cluster = Cluster::joined(5, &Config::lan());
        cluster.run_for(5 * SECOND);
        let goodbye = accusation(Accuse::Dead, 3, 3, 1);
        let takeover = util::alive_message(3, addr(66), 9);
        for index in [0, 1, 2, 4] {
            inject(&mut cluster, index, spoofed, &goodbye);
            inject(&mut cluster, index, spoofed, &takeover);
        }
        assert_eq!(cluster.state(0, 3), Some(MemberState::Left));
        let deadline = cluster.now + 30 * SECOND;
        while cluster.now < deadline {
            cluster.run_for(10 * MILLI);
            for index in 0..5 {
                assert_eq!(addr_of(&cluster, index, 3), addr(3), "at node {index}");
            }
        }
        for index in 0..5 {
            assert_eq!(cluster.state(index, 3), Some(MemberState::Alive), "it refuted");
        }
        assert!(cluster.node(0).stats().takeovers_held > 0);
    }
}

#[test]
fn a_dead_name_comes_back_from_another_address_after_the_reclaim_time() {
    let config = Config { reclaim_after: Some(5 * SECOND), ..still(Config::lan()) };
    let mut cluster = Cluster::new(3, &config);
    cluster.join_pairwise();
    cluster.crash(2);
    let death = accusation(Accuse::Dead, 2, 1, 1);
    inject(&mut cluster, 0, addr(1), &death);
    // A lower incarnation than the one that died: a newcomer does not know it.
    let back = util::alive_message(2, addr(50), 1);
    cluster.run_for(5 * SECOND);
    inject(&mut cluster, 0, addr(50), &back);
    assert_eq!(cluster.state(0, 2), Some(MemberState::Dead), "five seconds are not more than five");
    assert_eq!(cluster.node(0).stats().conflicts, 1);
    cluster.run_for(MILLI);
    cluster.facts(0);
    inject(&mut cluster, 0, addr(50), &back);
    let member = cluster.node(0).member(name(2).as_bytes()).unwrap();
    assert_eq!((member.state, member.addr), (MemberState::Alive, addr(50)));
    assert!(matches!(&cluster.facts(0)[..], [Fact::Joined { addr: at, .. }] if *at == addr(50)));
}

// ── Reflection ──────────────────────────────────────────────────────────────────────────────────

/// As many of a message as fit a datagram of 1400 bytes.
fn full_of(message: &Message<'_>) -> Vec<u8> {
    let mut buf = vec![0; 1_400];
    let mut writer = PacketWriter::new(&mut buf, b"", Checksum::Absent);
    while writer.part(|out| message.encode(out)).is_ok() {}
    let len = writer.finish();
    buf.truncate(len);
    buf
}

fn ping(source: Option<SocketAddr>) -> Message<'static> {
    let source = source.map(NodeAddr::from).map_or_else(Source::default, |addr| Source {
        addr: Blob::Collected(addr.ip_bytes().to_vec()),
        port: addr.port,
        node: Blob::Nil,
    });
    Message::Ping(Ping { seq: SeqNo(7), node: Blob::Nil, source })
}

fn bytes(sent: &[Sent]) -> usize {
    sent.iter().map(|sent| sent.bytes.len()).sum()
}

#[test]
fn a_datagram_full_of_pings_buys_a_stranger_no_flood() {
    let (attacker, victim) = (addr(66), addr(77));
    for source in [None, Some(victim)] {
        let mut cluster = Cluster::joined(3, &Config::lan());
        cluster.sent.clear();
        let packet = full_of(&ping(source));
        assert!(packet.len() > 1_200, "{}", packet.len());
        inject(&mut cluster, 0, attacker, &packet);
        let acks: Vec<_> = cluster.sent.iter().filter(|sent| sent.cause == Cause::Ack).collect();
        assert_eq!(acks.len(), 1, "one question, one answer");
        assert!(acks.iter().all(|ack| ack.to == attacker), "none to a third party");
        assert!(bytes(&cluster.sent) * 10 <= packet.len() * 11);
        assert!(cluster.node(0).stats().questions_ignored > 20);
    }
}

#[test]
fn a_stranger_pays_for_its_answer_with_as_many_bytes() {
    let mut cluster = Cluster::new(1, &still(Config::lan()));
    // As an array, without keys: Go understands it too.
    let tiny = [0, 0x91, 7];
    inject(&mut cluster, 0, addr(66), &tiny);
    assert_eq!(cluster.sent.len(), 0);
    // The shortest that memberlist ever sent.
    let plain = encoded(&ping(None));
    inject(&mut cluster, 0, addr(66), &plain);
    assert_eq!(cluster.sent.len(), 1);
}

#[test]
fn a_forged_source_that_is_a_member_is_not_flooded_either() {
    let mut cluster = Cluster::new(3, &still(Config::lan()));
    cluster.join_pairwise();
    cluster.sent.clear();
    let packet = full_of(&ping(Some(addr(1))));
    inject(&mut cluster, 0, addr(66), &packet);
    assert_eq!(cluster.sent.len(), 4);
    assert!(cluster.sent.iter().all(|sent| sent.to == addr(1)));
}

// ── A flood of accusations ──────────────────────────────────────────────────────────────────────

#[test]
fn a_flood_of_accusations_costs_the_cluster_little_and_is_refuted() {
    let mut cluster = Cluster::joined(5, &Config::lan());
    cluster.run_for(10 * SECOND);
    let baseline = rate(&mut cluster, |_, _| {});
    let before = cluster.node(3).stats().refutations;
    let flooded = rate(&mut cluster, |cluster, incarnation| {
        let suspect = accusation(Accuse::Suspect, 3, 1, incarnation);
        inject(cluster, 3, addr(66), &suspect);
    });
    let refutations = cluster.node(3).stats().refutations - before;
    assert!((15..=25).contains(&refutations), "{refutations} in 30 s");
    // The cluster has nothing else to say, so that every refutation costs datagrams of its own.
    let times = format!("{flooded} datagrams, {baseline} without the flood");
    assert!(flooded * 100 <= baseline * 205, "{times}");
    cluster.run_for(4 * SECOND);
    let own = cluster.node(3).local().incarnation;
    assert!(own > Incarnation(30_000), "the last accusation is refuted too: {own}");
    for index in 0..5 {
        assert_eq!(cluster.state(index, 3), Some(MemberState::Alive));
    }
}

/// Datagrams in 30 s, with something done every millisecond.
fn rate(cluster: &mut Cluster, mut each: impl FnMut(&mut Cluster, u32)) -> usize {
    cluster.sent.clear();
    for step in 1..=30_000 {
        each(cluster, step + 1);
        cluster.run_for(MILLI);
    }
    cluster.sent.len()
}

#[test]
fn a_node_that_leaves_keeps_quiet_about_what_it_was_accused_of() {
    let mut cluster = Cluster::joined(2, &Config::lan());
    for incarnation in [3, 7] {
        let suspect = accusation(Accuse::Suspect, 1, 0, incarnation);
        inject(&mut cluster, 1, addr(0), &suspect);
    }
    assert_eq!(cluster.node(1).local().incarnation, Incarnation(4), "the second one waits");
    cluster.act(1, Node::leave);
    cluster.run_for(SECOND);
    assert_eq!(cluster.node(1).local().incarnation, Incarnation(4));
}

// ── Protocol versions ───────────────────────────────────────────────────────────────────────────

#[test]
fn nodes_that_speak_any_two_versions_form_one_cluster() {
    let config = |version: u8| Config { protocol_version: version, ..Config::lan() };
    let mut cluster = Cluster::with(5, |index| config(index as u8 + 1));
    cluster.join_all();
    cluster.run_for(60 * SECOND);
    for index in 0..5 {
        let node = cluster.node(index);
        assert_eq!(node.live_members(), 5);
        let stats = node.stats();
        assert_eq!((stats.probes_failed, stats.push_pulls_incompatible), (0, 0), "node {index}");
        let spoken = node.member(name(4).as_bytes()).unwrap().versions.protocol();
        assert_eq!(spoken, [1, 5, 5]);
    }
    for version in [0, 6] {
        assert!(Params::try_from(config(version)).is_err());
    }
}

#[test]
fn who_speaks_version_1_has_one_port_for_everybody() {
    for (version, port) in [(1, 7_946), (2, 9)] {
        let mut cluster =
            Cluster::new(1, &Config { protocol_version: version, ..still(Config::lan()) });
        let at = SocketAddr::from(([10, 0, 0, 9], 9));
        let alive = util::alive_message(1, at, 1);
        inject(&mut cluster, 0, at, &alive);
        assert_eq!(addr_of(&cluster, 0, 1), SocketAddr::new(at.ip(), port));
    }
}
