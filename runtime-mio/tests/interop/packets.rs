//! Datagrams of ours that the Go peers must read as they were meant: every kind of message, bare
//! and in compounds, in every layer that there is.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use rumormill::wire::Sink;
use rumormill::wire::keyring::Version;
use rumormill::wire::message::{Accusation, Ack, Alive, IndirectPing, Message, Nack, Ping, Source};
use rumormill::wire::msgpack::Blob;
use rumormill::wire::packet::{Checksum, Finish, PART_OVERHEAD, PacketWriter};
use rumormill::{Incarnation, Key, Keyring, SeqNo};

use super::process::{Outcome, hex};

/// Most parts of a generated compound: as many as we ever send.
const PARTS_MAX: u64 = 127;

/// A sequence of numbers that is the same in every run (SplitMix64).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// A number of any length, so that every form of an integer comes up.
    fn number(&mut self) -> u64 {
        let bits = self.below(64);
        self.next() >> bits
    }

    fn u32(&mut self) -> u32 {
        self.number().to_le_bytes()[..4].iter().fold(0, |value, &byte| value << 8 | u32::from(byte))
            >> self.below(32)
    }

    fn u16(&mut self) -> u16 {
        u16::try_from(self.u32() & 0xffff).unwrap()
    }

    /// Bytes: mostly few, at times as many as a form of a string holds, and at times words that are
    /// worth compressing.
    fn bytes(&mut self, max: u64) -> Vec<u8> {
        let len = match self.below(8) {
            0 => 0,
            1 => self.below(max + 1),
            _ => self.below(24.min(max + 1)),
        };
        let repeats = self.one_in(2);
        (0..len).map(|_| if repeats { b'a' } else { self.next().to_le_bytes()[0] }).collect()
    }

    fn blob(&mut self, max: u64) -> Blob<'static> {
        if self.one_in(6) { Blob::Nil } else { Blob::Collected(self.bytes(max)) }
    }

    fn some(&mut self, max: u64) -> Blob<'static> {
        Blob::Collected(self.bytes(max))
    }

    fn ip(&mut self) -> Blob<'static> {
        let len = if self.one_in(2) { 4 } else { 16 };
        Blob::Collected((0..len).map(|_| self.next().to_le_bytes()[0]).collect())
    }
}

/// A message, as bytes and as the Go peer prints it.
struct Part {
    bytes: Vec<u8>,
    text: String,
}

fn source(chance: &mut Chance) -> Source<'static> {
    if chance.one_in(3) {
        return Source::default();
    }
    Source { addr: chance.ip(), port: chance.u16(), node: chance.blob(60) }
}

fn message(chance: &mut Chance) -> Message<'static> {
    let kind = chance.below(7);
    let seq = SeqNo(chance.u32());
    let incarnation = Incarnation(chance.u32());
    let accusation = |chance: &mut Chance| Accusation {
        incarnation,
        node: chance.some(255),
        from: chance.some(255),
    };
    match kind {
        0 => Message::Ping(Ping { seq, node: chance.some(255), source: source(chance) }),
        1 => Message::IndirectPing(IndirectPing {
            seq,
            target: chance.ip(),
            port: chance.u16(),
            node: chance.some(255),
            nack: chance.one_in(2),
            source: source(chance),
        }),
        2 => Message::Ack(Ack { seq, payload: chance.blob(300) }),
        3 => Message::Nack(Nack { seq }),
        4 => Message::Suspect(accusation(chance)),
        5 => Message::Dead(accusation(chance)),
        _ => Message::Alive(alive(chance, incarnation)),
    }
}

fn alive(chance: &mut Chance, incarnation: Incarnation) -> Alive<'static> {
    let [a, b, c, ..] = chance.next().to_le_bytes();
    Alive {
        incarnation,
        node: chance.some(255),
        addr: chance.ip(),
        port: chance.u16(),
        meta: chance.blob(512),
        vsn: Blob::Collected(vec![1, 5, 2, a, b, c]),
    }
}

fn text(message: &Message<'_>) -> String {
    let source = |source: &Source<'_>| {
        format!("\"{}\",{},\"{}\"", hex(&source.addr), source.port, hex(&source.node))
    };
    let accusation = |kind: &str, accusation: &Accusation<'_>| {
        let (node, from) = (hex(&accusation.node), hex(&accusation.from));
        format!("[\"{kind}\",{},\"{node}\",\"{from}\"]", accusation.incarnation.0)
    };
    match message {
        Message::Ping(ping) => {
            format!("[\"ping\",{},\"{}\",{}]", ping.seq.0, hex(&ping.node), source(&ping.source))
        }
        Message::IndirectPing(ping) => format!(
            "[\"indirect-ping\",{},\"{}\",{},\"{}\",{},{}]",
            ping.seq.0,
            hex(&ping.target),
            ping.port,
            hex(&ping.node),
            ping.nack,
            source(&ping.source)
        ),
        Message::Ack(ack) => format!("[\"ack\",{},\"{}\"]", ack.seq.0, hex(&ack.payload)),
        Message::Nack(nack) => format!("[\"nack\",{}]", nack.seq.0),
        Message::Suspect(suspect) => accusation("suspect", suspect),
        Message::Dead(dead) => accusation("dead", dead),
        Message::Alive(alive) => format!(
            "[\"alive\",{},\"{}\",\"{}\",{},\"{}\",\"{}\"]",
            alive.incarnation.0,
            hex(&alive.node),
            hex(&alive.addr),
            alive.port,
            hex(&alive.meta),
            hex(&alive.vsn)
        ),
        Message::User(bytes) => format!("[\"user\",\"{}\"]", hex(bytes)),
    }
}

