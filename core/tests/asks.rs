//! What the application may refuse: newcomers, merges, networks.

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "this is test code")]

mod util;

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use rumormill::{
    ASK_TIMEOUT, ASKED_JOINS_MAX, AskId, Channel, Config, ConfigError, Fact, MemberState, Params,
    StreamFailure, Verdict,
};
use util::{Accuse, Cluster, accusation, addr, name, still};

const SECOND: Duration = Duration::from_secs(1);

fn asks_joins() -> Config {
    Config { ask_joins: true, ..Config::lan() }
}

fn asks_merges() -> Config {
    Config { ask_merges: true, ..Config::lan() }
}

/// Node `index` says at node 0 that it is alive.
fn say_alive(cluster: &mut Cluster, index: usize, at: SocketAddr, incarnation: u32) {
    let alive = util::alive_message(index, at, incarnation);
    cluster.act(0, |node, now| node.handle_packet(now, at, &alive)).unwrap();
}

fn asked_joins(cluster: &mut Cluster) -> Vec<(AskId, SocketAddr)> {
    let ask = |fact| match fact {
        Fact::AskJoin { ask, addr, .. } => Some((ask, addr)),
        _ => None,
    };
    cluster.facts(0).into_iter().filter_map(ask).collect()
}

fn asked_merges(
    cluster: &mut Cluster,
    index: usize,
) -> Vec<(AskId, Option<SocketAddr>, Vec<String>)> {
    let ask = |fact| match fact {
        Fact::AskMerge { ask, seed, members, total, .. } => {
            assert_eq!(members.len(), total as usize);
            let names = members.iter().map(|member| member.name.to_string()).collect();
            Some((ask, seed, names))
        }
        _ => None,
    };
    cluster.facts(index).into_iter().filter_map(ask).collect()
}

fn answer(cluster: &mut Cluster, index: usize, ask: AskId, verdict: Verdict) -> bool {
    cluster.act(index, |node, now| node.answer(now, ask, verdict))
}

// ── Newcomers ───────────────────────────────────────────────────────────────────────────────────

#[test]
fn a_newcomer_waits_until_the_application_accepts_it() {
    let mut cluster = Cluster::new(1, &still(asks_joins()));
    for incarnation in [1, 2, 2, 5] {
        say_alive(&mut cluster, 1, addr(1), incarnation);
    }
    let asked = asked_joins(&mut cluster);
    assert_eq!(asked.len(), 1, "asked once: {asked:?}");
    assert_eq!(asked[0].1, addr(1));
    let node = cluster.node(0);
    assert_eq!((node.members().count(), node.updates_waiting()), (1, 1), "only what we say of us");
    assert!(answer(&mut cluster, 0, asked[0].0, Verdict::Accept));
    assert!(!answer(&mut cluster, 0, asked[0].0, Verdict::Accept), "nobody waits any more");
    let member = cluster.node(0).member(name(1).as_bytes()).unwrap();
    assert_eq!((member.state, member.incarnation.0), (MemberState::Alive, 5), "the newest word");
    say_alive(&mut cluster, 1, addr(1), 6);
    assert!(asked_joins(&mut cluster).is_empty(), "a member's own news needs no permission");
}

#[test]
fn a_refused_newcomer_is_not_asked_about_again_for_a_while() {
    let mut cluster = Cluster::new(1, &still(asks_joins()));
    say_alive(&mut cluster, 1, addr(1), 1);
    let asked = asked_joins(&mut cluster);
    answer(&mut cluster, 0, asked[0].0, Verdict::Refuse);
    for incarnation in 1..20 {
        say_alive(&mut cluster, 1, addr(1), incarnation);
    }
    assert!(asked_joins(&mut cluster).is_empty());
    assert_eq!(cluster.node(0).members().count(), 1);
    assert_eq!(cluster.node(0).stats().joins_refused, 20);
    // Who uses the same name elsewhere was not refused, and neither is it for ever.
    say_alive(&mut cluster, 1, addr(2), 1);
    assert_eq!(asked_joins(&mut cluster).len(), 1);
    cluster.run_for(60 * SECOND);
    say_alive(&mut cluster, 1, addr(1), 1);
    assert_eq!(asked_joins(&mut cluster).len(), 1);
}

