//! What an embedder takes along: [`Member::run`] in one task that owns the node, [`serve`] in one
//! more for each stream. They select only between futures that lose nothing when they are dropped;
//! what may not be cut off, such as writing a chunk, is awaited alone.

use std::collections::BTreeMap;
use std::error::Error;
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::time::Duration;

use rumormill::{
    BootEpoch, Channel, Config, Fact, Identity, Incarnation, Instant, Node, NodeName, Output,
    Params, StreamId, StreamInput,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::mpsc::{Receiver, Sender, UnboundedSender, channel};
use tokio::time::{Instant as Clock, sleep_until, timeout};

const GREETINGS: Channel = Channel(1);

/// A backstop for what a peer may hold up; the stream timeout of the node is shorter.
const PATIENCE: Duration = Duration::from_secs(10);

/// What streams and the application bring to the node. Few may wait: the others hold their task.
pub(crate) enum Input {
    Connected(StreamId, TcpStream),
    Bytes(StreamId, Vec<u8>),
    Stream(StreamId, StreamInput<'static>),
    Join(SocketAddr),
    Say(&'static [u8]),
    Leave,
}

pub(crate) struct Member {
    node: Node,
    start: Clock,
    udp: UdpSocket,
    pub(crate) tcp: TcpListener,
    /// Takes what is to be written to a stream; dropped, it closes the stream.
    streams: BTreeMap<StreamId, Sender<Vec<u8>>>,
    pub(crate) door: Sender<Input>,
    inputs: Receiver<Input>,
}

impl Member {
    /// Listens on a free port of this host.
    pub(crate) async fn bind(name: &str) -> Result<Self, Box<dyn Error>> {
        let tcp = TcpListener::bind("127.0.0.1:0").await?;
        let addr = tcp.local_addr()?;
        let udp = UdpSocket::bind(addr).await?;
        // std's hash tables are keyed by the operating system: chance without another crate.
        let chance = || RandomState::new().hash_one(addr);
        let rng_seed = std::array::from_fn(|_| chance().to_le_bytes()[0]);
        let (name, boot_epoch) = (NodeName::new(name)?, BootEpoch(u32::try_from(chance() >> 32)?));
        let identity = Identity { name, addr, incarnation: Incarnation(1), boot_epoch };
        let node = Node::new(Instant::ZERO, identity, Params::try_from(Config::local())?, rng_seed);
        let (door, inputs) = channel(64);
        let (start, streams) = (Clock::now(), BTreeMap::new());
        Ok(Self { node, start, udp, tcp, streams, door, inputs })
    }

    fn now(&self) -> Instant {
        Instant::ZERO + self.start.elapsed()
    }

    /// Lives until it has left.
    pub(crate) async fn run(mut self, tell: UnboundedSender<Fact>) {
        let (mut buf, mut packet) = (vec![0; 65_536], vec![0; 65_536]);
        while let Some(wake_at) = self.drain(&mut buf, &tell).await {
            tokio::select! {
                received = self.udp.recv_from(&mut packet) => {
                    if let Ok((len, from)) = received {
                        // What the node refuses it counts, here and below.
                        let _ = self.node.handle_packet(self.now(), from, &packet[..len]);
                    }
                }
                accepted = self.tcp.accept() => {
                    if let Ok((tcp, from)) = accepted
                        && let Some(stream) = self.node.handle_accept(self.now(), from)
                    {
                        self.attach(stream, tcp);
                    }
                }
                Some(input) = self.inputs.recv() => self.take(input),
                () = sleep_until(wake_at) => {}
            }
            self.node.handle_tick(self.now());
        }
    }

    /// Does what the node wants; returns when to wake it, or nothing if it has left.
    async fn drain(&mut self, buf: &mut [u8], tell: &UnboundedSender<Fact>) -> Option<Clock> {
        loop {
            match self.node.poll_output(buf) {
                Output::Send { to, len } => drop(self.udp.send_to(&buf[..len], to).await),
                Output::Connect { stream, to } => {
                    tokio::spawn(dial(stream, to, self.door.clone()));
                }
                Output::Write { stream, len } => {
                    // There is room: the node writes one chunk at a time.
                    let chunks = self.streams.get(&stream);
                    let _ = chunks.map(|chunks| chunks.try_send(buf[..len].to_vec()));
                }
                Output::Close { stream } => drop(self.streams.remove(&stream)),
                Output::Event(event) => {
                    let has_left = matches!(event.fact, Fact::LeaveDone);
                    let _ = tell.send(event.fact);
                    if has_left {
                        return None;
                    }
                }
                Output::Timer(wake_at) => {
                    let wake_at = wake_at.map(|at| at.saturating_since(Instant::ZERO));
                    return Some(self.start + wake_at.unwrap_or(Duration::from_secs(86_400)));
                }
            }
        }
    }

    fn take(&mut self, input: Input) {
        let now = self.now();
        match input {
            Input::Connected(stream, tcp) => {
                if self.node.handle_stream(now, stream, StreamInput::Connected).is_ok() {
                    self.attach(stream, tcp);
                }
            }
            Input::Bytes(stream, bytes) => {
                let _ = self.node.handle_stream(now, stream, StreamInput::Bytes(&bytes));
            }
            Input::Stream(stream, input) => {
                if matches!(input, StreamInput::Failed) {
                    self.streams.remove(&stream);
                }
                let _ = self.node.handle_stream(now, stream, input);
            }
            Input::Join(seed) => self.node.join(now, &[seed]),
            Input::Say(words) => drop(self.node.broadcast(now, GREETINGS, words)),
            Input::Leave => self.node.leave(now),
        }
    }

    fn attach(&mut self, stream: StreamId, tcp: TcpStream) {
        let (sender, chunks) = channel(1);
        self.streams.insert(stream, sender);
        tokio::spawn(serve(stream, tcp, chunks, self.door.clone()));
    }
}

async fn dial(stream: StreamId, to: SocketAddr, door: Sender<Input>) {
    let input = match timeout(PATIENCE, TcpStream::connect(to)).await {
        Ok(Ok(tcp)) => Input::Connected(stream, tcp),
        Ok(Err(_)) | Err(_) => Input::Stream(stream, StreamInput::Failed),
    };
    let _ = door.send(input).await;
}

/// Reads a stream and writes to it until the node lets go of it.
async fn serve(
    stream: StreamId,
    mut tcp: TcpStream,
    mut chunks: Receiver<Vec<u8>>,
    door: Sender<Input>,
) {
    let (mut buf, mut is_readable) = (vec![0; 16_384], true);
    loop {
        let input = tokio::select! {
            read = tcp.read(&mut buf), if is_readable => match read {
                Ok(0) => Input::Stream(stream, StreamInput::Closed),
                Ok(len) => Input::Bytes(stream, buf[..len].to_vec()),
                Err(_) => Input::Stream(stream, StreamInput::Failed),
            },
            chunk = chunks.recv() => {
                let Some(chunk) = chunk else { break };
                let written = timeout(PATIENCE, tcp.write_all(&chunk)).await;
                let is_written = matches!(written, Ok(Ok(())));
                let input = if is_written { StreamInput::Written } else { StreamInput::Failed };
                Input::Stream(stream, input)
            }
        };
        is_readable &=
            !matches!(input, Input::Stream(_, StreamInput::Closed | StreamInput::Failed));
        if door.send(input).await.is_err() {
            break;
        }
    }
    let _ = tcp.shutdown().await;
}
