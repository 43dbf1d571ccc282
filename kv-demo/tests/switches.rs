//! Which modes obey which switches: what is refused where no mode obeys changes nothing there, and what is
//! let through changes something.

#![allow(clippy::unwrap_used, reason = "this is test code")]

mod common;

use common::{Dir, binary, refusal};
use serde_json::Value;

const MODES: [&str; 4] = ["thesis-classic", "thesis-matching", "classic", "matching"];

/// A switch, what it may say, and who obeys it, by the order of [`MODES`].
const SWITCHES: [(&str, &[&str], [bool; 4]); 7] = [
    ("--retransmit", &["2"], [true, true, true, false]),
    ("--piggyback", &["off"], [true, true, true, false]),
    // Modes differ in what they do without it.
    ("--dedup", &["on", "off"], [true, true, true, false]),
    ("--immediate", &["off"], [false, false, false, true]),
    ("--prune", &["off"], [false, false, false, true]),
    ("--repair", &["off"], [false, false, false, true]),
    ("--floor", &["off"], [false, false, false, true]),
];

#[test]
fn a_mode_that_does_not_obey_a_switch_runs_as_without_it() {
    let without = figures(&[]);
    for (switch, words, obeys) in SWITCHES {
        let with: Vec<_> = words.iter().map(|word| figures(&[switch, word])).collect();
        for (index, obeys) in obeys.into_iter().enumerate() {
            let is_changed = with.iter().any(|with| with[index] != without[index]);
            assert_eq!(is_changed, obeys, "{switch} in mode {}", MODES[index]);
        }
    }
}

#[test]
fn matching_without_trees_repeats_rumours_as_it_is_told() {
    let without = figures(&["--prune", "off"]);
    for switch in [["--retransmit", "2"], ["--piggyback", "off"]] {
        let with = figures(&[&["--prune", "off"], &switch[..]].concat());
        assert_ne!(with[3], without[3], "{switch:?}");
    }
}

#[test]
fn a_mode_that_does_not_obey_a_switch_does_not_take_it_alone() {
    for (switch, words, obeys) in SWITCHES {
        for (mode, _) in MODES.into_iter().zip(obeys).filter(|(_, obeys)| !obeys) {
            let command = ["experiment", "--modes", mode, switch, words[0]];
            let text = refusal(binary().args(command));
            assert!(text.contains(&format!("{switch} is for mode")), "{text}");
        }
    }
}

#[test]
fn modes_without_trees_are_not_warmed_up_alone() {
    for mode in &MODES[..3] {
        let text = refusal(binary().args(["experiment", "--modes", mode, "--warm", "3"]));
        assert!(text.contains("--warm is for mode matching"), "{text}");
    }
}

/// What comes of small runs in all modes: the rows of each.
fn figures(switch: &[&str]) -> [Vec<Value>; 4] {
    let dir = Dir::new("switch");
    let mut command = binary();
    command.args(["experiment", "--runtime", "sim", "--preset", "lan", "--delay", "uniform:10"]);
    command.args(["--topology", "random-regular:4", "--nodes", "12", "--repeat", "1"]);
    command.args(["--warm", "3", "--messages", "3", "--window", "3s", "--horizon", "3s"]);
    command.args(switch).args(["--format", "json", "--out"]).arg(dir.path());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let results: Value = serde_json::from_slice(&output.stdout).unwrap();
    let rows = results["runs"].as_array().unwrap();
    MODES.map(|mode| {
        let rows: Vec<Value> = rows.iter().filter(|row| row["mode"] == mode).cloned().collect();
        assert_eq!(rows.len(), 3, "{mode}");
        rows
    })
}
