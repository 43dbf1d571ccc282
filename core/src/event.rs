//! What a node tells its application: facts, numbered, with their cause.

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use bytes::Bytes;

use crate::identity::{AskId, Channel, Incarnation, NodeName};
use crate::member::MemberState;
use crate::node::Reach;
use crate::rumor::RumorId;
use crate::time::Instant;

/// Something that happened.
#[derive(Clone, Debug)]
pub struct Event {
    /// Counts up from 0 by one per event, dropped ones included. A [`Fact::Resync`] has that of the
    /// last one dropped.
    pub number: u64,
    /// When it happened.
    pub at: Instant,
    /// What happened.
    pub fact: Fact,
}

/// The kinds of events.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Fact {
    /// A member came, or came back after it had been dead or left.
    Joined {
        /// Who.
        name: NodeName,
        /// Where it is.
        addr: SocketAddr,
        /// The application's bytes about it.
        meta: Arc<[u8]>,
    },
    /// A member's meta changed.
    Updated {
        /// Who.
        name: NodeName,
        /// Its meta before.
        before: Arc<[u8]>,
        /// Its meta now.
        meta: Arc<[u8]>,
    },
    /// A member's process started anew without having been missed: its boot epoch changed.
    Restarted {
        /// Who.
        name: NodeName,
        /// Its meta now.
        meta: Arc<[u8]>,
    },
    /// A member is suspected. It stays a member.
    Suspected {
        /// Who.
        name: NodeName,
        /// Who says so; this node's own name if its probe failed.
        accuser: NodeName,
        /// The incarnation that is accused.
        incarnation: Incarnation,
    },
    /// A suspect refuted in time.
    Recovered {
        /// Who.
        name: NodeName,
        /// The incarnation that it refuted with.
        incarnation: Incarnation,
    },
    /// A member acked a direct probe in time; told with
    /// [`Config::probe_events`](crate::Config::probe_events) only.
    Probed {
        /// Who.
        name: NodeName,
        /// How long it took, unlike [`Member::rtt`](crate::Member::rtt) not smoothed.
        rtt: Duration,
        /// What its application put into the ack; see
        /// [`Node::set_ack_payload`](crate::Node::set_ack_payload).
        payload: Bytes,
    },
    /// A member answers over streams, but no datagram gets through, neither directly nor by way of
    /// others: a firewall, perhaps. It stays a member. Told for every such probe.
    DatagramsLost {
        /// Who.
        name: NodeName,
    },
    /// Something else gets through to a member from here than before. Told once for each change; a stream
    /// has to fail twice.
    ReachChanged {
        /// Who.
        name: NodeName,
        /// What does now.
        reach: Reach,
    },
    /// A member is dead.
    Failed {
        /// Who.
        name: NodeName,
        /// Where it was.
        addr: SocketAddr,
        /// Who condemned it: this node's own name if the suspicion ran out here.
        reported_by: NodeName,
        /// Who accused it, as far as this node heard.
        accusers: Vec<NodeName>,
    },
    /// A member said goodbye.
    Left {
        /// Who.
        name: NodeName,
        /// Where it was.
        addr: SocketAddr,
    },
    /// A dead or left member was forgotten: see
    /// [`Config::remember_dead`](crate::Config::remember_dead).
    Reaped {
        /// Who.
        name: NodeName,
    },
    /// Somebody whom this node does not know as a live member says that it is alive: a newcomer,
    /// one who was dead or left, or another address that takes over a name that is free. Answer
    /// with [`Node::answer`](crate::Node::answer) within
    /// [`ASK_TIMEOUT`](crate::ASK_TIMEOUT), or it counts as refused; until then nothing of it is
    /// believed or passed on. Told with [`Config::ask_joins`](crate::Config::ask_joins) only.
    AskJoin {
        /// Name this in the answer.
        ask: AskId,
        /// Who.
        name: NodeName,
        /// Where it says it is.
        addr: SocketAddr,
        /// What it says about itself.
        meta: Arc<[u8]>,
    },
    /// A cluster wants to merge with ours by joining, or the one that this node joins does. Answer with
    /// [`Node::answer`](crate::Node::answer) within the shorter of
    /// [`ASK_TIMEOUT`](crate::ASK_TIMEOUT) and
    /// [`Config::stream_timeout`](crate::Config::stream_timeout), or it counts as refused. Told
    /// with [`Config::ask_merges`](crate::Config::ask_merges) only.
    AskMerge {
        /// Name this in the answer.
        ask: AskId,
        /// The other end of the stream.
        peer: SocketAddr,
        /// The seed, if it is this node that joins.
        seed: Option<SocketAddr>,
        /// The members of the other side, dead ones included, up to
        /// [`ASK_MEMBERS_MAX`](crate::ASK_MEMBERS_MAX).
        members: Vec<RemoteMember>,
        /// How many the other side lists in all.
        total: u32,
    },
    /// Two nodes use one name. The first one keeps it.
    Conflict {
        /// The name.
        name: NodeName,
        /// Who has it.
        existing: SocketAddr,
        /// Who else claims it.
        other: SocketAddr,
    },
    /// Somebody accused this node, or said something else about it that it never said; it
    /// answered with a higher incarnation.
    Refuted {
        /// Who accused it, if the message said so.
        accuser: Option<NodeName>,
        /// The incarnation that it refuted with.
        incarnation: Incarnation,
    },
    /// A seed answered: the two clusters know each other.
    SeedReached {
        /// Which.
        seed: SocketAddr,
    },
    /// A seed did not answer. It will be tried again.
    SeedFailed {
        /// Which.
        seed: SocketAddr,
        /// Failed attempts so far.
        attempts: u32,
        /// Pause before the next one.
        retry_after: Duration,
        /// Why.
        reason: StreamFailure,
    },
    /// The state of one channel came with a push/pull.
    PeerState {
        /// The other end of the stream.
        from: SocketAddr,
        /// Which protocol of the application it is for; [`Channel::BARE`] for a peer's blob.
        channel: Channel,
        /// The state.
        bytes: Bytes,
        /// Whether the exchange was part of a join.
        join: bool,
    },
    /// A rumour came for the first time.
    Rumor {
        /// Its id.
        id: RumorId,
        /// Which protocol of the application it is for.
        channel: Channel,
        /// Hops that it travelled; `None` if it came bare, without a count.
        hop: Option<u8>,
        /// Who passed it on.
        from: SocketAddr,
        /// The application's bytes.
        payload: Bytes,
    },
    /// The list of neighbours has fallen apart: told when all of them are lost, and when a rumour
    /// had to be fetched from elsewhere while some are. At most once in
    /// [`Config::payload_cache_for`](crate::Config::payload_cache_for) for the latter.
    OverlayDegraded {
        /// The neighbours of the list that are dead, gone, or do not answer: where it is cut.
        lost: Vec<SocketAddr>,
        /// A member beyond the cut: who had the rumour, if this node fetched it itself.
        beyond: Option<NodeName>,
    },
    /// A message for this node alone.
    Message {
        /// Who sent it.
        from: Sender,
        /// Which protocol of the application it is for.
        channel: Channel,
        /// The application's bytes.
        payload: Bytes,
        /// How it came.
        delivery: Delivery,
    },
    /// The goodbye has been sent as often as the cluster's size asks for, there was nobody to
    /// send it to, or the time for it is over: the process may end.
    LeaveDone,
    /// Events were dropped because nobody polled them in time; look at the members anew.
    Resync {
        /// How many were dropped.
        dropped: u64,
    },
}