#[test]
fn no_answer_in_time_is_a_refusal() {
    let mut cluster = Cluster::new(1, &still(asks_joins()));
    say_alive(&mut cluster, 1, addr(1), 1);
    let asked = asked_joins(&mut cluster);
    cluster.run_for(ASK_TIMEOUT - SECOND / 1_000);
    assert_eq!(cluster.node(0).stats().asks_expired, 0);
    cluster.run_for(SECOND / 1_000);
    assert_eq!(cluster.node(0).stats().asks_expired, 1);
    assert!(!answer(&mut cluster, 0, asked[0].0, Verdict::Accept));
    say_alive(&mut cluster, 1, addr(1), 1);
    assert!(asked_joins(&mut cluster).is_empty());
    assert_eq!(cluster.node(0).members().count(), 1);
}

#[test]
fn open_questions_are_limited() {
    let mut cluster = Cluster::new(1, &still(asks_joins()));
    for index in 1..=ASKED_JOINS_MAX + 1 {
        say_alive(&mut cluster, index, addr(index), 1);
    }
    assert_eq!(asked_joins(&mut cluster).len(), ASKED_JOINS_MAX);
    assert_eq!(cluster.node(0).stats().asks_dropped, 1);
}

#[test]
fn who_returns_from_the_dead_or_takes_over_a_name_is_asked_about() {
    let config = Config { reclaim_after: Some(SECOND), ..still(asks_joins()) };
    for (from, back_at) in [(2, addr(1)), (2, addr(7)), (1, addr(1)), (1, addr(7))] {
        let mut cluster = Cluster::new(1, &config);
        say_alive(&mut cluster, 1, addr(1), 1);
        let asked = asked_joins(&mut cluster);
        answer(&mut cluster, 0, asked[0].0, Verdict::Accept);
        let gone = accusation(Accuse::Dead, 1, from, 1);
        cluster.act(0, |node, now| node.handle_packet(now, addr(2), &gone)).unwrap();
        cluster.run_for(10 * SECOND);
        say_alive(&mut cluster, 1, back_at, 2);
        let asked = asked_joins(&mut cluster);
        assert_eq!(asked.iter().map(|ask| ask.1).collect::<Vec<_>>(), [back_at]);
        assert_ne!(cluster.state(0, 1), Some(MemberState::Alive));
        answer(&mut cluster, 0, asked[0].0, Verdict::Accept);
        let member = cluster.node(0).member(name(1).as_bytes()).unwrap();
        assert_eq!((member.state, member.addr), (MemberState::Alive, back_at));
    }
}

#[test]
fn a_newcomer_that_is_refused_after_the_exchange_has_our_list_all_the_same() {
    let mut cluster =
        Cluster::with(2, |index| if index == 0 { asks_joins() } else { Config::lan() });
    cluster.act(1, |node, now| node.join(now, &[addr(0)]));
    cluster.run_for(SECOND);
    for (ask, _) in asked_joins(&mut cluster) {
        answer(&mut cluster, 0, ask, Verdict::Refuse);
    }
    cluster.run_for(5 * SECOND);
    assert!(cluster.facts(1).iter().any(|fact| matches!(fact, Fact::SeedReached { .. })));
    assert_eq!(cluster.node(1).live_members(), 2);
    assert_eq!(cluster.node(0).live_members(), 1);
}

/// Names, addresses, deaths, verdicts and pauses in any order: the node checks itself at each drain.
#[test]
fn questions_keep_their_books_whatever_happens() {
    let mut rng = 7_u64;
    let mut below = |limit: u64| {
        rng = rng.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (rng >> 33) % limit
    };
    let config = Config { reclaim_after: Some(SECOND), ..asks_joins() };
    let mut cluster = Cluster::new(1, &config);
    let (mut open, mut settled) = (Vec::new(), 0);
    for _ in 0..3_000 {
        let (index, at) = (1 + below(5) as usize, addr(1 + below(7) as usize));
        match below(8) {
            0..4 => say_alive(&mut cluster, index, at, 1 + below(9) as u32),
            4 => {
                let from = if below(2) == 0 { index } else { 0 };
                let gone = accusation(Accuse::Dead, index, from, 9);
                cluster.act(0, |node, now| node.handle_packet(now, at, &gone)).unwrap();
            }
            5 => cluster.run_for(SECOND * below(12) as u32 / 4),
            _ => {
                open.extend(asked_joins(&mut cluster).iter().map(|ask| ask.0));
                let verdict = if below(4) == 0 { Verdict::Refuse } else { Verdict::Accept };
                if let Some(ask) = open.pop() {
                    settled += u32::from(answer(&mut cluster, 0, ask, verdict));
                }
            }
        }
    }
    let stats = cluster.node(0).stats();
    assert!(settled > 50, "{settled}");
    assert!(stats.joins_refused > 0 && stats.takeovers_held > 0 && stats.asks_expired > 0);
}

