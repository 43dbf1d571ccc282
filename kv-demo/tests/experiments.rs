//! Experiments as people run them: with processes, from the command line.

#![allow(clippy::unwrap_used, reason = "this is test code")]

mod common;

use std::path::Path;
use std::process::Stdio;

use common::{Dir, binary, signal_process, wait_for};
use kv_demo::report::Results;
use serde_json::Value;

/// A small and fast experiment with its own numbers.
fn small(out: &Path, arguments: &[&str]) -> std::process::Command {
    let mut command = binary();
    let out = out.to_str().unwrap();
    command.args(["experiment", "--out", out, "--interval", "100ms", "--window", "1s"]);
    command.args(["--spacing", "2ms", "--calibrate-rounds", "3"]).args(arguments);
    command.stdin(Stdio::null());
    command
}

/// Processes whose command line names this folder: the nodes of an experiment in it.
#[cfg(target_os = "linux")]
fn processes_in(dir: &Path) -> usize {
    let needle = dir.to_str().unwrap().as_bytes().to_vec();
    let own = std::process::id().to_string();
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter(|entry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        name.bytes().all(|byte| byte.is_ascii_digit()) && name != own
    });
    pids.filter(|entry| {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        line.windows(needle.len()).any(|window| window == needle)
    })
    .count()
}

