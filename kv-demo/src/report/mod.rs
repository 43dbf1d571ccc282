//! The results of an experiment: what is printed, what is written, and reading it back.
//!
//! `results.json` holds everything, `results.csv` one row per run for a spreadsheet, the table the
//! summary for a person. Files appear whole or not at all.

mod clocks;
mod csv;
mod delivery;
mod short;
pub(crate) mod table;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::config::Preset;
use crate::experiment::{Conditions, WorldPlan};
use crate::metrics::RunFigures;
use crate::summary::GroupSummary;
use crate::topology::Topology;

pub(crate) use short::{range, short};
pub(crate) use table::{STYLE, sections};

pub use crate::summary::summarise;
pub use clocks::{HostClock, offset_of, worst};

/// Everything that an experiment found out. Serialises under these names, in this order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// What holds for all runs.
    pub header: Header,
    /// The runs summed up by configuration, see [`summarise`].
    pub summary: Vec<GroupSummary>,
    /// The runs, in the order of the summary's groups and by repeat within a group.
    pub runs: Vec<RunFigures>,
}

/// What holds for all runs of an experiment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// Versions by name of program or library.
    pub versions: BTreeMap<String, String>,
    /// Where the knobs come from; `None` when runs differ.
    pub preset: Option<Preset>,
    /// Time between gossip ticks, in milliseconds; `None` when runs differ.
    pub interval_ms: Option<u64>,
    /// How long copies were counted, in milliseconds; `None` when runs differ.
    pub window_ms: Option<u64>,
    /// How long runs were watched, in milliseconds; `None` when runs differ.
    pub horizon_ms: Option<u64>,
    /// What replaced the preset's numbers, in the words of the command line; empty when runs differ.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overrides: Vec<String>,
    /// The load and the faults; `None` for one message without faults, and when runs differ.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conditions: Option<Conditions>,
    /// How clusters came up before they were measured; `None` when runs differ or do not say.
    pub barrier: Option<Barrier>,
    /// The simulated world; `None` for processes and when runs differ.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub world: Option<WorldPlan>,
    /// What this machine could do at best; empty when it was not measured.
    pub calibrate: Vec<Floor>,
    /// The hosts and their clocks, each as it was known worst; none if all nodes were on one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<HostClock>,
}

/// How the nodes of a run come up: until all see all, they gossip more eagerly about members than
/// the preset lets them. Then they take the preset's values, and only then is anything measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Barrier {
    /// Time between push/pulls until then, in milliseconds.
    pub push_pull_ms: u64,
    /// Factor of the retransmit limit of membership updates until then.
    pub retransmit_mult: u32,
    /// Time between the starts of two nodes, in milliseconds. Where ticks count from the start, it
    /// is their phase.
    pub spacing_ms: u64,
    /// The key is not written earlier than this after the first start, in milliseconds: where probes
    /// count from the start, it decides whether some fall into the window.
    #[serde(default)]
    pub warm_up_ms: u64,
}

/// The convergence time of a bare flood along a topology's links on this machine, without gossip:
/// no protocol can be faster here.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Floor {
    /// The graph.
    pub topology: Topology,
    /// See [`dim_of`](crate::topology::dim_of).
    pub dim: u32,
    /// How many nodes it has.
    pub nodes: u32,
    /// Median of the repeats, in milliseconds.
    pub median_ms: f64,
    /// How often it was measured.
    pub repeats: u32,
}

/// A file of results that cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The file was not written; an older one of that name is untouched.
    #[error(
        "{}: cannot be written ({reason}): name a file in a folder that this user may write to",
        path.display()
    )]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        reason: io::Error,
    },
    /// The file cannot be read.
    #[error(
        "{}: cannot be read ({reason}): name a results.json that this user may read",
        path.display()
    )]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        reason: io::Error,
    },
    /// The file holds something else.
    #[error(
        "{}: not the results of an experiment ({reason}): name a results.json of this version",
        path.display()
    )]
    NotResults {
        /// The file.
        path: PathBuf,
        /// The parser's words.
        reason: String,
    },
}

impl Results {
    /// Sums `runs` up and puts them in order.
    #[must_use]
    pub fn new(
        versions: BTreeMap<String, String>,
        calibrate: Vec<Floor>,
        mut runs: Vec<RunFigures>,
    ) -> Self {
        crate::summary::sort(&mut runs);
        let header = Header {
            versions,
            preset: common(runs.iter().map(|run| run.preset)),
            interval_ms: common(runs.iter().map(|run| run.interval_ms)),
            window_ms: common(runs.iter().map(|run| run.window_ms)),
            horizon_ms: common(runs.iter().map(|run| run.horizon_ms)),
            overrides: Vec::new(),
            conditions: None,
            barrier: None,
            world: None,
            calibrate,
            hosts: Vec::new(),
        };
        let mut summary = summarise(&runs);
        for group in &mut summary {
            let floors = header.calibrate.iter();
            let mut own = floors
                .filter(|floor| (floor.topology, floor.nodes) == (group.topology, group.nodes));
            if let Some(floor) = own.next() {
                group.delivery.compare(floor.median_ms);
            }
        }
        Self { header, summary, runs }
    }

