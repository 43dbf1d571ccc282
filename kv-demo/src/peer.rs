//! What a node of the store does about writes, rumours and traces, whatever runs it: processes with
//! sockets and the simulator share this code. Pure but for what the trace is written to; time comes
//! in as a number.

use core::net::SocketAddr;
use std::collections::BTreeMap;
use std::io::Write;

use bytes::Bytes;
use rumormill::{
    BroadcastError, Cause, Channel, Datagram, Instant, Node, RumorId, Said, ShortId, Stats,
};

use crate::config::Mode;
use crate::replica::{Replica, WriteError};
use crate::store::Version;
use crate::trace::{Event, RumorTag, Saying, TOLD_MAX, TraceWriter, Why};

/// A wall clock's time in nanoseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wall(pub u64);

impl Wall {
    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub const fn ms(self) -> u64 {
        self.0 / 1_000_000
    }
}

/// A rumour that came for the first time.
#[derive(Clone, Copy, Debug)]
pub struct Arrival<'a> {
    /// Its id.
    pub id: &'a RumorId,
    /// Which protocol it is for.
    pub channel: Channel,
    /// The message.
    pub payload: &'a [u8],
    /// Who passed it on.
    pub from: SocketAddr,
    /// Links it crossed, where the wire carries that.
    pub hop: Option<u8>,
}

/// A replica and the trace of what its node does with rumours.
#[derive(Debug)]
pub struct Peer<W: Write> {
    mode: Mode,
    replica: Replica,
    trace: Option<TraceWriter<W>>,
    complaints: Throttle,
    created: Option<RumorTag>,
    /// Datagrams with nothing but ids that are still written down; `None`: nothing is measured yet.
    told_left: Option<u32>,
}

/// Lets one complaint a second through and counts the others: peers decide how many there are.
#[derive(Debug, Default)]
struct Throttle {
    next_ms: u64,
    suppressed: u64,
}

impl Throttle {
    const PAUSE_MS: u64 = 1_000;

    /// How many were suppressed since the last one that passed; `None` if this one is, too.
    const fn pass(&mut self, wall: Wall) -> Option<u64> {
        let now = wall.ms();
        // A clock that was set back does not silence for long.
        if now < self.next_ms && self.next_ms - now <= Self::PAUSE_MS {
            self.suppressed += 1;
            return None;
        }
        self.next_ms = now + Self::PAUSE_MS;
        Some(core::mem::replace(&mut self.suppressed, 0))
    }
}

impl<W: Write> Peer<W> {
    /// An empty replica; it belongs to nobody until [`adopt`](Self::adopt).
    #[must_use]
    pub fn new(mode: Mode, trace: Option<TraceWriter<W>>) -> Self {
        let (replica, complaints) = (Replica::new(mode, b""), Throttle::default());
        Self { mode, replica, trace, complaints, created: None, told_left: None }
    }

    /// Tells whose replica it is, and begins the trace under a label.
    pub fn adopt(&mut self, wall: Wall, node: &Node, label: &str) {
        self.belong_to(node);
        let (mode, node, addr) = (self.mode, label.to_owned(), node.local().addr);
        self.record(&Event::Node { t: wall.0, node, addr, mode }, None);
    }

    /// Tells whose replica it is in a later life of its node, whose trace goes on.
    pub fn adopt_again(&mut self, wall: Wall, node: &Node) {
        self.belong_to(node);
        self.mark(wall, node);
    }

    fn belong_to(&mut self, node: &Node) {
        self.replica = Replica::new(self.mode, node.local().name.as_bytes());
    }

    /// Writes down that the measuring begins.
    pub fn mark(&mut self, wall: Wall, node: &Node) {
        self.told_left.get_or_insert(TOLD_MAX);
        self.record(&Event::Mark { t: wall.0, counters: counters(node) }, None);
    }

    /// The rumour that [`write`](Self::write) started last.
    #[must_use]
    pub const fn created(&self) -> Option<RumorTag> {
        self.created
    }

    /// The replica.
    #[must_use]
    pub const fn replica(&self) -> &Replica {
        &self.replica
    }

    /// Whether the store changed since the last call.
    pub const fn take_changed(&mut self) -> bool {
        self.replica.take_changed()
    }