/// A member as a peer sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteMember {
    /// Its name.
    pub name: NodeName,
    /// Where it is.
    pub addr: SocketAddr,
    /// What the peer believes about it.
    pub state: MemberState,
    /// The application's bytes about it. The merge drops who has more than 512.
    pub meta: Bytes,
}

/// Who sent a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sender {
    /// The member at the address that it came from.
    Member(NodeName),
    /// No member is known at that address. Streams come from arbitrary ports.
    Addr(SocketAddr),
}

/// How a message for one recipient travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Delivery {
    /// One datagram, no acknowledgement.
    BestEffort,
    /// A stream.
    Reliable,
}

/// Why a stream of ours came to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamFailure {
    /// The connection could not be made or broke.
    Connection,
    /// It took longer than the stream timeout.
    TimedOut,
    /// The peer's answer was refused.
    Answer(crate::wire::stream::StreamError),
    /// The peer refused, in its own words, cut to 256 bytes and escaped.
    Refused(String),
    /// This node holds as many streams as it may.
    TooManyStreams,
    /// This node's application refused the merge, or did not answer in time.
    Vetoed,
}

impl core::fmt::Display for StreamFailure {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Connection => f.write_str("nobody answers there"),
            Self::TimedOut => f.write_str("no answer in time"),
            Self::Answer(error) => error.fmt(f),
            Self::Refused(words) => write!(f, "it refused: {words}"),
            Self::TooManyStreams => f.write_str("too many streams are open"),
            Self::Vetoed => f.write_str("this side does not want to merge with that cluster"),
        }
    }
}

/// Events that wait to be polled, oldest first.
#[derive(Debug)]
pub(crate) struct EventQueue {
    events: VecDeque<Event>,
    next_number: u64,
    /// How many were dropped, and the number of the last of them.
    dropped: u64,
    last_dropped: u64,
    events_max: usize,
}

impl EventQueue {
    pub(crate) const fn new(events_max: usize) -> Self {
        Self { events: VecDeque::new(), next_number: 0, dropped: 0, last_dropped: 0, events_max }
    }

    /// Queues a fact; the oldest one goes if there is no room. Returns how many were dropped.
    pub(crate) fn push(&mut self, at: Instant, fact: Fact) -> u64 {
        let number = self.next_number;
        self.next_number += 1;
        self.events.push_back(Event { number, at, fact });
        if self.events.len() > self.events_max
            && let Some(oldest) = self.events.pop_front()
        {
            self.dropped += 1;
            self.last_dropped = oldest.number;
            return 1;
        }
        0
    }

    pub(crate) fn len(&self) -> usize {
        self.events.len()
    }

    /// The oldest event; first of all a [`Fact::Resync`] if any were dropped.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<Event> {
        if self.dropped > 0 {
            let dropped = core::mem::take(&mut self.dropped);
            let number = self.last_dropped;
            return Some(Event { number, at: now, fact: Fact::Resync { dropped } });
        }
        self.events.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_overflow_drops_the_oldest_and_says_so_first() {
        let mut queue = EventQueue::new(2);
        let dropped: u64 = (0..5).map(|_| queue.push(Instant::ZERO, Fact::LeaveDone)).sum();
        assert_eq!((dropped, queue.events.len()), (3, 2));
        let resync = queue.pop(Instant::ZERO).unwrap();
        assert!(matches!(resync.fact, Fact::Resync { dropped: 3 }));
        let numbers: Vec<u64> =
            core::iter::from_fn(|| queue.pop(Instant::ZERO)).map(|event| event.number).collect();
        assert_eq!((resync.number, &numbers[..]), (2, &[3, 4][..]), "numbers rise");
    }
}
