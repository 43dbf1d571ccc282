//! One node among members, in virtual time: what every target feeds. The same inputs give the
//! same outputs, so two worlds compare.

use std::net::SocketAddr;
use std::sync::LazyLock;

use rumormill::wire::Sink;
use rumormill::wire::keyring::{NONCE_LEN, SEAL_HEADER, Version};
use rumormill::wire::message::{Accusation, Alive, Message, NodeAddr};
use rumormill::wire::packet::{self, Checksum, Opener, PacketError, PacketWriter, Protection};
use rumormill::wire::stream::{Layers, frame};
use rumormill::wire::tags::{Advert, CAPABILITY_ENVELOPE};
use rumormill::{
    AskId, BootEpoch, Config, Fact, Identity, Incarnation, Instant, Key, Keyring, Member,
    MemberState, Mode, Node, NodeName, Output, Params, StreamId, StreamInput, Verdict,
};

use super::encoded;

/// The node that is fed.
pub(super) const ME: &str = "me";
/// A member that understands our envelope.
pub(super) const FRIEND: &str = "friend";
/// A member as Go writes it.
pub(super) const PLAIN: &str = "plain";
/// A member under suspicion.
pub(super) const SUSPECT: &str = "suspect";

/// Outputs of one drain, far above what any input of a few kilobytes can cause.
const OUTPUTS_MAX: usize = 10_000;
const PORT: u16 = 7_946;
/// Members at the beginning, the node itself among them, that are not dead.
const MEMBERS: usize = 4;
const NONCE: [u8; NONCE_LEN] = [9; NONCE_LEN];

/// Where the member with this name lives; strangers have addresses too.
pub(super) fn addr(name: &str) -> SocketAddr {
    let last = match name {
        ME => 1,
        FRIEND => 2,
        PLAIN => 3,
        SUSPECT => 4,
        _ => 9,
    };
    SocketAddr::from(([10, 0, 0, last], PORT))
}

/// The key of all worlds that encrypt: the one that the captured peers had.
pub(super) fn keyring() -> &'static Keyring {
    static RING: LazyLock<Keyring> = LazyLock::new(|| {
        let mut ring = Keyring::new();
        let key = Key::new(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);
        ring.install(key.expect("sixteen bytes are a key")).expect("one key fits a ring");
        ring
    });
    &RING
}

/// What a node of this version accepts that has the key.
pub(super) fn with_key(label: &[u8]) -> Protection<'_> {
    Protection { keyring: keyring(), ..Protection::label(label) }
}

/// No fuzzer guesses a tag: seals a datagram, so that what lies behind the encryption is reached.
pub(super) fn sealed(datagram: &[u8], version: Version) -> Vec<u8> {
    let (label, text) = packet::split_label(datagram).unwrap_or((b"", datagram));
    let mut bytes = encoded(|out| packet::put_label(out, label));
    let start = bytes.len();
    bytes.extend_from_slice(&[0; SEAL_HEADER]);
    bytes.extend_from_slice(text);
    bytes.resize(start + version.sealed_len(text.len()), 0);
    let len = keyring().seal(version, NONCE, label, &mut bytes[start..], text.len());
    assert_eq!(len, Some(bytes.len() - start), "a sealed text has the announced length");
    bytes
}

/// The same for the bytes of a stream that its peer dialled: label, then one frame with the rest.
pub(super) fn sealed_stream(bytes: &[u8], version: Version) -> Vec<u8> {
    let (label, text) = packet::split_label(bytes).unwrap_or((b"", bytes));
    [encoded(|out| packet::put_label(out, label)), sealed_answer(text, version, label)].concat()
}

/// The same for the bytes that answer on a stream.
pub(super) fn sealed_answer(text: &[u8], version: Version, label: &[u8]) -> Vec<u8> {
    let seal = Some((keyring(), version, NONCE));
    frame(text.to_vec(), Layers { compress: false, seal, label })
}

