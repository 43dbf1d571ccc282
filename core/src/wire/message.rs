//! memberlist's messages (protocol page §1.1, §2.4; vectors of appendix A in the tests).
//!
//! A message borrows from the packet it was decoded from. Field names are ours; the keys on the
//! wire are Go's. `decode` reads the body after the type byte and ignores what follows it, as Go
//! does in packets; `encode` writes the type byte too where a message has one.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::msgpack::{
    Blob, put_blob, put_bool, put_map, put_raw, put_uint, read_bool, read_bytes, read_struct,
    read_uint,
};
use super::{DecodeError, Full, Reader, Sink};
use crate::identity::{Incarnation, SeqNo};

/// The first byte of a message. Unknown numbers survive decoding and fail where they are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MessageType(pub u8);

impl MessageType {
    /// Direct probe.
    pub const PING: Self = Self(0);
    /// Request to probe somebody else.
    pub const INDIRECT_PING: Self = Self(1);
    /// Answer to a probe.
    pub const ACK: Self = Self(2);
    /// A member is suspected.
    pub const SUSPECT: Self = Self(3);
    /// A member is alive.
    pub const ALIVE: Self = Self(4);
    /// A member is dead, or left.
    pub const DEAD: Self = Self(5);
    /// Exchange of the whole state; streams only.
    pub const PUSH_PULL: Self = Self(6);
    /// Several messages in one datagram.
    pub const COMPOUND: Self = Self(7);
    /// The application's bytes.
    pub const USER: Self = Self(8);
    /// A compressed message.
    pub const COMPRESS: Self = Self(9);
    /// An encrypted frame; streams only.
    pub const ENCRYPT: Self = Self(10);
    /// An indirect probe got no answer.
    pub const NACK: Self = Self(11);
    /// A checksummed datagram.
    pub const HAS_CRC: Self = Self(12);
    /// A stream request was refused.
    pub const ERR: Self = Self(13);
    /// A label precedes the message.
    pub const HAS_LABEL: Self = Self(244);
}

/// An IP address and port exactly as their owner wrote them.
///
/// The 4-byte form and the 16-byte mapped form of one IPv4 address are different values, because
/// Go compares bytes (protocol page §10, trap 8): they are stored and forwarded verbatim and only
/// [`socket_addr`](Self::socket_addr) makes them the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeAddr {
    ip: IpBytes,
    /// The gossip port.
    pub port: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum IpBytes {
    V4([u8; 4]),
    V6([u8; 16]),
}

impl NodeAddr {
    /// The address for `addr`; `None` unless it has 4 or 16 bytes.
    #[must_use]
    pub fn from_wire(addr: &[u8], port: u16) -> Option<Self> {
        let ip = match addr.len() {
            4 => IpBytes::V4(addr.try_into().ok()?),
            16 => IpBytes::V6(addr.try_into().ok()?),
            _ => return None,
        };
        Some(Self { ip, port })
    }

    /// The bytes on the wire.
    #[must_use]
    pub const fn ip_bytes(&self) -> &[u8] {
        match &self.ip {
            IpBytes::V4(bytes) => bytes,
            IpBytes::V6(bytes) => bytes,
        }
    }

    /// Where to send to: mapped IPv4 becomes IPv4.
    #[must_use]
    pub fn socket_addr(&self) -> SocketAddr {
        let ip = match self.ip {
            IpBytes::V4(bytes) => IpAddr::V4(Ipv4Addr::from(bytes)),
            IpBytes::V6(bytes) => IpAddr::V6(Ipv6Addr::from(bytes)).to_canonical(),
        };
        SocketAddr::new(ip, self.port)
    }
}

impl From<SocketAddr> for NodeAddr {
    fn from(addr: SocketAddr) -> Self {
        let ip = match addr.ip() {
            IpAddr::V4(ip) => IpBytes::V4(ip.octets()),
            IpAddr::V6(ip) => IpBytes::V6(ip.octets()),
        };
        Self { ip, port: addr.port() }
    }
}

/// The sender of a ping as it wants to be answered. Absent from peers before 0.2.0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Source<'a> {
    /// IP address of 4 or 16 bytes, or nothing.
    pub addr: Blob<'a>,
    /// Port, or 0.
    pub port: u16,
    /// Name, or nothing.
    pub node: Blob<'a>,
}

