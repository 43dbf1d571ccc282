//! The figures of an experiment, as SVG.
//!
//! Two for each network: how a rumour spread over time, and what it cost. The same results give the
//! same bytes. Text is set in the reader's own sans-serif, so no font is needed to draw it.

mod canvas;
mod infection;
mod load;

use clap::ValueEnum;

use crate::metrics::{RunFigures, Runtime};
use crate::report::Results;
use crate::summary::GroupSummary;
use crate::topology::{self, Topology};

pub use infection::infection_curves;
pub use load::load_bars;

/// How the time axis of [`infection_curves`] is divided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum TimeAxis {
    /// [`Log`](Self::Log) when the modes' convergence times differ by more than
    /// [`SPREAD_LINEAR_MAX`], else [`Linear`](Self::Linear).
    #[default]
    Auto,
    /// Equal distances are equal times.
    Linear,
    /// Equal distances are equal ratios.
    Log,
}

/// Slowest over fastest mode up to which one linear axis shows both.
pub const SPREAD_LINEAR_MAX: f64 = 20.0;

/// A figure and the name of its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drawing {
    /// For example `infection-hypercube-4-udp-lan.svg`.
    pub file_name: String,
    /// The SVG.
    pub svg: String,
}

/// Why a figure cannot be drawn.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlotError {
    /// There are no runs.
    #[error("nothing to draw: the results have no runs")]
    NoRuns,
    /// One figure shows one network.
    #[error("one figure cannot show {a} and {b}: draw one for each network")]
    SeveralNetworks {
        /// The first network.
        a: String,
        /// Another one.
        b: String,
    },
    /// The drawing library refuses; a bug of ours.
    #[error("the figure cannot be drawn ({reason}): please report this with the results.json")]
    Drawing {
        /// The library's words.
        reason: String,
    },
}

/// Draws both figures of each network in `results`, in the order of the table.
///
/// # Errors
///
/// [`PlotError::NoRuns`]; the others only through a bug.
pub fn draw(results: &Results, axis: TimeAxis) -> Result<Vec<Drawing>, PlotError> {
    let mut networks: Vec<Network> = results.summary.iter().map(Network::from).collect();
    networks.sort_unstable();
    networks.dedup();
    if networks.is_empty() {
        return Err(PlotError::NoRuns);
    }
    let mut drawings = Vec::with_capacity(2 * networks.len());
    for network in networks {
        let runs: Vec<RunFigures> =
            results.runs.iter().filter(|run| Network::from(*run) == network).cloned().collect();
        let summary: Vec<GroupSummary> = results
            .summary
            .iter()
            .filter(|group| Network::from(*group) == network)
            .cloned()
            .collect();
        let named = |kind, svg| Drawing { file_name: network.file_name(kind), svg };
        drawings.push(named("infection", infection_curves(&runs, axis)?));
        drawings.push(named("load", load_bars(&summary)?));
    }
    Ok(drawings)
}

/// What one figure shows: the modes on one plan under one set of conditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Network {
    topology: Topology,
    dim: u32,
    nodes: u32,
    runtime: Runtime,
    preset: crate::config::Preset,
}

impl From<&RunFigures> for Network {
    fn from(run: &RunFigures) -> Self {
        let RunFigures { topology, dim, nodes, runtime, preset, .. } = *run;
        Self { topology, dim, nodes, runtime, preset }
    }
}

impl From<&GroupSummary> for Network {
    fn from(group: &GroupSummary) -> Self {
        let GroupSummary { topology, dim, nodes, runtime, preset, .. } = *group;
        Self { topology, dim, nodes, runtime, preset }
    }
}

impl Network {
    /// The one network that all of `items` belong to.
    fn of_all<T>(items: &[T]) -> Result<Self, PlotError>
    where
        Self: for<'a> From<&'a T>,
    {
        let first = Self::from(items.first().ok_or(PlotError::NoRuns)?);
        match items.iter().map(Self::from).find(|other| *other != first) {
            None => Ok(first),
            Some(other) => {
                Err(PlotError::SeveralNetworks { a: first.file_stem(), b: other.file_stem() })
            }
        }
    }

    fn title(&self) -> String {
        let Self { topology, nodes, .. } = *self;
        match topology::dimension(topology, nodes as usize) {
            Some(dim) => format!("{topology} of dimension {dim} ({nodes} nodes)"),
            None => format!("{topology} ({nodes} nodes)"),
        }
    }

    /// What was the same for all modes.
    fn conditions(&self) -> String {
        format!("{}, preset {}", self.runtime, self.preset)
    }

    fn file_stem(&self) -> String {
        let Self { topology, nodes, runtime, preset, .. } = *self;
        format!("{}-{runtime}-{preset}", topology::stem(topology, nodes as usize))
    }

    fn file_name(&self, kind: &str) -> String {
        format!("{kind}-{}.svg", self.file_stem())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::results;

    #[test]
    fn each_network_has_two_figures() {
        let names: Vec<String> = draw(&results(), TimeAxis::Auto)
            .unwrap()
            .into_iter()
            .map(|drawing| drawing.file_name)
            .collect();
        assert_eq!(
            names,
            [
                "infection-bus-2-udp-lan.svg",
                "load-bus-2-udp-lan.svg",
                "infection-hypercube-4-udp-lan.svg",
                "load-hypercube-4-udp-lan.svg",
            ]
        );
    }

    #[test]
    fn the_same_results_give_the_same_bytes() {
        let once = draw(&results(), TimeAxis::Auto).unwrap();
        let mut shuffled = results();
        shuffled.runs.reverse();
        shuffled.summary.reverse();
        assert_eq!(draw(&shuffled, TimeAxis::Auto).unwrap(), once);
    }

    #[test]
    fn svg_is_whole_and_needs_no_font_of_its_own() {
        for drawing in draw(&results(), TimeAxis::Auto).unwrap() {
            assert!(drawing.svg.starts_with("<svg width="), "{}", drawing.file_name);
            assert!(drawing.svg.trim_end().ends_with("</svg>"), "{}", drawing.file_name);
            let fonts = drawing.svg.matches("font-family=").count();
            assert!(fonts > 10, "{}", drawing.file_name);
            assert_eq!(drawing.svg.matches("font-family=\"sans-serif\"").count(), fonts);
        }
    }

    #[test]
    fn one_figure_shows_one_network() {
        let results = results();
        let message = "one figure cannot show bus-2-udp-lan and hypercube-4-udp-lan: \
                       draw one for each network";
        let error = infection_curves(&results.runs, TimeAxis::Auto).unwrap_err();
        assert_eq!(error.to_string(), message);
        assert_eq!(load_bars(&results.summary).unwrap_err().to_string(), message);
    }

    #[test]
    fn nothing_is_not_drawn() {
        assert_eq!(infection_curves(&[], TimeAxis::Auto), Err(PlotError::NoRuns));
        assert_eq!(load_bars(&[]), Err(PlotError::NoRuns));
    }
}