/// The cluster of a node.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setup<'a> {
    pub(super) mode: Mode,
    pub(super) label: &'a [u8],
    /// Whether it encrypts, and how.
    pub(super) sealed: Option<Version>,
    pub(super) compression: bool,
    /// Whether the application is asked, who then says yes and no in turn.
    pub(super) asks: bool,
}

impl<'a> Setup<'a> {
    pub(super) const fn plain(mode: Mode, label: &'a [u8]) -> Self {
        Self { mode, label, sealed: None, compression: false, asks: false }
    }

    /// All that a cluster may be, beside plain.
    pub(super) const fn others(mode: Mode, label: &'a [u8]) -> [Self; 3] {
        let plain = Self::plain(mode, label);
        [
            Self { asks: true, ..plain },
            Self { sealed: Some(Version::Padded), compression: true, ..plain },
            Self { sealed: Some(Version::Plain), asks: true, ..plain },
        ]
    }

    /// What its members accept.
    pub(super) fn protection(&self) -> Protection<'a> {
        match self.sealed {
            None => Protection::label(self.label),
            Some(_) => with_key(self.label),
        }
    }

    fn config(self) -> Config {
        Config {
            rumor_mode: self.mode,
            label: self.label.to_vec(),
            neighbors: vec![addr(FRIEND), addr(PLAIN)],
            // Small limits, so that inputs of some kilobytes reach them.
            members_max: 16,
            stream_message_max: 1 << 16,
            events_max: 64,
            ask_joins: self.asks,
            ask_merges: self.asks,
            compression: self.compression,
            keyring: self.sealed.map_or_else(Keyring::new, |_| keyring().clone()),
            protocol_version: if self.sealed == Some(Version::Padded) { 1 } else { 2 },
            ..Config::lan()
        }
    }
}

/// What the node did that a network would see.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Deed {
    Send { to: SocketAddr, bytes: Vec<u8> },
    Connect { stream: StreamId, to: SocketAddr },
    Write { stream: StreamId, bytes: Vec<u8> },
    Close { stream: StreamId },
    Wake(Option<Instant>),
}

/// What the node believes about a member.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Known {
    name: NodeName,
    addr: SocketAddr,
    state: MemberState,
    incarnation: Incarnation,
    meta: Vec<u8>,
}

/// The node, its clock, and what it has done.
pub(super) struct World {
    pub(super) node: Node,
    pub(super) now: Instant,
    pub(super) deeds: Vec<Deed>,
    pub(super) facts: Vec<Fact>,
    /// Whom a dialled stream reaches; anybody else does not answer.
    pub(super) reachable: Option<SocketAddr>,
    sealed: Option<Version>,
    /// What the application answers next time.
    verdict: Verdict,
    opener: Opener,
    buf: Vec<u8>,
}

impl World {
    /// A node that has just heard of a member of each kind.
    pub(super) fn new(setup: Setup<'_>) -> Self {
        let identity = Identity {
            name: NodeName::new(ME).expect("the name is valid"),
            addr: addr(ME),
            incarnation: Incarnation(1),
            boot_epoch: BootEpoch(1),
        };
        let params = Params::try_from(setup.config()).expect("the parameters are valid");
        let packet_size_max = params.packet_size_max();
        let mut world = Self {
            node: Node::new(Instant::ZERO, identity, params, [7; 32]),
            now: Instant::ZERO,
            deeds: Vec::new(),
            facts: Vec::new(),
            reachable: None,
            sealed: setup.sealed,
            verdict: Verdict::Accept,
            opener: Opener::default(),
            buf: vec![0; packet_size_max],
        };
        world.hear(FRIEND, &acquaintances(setup.label)).expect("the fixture's own packet is valid");
        world.drain();
        assert_eq!(world.node.live_members(), MEMBERS, "the node knows its members");
        // All but the deadline.
        world.deeds.drain(..world.deeds.len() - 1);
        world.facts.clear();
        world
    }

