//! The loop: poll, read, drain, sleep. All I/O of all nodes happens here, on one thread.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use mio::event::Source;
use mio::net::{TcpStream, UdpSocket};
use mio::{Events, Interest, Poll, Token, Waker};
use rumormill::{
    BootEpoch, Datagram, Identity, Incarnation, Instant, Node, NodeName, Output, Params, StreamId,
    StreamInput,
};

use crate::app::{App, Ctl, NodeKey};
use crate::clock::{Clock, entropy, wall_clock};
use crate::error::StartError;
use crate::handle::Handle;
use crate::host::{AcceptPause, Host, RuntimeStats};
use crate::socket;
use crate::tcp::{Connection, Progress};
use crate::udp::{Received, UdpPort};

/// Events taken from the system in one turn.
const EVENTS_MAX: usize = 1_024;
/// Datagrams read from one socket in one turn, so that one busy node cannot starve the others.
const READS_MAX: usize = 256;
/// Streams accepted by one node in one turn.
const ACCEPTS_MAX: usize = 32;
/// Pieces read from one stream in one turn.
const PIECES_MAX: usize = 8;
/// Commands carried out in one turn.
const COMMANDS_PER_TURN_MAX: usize = 256;
/// Outputs of one node carried out in one go.
const OUTPUTS_MAX: usize = 8_192;
/// Times that all nodes are drained in one go, because the application called some meanwhile.
const ROUNDS_MAX: usize = 8;
/// Bytes of a piece of a stream, and the largest datagram that can arrive.
const BUFFER_LEN: usize = 65_536;
/// How soon a full socket buffer is tried again if the system does not report room before.
const RETRY_AFTER: Duration = Duration::from_millis(5);
/// First and longest pause after accepting failed, as memberlist has them.
const ACCEPT_PAUSE: (Duration, Duration) = (Duration::from_millis(5), Duration::from_secs(1));

const WAKER: Token = Token(0);

/// Who a token stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    Free,
    Waker,
    Udp(NodeKey),
    Listener(NodeKey),
    Stream(NodeKey, StreamId),
    App,
}

/// What a node needs to start.
#[derive(Clone, Debug)]
pub struct NodeOptions {
    /// Its name, unique in the cluster; `None` takes the address that it advertises.
    pub name: Option<NodeName>,
    /// Where to listen, UDP and TCP; port 0 finds a free one.
    pub bind: SocketAddr,
    /// Where others reach it, if that is not where it listens. Port 0 stands for the bound one.
    pub advertise: Option<SocketAddr>,
    /// Its parameters.
    pub params: Params,
    /// The first incarnation; `None` takes the wall clock's seconds, which lie above whatever the
    /// cluster remembers of an earlier life.
    pub incarnation: Option<Incarnation>,
}

impl NodeOptions {
    /// A node that advertises the address it binds.
    #[must_use]
    pub const fn new(name: NodeName, bind: SocketAddr, params: Params) -> Self {
        Self { name: Some(name), bind, advertise: None, params, incarnation: None }
    }
}

/// One event loop with its nodes and its application.
///
/// A host that is a member of several clusters, as Consul's servers are of a LAN and a WAN pool,
/// adds one node for each.
#[derive(Debug)]
pub struct Runtime<A: App> {
    app: A,
    inner: Inner,
    commands: Receiver<A::Command>,
    events: Events,
}

/// Everything but the application, which borrows it through [`Ctl`].
#[derive(Debug)]
pub(crate) struct Inner {
    poll: Poll,
    clock: Clock,
    hosts: Vec<Host>,
    targets: Vec<Target>,
    /// Tokens of closed streams; they are used again only after the events of this turn.
    freed: Vec<Token>,
    out: Vec<u8>,
    packet: Vec<u8>,
    is_stopped: bool,
    /// Something was left over: the next turn does not wait.
    is_hurried: bool,
    stats: RuntimeStats,
}

impl<A: App> Runtime<A> {
    /// A loop without nodes, and the handle for other threads.
    ///
    /// # Errors
    ///
    /// [`StartError::System`] if the system refuses a poll or a waker.
    pub fn new(app: A) -> Result<(Self, Handle<A::Command>), StartError> {
        let poll = Poll::new().map_err(StartError::system("create an event poll"))?;
        let waker = Waker::new(poll.registry(), WAKER)
            .map_err(StartError::system("create a wake-up for the event poll"))?;
        let (handle, commands) = Handle::new(Arc::new(waker));
        let inner = Inner {
            poll,
            clock: Clock::start(),
            hosts: Vec::new(),
            targets: vec![Target::Waker],
            freed: Vec::new(),
            out: vec![0; BUFFER_LEN],
            packet: vec![0; BUFFER_LEN],
            is_stopped: false,
            is_hurried: false,
            stats: RuntimeStats::default(),
        };
        let events = Events::with_capacity(EVENTS_MAX);
        Ok((Self { app, inner, commands, events }, handle))
    }

