//! Push/pull, reliable messages and probes over streams (protocol page §3).
//!
//! ```text
//! we dial:    Connecting ─► Writing ─► Waiting ─► merged, closed
//! they dial:  Reading ─► Writing ─► closed
//! ```
//!
//! A stream lives here from the moment it is asked for until its `Close`; inputs for one that is
//! gone are refused by name.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use bytes::Bytes;

use super::membership::alive_of;
use super::outbox::Intent;
use super::{Leaving, Node, SendError};
use crate::event::{Delivery, Fact, StreamFailure};
use crate::identity::{Channel, StreamId};
use crate::member::ring::{Sampling, sample};
use crate::member::{MemberId, MemberState, Record};
use crate::push_pull::versions_agree;
use crate::time::Instant;
use crate::wire::envelope::Envelope;
use crate::wire::message::{Ack, NodeState, Ping, PushPullHeader, Refusal, WireState};
use crate::wire::packet::Protection;
use crate::wire::stream::{
    Inbox, Layers, Progress, PushPull, StreamError, StreamMessage, USER_STATE_MAX, frame,
    put_user_message,
};
use crate::wire::tags::{Advert, CAPABILITY_ENVELOPE};
use crate::wire::{packet, sections};

/// What happened on a stream.
#[derive(Clone, Copy, Debug)]
pub enum StreamInput<'a> {
    /// The stream that we asked for is open.
    Connected,
    /// Bytes came, in pieces of any size.
    Bytes(&'a [u8]),
    /// What the last [`Output::Write`](crate::Output::Write) gave has been taken by the network.
    Written,
    /// The peer will send no more. We may still write.
    Closed,
    /// The stream could not be opened, or broke. It is gone: no [`Output::Close`](crate::Output::Close) follows.
    Failed,
}

/// Longest text of a refusal that is kept, in bytes.
const REFUSAL_LEN_MAX: usize = 256;

#[derive(Debug)]
struct Stream {
    peer: SocketAddr,
    role: Role,
    phase: Phase,
    inbox: Inbox,
    outgoing: Vec<u8>,
    /// Bytes of `outgoing` that the network has taken.
    written: usize,
    /// Bytes handed out and not yet taken.
    in_flight: usize,
    deadline: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// We began an exchange of state.
    PushPull { aim: Aim, sent: UserState },
    /// We deliver a message.
    Message,
    /// A peer opened it.
    Serve,
}

/// Why an exchange of state was begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Aim {
    /// To get to know a cluster through a seed.
    Join { seed: SocketAddr },
    /// To repair what gossip missed.
    AntiEntropy,
}

impl Aim {
    const fn is_join(self) -> bool {
        matches!(self, Self::Join { .. })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Connecting,
    Writing,
    Waiting,
    Reading,
}

/// In which form the application's state goes to a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum UserState {
    /// Per channel: the peer advertises our envelope.
    Sections,
    /// The state of channel 0 as it is: the peer does not.
    Blob,
    /// None: we do not know the peer yet, and what it would make of our sections.
    Nothing,
}

/// All open streams.
#[derive(Debug, Default)]
pub(super) struct Streams {
    open: BTreeMap<StreamId, Stream>,
    next_id: u64,
    /// Bytes in all inboxes and all that wait to be written.
    buffered: usize,
}

impl Streams {
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.open.values().map(|stream| stream.deadline).min()
    }

    fn overdue(&self, now: Instant) -> Option<StreamId> {
        self.open.iter().find(|(_, stream)| stream.deadline <= now).map(|(&id, _)| id)
    }

    fn served_for(&self, ip: IpAddr) -> usize {
        let served = self.open.values().filter(|stream| stream.role == Role::Serve);
        served.filter(|stream| stream.peer.ip() == ip).count()
    }

    fn insert(&mut self, stream: Stream) -> StreamId {
        let id = StreamId(self.next_id);
        self.next_id += 1;
        self.buffered += stream.outgoing.len();
        self.open.insert(id, stream);
        id
    }

    /// Replaces what waits to be written to a stream.
    fn set_outgoing(&mut self, id: StreamId, outgoing: Vec<u8>) {
        let Some(stream) = self.open.get_mut(&id) else { return };
        self.buffered -= stream.outgoing.len();
        self.buffered += outgoing.len();
        stream.outgoing = outgoing;
        stream.written = 0;
    }

    fn remove(&mut self, id: StreamId) -> Option<Stream> {
        let stream = self.open.remove(&id)?;
        self.buffered -= stream.inbox.len() + stream.outgoing.len();
        Some(stream)
    }

    /// Copies the next bytes to be written into `buf`.
    pub(super) fn next_chunk(&mut self, id: StreamId, buf: &mut [u8]) -> Option<usize> {
        let stream = self.open.get_mut(&id)?;
        let rest = &stream.outgoing[stream.written..];
        let len = rest.len().min(buf.len());
        buf[..len].copy_from_slice(&rest[..len]);
        stream.in_flight = len;
        (len > 0).then_some(len)
    }

    pub(super) fn check(&self) {
        let held = |stream: &Stream| stream.inbox.len() + stream.outgoing.len();
        let buffered: usize = self.open.values().map(held).sum();
        assert_eq!(buffered, self.buffered, "the buffered bytes are counted");
    }
}

