//! What fuzzing begins with: one input of each kind, made by our own encoders, and forms that only
//! others write. `cargo run --example seeds` puts them into the corpora.

use rumormill::wire::envelope::{Data, Envelope};
use rumormill::wire::message::{
    Ack, Alive, Compress, IndirectPing, Message, Nack, NodeAddr, NodeState, Ping, PushPullHeader,
    Refusal, Source, WireState,
};
use rumormill::wire::packet::{CRC_OVERHEAD, put_label};
use rumormill::wire::sections;
use rumormill::wire::stream::put_user_message;
use rumormill::wire::tags::Advert;
use rumormill::{BootEpoch, Channel, Incarnation, SeqNo};

use super::encoded;
use super::world::{
    FRIEND, ME, PLAIN, SUSPECT, VSN, accusation, addr, alive, bytes_of, datagram, friendly_meta,
};

/// An input and a name for its file.
#[derive(Clone, Debug)]
pub struct Seed {
    /// What it is.
    pub name: &'static str,
    /// The input.
    pub bytes: Vec<u8>,
}

fn seed(name: &'static str, bytes: impl Into<Vec<u8>>) -> Seed {
    Seed { name, bytes: bytes.into() }
}

/// Datagrams.
#[must_use]
pub fn packet() -> Vec<Seed> {
    let mut seeds = probes();
    seeds.extend(statements());
    seeds.extend(rumors());
    let all: Vec<Vec<u8>> = seeds.iter().map(|seed| seed.bytes.clone()).collect();
    let compound = datagram(b"", &all);
    seeds.push(seed("cut-off", &compound[CRC_OVERHEAD..500]));
    seeds.push(seed("compound", compound));
    seeds.push(seed("labelled", datagram(b"blue", &all[..2])));
    seeds.push(seed("compressed", encoded(|out| compressed().encode(out))));
    seeds.extend(foreign());
    seeds
}

/// What other codecs write (protocol page §2.3), one family of forms each.
fn foreign() -> Vec<Seed> {
    let unknown =
        b"\x0b\x82\xa1X\x98\x01\xd4\x01\0\xcb\0\0\0\0\0\0\0\0\xc0\x81\xa1a\xc3\xca\0\0\0\0\
        \xc7\x01\x05\xff\xdc\0\x01\xcf\0\0\0\0\0\0\0\x01\xa5SeqNo\xd2\0\0\0\x05";
    vec![
        seed(
            "arrays",
            b"\x07\x02\0\x0a\0\x09\0\x97\x07\xa2me\xc0\0\xc0\xc3\xc3\0\xdc\0\x02\xcc\x07\xd9\x02me",
        ),
        seed("numbers", b"\0\x82\xa5SeqNo\x01\xa4Node\x92me"),
        seed("numbers16", b"\0\x82\xa5SeqNo\xd0\x01\xa4Node\xdc\0\x02me"),
        seed("map16-bin", b"\0\xde\0\x01\xc4\x04Node\xc4\x02me"),
        seed("map32-bin16", b"\0\xdf\0\0\0\x02\xc5\0\x04Node\xc6\0\0\0\x02me\xa5SeqNo\xd1\0\x09"),
        seed(
            "integers64",
            b"\0\x82\xa5SeqNo\xcf\0\0\0\0\0\0\0\x09\xaaSourcePort\xd3\0\0\0\0\0\0\0\x09",
        ),
        seed("unknown-key", unknown),
    ]
}

fn probes() -> Vec<Seed> {
    let source =
        || Source { addr: [10, 0, 0, 2][..].into(), port: 7_946, node: FRIEND.as_bytes().into() };
    let ping = Ping { seq: SeqNo(1), node: ME.as_bytes().into(), source: source() };
    let indirect = IndirectPing {
        seq: SeqNo(70_000),
        target: [10, 0, 0, 3][..].into(),
        port: 7_946,
        node: PLAIN.as_bytes().into(),
        nack: true,
        source: source(),
    };
    let ack = Ack { seq: SeqNo(300), payload: b"coordinate"[..].into() };
    vec![
        seed("ping", bytes_of(&Message::Ping(ping))),
        seed("indirect-ping", bytes_of(&Message::IndirectPing(indirect))),
        seed("ack", bytes_of(&Message::Ack(ack))),
        seed("nack", bytes_of(&Message::Nack(Nack { seq: SeqNo(300) }))),
    ]
}

fn statements() -> Vec<Seed> {
    let [newcomer, suspect, stranger] =
        ["newcomer", SUSPECT, "stranger"].map(|name| NodeAddr::from(addr(name)));
    let meta = friendly_meta();
    let mapped = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 10, 0, 0, 8];
    let refuted = Alive { incarnation: Incarnation(4), ..alive(SUSPECT, &suspect, &meta) };
    let mapped = Alive { addr: mapped[..].into(), ..alive("mapped", &stranger, b"\xff\x80") };
    let accuse = |about, from| bytes_of(&Message::Suspect(accusation(about, from)));
    let condemn = |about, from| bytes_of(&Message::Dead(accusation(about, from)));
    vec![
        seed("alive", bytes_of(&Message::Alive(alive("newcomer", &newcomer, &meta)))),
        seed("alive-refuted", bytes_of(&Message::Alive(refuted))),
        seed("alive-elsewhere", bytes_of(&Message::Alive(alive(FRIEND, &stranger, &meta)))),
        seed("alive-mapped", bytes_of(&Message::Alive(mapped))),
        seed("suspect", accuse(FRIEND, PLAIN)),
        seed("suspect-me", accuse(ME, PLAIN)),
        seed("dead", condemn(SUSPECT, PLAIN)),
        seed("left", condemn(FRIEND, FRIEND)),
    ]
}

