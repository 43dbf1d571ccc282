//! What has arrived of a message.

use alloc::vec::Vec;

use super::{
    FRAME_HEADER, FRAME_LEN_MAX, PUSH_PULL_NODES_MAX, PushPull, STRUCT_LEN_MAX, StreamError,
    StreamMessage, USER_MESSAGE_MAX, USER_STATE_MAX,
};
use crate::wire::keyring::SEAL_HEADER;
use crate::wire::lzw::{self, PACKET_UNPACKED_MAX, STREAM_EXPANSION_MAX};
use crate::wire::message::{
    Ack, Compress, MessageType, NodeState, Ping, PushPullHeader, Refusal, UserHeader,
};
use crate::wire::packet::{self, Protection};
use crate::wire::{DecodeError, Reader};

/// Longest beginning of a compressed message before its compressed bytes, as peers write it.
const PACKED_HEAD_MAX: usize = 32;

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
    /// The length of an encrypted frame, and the frame.
    Frame,
    /// What a compressed message begins with.
    PackedHead,
    /// Compressed bytes.
    Packed {
        algorithm: u8,
        start: usize,
        len: usize,
    },
    Struct(MessageType),
    Records {
        header: PushPullHeader,
        records: usize,
        left: u32,
    },
    Tail {
        kind: MessageType,
        header: PushPullHeader,
        records: usize,
        tail: usize,
    },
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
    /// Which layers have been taken off. What lay in one is there as a whole.
    decrypted: bool,
    unpacked: bool,
    bytes_max: usize,
}

impl Inbox {
    /// For the accepting side: a label may precede the request.
    #[must_use]
    pub const fn for_request(bytes_max: usize) -> Self {
        Self::at_stage(Stage::Label, bytes_max)
    }

    /// For the dialling side: a response has no label.
    #[must_use]
    pub const fn for_response(bytes_max: usize) -> Self {
        Self::at_stage(Stage::Kind, bytes_max)
    }

