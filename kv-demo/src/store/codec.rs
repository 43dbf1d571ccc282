//! Entries ⇄ bytes: one write that rides in a rumour, and the whole state that rides in a
//! push/pull.
//!
//! All integers are big endian. A write is a version byte and one record; a state is a version
//! byte, a count, and that many records in strictly ascending order of their keys. Equal entries
//! encode to equal bytes.
//!
//! ```text
//! write:   version u8 = 1 | record
//! state:   version u8 = 1 | count u32 | record …
//! record:  at u64 | origin u8+bytes | key u16+bytes | kind u8 | value u32+bytes (kind 1 only)
//! kind:    0 tombstone, 1 value; others reserved
//! ```
//!
//! Decoding is total: any bytes give entries or an error, never a panic. Nothing is allocated for a
//! field before all its bytes are seen and its limit is checked, and nothing at all for a claimed
//! count. Fields are copied out, so that no entry holds on to the message it came in.

use core::iter::FusedIterator;

use bytes::Bytes;
use thiserror::Error;

use super::entry::{Entry, Invalid, KEY_LEN_MAX, ORIGIN_LEN_MAX, VALUE_LEN_MAX, Version, validate};
use super::{ENTRY_OVERHEAD, Limits, Store};
use crate::hlc::Hlc;

/// Longest encoded write, in bytes.
pub const WRITE_LEN_MAX: usize = 1 + RECORD_HEAD_LEN + ORIGIN_LEN_MAX + KEY_LEN_MAX + VALUE_LEN_MAX;

/// Longest encoded state, in bytes: 16 MiB. Memberlist refuses a push/pull over 20 MiB; the
/// difference is room for its members and for the state of other channels.
pub const STATE_LEN_MAX: usize = 16 * 1024 * 1024;

/// Encodes one write for broadcast, at most [`WRITE_LEN_MAX`] bytes.
///
/// # Panics
/// If no store would accept the entry, or if its origin is empty. What [`Store::apply`] has
/// accepted under a version of this node's own never panics here.
#[must_use]
pub fn encode_write(key: &[u8], entry: &Entry) -> Bytes {
    assert_eq!(entry.validate(key), Ok(()), "a write is checked before it is encoded");
    assert!(!entry.version.origin.is_empty(), "a write names its origin");
    let mut out = Vec::with_capacity(1 + record_len(key, entry));
    out.push(FORMAT);
    put_record(&mut out, key, entry);
    Bytes::from(out)
}

/// Decodes what [`encode_write`] encodes: a key and its entry.
///
/// # Errors
/// [`CodecError`] for anything else: the peer's fault. Nothing was applied.
pub fn decode_write(input: &[u8]) -> Result<(Bytes, Entry), CodecError> {
    let mut reader = Reader(input);
    reader.format()?;
    let (key, entry) = reader.record()?;
    reader.finish()?;
    if entry.version.origin.is_empty() {
        return Err(CodecError::OriginEmpty);
    }
    Ok((Bytes::copy_from_slice(key), entry))
}

/// Encodes all entries of a store, tombstones included, at most [`STATE_LEN_MAX`] bytes.
///
/// # Errors
/// [`TooLarge`] if they do not fit, which takes limits higher than [`Limits::DEFAULT`].
pub fn encode_state(store: &Store) -> Result<Bytes, TooLarge> {
    let records_len: usize = store.iter().map(|(key, entry)| record_len(key, entry)).sum();
    let len = STATE_HEAD_LEN + records_len;
    if len > STATE_LEN_MAX {
        return Err(TooLarge { len });
    }
    let count = u32::try_from(store.iter().count()).expect("16 MiB hold fewer than 2^32 records");
    let mut out = Vec::with_capacity(len);
    out.push(FORMAT);
    out.extend_from_slice(&count.to_be_bytes());
    for (key, entry) in store.iter() {
        put_record(&mut out, key, entry);
    }
    assert_eq!(out.len(), len);
    Ok(Bytes::from(out))
}

