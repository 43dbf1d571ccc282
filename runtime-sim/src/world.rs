//! The world: one queue ordered by time and sequence, processes, datagrams and streams.
//!
//! A process is a node of the core and an application beside it, which plays the part that a
//! program plays in a real runtime. Nothing here knows what nodes say to each other.

use core::cmp::{Ordering, Reverse};
use core::net::SocketAddr;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use rumormill::{
    BootEpoch, Datagram, Event, Identity, Incarnation, Instant, Node, NodeName, Output, Params,
    StreamId, StreamInput,
};

use crate::chance::{Chance, Part};
use crate::network::{Fate, Network};
use crate::trace::{Hash, Sent, Step, Tracer};

/// Bytes of UDP and IPv4 headers around every datagram.
pub const HEADERS_LEN: u64 = 28;
/// Bytes that a stream takes at a time. Odd, because a stream has no message boundaries.
const PIECE_LEN: usize = 16_381;
/// The port that a process' outgoing streams come from.
const STREAM_PORT: u16 = 50_000;

/// A process of a world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProcessId(u32);

impl ProcessId {
    /// The process that was spawned as number `index`, from 0.
    #[must_use]
    pub fn new(index: usize) -> Self {
        Self(u32::try_from(index).unwrap_or(u32::MAX))
    }

    /// Its number, from 0.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// What a process does beside its node.
pub trait App {
    /// The node says something.
    fn on_event(&mut self, ctl: &mut Ctl<'_>, event: Event);

    /// The node has sent a datagram of `len` bytes.
    fn on_datagram(&mut self, now: Instant, to: SocketAddr, len: usize, datagram: &Datagram) {
        let _ = (now, to, len, datagram);
    }

    /// Everything that was to be done has been done; called once after each input.
    fn on_turn(&mut self, ctl: &mut Ctl<'_>) {
        let _ = ctl;
    }
}

/// An application that listens to nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl App for Silent {
    fn on_event(&mut self, _: &mut Ctl<'_>, _: Event) {}
}

/// What an application may do to its node. What the node wants afterwards is carried out.
#[derive(Debug)]
pub struct Ctl<'a> {
    node: &'a mut Node,
    now: Instant,
}

impl Ctl<'_> {
    /// The time.
    #[must_use]
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// The node, to look at.
    #[must_use]
    pub const fn node(&self) -> &Node {
        self.node
    }

    /// Calls the node.
    pub fn act<R>(&mut self, call: impl FnOnce(&mut Node, Instant) -> R) -> R {
        call(self.node, self.now)
    }
}

/// What a process starts as.
#[derive(Clone, Debug)]
pub struct Spawn {
    /// What the cluster calls it.
    pub name: NodeName,
    /// Where others reach it.
    pub addr: SocketAddr,
    /// How it gossips.
    pub params: Params,
}

impl Spawn {
    /// The process `index` of a world of up to 2^24: its address is in `10.0.0.0/8`, and its name is
    /// its address.
    ///
    /// # Panics
    ///
    /// If there are more than that.
    #[must_use]
    pub fn numbered(index: usize, params: Params) -> Self {
        let number = u32::try_from(index + 1).expect("a world has fewer than 2^24 processes");
        let [top, high, middle, low] = number.to_be_bytes();
        assert!(top == 0, "a world has fewer than 2^24 processes");
        let addr = SocketAddr::from(([10, high, middle, low], 7_946));
        let name = NodeName::new(addr.to_string()).expect("an address is a name");
        Self { name, addr, params }
    }
}

/// What has happened in a world so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WorldStats {
    /// Things that were taken from the queue.
    pub steps: u64,
    /// Datagrams that were sent.
    pub datagrams: u64,
    /// Their bytes, without headers.
    pub datagram_bytes: u64,
    /// Of these, those that were lost.
    pub lost: u64,
    /// Of these, those that arrived twice.
    pub duplicated: u64,
    /// Those for an address where nobody listens.
    pub unreachable: u64,
    /// Datagrams that a node refused.
    pub refused: u64,
    /// Streams that were opened.
    pub streams: u64,
    /// Bytes that travelled on streams.
    pub stream_bytes: u64,
    /// Processes that crashed.
    pub crashes: u64,
    /// Processes that were started anew.
    pub restarts: u64,
}

