//! A small world in virtual time: nodes, links with a delay, cuts. No threads, no sockets; the
//! same seed gives the same run.

#![allow(dead_code, unreachable_pub, reason = "each test file uses another part")]
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "this is test code")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use rumormill::wire::message::{
    Accusation, Alive, IndirectPing, Message, NodeAddr, NodeState, Ping, PushPullHeader, Source,
    WireState,
};
use rumormill::wire::msgpack::Blob;
use rumormill::wire::stream::StreamError;
use rumormill::{
    BootEpoch, Config, Event, Fact, Identity, Incarnation, Instant, MemberState, Node, NodeName,
    Output, Params, SeqNo, StreamId, StreamInput,
};

/// Nobody probes, gossips or synchronises by itself: what happens is what the test does.
pub fn still(config: Config) -> Config {
    Config {
        probe_interval: None,
        gossip_interval: None,
        push_pull_interval: None,
        heal_interval: None,
        ..config
    }
}

/// What travels.
enum Parcel {
    Packet { from: SocketAddr, bytes: Vec<u8> },
    Dial { from: usize, stream: StreamId },
    Stream { stream: StreamId, input: Owned },
}

enum Owned {
    Connected,
    Bytes(Vec<u8>),
    Written,
    Closed,
    Failed,
}

impl Owned {
    fn as_input(&self) -> StreamInput<'_> {
        match self {
            Self::Connected => StreamInput::Connected,
            Self::Bytes(bytes) => StreamInput::Bytes(bytes),
            Self::Written => StreamInput::Written,
            Self::Closed => StreamInput::Closed,
            Self::Failed => StreamInput::Failed,
        }
    }
}

/// A datagram that a node sent, for tests that look at bytes.
#[derive(Clone, Debug)]
pub struct Sent {
    pub at: Instant,
    pub from: usize,
    pub to: SocketAddr,
    pub bytes: Vec<u8>,
    pub copies: u32,
    pub cause: rumormill::Cause,
    pub said: Vec<rumormill::Said>,
}

pub struct Cluster {
    pub now: Instant,
    pub latency: Duration,
    /// One in this many datagrams is lost; 0 loses none.
    pub lose_one_in: u32,
    /// The last byte of each piece on a stream is another one.
    pub garble_streams: bool,
    pub sent: Vec<Sent>,
    pub events: Vec<Vec<Event>>,
    /// All that each node wrote to each of its streams.
    pub written: BTreeMap<(usize, StreamId), Vec<u8>>,
    /// The streams that each node closed.
    pub closed: BTreeSet<(usize, StreamId)>,
    nodes: Vec<Option<Node>>,
    wake: Vec<Option<Instant>>,
    parcels: BTreeMap<(Instant, u64), (usize, Parcel)>,
    next: u64,
    cuts: BTreeSet<(usize, usize)>,
    datagram_cuts: BTreeSet<(usize, usize)>,
    stream_cuts: BTreeSet<(usize, usize)>,
    /// Who stands still until when.
    still: BTreeMap<usize, Instant>,
    /// The other end of a stream.
    pipes: BTreeMap<(usize, StreamId), (usize, StreamId)>,
    chance: u64,
    boots: u32,
    /// What nodes write into.
    buf: Vec<u8>,
}

pub fn addr(index: usize) -> SocketAddr {
    let [_, _, high, low] = (index as u32 + 1).to_be_bytes();
    SocketAddr::from(([10, 0, high, low], 7_946))
}

pub fn name(index: usize) -> NodeName {
    NodeName::new(format!("node-{index}")).unwrap()
}

pub fn identity(index: usize, boot: u32) -> Identity {
    Identity {
        name: name(index),
        addr: addr(index),
        incarnation: Incarnation(1),
        boot_epoch: BootEpoch(boot),
    }
}

/// What node `index` would say about itself, with some of it changed.
pub fn alive(index: usize, change: impl FnOnce(&mut Alive<'static>)) -> Vec<u8> {
    let mut alive = statement(index);
    change(&mut alive);
    encoded(&Message::Alive(alive))
}

/// What node `index` would say about itself at its start.
pub fn statement(index: usize) -> Alive<'static> {
    let addr = NodeAddr::from(addr(index));
    Alive {
        incarnation: Incarnation(1),
        node: blob(name(index).as_bytes()),
        addr: blob(addr.ip_bytes()),
        port: addr.port,
        meta: Blob::Nil,
        vsn: blob(&[1, 5, 2, 0, 0, 0]),
    }
}

