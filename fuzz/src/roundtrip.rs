//! Values to bytes and back, through all layers.

use rumormill::wire::control::{Announced, Branch, Control, Entries, Entry, TREES};
use rumormill::wire::envelope::{Data, Envelope};
use rumormill::wire::keyring::{NONCE_LEN, SealError, Version};
use rumormill::wire::lzw::{self, LzwError};
use rumormill::wire::message::{Message, NodeState, PushPullHeader, Refusal};
use rumormill::wire::packet::{
    Checksum, Finish, LABEL_LEN_MAX, Opener, PACKET_SIZES, PART_OVERHEAD, PARTS_MAX, PacketError,
    PacketWriter, Protection, put_label,
};
use rumormill::wire::stream::{
    Inbox, Layers, Progress, StreamError, StreamMessage, frame, put_user_message,
};
use rumormill::wire::tags::Advert;
use rumormill::wire::{META_LEN_MAX, encoded_len, sections, serf};
use rumormill::{BootEpoch, Channel, Key, Keyring};

use super::draw::Draw;
use super::encoded;

/// Any message, envelope, sections, tag, in any layers.
pub fn roundtrip(chance: &[u8]) {
    let mut draw = Draw::new(chance);
    match draw.below(8) {
        0..4 => datagram(&mut draw),
        4..6 => stream(&mut draw),
        6 => inside(&mut draw),
        _ => packed(draw.bytes(4_000)),
    }
}

/// How a cluster protects itself.
struct Cluster<'a> {
    label: &'a [u8],
    ring: Keyring,
    version: Version,
    nonce: [u8; NONCE_LEN],
    compress: bool,
}

impl<'a> Cluster<'a> {
    fn draw(draw: &mut Draw<'a>) -> Self {
        let label = if draw.once_in(2) { draw.bytes(LABEL_LEN_MAX) } else { b"" };
        let mut ring = Keyring::new();
        if draw.once_in(2) {
            let len = draw.pick(&[16, 24, 32]);
            let key = Key::new(&[draw.byte(); 32][..len]);
            let added = ring.install(key.expect("the length is one of three"));
            assert_eq!(added, Ok(true), "the first key is new");
        }
        Self {
            label,
            ring,
            version: draw.pick(&[Version::Padded, Version::Plain]),
            nonce: [draw.byte(); NONCE_LEN],
            compress: draw.once_in(2),
        }
    }

    fn protection(&self) -> Protection<'_> {
        Protection { keyring: &self.ring, ..Protection::label(self.label) }
    }

    /// A ring that opens nothing of this cluster's; empty if it does not encrypt.
    fn other_ring(&self) -> Keyring {
        let mut ring = Keyring::new();
        if let Some(key) = self.ring.primary() {
            let other: Vec<u8> = key.as_bytes().iter().map(|byte| byte ^ 1).collect();
            let key = Key::new(&other).expect("a key of the same length is a key");
            assert_eq!(ring.install(key), Ok(true), "the first key is new");
        }
        ring
    }
}

// ── Datagrams ───────────────────────────────────────────────────────────────────────────────────

fn datagram(draw: &mut Draw<'_>) {
    let cluster = Cluster::draw(draw);
    let checksum = draw.pick(&[Checksum::Absent, Checksum::Present]);
    let size = draw.pick(&[PACKET_SIZES.0, 1_400, 9_000, PACKET_SIZES.1]);
    let mut buf = vec![0; size];
    let mut writer = if cluster.ring.is_empty() {
        PacketWriter::new(&mut buf, cluster.label, checksum)
    } else {
        PacketWriter::sealed(&mut buf, cluster.label, cluster.version, checksum)
    };
    let mut messages = Vec::new();
    while messages.is_empty() || draw.left() > 0 {
        let message = draw.message();
        let (len, budget) = (encoded_len(|out| message.encode(out)), writer.budget());
        let overhead = if messages.is_empty() { 0 } else { PART_OVERHEAD };
        let written = writer.part(|out| message.encode(out));
        let over = len + overhead > budget;
        assert!(written.is_ok() || over, "{len} bytes fit a budget of {budget}");
        match written {
            Ok(()) => messages.push(message),
            Err(_) if draw.once_in(2) => break,
            Err(_) => {}
        }
        assert_eq!(writer.parts(), messages.len(), "what does not fit leaves nothing");
    }
    assert!(messages.len() <= PARTS_MAX);
    let mut packed = Vec::new();
    let compress = cluster.compress.then_some(&mut packed);
    let seal = (!cluster.ring.is_empty()).then_some((&cluster.ring, cluster.nonce));
    let len = writer.finish_with(Finish { compress, seal });
    if messages.is_empty() {
        assert_eq!(len, 0, "there is no datagram without a message");
        return;
    }
    let datagram = &buf[..len];
    opens_to(datagram, &cluster, &messages);
    others_refuse(datagram, &cluster);
}