// ── Merges ──────────────────────────────────────────────────────────────────────────────────────

#[test]
fn a_list_waits_for_the_verdict_of_the_side_that_was_asked() {
    let mut cluster =
        Cluster::with(3, |index| if index == 0 { asks_merges() } else { Config::lan() });
    cluster.act(2, |node, now| node.join(now, &[addr(1)]));
    cluster.run_for(SECOND);
    let state = Bytes::from_static(b"theirs");
    cluster.act(1, |node, _| node.set_channel_state(Channel::BARE, state));
    cluster.cut_datagrams(1, 0);
    cluster.cut_datagrams(2, 0);
    cluster.act(1, |node, now| node.join(now, &[addr(0)]));
    cluster.run_for(SECOND);
    let asked = asked_merges(&mut cluster, 0);
    assert_eq!(asked.len(), 1);
    let (ask, seed, names) = &asked[0];
    assert_eq!((seed, &names[..]), (&None, &["node-1".to_owned(), "node-2".to_owned()][..]));
    assert_eq!(cluster.node(0).live_members(), 1, "nothing of the list is believed yet");
    let joiner = cluster.node(1);
    assert_eq!((joiner.live_members(), joiner.seeds_waiting()), (2, 1), "nor has it got ours");
    assert!(answer(&mut cluster, 0, *ask, Verdict::Accept));
    assert_eq!(cluster.node(0).live_members(), 3);
    cluster.run_for(SECOND);
    assert_eq!((cluster.node(1).live_members(), cluster.node(1).seeds_waiting()), (3, 0));
    // What the join held back for want of acquaintance follows, and is part of it.
    for (ask, _, _) in asked_merges(&mut cluster, 0) {
        answer(&mut cluster, 0, ask, Verdict::Accept);
    }
}

#[test]
fn a_refused_list_is_dropped_as_a_whole() {
    let mut cluster =
        Cluster::with(2, |index| still(if index == 0 { asks_merges() } else { Config::lan() }));
    cluster.act(1, |node, now| node.join(now, &[addr(0)]));
    cluster.run_for(SECOND);
    let asked = asked_merges(&mut cluster, 0);
    assert_eq!(asked.len(), 1);
    assert!(answer(&mut cluster, 0, asked[0].0, Verdict::Refuse));
    cluster.run_for(SECOND / 2);
    assert_eq!((cluster.node(0).live_members(), cluster.node(1).live_members()), (1, 1));
    assert_eq!(cluster.node(0).stats().merges_refused, 1);
    assert!(!cluster.facts(0).iter().any(|fact| matches!(fact, Fact::PeerState { .. })));
    let told = cluster.facts(1);
    let is_refusal = |fact: &Fact| {
        matches!(fact, Fact::SeedFailed { reason: StreamFailure::Refused(why), .. }
            if why == "the merge was refused")
    };
    assert!(told.iter().any(is_refusal), "the joiner knows: {told:?}");
    assert_eq!(cluster.node(1).seeds_waiting(), 1);
}

#[test]
fn a_verdict_about_somebody_who_hung_up_changes_nothing() {
    let mut cluster = Cluster::new(1, &still(asks_merges()));
    let stream = push_join(&mut cluster, 50_000);
    let asked = asked_merges(&mut cluster, 0);
    let failed = rumormill::StreamInput::Failed;
    cluster.act(0, |node, now| node.handle_stream(now, stream, failed)).unwrap();
    assert_eq!(cluster.node(0).streams_open(), 0);
    assert!(answer(&mut cluster, 0, asked[0].0, Verdict::Accept));
    let stats = cluster.node(0).stats();
    assert_eq!((stats.push_pulls_served, stats.merges_refused), (0, 0));
    assert_eq!(cluster.node(0).live_members(), 1);
}

