//! Getting to know a cluster.

mod util;

use std::time::Duration;

use bytes::Bytes;
use rumormill::{Channel, Config, Fact, Key, Keyring, StreamFailure};
use util::{Cluster, addr, name};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_join_makes_both_sides_know_each_other_at_once() {
    let mut cluster = Cluster::new(2, &Config::lan());
    cluster.act(1, |node, now| node.join(now, &[addr(0)]));
    cluster.run_for(Duration::from_millis(10));
    assert_eq!(cluster.node(0).live_members(), 2);
    assert_eq!(cluster.node(1).live_members(), 2);
    let told = cluster.facts(1);
    assert!(
        told.iter().any(|fact| matches!(fact, Fact::Joined { name, .. } if *name == util::name(0)))
    );
    assert!(told.iter().any(|fact| matches!(fact, Fact::SeedReached { seed } if *seed == addr(0))));
}

#[test]
fn newcomers_spread_by_gossip() {
    let cluster = Cluster::joined(20, &Config::lan());
    for index in 0..20 {
        assert_eq!(cluster.node(index).members().count(), 20);
    }
}

#[test]
fn the_own_address_among_the_seeds_is_skipped() {
    let mut cluster = Cluster::new(1, &Config::lan());
    cluster.act(0, |node, now| node.join(now, &[addr(0)]));
    assert_eq!(cluster.node(0).seeds_waiting(), 0);
    assert_eq!(cluster.node(0).stats().streams, 0);
}

#[test]
fn a_seed_that_nobody_wants_any_more_is_not_tried_again() {
    let mut cluster = Cluster::new(1, &Config::lan());
    cluster.act(0, |node, now| node.join(now, &[addr(8), addr(9)]));
    cluster.act(0, |node, _| node.forget_seeds(&[addr(9)]));
    assert_eq!(cluster.node(0).seeds_waiting(), 1);
    cluster.run_for(60 * SECOND);
    let told = cluster.facts(0);
    let failed = |seed| {
        told.iter().any(|fact| matches!(fact, Fact::SeedFailed { seed: s, .. } if *s == seed))
    };
    assert!(failed(addr(8)) && !failed(addr(9)), "{told:?}");
}

#[test]
fn seeds_beyond_the_limit_are_counted() {
    let mut cluster = Cluster::new(1, &Config::lan());
    let seeds: Vec<_> = (1..=rumormill::SEEDS_MAX + 3).map(addr).collect();
    cluster.act(0, |node, now| node.join(now, &seeds));
    let stats = cluster.node(0).stats();
    assert_eq!((stats.seeds_refused, stats.streams_refused), (3, 0));
}

#[test]
fn state_too_long_for_peers_is_left_out_and_counted() {
    let mut cluster = Cluster::new(2, &Config::lan());
    let max = rumormill::wire::stream::USER_STATE_MAX as usize;
    cluster.act(0, |node, _| {
        node.set_channel_state(Channel(1), Bytes::from(vec![7; max]));
    });
    cluster.act(1, |node, now| node.join(now, &[addr(0)]));
    cluster.run_for(SECOND);
    assert_eq!(cluster.node(1).live_members(), 2, "the members are exchanged all the same");
    assert!(cluster.node(0).stats().channel_states_unsent > 0);
}

#[test]
fn an_unreachable_seed_is_retried_until_it_answers() {
    let mut cluster = Cluster::new(2, &Config::lan());
    cluster.crash(0);
    cluster.act(1, |node, now| node.join(now, &[addr(0)]));
    cluster.run_for(60 * SECOND);
    let failures: Vec<_> = cluster
        .facts(1)
        .into_iter()
        .filter_map(|fact| match fact {
            Fact::SeedFailed { attempts, reason, .. } => Some((attempts, reason)),
            _ => None,
        })
        .collect();
    assert!(failures.len() >= 4, "{failures:?}");
    assert!(failures.iter().all(|(_, reason)| *reason == StreamFailure::Connection));
    cluster.start(0, Config::lan());
    assert!(cluster.run_until(60 * SECOND, |cluster| cluster.node(1).live_members() == 2));
    assert_eq!(cluster.node(1).seeds_waiting(), 0);
}