    /// A datagram comes in, from somebody who has the key if there is one.
    pub(super) fn hear(&mut self, from: &str, datagram: &[u8]) -> Result<(), PacketError> {
        match self.sealed {
            None => self.hear_as_it_is(from, datagram),
            Some(version) => self.hear_as_it_is(from, &sealed(datagram, version)),
        }
    }

    /// A datagram comes in.
    pub(super) fn hear_as_it_is(&mut self, from: &str, datagram: &[u8]) -> Result<(), PacketError> {
        self.node.handle_packet(self.now, addr(from), datagram)
    }

    /// Drains the node and plays the network: connects or refuses, and takes what is written.
    pub(super) fn drain(&mut self) {
        for _ in 0..OUTPUTS_MAX {
            let deed = match self.node.poll_output(&mut self.buf) {
                Output::Send { to, len } => {
                    assert_sendable(&mut self.opener, &self.buf[..len], &self.node);
                    Deed::Send { to, bytes: self.buf[..len].to_vec() }
                }
                Output::Connect { stream, to } => {
                    let reached = self.reachable == Some(to);
                    let input = if reached { StreamInput::Connected } else { StreamInput::Failed };
                    self.feed(stream, input);
                    Deed::Connect { stream, to }
                }
                Output::Write { stream, len } => {
                    let bytes = self.buf[..len].to_vec();
                    assert!(!bytes.is_empty(), "nothing is written for nothing");
                    self.feed(stream, StreamInput::Written);
                    Deed::Write { stream, bytes }
                }
                Output::Close { stream } => Deed::Close { stream },
                Output::Event(event) => {
                    if let Fact::AskJoin { ask, .. } | Fact::AskMerge { ask, .. } = event.fact {
                        self.answer(ask);
                    }
                    self.facts.push(event.fact);
                    continue;
                }
                Output::Timer(wake_at) => {
                    self.deeds.push(Deed::Wake(wake_at));
                    return;
                }
            };
            self.deeds.push(deed);
        }
        panic!("the drain ends");
    }

    fn answer(&mut self, ask: AskId) {
        // A newer question about the same member may have taken its place.
        self.node.answer(self.now, ask, self.verdict);
        assert!(!self.node.answer(self.now, ask, self.verdict), "an answer counts once");
        // The members of the beginning are welcome.
        if self.node.live_members() >= MEMBERS {
            self.verdict = match self.verdict {
                Verdict::Accept => Verdict::Refuse,
                Verdict::Refuse => Verdict::Accept,
            };
        }
    }

    fn feed(&mut self, stream: StreamId, input: StreamInput<'_>) {
        let fed = self.node.handle_stream(self.now, stream, input);
        assert_eq!(fed, Ok(()), "a stream that the node just named is open");
    }

    /// Lets time pass until the node's next `count` deadlines.
    pub(super) fn wake(&mut self, count: usize) {
        for _ in 0..count {
            let Some(at) = self.deadline() else { return };
            self.now = self.now.max(at);
            self.node.handle_tick(self.now);
            self.drain();
            let waits = self.deadline().is_none_or(|next| next > self.now);
            assert!(waits, "a node that was woken in time does not ask to be woken at once");
        }
    }

    /// When the node, drained, wants to be woken.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.deeds.last() {
            Some(&Deed::Wake(at)) => at,
            other => panic!("the drain ended with {other:?}"),
        }
    }

    /// Fails unless both worlds did and told the same.
    #[track_caller]
    pub(super) fn assert_same(&self, other: &Self, why: &str) {
        assert_eq!(self.deeds, other.deeds, "{why}");
        assert_eq!(format!("{:?}", self.facts), format!("{:?}", other.facts), "{why}");
        assert_eq!(self.members(), other.members(), "{why}");
    }

    /// Who is known, and what is believed about them.
    pub(super) fn members(&self) -> Vec<Known> {
        let view = |member: Member<'_>| {
            let Member { name, addr, state, incarnation, meta, .. } = member;
            Known { name: name.clone(), addr, state, incarnation, meta: meta.to_vec() }
        };
        self.node.members().map(view).collect()
    }
}

