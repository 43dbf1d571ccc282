//! Rumormill's header inside a memberlist user message.
//!
//! All integers are big endian.
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 2 | magic `52 4d` |
//! | 2 | 1 | version (high nibble, 1) and kind (low nibble) |
//! | 3 | 1 | flags; DATA: 1 = this copy did not come along a tree; others by kind, unknown ones ignored |
//! | 4 | 2 | channel |
//! | 6 | 4 | DATA: the origin's boot epoch |
//! | 10 | 8 | DATA: sequence number within that boot |
//! | 18 | 1 | DATA: hops that this copy has travelled when it arrives, saturating |
//! | 19 | 2 | DATA: age in milliseconds when it was sent, saturating |
//! | 21 | 1+n | DATA: the origin's name |
//! | 22+n | .. | payload |
//!
//! DIRECT carries its payload from offset 6 on. The kinds 2 to 5, 7 and 8 are the overlay's (see
//! [`control`](super::control)), 6 (LINK) is reserved for it; a node that does not know a kind counts and
//! drops it. The envelope goes only to members that advertise it (see [`tags`](super::tags)), so a
//! user message of a plain peer that happens to begin with the magic is the one thing that it can
//! be mistaken for.

use super::control::Control;
use super::{DecodeError, Full, Reader, Sink};
use crate::identity::{BootEpoch, Channel, NAME_LEN_MAX};

/// First bytes of every envelope.
pub const MAGIC: [u8; 2] = *b"RM";

const VERSION: u8 = 1;
const KIND_DATA: u8 = 0;
const KIND_DIRECT: u8 = 1;

/// DATA: this copy did not come along a tree.
const OFF_TREE: u8 = 1;

/// A rumour as it travels from one member to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Data<'a> {
    /// Which protocol of the application it is for.
    pub channel: Channel,
    /// The boot in which its origin numbered it.
    pub epoch: BootEpoch,
    /// Its number in that boot.
    pub sequence: u64,
    /// Hops travelled on arrival; 1 from the origin itself.
    pub hop: u8,
    /// Milliseconds since its origin sent it first, without the time on the links.
    pub age_ms: u16,
    /// Whether this copy, or the one that its sender had first, answers a pull: it says nothing
    /// about trees.
    pub off_tree: bool,
    /// The origin's name, 1 to 255 bytes.
    pub origin: &'a [u8],
    /// The application's bytes.
    pub payload: &'a [u8],
}

impl Data<'_> {
    /// What the header costs for an origin's name of `name_len` bytes.
    #[must_use]
    pub const fn overhead(name_len: usize) -> usize {
        22 + name_len
    }
}

/// What a user message with our magic holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Envelope<'a> {
    /// A rumour.
    Data(Data<'a>),
    /// A message for this node alone.
    Direct {
        /// Which protocol of the application it is for.
        channel: Channel,
        /// The application's bytes.
        payload: &'a [u8],
    },
    /// Ids and wishes of the overlay.
    Control(Control<'a>),
}

impl<'a> Envelope<'a> {
    /// Bytes of the header of a [`Control`], before its entries.
    pub(crate) const CONTROL_OVERHEAD: usize = MAGIC.len() + 4;

    /// Bytes that the header of a message for one node adds to its payload.
    pub(crate) const DIRECT_OVERHEAD: usize = MAGIC.len() + 4;

    /// Reads the bytes of a user message; `None` if they do not begin with the magic and so are
    /// bare.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] for an envelope that is cut off, unknown, or without an origin.
    pub fn decode(user: &'a [u8]) -> Result<Option<Self>, DecodeError> {
        const WHAT: &str = "envelope";
        let Some(rest) = user.strip_prefix(&MAGIC) else {
            return Ok(None);
        };
        let mut reader = Reader::new(rest);
        let version_and_kind = reader.u8(WHAT)?;
        let flags = reader.u8(WHAT)?;
        let channel = Channel(reader.u16(WHAT)?);
        match (version_and_kind >> 4, version_and_kind & 0x0f) {
            (VERSION, KIND_DATA) => {
                decode_data(channel, flags, &mut reader).map(Self::Data).map(Some)
            }
            (VERSION, KIND_DIRECT) => Ok(Some(Self::Direct { channel, payload: reader.rest() })),
            (VERSION, kind) => match Control::decode(kind, flags, reader.rest())? {
                Some(control) => Ok(Some(Self::Control(control))),
                None => Err(DecodeError::UnknownEnvelope(version_and_kind)),
            },
            _ => Err(DecodeError::UnknownEnvelope(version_and_kind)),
        }
    }

    /// Writes the bytes of a user message, without memberlist's type byte.
    ///
    /// # Errors
    ///
    /// [`Full`], also for an origin's name longer than 255 bytes.
    pub fn encode<S: Sink + ?Sized>(&self, sink: &mut S) -> Result<(), Full> {
        let ((kind, flags), channel) = match self {
            Self::Data(data) => {
                ((KIND_DATA, if data.off_tree { OFF_TREE } else { 0 }), data.channel)
            }
            Self::Direct { channel, .. } => ((KIND_DIRECT, 0), *channel),
            Self::Control(control) => (control.kind_and_flags(), Channel::BARE),
        };
        sink.put(&MAGIC)?;
        sink.put(&[VERSION << 4 | kind, flags])?;
        sink.put(&channel.0.to_be_bytes())?;
        match self {
            Self::Data(data) => encode_data(data, sink),
            Self::Direct { payload, .. } => sink.put(payload),
            Self::Control(control) => sink.put(control.entries()),
        }
    }
}

fn decode_data<'a>(
    channel: Channel,
    flags: u8,
    reader: &mut Reader<'a>,
) -> Result<Data<'a>, DecodeError> {
    const WHAT: &str = "rumour header";
    let epoch = BootEpoch(reader.u32(WHAT)?);
    let sequence = reader.u64(WHAT)?;
    let hop = reader.u8(WHAT)?;
    let age_ms = reader.u16(WHAT)?;
    let name_len = usize::from(reader.u8(WHAT)?);
    let origin = reader.take(name_len, WHAT)?;
    if origin.is_empty() {
        return Err(crate::identity::NameError::Empty.into());
    }
    let (off_tree, payload) = (flags & OFF_TREE != 0, reader.rest());
    Ok(Data { channel, epoch, sequence, hop, age_ms, off_tree, origin, payload })
}

