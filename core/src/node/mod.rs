//! The node: all doors and all control flow.
//!
//! | file | says |
//! |---|---|
//! | `mod` | the doors and the drain |
//! | `looks` | what anyone may look at |
//! | `packets` | what each message in a datagram causes |
//! | `membership` | what is said about members, and what follows from it |
//! | `refutation` | how this node contradicts what is said about it |
//! | `asks` | what waits for a verdict of the application |
//! | `rumors` | what happens to a user message |
//! | `overlay`, `repair` | rumours along links, and what makes up for lost ones |
//! | `supply` | payloads for those who ask for them |
//! | `plain` | rumours to members that take no part in the overlay |
//! | `streams` | push/pull, reliable messages and probes over streams |
//! | `timers` | what is due when |
//! | `plausibility` | which incarnations are believed |
//! | `reach` | what gets through to each member |
//! | `pause` | what becomes of it after a standstill |
//! | `compose`, `compose_overlay` | from an intent to bytes |
//! | `serf` | a goodbye in Serf's words |
//! | `outbox`, `stats`, `invariants` | intents, counters, what must always hold |

mod asks;
mod compose;
mod compose_overlay;
mod invariants;
mod looks;
mod membership;
mod outbox;
mod overlay;
mod packets;
mod pause;
mod plain;
mod plausibility;
mod reach;
mod refutation;
mod repair;
mod rumors;
mod serf;
mod stats;
mod streams;
mod supply;
mod timers;

use alloc::collections::{BTreeMap, BinaryHeap, VecDeque};
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::net::SocketAddr;

use bytes::Bytes;
use thiserror::Error;

use crate::awareness::Awareness;
use crate::broadcast::TransmitQueue;
use crate::config::Params;
use crate::event::{Event, EventQueue, Fact};
use crate::healer::Healer;
use crate::identity::{
    AskId, BootEpoch, Channel, Identity, Incarnation, NodeName, SeqNo, StreamId,
};
use crate::member::ring::Round;
use crate::member::{Claim, MemberId, Record, Table};
use crate::probe::Probe;
use crate::push_pull::Seeds;
use crate::rng::{Rng, Stream as ChanceStream};
use crate::rumor::overlay::Overlay;
use crate::rumor::{RumorId, Rumors};
use crate::time::Instant;
use crate::wire::META_LEN_MAX;
use crate::wire::keyring::{Keyring, Version};
use crate::wire::message::{NodeAddr, Versions};
use crate::wire::packet::{Opener, PacketError, Protection};
use crate::wire::stream::StreamError;
use crate::wire::tags::{Advert, CAPABILITY_ENVELOPE};

use asks::Asks;
pub use asks::{ASK_MEMBERS_MAX, ASK_TIMEOUT, ASKED_JOINS_MAX, Verdict};
pub use compose::{Cause, Datagram, Said};
use membership::Update;
use outbox::{Intent, Outbox};
use packets::RelayJob;
use plausibility::Questions;
pub use reach::Reach;
use reach::Troubles;
use refutation::Refutations;
use serf::Serf;
pub use stats::Stats;
pub use streams::StreamInput;
use streams::Streams;
use timers::Ticks;

/// Bytes of membership updates that may wait to be sent. Each member has at most one, of at most
/// about 900 bytes; this is room for some hundred thousand ordinary ones.
const UPDATES_BYTES_MAX: usize = 16 << 20;

/// Most bytes of an ack's payload: beside it the smallest datagram has room for the longest label
/// and for news.
pub const ACK_PAYLOAD_MAX: usize = 512;

