//! The layers of a stream (protocol page §3).
//!
//! ```text
//! dialling side:   [label] frame
//! accepting side:  frame
//! frame := type u8 | body, plain; encrypted (10) and compressed (9) frames are refused until
//!          this node understands them
//! ```
//!
//! One connection carries one request and at most one response. [`Inbox`] collects what arrives,
//! in pieces of any size, and says when a message is whole. It holds only bytes that really
//! arrived: no claimed length reserves memory.

use alloc::vec::Vec;

use thiserror::Error;

use super::message::{Ack, MessageType, NodeState, Ping, PushPullHeader, Refusal, UserHeader};
use super::{DecodeError, Full, Reader, Sink, packet};

/// Most records in a push/pull, memberlist's `maxPushStateNodes`.
pub const PUSH_PULL_NODES_MAX: u32 = 1 << 20;

/// Most bytes of user state in a push/pull, memberlist's `maxPushStateBytes`.
pub const USER_STATE_MAX: u32 = 20 << 20;

/// Most bytes of a reliable user message, as memberlist's newest version accepts.
pub const USER_MESSAGE_MAX: u32 = 20 << 20;

/// Most bytes of one struct: far above the largest honest record (about 900 bytes), and low
/// enough that an endless one is noticed early.
pub const STRUCT_LEN_MAX: usize = 64 << 10;

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
    /// The peer compresses, which this node does not understand.
    #[error("the stream is compressed, which this node does not understand")]
    Compressed,
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

/// Whether a message is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Bytes are missing.
    Incomplete,
    /// [`Inbox::message`] will give it.
    Complete,
}

/// What the inbox waits for next, and where in its bytes that begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Label,
    Kind,
    Struct(MessageType),
    Records { header: PushPullHeader, records: usize, left: u32 },
    Tail { kind: MessageType, header: PushPullHeader, records: usize, tail: usize },
    Done(Done),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Done {
    Struct { kind: MessageType, body: usize },
    PushPull { header: PushPullHeader, records: usize, tail: usize },
    User { tail: usize, len: usize },
}

/// Collects one message from a stream.
#[derive(Debug)]
pub struct Inbox {
    bytes: Vec<u8>,
    /// Bytes before this are decoded.
    at: usize,
    stage: Stage,
    bytes_max: usize,
}

impl Inbox {
    /// For the accepting side: a label may precede the request.
    #[must_use]
    pub const fn for_request(bytes_max: usize) -> Self {
        Self { bytes: Vec::new(), at: 0, stage: Stage::Label, bytes_max }
    }

    /// For the dialling side: a response has no label.
    #[must_use]
    pub const fn for_response(bytes_max: usize) -> Self {
        Self { bytes: Vec::new(), at: 0, stage: Stage::Kind, bytes_max }
    }

    /// How many bytes it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing has arrived yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Takes the next piece. Bytes after a whole message are ignored: a connection carries one.
    ///
    /// # Errors
    ///
    /// [`StreamError`] as soon as the message cannot become a valid one.
    pub fn push(&mut self, piece: &[u8], label: &[u8]) -> Result<Progress, StreamError> {
        if matches!(self.stage, Stage::Done(_)) {
            return Ok(Progress::Complete);
        }
        // What lies beyond the limit may lie behind the message, and then does not matter.
        let room = self.bytes_max.saturating_sub(self.bytes.len());
        let (piece, beyond) = piece.split_at(piece.len().min(room));
        self.bytes.extend_from_slice(piece);
        while self.step(label)? {}
        match self.stage {
            Stage::Done(_) => Ok(Progress::Complete),
            _ if beyond.is_empty() => Ok(Progress::Incomplete),
            _ => Err(StreamError::MessageTooLong { max: self.bytes_max }),
        }
    }

