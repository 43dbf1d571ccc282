//! Many repeats in a few numbers.
//!
//! [`Statistics`] is arithmetic; [`GroupSummary`] applies it to the runs of one configuration. The
//! mean, the trimmed mean, the best-quartile mean and the variance are those that the original
//! reports; median, standard deviation and confidence interval are ours.

mod delivery;
mod statistics;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::config::{Mode, Preset};
use crate::metrics::{Overlay, RunFigures, Runtime, rounded};
use crate::topology::Topology;

pub use delivery::DeliverySummary;
pub use statistics::Statistics;

/// The runs of one configuration, summed up. Serialises under these names, in this order.
///
/// From `mean` to `median` the figure is the convergence time in milliseconds, over the repeats in
/// which anybody received the rumour. Then follow the other figures of [`RunFigures`], over the
/// repeats that have them: under its own name a figure's mean, and with `_std` its standard
/// deviation. `None`: no repeat has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroupSummary {
    /// The graph.
    pub topology: Topology,
    /// Its dimension.
    pub dim: u32,
    /// How many nodes were started.
    pub nodes: u32,
    /// How rumours spread.
    pub mode: Mode,
    /// Along which links.
    pub overlay: Overlay,
    /// Processes or the simulator.
    pub runtime: Runtime,
    /// Where the knobs come from.
    pub preset: Preset,
    /// Number of runs, each with one or more messages. Means are over all messages.
    pub repeats: usize,
    /// Mean share of nodes reached, 0 to 1.
    pub convergence_rate: f64,
    /// See [`Statistics::mean`].
    pub mean: Option<f64>,
    /// See [`Statistics::trimmed_mean`].
    pub trimmed_mean: Option<f64>,
    /// See [`Statistics::best_quartile_mean`].
    pub best_quartile_mean: Option<f64>,
    /// See [`Statistics::variance`]; in ms².
    pub variance: Option<f64>,
    /// See [`Statistics::std`].
    pub std: Option<f64>,
    /// See [`Statistics::ci95`].
    pub ci95: Option<f64>,
    /// See [`Statistics::median`].
    pub median: Option<f64>,
    /// Mean; see [`RunFigures::tick_copies_until_convergence`].
    pub tick_copies_until_convergence: Option<f64>,
    /// Mean; see [`RunFigures::tick_copies_in_window`].
    pub tick_copies_in_window: Option<f64>,
    /// Mean; see [`RunFigures::immediate_copies`].
    pub immediate_copies: Option<f64>,
    /// Mean; see [`RunFigures::piggybacked_copies`].
    pub piggybacked_copies: Option<f64>,
    /// Mean; see [`RunFigures::datagrams_in_window`].
    pub datagrams_in_window: Option<f64>,
    /// Mean; see [`RunFigures::bytes_in_window`].
    pub bytes_in_window: Option<f64>,
    /// Mean; see [`RunFigures::rmr`].
    pub rmr: Option<f64>,
    /// Mean; see [`RunFigures::last_delivery_hop`].
    pub last_delivery_hop: Option<f64>,
    /// Mean; see [`RunFigures::copies_until_convergence`].
    pub copies_until_convergence: Option<f64>,
    /// Standard deviation of the share of nodes reached.
    pub convergence_rate_std: Option<f64>,
    /// Standard deviation.
    pub tick_copies_until_convergence_std: Option<f64>,
    /// Standard deviation.
    pub tick_copies_in_window_std: Option<f64>,
    /// Standard deviation.
    pub immediate_copies_std: Option<f64>,
    /// Standard deviation.
    pub piggybacked_copies_std: Option<f64>,
    /// Standard deviation.
    pub datagrams_in_window_std: Option<f64>,
    /// Standard deviation, in bytes.
    pub bytes_in_window_std: Option<f64>,
    /// Standard deviation.
    pub rmr_std: Option<f64>,
    /// Standard deviation.
    pub last_delivery_hop_std: Option<f64>,
    /// Standard deviation.
    pub copies_until_convergence_std: Option<f64>,
    /// How the messages got to those who lived.
    #[serde(flatten)]
    pub delivery: DeliverySummary,
    /// Repeats whose figures may be too low, see [`RunFigures::error`].
    pub incomplete_repeats: usize,
}

/// Sums up runs by configuration.
///
/// The order of `runs` does not matter. Groups come by topology (bus, ring, hypercube), then by
/// dimension, then by mode (thesis-classic, thesis-matching, classic, matching), then by overlay,
/// runtime, preset and number of nodes.
#[must_use]
pub fn summarise(runs: &[RunFigures]) -> Vec<GroupSummary> {
    let mut sorted: Vec<&RunFigures> = runs.iter().collect();
    sorted.sort_by_key(|run| key(run));
    sorted.chunk_by(|a, b| key(a) == key(b)).map(GroupSummary::of).collect()
}

