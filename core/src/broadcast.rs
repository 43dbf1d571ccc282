//! The transmit-limited queue (SWIM §4.1, protocol page §4.10).
//!
//! What has been sent least often goes first, then what is longest, then what is newest; each
//! entry is sent a limited number of times. Copies for those who may not be there are counted apart:
//! in memberlist they use up the number, so that beside a few dead members nobody else may hear of
//! it. An entry with a key replaces the queued one of the same key. All operations cost O(log n) per
//! entry touched, and the bytes are bounded.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::ops::Bound;

/// Where an entry stands: urgent ones first, then ascending by transmits, then descending by
/// length and age.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    haste: Haste,
    transmits: u32,
    len: Reverse<usize>,
    id: Reverse<u64>,
}

/// Whether an entry goes before all others until it has been sent often enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Haste {
    Urgent,
    Usual,
}

#[derive(Debug)]
struct Entry<T, K> {
    key: Option<K>,
    /// How often it was sent to those who may not be there.
    apart: u32,
    item: T,
}

/// What a collection is counted as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Account {
    /// As a transmission: somebody is there, as far as we know.
    Budget,
    /// Apart, up to the same number: perhaps nobody is there. What was sent so often waits for
    /// others.
    Apart,
}

/// What became of an entry that was offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offer {
    /// It was sent.
    Taken,
    /// Not to this recipient; it stays as it is.
    Skipped,
    /// It stays as it is, and no other need be offered.
    Stop,
    /// It goes, unsent.
    Drop,
}

/// What was sent and how much room is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Collection {
    pub(crate) taken: usize,
    pub(crate) budget: usize,
}

/// Items with a length in bytes, to be sent a limited number of times each.
#[derive(Debug)]
pub(crate) struct TransmitQueue<T, K = u64> {
    entries: BTreeMap<Rank, Entry<T, K>>,
    keyed: BTreeMap<K, Rank>,
    /// Entries sent in the current collection, kept for its allocation.
    aside: Vec<(Rank, Entry<T, K>)>,
    next_id: u64,
    bytes: usize,
    bytes_max: usize,
}

impl<T, K: Copy + Ord> TransmitQueue<T, K> {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self {
            entries: BTreeMap::new(),
            keyed: BTreeMap::new(),
            aside: Vec::new(),
            next_id: 0,
            bytes: 0,
            bytes_max,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Bytes of all entries together, without what surrounds them.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// All entries, the next to be sent first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.entries.values().map(|entry| &entry.item)
    }

    /// Whether an entry of this key still waits to be sent.
    pub(crate) fn contains(&self, key: K) -> bool {
        self.keyed.contains_key(&key)
    }

    /// Queues an item of `len` bytes that was sent `transmits` times already, in place of the one
    /// with the same key. Returns how many entries were dropped to stay within the byte limit:
    /// those sent most often, then the shortest, then the oldest.
    #[must_use = "dropped entries are counted"]
    pub(crate) fn insert(&mut self, key: Option<K>, len: usize, item: T, transmits: u32) -> usize {
        self.insert_with(Haste::Usual, key, len, item, transmits)
    }

    /// The same for an entry that may not wait its turn.
    #[must_use = "dropped entries are counted"]
    pub(crate) fn insert_urgent(&mut self, key: K, len: usize, item: T) -> usize {
        self.insert_with(Haste::Urgent, Some(key), len, item, 0)
    }

    fn insert_with(
        &mut self,
        haste: Haste,
        key: Option<K>,
        len: usize,
        item: T,
        transmits: u32,
    ) -> usize {
        if let Some(key) = key {
            self.remove(key);
        }
        let rank = Rank { haste, transmits, len: Reverse(len), id: Reverse(self.next_id) };
        self.next_id += 1;
        self.put(rank, Entry { key, apart: 0, item });
        let mut dropped = 0;
        while self.bytes > self.bytes_max
            && let Some((&last, _)) = self.entries.last_key_value()
        {
            self.take(last);
            dropped += 1;
        }
        dropped
    }

    /// Removes the entry of a key; `false` if there is none.
    pub(crate) fn remove(&mut self, key: K) -> bool {
        let rank = self.keyed.get(&key).copied();
        rank.is_some_and(|rank| self.take(rank).is_some())
    }

