//! Rumours along an overlay: trees, their repair, the floor, plain members beside ours.

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "this is test code")]

mod util;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rumormill::wire::control::{Control, Entries};
use rumormill::wire::envelope::Envelope;
use rumormill::wire::message::MessageType;
use rumormill::{
    BootEpoch, Cause, Channel, Config, Fact, MemberState, Mode, Node, RumorId, Said, ShortId,
};
use util::{Cluster, addr};

const SECOND: Duration = Duration::from_secs(1);
const CHANNEL: Channel = Channel(1);

/// Everything but the floor, which some tests switch on.
fn matching(neighbors: &[usize]) -> Config {
    Config {
        rumor_mode: Mode::Matching,
        neighbors: neighbors.iter().copied().map(addr).collect(),
        floor: false,
        ..Config::lan()
    }
}

type Graph = Vec<Vec<usize>>;

fn bus(size: usize) -> Graph {
    (0..size)
        .map(|index| {
            index
                .checked_sub(1)
                .into_iter()
                .chain((index + 1 < size).then_some(index + 1))
                .collect()
        })
        .collect()
}

fn ring(size: usize) -> Graph {
    (0..size).map(|index| vec![(index + size - 1) % size, (index + 1) % size]).collect()
}

fn cube(dim: usize) -> Graph {
    (0..1_usize << dim).map(|index| (0..dim).map(|bit| index ^ (1 << bit)).collect()).collect()
}

/// A ring with chords, the same each time: every node has four or five neighbours.
fn regular(size: usize) -> Graph {
    let mut graph = ring(size);
    for step in [size / 7 * 2 + 1, size / 3] {
        for index in 0..size {
            let other = (index + step) % size;
            if graph[index].len() < 5 && graph[other].len() < 5 && !graph[index].contains(&other) {
                graph[index].push(other);
                graph[other].push(index);
            }
        }
    }
    graph
}

/// Members that know each other and have nothing left to tell.
fn settled(graph: &Graph, change: impl Fn(usize, &mut Config)) -> Cluster {
    let mut cluster = Cluster::with(graph.len(), |index| {
        let mut config = matching(&graph[index]);
        change(index, &mut config);
        config
    });
    cluster.join_all();
    assert!(cluster.run_until(60 * SECOND, |cluster| {
        (0..graph.len()).all(|index| {
            cluster.node(index).updates_waiting() == 0
                && cluster.node(index).live_members() == graph.len()
        })
    }));
    cluster.run_for(SECOND);
    clear(&mut cluster);
    cluster
}

fn clear(cluster: &mut Cluster) {
    cluster.sent.clear();
    for index in 0..cluster.size() {
        cluster.facts(index);
    }
}

/// Who got what since the last look, each at most once.
fn receipts(cluster: &mut Cluster) -> BTreeMap<Vec<u8>, BTreeSet<usize>> {
    let mut receipts: BTreeMap<Vec<u8>, BTreeSet<usize>> = BTreeMap::new();
    for index in 0..cluster.size() {
        for fact in cluster.facts(index) {
            if let Fact::Rumor { payload, .. } = fact {
                let first = receipts.entry(payload.to_vec()).or_default().insert(index);
                assert!(first, "node {index} got it once");
            }
        }
    }
    receipts
}

fn copies(cluster: &Cluster) -> u32 {
    cluster.sent.iter().map(|sent| sent.copies).sum()
}

fn say(cluster: &mut Cluster, index: usize, what: &[u8]) {
    cluster.act(index, |node, now| node.broadcast(now, CHANNEL, what)).unwrap();
}

/// Broadcasts from a node until its tree has its shape.
fn warm(cluster: &mut Cluster, index: usize) {
    for round in 0..4_u8 {
        say(cluster, index, &[round]);
        cluster.run_for(5 * SECOND);
    }
    clear(cluster);
}

#[test]
fn a_warm_tree_costs_one_copy_per_member_and_takes_the_shortest_ways() {
    for (what, graph, depth) in [
        ("bus", bus(16), 15),
        ("ring", ring(16), 8),
        ("cube", cube(4), 4),
        ("regular", regular(40), 5),
    ] {
        let mut cluster = settled(&graph, |_, _| ());
        warm(&mut cluster, 0);
        for round in 0..3_u8 {
            say(&mut cluster, 0, &[b'n', round]);
            // A millisecond per hop.
            cluster.run_for(Duration::from_millis(depth));
            let reached = receipts(&mut cluster).remove(&vec![b'n', round]).unwrap_or_default();
            assert_eq!(reached.len(), graph.len() - 1, "{what} {round}");
            cluster.run_for(5 * SECOND);
            assert_eq!(copies(&cluster) as usize, graph.len() - 1, "{what} {round}");
            clear(&mut cluster);
        }
    }
}

#[test]
fn every_origin_has_ways_of_its_own() {
    let graph = cube(4);
    let mut cluster = settled(&graph, |_, _| ());
    let origins = [0, 5, 15];
    origins.iter().for_each(|&origin| warm(&mut cluster, origin));
    for origin in origins {
        say(&mut cluster, origin, b"news");
        cluster.run_for(Duration::from_millis(4));
        assert_eq!(receipts(&mut cluster)[&b"news"[..]].len(), 15, "{origin}");
        cluster.run_for(SECOND);
        assert_eq!(copies(&cluster), 15);
        clear(&mut cluster);
    }
}

