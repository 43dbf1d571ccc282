//! Hostile streams (protocol page §9.3).

use std::net::SocketAddr;
use std::time::Duration;

use rumormill::wire::message::{
    Ack, Message, NodeState, Ping, PushPullHeader, Refusal, Source, WireState,
};
use rumormill::wire::msgpack::Blob;
use rumormill::wire::stream::{StreamError, USER_MESSAGE_MAX, USER_STATE_MAX};
use rumormill::{Config, Fact, MemberState, SeqNo, StreamFailure, StreamId, StreamInput};

use crate::util::{Cluster, addr, alive, encoded, exchange, name, statement, still};

fn world() -> Cluster {
    let mut world = Cluster::new(1, &still(Config::lan()));
    world.hear(0, 1, &alive(1, |_| ()));
    world.settle(0, 1);
    world
}

fn accept(world: &mut Cluster, ip: u8, port: u16) -> Option<StreamId> {
    let from = SocketAddr::from(([10, 9, 9, ip], port));
    world.act(0, |node, now| node.handle_accept(now, from))
}

/// Sends a request and fails unless it is refused: closed, unanswered, and nothing applied.
#[track_caller]
fn refusal(world: &mut Cluster, request: &[u8]) -> StreamError {
    let (stream, served) = world.hear_stream(0, request);
    assert!(world.closed.contains(&(0, stream)), "it is closed");
    assert!(!world.written.contains_key(&(0, stream)), "without a word");
    assert!(world.facts(0).is_empty());
    assert_eq!(world.node(0).members().count(), 2);
    served.expect_err("it is refused")
}

/// §9.3: slow or silent connections; storms of push/pulls.
#[test]
fn streams_are_limited_in_all_and_per_address_and_end_in_time() {
    let mut world = world();
    let first = accept(&mut world, 1, 0).unwrap();
    for port in 1..32 {
        assert!(accept(&mut world, 1, port).is_some());
    }
    assert_eq!(accept(&mut world, 1, 99), None, "the 33rd from one address");
    let others = (2..=9).flat_map(|ip| (0..32).map(move |port| (ip, port)));
    let taken = others.filter(|&(ip, port)| accept(&mut world, ip, port).is_some()).count();
    assert_eq!(32 + taken, 112, "seven eighths: the rest is for our own");
    let timeout = Config::lan().stream_timeout;
    // A byte now and then buys no time.
    world.run_for(timeout / 2);
    let dribble = StreamInput::Bytes(b"\x06");
    world.act(0, |node, now| node.handle_stream(now, first, dribble)).unwrap();
    world.run_for(timeout / 2);
    assert_eq!(world.closed.len(), 112);
    assert!(accept(&mut world, 1, 100).is_some());
}

/// §9.3: label errors.
#[test]
fn label_errors_close_the_stream_without_a_word() {
    let mut world = world();
    let good = exchange(&[(2, 1, WireState::ALIVE)], true);
    assert_eq!(refusal(&mut world, b"\xf4\x00"), StreamError::MalformedLabel);
    let labelled = [b"\xf4\x04blue", &good[..]].concat();
    assert_eq!(refusal(&mut world, &labelled), StreamError::LabelMismatch);
    // One that ends inside the label.
    let (stream, served) = world.hear_stream(0, b"\xf4\x04bl");
    assert_eq!(served, Ok(()));
    let end = world.act(0, |node, now| node.handle_stream(now, stream, StreamInput::Closed));
    assert_eq!(end, Err(StreamError::Unfinished));
    assert!(world.closed.contains(&(0, stream)) && !world.written.contains_key(&(0, stream)));
}

/// memberlist's own test of it: the connection breaks before the label is read.
#[test]
fn a_stream_that_breaks_before_its_first_byte_is_forgotten() {
    let mut world = world();
    for input in [StreamInput::Closed, StreamInput::Failed] {
        let stream = accept(&mut world, 1, 1).unwrap();
        assert_eq!(world.act(0, |node, now| node.handle_stream(now, stream, input)), Ok(()));
        let late = StreamInput::Bytes(b"\x06");
        let after = world.act(0, |node, now| node.handle_stream(now, stream, late));
        assert_eq!(after, Err(StreamError::UnknownStream));
    }
}

/// §9.3: negative `Nodes`; negative or too large `UserStateLen` and `UserMsgLen`.
#[test]
fn negative_and_huge_counts_are_refused_before_anything_follows() {
    let mut world = world();
    let negative =
        [&b"\xff"[..], b"\xd0\x80", b"\xd1\xff\xff", b"\xd3\xff\xff\xff\xff\xff\xff\xff\xff"];
    let millions = |count: u32| [&[0xce][..], &count.to_be_bytes()].concat();
    let claims = |key: &[u8], max: u32| -> Vec<Vec<u8>> {
        let values = negative.iter().map(|value| value.to_vec()).chain([
            millions(max + 1),
            millions(30_000_000),
            millions(u32::MAX),
            b"\xcf\x80\0\0\0\0\0\0\0".to_vec(),
        ]);
        values.map(|value| [key, &value].concat()).collect()
    };
    for claim in claims(b"\x06\x81\xa5Nodes", 1 << 20) {
        assert!(matches!(refusal(&mut world, &claim), StreamError::Message(_)), "{claim:?}");
    }
    for claim in claims(b"\x06\x81\xacUserStateLen", USER_STATE_MAX) {
        assert!(matches!(refusal(&mut world, &claim), StreamError::Message(_)), "{claim:?}");
    }
    for claim in claims(b"\x08\x81\xaaUserMsgLen", USER_MESSAGE_MAX) {
        assert!(matches!(refusal(&mut world, &claim), StreamError::Message(_)), "{claim:?}");
    }
}