#[test]
fn all_modes_reach_everybody_and_the_results_say_what_the_issue_promises() {
    let dir = Dir::new("modes");
    let output =
        small(dir.path(), &["--dim", "2", "--repeat", "1", "--format", "json"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let object: Value = serde_json::from_slice(&output.stdout).unwrap();
    let runs = object["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 4);
    for run in runs {
        for field in [
            "topology",
            "dim",
            "nodes",
            "mode",
            "overlay",
            "repeat",
            "runtime",
            "preset",
            "convergence_rate",
            "convergence_ms",
            "tick_copies_until_convergence",
            "tick_copies_in_window",
            "immediate_copies",
            "piggybacked_copies",
            "datagrams_in_window",
            "bytes_in_window",
            "rmr",
            "last_delivery_hop",
            "infected_per_epoch",
        ] {
            assert!(run.get(field).is_some_and(|value| !value.is_null()), "{field}: {run}");
        }
        assert_eq!(run["convergence_rate"], 1.0, "{run}");
        let infected: u64 =
            run["infected_per_epoch"].as_array().unwrap().iter().filter_map(Value::as_u64).sum();
        assert_eq!(infected, 4, "{run}");
    }
    for group in object["summary"].as_array().unwrap() {
        for field in ["mean", "trimmed_mean", "best_quartile_mean", "variance", "std", "ci95"] {
            assert!(group.get(field).is_some(), "{field}: {group}");
        }
    }
    assert_eq!(object["header"]["barrier"]["push_pull_ms"], 1_000);
    let matching = runs.iter().find(|run| run["mode"] == "matching").unwrap();
    assert_eq!(matching["overlay"], "static");
    assert_eq!(matching["immediate_copies"], 5, "N(d-1)+1 copies of a flood");
    let files: Vec<_> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    for name in ["results.json", "results.csv", "report.html"] {
        assert!(files.iter().any(|file| file == name), "{files:?}");
    }
    assert_eq!(files.iter().filter(|file| file.ends_with(".svg")).count(), 2, "{files:?}");
}

#[test]
fn a_folder_that_holds_an_experiment_is_not_overwritten() {
    let dir = Dir::new("occupied");
    let run = dir.path().join("runs/hypercube-3-classic-0");
    std::fs::create_dir_all(&run).unwrap();
    std::fs::write(run.join("run.json"), "{}").unwrap();
    let text = common::refusal(&mut small(dir.path(), &[]));
    assert!(text.contains("--out"), "{text}");
}

#[test]
fn a_report_from_the_traces_equals_the_results_of_the_experiment() {
    let dir = Dir::new("report");
    let status = small(dir.path(), &["--topology", "ring", "--dim", "2", "--repeat", "1"])
        .args(["--modes", "classic,matching"])
        .output()
        .unwrap()
        .status;
    assert!(status.success());
    let path = dir.path().join("results.json");
    let before = Results::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let table = binary().arg("report").arg(dir.path()).output().unwrap();
    assert!(String::from_utf8(table.stdout).unwrap().contains("\nring: 4 nodes"));
    assert_eq!(Results::read(&path).unwrap(), before);
}

#[test]
fn traces_of_the_thesis_form_give_the_times_and_the_tick_copies() {
    let dir = Dir::new("thesis");
    let output = small(dir.path(), &["--dim", "2", "--repeat", "1", "--format", "json"])
        .args(["--modes", "thesis-matching", "--trace-format", "thesis"])
        .output()
        .unwrap();
    let object: Value = serde_json::from_slice(&output.stdout).unwrap();
    let run = &object["runs"][0];
    assert_eq!(run["convergence_rate"], 1.0, "{run}");
    assert!(run["tick_copies_in_window"].as_u64().unwrap() > 0, "{run}");
    assert!(run["datagrams_in_window"].is_null(), "the original's log does not know: {run}");
    let page = std::fs::read_to_string(dir.path().join("report.html")).unwrap();
    let replay = replays(&page)[0]["runs"][0].clone();
    assert_eq!(replay["receipts"].as_array().unwrap().len(), 3 * 4, "three receivers: {replay}");
    assert_eq!(replay["receipts"][2], -1, "from whom is unknown: {replay}");
    assert_eq!(replay["flights"].as_array().unwrap().len(), 0, "{replay}");
}

/// What the page plays.
fn replays(page: &str) -> Value {
    let (_, rest) = page.split_once("id=\"data\">").unwrap();
    let data: Value = serde_json::from_str(rest.split_once("</script>").unwrap().0).unwrap();
    data["networks"].clone()
}

#[test]
fn the_page_is_written_where_it_is_wanted_and_named() {
    let dir = Dir::new("page");
    let output = small(dir.path(), &["--dim", "2", "--repeat", "1", "--modes", "classic,matching"])
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    let page = dir.path().join("report.html");
    assert!(said.contains(&format!("the page to look at is {}\n", page.display())), "{said}");
    let first = std::fs::read_to_string(&page).unwrap();
    let networks = replays(&first);
    for run in networks[0]["runs"].as_array().unwrap() {
        assert_eq!(run["receipts"].as_array().unwrap().len(), 3 * 4, "all are infected: {run}");
        let infecting =
            run["flights"].as_array().unwrap().chunks(6).filter(|flight| flight[5] != -1);
        assert_eq!(infecting.count(), 3, "a copy for each: {run}");
    }

    let other = dir.path().join("other.html");
    let mut report = binary();
    report.arg("report").arg(dir.path()).arg("--html").arg(&other).args(["--format", "json"]);
    let output = report.output().unwrap();
    assert!(serde_json::from_slice::<Value>(&output.stdout).is_ok(), "nothing but the results");
    assert!(String::from_utf8(output.stderr).unwrap().contains("other.html"));
    assert_eq!(std::fs::read_to_string(&other).unwrap(), first, "the same traces, the same page");
}

#[test]
#[cfg(target_os = "linux")]
fn a_page_that_cannot_be_opened_is_one_line_and_no_failure() {
    use std::os::unix::fs::PermissionsExt as _;

    let (dir, failing, working) = (Dir::new("open"), Dir::new("failing"), Dir::new("working"));
    // Written before the experiment: what was open for writing a moment ago may not be started yet
    // when another test forks meanwhile.
    for (place, script) in [
        (&failing, "#!/bin/sh\nexit 3\n"),
        (&working, "#!/bin/sh\necho \"$1\" > \"${0%/*}/opened\"\n"),
    ] {
        let opener = place.file("xdg-open", script);
        std::fs::set_permissions(&opener, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let mut experiment = small(dir.path(), &["--dim", "1", "--repeat", "1", "--modes", "matching"]);
    assert!(experiment.output().unwrap().status.success());
    let open = |path: &Path| {
        let mut report = binary();
        report.arg("report").arg(dir.path()).arg("--open").env("PATH", path);
        let output = report.output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };

    let said = open(Path::new("/nonexistent"));
    assert_eq!(said.lines().count(), 2, "{said}");
    assert!(said.contains("kv-demo: xdg-open cannot be started ("), "{said}");

    let said = open(failing.path());
    assert!(said.contains("kv-demo: xdg-open gave up ("), "{said}");
    assert!(said.contains("report.html in a browser"), "{said}");

    let said = open(working.path());
    assert_eq!(said.lines().count(), 1, "{said}");
    let opened = std::fs::read_to_string(working.path().join("opened")).unwrap();
    assert_eq!(Path::new(opened.trim_end()), dir.path().join("report.html"));
}

#[test]
#[cfg(target_os = "linux")]
fn an_interrupt_leaves_no_process_behind_and_keeps_what_is_finished() {
    let dir = Dir::new("interrupt");
    let mut experiment = small(dir.path(), &["--dim", "3", "--repeat", "50"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_for("a second run is under way", || {
        let runs = std::fs::read_dir(dir.path().join("runs")).ok()?.count();
        (runs >= 2 && processes_in(dir.path()) >= 8).then_some(())
    });
    signal_process(experiment.id(), "INT");
    let output = experiment.wait().unwrap();
    assert_eq!(output.code(), Some(130));
    assert_eq!(processes_in(dir.path()), 0);
    let report = binary().arg("report").arg(dir.path()).output().unwrap();
    assert!(report.status.success(), "{}", String::from_utf8_lossy(&report.stderr));
}

#[test]
#[cfg(target_os = "linux")]
fn a_killed_coordinator_takes_its_nodes_along() {
    let dir = Dir::new("orphans");
    let mut experiment =
        small(dir.path(), &["--dim", "3", "--repeat", "50"]).stderr(Stdio::null()).spawn().unwrap();
    wait_for("nodes run", || (processes_in(dir.path()) >= 8).then_some(()));
    experiment.kill().unwrap();
    experiment.wait().unwrap();
    wait_for("all nodes are gone", || (processes_in(dir.path()) == 0).then_some(()));
}

#[test]
fn calibration_prints_the_floor_of_this_machine() {
    let output = binary()
        .args(["experiment", "calibrate", "--topology", "ring", "--dim", "3", "--repeat", "5"])
        .args(["--format", "json"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let object: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(object["rounds"], 5, "{object}");
    assert!(object["median_ms"].as_f64().unwrap() > 0.0, "{object}");
}

#[test]
fn virtual_time_gives_the_same_bytes_for_the_same_seed_and_others_for_another() {
    let json = |name: &str, seed: &str| {
        let dir = Dir::new(name);
        let output = binary()
            .args(["experiment", "--runtime", "sim", "--dim", "3", "--repeat", "2"])
            .args(["--delay", "thesis", "--loss", "10%", "--seed", seed, "--format", "json"])
            .arg("--out")
            .arg(dir.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let first = json("seed-7", "7");
    assert!(first == json("seed-7-again", "7"), "the same seed gave other bytes");
    assert!(first != json("seed-8", "8"));
    let object: Value = serde_json::from_str(&first).unwrap();
    assert_eq!(object["header"]["world"]["seed"], 7);
    assert_eq!(object["runs"].as_array().unwrap().len(), 8);
    assert_eq!(object["runs"][0]["runtime"], "sim");
}

#[test]
fn an_interrupted_suite_goes_on_where_it_stopped_and_refuses_other_numbers() {
    let dir = Dir::new("resume");
    let suite = |flags: &[&str]| {
        let mut command = binary();
        command.args(["experiment", "--suite", "thesis", "--dim", "2", "--repeat", "2", "--out"]);
        command.arg(dir.path()).args(flags).output().unwrap()
    };
    let first = suite(&["--format", "json"]);
    assert!(first.status.success(), "{}", String::from_utf8_lossy(&first.stderr));
    let runs = dir.path().join("runs");
    // Half of the runs are missing, as after an interrupt.
    for entry in std::fs::read_dir(&runs).unwrap().step_by(2) {
        std::fs::remove_dir_all(entry.unwrap().path()).unwrap();
    }
    let again = suite(&["--format", "json"]);
    assert!(again.stdout == first.stdout, "a suite in two parts is another one");
    let other = suite(&["--seed", "5"]);
    assert!(!other.status.success());
    let error = String::from_utf8_lossy(&other.stderr);
    assert!(error.contains("holds a run with other numbers: name another --out"), "{error}");
}

#[test]
fn flags_of_one_place_are_refused_in_another() {
    let refusal = |flags: &[&str]| {
        let output = binary().arg("experiment").args(flags).output().unwrap();
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    for flags in [["--seed", "3"], ["--delay", "thesis"], ["--loss", "5%"]] {
        let error = refusal(&flags);
        assert_eq!(error.lines().count(), 1, "{error}");
        assert!(error.contains(flags[0]) && error.contains("--runtime sim"), "{error}");
    }
    let error = refusal(&["--runtime", "sim", "--hosts", "a=127.0.0.1,b=127.0.0.1"]);
    assert!(error.contains("--hosts is for processes"), "{error}");
    assert!(refusal(&["--dim", "0"]).contains("1..=16"));
    assert!(refusal(&["--repeat", "0"]).contains("0 is not in"));
    let error = refusal(&["--interval", "1ms", "--horizon", "86400s"]);
    assert!(error.contains("too many gossip intervals"), "{error}");
}

#[test]
fn a_report_leaves_out_what_was_not_finished_and_believes_figures_over_half_of_the_traces() {
    let dir = Dir::new("unfinished");
    let experiment = |flags: &[&str]| {
        let mut command = binary();
        command.args(["experiment", "--runtime", "sim", "--dim", "3", "--repeat", "2"]);
        command.arg("--out").arg(dir.path()).args(flags).output().unwrap()
    };
    assert!(experiment(&[]).status.success());
    let report = || binary().arg("report").arg(dir.path()).args(["--format", "json"]).output();
    let whole = report().unwrap().stdout;
    let run = |name: &str| dir.path().join("runs").join(name);
    // Killed while it removed the traces of a finished run.
    for number in 1..=4 {
        std::fs::remove_file(run("hypercube-3-classic-0").join(format!("Node{number}.log")))
            .unwrap();
    }
    assert!(report().unwrap().stdout == whole, "half of the traces count for more than figures");
    // Killed in the middle of a run.
    for entry in std::fs::read_dir(run("hypercube-3-matching-1")).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().is_some_and(|name| name != "run.json") {
            std::fs::remove_file(path).unwrap();
        }
    }
    let output = report().unwrap();
    assert!(output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("1 unfinished runs are left out"), "{said}");
    let object: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(object["runs"].as_array().unwrap().len(), 7);
    let again = experiment(&["--resume", "--format", "json"]);
    assert!(again.stdout == whole, "what was missing is run again, and nothing else changed");
    let refused = experiment(&[]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("go on with it by --resume"));
}

#[test]
fn epidemics_are_studied_without_processes_and_the_exit_code_judges_them() {
    let dir = Dir::new("epidemic");
    let study = |arguments: &[&str]| {
        let mut command = binary();
        command.args(["experiment", "epidemic"]).args(arguments).output().unwrap()
    };
    let out = dir.path().join("out");
    let flags = ["--k", "1,2", "--interest", "feedback", "--runs", "300", "--format", "json"];
    let told = study(&[&flags[..], &["--out", out.to_str().unwrap()]].concat());
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    let object: Value = serde_json::from_slice(&told.stdout).unwrap();
    let verdicts: Vec<&Value> =
        object["rows"].as_array().unwrap().iter().map(|row| &row["residue_is"]).collect();
    assert_eq!(verdicts, ["within", "within"]);
    assert!(std::fs::read(out.join("epidemic.json")).unwrap() == told.stdout);
    assert!(out.join("epidemic.csv").exists());
    // One run is far from the mean as often as not.
    let codes: Vec<_> = (1..=8_u8)
        .map(|seed| study(&["--k", "1", "--runs", "1", "--seed", &seed.to_string()]).status.code())
        .collect();
    assert!(codes.contains(&Some(1)), "{codes:?}");
}
