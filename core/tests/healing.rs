//! What brings a cluster together again: after partitions, lonely starts, standstills.

#![allow(clippy::unwrap_used, reason = "this is test code")]

mod util;

use std::time::Duration;

use rumormill::{Channel, Config, Fact, MemberState, Mode, Node, Stagger};
use util::{Cluster, addr};

const SECOND: Duration = Duration::from_secs(1);

fn all_see(cluster: &Cluster, size: usize) -> bool {
    (0..size).all(|index| cluster.node(index).live_members() == size)
}

fn part(cluster: &mut Cluster, size: usize, first: usize) {
    for (a, b) in (0..first).flat_map(|a| (first..size).map(move |b| (a, b))) {
        cluster.cut(a, b);
        cluster.cut(b, a);
    }
}

/// Longer than the dead are remembered: both sides have forgotten each other.
#[test]
fn a_partition_heals_however_long_it_lasted() {
    const SIZE: usize = 8;
    for (first, lasts) in [(4, 30), (4, 600), (1, 600), (7, 3_600)] {
        let mut cluster = Cluster::joined(SIZE, &Config::lan());
        part(&mut cluster, SIZE, first);
        cluster.run_for(lasts * SECOND);
        assert_eq!(cluster.node(0).live_members(), first);
        assert_eq!(cluster.node(SIZE - 1).live_members(), SIZE - first);
        cluster.heal();
        let healed_at = cluster.now;
        let healed = cluster.run_until(60 * SECOND, |cluster| all_see(cluster, SIZE));
        let took = cluster.now.saturating_since(healed_at);
        assert!(healed, "{first} against the rest for {lasts} s: not together after {took:?}");
    }
}

#[test]
fn without_healing_a_long_partition_stays() {
    let config = Config { heal_interval: None, ..Config::lan() };
    let mut cluster = Cluster::joined(4, &config);
    part(&mut cluster, 4, 2);
    cluster.run_for(600 * SECOND);
    cluster.heal();
    assert!(!cluster.run_until(600 * SECOND, |cluster| all_see(cluster, 4)));
}

#[test]
fn whoever_said_goodbye_is_left_alone() {
    let mut cluster = Cluster::joined(3, &Config::lan());
    cluster.act(2, Node::leave);
    cluster.run_for(10 * SECOND);
    cluster.crash(2);
    cluster.run_for(300 * SECOND);
    for index in 0..2 {
        assert_eq!(cluster.node(index).stats().heals_tried, 0);
    }
}

/// Its seed was there once, both started anew, and nobody asked to join again.
#[test]
fn seeds_are_tried_again_when_they_are_no_members() {
    let mut cluster = Cluster::new(2, &Config::lan());
    cluster.act(1, |node, now| node.join(now, &[addr(0)]));
    cluster.run_for(SECOND);
    assert!(all_see(&cluster, 2));
    cluster.act(0, Node::leave);
    cluster.run_for(10 * SECOND);
    cluster.crash(0);
    cluster.run_for(300 * SECOND);
    cluster.start(0, Config::lan());
    assert!(cluster.run_until(60 * SECOND, |cluster| all_see(cluster, 2)));
}

#[test]
fn a_node_that_stood_still_condemns_nobody_and_survives() {
    const SIZE: usize = 5;
    for stood in [2, 20, 300] {
        let mut cluster = Cluster::joined(SIZE, &Config::lan());
        cluster.run_for(10 * SECOND);
        cluster.stand_still(2, stood * SECOND);
        cluster.run_for((stood + 30) * SECOND);
        assert_eq!(cluster.node(2).stats().pauses, 1);
        for fact in cluster.facts(2) {
            assert!(!matches!(fact, Fact::Failed { .. } | Fact::Suspected { .. }), "{fact:?}");
        }
        assert!(cluster.run_until(90 * SECOND, |cluster| all_see(cluster, SIZE)), "{stood} s");
    }
}

/// The timers run before what has come meanwhile is read.
#[test]
fn a_probe_that_was_to_fail_next_does_not_fail_at_the_moment_of_waking() {
    let config = Config { probe_interval: Some(SECOND), ..util::still(Config::lan()) };
    let mut cluster = Cluster::new(2, &config);
    cluster.join_pairwise();
    cluster.run_for(5 * SECOND);
    let probes = |cluster: &Cluster| cluster.node(0).stats().probes;
    let before = probes(&cluster);
    cluster.latency = 300 * SECOND / 1_000;
    assert!(cluster.run_until(2 * SECOND, |cluster| probes(cluster) > before));
    // The answer is on its way, and the probe's end comes next.
    cluster.run_for(550 * SECOND / 1_000);
    cluster.now += 5 * SECOND;
    cluster.act(0, Node::handle_tick);
    assert_eq!(cluster.node(0).stats().pauses, 1);
    cluster.run_for(SECOND);
    let told = cluster.facts(0);
    assert!(!told.iter().any(|fact| matches!(fact, Fact::Suspected { .. })), "{told:?}");
}

