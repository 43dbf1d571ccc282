//! What happens to a user message.

use alloc::sync::Arc;
use core::net::SocketAddr;

use bytes::Bytes;

use super::outbox::{Intent, Load};
use super::overlay::Came;
use super::{BroadcastError, Leaving, Node, SendError};
use crate::config::Mode;
use crate::event::{Delivery, Fact, Sender};
use crate::identity::{Channel, NodeName};
use crate::member::MemberId;
use crate::rumor::links::LinkSet;
use crate::rumor::{Arrival, REST_MAX, Rumor, RumorId, Topic, classic, content_key};
use crate::scale::retransmit_limit;
use crate::wire::envelope::{Data, Envelope};
use crate::wire::keyring::Version;
use crate::wire::message::MessageType;
use crate::wire::packet::{self, COMPOUND_OVERHEAD, CRC_OVERHEAD, PART_OVERHEAD};
use crate::wire::stream::USER_MESSAGE_MAX;

/// A payload may take this part of the cache that others fetch it from.
const CACHE_SHARE: usize = 4;

/// Room for the layers of a stream around a message.
const STREAM_SLACK: usize = 1 << 10;

impl Node {
    pub(super) fn on_user(&mut self, from: SocketAddr, bytes: &[u8]) {
        match Envelope::decode(bytes) {
            Ok(Some(Envelope::Data(data))) => self.on_rumor(Arrival::numbered(&data, from)),
            Ok(Some(Envelope::Direct { channel, payload })) => {
                let payload = Bytes::copy_from_slice(payload);
                self.deliver(from, channel, payload, Delivery::BestEffort);
            }
            Ok(Some(Envelope::Control(control))) => self.on_control(from, &control),
            Ok(None) => {
                self.hear_serf(bytes);
                self.on_rumor(Arrival::bare(bytes, from));
            }
            Err(_) => self.stats.envelopes_refused += 1,
        }
    }

    pub(super) fn on_rumor(&mut self, arrival: Arrival<'_>) {
        let from = self.table.find_addr(arrival.from);
        let came = self.how_it_came(&arrival);
        let first = if self.params.rumor_mode.is_thesis() {
            self.rumors.observe(self.now, arrival.key)
        } else {
            self.rumors.observe_in_either_form(self.now, &arrival)
        };
        if first {
            let Some(rumor) = self.copy_rumor(arrival) else { return };
            self.stats.rumors_received += 1;
            self.rumors.remember(self.now, &rumor);
            self.tell(Fact::Rumor {
                id: rumor.id.clone(),
                channel: rumor.channel,
                hop: matches!(rumor.id, RumorId::Numbered { .. }).then_some(rumor.hop),
                from: arrival.from,
                payload: rumor.payload.clone(),
            });
            if self.has_overlay() {
                self.watch_for_parts(arrival.from, came, &rumor.id);
                self.begin_course(&rumor, came);
            } else {
                // Members along links may have told its id.
                self.overlay.missing.remove(rumor.key.short());
            }
            self.spread(rumor, from);
            return;
        }
        self.stats.rumor_duplicates += 1;
        self.on_duplicate(arrival.key.short(), came);
        if !self.params.drops_duplicates() {
            let cached = self.rumors.cached(arrival.key).map(Arc::clone);
            if let Some(rumor) = cached.or_else(|| self.copy_rumor(arrival)) {
                self.enqueue_rumor(rumor, 0);
            }
        }
    }

    fn copy_rumor(&self, arrival: Arrival<'_>) -> Option<Arc<Rumor>> {
        let known = |origin: &[u8]| self.table.find(origin).and_then(|id| self.name_of(id));
        arrival.to_rumor(self.now, known).map(Arc::new)
    }

    pub(super) fn start_rumor(
        &mut self,
        channel: Channel,
        key: Option<u64>,
        payload: &[u8],
    ) -> Result<RumorId, BroadcastError> {
        let mode = self.params.rumor_mode;
        if self.leaving != Leaving::No {
            return Err(BroadcastError::Left);
        }
        if mode.is_thesis() && channel != Channel::BARE {
            return Err(BroadcastError::ChannelInThesisMode);
        }
        let (len, max) = (payload.len(), self.rumor_payload_max());
        if len > max {
            return Err(BroadcastError::TooLarge { len, max });
        }
        let id = self.rumors.next_id(mode, &self.name, self.epoch, payload);
        let topic = key.map(|key| Topic { channel, key });
        if let Some(topic) = topic {
            self.stats.rumors_replaced += self.rumors.drop_topic(topic) as u64;
        }
        let rumor = Arc::new(Rumor {
            topic,
            key: id.key(),
            id: id.clone(),
            channel,
            payload: Bytes::copy_from_slice(payload),
            hop: 0,
            age_ms: 0,
            received_at: self.now,
        });
        self.stats.rumors_started += 1;
        self.rumors.observe(self.now, rumor.key);
        if channel == Channel::BARE {
            // A plain peer may pass it back bare.
            self.rumors.observe(self.now, content_key(payload));
        }
        self.rumors.remember(self.now, &rumor);
        if self.has_overlay() {
            self.begin_course(&rumor, Came::default());
        }
        self.spread(rumor, None);
        Ok(id)
    }