impl Source<'_> {
    /// The address to answer to, if the peer gave a whole one.
    #[must_use]
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        if self.port == 0 {
            return None;
        }
        NodeAddr::from_wire(&self.addr, self.port).map(|addr| addr.socket_addr())
    }

    fn encode<S: Sink + ?Sized>(&self, sink: &mut S) -> Result<(), Full> {
        put_unless(self.addr.is_empty(), sink, "SourceAddr", |s| put_raw(s, &self.addr))?;
        put_unless(self.node.is_empty(), sink, "SourceNode", |s| put_raw(s, &self.node))?;
        put_unless(self.port == 0, sink, "SourcePort", |s| put_uint(s, self.port.into()))
    }

    fn keys(&self) -> u8 {
        u8::from(!self.addr.is_empty()) + u8::from(!self.node.is_empty()) + u8::from(self.port != 0)
    }
}

fn put_unless<S: Sink + ?Sized>(
    absent: bool,
    sink: &mut S,
    key: &str,
    value: impl FnOnce(&mut S) -> Result<(), Full>,
) -> Result<(), Full> {
    if absent {
        return Ok(());
    }
    put_raw(sink, key.as_bytes())?;
    value(sink)
}

fn put_key<S: Sink + ?Sized>(sink: &mut S, key: &str) -> Result<(), Full> {
    put_raw(sink, key.as_bytes())
}

/// Direct probe.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ping<'a> {
    /// Returned in the ack.
    pub seq: SeqNo,
    /// The intended recipient; empty for whoever receives it.
    pub node: Blob<'a>,
    /// Who asks.
    pub source: Source<'a>,
}

impl<'a> Ping<'a> {
    /// Reads the body.
    ///
    /// # Errors
    ///
    /// Any [`DecodeError`].
    pub fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        const NAMES: [&str; 5] = ["SeqNo", "Node", "SourceAddr", "SourcePort", "SourceNode"];
        let mut ping = Self::default();
        read_struct(reader, &NAMES, |index, r| {
            match index {
                0 => ping.seq = SeqNo(read_uint(r, "SeqNo")?),
                1 => ping.node = read_bytes(r, "Node")?,
                2 => ping.source.addr = read_bytes(r, "SourceAddr")?,
                3 => ping.source.port = read_uint(r, "SourcePort")?,
                _ => ping.source.node = read_bytes(r, "SourceNode")?,
            }
            Ok(())
        })?;
        Ok(ping)
    }

    /// Writes type byte and body.
    ///
    /// # Errors
    ///
    /// [`Full`].
    pub fn encode<S: Sink + ?Sized>(&self, sink: &mut S) -> Result<(), Full> {
        sink.put(&[MessageType::PING.0])?;
        put_map(sink, 2 + self.source.keys())?;
        put_key(sink, "Node")?;
        put_raw(sink, &self.node)?;
        put_key(sink, "SeqNo")?;
        put_uint(sink, self.seq.0)?;
        self.source.encode(sink)
    }
}

/// Request to probe somebody else.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IndirectPing<'a> {
    /// Returned in the ack or nack.
    pub seq: SeqNo,
    /// IP address of the member to probe.
    pub target: Blob<'a>,
    /// Its port; 0 from protocol 1, meaning the relay's own.
    pub port: u16,
    /// Its name.
    pub node: Blob<'a>,
    /// Whether the relay should say that it got no answer.
    pub nack: bool,
    /// Who asks.
    pub source: Source<'a>,
}

