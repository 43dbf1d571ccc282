//! Rumours: user broadcasts, their ids, the memory that recognises them, the queue that repeats
//! them.
//!
//! How they spread is decided by [`Mode`]: [`classic`] picks random members for a tick, the matching
//! modes follow [`links`]. Both draw on the parts here.
//!
//! | file | says |
//! |---|---|
//! | `seen`, `cache` | which rumours have come by, and the payloads of recent ones |
//! | `classic` | whom a tick sends to |
//! | `links` | the neighbours |
//! | `trees` | which of them get payloads, and which ids |
//! | `course` | how each rumour came, where it went, who confirmed it |
//! | `missing` | what others have and this node lacks |
//! | `controls` | what is to be told about it |
//! | `requests` | who waits for a payload that was asked for |
//! | `floor` | links that follow from the members alone |
//! | `shares` | how much of what is bounded for all one peer may use up |
//! | `proxies` | who brings rumours to plain members |
//! | `overlay` | all of these of a node, in one place |

mod cache;
pub(crate) mod classic;
pub(crate) mod controls;
pub(crate) mod course;
pub(crate) mod floor;
pub(crate) mod links;
pub(crate) mod missing;
pub(crate) mod overlay;
pub(crate) mod proxies;
pub(crate) mod requests;
mod seen;
pub(crate) mod shares;
pub(crate) mod trees;

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;

use bytes::Bytes;

use crate::broadcast::TransmitQueue;
use crate::config::{Mode, Params};
use crate::hash;
use crate::identity::{BootEpoch, Channel, NodeName};
use crate::time::Instant;
use crate::wire::envelope::{Data, Envelope};
use crate::wire::message::MessageType;
use crate::wire::{Full, Sink};
use cache::PayloadCache;
use seen::SeenCache;

/// What identifies a rumour in the whole cluster.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RumorId {
    /// Numbered by its origin: it travelled in our envelope.
    Numbered {
        /// Who started it.
        origin: NodeName,
        /// In which boot.
        epoch: BootEpoch,
        /// Its number in that boot.
        sequence: u64,
    },
    /// A bare user message: the agreed hash of its bytes. Equal messages within the lifetime of
    /// the seen-cache are one rumour.
    Content(u128),
}

/// The first 8 bytes of a rumour's agreed hash: its name in lists and traces.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShortId(pub u64);

impl fmt::Display for ShortId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for ShortId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl RumorId {
    /// The id of a bare user message.
    #[must_use]
    pub fn of_content(payload: &[u8]) -> Self {
        Self::Content(content_key(payload).0)
    }

    /// The short form.
    #[must_use]
    pub fn short(&self) -> ShortId {
        self.key().short()
    }

    pub(crate) fn key(&self) -> RumorKey {
        match self {
            Self::Numbered { origin, epoch, sequence } => {
                numbered_key(origin.as_bytes(), *epoch, *sequence)
            }
            Self::Content(hash) => RumorKey(*hash),
        }
    }
}

/// The agreed hash of an id, which stands for it in tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct RumorKey(pub(crate) u128);

impl RumorKey {
    pub(crate) fn short(self) -> ShortId {
        #[allow(clippy::cast_possible_truncation, reason = "the upper half fits")]
        ShortId((self.0 >> 64) as u64)
    }
}

/// The key of a numbered rumour. The name's length comes first and is never 0, the mark of
/// content hashes.
pub(crate) fn numbered_key(origin: &[u8], epoch: BootEpoch, sequence: u64) -> RumorKey {
    let name_len = u8::try_from(origin.len()).unwrap_or(u8::MAX);
    RumorKey(hash::agreed(&[&[name_len], origin, &epoch.0.to_be_bytes(), &sequence.to_be_bytes()]))
}

/// The key of a bare user message.
pub(crate) fn content_key(payload: &[u8]) -> RumorKey {
    RumorKey(hash::agreed(&[&[0], payload]))
}

/// What is noted beside the key of a bare user message that was new when it came: no numbered
/// form of it had come before.
const fn came_bare(content: RumorKey) -> RumorKey {
    RumorKey(!content.0)
}

