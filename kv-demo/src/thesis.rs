//! The original experiment's very messages, for the thesis modes: same bytes, same sizes, so that
//! its Go nodes and ours can form one cluster and its tables can be rerun.
//!
//! ```text
//! byte 'd' | id i64 big endian | {"Action":"add","Data":{"key":"value"}}
//!                              | {"Action":"del","Data":{"key":""}}
//! ```
//!
//! The JSON is what Go's `encoding/json` writes. The id is a snowflake: milliseconds since
//! 2021-12-03T00:00:00Z (41 bits under the sign bit), the machine that made it (10 bits), a step
//! within the millisecond (12 bits).
//!
//! Deviation: the original applies messages in the order in which they arrive, so that its replicas
//! can end up different. Here an id is also a [`Version`] ([`version_of`]), and the last writer
//! wins as everywhere else in the store.

use core::fmt;
use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use thiserror::Error;

use crate::hlc::Hlc;
use crate::store::Version;
use crate::store::fnv::Fnv1a;

/// Longest message, in bytes: 64 KiB. The original has no limit of its own, but sends its messages
/// by UDP.
pub const MESSAGE_LEN_MAX: usize = 64 * 1024;

/// Most keys in one message. The original's programs write one; more is legal JSON, but one message
/// should not become thousands of entries.
pub const WRITES_MAX: usize = 64;

/// Largest machine number: it has 10 bits.
pub const MACHINE_MAX: u16 = (1 << MACHINE_BITS) - 1;

/// The id of a message, in all its 64 bits; peers choose theirs freely, so it can be any number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId(pub i64);

/// The decimal number, as the original logs it.
impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A message of the original, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThesisMessage {
    /// Its id; [`version_of`] makes it the version of all its writes.
    pub id: MessageId,
    /// Keys, each once and in order, and their new values; `None` deletes. At most [`WRITES_MAX`].
    /// A key can be empty, which the original allows and our store refuses.
    pub writes: Vec<(Bytes, Option<Bytes>)>,
}

