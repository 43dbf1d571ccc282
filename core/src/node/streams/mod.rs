//! Push/pull, reliable messages and probes over streams (protocol page §3).
//!
//! ```text
//! we dial:    Connecting ─► Writing ─► Waiting ─► merged, closed
//! they dial:  Reading ─► (Judging ─►) Writing ─► closed
//! ```
//!
//! | file | says |
//! |---|---|
//! | `mod` | the life of a stream: opening, bytes in, bytes out, its end |
//! | `serve` | what a peer asks for |
//! | `exchange` | exchanges of state |
//! | `probe` | probes for which datagrams are lost |
//!
//! A stream lives here from the moment it is asked for until its `Close`; inputs for one that is
//! gone are refused by name.

mod exchange;
mod probe;
mod serve;

use alloc::collections::BTreeMap;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use bytes::Bytes;

use super::outbox::Intent;
use super::{Leaving, Node, SendError};
use crate::event::{Fact, StreamFailure};
use crate::identity::{SeqNo, StreamId};
use crate::member::ring::{Sampling, sample};
use crate::member::{MemberId, MemberState};
use crate::time::Instant;
use crate::wire::message::Refusal;
use crate::wire::packet::{self, Protection};
use crate::wire::stream::{Inbox, Layers, Progress, StreamError, frame, put_user_message};

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

impl Stream {
    /// The next step begins. A probe's time is that of the whole probe.
    fn extend(&mut self, deadline: Instant) {
        if !matches!(self.role, Role::Ping { .. } | Role::Check { .. }) {
            self.deadline = deadline;
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// We began an exchange of state.
    PushPull { aim: Aim, sent: UserState },
    /// We deliver a message.
    Message,
    /// We probe a member that no datagram reached.
    Ping { seq: SeqNo },
    /// We ask a member to whom a stream failed.
    Check { seq: SeqNo },
    /// A peer opened it.
    Serve,
}

/// Why an exchange of state was begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Aim {
    /// To get to know a cluster through a seed.
    Join { seed: SocketAddr },
    /// To bring what a join held back, when the seed has turned out to be one of ours. To its
    /// application it is part of the join.
    RestOfJoin,
    /// To meet a peer again that was believed dead: two parts of a cluster become one.
    Heal,
    /// To repair what gossip missed.
    AntiEntropy,
}

impl Aim {
    const fn is_join(self) -> bool {
        matches!(self, Self::Join { .. } | Self::RestOfJoin | Self::Heal)
    }
}

/// An exchange of state, as far as it matters when the peer's half is here.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exchange {
    pub(super) peer: SocketAddr,
    side: Side,
    /// The stream of a peer that waits for our half: it gets that after the verdict.
    waiting: Option<StreamId>,
}

/// Who began an exchange.
#[derive(Clone, Copy, Debug)]
enum Side {
    Peer,
    Us { aim: Aim, sent: UserState },
}

impl Exchange {
    /// The seed that this node joins by it.
    pub(super) const fn seed(&self) -> Option<SocketAddr> {
        match self.side {
            Side::Us { aim: Aim::Join { seed }, .. } => Some(seed),
            Side::Us { .. } | Side::Peer => None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Connecting,
    Writing,
    Waiting,
    Reading,
    /// The peer's half is here, and our application is asked about it.
    Judging,
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
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    pub(super) const fn buffered(&self) -> usize {
        self.buffered
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.open.values().map(|stream| stream.deadline).min()
    }

    /// Gives lost time back.
    pub(super) fn postpone(&mut self, by: Duration) {
        for stream in self.open.values_mut() {
            stream.deadline += by;
        }
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
            self.push_pull_with(member, Aim::AntiEntropy);
        }
    }

    /// Asks a member for its state, to hear it speak for itself.
    pub(super) fn ask_in_person(&mut self, member: MemberId) {
        self.push_pull_with(member, Aim::AntiEntropy);
    }

    /// Asks an address for its state, where a peer or a seed used to be.
    pub(super) fn heal(&mut self, addr: SocketAddr) {
        self.stats.heals_tried += 1;
        let sent = self.state_form_for(self.table.find_addr(addr));
        self.dial(addr, Role::PushPull { aim: Aim::Heal, sent }, Vec::new());
    }

    fn push_pull_with(&mut self, member: MemberId, aim: Aim) {
        let Some(addr) = self.table.get(member).map(|record| record.addr.socket_addr()) else {
            return;
        };
        let sent = self.state_form_for(Some(member));
        self.dial(addr, Role::PushPull { aim, sent }, Vec::new());
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
                let graves = self.graves_for(aim);
                self.put_push_pull(&mut bytes, aim.is_join(), sent, &graves);
                Some(self.request(bytes))
            }
            Role::Message | Role::Ping { .. } | Role::Check { .. } | Role::Serve => None,
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
            Role::PushPull { .. } | Role::Message | Role::Ping { .. } | Role::Check { .. } => {
                self.params.stream_buffers_max
            }
        };
        if self.streams.buffered + self.asks.merge_bytes() + more > max {
            self.stats.stream_buffers_full += 1;
            return Err(max);
        }
        Ok(())
    }

    fn start_writing(&mut self, id: StreamId) {
        let Some(stream) = self.streams.open.get_mut(&id) else { return };
        stream.phase = Phase::Writing;
        stream.extend(self.now + self.params.stream_timeout);
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
            Role::PushPull { .. } | Role::Ping { .. } | Role::Check { .. } => {
                stream.phase = Phase::Waiting;
                stream.extend(self.now + self.params.stream_timeout);
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
        if role != Role::Serve {
            self.stream_passed(peer);
        }
        let held = match role {
            Role::Serve => self.serve(id, peer, message)?,
            Role::PushPull { aim, sent } => {
                let exchange = Exchange { peer, side: Side::Us { aim, sent }, waiting: None };
                self.on_answer(id, exchange, message)?
            }
            Role::Ping { seq } | Role::Check { seq } => {
                self.on_probe_answer(id, seq, &message)?;
                None
            }
            Role::Message => {
                self.close(id);
                None
            }
        };
        if let Some(exchange) = held {
            self.ask_merge(exchange, inbox);
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
        self.answer_no(id, &error.to_string());
    }

    /// Tells a peer why its request comes to nothing.
    fn answer_no(&mut self, id: StreamId, why: &str) {
        let mut answer = Vec::new();
        let written = Refusal { error: why.as_bytes().into() }.encode(&mut answer);
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
        let is_network = matches!(failure, StreamFailure::Connection | StreamFailure::TimedOut);
        // A probe that fails over a stream too finds more than that.
        if is_network && !matches!(stream.role, Role::Serve | Role::Ping { .. }) {
            self.stream_failed(stream.peer);
        }
        if let Role::PushPull { aim: Aim::Join { seed }, .. } = stream.role {
            self.seed_failed(seed, failure);
        }
    }

    pub(super) fn seed_failed(&mut self, seed: SocketAddr, reason: StreamFailure) {
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