/// What a rumour of this node is about, if the application said so: a newer one about the same
/// replaces what still waits of an older one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Topic {
    pub(crate) channel: Channel,
    pub(crate) key: u64,
}

/// A rumour that this node holds.
#[derive(Debug)]
pub(crate) struct Rumor {
    pub(crate) topic: Option<Topic>,
    pub(crate) id: RumorId,
    pub(crate) key: RumorKey,
    pub(crate) channel: Channel,
    pub(crate) payload: Bytes,
    /// Hops from its origin to us.
    pub(crate) hop: u8,
    /// Its age when it came, without the time on links.
    pub(crate) age_ms: u16,
    pub(crate) received_at: Instant,
}

impl Rumor {
    /// Bytes of the user message with its type byte, in the longer of its two forms.
    pub(crate) fn message_len(&self) -> usize {
        let header = match &self.id {
            RumorId::Numbered { origin, .. } => Data::overhead(origin.as_bytes().len()),
            RumorId::Content(_) => 0,
        };
        1 + header + self.payload.len()
    }

    /// Writes the user message for a recipient of this kind. A content-hashed rumour has only the
    /// bare form.
    pub(crate) fn encode<S: Sink + ?Sized>(
        &self,
        form: Form,
        now: Instant,
        sink: &mut S,
    ) -> Result<(), Full> {
        self.encode_copy(form, now, false, sink)
    }

    /// The same for a copy that belongs to no tree, or does.
    pub(crate) fn encode_copy<S: Sink + ?Sized>(
        &self,
        form: Form,
        now: Instant,
        off_tree: bool,
        sink: &mut S,
    ) -> Result<(), Full> {
        sink.put(&[MessageType::USER.0])?;
        let RumorId::Numbered { origin, epoch, sequence } = &self.id else {
            return sink.put(&self.payload);
        };
        if form == Form::Bare {
            return sink.put(&self.payload);
        }
        let held = now.saturating_since(self.received_at).as_millis();
        let age = u128::from(self.age_ms).saturating_add(held);
        Envelope::Data(Data {
            channel: self.channel,
            epoch: *epoch,
            sequence: *sequence,
            hop: self.hop.saturating_add(1),
            age_ms: u16::try_from(age).unwrap_or(u16::MAX),
            off_tree,
            origin: origin.as_bytes(),
            payload: &self.payload,
        })
        .encode(sink)
    }

    /// The bytes of a user message over a stream, without memberlist's type byte.
    pub(crate) fn reliable_message(&self, now: Instant, off_tree: bool) -> Option<Bytes> {
        let mut message = Vec::with_capacity(self.message_len());
        self.encode_copy(Form::Enveloped, now, off_tree, &mut message).ok()?;
        Some(Bytes::from(message).slice(1..))
    }

    /// In which form a recipient understands it; `None` if in none.
    pub(crate) fn form_for(&self, takes_envelopes: bool) -> Option<Form> {
        match (&self.id, takes_envelopes) {
            (RumorId::Content(_), _) => Some(Form::Bare),
            (RumorId::Numbered { .. }, true) => Some(Form::Enveloped),
            (RumorId::Numbered { .. }, false) => {
                (self.channel == Channel::BARE).then_some(Form::Bare)
            }
        }
    }
}

/// The two ways in which a rumour travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// In our envelope.
    Enveloped,
    /// As a plain memberlist user message.
    Bare,
}

/// A rumour that was forwarded at once and waits for the tick to repeat it.
#[derive(Debug)]
struct Resting {
    until: Instant,
    transmits: u32,
    rumor: Arc<Rumor>,
}

/// All rumours of a node.
#[derive(Debug)]
pub(crate) struct Rumors {
    seen: SeenCache,
    cache: PayloadCache,
    /// What the tick and the piggyback send.
    pub(crate) queue: TransmitQueue<Arc<Rumor>, Topic>,
    resting: VecDeque<Resting>,
    resting_bytes: usize,
    queue_bytes_max: usize,
    next_sequence: u64,
}

