//! What goes wrong with single links and processes: closed and narrow links, lag, pauses,
//! strangers. A world without any of it asks for it in a few comparisons per datagram.

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::VecDeque;

use rumormill::{Instant, StreamId};

use super::{App, News, ProcessId, Watch, What, World};
use crate::chance::Ratio;
use crate::trace::Step;

/// Datagrams that wait on a clogged link at most; more are lost.
pub const WAITING_MAX: usize = 1_024;
/// Bytes of datagrams that wait for a paused process at most; more are lost. Linux' default for the
/// buffer of a socket.
pub const PAUSED_MAX: usize = 212_992;

/// What becomes of what is sent from one process to another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Link {
    /// It travels.
    #[default]
    Open,
    /// Datagrams are lost. Streams wait: whoever carries them tries again until the link is open.
    Cut,
    /// Everything waits until the link is open, and then travels in order.
    Clogged,
}

/// A link that is not open, and what waits for it.
#[derive(Debug, Default)]
pub(super) struct Closed {
    link: Link,
    waiting: Vec<What>,
    datagrams: usize,
}

/// What a process sends, together, in a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bandwidth {
    /// Bytes per second, at least 1.
    pub bytes_per_second: u64,
    /// Bytes that wait at most; datagrams beyond it are lost.
    pub queue_bytes_max: u64,
}

/// What goes wrong with a process.
#[derive(Debug, Default)]
pub(super) struct Troubles {
    /// Everything from it and to it takes longer by this.
    lag: Duration,
    /// Of the datagrams from it, and of those to it, this share is lost.
    loss: Ratio,
    uplink: Option<Uplink>,
    paused: Option<Paused>,
}

#[derive(Debug)]
struct Uplink {
    bandwidth: Bandwidth,
    /// When everything that waits will have been sent.
    busy_until: Instant,
}

#[derive(Debug, Default)]
struct Paused {
    waiting: VecDeque<What>,
    bytes: usize,
}

impl<A: App, W: Watch> World<A, W> {
    // ── Links ───────────────────────────────────────────────────────────────────────────────────

    /// Changes what becomes of what is sent from one process to another; the way back is another
    /// link. What waited for it to open travels now.
    pub fn set_link(&mut self, from: ProcessId, to: ProcessId, link: Link) {
        if link != Link::Open {
            self.closed.entry((from, to)).or_default().link = link;
            return;
        }
        let Some(closed) = self.closed.remove(&(from, to)) else { return };
        let at = self.now + self.stream_delay(from, to);
        for what in closed.waiting {
            self.plan(at, what);
        }
        // What is written from now on comes behind it.
        let pipes = self.pipes.iter_mut().filter(|(end, pipe)| end.0 == from && pipe.peer == to);
        for (_, pipe) in pipes {
            pipe.last_arrival = pipe.last_arrival.max(at);
        }
    }

    /// Opens all links, in their order.
    pub fn open_links(&mut self) {
        let closed: Vec<_> = self.closed.keys().copied().collect();
        for (from, to) in closed {
            self.set_link(from, to, Link::Open);
        }
    }

    pub(super) fn link(&self, from: ProcessId, to: ProcessId) -> Link {
        if self.closed.is_empty() {
            return Link::Open;
        }
        self.closed.get(&(from, to)).map_or(Link::Open, |closed| closed.link)
    }

    /// Has something wait for a closed link; `false` if too much waits, and it is lost.
    pub(super) fn wait(&mut self, from: ProcessId, to: ProcessId, what: What) -> bool {
        let closed = self.closed.entry((from, to)).or_default();
        if matches!(what, What::Packet { .. }) {
            if closed.datagrams >= WAITING_MAX {
                self.stats.overflowed += 1;
                return false;
            }
            closed.datagrams += 1;
        }
        closed.waiting.push(what);
        self.stats.waited += 1;
        true
    }

    /// Makes everything from and to a process take longer by this.
    pub fn set_lag(&mut self, id: ProcessId, lag: Duration) {
        self.processes[id.index()].troubles.lag = lag;
    }

    pub(super) fn lag(&mut self, from: ProcessId, to: ProcessId) -> Duration {
        let of = |id: ProcessId| self.processes[id.index()].troubles.lag;
        let lag = of(from) + of(to);
        self.stats.lagged += u64::from(!lag.is_zero());
        lag
    }

    /// Has this share of the datagrams from a process, and of those to it, lost, beside what the
    /// network loses.
    pub fn set_loss(&mut self, id: ProcessId, loss: Ratio) {
        self.processes[id.index()].troubles.loss = loss;
    }

    /// Whether one of the ends loses a datagram.
    pub(super) fn loses(&mut self, from: ProcessId, to: ProcessId) -> bool {
        let [from, to] = [from, to].map(|id| self.processes[id.index()].troubles.loss);
        self.fault_chance.happens(from) || self.fault_chance.happens(to)
    }

