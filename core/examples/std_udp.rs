//! A member on std sockets, in one thread: it blocks on UDP, for a moment at most, and then looks
//! at its streams. `cargo run -p rumormill --example std_udp -- NAME ADDR [SEED]...` prints what it
//! learns, and leaves when its input ends.

use rumormill::{BootEpoch, Config, Fact, Identity, Incarnation, Instant, Node, NodeName};
use rumormill::{Output, Params, StreamId, StreamInput};
use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant as Clock};

const MOMENT: Duration = Duration::from_millis(5);
const PATIENCE: Duration = Duration::from_secs(1);

pub(crate) struct Member {
    node: Node,
    udp: UdpSocket,
    tcp: TcpListener,
    streams: BTreeMap<StreamId, TcpStream>,
    start: Clock,
}

impl Member {
    #[allow(clippy::disallowed_methods, reason = "this is the clock of the example")]
    pub(crate) fn bind(name: &str, bind: &str) -> Result<Self, Box<dyn std::error::Error>> {
        let (tcp, start) = (TcpListener::bind(bind)?, Clock::now());
        tcp.set_nonblocking(true)?;
        let addr = tcp.local_addr()?;
        // std's hash tables are keyed by the operating system: chance without another crate.
        let chance = || RandomState::new().hash_one(addr);
        let rng_seed = std::array::from_fn(|_| chance().to_le_bytes()[0]);
        let (name, boot_epoch) = (NodeName::new(name)?, BootEpoch(u32::try_from(chance() >> 32)?));
        let identity = Identity { name, addr, incarnation: Incarnation(1), boot_epoch };
        let node = Node::new(Instant::ZERO, identity, Params::try_from(Config::lan())?, rng_seed);
        Ok(Self { node, udp: UdpSocket::bind(addr)?, tcp, streams: BTreeMap::new(), start })
    }

    /// Calls the node; the next turn does what it then wants.
    pub(crate) fn act<R>(&mut self, call: impl FnOnce(&mut Node, Instant) -> R) -> R {
        call(&mut self.node, Instant::ZERO + self.start.elapsed())
    }

    /// Does what the node wants, then listens to each socket for a moment.
    pub(crate) fn turn(&mut self) -> Vec<Fact> {
        let (mut buf, mut facts) = ([0; 16_384], Vec::new());
        let wake_at = loop {
            match self.node.poll_output(&mut buf) {
                Output::Send { to, len } => drop(self.udp.send_to(&buf[..len], to)),
                Output::Connect { stream, to } => {
                    let tcp = TcpStream::connect_timeout(&to, PATIENCE);
                    let opened = tcp.map(|tcp| self.streams.insert(stream, tcp));
                    self.on_stream(stream, opened.map(|_| StreamInput::Connected));
                }
                Output::Write { stream, len } => {
                    let written = self.streams.get(&stream).map_or(Ok(()), |mut tcp| {
                        tcp.set_nonblocking(false).and(tcp.set_write_timeout(Some(PATIENCE)))?;
                        tcp.write_all(&buf[..len])
                    });
                    self.on_stream(stream, written.map(|()| StreamInput::Written));
                }
                Output::Close { stream } => drop(self.streams.remove(&stream)),
                Output::Event(event) => facts.push(event.fact),
                Output::Timer(wake_at) => break wake_at,
            }
        };
        let wait = self.act(|_, now| wake_at.map_or(MOMENT, |at| at.saturating_since(now)));
        self.listen(wait.clamp(MOMENT / 100, MOMENT));
        self.act(Node::handle_tick);
        facts
    }

    /// Tells the node what happened on a stream; one that failed is gone.
    fn on_stream(&mut self, stream: StreamId, input: std::io::Result<StreamInput<'_>>) {
        let input = input.inspect_err(|_| drop(self.streams.remove(&stream)));
        let input = input.unwrap_or(StreamInput::Failed);
        let _ = self.act(|node, now| node.handle_stream(now, stream, input));
    }

    fn listen(&mut self, wait: Duration) {
        let mut buf = [0; 65_536];
        let _ = self.udp.set_read_timeout(Some(wait));
        if let Ok((len, from)) = self.udp.recv_from(&mut buf) {
            let _ = self.act(|node, now| node.handle_packet(now, from, &buf[..len]));
        }
        if let Ok((tcp, from)) = self.tcp.accept()
            && let Some(stream) = self.act(|node, now| node.handle_accept(now, from))
        {
            self.streams.insert(stream, tcp);
        }
        for stream in self.streams.keys().copied().collect::<Vec<_>>() {
            let mut tcp = &self.streams[&stream];
            let input = match tcp.set_nonblocking(true).and_then(|()| tcp.read(&mut buf)) {
                Ok(0) => Ok(StreamInput::Closed),
                Ok(len) => Ok(StreamInput::Bytes(&buf[..len])),
                Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
                Err(error) => Err(error),
            };
            self.on_stream(stream, input);
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let (name, addr) = (args.next().ok_or("a name is missing")?, args.next());
    let mut member = Member::bind(&name, &addr.ok_or("the address is missing")?)?;
    let seeds = args.map(|seed| seed.parse()).collect::<Result<Vec<_>, _>>()?;
    member.act(|node, now| node.join(now, &seeds));
    let input = std::thread::spawn(|| std::io::copy(&mut std::io::stdin(), &mut std::io::sink()));
    let mut facts = Vec::new();
    while !facts.iter().any(|fact| matches!(fact, Fact::LeaveDone)) {
        facts = member.turn();
        facts.iter().for_each(|fact| println!("{fact:?}"));
        if input.is_finished() {
            member.act(Node::leave);
        }
    }
    Ok(())
}