#[test]
fn a_tree_mends_itself_around_a_neighbour_that_died_undetected() {
    let graph = cube(5);
    let mut cluster = settled(&graph, |_, _| ());
    warm(&mut cluster, 0);
    for dead in [1, 2, 12] {
        cluster.crash(dead);
    }
    say(&mut cluster, 0, b"first");
    cluster.run_for(2 * SECOND);
    assert_eq!(receipts(&mut cluster)[&b"first"[..]].len(), 32 - 3 - 1);
    assert_eq!(cluster.node(0).stats().links_silenced, 2, "those to 1 and 2");
    clear(&mut cluster);
    say(&mut cluster, 0, b"next");
    cluster.run_for(SECOND);
    assert_eq!(receipts(&mut cluster)[&b"next"[..]].len(), 32 - 3 - 1);
    assert_eq!(copies(&cluster), 32 - 3 - 1, "nothing goes to the silent any more");
}

#[test]
fn what_comes_late_together_costs_the_dead_one_copy_of_all() {
    let graph = bus(9);
    let mut cluster = settled(&graph, |_, _| ());
    warm(&mut cluster, 0);
    let dead = [3, 6];
    dead.iter().for_each(|&index| cluster.crash(index));
    // Longer than a link may be quiet without a doubt, and nobody is condemned yet.
    cluster.run_for(2 * SECOND);
    let together = [b"one", b"two", b"six"];
    together.iter().for_each(|what| say(&mut cluster, 0, *what));
    cluster.run_for(4 * SECOND);
    let receipts = receipts(&mut cluster);
    assert!(together.iter().all(|what| receipts[&what[..]].len() == 9 - 2 - 1), "{receipts:?}");
    let copies = |from: usize, to: usize| -> u32 {
        let ways = cluster.sent.iter().filter(|sent| sent.from == from && sent.to == addr(to));
        ways.map(|sent| sent.copies).sum()
    };
    assert_eq!(copies(2, 3), 3, "they come along the list in time");
    let behind = [copies(4, 3), copies(5, 6), copies(7, 6)];
    assert!(behind.iter().all(|&copies| copies <= 1), "digests bring them: {behind:?}");
    assert!(behind.iter().sum::<u32>() > 0, "nobody there knew of it before");
}

#[test]
fn a_burst_after_silence_takes_no_longer_than_its_ways() {
    let graph = cube(4);
    let mut cluster = settled(&graph, |_, _| ());
    warm(&mut cluster, 0);
    let changes = |cluster: &Cluster| -> u64 {
        (0..16).map(|index| cluster.node(index).stats().eager_flips).sum()
    };
    let before = changes(&cluster);
    let burst = [b"1", b"2", b"3", b"4", b"5"];
    burst.iter().for_each(|what| say(&mut cluster, 0, *what));
    cluster.run_for(Duration::from_millis(4));
    let receipts = receipts(&mut cluster);
    assert!(burst.iter().all(|what| receipts[&what[..]].len() == 15), "{receipts:?}");
    cluster.run_for(SECOND);
    assert_eq!((copies(&cluster), changes(&cluster)), (5 * 15, before));
}

#[test]
fn a_lost_payload_is_asked_for_where_there_is_one_way_only() {
    let graph = bus(8);
    let mut cluster = settled(&graph, |_, config| config.repair = None);
    warm(&mut cluster, 0);
    cluster.cut(3, 4);
    say(&mut cluster, 0, b"news");
    cluster.run_for(Duration::from_millis(50));
    assert_eq!(receipts(&mut cluster)[&b"news"[..]].len(), 3);
    cluster.heal();
    cluster.run_for(SECOND);
    assert_eq!(receipts(&mut cluster)[&b"news"[..]].len(), 4);
}

/// What was said since the last look, by whom, in order.
fn said(cluster: &Cluster, is_it: impl Fn(&Said) -> bool) -> Vec<usize> {
    let of = |sent: &util::Sent| vec![sent.from; sent.said.iter().filter(|s| is_it(s)).count()];
    cluster.sent.iter().flat_map(of).collect()
}

#[test]
fn a_datagram_tells_what_it_said_of_rumours_and_links() {
    let mut cluster = settled(&ring(8), |_, config| config.repair = None);
    say(&mut cluster, 0, b"flood");
    cluster.run_for(SECOND);
    // Nodes 3, 4 and 5 hear from both sides at once or cross each other.
    assert!(!said(&cluster, |said| *said == Said::Prune).is_empty());
    warm(&mut cluster, 0);
    say(&mut cluster, 0, b"news");
    cluster.run_for(SECOND);
    // Along the only link that the tree does not take; ids that confirm a receipt do not count.
    let told = said(&cluster, |said| matches!(said, Said::IHave(_)));
    assert!(matches!(told[..], [3..=5] | [3 | 5, 4] | [4, 3 | 5]), "{told:?}");
    assert!(cluster.sent.iter().filter(|sent| sent.cause == Cause::Control).count() > told.len());
    assert_eq!(said(&cluster, |said| !matches!(said, Said::IHave(_))), [0; 0]);
    clear(&mut cluster);
    cluster.crash(2);
    say(&mut cluster, 0, b"around");
    cluster.run_for(2 * SECOND);
    assert_eq!(receipts(&mut cluster)[&b"around"[..]].len(), 6);
    let asked = said(&cluster, |said| matches!(said, Said::Graft(_)));
    assert!(matches!(asked[..], [3] | [4]), "whoever is behind the dead: {asked:?}");
}