impl Node {
    // ── Opening ─────────────────────────────────────────────────────────────────────────────────

    pub(super) fn on_accept(&mut self, from: SocketAddr) -> Option<StreamId> {
        let served_max = served_share(self.params.streams_max);
        if self.streams.open.len() >= served_max
            || self.streams.served_for(from.ip()) >= self.params.streams_per_peer_max
        {
            self.stats.streams_refused += 1;
            return None;
        }
        let inbox = Inbox::for_request(self.params.stream_message_max);
        Some(self.open_stream(from, Role::Serve, Phase::Reading, inbox, Vec::new()))
    }

    fn dial(&mut self, to: SocketAddr, role: Role, outgoing: Vec<u8>) -> Option<StreamId> {
        if self.streams.open.len() >= self.params.streams_max {
            self.stats.streams_refused += 1;
            return None;
        }
        let inbox = Inbox::for_response(self.params.stream_message_max);
        let stream = self.open_stream(to, role, Phase::Connecting, inbox, outgoing);
        self.intend(Intent::Connect { stream, to });
        Some(stream)
    }

    fn open_stream(
        &mut self,
        peer: SocketAddr,
        role: Role,
        phase: Phase,
        inbox: Inbox,
        outgoing: Vec<u8>,
    ) -> StreamId {
        self.stats.streams += 1;
        let deadline = self.now + self.params.stream_timeout;
        self.streams.insert(Stream {
            peer,
            role,
            phase,
            inbox,
            outgoing,
            written: 0,
            in_flight: 0,
            deadline,
        })
    }

    pub(super) fn try_due_seeds(&mut self) {
        while let Some(seed) = self.seeds.due(self.now) {
            let sent = self.state_form_for(self.table.find_addr(seed));
            let role = Role::PushPull { aim: Aim::Join { seed }, sent };
            match self.dial(seed, role, Vec::new()) {
                Some(stream) => self.seeds.trying(seed, stream),
                None => self.seed_failed(seed, StreamFailure::TooManyStreams),
            }
        }
    }

    pub(super) fn push_pull_with_random_member(&mut self) {
        let me = self.me;
        let draw = sample(
            1,
            self.table.order(),
            &self.table,
            Sampling::Exhaustive,
            &mut self.push_pull_rng,
            |id, record| id != me && record.state == MemberState::Alive,
        );
        if let Some(&member) = draw.first() {
            self.push_pull_with(member);
        }
    }

    fn push_pull_with(&mut self, member: MemberId) {
        let Some(addr) = self.table.get(member).map(|record| record.addr.socket_addr()) else {
            return;
        };
        let sent = self.state_form_for(Some(member));
        self.dial(addr, Role::PushPull { aim: Aim::AntiEntropy, sent }, Vec::new());
    }

    pub(super) fn send_reliably(&mut self, to: MemberId, message: &Bytes) -> Result<(), SendError> {
        let addr = self.table.get(to).map(|record| record.addr.socket_addr());
        let addr = addr.ok_or(SendError::UnknownMember)?;
        let mut outgoing = Vec::new();
        let written = put_user_message(&mut outgoing, message);
        debug_assert!(written.is_ok(), "the length was checked");
        let outgoing = self.request(outgoing);
        self.check_buffers(Role::Message, outgoing.len())
            .map_err(|max| SendError::BuffersFull { max })?;
        let stream = self.dial(addr, Role::Message, outgoing);
        stream.map(drop).ok_or(SendError::TooManyStreams)
    }