    /// What is to be told in push/pulls; `None` if it has grown beyond what they carry.
    #[must_use]
    pub fn state(&self) -> Option<Bytes> {
        let state = self.replica.state();
        state.inspect_err(|error| tracing::error!(%error, "push/pulls keep the last state")).ok()
    }

    /// Writes a key, or without a value deletes it, and tells everybody.
    ///
    /// # Errors
    ///
    /// [`WriteError`]; nothing changed.
    pub fn write(
        &mut self,
        wall: Wall,
        node: &mut Node,
        now: Instant,
        key: &[u8],
        value: Option<Bytes>,
    ) -> Result<Version, WriteError> {
        let write = self.replica.prepare(wall.ms(), key, value, node.broadcast_len_max())?;
        let told = node.broadcast(now, write.channel, &write.payload);
        let id = told.map_err(|error| match error {
            BroadcastError::TooLarge { len, max } => WriteError::TooLarge { len, max },
            _ => WriteError::Leaving,
        })?;
        let thesis_id = write.thesis_id.map(|id| id.0);
        self.record(&Event::Create { t: wall.0, id: tag(&id) }, thesis_id);
        self.created = Some(tag(&id));
        self.replica.commit(write)
    }

    /// Applies a rumour that came for the first time.
    pub fn receive(&mut self, wall: Wall, arrival: &Arrival<'_>) {
        let received = self.replica.receive(wall.ms(), arrival.channel, arrival.payload);
        let thesis_id = received.unwrap_or_else(|error| {
            if let Some(suppressed) = self.complaints.pass(wall) {
                tracing::warn!(
                    from = %arrival.from, %error, suppressed, "a message was not applied"
                );
            }
            None
        });
        let event = Event::Recv {
            t: wall.0,
            id: tag(arrival.id),
            from: Some(arrival.from),
            hop: arrival.hop.map(u32::from),
        };
        self.record(&event, thesis_id.map(|id| id.0));
    }

    /// Merges what a peer told in a push/pull.
    pub fn merge_state(&mut self, wall: Wall, from: SocketAddr, state: &[u8]) {
        let merged = self.replica.merge_state(wall.ms(), state);
        if matches!(merged, Ok(0)) {
            return;
        }
        let Some(suppressed) = self.complaints.pass(wall) else { return };
        match merged {
            Ok(refused) => tracing::warn!(
                %from, refused, suppressed, "entries of a peer's state were not applied"
            ),
            Err(error) => {
                tracing::warn!(%from, %error, suppressed, "a peer's state makes no sense");
            }
        }
    }

    /// Writes down a datagram that left, if it carried rumours or spoke of any.
    pub fn note_datagram(&mut self, wall: Wall, to: SocketAddr, len: usize, datagram: &Datagram) {
        if self.trace.is_none() {
            return;
        }
        self.note_said(wall, to, datagram.said());
        if datagram.rumors().is_empty() {
            return;
        }
        let rumors = datagram.rumors().iter().map(|&(id, copies)| (RumorTag(id.0), copies));
        let event = Event::Send {
            t: wall.0,
            to,
            why: why(datagram.cause),
            bytes: u32::try_from(len).unwrap_or(u32::MAX),
            rumors: rumors.collect(),
        };
        self.record(&event, None);
    }

    fn note_said(&mut self, wall: Wall, to: SocketAddr, said: &[Said]) {
        let Some(left) = self.told_left.as_mut().filter(|_| !said.is_empty()) else { return };
        if said.iter().all(|said| matches!(said, Said::IHave(_))) {
            let Some(rest) = left.checked_sub(1) else { return };
            *left = rest;
        }
        let said = said.iter().map(|&said| saying(said)).collect();
        self.record(&Event::Tell { t: wall.0, to, said }, None);
    }

    /// Ends the trace in good order.
    pub fn end(&mut self, wall: Wall, node: &Node) {
        self.record(&Event::End { t: wall.0, counters: counters(node) }, None);
        self.flush_trace();
    }

    /// Writes out what is buffered of the trace.
    pub fn flush_trace(&mut self) {
        if let Some(Err(error)) = self.trace.as_mut().map(TraceWriter::flush) {
            tracing::error!(%error, "the end of the trace could not be written");
        }
    }