impl Rumors {
    pub(crate) fn new(rng_seed: [u8; 32], params: &Params) -> Self {
        Self {
            seen: SeenCache::new(rng_seed, params.seen_max, params.seen_for),
            cache: PayloadCache::new(params.payload_cache_bytes_max, params.payload_cache_for),
            queue: TransmitQueue::new(params.rumor_queue_bytes_max),
            resting: VecDeque::new(),
            resting_bytes: 0,
            queue_bytes_max: params.rumor_queue_bytes_max,
            next_sequence: 0,
        }
    }

    /// The id of the next rumour that this node starts.
    pub(crate) fn next_id(
        &mut self,
        mode: Mode,
        origin: &NodeName,
        epoch: BootEpoch,
        payload: &[u8],
    ) -> RumorId {
        if mode.is_thesis() {
            return RumorId::of_content(payload);
        }
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        RumorId::Numbered { origin: origin.clone(), epoch, sequence }
    }

    /// Notes an id; `true` the first time.
    pub(crate) fn observe(&mut self, now: Instant, key: RumorKey) -> bool {
        self.seen.observe(now, key)
    }

    /// Notes a rumour that came; `true` the first time. A rumour of channel 0 may come in our
    /// envelope and also bare, passed on by a plain peer: whichever comes first is the rumour. Two
    /// numbered ones of equal content stay two: what came bare is the first of them.
    pub(crate) fn observe_in_either_form(&mut self, now: Instant, arrival: &Arrival<'_>) -> bool {
        if !self.observe(now, arrival.key) {
            return false;
        }
        match arrival.source {
            Source::Numbered { .. } if arrival.channel == Channel::BARE => {
                let content = content_key(arrival.payload);
                self.observe(now, content);
                !self.seen.forget(came_bare(content))
            }
            Source::Numbered { .. } => true,
            Source::Content => self.observe(now, came_bare(arrival.key)),
        }
    }

    /// The payload cache's copy of a rumour.
    pub(crate) fn cached(&self, key: RumorKey) -> Option<&Arc<Rumor>> {
        self.cache.get(key)
    }

    /// The payload cache's copy of a rumour, by the short form of its id.
    pub(crate) fn cached_short(&self, id: ShortId) -> Option<&Arc<Rumor>> {
        self.cache.get_short(id)
    }

    /// The payload cache's rumours in the order in which they came.
    pub(crate) fn recent(&self) -> impl Iterator<Item = &Arc<Rumor>> {
        self.cache.iter()
    }

    /// Whether a rumour with this short id has come by.
    pub(crate) fn knows(&self, id: ShortId) -> bool {
        self.seen.contains_short(id)
    }

    /// Keeps a payload for those who will ask for it.
    pub(crate) fn remember(&mut self, now: Instant, rumor: &Arc<Rumor>) {
        self.cache.insert(now, rumor);
    }

    /// Bytes of what waits for a tick, resting or not.
    pub(crate) fn bytes_waiting(&self) -> usize {
        self.queue.bytes() + self.resting_bytes
    }

    /// Bytes of the payloads in the cache.
    pub(crate) const fn bytes_kept(&self) -> usize {
        self.cache.bytes()
    }

    /// How many ids are known.
    pub(crate) fn remembered(&self) -> usize {
        self.seen.len()
    }

    /// Queues a rumour for the tick. Returns how many others were dropped for it.
    pub(crate) fn enqueue(&mut self, rumor: Arc<Rumor>, transmits: u32) -> usize {
        self.queue.insert(rumor.topic, rumor.message_len(), rumor, transmits)
    }

    /// Lets a rumour that was just forwarded `transmits` times rest, so that the tick repeats it
    /// no earlier than one interval later. Returns how many others were dropped for it.
    pub(crate) fn rest(&mut self, until: Instant, rumor: Arc<Rumor>, transmits: u32) -> usize {
        self.resting_bytes += rumor.message_len();
        self.resting.push_back(Resting { until, transmits, rumor });
        let mut dropped = 0;
        while self.resting_bytes > self.queue_bytes_max && self.pop_resting().is_some() {
            dropped += 1;
        }
        dropped
    }