#[test]
fn digests_carry_over_a_gap_in_the_list() {
    let graph = bus(8);
    let mut cluster = settled(&graph, |_, _| ());
    warm(&mut cluster, 0);
    cluster.crash(3);
    say(&mut cluster, 0, b"news");
    cluster.run_for(3 * SECOND);
    assert_eq!(receipts(&mut cluster)[&b"news"[..]].len(), 6);
}

#[test]
fn a_neighbour_that_comes_back_is_told_what_it_missed_however_quiet_it_is_by_then() {
    let graph = bus(3);
    let mut cluster = settled(&graph, |_, config| {
        config.heal_interval = Some(SECOND);
        config.push_pull_interval = None;
    });
    warm(&mut cluster, 0);
    cluster.isolate(2);
    let dead = |cluster: &Cluster| {
        [(0, 2), (1, 2), (2, 1)]
            .iter()
            .all(|&(from, about)| cluster.state(from, about) == Some(MemberState::Dead))
    };
    assert!(cluster.run_until(60 * SECOND, dead));
    clear(&mut cluster);
    say(&mut cluster, 0, b"news");
    // Longer than quiet members speak of what is new.
    cluster.run_for(15 * SECOND);
    assert_eq!(receipts(&mut cluster)[&b"news"[..]], BTreeSet::from([1]));
    cluster.heal();
    assert!(cluster.run_until(10 * SECOND, |cluster| {
        cluster.state(1, 2) == Some(MemberState::Alive)
            && cluster.state(2, 1) == Some(MemberState::Alive)
    }));
    cluster.run_for(SECOND);
    assert_eq!(receipts(&mut cluster)[&b"news"[..]], BTreeSet::from([2]));
}

#[test]
fn without_repair_and_floor_a_gap_parts_the_list() {
    let graph = bus(8);
    let mut cluster = settled(&graph, |_, config| config.repair = None);
    warm(&mut cluster, 0);
    cluster.crash(3);
    say(&mut cluster, 0, b"news");
    cluster.run_for(20 * SECOND);
    assert_eq!(receipts(&mut cluster)[&b"news"[..]].len(), 2);
}

#[test]
fn the_floor_carries_over_gaps_in_the_list() {
    let graph = bus(24);
    let mut cluster = settled(&graph, |_, config| {
        config.repair = None;
        config.floor = true;
    });
    warm(&mut cluster, 0);
    say(&mut cluster, 0, b"whole");
    cluster.run_for(SECOND);
    assert_eq!(copies(&cluster), 23, "the floor costs no copies where the list brings them");
    clear(&mut cluster);
    cluster.crash(12);
    say(&mut cluster, 0, b"news");
    cluster.run_for(3 * SECOND);
    assert_eq!(receipts(&mut cluster)[&b"news"[..]].len(), 22);
}

#[test]
fn where_the_list_is_long_the_floor_shortens_it_and_a_tree_is_left() {
    let graph = ring(96);
    let mut cluster = settled(&graph, |_, config| config.floor = true);
    cluster.latency = Duration::from_millis(25);
    for _ in 0..4 {
        warm(&mut cluster, 0);
    }
    for round in 0..3_u8 {
        say(&mut cluster, 0, &[b'n', round]);
        // The list alone takes 48 hops.
        cluster.run_for(cluster.latency * 32);
        assert_eq!(receipts(&mut cluster)[&vec![b'n', round]].len(), 95, "{round}");
        cluster.run_for(5 * SECOND);
        assert_eq!(copies(&cluster), 95, "{round}");
        clear(&mut cluster);
    }
}

#[test]
fn a_large_rumour_is_announced_and_fetched_once_by_everybody() {
    let graph = cube(4);
    let mut cluster = settled(&graph, |_, _| ());
    let max = cluster.node(0).broadcast_len_max();
    assert!(max > 100_000);
    let large = vec![b'x'; max];
    say(&mut cluster, 0, &large);
    cluster.run_for(5 * SECOND);
    assert_eq!(receipts(&mut cluster)[&large].len(), 15);
    let over_streams: u64 =
        (0..16).map(|index| cluster.node(index).stats().rumor_copies_grafted).sum();
    assert_eq!((over_streams, copies(&cluster)), (15, 0));
    let one_more = cluster.act(0, |node, now| node.broadcast(now, CHANNEL, &vec![0; max + 1]));
    assert!(one_more.is_err());
}

#[test]
fn causes_tell_payloads_from_ids() {
    let graph = cube(3);
    let mut cluster = settled(&graph, |_, _| ());
    warm(&mut cluster, 0);
    say(&mut cluster, 0, b"news");
    cluster.run_for(SECOND);
    for sent in &cluster.sent {
        assert_eq!(sent.copies > 0, sent.cause == Cause::Forward, "{:?}", sent.cause);
    }
    assert!(cluster.sent.iter().any(|sent| sent.cause == Cause::Control));
}

