//! What a peer claims takes no memory: every length on the wire at every value that might, into a
//! node, with the peak of the heap held against the bytes that came (attack 1 of the reliability
//! page: twice what was received and 64 KiB).
//!
//! One test, because the heap is one.

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "this is test code")]

use std::net::SocketAddr;

use rumormill::wire::message::{NodeState, PushPullHeader};
use rumormill::wire::sections;
use rumormill::wire::stream::{PUSH_PULL_NODES_MAX, USER_MESSAGE_MAX, USER_STATE_MAX};
use rumormill::{
    BootEpoch, Config, Identity, Incarnation, Instant, Key, Keyring, Node, NodeName, Output,
    Params, StreamInput,
};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

const SLACK: usize = 64 << 10;

/// The limits that some length or other has: what is one too many for one is ordinary for another.
const LIMITS: [u64; 9] = [
    255,
    512,
    0xffff,
    64 << 10,
    PUSH_PULL_NODES_MAX as u64,
    USER_STATE_MAX as u64,
    USER_MESSAGE_MAX as u64,
    32 << 20,
    u32::MAX as u64,
];

fn values() -> Vec<u64> {
    let around = LIMITS.iter().flat_map(|&max| [max, max + 1]);
    let mut values: Vec<_> = [0, 1, 1 << 31, 1 << 63, u64::MAX].into_iter().chain(around).collect();
    values.sort_unstable();
    values
}

/// Strings, byte strings, arrays, maps and extensions that claim this length, in every width.
fn sized(value: u64) -> Vec<Vec<u8>> {
    let with = |marker: u8, bytes: usize| -> Vec<u8> {
        [&[marker], &value.to_be_bytes()[8 - bytes..]].concat()
    };
    let narrow = [0xc4, 0xd9, 0xc7].map(|marker| with(marker, 1));
    let middle = [0xc5, 0xda, 0xc8, 0xdc, 0xde].map(|marker| with(marker, 2));
    let wide = [0xc6, 0xdb, 0xc9, 0xdd, 0xdf].map(|marker| with(marker, 4));
    narrow.into_iter().chain(middle).chain(wide).collect()
}

/// Numbers of this value, unsigned and signed, in every width.
fn numbers(value: u64) -> Vec<Vec<u8>> {
    let widths = [(0xcc, 1), (0xcd, 2), (0xce, 4), (0xcf, 8), (0xd0, 1), (0xd2, 4), (0xd3, 8)];
    let number =
        |(marker, bytes): (u8, usize)| [&[marker], &value.to_be_bytes()[8 - bytes..]].concat();
    widths.into_iter().map(number).collect()
}

/// All keys of all messages, and one that nobody knows.
const KEYS: [&str; 24] = [
    "Node",
    "SeqNo",
    "SourceAddr",
    "SourceNode",
    "SourcePort",
    "Target",
    "Port",
    "Nack",
    "Payload",
    "From",
    "Incarnation",
    "Addr",
    "Meta",
    "Vsn",
    "Name",
    "State",
    "Nodes",
    "UserStateLen",
    "Join",
    "UserMsgLen",
    "Algo",
    "Buf",
    "Error",
    "X",
];

fn raw(text: &str) -> Vec<u8> {
    [&[0xa0 | text.len() as u8], text.as_bytes()].concat()
}

/// Datagrams and streams that claim `value` in one place.
fn claims(value: u64) -> Vec<Vec<u8>> {
    let tail = [b'x'; 100];
    let mut claims = Vec::new();
    let mut claim = |parts: &[&[u8]]| {
        claims.push(parts.concat());
        claims.push([&parts.concat()[..], &tail].concat());
    };
    for kind in [0, 1, 2, 3, 4, 5, 6, 8, 9, 11, 13_u8] {
        for length in sized(value) {
            // The whole message, a key, a field.
            claim(&[&[kind], &length]);
            claim(&[&[kind, 0x81], &length]);
            for key in KEYS {
                claim(&[&[kind, 0x81], &raw(key), &length]);
            }
        }
        for number in numbers(value) {
            for key in ["Nodes", "UserStateLen", "UserMsgLen"] {
                claim(&[&[kind, 0x81], &raw(key), &number]);
            }
        }
    }
    // A record behind a header, the compressed bytes behind their algorithm.
    let mut header = Vec::new();
    PushPullHeader { nodes: 3, user_state_len: 9, join: true }.encode(&mut header).unwrap();
    for length in sized(value) {
        for key in ["Name", "Addr", "Meta", "Vsn", "X"] {
            claim(&[&header, &[0x81], &raw(key), &length]);
        }
        claim(&[b"\x09\x82\xa4Algo\x00\xa3Buf", &length]);
    }
    // Labels, compounds and their parts, frames.
    let bytes = value.to_be_bytes();
    claim(&[&[0xf4, bytes[7]], b"blue"]);
    claim(&[&[7, bytes[7]]]);
    claim(&[&[7, 1], &bytes[6..]]);
    claim(&[&[10], &bytes[4..]]);
    // The envelope's name, the sections of a state, a tag in a member's meta.
    claim(&[b"\x08RM\x10\x00", &[0; 19], &bytes[7..]]);
    claim(&[&with_state(&[&sections::MAGIC[..], &bytes[6..], &bytes[4..]].concat())]);
    claim(&[&with_state(&[&sections::MAGIC[..], &bytes[4..], &bytes[4..]].concat())]);
    claim(&[&with_meta(&[&[0xff, 0xdf][..], &bytes[4..]].concat())]);
    claims
}