    /// Queues what has rested long enough and has transmissions left of `limit`. Returns how many
    /// were dropped for lack of room.
    pub(crate) fn wake(&mut self, now: Instant, limit: u32) -> usize {
        let mut dropped = 0;
        while self.resting.front().is_some_and(|resting| resting.until <= now)
            && let Some(Resting { transmits, rumor, .. }) = self.pop_resting()
        {
            if transmits < limit {
                dropped += self.enqueue(rumor, transmits);
            }
        }
        dropped
    }

    /// Drops what came more than `keep` ago. Returns how many.
    pub(crate) fn expire(&mut self, now: Instant, keep: Duration) -> usize {
        let young = |rumor: &Rumor| now.saturating_since(rumor.received_at) <= keep;
        self.retain_resting(young) + self.queue.retain(|rumor| young(rumor))
    }

    /// Drops what waits about a topic. Returns how many.
    pub(crate) fn drop_topic(&mut self, topic: Topic) -> usize {
        let resting = self.retain_resting(|rumor| rumor.topic != Some(topic));
        resting + usize::from(self.queue.remove(topic))
    }

    /// Sends a rumour no further; `false` if it does not wait to be sent.
    pub(crate) fn withdraw(&mut self, key: RumorKey) -> bool {
        let resting = self.retain_resting(|rumor| rumor.key != key);
        resting + self.queue.retain(|rumor| rumor.key != key) > 0
    }

    fn retain_resting(&mut self, keep: impl Fn(&Rumor) -> bool) -> usize {
        let before = self.resting.len();
        self.resting.retain(|resting| keep(&resting.rumor));
        self.resting_bytes = self.resting.iter().map(|r| r.rumor.message_len()).sum();
        before - self.resting.len()
    }

    fn pop_resting(&mut self) -> Option<Resting> {
        let resting = self.resting.pop_front()?;
        self.resting_bytes -= resting.rumor.message_len();
        Some(resting)
    }

    /// Whether a rumour waits to be sent again.
    pub(crate) fn is_waiting(&self, key: RumorKey) -> bool {
        let resting = self.resting.iter().map(|resting| &resting.rumor);
        self.queue.iter().chain(resting).any(|rumor| rumor.key == key)
    }

    /// How many rumours wait to be sent again.
    pub(crate) fn waiting(&self) -> usize {
        self.queue.len() + self.resting.len()
    }

    pub(crate) fn check(&self) {
        self.queue.check();
        self.cache.check();
        let bytes: usize = self.resting.iter().map(|r| r.rumor.message_len()).sum();
        assert_eq!(bytes, self.resting_bytes, "the resting bytes are counted");
    }
}

/// A rumour as it arrived, before anything is allocated for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival<'a> {
    pub(crate) key: RumorKey,
    pub(crate) source: Source<'a>,
    pub(crate) channel: Channel,
    pub(crate) payload: &'a [u8],
    pub(crate) hop: u8,
    pub(crate) age_ms: u16,
    /// It answers a pull, or did before.
    pub(crate) off_tree: bool,
    /// Where this copy came from.
    pub(crate) from: SocketAddr,
}

/// The parts of an id.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Source<'a> {
    Numbered { origin: &'a [u8], epoch: BootEpoch, sequence: u64 },
    Content,
}

impl<'a> Arrival<'a> {
    pub(crate) fn numbered(data: &Data<'a>, from: SocketAddr) -> Self {
        let (origin, epoch, sequence) = (data.origin, data.epoch, data.sequence);
        Self {
            key: numbered_key(origin, epoch, sequence),
            source: Source::Numbered { origin, epoch, sequence },
            channel: data.channel,
            payload: data.payload,
            hop: data.hop,
            age_ms: data.age_ms,
            off_tree: data.off_tree,
            from,
        }
    }