/// Decodes what [`encode_state`] encodes, one (key, entry) after the other.
///
/// Merging is idempotent, so each entry may be applied as it comes. After the first error the
/// iterator ends: the entries before it were good, of the others nothing is known.
///
/// ```
/// use kv_demo::hlc::Clock;
/// use kv_demo::store::{CodecError, StateReader, Store, encode_state};
///
/// fn merge(clock: &mut Clock, store: &mut Store, state: &[u8]) -> Result<(), CodecError> {
///     let wall_ms = 1_700_000_000_000;
///     for item in StateReader::new(state)? {
///         let (key, entry) = item?;
///         if clock.observe(entry.version.at, wall_ms).is_ok() {
///             let _ = store.apply(key, entry); // whatever becomes of it, the store counts
///         }
///     }
///     Ok(())
/// }
///
/// let (mut clock, mut store) = (Clock::default(), Store::default());
/// let state = encode_state(&store).unwrap();
/// assert_eq!(merge(&mut clock, &mut store, &state), Ok(()));
/// assert_eq!(merge(&mut clock, &mut store, b""), Err(CodecError::Truncated));
/// ```
#[derive(Clone, Debug)]
pub struct StateReader<'a> {
    reader: Reader<'a>,
    remaining: u32,
    last_key: &'a [u8],
    is_done: bool,
}

impl<'a> StateReader<'a> {
    /// Starts to read a state.
    ///
    /// # Errors
    /// [`CodecError`] if the input is longer than [`STATE_LEN_MAX`] or does not begin like a state:
    /// the peer's fault.
    pub fn new(input: &'a [u8]) -> Result<Self, CodecError> {
        if input.len() > STATE_LEN_MAX {
            return Err(CodecError::StateTooLong { len: input.len() });
        }
        let mut reader = Reader(input);
        reader.format()?;
        let remaining = u32::from_be_bytes(reader.array()?);
        Ok(Self { reader, remaining, last_key: &[], is_done: false })
    }

    fn read(&mut self) -> Result<Option<(Bytes, Entry)>, CodecError> {
        let Some(remaining) = self.remaining.checked_sub(1) else {
            self.reader.finish()?;
            return Ok(None);
        };
        let (key, entry) = self.reader.record()?;
        if key <= self.last_key {
            return Err(CodecError::KeyOrder);
        }
        self.remaining = remaining;
        self.last_key = key;
        Ok(Some((Bytes::copy_from_slice(key), entry)))
    }
}

impl Iterator for StateReader<'_> {
    type Item = Result<(Bytes, Entry), CodecError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_done {
            return None;
        }
        let item = self.read().transpose();
        self.is_done = !matches!(item, Some(Ok(_)));
        item
    }
}

impl FusedIterator for StateReader<'_> {}

/// Why bytes are not a write or not a state. The sender's fault, for the caller to count; nothing
/// was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CodecError {
    /// The input ends within a field, or before the last record.
    #[error("the message ends too early")]
    Truncated,
    /// The input goes on after its end.
    #[error("{len} bytes follow the end of the message")]
    Trailing {
        /// How many bytes too many.
        len: usize,
    },
    /// The version byte is not 1.
    #[error("format version {0} is not known")]
    Format(u8),
    /// The kind of a record is reserved.
    #[error("record kind {0} is not known")]
    Kind(u8),
    /// A record holds what no store accepts.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// A write does not name its origin. In a state that is legal: the origin of a foreign message
    /// can be unknown.
    #[error("the write names no origin")]
    OriginEmpty,
    /// The keys of a state are not strictly ascending.
    #[error("the keys of the state are out of order")]
    KeyOrder,
    /// The state is over [`STATE_LEN_MAX`].
    #[error("the state has {len} bytes, at most {STATE_LEN_MAX} are allowed")]
    StateTooLong {
        /// Its length in bytes.
        len: usize,
    },
}

