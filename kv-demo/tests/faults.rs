//! Experiments with several messages, deaths, churn and lost datagrams.

#![allow(clippy::unwrap_used, reason = "this is test code")]

mod common;

use std::path::Path;
use std::process::Command;

use common::{Dir, binary, refusal};
use serde_json::Value;

/// Nothing but the topology's links.
const LINKS_ALONE: [&str; 4] = ["--repair", "off", "--floor", "off"];

fn results(command: &mut Command) -> Value {
    let output = command.args(["--format", "json"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A simulated experiment in mode matching with 10 ms on each link, a second of window and two of
/// horizon.
fn simulated(out: &Path, flags: &[&str]) -> Command {
    let mut command = binary();
    command.args([
        "experiment",
        "--runtime",
        "sim",
        "--delay",
        "uniform:10",
        "--modes",
        "matching",
    ]);
    command.args(["--repeat", "1", "--window", "1s", "--horizon", "2s"]);
    command.args(flags).arg("--out").arg(out);
    command
}

/// An experiment of six processes on a bus, in mode matching.
fn processes(out: &Path, flags: &[&str]) -> Command {
    let mut command = binary();
    command.args(["experiment", "--topology", "bus", "--nodes", "6", "--modes", "matching"]);
    command.args(["--repeat", "1", "--interval", "50ms", "--window", "300ms", "--horizon", "1s"]);
    command.args(["--spacing", "2ms", "--calibrate-rounds", "0"]);
    command.args(flags).arg("--out").arg(out);
    command
}

fn rows(object: &Value) -> &[Value] {
    object["runs"].as_array().unwrap()
}

#[test]
fn several_messages_have_a_row_each_and_what_warmed_up_has_none() {
    let dir = Dir::new("messages");
    let flags = ["--topology", "ring", "--dim", "3", "--warm", "3", "--messages", "4"];
    let object = results(&mut simulated(dir.path(), &flags));
    let rows = rows(&object);
    let numbers: Vec<u64> = rows.iter().map(|row| row["message"].as_u64().unwrap()).collect();
    assert_eq!(numbers, [0, 1, 2, 3]);
    for row in rows {
        assert_eq!(row["reliability"], 1.0, "{row}");
        assert_eq!((&row["t50_ms"], &row["t_full_ms"]), (&20.0.into(), &40.0.into()), "{row}");
        assert_eq!((&row["parts"], &row["live"]), (&1.into(), &8.into()), "{row}");
        assert!(row["unreached"].is_null(), "{row}");
    }
    let group = &object["summary"][0];
    assert_eq!((&group["repeats"], &group["messages"]), (&1.into(), &4.into()), "{group}");
    assert_eq!((&group["floor_ms"], &group["stretch"]), (&40.0.into(), &1.0.into()), "{group}");
    assert_eq!(group["atomic_rate"], 1.0, "{group}");
    for field in ["rmr_last_decile", "t99_ms", "control_messages", "control_bytes", "flaps"] {
        assert!(group[field].is_f64(), "{field}: {group}");
    }
    assert_eq!(object["header"]["conditions"]["warm"], 3);
    let csv = std::fs::read_to_string(dir.path().join("results.csv")).unwrap();
    assert_eq!(csv.lines().count(), 5, "{csv}");
}

#[test]
fn messages_at_a_rate_do_not_wait_for_each_other() {
    let dir = Dir::new("rate");
    // On a bus of 16 a message takes 150 ms: fifteen are under way at once.
    let flags = ["--topology", "bus", "--dim", "4", "--rate", "100", "--messages", "30"];
    let object = results(&mut simulated(dir.path(), &flags));
    assert_eq!(rows(&object).len(), 30);
    assert!(rows(&object).iter().all(|row| row["t_full_ms"] == 150.0), "{object}");
    let creations: Vec<u64> =
        std::fs::read_to_string(dir.path().join("runs/bus-4-matching-0/Node1.log"))
            .unwrap()
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap())
            .filter(|event| event["ev"] == "create")
            .map(|event| event["t"].as_u64().unwrap())
            .collect();
    assert!(creations.windows(2).all(|pair| pair[1] - pair[0] == 10_000_000), "{creations:?}");
}

#[test]
fn a_cut_that_floor_and_repair_bridge_is_named_too() {
    let dir = Dir::new("bridged");
    let flags = ["--topology", "bus", "--dim", "3", "--kill", "cut"];
    let object = results(&mut simulated(dir.path(), &flags));
    let row = &rows(&object)[0];
    assert_eq!((&row["reliability"], &row["parts"]), (&1.0.into(), &2.into()), "{row}");
    assert!(row["unreached"].is_null(), "{row}");
    let bridged = row["bridged"].as_str().unwrap();
    assert!(bridged.starts_with("of 2 parts, cut off: Node"), "{bridged}");
    assert!(!bridged.contains("Node1."), "the writer's part is not cut off: {bridged}");
    let table = binary().arg("report").arg(dir.path()).output().unwrap();
    let table = String::from_utf8(table.stdout).unwrap();
    let told = format!(
        "The list has fallen apart, and floor or repair reached all: bus of 8 matching, repeat 0, message 0: {bridged};"
    );
    assert!(table.contains(&told), "{table}");
}

#[test]
fn a_cut_vertex_of_a_bus_cuts_off_what_is_behind_it_and_the_report_names_it() {
    let dir = Dir::new("cut");
    let flags = ["--topology", "bus", "--dim", "3", "--kill", "cut"];
    // Links alone: repair asks anybody, and the floor leads around.
    let object = results(simulated(dir.path(), &flags).args(LINKS_ALONE));
    let row = &rows(&object)[0];
    assert_eq!((&row["live"], &row["parts"]), (&7.into(), &2.into()), "{row}");
    let run: Value = serde_json::from_str(
        &std::fs::read_to_string(dir.path().join("runs/bus-3-matching-0/run.json")).unwrap(),
    )
    .unwrap();
    let dead = run["outages"][0]["node"].as_u64().unwrap();
    assert!((2..8).contains(&dead), "neither the first nor the last: {dead}");
    assert!(run["outages"][0]["until_ns"].is_null());
    let (first, count) = (dead + 1, 8 - dead);
    let unreached = row["unreached"].as_str().unwrap();
    let part = if count == 1 { format!("Node{first}") } else { format!("Node{first}..Node8") };
    assert_eq!(unreached, format!("of 2 parts, cut off: {part} ({count})"));
    let reliability = (dead - 1) as f64 / 7.0;
    assert!((row["reliability"].as_f64().unwrap() - reliability).abs() < 1e-5, "{row}");
    let table = binary().arg("report").arg(dir.path()).output().unwrap();
    let table = String::from_utf8(table.stdout).unwrap();
    assert!(table.contains("Load and faults: --kill cut."), "{table}");
    assert!(table.contains(&format!("of 2 parts, cut off: {part} ({count}).")), "{table}");
}

#[test]
fn repair_or_the_floor_reaches_what_a_cut_leaves_alone() {
    for without in ["--repair", "--floor"] {
        let dir = Dir::new("uncut");
        let flags = ["--topology", "bus", "--dim", "3", "--kill", "cut", "--warm", "3"];
        let object = results(simulated(dir.path(), &flags).args([without, "off"]));
        let row = &rows(&object)[0];
        let found = (&row["parts"], &row["reliability"]);
        assert_eq!(found, (&2.into(), &1.0.into()), "{without}: {row}");
    }
}

#[test]
fn the_dead_do_not_count_where_a_way_leads_around_them() {
    let dir = Dir::new("kill");
    // A full graph of ten: whoever lives is a neighbour of the first.
    let flags = ["--topology", "full", "--nodes", "10", "--kill", "40%"];
    let object = results(&mut simulated(dir.path(), &flags));
    let row = &rows(&object)[0];
    assert_eq!((&row["live"], &row["reliability"]), (&6.into(), &1.0.into()), "{row}");
    assert_eq!(row["convergence_rate"], 0.6, "{row}");
    assert_eq!(row["t_full_ms"], 10.0, "{row}");
    assert!(row["error"].is_null(), "{row}");
}

#[test]
fn every_mode_faces_the_same_deaths_and_the_same_seed_gives_the_same_bytes() {
    let json = |name| {
        let dir = Dir::new(name);
        let mut command = binary();
        command.args(["experiment", "--runtime", "sim", "--topology", "random-regular:3,ring"]);
        command.args(["--nodes", "10", "--kill", "3", "--loss", "5%", "--churn", "100%/min"]);
        command.args(["--rate", "5", "--messages", "20", "--warm", "2", "--repeat", "2"]);
        command.args(["--horizon", "2s", "--format", "json", "--out"]).arg(dir.path());
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let dead = |run: &str| {
            let file = dir.path().join("runs").join(run).join("run.json");
            let run: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
            let killed = run["outages"].as_array().unwrap().clone();
            let killed = killed.into_iter().filter(|outage| outage["until_ns"].is_null());
            killed.map(|outage| outage["node"].clone()).collect::<Vec<Value>>()
        };
        assert_eq!(dead("ring-n10-matching-1"), dead("ring-n10-classic-1"));
        assert_eq!(dead("ring-n10-matching-1").len(), 3);
        assert_ne!(dead("ring-n10-matching-0"), dead("ring-n10-matching-1"));
        output.stdout
    };
    assert!(json("fault-bytes") == json("fault-bytes-again"), "the same seed gave other bytes");
}

#[test]
fn who_churns_comes_back_and_gets_what_is_written_then() {
    let dir = Dir::new("churn");
    // One death a second among ten, each five seconds long, for twelve seconds.
    let flags = ["--topology", "full", "--nodes", "10", "--preset", "lan", "--churn", "100%/min"];
    let load = ["--rate", "1", "--messages", "20"];
    let object = results(simulated(dir.path(), &flags).args(load));
    let rows = rows(&object);
    assert_eq!(rows.len(), 20);
    assert!(rows.iter().any(|row| row["live"].as_u64().unwrap() < 10), "somebody was down");
    let run: Value = serde_json::from_str(
        &std::fs::read_to_string(dir.path().join("runs/full-n10-matching-0/run.json")).unwrap(),
    )
    .unwrap();
    let outages = run["outages"].as_array().unwrap();
    assert!(outages.len() >= 2 && outages.iter().all(|outage| outage["until_ns"].is_u64()));
    let back = outages[0]["node"].as_u64().unwrap();
    let until = outages[0]["until_ns"].as_u64().unwrap();
    let trace = dir.path().join(format!("runs/full-n10-matching-0/Node{back}.log"));
    let late = std::fs::read_to_string(trace)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|event| event["ev"] == "recv" && event["t"].as_u64().unwrap() > until)
        .count();
    assert!(late > 0, "Node{back} received nothing in its second life");
}

#[test]
fn processes_are_killed_and_spread_several_messages() {
    let dir = Dir::new("kill-processes");
    let flags = ["--kill", "cut", "--seed", "3", "--warm", "2", "--messages", "2"];
    let object = results(processes(dir.path(), &flags).args(LINKS_ALONE));
    let rows = rows(&object);
    assert_eq!(rows.len(), 2);
    for row in rows {
        assert_eq!((&row["live"], &row["parts"]), (&5.into(), &2.into()), "{row}");
        assert!(row["unreached"].as_str().unwrap().contains("cut off: Node"), "{row}");
        assert!(row["reliability"].as_f64().unwrap() < 1.0, "{row}");
        assert!(row["error"].is_null(), "{row}");
    }
}

#[test]
fn processes_take_messages_at_a_rate() {
    let dir = Dir::new("rate-processes");
    let flags = ["--rate", "50", "--messages", "20", "--warm", "5"];
    let object = results(&mut processes(dir.path(), &flags));
    let rows = rows(&object);
    assert_eq!(rows.len(), 20);
    assert!(rows.iter().all(|row| row["reliability"] == 1.0), "{object}");
    assert!(object["summary"][0]["flaps"].is_f64());
}

#[test]
fn what_cannot_be_is_refused_in_one_line() {
    let experiment = |flags: &[&str]| refusal(binary().arg("experiment").args(flags));
    let cases: [(&[&str], &str); 5] = [
        (&["--churn", "50%/min"], "--churn is for virtual time only"),
        (&["--loss", "5%"], "--loss is for virtual time only"),
        (&["--kill", "100%"], "leaves nobody to receive: kill 14 at most"),
        (&["--topology", "full", "--nodes", "9", "--kill", "cut"], "no one or two deaths part"),
        (&["--trace-format", "thesis", "--messages", "2"], "tells one message only"),
    ];
    for (flags, expected) in cases {
        let text = experiment(flags);
        assert!(text.contains(expected) && text.lines().count() == 1, "{text}");
    }
    for (flag, value) in [("--kill", "half"), ("--rate", "0"), ("--churn", "0%"), ("--warm", "-1")]
    {
        let output = binary().args(["experiment", flag, value]).output().unwrap();
        assert!(!output.status.success(), "{flag} {value}");
    }
}
