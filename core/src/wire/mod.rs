//! Bytes to values and back: memberlist's packets and streams, and our envelope inside its user
//! messages.
//!
//! Read the protocol page §1-3 and its appendix A first. Everything here is total (any input gives
//! a value or a [`DecodeError`]), bounded (no allocation and no loop follows a length that a peer
//! merely claims) and without policy: what to believe is decided in `member`, what to answer in
//! `node`.
//!
//! | file | says |
//! |---|---|
//! | [`msgpack`] | the subset of MessagePack that memberlist's structs use |
//! | [`message`] | the structs: ping, ack, alive, suspect, dead, push/pull records, … |
//! | [`keyring`] | keys, and the encrypted layer of datagrams and streams |
//! | [`lzw`] | the compressed layer of both |
//! | [`packet`] | layers of a datagram: label, encryption, checksum, compression, compound |
//! | [`stream`] | layers of a stream: label, encryption, compression; push/pull, reliable message |
//! | [`envelope`] | Rumormill's header inside a user message |
//! | [`control`] | what overlays tell about rumours inside that header: ids, links |
//! | [`sections`] | the application's state in a push/pull, per channel |
//! | [`serf`] | as much of Serf's messages as a goodbye needs |
//! | [`tags`] | the tag in a member's meta that advertises the envelope |

pub mod control;
pub mod envelope;
pub mod keyring;
pub mod lzw;
pub mod message;
pub mod msgpack;
pub mod packet;
mod reader;
pub mod sections;
pub mod serf;
pub mod stream;
pub mod tags;
mod writer;

pub use reader::Reader;
pub use writer::{Full, Sink, SliceWriter, encoded_len};

use thiserror::Error;

/// Protocol versions that exist: 1 (encryption v0) to 5 (checksums). We understand all.
pub const PROTOCOL_VERSIONS: (usize, usize) = (1, 5);

/// Peers whose highest version is at least this send a nack when asked.
pub const NACK_SINCE: u8 = 4;

/// The protocol version since which messages name ports; version 1 uses one for all.
pub const PORTS_SINCE: u8 = 2;

/// The protocol version since which peers answer probes over streams.
pub const STREAM_PING_SINCE: u8 = 3;

/// Peers whose highest version is at least this understand the checksum layer.
pub const CRC_SINCE: u8 = 5;

/// Longest application meta in bytes, memberlist's `MetaMaxSize`. A longer one in an alive
/// message could make it unsendable for good, so such a message is refused.
pub const META_LEN_MAX: usize = 512;

/// Why bytes could not be decoded. The culprit is whoever sent them; no state was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The input ended inside a value.
    #[error("input ends inside {what}")]
    Truncated {
        /// What was being read.
        what: &'static str,
    },
    /// A value of another kind than the field takes.
    #[error("{what} cannot be read from MessagePack type byte {found:#04x}")]
    WrongKind {
        /// What was being read.
        what: &'static str,
        /// The type byte found.
        found: u8,
    },
    /// An integer that does not fit its field: negative or too large.
    #[error("{what} is out of range")]
    OutOfRange {
        /// What was being read.
        what: &'static str,
    },
    /// A length or count above the limit for it.
    #[error("{what} claims {claimed}, at most {max} is allowed")]
    TooLarge {
        /// What was being read.
        what: &'static str,
        /// The length or count claimed.
        claimed: u64,
        /// The limit.
        max: u64,
    },
    /// The whole message is nil, which memberlist reads as all zeroes and we refuse.
    #[error("the message is nil")]
    Nil,
    /// A message type that has no place here.
    #[error("message type {0} has no place here")]
    UnexpectedType(u8),
    /// Bytes follow where the message must end.
    #[error("{0} bytes follow the end of the message")]
    Trailing(usize),
    /// An envelope of a version or kind that this node does not know.
    #[error("envelope version and kind {0:#04x} are unknown")]
    UnknownEnvelope(u8),
    /// A name that no node can have.
    #[error(transparent)]
    Name(#[from] crate::identity::NameError),
}