/// Puts runs into the order of [`summarise`]'s groups, within a group by repeat and message.
pub fn sort(runs: &mut [RunFigures]) {
    runs.sort_by_key(|run| (key(run), run.repeat, run.delivery.message));
}

/// The run that stands for its repeats where one has to be shown: the one with the median
/// convergence time, the lower one of two. Runs in which nobody received the rumour are the slowest.
/// `None` when there are no runs.
#[must_use]
pub fn median_run<'a>(repeats: impl IntoIterator<Item = &'a RunFigures>) -> Option<&'a RunFigures> {
    let time = |run: &RunFigures| run.convergence_ms.unwrap_or(f64::INFINITY);
    let mut runs: Vec<&RunFigures> = repeats.into_iter().collect();
    runs.sort_by(|a, b| time(a).total_cmp(&time(b)).then(a.repeat.cmp(&b.repeat)));
    runs.get(runs.len().checked_sub(1)? / 2).copied()
}

/// Everything that makes two runs repeats of each other, in the order of tables.
fn key(run: &RunFigures) -> impl Ord + use<> {
    (run.topology, run.dim, run.mode, run.overlay, run.runtime, run.preset, run.nodes)
}

impl GroupSummary {
    /// Whether a run, or a message of it, is one of those that are summed up here.
    #[must_use]
    pub fn sums_up(&self, run: &RunFigures) -> bool {
        let here = (self.topology, self.dim, self.nodes, self.mode);
        here == (run.topology, run.dim, run.nodes, run.mode)
            && (self.overlay, self.runtime, self.preset) == (run.overlay, run.runtime, run.preset)
    }

    /// Sums up the repeats of one configuration; there is at least one.
    fn of(runs: &[&RunFigures]) -> Self {
        let first = runs[0];
        let convergence = over(runs, |run| run.convergence_ms);
        let rate = MeanStd::of(runs, |run| Some(run.convergence_rate));
        let tick_until = MeanStd::of_counts(runs, |run| run.tick_copies_until_convergence);
        let tick_window = MeanStd::of_counts(runs, |run| Some(run.tick_copies_in_window));
        let immediate = MeanStd::of_counts(runs, |run| run.immediate_copies);
        let piggybacked = MeanStd::of_counts(runs, |run| run.piggybacked_copies);
        let datagrams = MeanStd::of_counts(runs, |run| run.datagrams_in_window);
        let bytes = MeanStd::of_counts(runs, |run| run.bytes_in_window);
        let rmr = MeanStd::of(runs, |run| run.rmr);
        let last_hop = MeanStd::of(runs, |run| run.last_delivery_hop.map(f64::from));
        let copies_until = MeanStd::of_counts(runs, |run| run.copies_until_convergence);
        Self {
            topology: first.topology,
            dim: first.dim,
            nodes: first.nodes,
            mode: first.mode,
            overlay: first.overlay,
            runtime: first.runtime,
            preset: first.preset,
            repeats: repeats(runs.iter()),
            convergence_rate: rate.mean.unwrap_or_default(),
            mean: convergence.mean().map(rounded),
            trimmed_mean: convergence.trimmed_mean().map(rounded),
            best_quartile_mean: convergence.best_quartile_mean().map(rounded),
            variance: convergence.variance().map(rounded),
            std: convergence.std().map(rounded),
            ci95: convergence.ci95().map(rounded),
            median: convergence.median().map(rounded),
            tick_copies_until_convergence: tick_until.mean,
            tick_copies_in_window: tick_window.mean,
            immediate_copies: immediate.mean,
            piggybacked_copies: piggybacked.mean,
            datagrams_in_window: datagrams.mean,
            bytes_in_window: bytes.mean,
            rmr: rmr.mean,
            last_delivery_hop: last_hop.mean,
            copies_until_convergence: copies_until.mean,
            convergence_rate_std: rate.std,
            tick_copies_until_convergence_std: tick_until.std,
            tick_copies_in_window_std: tick_window.std,
            immediate_copies_std: immediate.std,
            piggybacked_copies_std: piggybacked.std,
            datagrams_in_window_std: datagrams.std,
            bytes_in_window_std: bytes.std,
            rmr_std: rmr.std,
            last_delivery_hop_std: last_hop.std,
            copies_until_convergence_std: copies_until.std,
            delivery: DeliverySummary::of(runs),
            incomplete_repeats: repeats(runs.iter().filter(|run| run.error.is_some())),
        }
    }
}

/// How many repeats these belong to.
fn repeats<'a>(runs: impl Iterator<Item = &'a &'a RunFigures>) -> usize {
    runs.map(|run| run.repeat).collect::<BTreeSet<u32>>().len()
}

