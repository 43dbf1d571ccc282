//! Who has been dead for long is remembered, and nobody revives it with old news.

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "this is test code")]

mod util;

use std::time::Duration;

use rumormill::wire::keyring::Keyring;
use rumormill::wire::message::{Message, NodeState, Ping, Source, WireState};
use rumormill::wire::msgpack::Blob;
use rumormill::wire::packet::Protection;
use rumormill::wire::stream::{Inbox, Progress, StreamMessage};
use rumormill::{Config, Fact, Instant, MemberState, Output, SeqNo, StreamInput};
use util::{Cluster, addr, alive_message, name, parts, ping_from};

const SECOND: Duration = Duration::from_secs(1);

/// Nodes 0 and 1; node 2 has died, with incarnation 1, and gossip goes to it no more.
fn bereaved(config: &Config) -> Cluster {
    let mut cluster = Cluster::joined(3, config);
    cluster.crash(2);
    let dead = |cluster: &Cluster| (0..2).all(|index| cluster.node(index).live_members() == 2);
    assert!(cluster.run_until(60 * SECOND, dead));
    cluster.run_for(100 * SECOND);
    cluster
}

fn joined(cluster: &mut Cluster) -> Vec<String> {
    let name = |fact| match fact {
        Fact::Joined { name, .. } => Some(name.to_string()),
        _ => None,
    };
    cluster.facts(0).into_iter().filter_map(name).collect()
}

#[test]
fn old_news_revives_nobody_and_new_news_does() {
    for (config, revived) in
        [(Config::lan(), false), (Config { remember_dead: Duration::ZERO, ..Config::lan() }, true)]
    {
        let mut cluster = bereaved(&config);
        cluster.facts(0);
        cluster.hear(0, 1, &alive_message(2, addr(2), 1));
        assert_eq!(!joined(&mut cluster).is_empty(), revived, "{:?}", config.remember_dead);
    }
    let mut cluster = bereaved(&Config::lan());
    assert_eq!(cluster.state(0, 2), Some(MemberState::Dead), "it is still known");
    cluster.facts(0);
    cluster.hear(0, 1, &alive_message(2, addr(2), 2));
    assert_eq!(joined(&mut cluster), [name(2).to_string()]);
}

#[test]
fn the_name_of_a_buried_member_is_free_for_newer_news() {
    let config = Config { reclaim_after: None, ..Config::lan() };
    let mut cluster = bereaved(&config);
    cluster.hear(0, 1, &alive_message(2, addr(9), 1));
    assert_eq!(cluster.state(0, 2), Some(MemberState::Dead), "an address from before its death");
    cluster.hear(0, 1, &alive_message(2, addr(9), 2));
    let member = cluster.node(0).member(name(2).as_bytes()).unwrap();
    assert_eq!((member.state, member.addr), (MemberState::Alive, addr(9)));
}

#[test]
fn whoever_begins_anew_below_its_death_hears_of_it_when_it_joins() {
    let mut cluster = bereaved(&Config::lan());
    // A plain memberlist counts from 1 in each life.
    cluster.start_at(2, Config::lan(), 1);
    cluster.act(2, |node, now| node.join(now, &[addr(0)]));
    let all_meet = |cluster: &Cluster| (0..3).all(|index| cluster.node(index).live_members() == 3);
    assert!(cluster.run_until(3 * SECOND, all_meet));
    assert!(cluster.node(2).local().incarnation.0 > 1, "it has contradicted its death");
}

/// What node 0 lists in answer to a peer's half: names and states.
fn answer_to(
    cluster: &mut Cluster,
    members: &[(usize, u32, WireState)],
) -> Vec<(String, WireState)> {
    let request = util::exchange(members, false);
    let bytes = cluster.act_undrained(0, |node| {
        let (now, stranger) = (Instant::ZERO, ([10, 9, 9, 9], 50_000).into());
        let stream = node.handle_accept(now, stranger).unwrap();
        node.handle_stream(now, stream, StreamInput::Bytes(&request)).unwrap();
        let (mut buf, mut bytes) = (vec![0; 1 << 16], Vec::new());
        loop {
            match node.poll_output(&mut buf) {
                Output::Write { len, .. } => {
                    bytes.extend_from_slice(&buf[..len]);
                    node.handle_stream(now, stream, StreamInput::Written).unwrap();
                }
                Output::Timer(_) => return bytes,
                _ => {}
            }
        }
    });
    let mut inbox = Inbox::for_response(1 << 20);
    let keyring = Keyring::new();
    let protection = Protection { label: b"", keyring: &keyring, verify_incoming: true };
    assert_eq!(inbox.push(&bytes, protection).unwrap(), Progress::Complete);
    let Some(StreamMessage::PushPull(list)) = inbox.message() else { panic!("it is a list") };
    let entry =
        |node: NodeState<'_>| (String::from_utf8(node.alive.node.to_vec()).unwrap(), node.state);
    list.nodes().map(entry).collect()
}