/// Encodes one write: `value` is what `key` becomes, `None` deletes it.
///
/// ```
/// use kv_demo::thesis::{MessageId, encode};
///
/// let message = encode(MessageId(1), b"mgossip", Some(b"better")).unwrap();
/// assert_eq!(&message[9..], br#"{"Action":"add","Data":{"mgossip":"better"}}"#);
/// assert_eq!(message.len(), 53);
/// ```
///
/// # Errors
/// [`ThesisError::KeyNotUtf8`] and [`ThesisError::ValueNotUtf8`] for bytes that JSON cannot carry
/// (Go would replace them silently), [`ThesisError::TooLong`] for more than [`MESSAGE_LEN_MAX`]:
/// the caller's fault.
pub fn encode(id: MessageId, key: &[u8], value: Option<&[u8]>) -> Result<Bytes, ThesisError> {
    let action = if value.is_some() { ADD } else { DEL };
    let key = str::from_utf8(key).map_err(|_| ThesisError::KeyNotUtf8)?;
    let value = str::from_utf8(value.unwrap_or_default()).map_err(|_| ThesisError::ValueNotUtf8)?;

    let mut json = format!(r#"{{"Action":"{action}","Data":{{"#);
    push_string(&mut json, key);
    json.push(':');
    push_string(&mut json, value);
    json.push_str("}}");

    let mut message = vec![TAG];
    message.extend_from_slice(&id.0.to_be_bytes());
    message.extend_from_slice(json.as_bytes());
    check_len(message.len())?;
    Ok(Bytes::from(message))
}

/// Decodes one message.
///
/// It takes what a Go node sends, and a little more, as Go does: white space, unknown fields, a
/// repeated key (the last one counts). It does not take what only Go's decoder forgives: field
/// names in another case, `null`, broken UTF-8.
///
/// # Errors
/// [`ThesisError`] for anything else: the peer's fault. Nothing was applied.
pub fn decode(input: &[u8]) -> Result<ThesisMessage, ThesisError> {
    check_len(input.len())?;
    let Some((head, json)) = input.split_first_chunk::<HEAD_LEN>() else {
        return Err(ThesisError::Truncated { len: input.len() });
    };
    let [tag, id @ ..] = *head;
    if tag != TAG {
        return Err(ThesisError::Tag(tag));
    }
    let Body { action, data } = serde_json::from_slice(json)?;
    if data.has_more {
        return Err(ThesisError::TooManyWrites);
    }
    let pairs = data.writes.into_iter();
    let writes = match action.as_str() {
        ADD => pairs.map(|(key, value)| (key.into(), Some(value.into()))).collect(),
        DEL => pairs.map(|(key, _)| (key.into(), None)).collect(),
        _ => return Err(ThesisError::Action),
    };
    Ok(ThesisMessage { id: MessageId(i64::from_be_bytes(id)), writes })
}

/// Makes ids that grow, whatever the wall clock does.
#[derive(Clone, Debug)]
pub struct Snowflake {
    machine: u16,
    /// The millisecond since the epoch and the step of the last id, packed: a full step carries
    /// into the millisecond.
    last: u64,
}

impl Snowflake {
    /// A generator for machine number `machine`. Two machines with one number can make the same id.
    ///
    /// # Panics
    /// If `machine` is over [`MACHINE_MAX`].
    #[must_use]
    pub fn new(machine: u16) -> Self {
        assert!(machine <= MACHINE_MAX, "machine {machine} does not fit in 10 bits");
        Self { machine, last: 0 }
    }

    /// The id of a message that is made now, greater than all before it; `wall_ms` is milliseconds
    /// since the Unix epoch.
    ///
    /// After 4,096 ids in one millisecond, or while the wall clock is behind, it counts on from the
    /// last id; the original waits instead.
    pub fn next_id(&mut self, wall_ms: u64) -> MessageId {
        let ms = wall_ms.saturating_sub(EPOCH_MS).min(ID_WALL_MS_MAX);
        self.last = (ms << STEP_BITS).max(self.last + 1);
        let (ms, step) = (self.last >> STEP_BITS, self.last & STEP_MASK);
        assert!(ms <= ID_MS_MAX, "ID_WALL_MS_MAX leaves room for 2^44 ids");
        let bits = (ms << MACHINE_BITS | u64::from(self.machine)) << STEP_BITS | step;
        MessageId(bits.cast_signed())
    }
}

/// The version that a message's writes have: its time and step as hybrid time, and `#` with the
/// decimal machine number as origin. So the last writer wins among thesis messages, and between
/// them and ours.
///
/// Ids that carry no time (negative ones, and those of the epoch's first millisecond, which are
/// small numbers somebody counted up) have the floor version: the earliest valid timestamp and an
/// empty origin, which any real write beats. An id from the future is for
/// [`Clock::observe`](crate::hlc::Clock::observe) to refuse.
#[must_use]
pub fn version_of(id: MessageId) -> Version {
    let bits = u64::try_from(id.0).unwrap_or(0);
    let ms = bits >> (MACHINE_BITS + STEP_BITS);
    if ms == 0 {
        return Version { at: Hlc::from_bits(1), origin: Bytes::new() };
    }
    let machine = bits >> STEP_BITS & MACHINE_MASK;
    let step = (bits & STEP_MASK) as u16;
    Version { at: Hlc::new(EPOCH_MS + ms, step), origin: format!("#{machine}").into() }
}

/// The machine number of a node that has a name and no number: 10 bits of a hash, the same on every
/// platform and in every release. Different names can get the same number.
#[must_use]
pub fn machine_of(name: &[u8]) -> u16 {
    let mut hash = Fnv1a::new();
    hash.write(name);
    (hash.finish() & MACHINE_MASK) as u16
}

/// Why a message cannot be encoded or decoded. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ThesisError {
    /// The message is over [`MESSAGE_LEN_MAX`].
    #[error("the message has {len} bytes, at most {MESSAGE_LEN_MAX} are allowed")]
    TooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// The message ends within its id.
    #[error("the message has {len} bytes, too few for an id")]
    Truncated {
        /// Its length in bytes.
        len: usize,
    },
    /// The first byte is not `d`.
    #[error("the message begins with byte {0:#04x}, not with 'd'")]
    Tag(u8),
    /// The rest is not JSON, or not of the expected form. The position says where; the text, which
    /// is the peer's, is left out.
    #[error("the JSON is not a thesis message at line {line}, column {column}")]
    Json {
        /// Line within the JSON, from 1.
        line: usize,
        /// Column within the line, from 1; 0 for an error at the very start.
        column: usize,
    },
    /// The action is neither `add` nor `del`.
    #[error("the action is neither \"add\" nor \"del\"")]
    Action,
    /// The message has more than [`WRITES_MAX`] keys.
    #[error("the message has more than {WRITES_MAX} keys")]
    TooManyWrites,
    /// A key to be sent is not UTF-8, which JSON cannot carry.
    #[error("the key is not UTF-8 and cannot travel in a thesis message")]
    KeyNotUtf8,
    /// A value to be sent is not UTF-8, which JSON cannot carry.
    #[error("the value is not UTF-8 and cannot travel in a thesis message")]
    ValueNotUtf8,
}

