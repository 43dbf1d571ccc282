//! The replicated store: last-writer-wins registers over flat byte keys.
//!
//! Every replica keeps the greatest [`Entry`] it has seen per key, and "greatest" is a total order.
//! So entries may arrive late, twice, or in any order: replicas that have seen the same entries are
//! equal. A delete is an entry too, a tombstone: an older write that arrives after it does not
//! bring the key back.
//!
//! The way in for anything that a peer sent is [`decode_write`] or [`StateReader`] (is it well
//! formed?), then [`Clock::observe`](crate::hlc::Clock::observe) (is it from the future?), then
//! [`Store::apply`] (is it news?). Values are never parsed: gossip carries a poison value to every
//! node, so no node may be hurt by one.

mod codec;
mod entry;
pub(crate) mod fnv;

use core::cmp::Ordering;
use std::collections::BTreeMap;

use bytes::Bytes;
use thiserror::Error;

pub use codec::{
    CodecError, STATE_LEN_MAX, StateReader, TooLarge, WRITE_LEN_MAX, decode_write, encode_state,
    encode_write,
};
pub use entry::{Entry, Invalid, KEY_LEN_MAX, ORIGIN_LEN_MAX, VALUE_LEN_MAX, Version};

/// How much one store holds. Unlike the limits of a single entry these may differ between nodes;
/// but a store that is full refuses news which others accept, and then its [`Store::digest`]
/// differs from theirs until it has room again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most keys, tombstones included. It bounds a walk over the store: listing keys, encoding the
    /// state. Counted in [`Stats::keys_full`] when it bites.
    pub keys_max: usize,
    /// Most bytes: keys, values, and [`ENTRY_OVERHEAD`] per entry. It bounds memory, and what a
    /// push/pull carries. Counted in [`Stats::bytes_full`] when it bites.
    pub bytes_max: usize,
}

impl Limits {
    /// 50,000 keys and 15 MiB. Within these limits a full store always fits into one state of
    /// [`STATE_LEN_MAX`] bytes, so that no node is ever unable to hand all it knows to another.
    /// With higher limits [`encode_state`] can fail.
    pub const DEFAULT: Self = Self { keys_max: 50_000, bytes_max: 15 * 1024 * 1024 };
}

/// [`Limits::DEFAULT`].
impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// What an entry is charged beside its key and its value, in bytes: 271, the most that the rest of
/// it takes when encoded, and about what the map and the allocator add in memory.
///
/// It is the same for all entries, so that a delete of a known key never needs room: a full store
/// can always be emptied.
pub const ENTRY_OVERHEAD: usize = 16 + ORIGIN_LEN_MAX;

/// What became of an entry that was given to [`Store::apply`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// It was news and is now what the store holds: tell others.
    Stored,
    /// The store holds a greater entry; nothing was changed.
    Older,
    /// The store holds this very entry; nothing was changed.
    Same,
}

/// Why an entry was refused. Nothing but a counter in [`Stats`] was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum StoreError {
    /// No store accepts it: the sender's fault.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The key is new and the store has no room for one more: the configuration's fault.
    #[error("the store holds its maximum of {keys_max} keys, tombstones included")]
    KeysFull {
        /// The limit that was reached.
        keys_max: usize,
    },
    /// The store has no room for that many bytes more: the configuration's fault.
    #[error("the store would hold {bytes} bytes, at most {bytes_max} are allowed")]
    BytesFull {
        /// What the store would have held.
        bytes: usize,
        /// The limit that was reached.
        bytes_max: usize,
    },
}

