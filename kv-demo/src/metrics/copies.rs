//! What a rumour cost: copies by kind, datagrams, bytes.

use core::net::SocketAddr;

use super::{Creation, Run, after, is_blind};
use crate::trace::{Event, RumorTag, Trace, TraceFormat, Why};

/// Copies of the run's rumour, by what made a node send them. Saturates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Copies {
    /// Sent by the gossip tick.
    pub(super) tick: u64,
    /// Forwarded the moment the rumour arrived.
    pub(super) immediate: u64,
    /// Rode on whatever went out anyway.
    pub(super) piggybacked: u64,
}

impl Copies {
    pub(super) const fn total(self) -> u64 {
        self.tick.saturating_add(self.immediate).saturating_add(self.piggybacked)
    }

    fn add(&mut self, why: Why, copies: u64) {
        let count = match why {
            Why::Tick => &mut self.tick,
            Why::Now => &mut self.immediate,
            Why::Probe
            | Why::Ack
            | Why::Nack
            | Why::Ask
            | Why::Relay
            | Why::Repair
            | Why::Control
            | Why::Other => &mut self.piggybacked,
        };
        *count = count.saturating_add(copies);
    }
}

/// The whole cost of a run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    pub(super) in_window: Copies,
    /// `None` when nobody received the rumour.
    pub(super) until_convergence: Option<Copies>,
    pub(super) datagrams_in_window: u64,
    pub(super) bytes_in_window: u64,
    /// Only tick copies are known.
    is_blind: bool,
}

impl Load {
    /// Adds up what all nodes sent; `last_receipt` is in nanoseconds since the Unix epoch.
    pub(super) fn of(
        run: &Run,
        traces: &[Trace],
        creation: Creation,
        last_receipt: Option<u64>,
    ) -> Self {
        let window_end = after(creation.t, run.window_ms);
        let mut in_window = Copies::default();
        let mut until_last = Copies::default();
        let (mut datagrams, mut bytes) = (0_u64, 0_u64);
        for sent in traces.iter().flat_map(|trace| sent_copies(trace, creation.tag)) {
            if sent.t < creation.t {
                continue;
            }
            if sent.t < window_end {
                in_window.add(sent.why, sent.copies);
                datagrams = datagrams.saturating_add(1);
                bytes = bytes.saturating_add(sent.bytes);
            }
            if last_receipt.is_some_and(|last| sent.t <= last) {
                until_last.add(sent.why, sent.copies);
            }
        }
        Self {
            in_window,
            until_convergence: last_receipt.map(|_| until_last),
            datagrams_in_window: datagrams,
            bytes_in_window: bytes,
            is_blind: is_blind(traces),
        }
    }

    /// A figure that a thesis log cannot give.
    pub(super) fn unless_blind(&self, figure: u64) -> Option<u64> {
        (!self.is_blind).then_some(figure)
    }
}

/// A datagram that carries the rumour; in a thesis log, a copy.
pub(super) struct Sent {
    pub(super) t: u64,
    pub(super) to: SocketAddr,
    pub(super) why: Why,
    bytes: u64,
    /// At least 1.
    pub(super) copies: u64,
}

pub(super) fn sent_copies(trace: &Trace, tag: RumorTag) -> impl Iterator<Item = Sent> {
    trace.events.iter().filter_map(move |event| {
        let Event::Send { t, to, why, bytes, rumors } = event else { return None };
        let copies = match trace.format {
            TraceFormat::Thesis => 1,
            TraceFormat::Json => rumors
                .iter()
                .filter(|(id, _)| *id == tag)
                .fold(0_u64, |sum, (_, copies)| sum.saturating_add((*copies).into())),
        };
        let sent = Sent { t: *t, to: *to, why: *why, bytes: (*bytes).into(), copies };
        (copies > 0).then_some(sent)
    })
}