impl From<serde_json::Error> for ThesisError {
    fn from(error: serde_json::Error) -> Self {
        Self::Json { line: error.line(), column: error.column() }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Body {
    action: String,
    data: Data,
}

/// The `Data` object. Keys beyond the limit are read over and leave no trace but the flag.
#[derive(Default)]
struct Data {
    writes: BTreeMap<String, String>,
    has_more: bool,
}

impl<'de> Deserialize<'de> for Data {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(DataVisitor)
    }
}

struct DataVisitor;

impl<'de> Visitor<'de> for DataVisitor {
    type Value = Data;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of strings")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Data, A::Error> {
        let mut data = Data::default();
        while let Some((key, value)) = map.next_entry::<String, String>()? {
            if data.writes.len() < WRITES_MAX || data.writes.contains_key(&key) {
                data.writes.insert(key, value);
            } else {
                data.has_more = true;
            }
        }
        Ok(data)
    }
}

/// Appends a JSON string as Go's `encoding/json` writes it: fit for HTML, and for JavaScript before
/// 2019.
///
/// Go 1.22 and later shorten U+0008 and U+000C to `\b` and `\f`; the original is older, so they are
/// not shortened here.
fn push_string(json: &mut String, text: &str) {
    json.push('"');
    for character in text.chars() {
        match character {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            '\n' => json.push_str("\\n"),
            '\r' => json.push_str("\\r"),
            '\t' => json.push_str("\\t"),
            '\0'..='\x1f' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                json.push_str(&format!("\\u{:04x}", u32::from(character)));
            }
            _ => json.push(character),
        }
    }
    json.push('"');
}

fn check_len(len: usize) -> Result<(), ThesisError> {
    if len > MESSAGE_LEN_MAX { Err(ThesisError::TooLong { len }) } else { Ok(()) }
}

const TAG: u8 = b'd';
const ADD: &str = "add";
const DEL: &str = "del";
/// Tag and id.
const HEAD_LEN: usize = 1 + 8;

const MACHINE_BITS: u32 = 10;
const MACHINE_MASK: u64 = MACHINE_MAX as u64;
const STEP_BITS: u32 = 12;
const STEP_MASK: u64 = (1 << STEP_BITS) - 1;

