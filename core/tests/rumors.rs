//! User broadcasts in the four modes.

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "this is test code")]

mod util;

use std::collections::BTreeMap;
use std::time::Duration;

use rumormill::{
    BroadcastError, Cause, Channel, Config, Delivery, Fact, Mode, Node, NodeName, RumorId,
    SendError, Sender, Stagger,
};
use util::{Cluster, addr, name};

const SECOND: Duration = Duration::from_secs(1);
const CHANNEL: Channel = Channel(1);

/// Members of a cluster that know each other and have nothing left to tell.
fn settled(size: usize, config: impl Fn(usize) -> Config) -> Cluster {
    let mut cluster = Cluster::with(size, config);
    cluster.join_all();
    assert!(cluster.run_until(60 * SECOND, |cluster| {
        (0..size).all(|index| cluster.node(index).updates_waiting() == 0)
    }));
    cluster.sent.clear();
    for index in 0..size {
        cluster.facts(index);
    }
    cluster
}

/// Without trees and repair: `matching` floods, and repeats by the tick.
fn with_mode(mode: Mode) -> Config {
    Config { rumor_mode: mode, prune: false, repair: None, floor: false, ..Config::lan() }
}

/// A hypercube of 2^dim nodes.
fn cube(mode: Mode, dim: usize) -> Cluster {
    settled(1 << dim, |index| Config {
        neighbors: (0..dim).map(|bit| addr(index ^ (1 << bit))).collect(),
        ..with_mode(mode)
    })
}

fn bus(mode: Mode, size: usize) -> Cluster {
    settled(size, |index| {
        let below = index.checked_sub(1).map(addr);
        let above = (index + 1 < size).then(|| addr(index + 1));
        Config { neighbors: below.into_iter().chain(above).collect(), ..with_mode(mode) }
    })
}

/// Hops by node, of all that got a rumour.
fn receipts(cluster: &mut Cluster) -> BTreeMap<usize, Option<u8>> {
    let mut receipts = BTreeMap::new();
    for index in 0..cluster.size() {
        for fact in cluster.facts(index) {
            if let Fact::Rumor { hop, payload, .. } = fact {
                assert_eq!(&payload[..], b"news");
                assert!(receipts.insert(index, hop).is_none(), "node {index} got it once");
            }
        }
    }
    receipts
}

fn copies(cluster: &Cluster, causes: &[Cause]) -> u32 {
    let sent = cluster.sent.iter().filter(|sent| causes.contains(&sent.cause));
    sent.map(|sent| sent.copies).sum()
}

#[test]
fn every_mode_reaches_everybody_once() {
    for mode in [Mode::ThesisClassic, Mode::ThesisMatching, Mode::Classic, Mode::Matching] {
        let mut cluster = cube(mode, 4);
        let channel = if mode.is_thesis() { Channel::BARE } else { CHANNEL };
        cluster.act(0, |node, now| node.broadcast(now, channel, b"news")).unwrap();
        cluster.run_for(10 * SECOND);
        let receipts = receipts(&mut cluster);
        assert_eq!(receipts.len(), 15, "{mode:?}");
        let enveloped = receipts.values().all(Option::is_some);
        assert_eq!(enveloped, !mode.is_thesis(), "{mode:?}");
    }
}

#[test]
fn matching_floods_a_cube_in_dim_hops_with_the_copies_of_a_flood() {
    for dim in 1..=6 {
        let mut cluster = cube(Mode::Matching, dim);
        let nodes = 1_u32 << dim;
        let start = cluster.now;
        cluster.act(0, |node, now| node.broadcast(now, CHANNEL, b"news")).unwrap();
        // One millisecond per hop, and no tick of 200 ms can have repeated anything yet.
        cluster.run_for(Duration::from_millis(dim as u64));
        let receipts = receipts(&mut cluster);
        assert_eq!(receipts.len(), nodes as usize - 1);
        for (&index, &hop) in &receipts {
            assert_eq!(hop, Some(index.count_ones() as u8), "node {index} at its distance");
        }
        cluster.run_for(Duration::from_millis(20));
        assert!(cluster.now.saturating_since(start) < Duration::from_millis(200));
        let flood = nodes * (dim as u32 - 1) + 1;
        assert_eq!(copies(&cluster, &[Cause::Forward]), flood, "2E - N + 1");
        assert_eq!(copies(&cluster, &[Cause::Tick, Cause::Ack, Cause::Probe]), 0);
    }
}