    /// The message, once it is whole.
    #[must_use]
    pub fn message(&self) -> Option<StreamMessage<'_>> {
        let Stage::Done(done) = self.stage else {
            return None;
        };
        match done {
            Done::Struct { kind, body } => self.small_message(kind, body),
            Done::PushPull { header, records, tail } => Some(StreamMessage::PushPull(PushPull {
                join: header.join,
                records: &self.bytes[records..tail],
                count: header.nodes,
                user_state: &self.bytes[tail..tail + header.user_state_len as usize],
            })),
            Done::User { tail, len } => Some(StreamMessage::User(&self.bytes[tail..tail + len])),
        }
    }

    fn small_message(&self, kind: MessageType, body: usize) -> Option<StreamMessage<'_>> {
        let mut reader = Reader::new(&self.bytes[body..]);
        match kind {
            MessageType::PING => Ping::decode(&mut reader).map(StreamMessage::Ping).ok(),
            MessageType::ACK => Ack::decode(&mut reader).map(StreamMessage::Ack).ok(),
            _ => Refusal::decode(&mut reader).map(StreamMessage::Refusal).ok(),
        }
    }

    /// Decodes the next piece of structure; `false` if it needs more bytes or is done.
    fn step(&mut self, label: &[u8]) -> Result<bool, StreamError> {
        match self.stage {
            Stage::Label => self.step_label(label),
            Stage::Kind => self.step_kind(),
            Stage::Struct(kind) => self.step_struct(kind),
            Stage::Records { header, records, left } => self.step_record(header, records, left),
            Stage::Tail { kind, header, records, tail } => {
                let len = header.user_state_len as usize;
                if self.bytes.len() - tail < len {
                    return Ok(false);
                }
                self.stage = Stage::Done(if kind == MessageType::USER {
                    Done::User { tail, len }
                } else {
                    Done::PushPull { header, records, tail }
                });
                Ok(false)
            }
            Stage::Done(_) => Ok(false),
        }
    }

    fn step_label(&mut self, label: &[u8]) -> Result<bool, StreamError> {
        let (found, rest) = match packet::split_label(&self.bytes) {
            Ok(split) if !self.bytes.is_empty() => split,
            Err(_) if self.bytes.get(1) == Some(&0) => return Err(StreamError::MalformedLabel),
            Ok(_) | Err(_) => return Ok(false),
        };
        if found != label {
            return Err(StreamError::LabelMismatch);
        }
        self.at = self.bytes.len() - rest.len();
        self.stage = Stage::Kind;
        Ok(true)
    }

    fn step_kind(&mut self) -> Result<bool, StreamError> {
        let Some(&kind) = self.bytes.get(self.at) else {
            return Ok(false);
        };
        self.at += 1;
        self.stage = match MessageType(kind) {
            MessageType::ENCRYPT => return Err(StreamError::Encrypted),
            MessageType::COMPRESS => return Err(StreamError::Compressed),
            kind @ (MessageType::PING
            | MessageType::ACK
            | MessageType::PUSH_PULL
            | MessageType::USER
            | MessageType::ERR) => Stage::Struct(kind),
            MessageType(other) => return Err(DecodeError::UnexpectedType(other).into()),
        };
        Ok(true)
    }

    fn step_struct(&mut self, kind: MessageType) -> Result<bool, StreamError> {
        let body = self.at;
        match kind {
            MessageType::PUSH_PULL => {
                let Some(header) = self.try_decode(PushPullHeader::decode)? else {
                    return Ok(false);
                };
                limit("number of members", header.nodes, PUSH_PULL_NODES_MAX)?;
                limit("user state", header.user_state_len, USER_STATE_MAX)?;
                self.stage = Stage::Records { header, records: self.at, left: header.nodes };
            }
            MessageType::USER => {
                let Some(UserHeader { len }) = self.try_decode(UserHeader::decode)? else {
                    return Ok(false);
                };
                limit("user message", len, USER_MESSAGE_MAX)?;
                let header = PushPullHeader { user_state_len: len, ..PushPullHeader::default() };
                self.stage = Stage::Tail { kind, header, records: self.at, tail: self.at };
            }
            MessageType::PING => {
                return self.finish_struct(kind, body, |r| Ping::decode(r).map(drop));
            }
            MessageType::ACK => {
                return self.finish_struct(kind, body, |r| Ack::decode(r).map(drop));
            }
            _ => return self.finish_struct(kind, body, |r| Refusal::decode(r).map(drop)),
        }
        Ok(true)
    }

    fn finish_struct(
        &mut self,
        kind: MessageType,
        body: usize,
        decode: impl FnOnce(&mut Reader<'_>) -> Result<(), DecodeError>,
    ) -> Result<bool, StreamError> {
        if self.try_decode(decode)?.is_some() {
            self.stage = Stage::Done(Done::Struct { kind, body });
        }
        Ok(false)
    }

    fn step_record(
        &mut self,
        header: PushPullHeader,
        records: usize,
        left: u32,
    ) -> Result<bool, StreamError> {
        if left == 0 {
            let kind = MessageType::PUSH_PULL;
            self.stage = Stage::Tail { kind, header, records, tail: self.at };
            return Ok(true);
        }
        if self.try_decode(|r| NodeState::decode(r).map(drop))?.is_none() {
            return Ok(false);
        }
        self.stage = Stage::Records { header, records, left: left - 1 };
        Ok(true)
    }

    /// Decodes at the current position; `None` if the input ends inside and may go on.
    fn try_decode<T>(
        &mut self,
        decode: impl FnOnce(&mut Reader<'_>) -> Result<T, DecodeError>,
    ) -> Result<Option<T>, StreamError> {
        let arrived = self.bytes.len() - self.at;
        // No more than a struct may have, so that the verdict does not depend on how much of what
        // follows it has arrived.
        let input = &self.bytes[self.at..][..arrived.min(STRUCT_LEN_MAX)];
        let mut reader = Reader::new(input);
        match decode(&mut reader) {
            Ok(value) => {
                self.at += input.len() - reader.len();
                Ok(Some(value))
            }
            Err(DecodeError::Truncated { .. }) if arrived <= STRUCT_LEN_MAX => Ok(None),
            Err(DecodeError::Truncated { what }) => {
                let max = STRUCT_LEN_MAX as u64;
                Err(DecodeError::TooLarge { what, claimed: max + 1, max }.into())
            }
            Err(error) => Err(error.into()),
        }
    }
}

fn limit(what: &'static str, claimed: u32, max: u32) -> Result<(), DecodeError> {
    if claimed > max {
        return Err(DecodeError::TooLarge { what, claimed: claimed.into(), max: max.into() });
    }
    Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::SeqNo;
    use alloc::vec;

    const MAX: usize = 1 << 20;

    fn push_pull() -> Vec<u8> {
        let mut bytes = Vec::new();
        PushPullHeader { nodes: 2, user_state_len: 5, join: true }.encode(&mut bytes).unwrap();
        for name in [&b"node-a"[..], b"node-b"] {
            let mut node = NodeState::default();
            node.alive.node = name.into();
            node.encode(&mut bytes).unwrap();
        }
        bytes.extend_from_slice(b"state");
        bytes
    }

    fn all_at_once(bytes: &[u8], label: &[u8]) -> Result<Progress, StreamError> {
        Inbox::for_request(MAX).push(bytes, label)
    }

    #[test]
    fn a_push_pull_may_arrive_byte_by_byte() {
        let bytes = push_pull();
        let mut inbox = Inbox::for_request(MAX);
        for &byte in &bytes[..bytes.len() - 1] {
            assert_eq!(inbox.push(&[byte], b""), Ok(Progress::Incomplete));
            assert_eq!(inbox.message(), None);
        }
        assert_eq!(inbox.push(&bytes[bytes.len() - 1..], b""), Ok(Progress::Complete));
        let Some(StreamMessage::PushPull(exchange)) = inbox.message() else { panic!() };
        assert!(exchange.join);
        assert_eq!(exchange.user_state, b"state");
        let names: Vec<_> = exchange.nodes().map(|node| node.alive.node.to_vec()).collect();
        assert_eq!(names, [b"node-a", b"node-b"]);
    }

    #[test]
    fn a_request_is_checked_for_its_label_and_a_response_has_none() {
        let mut labelled = b"\xf4\x03foo".to_vec();
        labelled.extend_from_slice(&push_pull());
        assert_eq!(all_at_once(&labelled, b"foo"), Ok(Progress::Complete));
        assert_eq!(all_at_once(&labelled, b"bar"), Err(StreamError::LabelMismatch));
        assert_eq!(all_at_once(&push_pull(), b"foo"), Err(StreamError::LabelMismatch));
        assert_eq!(all_at_once(b"\xf4\x00", b"foo"), Err(StreamError::MalformedLabel));
        assert_eq!(all_at_once(b"\xf4\x03fo", b"foo"), Ok(Progress::Incomplete));
        assert_eq!(all_at_once(b"", b"foo"), Ok(Progress::Incomplete));
        let mut response = Inbox::for_response(MAX);
        assert_eq!(response.push(&push_pull(), b"foo"), Ok(Progress::Complete));
    }

    #[test]
    fn small_messages_are_whole_when_their_struct_is() {
        let mut bytes = Vec::new();
        let ping = Ping { seq: SeqNo(7), ..Ping::default() };
        ping.encode(&mut bytes).unwrap();
        let mut inbox = Inbox::for_request(MAX);
        assert_eq!(inbox.push(&bytes, b""), Ok(Progress::Complete));
        let Some(StreamMessage::Ping(read)) = inbox.message() else { panic!() };
        assert_eq!(read.seq, SeqNo(7));
    }

    #[test]
    fn a_reliable_message_may_be_empty_or_longer_than_a_piece() {
        for len in [0, 1, 70_000] {
            let payload = vec![b'x'; len];
            let mut bytes = Vec::new();
            put_user_message(&mut bytes, &payload).unwrap();
            let mut inbox = Inbox::for_request(MAX);
            for piece in bytes.chunks(1_000) {
                inbox.push(piece, b"").unwrap();
            }
            assert_eq!(inbox.message(), Some(StreamMessage::User(&payload)));
        }
    }

    #[test]
    fn claims_beyond_the_limits_are_refused_before_the_bytes_arrive() {
        let header = |nodes, user_state_len| {
            let mut bytes = Vec::new();
            PushPullHeader { nodes, user_state_len, join: false }.encode(&mut bytes).unwrap();
            all_at_once(&bytes, b"")
        };
        assert!(header(PUSH_PULL_NODES_MAX, 0).is_ok());
        assert!(header(PUSH_PULL_NODES_MAX + 1, 0).is_err());
        assert!(header(1, USER_STATE_MAX).is_ok());
        assert!(header(1, USER_STATE_MAX + 1).is_err());
        let user = |len| {
            let mut bytes = Vec::new();
            UserHeader { len }.encode(&mut bytes).unwrap();
            all_at_once(&bytes, b"")
        };
        assert!(user(USER_MESSAGE_MAX).is_ok());
        assert!(user(USER_MESSAGE_MAX + 1).is_err());
    }

    #[test]
    fn a_message_and_a_struct_have_a_longest_length() {
        let mut inbox = Inbox::for_request(10);
        assert_eq!(inbox.push(&push_pull()[..10], b""), Ok(Progress::Incomplete));
        assert_eq!(inbox.push(b"x", b""), Err(StreamError::MessageTooLong { max: 10 }));
        // A ping whose node name claims 4 GiB.
        let mut inbox = Inbox::for_request(MAX);
        let mut endless = b"\x00\x81\xa4Node\xdb\xff\xff\xff\xff".to_vec();
        endless.resize(STRUCT_LEN_MAX + 1, b'x');
        assert_eq!(inbox.push(&endless, b""), Ok(Progress::Incomplete));
        assert!(matches!(
            inbox.push(b"x", b""),
            Err(StreamError::Message(DecodeError::TooLarge { .. }))
        ));
    }

    /// What a push of all pieces ends with.
    fn in_pieces(bytes: &[u8], piece: usize, bytes_max: usize) -> Result<Progress, StreamError> {
        let mut inbox = Inbox::for_request(bytes_max);
        bytes.chunks(piece).try_fold(Progress::Incomplete, |_, piece| inbox.push(piece, b""))
    }

    #[test]
    fn the_limits_hold_wherever_the_stream_is_cut() {
        let mut ping = Vec::new();
        let name = vec![b'x'; STRUCT_LEN_MAX];
        Ping { node: name[..].into(), ..Ping::default() }.encode(&mut ping).unwrap();
        let refused = in_pieces(&ping, 1_000, MAX);
        assert!(matches!(refused, Err(StreamError::Message(DecodeError::TooLarge { .. }))));
        for piece in [7_000, STRUCT_LEN_MAX, ping.len()] {
            assert_eq!(in_pieces(&ping, piece, MAX), refused, "pieces of {piece} bytes");
        }
        let (message, behind) = (push_pull(), [b'x'; 10]);
        for (bytes_max, result) in [
            (message.len(), Ok(Progress::Complete)),
            (message.len() - 1, Err(StreamError::MessageTooLong { max: message.len() - 1 })),
        ] {
            for piece in [1, 100, 1_000] {
                let bytes = [&message[..], &behind].concat();
                assert_eq!(in_pieces(&bytes, piece, bytes_max), result, "pieces of {piece} bytes");
            }
        }
    }

    #[test]
    fn frames_that_are_not_understood_are_named() {
        assert_eq!(all_at_once(b"\x0a", b""), Err(StreamError::Encrypted));
        assert_eq!(all_at_once(b"\x09", b""), Err(StreamError::Compressed));
        let error = StreamError::Message(DecodeError::UnexpectedType(3));
        assert_eq!(all_at_once(b"\x03", b""), Err(error));
    }
}