#[test]
fn a_list_in_pieces_is_told_where_it_is_cut() {
    let graph = bus(8);
    let mut cluster = settled(&graph, |_, _| ());
    warm(&mut cluster, 0);
    cluster.crash(3);
    for round in 0..3_u8 {
        say(&mut cluster, 0, &[b'n', round]);
        cluster.run_for(4 * SECOND);
    }
    let told: Vec<_> = cluster
        .facts(4)
        .into_iter()
        .filter_map(|fact| match fact {
            Fact::OverlayDegraded { lost, beyond } => Some((lost, beyond)),
            _ => None,
        })
        .collect();
    let [(lost, beyond)] = &told[..] else { panic!("one report: {told:?}") };
    assert_eq!(lost, &[addr(3)]);
    let is_beyond = |name: &_| (0..3).any(|index| util::name(index) == *name);
    assert!(beyond.as_ref().is_none_or(is_beyond), "{beyond:?} is on the other side");
}

#[test]
fn two_of_ours_bring_plain_members_what_is_theirs_once_each() {
    let graph = ring(6);
    let mut cluster = settled(&graph, |index, config| config.advertise = index < 4);
    let plain_ones = [4, 5];
    let payload = b"for all";
    cluster.act(0, |node, now| node.broadcast(now, Channel::BARE, payload)).unwrap();
    cluster.run_for(5 * SECOND);
    assert_eq!(receipts(&mut cluster)[&payload[..]].len(), 5);
    for plain in plain_ones {
        let ours = cluster.sent.iter().filter(|sent| sent.from < 4 && sent.copies > 0);
        let got = ours.filter(|sent| sent.to == addr(plain)).count();
        assert_eq!(got, 2, "two proxies, whatever the links say");
    }
    clear(&mut cluster);
    cluster.act(0, |node, now| node.broadcast(now, CHANNEL, b"for ours")).unwrap();
    cluster.run_for(5 * SECOND);
    assert_eq!(receipts(&mut cluster)[&b"for ours"[..]].len(), 3, "they know channel 0 only");
}

#[test]
fn what_a_plain_member_starts_reaches_everybody() {
    let graph = cube(3);
    let plain = 7;
    let mut cluster = settled(&graph, |index, config| {
        config.advertise = index != plain;
        if index == plain {
            config.rumor_mode = Mode::Classic;
        }
    });
    cluster.act(plain, |node, now| node.broadcast(now, Channel::BARE, b"plain words")).unwrap();
    cluster.run_for(5 * SECOND);
    assert_eq!(receipts(&mut cluster)[&b"plain words"[..]].len(), 7);
}

/// A ring in which all but the last are ours; that one hears bare messages and passes nothing on.
/// What an application at a plain member repeats may overtake the tree. It is one rumour then, under the
/// id that came first, and whoever sends it under the other is told that it is here.
#[test]
fn what_came_bare_before_is_confirmed_to_who_sends_it_numbered() {
    let mut cluster = settled(&bus(3), |_, config| config.repair = None);
    warm(&mut cluster, 0);
    let bare = [&[MessageType::USER.0][..], b"words"].concat();
    cluster.hear(1, 2, &bare);
    cluster.run_for(SECOND);
    cluster.act(0, |node, now| node.broadcast(now, Channel::BARE, b"words")).unwrap();
    cluster.run_for(3 * SECOND);
    assert_eq!(cluster.node(1).stats().rumor_duplicates, 1, "it was known in the other form");
    assert_eq!(cluster.node(0).stats().links_silenced, 0);
}

fn ring_with_one_plain(size: usize, change: impl Fn(&mut Config)) -> Cluster {
    settled(&ring(size), |index, config| {
        change(config);
        if index + 1 == size {
            (config.advertise, config.rumor_mode) = (false, Mode::Classic);
        }
    })
}

/// Who of these brings a plain member its rumours.
fn proxies(cluster: &Cluster, of: &[usize], plain: usize) -> Vec<usize> {
    let name = util::name(plain);
    of.iter()
        .copied()
        .filter(|&index| cluster.node(index).stands_in_for().any(|client| *client == name))
        .collect()
}

/// Ends both without a word. Returns the others of ours.
fn crash_proxies(cluster: &mut Cluster, plain: usize) -> Vec<usize> {
    let ours: Vec<usize> = (0..cluster.size()).filter(|&index| index != plain).collect();
    let dead = proxies(cluster, &ours, plain);
    assert_eq!(dead.len(), 2);
    dead.iter().for_each(|&index| cluster.crash(index));
    ours.into_iter().filter(|index| !dead.contains(index)).collect()
}

fn tell_all(cluster: &mut Cluster, index: usize, what: &[u8]) {
    cluster.act(index, |node, now| node.broadcast(now, Channel::BARE, what)).unwrap();
}

#[test]
fn a_plain_member_whose_proxies_died_unnoticed_is_brought_what_it_missed() {
    let plain = 7;
    let mut cluster = ring_with_one_plain(8, |_| ());
    let rest = crash_proxies(&mut cluster, plain);
    let origin = rest[0];
    let news: Vec<Vec<u8>> = (0..5_u8).map(|round| vec![b'n', round]).collect();
    for what in &news {
        tell_all(&mut cluster, origin, what);
        cluster.run_for(SECOND);
    }
    assert!(
        receipts_of(&mut cluster, plain).is_empty(),
        "nobody knows yet that there is something to make up for"
    );
    assert!(
        cluster.run_until(60 * SECOND, |cluster| { proxies(cluster, &rest, plain).len() == 2 })
    );
    cluster.run_for(SECOND);
    assert_eq!(receipts_of(&mut cluster, plain), news, "in the order in which they came");
    let late = cluster.sent.iter().filter(|sent| sent.to == addr(plain) && sent.copies > 0);
    assert_eq!(late.count(), news.len(), "one of the two brings them");
}

