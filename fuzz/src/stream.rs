//! Streams: the inbox, and a node on either side of the connection.

use std::mem::discriminant;
use std::net::SocketAddr;

use rumormill::wire::keyring::{NONCE_LEN, Version};
use rumormill::wire::message::{MessageType, PushPullHeader};
use rumormill::wire::packet::{Protection, split_label};
use rumormill::wire::stream::{
    Inbox, Layers, Progress, PushPull, StreamError, StreamMessage, frame, put_user_message,
};
use rumormill::{Mode, StreamId, StreamInput};

use super::envelope::sections;
use super::world::{
    Deed, FRIEND, ME, Setup, World, addr, keyring, sealed_answer, sealed_stream, with_key,
};
use super::{Nodes, assert_never_cut, encoded, hash};

/// Most bytes of one message here: less than the fuzzer's longest input can be.
const MESSAGE_MAX: usize = 1 << 12;

/// Longest input that arrives byte by byte.
const BYTES_APART_MAX: usize = 128;

/// All bytes of a stream, whichever side dialled.
pub fn stream(bytes: &[u8], nodes: Nodes) {
    let label = split_label(bytes).map_or(&b""[..], |(label, _)| label);
    collected(bytes, || Inbox::for_request(MESSAGE_MAX), label);
    collected(bytes, || Inbox::for_response(MESSAGE_MAX), b"");
    protected(bytes, label);
    let plain = Setup::plain(Mode::Classic, label);
    let [asking, padded, sealed] = Setup::others(Mode::Classic, label);
    for setup in nodes.of([plain, asking, padded, sealed], bytes) {
        in_any_pieces(|cut| served(bytes, setup, cut));
        in_any_pieces(|cut| answered(bytes, setup, cut));
    }
}

/// How a stream is cut into pieces.
#[derive(Clone, Copy, Debug)]
enum Cut {
    Whole,
    Halves,
    Bytes,
    /// Pieces of 0 to 63 bytes, the same ones for the same bytes.
    Chance,
}

impl Cut {
    fn pieces(self, bytes: &[u8]) -> Vec<&[u8]> {
        match self {
            Self::Whole => vec![bytes],
            Self::Halves => <[_; 2]>::from(bytes.split_at(bytes.len() / 2)).to_vec(),
            Self::Bytes => bytes.chunks(1).collect(),
            Self::Chance => by_chance(bytes),
        }
    }
}

fn by_chance(mut bytes: &[u8]) -> Vec<&[u8]> {
    // xorshift64 from a sum of the bytes: chance enough to cut in places nobody chose.
    let sum = bytes.iter().fold(0_u64, |sum, &byte| sum.rotate_left(7) ^ u64::from(byte));
    let (mut chance, mut pieces) = (sum | 1, Vec::new());
    while !bytes.is_empty() {
        chance ^= chance << 13;
        chance ^= chance >> 7;
        chance ^= chance << 17;
        let len = bytes.len().min(usize::from(chance.to_le_bytes()[7] >> 2));
        let (piece, rest) = bytes.split_at(len);
        pieces.push(piece);
        bytes = rest;
    }
    pieces
}

// ── The inbox ───────────────────────────────────────────────────────────────────────────────────

fn collected(bytes: &[u8], inbox: impl Fn() -> Inbox, label: &[u8]) {
    let (whole, result) = pushed(inbox(), &[bytes], label);
    let message = whole.message();
    assert_eq!(message.is_some(), result == Ok(Progress::Complete));
    // Single bytes cost as many attempts to decode.
    let finest = if bytes.len() <= BYTES_APART_MAX { Cut::Bytes } else { Cut::Chance };
    for cut in [Cut::Halves, finest] {
        let (pieces, same) = pushed(inbox(), &cut.pieces(bytes), label);
        assert_eq!(same, result, "{cut:?}");
        assert_eq!(pieces.message(), message, "{cut:?}");
    }
    if let Some(message) = message {
        comes_back(&message);
    }
}

