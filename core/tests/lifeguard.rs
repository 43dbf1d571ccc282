//! One prober and what it hears: the course of a probe, the node's view of its own health, and how
//! long a suspicion lasts.
//!
//! Node 0 is the only one that runs. The others are names at addresses where nobody answers unless
//! the test does.

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "this is test code")]

mod util;

use std::time::Duration;

use rumormill::wire::message::{Ack, IndirectPing, Message, Nack};
use rumormill::wire::msgpack::Blob;
use rumormill::{Cause, Config, Instant, MemberState, SeqNo};
use util::{
    Accuse, Cluster, Sent, accusation, addr, alive, blob, encoded, indirect_ping, name, parts,
    still,
};

const MILLI: Duration = Duration::from_millis(1);
const INTERVAL: Duration = Duration::from_millis(200);
const TIMEOUT: Duration = Duration::from_millis(10);

fn probing() -> Config {
    Config { probe_interval: Some(INTERVAL), probe_timeout: TIMEOUT, ..still(Config::lan()) }
}

/// Node 0 and this many others that understand protocols up to `protocol_max`.
fn prober(others: usize, protocol_max: u8) -> Cluster {
    let mut world = Cluster::new(1, &probing());
    for index in 1..=others {
        let vsn = [1, protocol_max, 2, 0, 0, 0];
        world.hear(0, index, &alive(index, |alive| alive.vsn = blob(&vsn)));
    }
    world
}

/// A probe that has just begun.
#[derive(Clone, Copy, Debug)]
struct Begun {
    at: Instant,
    target: usize,
    seq: SeqNo,
}

fn index_at(sent: &Sent) -> usize {
    (0..100).find(|&index| addr(index) == sent.to).unwrap()
}

fn next_probe(world: &mut Cluster) -> Begun {
    world.sent.clear();
    let is_probe = |sent: &Sent| sent.cause == Cause::Probe;
    assert!(world.run_until(8 * INTERVAL, |world| world.sent.iter().any(is_probe)));
    let sent = world.sent.iter().find(|sent| is_probe(sent)).unwrap();
    let Message::Ping(ping) = &parts(&sent.bytes)[0] else { panic!("a probe is a ping") };
    Begun { at: sent.at, target: index_at(sent), seq: ping.seq }
}

fn ack(world: &mut Cluster, from: usize, seq: SeqNo) {
    world.hear(0, from, &encoded(&Message::Ack(Ack { seq, payload: Blob::Nil })));
}

fn nack(world: &mut Cluster, from: usize, seq: SeqNo) {
    world.hear(0, from, &encoded(&Message::Nack(Nack { seq })));
}

/// The members asked to probe for node 0, and whether a nack was wanted of them.
fn asked(world: &Cluster, probe: Begun) -> Vec<(usize, bool)> {
    let requests = world.sent.iter().filter(|sent| sent.cause == Cause::ProbeRequest);
    let request = |sent: &Sent| {
        let parts = parts(&sent.bytes);
        let Message::IndirectPing(request) = &parts[0] else { panic!("a request") };
        let IndirectPing { seq, target, port, node, .. } = request;
        assert_eq!((*seq, &**node), (probe.seq, name(probe.target).as_bytes()));
        assert_eq!((&target[..], *port), (&[10, 0, 0, probe.target as u8 + 1][..], 7_946));
        (index_at(sent), request.nack)
    };
    requests.map(request).collect()
}

/// Lets node 0 accuse itself of being slow once.
fn degrade(world: &mut Cluster) {
    world.hear(0, 1, &accusation(Accuse::Suspect, 0, 1, world.node(0).local().incarnation.0));
    assert_eq!(world.node(0).health(), 1);
}

fn is_suspect(world: &Cluster, probe: Begun) -> bool {
    world.state(0, probe.target) == Some(MemberState::Suspect)
}

/// Runs until the target is suspect, and says how long its probe took.
fn fail(world: &mut Cluster, probe: Begun) -> Duration {
    assert!(world.run_until(4 * INTERVAL, |world| is_suspect(world, probe)));
    world.now.saturating_since(probe.at)
}

// ── The course of a probe ───────────────────────────────────────────────────────────────────────