/// The store is too large to be encoded as one state: its limits are higher than the format's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the state would have {len} bytes, at most {STATE_LEN_MAX} are allowed")]
pub struct TooLarge {
    /// The length that it would have, in bytes.
    pub len: usize,
}

/// A cursor over bytes that a peer sent.
#[derive(Clone, Debug)]
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn format(&mut self) -> Result<(), CodecError> {
        match self.byte()? {
            FORMAT => Ok(()),
            other => Err(CodecError::Format(other)),
        }
    }

    fn record(&mut self) -> Result<(&'a [u8], Entry), CodecError> {
        let at = Hlc::from_bits(u64::from_be_bytes(self.array()?));
        let origin_len = usize::from(self.byte()?);
        let origin = self.take(origin_len)?;
        let key_len = usize::from(u16::from_be_bytes(self.array()?));
        let key = self.take(key_len)?;
        let value = match self.byte()? {
            TOMBSTONE => None,
            VALUE => Some(self.value()?),
            other => return Err(CodecError::Kind(other)),
        };
        validate(key, at, origin, value)?;
        let version = Version { at, origin: Bytes::copy_from_slice(origin) };
        Ok((key, Entry { version, value: value.map(Bytes::copy_from_slice) }))
    }

    fn value(&mut self) -> Result<&'a [u8], CodecError> {
        let len = u32::from_be_bytes(self.array()?);
        // A length that no slice of this platform can have is certainly more than there is.
        self.take(usize::try_from(len).unwrap_or(usize::MAX))
    }

    fn finish(&self) -> Result<(), CodecError> {
        match self.0.len() {
            0 => Ok(()),
            len => Err(CodecError::Trailing { len }),
        }
    }

    fn byte(&mut self) -> Result<u8, CodecError> {
        self.array().map(|[byte]| byte)
    }

    fn array<const LEN: usize>(&mut self) -> Result<[u8; LEN], CodecError> {
        let (array, rest) = self.0.split_first_chunk().ok_or(CodecError::Truncated)?;
        self.0 = rest;
        Ok(*array)
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], CodecError> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(CodecError::Truncated)?;
        self.0 = rest;
        Ok(taken)
    }
}

/// Beside [`Reader::record`]; `entry` must be valid.
fn put_record(out: &mut Vec<u8>, key: &[u8], entry: &Entry) {
    let Entry { version: Version { at, origin }, value } = entry;
    out.extend_from_slice(&at.bits().to_be_bytes());
    out.push(u8::try_from(origin.len()).expect("ORIGIN_LEN_MAX fits one byte"));
    out.extend_from_slice(origin);
    out.extend_from_slice(&u16::try_from(key.len()).expect("KEY_LEN_MAX fits two").to_be_bytes());
    out.extend_from_slice(key);
    let Some(value) = value else {
        out.push(TOMBSTONE);
        return;
    };
    out.push(VALUE);
    out.extend_from_slice(
        &u32::try_from(value.len()).expect("VALUE_LEN_MAX fits four").to_be_bytes(),
    );
    out.extend_from_slice(value);
}

fn record_len(key: &[u8], entry: &Entry) -> usize {
    let value_len = entry.value.as_ref().map_or(0, |value| VALUE_HEAD_LEN + value.len());
    RECORD_HEAD_LEN - VALUE_HEAD_LEN + entry.version.origin.len() + key.len() + value_len
}

const FORMAT: u8 = 1;
const TOMBSTONE: u8 = 0;
const VALUE: u8 = 1;

/// Version byte and count.
const STATE_HEAD_LEN: usize = 1 + 4;
/// The length field of a value.
const VALUE_HEAD_LEN: usize = 4;
/// Time, length of the origin, length of the key, kind, length of the value.
const RECORD_HEAD_LEN: usize = 8 + 1 + 2 + 1 + VALUE_HEAD_LEN;

