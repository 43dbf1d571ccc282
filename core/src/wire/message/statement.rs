//! What is said about members: alive, suspect, dead.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{DecodeError, Full, MessageType, Reader, Sink, put_key};
use crate::identity::Incarnation;
use crate::wire::msgpack::{
    Blob, put_blob, put_map, put_raw, put_uint, read_bytes, read_struct, read_uint,
};

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