/// Bytes of its own.
pub fn blob(bytes: &[u8]) -> Blob<'static> {
    Blob::Collected(bytes.to_vec())
}

/// Asks node `index` for an ack, under the name of another.
pub fn ping_from(index: usize, from: usize) -> Vec<u8> {
    let (node, from_name, from) = (name(index), name(from), NodeAddr::from(addr(from)));
    let source =
        Source { addr: from.ip_bytes().into(), port: from.port, node: from_name.as_bytes().into() };
    encoded(&Message::Ping(Ping { seq: SeqNo(7), node: node.as_bytes().into(), source }))
}

/// Asks for a probe of node `target` with this number.
pub fn indirect_ping(target: usize, seq: u32, nack: bool) -> Vec<u8> {
    let (node, addr) = (name(target), NodeAddr::from(addr(target)));
    encoded(&Message::IndirectPing(IndirectPing {
        seq: SeqNo(seq),
        target: addr.ip_bytes().into(),
        port: addr.port,
        node: node.as_bytes().into(),
        nack,
        source: Source::default(),
    }))
}

/// Half of a push/pull that lists members by index, incarnation and state.
pub fn exchange(members: &[(usize, u32, WireState)], join: bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    let nodes = members.len() as u32;
    PushPullHeader { nodes, user_state_len: 0, join }.encode(&mut bytes).unwrap();
    for &(index, incarnation, state) in members {
        let alive = Alive { incarnation: Incarnation(incarnation), ..statement(index) };
        NodeState { alive, state }.encode(&mut bytes).unwrap();
    }
    bytes
}

/// A statement in a few words: `alive node-1 at 2`, `suspect node-1 at 2 by node-3`.
fn in_words(message: &Message<'_>) -> Option<String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (kind, accusation) = match message {
        Message::Alive(alive) => {
            return Some(format!("alive {} at {}", text(&alive.node), alive.incarnation.0));
        }
        Message::Suspect(accusation) => ("suspect", accusation),
        Message::Dead(accusation) => ("dead", accusation),
        _ => return None,
    };
    let Accusation { incarnation, node, from } = accusation;
    Some(format!("{kind} {} at {} by {}", text(node), incarnation.0, text(from)))
}

/// What node `index` would say about itself at that address and incarnation.
pub fn alive_message(index: usize, addr: SocketAddr, incarnation: u32) -> Vec<u8> {
    alive_with_versions(index, addr, incarnation, [1, 5, 2, 0, 0, 0])
}

/// The same with other version bytes.
pub fn alive_with_versions(
    index: usize,
    addr: SocketAddr,
    incarnation: u32,
    versions: [u8; 6],
) -> Vec<u8> {
    let addr = NodeAddr::from(addr);
    alive(index, |alive| {
        alive.incarnation = Incarnation(incarnation);
        (alive.addr, alive.port) = (blob(addr.ip_bytes()), addr.port);
        alive.vsn = blob(&versions);
    })
}

/// What `from` would say about `about`: a suspicion, a death, or with `from == about` a goodbye.
pub fn accusation(kind: Accuse, about: usize, from: usize, incarnation: u32) -> Vec<u8> {
    let (node, from) = (name(about), name(from));
    let accusation = Accusation {
        incarnation: Incarnation(incarnation),
        node: node.as_bytes().into(),
        from: from.as_bytes().into(),
    };
    encoded(&match kind {
        Accuse::Suspect => Message::Suspect(accusation),
        Accuse::Dead => Message::Dead(accusation),
    })
}

#[derive(Clone, Copy, Debug)]
pub enum Accuse {
    Suspect,
    Dead,
}

pub fn encoded(message: &Message<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    message.encode(&mut bytes).unwrap();
    bytes
}

/// The parts of a datagram.
pub fn parts(packet: &[u8]) -> Vec<Message<'_>> {
    let parts = rumormill::wire::packet::open(packet, b"").unwrap();
    parts.map(|part| Message::decode(part).unwrap()).collect()
}

impl Cluster {
    /// `size` nodes that do not know each other, with 1 ms between any two.
    pub fn new(size: usize, config: &Config) -> Self {
        Self::with(size, |_| config.clone())
    }