impl WorldStats {
    /// All bytes on the wire: datagrams with the headers of UDP and IPv4, and what streams carry.
    #[must_use]
    pub const fn wire_bytes(&self) -> u64 {
        self.datagram_bytes + self.datagrams * HEADERS_LEN + self.stream_bytes
    }
}

/// A process. What belongs to one of its lives carries the number of that life.
#[derive(Debug)]
struct Process<A> {
    name: NodeName,
    addr: SocketAddr,
    life: u32,
    running: Option<Running<A>>,
    /// When its node wants to be woken.
    wake: Option<Instant>,
    /// The earliest wake-up in the queue.
    armed: Option<Instant>,
}

#[derive(Debug)]
struct Running<A> {
    node: Node,
    app: A,
}

/// One end of a stream knows the other.
#[derive(Clone, Copy, Debug)]
struct Pipe {
    peer: ProcessId,
    theirs: StreamId,
    /// Nothing that is written from here on arrives before this.
    last_arrival: Instant,
}

type PipeEnd = (ProcessId, StreamId);

/// What is going to happen.
#[derive(Debug)]
enum What {
    Wake { process: ProcessId, life: u32 },
    Packet { from: SocketAddr, to: ProcessId, bytes: Box<[u8]> },
    Dial { from: ProcessId, life: u32, stream: StreamId, to: ProcessId },
    Stream { to: ProcessId, life: u32, stream: StreamId, news: News },
}

#[derive(Debug)]
enum News {
    Connected,
    Bytes(Box<[u8]>),
    Written,
    Closed,
    Failed,
}

#[derive(Debug)]
struct Planned {
    at: Instant,
    sequence: u64,
    what: What,
}

impl PartialEq for Planned {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Planned {}

impl PartialOrd for Planned {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Planned {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.sequence).cmp(&(other.at, other.sequence))
    }
}

/// A world of processes. See the [crate documentation](crate).
#[derive(Debug)]
pub struct World<A> {
    seed: u64,
    now: Instant,
    sequence: u64,
    queue: BinaryHeap<Reverse<Planned>>,
    processes: Vec<Process<A>>,
    by_addr: BTreeMap<SocketAddr, ProcessId>,
    pipes: BTreeMap<PipeEnd, Pipe>,
    /// Calls under way whose callers, in their present lives, still want them.
    dials: BTreeSet<PipeEnd>,
    network: Network,
    network_chance: Chance,
    tracer: Tracer,
    stats: WorldStats,
    /// What nodes write their outputs into.
    buf: Vec<u8>,
}

impl<A: App> World<A> {
    /// An empty world at time zero.
    #[must_use]
    pub fn new(seed: u64, network: Network) -> Self {
        Self {
            seed,
            now: Instant::ZERO,
            sequence: 0,
            queue: BinaryHeap::new(),
            processes: Vec::new(),
            by_addr: BTreeMap::new(),
            pipes: BTreeMap::new(),
            dials: BTreeSet::new(),
            network,
            network_chance: Chance::child(seed, Part::Network),
            tracer: Tracer::default(),
            stats: WorldStats::default(),
            buf: vec![0; 1 << 16],
        }
    }

    /// Has every step from here on recorded by this tracer.
    #[must_use]
    pub fn traced(mut self, tracer: Tracer) -> Self {
        self.tracer = tracer;
        self
    }

    // ── Processes ───────────────────────────────────────────────────────────────────────────────