    /// All bytes of the dialling side: the label, and the message in its layers.
    fn request(&mut self, message: Vec<u8>) -> Vec<u8> {
        let frame = self.framed(message);
        if self.params.label.is_empty() {
            return frame;
        }
        let mut bytes = Vec::new();
        let label = packet::put_label(&mut bytes, &self.params.label);
        debug_assert!(label.is_ok(), "a label's length is checked with the parameters");
        bytes.extend_from_slice(&frame);
        bytes
    }

    /// All bytes of the accepting side: the message in its layers.
    fn framed(&mut self, message: Vec<u8>) -> Vec<u8> {
        let seal = self.seal_version().map(|version| (version, self.nonce_rng.bytes()));
        let layers = Layers {
            compress: self.params.compression,
            seal: seal.map(|(version, nonce)| (&self.keyring, version, nonce)),
            label: &self.params.label,
        };
        frame(message, layers)
    }

    // ── Inputs ──────────────────────────────────────────────────────────────────────────────────

    pub(super) fn on_stream(
        &mut self,
        id: StreamId,
        input: StreamInput<'_>,
    ) -> Result<(), StreamError> {
        let stream = self.streams.open.get_mut(&id).ok_or(StreamError::UnknownStream)?;
        match (input, stream.phase) {
            (StreamInput::Connected, Phase::Connecting) => {
                self.on_connected(id);
                Ok(())
            }
            (StreamInput::Bytes(bytes), Phase::Reading | Phase::Waiting) => {
                self.on_bytes(id, bytes)
            }
            (StreamInput::Written, Phase::Writing) => {
                self.on_written(id);
                Ok(())
            }
            (StreamInput::Closed, Phase::Reading) if stream.inbox.is_empty() => {
                self.close(id);
                Ok(())
            }
            (StreamInput::Closed, Phase::Reading | Phase::Waiting) => {
                self.fail(id, StreamFailure::Answer(StreamError::Unfinished), Ending::Close);
                Err(StreamError::Unfinished)
            }
            (StreamInput::Failed, _) => {
                self.fail(id, StreamFailure::Connection, Ending::Gone);
                Ok(())
            }
            // Bytes after a request, an early end of a peer that only reads: neither matters.
            (_, _) => Ok(()),
        }
    }

    fn on_connected(&mut self, id: StreamId) {
        let Some(stream) = self.streams.open.get(&id) else { return };
        let request = match stream.role {
            Role::PushPull { aim, sent } => {
                let mut bytes = Vec::new();
                self.put_push_pull(&mut bytes, aim.is_join(), sent);
                Some(self.request(bytes))
            }
            Role::Message | Role::Serve => None,
        };
        match request {
            Some(request) => {
                // A failure is told with the stream's end.
                let _ = self.write_all(id, request);
            }
            None => self.start_writing(id),
        }
    }

    /// Writes a whole message, if the buffers have room for it; else the stream ends.
    fn write_all(&mut self, id: StreamId, bytes: Vec<u8>) -> Result<(), StreamError> {
        let Some(stream) = self.streams.open.get(&id) else { return Ok(()) };
        if let Err(max) = self.check_buffers(stream.role, bytes.len()) {
            let error = StreamError::BuffersFull { max };
            self.fail(id, StreamFailure::Answer(error), Ending::Close);
            return Err(error);
        }
        self.streams.set_outgoing(id, bytes);
        self.start_writing(id);
        Ok(())
    }

    /// Whether so many more bytes may be held for a stream of this role; else the limit.
    fn check_buffers(&mut self, role: Role, more: usize) -> Result<(), usize> {
        let max = match role {
            Role::Serve => served_share(self.params.stream_buffers_max),
            Role::PushPull { .. } | Role::Message => self.params.stream_buffers_max,
        };
        if self.streams.buffered + more > max {
            self.stats.stream_buffers_full += 1;
            return Err(max);
        }
        Ok(())
    }

    fn start_writing(&mut self, id: StreamId) {
        let Some(stream) = self.streams.open.get_mut(&id) else { return };
        stream.phase = Phase::Writing;
        stream.deadline = self.now + self.params.stream_timeout;
        self.intend(Intent::Write { stream: id });
    }

    fn on_written(&mut self, id: StreamId) {
        let Some(stream) = self.streams.open.get_mut(&id) else { return };
        stream.written += core::mem::take(&mut stream.in_flight);
        if stream.written < stream.outgoing.len() {
            self.intend(Intent::Write { stream: id });
            return;
        }
        match stream.role {
            Role::PushPull { .. } => {
                stream.phase = Phase::Waiting;
                stream.deadline = self.now + self.params.stream_timeout;
                self.streams.set_outgoing(id, Vec::new());
            }
            Role::Message | Role::Serve => self.close(id),
        }
    }