impl<'a> IndirectPing<'a> {
    /// Reads the body.
    ///
    /// # Errors
    ///
    /// Any [`DecodeError`].
    pub fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        const NAMES: [&str; 8] =
            ["SeqNo", "Target", "Port", "Node", "Nack", "SourceAddr", "SourcePort", "SourceNode"];
        let mut ping = Self::default();
        read_struct(reader, &NAMES, |index, r| {
            match index {
                0 => ping.seq = SeqNo(read_uint(r, "SeqNo")?),
                1 => ping.target = read_bytes(r, "Target")?,
                2 => ping.port = read_uint(r, "Port")?,
                3 => ping.node = read_bytes(r, "Node")?,
                4 => ping.nack = read_bool(r, "Nack")?,
                5 => ping.source.addr = read_bytes(r, "SourceAddr")?,
                6 => ping.source.port = read_uint(r, "SourcePort")?,
                _ => ping.source.node = read_bytes(r, "SourceNode")?,
            }
            Ok(())
        })?;
        Ok(ping)
    }

    /// Writes type byte and body.
    ///
    /// # Errors
    ///
    /// [`Full`].
    pub fn encode<S: Sink + ?Sized>(&self, sink: &mut S) -> Result<(), Full> {
        sink.put(&[MessageType::INDIRECT_PING.0])?;
        put_map(sink, 5 + self.source.keys())?;
        put_key(sink, "Nack")?;
        put_bool(sink, self.nack)?;
        put_key(sink, "Node")?;
        put_raw(sink, &self.node)?;
        put_key(sink, "Port")?;
        put_uint(sink, self.port.into())?;
        put_key(sink, "SeqNo")?;
        put_uint(sink, self.seq.0)?;
        self.source.encode(sink)?;
        put_key(sink, "Target")?;
        put_raw(sink, &self.target)
    }
}

/// Answer to a probe.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ack<'a> {
    /// The probe's number.
    pub seq: SeqNo,
    /// Serf puts network coordinates here; nil from plain nodes.
    pub payload: Blob<'a>,
}

impl<'a> Ack<'a> {
    /// Reads the body.
    ///
    /// # Errors
    ///
    /// Any [`DecodeError`].
    pub fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let mut ack = Self::default();
        read_struct(reader, &["SeqNo", "Payload"], |index, r| {
            match index {
                0 => ack.seq = SeqNo(read_uint(r, "SeqNo")?),
                _ => ack.payload = read_bytes(r, "Payload")?,
            }
            Ok(())
        })?;
        Ok(ack)
    }

    /// Writes type byte and body.
    ///
    /// # Errors
    ///
    /// [`Full`].
    pub fn encode<S: Sink + ?Sized>(&self, sink: &mut S) -> Result<(), Full> {
        sink.put(&[MessageType::ACK.0])?;
        put_map(sink, 2)?;
        put_key(sink, "Payload")?;
        put_blob(sink, &self.payload)?;
        put_key(sink, "SeqNo")?;
        put_uint(sink, self.seq.0)
    }
}

/// A relay got no answer from the member it was asked to probe.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Nack {
    /// The request's number.
    pub seq: SeqNo,
}

impl Nack {
    /// Reads the body.
    ///
    /// # Errors
    ///
    /// Any [`DecodeError`].
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut nack = Self::default();
        read_struct(reader, &["SeqNo"], |_, r| {
            nack.seq = SeqNo(read_uint(r, "SeqNo")?);
            Ok(())
        })?;
        Ok(nack)
    }

    /// Writes type byte and body.
    ///
    /// # Errors
    ///
    /// [`Full`].
    pub fn encode<S: Sink + ?Sized>(&self, sink: &mut S) -> Result<(), Full> {
        sink.put(&[MessageType::NACK.0])?;
        put_map(sink, 1)?;
        put_key(sink, "SeqNo")?;
        put_uint(sink, self.seq.0)
    }
}

/// The body that suspect and dead messages share: somebody says something about a member.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accusation<'a> {
    /// The incarnation that it is about.
    pub incarnation: Incarnation,
    /// The accused.
    pub node: Blob<'a>,
    /// The accuser; equal to `node` in a dead message of a member that leaves.
    pub from: Blob<'a>,
}

impl<'a> Accusation<'a> {
    /// Reads the body.
    ///
    /// # Errors
    ///
    /// Any [`DecodeError`].
    pub fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let mut accusation = Self::default();
        read_struct(reader, &["Incarnation", "Node", "From"], |index, r| {
            match index {
                0 => accusation.incarnation = Incarnation(read_uint(r, "Incarnation")?),
                1 => accusation.node = read_bytes(r, "Node")?,
                _ => accusation.from = read_bytes(r, "From")?,
            }
            Ok(())
        })?;
        Ok(accusation)
    }

    /// Writes `kind` ([`MessageType::SUSPECT`] or [`MessageType::DEAD`]) and the body.
    ///
    /// # Errors
    ///
    /// [`Full`].
    pub fn encode<S: Sink + ?Sized>(&self, kind: MessageType, sink: &mut S) -> Result<(), Full> {
        sink.put(&[kind.0])?;
        put_map(sink, 3)?;
        put_key(sink, "From")?;
        put_raw(sink, &self.from)?;
        put_key(sink, "Incarnation")?;
        put_uint(sink, self.incarnation.0)?;
        put_key(sink, "Node")?;
        put_raw(sink, &self.node)
    }
}

