//! Failure detection: direct and indirect probes, suspicion, refutation, the end of a member.

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "this is test code")]

mod util;

use std::time::Duration;

use rumormill::wire::message::{Ack, IndirectPing, Message, Ping, Source};
use rumormill::wire::msgpack::Blob;
use rumormill::{Cause, Config, Fact, Incarnation, MemberState, SeqNo};
use util::{Accuse, Cluster, accusation, addr, encoded, indirect_ping, name, parts, still};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_crashed_member_is_suspected_and_then_dead_everywhere() {
    let mut cluster = Cluster::joined(5, &Config::lan());
    cluster.crash(4);
    assert!(cluster.run_until(60 * SECOND, |cluster| {
        (0..4).all(|index| cluster.state(index, 4) == Some(MemberState::Dead))
    }));
    for index in 0..4 {
        let told = cluster.facts(index);
        let suspected = told
            .iter()
            .position(|fact| matches!(fact, Fact::Suspected { name: who, .. } if *who == name(4)));
        let failed = told
            .iter()
            .position(|fact| matches!(fact, Fact::Failed { name: who, .. } if *who == name(4)));
        assert!(suspected < failed && failed.is_some(), "node {index}: {told:?}");
    }
}

#[test]
fn a_failed_probe_does_not_take_the_next_ones_tick() {
    // Nobody is condemned, and the score cannot stretch the interval.
    let config = Config {
        awareness_max: 1,
        suspicion_mult: 64,
        suspicion_max_mult: 64,
        push_pull_interval: None,
        ..Config::lan()
    };
    let mut cluster = Cluster::joined(6, &config);
    cluster.run_for(5 * SECOND);
    for index in 1..6 {
        cluster.crash(index);
    }
    let before = cluster.node(0).stats().probes;
    cluster.run_for(60 * SECOND);
    assert_eq!(cluster.node(0).stats().probes - before, 60);
}

#[test]
fn suspicions_that_are_refuted_at_once_leave_nothing_behind() {
    let mut cluster = Cluster::new(3, &still(Config::lan()));
    cluster.join_pairwise();
    for incarnation in (2..2_000).step_by(2) {
        let suspect = accusation(Accuse::Suspect, 1, 2, incarnation);
        let alive = util::alive_message(1, addr(1), incarnation + 1);
        for packet in [suspect, alive] {
            // The invariants, checked at each drain, bound the deadlines that are kept.
            cluster.act(0, |node, now| node.handle_packet(now, addr(2), &packet)).unwrap();
        }
    }
    let last = accusation(Accuse::Suspect, 1, 2, 2_001);
    cluster.act(0, |node, now| node.handle_packet(now, addr(2), &last)).unwrap();
    cluster.run_for(120 * SECOND);
    assert_eq!(cluster.state(0, 1), Some(MemberState::Dead), "the last one still has its deadline");
}

#[test]
fn a_failure_names_who_reported_it_and_who_accused() {
    let mut cluster = Cluster::joined(2, &Config::lan());
    cluster.crash(1);
    assert!(
        cluster
            .run_until(60 * SECOND, |cluster| { cluster.state(0, 1) == Some(MemberState::Dead) })
    );
    let told = cluster.facts(0);
    let failed = told.iter().find_map(|fact| match fact {
        Fact::Failed { name, reported_by, accusers, .. } => Some((name, reported_by, accusers)),
        _ => None,
    });
    assert_eq!(failed, Some((&name(1), &name(0), &vec![name(0)])));
}

#[test]
fn a_member_that_one_cannot_reach_but_others_can_stays_alive() {
    let mut cluster = Cluster::joined(5, &Config::lan());
    cluster.cut(0, 1);
    cluster.cut(1, 0);
    cluster.run_for(120 * SECOND);
    for index in 0..5 {
        assert!(cluster.node(index).stats().suspicions_expired == 0, "node {index}");
        assert_eq!(cluster.node(index).live_members(), 5);
    }
    assert!((2..5).any(|index| cluster.node(index).stats().relays > 0), "others were asked");
}