fn opens_to(datagram: &[u8], cluster: &Cluster<'_>, messages: &[Message<'_>]) {
    let mut opener = Opener::default();
    let mut parts = opener.open(datagram, cluster.protection()).expect("our own layers open");
    let mut came = Vec::new();
    for part in parts.by_ref() {
        came.push(Message::decode(part).expect("our own messages decode"));
    }
    assert_eq!(parts.cut_off(), 0);
    assert_eq!(came, messages);
}

fn others_refuse(datagram: &[u8], cluster: &Cluster<'_>) {
    let mut opener = Opener::default();
    let foreign = Protection { label: b"another cluster", ..cluster.protection() };
    if cluster.label != foreign.label {
        let refused = opener.open(datagram, foreign).map(drop);
        assert_eq!(refused, Err(PacketError::LabelMismatch));
    }
    let ring = cluster.other_ring();
    if !ring.is_empty() {
        let foreign = Protection { keyring: &ring, ..cluster.protection() };
        let refused = opener.open(datagram, foreign).map(drop);
        assert_eq!(refused, Err(PacketError::Sealed(SealError::NoKey)));
    }
}

// ── Streams ─────────────────────────────────────────────────────────────────────────────────────

fn stream(draw: &mut Draw<'_>) {
    let cluster = Cluster::draw(draw);
    let pieces = 1 + draw.below(64);
    match draw.below(6) {
        0 => {
            let ping = draw.ping();
            let bytes = encoded(|out| ping.encode(out));
            arrives(&cluster, bytes, pieces, |came| assert_eq!(came, StreamMessage::Ping(ping)));
        }
        1 => {
            let ack = draw.ack();
            let bytes = encoded(|out| ack.encode(out));
            arrives(&cluster, bytes, pieces, |came| assert_eq!(came, StreamMessage::Ack(ack)));
        }
        2 => {
            let refusal = Refusal { error: draw.bytes(300).into() };
            let bytes = encoded(|out| refusal.encode(out));
            let expected = StreamMessage::Refusal(refusal);
            arrives(&cluster, bytes, pieces, |came| assert_eq!(came, expected));
        }
        3 => {
            let user = draw.bytes(4_000);
            let bytes = encoded(|out| put_user_message(out, user));
            arrives(&cluster, bytes, pieces, |came| assert_eq!(came, StreamMessage::User(user)));
        }
        _ => push_pull(draw, &cluster, pieces),
    }
}

fn push_pull(draw: &mut Draw<'_>, cluster: &Cluster<'_>, pieces: usize) {
    let join = draw.once_in(2);
    let user_state = draw.bytes(300);
    let mut nodes: Vec<NodeState<'_>> = Vec::new();
    while draw.left() > 0 {
        nodes.push(draw.node_state());
    }
    let count = u32::try_from(nodes.len()).expect("inputs are short");
    let user_state_len = u32::try_from(user_state.len()).expect("inputs are short");
    let header = PushPullHeader { nodes: count, user_state_len, join };
    let mut bytes = encoded(|out| header.encode(out));
    for node in &nodes {
        bytes.extend(encoded(|out| node.encode(out)));
    }
    bytes.extend_from_slice(user_state);
    arrives(cluster, bytes, pieces, |came| {
        let StreamMessage::PushPull(came) = came else { panic!("{came:?} is no push/pull") };
        assert_eq!((came.join, came.user_state), (join, user_state));
        assert_eq!(came.node_count(), count);
        assert_eq!(came.nodes().collect::<Vec<_>>(), nodes);
    });
}