#[test]
fn matching_repeats_by_the_tick_until_the_budget_ends() {
    let mut cluster = cube(Mode::Matching, 4);
    cluster.act(0, |node, now| node.broadcast(now, CHANNEL, b"news")).unwrap();
    cluster.run_for(30 * SECOND);
    let all = [Cause::Forward, Cause::Tick, Cause::Ack, Cause::Probe];
    // 16 live members: 4 * 2 transmissions each, the forwarded ones included.
    assert_eq!(copies(&cluster, &all), 16 * 8);
    assert!((0..16).all(|index| cluster.node(index).rumors_waiting() == 0));
}

#[test]
fn a_rumour_lost_on_the_way_is_repeated() {
    let mut cluster = bus(Mode::Matching, 8);
    cluster.cut(3, 4);
    cluster.act(0, |node, now| node.broadcast(now, CHANNEL, b"news")).unwrap();
    cluster.run_for(Duration::from_millis(50));
    assert_eq!(receipts(&mut cluster).len(), 3);
    cluster.heal();
    cluster.run_for(SECOND);
    assert_eq!(receipts(&mut cluster).len(), 4);
}

#[test]
fn matching_skips_neighbours_that_are_dead_or_unknown() {
    let mut cluster = bus(Mode::Matching, 4);
    cluster.act(3, Node::leave);
    cluster.run_for(5 * SECOND);
    cluster.sent.clear();
    cluster.act(0, |node, now| node.broadcast(now, CHANNEL, b"news")).unwrap();
    cluster.run_for(Duration::from_millis(50));
    assert_eq!(copies(&cluster, &[Cause::Forward]), 2, "0 to 1, 1 to 2, none to 3");
}

#[test]
fn a_rumour_that_nobody_can_be_told_is_dropped_in_time() {
    let config = Config {
        rumor_piggyback: false,
        neighbors: vec![addr(99)],
        push_pull_interval: None,
        ..with_mode(Mode::Matching)
    };
    let quiet = Config { gossip_interval: None, neighbors: vec![addr(1)], ..config.clone() };
    for config in [config, quiet] {
        let keep = config.payload_cache_for;
        let mut cluster = Cluster::with(2, |_| config.clone());
        cluster.join_all();
        cluster.act(0, |node, now| node.broadcast(now, CHANNEL, b"news")).unwrap();
        cluster.run_for(keep);
        assert_eq!(cluster.node(0).rumors_waiting(), 1);
        cluster.run_for(keep + SECOND);
        assert_eq!(cluster.node(0).rumors_waiting(), 0);
        assert_eq!(cluster.node(0).stats().rumors_dropped, 1);
    }
}

#[test]
fn thesis_matching_follows_the_links_at_ticks_only() {
    let mut cluster = settled(8, |index| {
        let below = index.checked_sub(1).map(addr);
        let above = (index < 7).then(|| addr(index + 1));
        Config {
            neighbors: below.into_iter().chain(above).collect(),
            rumor_piggyback: false,
            stagger: Stagger::Start,
            ..with_mode(Mode::ThesisMatching)
        }
    });
    cluster.act(0, |node, now| node.broadcast(now, Channel::BARE, b"news")).unwrap();
    cluster.run_for(20 * SECOND);
    assert_eq!(receipts(&mut cluster).len(), 7);
    for sent in cluster.sent.iter().filter(|sent| sent.copies > 0) {
        assert_eq!(sent.cause, Cause::Tick);
        let (a, b) = (addr(sent.from), sent.to);
        let neighbours = addr(sent.from + 1) == b || sent.from > 0 && addr(sent.from - 1) == b;
        assert!(neighbours, "{a} sent to {b}");
    }
}