#[test]
fn exchanges_tell_of_graves_only_whom_it_concerns() {
    let (alive, dead) = (WireState::ALIVE, WireState::DEAD);
    for (theirs, told) in [
        (&[(1, 1, alive)][..], 0),
        (&[(2, 1, alive)], 1),
        (&[(2, 1, alive), (2, 1, alive)], 1),
        (&[(2, 2, alive)], 0),
        (&[(2, 1, dead)], 0),
    ] {
        let mut cluster = bereaved(&Config::lan());
        let ours = answer_to(&mut cluster, theirs);
        assert_eq!(ours.len(), 2 + told, "{theirs:?}: {ours:?}");
        let buried = (name(2).to_string(), dead);
        assert_eq!(ours.iter().filter(|entry| **entry == buried).count(), told);
    }
}

#[test]
fn a_buried_member_that_asks_is_told_if_its_datagram_is_worth_the_answer() {
    for (padding, is_told) in [(false, false), (true, true)] {
        let mut cluster = bereaved(&Config::lan());
        cluster.sent.clear();
        let ping = if padding { ping_from(0, 2) } else { short_ping() };
        cluster.hear(0, 2, &ping);
        let answers: Vec<_> = cluster.sent.iter().filter(|sent| sent.to == addr(2)).collect();
        assert_eq!(answers.len(), 1);
        let parts = parts(&answers[0].bytes);
        let told = parts.iter().any(|part| matches!(part, Message::Dead(_)));
        assert_eq!(told, is_told, "{parts:?}");
        assert_eq!(parts.len(), 1 + usize::from(is_told), "and no news");
    }
}

/// Whom it was told first did not believe such a number, so that nobody passed it on.
#[test]
fn a_refutation_that_has_not_arrived_is_repeated_to_who_answers_us_and_believes_us_dead() {
    let still = util::still(Config::lan());
    let lively = Config {
        probe_interval: Some(SECOND),
        gossip_interval: Config::lan().gossip_interval,
        ..still.clone()
    };
    let mut cluster =
        Cluster::with(2, |index| if index == 1 { lively.clone() } else { still.clone() });
    cluster.join_pairwise();
    cluster.cut_datagrams(1, 0);
    let death = util::accusation(util::Accuse::Dead, 1, 0, 1);
    cluster.hear(0, 1, &death);
    cluster.hear(1, 0, &death);
    // It has said so as often as it should, and nothing of it arrived.
    cluster.settle(1, 0);
    assert_eq!(cluster.node(1).local().incarnation.0, 2);
    for _ in 0..100 {
        cluster.hear(1, 0, &death);
    }
    assert_eq!(cluster.node(1).stats().refutations_repeated, 0, "who only says so may be deaf");
    cluster.heal();
    assert_eq!(cluster.state(0, 1), Some(MemberState::Dead));
    cluster.run_for(2 * SECOND);
    assert_eq!(cluster.state(0, 1), Some(MemberState::Alive));
    assert_eq!(cluster.node(1).stats().refutations_repeated, 1);
    assert_eq!(cluster.node(1).local().incarnation.0, 2, "it said the same again");
}

fn short_ping() -> Vec<u8> {
    let ping = Ping { seq: SeqNo(1), node: Blob::Nil, source: Source::default() };
    util::encoded(&Message::Ping(ping))
}

#[test]
fn the_dead_are_forgotten_in_the_end() {
    let config = Config { remember_dead: 300 * SECOND, ..Config::lan() };
    let mut cluster = bereaved(&config);
    assert!(cluster.state(0, 2).is_some());
    assert!(cluster.run_until(250 * SECOND, |cluster| cluster.state(0, 2).is_none()));
    assert!(cluster.facts(0).iter().any(|fact| matches!(fact, Fact::Reaped { .. })));
}