/// What a node wants from its runtime. It borrows nothing: act on it, then poll again.
#[derive(Debug)]
#[must_use]
pub enum Output {
    /// Send `buf[..len]` as one datagram, from the gossip port.
    Send {
        /// Where to.
        to: SocketAddr,
        /// Bytes of the buffer.
        len: usize,
    },
    /// Open a stream; answer with [`StreamInput::Connected`] or [`StreamInput::Failed`].
    Connect {
        /// Its name from now on.
        stream: StreamId,
        /// Where to.
        to: SocketAddr,
    },
    /// Write `buf[..len]` to a stream; answer with [`StreamInput::Written`] when all of it has
    /// been taken. No other write comes for the stream until then.
    Write {
        /// Which stream.
        stream: StreamId,
        /// Bytes of the buffer.
        len: usize,
    },
    /// Close a stream after what was written has been sent. The name is free of meaning from here
    /// on.
    Close {
        /// Which stream.
        stream: StreamId,
    },
    /// Something for the application.
    Event(Event),
    /// Nothing is left to do. Wake the node with [`Node::handle_tick`] no later than this; `None`
    /// asks for no wake-up.
    Timer(Option<Instant>),
}

/// Where a leaving node stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leaving {
    /// It is not leaving.
    No,
    /// Its goodbye is being sent, until then at the latest.
    Until(Instant),
    /// Its goodbye has been sent.
    Done,
}

/// Why [`Node::set_meta`] refused; nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum MetaError {
    /// Longer than a member's meta may be, our tag included.
    #[error("the meta has {len} bytes, with our tag at most {max} fit; keep the rest elsewhere")]
    TooLong {
        /// Its length in bytes.
        len: usize,
        /// The limit.
        max: usize,
    },
    /// The node has left.
    #[error("the node has left the cluster")]
    Left,
}

/// Why [`Node::set_ack_payload`] refused; nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the payload has {len} bytes, an ack carries at most {ACK_PAYLOAD_MAX}")]
pub struct AckPayloadTooLong {
    /// Its length in bytes.
    pub len: usize,
}

/// Why [`Node::broadcast`] refused; nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BroadcastError {
    /// It does not fit a datagram with its header.
    #[error("the payload has {len} bytes, {max} fit a datagram; broadcast a reference to it")]
    TooLarge {
        /// Its length in bytes.
        len: usize,
        /// The limit.
        max: usize,
    },
    /// The thesis modes know plain memberlist messages only.
    #[error("the thesis modes broadcast on channel 0 only")]
    ChannelInThesisMode,
    /// The node has left.
    #[error("the node has left the cluster")]
    Left,
}

/// Why [`Node::send`] refused; nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SendError {
    /// Nobody of this name is alive or suspect.
    #[error("no live member has this name")]
    UnknownMember,
    /// The member does not advertise our envelope, and only channel 0 travels without it.
    #[error("the member understands messages of channel 0 only")]
    NotUnderstood,
    /// Longer than the kind of delivery allows.
    #[error("the payload has {len} bytes, at most {max} can be delivered this way")]
    TooLarge {
        /// Its length in bytes.
        len: usize,
        /// The limit.
        max: usize,
    },
    /// As many streams are open as may be.
    #[error("too many streams are open")]
    TooManyStreams,
    /// What waits to be written and what has come in part fills the buffers of all streams.
    #[error("the buffers of all streams together would exceed {max} bytes")]
    BuffersFull {
        /// The limit in bytes.
        max: usize,
    },
}

/// A member of a cluster, as a pure state machine. See the [crate documentation](crate) for the
/// contract and the loop around it.
#[derive(Debug)]
pub struct Node {
    name: NodeName,
    addr: NodeAddr,
    epoch: BootEpoch,
    me: MemberId,
    params: Params,
    now: Instant,

    table: Table,
    round: Round,
    probe: Option<Probe>,
    relays: VecDeque<RelayJob>,
    awareness: Awareness,
    suspicions: BinaryHeap<Reverse<(Instant, MemberId)>>,
    updates: TransmitQueue<Update>,
    incarnation: Incarnation,
    first_incarnation: Incarnation,
    started_at: Instant,
    questions: Questions,
    troubles: Troubles,
    refutations: Refutations,
    /// We stood still, and what we hear may be from before; see `pause`.
    is_dazed: bool,
    app_meta: Vec<u8>,
    leaving: Leaving,
    serf: Serf,
    conflict_told_at: Option<Instant>,