/// 2021-12-03T00:00:00Z, the experiment's epoch, in milliseconds since the Unix epoch.
const EPOCH_MS: u64 = 1_638_489_600_000;
/// The last millisecond since the experiment's epoch that an id can carry; in the year 2091.
const ID_MS_MAX: u64 = (1 << 41) - 1;
/// A wall clock later than this, 50 days before the end, is read as this: a wrong clock leaves ids
/// to count on with.
const ID_WALL_MS_MAX: u64 = ID_MS_MAX - (1 << 32);

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::hlc::Clock;

    const ID: MessageId = MessageId(0x0102_0304_0506_0708);

    #[test]
    fn experiment_message_has_exactly_the_bytes_of_the_original() {
        let message = encode(ID, b"mgossip", Some(b"better")).unwrap();
        let json = br#"{"Action":"add","Data":{"mgossip":"better"}}"#;
        assert_eq!(message, [b"d\x01\x02\x03\x04\x05\x06\x07\x08", &json[..]].concat());
        assert_eq!(message.len(), 1 + 8 + 44);
    }

    #[test]
    fn delete_has_exactly_the_bytes_of_the_original() {
        let message = encode(MessageId(-2), b"mgossip", None).unwrap();
        let json = br#"{"Action":"del","Data":{"mgossip":""}}"#;
        assert_eq!(message, [b"d\xff\xff\xff\xff\xff\xff\xff\xfe", &json[..]].concat());
    }

    #[test]
    fn string_is_escaped_as_go_escapes_it() {
        let mut text: String = (0..0x20_u8).map(char::from).collect();
        text.push_str("\"\\/<>&'\u{7f}\u{80}\u{2027}\u{2028}\u{2029}\u{202a}é😀");
        let expected = concat!(
            r#""\u0000\u0001\u0002\u0003\u0004\u0005\u0006\u0007"#,
            r"\u0008\t\n\u000b\u000c\r\u000e\u000f",
            r"\u0010\u0011\u0012\u0013\u0014\u0015\u0016\u0017",
            r"\u0018\u0019\u001a\u001b\u001c\u001d\u001e\u001f",
            r#"\"\\/\u003c\u003e\u0026'"#,
            "\u{7f}\u{80}\u{2027}",
            r"\u2028\u2029",
            "\u{202a}é😀\"",
        );
        let mut json = String::new();
        push_string(&mut json, &text);
        assert_eq!(json, expected);
    }

    #[test]
    fn bytes_that_json_cannot_carry_are_refused() {
        assert_eq!(encode(ID, b"\xff", Some(b"v")), Err(ThesisError::KeyNotUtf8));
        assert_eq!(encode(ID, b"k", Some(b"\xff")), Err(ThesisError::ValueNotUtf8));
        assert_eq!(encode(ID, b"\xff", None), Err(ThesisError::KeyNotUtf8));
    }

    #[test]
    fn message_is_accepted_up_to_its_longest_and_refused_beyond() {
        let room = MESSAGE_LEN_MAX - encode(ID, b"k", Some(b"")).unwrap().len();
        for len in [room - 1, room] {
            let value = vec![b'x'; len];
            let message = encode(ID, b"k", Some(&value)).unwrap();
            assert_eq!(decode(&message).unwrap().writes, [(key("k"), Some(value.into()))]);
        }
        let too_long = Err(ThesisError::TooLong { len: MESSAGE_LEN_MAX + 1 });
        assert_eq!(encode(ID, b"k", Some(&vec![b'x'; room + 1])), too_long);
        let padded = |len| [b"d\0\0\0\0\0\0\0\0{}", &vec![b' '; len - 11][..]].concat();
        assert!(matches!(decode(&padded(MESSAGE_LEN_MAX)), Err(ThesisError::Json { .. })));
        let error = decode(&padded(MESSAGE_LEN_MAX + 1)).unwrap_err();
        assert_eq!(error, ThesisError::TooLong { len: MESSAGE_LEN_MAX + 1 });
    }

    #[test]
    fn message_truncated_anywhere_is_refused() {
        let whole = encode(ID, b"k", Some(b"v")).unwrap();
        for len in 0..whole.len() {
            let error = decode(&whole[..len]).unwrap_err();
            if len < HEAD_LEN {
                assert_eq!(error, ThesisError::Truncated { len });
            } else {
                assert!(matches!(error, ThesisError::Json { .. }), "{len} bytes: {error}");
            }
        }
    }

    #[test]
    fn message_with_a_trailing_byte_is_refused_unless_it_is_white_space() {
        let whole = encode(ID, b"k", Some(b"v")).unwrap();
        let with = |byte| decode(&[&whole[..], &[byte]].concat());
        for byte in (0..=u8::MAX).filter(|byte| !b" \t\r\n".contains(byte)) {
            assert_eq!(with(byte), Err(ThesisError::Json { line: 1, column: 34 }), "{byte:#04x}");
        }
        assert_eq!(with(b'\n'), decode(&whole));
    }

    #[test]
    fn foreign_tag_is_refused() {
        let mut message = encode(ID, b"k", None).unwrap().to_vec();
        message[0] = b'e';
        assert_eq!(decode(&message), Err(ThesisError::Tag(b'e')));
    }

    #[test]
    fn json_is_read_as_go_reads_it() {
        let writes = |json| decode_json(json).unwrap().writes;
        let one = |value: &'static str| vec![(key("k"), Some(Bytes::from(value)))];
        assert_eq!(writes(r#" { "Data" : {"k":"v"} , "Action" : "add" } "#), one("v"));
        assert_eq!(writes(r#"{"Action":"add","Data":{"k":"v"},"More":[{}]}"#), one("v"));
        assert_eq!(writes(r#"{"Action":"add","Data":{"k":"v","k":"w"}}"#), one("w"));
        assert_eq!(
            writes(r#"{"Action":"add","Data":{"k":"\b\f\u00e9\u003c"}}"#),
            one("\x08\x0cé<")
        );
        assert_eq!(writes(r#"{"Action":"del","Data":{"k":"v"}}"#), [(key("k"), None)]);
        assert_eq!(writes(r#"{"Action":"add","Data":{}}"#), []);
        assert_eq!(
            writes(r#"{"Action":"del","Data":{"b":"","a":""}}"#),
            [(key("a"), None), (key("b"), None)]
        );
    }

    #[test]
    fn json_of_another_form_is_refused() {
        for json in [
            "",
            "null",
            "[]",
            "{}",
            r#"{"Action":"add"}"#,
            r#"{"Data":{"k":"v"}}"#,
            r#"{"Action":"add","Data":null}"#,
            r#"{"Action":"add","Data":["k"]}"#,
            r#"{"Action":"add","Data":{"k":1}}"#,
            r#"{"Action":"add","Data":{"k":null}}"#,
            r#"{"Action":"add","Data":{"k":"\ud800"}}"#,
            r#"{"Action":1,"Data":{"k":"v"}}"#,
            r#"{"Action":"add","Data":{"k":"v"}} {}"#,
        ] {
            let refused = decode_json(json);
            assert!(matches!(refused, Err(ThesisError::Json { .. })), "{json}: {refused:?}");
        }
        assert_eq!(decode_json(r#"{"Action":"ADD","Data":{"k":"v"}}"#), Err(ThesisError::Action));
    }

    #[test]
    fn deep_json_is_refused() {
        let json = format!(r#"{{"Deep":{}"#, "[".repeat(60_000));
        assert!(matches!(decode_json(&json), Err(ThesisError::Json { .. })));
    }

    #[test]
    fn keys_are_accepted_up_to_their_limit() {
        let json = |count: usize| {
            let pairs: Vec<_> = (0..count).map(|index| format!(r#""{index}":"","0":"""#)).collect();
            format!(r#"{{"Action":"add","Data":{{{}}}}}"#, pairs.join(","))
        };
        for count in [WRITES_MAX - 1, WRITES_MAX] {
            assert_eq!(decode_json(&json(count)).unwrap().writes.len(), count);
        }
        assert_eq!(decode_json(&json(WRITES_MAX + 1)), Err(ThesisError::TooManyWrites));
    }

    #[test]
    fn error_does_not_repeat_what_the_peer_wrote() {
        let error =
            decode_json("{\"Action\":\"add\",\"Data\":\"\\nforged log line\"}").unwrap_err();
        assert!(matches!(error, ThesisError::Json { .. }));
        assert!(!error.to_string().contains("forged"));
    }

    #[test]
    fn id_packs_milliseconds_machine_and_step() {
        let mut ids = Snowflake::new(3);
        let ms = 1_000_000;
        let id = ids.next_id(EPOCH_MS + ms).0.cast_unsigned();
        assert_eq!(id, ms << 22 | 3 << 12);
        assert_eq!(ids.next_id(EPOCH_MS + ms).0.cast_unsigned(), id + 1);
        assert_eq!(ids.next_id(EPOCH_MS + ms + 1).0.cast_unsigned(), (ms + 1) << 22 | 3 << 12);
    }

    #[test]
    fn full_step_moves_the_millisecond_on() {
        let mut ids = Snowflake::new(MACHINE_MAX);
        let wall_ms = EPOCH_MS + 1;
        let made: Vec<_> = (0..4_097).map(|_| ids.next_id(wall_ms)).collect();
        assert_eq!(version_of(made[4_095]).at, Hlc::new(wall_ms, 4_095));
        assert_eq!(version_of(made[4_096]).at, Hlc::new(wall_ms + 1, 0));
        assert!(made.is_sorted_by(|earlier, later| earlier < later));
    }

    #[test]
    fn absurd_wall_clock_still_makes_growing_positive_ids() {
        let mut ids = Snowflake::new(1);
        let (before_epoch, after_end) = (ids.next_id(0), ids.next_id(u64::MAX));
        assert!(before_epoch.0 > 0);
        assert!(after_end > before_epoch);
        assert!(ids.next_id(0) > after_end);
    }

    #[test]
    #[should_panic(expected = "does not fit in 10 bits")]
    fn machine_of_eleven_bits_is_refused() {
        let _ = Snowflake::new(MACHINE_MAX + 1);
    }

    #[test]
    fn version_is_the_time_and_the_machine_of_the_id() {
        let id = Snowflake::new(42).next_id(EPOCH_MS + 5_000);
        let expected = Version { at: Hlc::new(EPOCH_MS + 5_000, 0), origin: "#42".into() };
        assert_eq!(version_of(id), expected);
        assert_eq!(version_of(MessageId(id.0 + 7)).at, Hlc::new(EPOCH_MS + 5_000, 7));
        let last = version_of(MessageId(i64::MAX));
        assert_eq!(last.at, Hlc::new(EPOCH_MS + ID_MS_MAX, 4_095));
        assert_eq!(last.origin, "#1023");
    }

    #[test]
    fn id_without_a_time_has_a_version_that_any_real_write_beats() {
        let floor = version_of(MessageId(0));
        for id in [1, (1 << 22) - 1, -1, i64::MIN] {
            assert_eq!(version_of(MessageId(id)), floor);
        }
        assert!(version_of(MessageId(1 << 22)) > floor);
        let ours = Version { at: Clock::default().tick(0), origin: "node-1".into() };
        assert!(ours > floor);
        assert!(floor.at > Hlc::ZERO, "a store would refuse it");
    }

    #[test]
    fn machine_of_a_name_is_stable() {
        let expected = [("", 294), ("node-1", 773), ("node-2", 32), ("127.0.0.1:7946", 510)];
        for (name, machine) in expected {
            assert_eq!(machine_of(name.as_bytes()), machine, "{name}");
        }
    }

    proptest! {
        #[test]
        fn write_survives_the_round_trip(id: i64, key: String, value: Option<String>) {
            let id = MessageId(id);
            let message = encode(id, key.as_bytes(), value.as_deref().map(str::as_bytes)).unwrap();
            let writes = vec![(Bytes::from(key), value.map(Bytes::from))];
            prop_assert_eq!(decode(&message), Ok(ThesisMessage { id, writes }));
        }

        #[test]
        fn decoding_is_total(input in vec(any::<u8>(), 0..200)) {
            let _ = decode(&input);
            let _ = decode(&[b"d12345678", &input[..]].concat());
        }

        #[test]
        fn decoding_a_damaged_message_is_total(at in 0..53_usize, byte: u8) {
            let mut message = encode(ID, b"mgossip", Some(b"better")).unwrap().to_vec();
            message[at] = byte;
            let _ = decode(&message);
        }

        #[test]
        fn ids_and_their_versions_grow_whatever_the_wall_clock_does(
            walls in vec(prop_oneof![any::<u64>(), EPOCH_MS..EPOCH_MS + 9], 2..50),
            machine in 0..=MACHINE_MAX,
        ) {
            let mut ids = Snowflake::new(machine);
            ids.next_id(EPOCH_MS + 1);
            let made: Vec<_> = walls.into_iter().map(|wall_ms| ids.next_id(wall_ms)).collect();
            for pair in made.windows(2) {
                prop_assert!(0 < pair[0].0 && pair[0] < pair[1]);
                prop_assert!(version_of(pair[0]) < version_of(pair[1]));
            }
        }

        #[test]
        fn machine_of_any_name_fits_its_bits(name in vec(any::<u8>(), 0..50)) {
            prop_assert!(machine_of(&name) <= MACHINE_MAX);
        }
    }

    fn key(name: &'static str) -> Bytes {
        Bytes::from(name)
    }

    fn decode_json(json: &str) -> Result<ThesisMessage, ThesisError> {
        decode(&[b"d\0\0\0\0\0\0\0\0", json.as_bytes()].concat())
    }
}
