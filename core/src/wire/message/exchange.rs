//! What streams carry: the records of a push/pull, reliable messages, refusals; and the compressed
//! message, which packets carry too.

use super::{Alive, DecodeError, Full, MessageType, Reader, Sink, put_key};
use crate::identity::Incarnation;
use crate::wire::msgpack::{
    Blob, put_blob, put_bool, put_map, put_raw, put_uint, read_bool, read_bytes, read_raw_len,
    read_struct, read_uint,
};

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

    /// Reads the body as its sender writes it, up to the compressed bytes, and says how many they
    /// are; `None` if it has another form. So a long message need not be there to be understood.
    ///
    /// # Errors
    ///
    /// Any [`DecodeError`].
    pub(crate) fn decode_head(reader: &mut Reader<'a>) -> Result<Option<(u8, usize)>, DecodeError> {
        const FIELDS: u8 = 0x82;
        if reader.u8("compressed message")? != FIELDS || *read_bytes(reader, "key")? != *b"Algo" {
            return Ok(None);
        }
        let algorithm = read_uint(reader, "Algo")?;
        if *read_bytes(reader, "key")? != *b"Buf" {
            return Ok(None);
        }
        Ok(read_raw_len(reader, "Buf")?.map(|len| (algorithm, len)))
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
