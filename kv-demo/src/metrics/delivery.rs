//! Whether a rumour got to everybody who lives, when, and what that took beside its copies.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::copies::Load;
use super::infection::Infection;
use super::scene::{Scene, number_of};
use super::{Overlay, Run, after, as_ms, parts, rounded};
use crate::trace::{Event, Trace};

/// Nanoseconds of a minute.
const MINUTE_NS: f64 = 60e9;

/// How a rumour was delivered. The *live* are the nodes that were up from its creation until the
/// horizon; percentages are shares of them, the creator included.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Delivery {
    /// Its number among those that were measured, from 0.
    pub message: u32,
    /// How many nodes lived.
    pub live: u32,
    /// Of the live, the share that was reached: 0 to 1.
    pub reliability: f64,
    /// When half of the live had it, in milliseconds since the creation; `None` if they never did.
    pub t50_ms: Option<f64>,
    /// When 99 % of the live had it.
    pub t99_ms: Option<f64>,
    /// When all of the live had it.
    pub t_full_ms: Option<f64>,
    /// Copies in answer to who lacked them, in the window; `None` for thesis logs.
    pub repair_copies: Option<u64>,
    /// Most copies that one node sent in the window; `None` for thesis logs.
    pub out_degree_max: Option<u64>,
    /// Messages without a copy that keep links and repairs going, of all nodes, from the first
    /// measured creation to the run's end, for each measured rumour; `None` where traces lack them.
    pub control_messages: Option<f64>,
    /// Their bytes, for each measured rumour.
    pub control_bytes: Option<f64>,
    /// How often a link began or ceased to carry copies, for each node and minute.
    pub flaps: Option<f64>,
    /// Into how many parts the graph falls when only the live are left; `None` where rumours do not go
    /// along it.
    pub parts: Option<u32>,
    /// Which of the live were not reached, and which parts of the graph they make; `None`: all were.
    pub unreached: Option<String>,
    /// Which parts of that graph have no link to the writer's, where all were reached all the same: by
    /// links of the floor, or by digests. `None`: the graph is whole, or some were not reached.
    #[serde(default)]
    pub bridged: Option<String>,
}

impl Delivery {
    pub(super) fn of(
        run: &Run,
        scene: &Scene<'_>,
        names: &[Option<u32>],
        infection: &Infection,
        load: &Load,
    ) -> Self {
        let created = infection.created();
        let until = after(created, run.horizon_ms);
        let living = scene.living(run.nodes, created, until);
        // Whoever has no number was never down.
        let lives =
            |index: Option<usize>| index.is_none_or(|index| living.get(index) != Some(&false));
        let live = living.iter().filter(|lives| **lives).count();
        let (mut times, mut has) = (Vec::new(), BTreeSet::new());
        for (trace, delay) in infection.reached_after() {
            let index = names[trace].map(|number| number as usize - 1);
            if lives(index) {
                times.push(delay);
                has.extend(index);
            }
        }
        times.sort_unstable();
        let when = |share: f64| time_of(&times, live, share);
        let is_live = |index: usize| living.get(index) == Some(&true);
        let graph = scene.graph.filter(|_| run.overlay == Overlay::Static);
        let parts = graph.map(|graph| graph.parts(is_live));
        let unreached = (times.len() < live).then(|| {
            let missing = (0..run.nodes as usize).filter(|&node| is_live(node));
            let missing = missing.filter(|node| !has.contains(node)).collect();
            parts::in_words(parts.as_deref(), &missing)
        });
        let is_bridged = unreached.is_none() && parts.as_ref().is_some_and(|parts| parts.len() > 1);
        let bridged = is_bridged.then(|| {
            // The first node writes, and is never killed.
            let of_others = parts.iter().flatten().filter(|part| !part.contains(&0));
            parts::in_words(parts.as_deref(), &of_others.flatten().copied().collect())
        });
        Self {
            live: u32::try_from(live).unwrap_or(u32::MAX),
            reliability: rounded(times.len() as f64 / live.max(1) as f64),
            t50_ms: when(0.5),
            t99_ms: when(0.99),
            t_full_ms: when(1.0),
            repair_copies: load.unless_blind(load.in_window.repaired),
            out_degree_max: load.unless_blind(load.out_degree_max),
            parts: parts.map(|parts| u32::try_from(parts.len()).unwrap_or(u32::MAX)),
            unreached,
            bridged,
            ..Self::default()
        }
    }
}

/// When so large a share of so many had it, in milliseconds; `times` are ascending.
fn time_of(times: &[u64], live: usize, share: f64) -> Option<f64> {
    // Counts of nodes are far below 2^53, and the share is at most 1.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let wanted = (live as f64 * share).ceil() as usize;
    times.get(wanted.max(1) - 1).copied().map(as_ms)
}

/// What all nodes of a run did beside sending copies, while it was measured.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Upkeep {
    control_messages: u64,
    control_bytes: u64,
    flips: u64,
    /// Nanoseconds that nodes were watched, together.
    watched_ns: u64,
}

impl Upkeep {
    /// The counters between each trace's marks and ends; `None` if no trace has both.
    pub(super) fn of(traces: &[Trace]) -> Option<Self> {
        let mut sum = None;
        for trace in traces {
            let mut since = None;
            for event in &trace.events {
                match (event, since) {
                    (Event::Mark { t, counters }, _) => since = Some((*t, counters)),
                    (Event::End { t, counters }, Some((start, before))) => {
                        let grown = |name: &str| {
                            let at = |counters: &std::collections::BTreeMap<String, u64>| {
                                counters.get(name).copied().unwrap_or_default()
                            };
                            at(counters).saturating_sub(at(before))
                        };
                        sum.get_or_insert_with(Self::default).add(&Self {
                            control_messages: grown("control_sent"),
                            control_bytes: grown("control_bytes_sent"),
                            flips: grown("eager_flips"),
                            watched_ns: t.saturating_sub(start),
                        });
                        since = None;
                    }
                    _ => {}
                }
            }
        }
        sum
    }

    const fn add(&mut self, other: &Self) {
        self.control_messages = self.control_messages.saturating_add(other.control_messages);
        self.control_bytes = self.control_bytes.saturating_add(other.control_bytes);
        self.flips = self.flips.saturating_add(other.flips);
        self.watched_ns = self.watched_ns.saturating_add(other.watched_ns);
    }

    /// Puts its part of the upkeep down to a rumour.
    pub(super) fn share(self, messages: u32, delivery: &mut Delivery) {
        // Figures for people: beyond 2^53 their last digits are not theirs.
        let each = |count: u64| Some(rounded(count as f64 / f64::from(messages.max(1))));
        delivery.control_messages = each(self.control_messages);
        delivery.control_bytes = each(self.control_bytes);
        let minutes = self.watched_ns as f64 / MINUTE_NS;
        delivery.flaps = (minutes > 0.0).then(|| rounded(self.flips as f64 / minutes));
    }
}

/// The number of the node that each trace is of.
pub(super) fn numbers(traces: &[Trace]) -> Vec<Option<u32>> {
    traces.iter().map(|trace| number_of(&trace.node)).collect()
}