    /// Starts a node: binds its port and lets it live on this loop.
    ///
    /// # Errors
    ///
    /// [`StartError`], whose message names the fix; nothing stays bound then.
    pub fn add(&mut self, options: NodeOptions) -> Result<NodeKey, StartError> {
        self.inner.add(options)
    }

    /// Runs until the application calls [`Ctl::stop`].
    ///
    /// # Errors
    ///
    /// What the system says if it can wait for events no longer.
    pub fn run(&mut self) -> io::Result<()> {
        while !self.inner.is_stopped {
            self.turn(None)?;
        }
        Ok(())
    }

    /// One turn: waits for something to do, for `wait` at most, and does a bounded part of it.
    ///
    /// # Errors
    ///
    /// What the system says if it can wait for events no longer.
    pub fn turn(&mut self, wait: Option<Duration>) -> io::Result<()> {
        self.drain_dirty();
        let timeout = self.inner.timeout(self.app.wake_at(), wait);
        if let Err(error) = self.inner.poll.poll(&mut self.events, timeout)
            && error.kind() != io::ErrorKind::Interrupted
        {
            return Err(error);
        }
        self.inner.stats.turns += 1;
        self.dispatch();
        self.run_commands();
        for key in self.inner.keys() {
            self.receive_datagrams(key);
            self.inner.accept(key);
            self.inner.advance_streams(key);
            self.inner.tick(key);
        }
        self.drain_dirty();
        self.app.on_turn(&mut Ctl(&mut self.inner));
        self.drain_dirty();
        self.inner.reuse_tokens();
        Ok(())
    }

    /// The application.
    pub fn app(&self) -> &A {
        &self.app
    }

    /// The application, to change it between turns.
    pub fn app_mut(&mut self) -> &mut A {
        &mut self.app
    }

    /// A node, to look at.
    ///
    /// # Panics
    ///
    /// If the key is of another runtime.
    pub fn node(&self, key: NodeKey) -> &Node {
        self.inner.node(key)
    }

    /// The application, to change it in the light of a node.
    ///
    /// # Panics
    ///
    /// If the key is of another runtime.
    pub fn app_and_node(&mut self, key: NodeKey) -> (&mut A, &Node) {
        (&mut self.app, self.inner.node(key))
    }

    /// Calls a node between turns. What it wants done is done at the next turn.
    ///
    /// # Panics
    ///
    /// If the key is of another runtime.
    pub fn act<R>(&mut self, key: NodeKey, call: impl FnOnce(&mut Node, Instant) -> R) -> R {
        self.inner.act(key, call)
    }

    /// The address that a node is bound to.
    ///
    /// # Panics
    ///
    /// If the key is of another runtime.
    pub fn local_addr(&self, key: NodeKey) -> SocketAddr {
        self.inner.local_addr(key)
    }

    /// What the loop has counted.
    pub fn stats(&self) -> RuntimeStats {
        self.inner.stats
    }

    /// Whether the application has asked the loop to end.
    pub fn is_stopped(&self) -> bool {
        self.inner.is_stopped
    }

    fn dispatch(&mut self) {
        for event in &self.events {
            match self.inner.target(event.token()) {
                Target::App => {
                    self.app.on_source(&mut Ctl(&mut self.inner), event.token(), event);
                }
                target => self.inner.on_ready(target, event),
            }
        }
    }

    fn run_commands(&mut self) {
        for _ in 0..COMMANDS_PER_TURN_MAX {
            let Ok(command) = self.commands.try_recv() else { return };
            self.app.on_command(&mut Ctl(&mut self.inner), command);
        }
        // Perhaps there are more: come back at once.
        self.inner.is_hurried = true;
    }

    /// Reads a bounded number of datagrams, each answered before the next is read.
    fn receive_datagrams(&mut self, key: NodeKey) {
        for _ in 0..READS_MAX {
            let inner = &mut self.inner;
            let now = inner.clock.now();
            let host = &mut inner.hosts[key.0];
            if !host.udp.is_readable() {
                return;
            }
            match host.udp.receive(&mut inner.packet) {
                None => return,
                Some(Received::Error) => inner.stats.receive_errors += 1,
                Some(Received::Datagram { len, from }) => {
                    let packet = &inner.packet[..len];
                    // The node counts what it refuses.
                    let _ = host.call(now, |node, now| node.handle_packet(now, from, packet));
                    self.drain(key);
                }
            }
        }
    }