    /// Starts a process now.
    ///
    /// # Panics
    ///
    /// If its address is taken.
    pub fn spawn(&mut self, spawn: Spawn, app: A) -> ProcessId {
        let id = ProcessId::new(self.processes.len());
        let before = self.by_addr.insert(spawn.addr, id);
        assert!(before.is_none(), "{} is taken", spawn.addr);
        let Spawn { name, addr, params } = spawn;
        let process = Process { name, addr, life: 0, running: None, wake: None, armed: None };
        self.processes.push(process);
        self.start(id, params, app);
        id
    }

    /// Ends a process without a word. What survives of it is returned; `None` if it was down.
    pub fn crash(&mut self, id: ProcessId) -> Option<A> {
        let process = &mut self.processes[id.index()];
        let running = process.running.take()?;
        (process.wake, process.armed) = (None, None);
        self.stats.crashes += 1;
        self.tracer.record(self.now, id, Step::Crash);
        let ends: Vec<_> = self.pipes.keys().copied().filter(|end| end.0 == id).collect();
        for end in ends {
            self.hang_up(end, News::Failed);
        }
        self.dials.retain(|end| end.0 != id);
        Some(running.app)
    }

    /// Starts a crashed process anew, at its address and under its name, with what the application
    /// saved and with nothing that the node knew.
    ///
    /// # Panics
    ///
    /// If it is running.
    pub fn restart(&mut self, id: ProcessId, params: Params, app: A) {
        self.stats.restarts += 1;
        self.start(id, params, app);
    }

    fn start(&mut self, id: ProcessId, params: Params, app: A) {
        let process = &mut self.processes[id.index()];
        assert!(process.running.is_none(), "the process runs");
        process.life += 1;
        let seconds = u32::try_from(self.now.as_micros() / 1_000_000).unwrap_or(u32::MAX);
        let identity = Identity {
            name: process.name.clone(),
            addr: process.addr,
            // The clock's seconds, and one for each life: above what an earlier life began with, also
            // within a second.
            incarnation: Incarnation(seconds.saturating_add(process.life)),
            boot_epoch: BootEpoch(process.life),
        };
        let seed = Chance::child(self.seed, Part::Process(id.0, process.life)).node_seed();
        let node = Node::new(self.now, identity, params, seed);
        process.running = Some(Running { node, app });
        self.tracer.record(self.now, id, Step::Start);
        self.drain(id);
    }

