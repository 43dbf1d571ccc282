//! What one node makes of statements about members, one at a time: what it then believes, tells its
//! application and passes on.
//!
//! Node 0 runs alone, and does nothing by itself. It knows nodes 1 and 2 by what it was told.

#![allow(clippy::unwrap_used, reason = "this is test code")]

mod util;

use std::time::Duration;

use rumormill::wire::message::{Alive, NodeState, PushPullHeader, WireState};
use rumormill::wire::msgpack::Blob;
use rumormill::wire::packet::Protection;
use rumormill::wire::stream::{Inbox, StreamError, StreamMessage};
use rumormill::{Config, Fact, Incarnation, MemberState, StreamId, StreamInput};
use util::{Accuse, Cluster, accusation, addr, alive, blob, exchange, name, still};

const MILLI: Duration = Duration::from_millis(1);

fn world_with(config: &Config) -> Cluster {
    let mut world = Cluster::new(1, config);
    for index in 1..=2 {
        world.hear(0, index, &alive(index, |_| ()));
    }
    world.settle(0, 2);
    world.run_for(1_000 * MILLI);
    world
}

fn world() -> Cluster {
    world_with(&still(Config::lan()))
}

fn alive_at(index: usize, incarnation: u32) -> Vec<u8> {
    alive(index, |alive| alive.incarnation = Incarnation(incarnation))
}

fn alive_with_meta(index: usize, incarnation: u32, meta: &[u8]) -> Vec<u8> {
    alive(index, |alive| {
        alive.incarnation = Incarnation(incarnation);
        alive.meta = blob(meta);
    })
}

fn suspect(world: &mut Cluster, about: usize, incarnation: u32) {
    world.hear(0, 2, &accusation(Accuse::Suspect, about, 2, incarnation));
}

fn dead(world: &mut Cluster, about: usize, incarnation: u32) {
    world.hear(0, 2, &accusation(Accuse::Dead, about, 2, incarnation));
}

fn goodbye(world: &mut Cluster, about: usize, incarnation: u32) {
    world.hear(0, about, &accusation(Accuse::Dead, about, about, incarnation));
}

/// State, age of the state in milliseconds and incarnation of what node 0 believes.
fn belief(world: &Cluster, about: usize) -> Option<(MemberState, u128, u32)> {
    let member = world.node(0).member(name(about).as_bytes())?;
    let age = world.now.saturating_since(member.since).as_millis();
    Some((member.state, age, member.incarnation.0))
}

/// What the application heard since the last call, in one word each.
fn told(world: &mut Cluster) -> Vec<&'static str> {
    let word = |fact: &Fact| match fact {
        Fact::Joined { .. } => "joined",
        Fact::Updated { .. } => "updated",
        Fact::Restarted { .. } => "restarted",
        Fact::Suspected { .. } => "suspected",
        Fact::Recovered { .. } => "recovered",
        Fact::Failed { .. } => "failed",
        Fact::Left { .. } => "left",
        Fact::Reaped { .. } => "reaped",
        Fact::Conflict { .. } => "conflict",
        Fact::Refuted { .. } => "refuted",
        _ => "other",
    };
    world.facts(0).iter().map(word).collect()
}

// ── Oneself ─────────────────────────────────────────────────────────────────────────────────────

#[test]
fn a_new_node_knows_itself_alone() {
    let config =
        Config { protocol_version: 3, delegate_version: [1, 4, 2], ..still(Config::lan()) };
    let mut world = Cluster::new(1, &config);
    assert_eq!((world.node(0).members().count(), world.node(0).live_members()), (1, 1));
    let me = world.node(0).local();
    assert_eq!((me.name, me.addr, me.state), (&name(0), addr(0), MemberState::Alive));
    assert_eq!(*me.versions.as_bytes(), [1, 5, 3, 1, 4, 2]);
    assert_eq!(me.incarnation, Incarnation(1), "0 would be believed by nobody");
    assert_eq!(told(&mut world), ["joined"], "its own name is the first that it tells");
}