    const fn at_stage(stage: Stage, bytes_max: usize) -> Self {
        Self { bytes: Vec::new(), at: 0, stage, decrypted: false, unpacked: false, bytes_max }
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
    pub fn push(
        &mut self,
        piece: &[u8],
        protection: Protection<'_>,
    ) -> Result<Progress, StreamError> {
        if matches!(self.stage, Stage::Done(_)) {
            return Ok(Progress::Complete);
        }
        // What lies beyond the limit may lie behind the message, and then does not matter.
        let room = self.bytes_max.saturating_sub(self.bytes.len());
        let (piece, beyond) = piece.split_at(piece.len().min(room));
        self.bytes.extend_from_slice(piece);
        while self.step(protection)? {}
        match self.stage {
            Stage::Done(_) => Ok(Progress::Complete),
            _ if self.decrypted || self.unpacked => Err(StreamError::Unfinished),
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
    fn step(&mut self, protection: Protection<'_>) -> Result<bool, StreamError> {
        match self.stage {
            Stage::Label => self.step_label(protection.label),
            Stage::Kind => self.step_kind(protection),
            Stage::Frame => self.step_frame(protection),
            Stage::PackedHead => self.step_packed_head(),
            Stage::Packed { algorithm, start, len } => self.step_packed(algorithm, start, len),
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

    fn step_kind(&mut self, protection: Protection<'_>) -> Result<bool, StreamError> {
        let Some(&kind) = self.bytes.get(self.at) else {
            return Ok(false);
        };
        let kind = MessageType(kind);
        let is_outermost = !self.decrypted && !self.unpacked;
        let demands_key = protection.verify_incoming && !protection.keyring.is_empty();
        self.stage = match kind {
            MessageType::ENCRYPT if is_outermost && protection.keyring.is_empty() => {
                return Err(StreamError::Encrypted);
            }
            MessageType::ENCRYPT if is_outermost => Stage::Frame,
            _ if is_outermost && demands_key => return Err(StreamError::Plaintext),
            MessageType::COMPRESS if !self.unpacked => Stage::PackedHead,
            MessageType::PING
            | MessageType::ACK
            | MessageType::PUSH_PULL
            | MessageType::USER
            | MessageType::ERR => Stage::Struct(kind),
            MessageType(other) => return Err(DecodeError::UnexpectedType(other).into()),
        };
        self.at += 1;
        Ok(true)
    }

    fn step_frame(&mut self, protection: Protection<'_>) -> Result<bool, StreamError> {
        let Some(&header) = self.bytes[self.at - 1..].first_chunk::<FRAME_HEADER>() else {
            return Ok(false);
        };
        let [_, len @ ..] = header;
        let len = u32::from_be_bytes(len);
        limit("encrypted frame", len, FRAME_LEN_MAX)?;
        let start = self.at - 1 + FRAME_HEADER;
        let Some(sealed) = self.bytes.get_mut(start..start + len as usize) else {
            return Ok(false);
        };
        let aad = [&header, protection.label].concat();
        let text_len = protection.keyring.open(&aad, sealed)?.len();
        let text = start + SEAL_HEADER..start + SEAL_HEADER + text_len;
        self.bytes.copy_within(text, 0);
        self.bytes.truncate(text_len);
        (self.at, self.stage, self.decrypted) = (0, Stage::Kind, true);
        Ok(true)
    }

    fn step_packed_head(&mut self) -> Result<bool, StreamError> {
        let arrived = &self.bytes[self.at..];
        let mut reader = Reader::new(arrived);
        match Compress::decode_head(&mut reader) {
            Ok(Some((algorithm, len))) => {
                let start = self.bytes.len() - reader.len();
                self.stage = Stage::Packed { algorithm, start, len };
                return Ok(true);
            }
            Err(DecodeError::Truncated { .. }) if arrived.len() < PACKED_HEAD_MAX => {
                return Ok(false);
            }
            Ok(None) | Err(_) => {}
        }
        // Keys in another order, or more of them: nobody sends that, and it is understood while it
        // is no longer than any other struct.
        let mut unpacked = Vec::new();
        let bytes_max = self.bytes_max;
        let found = self.try_decode(|reader| {
            let compress = Compress::decode(reader)?;
            let max = unpacked_max(compress.buf.len(), bytes_max);
            Ok(lzw::decompress(compress.algorithm, &compress.buf, max, &mut unpacked))
        })?;
        let Some(result) = found else { return Ok(false) };
        result?;
        self.replace_by(unpacked);
        Ok(true)
    }

    fn step_packed(
        &mut self,
        algorithm: u8,
        start: usize,
        len: usize,
    ) -> Result<bool, StreamError> {
        let Some(compressed) = self.bytes[start..].get(..len) else {
            return Ok(false);
        };
        let mut unpacked = Vec::new();
        let max = unpacked_max(len, self.bytes_max);
        lzw::decompress(algorithm, compressed, max, &mut unpacked)?;
        self.replace_by(unpacked);
        Ok(true)
    }

    fn replace_by(&mut self, unpacked: Vec<u8>) {
        self.bytes = unpacked;
        (self.at, self.stage, self.unpacked) = (0, Stage::Kind, true);
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

/// Most bytes that so many compressed ones may become.
fn unpacked_max(len: usize, bytes_max: usize) -> usize {
    len.saturating_mul(STREAM_EXPANSION_MAX).max(PACKET_UNPACKED_MAX).min(bytes_max)
}

fn limit(what: &'static str, claimed: u32, max: u32) -> Result<(), DecodeError> {
    if claimed > max {
        return Err(DecodeError::TooLarge { what, claimed: claimed.into(), max: max.into() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::SeqNo;
    use crate::wire::keyring::{Keyring, NONCE_LEN, SealError, Version};
    use crate::wire::lzw::LzwError;
    use crate::wire::stream::{Layers, frame, packed, put_user_message, sealed};
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
        Inbox::for_request(MAX).push(bytes, Protection::label(label))
    }

    #[test]
    fn a_push_pull_may_arrive_byte_by_byte() {
        let bytes = push_pull();
        let mut inbox = Inbox::for_request(MAX);
        for &byte in &bytes[..bytes.len() - 1] {
            assert_eq!(inbox.push(&[byte], Protection::label(b"")), Ok(Progress::Incomplete));
            assert_eq!(inbox.message(), None);
        }
        assert_eq!(
            inbox.push(&bytes[bytes.len() - 1..], Protection::label(b"")),
            Ok(Progress::Complete)
        );
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
        assert_eq!(response.push(&push_pull(), Protection::label(b"foo")), Ok(Progress::Complete));
    }

    #[test]
    fn small_messages_are_whole_when_their_struct_is() {
        let mut bytes = Vec::new();
        let ping = Ping { seq: SeqNo(7), ..Ping::default() };
        ping.encode(&mut bytes).unwrap();
        let mut inbox = Inbox::for_request(MAX);
        assert_eq!(inbox.push(&bytes, Protection::label(b"")), Ok(Progress::Complete));
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
                inbox.push(piece, Protection::label(b"")).unwrap();
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
        assert_eq!(
            inbox.push(&push_pull()[..10], Protection::label(b"")),
            Ok(Progress::Incomplete)
        );
        assert_eq!(
            inbox.push(b"x", Protection::label(b"")),
            Err(StreamError::MessageTooLong { max: 10 })
        );
        // A ping whose node name claims 4 GiB.
        let mut inbox = Inbox::for_request(MAX);
        let mut endless = b"\x00\x81\xa4Node\xdb\xff\xff\xff\xff".to_vec();
        endless.resize(STRUCT_LEN_MAX + 1, b'x');
        assert_eq!(inbox.push(&endless, Protection::label(b"")), Ok(Progress::Incomplete));
        assert!(matches!(
            inbox.push(b"x", Protection::label(b"")),
            Err(StreamError::Message(DecodeError::TooLarge { .. }))
        ));
    }

    /// What a push of all pieces ends with.
    fn in_pieces(bytes: &[u8], piece: usize, bytes_max: usize) -> Result<Progress, StreamError> {
        let mut inbox = Inbox::for_request(bytes_max);
        bytes
            .chunks(piece)
            .try_fold(Progress::Incomplete, |_, piece| inbox.push(piece, Protection::label(b"")))
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

    fn keyring(byte: u8) -> Keyring {
        let mut keyring = Keyring::new();
        keyring.install(crate::Key::new(&[byte; 16]).unwrap()).unwrap();
        keyring
    }

    fn pushed(bytes: &[u8], protection: Protection<'_>) -> Result<Inbox, StreamError> {
        let mut inbox = Inbox::for_response(MAX);
        let progress = inbox.push(bytes, protection)?;
        assert_eq!(inbox.message().is_some(), progress == Progress::Complete);
        Ok(inbox)
    }

    #[test]
    fn a_message_comes_back_through_all_layers_wherever_the_stream_is_cut() {
        let (keyring, message) = (keyring(1), push_pull());
        for (compress, version) in [
            (true, None),
            (false, Some(Version::Plain)),
            (true, Some(Version::Plain)),
            (true, Some(Version::Padded)),
        ] {
            let seal = version.map(|version| (&keyring, version, [5; NONCE_LEN]));
            let mut protection = Protection::label(b"blue");
            if seal.is_some() {
                protection.keyring = &keyring;
            }
            let bytes = frame(message.clone(), Layers { compress, seal, label: b"blue" });
            let whole = pushed(&bytes, protection).unwrap();
            let mut plain = Inbox::for_response(MAX);
            plain.push(&message, Protection::label(b"")).unwrap();
            assert_eq!(whole.message(), plain.message());
            for piece in [1, 7, bytes.len() - 1] {
                let mut inbox = Inbox::for_response(MAX);
                let mut progress = Progress::Incomplete;
                for piece in bytes.chunks(piece) {
                    assert_eq!(progress, Progress::Incomplete);
                    progress = inbox.push(piece, protection).unwrap();
                }
                assert_eq!(inbox.message(), plain.message(), "pieces of {piece} bytes");
            }
            let mut longer = bytes.clone();
            longer.extend_from_slice(b"whatever follows");
            assert_eq!(pushed(&longer, protection).unwrap().message(), plain.message());
        }
    }

    #[test]
    fn what_is_encrypted_for_others_is_refused() {
        let (ours, theirs) = (keyring(1), keyring(2));
        let seal = Some((&theirs, Version::Plain, [5; NONCE_LEN]));
        let bytes = frame(push_pull(), Layers { compress: false, seal, label: b"blue" });
        let with = |keyring, label| Protection { keyring, ..Protection::label(label) };
        let error = |keyring, label| pushed(&bytes, with(keyring, label)).unwrap_err();
        let none = Keyring::new();
        assert!(pushed(&bytes, with(&theirs, b"blue")).is_ok());
        assert_eq!(error(&theirs, b"glue"), StreamError::Sealed(SealError::NoKey));
        assert_eq!(error(&ours, b"blue"), StreamError::Sealed(SealError::NoKey));
        assert_eq!(error(&none, b"blue"), StreamError::Encrypted);
        let plain = push_pull();
        assert_eq!(pushed(&plain, with(&ours, b"")).unwrap_err(), StreamError::Plaintext);
        let lenient = Protection { verify_incoming: false, ..with(&ours, b"") };
        assert!(pushed(&plain, lenient).unwrap().message().is_some());
    }

    #[test]
    fn layers_are_bounded_and_none_comes_twice() {
        let keyring = keyring(1);
        let protection = Protection { keyring: &keyring, ..Protection::label(b"") };
        let seal = |message: &[u8]| sealed(message, b"", &keyring, Version::Plain, [5; NONCE_LEN]);
        let refused = |bytes: &[u8]| pushed(bytes, protection).unwrap_err();
        let unexpected = |kind| StreamError::Message(DecodeError::UnexpectedType(kind));
        assert_eq!(refused(&seal(&seal(&push_pull()))), unexpected(10));
        assert_eq!(refused(&seal(&packed(packed(push_pull())))), unexpected(9));
        assert_eq!(refused(&seal(b"")), StreamError::Unfinished);
        assert_eq!(refused(&seal(&packed(Vec::new()))), StreamError::Unfinished);
        assert_eq!(refused(&seal(&push_pull()[..50])), StreamError::Unfinished);
        let claims = |len: u32| [&[10][..], &len.to_be_bytes()].concat();
        assert!(pushed(&claims(FRAME_LEN_MAX), protection).is_ok());
        assert!(matches!(refused(&claims(FRAME_LEN_MAX + 1)), StreamError::Message(_)));
        let short = [claims(28), vec![1; 28]].concat();
        assert_eq!(refused(&short), StreamError::Sealed(SealError::Truncated));
    }

    #[test]
    fn a_compressed_message_may_grow_64_times_or_to_256_kib() {
        let user = |len: usize| {
            let mut bytes = Vec::new();
            put_user_message(&mut bytes, &vec![b'x'; len]).unwrap();
            packed(bytes)
        };
        let open = |bytes: &[u8]| pushed(bytes, Protection::label(b""));
        assert!(open(&user(200_000)).unwrap().message().is_some());
        let bomb = user(900_000);
        let max = unpacked_max(bomb.len() - 15, MAX);
        let too_large = || StreamError::Compressed(LzwError::TooLarge { max: PACKET_UNPACKED_MAX });
        assert!(max == PACKET_UNPACKED_MAX && bomb.len() < 4_000);
        assert_eq!(open(&bomb).unwrap_err(), too_large());
        assert_eq!(unpacked_max(100_000, MAX), MAX);
        assert_eq!(unpacked_max(10_000, MAX), 640_000);
    }

    #[test]
    fn a_compressed_message_may_have_its_keys_in_any_order() {
        let mut compressed = Vec::new();
        lzw::compress(&push_pull(), &mut compressed);
        let mut bytes = b"\x09\x82\xa3Buf\xda".to_vec();
        bytes.extend_from_slice(&u16::try_from(compressed.len()).unwrap().to_be_bytes());
        bytes.extend_from_slice(&compressed);
        bytes.extend_from_slice(b"\xa4Algo\x00");
        for piece in [1, 50, bytes.len()] {
            assert_eq!(in_pieces(&bytes, piece, MAX), Ok(Progress::Complete));
        }
        bytes.pop();
        bytes.push(7);
        let unknown = StreamError::Compressed(LzwError::UnknownAlgorithm(7));
        assert_eq!(in_pieces(&bytes, 1, MAX), Err(unknown));
        let mut endless = b"\x09\x82\xdb\xff\xff\xff\xff".to_vec();
        endless.resize(STRUCT_LEN_MAX + 2, b'x');
        let refused = in_pieces(&endless, endless.len(), MAX);
        assert!(matches!(refused, Err(StreamError::Message(DecodeError::TooLarge { .. }))));
    }

    #[test]
    fn frames_that_are_not_understood_are_named() {
        assert_eq!(all_at_once(b"\x0a", b""), Err(StreamError::Encrypted));
        let error = StreamError::Message(DecodeError::UnexpectedType(3));
        assert_eq!(all_at_once(b"\x03", b""), Err(error));
    }
}
