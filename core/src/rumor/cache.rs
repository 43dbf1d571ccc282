use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use core::time::Duration;

use super::{Rumor, RumorKey, ShortId};
use crate::time::Instant;

/// Recent payloads, bounded by bytes and age, oldest forgotten first.
#[derive(Debug)]
pub(super) struct PayloadCache {
    rumors: BTreeMap<RumorKey, Arc<Rumor>>,
    order: VecDeque<(Instant, RumorKey)>,
    bytes: usize,
    bytes_max: usize,
    keep: Duration,
}

impl PayloadCache {
    pub(super) const fn new(bytes_max: usize, keep: Duration) -> Self {
        Self { rumors: BTreeMap::new(), order: VecDeque::new(), bytes: 0, bytes_max, keep }
    }

    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn get(&self, key: RumorKey) -> Option<&Arc<Rumor>> {
        self.rumors.get(&key)
    }

    /// The payload whose id has this short form.
    pub(super) fn get_short(&self, id: ShortId) -> Option<&Arc<Rumor>> {
        let lowest = RumorKey(u128::from(id.0) << 64);
        let (key, rumor) = self.rumors.range(lowest..).next()?;
        (key.short() == id).then_some(rumor)
    }

    /// In the order in which they came.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Rumor>> {
        self.order.iter().filter_map(|(_, key)| self.get(*key))
    }

    pub(super) fn insert(&mut self, now: Instant, rumor: &Arc<Rumor>) {
        self.forget_old(now);
        if rumor.payload.len() > self.bytes_max
            || self.rumors.insert(rumor.key, Arc::clone(rumor)).is_some()
        {
            return;
        }
        self.bytes += rumor.payload.len();
        self.order.push_back((now, rumor.key));
        while self.bytes > self.bytes_max && self.forget_first() {}
    }

    fn forget_old(&mut self, now: Instant) {
        while self.order.front().is_some_and(|&(since, _)| now.saturating_since(since) > self.keep)
            && self.forget_first()
        {}
    }

    fn forget_first(&mut self) -> bool {
        let Some((_, key)) = self.order.pop_front() else { return false };
        if let Some(rumor) = self.rumors.remove(&key) {
            self.bytes -= rumor.payload.len();
        }
        true
    }

    pub(super) fn check(&self) {
        let bytes: usize = self.rumors.values().map(|rumor| rumor.payload.len()).sum();
        assert_eq!(bytes, self.bytes, "the cached bytes are counted");
        assert!(bytes <= self.bytes_max, "the cache stays within its bytes");
        assert_eq!(self.rumors.len(), self.order.len(), "every payload has its age");
    }
}

#[cfg(test)]
mod tests {
    use super::super::RumorId;
    use super::*;
    use crate::identity::Channel;
    use alloc::vec;
    use bytes::Bytes;

    fn rumor(id: u128, len: usize) -> Arc<Rumor> {
        Arc::new(Rumor {
            topic: None,
            id: RumorId::Content(id),
            key: RumorKey(id),
            channel: Channel::BARE,
            payload: Bytes::from(vec![0; len]),
            hop: 0,
            age_ms: 0,
            received_at: Instant::ZERO,
        })
    }

    #[test]
    fn the_oldest_payload_makes_room() {
        let mut cache = PayloadCache::new(100, Duration::from_secs(30));
        for (id, len) in [(1, 60), (2, 40), (3, 1)] {
            cache.insert(Instant::ZERO, &rumor(id, len));
            cache.check();
        }
        assert!(cache.get(RumorKey(1)).is_none());
        assert!(cache.get(RumorKey(2)).is_some() && cache.get(RumorKey(3)).is_some());
    }

    #[test]
    fn a_payload_larger_than_the_cache_is_not_kept() {
        let mut cache = PayloadCache::new(100, Duration::from_secs(30));
        cache.insert(Instant::ZERO, &rumor(1, 100));
        cache.insert(Instant::ZERO, &rumor(2, 101));
        assert!(cache.get(RumorKey(1)).is_some() && cache.get(RumorKey(2)).is_none());
        cache.check();
    }

    #[test]
    fn payloads_grow_old() {
        let at = |secs| Instant::ZERO + Duration::from_secs(secs);
        let mut cache = PayloadCache::new(100, Duration::from_secs(30));
        cache.insert(at(0), &rumor(1, 10));
        cache.insert(at(30), &rumor(2, 10));
        assert!(cache.get(RumorKey(1)).is_some());
        cache.insert(at(31), &rumor(3, 10));
        assert!(cache.get(RumorKey(1)).is_none());
        cache.check();
    }
}
