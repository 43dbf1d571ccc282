//! Hostile datagrams (protocol page §9.1).

use std::net::SocketAddr;
use std::time::Duration;

use rumormill::wire::message::{Ack, Message, MessageType, Ping, Source};
use rumormill::wire::msgpack::Blob;
use rumormill::wire::packet::PacketError;
use rumormill::{
    BootEpoch, Cause, Config, Fact, Identity, Incarnation, Instant, Node, Output, Params, SeqNo,
};

use crate::util::{
    Cluster, addr, alive, blob, encoded, indirect_ping, name, parts, ping_from, still,
};

/// Node 0 alone, who knows nodes 1 and 2 and has told all that it knows.
fn world() -> Cluster {
    let mut world = Cluster::new(1, &still(Config::lan()));
    for index in 1..=2 {
        world.hear(0, index, &alive(index, |_| ()));
    }
    world.settle(0, 2);
    world
}

/// Sends a datagram and says why it was refused, having checked that nothing else came of it.
fn refusal(world: &mut Cluster, packet: &[u8]) -> PacketError {
    let before = world.node(0).stats().packets_refused;
    let refused = world.act(0, |node, now| node.handle_packet(now, addr(1), packet));
    assert_eq!(world.node(0).stats().packets_refused, before + 1, "it is counted");
    assert_untouched(world);
    refused.expect_err("it is refused")
}

fn assert_untouched(world: &mut Cluster) {
    assert!(world.sent.is_empty() && world.facts(0).is_empty());
    let members: Vec<_> = world.node(0).members().map(|member| member.incarnation.0).collect();
    assert_eq!(members, [1, 1, 1]);
    assert_eq!(world.node(0).updates_waiting(), 0);
}

/// A compound of these parts, each shorter than 64 KiB; there may be any number of them.
fn compound(parts: &[&[u8]]) -> Vec<u8> {
    let mut packet = vec![MessageType::COMPOUND.0, parts.len() as u8];
    for part in parts {
        packet.extend_from_slice(&(part.len() as u16).to_be_bytes());
    }
    packet.extend(parts.concat());
    packet
}

fn with_crc(body: &[u8]) -> Vec<u8> {
    let mut packet = vec![MessageType::HAS_CRC.0];
    packet.extend_from_slice(&crc32fast::hash(body).to_be_bytes());
    packet.extend_from_slice(body);
    packet
}

/// §9.1: empty datagram; `f4` alone; label of length 0 or beyond the end.
#[test]
fn empty_datagrams_and_malformed_labels_are_dropped() {
    let mut world = world();
    assert_eq!(refusal(&mut world, b""), PacketError::Empty);
    for packet in [&b"\xf4"[..], b"\xf4\x00", b"\xf4\x00\x08hi", b"\xf4\x05blue", b"\xf4\xff"] {
        assert_eq!(refusal(&mut world, packet), PacketError::MalformedLabel, "{packet:?}");
    }
}

/// §9.1: a label that is another cluster's, or that nobody expects.
#[test]
fn datagrams_with_another_label_are_dropped_and_counted() {
    let mut world = world();
    let news = alive(3, |_| ());
    let labelled = [b"\xf4\x04blue", &news[..]].concat();
    assert_eq!(refusal(&mut world, &labelled), PacketError::LabelMismatch);
    assert_eq!(world.node(0).stats().label_mismatches, 1);
    let blue = Config { label: b"blue".to_vec(), ..still(Config::lan()) };
    let mut cluster = Cluster::new(1, &blue);
    for packet in [news, [b"\xf4\x05green", &labelled[6..]].concat()] {
        let refused = cluster.act(0, |node, now| node.handle_packet(now, addr(1), &packet));
        assert_eq!(refused, Err(PacketError::LabelMismatch));
    }
    assert_eq!(
        (cluster.node(0).members().count(), cluster.node(0).stats().label_mismatches),
        (1, 2)
    );
}

/// §9.1: `0c` with fewer than 5 bytes; checksum mismatch; `0c` nested.
#[test]
fn bad_and_nested_checksums_are_dropped() {
    let mut world = world();
    for len in 1..=4 {
        assert_eq!(refusal(&mut world, &b"\x0c\0\0\0"[..len]), PacketError::Checksum);
    }
    let good = with_crc(&alive(3, |_| ()));
    for at in 1..good.len() {
        let mut broken = good.clone();
        broken[at] ^= 0x10;
        assert_eq!(refusal(&mut world, &broken), PacketError::Checksum, "byte {at}");
    }
    assert!(matches!(refusal(&mut world, &with_crc(&good)), PacketError::Message(_)));
    let inside = compound(&[&good]);
    world.hear(0, 1, &inside);
    assert_eq!(world.node(0).stats().messages_malformed, 1);
    assert_untouched(&mut world);
}

