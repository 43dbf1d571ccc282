//! Probes and their answers.

use core::net::SocketAddr;

use super::{DecodeError, Full, MessageType, NodeAddr, Reader, Sink, put_key};
use crate::identity::SeqNo;
use crate::wire::msgpack::{
    Blob, put_blob, put_bool, put_map, put_raw, put_uint, read_bool, read_bytes, read_struct,
    read_uint,
};

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