/// How often each outcome of [`Store::apply`] occurred. What is refused before it reaches the
/// store, by the codec or by the clock, is for the caller to count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Entries that were news.
    pub stored: u64,
    /// Entries that lost against what was held.
    pub older: u64,
    /// Entries that were held already.
    pub same: u64,
    /// Entries with the version of what was held but another value; each also counts as stored or
    /// older. Unless some writer has no origin of its own, anything but zero is a bug.
    pub conflicts: u64,
    /// Refused: empty key.
    pub key_empty: u64,
    /// Refused: key over [`KEY_LEN_MAX`].
    pub key_too_long: u64,
    /// Refused: value over [`VALUE_LEN_MAX`].
    pub value_too_long: u64,
    /// Refused: origin over [`ORIGIN_LEN_MAX`].
    pub origin_too_long: u64,
    /// Refused: timestamp of zero.
    pub time_zero: u64,
    /// Refused: [`Limits::keys_max`].
    pub keys_full: u64,
    /// Refused: [`Limits::bytes_max`].
    pub bytes_full: u64,
}

impl Stats {
    fn count(&mut self, outcome: &Result<Applied, StoreError>) {
        let counter = match outcome {
            Ok(Applied::Stored) => &mut self.stored,
            Ok(Applied::Older) => &mut self.older,
            Ok(Applied::Same) => &mut self.same,
            Err(StoreError::Invalid(Invalid::KeyEmpty)) => &mut self.key_empty,
            Err(StoreError::Invalid(Invalid::KeyTooLong { .. })) => &mut self.key_too_long,
            Err(StoreError::Invalid(Invalid::ValueTooLong { .. })) => &mut self.value_too_long,
            Err(StoreError::Invalid(Invalid::OriginTooLong { .. })) => &mut self.origin_too_long,
            Err(StoreError::Invalid(Invalid::TimeZero)) => &mut self.time_zero,
            Err(StoreError::KeysFull { .. }) => &mut self.keys_full,
            Err(StoreError::BytesFull { .. }) => &mut self.bytes_full,
        };
        *counter += 1;
    }
}

/// One replica: the greatest entry known per key, in key order.
///
/// ```
/// use bytes::Bytes;
/// use kv_demo::hlc::Clock;
/// use kv_demo::store::{Applied, Entry, Store, Version};
///
/// let (mut clock, mut store) = (Clock::default(), Store::default());
/// let mut version =
///     || Version { at: clock.tick(1_700_000_000_000), origin: Bytes::from("node-1") };
/// let write = Entry { version: version(), value: Some(Bytes::from("better")) };
/// let delete = Entry { version: version(), value: None };
///
/// let key = Bytes::from("mgossip");
/// assert_eq!(store.apply(key.clone(), delete), Ok(Applied::Stored));
/// assert_eq!(store.apply(key, write), Ok(Applied::Older)); // it comes too late
/// assert_eq!(store.get(b"mgossip"), None);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Store {
    limits: Limits,
    entries: BTreeMap<Bytes, Entry>,
    totals: Totals,
    stats: Stats,
}

impl Store {
    /// An empty store.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// The value of `key`; `None` if it was never written, or deleted.
    #[must_use]
    pub fn get(&self, key: &[u8]) -> Option<&Bytes> {
        self.entry(key)?.value.as_ref()
    }

    /// All that is known about `key`, a tombstone included.
    #[must_use]
    pub fn entry(&self, key: &[u8]) -> Option<&Entry> {
        self.entries.get(key)
    }

    /// Merges one entry: keeps the greater of it and what is held under `key`.
    ///
    /// The store keeps `key` and the parts of `entry` as they are, so none of them should be a
    /// slice that holds on to a larger buffer; the codec hands out copies.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] for an entry that no store accepts, [`StoreError::KeysFull`] and
    /// [`StoreError::BytesFull`] for news that this store has no room for. The entries are
    /// unchanged.
    pub fn apply(&mut self, key: Bytes, entry: Entry) -> Result<Applied, StoreError> {
        let held = self.entries.get(&key);
        let outcome = self.judge(&key, &entry, held);
        self.stats.count(&outcome);
        if outcome.is_ok() && held.is_some_and(|held| held.conflicts_with(&entry)) {
            self.stats.conflicts += 1;
        }
        if outcome == Ok(Applied::Stored) {
            self.put(key, entry);
        }
        outcome
    }