#[test]
fn nobody_is_suspected_without_faults() {
    let mut cluster = Cluster::joined(10, &Config::lan());
    cluster.run_for(600 * SECOND);
    for index in 0..10 {
        let stats = cluster.node(index).stats();
        assert_eq!((stats.probes_failed, stats.refutations), (0, 0), "node {index}");
        assert!(stats.probes >= 590);
    }
}

#[test]
fn a_lossy_network_condemns_nobody() {
    let mut cluster = Cluster::joined(10, &Config::lan());
    cluster.lose_one_in = 10;
    cluster.run_for(300 * SECOND);
    for index in 0..10 {
        assert_eq!(cluster.node(index).live_members(), 10);
        assert!(!cluster.facts(index).iter().any(|fact| matches!(fact, Fact::Failed { .. })));
    }
}

#[test]
fn a_suspect_that_hears_of_it_refutes_with_a_higher_incarnation() {
    let mut cluster = Cluster::joined(3, &Config::lan());
    cluster.facts(1);
    let suspect = accusation(Accuse::Suspect, 1, 2, 7);
    cluster.act(1, |node, now| node.handle_packet(now, addr(2), &suspect)).unwrap();
    assert_eq!(cluster.node(1).local().incarnation, Incarnation(8));
    assert_eq!(cluster.node(1).health(), 1);
    let told = cluster.facts(1);
    assert!(matches!(
        &told[..],
        [Fact::Refuted { accuser: Some(accuser), incarnation: Incarnation(8) }]
            if *accuser == name(2)
    ));
    assert!(cluster.run_until(5 * SECOND, |cluster| {
        [0, 2].iter().all(|&index| {
            cluster.node(index).member(name(1).as_bytes()).unwrap().incarnation == Incarnation(8)
        })
    }));
}

#[test]
fn a_refutation_in_time_recovers_a_suspect() {
    let mut cluster = Cluster::new(3, &still(Config::lan()));
    cluster.join_pairwise();
    let suspect = accusation(Accuse::Suspect, 1, 2, 1);
    cluster.act(0, |node, now| node.handle_packet(now, addr(2), &suspect)).unwrap();
    assert_eq!(cluster.state(0, 1), Some(MemberState::Suspect));
    let same = util::alive_message(1, addr(1), 1);
    cluster.act(0, |node, now| node.handle_packet(now, addr(1), &same)).unwrap();
    assert_eq!(cluster.state(0, 1), Some(MemberState::Suspect), "an equal one does not");
    let higher = util::alive_message(1, addr(1), 2);
    cluster.act(0, |node, now| node.handle_packet(now, addr(1), &higher)).unwrap();
    assert_eq!(cluster.state(0, 1), Some(MemberState::Alive));
    assert!(cluster.facts(0).iter().any(|fact| matches!(fact, Fact::Recovered { .. })));
    cluster.run_for(600 * SECOND);
    assert_eq!(cluster.state(0, 1), Some(MemberState::Alive), "the old deadline is forgotten");
}

#[test]
fn confirmations_of_known_members_shorten_a_suspicion_and_strangers_do_not() {
    // Six members, suspicion_mult 5, interval 100 ms, max 2: 1000 ms alone, 750 with one
    // confirmation of three.
    let config = Config {
        probe_interval: Some(Duration::from_millis(100)),
        probe_timeout: Duration::from_millis(50),
        suspicion_mult: 5,
        suspicion_max_mult: 2,
        ..Config::lan()
    };
    let quiet = Config { gossip_interval: None, push_pull_interval: None, ..config };
    for (confirmers, expected) in [(&[][..], 1_000), (&[3], 750), (&[3, 4], 603), (&[3, 4, 5], 500)]
    {
        let mut cluster =
            Cluster::with(6, |index| if index == 0 { quiet.clone() } else { still(Config::lan()) });
        cluster.join_pairwise();
        // Node 0 must not find out by itself that all is well.
        cluster.isolate(0);
        let suspect = accusation(Accuse::Suspect, 1, 2, 1);
        let start = cluster.now;
        cluster.act(0, |node, now| node.handle_packet(now, addr(2), &suspect)).unwrap();
        for &confirmer in confirmers {
            for _ in 0..2 {
                let confirm = accusation(Accuse::Suspect, 1, confirmer, 1);
                cluster.act(0, |node, now| node.handle_packet(now, addr(2), &confirm)).unwrap();
            }
        }
        for stranger in 20..30 {
            let confirm = accusation(Accuse::Suspect, 1, stranger, 1);
            cluster.act(0, |node, now| node.handle_packet(now, addr(2), &confirm)).unwrap();
        }
        assert!(
            cluster.run_until(2 * SECOND, |cluster| {
                cluster.state(0, 1) == Some(MemberState::Dead)
            })
        );
        let took = cluster.now.saturating_since(start).as_millis();
        assert_eq!(took, expected, "{} confirmations", confirmers.len());
    }
}

