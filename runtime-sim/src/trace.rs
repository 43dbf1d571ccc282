//! What happened in a world: a running hash for programs, lines for people.

use core::fmt::{self, Write as _};
use core::hash::Hasher as _;
use core::net::SocketAddr;
use std::io::{self, Write};

use rumormill::{Instant, StreamId};
use siphasher::sip128::{Hasher128 as _, SipHasher13};

use crate::world::ProcessId;

/// A run in 128 bits: equal for equal runs, and for no two others that anybody will see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash(pub u128);

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// What a step did, and with whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step<'a> {
    Start,
    Crash,
    Wake,
    /// A datagram came from this address.
    Packet(SocketAddr, &'a [u8]),
    /// A datagram from this address found the process down.
    Missed(SocketAddr, &'a [u8]),
    /// A datagram was sent.
    Send {
        to: SocketAddr,
        fate: Sent,
        bytes: &'a [u8],
    },
    /// A call from this address was taken.
    Accept(SocketAddr),
    /// A call from this address was not, by a node that is full or by a process that is down.
    Refused(SocketAddr),
    Connected(StreamId),
    Bytes(StreamId, &'a [u8]),
    Written(StreamId),
    Closed(StreamId),
    Failed(StreamId),
    /// A process told its application something; the number of the event.
    Event(u64),
}

/// What becomes of a datagram that is sent. When it arrives is told by the steps that it makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    Once,
    Twice,
    Lost,
    /// Nobody has that address.
    Nowhere,
    /// The link is cut.
    Cut,
    /// It waits for its link to open.
    Waits,
    /// Too much waits already.
    Overflowed,
}

/// The other side of a step.
#[derive(Clone, Copy, Debug)]
enum Peer {
    None,
    Addr(SocketAddr),
    Stream(StreamId),
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("-"),
            Self::Addr(addr) => addr.fmt(f),
            Self::Stream(stream) => stream.fmt(f),
        }
    }
}

impl Step<'_> {
    /// Its number in the hash, and its name in a trace.
    const fn tag(&self) -> (u8, &'static str) {
        match self {
            Self::Start => (1, "start"),
            Self::Crash => (2, "crash"),
            Self::Wake => (3, "wake"),
            Self::Packet(..) => (4, "packet"),
            Self::Accept(_) => (5, "accept"),
            Self::Connected(_) => (6, "connected"),
            Self::Bytes(..) => (7, "bytes"),
            Self::Written(_) => (8, "written"),
            Self::Closed(_) => (9, "closed"),
            Self::Failed(_) => (10, "failed"),
            Self::Event(_) => (11, "event"),
            Self::Missed(..) => (12, "missed"),
            Self::Refused(_) => (13, "refused"),
            Self::Send { fate: Sent::Once, .. } => (14, "send"),
            Self::Send { fate: Sent::Twice, .. } => (15, "doubled"),
            Self::Send { fate: Sent::Lost, .. } => (16, "lost"),
            Self::Send { fate: Sent::Nowhere, .. } => (17, "nowhere"),
            Self::Send { fate: Sent::Cut, .. } => (18, "cut"),
            Self::Send { fate: Sent::Waits, .. } => (19, "waits"),
            Self::Send { fate: Sent::Overflowed, .. } => (20, "overflow"),
        }
    }

    const fn peer(&self) -> Peer {
        match *self {
            Self::Start | Self::Crash | Self::Wake | Self::Event(_) => Peer::None,
            Self::Packet(addr, _)
            | Self::Missed(addr, _)
            | Self::Send { to: addr, .. }
            | Self::Accept(addr)
            | Self::Refused(addr) => Peer::Addr(addr),
            Self::Connected(stream)
            | Self::Bytes(stream, _)
            | Self::Written(stream)
            | Self::Closed(stream)
            | Self::Failed(stream) => Peer::Stream(stream),
        }
    }

    const fn bytes(&self) -> &[u8] {
        match self {
            Self::Packet(_, bytes)
            | Self::Missed(_, bytes)
            | Self::Send { bytes, .. }
            | Self::Bytes(_, bytes) => bytes,
            _ => &[],
        }
    }
}

/// Hashes every step of a world and, if asked, writes it down.
pub struct Tracer {
    hasher: SipHasher13,
    lines: Option<Box<dyn Write + Send>>,
    error: Option<io::Error>,
    /// What the peer of a step is written into.
    peer: String,
}

impl fmt::Debug for Tracer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tracer").field("hash", &self.hash()).finish_non_exhaustive()
    }
}

impl Default for Tracer {
    fn default() -> Self {
        let hasher = SipHasher13::new_with_keys(0, 0);
        Self { hasher, lines: None, error: None, peer: String::new() }
    }
}

impl Tracer {
    /// One that also writes a line per step, of six columns separated by blanks: time in
    /// microseconds, process, what, the address or the stream that it was with or `-`, number of
    /// bytes or of the event, checksum of the bytes.
    ///
    /// A datagram that is sent is `send`, `doubled` if it will arrive twice, `lost`, `nowhere` if
    /// nobody has its address, `cut` by its link, `waits` for it to open, or `overflow` if too many
    /// wait; where it arrives, it is `packet`, or `missed` by a process that is down or does not
    /// read.
    pub fn with_lines(lines: impl Write + Send + 'static) -> Self {
        Self { lines: Some(Box::new(lines)), ..Self::default() }
    }

    /// The hash of all steps so far.
    #[must_use]
    pub fn hash(&self) -> Hash {
        Hash(self.hasher.finish128().as_u128())
    }

    /// Writes out what is buffered.
    ///
    /// # Errors
    ///
    /// The first error that any line met.
    pub fn flush(&mut self) -> io::Result<()> {
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        self.lines.as_mut().map_or(Ok(()), Write::flush)
    }

    pub(crate) fn record(&mut self, at: Instant, process: ProcessId, step: Step<'_>) {
        let (tag, name) = step.tag();
        let bytes = step.bytes();
        let detail = if let Step::Event(number) = step { number } else { bytes.len() as u64 };
        self.peer.clear();
        write!(self.peer, "{}", step.peer()).expect("a string takes everything");
        let mut head = [0; 33];
        head[0] = tag;
        head[1..9].copy_from_slice(&at.as_micros().to_be_bytes());
        head[9..17].copy_from_slice(&(process.index() as u64).to_be_bytes());
        head[17..25].copy_from_slice(&detail.to_be_bytes());
        head[25..].copy_from_slice(&(self.peer.len() as u64).to_be_bytes());
        self.hasher.write(&head);
        self.hasher.write(self.peer.as_bytes());
        self.hasher.write(bytes);
        if let Some(lines) = &mut self.lines {
            let written = writeln!(
                lines,
                "{:>12} {:>5} {name:<9} {:<21} {detail:>6} {:016x}",
                at.as_micros(),
                process.index(),
                self.peer,
                checksum(bytes),
            );
            if let Err(error) = written {
                self.error.get_or_insert(error);
                self.lines = None;
            }
        }
    }
}

fn checksum(bytes: &[u8]) -> u64 {
    let mut hasher = siphasher::sip::SipHasher13::new_with_keys(0, 0);
    hasher.write(bytes);
    hasher.finish()
}
