//! What operators and applications get to know and to decide: round trips, datagrams that are
//! lost, payloads of acks.

#![allow(clippy::unwrap_used, reason = "this is test code")]

mod util;

use std::time::Duration;

use bytes::Bytes;
use rumormill::wire::message::{Message, Ping, Source};
use rumormill::wire::msgpack::Blob;
use rumormill::{
    ACK_PAYLOAD_MAX, Cause, Channel, Config, Delivery, Fact, Member, MemberState, Node, Reach,
    SeqNo,
};
use util::{Cluster, addr, encoded, name, parts};

const SECOND: Duration = Duration::from_secs(1);
const MILLI: Duration = Duration::from_millis(1);

fn member(cluster: &Cluster, index: usize, about: usize) -> Member<'_> {
    cluster.node(index).member(name(about).as_bytes()).unwrap()
}

// ── Probes over streams ─────────────────────────────────────────────────────────────────────────

/// No datagram passes between 0 and 1, streams do; nobody else could carry a probe.
fn without_datagrams(config: &Config) -> Cluster {
    let mut cluster = Cluster::joined(2, config);
    cluster.run_for(SECOND);
    cluster.facts(0);
    cluster.cut_datagrams(0, 1);
    cluster.cut_datagrams(1, 0);
    cluster
}

#[test]
fn a_member_that_only_streams_reach_stays_alive_and_is_told_of() {
    let mut cluster = without_datagrams(&Config::lan());
    cluster.run_for(60 * SECOND);
    for index in 0..2 {
        let stats = cluster.node(index).stats();
        assert_eq!((stats.probes_failed, stats.suspicions_expired), (0, 0), "node {index}");
        assert!(stats.probes_by_stream_only >= 20, "{}", stats.probes_by_stream_only);
        assert_eq!(cluster.node(index).health(), 0);
    }
    let told = cluster.facts(0);
    assert!(
        told.iter().any(|fact| matches!(fact, Fact::DatagramsLost { name: n } if *n == name(1)))
    );
    assert_eq!(reaches(&told), [Reach::StreamsOnly], "once");
    assert_eq!(member(&cluster, 0, 1).reach, Reach::StreamsOnly);
    cluster.heal();
    let is_well = |cluster: &Cluster| member(cluster, 0, 1).reach == Reach::Both;
    assert!(cluster.run_until(5 * SECOND, is_well));
    assert_eq!(reaches(&cluster.facts(0)), [Reach::Both]);
}

fn reaches(facts: &[Fact]) -> Vec<Reach> {
    let reach = |fact: &Fact| match fact {
        Fact::ReachChanged { reach, .. } => Some(*reach),
        _ => None,
    };
    facts.iter().filter_map(reach).collect()
}

#[test]
fn a_member_that_no_stream_reaches_is_told_of_after_two_and_cleared_by_one() {
    let config = Config { push_pull_interval: Some(2 * SECOND), ..Config::lan() };
    let mut cluster = Cluster::joined(2, &config);
    cluster.run_for(SECOND);
    cluster.facts(0);
    cluster.cut_streams(0, 1);
    let is_found = |cluster: &Cluster| member(cluster, 0, 1).reach == Reach::DatagramsOnly;
    assert!(cluster.run_until(60 * SECOND, is_found));
    assert!(cluster.node(0).stats().streams_failed >= 2);
    cluster.run_for(60 * SECOND);
    assert_eq!(reaches(&cluster.facts(0)), [Reach::DatagramsOnly]);
    assert_eq!(cluster.state(0, 1), Some(MemberState::Alive));
    assert_eq!(member(&cluster, 1, 0).reach, Reach::Both, "the other way is open");
    cluster.heal();
    let is_well = |cluster: &Cluster| member(cluster, 0, 1).reach == Reach::Both;
    assert!(cluster.run_until(5 * SECOND, is_well), "each probe asks");
    assert_eq!(reaches(&cluster.facts(0)), [Reach::Both]);
}

#[test]
fn one_call_that_is_not_taken_is_forgiven() {
    let config = Config { push_pull_interval: None, ..Config::lan() };
    let mut cluster = Cluster::joined(2, &config);
    cluster.cut_streams(0, 1);
    cluster.facts(0);
    let send =
        |node: &mut Node, now| node.send(now, &name(1), Channel(1), b"x", Delivery::Reliable);
    cluster.act(0, send).unwrap();
    assert!(cluster.run_until(15 * SECOND, |cluster| cluster.node(0).streams_open() == 0));
    let before = cluster.node(0).stats().streams;
    cluster.heal();
    cluster.run_for(3 * SECOND);
    let asked = cluster.node(0).stats().streams - before;
    assert_eq!(asked, 1, "one probe asked over a stream too, and got an answer");
    assert!(reaches(&cluster.facts(0)).is_empty());
}

#[test]
fn without_stream_pings_such_a_member_is_condemned() {
    let config = Config { stream_pings: false, push_pull_interval: None, ..Config::lan() };
    let mut cluster = without_datagrams(&config);
    assert!(
        cluster
            .run_until(60 * SECOND, |cluster| { cluster.state(0, 1) == Some(MemberState::Dead) })
    );
    assert_eq!(cluster.node(0).stats().probes_by_stream_only, 0);
}

