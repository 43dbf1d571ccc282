use core::time::Duration;

use hashbrown::HashTable;

use super::{RumorKey, ShortId};
use crate::hash::Keyed;
use crate::time::Instant;

/// Which rumours have come by: two generations of ids. The younger one takes new ids; when it is
/// full or old it becomes the older one, and what was the older one is forgotten. So an id is
/// remembered for at least one generation and memory is bounded by two.
#[derive(Debug)]
pub(super) struct SeenCache {
    young: HashTable<RumorKey>,
    old: HashTable<RumorKey>,
    hash: Keyed,
    since: Instant,
    ids_max: usize,
    generation: Duration,
}

impl SeenCache {
    pub(super) fn new(rng_seed: [u8; 32], ids_max: usize, generation: Duration) -> Self {
        Self {
            young: HashTable::new(),
            old: HashTable::new(),
            hash: Keyed::new(rng_seed, 2),
            since: Instant::ZERO,
            ids_max,
            generation,
        }
    }

    /// Notes an id; `true` the first time.
    pub(super) fn observe(&mut self, now: Instant, key: RumorKey) -> bool {
        if self.contains(key) {
            return false;
        }
        if self.young.len() >= self.ids_max || now.saturating_since(self.since) >= self.generation {
            core::mem::swap(&mut self.young, &mut self.old);
            self.young.clear();
            self.since = now;
        }
        let hash = &self.hash;
        let of = |key: &RumorKey| hash_of(hash, key.short());
        self.young.insert_unique(of(&key), key, of);
        true
    }

    /// Forgets an id; `true` if it was known.
    pub(super) fn forget(&mut self, key: RumorKey) -> bool {
        let hash = hash_of(&self.hash, key.short());
        [&mut self.young, &mut self.old].into_iter().any(|ids| {
            let Ok(entry) = ids.find_entry(hash, |&other| other == key) else { return false };
            entry.remove();
            true
        })
    }

    pub(super) fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    pub(super) fn contains(&self, key: RumorKey) -> bool {
        self.find(key.short(), |other| other == key)
    }

    /// Whether an id with this short form has come by.
    pub(super) fn contains_short(&self, id: ShortId) -> bool {
        self.find(id, |other| other.short() == id)
    }

    fn find(&self, id: ShortId, is_it: impl Fn(RumorKey) -> bool) -> bool {
        let hash = hash_of(&self.hash, id);
        [&self.young, &self.old].iter().any(|ids| ids.find(hash, |&other| is_it(other)).is_some())
    }
}

/// By the short form, which lists use: an id is found by either.
fn hash_of(hash: &Keyed, id: ShortId) -> u64 {
    hash.bytes(&id.0.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache(ids_max: usize) -> SeenCache {
        SeenCache::new([1; 32], ids_max, Duration::from_secs(120))
    }

    #[test]
    fn an_id_is_new_once() {
        let mut cache = cache(100);
        assert!(cache.observe(Instant::ZERO, RumorKey(1)));
        assert!(!cache.observe(Instant::ZERO, RumorKey(1)));
        assert!(cache.observe(Instant::ZERO, RumorKey(2)));
        assert!(cache.forget(RumorKey(1)) && !cache.forget(RumorKey(1)));
        assert!(cache.contains(RumorKey(2)) && cache.observe(Instant::ZERO, RumorKey(1)));
    }

    #[test]
    fn the_last_ids_up_to_the_limit_are_remembered_whatever_comes() {
        let mut cache = cache(16);
        for id in 0..100 {
            assert!(cache.observe(Instant::ZERO, RumorKey(id)));
        }
        assert!((84..100).all(|id| !cache.observe(Instant::ZERO, RumorKey(id))));
        assert!(cache.young.len() <= 16 && cache.old.len() <= 16);
        assert!(cache.observe(Instant::ZERO, RumorKey(0)), "the first is long forgotten");
    }

    #[test]
    fn an_id_is_remembered_for_a_generation_and_forgotten_after_two() {
        let at = |secs| Instant::ZERO + Duration::from_secs(secs);
        let mut cache = cache(100);
        assert!(cache.observe(at(119), RumorKey(1)));
        assert!(cache.observe(at(120), RumorKey(2)));
        assert!(!cache.observe(at(239), RumorKey(1)));
        assert!(cache.observe(at(240), RumorKey(3)));
        assert!(cache.observe(at(241), RumorKey(1)));
    }
}