#[test]
fn a_seed_that_swallows_everything_costs_the_stream_timeout() {
    let mut cluster = Cluster::new(2, &Config::lan());
    cluster.cut(1, 0);
    cluster.act(1, |node, now| node.join(now, &[addr(0)]));
    cluster.run_for(Config::lan().stream_timeout - Duration::from_millis(1));
    assert!(!cluster.facts(1).iter().any(|fact| matches!(fact, Fact::SeedFailed { .. })));
    cluster.run_for(Duration::from_millis(1));
    let told = cluster.facts(1);
    let timed_out = |fact: &Fact| {
        matches!(fact, Fact::SeedFailed { reason: StreamFailure::TimedOut, attempts: 1, .. })
    };
    assert!(told.iter().any(timed_out), "{told:?}");
}

#[test]
fn clusters_with_different_labels_do_not_merge() {
    let labelled = |label: &str| Config { label: label.into(), ..Config::lan() };
    let mut cluster = Cluster::with(3, |index| labelled(if index == 2 { "green" } else { "blue" }));
    for index in 1..3 {
        cluster.act(index, |node, now| node.join(now, &[addr(0)]));
    }
    cluster.run_for(10 * SECOND);
    let live: Vec<_> = (0..3).map(|index| cluster.node(index).live_members()).collect();
    assert_eq!(live, [2, 2, 1]);
}

#[test]
fn a_label_is_needed_to_join_a_labelled_cluster_with_and_without_a_key() {
    let mut with_key = Keyring::new();
    with_key.install(Key::new(&[7; 16]).unwrap()).unwrap();
    for keyring in [Keyring::new(), with_key] {
        let labels = ["blah", "blah", "", "not-blah"];
        let config = Config { keyring, ..Config::lan() };
        let mut cluster =
            Cluster::with(4, |index| Config { label: labels[index].into(), ..config.clone() });
        for (index, live) in [(1, 2), (2, 1), (3, 1)] {
            cluster.act(index, |node, now| node.join(now, &[addr(0)]));
            cluster.run_for(SECOND);
            assert_eq!(cluster.node(index).live_members(), live, "label {:?}", labels[index]);
            assert_eq!(cluster.node(0).live_members(), 2);
        }
        assert!(cluster.node(0).stats().streams_failed > 0);
    }
}

/// One that accepts the connection and then says nothing.
#[test]
fn a_seed_that_never_answers_fails_in_time() {
    let config = Config { stream_timeout: Duration::from_millis(50), ..Config::lan() };
    let mut cluster = Cluster::new(2, &config);
    cluster.cut(0, 1);
    cluster.act(1, |node, now| node.join(now, &[addr(0)]));
    let failed = |cluster: &Cluster| {
        let mut events = cluster.events[1].iter();
        events.any(|event| matches!(event.fact, Fact::SeedFailed { .. }))
    };
    assert!(cluster.run_until(Duration::from_millis(60), failed));
    assert!(cluster.now >= rumormill::Instant::ZERO + config.stream_timeout);
    assert_eq!(cluster.node(1).live_members(), 1);
}

#[test]
fn a_late_joiner_gets_the_state_of_all_channels() {
    let mut cluster = Cluster::new(2, &Config::lan());
    let (one, two) = (Channel(1), Channel(2));
    cluster.act(0, |node, _| {
        node.set_channel_state(one, Bytes::from_static(b"first"));
        node.set_channel_state(two, Bytes::from(vec![7; 100_000]));
    });
    cluster.act(1, |node, _| node.set_channel_state(one, Bytes::from_static(b"mine")));
    cluster.act(1, |node, now| node.join(now, &[addr(0)]));
    cluster.run_for(SECOND);
    let states = |facts: Vec<Fact>| -> Vec<(u16, Bytes)> {
        let state = |fact| match fact {
            Fact::PeerState { channel, bytes, .. } => Some((channel.0, bytes)),
            _ => None,
        };
        facts.into_iter().filter_map(state).collect()
    };
    let at_joiner = states(cluster.facts(1));
    assert!(at_joiner.contains(&(1, Bytes::from_static(b"first"))));
    assert!(at_joiner.contains(&(2, Bytes::from(vec![7; 100_000]))));
    // The joiner held its own state back from a stranger; a second exchange brings it.
    assert_eq!(states(cluster.facts(0)), [(1, Bytes::from_static(b"mine"))]);
}

