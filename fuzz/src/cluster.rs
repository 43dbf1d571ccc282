//! Some nodes and the wires between them: what every input goes through, and what is held against
//! all outputs.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use rumormill::wire::packet::{Opener, PACKET_SIZES};
use rumormill::{
    AskId, BootEpoch, Config, Fact, Identity, Incarnation, Instant, Node, NodeName, Output, Params,
    RumorId, SEEDS_MAX, StreamId, StreamInput,
};

use super::draw::{IPS, NAMES, PORT};
use super::world::assert_sendable;

/// Outputs of one drain, above what the limits of a node allow.
const OUTPUTS_MAX: usize = 20_000;

/// Datagrams on their way; the oldest are lost.
const FLYING_MAX: usize = 64;

/// How often a node that was woken late may ask to be woken at once.
const LATE_TICKS_MAX: usize = 8;

/// Rumours that wait: each takes a byte of the queue, and more.
const RUMORS_MAX: usize = 1 << 16;

/// Asks and rumours that the user remembers.
const REMEMBERED_MAX: usize = 16;

pub(super) fn home(index: usize) -> SocketAddr {
    SocketAddr::from((IPS[index], PORT))
}

/// A datagram on its way.
pub(super) struct Datagram {
    pub(super) from: SocketAddr,
    pub(super) to: usize,
    pub(super) bytes: Vec<u8>,
}

/// One end of a stream.
struct End {
    id: StreamId,
    /// Whom it dialled, until somebody answers.
    dials: Option<SocketAddr>,
    other: Option<(usize, StreamId)>,
    arrived: Vec<u8>,
    writes: bool,
}

/// A node and its user.
pub(super) struct Peer {
    pub(super) node: Node,
    pub(super) asks: VecDeque<AskId>,
    pub(super) rumors: VecDeque<RumorId>,
    ends: Vec<End>,
    deadline: Option<Instant>,
    next_event: u64,
    members_max: usize,
    streams_max: usize,
    left: bool,
}

/// All of them.
pub(super) struct Cluster {
    pub(super) now: Instant,
    pub(super) peers: Vec<Peer>,
    pub(super) flying: VecDeque<Datagram>,
    /// How often a node was told anything.
    pub(super) inputs: usize,
    opener: Opener,
    buf: Vec<u8>,
}

impl Cluster {
    pub(super) fn new(configs: &[Config]) -> Self {
        let peers = configs.iter().enumerate().map(|(index, config)| peer(index, config)).collect();
        Self {
            now: Instant::ZERO,
            peers,
            flying: VecDeque::new(),
            inputs: 0,
            opener: Opener::default(),
            buf: vec![0; PACKET_SIZES.1],
        }
    }

    /// One call of one of the node's doors.
    pub(super) fn tell<T>(&mut self, at: usize, door: impl FnOnce(&mut Node, Instant) -> T) -> T {
        self.inputs += 1;
        door(&mut self.peers[at].node, self.now)
    }

    pub(super) fn hear(&mut self, datagram: &Datagram) {
        let Datagram { from, to, ref bytes } = *datagram;
        // A refusal is the sender's business.
        let _ = self.tell(to, |node, now| node.handle_packet(now, from, bytes));
    }

    // ── Outputs ─────────────────────────────────────────────────────────────────────────────────

    pub(super) fn drain(&mut self, at: usize) {
        let mut events = 0;
        for _ in 0..OUTPUTS_MAX {
            let peer = &mut self.peers[at];
            match peer.node.poll_output(&mut self.buf) {
                Output::Send { to, len } => {
                    assert_sendable(&mut self.opener, &self.buf[..len], &peer.node);
                    self.send(at, to, len);
                }
                Output::Connect { stream, to } => peer.opens(stream, Some(to)),
                Output::Write { stream, len } => self.write(at, stream, len),
                Output::Close { stream } => {
                    let open = peer.ends.iter().position(|end| end.id == stream);
                    peer.ends.remove(open.expect("a stream is closed exactly once"));
                }
                Output::Event(event) => {
                    events += 1;
                    assert!(event.number >= peer.next_event, "events are numbered in order");
                    peer.next_event = event.number + 1;
                    peer.remember(&event.fact);
                }
                Output::Timer(deadline) => {
                    peer.deadline = deadline;
                    // Beside those that waited and word of those lost, what the drain itself caused.
                    let caused_max = 1 + peer.node.streams_open();
                    assert!(
                        events <= peer.node.params().events_max + caused_max,
                        "{events} events"
                    );
                    return self.check(at);
                }
            }
        }
        panic!("the drain ends");
    }