#[test]
fn alive_and_suspect_count_as_members_and_dead_does_not() {
    let mut world = world();
    suspect(&mut world, 1, 1);
    assert_eq!(world.node(0).live_members(), 3);
    dead(&mut world, 2, 1);
    assert_eq!((world.node(0).live_members(), world.node(0).members().count()), (2, 3));
}

// ── Alive ───────────────────────────────────────────────────────────────────────────────────────

#[test]
fn an_unknown_member_is_taken_in_told_and_passed_on() {
    let mut world = world();
    world.hear(0, 3, &alive_at(3, 4));
    assert_eq!(belief(&world, 3), Some((MemberState::Alive, 0, 4)));
    assert_eq!(told(&mut world), ["joined"]);
    assert_eq!(world.news(0, 2), ["alive node-3 at 4"]);
}

#[test]
fn a_suspect_is_cleared_by_a_higher_incarnation_only() {
    let mut world = world();
    suspect(&mut world, 1, 1);
    world.settle(0, 2);
    world.run_for(5 * MILLI);
    world.hear(0, 1, &alive_at(1, 1));
    assert_eq!(belief(&world, 1), Some((MemberState::Suspect, 5, 1)));
    assert!(world.news(0, 2).is_empty());
    world.hear(0, 1, &alive_at(1, 2));
    assert_eq!(belief(&world, 1), Some((MemberState::Alive, 0, 2)));
    assert_eq!(told(&mut world), ["recovered"], "it never went, so it does not join");
    assert_eq!(world.news(0, 2), ["alive node-1 at 2"]);
}

#[test]
fn a_living_member_that_says_so_again_changes_its_incarnation_alone() {
    let mut world = world();
    world.hear(0, 1, &alive_at(1, 2));
    assert_eq!(belief(&world, 1), Some((MemberState::Alive, 1_000, 2)));
    assert!(told(&mut world).is_empty());
    assert_eq!(world.news(0, 2), ["alive node-1 at 2"]);
}

#[test]
fn new_meta_is_stored_and_told_as_an_update_once() {
    let mut world = world();
    world.hear(0, 1, &alive_with_meta(1, 2, b"new"));
    world.hear(0, 1, &alive_with_meta(1, 2, b"newer"));
    let facts = world.facts(0);
    assert!(
        matches!(&facts[..], [Fact::Updated { name: who, before, meta }]
            if *who == name(1) && before.is_empty() && **meta == *b"new"),
        "{facts:?}"
    );
    assert_eq!(world.node(0).member(name(1).as_bytes()).unwrap().meta, b"new");
}

#[test]
fn what_others_say_about_oneself_is_refuted_and_not_adopted() {
    let mut world = world();
    let own = world.node(0).local().meta.to_vec();
    world.hear(0, 2, &alive_with_meta(0, 2, b"forged"));
    let me = world.node(0).local();
    assert_eq!((me.meta, me.incarnation), (&own[..], Incarnation(3)));
    assert_eq!(world.node(0).health(), 1);
    assert_eq!(told(&mut world), ["refuted"]);
    assert_eq!(world.news(0, 2), ["alive node-0 at 3"]);
}

/// Go nodes that answered each other's echoes would do so for ever.
#[test]
fn an_own_statement_that_comes_back_is_ignored() {
    let mut world = world();
    let own = alive(0, |alive| alive.meta = blob(world.node(0).local().meta));
    world.hear(0, 2, &own);
    assert_eq!(world.node(0).local().incarnation, Incarnation(1));
    assert!(told(&mut world).is_empty() && world.news(0, 2).is_empty());
}

#[test]
fn a_claim_to_ones_own_name_from_elsewhere_is_a_conflict_and_not_refuted() {
    let mut world = world();
    let twin = alive(0, |alive| alive.port += 1);
    world.hear(0, 9, &twin);
    assert_eq!(world.node(0).local().incarnation, Incarnation(1));
    assert_eq!(told(&mut world), ["conflict"]);
    assert!(world.news(0, 2).is_empty());
}