/// Around the same message, encryption and compression change nothing.
fn protected(bytes: &[u8], label: &[u8]) {
    let Ok((_, text)) = split_label(bytes) else { return };
    let (plain, result) = pushed(Inbox::for_request(MESSAGE_MAX), &[bytes], label);
    let version = if hash(bytes).is_multiple_of(2) { Version::Padded } else { Version::Plain };
    let compress = text.first() != Some(&MessageType::COMPRESS.0) && hash(bytes) % 4 < 2;
    let seal = Some((keyring(), version, [3; NONCE_LEN]));
    let framed = frame(text.to_vec(), Layers { compress, seal, label });
    let mut inbox = Inbox::for_response(2 * framed.len() + MESSAGE_MAX);
    let mut opened = Ok(Progress::Incomplete);
    for piece in Cut::Halves.pieces(&framed) {
        assert_eq!(opened, Ok(Progress::Incomplete), "nothing is known of half a frame");
        opened = inbox.push(piece, with_key(label));
    }
    if result == Ok(Progress::Complete) {
        assert_eq!((opened, inbox.message()), (result, plain.message()), "{version:?}");
    } else if result == Ok(Progress::Incomplete) && !text.is_empty() {
        assert_eq!(opened, Err(StreamError::Unfinished), "a frame is all there is");
    }
    let as_it_is = Inbox::for_request(MESSAGE_MAX).push(bytes, with_key(label));
    let seems_sealed = text.first() == Some(&MessageType::ENCRYPT.0);
    assert!(seems_sealed || as_it_is != Ok(Progress::Complete), "plaintext is refused");
}

fn pushed(
    mut inbox: Inbox,
    pieces: &[&[u8]],
    label: &[u8],
) -> (Inbox, Result<Progress, StreamError>) {
    let (mut arrived, mut result) = (0, Ok(Progress::Incomplete));
    for piece in pieces {
        result = inbox.push(piece, Protection::label(label));
        arrived += piece.len();
        // An unpacked message, valid or not, has taken the place of what arrived.
        let waits = result == Ok(Progress::Incomplete);
        let max = if waits { arrived.min(MESSAGE_MAX) } else { MESSAGE_MAX };
        assert!(inbox.len() <= max, "the inbox holds what arrived, bounded");
        if result.is_err() {
            break;
        }
    }
    (inbox, result)
}

/// What was read from a stream and is written again, is read as the same.
fn comes_back(message: &StreamMessage<'_>) {
    let canonical = rewritten(message);
    let mut inbox = Inbox::for_response(usize::MAX);
    assert_eq!(
        inbox.push(&canonical, Protection::label(b"")),
        Ok(Progress::Complete),
        "what we write we read"
    );
    let again = inbox.message().expect("the message is whole");
    assert_eq!(rewritten(&again), canonical, "the canonical form is a fixed point");
    match (message, &again) {
        (StreamMessage::User(payload), StreamMessage::User(same)) => assert_eq!(payload, same),
        (StreamMessage::PushPull(exchange), StreamMessage::PushPull(same)) => {
            assert_eq!((exchange.join, exchange.user_state), (same.join, same.user_state));
            sections(exchange.user_state);
        }
        // Of the others the bytes say it all.
        _ => assert_eq!(discriminant(message), discriminant(&again)),
    }
}

fn rewritten(message: &StreamMessage<'_>) -> Vec<u8> {
    match message {
        StreamMessage::Ping(ping) => encoded(|out| ping.encode(out)),
        StreamMessage::Ack(ack) => encoded(|out| ack.encode(out)),
        StreamMessage::Refusal(refusal) => {
            let bytes = encoded(|out| refusal.encode(out));
            assert_never_cut(bytes.len(), |out| refusal.encode(out));
            bytes
        }
        StreamMessage::User(payload) => {
            let bytes = encoded(|out| put_user_message(out, payload));
            assert_never_cut(bytes.len(), |out| put_user_message(out, payload));
            bytes
        }
        StreamMessage::PushPull(exchange) => written(exchange),
    }
}

fn written(exchange: &PushPull<'_>) -> Vec<u8> {
    let nodes = exchange.node_count();
    assert_eq!(exchange.nodes().count(), nodes as usize, "every record was decoded before");
    let user_state_len = u32::try_from(exchange.user_state.len()).expect("the state is bounded");
    let header = PushPullHeader { nodes, user_state_len, join: exchange.join };
    let mut bytes = encoded(|out| header.encode(out));
    assert_never_cut(bytes.len(), |out| header.encode(out));
    for node in exchange.nodes() {
        let record = encoded(|out| node.encode(out));
        assert_never_cut(record.len(), |out| node.encode(out));
        bytes.extend(record);
    }
    bytes.extend_from_slice(exchange.user_state);
    bytes
}

// ── The node ────────────────────────────────────────────────────────────────────────────────────