fn part(chance: &mut Chance) -> Part {
    let payload;
    let message = if chance.one_in(8) {
        payload = chance.bytes(900);
        Message::User(&payload)
    } else {
        message(chance)
    };
    let mut bytes = Vec::new();
    message.encode(&mut bytes).unwrap();
    Part { bytes, text: text(&message) }
}

/// What a datagram is wrapped into.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wrapping {
    pub(crate) label: &'static str,
    /// In hex, the first one is used.
    pub(crate) keys: &'static [&'static str],
}

/// Keys of each length, in hex.
pub(crate) const KEYS: [&str; 3] = [
    "303132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f",
    "101112131415161718191a1b1c1d1e1f2021222324252627",
    "000102030405060708090a0b0c0d0e0f",
];

/// Composes datagrams.
struct Composer {
    chance: Chance,
    wrapping: Wrapping,
    ring: Keyring,
    buf: Vec<u8>,
    packed: Vec<u8>,
}

impl Composer {
    fn new(seed: u64, wrapping: Wrapping) -> Self {
        let mut ring = Keyring::new();
        for key in wrapping.keys {
            ring.install(Key::new(&unhex(key)).unwrap()).unwrap();
        }
        Self { chance: Chance(seed), wrapping, ring, buf: vec![0; 4_000], packed: Vec::new() }
    }

    /// A datagram in hex, and what is to be printed for it.
    fn next(&mut self) -> (String, String) {
        let chance = &mut self.chance;
        let checksum = if chance.one_in(2) { Checksum::Present } else { Checksum::Absent };
        let version = if chance.one_in(2) { Version::Padded } else { Version::Plain };
        let label = self.wrapping.label.as_bytes();
        let mut writer = if self.ring.is_empty() {
            PacketWriter::new(&mut self.buf, label, checksum)
        } else {
            PacketWriter::sealed(&mut self.buf, label, version, checksum)
        };
        let mut texts = Vec::new();
        let wanted = match chance.below(4) {
            0 => 1,
            1 => 1 + chance.below(PARTS_MAX),
            _ => 1 + chance.below(5),
        };
        for _ in 0..wanted {
            let part = part(chance);
            let fits = part.bytes.len() + PART_OVERHEAD <= writer.budget();
            if fits && writer.part(|out| out.put(&part.bytes)).is_ok() {
                texts.push(part.text);
            }
        }
        let mut nonce = [0; 12];
        nonce[..8].copy_from_slice(&chance.next().to_le_bytes());
        let seal = (!self.ring.is_empty()).then_some((&self.ring, nonce));
        let compress = chance.one_in(2).then_some(&mut self.packed);
        let len = writer.finish_with(Finish { compress, seal });
        let mut line = String::new();
        let (label, checked) = (hex(label), checksum == Checksum::Present);
        let _ = write!(line, "{{\"label\":\"{label}\",\"crc\":{checked},\"parts\":[");
        line += &texts.join(",");
        line += "]}";
        (hex(&self.buf[..len]), line)
    }
}

fn unhex(text: &str) -> Vec<u8> {
    let byte = |at| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(byte).collect()
}

/// Gives `count` datagrams to a Go peer and compares what it prints with what was meant, line by
/// line.
pub(crate) fn compare(program: &Path, seed: u64, count: usize, wrapping: Wrapping) -> Outcome {
    let mut command = Command::new(program);
    command.args(["decode", "--label", wrapping.label, "--keys", &wrapping.keys.join(",")]);
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = piped.spawn().map_err(|error| error.to_string())?;
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || {
        let mut composer = Composer::new(seed, wrapping);
        for _ in 0..count {
            // A peer that gives up shows so by what it does not print.
            if writeln!(stdin, "{}", composer.next().0).is_err() {
                return;
            }
        }
    });
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut composer = Composer::new(seed, wrapping);
    let result = (0..count).try_for_each(|number| {
        let (bytes, meant) = composer.next();
        match lines.next() {
            Some(Ok(read)) if read == meant => Ok(()),
            other => Err(format!("datagram {number}: {bytes}\n meant {meant}\n read {other:?}")),
        }
    });
    let summary = lines.next();
    let _ = child.kill();
    let _ = child.wait();
    writer.join().map_err(|_| "the writer panicked")?;
    result?;
    let summary = summary.and_then(Result::ok).ok_or("there is no summary")?;
    println!("{count} datagrams, {wrapping:?}: {summary}");
    let sound = format!("{{\"packets\":{count},");
    let compressed = summary.contains("\"compressed\":0,");
    if !summary.starts_with(&sound)
        || compressed
        || !summary.ends_with("\"errors\":0,\"same-users\":true}")
    {
        return Err(format!("a whole memberlist says otherwise: {summary}"));
    }
    Ok(())
}