    /// The summary as a table for a terminal of 100 columns, with what its columns mean and the
    /// floor below it. Ends with a newline.
    #[must_use]
    pub fn to_table(&self) -> String {
        table::render(self)
    }

    /// Everything as JSON: a line for the header, one per group, one per run, so that two files can
    /// be compared line by line.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut out = format!("{{\n\"header\": {},\n\"summary\": [", json(&self.header));
        out.push_str(&json_lines(&self.summary));
        out.push_str("],\n\"runs\": [");
        out.push_str(&json_lines(&self.runs));
        out.push_str("]\n}\n");
        out
    }

    /// One row per run under a row of names; figures that a run does not have are empty.
    ///
    /// The columns are the fields of [`RunFigures`], except for `receipts_ms`, which only the JSON
    /// has room for.
    #[must_use]
    pub fn to_csv(&self) -> String {
        csv::render(&self.runs)
    }

    /// Reads results back from JSON.
    ///
    /// # Errors
    ///
    /// [`ReportError::Unreadable`] or [`ReportError::NotResults`].
    pub fn read(path: &Path) -> Result<Self, ReportError> {
        let text = fs::read_to_string(path)
            .map_err(|reason| ReportError::Unreadable { path: path.to_owned(), reason })?;
        serde_json::from_str(&text).map_err(|error| ReportError::NotResults {
            path: path.to_owned(),
            reason: error.to_string(),
        })
    }
}

/// Writes `text` to `path` so that a reader finds the old file or the whole new one, never a part:
/// into a neighbour first, which is then renamed.
///
/// # Errors
///
/// [`ReportError::Unwritable`].
pub fn write_file(path: &Path, text: &str) -> Result<(), ReportError> {
    // The process id keeps two experiments that write into one folder apart.
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let neighbor = path.with_file_name(name);
    let write = || {
        let mut file = File::create(&neighbor)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&neighbor, path)
    };
    write().map_err(|reason| {
        // Nothing more can be done about a neighbour that stays.
        let _ = fs::remove_file(&neighbor);
        ReportError::Unwritable { path: path.to_owned(), reason }
    })
}

/// The value that all have; `None` when they differ or there are none.
pub(crate) fn common<T: PartialEq>(mut values: impl Iterator<Item = T>) -> Option<T> {
    let first = values.next()?;
    values.all(|value| value == first).then_some(first)
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("figures have no keys that JSON cannot hold")
}