    fn send(&mut self, at: usize, to: SocketAddr, len: usize) {
        let Some(to) = (0..self.peers.len()).find(|&index| home(index) == to) else { return };
        if self.flying.len() == FLYING_MAX {
            self.flying.pop_front();
        }
        self.flying.push_back(Datagram { from: home(at), to, bytes: self.buf[..len].to_vec() });
    }

    fn write(&mut self, at: usize, stream: StreamId, len: usize) {
        assert!(len > 0, "nothing is written for nothing");
        let end = self.peers[at].end(stream).expect("only open streams are written to");
        assert!(!end.writes && end.dials.is_none(), "one piece at a time, on a connected stream");
        end.writes = true;
        let Some((there, other)) = end.other else { return };
        if let Some(other) = self.peers[there].end(other) {
            other.arrived.extend_from_slice(&self.buf[..len]);
        }
    }

    /// What holds whenever a node is drained, beside the invariants that it checks itself.
    fn check(&mut self, at: usize) {
        let Peer { node, ends, members_max, streams_max, left, .. } = &mut self.peers[at];
        assert!(node.members().count() <= *members_max, "the table stays within its limit");
        assert_eq!(node.streams_open(), ends.len(), "the same streams are open on both sides");
        assert!(ends.len() <= *streams_max, "the streams stay within their limit");
        assert!(node.seeds_waiting() <= SEEDS_MAX, "the seeds stay within their limit");
        assert!(node.rumors_waiting() <= RUMORS_MAX, "the rumours stay within their limit");
        assert!(node.live_members() >= 1 || *left, "a node is a member of its cluster");
        let at = node.local().addr;
        assert!(IPS.iter().any(|&ip| SocketAddr::from((ip, PORT)) == at), "our address is ours");
    }

    // ── Time ────────────────────────────────────────────────────────────────────────────────────

    /// Time passes for all, and those wake who wanted to be woken by then.
    pub(super) fn pass(&mut self, by: Duration) {
        self.now += by;
        for at in 0..self.peers.len() {
            self.drain(at);
            if self.peers[at].deadline.is_some_and(|deadline| deadline <= self.now) {
                self.wake(at);
            }
        }
    }

    /// Time passes until the next deadline of anybody.
    pub(super) fn pass_to_next(&mut self) {
        (0..self.peers.len()).for_each(|at| self.drain(at));
        let next = self.peers.iter().filter_map(|peer| peer.deadline).min();
        self.pass(next.map_or(Duration::ZERO, |next| next.saturating_since(self.now)));
    }

    fn wake(&mut self, at: usize) {
        for _ in 0..LATE_TICKS_MAX {
            self.tell(at, Node::handle_tick);
            self.drain(at);
            if self.peers[at].deadline.is_none_or(|deadline| deadline > self.now) {
                return;
            }
        }
        panic!("a node does not ask again and again to be woken at once");
    }

    // ── Streams ─────────────────────────────────────────────────────────────────────────────────

    pub(super) fn ends(&self, at: usize) -> usize {
        self.peers[at].ends.len()
    }

    /// A stranger dials; `None` if the node hangs up.
    pub(super) fn accept(&mut self, at: usize, from: SocketAddr) -> Option<usize> {
        let stream = self.tell(at, |node, now| node.handle_accept(now, from))?;
        self.peers[at].opens(stream, None);
        Some(self.ends(at) - 1)
    }

