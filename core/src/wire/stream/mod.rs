//! The layers of a stream (protocol page §3).
//!
//! ```text
//! dialling side:   [label] frame
//! accepting side:  frame
//! frame   := packed | 0a | length u32 | sealed: packed, with header and label as additional data
//! packed  := message | 09 | {Algo, Buf: message, compressed}
//! message := type u8 | body
//! ```
//!
//! One connection carries one request and at most one response. [`Inbox`] collects what arrives,
//! in pieces of any size, and says when a message is whole. It holds only bytes that really
//! arrived: no claimed length reserves memory.

mod inbox;

use alloc::vec::Vec;

use thiserror::Error;

use super::keyring::{Keyring, NONCE_LEN, SEAL_HEADER, SealError, Version};
use super::lzw::{self, LzwError};
use super::message::{Ack, Compress, MessageType, NodeState, Ping, Refusal, UserHeader};
use super::msgpack::Blob;
use super::{DecodeError, Full, Reader, Sink};

pub use inbox::{Inbox, Progress};

/// Most records in a push/pull, memberlist's `maxPushStateNodes`.
pub const PUSH_PULL_NODES_MAX: u32 = 1 << 20;

/// Most bytes of user state in a push/pull, memberlist's `maxPushStateBytes`.
pub const USER_STATE_MAX: u32 = 20 << 20;

/// Most bytes of a reliable user message, as memberlist's newest version accepts.
pub const USER_MESSAGE_MAX: u32 = 20 << 20;

/// Most bytes of one struct: far above the largest honest record (about 900 bytes), and low
/// enough that an endless one is noticed early.
pub const STRUCT_LEN_MAX: usize = 64 << 10;

/// Most bytes of an encrypted frame after its header, memberlist's limit.
pub const FRAME_LEN_MAX: u32 = 20 << 20;

/// Bytes of an encrypted frame's header: type and length.
const FRAME_HEADER: usize = 5;

