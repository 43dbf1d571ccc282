//! What arrives is accounted for: what a datagram carried when it was sent shows in the counters, in
//! the answers or in the events of whoever is handed it unchanged.
//!
//! What it carried is what the sender says of it, and is kept by the datagram's bytes: a copy that was
//! doubled, held back or replayed carries it too, one that was changed on the way is unknown. News of
//! members and answers to probes leave no trace if they say nothing new; they are other rules' business.

use std::collections::{BTreeMap, VecDeque};

use rumormill::{Cause, Node, Stats};

use super::digest;

/// Datagrams that are remembered; of what is longer on its way nothing is known.
const KEPT_MAX: usize = 1 << 15;

/// What a datagram carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Load {
    /// Of the sender's cluster.
    label: u64,
    /// Copies of rumours.
    copies: u64,
    cause: Cause,
}

/// Datagrams that are under way, by their bytes.
#[derive(Debug, Default)]
pub(super) struct Carried {
    loads: BTreeMap<u64, Load>,
    order: VecDeque<u64>,
}

impl Carried {
    /// A node has sent its last datagram.
    pub(super) fn sent(&mut self, node: &Node, bytes: &[u8]) {
        let datagram = node.last_datagram();
        let copies = datagram.rumors().iter().map(|&(_, copies)| u64::from(copies)).sum();
        let label = digest(&node.params().label);
        let (key, load) = (digest(bytes), Load { label, copies, cause: datagram.cause });
        if self.loads.insert(key, load).is_none() {
            self.order.push_back(key);
        }
        if self.order.len() > KEPT_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.loads.remove(&oldest);
        }
    }

    /// What a datagram carried; `None` if nobody sent it like this, or long ago.
    pub(super) fn load(&self, bytes: &[u8]) -> Option<Load> {
        self.loads.get(&digest(bytes)).copied()
    }
}

/// What a node has done with what it got, in one life.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Books {
    /// Rumours that it had, and had not, known before.
    rumors: [u64; 2],
    refused: u64,
    /// Probes that it refused to answer, requests that it took or refused.
    questions: u64,
    events_dropped: u64,
    told: Told,
}

/// What was seen of a node's answers and events, in one life.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Told {
    pub(super) acks: u64,
    pub(super) rumors: u64,
    /// That came in datagrams.
    pub(super) messages: u64,
}

impl Books {
    /// As they are now.
    pub(super) const fn of(stats: &Stats, told: Told) -> Self {
        Self {
            rumors: [stats.rumor_duplicates, stats.rumors_received],
            refused: stats.packets_refused
                + stats.messages_malformed
                + stats.parts_cut_off
                + stats.envelopes_refused,
            questions: stats.pings_for_others
                + stats.questions_ignored
                + stats.relays
                + stats.relays_refused
                + stats.outbox_overflows
                + stats.packets_unfit,
            events_dropped: stats.events_dropped,
            told,
        }
    }

    /// What is missing after a turn, in words.
    pub(super) fn lacks(&self, before: &Self, load: Option<Load>, label: &[u8]) -> Option<String> {
        let [known, new] = [0, 1].map(|index| self.rumors[index] - before.rumors[index]);
        let dropped = self.events_dropped - before.events_dropped;
        let told = self.told.rumors - before.told.rumors;
        if told > new || told + dropped < new {
            return Some(format!(
                "{new} rumours are new, {told} are told, {dropped} events dropped"
            ));
        }
        // Another cluster's are refused.
        let load = load.filter(|load| load.label == digest(label))?;
        let refused = self.refused - before.refused;
        if refused > 0 {
            return Some(format!("{refused} of what a member sent was refused: {load:?}"));
        }
        if load.cause == Cause::Direct {
            // For whoever is not known to take envelopes it is a bare message, and they are rumours.
            let messages = self.told.messages - before.told.messages + known + new + dropped;
            return (messages == 0)
                .then(|| "a message for one came, it was neither told nor dropped".to_owned());
        }
        if known + new != load.copies {
            return Some(format!("{load:?} came, {known} known and {new} new rumours are counted"));
        }
        let answers = self.told.acks - before.told.acks + self.questions - before.questions;
        let asks = matches!(load.cause, Cause::Probe | Cause::RelayedProbe | Cause::ProbeRequest);
        (asks && answers != 1)
            .then(|| format!("{load:?} came, {answers} answers and refusals are counted"))
    }
}