    /// What [`apply`](Self::apply) would do with an entry, without doing or counting it.
    ///
    /// # Errors
    /// As for [`apply`](Self::apply).
    pub fn foresee(&self, key: &[u8], entry: &Entry) -> Result<Applied, StoreError> {
        self.judge(key, entry, self.entries.get(key))
    }

    /// All entries, tombstones included, in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&Bytes, &Entry)> {
        self.entries.iter()
    }

    /// All keys that have a value, and their values, in the order of the keys.
    pub fn live(&self) -> impl Iterator<Item = (&Bytes, &Bytes)> {
        self.iter().filter_map(|(key, entry)| Some((key, entry.value.as_ref()?)))
    }

    /// How many keys have a value.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.totals.live
    }

    /// Whether no key has a value; there may still be tombstones.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many deleted keys are remembered.
    #[must_use]
    pub const fn tombstones(&self) -> usize {
        self.totals.tombstones
    }

    /// What all entries are charged, in bytes; see [`Limits::bytes_max`].
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.totals.bytes
    }

    /// A fingerprint of all entries, independent of the order in which they came: the wrapping sum
    /// of one hash per entry. Replicas that hold the same entries have the same digest on every
    /// platform; for others it differs but for a chance of 2^-64 (or a peer's intent: the hash has
    /// no key).
    #[must_use]
    pub fn digest(&self) -> u64 {
        debug_assert_eq!(self.totals, Totals::of(&self.entries), "incremental totals went astray");
        self.totals.digest
    }

    /// How often each outcome of [`Store::apply`] occurred so far.
    #[must_use]
    pub const fn stats(&self) -> &Stats {
        &self.stats
    }

    /// How much this store may hold.
    #[must_use]
    pub const fn limits(&self) -> Limits {
        self.limits
    }

    fn judge(
        &self,
        key: &[u8],
        entry: &Entry,
        held: Option<&Entry>,
    ) -> Result<Applied, StoreError> {
        entry.validate(key)?;
        match held.map(|held| entry.cmp(held)) {
            Some(Ordering::Less) => return Ok(Applied::Older),
            Some(Ordering::Equal) => return Ok(Applied::Same),
            Some(Ordering::Greater) | None => {}
        }
        let Limits { keys_max, bytes_max } = self.limits;
        if held.is_none() && self.entries.len() >= keys_max {
            return Err(StoreError::KeysFull { keys_max });
        }
        let freed = held.map_or(0, |held| charge(key, held));
        let bytes = self.totals.bytes - freed + charge(key, entry);
        if bytes > bytes_max {
            return Err(StoreError::BytesFull { bytes, bytes_max });
        }
        Ok(Applied::Stored)
    }

    fn put(&mut self, key: Bytes, entry: Entry) {
        self.totals.add(&key, &entry);
        if let Some(held) = self.entries.get(&key) {
            self.totals.remove(&key, held);
        }
        self.entries.insert(key, entry);
        assert!(self.entries.len() <= self.limits.keys_max);
        assert!(self.totals.bytes <= self.limits.bytes_max);
    }
}

/// What can be computed from the entries alone, kept up to date so that nobody has to walk them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Totals {
    live: usize,
    tombstones: usize,
    bytes: usize,
    digest: u64,
}

impl Totals {
    /// The naive fold, against which the incremental totals are checked.
    fn of(entries: &BTreeMap<Bytes, Entry>) -> Self {
        let mut totals = Self::default();
        for (key, entry) in entries {
            totals.add(key, entry);
        }
        totals
    }

    fn add(&mut self, key: &[u8], entry: &Entry) {
        *self.side(entry) += 1;
        self.bytes += charge(key, entry);
        self.digest = self.digest.wrapping_add(entry.hash(key));
    }

    fn remove(&mut self, key: &[u8], entry: &Entry) {
        *self.side(entry) -= 1;
        self.bytes -= charge(key, entry);
        self.digest = self.digest.wrapping_sub(entry.hash(key));
    }

    fn side(&mut self, entry: &Entry) -> &mut usize {
        if entry.is_tombstone() { &mut self.tombstones } else { &mut self.live }
    }
}