/// The six version bytes of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Versions([u8; 6]);

impl Versions {
    /// From (lowest, highest, spoken) of memberlist's protocol and of the application's.
    #[must_use]
    pub const fn new(protocol: [u8; 3], delegate: [u8; 3]) -> Self {
        let ([a, b, c], [d, e, f]) = (protocol, delegate);
        Self([a, b, c, d, e, f])
    }

    /// The versions in `vsn`; `None` if it is shorter than six bytes. Longer ones are cut.
    #[must_use]
    pub fn from_wire(vsn: &[u8]) -> Option<Self> {
        vsn.first_chunk().copied().map(Self)
    }

    /// Lowest, highest and spoken version of memberlist's protocol.
    #[must_use]
    pub const fn protocol(self) -> [u8; 3] {
        let [a, b, c, ..] = self.0;
        [a, b, c]
    }

    /// The same of the application's protocol.
    #[must_use]
    pub const fn delegate(self) -> [u8; 3] {
        let [.., d, e, f] = self.0;
        [d, e, f]
    }

    /// The highest version of memberlist's protocol that the member understands.
    #[must_use]
    pub const fn protocol_max(self) -> u8 {
        self.0[1]
    }

    /// The bytes on the wire.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 6] {
        &self.0
    }
}

/// A member is alive.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Alive<'a> {
    /// The incarnation that it states.
    pub incarnation: Incarnation,
    /// Who it is.
    pub node: Blob<'a>,
    /// Its IP address, 4 or 16 bytes.
    pub addr: Blob<'a>,
    /// Its port; 0 from protocol 1, meaning the receiver's own.
    pub port: u16,
    /// The application's bytes about it.
    pub meta: Blob<'a>,
    /// Its version bytes.
    pub vsn: Blob<'a>,
}

impl<'a> Alive<'a> {
    /// Reads the body.
    ///
    /// # Errors
    ///
    /// Any [`DecodeError`].
    pub fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        const NAMES: [&str; 6] = ["Incarnation", "Node", "Addr", "Port", "Meta", "Vsn"];
        let mut alive = Self::default();
        read_struct(reader, &NAMES, |index, r| {
            match index {
                0 => alive.incarnation = Incarnation(read_uint(r, "Incarnation")?),
                1 => alive.node = read_bytes(r, "Node")?,
                2 => alive.addr = read_bytes(r, "Addr")?,
                3 => alive.port = read_uint(r, "Port")?,
                4 => alive.meta = read_bytes(r, "Meta")?,
                _ => alive.vsn = read_bytes(r, "Vsn")?,
            }
            Ok(())
        })?;
        Ok(alive)
    }

    /// Writes type byte and body.
    ///
    /// # Errors
    ///
    /// [`Full`].
    pub fn encode<S: Sink + ?Sized>(&self, sink: &mut S) -> Result<(), Full> {
        sink.put(&[MessageType::ALIVE.0])?;
        put_map(sink, 6)?;
        put_key(sink, "Addr")?;
        put_blob(sink, &self.addr)?;
        put_key(sink, "Incarnation")?;
        put_uint(sink, self.incarnation.0)?;
        put_key(sink, "Meta")?;
        put_blob(sink, &self.meta)?;
        put_key(sink, "Node")?;
        put_raw(sink, &self.node)?;
        put_key(sink, "Port")?;
        put_uint(sink, self.port.into())?;
        put_key(sink, "Vsn")?;
        put_blob(sink, &self.vsn)
    }
}

/// The state of a member in a push/pull record. Numbers beyond these exist only to be ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct WireState(pub u32);

impl WireState {
    /// Answers probes.
    pub const ALIVE: Self = Self(0);
    /// Answered none lately.
    pub const SUSPECT: Self = Self(1);
    /// Condemned.
    pub const DEAD: Self = Self(2);
    /// Said goodbye.
    pub const LEFT: Self = Self(3);
}

/// One member in a push/pull. Its key for the name is `Name`, not `Node`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeState<'a> {
    /// What it would say in an alive message.
    pub alive: Alive<'a>,
    /// What the sender thinks of it.
    pub state: WireState,
}