#[test]
fn another_address_is_a_conflict_until_the_dead_may_be_replaced() {
    let config = Config { reclaim_after: Some(10 * MILLI), ..still(Config::lan()) };
    let mut world = world_with(&config);
    let elsewhere = alive(1, |alive| {
        alive.incarnation = Incarnation(2);
        (alive.addr, alive.port) = (blob(&[127, 0, 0, 1]), 9_000);
        alive.meta = blob(b"elsewhere");
    });
    world.hear(0, 9, &elsewhere);
    assert_eq!(told(&mut world), ["conflict"]);
    assert!(world.news(0, 2).is_empty());
    dead(&mut world, 1, 1);
    world.settle(0, 2);
    world.run_for(10 * MILLI);
    world.hear(0, 9, &elsewhere);
    assert_eq!(belief(&world, 1), Some((MemberState::Dead, 10, 1)), "the time is not over");
    world.run_for(MILLI);
    world.hear(0, 9, &elsewhere);
    let member = world.node(0).member(name(1).as_bytes()).unwrap();
    assert_eq!((member.state, member.incarnation), (MemberState::Alive, Incarnation(2)));
    assert_eq!(
        (member.addr.to_string().as_str(), member.meta),
        ("127.0.0.1:9000", &b"elsewhere"[..])
    );
    assert_eq!(told(&mut world), ["joined"]);
}

/// Go compares bytes, and would forever report a conflict of an address with itself.
#[test]
fn the_two_forms_of_one_ipv4_address_are_different_and_passed_on_as_written() {
    let mapped = |alive: &mut Alive<'static>| {
        alive.addr = blob(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 4]);
    };
    let mut world = world();
    world.hear(0, 3, &alive(3, mapped));
    assert_eq!(world.node(0).member(name(3).as_bytes()).unwrap().addr, addr(3));
    world.hear(0, 2, &util::ping_from(0, 2));
    let ack = world.sent.last().unwrap().bytes.clone();
    let parts: Vec<_> = rumormill::wire::packet::open(&ack, b"").unwrap().collect();
    assert_eq!(parts[1], alive(3, mapped), "byte for byte");
    world.facts(0);
    world.hear(0, 3, &alive_at(3, 2));
    assert_eq!(told(&mut world), ["conflict"]);
}

#[test]
fn a_newer_statement_about_a_member_replaces_the_one_that_waits() {
    let mut world = world();
    world.hear(0, 1, &alive_at(1, 2));
    suspect(&mut world, 1, 2);
    world.hear(0, 3, &alive_at(3, 1));
    let mut news = world.news(0, 2);
    news.sort();
    assert_eq!(news, ["alive node-3 at 1", "suspect node-1 at 2 by node-2"]);
}

// ── Suspect ─────────────────────────────────────────────────────────────────────────────────────

#[test]
fn nobody_knows_a_stranger_who_is_accused() {
    let mut world = world();
    suspect(&mut world, 9, 1);
    dead(&mut world, 9, 1);
    assert_eq!(world.node(0).members().count(), 3);
    assert!(told(&mut world).is_empty() && world.news(0, 2).is_empty());
}

#[test]
fn a_suspect_is_passed_on_and_its_death_replaces_that() {
    let config = Config { probe_interval: None, suspicion_mult: 1, ..still(Config::lan()) };
    let mut world = world_with(&config);
    suspect(&mut world, 1, 1);
    assert_eq!(belief(&world, 1), Some((MemberState::Suspect, 0, 1)));
    assert_eq!(world.news(0, 2), ["suspect node-1 at 1 by node-2"]);
    world.run_for(999 * MILLI);
    assert_eq!(belief(&world, 1), Some((MemberState::Suspect, 999, 1)));
    world.run_for(MILLI);
    assert_eq!(belief(&world, 1), Some((MemberState::Dead, 0, 1)));
    assert_eq!(world.news(0, 2), ["dead node-1 at 1 by node-0"]);
    assert_eq!(told(&mut world), ["suspected", "failed"]);
}