/// What a member got since the last look.
fn receipts_of(cluster: &mut Cluster, index: usize) -> Vec<Vec<u8>> {
    let facts = cluster.facts(index).into_iter();
    facts
        .filter_map(|fact| match fact {
            Fact::Rumor { payload, .. } => Some(payload.to_vec()),
            _ => None,
        })
        .collect()
}

#[test]
fn a_large_message_reaches_plain_members_too_also_late() {
    let plain = 7;
    let mut cluster = ring_with_one_plain(8, |_| ());
    let large = vec![b'x'; 20_000];
    tell_all(&mut cluster, 0, &large);
    cluster.run_for(5 * SECOND);
    let got: Vec<_> = cluster.facts(plain);
    let is_it = |fact: &Fact| matches!(fact, Fact::Message { payload, .. } if *payload == large);
    assert_eq!(got.iter().filter(|fact| is_it(fact)).count(), 2, "by two streams");
    let origin = crash_proxies(&mut cluster, plain)[0];
    let large = vec![b'y'; 20_000];
    tell_all(&mut cluster, origin, &large);
    cluster.run_for(30 * SECOND);
    let got: Vec<_> = cluster.facts(plain);
    let is_it = |fact: &Fact| matches!(fact, Fact::Message { payload, .. } if *payload == large);
    assert_eq!(got.iter().filter(|fact| is_it(fact)).count(), 1);
}

#[test]
fn plain_members_get_what_is_theirs_whatever_is_switched_off() {
    let switches: [fn(&mut Config); 4] = [
        |config| config.prune = false,
        |config| (config.prune, config.immediate) = (false, false),
        |config| (config.repair, config.floor) = (None, false),
        |config| (config.gossip_interval, config.repair) = (None, None),
    ];
    for (number, switch) in switches.into_iter().enumerate() {
        let plain = 7;
        // The plain one stands beside the list.
        let mut cluster = settled(&ring(8), |index, config| {
            config.neighbors = [(index + 6) % 7, (index + 1) % 7].map(addr).to_vec();
            config.neighbors.truncate(if index == plain { 0 } else { 2 });
            if index == plain {
                (config.advertise, config.rumor_mode) = (false, Mode::Classic);
            } else {
                switch(config);
            }
        });
        tell_all(&mut cluster, 0, b"news");
        cluster.run_for(5 * SECOND);
        assert_eq!(receipts(&mut cluster)[&b"news"[..]].len(), 7, "switch {number}");
    }
}

#[test]
fn the_last_of_ours_leaves_plain_members_to_themselves() {
    let mut cluster = ring_with_one_plain(2, |_| ());
    assert_eq!(proxies(&cluster, &[0], 1), [0]);
    cluster.act(0, Node::leave);
    cluster.run_for(5 * SECOND);
    cluster.node(0).check_invariants();
    assert!(proxies(&cluster, &[0], 1).is_empty());
}

#[test]
fn equal_words_said_twice_are_heard_twice_also_where_a_plain_member_was_faster() {
    let mut cluster = settled(&ring(6), |_, _| ());
    let words = b"tick";
    // A plain member has passed on what has yet to come along the links.
    let mut bare = vec![8];
    bare.extend_from_slice(words);
    cluster.hear(3, 2, &bare);
    for _ in 0..2 {
        tell_all(&mut cluster, 0, words);
        cluster.run_for(5 * SECOND);
    }
    let heard = |cluster: &mut Cluster, index| receipts_of(cluster, index).len();
    assert_eq!(heard(&mut cluster, 3), 2);
}

/// A message of a plain member comes to some of ours by its own gossip, a different few each time.
#[test]
fn what_comes_bare_to_several_is_one_rumour_on_one_tree() {
    for (what, graph) in [("ring", ring(16)), ("cube", cube(4)), ("regular", regular(40))] {
        let size = graph.len();
        let mut cluster = settled(&graph, |_, _| ());
        let mut copies_of_all = 0;
        for round in 0..30_u8 {
            let payload = [b'p', round];
            let bare = [&[8], &payload[..]].concat();
            let entries = (0..4).map(|n| (usize::from(round) * 7 + n * n * 5) % size);
            for entry in entries.collect::<BTreeSet<usize>>() {
                cluster.hear(entry, 900, &bare);
            }
            cluster.run_for(Duration::from_millis(200));
            let got = receipts(&mut cluster).remove(&payload[..]).unwrap_or_default();
            assert_eq!(got.len(), size, "{what} {round}");
            cluster.run_for(5 * SECOND);
            copies_of_all += copies(&cluster) as usize;
            clear(&mut cluster);
        }
        // Flooding would cost twice the links, at least twice the members.
        let per_member = copies_of_all as f64 / (30 * size) as f64;
        assert!(per_member < 1.5, "{what}: {per_member}");
    }
}