#[test]
fn a_ping_is_acked_with_its_number_and_one_for_somebody_else_is_not() {
    let mut cluster = Cluster::new(1, &still(Config::lan()));
    let ping = |node: &'static [u8]| {
        let ping = Ping { seq: SeqNo(42), node: Blob::Borrowed(node), source: Source::default() };
        encoded(&Message::Ping(ping))
    };
    for (packet, answers) in [(ping(b"node-0"), 1), (ping(b""), 2), (ping(b"node-1"), 2)] {
        cluster.act(0, |node, now| node.handle_packet(now, addr(5), &packet)).unwrap();
        assert_eq!(cluster.sent.len(), answers);
    }
    let ack = &cluster.sent[0];
    assert_eq!((ack.to, ack.cause), (addr(5), Cause::Ack));
    assert!(matches!(&parts(&ack.bytes)[..], [Message::Ack(Ack { seq: SeqNo(42), .. })]));
    assert_eq!(cluster.node(0).stats().pings_for_others, 1);
}

#[test]
fn an_answer_goes_to_the_named_source_only_if_that_is_the_sender_or_a_member() {
    let mut cluster = Cluster::joined(2, &still(Config::lan()));
    cluster.sent.clear();
    let mut ask = |source: std::net::SocketAddr| {
        let ip = rumormill::wire::message::NodeAddr::from(source);
        let source =
            Source { addr: ip.ip_bytes().into(), port: ip.port, node: Blob::Borrowed(b"x") };
        let ping = encoded(&Message::Ping(Ping { seq: SeqNo(1), node: Blob::Nil, source }));
        cluster.act(0, |node, now| node.handle_packet(now, addr(5), &ping)).unwrap();
        cluster.sent.last().unwrap().to
    };
    let mut same_host = addr(5);
    same_host.set_port(9);
    assert_eq!(ask(same_host), same_host, "another port of the same host");
    assert_eq!(ask(addr(1)), addr(1), "a member behind another address");
    assert_eq!(ask(addr(77)), addr(5), "a third party gets nothing");
}

#[test]
fn only_members_are_probed_for_others() {
    let mut cluster = Cluster::joined(2, &still(Config::lan()));
    cluster.sent.clear();
    let request = |index: usize, target: [u8; 4]| {
        let node = name(index);
        let request = IndirectPing {
            seq: SeqNo(9),
            target: Blob::Collected(target.to_vec()),
            port: 7_946,
            node: node.as_bytes().into(),
            nack: true,
            source: Source::default(),
        };
        encoded(&Message::IndirectPing(request))
    };
    for (packet, sent) in [
        (request(1, [10, 0, 0, 99]), 0),
        (request(7, [10, 0, 0, 2]), 0),
        (request(1, [10, 0, 0, 2]), 1),
    ] {
        cluster.act(0, |node, now| node.handle_packet(now, addr(5), &packet)).unwrap();
        assert_eq!(cluster.sent.len(), sent);
    }
    assert_eq!(cluster.node(0).stats().relays_refused, 2);
    cluster.run_for(SECOND);
    let answer = cluster.sent.iter().find(|sent| sent.to == addr(5)).unwrap();
    assert!(matches!(&parts(&answer.bytes)[..], [Message::Ack(Ack { seq: SeqNo(9), .. })]));
}