/// A stranger begins a join with an empty list, from this port.
fn push_join(cluster: &mut Cluster, port: u16) -> rumormill::StreamId {
    let stranger = SocketAddr::from(([10, 9, 9, 9], port));
    let stream = cluster.act(0, |node, now| node.handle_accept(now, stranger)).unwrap();
    let mut request = Vec::new();
    let header =
        rumormill::wire::message::PushPullHeader { nodes: 0, user_state_len: 0, join: true };
    header.encode(&mut request).unwrap();
    let input = rumormill::StreamInput::Bytes(&request);
    cluster.act(0, |node, now| node.handle_stream(now, stream, input)).unwrap();
    stream
}

#[test]
fn a_join_that_the_joiners_own_application_refuses_fails_with_a_reason() {
    let mut cluster =
        Cluster::with(2, |index| still(if index == 1 { asks_merges() } else { Config::lan() }));
    cluster.act(1, |node, now| node.join(now, &[addr(0)]));
    cluster.run_for(SECOND / 2);
    let asked = asked_merges(&mut cluster, 1);
    assert_eq!((asked.len(), asked[0].1), (1, Some(addr(0))));
    assert_eq!(cluster.node(1).seeds_waiting(), 1, "the join is not over");
    answer(&mut cluster, 1, asked[0].0, Verdict::Refuse);
    let told = cluster.facts(1);
    assert!(
        told.iter().any(|fact| matches!(
            fact,
            Fact::SeedFailed { seed, reason: StreamFailure::Vetoed, .. } if *seed == addr(0)
        )),
        "{told:?}"
    );
    assert_eq!(cluster.node(1).live_members(), 1);
    // It is tried again, as any seed, and may then be accepted.
    cluster.run_for(2 * SECOND);
    let asked = asked_merges(&mut cluster, 1);
    answer(&mut cluster, 1, asked[0].0, Verdict::Accept);
    assert_eq!((cluster.node(1).live_members(), cluster.node(1).seeds_waiting()), (2, 0));
    assert!(cluster.facts(1).iter().any(|fact| matches!(fact, Fact::SeedReached { .. })));
}

#[test]
fn a_list_that_nobody_judges_in_time_is_dropped() {
    let config = Config { stream_timeout: 3 * SECOND, ..still(asks_merges()) };
    let mut cluster = Cluster::new(2, &config);
    cluster.act(1, |node, now| node.join(now, &[addr(0)]));
    cluster.run_for(4 * SECOND);
    assert_eq!([0, 1].map(|index| cluster.node(index).live_members()), [1, 1]);
    assert_eq!(cluster.node(0).stats().asks_expired, 1);
    let failed = |cluster: &mut Cluster, why| {
        let told = cluster.facts(1);
        let is_so = |fact: &Fact| matches!(fact, Fact::SeedFailed { reason, .. } if *reason == why);
        assert!(told.iter().any(is_so), "{told:?}");
    };
    failed(&mut cluster, StreamFailure::TimedOut);
    // The same on the side that joins, when the other one does not ask.
    let lax = Params::try_from(Config { ask_merges: false, ..config }).unwrap();
    cluster.act(0, |node, now| node.set_params(now, lax));
    cluster.run_for(10 * SECOND);
    assert!(cluster.node(1).stats().asks_expired > 0);
    assert_eq!(cluster.node(1).live_members(), 1);
    failed(&mut cluster, StreamFailure::Vetoed);
}

#[test]
fn lists_that_wait_are_limited_per_address() {
    let mut cluster = Cluster::new(1, &still(asks_merges()));
    for index in 1..=6 {
        push_join(&mut cluster, 50_000 + index);
    }
    assert_eq!(asked_merges(&mut cluster, 0).len(), 4);
    assert_eq!(cluster.node(0).stats().asks_dropped, 2);
}

#[test]
fn exchanges_between_members_ask_nobody() {
    let config = Config { push_pull_interval: Some(SECOND), ..Config::lan() };
    let mut cluster = Cluster::joined(2, &config);
    let asking = Params::try_from(Config { ask_merges: true, ..config }).unwrap();
    cluster.act(0, |node, now| node.set_params(now, asking));
    let before = cluster.node(0).stats().push_pulls_served;
    cluster.run_for(10 * SECOND);
    assert!(cluster.node(0).stats().push_pulls_served > before);
    assert!(asked_merges(&mut cluster, 0).is_empty());
}