#[test]
fn a_member_of_another_mode_gets_what_it_asks_for() {
    let graph = bus(5);
    let mut cluster = settled(&graph, |index, config| {
        if index == 2 {
            config.rumor_mode = Mode::Classic;
        }
    });
    for round in 0..4_u8 {
        say(&mut cluster, 0, &[b'n', round]);
        cluster.run_for(5 * SECOND);
        let reached = receipts(&mut cluster).remove(&vec![b'n', round]).unwrap_or_default();
        assert_eq!(reached.len(), 4, "{round}");
    }
    let stats = cluster.node(2).stats();
    assert_eq!(stats.rumors_given_up, 0, "it asks no more for what it has");
    assert!(stats.pulls_sent <= 4, "once for each: {}", stats.pulls_sent);
}

#[test]
fn a_paused_member_inside_the_tree_holds_nobody_up_and_catches_up() {
    let graph = cube(4);
    let mut cluster = settled(&graph, |_, _| ());
    warm(&mut cluster, 0);
    cluster.stand_still(1, 5 * SECOND);
    for round in 0..3_u8 {
        say(&mut cluster, 0, &[b'n', round]);
        cluster.run_for(SECOND);
    }
    let reached = receipts(&mut cluster);
    for round in 0..3_u8 {
        let others = reached[&vec![b'n', round]].iter().filter(|&&index| index != 1).count();
        assert_eq!(others, 14, "{round}");
    }
    cluster.run_for(10 * SECOND);
    let late: Vec<Vec<u8>> = receipts(&mut cluster).into_keys().collect();
    assert_eq!(late.len(), 3, "the paused one has them all: {late:?}");
}

#[test]
fn a_tenth_of_the_datagrams_lost_costs_nobody_a_rumour() {
    let graph = cube(5);
    let mut cluster = settled(&graph, |_, _| ());
    warm(&mut cluster, 0);
    cluster.lose_one_in = 10;
    for round in 0..20_u8 {
        say(&mut cluster, 0, &[b'n', round]);
        cluster.run_for(SECOND / 2);
    }
    cluster.lose_one_in = 0;
    cluster.run_for(SECOND);
    let reached = receipts(&mut cluster);
    for round in 0..20_u8 {
        assert_eq!(reached[&vec![b'n', round]].len(), 31, "{round}");
    }
}

#[test]
fn repair_learns_to_wait_for_a_list_that_is_merely_long() {
    // A second and a half from end to end, and digests every 200 ms.
    let graph = bus(16);
    let mut cluster = settled(&graph, |_, _| ());
    cluster.latency = Duration::from_millis(100);
    for round in 0..6_u8 {
        say(&mut cluster, 0, &[round]);
        cluster.run_for(8 * SECOND);
    }
    clear(&mut cluster);
    say(&mut cluster, 0, b"news");
    cluster.run_for(Duration::from_millis(1_499));
    assert_eq!(receipts(&mut cluster)[&b"news"[..]].len(), 14, "along the list");
    cluster.run_for(8 * SECOND);
    assert_eq!((receipts(&mut cluster).len(), copies(&cluster)), (1, 15));
}

#[test]
fn a_slow_tree_delays_no_repair_in_others() {
    let graph = bus(16);
    let mut cluster = settled(&graph, |_, _| ());
    cluster.latency = Duration::from_millis(100);
    for round in 0..6_u8 {
        // Node 15 learns that what node 0 says takes a second and a half.
        say(&mut cluster, 0, &[0, round]);
        say(&mut cluster, 14, &[14, round]);
        cluster.run_for(8 * SECOND);
    }
    clear(&mut cluster);
    cluster.cut_datagrams(14, 15);
    cluster.cut_datagrams(15, 14);
    say(&mut cluster, 14, b"from near");
    cluster.run_for(2 * SECOND);
    assert!(
        receipts(&mut cluster)[&b"from near"[..]].contains(&15),
        "it waits for its own tree only"
    );
}

#[test]
fn what_is_fetched_over_streams_leaves_the_trees_as_they_are() {
    let graph = cube(4);
    let mut cluster = settled(&graph, |_, _| ());
    warm(&mut cluster, 0);
    for round in 0..3_u8 {
        say(&mut cluster, 0, &vec![round; 50_000]);
        cluster.run_for(2 * SECOND);
    }
    assert!(receipts(&mut cluster).values().all(|reached| reached.len() == 15));
    clear(&mut cluster);
    say(&mut cluster, 0, b"news");
    cluster.run_for(5 * SECOND);
    assert_eq!((receipts(&mut cluster)[&b"news"[..]].len(), copies(&cluster)), (15, 15));
}

#[test]
fn who_does_not_want_a_rumour_is_sent_none_and_not_told_of_it() {
    let graph = bus(3);
    let mut cluster = settled(&graph, |_, config| config.repair = None);
    let id = RumorId::Numbered { origin: util::name(0), epoch: BootEpoch(1), sequence: 0 };
    let ids = id.short().0.to_be_bytes();
    let unwanted = Envelope::Control(Control::IDontWant { ids: Entries::decode(&ids).unwrap() });
    let mut packet = vec![MessageType::USER.0];
    unwanted.encode(&mut packet).unwrap();
    cluster.hear(1, 2, &packet);
    say(&mut cluster, 0, b"unwanted");
    cluster.run_for(SECOND);
    let told = cluster.sent.iter().filter(|sent| sent.from == 1 && sent.to == addr(2));
    assert!(told.clone().all(|sent| sent.copies == 0 && sent.cause != Cause::Control));
    assert_eq!(receipts(&mut cluster)[&b"unwanted"[..]], BTreeSet::from([1]));
    clear(&mut cluster);
    say(&mut cluster, 0, b"next");
    cluster.run_for(SECOND);
    assert_eq!(receipts(&mut cluster)[&b"next"[..]].len(), 2, "it was about that one only");
}

