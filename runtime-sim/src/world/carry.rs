//! Datagrams and streams on their way: what is planned for what nodes want.

use core::net::SocketAddr;
use core::time::Duration;

use rumormill::StreamId;

use super::{App, Link, News, Pipe, PipeEnd, ProcessId, Watch, What, World};
use crate::network::{Copies, PIECE_LEN, Path};
use crate::trace::{Sent, Step};

/// Pieces of random size that a write is torn into at most; what is left travels in whole ones.
const SPLITS_MAX: usize = 64;
/// Bytes of a datagram that are changed at most, if any are.
const CORRUPTED_MAX: u64 = 3;

impl<A: App, W: Watch> World<A, W> {
    pub(super) fn send(&mut self, from: ProcessId, to: SocketAddr, bytes: &[u8]) {
        self.stats.datagrams += 1;
        self.stats.datagram_bytes += bytes.len() as u64;
        let fate = match self.by_addr.get(&to) {
            Some(&peer) => self.launch(from, peer, bytes),
            None => {
                self.stats.unreachable += 1;
                Sent::Nowhere
            }
        };
        self.tracer.record(self.now, from, Step::Send { to, fate, bytes });
    }

    fn launch(&mut self, from: ProcessId, to: ProcessId, bytes: &[u8]) -> Sent {
        let sender = self.processes[from.index()].addr;
        let Some(queued) = self.queue_up(from, bytes.len()) else {
            self.stats.overflowed += 1;
            return Sent::Overflowed;
        };
        match self.link(from, to) {
            Link::Open => {}
            Link::Cut => {
                self.stats.cut += 1;
                return Sent::Cut;
            }
            Link::Clogged => {
                let what = What::Packet { from: sender, to, bytes: bytes.into() };
                return if self.wait(from, to, what) { Sent::Waits } else { Sent::Overflowed };
            }
        }
        if self.loses(from, to) {
            self.stats.lost += 1;
            return Sent::Lost;
        }
        let late = queued + self.lag(from, to);
        let copies = self.network.fate(from.index(), to.index(), &mut self.network_chance);
        let plan = |world: &mut Self, path: Path| {
            world.stats.held_back += u64::from(path.is_held_back);
            let bytes = world.carried(bytes);
            let at = world.now + path.delay + late;
            world.plan(at, What::Packet { from: sender, to, bytes });
        };
        match copies {
            Copies::One(path) => {
                plan(self, path);
                Sent::Once
            }
            Copies::Two(path, again) => {
                self.stats.duplicated += 1;
                plan(self, path);
                plan(self, again);
                Sent::Twice
            }
            Copies::None => {
                self.stats.lost += 1;
                Sent::Lost
            }
        }
    }

    /// A datagram's bytes as they arrive.
    fn carried(&mut self, bytes: &[u8]) -> Box<[u8]> {
        let mut bytes: Box<[u8]> = bytes.into();
        if self.fault_chance.happens(self.network.corruption) && !bytes.is_empty() {
            self.stats.corrupted += 1;
            for _ in 0..=self.fault_chance.below(CORRUPTED_MAX) {
                let place = self.fault_chance.index_below(bytes.len());
                let change = 1 + self.fault_chance.below(255);
                bytes[place] ^= u8::try_from(change).unwrap_or(u8::MAX);
            }
        }
        bytes
    }

    // ── Streams ─────────────────────────────────────────────────────────────────────────────────

    pub(super) fn dial(&mut self, from: ProcessId, stream: StreamId, to: SocketAddr) {
        let life = self.processes[from.index()].life;
        let Some(&to) = self.by_addr.get(&to) else {
            let news = News::Failed;
            return self.plan(self.now, What::Stream { to: from, life, stream, news });
        };
        self.dials.insert((from, stream));
        if self.fault_chance.happens(self.network.streams.black_holes) {
            // The call never arrives, and nobody says so.
            self.stats.black_holes += 1;
            return;
        }
        self.travel(from, to, What::Dial { from, life, stream, to });
    }