#[test]
fn a_probe_of_a_live_member_uses_one_number_and_changes_nothing() {
    let mut world = prober(2, 5);
    let first = next_probe(&mut world);
    ack(&mut world, first.target, first.seq);
    world.run_for(INTERVAL / 2);
    assert!(asked(&world, first).is_empty());
    let second = next_probe(&mut world);
    assert_eq!(second.seq.0, first.seq.0.wrapping_add(1));
    assert_eq!(second.at.saturating_since(first.at), INTERVAL);
    assert_ne!(second.target, first.target, "each member once in a round");
    assert_eq!((world.node(0).health(), world.node(0).live_members()), (0, 3));
}

#[test]
fn a_silent_member_is_suspected_after_others_were_asked() {
    let mut world = prober(3, 5);
    let probe = next_probe(&mut world);
    world.run_for(TIMEOUT - MILLI);
    assert!(asked(&world, probe).is_empty());
    world.run_for(MILLI);
    let others: Vec<_> = (1..=3).filter(|&index| index != probe.target).collect();
    let mut relays = asked(&world, probe);
    relays.sort_unstable();
    assert_eq!(relays, others.iter().map(|&index| (index, true)).collect::<Vec<_>>());
    assert_eq!(fail(&mut world, probe), INTERVAL);
}

#[test]
fn an_ack_by_way_of_others_ends_the_probe_even_after_nacks() {
    let mut world = prober(3, 5);
    let probe = next_probe(&mut world);
    world.run_for(TIMEOUT);
    let relays = asked(&world, probe);
    nack(&mut world, relays[0].0, probe.seq);
    assert!(!is_suspect(&world, probe));
    world.run_for(INTERVAL - TIMEOUT - MILLI);
    ack(&mut world, relays[1].0, probe.seq);
    world.run_for(MILLI);
    assert!(!is_suspect(&world, probe));
    assert_eq!((world.node(0).health(), world.node(0).stats().acks_unmatched), (0, 0));
}

#[test]
fn an_answer_counts_while_its_probe_runs_and_once() {
    let mut world = prober(1, 5);
    let probe = next_probe(&mut world);
    ack(&mut world, probe.target, SeqNo(probe.seq.0.wrapping_add(1)));
    assert_eq!(world.node(0).stats().acks_unmatched, 1, "another number");
    ack(&mut world, probe.target, probe.seq);
    ack(&mut world, probe.target, probe.seq);
    nack(&mut world, probe.target, probe.seq);
    assert_eq!(world.node(0).stats().acks_unmatched, 3);
    let late = next_probe(&mut world);
    fail(&mut world, late);
    ack(&mut world, late.target, late.seq);
    assert_eq!(world.node(0).stats().acks_unmatched, 4, "after the end of its time");
    assert!(is_suspect(&world, late));
}

#[test]
fn a_relay_forgets_a_request_after_its_timeout() {
    let mut world = prober(2, 5);
    let relayed = |world: &Cluster| {
        let sent = world.sent.iter().find(|sent| sent.cause == Cause::RelayedProbe).unwrap();
        let Message::Ping(ping) = &parts(&sent.bytes)[0] else { panic!("a probe is a ping") };
        ping.seq
    };
    for (nack, delay, answers) in
        [(false, TIMEOUT - MILLI, 1), (false, TIMEOUT, 0), (true, TIMEOUT, 1)]
    {
        world.sent.clear();
        world.hear(0, 2, &indirect_ping(1, 9, nack));
        let ours = relayed(&world);
        assert_ne!(ours, SeqNo(9), "the relay counts for itself");
        world.run_for(delay);
        ack(&mut world, 1, ours);
        let to_requester = world.sent.iter().filter(|sent| sent.to == addr(2));
        let answers_sent = to_requester.filter(|sent| sent.cause != Cause::Probe).count();
        assert_eq!(answers_sent, answers, "nack {nack} after {delay:?}");
    }
}

// ── The own health ──────────────────────────────────────────────────────────────────────────────

#[test]
fn a_degraded_node_probes_for_twice_as_long_and_all_nacks_keep_its_score() {
    let mut world = prober(3, 5);
    degrade(&mut world);
    let probe = next_probe(&mut world);
    world.run_for(TIMEOUT);
    for (relay, _) in asked(&world, probe) {
        nack(&mut world, relay, probe.seq);
    }
    assert_eq!(fail(&mut world, probe), 2 * INTERVAL);
    assert_eq!(world.node(0).health(), 1);
}