#[test]
fn a_prune_that_is_lost_is_said_again_and_duplicates_end() {
    let graph = ring(4);
    let mut cluster = settled(&graph, |_, _| ());
    let mut costs = Vec::new();
    for round in 0..3_u8 {
        say(&mut cluster, 0, &[round]);
        if round == 0 {
            // Node 2 has it from both sides after 2 ms, and the later one hears nothing of what it says.
            cluster.run_for(Duration::from_micros(1_500));
            cluster.cut_datagrams(2, 1);
            cluster.run_for(Duration::from_millis(5));
            cluster.heal();
        }
        cluster.run_for(5 * SECOND);
        assert_eq!(receipts(&mut cluster)[&vec![round]].len(), 3);
        costs.push(copies(&cluster));
        clear(&mut cluster);
    }
    assert_eq!(costs, [5, 4, 3], "the second one brings the wish again");
}

/// What a member says of rumours, as a datagram.
fn word(control: Control<'_>) -> Vec<u8> {
    let mut packet = vec![MessageType::USER.0];
    Envelope::Control(control).encode(&mut packet).unwrap();
    packet
}

/// A digest of rumours of one tree, as the wire has it: 9 bytes each.
fn digest(answer: bool, tree: u8, ids: impl IntoIterator<Item = ShortId>) -> Vec<u8> {
    let entries = ids.into_iter().flat_map(|id| [&[tree][..], &id.0.to_be_bytes()].concat());
    let entries: Vec<u8> = entries.collect();
    let entries = Entries::decode(&entries).unwrap();
    word(Control::Digest { answer, whole: false, entries })
}

fn numbered(origin: usize, sequence: u64) -> ShortId {
    RumorId::Numbered { origin: util::name(origin), epoch: BootEpoch(1), sequence }.short()
}

/// What a plain member passes on.
fn bare(round: u8) -> Vec<u8> {
    [&[MessageType::USER.0][..], b"plain", &[round]].concat()
}

/// Without repair; the words came in at node 0.
fn bus_warmed_by_plain_words(size: usize) -> Cluster {
    let mut cluster = settled(&bus(size), |_, config| config.repair = None);
    for round in 0..4 {
        cluster.hear(0, 900, &bare(round));
        cluster.run_for(SECOND);
    }
    clear(&mut cluster);
    cluster
}

#[test]
fn a_bare_copy_that_was_asked_for_cuts_no_tree() {
    let mut cluster = bus_warmed_by_plain_words(6);
    cluster.cut_datagrams(1, 2);
    cluster.hear(0, 900, &bare(4));
    let id = RumorId::of_content(&bare(4)[1..]).short();
    cluster.hear(3, 0, &digest(false, 0, [id]));
    // It is asked for after 200 ms, and passes on from there both ways.
    cluster.run_for(Duration::from_millis(380));
    assert_eq!(receipts(&mut cluster)[&bare(4)[1..]].len(), 6);
    cluster.heal();
    cluster.run_for(SECOND);
    assert_eq!(said(&cluster, |said| *said == Said::Prune), [0; 0]);
    clear(&mut cluster);
    cluster.hear(0, 900, &bare(5));
    cluster.run_for(Duration::from_millis(5));
    assert_eq!(receipts(&mut cluster)[&bare(5)[1..]].len(), 6, "along the tree");
    cluster.run_for(SECOND);
    assert_eq!(copies(&cluster), 5);
}

/// What a tree lost is asked for along it, and goes on along it, bare or not.
#[test]
fn a_bare_copy_that_was_lost_delays_those_behind_it_once() {
    let mut cluster = bus_warmed_by_plain_words(32);
    cluster.cut_datagrams(1, 2);
    cluster.hear(0, 900, &bare(4));
    cluster.run_for(Duration::from_millis(4));
    cluster.heal();
    cluster.run_for(Duration::from_millis(250));
    assert_eq!(receipts(&mut cluster)[&bare(4)[1..]].len(), 32);
    cluster.run_for(SECOND);
    assert!(copies(&cluster) <= 32, "one twice: {}", copies(&cluster));
}

#[test]
fn a_bare_copy_that_comes_after_somebody_else_was_asked_cuts_no_tree() {
    let mut cluster = bus_warmed_by_plain_words(6);
    cluster.cut_datagrams(1, 2);
    cluster.hear(0, 900, &bare(4));
    let id = RumorId::of_content(&bare(4)[1..]).short();
    for holder in [0, 1] {
        cluster.hear(3, holder, &digest(false, 0, [id]));
        cluster.cut_datagrams(3, holder);
    }
    cluster.run_for(Duration::from_millis(600));
    let asked = said(&cluster, |said| matches!(said, Said::Pull(_)));
    assert_eq!(asked, [3, 3], "both, in vain");
    cluster.hear(3, 0, &bare(4));
    cluster.run_for(Duration::from_millis(380));
    assert_eq!(receipts(&mut cluster)[&bare(4)[1..]].len(), 6);
    cluster.heal();
    cluster.run_for(SECOND);
    assert_eq!(said(&cluster, |said| *said == Said::Prune), [0; 0]);
}