/// What is kept of the figures other than the convergence time.
struct MeanStd {
    mean: Option<f64>,
    std: Option<f64>,
}

impl MeanStd {
    fn of(runs: &[&RunFigures], figure: impl Fn(&RunFigures) -> Option<f64>) -> Self {
        let sample = over(runs, figure);
        Self { mean: sample.mean().map(rounded), std: sample.std().map(rounded) }
    }

    fn of_counts(runs: &[&RunFigures], figure: impl Fn(&RunFigures) -> Option<u64>) -> Self {
        // Beyond 2^53 copies a mean's last digits do not matter.
        Self::of(runs, |run| figure(run).map(|count| count as f64))
    }
}

fn over(runs: &[&RunFigures], figure: impl Fn(&RunFigures) -> Option<f64>) -> Statistics {
    runs.iter().filter_map(|run| figure(run)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Delivery;

    #[test]
    fn a_group_has_the_figures_computed_by_hand() {
        let runs: Vec<RunFigures> = [(0, 10.0, 4), (1, 40.0, 8), (2, 25.0, 6)]
            .into_iter()
            .map(|(repeat, ms, copies)| RunFigures {
                repeat,
                convergence_ms: Some(ms),
                tick_copies_in_window: copies,
                ..figures()
            })
            .collect();
        let summary = summarise(&runs);
        assert_eq!(summary.len(), 1);
        let group = &summary[0];
        assert_eq!(group.repeats, 3);
        assert_eq!(group.mean, Some(25.0));
        assert_eq!(group.trimmed_mean, Some(25.0));
        assert_eq!(group.best_quartile_mean, Some(10.0));
        assert_eq!(group.variance, Some(225.0));
        assert_eq!(group.std, Some(15.0));
        assert_eq!(group.median, Some(25.0));
        // 4.303 · 15 / √3
        assert!((group.ci95.unwrap() - 37.265).abs() < 0.01);
        assert_eq!(group.tick_copies_in_window, Some(6.0));
        assert_eq!(group.tick_copies_in_window_std, Some(2.0));
        assert!((group.convergence_rate - 1.0).abs() < 1e-12);
        assert_eq!(group.convergence_rate_std, Some(0.0));
    }

    #[test]
    fn repeats_that_nobody_received_count_in_the_rate_and_not_in_the_time() {
        let lost = RunFigures {
            repeat: 1,
            convergence_rate: 0.25,
            convergence_ms: None,
            rmr: None,
            error: Some("1 of 4 traces missing".into()),
            ..figures()
        };
        let summary = summarise(&[figures(), lost]);
        let group = &summary[0];
        assert_eq!(group.repeats, 2);
        assert!((group.convergence_rate - 0.625).abs() < 1e-12);
        assert_eq!(group.mean, Some(10.0));
        assert_eq!(group.rmr, Some(0.5));
        assert_eq!(group.incomplete_repeats, 1);
    }

    #[test]
    fn a_figure_that_no_repeat_has_is_null_and_nothing_is_nan() {
        let lost = RunFigures {
            convergence_rate: f64::NAN,
            convergence_ms: None,
            rmr: Some(f64::INFINITY),
            last_delivery_hop: None,
            ..figures()
        };
        let json = serde_json::to_value(summarise(&[lost])).unwrap();
        for name in ["mean", "std", "ci95", "median", "rmr", "last_delivery_hop"] {
            assert!(json[0][name].is_null(), "{name}");
        }
        assert_eq!(json[0]["convergence_rate"], 0.0);
    }

    #[test]
    fn groups_come_in_the_order_of_tables_whatever_order_the_runs_had() {
        let mut runs = Vec::new();
        for mode in Mode::ALL {
            for topology in Topology::ORIGINAL {
                for dim in [4, 3] {
                    runs.push(RunFigures { topology, dim, mode, ..figures() });
                }
            }
        }
        let backwards: Vec<RunFigures> = runs.iter().rev().cloned().collect();
        let summary = summarise(&runs);
        assert_eq!(summary, summarise(&backwards));
        let order: Vec<(Topology, u32, Mode)> =
            summary.iter().map(|group| (group.topology, group.dim, group.mode)).collect();
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert_eq!(order, sorted);
        assert_eq!(order[0], (Topology::Bus, 3, Mode::ThesisClassic));
        assert_eq!(order[23], (Topology::Hypercube, 4, Mode::Matching));
    }

    #[test]
    fn different_configurations_are_not_repeats_of_each_other() {
        let runs = [
            figures(),
            RunFigures { preset: Preset::Wan, ..figures() },
            RunFigures { runtime: Runtime::Sim, ..figures() },
            RunFigures { overlay: Overlay::None, ..figures() },
        ];
        assert_eq!(summarise(&runs).len(), 4);
    }

    #[test]
    fn the_first_fields_stand_in_their_order() {
        let json = serde_json::to_string(&summarise(&[figures()])[0]).unwrap();
        assert!(
            json.starts_with(
                "{\"topology\":\"ring\",\"dim\":2,\"nodes\":4,\"mode\":\"matching\",\
             \"overlay\":\"static\",\"runtime\":\"udp\",\"preset\":\"lan\",\"repeats\":1,\
             \"convergence_rate\":1.0,\"mean\":10.0,\"trimmed_mean\":10.0,\
             \"best_quartile_mean\":10.0,\"variance\":0.0,\"std\":0.0,\"ci95\":null,\
             \"median\":10.0,\"tick_copies_until_convergence\":"
            ),
            "{json}"
        );
    }

    #[test]
    fn the_median_run_is_the_lower_of_two_and_lost_runs_are_the_slowest() {
        let run = |repeat, convergence_ms| RunFigures { repeat, convergence_ms, ..figures() };
        let runs = [run(0, None), run(1, Some(3.0)), run(2, Some(1.0)), run(3, Some(2.0))];
        assert_eq!(median_run(&runs).unwrap().repeat, 3);
        assert_eq!(median_run(&runs[..2]).unwrap().repeat, 1);
        let equal = [run(5, Some(1.0)), run(4, Some(1.0))];
        assert_eq!(median_run(&equal).unwrap().repeat, 4);
        assert_eq!(median_run(&[]), None);
    }

    #[test]
    fn messages_of_a_run_are_no_repeats_and_the_last_tenth_is_apart() {
        let message = |repeat, message: u32| RunFigures {
            repeat,
            rmr: Some(f64::from(message)),
            delivery: Delivery {
                message,
                reliability: if message == 0 { 0.5 } else { 1.0 },
                t_full_ms: (message > 0).then(|| f64::from(message)),
                unreached: (message == 0).then(|| "missed: Node2 (1)".into()),
                out_degree_max: Some(message.into()),
                ..Delivery::default()
            },
            ..figures()
        };
        let runs: Vec<RunFigures> =
            (0..2).flat_map(|repeat| (0..20).map(move |number| message(repeat, number))).collect();
        let group = &summarise(&runs)[0];
        assert_eq!((group.repeats, group.delivery.messages), (2, 40));
        assert_eq!(group.rmr, Some(9.5));
        assert_eq!(group.delivery.rmr_last_decile, Some(18.5));
        let shares = [
            group.delivery.reliability,
            group.delivery.reliability_min,
            group.delivery.atomic_rate,
        ];
        assert_eq!(shares.map(rounded).map(|share| share.to_string()), ["0.975", "0.5", "0.95"]);
        assert_eq!(group.delivery.t_full_ms, Some(10.0));
        assert_eq!(group.delivery.t_full_ms_max, Some(19.0));
        assert_eq!(group.delivery.out_degree_max, Some(19));
        assert!(runs.iter().all(|run| group.sums_up(run)));
    }

    #[test]
    fn a_floor_gives_a_stretch_unless_it_is_no_time() {
        let run = RunFigures {
            delivery: Delivery { t_full_ms: Some(12.0), ..Delivery::default() },
            ..figures()
        };
        let mut delivery = summarise(&[run])[0].delivery.clone();
        delivery.compare(10.0);
        assert_eq!((delivery.floor_ms, delivery.stretch), (Some(10.0), Some(1.2)));
        delivery.compare(0.0);
        assert_eq!((delivery.floor_ms, delivery.stretch), (Some(0.0), None));
    }

    #[test]
    fn no_runs_have_no_summary() {
        assert_eq!(summarise(&[]), []);
    }

    fn figures() -> RunFigures {
        RunFigures {
            topology: Topology::Ring,
            dim: 2,
            nodes: 4,
            mode: Mode::Matching,
            overlay: Overlay::Static,
            repeat: 0,
            runtime: Runtime::Udp,
            preset: Preset::Lan,
            convergence_rate: 1.0,
            convergence_ms: Some(10.0),
            tick_copies_until_convergence: Some(3),
            tick_copies_in_window: 4,
            immediate_copies: Some(0),
            piggybacked_copies: Some(0),
            datagrams_in_window: Some(4),
            bytes_in_window: Some(400),
            rmr: Some(0.5),
            last_delivery_hop: Some(2),
            infected_per_epoch: vec![4],
            immediate_copies_until_convergence: Some(0),
            piggybacked_copies_until_convergence: Some(0),
            copies_until_convergence: Some(3),
            delivery: Delivery { reliability: 1.0, ..Delivery::default() },
            interval_ms: 200,
            window_ms: 1_000,
            horizon_ms: 2_000,
            receipts_ms: vec![3.0, 4.0, 10.0],
            error: None,
        }
    }
}
