//! How the messages of a group were delivered, in a few numbers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{MeanStd, over};
use crate::metrics::{RunFigures, rounded};

/// The deliveries of one configuration, summed up over all its messages. Where nothing else is said, a
/// figure is the mean over the messages that have it; `None`: none has.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DeliverySummary {
    /// How many messages were measured.
    pub messages: usize,
    /// See [`Delivery::reliability`](crate::metrics::Delivery::reliability).
    pub reliability: f64,
    /// The worst.
    pub reliability_min: f64,
    /// Share of messages that reached all who lived: 0 to 1.
    pub atomic_rate: f64,
    /// RMR over the last tenth of each run's messages, at least one: of a tree that has settled.
    pub rmr_last_decile: Option<f64>,
    /// See [`Delivery::t50_ms`](crate::metrics::Delivery::t50_ms).
    pub t50_ms: Option<f64>,
    /// See [`Delivery::t99_ms`](crate::metrics::Delivery::t99_ms).
    pub t99_ms: Option<f64>,
    /// See [`Delivery::t_full_ms`](crate::metrics::Delivery::t_full_ms).
    pub t_full_ms: Option<f64>,
    /// The slowest.
    pub t_full_ms_max: Option<f64>,
    /// Standard deviation.
    pub t_full_ms_std: Option<f64>,
    /// What a bare flood along the links takes, with all nodes alive; `None` where it was not measured.
    pub floor_ms: Option<f64>,
    /// `t_full_ms` / `floor_ms`; `None` also where the floor is no time at all.
    pub stretch: Option<f64>,
    /// See [`Delivery::repair_copies`](crate::metrics::Delivery::repair_copies).
    pub repair_copies: Option<f64>,
    /// See [`Delivery::control_messages`](crate::metrics::Delivery::control_messages).
    pub control_messages: Option<f64>,
    /// See [`Delivery::control_bytes`](crate::metrics::Delivery::control_bytes).
    pub control_bytes: Option<f64>,
    /// Most copies that one node sent of one message.
    pub out_degree_max: Option<u64>,
    /// See [`Delivery::flaps`](crate::metrics::Delivery::flaps).
    pub flaps: Option<f64>,
    /// The most parts that any message found the graph in.
    pub parts_max: Option<u32>,
}

impl DeliverySummary {
    /// Sums up the messages of one configuration; there is at least one.
    pub(super) fn of(runs: &[&RunFigures]) -> Self {
        let mean = |figure: fn(&RunFigures) -> Option<f64>| MeanStd::of(runs, figure).mean;
        let count = |figure: fn(&RunFigures) -> Option<u64>| MeanStd::of_counts(runs, figure).mean;
        let reliability = |run: &&RunFigures| run.delivery.reliability;
        let all = runs.iter().filter(|run| run.delivery.unreached.is_none()).count();
        let times = runs.iter().filter_map(|run| run.delivery.t_full_ms);
        Self {
            messages: runs.len(),
            reliability: mean(|run| Some(run.delivery.reliability)).unwrap_or_default(),
            reliability_min: runs.iter().map(reliability).fold(1.0, f64::min),
            atomic_rate: rounded(all as f64 / runs.len().max(1) as f64),
            rmr_last_decile: over(&last_tenths(runs), |run| run.rmr).mean().map(rounded),
            t50_ms: mean(|run| run.delivery.t50_ms),
            t99_ms: mean(|run| run.delivery.t99_ms),
            t_full_ms: mean(|run| run.delivery.t_full_ms),
            t_full_ms_max: times.reduce(f64::max),
            t_full_ms_std: MeanStd::of(runs, |run| run.delivery.t_full_ms).std,
            floor_ms: None,
            stretch: None,
            repair_copies: count(|run| run.delivery.repair_copies),
            control_messages: mean(|run| run.delivery.control_messages),
            control_bytes: mean(|run| run.delivery.control_bytes),
            out_degree_max: runs.iter().filter_map(|run| run.delivery.out_degree_max).max(),
            flaps: mean(|run| run.delivery.flaps),
            parts_max: runs.iter().filter_map(|run| run.delivery.parts).max(),
        }
    }

    /// Holds the times against a floor.
    pub(crate) fn compare(&mut self, floor_ms: f64) {
        self.floor_ms = Some(rounded(floor_ms));
        let stretch = |t_full_ms: f64| rounded(t_full_ms / floor_ms);
        self.stretch = self.t_full_ms.filter(|_| floor_ms > 0.0).map(stretch);
    }
}

/// Of each repeat the last tenth of its messages, at least one.
fn last_tenths<'a>(runs: &[&'a RunFigures]) -> Vec<&'a RunFigures> {
    let mut counts: BTreeMap<u32, u32> = BTreeMap::new();
    for run in runs {
        let count = counts.entry(run.repeat).or_default();
        *count = (*count).max(run.delivery.message + 1);
    }
    let is_late = |run: &&&RunFigures| {
        let count = counts[&run.repeat];
        run.delivery.message >= count - count.div_ceil(10)
    };
    runs.iter().filter(is_late).copied().collect()
}