    /// Drains the nodes that were called, and those that the application calls meanwhile. What is
    /// left after some rounds is taken up by the next turn.
    fn drain_dirty(&mut self) {
        for _ in 0..ROUNDS_MAX {
            if !self.inner.hosts.iter().any(Host::wants_drain) {
                return;
            }
            for key in self.inner.keys() {
                if self.inner.hosts[key.0].wants_drain() {
                    self.drain(key);
                }
            }
        }
    }

    fn drain(&mut self, key: NodeKey) {
        for _ in 0..OUTPUTS_MAX {
            let Self { app, inner, .. } = self;
            let on_datagram =
                |to, len, datagram: &Datagram| app.on_datagram(key, to, len, datagram);
            let host = &mut inner.hosts[key.0];
            match host.next_output(&mut inner.out, &mut inner.stats, on_datagram) {
                None | Some(Output::Timer(_)) => return,
                Some(Output::Send { .. }) => {}
                Some(Output::Connect { stream, to }) => inner.connect(key, stream, to),
                Some(Output::Write { stream, len }) => inner.write(key, stream, len),
                Some(Output::Close { stream }) => inner.close(key, stream),
                Some(Output::Event(event)) => app.on_event(&mut Ctl(inner), key, event),
            }
        }
    }
}

impl Inner {
    pub(crate) fn now(&self) -> Instant {
        self.clock.now()
    }

    pub(crate) fn node(&self, key: NodeKey) -> &Node {
        &self.hosts[key.0].node
    }

    pub(crate) fn act<R>(&mut self, key: NodeKey, call: impl FnOnce(&mut Node, Instant) -> R) -> R {
        let now = self.clock.now();
        self.hosts[key.0].call(now, call)
    }

    pub(crate) fn local_addr(&self, key: NodeKey) -> SocketAddr {
        self.hosts[key.0].udp.local()
    }

    pub(crate) const fn stop(&mut self) {
        self.is_stopped = true;
    }

    pub(crate) fn register_for_app(
        &mut self,
        source: &mut impl Source,
        interest: Interest,
    ) -> io::Result<Token> {
        let token = self.take_token(Target::App);
        self.poll.registry().register(source, token, interest)?;
        Ok(token)
    }

    pub(crate) fn deregister_for_app(
        &mut self,
        source: &mut impl Source,
        token: Token,
    ) -> io::Result<()> {
        self.freed.push(token);
        self.poll.registry().deregister(source)
    }

    // ── Starting ────────────────────────────────────────────────────────────────────────────────

    fn add(&mut self, options: NodeOptions) -> Result<NodeKey, StartError> {
        let sockets = socket::bind(options.bind)?;
        let advertised = socket::advertise(options.advertise, sockets.local)?;
        let seed = entropy().map_err(StartError::system("give random numbers"))?;
        let epoch = entropy().map_err(StartError::system("give random numbers"))?;
        let seconds = u32::try_from(wall_clock().as_secs()).unwrap_or(u32::MAX / 2);
        let by_address = || NodeName::new(advertised.to_string());
        let name = options.name.map_or_else(by_address, Ok);
        let identity = Identity {
            name: name.expect("an address in text has 1 to 255 bytes"),
            addr: advertised,
            incarnation: options.incarnation.unwrap_or(Incarnation(seconds)),
            boot_epoch: BootEpoch(u32::from_be_bytes(epoch)),
        };
        let (mut udp, mut listener) = (sockets.udp, sockets.tcp);
        let key = NodeKey(self.hosts.len());
        self.register(&mut udp, Target::Udp(key), Interest::READABLE | Interest::WRITABLE)?;
        self.register(&mut listener, Target::Listener(key), Interest::READABLE)?;
        tracing::info!(name = %identity.name, bound = %sockets.local, %advertised, "node starts");
        let node = Node::new(self.clock.now(), identity, options.params, seed);
        self.hosts.push(Host {
            node,
            udp: UdpPort::<UdpSocket>::new(udp, sockets.local),
            listener,
            is_acceptable: false,
            accept_pause: None,
            connections: std::collections::BTreeMap::new(),
            wake_at: None,
            is_dirty: true,
        });
        Ok(key)
    }