#[test]
fn a_missing_nack_is_held_against_oneself() {
    let mut world = prober(3, 5);
    let probe = next_probe(&mut world);
    world.run_for(TIMEOUT);
    let relays = asked(&world, probe);
    nack(&mut world, relays[0].0, probe.seq);
    nack(&mut world, relays[0].0, probe.seq);
    nack(&mut world, probe.target, probe.seq);
    assert_eq!(fail(&mut world, probe), INTERVAL);
    assert_eq!(world.node(0).health(), 1, "one of two is missing");
}

#[test]
fn relays_of_old_protocols_are_asked_and_owe_no_nack() {
    let mut world = prober(3, 3);
    let probe = next_probe(&mut world);
    world.run_for(TIMEOUT);
    let relays = asked(&world, probe);
    assert_eq!(relays.len(), 2);
    assert!(relays.iter().all(|&(_, nack)| !nack));
    fail(&mut world, probe);
    assert_eq!(world.node(0).health(), 1, "one for the failure");
}

#[test]
fn an_answered_probe_improves_the_score() {
    let mut world = prober(2, 5);
    degrade(&mut world);
    let probe = next_probe(&mut world);
    ack(&mut world, probe.target, probe.seq);
    assert_eq!(world.node(0).health(), 0);
}

// ── How long a suspicion lasts ──────────────────────────────────────────────────────────────────

/// A cluster of `size` in which member 1 has just been accused by member 2. Nobody is probed, so
/// that node 0 is no accuser; its interval then counts as one second.
fn accused(size: usize) -> Cluster {
    let mut world = Cluster::new(
        1,
        &Config { suspicion_mult: 5, suspicion_max_mult: 2, ..still(Config::lan()) },
    );
    for index in 1..size {
        world.hear(0, index, &alive(index, |_| ()));
    }
    world.hear(0, 2, &accusation(Accuse::Suspect, 1, 2, 1));
    world
}

fn confirm(world: &mut Cluster, by: usize) {
    world.hear(0, by, &accusation(Accuse::Suspect, 1, by, 1));
}

fn is_dead(world: &Cluster) -> bool {
    world.state(0, 1) == Some(MemberState::Dead)
}

/// The cases of memberlist's own test, with an interval ten times as long.
#[test]
fn a_suspicion_lasts_as_memberlists_cases_say() {
    for (size, confirmers, millis) in [
        (2, &[][..], 5_000),
        (3, &[], 5_000),
        (4, &[], 5_000),
        (5, &[], 10_000),
        (6, &[2, 2], 10_000),
        (6, &[3, 3], 7_500),
        (6, &[3, 4], 6_037),
        (6, &[3, 4, 5], 5_000),
        (6, &[3, 4, 5, 0], 5_000),
    ] {
        let mut world = accused(size);
        let start = world.now;
        for &by in confirmers {
            confirm(&mut world, by);
        }
        assert!(world.run_until(20_000 * MILLI, is_dead));
        let took = world.now.saturating_since(start).as_millis();
        assert_eq!(took, millis, "{size} members, confirmed by {confirmers:?}");
    }
}

#[test]
fn a_confirmation_after_the_shortened_time_condemns_at_once_and_once() {
    let mut world = accused(6);
    world.run_for(8_000 * MILLI);
    assert!(!is_dead(&world));
    confirm(&mut world, 3);
    assert!(world.run_until(Duration::ZERO, is_dead));
    world.facts(0);
    for late in [4, 5] {
        confirm(&mut world, late);
    }
    world.run_for(10_000 * MILLI);
    assert!(world.facts(0).is_empty(), "nothing more comes of it");
}

#[test]
fn a_confirmation_is_passed_on_while_it_counts() {
    let mut world = accused(6);
    world.settle(0, 2);
    confirm(&mut world, 3);
    assert_eq!(world.news(0, 2), ["suspect node-1 at 1 by node-3"]);
    world.settle(0, 2);
    confirm(&mut world, 3);
    confirm(&mut world, 2);
    assert!(world.news(0, 2).is_empty(), "both were counted before");
}

#[test]
fn a_confirmation_by_the_dead_does_not_count() {
    for (state, millis) in [(Accuse::Suspect, 7_500), (Accuse::Dead, 10_000)] {
        let mut world = accused(6);
        let start = world.now;
        world.hear(0, 4, &accusation(state, 3, 4, 1));
        confirm(&mut world, 3);
        assert!(world.run_until(20_000 * MILLI, is_dead));
        assert_eq!(world.now.saturating_since(start).as_millis(), millis);
    }
}