impl<'a> NodeState<'a> {
    /// Reads one record.
    ///
    /// # Errors
    ///
    /// Any [`DecodeError`].
    pub fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        const NAMES: [&str; 7] = ["Name", "Addr", "Port", "Meta", "Incarnation", "State", "Vsn"];
        let mut node = Self::default();
        read_struct(reader, &NAMES, |index, r| {
            let alive = &mut node.alive;
            match index {
                0 => alive.node = read_bytes(r, "Name")?,
                1 => alive.addr = read_bytes(r, "Addr")?,
                2 => alive.port = read_uint(r, "Port")?,
                3 => alive.meta = read_bytes(r, "Meta")?,
                4 => alive.incarnation = Incarnation(read_uint(r, "Incarnation")?),
                5 => node.state = WireState(read_uint(r, "State")?),
                _ => alive.vsn = read_bytes(r, "Vsn")?,
            }
            Ok(())
        })?;
        Ok(node)
    }

    /// Writes one record.
    ///
    /// # Errors
    ///
    /// [`Full`].
    pub fn encode<S: Sink + ?Sized>(&self, sink: &mut S) -> Result<(), Full> {
        put_map(sink, 7)?;
        put_key(sink, "Addr")?;
        put_blob(sink, &self.alive.addr)?;
        put_key(sink, "Incarnation")?;
        put_uint(sink, self.alive.incarnation.0)?;
        put_key(sink, "Meta")?;
        put_blob(sink, &self.alive.meta)?;
        put_key(sink, "Name")?;
        put_raw(sink, &self.alive.node)?;
        put_key(sink, "Port")?;
        put_uint(sink, self.alive.port.into())?;
        put_key(sink, "State")?;
        put_uint(sink, self.state.0)?;
        put_key(sink, "Vsn")?;
        put_blob(sink, &self.alive.vsn)
    }
}

/// What precedes the records of a push/pull.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PushPullHeader {
    /// How many records follow.
    pub nodes: u32,
    /// How many bytes of user state follow the records.
    pub user_state_len: u32,
    /// Whether the initiator is joining.
    pub join: bool,
}

impl PushPullHeader {
    /// Reads the header, after the type byte.
    ///
    /// # Errors
    ///
    /// Any [`DecodeError`]; a negative count is out of range.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut header = Self::default();
        read_struct(reader, &["Nodes", "UserStateLen", "Join"], |index, r| {
            match index {
                0 => header.nodes = read_uint(r, "Nodes")?,
                1 => header.user_state_len = read_uint(r, "UserStateLen")?,
                _ => header.join = read_bool(r, "Join")?,
            }
            Ok(())
        })?;
        Ok(header)
    }

    /// Writes type byte and header.
    ///
    /// # Errors
    ///
    /// [`Full`].
    pub fn encode<S: Sink + ?Sized>(&self, sink: &mut S) -> Result<(), Full> {
        sink.put(&[MessageType::PUSH_PULL.0])?;
        put_map(sink, 3)?;
        put_key(sink, "Join")?;
        put_bool(sink, self.join)?;
        put_key(sink, "Nodes")?;
        put_uint(sink, self.nodes)?;
        put_key(sink, "UserStateLen")?;
        put_uint(sink, self.user_state_len)
    }
}

/// What precedes the bytes of a reliable user message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UserHeader {
    /// How many bytes follow.
    pub len: u32,
}

impl UserHeader {
    /// Reads the header, after the type byte.
    ///
    /// # Errors
    ///
    /// Any [`DecodeError`].
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut header = Self::default();
        read_struct(reader, &["UserMsgLen"], |_, r| {
            header.len = read_uint(r, "UserMsgLen")?;
            Ok(())
        })?;
        Ok(header)
    }

    /// Writes type byte and header.
    ///
    /// # Errors
    ///
    /// [`Full`].
    pub fn encode<S: Sink + ?Sized>(&self, sink: &mut S) -> Result<(), Full> {
        sink.put(&[MessageType::USER.0])?;
        put_map(sink, 1)?;
        put_key(sink, "UserMsgLen")?;
        put_uint(sink, self.len)
    }
}

/// A message inside which another one is compressed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compress<'a> {
    /// 0 is LZW; there is no other.
    pub algorithm: u8,
    /// The compressed message.
    pub buf: Blob<'a>,
}