    fn on_bytes(&mut self, id: StreamId, bytes: &[u8]) -> Result<(), StreamError> {
        let stream = self.streams.open.get(&id).ok_or(StreamError::UnknownStream)?;
        let room = self.check_buffers(stream.role, bytes.len());
        let stream = self.streams.open.get_mut(&id).ok_or(StreamError::UnknownStream)?;
        let before = stream.inbox.len();
        let protection = Protection {
            label: &self.params.label,
            keyring: &self.keyring,
            verify_incoming: self.params.verify_incoming,
        };
        let progress = match room {
            Ok(()) => stream.inbox.push(bytes, protection),
            Err(max) => Err(StreamError::BuffersFull { max }),
        };
        // It may have become shorter: layers are taken off.
        self.streams.buffered = self.streams.buffered - before + stream.inbox.len();
        match progress {
            Ok(Progress::Incomplete) => Ok(()),
            Ok(Progress::Complete) => self.on_message_complete(id),
            Err(error) => {
                self.refuse(id, error);
                Err(error)
            }
        }
    }

    fn on_message_complete(&mut self, id: StreamId) -> Result<(), StreamError> {
        // Taken out, so that the message may borrow from it while the node changes.
        let Some(stream) = self.streams.open.get_mut(&id) else { return Ok(()) };
        let inbox = core::mem::replace(&mut stream.inbox, Inbox::for_response(0));
        self.streams.buffered -= inbox.len();
        let (role, peer) = (stream.role, stream.peer);
        let Some(message) = inbox.message() else { return Ok(()) };
        match role {
            Role::Serve => self.serve(id, peer, message),
            Role::PushPull { aim, sent } => self.on_answer(id, peer, aim, sent, message),
            Role::Message => {
                self.close(id);
                Ok(())
            }
        }
    }

    // ── Serving ─────────────────────────────────────────────────────────────────────────────────

    fn serve(
        &mut self,
        id: StreamId,
        peer: SocketAddr,
        message: StreamMessage<'_>,
    ) -> Result<(), StreamError> {
        match message {
            StreamMessage::Ping(ping) => return self.serve_ping(id, &ping),
            StreamMessage::PushPull(exchange) => return self.serve_push_pull(id, peer, exchange),
            StreamMessage::User(bytes) => {
                self.on_reliable(peer, bytes);
                self.close(id);
            }
            StreamMessage::Ack(_) | StreamMessage::Refusal(_) => {
                self.stats.count_failed_stream();
                self.close(id);
            }
        }
        Ok(())
    }

    fn serve_ping(&mut self, id: StreamId, ping: &Ping<'_>) -> Result<(), StreamError> {
        if !ping.node.is_empty() && *ping.node != *self.name.as_bytes() {
            self.stats.pings_for_others += 1;
            self.close(id);
            return Ok(());
        }
        let mut answer = Vec::new();
        let written = Ack { seq: ping.seq, ..Ack::default() }.encode(&mut answer);
        debug_assert!(written.is_ok(), "a vector is never full");
        let answer = self.framed(answer);
        self.write_all(id, answer)
    }

    fn serve_push_pull(
        &mut self,
        id: StreamId,
        peer: SocketAddr,
        exchange: PushPull<'_>,
    ) -> Result<(), StreamError> {
        // Our view goes out as it was before theirs came in, as memberlist does it.
        let mut answer = Vec::new();
        self.put_push_pull(&mut answer, exchange.join, state_form_of(&exchange));
        let answer = self.framed(answer);
        self.write_all(id, answer)?;
        if let Err(error) = self.merge(peer, &exchange) {
            self.fail(id, StreamFailure::Answer(error), Ending::Close);
            return Err(error);
        }
        self.stats.push_pulls_served += 1;
        Ok(())
    }

    fn on_reliable(&mut self, peer: SocketAddr, bytes: &[u8]) {
        match Envelope::decode(bytes) {
            Ok(Some(Envelope::Direct { channel, payload })) => {
                let payload = Bytes::copy_from_slice(payload);
                self.deliver(peer, channel, payload, Delivery::Reliable);
            }
            Ok(None) => {
                let payload = Bytes::copy_from_slice(bytes);
                self.deliver(peer, Channel::BARE, payload, Delivery::Reliable);
            }
            Ok(Some(Envelope::Data(_))) | Err(_) => self.stats.envelopes_refused += 1,
        }
    }