#[test]
fn a_relay_that_is_itself_the_target_answers() {
    let mut cluster = Cluster::joined(2, &still(Config::lan()));
    cluster.sent.clear();
    cluster.hear(0, 1, &indirect_ping(0, 9, true));
    cluster.run_for(SECOND);
    let [ack] = &cluster.sent[..] else { panic!("one answer: {:?}", cluster.sent) };
    assert_eq!(ack.to, addr(1));
    assert!(matches!(&parts(&ack.bytes)[0], Message::Ack(Ack { seq: SeqNo(9), .. })));
}

#[test]
fn a_relay_says_in_time_that_the_target_did_not_answer() {
    let mut cluster = Cluster::joined(2, &still(Config::lan()));
    cluster.crash(1);
    cluster.sent.clear();
    let (request, start) = (indirect_ping(1, 9, true), cluster.now);
    cluster.act(0, |node, now| node.handle_packet(now, addr(5), &request)).unwrap();
    cluster.run_for(SECOND);
    let nack = cluster.sent.iter().find(|sent| sent.to == addr(5)).unwrap();
    assert!(matches!(&parts(&nack.bytes)[..], [Message::Nack(nack)] if nack.seq == SeqNo(9)));
    assert_eq!(nack.at.saturating_since(start), Duration::from_millis(400));
}

#[test]
fn the_probe_of_a_suspect_brings_the_accusation_with_it() {
    let config = Config { gossip_interval: None, ..Config::lan() };
    let mut cluster = Cluster::joined(2, &config);
    let suspect = accusation(Accuse::Suspect, 1, 0, 1);
    cluster.act(0, |node, now| node.handle_packet(now, addr(0), &suspect)).unwrap();
    cluster.sent.clear();
    assert!(cluster.run_until(3 * SECOND, |cluster| {
        cluster.sent.iter().any(|sent| sent.from == 0 && sent.cause == Cause::Probe)
    }));
    let probe = cluster.sent.iter().find(|sent| sent.cause == Cause::Probe).unwrap().clone();
    assert!(matches!(&parts(&probe.bytes)[..], [Message::Ping(_), Message::Suspect(_)]));
    assert_eq!(probe.bytes[0], 12, "a member that understands checksums gets one");
    assert!(cluster.run_until(SECOND, |cluster| cluster.state(0, 1) == Some(MemberState::Alive)));
}

#[test]
fn an_unmatched_ack_changes_nothing() {
    let mut cluster = Cluster::joined(2, &still(Config::lan()));
    let ack = encoded(&Message::Ack(Ack { seq: SeqNo(1), payload: Blob::Nil }));
    cluster.act(0, |node, now| node.handle_packet(now, addr(1), &ack)).unwrap();
    assert_eq!(cluster.node(0).stats().acks_unmatched, 1);
}

#[test]
fn the_dead_are_forgotten_after_a_while_and_may_come_back() {
    let config = Config { remember_dead: 60 * SECOND, ..Config::lan() };
    let mut cluster = Cluster::joined(3, &config);
    cluster.crash(2);
    assert!(cluster.run_until(300 * SECOND, |cluster| {
        (0..2).all(|index| cluster.state(index, 2).is_none())
    }));
    assert!(cluster.facts(0).iter().any(|fact| matches!(fact, Fact::Reaped { .. })));
    cluster.start(2, Config::lan());
    cluster.act(2, |node, now| node.join(now, &[addr(0)]));
    assert!(cluster.run_until(30 * SECOND, |cluster| {
        (0..3).all(|index| cluster.node(index).live_members() == 3)
    }));
}

#[test]
fn a_member_that_restarts_before_it_is_missed_is_reported_as_restarted() {
    let mut cluster = Cluster::joined(3, &Config::lan());
    cluster.run_for(10 * SECOND);
    cluster.facts(0);
    cluster.crash(2);
    cluster.start(2, Config::lan());
    cluster.act(2, |node, now| node.join(now, &[addr(0)]));
    cluster.run_for(10 * SECOND);
    let told = cluster.facts(0);
    assert!(told.iter().any(|fact| matches!(fact, Fact::Restarted { .. })), "{told:?}");
    assert!(!told.iter().any(|fact| matches!(fact, Fact::Failed { .. })));
}