    rumors: Rumors,
    /// When to see to rumours that nobody can be told.
    stranded_at: Option<Instant>,
    /// Whether the last datagram of a tick had no room for any of those that wait.
    rumors_left_out: bool,
    overlay: Overlay,

    asks: Asks,
    seeds: Seeds,
    healer: Healer,
    streams: Streams,
    channel_states: BTreeMap<Channel, Bytes>,
    ack_payload: Bytes,

    ticks: Ticks,
    outbox: Outbox,
    events: EventQueue,
    datagram: Datagram,
    /// The deadline last handed out, to measure the runtime's lag.
    promised: Option<Instant>,
    stats: Stats,
    next_seq: u32,

    keyring: Keyring,
    opener: Opener,
    /// Where datagrams are compressed.
    packed: Vec<u8>,

    nonce_rng: Rng,
    membership_rng: Rng,
    gossip_rng: Rng,
    push_pull_rng: Rng,
    heal_rng: Rng,
}

impl Node {
    /// A node that knows nobody yet. It cannot fail: [`Params`] and [`Identity`] are checked.
    ///
    /// `rng_seed` must come from the operating system for a real node; a fixed one is for
    /// simulated worlds, where it makes runs repeatable.
    #[must_use]
    pub fn new(now: Instant, identity: Identity, params: Params, rng_seed: [u8; 32]) -> Self {
        let mut membership_rng = Rng::child(rng_seed, ChanceStream::Membership);
        let mut gossip_rng = Rng::child(rng_seed, ChanceStream::Gossip);
        let mut push_pull_rng = Rng::child(rng_seed, ChanceStream::PushPull);
        let mut heal_rng = Rng::child(rng_seed, ChanceStream::Healing);
        let incarnation = identity.incarnation.max(Incarnation(1));
        let mut table = Table::new(rng_seed, params.members_max);
        let record = own_record(now, &identity, &params, incarnation);
        let me = table
            .insert(record, &mut membership_rng)
            .expect("a table has room for at least two members");
        let mut rngs = [&mut gossip_rng, &mut membership_rng, &mut push_pull_rng, &mut heal_rng];
        let ticks = Ticks::start(now, &params, &mut rngs);
        let next_seq = membership_rng.next_u32();
        let mut node = Self {
            name: identity.name,
            addr: identity.addr.into(),
            epoch: identity.boot_epoch,
            me,
            now,
            table,
            round: Round::default(),
            probe: None,
            relays: VecDeque::new(),
            awareness: Awareness::new(params.awareness_max),
            suspicions: BinaryHeap::new(),
            updates: TransmitQueue::new(UPDATES_BYTES_MAX),
            incarnation,
            first_incarnation: incarnation,
            started_at: now,
            questions: Questions::default(),
            troubles: Troubles::default(),
            refutations: Refutations::default(),
            is_dazed: false,
            app_meta: Vec::new(),
            leaving: Leaving::No,
            serf: Serf::default(),
            conflict_told_at: None,
            rumors: Rumors::new(rng_seed, &params),
            stranded_at: None,
            rumors_left_out: false,
            overlay: Overlay::new(&params),
            asks: Asks::new(rng_seed),
            seeds: Seeds::default(),
            healer: Healer::default(),
            streams: Streams::default(),
            channel_states: BTreeMap::new(),
            ack_payload: Bytes::new(),
            ticks,
            outbox: Outbox::default(),
            events: EventQueue::new(params.events_max),
            datagram: Datagram::default(),
            promised: None,
            stats: Stats::default(),
            next_seq,
            keyring: params.keyring.clone(),
            opener: Opener::default(),
            packed: Vec::new(),
            nonce_rng: Rng::child(rng_seed, ChanceStream::Nonces),
            membership_rng,
            gossip_rng,
            push_pull_rng,
            heal_rng,
            params,
        };
        node.announce_myself();
        let joined = node.joined_fact(me);
        node.tell(joined);
        node
    }