    // ── Answers ─────────────────────────────────────────────────────────────────────────────────

    fn on_answer(
        &mut self,
        id: StreamId,
        peer: SocketAddr,
        aim: Aim,
        sent: UserState,
        message: StreamMessage<'_>,
    ) -> Result<(), StreamError> {
        let failure = match message {
            StreamMessage::PushPull(exchange) => match self.merge(peer, &exchange) {
                Ok(()) => {
                    self.stats.push_pulls_completed += 1;
                    self.close(id);
                    self.after_push_pull(peer, aim, sent, exchange.user_state);
                    return Ok(());
                }
                Err(error) => StreamFailure::Answer(error),
            },
            StreamMessage::Refusal(refusal) => StreamFailure::Refused(words(&refusal)),
            StreamMessage::Ping(_) => StreamFailure::Answer(StreamError::UnexpectedAnswer(0)),
            StreamMessage::Ack(_) => StreamFailure::Answer(StreamError::UnexpectedAnswer(2)),
            StreamMessage::User(_) => StreamFailure::Answer(StreamError::UnexpectedAnswer(8)),
        };
        let error = match &failure {
            StreamFailure::Answer(error) => *error,
            _ => StreamError::Refused,
        };
        self.fail(id, failure, Ending::Close);
        Err(error)
    }

    fn after_push_pull(&mut self, peer: SocketAddr, aim: Aim, sent: UserState, their_state: &[u8]) {
        let Aim::Join { seed } = aim else { return };
        self.seeds.remove(seed);
        self.tell(Fact::SeedReached { seed });
        // A join begins with a stranger: what either side held back for that reason is exchanged
        // now that both know each other.
        let held_back = sent == UserState::Nothing && !self.channel_states.is_empty();
        let they_did = !their_state.starts_with(&sections::MAGIC);
        if let Some(member) = self.table.find_addr(peer)
            && self.table.get(member).is_some_and(Record::takes_envelopes)
            && (held_back || they_did)
        {
            self.push_pull_with(member);
        }
    }

    // ── State ───────────────────────────────────────────────────────────────────────────────────

    fn state_form_for(&self, member: Option<MemberId>) -> UserState {
        match member.and_then(|id| self.table.get(id)) {
            Some(record) if record.takes_envelopes() => UserState::Sections,
            Some(_) => UserState::Blob,
            None => UserState::Nothing,
        }
    }

    /// Writes one half of an exchange: every member that we know, then the application's state.
    fn put_push_pull(&mut self, bytes: &mut Vec<u8>, join: bool, form: UserState) {
        let state = self.user_state(form);
        let count = |len: usize| u32::try_from(len).unwrap_or(u32::MAX);
        let header = PushPullHeader {
            nodes: count(self.table.len()),
            user_state_len: count(state.len()),
            join,
        };
        let mut written = header.encode(bytes);
        for (_, record) in self.table.iter() {
            let node = NodeState { alive: alive_of(record), state: wire_state(record.state) };
            written = written.and_then(|()| node.encode(bytes));
        }
        debug_assert!(written.is_ok(), "a vector is never full");
        bytes.extend_from_slice(&state);
    }

    fn user_state(&mut self, form: UserState) -> Vec<u8> {
        let mut state = Vec::new();
        match form {
            UserState::Nothing => {}
            UserState::Blob => {
                if let Some(blob) = self.channel_states.get(&Channel::BARE) {
                    state.extend_from_slice(blob);
                }
            }
            UserState::Sections => {
                let all = self.channel_states.iter().map(|(&channel, bytes)| (channel, &**bytes));
                let written = sections::put(&mut state, all);
                debug_assert!(written.is_ok(), "a vector is never full");
            }
        }
        if state.len() > USER_STATE_MAX as usize {
            // A peer would refuse the whole exchange; membership matters more.
            self.stats.channel_states_unsent += 1;
            return Vec::new();
        }
        state
    }