/// The message comes out of its layers, in however many pieces they arrive.
fn arrives(
    cluster: &Cluster<'_>,
    message: Vec<u8>,
    pieces: usize,
    check: impl FnOnce(StreamMessage<'_>),
) {
    let seal = cluster.ring.primary().map(|_| (&cluster.ring, cluster.version, cluster.nonce));
    let label = cluster.label;
    let framed = frame(message, Layers { compress: cluster.compress, seal, label });
    let bytes = [encoded(|out| put_label(out, label)), framed].concat();
    let mut inbox = Inbox::for_request(1 << 20);
    let mut progress = Progress::Incomplete;
    for piece in bytes.chunks(bytes.len().div_ceil(pieces)) {
        assert_eq!(progress, Progress::Incomplete, "not before the last byte");
        progress = inbox.push(piece, cluster.protection()).expect("our own streams are valid");
    }
    assert_eq!(progress, Progress::Complete);
    check(inbox.message().expect("the message is whole"));
    let ring = cluster.other_ring();
    if !ring.is_empty() {
        let foreign = Protection { keyring: &ring, ..cluster.protection() };
        let refused = Inbox::for_request(1 << 20).push(&bytes, foreign);
        assert_eq!(refused, Err(StreamError::Sealed(SealError::NoKey)));
    }
}

// ── Inside of memberlist's opaque bytes ─────────────────────────────────────────────────────────

fn inside(draw: &mut Draw<'_>) {
    match draw.below(5) {
        0 => enveloped(draw),
        3 => controlled(draw),
        1 => sectioned(draw),
        2 => advertised(draw),
        _ => {
            let (ltime, name) = (draw.u64(), draw.bytes(300));
            let bytes = encoded(|out| serf::put_leave_intent(out, ltime, name));
            let read = serf::read_ltime(&bytes);
            let expected = (ltime <= serf::LTIME_MAX).then_some(Some(ltime));
            assert_eq!(read.ok(), expected, "a believable time comes back");
        }
    }
}

fn enveloped(draw: &mut Draw<'_>) {
    let channel = Channel(draw.u16());
    let envelope = if draw.once_in(4) {
        Envelope::Direct { channel, payload: draw.bytes(1_000) }
    } else {
        let origin = draw.bytes(255);
        Envelope::Data(Data {
            channel,
            epoch: BootEpoch(draw.u32()),
            sequence: draw.u64(),
            hop: draw.byte(),
            age_ms: draw.u16(),
            off_tree: draw.once_in(2),
            origin: if origin.is_empty() { b"a" } else { origin },
            payload: draw.bytes(1_000),
        })
    };
    let bytes = encoded(|out| envelope.encode(out));
    assert_eq!(Envelope::decode(&bytes), Ok(Some(envelope)));
}

/// What members of an overlay say, with up to eight entries.
fn controlled(draw: &mut Draw<'_>) {
    let (one, other, third) = (draw.once_in(2), draw.once_in(2), draw.once_in(2));
    let kind = draw.below(6);
    let mut bytes = Vec::new();
    for _ in 0..draw.below(9) {
        let (id, tree) = (draw.u64(), draw.byte() % TREES);
        let written = match kind {
            0 => Announced { id, tree, hold_ms: draw.byte() }.put(&mut bytes),
            1 | 4 => Branch { tree, id }.put(&mut bytes),
            2 => tree.put(&mut bytes),
            _ => id.put(&mut bytes),
        };
        written.expect("a vector is never full");
    }
    const VALID: &str = "entries that were written can be read";
    let ids = || Entries::decode(&bytes).expect(VALID);
    let control = match kind {
        0 => {
            let entries = Entries::decode(&bytes).expect(VALID);
            Control::IHave { answer: one, fetch: other, passed: third, entries }
        }
        1 => Control::Graft { send: one, entries: Entries::decode(&bytes).expect(VALID) },
        2 => Control::Prune { trees: Entries::decode(&bytes).expect(VALID) },
        3 => Control::IDontWant { ids: ids() },
        4 => {
            let entries = Entries::decode(&bytes).expect(VALID);
            Control::Digest { answer: one, whole: other, entries }
        }
        _ => Control::Pull { later: one, ids: ids() },
    };
    let envelope = Envelope::Control(control);
    let bytes = encoded(|out| envelope.encode(out));
    assert_eq!(Envelope::decode(&bytes), Ok(Some(envelope)));
}

fn sectioned(draw: &mut Draw<'_>) {
    let mut written = Vec::new();
    while draw.left() > 0 && written.len() <= sections::SECTIONS_MAX {
        written.push((Channel(draw.u16()), draw.bytes(100)));
    }
    let bytes = encoded(|out| sections::put(out, written.iter().copied()));
    let mut read = Vec::new();
    let result = sections::read(&bytes, |channel, bytes| read.push((channel, bytes)));
    if written.len() <= sections::SECTIONS_MAX {
        assert_eq!((result, read), (Ok(Some(())), written));
    } else {
        assert!(result.is_err() && read.is_empty(), "too many are refused");
    }
}

fn advertised(draw: &mut Draw<'_>) {
    let advert =
        Advert { capabilities: draw.u16(), epoch: BootEpoch(draw.u32()), zone: draw.u64() };
    let meta = draw.bytes(META_LEN_MAX);
    let tagged = advert.add_to(meta);
    if let Some(tagged) = &tagged {
        assert_eq!(Advert::find(tagged), Some(advert));
    }
    let fits = meta.len() + Advert::TAG_LEN <= META_LEN_MAX - 2;
    assert!(tagged.is_some() || !fits || !Advert::is_tag_map(meta), "it is there if it fits");
}

/// Compressed bytes come back, and not one more than is allowed.
fn packed(bytes: &[u8]) {
    let (mut packed, mut unpacked) = (Vec::new(), Vec::new());
    lzw::compress(bytes, &mut packed);
    assert_eq!(lzw::decompress(lzw::ALGORITHM, &packed, bytes.len(), &mut unpacked), Ok(()));
    assert_eq!(unpacked, bytes);
    if let Some(max) = bytes.len().checked_sub(1) {
        let result = lzw::decompress(lzw::ALGORITHM, &packed, max, &mut unpacked);
        assert_eq!(result, Err(LzwError::TooLarge { max }));
        assert!(unpacked.is_empty(), "nothing of what was refused is left");
    }
}