    /// A datagram has arrived at the gossip port.
    ///
    /// # Errors
    ///
    /// [`PacketError`] if the datagram was refused as a whole and nothing of it was applied: a bad
    /// outer layer, or a bad message that was its only one. A bad message beside good ones is
    /// skipped and counted. The caller may ignore the error; it is counted too.
    pub fn handle_packet(
        &mut self,
        now: Instant,
        from: SocketAddr,
        packet: &[u8],
    ) -> Result<(), PacketError> {
        self.enter(now);
        self.on_packet(from, packet)
    }

    /// A peer has opened a stream to us. `None`: as many are open as may be, hang up.
    pub fn handle_accept(&mut self, now: Instant, from: SocketAddr) -> Option<StreamId> {
        self.enter(now);
        self.on_accept(from)
    }

    /// Something happened on a stream.
    ///
    /// # Errors
    ///
    /// [`StreamError`] if the peer's bytes were refused; the stream is then closed by an
    /// [`Output::Close`] and nothing of its message was applied. [`StreamError::UnknownStream`] if
    /// the stream is not open, which happens to inputs that cross our own close: ignore it.
    pub fn handle_stream(
        &mut self,
        now: Instant,
        stream: StreamId,
        input: StreamInput<'_>,
    ) -> Result<(), StreamError> {
        self.enter(now);
        self.on_stream(stream, input)
    }

    /// Time has passed. Call it when the deadline of [`Output::Timer`] comes, or at any time.
    pub fn handle_tick(&mut self, now: Instant) {
        self.enter(now);
        self.run_timers();
    }

    /// Introduces this node to the cluster through these members. Each is tried again, with
    /// growing pauses, until it answers. This node's own address is skipped, and so is everything
    /// beyond [`SEEDS_MAX`](crate::SEEDS_MAX) at a time, which is counted.
    pub fn join(&mut self, now: Instant, seeds: &[SocketAddr]) {
        self.enter(now);
        if self.leaving != Leaving::No {
            return;
        }
        for &seed in seeds.iter().filter(|&&seed| seed != self.addr.socket_addr()) {
            self.healer.remember_seed(seed);
            if !self.seeds.add(seed, self.now) {
                self.stats.seeds_refused += 1;
            }
        }
        self.try_due_seeds();
    }

    /// Gives up on addresses that were given to [`join`](Self::join) and have not answered. An
    /// attempt under way goes on, and is not repeated.
    pub fn forget_seeds(&mut self, seeds: &[SocketAddr]) {
        for &seed in seeds {
            self.seeds.remove(seed);
        }
    }

    /// Says goodbye. The node goes on answering; [`Fact::LeaveDone`] tells when the goodbye has
    /// been sent often enough. It cannot be taken back. With
    /// [`serf_intents`](crate::Config::serf_intents), Serf's leave intent goes before it.
    pub fn leave(&mut self, now: Instant) {
        self.enter(now);
        self.say_goodbye();
    }

    /// Changes what others see about this node. Our own tag is added where the meta is empty or
    /// in Serf's tag form; other bytes are left alone and this node then advertises nothing.
    ///
    /// # Errors
    ///
    /// [`MetaError`]; nothing changed.
    pub fn set_meta(&mut self, now: Instant, meta: &[u8]) -> Result<(), MetaError> {
        self.enter(now);
        if self.leaving != Leaving::No {
            return Err(MetaError::Left);
        }
        let own = tagged_meta(meta, self.epoch, self.params.advertise)?;
        self.app_meta = meta.to_vec();
        self.restate(&own);
        Ok(())
    }

    /// Sets what rides in push/pulls for a channel; empty removes it. Peers that advertise our
    /// envelope get all channels, others get channel 0 alone.
    pub fn set_channel_state(&mut self, channel: Channel, state: Bytes) {
        if state.is_empty() {
            self.channel_states.remove(&channel);
        } else {
            self.channel_states.insert(channel, state);
        }
    }

