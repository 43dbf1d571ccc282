//! What the store holds under a key, and which of two entries wins.

use core::cmp::Ordering;

use bytes::Bytes;
use thiserror::Error;

use super::fnv::Fnv1a;
use crate::hlc::Hlc;

// What is valid must not differ between nodes, or what one accepts another refuses for ever: these
// three are part of the format, not of a node's configuration.

/// Longest key, in bytes: 512. A key is repeated in each write and each state, so it must stay
/// small beside its value.
pub const KEY_LEN_MAX: usize = 512;

/// Longest value, in bytes: 64 KiB. A value travels whole in one rumour, and one value must not
/// fill the queues of a node that forwards many.
pub const VALUE_LEN_MAX: usize = 64 * 1024;

/// Longest origin, in bytes: 255, the longest name that a memberlist node can have.
pub const ORIGIN_LEN_MAX: usize = 255;

/// When and where a write was made: a total order, time first, origin to break ties.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// The writer's hybrid time; never [`Hlc::ZERO`] in a valid entry.
    pub at: Hlc,
    /// The writer's name, at most [`ORIGIN_LEN_MAX`] bytes; empty when a message did not say.
    pub origin: Bytes,
}

/// One last-writer-wins register: the last write to a key that is known here.
///
/// The order of entries is the merge: the greater one wins. It goes by version; on equal versions a
/// tombstone beats a value, so that a delete stays deleted, and between two values the greater
/// bytes win. An honest origin uses each version once, so that the second rule decides only between
/// messages without a real origin, or after a bug; then too all replicas agree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When and where it was written.
    pub version: Version,
    /// The value, at most [`VALUE_LEN_MAX`] bytes; `None` is a tombstone: the key was deleted.
    pub value: Option<Bytes>,
}

impl Entry {
    /// Whether this entry records a delete.
    #[must_use]
    pub const fn is_tombstone(&self) -> bool {
        self.value.is_none()
    }

    /// Whether both claim the same version for different values: a sign of a bug or of a writer
    /// without an origin.
    #[must_use]
    pub fn conflicts_with(&self, other: &Self) -> bool {
        self.version == other.version && self.value != other.value
    }

    pub(super) fn validate(&self, key: &[u8]) -> Result<(), Invalid> {
        validate(key, self.version.at, &self.version.origin, self.value.as_deref())
    }