    /// Something happens on a stream, likely or not.
    pub(super) fn happens(&mut self, at: usize, end: usize, input: StreamInput<'_>) {
        let stream = self.peers[at].ends[end].id;
        match input {
            StreamInput::Written => self.peers[at].ends[end].writes = false,
            StreamInput::Connected => self.peers[at].ends[end].dials = None,
            StreamInput::Bytes(_) | StreamInput::Closed | StreamInput::Failed => {}
        }
        let result = self.tell(at, |node, now| node.handle_stream(now, stream, input));
        // A refusal closes the stream, and so it may be closed already; the node says so itself.
        if result.is_ok() && matches!(input, StreamInput::Failed) {
            self.peers[at].ends.remove(end);
        }
    }

    /// What a network does next with a stream.
    pub(super) fn proceeds(&mut self, at: usize, index: usize, piece: usize) {
        let end = &mut self.peers[at].ends[index];
        if let Some(to) = end.dials {
            self.connects(at, index, to);
        } else if end.writes {
            self.happens(at, index, StreamInput::Written);
        } else if end.arrived.is_empty() {
            let gone = end.other.is_none_or(|(there, id)| self.peers[there].end(id).is_none());
            if gone {
                self.happens(at, index, StreamInput::Closed);
            }
        } else {
            let rest = end.arrived.split_off(piece.min(end.arrived.len()));
            let piece = std::mem::replace(&mut end.arrived, rest);
            self.happens(at, index, StreamInput::Bytes(&piece));
        }
    }

    fn connects(&mut self, at: usize, index: usize, to: SocketAddr) {
        let id = self.peers[at].ends[index].id;
        let there = (0..self.peers.len()).find(|&there| there != at && home(there) == to);
        let accepted = there.and_then(|there| Some((there, self.accept(there, home(at))?)));
        let Some((there, other)) = accepted else {
            return self.happens(at, index, StreamInput::Failed);
        };
        let other = &mut self.peers[there].ends[other];
        other.other = Some((at, id));
        let other = other.id;
        self.peers[at].ends[index].other = Some((there, other));
        self.happens(at, index, StreamInput::Connected);
    }
}

impl Peer {
    fn opens(&mut self, id: StreamId, dials: Option<SocketAddr>) {
        assert!(self.end(id).is_none(), "no stream has the name of another");
        self.ends.push(End { id, dials, other: None, arrived: Vec::new(), writes: false });
    }

    fn end(&mut self, id: StreamId) -> Option<&mut End> {
        self.ends.iter_mut().find(|end| end.id == id)
    }

    fn remember(&mut self, fact: &Fact) {
        match fact {
            Fact::AskJoin { ask, .. } | Fact::AskMerge { ask, .. } => {
                push_bounded(&mut self.asks, *ask);
            }
            Fact::Rumor { id, .. } => push_bounded(&mut self.rumors, id.clone()),
            Fact::LeaveDone => self.left = true,
            _ => {}
        }
    }
}

pub(super) fn push_bounded<T>(list: &mut VecDeque<T>, item: T) {
    if list.len() == REMEMBERED_MAX {
        list.pop_front();
    }
    list.push_back(item);
}

fn peer(index: usize, config: &Config) -> Peer {
    let epoch = u32::try_from(index).expect("there are few");
    let identity = Identity {
        name: NodeName::new(NAMES[index]).expect("the name is valid"),
        addr: home(index),
        incarnation: Incarnation(1),
        boot_epoch: BootEpoch(epoch),
    };
    let params = Params::try_from(config.clone()).expect("the parameters are valid");
    let seed = [u8::try_from(index).expect("there are few"); 32];
    Peer {
        node: Node::new(Instant::ZERO, identity, params, seed),
        asks: VecDeque::new(),
        rumors: VecDeque::new(),
        ends: Vec::new(),
        deadline: None,
        next_event: 0,
        members_max: config.members_max,
        streams_max: config.streams_max,
        left: false,
    }
}
