//! The world: one queue ordered by time and sequence, processes, datagrams and streams.
//!
//! A process is a node of the core and an application beside it, which plays the part that a
//! program plays in a real runtime. Nothing here knows what nodes say to each other.
//!
//! | file | says |
//! |---|---|
//! | `mod` | processes, time, what anyone may look at |
//! | `happen` | what becomes of each planned thing |
//! | `carry` | from what a node wants to what is planned: datagrams and streams on their way |
//! | `faults` | closed links, slow links, pauses, strangers |
//! | `clock` | clocks that run apart |
//! | `watch` | where checkers look on |

mod carry;
mod clock;
mod faults;
mod happen;
mod watch;

use core::cmp::{Ordering, Reverse};
use core::net::SocketAddr;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use rumormill::{
    BootEpoch, Datagram, Event, Identity, Incarnation, Instant, Node, NodeName, Params, StreamId,
};

use crate::chance::{Chance, Part};
use crate::network::Network;
use crate::trace::{Hash, Step, Tracer};
use faults::{Closed, Troubles};

pub use clock::{Clock, DRIFT_MAX};
pub use faults::{Bandwidth, Link, PAUSED_MAX, WAITING_MAX};
pub use watch::{Unwatched, Watch};

/// Bytes of UDP and IPv4 headers around every datagram.
pub const HEADERS_LEN: u64 = 28;
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

    /// The process ends without a word: what was not brought to a safe place is lost.
    fn on_crash(&mut self) {}
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
    /// The time that the process' clock shows.
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
    /// Its clock.
    pub clock: Clock,
}

impl Spawn {
    /// The process `index` of a world of up to 2^24: its address is in `10.0.0.0/8`, its name is its
    /// address, and its clock is true.
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
        Self { name, addr, params, clock: Clock::default() }
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
    /// Datagrams that were held back, so that others overtook them.
    pub held_back: u64,
    /// Datagrams of which bytes were changed on the way.
    pub corrupted: u64,
    /// Datagrams that a cut link swallowed.
    pub cut: u64,
    /// Datagrams and pieces of streams that waited for a closed link to open.
    pub waited: u64,
    /// Datagrams and pieces of streams that spent longer on the way because one of the ends lagged.
    pub lagged: u64,
    /// Datagrams and pieces of streams that waited for those before them on a narrow link.
    pub queued: u64,
    /// Datagrams that were lost because too many waited: on a narrow or clogged link, or for a
    /// process that was paused.
    pub overflowed: u64,
    /// Times that a process was paused.
    pub pauses: u64,
    /// Streams that broke in the middle of a write.
    pub resets: u64,
    /// Streams that went on without carrying anything.
    pub black_holes: u64,
    /// Writes that arrived in pieces of random size.
    pub splits: u64,
    /// Datagrams and streams of strangers.
    pub forged: u64,
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
    clock: Clock,
    running: Option<Running<A>>,
    /// When its node wants to be woken, in the world's time.
    wake: Option<Instant>,
    /// The earliest wake-up in the queue.
    armed: Option<Instant>,
    troubles: Troubles,
}

#[derive(Debug)]
struct Running<A> {
    node: Node,
    app: A,
    /// The streams that its node knows.
    streams: BTreeSet<StreamId>,
}

/// One end of a stream knows the other.
#[derive(Clone, Copy, Debug)]
struct Pipe {
    peer: ProcessId,
    theirs: StreamId,
    /// Nothing that is written from here on arrives before this.
    last_arrival: Instant,
    /// Whether what is written vanishes.
    is_black_hole: bool,
}

type PipeEnd = (ProcessId, StreamId);
/// From one process to another.
type Ends = (ProcessId, ProcessId);

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
pub struct World<A, W = Unwatched> {
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
    /// For faults of single datagrams and streams, so that they shift nothing else.
    fault_chance: Chance,
    /// Links that are not open.
    closed: BTreeMap<Ends, Closed>,
    tracer: Tracer,
    watch: W,
    stats: WorldStats,
    /// What nodes write their outputs into.
    buf: Vec<u8>,
}