/// A push/pull with this for its user state.
fn with_state(state: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let user_state_len = state.len() as u32;
    PushPullHeader { nodes: 0, user_state_len, join: false }.encode(&mut bytes).unwrap();
    bytes.extend_from_slice(state);
    bytes
}

/// A push/pull with one member of this meta.
fn with_meta(meta: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    PushPullHeader { nodes: 1, user_state_len: 0, join: false }.encode(&mut bytes).unwrap();
    let mut node = NodeState::default();
    node.alive.node = (&b"member"[..]).into();
    node.alive.addr = (&[10, 0, 0, 7][..]).into();
    node.alive.incarnation = Incarnation(1);
    node.alive.vsn = (&[1, 5, 2, 0, 0, 0][..]).into();
    node.alive.meta = meta.into();
    node.encode(&mut bytes).unwrap();
    bytes
}

fn node(keyring: Keyring) -> Node {
    let identity = Identity {
        name: NodeName::new("me").unwrap(),
        addr: ([10, 0, 0, 1], 7_946).into(),
        incarnation: Incarnation(1),
        boot_epoch: BootEpoch(1),
    };
    let params = Params::try_from(Config { keyring, ..Config::lan() }).unwrap();
    Node::new(Instant::ZERO, identity, params, [1; 32])
}

/// Gives a node this as a datagram and as a stream.
fn hear(node: &mut Node, bytes: &[u8], buf: &mut [u8]) {
    let (now, from): (_, SocketAddr) = (Instant::ZERO, ([10, 0, 0, 2], 7_946).into());
    let _ = node.handle_packet(now, from, bytes);
    let stream = node.handle_accept(now, from).expect("none is open");
    for input in [StreamInput::Bytes(bytes), StreamInput::Failed] {
        let _ = node.handle_stream(now, stream, input);
    }
    while !matches!(node.poll_output(buf), Output::Timer(_)) {}
}

/// The most that the heap holds while a node hears these, beyond what it held before.
fn peak(node: &mut Node, heard: &[Vec<u8>], buf: &mut [u8]) -> usize {
    let _profiler = dhat::Profiler::builder().testing().build();
    for bytes in heard {
        hear(node, bytes, buf);
    }
    dhat::HeapStats::get().max_bytes
}

#[test]
fn no_length_on_the_wire_takes_more_than_twice_the_bytes_that_came() {
    let mut keyring = Keyring::new();
    keyring.install(Key::new(&[1; 16]).unwrap()).unwrap();
    let mut buf = vec![0; 65_536];
    let mut tried = 0;
    for keyring in [Keyring::new(), keyring] {
        for value in values() {
            let claims = claims(value);
            let mut node = node(keyring.clone());
            for group in claims.chunks(32) {
                let shortest = group.iter().map(Vec::len).min().unwrap_or(0);
                let peak = peak(&mut node, group, &mut buf);
                assert!(peak <= 2 * shortest + SLACK, "{peak} bytes, claims of {value}: {group:?}");
            }
            tried += claims.len();
        }
    }
    assert!(tried > 100_000, "{tried} claims");
    // What does come is held, and no more than twice.
    for len in [100_000, 1_000_000] {
        let mut message = b"\x08\x81\xaaUserMsgLen\xce\x01\x40\x00\x00".to_vec();
        message.resize(len, b'x');
        let peak = peak(&mut node(Keyring::new()), &[message], &mut buf);
        assert!(len <= peak && peak <= 2 * len + SLACK, "{peak} bytes for {len}");
    }
}
