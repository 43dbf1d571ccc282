//! What becomes of each planned thing, and of what nodes want in answer to it.

use core::net::SocketAddr;

use rumormill::{Output, StreamId, StreamInput};

use super::{App, Ctl, News, Pipe, ProcessId, STREAM_PORT, Watch, What, World};
use crate::trace::Step;

impl<A: App, W: Watch> World<A, W> {
    pub(super) fn happen(&mut self, what: What) {
        let Some(what) = self.unless_paused(what) else { return };
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
        // A wake-up that waited for the process comes after its time.
        if process.life != life || process.armed.is_none_or(|armed| armed > now) {
            return;
        }
        process.armed = None;
        let Some(running) = process.running.as_mut() else { return };
        // The node may have changed its mind since; then only the wake-up is planned anew.
        if process.wake.is_some_and(|wake| wake <= now) {
            self.tracer.record(now, id, Step::Wake);
            running.node.handle_tick(process.clock.read(now));
            self.drain(id);
        } else {
            self.arm(id);
        }
    }

    fn deliver(&mut self, from: SocketAddr, to: ProcessId, bytes: &[u8]) {
        let now = self.now;
        let process = &mut self.processes[to.index()];
        let Some(running) = process.running.as_mut() else {
            self.stats.unreachable += 1;
            self.tracer.record(now, to, Step::Missed(from, bytes));
            return;
        };
        self.tracer.record(now, to, Step::Packet(from, bytes));
        self.watch.received(now, to, from, bytes);
        let refused = running.node.handle_packet(process.clock.read(now), from, bytes).is_err();
        self.stats.refused += u64::from(refused);
        self.drain(to);
    }

    fn accept(&mut self, from: ProcessId, life: u32, stream: StreamId, to: ProcessId) {
        // Streams of another life may have the same number.
        let is_wanted =
            self.processes[from.index()].life == life && self.dials.remove(&(from, stream));
        let caller = SocketAddr::new(self.processes[from.index()].addr.ip(), STREAM_PORT);
        let Some(theirs) = self.take_call(caller, to) else {
            self.travel(to, from, What::Stream { to: from, life, stream, news: News::Failed });
            return;
        };
        let now = self.now;
        if is_wanted {
            let pipe =
                |peer, theirs| Pipe { peer, theirs, last_arrival: now, is_black_hole: false };
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

    /// Somebody calls a process. `None`: it is down, or its node takes no more calls. Otherwise it
    /// is to be drained.
    pub(super) fn take_call(&mut self, caller: SocketAddr, to: ProcessId) -> Option<StreamId> {
        let (now, process) = (self.now, &mut self.processes[to.index()]);
        let local = process.clock.read(now);
        let running = process.running.as_mut();
        let taken = running.and_then(|running| {
            let stream = running.node.handle_accept(local, caller)?;
            running.streams.insert(stream);
            self.watch.called(now, to, &running.node, caller);
            Some(stream)
        });
        self.stats.streams += u64::from(taken.is_some());
        let step = if taken.is_some() { Step::Accept(caller) } else { Step::Refused(caller) };
        self.tracer.record(now, to, step);
        taken
    }

    fn tell(&mut self, to: ProcessId, life: u32, stream: StreamId, news: &News) {
        let now = self.now;
        let process = &mut self.processes[to.index()];
        let local = process.clock.read(now);
        let Some(running) = process.running.as_mut().filter(|_| process.life == life) else {
            return;
        };
        let (step, input) = match news {
            News::Connected => (Step::Connected(stream), StreamInput::Connected),
            News::Bytes(bytes) => (Step::Bytes(stream, bytes), StreamInput::Bytes(bytes)),
            News::Written => (Step::Written(stream), StreamInput::Written),
            News::Closed => (Step::Closed(stream), StreamInput::Closed),
            News::Failed => {
                running.streams.remove(&stream);
                (Step::Failed(stream), StreamInput::Failed)
            }
        };
        self.tracer.record(now, to, step);
        // Inputs that cross the node's own close find no stream; that is no error.
        let _ = running.node.handle_stream(local, stream, input);
        self.drain(to);
    }

    // ── What nodes want ─────────────────────────────────────────────────────────────────────────

    /// Carries out everything that a node wants.
    pub(super) fn drain(&mut self, id: ProcessId) {
        self.drain_once(id);
        let now = self.local_now(id);
        let Some(running) = self.processes[id.index()].running.as_mut() else { return };
        running.app.on_turn(&mut Ctl { node: &mut running.node, now });
        self.drain_once(id);
        self.arm(id);
        if let Some(running) = self.processes[id.index()].running.as_ref() {
            self.watch.turned(self.now, id, &running.node, running.streams.len());
        }
    }

    fn drain_once(&mut self, id: ProcessId) {
        let (at, now) = (self.now, self.local_now(id));
        let mut buf = core::mem::take(&mut self.buf);
        let process = id.index();
        while let Some(running) = self.processes[process].running.as_mut() {
            match running.node.poll_output(&mut buf) {
                Output::Send { to, len } => {
                    self.watch.sent(at, id, &running.node, to, &buf[..len]);
                    let datagram = running.node.last_datagram();
                    running.app.on_datagram(now, to, len, datagram);
                    self.send(id, to, &buf[..len]);
                }
                Output::Connect { stream, to } => {
                    running.streams.insert(stream);
                    self.dial(id, stream, to);
                }
                Output::Write { stream, len } => self.write(id, stream, &buf[..len]),
                Output::Close { stream } => {
                    running.streams.remove(&stream);
                    self.hang_up((id, stream), News::Closed);
                }
                Output::Event(event) => {
                    self.tracer.record(at, id, Step::Event(event.number));
                    self.watch.told(at, id, &running.node, &event);
                    running.app.on_event(&mut Ctl { node: &mut running.node, now }, event);
                }
                Output::Timer(wake) => {
                    let process = &mut self.processes[process];
                    process.wake = wake.map(|wake| process.clock.when(wake));
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
}
