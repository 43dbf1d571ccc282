//! What real peers sent: each datagram and stream of `tests/captured/` decodes, and its messages
//! encode again to the very same bytes.

#![allow(clippy::unwrap_used, reason = "this is test code")]

use std::fs;
use std::path::{Path, PathBuf};

use rumormill::wire::message::{Message, PushPullHeader};
use rumormill::wire::packet::{
    Checksum, Opener, PacketWriter, Protection, open as open_plain, split_label,
};
use rumormill::wire::stream::{Inbox, Progress, PushPull, StreamMessage};
use rumormill::wire::{Sink, msgpack};
use rumormill::{Key, Keyring};

const PEERS: [&str; 3] = ["0.7.0", "0.2.2", "serf"];

/// The key and label that the members had; the names of files say whether they used them.
const LABEL: &[u8] = b"blue";

fn keyring() -> Keyring {
    let mut ring = Keyring::new();
    let key: Vec<u8> = (0..16).collect();
    ring.install(Key::new(&key).unwrap()).unwrap();
    ring
}

/// A captured file.
struct Capture {
    peer: &'static str,
    name: String,
    bytes: Vec<u8>,
}

impl Capture {
    fn is_plain(&self) -> bool {
        self.name.starts_with("plain") || self.name.starts_with("packed")
    }

    fn protection<'a>(&self, ring: &'a Keyring) -> Protection<'a> {
        let label: &[u8] = if self.name.starts_with("labelled") { LABEL } else { b"" };
        let open = Protection::label(label);
        if self.is_plain() { open } else { Protection { keyring: ring, ..open } }
    }
}

fn captures(kind: &str) -> Vec<Capture> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/captured");
    let of = |peer: &'static str| {
        let folder: PathBuf = root.join(peer).join(kind);
        let files = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
        files.map(move |path| Capture {
            peer,
            name: path.file_name().unwrap().to_string_lossy().into_owned(),
            bytes: fs::read(path).unwrap(),
        })
    };
    PEERS.into_iter().flat_map(of).collect()
}

fn encoded(encode: impl FnOnce(&mut Vec<u8>) -> Result<(), rumormill::wire::Full>) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(&mut bytes).unwrap();
    bytes
}

#[test]
fn datagrams_decode_and_encode_byte_for_byte() {
    let (ring, mut opener) = (keyring(), Opener::default());
    let mut kinds = std::collections::BTreeSet::new();
    for capture in captures("packets") {
        let what = format!("{} {}", capture.peer, capture.name);
        let parts = opener.open(&capture.bytes, capture.protection(&ring));
        let parts: Vec<&[u8]> = parts.unwrap_or_else(|error| panic!("{what}: {error}")).collect();
        for part in &parts {
            let message = Message::decode(part).unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_eq!(encoded(|out| message.encode(out)), *part, "{what}: {message:?}");
            kinds.insert(part[0]);
        }
        if capture.is_plain() && !capture.name.contains("compressed") {
            assert_eq!(composed(&parts, &capture.bytes), capture.bytes, "{what}");
        }
    }
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5, 8, 11], "all are there");
}

/// The datagram that we make of these parts.
fn composed(parts: &[&[u8]], like: &[u8]) -> Vec<u8> {
    let checksum = if like[0] == 12 { Checksum::Present } else { Checksum::Absent };
    let mut buf = vec![0; 2_000];
    let mut writer = PacketWriter::new(&mut buf, b"", checksum);
    for part in parts {
        writer.part(|out| out.put(part)).unwrap();
    }
    let len = writer.finish();
    buf.truncate(len);
    buf
}

/// The layers are as the names say, so that none is left out by mistake.
#[test]
fn every_layer_was_captured() {
    let packets = captures("packets");
    for peer in ["0.7.0", "0.2.2"] {
        for way in ["plain", "packed", "sealed", "labelled"] {
            let of_way: Vec<_> = packets
                .iter()
                .filter(|capture| capture.peer == peer && capture.name.starts_with(way))
                .collect();
            let expected = peer == "0.7.0" || way != "labelled";
            assert_eq!(!of_way.is_empty(), expected, "{peer} {way}");
            for capture in of_way {
                let (label, _) = split_label(&capture.bytes).unwrap();
                assert_eq!(label == LABEL, way == "labelled");
                let readable = open_plain(&capture.bytes, label)
                    .is_ok_and(|mut parts| parts.all(|part| Message::decode(part).is_ok()));
                let hidden = !capture.is_plain() || capture.name.contains("compressed");
                assert_eq!(readable, !hidden, "{}", capture.name);
            }
        }
    }
}