    /// What the trace was written to, complete; `None` if there is none or it broke off.
    #[must_use]
    pub fn into_trace(self) -> Option<W> {
        self.trace?.into_inner().ok()
    }

    fn record(&mut self, event: &Event, thesis_id: Option<i64>) {
        let Some(trace) = &mut self.trace else { return };
        if let Err(error) = trace.record(event, thesis_id) {
            tracing::error!(%error, "the trace cannot be written and ends here");
            self.trace = None;
        }
    }
}

fn counters(node: &Node) -> BTreeMap<String, u64> {
    let stats = node.stats();
    let counters = [
        ("packets_received", stats.packets_received),
        ("packets_sent", stats.packets_sent),
        ("bytes_sent", stats.bytes_sent),
        ("rumor_duplicates", stats.rumor_duplicates),
        ("rumor_copies_tick", stats.rumor_copies_tick),
        ("rumor_copies_forwarded", stats.rumor_copies_forwarded),
        ("rumor_copies_piggybacked", stats.rumor_copies_piggybacked),
        ("rumor_copies_grafted", stats.rumor_copies_grafted),
        ("rumor_copies_pulled", stats.rumor_copies_pulled),
        ("rumors_dropped", stats.rumors_dropped),
        ("control_sent", stats.control_sent),
        ("control_bytes_sent", stats.control_bytes_sent),
        ("eager_flips", stats.eager_flips),
        ("grafts_sent", stats.grafts_sent),
        ("prunes_sent", stats.prunes_sent),
        ("probes_failed", stats.probes_failed),
        ("refutations", stats.refutations),
        ("lag_max_us", u64::try_from(stats.lag_max.as_micros()).unwrap_or(u64::MAX)),
    ];
    let counters = counters.into_iter().chain(tree_counters(stats));
    counters.map(|(name, value)| (name.to_owned(), value)).collect()
}

/// What the core counts about links that carry copies or ids.
const fn tree_counters(stats: &Stats) -> [(&'static str, u64); 7] {
    [
        ("rumor_copies_grafted", stats.rumor_copies_grafted),
        ("rumor_copies_pulled", stats.rumor_copies_pulled),
        ("control_sent", stats.control_sent),
        ("control_bytes_sent", stats.control_bytes_sent),
        ("eager_flips", stats.eager_flips),
        ("grafts_sent", stats.grafts_sent),
        ("prunes_sent", stats.prunes_sent),
    ]
}

const fn why(cause: Cause) -> Why {
    match cause {
        Cause::Tick => Why::Tick,
        Cause::Forward => Why::Now,
        Cause::Probe => Why::Probe,
        Cause::RelayedProbe => Why::Relay,
        Cause::ProbeRequest => Why::Ask,
        Cause::Ack => Why::Ack,
        Cause::Nack => Why::Nack,
        Cause::Repair => Why::Repair,
        Cause::Control => Why::Control,
        Cause::Direct => Why::Other,
    }
}

const fn saying(said: Said) -> (Saying, Option<RumorTag>) {
    const fn of(saying: Saying, id: ShortId) -> (Saying, Option<RumorTag>) {
        (saying, Some(RumorTag(id.0)))
    }
    match said {
        Said::IHave(id) => of(Saying::IHave, id),
        Said::Graft(id) => of(Saying::Graft, id),
        Said::Swap(id) => of(Saying::Swap, id),
        Said::Pull(id) => of(Saying::Pull, id),
        Said::IDontWant(id) => of(Saying::IDontWant, id),
        Said::Prune => (Saying::Prune, None),
    }
}

/// What a rumour is called in traces.
#[must_use]
pub fn tag(id: &RumorId) -> RumorTag {
    RumorTag(id.short().0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_complaint_a_second_passes_and_the_others_are_counted() {
        let at = |ms: u64| Wall(ms * 1_000_000);
        let mut complaints = Throttle::default();
        assert_eq!(complaints.pass(at(5_000)), Some(0));
        for ms in 5_000..5_999 {
            assert_eq!(complaints.pass(at(ms)), None);
        }
        assert_eq!(complaints.pass(at(6_000)), Some(999));
        assert_eq!(complaints.pass(at(1_000)), Some(0), "the clock was set back");
        assert_eq!(complaints.pass(at(1_999)), None);
    }
}
