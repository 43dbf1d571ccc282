//! What a child process of an experiment is to do, and the command line that says so to it.
//!
//! The plan is typed and holds no path, no program and no free text: whoever starts the process,
//! the coordinator on its own host or an agent on another, makes the command line from it.

use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::config::{Mode, Overrides, Preset};
use crate::topology::door_ip;
use crate::trace::TraceFormat;

/// One child's part in an experiment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Job {
    /// Its number in the topology, from 1: it is called `Node1`, `Node2`, …
    pub number: u32,
    /// What it does.
    pub task: Task,
}

/// What a child does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Task {
    /// It is a node of the store.
    Node {
        /// How it spreads rumours.
        mode: Mode,
        /// Where its numbers come from.
        preset: Preset,
        /// What replaces them, as far as flags can say it.
        overrides: Overrides,
        /// How it writes its trace.
        trace_format: TraceFormat,
    },
    /// It floods bare datagrams: calibration.
    Flood,
}

impl Job {
    /// What the child is called in traces and errors.
    #[must_use]
    pub fn name(&self) -> String {
        node_name(self.number)
    }

    /// Its arguments. It binds `bind`, and its files go to `dir`.
    #[must_use]
    pub fn arguments(&self, bind: IpAddr, dir: &Path) -> Vec<OsString> {
        match self.task {
            Task::Flood => words(&["flood", "--bind", &bind.to_string()]),
            Task::Node { mode, preset, overrides, trace_format } => {
                let mut arguments = words(&[
                    "node",
                    "--control",
                    "--trace-name",
                    &self.name(),
                    "--bind",
                    &SocketAddr::new(bind, 0).to_string(),
                    "--http",
                    &SocketAddr::new(door_ip(bind), 0).to_string(),
                    "--mode",
                    mode.name(),
                    "--profile",
                    preset.name(),
                    "--trace-format",
                    trace_format.name(),
                    "--trace",
                ]);
                arguments.push(trace_path(dir, self.number).into());
                // What is for other modes of the experiment, a node of this one refuses.
                let words = overrides.obeyed_by(mode).words();
                arguments.extend(words.into_iter().map(OsString::from));
                arguments
            }
        }
    }
}

/// Where the trace of a node lies in a folder of traces.
#[must_use]
pub fn trace_path(dir: &Path, number: u32) -> PathBuf {
    dir.join(format!("{}.log", node_name(number)))
}

pub(crate) fn node_name(number: u32) -> String {
    format!("Node{number}")
}

fn words(words: &[&str]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_gossips_on_its_hosts_address_and_opens_its_door_on_loopback() {
        let overrides = Overrides { gossip_interval_ms: Some(100), ..Overrides::default() };
        let (mode, preset) = (Mode::Classic, Preset::Lan);
        let task = Task::Node { mode, preset, overrides, trace_format: TraceFormat::Thesis };
        let job = Job { number: 3, task };
        let arguments = job.arguments("192.0.2.1".parse().unwrap(), Path::new("there"));
        assert_eq!(
            arguments.join(std::ffi::OsStr::new(" ")).to_string_lossy().replace('\\', "/"),
            "node --control --trace-name Node3 --bind 192.0.2.1:0 --http 127.0.0.1:0 --mode classic \
             --profile lan --trace-format thesis --trace there/Node3.log --interval 100ms"
        );
    }

    #[test]
    fn a_node_is_told_what_its_mode_obeys() {
        let overrides = Overrides { fanout: Some(2), prune: Some(false), ..Overrides::default() };
        let told = |mode| {
            let (preset, trace_format) = (Preset::Lan, TraceFormat::Json);
            let job = Job { number: 1, task: Task::Node { mode, preset, overrides, trace_format } };
            let arguments = job.arguments(IpAddr::from([127, 0, 0, 1]), Path::new("there"));
            arguments[arguments.iter().position(|word| word == "--fanout").unwrap()..].to_vec()
        };
        assert_eq!(told(Mode::Classic), words(&["--fanout", "2"]));
        assert_eq!(told(Mode::Matching), words(&["--fanout", "2", "--prune", "off"]));
    }

    #[test]
    fn a_flood_binds_its_hosts_address_too() {
        let job = Job { number: 1, task: Task::Flood };
        let arguments = job.arguments("2001:db8::1".parse().unwrap(), Path::new("unused"));
        assert_eq!(arguments, words(&["flood", "--bind", "2001:db8::1"]));
    }
}