#[test]
fn streams_decode_and_encode_byte_for_byte() {
    let ring = keyring();
    let mut compared = 0;
    for capture in captures("streams") {
        let what = format!("{} {}", capture.peer, capture.name);
        let is_request = capture.name.contains("-request-");
        let mut inbox =
            if is_request { Inbox::for_request(1 << 20) } else { Inbox::for_response(1 << 20) };
        let progress = inbox.push(&capture.bytes, capture.protection(&ring));
        assert_eq!(progress, Ok(Progress::Complete), "{what}");
        let message = inbox.message().unwrap();
        let kind = capture.name.rsplit_once("-request-").or(capture.name.rsplit_once("-answer-"));
        assert_eq!(kind.unwrap().1, kind_of(&message), "{what}");
        if capture.name.starts_with("plain") {
            let signed = capture.peer == "0.7.0";
            assert_eq!(again(&message, signed), capture.bytes, "{what}");
            compared += 1;
        }
    }
    assert!(compared >= 14, "plain streams are there: {compared}");
}

const fn kind_of(message: &StreamMessage<'_>) -> &'static str {
    match message {
        StreamMessage::Ping(_) => "ping",
        StreamMessage::Ack(_) => "ack",
        StreamMessage::PushPull(_) => "push-pull",
        StreamMessage::User(_) => "user",
        StreamMessage::Refusal(_) => "err",
    }
}

/// The message's bytes. Newer peers write Go's `int` with a sign where it has more than seven bits
/// (protocol page §2.2); all else is as we write it.
fn again(message: &StreamMessage<'_>, signed: bool) -> Vec<u8> {
    match message {
        StreamMessage::Ping(ping) => encoded(|out| ping.encode(out)),
        StreamMessage::Ack(ack) => encoded(|out| ack.encode(out)),
        StreamMessage::Refusal(refusal) => encoded(|out| refusal.encode(out)),
        StreamMessage::User(bytes) => {
            let mut again = b"\x08\x81\xaaUserMsgLen".to_vec();
            put_int(&mut again, bytes.len(), signed);
            again.extend_from_slice(bytes);
            let ours = encoded(|out| rumormill::wire::stream::put_user_message(out, bytes));
            assert!(signed && bytes.len() > 127 || again == ours, "but for the sign it is ours");
            again
        }
        StreamMessage::PushPull(exchange) => push_pull(exchange, signed),
    }
}

fn push_pull(exchange: &PushPull<'_>, signed: bool) -> Vec<u8> {
    let (nodes, state) = (exchange.node_count(), exchange.user_state);
    let mut again = b"\x06\x83\xa4Join".to_vec();
    msgpack::put_bool(&mut again, exchange.join).unwrap();
    again.extend_from_slice(b"\xa5Nodes");
    put_int(&mut again, nodes as usize, signed);
    again.extend_from_slice(b"\xacUserStateLen");
    put_int(&mut again, state.len(), signed);
    let user_state_len = u32::try_from(state.len()).unwrap();
    let header = PushPullHeader { nodes, user_state_len, join: exchange.join };
    let ours = encoded(|out| header.encode(out));
    assert!(signed && state.len() > 127 || again == ours, "but for the sign it is ours");
    for node in exchange.nodes() {
        again.extend(encoded(|out| node.encode(out)));
    }
    again.extend_from_slice(state);
    again
}

fn put_int(out: &mut Vec<u8>, value: usize, signed: bool) {
    let value = u32::try_from(value).unwrap();
    let [a, b, c, d] = value.to_be_bytes();
    match value {
        0x80..=0x7fff if signed => out.extend_from_slice(&[0xd1, c, d]),
        0x8000.. if signed => out.extend_from_slice(&[0xd2, a, b, c, d]),
        _ => msgpack::put_uint(out, value).unwrap(),
    }
}