/// §9.3: endless records in the clear.
#[test]
fn an_endless_list_ends_at_the_limit_of_a_message() {
    let config = Config { stream_message_max: 1 << 16, ..still(Config::lan()) };
    let mut world = Cluster::new(1, &config);
    let mut header = Vec::new();
    PushPullHeader { nodes: 1 << 20, user_state_len: 0, join: true }.encode(&mut header).unwrap();
    let (stream, served) = world.hear_stream(0, &header);
    assert_eq!(served, Ok(()));
    let mut sent = header.len();
    let refused = (1..).find_map(|index| {
        let mut record = Vec::new();
        let node = NodeState { alive: statement(index), state: WireState::ALIVE };
        node.encode(&mut record).unwrap();
        sent += record.len();
        let input = StreamInput::Bytes(&record);
        world.act(0, |node, now| node.handle_stream(now, stream, input)).err()
    });
    assert_eq!(refused, Some(StreamError::MessageTooLong { max: 1 << 16 }));
    assert!(sent <= (1 << 16) + 200, "{sent} bytes");
    assert_eq!(world.node(0).members().count(), 1, "nothing of it was applied");
}

/// §9.3: unknown `State`.
#[test]
fn an_entry_of_an_unknown_state_is_ignored() {
    let mut world = world();
    let view = [(1, 9, WireState(4)), (2, 1, WireState(77)), (3, 1, WireState::ALIVE)];
    assert_eq!(world.hear_stream(0, &exchange(&view, false)).1, Ok(()));
    assert_eq!(world.node(0).members().count(), 3);
    assert_eq!(world.node(0).member(name(1).as_bytes()).unwrap().incarnation.0, 1);
    assert_eq!(world.state(0, 3), Some(MemberState::Alive));
}

fn ping(node: &'static [u8]) -> Vec<u8> {
    let ping = Ping { seq: SeqNo(23), node: Blob::Borrowed(node), source: Source::default() };
    encoded(&Message::Ping(ping))
}

/// §9.3: ping for another node.
#[test]
fn a_ping_on_a_stream_is_answered_unless_it_is_for_another() {
    let mut world = world();
    for node in [&b"node-0"[..], b""] {
        let (stream, served) = world.hear_stream(0, &ping(node));
        assert_eq!(served, Ok(()));
        let ack = encoded(&Message::Ack(Ack { seq: SeqNo(23), payload: Blob::Nil }));
        assert_eq!(world.written[&(0, stream)], ack);
    }
    let (stream, served) = world.hear_stream(0, &ping(b"node-1"));
    assert_eq!(served, Ok(()));
    assert!(world.closed.contains(&(0, stream)) && !world.written.contains_key(&(0, stream)));
    assert_eq!(world.node(0).stats().pings_for_others, 1);
}

/// §9.3: an `err` of enormous text.
#[test]
fn a_refusal_is_told_in_few_words_whatever_its_length() {
    for len in [300, 60_000] {
        let mut cluster = Cluster::new(2, &still(Config::lan()));
        cluster.cut(0, 1);
        cluster.act(1, |node, now| node.join(now, &[addr(0)]));
        cluster.run_for(Duration::from_millis(100));
        let mut answer = Vec::new();
        Refusal { error: (&vec![b'\n'; len][..]).into() }.encode(&mut answer).unwrap();
        let stream = *cluster.written.keys().map(|(_, stream)| stream).next().unwrap();
        let input = StreamInput::Bytes(&answer);
        let refused = cluster.act(1, |node, now| node.handle_stream(now, stream, input));
        assert_eq!(refused, Err(StreamError::Refused));
        let told = cluster.facts(1);
        let words = told.iter().find_map(|fact| match fact {
            Fact::SeedFailed { reason: StreamFailure::Refused(words), .. } => Some(words),
            _ => None,
        });
        assert_eq!(words.unwrap(), &"\\n".repeat(256), "escaped and cut");
    }
}

/// §9.3: type 13 or others as a request.
#[test]
fn answers_and_types_of_packets_as_requests_are_closed() {
    for kind in (0..=255_u8).filter(|kind| ![0, 2, 6, 8, 13, 244].contains(kind)) {
        let (stream, served) = world().hear_stream(0, &[kind, 0x80]);
        assert!(served.is_err(), "type {kind} on {stream:?}");
    }
    for request in [
        encoded(&Message::Ack(Ack { seq: SeqNo(1), payload: Blob::Nil })),
        b"\x0d\x81\xa5Error\xa4boom".to_vec(),
    ] {
        let mut world = world();
        let (stream, _) = world.hear_stream(0, &request);
        assert!(world.closed.contains(&(0, stream)) && !world.written.contains_key(&(0, stream)));
        assert_eq!(world.node(0).stats().streams_failed, 1);
    }
}