#[test]
fn thesis_classic_requeues_what_it_knows_and_classic_does_not_unless_told_otherwise() {
    let load = |mode: Mode, dedup| {
        let channel = if mode.is_thesis() { Channel::BARE } else { CHANNEL };
        let mut cluster = settled(16, |_| Config { dedup, ..with_mode(mode) });
        cluster.act(0, |node, now| node.broadcast(now, channel, b"news")).unwrap();
        cluster.run_for(2 * SECOND);
        copies(&cluster, &[Cause::Tick, Cause::Ack, Cause::Probe, Cause::ProbeRequest])
    };
    let once = 16 * 8;
    assert!(load(Mode::Classic, None) <= once);
    assert!(load(Mode::ThesisClassic, None) > 10 * once);
    assert!(load(Mode::Classic, Some(false)) > 10 * once);
    assert!(load(Mode::ThesisClassic, Some(true)) <= once);
    assert!(load(Mode::Matching, Some(false)) <= once, "what goes out at once would never end");
}

#[test]
fn a_full_packet_of_the_thesis_holds_62_copies_of_its_message() {
    let message = [b'x'; 53];
    let mut cluster = settled(2, |_| Config {
        packet_size_max: 3_500,
        rumor_retransmit_mult: 10,
        probe_interval: None,
        ..with_mode(Mode::ThesisClassic)
    });
    let packet = [&[8], &message[..]].concat();
    for _ in 0..100 {
        cluster.act(0, |node, now| node.handle_packet(now, addr(1), &packet)).unwrap();
    }
    cluster.run_for(SECOND);
    assert_eq!(cluster.sent.iter().map(|sent| sent.copies).max(), Some(62));
}

#[test]
fn piggyback_can_be_switched_off() {
    for (piggyback, rides) in [(true, true), (false, false)] {
        let mut cluster = settled(4, |_| Config {
            rumor_piggyback: piggyback,
            gossip_interval: Some(3_600 * SECOND),
            ..with_mode(Mode::Classic)
        });
        cluster.act(0, |node, now| node.broadcast(now, CHANNEL, b"news")).unwrap();
        cluster.run_for(20 * SECOND);
        assert_eq!(!receipts(&mut cluster).is_empty(), rides);
    }
}

#[test]
fn a_peer_without_the_envelope_gets_channel_0_bare_and_nothing_else() {
    let mut cluster = settled(2, |_| with_mode(Mode::Classic));
    // Node 9 is a plain memberlist node.
    let alive = util::alive_message(9, addr(9), 1);
    cluster.act(0, |node, now| node.handle_packet(now, addr(9), &alive)).unwrap();
    cluster.act(0, |node, now| node.broadcast(now, Channel::BARE, b"for all")).unwrap();
    cluster.act(0, |node, now| node.broadcast(now, CHANNEL, b"for ours")).unwrap();
    cluster.run_for(2 * SECOND);
    let contains =
        |bytes: &[u8], what: &[u8]| bytes.windows(what.len()).any(|window| window == what);
    let to_plain: Vec<_> = cluster.sent.iter().filter(|sent| sent.to == addr(9)).collect();
    assert!(to_plain.iter().any(|sent| contains(&sent.bytes, b"\x08for all")));
    assert!(!to_plain.iter().any(|sent| contains(&sent.bytes, b"RM\x10")));
    assert!(!to_plain.iter().any(|sent| contains(&sent.bytes, b"for ours")));
    assert!(
        cluster.sent.iter().any(|sent| sent.to == addr(1) && contains(&sent.bytes, b"for ours"))
    );
    assert_eq!(
        cluster.act(0, |node, now| node.send(now, &name(9), CHANNEL, b"x", Delivery::BestEffort)),
        Err(SendError::NotUnderstood)
    );
}

