//! Somebody who is no member and forges: the attacks that a seed draws.
//!
//! It knows what travels, and the cluster's label, but no key. In clusters that encrypt, everything
//! that it makes up must bounce off.

use core::net::SocketAddr;

use rumormill::wire::keyring::Version;
use rumormill::wire::message::{Accusation, Alive, Message, MessageType, NodeAddr, Ping, Source};
use rumormill::wire::packet::{Checksum, Finish, PacketWriter};
use rumormill::{Incarnation, Key, Keyring, SeqNo};

use super::class::Class;
use super::listener::Listener;
use crate::chance::{Chance, Part};
use crate::check::Checker;
use crate::world::{ProcessId, World};

/// Where answers to reflected pings would go: nobody may ever send there.
pub(super) const VICTIM: SocketAddr =
    SocketAddr::V4(core::net::SocketAddrV4::new(core::net::Ipv4Addr::new(192, 0, 2, 77), 53));
/// Pings in a datagram, as many as fit.
const PINGS: u32 = 40;
/// Members that a volley makes up at most.
const GHOSTS_MAX: usize = 16;
/// Members that one address may have.
const GHOSTS_PER_ADDR: usize = 8;
/// Calls of a volley at most.
const CALLS_MAX: u64 = 200;
/// Calls from one address.
const CALLS_PER_ADDR: u64 = 20;
/// What comes of a long message at most.
const LONG_MESSAGE_PART: usize = 2_000;
/// Undecipherable datagrams of a volley.
const NOISE: usize = 100;
/// Accusations of a volley.
const ACCUSATIONS: usize = 200;
/// Captured datagrams that a volley sends again.
const REPLAYED: usize = 20;
const PACKET_LEN: usize = 1_400;

pub(super) type Stage = World<Listener, Checker>;

/// One volley of forged things.
pub(super) struct Volley<'a> {
    pub(super) world: &'a mut Stage,
    /// Processes of the cluster under attack.
    pub(super) nodes: usize,
    pub(super) label: &'a [u8],
    pub(super) chance: Chance,
}

impl<'a> Volley<'a> {
    pub(super) fn new(world: &'a mut Stage, nodes: usize, label: &'a [u8], seed: u64) -> Self {
        Self { world, nodes, label, chance: Chance::child(seed, Part::Workload) }
    }

    /// Fires it; how many datagrams and calls it was.
    pub(super) fn fire(mut self, class: Class) -> u64 {
        let before = self.world.stats().forged;
        match class {
            Class::Reflect => self.reflect(),
            Class::Replay => self.replay(),
            Class::Ghosts => self.ghosts(),
            Class::Slowloris => self.slowloris(),
            Class::WrongKey => self.noise(),
            Class::Incarnation => self.incarnations(),
            Class::Hijack => self.hijack(),
            Class::Suspects => self.suspects(),
            _ => {}
        }
        self.world.stats().forged - before
    }

    fn somebody(&mut self) -> ProcessId {
        ProcessId::new(self.chance.index_below(self.nodes))
    }

    /// Where the attacker is, this time: in a network of its own.
    fn lair(&mut self) -> SocketAddr {
        let host = u8::try_from(self.chance.below(250)).unwrap_or_default();
        SocketAddr::from(([198, 51, 100, host], 9_999))
    }