fn json_lines(values: &[impl Serialize]) -> String {
    let lines: Vec<String> = values.iter().map(|value| format!("\n{}", json(value))).collect();
    lines.join(",")
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::config::Mode;
    use crate::metrics::{Delivery, Overlay, Runtime, rounded};

    #[test]
    fn results_read_back_as_they_were_written() {
        let path = temporary("round-trip.json");
        let results = results();
        write_file(&path, &results.to_json()).unwrap();
        let read = Results::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        assert_eq!(read, results);
    }

    #[test]
    fn json_has_a_line_per_group_and_per_run_in_a_fixed_order() {
        let json = results().to_json();
        let starts: Vec<&str> = json.lines().map(|line| &line[..line.len().min(12)]).collect();
        assert_eq!(starts[0], "{");
        assert_eq!(starts[1], "\"header\": {\"");
        assert_eq!(starts[2], "\"summary\": [");
        assert_eq!(starts[3], "{\"topology\":");
        assert_eq!(json.lines().count(), 5 + results().summary.len() + results().runs.len());
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(value["header"]["window_ms"], 4_000);
        assert_eq!(value["summary"].as_array().unwrap().len(), results().summary.len());
    }

    #[test]
    fn empty_results_are_still_results() {
        let empty = Results::new(BTreeMap::new(), vec![], vec![]);
        assert_eq!(serde_json::from_str::<Results>(&empty.to_json()).unwrap(), empty);
        assert_eq!(empty.header.window_ms, None);
    }

    #[test]
    fn the_header_has_what_all_runs_share() {
        let mut runs = results().runs;
        runs[0].window_ms = 9;
        let header = Results::new(BTreeMap::new(), vec![], runs).header;
        assert_eq!(header.window_ms, None);
        assert_eq!(header.horizon_ms, Some(20_000));
        assert_eq!(header.preset, Some(Preset::Lan));
    }

    #[test]
    fn the_order_of_runs_does_not_matter() {
        let backwards = results().runs.into_iter().rev().collect();
        let again = Results::new(results().header.versions, results().header.calibrate, backwards);
        assert_eq!(again.to_json(), results().to_json());
    }

    #[test]
    fn writing_replaces_a_file_whole_and_leaves_nothing_beside_it() {
        let folder = temporary("atomic");
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("results.csv");
        write_file(&path, "old, and longer than the new one").unwrap();
        write_file(&path, "new").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_failed_write_leaves_the_old_file_and_nothing_else() {
        // A folder cannot be replaced by a file, so the rename fails after everything was written.
        let folder = temporary("occupied");
        let occupied = folder.join("results.json");
        fs::create_dir_all(&occupied).unwrap();
        let error = write_file(&occupied, "new").unwrap_err().to_string();
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
        fs::remove_dir_all(&folder).unwrap();
        assert!(error.starts_with(&format!("{}: cannot be written (", occupied.display())));
        assert_eq!(error.lines().count(), 1);
    }

    #[test]
    fn a_file_that_is_not_there_or_something_else_is_told_in_one_line() {
        let path = temporary("other.json");
        let missing = Results::read(&path).unwrap_err().to_string();
        fs::write(&path, "{\"runs\": 3}").unwrap();
        let other = Results::read(&path).unwrap_err().to_string();
        fs::remove_file(&path).unwrap();
        assert!(missing.contains(": cannot be read ("), "{missing}");
        assert!(other.contains(": not the results of an experiment (invalid type"), "{other}");
        assert_eq!((missing.lines().count(), other.lines().count()), (1, 1));
    }

    /// An experiment of two topologies, four modes and three repeats.
    pub(crate) fn results() -> Results {
        let mut runs = Vec::new();
        for (topology, dim) in [(Topology::Bus, 2), (Topology::Hypercube, 4)] {
            for mode in Mode::ALL {
                for repeat in 0..3 {
                    runs.push(run(topology, dim, mode, repeat));
                }
            }
        }
        let versions = BTreeMap::from([("kv-demo".to_owned(), "0.1.0".to_owned())]);
        let floor = Floor {
            topology: Topology::Hypercube,
            dim: 4,
            nodes: 16,
            median_ms: 0.42,
            repeats: 20,
        };
        Results::new(versions, vec![floor], runs)
    }

    /// Figures in the proportions that the modes really have.
    pub(crate) fn run(topology: Topology, dim: u32, mode: Mode, repeat: u32) -> RunFigures {
        let nodes = 1_u32 << dim;
        let (step_us, copies, immediate) = match mode {
            Mode::ThesisClassic => (70_000, 11_392, 0),
            Mode::ThesisMatching => (90_000, 320, 0),
            Mode::Classic => (80_000, 291, 0),
            Mode::Matching => (100, 0, u64::from(nodes) + 3),
        };
        let receipts_ms: Vec<f64> =
            (1..nodes).map(|node| f64::from(step_us * (4 * node + repeat) / 4) / 1_000.0).collect();
        RunFigures {
            topology,
            dim,
            nodes,
            mode,
            overlay: Overlay::of(mode),
            repeat,
            runtime: Runtime::Udp,
            preset: Preset::Lan,
            convergence_rate: 1.0,
            convergence_ms: receipts_ms.last().copied(),
            tick_copies_until_convergence: Some(copies / 4),
            tick_copies_in_window: copies,
            immediate_copies: Some(immediate),
            piggybacked_copies: Some(u64::from(repeat)),
            datagrams_in_window: Some(copies / 2 + immediate),
            bytes_in_window: Some(copies * 60 + immediate * 90),
            rmr: Some(rounded((copies + immediate) as f64 / f64::from(nodes - 1) - 1.0)),
            last_delivery_hop: Some(dim),
            infected_per_epoch: vec![1, nodes - 1],
            immediate_copies_until_convergence: Some(immediate),
            piggybacked_copies_until_convergence: Some(0),
            copies_until_convergence: Some(copies / 4 + immediate),
            delivery: Delivery {
                live: nodes,
                reliability: 1.0,
                t50_ms: Some(receipts_ms[(nodes as usize / 2).saturating_sub(2)]),
                t99_ms: receipts_ms.last().copied(),
                t_full_ms: receipts_ms.last().copied(),
                repair_copies: Some(0),
                out_degree_max: Some(copies / 8 + 4),
                control_messages: Some(12.0),
                control_bytes: Some(480.0),
                flaps: Some(0.5),
                parts: (!mode.is_classic()).then_some(1),
                ..Delivery::default()
            },
            interval_ms: 200,
            window_ms: 4_000,
            horizon_ms: 20_000,
            receipts_ms,
            error: None,
        }
    }

    fn temporary(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("rumormill-report-{}-{name}", std::process::id()))
    }
}