/// Fails unless a node does and tells the same wherever the stream was cut.
fn in_any_pieces(play: impl Fn(Cut) -> (World, Result<(), StreamError>)) {
    let ((whole, result), (pieces, same)) = (play(Cut::Whole), play(Cut::Chance));
    assert_eq!(same, result);
    whole.assert_same(&pieces, "where a stream was cut makes no difference");
    assert_eq!(whole.node.stats(), pieces.node.stats());
}

/// The bytes come on a stream that a peer opened.
fn served(bytes: &[u8], setup: Setup<'_>, cut: Cut) -> (World, Result<(), StreamError>) {
    let mut world = World::new(setup);
    let sealed = setup.sealed.map(|version| sealed_stream(bytes, version));
    let bytes = sealed.as_deref().unwrap_or(bytes);
    let peer = SocketAddr::new(addr(FRIEND).ip(), 50_000);
    let stream = world.node.handle_accept(world.now, peer).expect("one stream is allowed");
    let result = fed(&mut world, stream, bytes, cut);
    ended(&mut world, stream, setup);
    (world, result)
}

/// The bytes answer a stream on which the node joins.
fn answered(bytes: &[u8], setup: Setup<'_>, cut: Cut) -> (World, Result<(), StreamError>) {
    let setup = Setup { label: b"cluster", ..setup };
    let mut world = World::new(setup);
    let sealed = setup.sealed.map(|version| sealed_answer(bytes, version, setup.label));
    let bytes = sealed.as_deref().unwrap_or(bytes);
    let seed = addr("stranger");
    world.reachable = Some(seed);
    world.node.join(world.now, &[seed]);
    world.drain();
    // Once only: an exchange that follows finds nobody.
    world.reachable = None;
    let dialled = |deed: &Deed| match deed {
        Deed::Connect { stream, to } if *to == seed => Some(*stream),
        _ => None,
    };
    let stream = world.deeds.iter().find_map(dialled).expect("a join dials the seed");
    let result = fed(&mut world, stream, bytes, cut);
    ended(&mut world, stream, setup);
    (world, result)
}

/// Feeds the pieces until the node has had enough of the stream.
fn fed(world: &mut World, stream: StreamId, bytes: &[u8], cut: Cut) -> Result<(), StreamError> {
    let before = world.members();
    for piece in cut.pieces(bytes) {
        match world.node.handle_stream(world.now, stream, StreamInput::Bytes(piece)) {
            Ok(()) => {}
            // It closed the stream after a whole message; the rest is of no interest to it.
            Err(StreamError::UnknownStream) => break,
            Err(error) => {
                assert_eq!(world.members(), before, "a refused stream teaches nothing");
                return Err(error);
            }
        }
    }
    Ok(())
}

/// The peer ends its side; then the stream is over, and the node lives on.
fn ended(world: &mut World, stream: StreamId, setup: Setup<'_>) {
    world.drain();
    // Of a stream that is over nothing more is wanted.
    let _ = world.node.handle_stream(world.now, stream, StreamInput::Closed);
    world.drain();
    let closed = |deed: &&Deed| matches!(deed, Deed::Close { stream: other } if *other == stream);
    assert_eq!(world.deeds.iter().filter(closed).count(), 1, "a stream is closed exactly once");
    wrote_a_whole_message(world, stream, setup);
    world.wake(1);
}

/// What the node wrote, if anything, its peer can read; the labels are the dialling side's.
fn wrote_a_whole_message(world: &World, stream: StreamId, setup: Setup<'_>) {
    let chunk = |deed: &Deed| match deed {
        Deed::Write { stream: other, bytes } if *other == stream => Some(bytes.clone()),
        _ => None,
    };
    let written: Vec<u8> = world.deeds.iter().filter_map(chunk).flatten().collect();
    if written.is_empty() {
        return;
    }
    let dialled =
        |deed: &Deed| matches!(deed, Deed::Connect { stream: other, .. } if *other == stream);
    let mut inbox = if world.deeds.iter().any(dialled) {
        Inbox::for_request(usize::MAX)
    } else {
        Inbox::for_response(usize::MAX)
    };
    assert_eq!(
        inbox.push(&written, setup.protection()),
        Ok(Progress::Complete),
        "what we write we read"
    );
    let message = inbox.message().expect("the message is whole");
    comes_back(&message);
    if let StreamMessage::PushPull(exchange) = message {
        assert!(exchange.nodes().any(|node| *node.alive.node == *ME.as_bytes()), "we are a member");
    }
}