    /// Calls a process, which must be running, and carries out what its node wants.
    ///
    /// # Panics
    ///
    /// If it is down.
    pub fn act<R>(&mut self, id: ProcessId, call: impl FnOnce(&mut Ctl<'_>, &mut A) -> R) -> R {
        let now = self.now;
        let running = self.processes[id.index()].running.as_mut().expect("the process runs");
        let result = call(&mut Ctl { node: &mut running.node, now }, &mut running.app);
        self.drain(id);
        result
    }

    // ── Time ────────────────────────────────────────────────────────────────────────────────────

    /// Lets the next thing happen. `None`: nothing is planned, and time stands still.
    pub fn step(&mut self) -> Option<Instant> {
        let Reverse(planned) = self.queue.pop()?;
        self.now = self.now.max(planned.at);
        self.stats.steps += 1;
        self.happen(planned.what);
        Some(self.now)
    }

    /// Lets everything happen that is planned for the next `duration`, and moves time on by it.
    pub fn run_for(&mut self, duration: Duration) {
        let end = self.now + duration;
        while self.next_at().is_some_and(|at| at <= end) {
            self.step();
        }
        self.now = end;
    }

    /// Lets things happen until `reached` holds; `false` if it does not within `limit`. Looks after
    /// every step.
    pub fn run_until(&mut self, limit: Duration, mut reached: impl FnMut(&Self) -> bool) -> bool {
        let end = self.now + limit;
        loop {
            if reached(self) {
                return true;
            }
            if self.next_at().is_none_or(|at| at > end) {
                self.now = end;
                return false;
            }
            self.step();
        }
    }

    /// As [`run_until`](Self::run_until), but looks only whenever another `pause` has passed, at the
    /// end of `limit` too: for what is costly to see.
    pub fn run_until_seen(
        &mut self,
        limit: Duration,
        pause: Duration,
        mut reached: impl FnMut(&Self) -> bool,
    ) -> bool {
        let end = self.now + limit;
        // Time moves on even if there is no pause at all.
        let pause = pause.max(Duration::from_micros(1));
        loop {
            if reached(self) {
                return true;
            }
            if self.now >= end {
                return false;
            }
            self.run_for(pause.min(end.saturating_since(self.now)));
        }
    }

    fn next_at(&self) -> Option<Instant> {
        self.queue.peek().map(|Reverse(planned)| planned.at)
    }

    // ── To look at ──────────────────────────────────────────────────────────────────────────────

    /// The time.
    #[must_use]
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// How many processes were spawned.
    #[must_use]
    pub const fn size(&self) -> usize {
        self.processes.len()
    }

    /// All processes, in the order in which they were spawned.
    pub fn ids(&self) -> impl Iterator<Item = ProcessId> + use<A> {
        (0..self.processes.len()).map(ProcessId::new)
    }

    /// A process' node; `None` while it is down.
    #[must_use]
    pub fn node(&self, id: ProcessId) -> Option<&Node> {
        self.processes[id.index()].running.as_ref().map(|running| &running.node)
    }

    /// A process' application; `None` while it is down.
    #[must_use]
    pub fn app(&self, id: ProcessId) -> Option<&A> {
        self.processes[id.index()].running.as_ref().map(|running| &running.app)
    }

    /// Where others reach a process.
    #[must_use]
    pub fn addr(&self, id: ProcessId) -> SocketAddr {
        self.processes[id.index()].addr
    }

    /// What the cluster calls a process.
    #[must_use]
    pub fn name(&self, id: ProcessId) -> &NodeName {
        &self.processes[id.index()].name
    }

    /// What links do, from now on.
    pub const fn network_mut(&mut self) -> &mut Network {
        &mut self.network
    }

    /// What has happened so far.
    #[must_use]
    pub const fn stats(&self) -> &WorldStats {
        &self.stats
    }

    /// The hash of everything that has happened so far.
    #[must_use]
    pub fn hash(&self) -> Hash {
        self.tracer.hash()
    }

    /// Ends the world; the applications of its processes remain, `None` for those that are down.
    #[must_use]
    pub fn into_apps(self) -> Vec<Option<A>> {
        let running = self.processes.into_iter().map(|process| process.running);
        running.map(|running| running.map(|running| running.app)).collect()
    }

    /// Ends the world; its tracer remains, to be flushed.
    #[must_use]
    pub fn into_tracer(self) -> Tracer {
        self.tracer
    }

    // ── What happens ────────────────────────────────────────────────────────────────────────────

    fn plan(&mut self, at: Instant, what: What) {
        let sequence = self.sequence;
        self.sequence += 1;
        self.queue.push(Reverse(Planned { at, sequence, what }));
    }

    fn happen(&mut self, what: What) {
        match what {
            What::Wake { process, life } => self.wake(process, life),
            What::Packet { from, to, bytes } => self.deliver(from, to, &bytes),
            What::Dial { from, life, stream, to } => self.accept(from, life, stream, to),
            What::Stream { to, life, stream, news } => self.tell(to, life, stream, &news),
        }
    }

    fn wake(&mut self, id: ProcessId, life: u32) {
        let now = self.now;
        let process = &mut self.processes[id.index()];
        if process.life != life || process.armed != Some(now) {
            return;
        }
        process.armed = None;
        let Some(running) = process.running.as_mut() else { return };
        // The node may have changed its mind since; then only the wake-up is planned anew.
        if process.wake.is_some_and(|wake| wake <= now) {
            self.tracer.record(now, id, Step::Wake);
            running.node.handle_tick(now);
            self.drain(id);
        } else {
            self.arm(id);
        }
    }

    fn deliver(&mut self, from: SocketAddr, to: ProcessId, bytes: &[u8]) {
        let now = self.now;
        let Some(running) = self.processes[to.index()].running.as_mut() else {
            self.stats.unreachable += 1;
            self.tracer.record(now, to, Step::Missed(from, bytes));
            return;
        };
        self.tracer.record(now, to, Step::Packet(from, bytes));
        let refused = running.node.handle_packet(now, from, bytes).is_err();
        self.stats.refused += u64::from(refused);
        self.drain(to);
    }

    fn accept(&mut self, from: ProcessId, life: u32, stream: StreamId, to: ProcessId) {
        let now = self.now;
        // Streams of another life may have the same number.
        let is_wanted =
            self.processes[from.index()].life == life && self.dials.remove(&(from, stream));
        let caller = SocketAddr::new(self.processes[from.index()].addr.ip(), STREAM_PORT);
        let callee = &mut self.processes[to.index()];
        let accepted =
            callee.running.as_mut().and_then(|running| running.node.handle_accept(now, caller));
        let delay = self.stream_delay(to, from);
        let Some(theirs) = accepted else {
            self.tracer.record(now, to, Step::Refused(caller));
            self.plan(now + delay, What::Stream { to: from, life, stream, news: News::Failed });
            return;
        };
        self.tracer.record(now, to, Step::Accept(caller));
        self.stats.streams += 1;
        if is_wanted {
            let pipe = |peer, theirs| Pipe { peer, theirs, last_arrival: now };
            self.pipes.insert((from, stream), pipe(to, theirs));
            self.pipes.insert((to, theirs), pipe(from, stream));
            self.drain(to);
            self.send_along((to, theirs), News::Connected);
        } else {
            // The caller died or gave up while its call was under way.
            let life = self.processes[to.index()].life;
            self.plan(now, What::Stream { to, life, stream: theirs, news: News::Failed });
            self.drain(to);
        }
    }

    fn tell(&mut self, to: ProcessId, life: u32, stream: StreamId, news: &News) {
        let now = self.now;
        let process = &mut self.processes[to.index()];
        let Some(running) = process.running.as_mut().filter(|_| process.life == life) else {
            return;
        };
        let (step, input) = match news {
            News::Connected => (Step::Connected(stream), StreamInput::Connected),
            News::Bytes(bytes) => (Step::Bytes(stream, bytes), StreamInput::Bytes(bytes)),
            News::Written => (Step::Written(stream), StreamInput::Written),
            News::Closed => (Step::Closed(stream), StreamInput::Closed),
            News::Failed => (Step::Failed(stream), StreamInput::Failed),
        };
        self.tracer.record(now, to, step);
        // Inputs that cross the node's own close find no stream; that is no error.
        let _ = running.node.handle_stream(now, stream, input);
        self.drain(to);
    }

    // ── What nodes want ─────────────────────────────────────────────────────────────────────────

    /// Carries out everything that a node wants.
    fn drain(&mut self, id: ProcessId) {
        self.drain_once(id);
        let now = self.now;
        let Some(running) = self.processes[id.index()].running.as_mut() else { return };
        running.app.on_turn(&mut Ctl { node: &mut running.node, now });
        self.drain_once(id);
        self.arm(id);
    }

    fn drain_once(&mut self, id: ProcessId) {
        let (now, mut buf) = (self.now, core::mem::take(&mut self.buf));
        while let Some(running) = self.processes[id.index()].running.as_mut() {
            match running.node.poll_output(&mut buf) {
                Output::Send { to, len } => {
                    let datagram = running.node.last_datagram();
                    running.app.on_datagram(now, to, len, datagram);
                    self.send(id, to, &buf[..len]);
                }
                Output::Connect { stream, to } => self.dial(id, stream, to),
                Output::Write { stream, len } => self.write(id, stream, &buf[..len]),
                Output::Close { stream } => self.hang_up((id, stream), News::Closed),
                Output::Event(event) => {
                    self.tracer.record(now, id, Step::Event(event.number));
                    running.app.on_event(&mut Ctl { node: &mut running.node, now }, event);
                }
                Output::Timer(wake) => {
                    self.processes[id.index()].wake = wake;
                    break;
                }
            }
        }
        self.buf = buf;
    }

    /// Plans the wake-up that a node asked for, unless an earlier one is planned, which will look
    /// again.
    fn arm(&mut self, id: ProcessId) {
        let process = &mut self.processes[id.index()];
        let Some(wake) = process.wake.map(|wake| wake.max(self.now)) else { return };
        if process.armed.is_none_or(|armed| armed > wake) {
            process.armed = Some(wake);
            let life = process.life;
            self.plan(wake, What::Wake { process: id, life });
        }
    }

    fn send(&mut self, from: ProcessId, to: SocketAddr, bytes: &[u8]) {
        self.stats.datagrams += 1;
        self.stats.datagram_bytes += bytes.len() as u64;
        let now = self.now;
        let Some(&peer) = self.by_addr.get(&to) else {
            self.stats.unreachable += 1;
            self.tracer.record(now, from, Step::Send { to, fate: Sent::Nowhere, bytes });
            return;
        };
        let fate = self.network.fate(from.index(), peer.index(), &mut self.network_chance);
        let sender = self.processes[from.index()].addr;
        let packet = || What::Packet { from: sender, to: peer, bytes: bytes.into() };
        let fate = match fate {
            Fate::Arrives(after) => {
                self.plan(now + after, packet());
                Sent::Once
            }
            Fate::ArrivesTwice(after, again) => {
                self.stats.duplicated += 1;
                self.plan(now + after, packet());
                self.plan(now + again, packet());
                Sent::Twice
            }
            Fate::Lost => {
                self.stats.lost += 1;
                Sent::Lost
            }
        };
        self.tracer.record(now, from, Step::Send { to, fate, bytes });
    }

    fn dial(&mut self, from: ProcessId, stream: StreamId, to: SocketAddr) {
        let life = self.processes[from.index()].life;
        let what = match self.by_addr.get(&to) {
            Some(&to) => {
                self.dials.insert((from, stream));
                What::Dial { from, life, stream, to }
            }
            None => What::Stream { to: from, life, stream, news: News::Failed },
        };
        let delay = match &what {
            What::Dial { to, .. } => self.stream_delay(from, *to),
            _ => Duration::ZERO,
        };
        self.plan(self.now + delay, what);
    }

    fn write(&mut self, from: ProcessId, stream: StreamId, bytes: &[u8]) {
        self.stats.stream_bytes += bytes.len() as u64;
        for piece in bytes.chunks(PIECE_LEN) {
            self.send_along((from, stream), News::Bytes(piece.into()));
        }
        let life = self.processes[from.index()].life;
        let written = What::Stream { to: from, life, stream, news: News::Written };
        self.plan(self.now, written);
    }

    /// Sends something to the other end of a stream, behind everything that was sent before.
    fn send_along(&mut self, end: PipeEnd, news: News) {
        let Some(&Pipe { peer, theirs, last_arrival }) = self.pipes.get(&end) else { return };
        let at = last_arrival.max(self.now + self.stream_delay(end.0, peer));
        if let Some(pipe) = self.pipes.get_mut(&end) {
            pipe.last_arrival = at;
        }
        let life = self.processes[peer.index()].life;
        self.plan(at, What::Stream { to: peer, life, stream: theirs, news });
    }

    /// Takes one end away and tells the other; a call that is under way is wanted no more.
    fn hang_up(&mut self, end: PipeEnd, news: News) {
        self.dials.remove(&end);
        self.send_along(end, news);
        if let Some(pipe) = self.pipes.remove(&end) {
            // What the other end writes from now on goes nowhere.
            self.pipes.remove(&(pipe.peer, pipe.theirs));
        }
    }

    fn stream_delay(&mut self, from: ProcessId, to: ProcessId) -> Duration {
        self.network.stream_delay(from.index(), to.index(), &mut self.network_chance)
    }
}