#[test]
fn a_suspicion_that_ran_while_we_stood_still_gets_its_time_back() {
    let mut cluster = Cluster::joined(3, &Config::lan());
    cluster.isolate(2);
    let suspected =
        cluster.run_until(20 * SECOND, |cluster| cluster.state(0, 2) == Some(MemberState::Suspect));
    assert!(suspected);
    // The suspect is there again, and the one that suspects it hears of nothing until too late.
    cluster.stand_still(0, 60 * SECOND);
    cluster.heal();
    cluster.run_for(90 * SECOND);
    let told = cluster.facts(0);
    assert!(!told.iter().any(|fact| matches!(fact, Fact::Failed { .. })), "{told:?}");
    assert_eq!(cluster.state(0, 2), Some(MemberState::Alive));
}

/// Node 0, alone among nodes that say nothing by themselves, suspects node 4, which is out of reach.
fn suspicious() -> Cluster {
    let still = util::still(Config::lan());
    // As rare as exchanges of state are in a large cluster.
    let rare = Some(3_600 * SECOND);
    let probing = Config {
        gossip_interval: None,
        push_pull_interval: rare,
        stagger: Stagger::Start,
        heal_interval: None,
        ..Config::lan()
    };
    let mut cluster =
        Cluster::with(5, |index| if index == 0 { probing.clone() } else { still.clone() });
    cluster.join_pairwise();
    cluster.isolate(4);
    let suspects = |cluster: &Cluster| cluster.state(0, 4) == Some(MemberState::Suspect);
    assert!(cluster.run_until(20 * SECOND, suspects));
    cluster
}

/// Its suspicion is about to end when it falls asleep, and what was said meanwhile has passed it by.
#[test]
fn a_node_that_wakes_asks_before_it_condemns() {
    let mut twin = suspicious();
    let begun = twin.now;
    let condemned = |cluster: &Cluster| cluster.state(0, 4) == Some(MemberState::Dead);
    assert!(twin.run_until(60 * SECOND, condemned));
    let lasts = twin.now.saturating_since(begun);
    let mut cluster = suspicious();
    cluster.run_for(lasts - SECOND / 20);
    cluster.heal();
    cluster.stand_still(0, 600 * SECOND);
    cluster.hear(4, 1, &util::accusation(util::Accuse::Suspect, 4, 1, 1));
    for index in 1..4 {
        cluster.hear(index, 4, &util::alive_message(4, addr(4), 2));
        cluster.settle(index, 4);
    }
    cluster.settle(4, 1);
    cluster.run_for(610 * SECOND);
    let told = cluster.facts(0);
    assert!(!told.iter().any(|fact| matches!(fact, Fact::Failed { .. })), "{told:?}");
    assert_eq!(cluster.state(0, 4), Some(MemberState::Alive));
    assert_eq!(cluster.node(0).stats().pauses, 1);
}

/// A death that waited in the socket is as old as the sleep, and its contradiction may have been
/// lost.
#[test]
fn a_death_that_was_told_while_a_node_slept_is_a_suspicion_until_something_fresh_comes() {
    let config = Config { probe_interval: Some(SECOND), ..util::still(Config::lan()) };
    for (pause, state) in [(60, MemberState::Suspect), (0, MemberState::Dead)] {
        let mut cluster = Cluster::with(4, |index| match index {
            0 => config.clone(),
            _ => util::still(Config::lan()),
        });
        cluster.join_pairwise();
        cluster.run_for(5 * SECOND);
        cluster.now += pause * SECOND;
        let death = util::accusation(util::Accuse::Dead, 3, 1, 1);
        cluster.hear(0, 1, &death);
        assert_eq!(cluster.state(0, 3), Some(state), "after {pause} s");
        // Two ticks: the probe that was under way may be answered from before.
        cluster.run_for(3 * SECOND);
        let death = util::accusation(util::Accuse::Dead, 2, 1, 1);
        cluster.hear(0, 1, &death);
        assert_eq!(cluster.state(0, 2), Some(MemberState::Dead), "something fresh has come");
    }
}

/// Hundreds of members are news at the same time, here by their goodbyes, so that nobody gossips with
/// them: rumours get half of every datagram, and what needs a whole one gets every other.
#[test]
fn news_of_members_does_not_starve_rumours() {
    const SIZE: usize = 4;
    for len in [600, 1_200] {
        let config = Config { rumor_mode: Mode::Classic, ..Config::lan() };
        let mut cluster = Cluster::joined(SIZE, &config);
        cluster.run_for(30 * SECOND);
        for stranger in 100..700 {
            let alive = util::alive_message(stranger, addr(stranger), 1);
            let goodbye = util::accusation(util::Accuse::Dead, stranger, stranger, 1);
            for message in [alive, goodbye] {
                cluster.act(0, |node, now| node.handle_packet(now, addr(1), &message)).unwrap();
            }
        }
        cluster.act(0, |node, now| node.broadcast(now, Channel(1), &vec![7; len])).unwrap();
        assert!(cluster.node(0).updates_waiting() > 500);
        cluster.run_for(SECOND);
        assert!(cluster.node(0).updates_waiting() > 300, "there is still much to tell");
        for index in 1..SIZE {
            let told = cluster.facts(index);
            let is_told = told.iter().any(|fact| matches!(fact, Fact::Rumor { .. }));
            assert!(is_told, "node {index}, {len} bytes");
        }
    }
}