    pub(super) fn write(&mut self, from: ProcessId, stream: StreamId, bytes: &[u8]) {
        self.stats.stream_bytes += bytes.len() as u64;
        let (end, faults) = ((from, stream), self.network.streams);
        if self.fault_chance.happens(faults.black_holes) {
            self.swallow(end);
        }
        if self.fault_chance.happens(faults.resets) && self.pipes.contains_key(&end) {
            let before = self.fault_chance.index_below(bytes.len());
            self.send_pieces(end, &bytes[..before]);
            return self.reset(end);
        }
        self.send_pieces(end, bytes);
        let life = self.processes[from.index()].life;
        let written = What::Stream { to: from, life, stream, news: News::Written };
        self.plan(self.now, written);
    }

    fn send_pieces(&mut self, end: PipeEnd, bytes: &[u8]) {
        let piece_max = self.network.streams.piece_max;
        let (mut rest, mut splits) = (bytes, 0);
        while splits < SPLITS_MAX && piece_max < PIECE_LEN && rest.len() > 1 {
            let len = 1 + self.fault_chance.index_below(piece_max);
            let (piece, behind) = rest.split_at(len.min(rest.len()));
            self.send_along(end, News::Bytes(piece.into()));
            (rest, splits) = (behind, splits + 1);
        }
        self.stats.splits += u64::from(splits > 1);
        for piece in rest.chunks(PIECE_LEN) {
            self.send_along(end, News::Bytes(piece.into()));
        }
    }

    /// From here on nothing that either end writes arrives, and nobody says so.
    fn swallow(&mut self, end: PipeEnd) {
        let Some(pipe) = self.pipes.get_mut(&end) else { return };
        self.stats.black_holes += u64::from(!pipe.is_black_hole);
        pipe.is_black_hole = true;
        let other = (pipe.peer, pipe.theirs);
        if let Some(pipe) = self.pipes.get_mut(&other) {
            pipe.is_black_hole = true;
        }
    }

    /// Breaks a stream; both ends hear of it.
    fn reset(&mut self, end: PipeEnd) {
        self.stats.resets += 1;
        let (to, stream) = end;
        let life = self.processes[to.index()].life;
        self.plan(self.now, What::Stream { to, life, stream, news: News::Failed });
        self.hang_up(end, News::Failed);
    }

    /// Sends something to the other end of a stream, behind everything that was sent before.
    pub(super) fn send_along(&mut self, end: PipeEnd, news: News) {
        let Some(&Pipe { peer, theirs, last_arrival, is_black_hole }) = self.pipes.get(&end) else {
            return;
        };
        if is_black_hole {
            return;
        }
        let len = if let News::Bytes(bytes) = &news { bytes.len() } else { 0 };
        let life = self.processes[peer.index()].life;
        let what = What::Stream { to: peer, life, stream: theirs, news };
        if self.link(end.0, peer) != Link::Open {
            self.wait(end.0, peer, what);
            return;
        }
        // Whoever carries a stream slows its sender down, and loses nothing.
        let queued = self.queue_up(end.0, len).unwrap_or_else(|| self.queue_len(end.0));
        let at = last_arrival.max(self.now + queued + self.stream_delay(end.0, peer));
        if let Some(pipe) = self.pipes.get_mut(&end) {
            pipe.last_arrival = at;
        }
        self.plan(at, what);
    }

    /// Sends something that belongs to no stream yet, or no more.
    pub(super) fn travel(&mut self, from: ProcessId, to: ProcessId, what: What) {
        if self.link(from, to) == Link::Open {
            let delay = self.stream_delay(from, to);
            self.plan(self.now + delay, what);
        } else {
            self.wait(from, to, what);
        }
    }

    /// Takes one end away and tells the other; a call that is under way is wanted no more.
    pub(super) fn hang_up(&mut self, end: PipeEnd, news: News) {
        self.dials.remove(&end);
        self.send_along(end, news);
        if let Some(pipe) = self.pipes.remove(&end) {
            // What the other end writes from now on goes nowhere.
            self.pipes.remove(&(pipe.peer, pipe.theirs));
        }
    }

    pub(super) fn stream_delay(&mut self, from: ProcessId, to: ProcessId) -> Duration {
        let lag = self.lag(from, to);
        lag + self.network.stream_delay(from.index(), to.index(), &mut self.network_chance)
    }
}
