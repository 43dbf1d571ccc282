//! What happened in a world: a running hash for programs, lines for people.

use core::fmt;
use core::hash::Hasher as _;
use std::io::{self, Write};

use rumormill::Instant;
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

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step<'a> {
    Start,
    Crash,
    Wake,
    Packet(&'a [u8]),
    Accept,
    Connected,
    Bytes(&'a [u8]),
    Written,
    Closed,
    Failed,
    /// A process told its application something; the number of the event.
    Event(u64),
}

impl Step<'_> {
    const fn tag(self) -> u8 {
        match self {
            Self::Start => 1,
            Self::Crash => 2,
            Self::Wake => 3,
            Self::Packet(_) => 4,
            Self::Accept => 5,
            Self::Connected => 6,
            Self::Bytes(_) => 7,
            Self::Written => 8,
            Self::Closed => 9,
            Self::Failed => 10,
            Self::Event(_) => 11,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Crash => "crash",
            Self::Wake => "wake",
            Self::Packet(_) => "packet",
            Self::Accept => "accept",
            Self::Connected => "connected",
            Self::Bytes(_) => "bytes",
            Self::Written => "written",
            Self::Closed => "closed",
            Self::Failed => "failed",
            Self::Event(_) => "event",
        }
    }

    const fn bytes(&self) -> &[u8] {
        match self {
            Self::Packet(bytes) | Self::Bytes(bytes) => bytes,
            _ => &[],
        }
    }
}

/// Hashes every step of a world and, if asked, writes it down.
pub struct Tracer {
    hasher: SipHasher13,
    lines: Option<Box<dyn Write + Send>>,
    error: Option<io::Error>,
}

impl fmt::Debug for Tracer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tracer").field("hash", &self.hash()).finish_non_exhaustive()
    }
}

impl Default for Tracer {
    fn default() -> Self {
        Self { hasher: SipHasher13::new_with_keys(0, 0), lines: None, error: None }
    }
}

impl Tracer {
    /// One that also writes a line per step: time in microseconds, process, what, bytes and their
    /// checksum, separated by blanks.
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
        let mut head = [0; 25];
        head[0] = step.tag();
        head[1..9].copy_from_slice(&at.as_micros().to_be_bytes());
        head[9..17].copy_from_slice(&(process.index() as u64).to_be_bytes());
        let bytes = step.bytes();
        let detail = if let Step::Event(number) = step { number } else { bytes.len() as u64 };
        head[17..].copy_from_slice(&detail.to_be_bytes());
        self.hasher.write(&head);
        self.hasher.write(bytes);
        if let Some(lines) = &mut self.lines {
            let written = writeln!(
                lines,
                "{:>12} {:>5} {:<9} {detail:>6} {:016x}",
                at.as_micros(),
                process.index(),
                step.name(),
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