/// How often the nodes of a cluster were told `payload`.
fn told(cluster: &mut Cluster, payload: &[u8]) -> Vec<usize> {
    let is_it = |fact: &Fact| matches!(fact, Fact::Rumor { payload: p, .. } if p[..] == *payload);
    let size = cluster.size();
    (0..size).map(|index| cluster.facts(index).iter().filter(|fact| is_it(fact)).count()).collect()
}

#[test]
fn a_rumour_that_a_plain_peer_passes_on_is_still_the_same_one() {
    let bare = |cluster: &mut Cluster, to: usize| {
        cluster.act(to, |node, now| node.handle_packet(now, addr(9), b"\x08for all")).unwrap();
    };
    for plain_peer_is_faster in [false, true] {
        let mut cluster = settled(3, |_| with_mode(Mode::Classic));
        cluster.act(0, |node, now| node.broadcast(now, Channel::BARE, b"for all")).unwrap();
        if !plain_peer_is_faster {
            cluster.run_for(2 * SECOND);
        }
        for index in 0..3 {
            bare(&mut cluster, index);
        }
        cluster.run_for(5 * SECOND);
        assert_eq!(told(&mut cluster, b"for all"), [0, 1, 1], "faster: {plain_peer_is_faster}");
    }
}

#[test]
fn two_rumours_of_equal_content_on_channel_0_stay_two() {
    let mut cluster = settled(2, |_| with_mode(Mode::Classic));
    for _ in 0..2 {
        cluster.act(0, |node, now| node.broadcast(now, Channel::BARE, b"again")).unwrap();
        cluster.run_for(2 * SECOND);
    }
    assert_eq!(told(&mut cluster, b"again"), [0, 2]);
}

#[test]
fn a_bare_rumour_of_a_plain_peer_enters_once() {
    let mut cluster = settled(4, |_| with_mode(Mode::Classic));
    let packet = [&[8], &b"news"[..]].concat();
    for to in [0, 1, 0] {
        cluster.act(to, |node, now| node.handle_packet(now, addr(9), &packet)).unwrap();
    }
    cluster.run_for(5 * SECOND);
    assert_eq!(receipts(&mut cluster).len(), 4);
}

#[test]
fn a_payload_that_does_not_fit_a_datagram_is_refused_with_the_limit() {
    let mut cluster = settled(2, |_| with_mode(Mode::Classic));
    let try_len = |cluster: &mut Cluster, len: usize| {
        cluster.act(0, |node, now| node.broadcast(now, CHANNEL, &vec![b'x'; len]))
    };
    let Err(BroadcastError::TooLarge { len: 5_000, max }) = try_len(&mut cluster, 5_000) else {
        panic!("5000 bytes do not fit 1400");
    };
    assert!(try_len(&mut cluster, max + 1).is_err());
    assert!(try_len(&mut cluster, max).is_ok());
    cluster.run_for(3 * SECOND);
    let got = cluster
        .facts(1)
        .iter()
        .any(|fact| matches!(fact, Fact::Rumor { payload, .. } if payload.len() == max));
    assert!(got, "the largest payload arrives");
}

#[test]
fn a_rumour_larger_than_our_datagrams_is_delivered_and_not_kept() {
    let mut cluster = settled(2, |_| with_mode(Mode::Classic));
    let packet = [&[8], &vec![b'x'; 1_395][..]].concat();
    cluster.act(0, |node, now| node.handle_packet(now, addr(9), &packet)).unwrap();
    assert!(cluster.facts(0).iter().any(|fact| matches!(fact, Fact::Rumor { .. })));
    assert_eq!(cluster.node(0).rumors_waiting(), 0);
    assert_eq!(cluster.node(0).stats().rumors_dropped, 1);
}