#[test]
fn a_suspicion_adopts_the_accused_incarnation() {
    let mut world = world();
    suspect(&mut world, 1, 6);
    assert_eq!(belief(&world, 1), Some((MemberState::Suspect, 0, 6)));
    world.hear(0, 1, &alive_at(1, 6));
    assert_eq!(belief(&world, 1).unwrap().0, MemberState::Suspect);
}

#[test]
fn the_same_suspicion_again_is_no_news() {
    let mut world = world();
    suspect(&mut world, 1, 1);
    world.settle(0, 2);
    world.run_for(3 * MILLI);
    suspect(&mut world, 1, 1);
    assert_eq!(belief(&world, 1), Some((MemberState::Suspect, 3, 1)));
    assert!(told(&mut world).is_empty() && world.news(0, 2).is_empty());
}

#[test]
fn accusations_of_an_older_incarnation_are_ignored() {
    let mut world = world();
    world.hear(0, 1, &alive_at(1, 10));
    world.settle(0, 2);
    suspect(&mut world, 1, 9);
    dead(&mut world, 1, 9);
    goodbye(&mut world, 1, 9);
    assert_eq!(belief(&world, 1), Some((MemberState::Alive, 1_000, 10)));
    assert!(told(&mut world).is_empty() && world.news(0, 2).is_empty());
}

#[test]
fn accusations_of_oneself_are_refuted_and_lower_the_own_health() {
    for accuse in [suspect, dead, goodbye] {
        let mut world = world();
        accuse(&mut world, 0, 1);
        assert_eq!(belief(&world, 0).unwrap().0, MemberState::Alive);
        assert_eq!((world.node(0).health(), told(&mut world)), (1, vec!["refuted"]));
        assert_eq!(world.news(0, 2), ["alive node-0 at 2"]);
    }
}

/// How far above the known incarnation a statement is believed.
const WINDOW: u32 = 1 << 16;

/// Beyond the window nobody believes it, and so nobody has to contradict.
#[test]
fn an_accusation_that_could_not_be_refuted_is_ignored_and_every_other_is_survived() {
    for (incarnation, answer) in [
        (u32::MAX, None),
        (u32::MAX - 1, None),
        (u32::MAX / 2, None),
        (WINDOW + 100, None),
        (WINDOW, Some(WINDOW + 1)),
        (1, Some(2)),
    ] {
        for (accuse, from) in [(Accuse::Suspect, 2), (Accuse::Dead, 2), (Accuse::Dead, 1)] {
            // Node 1 hears it of itself.
            let mut victim = Cluster::with(2, |_| still(Config::lan()));
            victim.hear(1, 2, &accusation(accuse, 1, from, incarnation));
            assert_eq!(victim.node(1).local().incarnation.0, answer.unwrap_or(1));
            // Node 0 hears it of node 1, and what that answers.
            let mut world = world();
            world.hear(0, 2, &accusation(accuse, 1, from, incarnation));
            let believed = belief(&world, 1).unwrap().0 != MemberState::Alive;
            assert_eq!(believed, answer.is_some(), "{accuse:?} at {incarnation}");
            world.hear(0, 1, &alive_at(1, answer.unwrap_or(2)));
            assert_eq!(belief(&world, 1).unwrap().0, MemberState::Alive);
        }
    }
}

/// A cluster that counts from one, and a member that was started with a clock's seconds: all hear of
/// it what they cannot believe, ask it, and believe it.
#[test]
fn an_implausible_incarnation_is_believed_of_the_member_itself() {
    const SECONDS: u32 = 1_790_000_000;
    let mut world = Cluster::joined(3, &Config::lan());
    world.hear(0, 2, &alive_at(1, SECONDS));
    assert_eq!(world.node(0).member(name(1).as_bytes()).unwrap().incarnation.0, 1);
    assert_eq!(world.node(0).stats().implausible_incarnations, 1);
    world.crash(1);
    world.start_at(1, Config::lan(), SECONDS);
    world.act(1, |node, now| node.join(now, &[addr(0)]));
    let at_seconds = |world: &Cluster| {
        (0..3).all(|index| {
            let member = world.node(index).member(name(1).as_bytes()).unwrap();
            (member.state, member.incarnation.0 >= SECONDS) == (MemberState::Alive, true)
        })
    };
    assert!(world.run_until(60_000 * MILLI, at_seconds));
}