    pub(crate) fn bare(payload: &'a [u8], from: SocketAddr) -> Self {
        let key = content_key(payload);
        let (channel, source) = (Channel::BARE, Source::Content);
        Self { key, source, channel, payload, hop: 0, age_ms: 0, off_tree: false, from }
    }

    /// The rumour, with its bytes copied. `known_origin` shares the name of a known member.
    pub(crate) fn to_rumor(
        self,
        now: Instant,
        known_origin: impl FnOnce(&[u8]) -> Option<NodeName>,
    ) -> Option<Rumor> {
        let id = match self.source {
            Source::Numbered { origin, epoch, sequence } => {
                let origin = known_origin(origin).or_else(|| NodeName::new(origin).ok())?;
                RumorId::Numbered { origin, epoch, sequence }
            }
            Source::Content => RumorId::Content(self.key.0),
        };
        Some(Rumor {
            topic: None,
            id,
            key: self.key,
            channel: self.channel,
            payload: Bytes::copy_from_slice(self.payload),
            hop: self.hop,
            age_ms: self.age_ms,
            received_at: now,
        })
    }
}

/// Longest that a forwarded rumour rests: a tick that is switched off repeats nothing.
pub(crate) const REST_MAX: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use alloc::vec::Vec;

    fn numbered(channel: Channel) -> Rumor {
        let id = RumorId::Numbered {
            origin: NodeName::new("node-a").unwrap(),
            epoch: BootEpoch(1),
            sequence: 2,
        };
        Rumor {
            topic: None,
            key: id.key(),
            id,
            channel,
            payload: Bytes::from_static(b"hi"),
            hop: 254,
            age_ms: 100,
            received_at: Instant::ZERO,
        }
    }

    #[test]
    fn a_recipient_gets_the_form_that_it_understands() {
        let bare = numbered(Channel::BARE);
        assert_eq!(bare.form_for(true), Some(Form::Enveloped));
        assert_eq!(bare.form_for(false), Some(Form::Bare));
        assert_eq!(numbered(Channel(1)).form_for(false), None);
    }

    #[test]
    fn hop_and_age_grow_on_the_way_and_saturate() {
        let rumor = numbered(Channel(1));
        let read = |now| {
            let mut bytes = Vec::new();
            rumor.encode(Form::Enveloped, now, &mut bytes).unwrap();
            assert_eq!(bytes.len(), rumor.message_len());
            let Ok(Some(Envelope::Data(data))) = Envelope::decode(&bytes[1..]) else { panic!() };
            (data.hop, data.age_ms)
        };
        assert_eq!(read(Instant::from_micros(50_999)), (255, 150));
        assert_eq!(read(Instant::from_micros(u64::MAX)), (255, u16::MAX));
    }

    #[test]
    fn ids_are_equal_exactly_when_their_keys_are() {
        let id = |name: &str, epoch, sequence| {
            let origin = NodeName::new(name).unwrap();
            RumorId::Numbered { origin, epoch: BootEpoch(epoch), sequence }.key()
        };
        let keys = [id("a", 1, 1), id("b", 1, 1), id("a", 2, 1), id("a", 1, 2), content_key(b"a")];
        for (i, a) in keys.iter().enumerate() {
            for (j, b) in keys.iter().enumerate() {
                assert_eq!(a == b, i == j);
            }
        }
    }

    #[test]
    fn a_forwarded_rumour_rests_and_then_has_the_rest_of_its_budget() {
        let params = Params::try_from(Config::lan()).unwrap();
        let mut rumors = Rumors::new([1; 32], &params);
        let until = Instant::from_micros(1_000);
        rumors.rest(until, Arc::new(numbered(Channel(1))), 3);
        rumors.rest(until, Arc::new(numbered(Channel(2))), 8);
        rumors.wake(Instant::from_micros(999), 8);
        assert_eq!((rumors.queue.len(), rumors.waiting()), (0, 2));
        rumors.wake(until, 8);
        assert_eq!((rumors.queue.len(), rumors.waiting()), (1, 1), "the second is spent");
        rumors.check();
    }
}