#[test]
fn the_thesis_modes_broadcast_on_channel_0_only() {
    let mut cluster = settled(2, |_| with_mode(Mode::ThesisMatching));
    let refused = cluster.act(0, |node, now| node.broadcast(now, CHANNEL, b"x"));
    assert_eq!(refused, Err(BroadcastError::ChannelInThesisMode));
}

#[test]
fn the_id_that_broadcast_gives_is_the_one_that_others_see() {
    let mut cluster = settled(2, |_| with_mode(Mode::Classic));
    let ids: Vec<RumorId> = (0..2)
        .map(|_| cluster.act(0, |node, now| node.broadcast(now, CHANNEL, b"same")).unwrap())
        .collect();
    assert_ne!(ids[0], ids[1], "equal payloads are two rumours");
    cluster.run_for(3 * SECOND);
    let mut seen: Vec<_> = cluster
        .facts(1)
        .into_iter()
        .filter_map(|fact| match fact {
            Fact::Rumor { id, .. } => Some(id),
            _ => None,
        })
        .collect();
    seen.sort_by_key(RumorId::short);
    let mut ids = ids;
    ids.sort_by_key(RumorId::short);
    assert_eq!(seen, ids);
    let RumorId::Numbered { origin, .. } = &ids[0] else { panic!() };
    assert_eq!(*origin, name(0));
}

#[test]
fn messages_reach_one_member_by_datagram_and_by_stream() {
    let mut cluster = settled(3, |_| with_mode(Mode::Classic));
    let long = vec![b'y'; 300_000];
    for (payload, delivery) in [
        (&b"short"[..], Delivery::BestEffort),
        (b"", Delivery::Reliable),
        (&long, Delivery::Reliable),
    ] {
        cluster.act(0, |node, now| node.send(now, &name(1), CHANNEL, payload, delivery)).unwrap();
        cluster.run_for(SECOND);
        let told = cluster.facts(1);
        let Some(Fact::Message { from, channel, payload: got, delivery: how }) = told.last() else {
            panic!("{told:?}");
        };
        assert_eq!((*channel, &got[..], *how), (CHANNEL, payload, delivery));
        assert_eq!(matches!(from, Sender::Member(_)), delivery == Delivery::BestEffort);
        assert!(cluster.facts(2).is_empty());
    }
    let nobody = NodeName::new("nobody").unwrap();
    assert_eq!(
        cluster.act(0, |node, now| node.send(now, &nobody, CHANNEL, b"", Delivery::Reliable)),
        Err(SendError::UnknownMember)
    );
}

#[test]
fn every_message_up_to_the_limit_arrives_in_every_mode() {
    for mode in [Mode::ThesisClassic, Mode::Classic] {
        for channel in [Channel::BARE, CHANNEL] {
            let mut cluster = settled(2, |_| with_mode(mode));
            let send = |cluster: &mut Cluster, len: usize| {
                let payload = vec![b'x'; len];
                cluster.act(0, |node, now| {
                    node.send(now, &name(1), channel, &payload, Delivery::BestEffort)
                })
            };
            let Err(SendError::TooLarge { max, .. }) = send(&mut cluster, 5_000) else { panic!() };
            assert!(send(&mut cluster, max + 1).is_err());
            assert_eq!(send(&mut cluster, max), Ok(()));
            cluster.run_for(SECOND);
            let told = cluster.facts(1);
            let arrived = told
                .iter()
                .any(|fact| matches!(fact, Fact::Message { payload, .. } if payload.len() == max));
            assert!(arrived, "{mode:?}, {channel:?}, {max} bytes");
            assert_eq!(cluster.node(0).stats().packets_unfit, 0);
        }
    }
}