    /// The largest payload that fits a datagram with its headers, beside nothing else.
    pub(super) fn rumor_payload_max(&self) -> usize {
        let header = if self.params.rumor_mode.is_thesis() {
            0
        } else {
            Data::overhead(self.name.as_bytes().len())
        };
        let datagram = self.datagram_room(header);
        if !self.has_trees() {
            return datagram;
        }
        // What is larger is fetched over streams, from the payload cache.
        let over_stream = (USER_MESSAGE_MAX as usize).min(self.params.stream_message_max) - header;
        let cached = self.params.payload_cache_bytes_max / CACHE_SHARE;
        datagram.max(cached.min(over_stream - STREAM_SLACK))
    }

    /// Whether a rumour fits a datagram of ours beside nothing else.
    pub(super) fn fits_datagram(&self, rumor: &Rumor) -> bool {
        rumor.message_len() + self.datagram_overhead() <= self.params.packet_size_max()
    }

    /// The largest payload of one user message that fits a datagram behind a header of our own.
    pub(super) fn datagram_room(&self, header: usize) -> usize {
        let around = self.datagram_overhead() + 1 + header;
        self.params.packet_size_max().saturating_sub(around)
    }

    /// What a datagram with one message costs beside the message. It is counted as a part of a
    /// compound, as memberlist's budget does.
    fn datagram_overhead(&self) -> usize {
        packet::label_overhead(&self.params.label)
            + self.seal_version().map_or(0, Version::overhead)
            + CRC_OVERHEAD
            + COMPOUND_OVERHEAD
            + PART_OVERHEAD
    }

    /// Sends a rumour on its way: at once along links, or with the next tick.
    fn spread(&mut self, rumor: Arc<Rumor>, from: Option<MemberId>) {
        if self.table.live() < 2 {
            // Nobody to tell. Whoever comes later gets the application's state by push/pull.
            return;
        }
        if self.has_overlay() && self.params.gossip_interval.is_none() {
            // No tick does it.
            self.reconcile();
        }
        if self.has_trees() {
            self.spread_along_links(&rumor, from);
            return;
        }
        if !self.fits_datagram(&rumor) {
            // It came in a larger datagram than this node sends: it would wait for ever.
            self.stats.rumors_dropped += 1;
            return;
        }
        self.bring_to_clients(&rumor, from);
        if self.params.rumor_mode != Mode::Matching || !self.params.immediate {
            self.enqueue_rumor(rumor, 0);
            return;
        }
        self.watch_for_stranded_rumors();
        let to = self.links_but(from);
        if !to.is_empty() {
            self.intend(Intent::Forward { rumor: Arc::clone(&rumor), to, off_tree: false });
        }
        let copies = to.len();
        let rest = self.params.gossip_interval.unwrap_or(REST_MAX);
        self.stats.rumors_dropped += self.rumors.rest(self.now + rest, rumor, copies) as u64;
    }

    /// The live links, but not the one to `from`.
    fn links_but(&self, from: Option<MemberId>) -> LinkSet {
        let from = from.and_then(|id| self.table.get(id)).map(|record| record.addr.socket_addr());
        let from = from.and_then(|addr| self.overlay.links.find(addr));
        self.overlay.links.live(&self.table, self.me).without(from)
    }

    fn enqueue_rumor(&mut self, rumor: Arc<Rumor>, transmits: u32) {
        self.watch_for_stranded_rumors();
        self.stats.rumors_dropped += self.rumors.enqueue(rumor, transmits) as u64;
    }

    fn watch_for_stranded_rumors(&mut self) {
        // The original keeps them for ever, and so do its modes.
        if self.stranded_at.is_none() && !self.params.rumor_mode.is_thesis() {
            self.stranded_at = Some(self.now + self.params.payload_cache_for);
        }
    }

