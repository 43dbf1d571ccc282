//! Saying goodbye.

mod util;

use std::time::Duration;

use rumormill::wire::message::Message;
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
fn after_a_goodbye_each_side_counts_the_other_alone() {
    let mut cluster = Cluster::joined(2, &Config::lan());
    cluster.act(1, Node::leave);
    assert!(cluster.run_until(SECOND, |cluster| cluster.state(0, 1) == Some(MemberState::Left)));
    assert_eq!((cluster.node(0).live_members(), cluster.node(1).live_members()), (1, 1));
    assert_eq!(cluster.node(1).local().state, MemberState::Left);
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
    let config = Config { remember_dead: Duration::ZERO, ..Config::lan() };
    let mut cluster = Cluster::joined(3, &config);
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

#[test]
fn a_goodbye_goes_before_all_other_news() {
    let quiet = Config { probe_interval: None, push_pull_interval: None, ..Config::lan() };
    let mut cluster = Cluster::joined(2, &quiet);
    cluster.run_for(5 * SECOND);
    cluster.cut(1, 0);
    // More news than ten datagrams hold, all of it longer than a goodbye.
    for index in 10..200 {
        let alive = util::alive_message(index, addr(index), 1);
        cluster.act(1, |node, now| node.handle_packet(now, addr(0), &alive)).unwrap();
    }
    cluster.sent.clear();
    cluster.act(1, Node::leave);
    cluster.run_for(SECOND);
    let bye = accusation(Accuse::Dead, 1, 1, 1);
    let has_bye = |sent: &&util::Sent| sent.bytes.windows(bye.len()).any(|bytes| bytes == bye);
    let sent = cluster.sent.iter().filter(|sent| sent.from == 1);
    let (with, without) = (sent.clone().filter(has_bye).count(), sent.clone().count());
    assert!(with >= 12, "as often as 191 members ask for");
    assert!(without > 0 && sent.take(12).all(|sent| has_bye(&sent)), "{with} of {without}");
}

/// When each of the others first heard a kind of message from node 2.
fn first_heard(cluster: &Cluster, is_it: impl Fn(&Message<'_>) -> bool) -> Vec<(usize, u64)> {
    let heard = |to: usize| {
        let said = cluster.sent.iter().filter(|sent| sent.from == 2 && sent.to == addr(to));
        let mut said = said.filter(|sent| util::parts(&sent.bytes).iter().any(&is_it));
        said.next().map(|sent| (to, sent.at.as_micros()))
    };
    [0, 1].into_iter().filter_map(heard).collect()
}

#[test]
fn serf_hears_its_leave_intent_before_memberlists_goodbye() {
    let config = Config { advertise: false, ..Config::serf() };
    let mut cluster = Cluster::joined(3, &config);
    cluster.run_for(5 * SECOND);
    // Serf's clock goes on by what it hears: an intent to join, and one that no clock gets to.
    for intent in [
        &b"\x08\x01\x82\xa5LTime\x29\xa4Node\xa1x"[..],
        b"\x08\x01\x81\xa5LTime\xcf\xff\xff\xff\xff\xff\xff\xff\xff",
    ] {
        cluster.act(2, |node, now| node.handle_packet(now, addr(0), intent)).unwrap();
    }
    cluster.run_for(5 * SECOND);
    (0..3).for_each(|index| drop(cluster.facts(index)));
    cluster.sent.clear();
    cluster.act(2, Node::leave);
    cluster.act(2, Node::leave);
    assert_eq!(cluster.node(2).local().state, MemberState::Alive, "the intent goes first");
    cluster.run_for(3 * SECOND);
    let told = |fact: &Fact| matches!(fact, Fact::LeaveDone);
    assert_eq!(cluster.facts(2).iter().filter(|fact| told(fact)).count(), 1);
    let intent = b"\x00\x82\xa5LTime\x2a\xa4Node\xa6node-2";
    let intents = first_heard(&cluster, |message| *message == Message::User(intent));
    let goodbyes = first_heard(&cluster, |message| matches!(message, Message::Dead(_)));
    assert_eq!((intents.len(), goodbyes.len()), (2, 2), "both hear both");
    let latest_intent = intents.iter().map(|&(_, at)| at).max();
    assert!(latest_intent <= goodbyes.iter().map(|&(_, at)| at).min());
    for index in [0, 1] {
        assert_eq!(cluster.state(index, 2), Some(MemberState::Left));
    }
}

#[test]
fn an_intent_that_cannot_be_sent_delays_the_goodbye_for_a_bounded_time() {
    let mut lone = Cluster::new(1, &Config::serf());
    lone.act(0, Node::leave);
    assert!(matches!(lone.facts(0).last(), Some(Fact::LeaveDone)));

    let config = Config { gossip_interval: None, probe_interval: None, ..Config::serf() };
    let mut cluster = Cluster::joined(2, &config);
    cluster.act(1, Node::leave);
    cluster.run_for(4_999 * SECOND / 1_000);
    assert_eq!(cluster.node(1).local().state, MemberState::Alive);
    cluster.run_for(SECOND / 1_000);
    assert_eq!(cluster.node(1).local().state, MemberState::Left);
    cluster.run_for(5 * SECOND);
    assert!(cluster.facts(1).iter().any(|fact| matches!(fact, Fact::LeaveDone)));
}

#[test]
fn a_node_that_advertises_nothing_is_a_plain_one_to_others() {
    let mut cluster = Cluster::with(2, |index| Config { advertise: index == 0, ..Config::lan() });
    cluster.join_all();
    assert!(cluster.node(1).member(util::name(0).as_bytes()).unwrap().advert.is_some());
    for meta in [&b""[..], b"\xff\x81\xa4role\xa3web"] {
        cluster.act(1, |node, now| node.set_meta(now, meta)).unwrap();
        cluster.run_for(2 * SECOND);
        let member = cluster.node(0).member(util::name(1).as_bytes()).unwrap();
        assert_eq!((member.meta, member.advert), (meta, None));
    }
}
