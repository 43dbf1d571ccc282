//! Datagrams: layers, messages, and what a node makes of them.

use rumormill::wire::keyring::{NONCE_LEN, SealError, Version};
use rumormill::wire::lzw::{self, PACKET_UNPACKED_MAX};
use rumormill::wire::message::{Compress, Message, MessageType};
use rumormill::wire::packet::{
    CRC_OVERHEAD, Checksum, Finish, Opener, PARTS_MAX, PacketError, PacketWriter, Parts,
    Protection, open, put_label, split_label,
};
use rumormill::wire::{Reader, Sink, encoded_len};
use rumormill::{Instant, Mode, Stats};

use super::world::{Deed, FRIEND, Known, Setup, World, bytes_of, keyring, sealed, with_key};
use super::{Nodes, assert_never_cut, encoded, hash};

/// Keys, markers and integers of the longest message: what a canonical form may have beyond the
/// bytes that came. Everything else in it was sent.
const KEYS_LEN_MAX: usize = 128;

/// Deadlines that pass after an input: some gossip ticks and a probe.
const WAKES: usize = 4;

/// A datagram at the gossip port.
pub fn packet(datagram: &[u8], nodes: Nodes) {
    // The cluster is the one that the datagram names, so that a label is no wall for the fuzzer.
    let label = split_label(datagram).map_or(&b""[..], |(label, _)| label);
    let plain = layers(datagram, label);
    protected(datagram, label, &plain);
    compressed(datagram);
    let plain = Setup::plain(Mode::Matching, label);
    let [asking, padded, sealed] = Setup::others(Mode::Classic, label);
    let kinds = [plain, Setup::plain(Mode::ThesisClassic, label), asking, padded, sealed];
    for setup in nodes.of(kinds, datagram) {
        heard_by_a_node(setup, datagram);
    }
}

/// What lies in a datagram, as far as it is whole, and how much is not.
type Opened = Result<(Vec<Vec<u8>>, usize), PacketError>;

fn opened(opener: &mut Opener, datagram: &[u8], protection: Protection<'_>) -> Opened {
    collected(opener.open(datagram, protection)?)
}

fn collected(mut parts: Parts<'_>) -> Opened {
    let found = parts.by_ref().map(<[u8]>::to_vec).collect();
    Ok((found, parts.cut_off()))
}

fn layers(datagram: &[u8], label: &[u8]) -> Opened {
    let mut opener = Opener::default();
    let other = opener.open(datagram, Protection::label(b"another cluster")).map(drop);
    let plain = opened(&mut opener, datagram, Protection::label(label));
    if !is_compressed(datagram) {
        assert_eq!(open(datagram, label).and_then(collected), plain, "it needs no buffer");
    }
    let Ok((found, cut_off)) = &plain else { return plain };
    assert!(label == b"another cluster" || other == Err(PacketError::LabelMismatch));
    assert!(found.len() + cut_off <= usize::from(u8::MAX), "a count is one byte");
    let held: usize = found.iter().map(Vec::len).sum();
    let all = if is_compressed(datagram) { PACKET_UNPACKED_MAX } else { datagram.len() };
    assert!(held <= all, "no byte belongs to two parts");
    let mut all_are_messages = !found.is_empty() && found.len() <= PARTS_MAX;
    for part in found {
        all_are_messages &= message(part);
    }
    if all_are_messages {
        composed_anew(found, label, held);
    }
    plain
}

/// Around the same body, encryption and compression change nothing.
fn protected(datagram: &[u8], label: &[u8], plain: &Opened) {
    let Ok((_, body)) = split_label(datagram) else { return };
    let mut opener = Opener::default();
    let version = if hash(datagram).is_multiple_of(2) { Version::Padded } else { Version::Plain };
    let mut bytes = sealed(datagram, version);
    assert_eq!(&opened(&mut opener, &bytes, with_key(label)), plain, "{version:?}");
    if let Some(last) = bytes.last_mut() {
        *last ^= 1;
    }
    let refusal = Err(PacketError::Sealed(SealError::NoKey));
    assert_eq!(opened(&mut opener, &bytes, with_key(label)), refusal, "a changed tag");
    // As it is, it opens only if somebody sealed it.
    let lenient = Protection { verify_incoming: false, ..with_key(label) };
    if let Err(PacketError::Sealed(_)) = opener.open(datagram, with_key(label)).map(drop) {
        assert_eq!(&opened(&mut opener, datagram, lenient), plain, "a migration reads plaintext");
    }
    let outer = [MessageType::HAS_CRC, MessageType::COMPRESS];
    if body.first().is_none_or(|&kind| outer.contains(&MessageType(kind))) {
        return;
    }
    let (mut packed, mut bytes) = (Vec::new(), encoded(|out| put_label(out, label)));
    lzw::compress(body, &mut packed);
    let frame = Compress { algorithm: lzw::ALGORITHM, buf: packed[..].into() };
    bytes.extend(encoded(|out| frame.encode(out)));
    if body.len() <= PACKET_UNPACKED_MAX {
        assert_eq!(&opened(&mut opener, &bytes, Protection::label(label)), plain, "compressed");
    }
}

/// Whether its message lies in it compressed.
fn is_compressed(datagram: &[u8]) -> bool {
    let Ok((_, rest)) = split_label(datagram) else { return false };
    let body = match rest.split_first() {
        Some((&kind, _)) if MessageType(kind) == MessageType::HAS_CRC => {
            rest.get(CRC_OVERHEAD..).unwrap_or_default()
        }
        _ => rest,
    };
    body.first() == Some(&MessageType::COMPRESS.0)
}