#[test]
fn a_message_that_no_datagram_holds_any_more_is_counted() {
    let config = Config { packet_size_max: 1_400, ..with_mode(Mode::Classic) };
    let mut cluster = settled(2, |_| config.clone());
    let smaller = rumormill::Params::try_from(Config { packet_size_max: 1_200, ..config }).unwrap();
    cluster.act(0, |node, now| {
        node.send(now, &name(1), CHANNEL, &[b'x'; 1_300], Delivery::BestEffort).unwrap();
        node.set_params(now, smaller);
    });
    cluster.run_for(SECOND);
    assert_eq!(cluster.node(0).stats().packets_unfit, 1);
}

#[test]
fn parameters_can_change_while_a_node_runs() {
    let mut cluster = settled(2, |_| with_mode(Mode::Classic));
    let mut config = cluster.node(0).params().clone().into_config();
    config.gossip_interval = Some(Duration::from_millis(10));
    config.rumor_mode = Mode::Matching;
    config.neighbors = vec![addr(1)];
    let params = rumormill::Params::try_from(config).unwrap();
    cluster.act(0, |node, now| node.set_params(now, params));
    cluster.act(0, |node, now| node.broadcast(now, CHANNEL, b"news")).unwrap();
    cluster.run_for(Duration::from_millis(5));
    assert_eq!(receipts(&mut cluster).len(), 1);
}

// ── Rumours about one thing ─────────────────────────────────────────────────────────────────────

fn payloads(cluster: &mut Cluster, index: usize) -> Vec<Vec<u8>> {
    let payload = |fact| match fact {
        Fact::Rumor { payload, .. } => Some(payload.to_vec()),
        _ => None,
    };
    cluster.facts(index).into_iter().filter_map(payload).collect()
}

#[test]
fn a_newer_rumour_about_the_same_replaces_what_waits_of_the_older() {
    for (mode, channel) in [
        (Mode::ThesisClassic, Channel::BARE),
        (Mode::Classic, Channel::BARE),
        (Mode::Classic, CHANNEL),
    ] {
        let mut cluster = settled(3, |_| with_mode(mode));
        for (key, payload) in [(1, "old"), (2, "other"), (1, "newer"), (1, "newest")] {
            let payload = payload.as_bytes();
            cluster.act(0, |node, now| node.broadcast_keyed(now, channel, key, payload)).unwrap();
        }
        // Another channel is another thing, and so is a rumour without a key.
        assert_eq!(cluster.node(0).rumors_waiting(), 2, "{mode:?}");
        assert_eq!(cluster.node(0).stats().rumors_replaced, 2);
        cluster.act(0, |node, now| node.broadcast(now, channel, b"plain")).unwrap();
        cluster.run_for(5 * SECOND);
        for index in 1..3 {
            let mut heard = payloads(&mut cluster, index);
            heard.sort();
            assert_eq!(heard, [&b"newest"[..], b"other", b"plain"], "{mode:?}");
        }
    }
}

#[test]
fn channels_do_not_replace_each_other_and_resting_rumours_are_replaced_too() {
    let mut cluster = cube(Mode::Matching, 2);
    for channel in [CHANNEL, Channel(2)] {
        cluster.act(0, |node, now| node.broadcast_keyed(now, channel, 1, b"old")).unwrap();
    }
    assert_eq!(cluster.node(0).rumors_waiting(), 2);
    cluster.act(0, |node, now| node.broadcast_keyed(now, CHANNEL, 1, b"new")).unwrap();
    assert_eq!(cluster.node(0).rumors_waiting(), 2);
    assert_eq!(cluster.node(0).stats().rumors_replaced, 1, "it rested after its forwarding");
}

#[test]
fn a_rumour_that_is_withdrawn_before_the_tick_reaches_nobody() {
    let mut cluster = settled(3, |_| with_mode(Mode::Classic));
    let id = cluster.act(0, |node, now| node.broadcast(now, CHANNEL, b"oops")).unwrap();
    assert!(cluster.act(0, |node, _| node.withdraw(&id)));
    assert!(!cluster.act(0, |node, _| node.withdraw(&id)));
    cluster.run_for(5 * SECOND);
    assert!(payloads(&mut cluster, 1).is_empty());
}