impl<'a> Compress<'a> {
    /// Reads the body.
    ///
    /// # Errors
    ///
    /// Any [`DecodeError`].
    pub fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let mut compress = Self::default();
        read_struct(reader, &["Algo", "Buf"], |index, r| {
            match index {
                0 => compress.algorithm = read_uint(r, "Algo")?,
                _ => compress.buf = read_bytes(r, "Buf")?,
            }
            Ok(())
        })?;
        Ok(compress)
    }

    /// Writes type byte and body.
    ///
    /// # Errors
    ///
    /// [`Full`].
    pub fn encode<S: Sink + ?Sized>(&self, sink: &mut S) -> Result<(), Full> {
        sink.put(&[MessageType::COMPRESS.0])?;
        put_map(sink, 2)?;
        put_key(sink, "Algo")?;
        put_uint(sink, self.algorithm.into())?;
        put_key(sink, "Buf")?;
        put_blob(sink, &self.buf)
    }
}

/// Why a peer refused our request on a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refusal<'a> {
    /// The peer's words.
    pub error: Blob<'a>,
}

impl<'a> Refusal<'a> {
    /// Reads the body.
    ///
    /// # Errors
    ///
    /// Any [`DecodeError`].
    pub fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let mut refusal = Self::default();
        read_struct(reader, &["Error"], |_, r| {
            refusal.error = read_bytes(r, "Error")?;
            Ok(())
        })?;
        Ok(refusal)
    }

    /// Writes type byte and body.
    ///
    /// # Errors
    ///
    /// [`Full`].
    pub fn encode<S: Sink + ?Sized>(&self, sink: &mut S) -> Result<(), Full> {
        sink.put(&[MessageType::ERR.0])?;
        put_map(sink, 1)?;
        put_key(sink, "Error")?;
        put_raw(sink, &self.error)
    }
}

/// A message that may lie in a datagram, alone or as a part of a compound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// Type 0.
    Ping(Ping<'a>),
    /// Type 1.
    IndirectPing(IndirectPing<'a>),
    /// Type 2.
    Ack(Ack<'a>),
    /// Type 3.
    Suspect(Accusation<'a>),
    /// Type 4.
    Alive(Alive<'a>),
    /// Type 5.
    Dead(Accusation<'a>),
    /// Type 8: all bytes after the type.
    User(&'a [u8]),
    /// Type 11.
    Nack(Nack),
}

impl<'a> Message<'a> {
    /// Reads a message with its type byte.
    ///
    /// # Errors
    ///
    /// [`DecodeError`]; [`DecodeError::UnexpectedType`] for what cannot be a part.
    pub fn decode(part: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(part);
        let kind = MessageType(reader.u8("message type")?);
        match kind {
            MessageType::PING => Ping::decode(&mut reader).map(Self::Ping),
            MessageType::INDIRECT_PING => IndirectPing::decode(&mut reader).map(Self::IndirectPing),
            MessageType::ACK => Ack::decode(&mut reader).map(Self::Ack),
            MessageType::SUSPECT => Accusation::decode(&mut reader).map(Self::Suspect),
            MessageType::ALIVE => Alive::decode(&mut reader).map(Self::Alive),
            MessageType::DEAD => Accusation::decode(&mut reader).map(Self::Dead),
            MessageType::USER => Ok(Self::User(reader.rest())),
            MessageType::NACK => Nack::decode(&mut reader).map(Self::Nack),
            MessageType(other) => Err(DecodeError::UnexpectedType(other)),
        }
    }

    /// Writes the message with its type byte.
    ///
    /// # Errors
    ///
    /// [`Full`].
    pub fn encode<S: Sink + ?Sized>(&self, sink: &mut S) -> Result<(), Full> {
        match self {
            Self::Ping(ping) => ping.encode(sink),
            Self::IndirectPing(ping) => ping.encode(sink),
            Self::Ack(ack) => ack.encode(sink),
            Self::Suspect(accusation) => accusation.encode(MessageType::SUSPECT, sink),
            Self::Alive(alive) => alive.encode(sink),
            Self::Dead(accusation) => accusation.encode(MessageType::DEAD, sink),
            Self::User(bytes) => {
                sink.put(&[MessageType::USER.0])?;
                sink.put(bytes)
            }
            Self::Nack(nack) => nack.encode(sink),
        }
    }
}
