//! Saying goodbye.

mod util;

use std::time::Duration;

use rumormill::{BroadcastError, Channel, Config, Fact, MemberState, MetaError, Node};
use util::{Accuse, Cluster, accusation, addr};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_goodbye_is_seen_as_left_by_all_and_never_as_a_failure() {
    let mut cluster = Cluster::joined(10, &Config::lan());
    cluster.act(9, Node::leave);
    assert!(cluster.run_until(10 * SECOND, |cluster| {
        (0..9).all(|index| cluster.state(index, 9) == Some(MemberState::Left))
    }));
    cluster.run_for(10 * SECOND);
    for index in 0..9 {
        let told = cluster.facts(index);
        assert!(told.iter().any(|fact| matches!(fact, Fact::Left { .. })), "node {index}");
        assert!(!told.iter().any(|fact| matches!(fact, Fact::Failed { .. })), "node {index}");
    }
}

#[test]
fn leaving_is_done_when_the_goodbye_was_sent_often_enough() {
    let mut cluster = Cluster::joined(3, &Config::lan());
    cluster.run_for(5 * SECOND);
    cluster.facts(2);
    cluster.act(2, Node::leave);
    assert!(!cluster.facts(2).iter().any(|fact| matches!(fact, Fact::LeaveDone)));
    // Four transmissions to two members take two ticks of 200 ms.
    cluster.run_for(Duration::from_millis(600));
    assert!(cluster.facts(2).iter().any(|fact| matches!(fact, Fact::LeaveDone)));
}

#[test]
fn a_lone_node_leaves_at_once() {
    let mut cluster = Cluster::new(1, &Config::lan());
    cluster.act(0, Node::leave);
    assert!(matches!(cluster.facts(0).last(), Some(Fact::LeaveDone)));
}

#[test]
fn leaving_ends_in_bounded_time_when_nothing_can_be_sent() {
    let config = Config { gossip_interval: None, probe_interval: None, ..Config::lan() };
    let mut cluster = Cluster::joined(2, &config);
    cluster.act(1, Node::leave);
    cluster.run_for(4_999 * SECOND / 1_000);
    assert!(!cluster.facts(1).iter().any(|fact| matches!(fact, Fact::LeaveDone)));
    cluster.run_for(SECOND / 1_000);
    assert!(cluster.facts(1).iter().any(|fact| matches!(fact, Fact::LeaveDone)));
}

#[test]
fn a_node_that_leaves_does_not_refute_and_starts_nothing_new() {
    let mut cluster = Cluster::joined(2, &Config::lan());
    cluster.act(1, Node::leave);
    let before = cluster.node(1).local().incarnation;
    for kind in [Accuse::Suspect, Accuse::Dead] {
        let accusation = accusation(kind, 1, 0, before.0);
        cluster.act(1, |node, now| node.handle_packet(now, addr(0), &accusation)).unwrap();
    }
    let alive = util::alive_message(1, addr(1), before.0 + 5);
    cluster.act(1, |node, now| node.handle_packet(now, addr(0), &alive)).unwrap();
    assert_eq!(cluster.node(1).local().incarnation, before);
    assert_eq!(cluster.node(1).local().state, MemberState::Left);
    let refused = cluster.act(1, |node, now| node.broadcast(now, Channel(1), b"x"));
    assert_eq!(refused, Err(BroadcastError::Left));
    assert_eq!(cluster.act(1, |node, now| node.set_meta(now, b"")), Err(MetaError::Left));
}

#[test]
fn a_node_that_left_still_answers_and_outlives_its_own_reaping() {
    let mut cluster = Cluster::joined(3, &Config::lan());
    cluster.act(2, Node::leave);
    cluster.run_for(200 * SECOND);
    assert_eq!(cluster.node(2).local().state, MemberState::Left);
    assert_eq!(cluster.state(0, 2), None, "the others have forgotten it");
}

#[test]
fn the_name_of_one_who_left_is_free_for_another_address_after_a_while() {
    let mut cluster = Cluster::joined(3, &Config::lan());
    cluster.act(2, Node::leave);
    assert!(
        cluster.run_until(2 * SECOND, |cluster| { cluster.state(0, 2) == Some(MemberState::Left) })
    );
    cluster.isolate(2);
    let elsewhere = util::alive_message(2, addr(50), 1);
    cluster.act(0, |node, now| node.handle_packet(now, addr(50), &elsewhere)).unwrap();
    // The shortest suspicion of this cluster: as long as its owner could contradict the goodbye.
    cluster.run_for(3_900 * SECOND / 1_000);
    assert_eq!(cluster.state(0, 2), Some(MemberState::Left));
    assert_eq!(cluster.node(0).stats().takeovers_held, 1);
    // It is not said again: what was heard too early was kept.
    cluster.run_for(SECOND / 10);
    let member = cluster.node(0).member(util::name(2).as_bytes()).unwrap();
    assert_eq!((member.addr, member.state), (addr(50), MemberState::Alive));
}