fn encode_data<S: Sink + ?Sized>(data: &Data<'_>, sink: &mut S) -> Result<(), Full> {
    debug_assert!(data.origin.len() <= NAME_LEN_MAX, "names are checked when they are made");
    let name_len = u8::try_from(data.origin.len()).map_err(|_| Full)?;
    sink.put(&data.epoch.0.to_be_bytes())?;
    sink.put(&data.sequence.to_be_bytes())?;
    sink.put(&[data.hop])?;
    sink.put(&data.age_ms.to_be_bytes())?;
    sink.put(&[name_len])?;
    sink.put(data.origin)?;
    sink.put(data.payload)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn data() -> Data<'static> {
        Data {
            channel: Channel(7),
            epoch: BootEpoch(0x0102_0304),
            sequence: 9,
            hop: 2,
            age_ms: 300,
            off_tree: false,
            origin: b"node-a",
            payload: b"hi",
        }
    }

    #[test]
    fn a_rumour_has_these_bytes() {
        let mut bytes = Vec::new();
        Envelope::Data(data()).encode(&mut bytes).unwrap();
        let expected = [
            &b"RM\x10\x00"[..],
            b"\x00\x07",
            b"\x01\x02\x03\x04",
            b"\x00\x00\x00\x00\x00\x00\x00\x09",
            b"\x02",
            b"\x01\x2c",
            b"\x06node-a",
            b"hi",
        ]
        .concat();
        assert_eq!(bytes, expected);
        assert_eq!(bytes.len(), Data::overhead(6) + 2);
        assert_eq!(Envelope::decode(&bytes), Ok(Some(Envelope::Data(data()))));
    }

    #[test]
    fn a_direct_message_has_these_bytes() {
        let direct = Envelope::Direct { channel: Channel(258), payload: b"yo" };
        let mut bytes = Vec::new();
        direct.encode(&mut bytes).unwrap();
        assert_eq!(bytes, b"RM\x11\x00\x01\x02yo");
        assert_eq!(bytes.len(), Envelope::DIRECT_OVERHEAD + 2);
        assert_eq!(Envelope::decode(&bytes), Ok(Some(direct)));
    }

    #[test]
    fn bytes_without_the_magic_are_a_bare_message() {
        assert_eq!(Envelope::decode(b""), Ok(None));
        assert_eq!(Envelope::decode(b"R"), Ok(None));
        assert_eq!(Envelope::decode(b"hello"), Ok(None));
    }

    #[test]
    fn a_header_cut_off_anywhere_is_an_error() {
        let mut bytes = Vec::new();
        Envelope::Data(data()).encode(&mut bytes).unwrap();
        for len in 2..bytes.len() - 2 {
            assert!(Envelope::decode(&bytes[..len]).is_err(), "{len} bytes");
        }
    }

    #[test]
    fn an_unknown_version_or_kind_is_told_apart_from_a_bare_message() {
        for byte in [0x00, 0x16, 0x19, 0x1f, 0x20] {
            let bytes = [b'R', b'M', byte, 0, 0, 0];
            assert_eq!(Envelope::decode(&bytes), Err(DecodeError::UnknownEnvelope(byte)));
        }
    }

    #[test]
    fn a_rumour_without_origin_is_refused() {
        let mut bytes = Vec::new();
        Envelope::Data(Data { origin: b"", ..data() }).encode(&mut bytes).unwrap();
        assert!(matches!(Envelope::decode(&bytes), Err(DecodeError::Name(_))));
    }
}
