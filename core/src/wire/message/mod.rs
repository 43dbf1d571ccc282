//! memberlist's messages (protocol page §1.1, §2.4; vectors of appendix A in the tests).
//!
//! A message borrows from the packet it was decoded from. Field names are ours; the keys on the
//! wire are Go's. `decode` reads the body after the type byte and ignores what follows it, as Go
//! does in packets; `encode` writes the type byte too where a message has one.

mod exchange;
mod probe;
mod statement;

use super::msgpack::put_raw;
use super::{DecodeError, Full, Reader, Sink};

pub use exchange::{Compress, NodeState, PushPullHeader, Refusal, UserHeader, WireState};
pub use probe::{Ack, IndirectPing, Nack, Ping, Source};
pub use statement::{Accusation, Alive, NodeAddr, Versions};

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

fn put_key<S: Sink + ?Sized>(sink: &mut S, key: &str) -> Result<(), Full> {
    put_raw(sink, key.as_bytes())
}