/// §9.1: compound without its count or lengths; parts that are cut off.
#[test]
fn a_cut_compound_gives_the_parts_that_are_whole() {
    let mut world = world();
    for packet in [&b"\x07"[..], b"\x07\x80", b"\x07\x01\x00", b"\x07\x02\x00\x01\x00"] {
        assert_eq!(refusal(&mut world, packet), PacketError::TruncatedCompound, "{packet:?}");
    }
    let packet = compound(&[&alive(3, |_| ()), &alive(4, |_| ()), &alive(5, |_| ())]);
    world.hear(0, 1, &packet[..packet.len() - 100]);
    assert_eq!(world.node(0).members().count(), 4);
    assert_eq!(world.node(0).stats().parts_cut_off, 2);
}

/// §9.1: zero-length part.
#[test]
fn empty_parts_are_skipped() {
    let mut world = world();
    world.hear(0, 1, &compound(&[b"", &alive(3, |_| ()), b""]));
    assert_eq!(world.node(0).members().count(), 4);
    assert_eq!(world.node(0).stats().messages_malformed, 2);
    world.hear(0, 1, b"\x07\x01\x00\x00");
    assert_eq!(world.node(0).stats().messages_malformed, 3);
}

/// §9.1: types 6, 10, 13, 14 to 243 and 244 inside, and 9 and 7 in each other's place.
#[test]
fn types_that_have_no_place_are_skipped_and_the_rest_applied() {
    let leaves = [0, 1, 2, 3, 4, 5, 8, 11];
    for kind in (0..=255_u8).filter(|kind| !leaves.contains(kind)) {
        let mut world = world();
        let foreign = [&[kind], &alive(3, |_| ())[1..]].concat();
        world.hear(0, 1, &compound(&[&foreign, &alive(4, |_| ()), &[kind]]));
        let node = world.node(0);
        assert_eq!((node.members().count(), node.stats().messages_malformed), (4, 2), "{kind}");
        assert!(node.member(name(3).as_bytes()).is_none());
    }
}

/// §9.1: compound in compound. It would multiply the work.
#[test]
fn a_compound_in_a_compound_is_skipped() {
    let mut world = world();
    let inner = compound(&[&alive(3, |_| ())]);
    world.hear(0, 1, &compound(&[&inner, &inner]));
    assert_eq!(world.node(0).stats().messages_malformed, 2);
    assert_untouched(&mut world);
}

/// §9.1: `db`, `c6`, `dd`, `df` with huge lengths; maps and arrays with 2^32 entries.
#[test]
fn lengths_beyond_the_datagram_are_refused() {
    let mut world = world();
    let huge = [b"\xff\xff\xff\xff", b"\x80\x00\x00\x00", b"\x00\x10\x00\x00"];
    for marker in [0xdb, 0xc6, 0xc9, 0xdd, 0xdf_u8] {
        for length in huge {
            for key in [&b"\xa4Node"[..], b"\xa1X"] {
                let value = [&[0, 0x81], key, &[marker], length, b"tail"].concat();
                assert!(matches!(refusal(&mut world, &value), PacketError::Message(_)));
            }
            if marker >= 0xdd {
                let whole = [&[4, marker], &length[..], b"\xa4Node\xa1x"].concat();
                assert!(matches!(refusal(&mut world, &whole), PacketError::Message(_)));
            }
        }
    }
}

/// §9.1: deep nesting under an unknown key, as deep as the largest datagram can have it.
#[test]
fn any_depth_of_nesting_is_skipped_without_recursion() {
    let mut world = world();
    for marker in [0x91, 0x81_u8] {
        let mut bottomless = b"\x04\x81\xa1X".to_vec();
        bottomless.resize(65_000, marker);
        assert!(matches!(refusal(&mut world, &bottomless), PacketError::Message(_)));
    }
    // The same with an end is legal, and what follows it counts.
    let mut deep = b"\x04\x87\xa1X".to_vec();
    deep.resize(60_000, 0x91);
    deep.push(0xc0);
    deep.extend_from_slice(&alive(3, |_| ())[2..]);
    world.hear(0, 1, &deep);
    assert!(world.node(0).member(name(3).as_bytes()).is_some());
}

/// §9.1: invalid types, negative or overflowing integers, floats; nil as a whole (`00 c0`).
#[test]
fn values_of_the_wrong_kind_drop_their_message() {
    let mut world = world();
    let bodies = [
        &b"\xc0"[..],
        b"\x05",
        b"\xa5SeqNo",
        b"\x81\xa5SeqNo\xff",
        b"\x81\xa5SeqNo\xd3\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x81\xa5SeqNo\xcf\0\0\0\x01\0\0\0\0",
        b"\x81\xa5SeqNo\xca\0\0\0\0",
        b"\x81\xa5SeqNo\xc3",
        b"\x81\xa5SeqNo\xc1",
        b"\x81\xa4Node\x07",
        b"\x81\xa4Node\x91\xcd\x01\0",
    ];
    for body in bodies {
        let packet = [&[0], body].concat();
        assert!(matches!(refusal(&mut world, &packet), PacketError::Message(_)), "{body:?}");
    }
}