/// It was there with a clock's seconds and comes back counting from one: what the others remember of
/// it is far off, and it learns of it from those whom it asks.
#[test]
fn a_member_that_forgot_its_own_incarnation_refutes_what_others_remember() {
    const SECONDS: u32 = 1_790_000_000;
    let mut world = Cluster::with(3, |_| Config::lan());
    for index in 0..3 {
        world.crash(index);
        world.start_at(index, Config::lan(), SECONDS);
    }
    world.join_all();
    world.crash(1);
    world.run_for(2_000 * MILLI);
    world.start_at(1, Config::lan(), 1);
    world.act(1, |node, now| node.join(now, &[addr(0)]));
    let all_see = |world: &Cluster| (0..3).all(|index| world.node(index).live_members() == 3);
    assert!(world.run_until(20_000 * MILLI, |world| {
        all_see(world) && world.node(1).local().incarnation.0 > SECONDS
    }));
}

/// Its own probes are what a node has left against a member that is believed whatever it says.
#[test]
fn a_member_at_the_highest_incarnation_is_still_found_dead() {
    let config = Config { probe_interval: Config::lan().probe_interval, ..still(Config::lan()) };
    let mut world = world_with(&config);
    world.hear(0, 1, &alive_at(1, WINDOW));
    let is_dead = |world: &Cluster| world.state(0, 1) == Some(MemberState::Dead);
    assert!(world.run_until(60_000 * MILLI, is_dead));
}

// ── Dead and left ───────────────────────────────────────────────────────────────────────────────

#[test]
fn a_death_is_told_and_passed_on_once() {
    let mut world = world();
    dead(&mut world, 1, 1);
    assert_eq!(belief(&world, 1), Some((MemberState::Dead, 0, 1)));
    assert_eq!(told(&mut world), ["failed"]);
    assert_eq!(world.news(0, 2), ["dead node-1 at 1 by node-2"]);
    world.settle(0, 2);
    dead(&mut world, 1, 2);
    assert_eq!(belief(&world, 1), Some((MemberState::Dead, 0, 1)));
    assert!(told(&mut world).is_empty() && world.news(0, 2).is_empty());
}

#[test]
fn the_dead_are_not_revived_by_the_incarnation_that_died_but_by_a_higher_one() {
    let mut world = world();
    dead(&mut world, 1, 10);
    world.settle(0, 2);
    world.hear(0, 1, &alive_at(1, 10));
    assert_eq!(belief(&world, 1), Some((MemberState::Dead, 0, 10)));
    assert!(told(&mut world).is_empty() && world.news(0, 2).is_empty());
    world.hear(0, 1, &alive_at(1, 11));
    assert_eq!(belief(&world, 1), Some((MemberState::Alive, 0, 11)));
    assert_eq!(told(&mut world), ["joined"]);
}

#[test]
fn a_goodbye_is_told_as_one_and_the_dead_never_leave() {
    let mut world = world();
    goodbye(&mut world, 1, 1);
    assert_eq!(belief(&world, 1), Some((MemberState::Left, 0, 1)));
    assert_eq!(told(&mut world), ["left"]);
    assert_eq!(world.news(0, 2), ["dead node-1 at 1 by node-1"]);
    world.hear(0, 1, &accusation(Accuse::Dead, 2, 1, 1));
    goodbye(&mut world, 2, 5);
    assert_eq!(belief(&world, 2), Some((MemberState::Dead, 0, 1)));
}

// ── Push/pull ───────────────────────────────────────────────────────────────────────────────────