/// The frame of a compressed message can be read and written.
fn compressed(bytes: &[u8]) {
    let Some((&kind, body)) = bytes.split_first() else { return };
    if MessageType(kind) != MessageType::COMPRESS {
        return;
    }
    let Ok(frame) = Compress::decode(&mut Reader::new(body)) else { return };
    let canonical = encoded(|out| frame.encode(out));
    assert_eq!(Compress::decode(&mut Reader::new(&canonical[1..])), Ok(frame));
}

/// Whether the part is a message; then its canonical form must be one too.
fn message(part: &[u8]) -> bool {
    let Ok(message) = Message::decode(part) else { return false };
    let canonical = bytes_of(&message);
    assert!(canonical.len() <= part.len() + KEYS_LEN_MAX, "a claim in the message became bytes");
    assert_eq!(encoded_len(|out| message.encode(out)), canonical.len());
    let again = Message::decode(&canonical).expect("what we write we read");
    // Values may differ in nil and empty where Go writes both alike; their bytes may not.
    assert_eq!(bytes_of(&again), canonical, "the canonical form is a fixed point");
    let Some((_, shorter)) = canonical.split_last() else { panic!("a message has a type byte") };
    let is_user = matches!(message, Message::User(_));
    assert!(is_user || Message::decode(shorter).is_err(), "a message cut off is no message");
    assert_never_cut(canonical.len(), |out| message.encode(out));
    true
}

/// What we would put these parts into, opens to the same parts.
fn composed_anew(parts: &[Vec<u8>], label: &[u8], len: usize) {
    // Label, checksum and compound headers may all be ours.
    let mut buf = vec![0; len + 2 * PARTS_MAX + 64];
    let (mut opener, mut packed) = (Opener::default(), Vec::new());
    let forms = [
        (Checksum::Absent, false, None),
        (Checksum::Present, true, None),
        (Checksum::Present, false, Some(Version::Plain)),
    ];
    for (checksum, compress, version) in forms {
        let mut writer = match version {
            None => PacketWriter::new(&mut buf, label, checksum),
            Some(version) => PacketWriter::sealed(&mut buf, label, version, checksum),
        };
        for part in parts {
            let budget = writer.budget();
            assert!(part.len() <= budget, "{} bytes fit {budget}", part.len());
            writer.part(|out| out.put(part)).expect("what the budget allows is taken");
        }
        let compress = compress.then_some(&mut packed);
        let seal = version.map(|_| (keyring(), [0; NONCE_LEN]));
        let len = writer.finish_with(Finish { compress, seal });
        let protection = if version.is_some() { with_key(label) } else { Protection::label(label) };
        let opened = opener.open(&buf[..len], protection);
        assert_eq!(opened.expect("our own layers open").collect::<Vec<_>>(), parts);
    }
}

/// The node takes the datagram, and copies of it; a refused one leaves no trace but in counters.
fn heard_by_a_node(setup: Setup<'_>, datagram: &[u8]) {
    let mut world = World::new(setup);
    let heard = refused_or_heard(&mut world, datagram, World::hear);
    if setup.sealed.is_some() {
        // Without the key's seal; but some were captured with it.
        let _ = refused_or_heard(&mut world, datagram, World::hear_as_it_is);
    }
    if heard.is_err() {
        return;
    }
    world.wake(1);
    // Copies are what gossip consists of, and strangers send too.
    for from in [FRIEND, "stranger"] {
        assert_eq!(world.hear(from, datagram), heard, "a refusal is about the bytes alone");
        world.drain();
    }
    world.wake(WAKES);
}

fn refused_or_heard(
    world: &mut World,
    datagram: &[u8],
    hear: fn(&mut World, &str, &[u8]) -> Result<(), PacketError>,
) -> Result<(), PacketError> {
    let before = Trace::of(world);
    let heard = hear(world, FRIEND, datagram);
    let counted = world.node.stats().bytes_received - before.stats.bytes_received;
    world.drain();
    let Err(error) = heard else { return Ok(()) };
    let mut expected = before;
    expected.stats.packets_received += 1;
    expected.stats.bytes_received += counted;
    expected.stats.packets_refused += 1;
    expected.stats.label_mismatches += u64::from(error == PacketError::LabelMismatch);
    expected.stats.undecryptable += u64::from(matches!(error, PacketError::Sealed(_)));
    assert_eq!(Trace::of(world), expected, "nothing of a refused datagram was applied");
    Err(error)
}

/// All that anybody can see of a node.
#[derive(Debug, PartialEq)]
struct Trace {
    stats: Stats,
    members: Vec<Known>,
    waiting: [usize; 3],
    health: u32,
    deadline: Option<Instant>,
    deeds: usize,
    facts: usize,
}

impl Trace {
    fn of(world: &World) -> Self {
        let node = &world.node;
        let is_wake = |deed: &&Deed| matches!(deed, Deed::Wake(_));
        Self {
            stats: node.stats().clone(),
            members: world.members(),
            waiting: [node.updates_waiting(), node.rumors_waiting(), node.seeds_waiting()],
            health: node.health(),
            deadline: world.deadline(),
            deeds: world.deeds.iter().filter(|deed| !is_wake(deed)).count(),
            facts: world.facts.len(),
        }
    }
}