    /// Sends messages in one datagram.
    fn send(&mut self, from: SocketAddr, to: ProcessId, messages: &[Message<'_>]) {
        let mut buf = [0; PACKET_LEN];
        let mut writer = PacketWriter::new(&mut buf, self.label, Checksum::Absent);
        for message in messages {
            let written = writer.part(|out| message.encode(out));
            debug_assert!(written.is_ok(), "a forged datagram has few parts");
        }
        let len = writer.finish();
        self.world.forge(from, to, &buf[..len]);
    }

    /// Answers would go to somebody who never asked.
    fn reflect(&mut self) {
        let (to, from) = (self.somebody(), self.lair());
        let victim = NodeAddr::from(VICTIM);
        let pings: Vec<_> = (0..PINGS)
            .map(|seq| {
                let source = Source {
                    addr: victim.ip_bytes().into(),
                    port: VICTIM.port(),
                    ..Source::default()
                };
                Message::Ping(Ping { seq: SeqNo(seq), source, ..Ping::default() })
            })
            .collect();
        self.send(from, to, &pings[..pings.len() / 2]);
        self.send(from, to, &pings[pings.len() / 2..]);
    }

    /// What was captured comes again, from whoever sent it or from somewhere else, to anybody.
    fn replay(&mut self) {
        for _ in 0..REPLAYED {
            let captured = self.world.watch().captured();
            if captured.is_empty() {
                return;
            }
            let (from, bytes) = captured[self.chance.index_below(captured.len())].clone();
            let from = if self.chance.below(4) == 0 { self.lair() } else { from };
            let to = self.somebody();
            self.world.forge(from, to, &bytes);
        }
    }

    /// Members that nobody ever was.
    fn ghosts(&mut self) {
        let (to, from) = (self.somebody(), self.lair());
        let count = 1 + self.chance.index_below(GHOSTS_MAX.min(self.nodes));
        let home = u8::try_from(self.chance.below(250)).unwrap_or_default();
        for ghost in 0..count {
            let host = u8::try_from(ghost / GHOSTS_PER_ADDR).unwrap_or_default();
            let addr = [203, 0, home, host];
            let name = format!("ghost-{home}-{ghost}");
            let alive = Alive {
                incarnation: Incarnation(1),
                node: name.as_bytes().into(),
                addr: addr[..].into(),
                port: 7_946,
                vsn: VERSIONS[..].into(),
                ..Alive::default()
            };
            self.send(from, to, &[Message::Alive(alive)]);
        }
    }

    /// Many calls, most of which never say a word.
    fn slowloris(&mut self) {
        let (to, calls) = (self.somebody(), 1 + self.chance.below(CALLS_MAX));
        for call in 0..calls {
            let host = u8::try_from(call / CALLS_PER_ADDR).unwrap_or_default();
            let from = SocketAddr::from(([198, 51, 101, host], 20_000));
            let Some(stream) = self.world.forge_call(from, to) else { continue };
            // The beginning of something long.
            let mut bytes = match self.chance.below(6) {
                0 => Vec::from(PUSH_PULL_BEGINNING),
                1 => [LONG_MESSAGE_BEGINNING, &[0; LONG_MESSAGE_PART]].concat(),
                _ => continue,
            };
            bytes.truncate(1 + self.chance.index_below(bytes.len()));
            self.world.forge_bytes(to, stream, &bytes);
        }
    }

    /// What no key of the cluster opens.
    fn noise(&mut self) {
        let to = self.somebody();
        let mut ring = Keyring::new();
        let key = Key::new(&self.chance.node_seed()).expect("a seed has the length of a key");
        let installed = ring.install(key);
        debug_assert!(installed.is_ok(), "an empty ring has room");
        for _ in 0..NOISE {
            let from = self.lair();
            let mut buf = [0; PACKET_LEN];
            let mut writer = PacketWriter::sealed(
                &mut buf,
                self.label,
                Version::for_protocol(2),
                Checksum::Absent,
            );
            let ping = Message::Ping(Ping::default());
            let written = writer.part(|out| ping.encode(out));
            debug_assert!(written.is_ok(), "a ping fits");
            let seed = self.chance.node_seed();
            let nonce = seed.first_chunk().copied().unwrap_or_default();
            let len = writer.finish_with(Finish { seal: Some((&ring, nonce)), compress: None });
            self.world.forge(from, to, &buf[..len]);
        }
    }

    /// Somebody, who is up, as the cluster knows it: name, address, version bytes, incarnation.
    fn known(&mut self) -> Option<Known> {
        let id = self.somebody();
        let local = self.world.node(id)?.local();
        Some(Known {
            name: local.name.as_bytes().to_vec(),
            addr: NodeAddr::from(local.addr),
            meta: local.meta.to_vec(),
            incarnation: local.incarnation,
        })
    }

    /// Numbers so high that few are left to answer with.
    fn incarnations(&mut self) {
        let (to, from) = (self.somebody(), self.lair());
        let Some(known) = self.known() else { return };
        self.world.watch_mut().excuse(&known.name);
        let high = [u32::MAX, u32::MAX - 1, u32::MAX - 2, u32::MAX / 2];
        let incarnation = Incarnation(*self.chance.pick(&high));
        let accusation =
            Accusation { incarnation, node: known.name[..].into(), from: b"nobody"[..].into() };
        let forged = match self.chance.below(3) {
            0 => Message::Alive(known.alive(incarnation)),
            1 => Message::Suspect(accusation),
            _ => Message::Dead(accusation),
        };
        self.send(from, to, &[forged]);
    }

    /// A goodbye in somebody else's name, and that name at the attacker's address.
    fn hijack(&mut self) {
        let (to, from) = (self.somebody(), self.lair());
        let Some(known) = self.known() else { return };
        self.world.watch_mut().excuse(&known.name);
        let goodbye = Accusation {
            incarnation: known.incarnation,
            node: known.name[..].into(),
            from: known.name[..].into(),
        };
        let lair = Known { addr: NodeAddr::from(from), ..known.clone() };
        let taken = lair.alive(Incarnation(known.incarnation.0.saturating_add(1)));
        self.send(from, to, &[Message::Dead(goodbye), Message::Alive(taken)]);
    }

    /// Accusations of one member, each of its newest incarnation, as fast as they can be sent.
    fn suspects(&mut self) {
        let from = self.lair();
        let Some(known) = self.known() else { return };
        for step in 0..ACCUSATIONS {
            let to = self.somebody();
            let step = u32::try_from(step).unwrap_or(u32::MAX);
            let accuser = format!("accuser-{step}");
            let accusation = Accusation {
                incarnation: Incarnation(known.incarnation.0.saturating_add(step)),
                node: known.name[..].into(),
                from: accuser.as_bytes().into(),
            };
            self.send(from, to, &[Message::Suspect(accusation)]);
        }
    }
}

#[derive(Clone)]
struct Known {
    name: Vec<u8>,
    addr: NodeAddr,
    meta: Vec<u8>,
    incarnation: Incarnation,
}

impl Known {
    fn alive(&self, incarnation: Incarnation) -> Alive<'_> {
        Alive {
            incarnation,
            node: self.name[..].into(),
            addr: self.addr.ip_bytes().into(),
            port: self.addr.port,
            meta: self.meta[..].into(),
            vsn: VERSIONS[..].into(),
        }
    }
}

/// Version bytes of an ordinary member.
const VERSIONS: [u8; 6] = [1, 5, 2, 0, 0, 0];

/// How a message of a mebibyte begins.
const LONG_MESSAGE_BEGINNING: &[u8] = b"\x08\x81\xaaUserMsgLen\xce\x00\x10\x00\x00";

/// How a push/pull of very many members begins.
const PUSH_PULL_BEGINNING: &[u8] = &[
    MessageType::PUSH_PULL.0,
    0x83,
    0xa5,
    b'N',
    b'o',
    b'd',
    b'e',
    b's',
    0xcd,
    0xff,
    0xff,
    0xac,
    b'U',
    b's',
    b'e',
    b'r',
];