#[test]
fn an_answer_to_a_digest_is_whole_and_so_is_what_goes_with_it() {
    // No links, no ticks: what comes, comes by the one digest.
    let mut cluster = settled(&vec![vec![], vec![]], |_, config| config.gossip_interval = None);
    let count = 128;
    (0..count).for_each(|number| say(&mut cluster, 0, &[number]));
    clear(&mut cluster);
    let unknown = (0..u64::from(count)).map(ShortId);
    cluster.hear(0, 1, &digest(true, 0, unknown));
    let answers: Vec<_> = cluster.sent.iter().filter(|sent| sent.to == addr(1)).collect();
    assert_eq!(answers.len(), 2, "neither fits beside the other");
    cluster.run_for(SECOND);
    assert_eq!(receipts(&mut cluster).len(), usize::from(count));
}

/// Node 0 in the middle of all others.
fn star(size: usize) -> Graph {
    (0..size).map(|index| if index == 0 { (1..size).collect() } else { vec![0] }).collect()
}

#[test]
fn who_fetches_when_much_is_sent_already_waits_a_moment() {
    let size = 10;
    let mut cluster = settled(&star(size), |_, config| config.repair = None);
    let large = vec![b'x'; 256 << 10];
    say(&mut cluster, 0, &large);
    // Three of them at a time, every fifth of a second.
    cluster.run_for(SECOND);
    assert_eq!(receipts(&mut cluster)[&large].len(), size - 1);
    let stats = cluster.node(0).stats();
    assert_eq!((stats.pulls_unanswered, stats.rumor_copies_grafted), (0, 9));
}

/// A runtime hears before it looks at the time, and so somebody else may ask in the very moment at which
/// those who wait are due.
#[test]
fn who_waits_for_a_large_payload_comes_before_who_asks_later() {
    let size = 12;
    let mut cluster = settled(&star(size), |_, config| config.repair = None);
    say(&mut cluster, 0, b"small");
    cluster.run_for(SECOND);
    let large = vec![b'x'; 256 << 10];
    say(&mut cluster, 0, &large);
    cluster.run_for(Duration::from_millis(2));
    let id = numbered(0, 0).0.to_be_bytes();
    let pull = word(Control::Pull { later: false, ids: Entries::decode(&id).unwrap() });
    for _ in 0..4 {
        cluster.run_for(Duration::from_micros(198_500));
        cluster.now += Duration::from_micros(2_000);
        cluster.hear(0, 11, &pull);
    }
    cluster.run_for(Duration::from_millis(10));
    assert_eq!(receipts(&mut cluster)[&large].len(), size - 1);
}

#[test]
fn who_has_waited_too_long_for_a_payload_is_sent_none() {
    let size = 60;
    let mut cluster = settled(&star(size), |_, config| config.repair = None);
    say(&mut cluster, 0, &vec![b'x'; 256 << 10]);
    cluster.run_for(Duration::from_millis(100));
    // Nobody asks again: they are gone, and nobody has noticed.
    (1..size).for_each(|index| cluster.cut(index, 0));
    cluster.run_for(5 * SECOND);
    let stats = cluster.node(0).stats();
    let supplied = stats.rumor_copies_grafted;
    assert!((27..=33).contains(&supplied), "three per fifth of a second, for two: {supplied}");
    assert_eq!(supplied + stats.pulls_unanswered, 59);
}

#[test]
fn who_has_left_sends_nobody_what_waits() {
    let mut cluster = settled(&star(20), |_, config| config.repair = None);
    say(&mut cluster, 0, &vec![b'x'; 256 << 10]);
    cluster.run_for(Duration::from_millis(50));
    cluster.act(0, Node::leave);
    assert!(cluster.run_until(10 * SECOND, |cluster| {
        cluster.events[0].iter().any(|event| matches!(event.fact, Fact::LeaveDone))
    }));
    let supplied = cluster.node(0).stats().rumor_copies_grafted;
    assert!(supplied < 19);
    cluster.run_for(2 * SECOND);
    assert_eq!(cluster.node(0).stats().rumor_copies_grafted, supplied);
}

#[test]
fn who_names_rumours_before_they_exist_teaches_nobody_to_wait() {
    let mut cluster = settled(&bus(3), |_, config| (config.repair, config.trees) = (None, 1));
    let said_of = |id| digest(false, 0, [id]);
    for (sequence, ahead_ms) in (0..).zip([700, 1_400, 2_400, 3_600, 5_000]) {
        cluster.hear(2, 0, &said_of(numbered(0, sequence)));
        cluster.run_for(Duration::from_millis(ahead_ms));
        say(&mut cluster, 0, b"early");
        cluster.run_for(SECOND);
    }
    clear(&mut cluster);
    cluster.cut_datagrams(1, 2);
    say(&mut cluster, 0, b"news");
    cluster.hear(2, 0, &said_of(numbered(0, 5)));
    cluster.run_for(SECOND + SECOND / 2);
    assert!(receipts(&mut cluster)[&b"news"[..]].contains(&2));
}