    pub fn with(size: usize, config: impl Fn(usize) -> Config) -> Self {
        let mut cluster = Self {
            now: Instant::ZERO,
            latency: Duration::from_millis(1),
            lose_one_in: 0,
            sent: Vec::new(),
            events: Vec::new(),
            written: BTreeMap::new(),
            closed: BTreeSet::new(),
            nodes: Vec::new(),
            wake: Vec::new(),
            parcels: BTreeMap::new(),
            next: 0,
            cuts: BTreeSet::new(),
            datagram_cuts: BTreeSet::new(),
            stream_cuts: BTreeSet::new(),
            garble_streams: false,
            still: BTreeMap::new(),
            pipes: BTreeMap::new(),
            chance: 0x9e37_79b9_7f4a_7c15,
            boots: 0,
            buf: vec![0; 65_536],
        };
        for index in 0..size {
            cluster.nodes.push(None);
            cluster.wake.push(None);
            cluster.events.push(Vec::new());
            cluster.start(index, config(index));
        }
        cluster
    }

    /// The same, all joined through node 0 and seeing each other.
    pub fn joined(size: usize, config: &Config) -> Self {
        let mut cluster = Self::new(size, config);
        cluster.join_all();
        cluster
    }

    pub fn join_all(&mut self) {
        self.join_through(|_| 0..1);
    }

    /// For nodes that do not gossip: each one joins all that started before it.
    pub fn join_pairwise(&mut self) {
        self.join_through(|index| 0..index);
    }

    fn join_through(&mut self, seeds: impl Fn(usize) -> std::ops::Range<usize>) {
        let size = self.nodes.len();
        for index in 1..size {
            let seeds: Vec<_> = seeds(index).map(addr).collect();
            self.act(index, |node, now| node.join(now, &seeds));
        }
        let converged = self.run_until(Duration::from_secs(120), |cluster| {
            (0..size).all(|index| cluster.node(index).live_members() == size)
        });
        assert!(converged, "all nodes see all others");
    }

    /// Starts a node, or starts it anew without any memory.
    pub fn start(&mut self, index: usize, config: Config) {
        self.start_at(index, config, 1);
    }

    /// The same with another first incarnation.
    pub fn start_at(&mut self, index: usize, config: Config, incarnation: u32) {
        self.boots += 1;
        let params = Params::try_from(config).unwrap();
        let seed = [(index + 1) as u8 ^ (self.boots as u8) << 1; 32];
        let identity =
            Identity { incarnation: Incarnation(incarnation), ..identity(index, self.boots) };
        self.nodes[index] = Some(Node::new(self.now, identity, params, seed));
        self.drain(index);
    }

    /// Ends a node without a word.
    pub fn crash(&mut self, index: usize) {
        self.nodes[index] = None;
        self.wake[index] = None;
        let ends: Vec<_> = self.pipes.keys().copied().filter(|end| end.0 == index).collect();
        for end in ends {
            if let Some((peer, stream)) = self.pipes.remove(&end) {
                self.pipes.remove(&(peer, stream));
                self.post(peer, Parcel::Stream { stream, input: Owned::Failed });
            }
        }
    }

    pub fn node(&self, index: usize) -> &Node {
        self.nodes[index].as_ref().expect("the node runs")
    }

    pub fn size(&self) -> usize {
        self.nodes.len()
    }

    /// Calls a node, then drains it.
    pub fn act<R>(&mut self, index: usize, call: impl FnOnce(&mut Node, Instant) -> R) -> R {
        let now = self.now;
        let result = call(self.nodes[index].as_mut().expect("the node runs"), now);
        self.drain(index);
        result
    }

    /// Calls a node whose runtime does not drain it.
    pub fn act_undrained<R>(&mut self, index: usize, call: impl FnOnce(&mut Node) -> R) -> R {
        call(self.nodes[index].as_mut().expect("the node runs"))
    }

    /// Node `index` gets a datagram from the address of another, which need not run.
    pub fn hear(&mut self, index: usize, from: usize, packet: &[u8]) {
        self.act(index, |node, now| node.handle_packet(now, addr(from), packet)).unwrap();
    }

    /// Node `index` gets this on a stream that a stranger opens. Returns the stream and the verdict.
    pub fn hear_stream(
        &mut self,
        index: usize,
        bytes: &[u8],
    ) -> (StreamId, Result<(), StreamError>) {
        let stranger = SocketAddr::from(([10, 9, 9, 9], 50_000));
        let stream = self.act(index, |node, now| node.handle_accept(now, stranger)).unwrap();
        let input = StreamInput::Bytes(bytes);
        (stream, self.act(index, |node, now| node.handle_stream(now, stream, input)))
    }