    /// Drops old rumours while there is nobody to tell them to: no tick would.
    pub(super) fn expire_stranded_rumors(&mut self) {
        let keep = self.params.payload_cache_for;
        if !self.has_audience() {
            self.stats.rumors_dropped += self.rumors.expire(self.now, keep) as u64;
        }
        self.stranded_at = (self.rumors.waiting() > 0).then(|| self.now + keep);
    }

    /// Whether anything that this node sends by itself could carry rumours.
    fn has_audience(&self) -> bool {
        if self.table.live() < 2 {
            return false;
        }
        let rides = self.params.rumor_piggyback && self.params.probe_interval.is_some();
        let linked = !self.params.rumor_mode.follows_links()
            || !self.overlay.links.live(&self.table, self.me).is_empty();
        rides || (self.params.gossip_interval.is_some() && linked)
    }

    /// How often each rumour is sent: by the number of live members, as the original counts.
    pub(super) fn rumor_limit(&self) -> u32 {
        retransmit_limit(self.params.rumor_retransmit_mult, self.table.live())
    }

    /// The gossip tick: news of members to random members, rumours to whom the mode says.
    pub(super) fn gossip(&mut self) {
        let limit = self.rumor_limit();
        self.stats.rumors_dropped += self.rumors.wake(self.now, limit) as u64;
        let follows_links = self.params.rumor_mode.follows_links();
        let has_rumors = !self.rumors.queue.is_empty();
        let random = if follows_links { Load::Updates } else { Load::Both };
        if !self.updates.is_empty() || (has_rumors && !follows_links) {
            self.gossip_to_random(random);
        }
        if has_rumors && follows_links {
            self.gossip_along_links();
        }
    }

    fn gossip_to_random(&mut self, load: Load) {
        let targets =
            classic::targets(&self.table, self.me, &self.params, self.now, &mut self.gossip_rng);
        for to in targets {
            self.intend(Intent::Gossip { to, load });
        }
    }

    fn gossip_along_links(&mut self) {
        let targets = classic::targets_among(
            self.overlay.links.members(&self.table, self.me).as_slice(),
            &self.table,
            self.me,
            &self.params,
            self.now,
            &mut self.gossip_rng,
        );
        for to in targets {
            self.intend(Intent::Gossip { to, load: Load::Rumors });
        }
    }

    pub(super) fn send_message(
        &mut self,
        to: &NodeName,
        channel: Channel,
        payload: &[u8],
        delivery: Delivery,
    ) -> Result<(), SendError> {
        let (id, record) = self
            .table
            .find(to.as_bytes())
            .and_then(|id| self.table.get(id).map(|record| (id, record)))
            .filter(|(_, record)| record.state.is_live())
            .ok_or(SendError::UnknownMember)?;
        let enveloped = record.takes_envelopes();
        if !enveloped && channel != Channel::BARE {
            return Err(SendError::NotUnderstood);
        }
        let len = payload.len();
        let header = if enveloped { Envelope::DIRECT_OVERHEAD } else { 0 };
        let max = match delivery {
            Delivery::BestEffort => self.datagram_room(header),
            Delivery::Reliable => USER_MESSAGE_MAX as usize - header,
        };
        if len > max {
            return Err(SendError::TooLarge { len, max });
        }
        let message = direct_message(channel, payload, enveloped.then_some(Enveloped));
        match delivery {
            Delivery::BestEffort => {
                self.intend(Intent::Direct { to: id, message });
                Ok(())
            }
            Delivery::Reliable => self.send_reliably(id, &message),
        }
    }

    /// Hands a message for this node alone to the application.
    pub(super) fn deliver(
        &mut self,
        from: SocketAddr,
        channel: Channel,
        payload: Bytes,
        delivery: Delivery,
    ) {
        let sender = self.table.find_addr(from).and_then(|id| self.name_of(id));
        let from = sender.map_or(Sender::Addr(from), Sender::Member);
        self.tell(Fact::Message { from, channel, payload, delivery });
    }
}

/// The recipient understands our envelope.
#[derive(Clone, Copy, Debug)]
struct Enveloped;

/// The bytes of a user message for one recipient, after memberlist's type byte.
fn direct_message(channel: Channel, payload: &[u8], enveloped: Option<Enveloped>) -> Bytes {
    let mut message = alloc::vec::Vec::with_capacity(payload.len() + Envelope::DIRECT_OVERHEAD);
    if enveloped.is_none() {
        message.extend_from_slice(payload);
    } else {
        let encoded = Envelope::Direct { channel, payload }.encode(&mut message);
        debug_assert!(encoded.is_ok(), "a vector is never full");
    }
    message.into()
}

/// Type byte of a user message in a datagram.
pub(super) const USER_TYPE: u8 = MessageType::USER.0;