    /// Drops the entries that `keep` does not name. Returns how many.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&T) -> bool) -> usize {
        let unwanted = self.entries.iter().filter(|(_, entry)| !keep(&entry.item));
        let unwanted: Vec<Rank> = unwanted.map(|(&rank, _)| rank).collect();
        for &rank in &unwanted {
            self.take(rank);
        }
        unwanted.len()
    }

    /// Offers entries that fit `budget` bytes, each costing `overhead` more than its length, and
    /// counts a transmission for each one taken, as `account` says; an entry is offered at most once
    /// per call and dropped after `limit` transmissions.
    pub(crate) fn collect(
        &mut self,
        mut budget: usize,
        overhead: usize,
        limit: u32,
        account: Account,
        mut offer: impl FnMut(&T) -> Offer,
    ) -> Collection {
        let mut taken = 0;
        let mut from = Bound::Unbounded;
        while let Some(rank) = self.next_fitting(from, budget, overhead) {
            from = Bound::Excluded(rank);
            let Some(entry) = self.entries.get(&rank) else { break };
            if account == Account::Apart && entry.apart >= limit {
                continue;
            }
            match offer(&entry.item) {
                Offer::Taken => {}
                Offer::Skipped => continue,
                Offer::Drop => {
                    self.take(rank);
                    continue;
                }
                Offer::Stop => break,
            }
            budget -= overhead + rank.len.0;
            taken += 1;
            if let Some(entry) = self.take(rank) {
                self.aside.push((rank, entry));
            }
        }
        let mut aside = core::mem::take(&mut self.aside);
        for (rank, mut entry) in aside.drain(..) {
            match account {
                Account::Apart => {
                    entry.apart += 1;
                    self.put(rank, entry);
                }
                Account::Budget if rank.transmits + 1 < limit => {
                    self.put(Rank { transmits: rank.transmits + 1, ..rank }, entry);
                }
                Account::Budget => {}
            }
        }
        self.aside = aside;
        Collection { taken, budget }
    }

    /// The first entry after `from` whose length fits. Tiers are walked in order; inside a tier
    /// the longer ones come first, so those that do not fit are jumped over in one step.
    fn next_fitting(&self, mut from: Bound<Rank>, budget: usize, overhead: usize) -> Option<Rank> {
        let len_max = Reverse(budget.checked_sub(overhead)?);
        loop {
            let (&rank, _) = self.entries.range((from, Bound::Unbounded)).next()?;
            if rank.len >= len_max {
                return Some(rank);
            }
            let jump = Rank { len: len_max, id: Reverse(u64::MAX), ..rank };
            from = Bound::Included(jump);
        }
    }

    fn put(&mut self, rank: Rank, entry: Entry<T, K>) {
        self.bytes += rank.len.0;
        if let Some(key) = entry.key {
            self.keyed.insert(key, rank);
        }
        self.entries.insert(rank, entry);
    }

    fn take(&mut self, rank: Rank) -> Option<Entry<T, K>> {
        let entry = self.entries.remove(&rank)?;
        self.bytes -= rank.len.0;
        if let Some(key) = entry.key {
            self.keyed.remove(&key);
        }
        Some(entry)
    }

    /// What the counters claim, checked against the entries.
    pub(crate) fn check(&self) {
        let bytes: usize = self.entries.keys().map(|rank| rank.len.0).sum();
        assert_eq!(bytes, self.bytes, "the byte count is kept");
        assert!(self.bytes <= self.bytes_max, "the queue stays within its bytes");
        let keyed = self.entries.values().filter(|entry| entry.key.is_some()).count();
        assert_eq!(keyed, self.keyed.len(), "every key names one entry");
        assert!(self.aside.is_empty(), "nothing is left aside between collections");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Rng, Stream};
    use alloc::string::String;
    use alloc::vec;

    const PLENTY: usize = 1 << 20;

    fn queue(items: &[(&str, usize)]) -> TransmitQueue<String> {
        let mut queue = TransmitQueue::new(PLENTY);
        for &(name, len) in items {
            assert_eq!(queue.insert(None, len, name.into(), 0), 0);
        }
        queue
    }

    fn take(
        queue: &mut TransmitQueue<String>,
        overhead: usize,
        budget: usize,
        limit: u32,
    ) -> Vec<String> {
        take_for(queue, Account::Budget, overhead, budget, limit)
    }

    fn take_for(
        queue: &mut TransmitQueue<String>,
        account: Account,
        overhead: usize,
        budget: usize,
        limit: u32,
    ) -> Vec<String> {
        let mut taken = Vec::new();
        queue.collect(budget, overhead, limit, account, |item| {
            taken.push(item.clone());
            Offer::Taken
        });
        queue.check();
        taken
    }

    #[test]
    fn a_collection_stays_within_its_budget() {
        let four = [("a", 18), ("b", 18), ("c", 18), ("d", 18)];
        assert_eq!(take(&mut queue(&four), 2, 80, 10).len(), 4);
        assert_eq!(take(&mut queue(&four), 3, 80, 10).len(), 3);
    }

    #[test]
    fn an_entry_is_sent_as_often_as_the_limit_says() {
        let mut queue = queue(&[("a", 18), ("b", 18), ("c", 18), ("d", 18)]);
        let sizes: Vec<usize> = (0..4).map(|_| take(&mut queue, 3, 80, 2).len()).collect();
        assert_eq!(sizes, [3, 3, 2, 0]);
        assert!(queue.is_empty());
    }

    #[test]
    fn an_entry_is_sent_once_even_when_the_limit_is_zero() {
        let mut queue = queue(&[("a", 1)]);
        assert_eq!(take(&mut queue, 2, 80, 0), ["a"]);
        assert!(queue.is_empty());
    }

    #[test]
    fn the_least_sent_go_first_then_the_longest_then_the_newest() {
        let mut queue = queue(&[("sent", 50)]);
        take(&mut queue, 2, 80, 10);
        for (name, len) in [("short", 5), ("old", 9), ("new", 9)] {
            let _ = queue.insert(None, len, name.into(), 0);
        }
        assert_eq!(take(&mut queue, 2, 1_000, 10), ["new", "old", "short", "sent"]);
    }

    #[test]
    fn a_shorter_entry_fills_the_room_that_a_longer_one_cannot() {
        let mut queue = queue(&[("long", 60), ("middle", 30), ("short", 8)]);
        assert_eq!(take(&mut queue, 2, 75, 10), ["long", "short"]);
        assert_eq!(take(&mut queue, 2, 75, 10), ["middle", "short"]);
    }

    #[test]
    fn what_is_urgent_goes_first_until_it_was_sent_often_enough() {
        let mut queue = queue(&[("long", 40), ("fresh", 20)]);
        assert_eq!(queue.insert_urgent(1, 5, "bye".into()), 0);
        assert_eq!(take(&mut queue, 2, 50, 3), ["bye", "long"]);
        assert_eq!(take(&mut queue, 2, 30, 3), ["bye", "fresh"]);
        assert_eq!(take(&mut queue, 2, 7, 3), ["bye"]);
        assert_eq!(take(&mut queue, 2, 100, 3), ["long", "fresh"]);
    }

    #[test]
    fn a_key_replaces_its_queued_entry() {
        let mut queue = TransmitQueue::new(PLENTY);
        for (key, item) in [(1, "old"), (2, "other"), (1, "new")] {
            let _ = queue.insert(Some(key), 5, String::from(item), 0);
        }
        assert_eq!(queue.len(), 2);
        assert_eq!(take(&mut queue, 2, 100, 10), ["new", "other"]);
        assert!(queue.contains(1));
        queue.remove(1);
        assert!(!queue.contains(1));
        queue.check();
    }

    #[test]
    fn entries_that_are_not_kept_are_dropped_with_their_bytes_and_keys() {
        let mut queue = TransmitQueue::new(PLENTY);
        for (key, item) in [(1, "stays"), (2, "goes"), (3, "goes")] {
            let _ = queue.insert(Some(key), 5, String::from(item), 0);
        }
        assert_eq!(queue.retain(|item| item == "stays"), 2);
        queue.check();
        assert!(queue.contains(1) && !queue.contains(2));
    }

    #[test]
    fn an_entry_skipped_is_not_counted_as_sent() {
        let mut queue = queue(&[("a", 5), ("b", 5)]);
        let collection = queue.collect(100, 2, 1, Account::Budget, |item| {
            if item == "a" { Offer::Skipped } else { Offer::Taken }
        });
        assert_eq!(collection, Collection { taken: 1, budget: 93 });
        assert_eq!(take(&mut queue, 2, 100, 1), ["a"]);
    }

    #[test]
    fn copies_for_who_may_not_be_there_are_limited_and_leave_the_budget_alone() {
        let mut queue = queue(&[("old", 5)]);
        let apart = |queue: &mut TransmitQueue<String>| take_for(queue, Account::Apart, 2, 100, 2);
        assert_eq!(apart(&mut queue), ["old"]);
        let _ = queue.insert(None, 5, "new".into(), 0);
        assert_eq!(apart(&mut queue), ["new", "old"]);
        assert_eq!(apart(&mut queue), ["new"], "the old one was sent twice");
        assert_eq!(apart(&mut queue), [""; 0]);
        assert_eq!(take(&mut queue, 2, 100, 2), ["new", "old"]);
        assert_eq!(take(&mut queue, 2, 100, 2), ["new", "old"]);
        assert!(queue.is_empty());
    }

    #[test]
    fn beyond_the_byte_limit_the_most_sent_shortest_oldest_are_dropped() {
        let mut queue = TransmitQueue::new(30);
        for name in ["first", "second"] {
            assert_eq!(queue.insert(None, 10, String::from(name), 0), 0);
        }
        take(&mut queue, 2, 14, 10);
        assert_eq!(queue.insert(None, 10, "third".into(), 0), 0);
        assert_eq!(queue.insert(None, 10, "fourth".into(), 0), 1);
        queue.check();
        assert_eq!(take(&mut queue, 2, 1_000, 10), ["fourth", "third", "first"]);
        assert_eq!(queue.insert(None, 31, "too long".into(), 0), 4);
        queue.check();
    }

    /// The rule of the protocol page, word by word, on a plain list.
    #[derive(Default)]
    struct Oracle(Vec<(u32, usize, u64)>);

    impl Oracle {
        fn collect(&mut self, mut budget: usize, overhead: usize, limit: u32) -> Vec<u64> {
            let mut taken = Vec::new();
            let mut tiers: Vec<u32> = self.0.iter().map(|entry| entry.0).collect();
            tiers.sort_unstable();
            tiers.dedup();
            for tier in tiers {
                loop {
                    let fits = |entry: &&(u32, usize, u64)| {
                        entry.0 == tier && entry.1 + overhead <= budget && !taken.contains(&entry.2)
                    };
                    let best = self.0.iter().filter(fits).max_by_key(|entry| (entry.1, entry.2));
                    let Some(&(_, len, id)) = best else { break };
                    budget -= len + overhead;
                    taken.push(id);
                }
            }
            for &id in &taken {
                let at = self.0.iter().position(|entry| entry.2 == id).unwrap();
                self.0[at].0 += 1;
                if self.0[at].0 >= limit {
                    self.0.remove(at);
                }
            }
            taken
        }
    }

    #[test]
    fn the_queue_does_what_the_naive_list_does() {
        let mut rng = Rng::child([9; 32], Stream::Gossip);
        for _ in 0..200 {
            let mut queue: TransmitQueue<u64> = TransmitQueue::new(PLENTY);
            let mut oracle = Oracle::default();
            let mut next = 0;
            for _ in 0..60 {
                if rng.below(2) == 0 {
                    let len = rng.below(40) + 1;
                    let _ = queue.insert(None, len, next, 0);
                    oracle.0.push((0, len, next));
                    next += 1;
                } else {
                    let (budget, limit) = (rng.below(150), 3);
                    let mut taken = vec![];
                    queue.collect(budget, 2, limit, Account::Budget, |&item| {
                        taken.push(item);
                        Offer::Taken
                    });
                    queue.check();
                    assert_eq!(taken, oracle.collect(budget, 2, limit));
                }
            }
        }
    }

    #[test]
    fn entries_that_were_sent_before_stand_by_how_often() {
        let mut queue = TransmitQueue::new(PLENTY);
        for transmits in [0, 10, 3, 4, 7] {
            let item = alloc::format!("{transmits}");
            assert_eq!(queue.insert(None, 10, item, transmits), 0);
        }
        assert_eq!(take(&mut queue, 2, 1_000, 20), ["0", "3", "4", "7", "10"]);
    }
}