impl<A: App> World<A> {
    /// An empty world at time zero.
    #[must_use]
    pub fn new(seed: u64, network: Network) -> Self {
        Self::watched(seed, network, Unwatched)
    }
}

impl<A: App, W: Watch> World<A, W> {
    /// An empty world at time zero, and somebody who looks on.
    #[must_use]
    pub fn watched(seed: u64, network: Network, watch: W) -> Self {
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
            fault_chance: Chance::child(seed, Part::LinkFaults),
            closed: BTreeMap::new(),
            tracer: Tracer::default(),
            watch,
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
        let Spawn { name, addr, params, clock } = spawn;
        self.processes.push(Process {
            name,
            addr,
            life: 0,
            clock,
            running: None,
            wake: None,
            armed: None,
            troubles: Troubles::default(),
        });
        self.start(id, params, app);
        id
    }

    /// Ends a process without a word. What survives of it is returned; `None` if it was down.
    pub fn crash(&mut self, id: ProcessId) -> Option<A> {
        let process = &mut self.processes[id.index()];
        let mut running = process.running.take()?;
        (process.wake, process.armed) = (None, None);
        self.stats.crashes += 1;
        self.tracer.record(self.now, id, Step::Crash);
        running.app.on_crash();
        self.watch.ended(self.now, id, &running.node);
        // What waited for it finds it down.
        self.resume(id);
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

    /// As [`restart`](Self::restart), but at another address. Nobody has the old one from now on.
    ///
    /// # Panics
    ///
    /// If it is running, or if the address is taken.
    pub fn restart_at(&mut self, id: ProcessId, addr: SocketAddr, params: Params, app: A) {
        let old = core::mem::replace(&mut self.processes[id.index()].addr, addr);
        self.by_addr.remove(&old);
        let before = self.by_addr.insert(addr, id);
        assert!(before.is_none(), "{addr} is taken");
        self.restart(id, params, app);
    }

    /// Gives a process another clock: for its next life, or one that jumps while it runs, in either
    /// direction, as clocks do that are not steady.
    pub fn set_clock(&mut self, id: ProcessId, clock: Clock) {
        self.processes[id.index()].clock = clock;
        // What its node waits for is planned by the new one.
        self.drain(id);
    }

    fn start(&mut self, id: ProcessId, params: Params, app: A) {
        let process = &mut self.processes[id.index()];
        assert!(process.running.is_none(), "the process runs");
        process.life += 1;
        let now = process.clock.read(self.now);
        let seconds = u32::try_from(now.as_micros() / 1_000_000).unwrap_or(u32::MAX);
        let identity = Identity {
            name: process.name.clone(),
            addr: process.addr,
            // The clock's seconds, as runtime-mio takes them: two lives within a second begin with the
            // same. Clocks do not begin at 0.
            incarnation: Incarnation(seconds.saturating_add(1)),
            boot_epoch: BootEpoch(process.life),
        };
        let seed = Chance::child(self.seed, Part::Process(id.0, process.life)).node_seed();
        let node = Node::new(now, identity, params, seed);
        self.watch.started(self.now, id, &node);
        process.running = Some(Running { node, app, streams: BTreeSet::new() });
        self.tracer.record(self.now, id, Step::Start);
        self.drain(id);
    }

    /// Calls a process, which must be running, and carries out what its node wants.
    ///
    /// # Panics
    ///
    /// If it is down.
    pub fn act<R>(&mut self, id: ProcessId, call: impl FnOnce(&mut Ctl<'_>, &mut A) -> R) -> R {
        let now = self.local_now(id);
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
    pub fn ids(&self) -> impl Iterator<Item = ProcessId> + use<A, W> {
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

    /// The time that a process' clock shows.
    #[must_use]
    pub fn local_now(&self, id: ProcessId) -> Instant {
        self.processes[id.index()].clock.read(self.now)
    }

    /// Whoever looks on.
    #[must_use]
    pub const fn watch(&self) -> &W {
        &self.watch
    }

    /// Whoever looks on, to be told something.
    pub const fn watch_mut(&mut self) -> &mut W {
        &mut self.watch
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
}