    /// The membership news that node `index` has to tell, in order. It tells them to `member`, who
    /// must be one, so each call counts as one transmission.
    pub fn news(&mut self, index: usize, member: usize) -> Vec<String> {
        self.hear(index, member, &ping_from(index, member));
        let ack = self.sent.last().expect("a ping is answered");
        parts(&ack.bytes).iter().filter_map(in_words).collect()
    }

    /// Lets node `index` tell all its news, and forgets what it told the application.
    pub fn settle(&mut self, index: usize, member: usize) {
        while !self.news(index, member).is_empty() {}
        self.events[index].clear();
        self.sent.clear();
    }

    /// Nothing passes from `from` to `to` any more.
    pub fn cut(&mut self, from: usize, to: usize) {
        self.cuts.insert((from, to));
    }

    /// No datagram passes from `from` to `to` any more; streams do.
    pub fn cut_datagrams(&mut self, from: usize, to: usize) {
        self.datagram_cuts.insert((from, to));
    }

    /// No call from `from` reaches `to` any more; datagrams do.
    pub fn cut_streams(&mut self, from: usize, to: usize) {
        self.stream_cuts.insert((from, to));
    }

    pub fn isolate(&mut self, index: usize) {
        for other in 0..self.nodes.len() {
            self.cut(index, other);
            self.cut(other, index);
        }
    }

    pub fn heal(&mut self) {
        self.cuts.clear();
        self.datagram_cuts.clear();
        self.stream_cuts.clear();
    }

    /// What `index` believes about `about`.
    pub fn state(&self, index: usize, about: usize) -> Option<MemberState> {
        self.node(index).member(name(about).as_bytes()).map(|member| member.state)
    }

    /// The facts that a node told, since the last call.
    pub fn facts(&mut self, index: usize) -> Vec<Fact> {
        self.events[index].drain(..).map(|event| event.fact).collect()
    }

    pub fn run_for(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some(at) = self.next_step().filter(|&at| at <= end) {
            self.step(at);
        }
        self.now = end;
    }

    /// Runs until `reached` holds; `false` if it does not within `limit`.
    pub fn run_until(&mut self, limit: Duration, reached: impl Fn(&Self) -> bool) -> bool {
        let end = self.now + limit;
        loop {
            if reached(self) {
                return true;
            }
            match self.next_step().filter(|&at| at <= end) {
                Some(at) => self.step(at),
                None => return false,
            }
        }
    }

    fn next_step(&self) -> Option<Instant> {
        let parcel = self.parcels.keys().next().map(|key| key.0);
        let wake = self.wake.iter().flatten().min().copied();
        parcel.into_iter().chain(wake).min()
    }

    fn step(&mut self, at: Instant) {
        self.now = self.now.max(at);
        if self.parcels.keys().next().is_some_and(|key| key.0 <= self.now) {
            let (_, (to, parcel)) = self.parcels.pop_first().unwrap();
            self.deliver(to, parcel);
            return;
        }
        let due = |wake: &Option<Instant>| wake.is_some_and(|wake| wake <= self.now);
        if let Some(index) = self.wake.iter().position(due) {
            self.wake[index] = None;
            self.act(index, Node::handle_tick);
        }
    }

    /// The process gets no time for so long; what comes for it waits.
    pub fn stand_still(&mut self, index: usize, duration: Duration) {
        let until = self.now + duration;
        self.still.insert(index, until);
        self.wake[index] = self.wake[index].map(|wake| wake.max(until));
    }

    fn deliver(&mut self, to: usize, parcel: Parcel) {
        if let Some(&until) = self.still.get(&to).filter(|&&until| until > self.now) {
            self.next += 1;
            self.parcels.insert((until, self.next), (to, parcel));
            return;
        }
        match parcel {
            Parcel::Dial { from, stream } => self.accept(to, from, stream),
            _ if self.nodes[to].is_none() => {}
            Parcel::Packet { from, bytes } => {
                let _ = self.act(to, |node, now| node.handle_packet(now, from, &bytes));
            }
            Parcel::Stream { stream, input } => {
                let _ = self.act(to, |node, now| node.handle_stream(now, stream, input.as_input()));
            }
        }
    }

