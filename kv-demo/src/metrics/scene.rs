//! What is known of a run beside the traces of its nodes.

use serde::{Deserialize, Serialize};

use crate::topology::Graph;

/// What is known of a run beside its traces. [`Default`]: one rumour, and nobody dies.
#[derive(Clone, Copy, Debug)]
pub struct Scene<'a> {
    /// Rumours that came before those that are measured.
    pub warm: u32,
    /// Rumours that are measured; at least 1.
    pub messages: u32,
    /// Along which links; `None`: nobody knows.
    pub graph: Option<&'a Graph>,
    /// Who was down, and when.
    pub outages: &'a [Outage],
}

impl Default for Scene<'_> {
    fn default() -> Self {
        Self { warm: 0, messages: 1, graph: None, outages: &[] }
    }
}

/// A node was down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outage {
    /// Its number, from 1.
    pub node: u32,
    /// Since when, in nanoseconds since the Unix epoch.
    pub from_ns: u64,
    /// Until when; `None`: for ever.
    pub until_ns: Option<u64>,
}

impl Outage {
    /// Of a node by its index.
    #[must_use]
    pub fn of(index: usize, from_ns: u64, until_ns: Option<u64>) -> Self {
        Self { node: u32::try_from(index + 1).unwrap_or(u32::MAX), from_ns, until_ns }
    }
}

impl Scene<'_> {
    /// All rumours of the run.
    pub(super) const fn rumors(&self) -> usize {
        self.warm as usize + self.messages as usize
    }

    /// Which of so many nodes were up all the time from `from_ns` to `to_ns`, by their index.
    pub(super) fn living(&self, nodes: u32, from_ns: u64, to_ns: u64) -> Vec<bool> {
        let mut lives = vec![true; nodes as usize];
        let is_within = |outage: &&Outage| {
            outage.from_ns <= to_ns && outage.until_ns.is_none_or(|until_ns| until_ns >= from_ns)
        };
        for outage in self.outages.iter().filter(is_within) {
            let index = (outage.node as usize).checked_sub(1);
            if let Some(lives) = index.and_then(|index| lives.get_mut(index)) {
                *lives = false;
            }
        }
        lives
    }

    /// Whether a node never came back.
    pub(super) fn is_dead(&self, node: Option<u32>) -> bool {
        let is_end = |outage: &Outage| Some(outage.node) == node && outage.until_ns.is_none();
        self.outages.iter().any(is_end)
    }
}

/// The number of the node that a trace is of.
pub(super) fn number_of(name: &str) -> Option<u32> {
    name.strip_prefix("Node")?.parse().ok().filter(|&number| number > 0)
}