    fn register(
        &mut self,
        source: &mut impl Source,
        target: Target,
        interest: Interest,
    ) -> Result<Token, StartError> {
        let token = self.take_token(target);
        self.poll
            .registry()
            .register(source, token, interest)
            .map_err(StartError::system("watch a socket"))?;
        Ok(token)
    }

    fn take_token(&mut self, target: Target) -> Token {
        match self.targets.iter().position(|&slot| slot == Target::Free) {
            Some(index) => {
                self.targets[index] = target;
                Token(index)
            }
            None => {
                self.targets.push(target);
                Token(self.targets.len() - 1)
            }
        }
    }

    fn reuse_tokens(&mut self) {
        for token in self.freed.drain(..) {
            self.targets[token.0] = Target::Free;
        }
    }

    fn target(&self, token: Token) -> Target {
        self.targets.get(token.0).copied().unwrap_or(Target::Free)
    }

    // ── Waiting ─────────────────────────────────────────────────────────────────────────────────

    fn keys(&self) -> impl Iterator<Item = NodeKey> + use<> {
        (0..self.hosts.len()).map(NodeKey)
    }

    /// How long the poll may wait.
    fn timeout(&mut self, app: Option<Instant>, wait: Option<Duration>) -> Option<Duration> {
        let hurried = std::mem::take(&mut self.is_hurried);
        if hurried || self.is_stopped || self.hosts.iter().any(Host::has_work) {
            return Some(Duration::ZERO);
        }
        let now = self.clock.now();
        let wakes = self.hosts.iter().flat_map(|host| {
            let blocked = host.udp.is_blocked().then_some(now + RETRY_AFTER);
            let paused = host.accept_pause.map(|pause| pause.until);
            [host.wake_at, blocked, paused]
        });
        let next = wakes.chain([app]).flatten().min();
        let until_next = next.map(|at| round_up(at.saturating_since(now)));
        until_next.into_iter().chain(wait).min()
    }

    fn on_ready(&mut self, target: Target, event: &mio::event::Event) {
        match target {
            Target::Free | Target::App | Target::Waker => {}
            Target::Udp(key) => {
                let host = &mut self.hosts[key.0];
                if event.is_readable() || event.is_error() {
                    host.udp.set_readable();
                }
                if event.is_writable() {
                    host.on_writable(&mut self.stats);
                }
            }
            Target::Listener(key) => self.hosts[key.0].is_acceptable = true,
            Target::Stream(key, stream) => {
                if let Some(connection) = self.hosts[key.0].connections.get_mut(&stream) {
                    connection.on_ready(event);
                }
            }
        }
    }

    /// Wakes a node whose deadline has passed. The clock decides that, not the poll's timeout.
    fn tick(&mut self, key: NodeKey) {
        let now = self.clock.now();
        let host = &mut self.hosts[key.0];
        // A blocked socket reports room by an edge; should it have come before we looked, this
        // finds it.
        host.on_writable(&mut self.stats);
        if host.wake_at.is_some_and(|at| at <= now) {
            host.wake_at = None;
            host.call(now, Node::handle_tick);
        }
    }

    // ── Streams ─────────────────────────────────────────────────────────────────────────────────