/// Fails unless this very node would accept the datagram, and read in it what was written.
#[track_caller]
pub(super) fn assert_sendable(opener: &mut Opener, datagram: &[u8], node: &Node) {
    let params = node.params();
    assert!(datagram.len() <= params.packet_size_max(), "no datagram over the limit");
    let verify_incoming = params.verify_outgoing;
    let protection = Protection { label: &params.label, keyring: node.keyring(), verify_incoming };
    let mut parts = opener.open(datagram, protection).expect("our own layers open");
    let mut count = 0;
    for part in parts.by_ref() {
        let message = Message::decode(part).expect("our own messages decode");
        assert_eq!(bytes_of(&message), part, "we send the canonical form only");
        count += 1;
    }
    assert!(0 < count && count <= packet::PARTS_MAX, "{count} parts");
    assert_eq!(parts.cut_off(), 0, "our own compounds are whole");
}

/// The version bytes of members that understand checksums, and of one that does not.
pub(super) const VSN: [u8; 6] = [1, 5, 2, 0, 0, 0];
const WITHOUT_CHECKSUM: [u8; 6] = [1, 4, 2, 0, 0, 0];

/// What an alive message says about a member of the fixture.
pub(super) fn alive<'a>(name: &'a str, addr: &'a NodeAddr, meta: &'a [u8]) -> Alive<'a> {
    Alive {
        incarnation: Incarnation(3),
        node: name.as_bytes().into(),
        addr: addr.ip_bytes().into(),
        port: addr.port,
        meta: meta.into(),
        vsn: if name == PLAIN { WITHOUT_CHECKSUM[..].into() } else { VSN[..].into() },
    }
}

/// What somebody says about somebody.
pub(super) fn accusation<'a>(about: &'a str, from: &'a str) -> Accusation<'a> {
    Accusation {
        incarnation: Incarnation(3),
        node: about.as_bytes().into(),
        from: from.as_bytes().into(),
    }
}

/// The meta of a member that understands our envelope.
pub(super) fn friendly_meta() -> Vec<u8> {
    let advert = Advert { capabilities: CAPABILITY_ENVELOPE, epoch: BootEpoch(5), zone: 0 };
    advert.add_to(b"").expect("our tag fits an empty meta")
}

/// Introduces a member of each kind: one like us, one like Go's, a suspect, one that left.
fn acquaintances(label: &[u8]) -> Vec<u8> {
    static UNLABELLED: LazyLock<Vec<u8>> = LazyLock::new(|| {
        const GONE: &str = "gone";
        let [friend, plain, suspect, gone] =
            [FRIEND, PLAIN, SUSPECT, GONE].map(|name| NodeAddr::from(addr(name)));
        let meta = friendly_meta();
        let messages = [
            Message::Alive(alive(FRIEND, &friend, &meta)),
            Message::Alive(alive(PLAIN, &plain, b"role=db")),
            Message::Alive(alive(SUSPECT, &suspect, b"")),
            Message::Suspect(accusation(SUSPECT, PLAIN)),
            Message::Alive(alive(GONE, &gone, b"")),
            Message::Dead(accusation(GONE, GONE)),
        ];
        datagram(b"", &messages.map(|message| bytes_of(&message)))
    });
    let mut labelled = encoded(|out| packet::put_label(out, label));
    labelled.extend_from_slice(&UNLABELLED);
    labelled
}

/// Messages as one datagram, with a checksum.
pub(super) fn datagram(label: &[u8], messages: &[Vec<u8>]) -> Vec<u8> {
    let mut buf = vec![0; 8_192];
    let mut writer = PacketWriter::new(&mut buf, label, Checksum::Present);
    for message in messages {
        writer.part(|out| out.put(message)).expect("the messages fit a datagram");
    }
    let len = writer.finish();
    buf.truncate(len);
    buf
}

/// A message with its type byte.
pub(super) fn bytes_of(message: &Message<'_>) -> Vec<u8> {
    encoded(|out| message.encode(out))
}
