//! What a rumour cost: copies by kind, datagrams, bytes.

use std::collections::BTreeMap;

use super::story::Story;
use super::{Run, after};
use crate::trace::{CopyKind, Why};

/// Copies of the run's rumour, by what made a node send them. Saturates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Copies {
    /// Sent by the gossip tick.
    pub(super) tick: u64,
    /// Forwarded the moment the rumour arrived.
    pub(super) immediate: u64,
    /// Rode on whatever went out anyway.
    pub(super) piggybacked: u64,
    /// In answer to who lacked it.
    pub(super) repaired: u64,
}

impl Copies {
    pub(super) const fn total(self) -> u64 {
        self.tick
            .saturating_add(self.immediate)
            .saturating_add(self.piggybacked)
            .saturating_add(self.repaired)
    }

    fn add(&mut self, why: Why, copies: u64) {
        let count = match why.kind() {
            CopyKind::Tick => &mut self.tick,
            CopyKind::Immediate => &mut self.immediate,
            CopyKind::Piggyback => &mut self.piggybacked,
            CopyKind::Repair => &mut self.repaired,
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
    /// Most copies in the window of one node.
    pub(super) out_degree_max: u64,
    /// Only tick copies are known.
    is_blind: bool,
}

impl Load {
    /// Adds up what all nodes sent; `last_receipt` is in nanoseconds since the Unix epoch.
    pub(super) fn of(run: &Run, story: &Story, last_receipt: Option<u64>, is_blind: bool) -> Self {
        let creation = story.creation;
        let window_end = after(creation.t, run.window_ms);
        let mut in_window = Copies::default();
        let mut until_last = Copies::default();
        let (mut datagrams, mut bytes) = (0_u64, 0_u64);
        let mut by_node: BTreeMap<usize, u64> = BTreeMap::new();
        for (node, sent) in &story.sent {
            if sent.t < creation.t {
                continue;
            }
            if sent.t < window_end {
                in_window.add(sent.why, sent.copies);
                datagrams = datagrams.saturating_add(1);
                bytes = bytes.saturating_add(sent.bytes);
                let of_node = by_node.entry(*node).or_default();
                *of_node = of_node.saturating_add(sent.copies);
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
            out_degree_max: by_node.into_values().max().unwrap_or_default(),
            is_blind,
        }
    }

    /// A figure that a thesis log cannot give.
    pub(super) fn unless_blind(&self, figure: u64) -> Option<u64> {
        (!self.is_blind).then_some(figure)
    }
}