    /// Limits what a process sends; `None` ends that.
    pub fn set_bandwidth(&mut self, id: ProcessId, bandwidth: Option<Bandwidth>) {
        let now = self.now;
        self.processes[id.index()].troubles.uplink =
            bandwidth.map(|bandwidth| Uplink { bandwidth, busy_until: now });
    }

    /// How long bytes wait until they have been sent; `None` if there is no room for them.
    pub(super) fn queue_up(&mut self, from: ProcessId, len: usize) -> Option<Duration> {
        let now = self.now;
        let Some(uplink) = &mut self.processes[from.index()].troubles.uplink else {
            return Some(Duration::ZERO);
        };
        let Bandwidth { bytes_per_second, queue_bytes_max } = uplink.bandwidth;
        let backlog = uplink.busy_until.saturating_since(now);
        let takes = |bytes: u64| micros_for(bytes, bytes_per_second);
        if backlog + takes(len as u64) > takes(queue_bytes_max) {
            return None;
        }
        self.stats.queued += u64::from(!backlog.is_zero());
        uplink.busy_until = uplink.busy_until.max(now) + takes(len as u64);
        Some(uplink.busy_until.saturating_since(now))
    }

    /// How long what waits now takes to be sent.
    pub(super) fn queue_len(&self, from: ProcessId) -> Duration {
        let uplink = &self.processes[from.index()].troubles.uplink;
        uplink
            .as_ref()
            .map_or(Duration::ZERO, |uplink| uplink.busy_until.saturating_since(self.now))
    }

    // ── Pauses ──────────────────────────────────────────────────────────────────────────────────

    /// Stops a process in the middle of what it does. What comes for it waits.
    pub fn pause(&mut self, id: ProcessId) {
        let process = &mut self.processes[id.index()];
        if process.running.is_some() && process.troubles.paused.is_none() {
            process.troubles.paused = Some(Paused::default());
            self.stats.pauses += 1;
        }
    }

    /// Lets a paused process go on: everything that has come since happens to it now, in order.
    pub fn resume(&mut self, id: ProcessId) {
        let Some(paused) = self.processes[id.index()].troubles.paused.take() else { return };
        for what in paused.waiting {
            self.plan(self.now, what);
        }
    }

    /// Whether a process is paused.
    #[must_use]
    pub fn is_paused(&self, id: ProcessId) -> bool {
        self.processes[id.index()].troubles.paused.is_some()
    }

    /// What is to happen now; `None` if it waits, or is lost, because it is for a paused process.
    pub(super) fn unless_paused(&mut self, what: What) -> Option<What> {
        let id = what.to();
        let Some(paused) = &mut self.processes[id.index()].troubles.paused else {
            return Some(what);
        };
        if let What::Packet { from, bytes, .. } = &what {
            if paused.bytes + bytes.len() > PAUSED_MAX {
                self.stats.overflowed += 1;
                self.tracer.record(self.now, id, Step::Missed(*from, bytes));
                return None;
            }
            paused.bytes += bytes.len();
        }
        paused.waiting.push_back(what);
        None
    }

    // ── Strangers ───────────────────────────────────────────────────────────────────────────────

    /// Has a datagram arrive at a process now that no process sent.
    pub fn forge(&mut self, from: SocketAddr, to: ProcessId, bytes: &[u8]) {
        self.stats.forged += 1;
        self.plan(self.now, What::Packet { from, to, bytes: bytes.into() });
    }

    /// Has somebody who is no process call one. `None`: the call is not taken. What the process
    /// writes goes nowhere.
    pub fn forge_call(&mut self, from: SocketAddr, to: ProcessId) -> Option<StreamId> {
        if self.is_paused(to) {
            return None;
        }
        let stream = self.take_call(from, to)?;
        self.stats.forged += 1;
        self.drain(to);
        Some(stream)
    }

    /// Has bytes arrive now on a stream that [`forge_call`](Self::forge_call) opened.
    pub fn forge_bytes(&mut self, to: ProcessId, stream: StreamId, bytes: &[u8]) {
        self.stats.forged += 1;
        let life = self.processes[to.index()].life;
        let news = News::Bytes(bytes.into());
        self.plan(self.now, What::Stream { to, life, stream, news });
    }
}

impl What {
    /// The process that it happens to.
    const fn to(&self) -> ProcessId {
        match self {
            Self::Wake { process: to, .. }
            | Self::Packet { to, .. }
            | Self::Dial { to, .. }
            | Self::Stream { to, .. } => *to,
        }
    }
}

/// How long bytes take at a speed, rounded up to microseconds.
fn micros_for(bytes: u64, bytes_per_second: u64) -> Duration {
    let micros = (u128::from(bytes) * 1_000_000).div_ceil(u128::from(bytes_per_second.max(1)));
    Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
}