fn rumors() -> Vec<Seed> {
    let rumor = encoded(|out| Envelope::Data(data()).encode(out));
    let direct = encoded(|out| direct().encode(out));
    vec![
        seed("user", bytes_of(&Message::User(b"hello"))),
        seed("user-rumor", bytes_of(&Message::User(&rumor))),
        seed("user-direct", bytes_of(&Message::User(&direct))),
    ]
}

/// All bytes of a stream.
#[must_use]
pub fn stream() -> Vec<Seed> {
    let ping = Ping { seq: SeqNo(7), node: ME.as_bytes().into(), source: Source::default() };
    let refusal = Refusal { error: b"no key"[..].into() };
    let direct = encoded(|out| direct().encode(out));
    let join = push_pull(Why::Join, &channels(), VSN);
    let labelled = [encoded(|out| put_label(out, b"blue")), join.clone()].concat();
    let claims = b"\x06\x82\xa5Nodes\xce\0\x10\0\0\xacUserStateLen\xce\x01\x40\0\0";
    vec![
        seed("join-labelled", labelled),
        seed("join-cut-off", &join[..join.len() - 20]),
        seed("join", join),
        seed("push-pull", push_pull(Why::Repair, b"blob", VSN)),
        seed("push-pull-incompatible", push_pull(Why::Repair, b"", [1, 5, 2, 7, 9, 8])),
        seed("push-pull-claims", claims),
        seed("ping", encoded(|out| ping.encode(out))),
        seed("ack", encoded(|out| Ack { seq: SeqNo(7), ..Ack::default() }.encode(out))),
        seed("refusal", encoded(|out| refusal.encode(out))),
        seed("user", encoded(|out| put_user_message(out, b"hello"))),
        seed("user-direct", encoded(|out| put_user_message(out, &direct))),
        seed("compressed", encoded(|out| compressed().encode(out))),
        seed("encrypted", b"\x0a\0\0\0\x10"),
    ]
}

/// Why state is exchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    Join,
    Repair,
}

fn push_pull(why: Why, user_state: &[u8], vsn: [u8; 6]) -> Vec<u8> {
    let states = [
        (FRIEND, WireState::ALIVE),
        (PLAIN, WireState::SUSPECT),
        (SUSPECT, WireState::DEAD),
        ("newcomer", WireState::LEFT),
    ];
    let user_state_len = u32::try_from(user_state.len()).expect("the state is short");
    let header = PushPullHeader { nodes: 4, user_state_len, join: why == Why::Join };
    let mut bytes = encoded(|out| header.encode(out));
    let meta = friendly_meta();
    for (name, state) in states {
        let addr = NodeAddr::from(addr(name));
        let alive = Alive { vsn: vsn[..].into(), ..alive(name, &addr, &meta) };
        bytes.extend(encoded(|out| NodeState { alive, state }.encode(out)));
    }
    bytes.extend_from_slice(user_state);
    bytes
}

/// User messages, states and metas.
#[must_use]
pub fn envelope() -> Vec<Seed> {
    let bare = Data { channel: Channel::BARE, ..data() };
    let ours = Advert { capabilities: 1, epoch: BootEpoch(5), zone: 0 };
    let serf = ours.add_to(b"\xff\x82\xa4role\xa3web\xa2dc\xa1x").expect("the tags fit");
    let capitals = b"\xff\xde\x00\x01\xc4\x02rm\xd9\x201-0001-65A1B2C3-0000000000000000";
    vec![
        seed("rumor", encoded(|out| Envelope::Data(data()).encode(out))),
        seed("rumor-bare-channel", encoded(|out| Envelope::Data(bare).encode(out))),
        seed("direct", encoded(|out| direct().encode(out))),
        seed("reserved-kind", b"RM\x16\0\0\x01"),
        seed("ihave", b"RM\x12\x07\0\0\0\0\0\0\0\0\0\x09\x3f\x14"),
        seed("graft", b"RM\x13\x01\0\0\x05\0\0\0\0\0\0\0\x09"),
        seed("prune", b"RM\x14\0\0\0\0\x3f"),
        seed("prune-no-tree", b"RM\x14\0\0\0\x40"),
        seed("idontwant", b"RM\x15\0\0\0\0\0\0\0\0\0\0\x09"),
        seed("digest", b"RM\x17\x01\0\0\x3f\0\0\0\0\0\0\0\x09"),
        seed("digest-whole", b"RM\x17\x03\0\0\x3f\0\0\0\0\0\0\0\x09"),
        seed("pull", b"RM\x18\0\0\0\0\0\0\0\0\0\0\x09"),
        seed("pull-later", b"RM\x18\x01\0\0"),
        seed("bare", b"hello"),
        seed("thesis", b"d\0\0\0\0\0\0\0\0{}"),
        seed("sections", channels()),
        seed("tags", serf),
        seed("tags-map16", capitals),
    ]
}

fn channels() -> Vec<u8> {
    let channels = [(Channel(1), &b"one"[..]), (Channel(258), b"")];
    encoded(|out| sections::put(out, channels.into_iter()))
}

fn data() -> Data<'static> {
    Data {
        channel: Channel(7),
        epoch: BootEpoch(5),
        sequence: 9,
        hop: 2,
        age_ms: 300,
        off_tree: false,
        origin: FRIEND.as_bytes(),
        payload: b"news",
    }
}

fn direct() -> Envelope<'static> {
    Envelope::Direct { channel: Channel(258), payload: b"for you" }
}

fn compressed() -> Compress<'static> {
    Compress { algorithm: 0, buf: b"\xd1\x94\x61\xc3\xe6\x0d\x08\x81"[..].into() }
}