#[test]
fn an_old_peer_is_not_probed_over_streams() {
    let config = Config { push_pull_interval: None, ..Config::lan() };
    let mut cluster = Cluster::new(1, &config);
    let old = util::alive_with_versions(1, addr(1), 1, [1, 2, 2, 0, 0, 0]);
    cluster.act(0, |node, now| node.handle_packet(now, addr(1), &old)).unwrap();
    cluster.run_for(5 * SECOND);
    assert!(cluster.node(0).stats().probes_failed > 0);
    assert_eq!(cluster.node(0).stats().streams, 0, "version 2 does not know such probes");
}

#[test]
fn a_stream_ping_ends_with_its_probe() {
    let config = Config { push_pull_interval: None, ..Config::lan() };
    let mut cluster = Cluster::joined(2, &config);
    cluster.cut(0, 1);
    cluster.cut(1, 0);
    let before = cluster.node(0).stats().streams;
    // Nobody answers the dialling either: a black hole. One stream at a time is open for it.
    for _ in 0..10 {
        cluster.run_for(SECOND);
        assert!(cluster.node(0).streams_open() <= 1);
    }
    assert!(cluster.node(0).stats().streams >= before + 2);
    assert!(cluster.node(0).stats().probes_failed >= 2);
}

#[test]
fn an_answer_with_another_number_is_no_contact() {
    let config = Config { push_pull_interval: None, ..Config::lan() };
    let mut cluster = without_datagrams(&config);
    cluster.garble_streams = true;
    assert!(
        cluster
            .run_until(60 * SECOND, |cluster| { cluster.state(0, 1) == Some(MemberState::Dead) })
    );
    assert!(cluster.node(0).stats().streams_failed > 0);
}

// ── Round trips ─────────────────────────────────────────────────────────────────────────────────

#[test]
fn a_round_trip_is_measured_smoothed_and_forgotten_with_the_address_or_the_life() {
    let mut cluster = Cluster::joined(2, &Config::lan());
    assert!(cluster.run_until(5 * SECOND, |cluster| member(cluster, 0, 1).rtt.is_some()));
    assert_eq!(member(&cluster, 0, 1).rtt, Some(2 * MILLI));
    assert_eq!(cluster.node(0).local().rtt, None, "nobody probes himself");
    cluster.latency = 41 * MILLI;
    let changed = |cluster: &Cluster| member(cluster, 0, 1).rtt != Some(2 * MILLI);
    assert!(cluster.run_until(5 * SECOND, changed));
    assert_eq!(member(&cluster, 0, 1).rtt, Some(12 * MILLI), "7/8 of 2 and 1/8 of 82");
    cluster.crash(1);
    cluster.start(1, Config::lan());
    cluster.act(1, |node, now| node.join(now, &[addr(0)]));
    assert!(cluster.run_until(5 * SECOND, |cluster| member(cluster, 0, 1).rtt.is_none()));
    assert!(
        cluster.run_until(5 * SECOND, |cluster| { member(cluster, 0, 1).rtt == Some(82 * MILLI) })
    );
}

#[test]
fn an_ack_that_comes_late_measures_nothing() {
    let mut cluster = Cluster::joined(2, &Config::lan());
    cluster.latency = 300 * MILLI;
    let rtt = member(&cluster, 0, 1).rtt;
    cluster.run_for(20 * SECOND);
    assert_eq!(member(&cluster, 0, 1).rtt, rtt, "600 ms are more than the probe's timeout");
    assert_eq!(cluster.node(0).stats().probes_failed, 0);
}

// ── Payloads of acks ────────────────────────────────────────────────────────────────────────────

fn probed(facts: Vec<Fact>) -> Option<(Duration, Bytes)> {
    facts.into_iter().find_map(|fact| match fact {
        Fact::Probed { name: who, rtt, payload } if who == name(1) => Some((rtt, payload)),
        _ => None,
    })
}

#[test]
fn an_acks_payload_reaches_the_application_that_asked_for_it() {
    let config = Config { probe_events: true, ..Config::lan() };
    let mut cluster = Cluster::joined(2, &config);
    cluster.facts(0);
    cluster.run_for(2 * SECOND);
    assert_eq!(probed(cluster.facts(0)), Some((2 * MILLI, Bytes::new())));
    let payload = Bytes::from(vec![7; ACK_PAYLOAD_MAX]);
    cluster.act(1, |node, _| node.set_ack_payload(payload.clone())).unwrap();
    cluster.run_for(2 * SECOND);
    assert_eq!(probed(cluster.facts(0)), Some((2 * MILLI, payload)));
    let too_long = Bytes::from(vec![7; ACK_PAYLOAD_MAX + 1]);
    assert!(cluster.act(1, |node, _| node.set_ack_payload(too_long)).is_err());
}

#[test]
fn probes_are_not_told_unless_asked_for() {
    let mut cluster = Cluster::joined(2, &Config::lan());
    cluster.run_for(5 * SECOND);
    assert_eq!(probed(cluster.facts(0)), None);
}

#[test]
fn a_stranger_gets_no_payload_with_its_ack() {
    let mut cluster = Cluster::new(1, &Config::lan());
    cluster.act(0, |node, _| node.set_ack_payload(Bytes::from_static(b"secret"))).unwrap();
    let ping = Ping { seq: SeqNo(42), node: Blob::Borrowed(b"node-0"), source: Source::default() };
    let ping = encoded(&Message::Ping(ping));
    cluster.act(0, |node, now| node.handle_packet(now, addr(5), &ping)).unwrap();
    let ack = cluster.sent.iter().find(|sent| sent.cause == Cause::Ack).unwrap();
    assert!(matches!(&parts(&ack.bytes)[..], [Message::Ack(ack)] if ack.payload.is_nil()));
}