#[test]
fn a_peers_view_is_merged_and_its_dead_are_only_suspect() {
    let mut world = world();
    world.hear(0, 3, &alive_at(3, 1));
    suspect(&mut world, 1, 1);
    world.settle(0, 2);
    let view = [
        (1, 2, WireState::ALIVE),
        (2, 1, WireState::SUSPECT),
        (3, 1, WireState::DEAD),
        (4, 2, WireState::ALIVE),
        (5, 1, WireState::SUSPECT),
        (6, 1, WireState::DEAD),
        (7, 1, WireState::LEFT),
    ];
    assert_eq!(world.hear_stream(0, &exchange(&view, false)).1, Ok(()));
    let states: Vec<_> =
        (1..=7).map(|index| belief(&world, index).map(|(state, _, at)| (state, at))).collect();
    let (live, doubt) = (MemberState::Alive, MemberState::Suspect);
    let expected = [Some((live, 2)), Some((doubt, 1)), Some((doubt, 1)), Some((live, 2))];
    assert_eq!(states[..4], expected);
    assert_eq!(states[4..], [None; 3], "nobody is taken in who is not alive");
    assert_eq!(told(&mut world), ["recovered", "suspected", "suspected", "joined"]);
}

#[test]
fn a_goodbye_heard_in_an_exchange_is_a_death_to_us() {
    let mut world = world();
    world.hear_stream(0, &exchange(&[(1, 1, WireState::LEFT)], false)).1.unwrap();
    assert_eq!(belief(&world, 1).unwrap().0, MemberState::Left);
    assert_eq!(told(&mut world), ["left"]);
}

#[test]
fn a_request_is_answered_with_the_view_from_before_it() {
    let mut world = world();
    suspect(&mut world, 1, 1);
    let view: Vec<_> = (3..=5).map(|index| (index, 1, WireState::ALIVE)).collect();
    let (stream, served) = world.hear_stream(0, &exchange(&view, true));
    assert_eq!((served, world.node(0).members().count()), (Ok(()), 6));
    let (live, doubt) = (WireState::ALIVE, WireState::SUSPECT);
    assert_eq!(answer(&world, stream), (true, vec![(0, live), (1, doubt), (2, live)]));
}

/// Whether the answer on a stream says that it is of a join, and the members that it lists.
fn answer(world: &Cluster, stream: StreamId) -> (bool, Vec<(usize, WireState)>) {
    let mut inbox = Inbox::for_response(1 << 16);
    inbox.push(&world.written[&(0, stream)], Protection::label(b"")).unwrap();
    let Some(StreamMessage::PushPull(answer)) = inbox.message() else { panic!("a whole answer") };
    let index = |node: &[u8]| (0..9).find(|&index| name(index).as_bytes() == node).unwrap();
    let view = answer.nodes().map(|node| (index(&node.alive.node), node.state)).collect();
    (answer.join, view)
}

/// As memberlist's own test writes it. A record without versions would spoil every later exchange.
/// Our view goes out all the same.
#[test]
fn a_list_with_one_record_without_versions_is_refused_as_a_whole() {
    let mut world = world();
    let mut request = Vec::new();
    PushPullHeader { nodes: 3, ..PushPullHeader::default() }.encode(&mut request).unwrap();
    for index in 3..=5 {
        let mut alive = util::statement(index);
        if index == 4 {
            alive.vsn = Blob::Nil;
        }
        NodeState { alive, state: WireState::ALIVE }.encode(&mut request).unwrap();
    }
    let (stream, served) = world.hear_stream(0, &request);
    assert_eq!(served, Err(StreamError::IncompatibleVersions));
    assert_eq!(world.node(0).members().count(), 3, "nothing of it was applied");
    assert_eq!(answer(&world, stream).1.len(), 3);
    assert!(!world.closed.contains(&(0, stream)), "it is closed when the answer has been taken");
    let written = StreamInput::Written;
    world.act(0, |node, now| node.handle_stream(now, stream, written)).unwrap();
    assert!(world.closed.contains(&(0, stream)));
}