fn charge(key: &[u8], entry: &Entry) -> usize {
    ENTRY_OVERHEAD + key.len() + entry.value.as_ref().map_or(0, Bytes::len)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::entry::tests::{entries, entry};
    use super::*;
    use crate::hlc::{Clock, Hlc};

    #[test]
    fn newer_write_wins_whatever_the_order() {
        let (old, new) = (entry(1, "z", Some("old")), entry(2, "a", Some("new")));
        let mut store = Store::default();
        assert_eq!(store.apply(key("k"), new.clone()), Ok(Applied::Stored));
        assert_eq!(store.apply(key("k"), old), Ok(Applied::Older));
        assert_eq!(store.apply(key("k"), new.clone()), Ok(Applied::Same));
        assert_eq!(store.get(b"k").unwrap(), "new");
        assert_eq!(store.entry(b"k"), Some(&new));
        let Stats { stored, older, same, conflicts, .. } = *store.stats();
        assert_eq!((stored, older, same, conflicts), (1, 1, 1, 0));
    }

    #[test]
    fn deleted_key_is_absent_but_remembered() {
        let store = replica(&[
            (key("gone"), entry(1, "a", Some("x"))),
            (key("gone"), entry(2, "a", None)),
            (key("here"), entry(1, "a", Some(""))),
        ]);
        assert_eq!(store.get(b"gone"), None);
        assert!(store.entry(b"gone").unwrap().is_tombstone());
        assert_eq!(store.get(b"here").unwrap(), "");
        assert_eq!((store.len(), store.tombstones(), store.is_empty()), (1, 1, false));
    }

    #[test]
    fn newer_write_revives_a_deleted_key() {
        let store =
            replica(&[(key("k"), entry(2, "a", None)), (key("k"), entry(3, "a", Some("again")))]);
        assert_eq!(store.get(b"k").unwrap(), "again");
        assert_eq!((store.len(), store.tombstones()), (1, 0));
    }

    #[test]
    fn conflict_is_counted_whichever_side_wins() {
        let (small, large) = (entry(1, "", Some("a")), entry(1, "", Some("b")));
        let mut store = replica(&[(key("k"), small.clone())]);
        assert_eq!(store.apply(key("k"), large), Ok(Applied::Stored));
        assert_eq!(store.apply(key("k"), small), Ok(Applied::Older));
        assert_eq!(store.stats().conflicts, 2);
    }

    #[test]
    fn walk_is_in_key_order() {
        let keys = ["b", "a", "ab", "\u{7f}", "B"];
        let mut writes = keys.map(|name| (key(name), entry(1, "a", Some("x")))).to_vec();
        writes.push((key("aa"), entry(1, "a", None)));
        let store = replica(&writes);
        let all: Vec<_> = store.iter().map(|(key, _)| key.clone()).collect();
        let live: Vec<_> = store.live().map(|(key, _)| key.clone()).collect();
        assert_eq!(all, ["B", "a", "aa", "ab", "b", "\u{7f}"]);
        assert_eq!(live, ["B", "a", "ab", "b", "\u{7f}"]);
    }

    #[test]
    fn invalid_entry_is_refused_and_counted_and_changes_nothing() {
        let long = |len| Bytes::from(vec![b'x'; len]);
        let good = entry(1, "a", Some("x"));
        let mut long_value = good.clone();
        long_value.value = Some(long(VALUE_LEN_MAX + 1));
        let mut long_origin = good.clone();
        long_origin.version.origin = long(ORIGIN_LEN_MAX + 1);

        let mut store = replica(&[(key("k"), good.clone())]);
        let before = store.clone();
        for (key, entry) in [
            (Bytes::new(), good.clone()),
            (long(KEY_LEN_MAX + 1), good),
            (key("k"), long_value),
            (key("k"), long_origin),
            (key("k"), entry(0, "a", None)),
        ] {
            assert!(matches!(store.apply(key, entry), Err(StoreError::Invalid(_))));
        }
        assert_same(&store, &before);
        let expected = Stats {
            key_empty: 1,
            key_too_long: 1,
            value_too_long: 1,
            origin_too_long: 1,
            time_zero: 1,
            ..*before.stats()
        };
        assert_eq!(*store.stats(), expected);
    }

    #[test]
    fn keys_are_accepted_up_to_their_limit() {
        let mut store = Store::new(Limits { keys_max: 2, ..Limits::DEFAULT });
        assert_eq!(store.apply(key("a"), entry(1, "a", Some("x"))), Ok(Applied::Stored));
        assert_eq!(store.apply(key("b"), entry(1, "a", None)), Ok(Applied::Stored));
        let before = store.clone();
        let refused = store.apply(key("c"), entry(9, "a", None));
        assert_eq!(refused, Err(StoreError::KeysFull { keys_max: 2 }));
        assert_eq!(store.stats().keys_full, 1);
        assert_same(&store, &before);
        assert_eq!(store.apply(key("b"), entry(2, "a", Some("x"))), Ok(Applied::Stored));
    }

    #[test]
    fn bytes_are_accepted_up_to_their_limit() {
        let bytes_max = ENTRY_OVERHEAD + 5;
        let mut store = Store::new(Limits { bytes_max, ..Limits::DEFAULT });
        assert_eq!(store.apply(key("k"), entry(1, "a", Some("123"))), Ok(Applied::Stored));
        assert_eq!(store.apply(key("k"), entry(2, "a", Some("1234"))), Ok(Applied::Stored));
        assert_eq!(store.bytes(), bytes_max);
        let before = store.clone();
        let refused = store.apply(key("k"), entry(3, "a", Some("12345")));
        assert_eq!(refused, Err(StoreError::BytesFull { bytes: bytes_max + 1, bytes_max }));
        assert_eq!(store.stats().bytes_full, 1);
        assert_same(&store, &before);
    }

    #[test]
    fn full_store_can_be_emptied_by_a_writer_with_a_longer_name() {
        let limits = Limits { keys_max: 1, bytes_max: ENTRY_OVERHEAD + 1 };
        let mut store = Store::new(limits);
        assert_eq!(store.apply(key("k"), entry(1, "a", Some(""))), Ok(Applied::Stored));
        let mut delete = entry(2, "", None);
        delete.version.origin = Bytes::from(vec![b'x'; ORIGIN_LEN_MAX]);
        assert_eq!(store.apply(key("k"), delete), Ok(Applied::Stored));
        assert!(store.is_empty());
    }

    #[test]
    fn write_from_the_far_future_is_refused_and_its_key_stays_writable() {
        const NOW_MS: u64 = 1_700_000_000_000;
        let ten_years_ms = 10 * 365 * 86_400_000;
        let (mut clock, mut store) = (Clock::default(), Store::default());
        for poison in [Hlc::new(NOW_MS + ten_years_ms, 0), Hlc::from_bits(u64::MAX)] {
            let message = encode_write(b"k", &entry(poison.bits(), "a", Some("poison")));
            let (_, poisoned) = decode_write(&message).unwrap();
            assert!(clock.observe(poisoned.version.at, NOW_MS).is_err());
        }
        let ours = entry(clock.tick(NOW_MS).bits(), "b", Some("ours"));
        assert_eq!(store.apply(key("k"), ours), Ok(Applied::Stored));
    }

    #[test]
    fn digest_is_the_same_on_every_platform() {
        let store = replica(&[
            (key("mgossip"), entry(0x0123_4567_89ab, "node-1", Some("better"))),
            (key("gone"), entry(2, "node-2", None)),
        ]);
        assert_eq!(Store::default().digest(), 0);
        assert_eq!(store.digest(), 0x303c_8d76_542a_3b98);
    }

    proptest! {
        #[test]
        fn replicas_agree_whatever_the_order_and_the_duplicates([once, shuffled] in deliveries()) {
            let (left, right) = (replica(&once), replica(&shuffled));
            assert_same(&left, &right);
        }

        #[test]
        fn replica_holds_the_greatest_entry_per_key(writes in writes()) {
            let store = replica(&writes);
            for name in KEYS {
                let heard = writes.iter().filter(|(key, _)| key == name).map(|(_, entry)| entry);
                prop_assert_eq!(store.entry(name.as_bytes()), heard.max());
            }
        }

        #[test]
        fn merge_is_idempotent_commutative_and_associative(
            (a, b, c) in (writes(), writes(), writes()),
        ) {
            let (a, b, c) = (replica(&a), replica(&b), replica(&c));
            assert_same(&merged(&a, &a), &a);
            assert_same(&merged(&a, &b), &merged(&b, &a));
            assert_same(&merged(&merged(&a, &b), &c), &merged(&a, &merged(&b, &c)));
        }

        #[test]
        fn older_write_never_revives_a_deleted_key(
            late in vec(entries(), 0..20),
            bits in 1..6_u64,
        ) {
            let delete = entry(bits, "b", None);
            let mut store = replica(&[(key("k"), delete.clone())]);
            for entry in late.into_iter().filter(|entry| entry.version <= delete.version) {
                prop_assert_ne!(store.apply(key("k"), entry), Ok(Applied::Stored));
                prop_assert_eq!(store.get(b"k"), None);
            }
        }

        #[test]
        fn totals_and_digest_are_those_of_the_naive_fold(writes in writes()) {
            let store = replica(&writes);
            prop_assert_eq!(store.totals, Totals::of(&store.entries));
            prop_assert_eq!(store.len(), store.live().count());
            prop_assert_eq!(store.len() + store.tombstones(), store.iter().count());
        }

        #[test]
        fn digest_differs_exactly_when_replicas_do(a in writes(), b in writes()) {
            let (a, b) = (replica(&a), replica(&b));
            prop_assert_eq!(a.digest() == b.digest(), a.entries == b.entries);
        }

        #[test]
        fn limits_hold_after_every_apply(
            writes in writes(),
            keys_max in 0..4_usize,
            room in 0..4_usize,
        ) {
            let bytes_max = room * (ENTRY_OVERHEAD + 2);
            let mut store = Store::new(Limits { keys_max, bytes_max });
            for (key, entry) in writes {
                let _ = store.apply(key, entry);
                prop_assert!(store.iter().count() <= keys_max);
                prop_assert!(store.bytes() <= bytes_max);
            }
        }
    }

    const KEYS: [&str; 3] = ["a", "b", "ab"];

    fn key(name: &'static str) -> Bytes {
        Bytes::from(name)
    }

    fn writes() -> impl Strategy<Value = Vec<(Bytes, Entry)>> {
        let name = prop::sample::select(&KEYS[..]);
        vec((name.prop_map(key), entries()), 0..24)
    }

    /// The same writes twice: in order, and shuffled with some of them delivered again.
    fn deliveries() -> impl Strategy<Value = [Vec<(Bytes, Entry)>; 2]> {
        writes().prop_flat_map(|once| {
            let again = prop::sample::subsequence(once.clone(), 0..=once.len());
            let first = once.clone();
            let shuffled = again.prop_map(move |again| [first.clone(), again].concat());
            (Just(once), shuffled.prop_shuffle()).prop_map(|(once, shuffled)| [once, shuffled])
        })
    }

    fn replica(writes: &[(Bytes, Entry)]) -> Store {
        let mut store = Store::default();
        for (key, entry) in writes {
            store.apply(key.clone(), entry.clone()).unwrap();
        }
        store
    }

    fn merged(into: &Store, from: &Store) -> Store {
        let mut merged = into.clone();
        for (key, entry) in from.iter() {
            merged.apply(key.clone(), entry.clone()).unwrap();
        }
        merged
    }

    fn assert_same(left: &Store, right: &Store) {
        assert_eq!(left.entries, right.entries);
        assert_eq!(left.totals, right.totals);
        assert_eq!(left.digest(), right.digest());
    }
}