#[test]
fn incompatible_versions_refuse_the_whole_exchange() {
    let serf = Config { delegate_version: [2, 5, 4], ..Config::lan() };
    let mut cluster =
        Cluster::with(2, |index| if index == 0 { serf.clone() } else { Config::lan() });
    cluster.act(1, |node, now| node.join(now, &[addr(0)]));
    cluster.run_for(SECOND);
    assert_eq!(cluster.node(0).live_members(), 1);
    assert_eq!(cluster.node(1).live_members(), 1);
    assert!(cluster.node(0).stats().push_pulls_incompatible > 0);
}

/// Such a record would make every later push/pull fail, with whomever.
#[test]
fn a_statement_with_versions_unlike_ours_does_not_block_joins() {
    for versions in [[1, 7, 6, 0, 0, 0], [3, 5, 3, 0, 0, 0], [1, 5, 2, 2, 5, 4]] {
        let mut cluster = Cluster::new(3, &Config::lan());
        cluster.act(1, |node, now| node.join(now, &[addr(0)]));
        cluster.run_for(SECOND);
        let ghost = util::alive_with_versions(9, addr(9), 1, versions);
        cluster.act(0, |node, now| node.handle_packet(now, addr(9), &ghost)).unwrap();
        assert_eq!(cluster.node(0).stats().claims_refused, 1);
        cluster.act(2, |node, now| node.join(now, &[addr(0)]));
        cluster.run_for(SECOND);
        assert_eq!(cluster.node(2).live_members(), 3, "{versions:?}");
    }
}

#[test]
fn versions_that_a_node_never_said_of_itself_are_refuted() {
    let mut cluster = Cluster::new(1, &Config::lan());
    let forged = util::alive_with_versions(0, addr(0), 1, [1, 7, 6, 0, 0, 0]);
    cluster.act(0, |node, now| node.handle_packet(now, addr(9), &forged)).unwrap();
    assert_eq!(cluster.node(0).stats().refutations, 1);
}

#[test]
fn nobody_beyond_the_limit_is_taken_in() {
    let config = Config { members_max: 3, ..Config::lan() };
    let mut cluster =
        Cluster::with(5, |index| if index == 0 { config.clone() } else { Config::lan() });
    for index in 1..5 {
        cluster.act(index, |node, now| node.join(now, &[addr(0)]));
    }
    cluster.run_for(5 * SECOND);
    assert_eq!(cluster.node(0).members().count(), 3);
    assert!(cluster.node(0).stats().members_refused > 0);
}

#[test]
fn names_at_one_address_are_limited() {
    let mut cluster = Cluster::new(1, &Config::lan());
    for index in 1..100 {
        let alive = util::alive_message(index, addr(200), 1);
        cluster.act(0, |node, now| node.handle_packet(now, addr(200), &alive)).unwrap();
    }
    assert_eq!(cluster.node(0).members().count(), 1 + 16);
    assert_eq!(cluster.node(0).stats().members_refused, 99 - 16);
}

#[test]
fn two_nodes_with_one_name_are_reported_and_the_first_keeps_it() {
    let mut cluster = Cluster::joined(2, &Config::lan());
    cluster.facts(0);
    let twin = util::alive_message(1, addr(9), 5);
    for _ in 0..3 {
        cluster.act(0, |node, now| node.handle_packet(now, addr(9), &twin)).unwrap();
    }
    let told = cluster.facts(0);
    assert!(
        matches!(&told[..], [Fact::Conflict { name: who, existing, other }]
            if *who == name(1) && *existing == addr(1) && *other == addr(9)),
        "told once: {told:?}"
    );
    assert_eq!(cluster.node(0).stats().conflicts, 3);
    assert_eq!(cluster.node(0).member(name(1).as_bytes()).unwrap().addr, addr(1));
}