    /// Sets what rides in the acks of direct probes by members, for their
    /// [`Fact::Probed`]; empty removes it. Acks over streams and those that others pass on carry
    /// none, as memberlist's (protocol page §6, `PingDelegate`). In a Serf cluster leave it empty:
    /// agents expect their own coordinates there.
    ///
    /// # Errors
    ///
    /// [`AckPayloadTooLong`] beyond [`ACK_PAYLOAD_MAX`]; nothing changed.
    pub fn set_ack_payload(&mut self, payload: Bytes) -> Result<(), AckPayloadTooLong> {
        if payload.len() > ACK_PAYLOAD_MAX {
            return Err(AckPayloadTooLong { len: payload.len() });
        }
        self.ack_payload = payload;
        Ok(())
    }

    /// Starts a rumour: every member gets the payload, and this node's application does not.
    ///
    /// # Errors
    ///
    /// [`BroadcastError`]; nothing changed.
    pub fn broadcast(
        &mut self,
        now: Instant,
        channel: Channel,
        payload: &[u8],
    ) -> Result<RumorId, BroadcastError> {
        self.enter(now);
        self.start_rumor(channel, None, payload)
    }

    /// The same about something: what still waits here of an older rumour with this channel and
    /// key is not sent any more, in either form. The newest word on a thing that changes often then
    /// costs no more than one (memberlist's `Broadcast.Invalidates`). Other members do not know the
    /// key and pass on what they got. The key is a number: the application numbers or hashes what
    /// it speaks of, and nothing of variable length has to be kept.
    ///
    /// # Errors
    ///
    /// [`BroadcastError`]; nothing changed.
    pub fn broadcast_keyed(
        &mut self,
        now: Instant,
        channel: Channel,
        key: u64,
        payload: &[u8],
    ) -> Result<RumorId, BroadcastError> {
        self.enter(now);
        self.start_rumor(channel, Some(key), payload)
    }

    /// Sends a rumour no further from here, whoever started it; `false` if it does not wait to be
    /// sent. Looks at all that wait.
    pub fn withdraw(&mut self, id: &RumorId) -> bool {
        let withdrawn = self.rumors.withdraw(id.key());
        self.stats.rumors_replaced += u64::from(withdrawn);
        withdrawn
    }

    /// Sends a message to one member.
    ///
    /// # Errors
    ///
    /// [`SendError`]; nothing was sent.
    pub fn send(
        &mut self,
        now: Instant,
        to: &NodeName,
        channel: Channel,
        payload: &[u8],
        delivery: crate::event::Delivery,
    ) -> Result<(), SendError> {
        self.enter(now);
        self.send_message(to, channel, payload, delivery)
    }

    /// Answers [`Fact::AskJoin`] or [`Fact::AskMerge`]. `false`: nobody waits for it any more,
    /// because it was answered or its time is over.
    pub fn answer(&mut self, now: Instant, ask: AskId, verdict: Verdict) -> bool {
        self.enter(now);
        self.on_verdict(ask, verdict)
    }

    /// Replaces the parameters of a running node. Periodic actions whose interval changed begin
    /// anew; what is under way ends under the old values. Limits on memory keep the values that
    /// the node was made with, and the keys are those of [`keyring_mut`](Self::keyring_mut).
    pub fn set_params(&mut self, now: Instant, params: Params) {
        self.enter(now);
        let mut rngs = [
            &mut self.gossip_rng,
            &mut self.membership_rng,
            &mut self.push_pull_rng,
            &mut self.heal_rng,
        ];
        self.ticks.change(self.now, &self.params, &params, &mut rngs);
        self.overlay = Overlay::new(&params);
        self.params = params;
    }

    /// The keys in force.
    #[must_use]
    pub const fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    /// The keys, to install, use and remove some. What is composed from now on is encrypted with
    /// the primary one; what comes from now on is decrypted with any.
    pub const fn keyring_mut(&mut self) -> &mut Keyring {
        &mut self.keyring
    }