    fn accept(&mut self, to: usize, from: usize, stream: StreamId) {
        // Streams come from an ephemeral port.
        let peer = SocketAddr::new(addr(from).ip(), 50_000);
        let accepted = match self.nodes[to].as_mut() {
            Some(node) => node.handle_accept(self.now, peer),
            None => None,
        };
        let input = match accepted {
            Some(theirs) => {
                self.pipes.insert((from, stream), (to, theirs));
                self.pipes.insert((to, theirs), (from, stream));
                self.drain(to);
                Owned::Connected
            }
            None => Owned::Failed,
        };
        self.post(from, Parcel::Stream { stream, input });
    }

    fn drain(&mut self, index: usize) {
        let mut buf = std::mem::take(&mut self.buf);
        loop {
            let node = self.nodes[index].as_mut().expect("the node runs");
            match node.poll_output(&mut buf) {
                Output::Send { to, len } => {
                    let datagram = node.last_datagram();
                    let copies = datagram.rumors().iter().map(|&(_, copies)| copies).sum();
                    let (cause, said) = (datagram.cause, datagram.said().to_vec());
                    assert!(len <= node.params().packet_size_max(), "no datagram over the limit");
                    let bytes = buf[..len].to_vec();
                    self.sent.push(Sent {
                        at: self.now,
                        from: index,
                        to,
                        bytes: bytes.clone(),
                        copies,
                        cause,
                        said,
                    });
                    self.send(index, to, bytes);
                }
                Output::Connect { stream, to } => match self.index_of(to) {
                    Some(peer) if !self.swallows_calls(index, peer) => {
                        self.post(peer, Parcel::Dial { from: index, stream });
                    }
                    // A black hole: the deadline of the stream ends it.
                    _ => {}
                },
                Output::Write { stream, len } => {
                    self.write(index, stream, &buf[..len]);
                }
                Output::Close { stream } => {
                    self.closed.insert((index, stream));
                    if let Some((peer, theirs)) = self.pipes.remove(&(index, stream)) {
                        self.pipes.remove(&(peer, theirs));
                        self.post(peer, Parcel::Stream { stream: theirs, input: Owned::Closed });
                    }
                }
                Output::Event(event) => self.events[index].push(event),
                Output::Timer(wake) => {
                    self.wake[index] = wake;
                    self.buf = buf;
                    return;
                }
            }
        }
    }

    fn swallows_calls(&self, from: usize, to: usize) -> bool {
        [&self.cuts, &self.stream_cuts].iter().any(|cuts| cuts.contains(&(from, to)))
    }

    fn send(&mut self, from: usize, to: SocketAddr, bytes: Vec<u8>) {
        let Some(peer) = self.index_of(to) else { return };
        let lost = self.lose_one_in > 0 && self.random().is_multiple_of(self.lose_one_in.into());
        let cut = [&self.cuts, &self.datagram_cuts].iter().any(|cuts| cuts.contains(&(from, peer)));
        if !lost && !cut {
            self.post(peer, Parcel::Packet { from: addr(from), bytes });
        }
    }

    fn write(&mut self, from: usize, stream: StreamId, bytes: &[u8]) {
        self.written.entry((from, stream)).or_default().extend_from_slice(bytes);
        let Some(&(peer, theirs)) = self.pipes.get(&(from, stream)) else { return };
        if self.cuts.contains(&(from, peer)) {
            return;
        }
        // Pieces of odd sizes: a stream has no message boundaries.
        for piece in bytes.chunks(997) {
            let mut piece = piece.to_vec();
            if let Some(last) = piece.last_mut().filter(|_| self.garble_streams) {
                *last = last.wrapping_add(1);
            }
            let input = Owned::Bytes(piece);
            self.post(peer, Parcel::Stream { stream: theirs, input });
        }
        self.post(from, Parcel::Stream { stream, input: Owned::Written });
    }

    fn index_of(&self, addr: SocketAddr) -> Option<usize> {
        (0..self.nodes.len()).find(|&index| self::addr(index) == addr)
    }

    fn post(&mut self, to: usize, parcel: Parcel) {
        let at = self.now + self.latency;
        self.parcels.insert((at, self.next), (to, parcel));
        self.next += 1;
    }

    fn random(&mut self) -> u64 {
        // xorshift64*: chance of the world, not of the nodes.
        self.chance ^= self.chance >> 12;
        self.chance ^= self.chance << 25;
        self.chance ^= self.chance >> 27;
        self.chance.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}