// ── Networks ────────────────────────────────────────────────────────────────────────────────────

fn within(networks: &[&str]) -> Config {
    let networks = networks.iter().map(|network| network.parse().unwrap()).collect();
    Config { allowed_networks: Some(networks), ..still(Config::lan()) }
}

#[test]
fn only_members_of_allowed_networks_are_taken_in() {
    let inside = SocketAddr::from(([10, 0, 0, 9], 7_946));
    let mapped = SocketAddr::from((std::net::Ipv4Addr::new(10, 0, 0, 9).to_ipv6_mapped(), 7_946));
    let outside = SocketAddr::from(([192, 0, 2, 9], 7_946));
    for (from, at, members) in [
        (inside, inside, 2),
        (inside, mapped, 2),
        (mapped, inside, 2),
        (inside, outside, 1),
        (outside, inside, 1),
    ] {
        let mut cluster = Cluster::new(1, &within(&["2001:db8::/32", "10.0.0.0/24"]));
        let alive = util::alive_message(1, at, 1);
        cluster.act(0, |node, now| node.handle_packet(now, from, &alive)).unwrap();
        assert_eq!(cluster.node(0).members().count(), members, "{at} from {from}");
        let refused = cluster.node(0).stats().outsiders_refused;
        assert_eq!(refused, u64::from(members == 1), "{at} from {from}");
    }
}

/// One whose own networks leave itself out lists itself all the same: it has to refute.
#[test]
fn an_outsider_lists_those_who_never_list_it() {
    let only = |networks: &[&str]| Config {
        allowed_networks: Some(networks.iter().map(|network| network.parse().unwrap()).collect()),
        ..Config::lan()
    };
    let insiders = only(&["10.0.0.1/32", "10.0.0.2/32"]);
    let mut cluster = Cluster::with(3, |_| insiders.clone());
    for index in 1..3 {
        cluster.act(index, |node, now| node.join(now, &[addr(0)]));
        cluster.run_for(10 * SECOND);
    }
    let live: Vec<_> = (0..3).map(|index| cluster.node(index).live_members()).collect();
    assert_eq!(live, [2, 2, 3]);
    assert_eq!(cluster.state(2, 2), Some(MemberState::Alive));
    assert_eq!(cluster.node(0).members().count(), 2, "nor does it count in the estimate");
}

#[test]
fn a_members_move_out_of_the_allowed_networks_is_no_conflict() {
    let outside = SocketAddr::from(([192, 0, 2, 9], 7_946));
    let mut cluster = Cluster::new(3, &still(Config::lan()));
    // Heard in an exchange, so that the sender's address does not matter.
    cluster
        .act(1, |node, now| {
            let alive = util::alive_message(2, outside, 1);
            node.handle_packet(now, addr(2), &alive)
        })
        .unwrap();
    say_alive(&mut cluster, 2, addr(2), 1);
    let params = Params::try_from(within(&["10.0.0.0/8"])).unwrap();
    cluster.act(0, |node, now| node.set_params(now, params));
    cluster.act(1, |node, now| node.join(now, &[addr(0)]));
    cluster.run_for(SECOND);
    let stats = cluster.node(0).stats();
    assert!(stats.outsiders_refused >= 1);
    assert_eq!(stats.conflicts, 0);
    assert_eq!(cluster.node(0).member(name(2).as_bytes()).unwrap().addr, addr(2));
}

#[test]
fn a_list_of_networks_is_not_empty_and_limited() {
    let with = |count: usize| {
        let network = "10.0.0.0/8".parse().unwrap();
        Params::try_from(Config { allowed_networks: Some(vec![network; count]), ..Config::lan() })
    };
    let out_of_range = |params| matches!(params, Err(ConfigError::OutOfRange { .. }));
    assert!(out_of_range(with(0)), "leave it out to allow all");
    assert!(with(1).is_ok() && with(256).is_ok());
    assert!(out_of_range(with(257)));
    let params = with(1).unwrap();
    assert!(params.allows(addr(0).ip()) && !params.allows([192, 0, 2, 1].into()));
}