// What a store charges for an entry covers its encoding, so a full store of the default limits fits
// into one state.
const _: () = assert!(RECORD_HEAD_LEN + ORIGIN_LEN_MAX == ENTRY_OVERHEAD);
const _: () = assert!(STATE_HEAD_LEN + Limits::DEFAULT.bytes_max <= STATE_LEN_MAX);

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::super::Applied;
    use super::super::entry::tests::{entries, entry};
    use super::*;

    /// `"k" = "vw"`, written by `"n1"` at 0x0102030405060708.
    const WRITE: &[u8] =
        b"\x01\x01\x02\x03\x04\x05\x06\x07\x08\x02n1\x00\x01k\x01\x00\x00\x00\x02vw";
    /// The same key, deleted.
    const DELETE: &[u8] = b"\x01\x01\x02\x03\x04\x05\x06\x07\x08\x02n1\x00\x01k\x00";
    const AT: u64 = 0x0102_0304_0506_0708;

    #[test]
    fn write_has_exactly_these_bytes() {
        assert_eq!(encode_write(b"k", &entry(AT, "n1", Some("vw"))), WRITE);
        assert_eq!(encode_write(b"k", &entry(AT, "n1", None)), DELETE);
    }

    #[test]
    fn state_has_exactly_these_bytes() {
        let store = store([("k", entry(AT, "n1", Some("vw"))), ("a", entry(1, "", None))]);
        let expected = [
            b"\x01\x00\x00\x00\x02",
            &b"\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x01a\x00"[..],
            &WRITE[1..],
        ];
        assert_eq!(encode_state(&store).unwrap(), expected.concat());
        assert_eq!(encode_state(&Store::default()).unwrap(), &b"\x01\x00\x00\x00\x00"[..]);
    }

    #[test]
    fn write_truncated_anywhere_is_refused() {
        for whole in [WRITE, DELETE] {
            for len in 0..whole.len() {
                assert_eq!(decode_write(&whole[..len]), Err(CodecError::Truncated), "{len} bytes");
            }
        }
    }

    #[test]
    fn state_truncated_anywhere_is_refused() {
        let store = store([("k", entry(AT, "n1", Some("vw"))), ("a", entry(1, "", None))]);
        let whole = encode_state(&store).unwrap();
        for len in 0..whole.len() {
            assert_eq!(decode_state(&whole[..len]), Err(CodecError::Truncated), "{len} bytes");
        }
    }

    #[test]
    fn trailing_byte_is_refused() {
        let trailing = Err(CodecError::Trailing { len: 1 });
        assert_eq!(decode_write(&[WRITE, b"\0"].concat()), trailing);
        assert_eq!(decode_write(&[DELETE, b"\0"].concat()), trailing);
        let state = decode_state(b"\x01\x00\x00\x00\x00\x00");
        assert_eq!(state, Err(CodecError::Trailing { len: 1 }));
    }

    #[test]
    fn unknown_format_and_kind_are_refused() {
        for other in [0, 2, 255] {
            assert_eq!(decode_write(&patched(WRITE, 0, other)), Err(CodecError::Format(other)));
            let state = StateReader::new(&[other, 0, 0, 0, 0]).map(|_| ());
            assert_eq!(state, Err(CodecError::Format(other)));
        }
        for other in [2, 255] {
            let kind_at = DELETE.len() - 1;
            assert_eq!(
                decode_write(&patched(DELETE, kind_at, other)),
                Err(CodecError::Kind(other))
            );
        }
    }

    #[test]
    fn state_of_the_thesis_program_is_refused() {
        assert_eq!(decode_state(br#"{"mgossip":"better"}"#), Err(CodecError::Format(b'{')));
    }

    #[test]
    fn timestamp_of_zero_is_refused() {
        let mut message = WRITE.to_vec();
        message[1..9].fill(0);
        assert_eq!(decode_write(&message), Err(Invalid::TimeZero.into()));
    }

    #[test]
    fn empty_origin_is_refused_in_a_write_and_accepted_in_a_state() {
        let record = b"\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x01a\x00";
        assert_eq!(decode_write(&[b"\x01", &record[..]].concat()), Err(CodecError::OriginEmpty));
        let state = [b"\x01\x00\x00\x00\x01", &record[..]].concat();
        let expected = (Bytes::from("a"), entry(1, "", None));
        assert_eq!(decode_state(&state), Ok(vec![expected]));
    }

    #[test]
    fn write_is_accepted_up_to_its_limits() {
        for less in [1, 0] {
            let (key, entry) = longest(KEY_LEN_MAX - less, VALUE_LEN_MAX - less);
            let message = encode_write(&key, &entry);
            assert_eq!(message.len(), WRITE_LEN_MAX - 2 * less);
            assert_eq!(decode_write(&message), Ok((key, entry)));
        }
        let refused = |key_len, value_len| {
            let (key, entry) = longest(key_len, value_len);
            let mut message = vec![FORMAT];
            put_record(&mut message, &key, &entry);
            decode_write(&message).map(|_| ())
        };
        assert_eq!(refused(0, 1), Err(Invalid::KeyEmpty.into()));
        assert_eq!(refused(513, 1), Err(Invalid::KeyTooLong { len: 513 }.into()));
        assert_eq!(refused(1, 65_537), Err(Invalid::ValueTooLong { len: 65_537 }.into()));
    }

    #[test]
    fn claimed_lengths_and_counts_cost_nothing() {
        let huge_value = [&WRITE[..16], b"\xff\xff\xff\xff"].concat();
        assert_eq!(decode_write(&huge_value), Err(CodecError::Truncated));
        let huge_key = [&WRITE[..12], b"\xff\xff"].concat();
        assert_eq!(decode_write(&huge_key), Err(CodecError::Truncated));
        assert_eq!(decode_state(b"\x01\xff\xff\xff\xff"), Err(CodecError::Truncated));
    }

    #[test]
    fn state_is_refused_when_its_keys_are_not_ascending() {
        for keys in ["ba", "aa"] {
            let mut state = b"\x01\x00\x00\x00\x02".to_vec();
            for key in keys.as_bytes() {
                put_record(&mut state, &[*key], &entry(1, "n1", None));
            }
            let mut reader = StateReader::new(&state).unwrap();
            assert!(matches!(reader.next(), Some(Ok(_))));
            assert_eq!(reader.next(), Some(Err(CodecError::KeyOrder)));
            assert_eq!(reader.next(), None);
        }
    }

    #[test]
    fn state_is_read_up_to_its_longest_and_refused_beyond() {
        let mut input = vec![0; STATE_LEN_MAX + 1];
        input[0] = FORMAT;
        let trailing = CodecError::Trailing { len: STATE_LEN_MAX - STATE_HEAD_LEN };
        assert_eq!(decode_state(&input[..STATE_LEN_MAX]), Err(trailing));
        assert_eq!(decode_state(&input), Err(CodecError::StateTooLong { len: STATE_LEN_MAX + 1 }));
    }

    #[test]
    fn state_is_encoded_up_to_its_longest_and_refused_beyond() {
        let mut store = Store::new(Limits { keys_max: usize::MAX, bytes_max: usize::MAX });
        let (_, filler) = longest(1, VALUE_LEN_MAX);
        for index in 0..254_u16 {
            apply(&mut store, Bytes::copy_from_slice(&index.to_be_bytes()), filler.clone());
        }
        // One more record brings the state to its longest; then its value grows by a byte.
        let so_far = encode_state(&store).unwrap().len();
        let last = Bytes::from("last");
        let value_len = STATE_LEN_MAX - so_far - RECORD_HEAD_LEN - ORIGIN_LEN_MAX - last.len();
        for (more, bits, expected) in [(0, 1, Ok(STATE_LEN_MAX)), (1, 2, Err(STATE_LEN_MAX + 1))] {
            let (_, mut entry) = longest(1, value_len + more);
            entry.version.at = Hlc::from_bits(bits);
            apply(&mut store, last.clone(), entry);
            let encoded = encode_state(&store).map(|state| state.len());
            assert_eq!(encoded, expected.map_err(|len| TooLarge { len }));
        }
    }

    #[test]
    #[should_panic(expected = "a write names its origin")]
    fn write_without_an_origin_is_not_encoded() {
        let _ = encode_write(b"k", &entry(1, "", None));
    }

    #[test]
    #[should_panic(expected = "a write is checked before it is encoded")]
    fn invalid_write_is_not_encoded() {
        let _ = encode_write(b"", &entry(1, "n1", None));
    }

    proptest! {
        #[test]
        fn write_survives_the_round_trip(
            key in vec(any::<u8>(), 1..40),
            bits in 1..=u64::MAX,
            origin in vec(any::<u8>(), 1..40),
            value in prop::option::of(vec(any::<u8>(), 0..300)),
        ) {
            let version = Version { at: Hlc::from_bits(bits), origin: origin.into() };
            let entry = Entry { version, value: value.map(Bytes::from) };
            let message = encode_write(&key, &entry);
            prop_assert_eq!(message.len(), 1 + record_len(&key, &entry));
            prop_assert_eq!(decode_write(&message), Ok((Bytes::from(key), entry)));
        }

        #[test]
        fn state_survives_the_round_trip(writes in vec(("[a-c]{1,3}", entries()), 0..30)) {
            let sender = store(writes.iter().map(|(key, entry)| (key.as_str(), entry.clone())));
            let state = encode_state(&sender).unwrap();
            let mut receiver = Store::default();
            for (key, entry) in decode_state(&state).unwrap() {
                apply(&mut receiver, key, entry);
            }
            prop_assert!(receiver.iter().eq(sender.iter()));
            prop_assert_eq!(receiver.digest(), sender.digest());
        }

        #[test]
        fn decoding_is_total(input in vec(any::<u8>(), 0..200)) {
            let framed = [&[FORMAT], &input[..]].concat();
            for input in [&input, &framed] {
                let _ = decode_write(input);
                let _ = decode_state(input);
            }
        }

        #[test]
        fn what_decodes_encodes_to_the_same_bytes(
            at in 0..DELETE.len(),
            byte: u8,
            whole in prop::sample::select(vec![WRITE, DELETE]),
        ) {
            let message = patched(whole, at, byte);
            if let Ok((key, entry)) = decode_write(&message) {
                prop_assert_eq!(encode_write(&key, &entry), message);
            }
        }
    }

    fn decode_state(input: &[u8]) -> Result<Vec<(Bytes, Entry)>, CodecError> {
        StateReader::new(input)?.collect()
    }

    fn patched(message: &[u8], at: usize, byte: u8) -> Vec<u8> {
        let mut patched = message.to_vec();
        patched[at] = byte;
        patched
    }

    fn longest(key_len: usize, value_len: usize) -> (Bytes, Entry) {
        let bytes = |len| Bytes::from(vec![b'x'; len]);
        let version = Version { at: Hlc::from_bits(AT), origin: bytes(ORIGIN_LEN_MAX) };
        (bytes(key_len), Entry { version, value: Some(bytes(value_len)) })
    }

    fn store<'a>(writes: impl IntoIterator<Item = (&'a str, Entry)>) -> Store {
        let mut store = Store::default();
        for (key, entry) in writes {
            let _ = store.apply(Bytes::copy_from_slice(key.as_bytes()), entry).unwrap();
        }
        store
    }

    fn apply(store: &mut Store, key: Bytes, entry: Entry) {
        assert_eq!(store.apply(key, entry), Ok(Applied::Stored));
    }
}