/// Why a stream was given up. The peer is to blame and nothing of its message was applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum StreamError {
    /// The label header is cut off or has length 0.
    #[error("the label header is malformed")]
    MalformedLabel,
    /// The label is not this cluster's.
    #[error("the stream carries another cluster's label")]
    LabelMismatch,
    /// The peer encrypts and this node has no key.
    #[error("the stream is encrypted and this node has no key")]
    Encrypted,
    /// The peer does not encrypt and this node demands it.
    #[error("the stream is not encrypted, and this node takes only what is")]
    Plaintext,
    /// The message could not be decrypted.
    #[error("the message could not be decrypted: {0}")]
    Sealed(#[from] SealError),
    /// The message could not be decompressed.
    #[error("the message could not be decompressed: {0}")]
    Compressed(#[from] LzwError),
    /// A message could not be decoded.
    #[error("the message could not be decoded: {0}")]
    Message(#[from] DecodeError),
    /// The stream ended inside a message.
    #[error("the stream ended inside a message")]
    Unfinished,
    /// More bytes than one message may have.
    #[error("the message exceeds {max} bytes")]
    MessageTooLong {
        /// The limit in bytes.
        max: usize,
    },
    /// The buffers of all streams together are full.
    #[error("the buffers of all streams together exceed {max} bytes")]
    BuffersFull {
        /// The limit in bytes.
        max: usize,
    },
    /// A whole message of a kind that does not belong here.
    #[error("message type {0} does not answer the request")]
    UnexpectedAnswer(u8),
    /// The peer refused the request and said so.
    #[error("the peer refused the request")]
    Refused,
    /// A member of the exchange speaks a protocol that another one does not understand.
    #[error("the protocol versions of the two clusters do not fit together")]
    IncompatibleVersions,
    /// The embedder named a stream that is not open; nothing happened.
    #[error("no such stream")]
    UnknownStream,
}

/// A whole message off a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamMessage<'a> {
    /// Fallback probe.
    Ping(Ping<'a>),
    /// Its answer.
    Ack(Ack<'a>),
    /// One half of an exchange of state.
    PushPull(PushPull<'a>),
    /// A reliable user message.
    User(&'a [u8]),
    /// The peer refused.
    Refusal(Refusal<'a>),
}

/// One half of an exchange of state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PushPull<'a> {
    /// Whether the initiator is joining.
    pub join: bool,
    records: &'a [u8],
    count: u32,
    /// The application's state.
    pub user_state: &'a [u8],
}

impl<'a> PushPull<'a> {
    /// The members as the sender sees them.
    pub fn nodes(&self) -> impl Iterator<Item = NodeState<'a>> + Clone + use<'a> {
        let mut reader = Reader::new(self.records);
        // The inbox decoded every record once before it called the message whole.
        (0..self.count).map_while(move |_| NodeState::decode(&mut reader).ok())
    }

    /// How many members it lists.
    #[must_use]
    pub const fn node_count(&self) -> u32 {
        self.count
    }
}

/// The layers around a message that is sent.
#[derive(Clone, Copy, Debug)]
pub struct Layers<'a> {
    /// Whether to compress it, which memberlist does even if it makes the message longer.
    pub compress: bool,
    /// How to encrypt it: key, layout, a nonce that this key has never seen.
    pub seal: Option<(&'a Keyring, Version, [u8; NONCE_LEN])>,
    /// The cluster's name: part of what is authenticated. The dialling side sends it before the
    /// frame ([`put_label`](super::packet::put_label)).
    pub label: &'a [u8],
}

/// Puts its layers around a message.
///
/// # Panics
///
/// If it is to be encrypted and there is no key, or if it is longer than 4 GiB.
#[must_use]
pub fn frame(message: Vec<u8>, layers: Layers<'_>) -> Vec<u8> {
    let packed = if layers.compress { packed(message) } else { message };
    match layers.seal {
        None => packed,
        Some((keyring, version, nonce)) => sealed(&packed, layers.label, keyring, version, nonce),
    }
}

fn packed(message: Vec<u8>) -> Vec<u8> {
    let (mut compressed, mut packed) = (Vec::new(), Vec::new());
    lzw::compress(&message, &mut compressed);
    if compressed.is_empty() {
        return message;
    }
    let compress = Compress { algorithm: lzw::ALGORITHM, buf: Blob::Borrowed(&compressed) };
    let written = compress.encode(&mut packed);
    debug_assert!(written.is_ok(), "a vector is never full");
    packed
}

fn sealed(
    message: &[u8],
    label: &[u8],
    keyring: &Keyring,
    version: Version,
    nonce: [u8; NONCE_LEN],
) -> Vec<u8> {
    let len = version.sealed_len(message.len());
    let mut header = [MessageType::ENCRYPT.0; FRAME_HEADER];
    header[1..].copy_from_slice(&u32::try_from(len).expect("shorter than 4 GiB").to_be_bytes());
    let mut frame = Vec::with_capacity(FRAME_HEADER + len);
    frame.extend_from_slice(&header);
    frame.extend_from_slice(&[0; SEAL_HEADER]);
    frame.extend_from_slice(message);
    frame.resize(FRAME_HEADER + len, 0);
    let aad = [&header, label].concat();
    let sealed = keyring.seal(version, nonce, &aad, &mut frame[FRAME_HEADER..], message.len());
    assert_eq!(sealed, Some(len), "a ring that seals has a key");
    frame
}

/// Writes a reliable user message.
///
/// # Errors
///
/// [`Full`], also for 4 GiB and more.
pub fn put_user_message<S: Sink + ?Sized>(sink: &mut S, payload: &[u8]) -> Result<(), Full> {
    UserHeader { len: u32::try_from(payload.len()).map_err(|_| Full)? }.encode(sink)?;
    sink.put(payload)
}