    /// A hash of all that replicas must agree on. Lengths go in first, so that no two entries feed
    /// in the same bytes.
    pub(super) fn hash(&self, key: &[u8]) -> u64 {
        let mut hash = Fnv1a::new();
        hash.write(&self.version.at.bits().to_be_bytes());
        for field in [key, &self.version.origin] {
            hash.write(&(field.len() as u64).to_be_bytes());
            hash.write(field);
        }
        if let Some(value) = &self.value {
            hash.write(b"=");
            hash.write(value);
        }
        hash.finish()
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_version = self.version.cmp(&other.version);
        by_version
            .then_with(|| self.is_tombstone().cmp(&other.is_tombstone()))
            .then_with(|| self.value.cmp(&other.value))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// What makes a key and its entry unfit for any store. The sender's fault; nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Invalid {
    /// The key has no bytes.
    #[error("the key is empty")]
    KeyEmpty,
    /// The key is over [`KEY_LEN_MAX`].
    #[error("the key has {len} bytes, at most {KEY_LEN_MAX} are allowed")]
    KeyTooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// The value is over [`VALUE_LEN_MAX`].
    #[error("the value has {len} bytes, at most {VALUE_LEN_MAX} are allowed")]
    ValueTooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// The origin is over [`ORIGIN_LEN_MAX`].
    #[error("the origin has {len} bytes, at most {ORIGIN_LEN_MAX} are allowed")]
    OriginTooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// The timestamp is [`Hlc::ZERO`], which no clock issues.
    #[error("the timestamp is zero")]
    TimeZero,
}

/// The one place that knows what is valid, for entries in memory and for fields that are still
/// bytes of a message.
pub(super) fn validate(
    key: &[u8],
    at: Hlc,
    origin: &[u8],
    value: Option<&[u8]>,
) -> Result<(), Invalid> {
    let value_len = value.map_or(0, <[u8]>::len);
    if key.is_empty() {
        return Err(Invalid::KeyEmpty);
    }
    if key.len() > KEY_LEN_MAX {
        return Err(Invalid::KeyTooLong { len: key.len() });
    }
    if value_len > VALUE_LEN_MAX {
        return Err(Invalid::ValueTooLong { len: value_len });
    }
    if origin.len() > ORIGIN_LEN_MAX {
        return Err(Invalid::OriginTooLong { len: origin.len() });
    }
    if at == Hlc::ZERO {
        return Err(Invalid::TimeZero);
    }
    Ok(())
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn order_goes_by_time_then_origin_then_delete_then_bytes() {
        let ascending = [
            entry(1, "z", Some("z")),
            entry(2, "", Some("z")),
            entry(2, "a", Some("")),
            entry(2, "a", Some("a")),
            entry(2, "a", Some("aa")),
            entry(2, "a", Some("b")),
            entry(2, "a", None),
            entry(2, "aa", Some("")),
            entry(2, "b", None),
            entry(3, "a", Some("a")),
        ];
        assert!(ascending.is_sorted_by(|left, right| left < right));
    }

    #[test]
    fn conflict_is_one_version_with_two_values() {
        let written = entry(1, "a", Some("x"));
        assert!(written.conflicts_with(&entry(1, "a", Some("y"))));
        assert!(written.conflicts_with(&entry(1, "a", None)));
        assert!(!written.conflicts_with(&written));
        assert!(!written.conflicts_with(&entry(1, "b", Some("y"))));
    }

    #[test]
    fn lengths_are_valid_up_to_their_limit() {
        let at = Hlc::from_bits(1);
        let longest = [0; VALUE_LEN_MAX + 1];
        let checked = |key: usize, origin: usize, value: usize| {
            validate(&longest[..key], at, &longest[..origin], Some(&longest[..value]))
        };
        for less in [1, 0] {
            let (key, origin, value) =
                (KEY_LEN_MAX - less, ORIGIN_LEN_MAX - less, VALUE_LEN_MAX - less);
            assert_eq!(checked(key, origin, value), Ok(()));
        }
        assert_eq!(checked(KEY_LEN_MAX + 1, 0, 0), Err(Invalid::KeyTooLong { len: 513 }));
        assert_eq!(checked(1, ORIGIN_LEN_MAX + 1, 0), Err(Invalid::OriginTooLong { len: 256 }));
        assert_eq!(checked(1, 0, VALUE_LEN_MAX + 1), Err(Invalid::ValueTooLong { len: 65_537 }));
        assert_eq!(checked(0, 0, 0), Err(Invalid::KeyEmpty));
        assert_eq!(checked(1, 0, 0), Ok(()));
    }

    #[test]
    fn timestamp_of_zero_is_invalid() {
        assert_eq!(entry(0, "a", None).validate(b"key"), Err(Invalid::TimeZero));
        assert_eq!(entry(1, "a", None).validate(b"key"), Ok(()));
    }

    #[test]
    fn hash_tells_tombstone_from_empty_value_and_field_from_field() {
        let hash = |key: &str, origin, value| entry(1, origin, value).hash(key.as_bytes());
        let different = [
            hash("k", "a", None),
            hash("k", "a", Some("")),
            hash("k", "a", Some("v")),
            hash("ka", "", Some("v")),
            hash("", "ka", Some("v")),
            hash("k", "a=v", None),
        ];
        for (index, left) in different.iter().enumerate() {
            assert!(!different[index + 1..].contains(left), "entry {index} collides");
        }
    }

    proptest! {
        #[test]
        fn order_is_equal_exactly_for_equal_entries(left in entries(), right in entries()) {
            prop_assert_eq!(left.cmp(&right) == Ordering::Equal, left == right);
            prop_assert_eq!(left.cmp(&right), right.cmp(&left).reverse());
        }
    }

    pub(in crate::store) fn entry(bits: u64, origin: &'static str, value: Option<&str>) -> Entry {
        let version = Version { at: Hlc::from_bits(bits), origin: origin.into() };
        Entry { version, value: value.map(|value| Bytes::copy_from_slice(value.as_bytes())) }
    }

    /// Few times, origins and values, so that ties of every kind are frequent.
    pub(in crate::store) fn entries() -> impl Strategy<Value = Entry> {
        let value = prop_oneof![Just(None), Just(Some("")), Just(Some("x")), Just(Some("y"))];
        let origin = prop_oneof![Just(""), Just("a"), Just("b")];
        (1..5_u64, origin, value).prop_map(|(bits, origin, value)| entry(bits, origin, value))
    }
}
