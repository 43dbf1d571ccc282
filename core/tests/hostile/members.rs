//! Hostile statements about members (protocol page §9.2).

use std::time::Duration;

use rumormill::wire::message::{Alive, WireState};
use rumormill::wire::msgpack::Blob;
use rumormill::{Config, Fact, Incarnation, MemberState};

use crate::util::{Accuse, Cluster, accusation, addr, alive, blob, exchange, name, still};

const SECOND: Duration = Duration::from_secs(1);

fn world() -> Cluster {
    let mut world = Cluster::new(1, &still(Config::lan()));
    world.hear(0, 1, &alive(1, |_| ()));
    world.settle(0, 1);
    world
}

/// Fails unless such a statement, about a stranger and about a member, is refused and counted and
/// leaves nothing behind.
#[track_caller]
fn assert_refused(change: impl Fn(&mut Alive<'static>)) {
    let mut world = world();
    for (index, refused) in [(2, 1), (1, 2)] {
        let statement = alive(index, |alive| {
            alive.incarnation = Incarnation(5);
            change(alive);
        });
        world.hear(0, 1, &statement);
        assert_eq!(world.node(0).stats().claims_refused, refused);
        assert_eq!(world.node(0).members().count(), 2);
        assert_eq!(world.node(0).member(name(1).as_bytes()).unwrap().incarnation, Incarnation(1));
        assert!(world.facts(0).is_empty() && world.news(0, 1).is_empty());
    }
}

/// §9.2: empty node name; very long name.
#[test]
fn names_of_no_and_of_more_than_255_bytes_are_refused() {
    for len in [0, 256, 10_000] {
        assert_refused(|alive| alive.node = blob(&vec![b'x'; len]));
    }
    assert_refused(|alive| alive.node = Blob::Nil);
}

/// §9.2: control characters, bytes that are no text. They are a name like any other, and are
/// escaped where they are shown.
#[test]
fn names_that_are_no_text_are_kept_as_they_are_and_shown_escaped() {
    let mut world = world();
    let odd = b"\x1b[2J\n\xff\0";
    world.hear(0, 2, &alive(2, |alive| alive.node = blob(odd)));
    let member = world.node(0).member(odd).unwrap();
    assert_eq!(member.name.as_bytes(), odd);
    let shown = member.name.to_string();
    assert!(shown.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{shown}");
}

/// §9.2: `Addr` of neither 4 nor 16 bytes.
#[test]
fn addresses_of_odd_lengths_are_refused() {
    for len in [0, 3, 5, 15, 17] {
        assert_refused(|alive| alive.addr = blob(&vec![10; len]));
    }
}

/// §9.2: unspecified, multicast or loopback `Addr`, port 0. Go takes them and so do we: there are
/// clusters on loopback. Port 0 means our own.
#[test]
fn odd_addresses_of_the_right_length_are_taken_and_port_0_means_ours() {
    let mut world = world();
    let ips = [[0, 0, 0, 0], [224, 0, 0, 1], [127, 0, 0, 1]];
    for (index, ip) in (2..).zip(ips) {
        world.hear(0, index, &alive(index, |alive| (alive.addr, alive.port) = (blob(&ip), 0)));
        let member = world.node(0).member(name(index).as_bytes()).unwrap();
        assert_eq!(member.addr, (ip, addr(0).port()).into());
    }
}

/// §9.2: `Meta` of more than 512 bytes.
#[test]
fn meta_that_might_never_fit_a_datagram_is_refused() {
    for len in [513, 3_000, 60_000] {
        assert_refused(|alive| alive.meta = blob(&vec![b'x'; len]));
    }
}

/// §9.2: `Vsn` of 0 to 5 bytes. One such record makes every push/pull fail.
#[test]
fn fewer_than_six_version_bytes_are_refused_and_more_are_not() {
    for len in 0..6 {
        assert_refused(|alive| alive.vsn = blob(&[1, 5, 2, 0, 0][..len.min(5)]));
    }
    assert_refused(|alive| alive.vsn = Blob::Nil);
    let mut world = world();
    world.hear(0, 2, &alive(2, |alive| alive.vsn = blob(&[1, 5, 2, 0, 0, 0, 9, 9])));
    assert_eq!(
        world.node(0).member(name(2).as_bytes()).unwrap().versions.as_bytes()[..],
        [1, 5, 2, 0, 0, 0]
    );
}

/// §9.2: pmin = 0, pmax = 0, pmin > pmax.
#[test]
fn protocol_ranges_that_are_none_are_refused() {
    for protocol in [[0, 5, 2], [1, 0, 2], [4, 3, 2], [0, 0, 0]] {
        let [min, max, current] = protocol;
        assert_refused(|alive| alive.vsn = blob(&[min, max, current, 0, 0, 0]));
    }
}

/// §9.2: pcur or dcur outside its own range. Go believes such a node and then refuses every
/// exchange with whoever lists it.
#[test]
fn versions_outside_their_own_range_are_refused() {
    for vsn in [[1, 5, 6, 0, 0, 0], [2, 5, 1, 0, 0, 0], [1, 5, 2, 2, 5, 1], [1, 5, 2, 2, 5, 6]] {
        assert_refused(|alive| alive.vsn = blob(&vsn));
    }
}

/// §9.2: version ranges disjoint from ours.
#[test]
fn versions_that_we_cannot_speak_with_are_refused() {
    for vsn in [[3, 5, 3, 0, 0, 0], [1, 7, 6, 0, 0, 0], [1, 5, 2, 2, 5, 4]] {
        assert_refused(|alive| alive.vsn = blob(&vsn));
    }
}

/// §9.2: alive of an unknown member with incarnation 0.
#[test]
fn a_stranger_with_incarnation_0_leaves_no_phantom() {
    let mut world = world();
    world.hear(0, 2, &alive(2, |alive| alive.incarnation = Incarnation(0)));
    assert_eq!(world.node(0).members().count(), 2);
    assert!(world.facts(0).is_empty() && world.news(0, 1).is_empty());
}

/// §9.2: dead with `Node` = `From` about a live member. It looks like a goodbye; the victim refutes.
#[test]
fn a_forged_goodbye_is_refuted() {
    let mut cluster = Cluster::joined(5, &Config::lan());
    let forged = accusation(Accuse::Dead, 1, 1, 1);
    cluster.hear(0, 99, &forged);
    assert_eq!(cluster.state(0, 1), Some(MemberState::Left));
    assert!(cluster.run_until(30 * SECOND, |cluster| {
        (0..5).all(|index| cluster.state(index, 1) == Some(MemberState::Alive))
    }));
    assert!(cluster.node(1).local().incarnation > Incarnation(1));
}

/// §9.2: meta that flaps with rising incarnations. It holds one place among the news, and what the
/// application does not fetch is bounded.
#[test]
fn flapping_meta_costs_one_place_in_the_queue_and_a_bounded_number_of_events() {
    let config = Config { events_max: 16, ..still(Config::lan()) };
    let mut world = Cluster::new(1, &config);
    world.facts(0);
    for incarnation in 1..10_000_u32 {
        let flap = alive(1, |alive| {
            alive.incarnation = Incarnation(incarnation);
            alive.meta = blob(&incarnation.to_be_bytes());
        });
        let now = world.now;
        world.act_undrained(0, |node| node.handle_packet(now, addr(1), &flap)).unwrap();
    }
    assert_eq!(world.node(0).updates_waiting(), 2, "the node itself and the flapping one");
    world.act(0, |_, _| ());
    let told = world.facts(0);
    assert_eq!(told.len(), 17);
    assert!(matches!(told[0], Fact::Resync { .. }));
}

/// §9.2: replay of old packets. What a node learned since is not undone.
#[test]
fn packets_of_the_past_change_nothing() {
    let mut cluster = Cluster::joined(4, &Config::lan());
    cluster.hear(2, 99, &accusation(Accuse::Suspect, 2, 1, 7));
    cluster.act(1, |node, now| node.set_meta(now, b"new")).unwrap();
    cluster.act(3, rumormill::Node::leave);
    cluster.run_for(20 * SECOND);
    let past: Vec<_> = cluster.sent.drain(..).filter(|sent| sent.to == addr(0)).collect();
    assert!(past.len() > 20, "{} datagrams", past.len());
    let view = |cluster: &Cluster| -> Vec<_> {
        let members = cluster.node(0).members();
        members.map(|m| (m.name.clone(), m.state, m.incarnation, m.meta.to_vec())).collect()
    };
    let before = view(&cluster);
    cluster.facts(0);
    for sent in &past {
        cluster.hear(0, sent.from, &sent.bytes);
    }
    assert_eq!(view(&cluster), before);
    assert!(cluster.facts(0).is_empty());
}

/// The same statements in a push/pull: what a datagram may not say, a list may not either.
#[test]
fn a_list_is_held_to_the_same_rules() {
    let mut world = world();
    let view =
        [(2, 0, WireState::ALIVE), (1, u32::MAX, WireState::DEAD), (1, u32::MAX, WireState::LEFT)];
    world.hear_stream(0, &exchange(&view, false)).1.unwrap();
    assert_eq!(world.node(0).members().count(), 2);
    assert_eq!(world.state(0, 1), Some(MemberState::Alive));
}