/// §9.1: `SourceAddr` of neither 4 nor 16 bytes.
#[test]
fn a_source_address_of_an_odd_length_is_ignored() {
    let mut world = world();
    for len in [1, 3, 5, 15, 17] {
        let source =
            Source { addr: blob(&vec![10; len]), port: 9, node: Blob::Borrowed(b"node-1") };
        let ping = Ping { seq: SeqNo(1), node: Blob::Nil, source };
        world.hear(0, 9, &encoded(&Message::Ping(ping)));
        assert_eq!(world.sent.last().unwrap().to, addr(9), "{len} bytes");
    }
}

/// §9.1: a storm of requests to probe.
#[test]
fn probes_for_others_are_limited_in_number() {
    let mut world = world();
    for seq in 0..300 {
        world.hear(0, 9, &indirect_ping(1, seq, false));
    }
    let stats = world.node(0).stats();
    assert_eq!((stats.relays, stats.relays_refused, world.sent.len()), (256, 44, 256));
    world.run_for(Config::lan().probe_timeout);
    world.hear(0, 9, &indirect_ping(1, 300, false));
    assert_eq!(world.node(0).stats().relays, 257, "their time is over");
}

/// §9.1: the requester itself as target.
#[test]
fn a_requester_may_be_the_target() {
    let mut world = world();
    world.hear(0, 1, &indirect_ping(1, 5, false));
    let sent = world.sent.last().unwrap();
    assert_eq!((sent.to, sent.cause), (addr(1), Cause::RelayedProbe));
}

fn lone_node(seed: u8) -> Node {
    let identity = Identity {
        name: name(0),
        addr: addr(0),
        incarnation: Incarnation(1),
        boot_epoch: BootEpoch(1),
    };
    Node::new(Instant::ZERO, identity, Params::try_from(Config::lan()).unwrap(), [seed; 32])
}

/// §9.1: forged ack. Whoever cannot read our datagrams has to guess the number.
#[test]
fn numbers_of_probes_begin_anywhere() {
    let first_number = |seed: u8| {
        let mut node = lone_node(seed);
        node.handle_packet(Instant::ZERO, addr(1), &alive(1, |_| ())).unwrap();
        let mut buf = [0; 1_400];
        for second in 1..10 {
            node.handle_tick(Instant::ZERO + Duration::from_secs(second));
            loop {
                match node.poll_output(&mut buf) {
                    Output::Send { len, .. } => {
                        if let Message::Ping(ping) = &parts(&buf[..len])[0] {
                            return ping.seq.0;
                        }
                    }
                    Output::Timer(_) => break,
                    _ => {}
                }
            }
        }
        panic!("a member is probed");
    };
    let mut numbers: Vec<_> = (0..10).map(first_number).collect();
    numbers.sort_unstable();
    assert!(numbers.windows(2).all(|pair| pair[0] + 1_000 < pair[1]), "{numbers:?}");
    let mut world = world();
    world.hear(0, 1, &encoded(&Message::Ack(Ack { seq: SeqNo(1), payload: Blob::Nil })));
    assert_eq!(world.node(0).stats().acks_unmatched, 1, "none is outstanding");
}

/// §9.1: a flood of statements and user messages, from one source, into a node that is never
/// drained.
#[test]
fn a_flood_is_bounded_and_what_is_dropped_is_counted() {
    let mut node = lone_node(1);
    let from: SocketAddr = addr(1);
    for index in 1..=20_usize {
        node.handle_packet(Instant::ZERO, addr(index), &alive(index, |_| ())).unwrap();
    }
    for number in 0..20_000_u32 {
        let user = [&[8], &number.to_be_bytes()[..]].concat();
        let index = number as usize % 20 + 1;
        let restated = alive(index, |alive| {
            alive.incarnation = Incarnation(number + 2);
            alive.meta = blob(&number.to_be_bytes());
        });
        for packet in [user, restated, ping_from(0, 1)] {
            node.handle_packet(Instant::ZERO, from, &packet).unwrap();
        }
    }
    node.check_invariants();
    let stats = node.stats().clone();
    assert!(stats.outbox_overflows >= 20_000 - 4_096, "answers: {}", stats.outbox_overflows);
    assert!(stats.events_dropped >= 40_000 - 4_096, "events: {}", stats.events_dropped);
    assert_eq!(node.updates_waiting(), 21, "one statement for each member");
    let (mut buf, mut sent, mut facts) = (vec![0; 1_400], 0, Vec::new());
    loop {
        match node.poll_output(&mut buf) {
            Output::Send { .. } => sent += 1,
            Output::Event(event) => facts.push(event.fact),
            Output::Timer(_) => break,
            _ => {}
        }
    }
    assert!(sent <= 4_096 && facts.len() <= 4_097, "{sent} datagrams, {} events", facts.len());
    assert!(matches!(facts[0], Fact::Resync { .. }), "the application is told that it missed some");
}