    /// Applies a peer's half of an exchange, all or nothing.
    fn merge(&mut self, peer: SocketAddr, exchange: &PushPull<'_>) -> Result<(), StreamError> {
        if !versions_agree(&self.table, exchange.nodes()) {
            self.stats.push_pulls_incompatible += 1;
            return Err(StreamError::IncompatibleVersions);
        }
        let mut states = Vec::new();
        let sectioned = sections::read(exchange.user_state, |channel, bytes| {
            states.push((channel, bytes));
        })?;
        self.hear_serf(exchange.user_state);
        if sectioned.is_none() && !exchange.user_state.is_empty() {
            states.push((Channel::BARE, exchange.user_state));
        }
        for node in exchange.nodes() {
            self.merge_member(&node);
        }
        for (channel, bytes) in states {
            let bytes = Bytes::copy_from_slice(bytes);
            self.tell(Fact::PeerState { from: peer, channel, bytes, join: exchange.join });
        }
        Ok(())
    }

    // ── Ending ──────────────────────────────────────────────────────────────────────────────────

    pub(super) fn run_stream_deadlines(&mut self) {
        while let Some(id) = self.streams.overdue(self.now) {
            self.fail(id, StreamFailure::TimedOut, Ending::Close);
        }
    }

    /// Tells a peer that its request was not understood, where memberlist does: when the failure
    /// lies before the message's type is known and is not about the label.
    fn refuse(&mut self, id: StreamId, error: StreamError) {
        let served = self.streams.open.get(&id).is_some_and(|stream| stream.role == Role::Serve);
        self.stats.undecryptable += u64::from(matches!(error, StreamError::Sealed(_)));
        let worth_telling = matches!(
            error,
            StreamError::Encrypted
                | StreamError::Plaintext
                | StreamError::Sealed(_)
                | StreamError::Compressed(_)
        );
        if !served || !worth_telling {
            self.fail(id, StreamFailure::Answer(error), Ending::Close);
            return;
        }
        let text = error.to_string();
        let mut answer = Vec::new();
        let written = Refusal { error: text.as_bytes().into() }.encode(&mut answer);
        debug_assert!(written.is_ok(), "a vector is never full");
        let answer = self.framed(answer);
        if self.write_all(id, answer).is_ok() {
            self.stats.count_failed_stream();
        }
    }

    fn close(&mut self, id: StreamId) {
        if self.streams.remove(id).is_some() {
            self.intend(Intent::Close { stream: id });
        }
    }

    fn fail(&mut self, id: StreamId, failure: StreamFailure, ending: Ending) {
        let Some(stream) = self.streams.remove(id) else { return };
        self.stats.count_failed_stream();
        if ending == Ending::Close {
            self.intend(Intent::Close { stream: id });
        }
        if let Role::PushPull { aim: Aim::Join { seed }, .. } = stream.role {
            self.seed_failed(seed, failure);
        }
    }

    fn seed_failed(&mut self, seed: SocketAddr, reason: StreamFailure) {
        if self.leaving != Leaving::No {
            return;
        }
        let (first, max) = (self.params.join_retry, self.params.join_retry_max);
        let failed = self.seeds.failed(seed, self.now, first, max, &mut self.push_pull_rng);
        if let Some((attempts, retry_after)) = failed {
            self.tell(Fact::SeedFailed { seed, attempts, retry_after, reason });
        }
    }
}

/// The part of a limit that streams which peers opened may use up. An eighth is kept for our own:
/// a flood must not keep us from joining.
const fn served_share(limit: usize) -> usize {
    limit - limit / 8
}

/// Whether the embedder still holds the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Close,
    Gone,
}

/// In which form the initiator of an exchange understands our state. It shows by its own, or, when
/// it joins and so did not know us, by the adverts of those it lists.
fn state_form_of(exchange: &PushPull<'_>) -> UserState {
    let takes_envelopes = |node: NodeState<'_>| {
        Advert::find(&node.alive.meta)
            .is_some_and(|advert| advert.capabilities & CAPABILITY_ENVELOPE != 0)
    };
    let sectioned = exchange.user_state.starts_with(&sections::MAGIC)
        || (exchange.join && exchange.node_count() > 0 && exchange.nodes().all(takes_envelopes));
    if sectioned { UserState::Sections } else { UserState::Blob }
}

const fn wire_state(state: MemberState) -> WireState {
    match state {
        MemberState::Alive => WireState::ALIVE,
        MemberState::Suspect => WireState::SUSPECT,
        MemberState::Dead => WireState::DEAD,
        MemberState::Left => WireState::LEFT,
    }
}

/// A peer's reason, fit to be printed.
fn words(refusal: &Refusal<'_>) -> String {
    let cut = refusal.error.len().min(REFUSAL_LEN_MAX);
    refusal.error[..cut].escape_ascii().to_string()
}
