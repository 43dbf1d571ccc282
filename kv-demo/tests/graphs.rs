//! Experiments on graphs of other kinds and sizes than the original's.

#![allow(clippy::unwrap_used, reason = "this is test code")]

mod common;

use std::path::Path;

use common::{Dir, binary, refusal};
use serde_json::Value;

/// The results of a simulated experiment with a delay of 10 ms on each link.
fn simulated(out: &Path, flags: &[&str]) -> Value {
    let mut command = binary();
    command.args(["experiment", "--runtime", "sim", "--delay", "uniform:10", "--format", "json"]);
    command.args(["--modes", "matching", "--repeat", "1"]).args(flags).arg("--out").arg(out);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn any_graph_reaches_everybody_at_its_own_floor() {
    let dir = Dir::new("graphs");
    let all = "bus,ring,full,geometric,random-regular,random-regular:3";
    let object = simulated(dir.path(), &["--topology", all, "--nodes", "12"]);
    let runs = object["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 6);
    for run in runs {
        assert_eq!((&run["nodes"], &run["dim"]), (&12.into(), &4.into()), "{run}");
        assert_eq!(run["convergence_rate"], 1.0, "{run}");
        let floor = object["header"]["calibrate"]
            .as_array()
            .unwrap()
            .iter()
            .find(|floor| floor["topology"] == run["topology"])
            .unwrap();
        assert_eq!(run["convergence_ms"], floor["median_ms"], "{run}");
    }
    assert_eq!(runs[0]["convergence_ms"], 110.0, "a bus of twelve");
    assert!(runs.iter().any(|run| run["topology"] == "random-regular:5"));
    let files = std::fs::read_dir(dir.path().join("graphs")).unwrap().count();
    assert_eq!(files, 3, "what was drawn is kept");
}

#[test]
fn a_graph_from_a_file_is_run_reported_and_replayed() {
    let dir = Dir::new("file-graph");
    let links = dir.file("a star.txt", "# a hub and its ends\nhub a\nhub b\nhub c\nc d\n");
    let out = dir.path().join("out");
    let source = format!("file:{}", links.display());
    let before = simulated(&out, &["--topology", &source]);
    let run = &before["runs"][0];
    assert_eq!((&run["topology"], &run["nodes"]), (&"file:a-star".into(), &5.into()), "{run}");
    assert_eq!(run["convergence_ms"], 20.0, "two links from the hub");
    // The report needs the file no more.
    std::fs::remove_file(&links).unwrap();
    let output = binary().arg("report").arg(&out).args(["--format", "json"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(serde_json::from_slice::<Value>(&output.stdout).unwrap(), before);
}

#[test]
fn processes_take_the_links_of_a_drawn_graph() {
    let dir = Dir::new("drawn-processes");
    let mut command = binary();
    command.args(["experiment", "--topology", "random-regular:3", "--nodes", "6", "--seed", "4"]);
    command.args(["--modes", "matching", "--repeat", "1", "--interval", "100ms", "--window", "1s"]);
    command.args(["--spacing", "2ms", "--calibrate-rounds", "3", "--format", "json", "--out"]);
    let output = command.arg(dir.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let object: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(object["runs"][0]["convergence_rate"], 1.0);
    assert_eq!(object["header"]["calibrate"][0]["nodes"], 6);
}

#[test]
fn what_makes_no_graph_is_refused_in_a_line_that_names_the_fix() {
    let dir = Dir::new("bad-graph");
    let bad = dir.file("bad.txt", "a b\nb\n");
    let bad = format!("file:{}", bad.display());
    for (flags, expected) in [
        (vec!["--topology", &bad], "bad.txt:2: not two names but 1: write two nodes per line"),
        (vec!["--topology", "file:/nonexistent"], "/nonexistent: cannot be read"),
        (vec!["--topology", "hypercube", "--nodes", "12"], "use a power of two"),
        (vec!["--topology", "random-regular:3", "--nodes", "7"], "one of the two even"),
        (vec!["--topology", "full", "--nodes", "66"], "64 are the most"),
        (vec!["--topology", "bus", "--nodes", "1"], "use 2 to 65536"),
    ] {
        let text = refusal(binary().arg("experiment").args(flags));
        assert!(text.contains(expected), "{text}");
        assert_eq!(text.lines().count(), 1, "{text}");
    }
    let star = binary().args(["experiment", "--topology", "star"]).output().unwrap();
    assert!(String::from_utf8_lossy(&star.stderr).contains("use bus, ring, hypercube, random-re"));
    let text = refusal(binary().args(["topology", "ring"]));
    assert!(text.contains("--dim D") && text.contains("--nodes N"), "{text}");
}

#[test]
fn a_topology_file_has_the_links_of_any_graph() {
    let text = |flags: &[&str]| {
        let output = binary().arg("topology").args(flags).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let ring = text(&["ring", "--nodes", "5"]);
    assert!(ring.starts_with("# A ring: 5 nodes.\n"), "{ring}");
    assert_eq!(ring.matches("[nodes.Node").count(), 5);
    assert!(ring.contains("neighbors = [\"127.0.0.1:30001\", \"127.0.0.1:30004\"]"), "{ring}");
    let drawn = |seed| text(&["random-regular", "--dim", "4", "--format", "ini", "--seed", seed]);
    assert_eq!(drawn("1"), drawn("1"));
    assert_ne!(drawn("1"), drawn("2"));
}