    /// What the node wants next. Poll until [`Output::Timer`]; calling other doors in between is
    /// fine.
    ///
    /// # Panics
    ///
    /// If `buf` is shorter than [`Params::packet_size_max`]: the embedder's mistake.
    pub fn poll_output(&mut self, buf: &mut [u8]) -> Output {
        assert!(
            buf.len() >= self.params.packet_size_max(),
            "poll_output needs a buffer of packet_size_max bytes"
        );
        while let Some(intent) = self.outbox.pop() {
            if let Some(output) = self.carry_out(intent, buf) {
                return output;
            }
        }
        self.finish_intent();
        self.finish_leaving();
        if let Some(event) = self.events.pop(self.now) {
            return Output::Event(event);
        }
        #[cfg(debug_assertions)]
        self.check_invariants();
        self.stats.eager_flips += core::mem::take(&mut self.overlay.trees.flips);
        let deadline = self.deadline();
        // One that has passed already is nothing that the runtime is late with from before now on.
        self.promised = deadline.map(|at| at.max(self.now));
        Output::Timer(deadline)
    }

    /// Every door leads through here: time does not go back, and lag is measured.
    fn enter(&mut self, now: Instant) {
        if now < self.now {
            self.stats.clock_regressions += 1;
            return;
        }
        let last = core::mem::replace(&mut self.now, now);
        if let Some(promised) = self.promised.take_if(|promised| *promised <= now) {
            self.stats.lag = now.saturating_since(promised);
            self.stats.lag_max = self.stats.lag_max.max(self.stats.lag);
            if self.is_pause(self.stats.lag) {
                self.recover_from_pause(now.saturating_since(last));
            }
        }
    }

    fn tell(&mut self, fact: Fact) {
        self.stats.events_dropped += self.events.push(self.now, fact);
    }

    /// `false`: the outbox is full, and it was dropped.
    fn intend(&mut self, intent: Intent) -> bool {
        let is_full = self.outbox.push(intent).is_err();
        self.stats.outbox_overflows += u64::from(is_full);
        !is_full
    }

    fn take_seq(&mut self) -> SeqNo {
        let seq = SeqNo(self.next_seq);
        self.next_seq = self.next_seq.wrapping_add(1);
        seq
    }

    /// What is demanded of datagrams and streams.
    fn protection(&self) -> Protection<'_> {
        Protection {
            label: &self.params.label,
            keyring: &self.keyring,
            verify_incoming: self.params.verify_incoming,
        }
    }

    /// How what is sent is encrypted; `None` if it is not.
    fn seal_version(&self) -> Option<Version> {
        let seals = self.params.verify_outgoing && !self.keyring.is_empty();
        seals.then(|| Version::for_protocol(self.params.protocol_version))
    }

    fn my_record(&self) -> &Record {
        self.table.get(self.me).expect("this node is never removed from its own table")
    }

    fn name_of(&self, id: MemberId) -> Option<NodeName> {
        self.table.get(id).map(|record| record.name.clone())
    }
}

fn own_record(
    now: Instant,
    identity: &Identity,
    params: &Params,
    incarnation: Incarnation,
) -> Record {
    let tagged = tagged_meta(&[], identity.boot_epoch, params.advertise);
    let meta = tagged.expect("our tag fits an empty meta");
    let claim = Claim {
        name: identity.name.as_bytes(),
        addr: identity.addr.into(),
        incarnation,
        meta: &meta,
        versions: Versions::new([1, 5, params.protocol_version], params.delegate_version),
    };
    Record::alive(identity.name.clone(), &claim, now)
}

/// The meta that goes out for the application's, with our advert in it if it is wanted and fits.
fn tagged_meta(meta: &[u8], epoch: BootEpoch, advertise: bool) -> Result<Vec<u8>, MetaError> {
    let advert = Advert { capabilities: CAPABILITY_ENVELOPE, epoch, zone: 0 };
    if advertise && let Some(tagged) = advert.add_to(meta) {
        return Ok(tagged);
    }
    let is_tags = advertise && Advert::is_tag_map(meta);
    let max = if is_tags { META_LEN_MAX - Advert::TAG_LEN } else { META_LEN_MAX };
    if is_tags || meta.len() > max {
        return Err(MetaError::TooLong { len: meta.len(), max });
    }
    Ok(meta.to_vec())
}
