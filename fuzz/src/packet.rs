//! Datagrams: layers, messages, and what a node makes of them.

use rumormill::wire::lzw::PACKET_UNPACKED_MAX;
use rumormill::wire::message::{Compress, Message, MessageType};
use rumormill::wire::packet::{
    CRC_OVERHEAD, Checksum, Finish, Opener, PARTS_MAX, PacketError, PacketWriter, Protection,
    split_label,
};
use rumormill::wire::{Reader, Sink, encoded_len};
use rumormill::{Instant, Mode, Stats};

use super::world::{Deed, FRIEND, Known, World, bytes_of};
use super::{assert_never_cut, encoded};

/// Keys, markers and integers of the longest message: what a canonical form may have beyond the
/// bytes that came. Everything else in it was sent.
const KEYS_LEN_MAX: usize = 128;

/// Deadlines that pass after an input: some gossip ticks and a probe.
const WAKES: usize = 4;

/// A datagram at the gossip port.
pub fn packet(datagram: &[u8]) {
    // The cluster is the one that the datagram names, so that a label is no wall for the fuzzer.
    let label = split_label(datagram).map_or(&b""[..], |(label, _)| label);
    layers(datagram, label);
    compressed(datagram);
    if heard_by_a_node(Mode::Matching, datagram, label) {
        heard_by_a_node(Mode::ThesisClassic, datagram, label);
    }
}

fn layers(datagram: &[u8], label: &[u8]) {
    let mut opener = Opener::default();
    let other = opener.open(datagram, Protection::label(b"another cluster")).map(drop);
    let Ok(mut parts) = opener.open(datagram, Protection::label(label)) else { return };
    assert!(label == b"another cluster" || other == Err(PacketError::LabelMismatch));
    let found: Vec<&[u8]> = parts.by_ref().collect();
    assert!(found.len() + parts.cut_off() <= usize::from(u8::MAX), "a count is one byte");
    let held: usize = found.iter().map(|part| part.len()).sum();
    let all = if is_compressed(datagram) { PACKET_UNPACKED_MAX } else { datagram.len() };
    assert!(held <= all, "no byte belongs to two parts");
    let mut all_are_messages = !found.is_empty() && found.len() <= PARTS_MAX;
    for part in &found {
        all_are_messages &= message(part);
    }
    if all_are_messages {
        composed_anew(&found, label, held);
    }
}

/// Whether its message lies in it compressed.
fn is_compressed(datagram: &[u8]) -> bool {
    let Ok((_, rest)) = split_label(datagram) else { return false };
    let body =
        if rest.first() == Some(&MessageType::HAS_CRC.0) { &rest[CRC_OVERHEAD..] } else { rest };
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
fn composed_anew(parts: &[&[u8]], label: &[u8], len: usize) {
    // Label, checksum and compound headers may all be ours.
    let mut buf = vec![0; len + 2 * PARTS_MAX + 16];
    let (mut opener, mut packed) = (Opener::default(), Vec::new());
    for (checksum, compress) in [(Checksum::Absent, false), (Checksum::Present, true)] {
        let mut writer = PacketWriter::new(&mut buf, label, checksum);
        for part in parts {
            let budget = writer.budget();
            assert!(part.len() <= budget, "{} bytes fit {budget}", part.len());
            writer.part(|out| out.put(part)).expect("what the budget allows is taken");
        }
        let compress = compress.then_some(&mut packed);
        let len = writer.finish_with(Finish { compress, seal: None });
        let opened = opener.open(&buf[..len], Protection::label(label));
        assert_eq!(opened.expect("our own layers open").collect::<Vec<_>>(), parts);
    }
}

/// Whether the node accepts the datagram; one that it refuses leaves no trace but in counters.
fn heard_by_a_node(mode: Mode, datagram: &[u8], label: &[u8]) -> bool {
    let mut world = World::new(mode, label);
    let before = Trace::of(&world);
    let heard = world.hear(FRIEND, datagram);
    if let Err(error) = heard {
        let mut expected = before;
        expected.stats.packets_received += 1;
        expected.stats.bytes_received += datagram.len() as u64;
        expected.stats.packets_refused += 1;
        // There is no key here, so nothing is undecryptable.
        expected.stats.label_mismatches += u64::from(error == PacketError::LabelMismatch);
        world.drain();
        assert_eq!(Trace::of(&world), expected, "nothing of a refused datagram was applied");
        return false;
    }
    world.drain();
    world.wake(1);
    // Copies are what gossip consists of, and strangers send too.
    for from in [FRIEND, "stranger"] {
        assert_eq!(world.hear(from, datagram), heard, "a refusal is about the bytes alone");
        world.drain();
    }
    world.wake(WAKES);
    true
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