    fn accept(&mut self, key: NodeKey) {
        let now = self.clock.now();
        let host = &mut self.hosts[key.0];
        if host.accept_pause.is_some_and(|pause| pause.until > now) {
            return;
        }
        for _ in 0..ACCEPTS_MAX {
            if !self.hosts[key.0].is_acceptable {
                return;
            }
            match self.hosts[key.0].listener.accept() {
                Ok((socket, from)) => {
                    self.hosts[key.0].accept_pause = None;
                    self.on_accepted(key, socket, socket::canonical(from));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.hosts[key.0].is_acceptable = false;
                    self.hosts[key.0].accept_pause = None;
                }
                Err(error) if is_peers_fault(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "accepting a stream failed");
                    self.pause_accepting(key, now);
                    return;
                }
            }
        }
    }

    fn pause_accepting(&mut self, key: NodeKey, now: Instant) {
        self.stats.accept_errors += 1;
        let host = &mut self.hosts[key.0];
        let (first, longest) = ACCEPT_PAUSE;
        let pause = host.accept_pause.map_or(first, |last| (2 * last.pause).min(longest));
        host.accept_pause = Some(AcceptPause { until: now + pause, pause });
    }

    fn on_accepted(&mut self, key: NodeKey, mut socket: TcpStream, from: SocketAddr) {
        let now = self.clock.now();
        let accepted = self.hosts[key.0].call(now, |node, now| node.handle_accept(now, from));
        let Some(stream) = accepted else {
            self.stats.streams_hung_up += 1;
            return;
        };
        match self.watch_stream(key, stream, &mut socket) {
            Ok(token) => {
                let connection = Connection::accepted(socket, token);
                self.hosts[key.0].connections.insert(stream, connection);
            }
            Err(_) => self.tell(key, stream, StreamInput::Failed),
        }
    }

    pub(crate) fn connect(&mut self, key: NodeKey, stream: StreamId, to: SocketAddr) {
        let to = socket::for_family(to, self.hosts[key.0].udp.local());
        let dialled = TcpStream::connect(to).and_then(|mut socket| {
            let token = self.watch_stream(key, stream, &mut socket)?;
            Ok(Connection::dialled(socket, token))
        });
        match dialled {
            Ok(connection) => {
                self.hosts[key.0].connections.insert(stream, connection);
            }
            Err(error) => {
                tracing::debug!(%to, %error, "a stream could not be opened");
                self.stats.connect_errors += 1;
                self.tell(key, stream, StreamInput::Failed);
            }
        }
    }

    fn watch_stream(
        &mut self,
        key: NodeKey,
        stream: StreamId,
        socket: &mut TcpStream,
    ) -> io::Result<Token> {
        let token = self.take_token(Target::Stream(key, stream));
        let watched =
            self.poll.registry().register(socket, token, Interest::READABLE | Interest::WRITABLE);
        if watched.is_err() {
            self.freed.push(token);
        }
        watched.map(|()| token)
    }

    fn write(&mut self, key: NodeKey, stream: StreamId, len: usize) {
        if let Some(connection) = self.hosts[key.0].connections.get_mut(&stream) {
            connection.write(&self.out[..len]);
            self.advance_stream(key, stream);
        }
    }

    fn close(&mut self, key: NodeKey, stream: StreamId) {
        if let Some(mut connection) = self.hosts[key.0].connections.remove(&stream) {
            self.freed.push(connection.token);
            if let Err(error) = self.poll.registry().deregister(connection.socket_mut()) {
                tracing::trace!(%error, "a stream could not be unwatched");
            }
        }
    }

    fn advance_streams(&mut self, key: NodeKey) {
        let ready: Vec<StreamId> = self.hosts[key.0]
            .connections
            .iter()
            .filter(|(_, connection)| connection.has_work())
            .map(|(&stream, _)| stream)
            .collect();
        for stream in ready {
            self.advance_stream(key, stream);
            self.read_stream(key, stream);
        }
    }

    fn advance_stream(&mut self, key: NodeKey, stream: StreamId) {
        let Some(connection) = self.hosts[key.0].connections.get_mut(&stream) else { return };
        match connection.advance() {
            Progress::Connected => self.tell(key, stream, StreamInput::Connected),
            Progress::Written => self.tell(key, stream, StreamInput::Written),
            Progress::Failed => self.break_stream(key, stream),
            Progress::Waiting | Progress::Read(_) | Progress::Closed => {}
        }
    }

    fn read_stream(&mut self, key: NodeKey, stream: StreamId) {
        for _ in 0..PIECES_MAX {
            let Some(connection) = self.hosts[key.0].connections.get_mut(&stream) else { return };
            match connection.read(&mut self.packet) {
                Progress::Read(len) => {
                    let now = self.clock.now();
                    let input = StreamInput::Bytes(&self.packet[..len]);
                    // A refusal comes back as a Close; the node counts it.
                    let _ = self.hosts[key.0]
                        .call(now, |node, now| node.handle_stream(now, stream, input));
                }
                Progress::Closed => {
                    self.tell(key, stream, StreamInput::Closed);
                    return;
                }
                Progress::Failed => return self.break_stream(key, stream),
                Progress::Waiting | Progress::Connected | Progress::Written => return,
            }
        }
    }

    fn break_stream(&mut self, key: NodeKey, stream: StreamId) {
        self.close(key, stream);
        self.tell(key, stream, StreamInput::Failed);
    }

    fn tell(&mut self, key: NodeKey, stream: StreamId, input: StreamInput<'_>) {
        let now = self.clock.now();
        // Inputs that cross the node's own close are refused by name, and that is all.
        let _ = self.hosts[key.0].call(now, |node, now| node.handle_stream(now, stream, input));
    }
}

/// A peer hung up before it was accepted.
fn is_peers_fault(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}

/// Polls count in milliseconds and round down on some systems; waking early would spin.
fn round_up(wait: Duration) -> Duration {
    let micros = u64::try_from(wait.as_micros()).unwrap_or(u64::MAX);
    Duration::from_millis(micros.div_ceil(1_000))
}
