//! Experiments over several hosts, played by one: agents are started by a launcher that stays here.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "this is test code")]

mod common;

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use common::{Dir, binary, refusal, signal_process, wait_for};
use kv_demo::report::Results;
use serde_json::Value;

/// Every process of a test has this in its environment, with the test's folder as value.
const MARK: &str = "KV_DEMO_TEST_DIR";

/// The launcher that stays here; the host's name is in the agent's environment.
fn launcher() -> String {
    format!("env KV_DEMO_TEST_HOST={{host}} '{}' agent", env!("CARGO_BIN_EXE_kv-demo"))
}

/// A small and fast experiment on two hosts, started by `launcher`.
fn small(dir: &Dir, launcher: &str, arguments: &[&str]) -> Command {
    let mut command = binary();
    command.args(["experiment", "--interval", "100ms", "--window", "500ms", "--spacing", "2ms"]);
    command.args(["--calibrate-rounds", "3", "--out"]).arg(dir.path().join("out"));
    command.args(["--hosts", "a=127.0.0.1,b=127.0.0.1", "--launcher", launcher]).args(arguments);
    command.stdin(Stdio::null()).env(MARK, dir.path()).env("TMPDIR", dir.path());
    command
}

/// Processes of a test by the subcommand that they run, and on which host.
fn processes(dir: &Dir, subcommand: &str, host: &str) -> Vec<u32> {
    let has = |environment: &[u8], name: &str, value: &str| {
        let wanted = format!("{name}={value}");
        environment.split(|byte| *byte == 0).any(|entry| entry == wanted.as_bytes())
    };
    let dir = dir.path().to_str().unwrap();
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| {
        let read = |file: &str| std::fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
        let environment = read("environ");
        has(&environment, MARK, dir)
            && (host.is_empty() || has(&environment, "KV_DEMO_TEST_HOST", host))
            && read("cmdline").split(|byte| *byte == 0).nth(1) == Some(subcommand.as_bytes())
    })
    .collect()
}

#[track_caller]
fn wait_no_orphans(dir: &Dir) {
    wait_for("no agent and no node is left", || {
        let left = ["agent", "node", "flood"].map(|what| processes(dir, what, "").len());
        (left == [0, 0, 0]).then_some(())
    });
}

/// An experiment that would go on for long, with nodes running on both hosts.
fn under_way(dir: &Dir) -> Child {
    let mut command = small(dir, &launcher(), &["--dim", "2", "--repeat", "100"]);
    let experiment = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    wait_for("nodes run on both hosts", || {
        let nodes = ["a", "b"].map(|host| processes(dir, "node", host).len());
        (nodes == [2, 2]).then_some(())
    });
    experiment
}

#[track_caller]
fn one_line_of_failure(experiment: Child) -> String {
    let output = experiment.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stderr).unwrap();
    // Runs that were finished have their lines above.
    let line = text.lines().last().unwrap_or_default().to_owned();
    assert!(line.starts_with("kv-demo: "), "{text}");
    line
}

/// A launcher that is a shell script.
fn script(dir: &Dir, text: &str) -> String {
    let path = dir.file("launcher.sh", text);
    format!("sh '{}' {{host}}", path.display())
}

/// Host b's launcher does this, host a's starts an agent.
fn b_does(dir: &Dir, what: &str) -> String {
    let agent = env!("CARGO_BIN_EXE_kv-demo");
    script(dir, &format!("if [ \"$1\" = b ]; then\n{what}\nfi\nexec '{agent}' agent\n"))
}

#[test]
fn two_hosts_reach_everybody_and_a_report_from_their_traces_says_the_same() {
    let dir = Dir::new("two-hosts");
    let arguments = ["--dim", "2", "--repeat", "1", "--format", "json"];
    let output = small(&dir, &launcher(), &arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let object: Value = serde_json::from_slice(&output.stdout).unwrap();
    let runs = object["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 4);
    for run in runs {
        assert_eq!(run["convergence_rate"], 1.0, "{run}");
        assert!(run["error"].is_null(), "{run}");
    }
    let hosts = object["header"]["hosts"].as_array().unwrap();
    let named: Vec<_> = hosts.iter().map(|host| (&host["host"], &host["nodes"])).collect();
    assert_eq!(named, [(&Value::from("a"), &Value::from(2)), (&Value::from("b"), &Value::from(2))]);
    for host in hosts {
        let (offset, error) = (&host["offset_ns"], &host["error_ns"]);
        let (offset, error) = (offset.as_i64().unwrap(), error.as_u64().unwrap());
        assert!(offset.unsigned_abs() <= error, "one clock is not off against itself: {host}");
    }
    assert!(object["header"]["calibrate"][0]["median_ms"].as_f64().unwrap() > 0.0);
    wait_no_orphans(&dir);
    let left = std::fs::read_dir(dir.path()).unwrap().count();
    assert_eq!(left, 1, "agents remove their folders, and the results stay");

    let out = dir.path().join("out");
    let before = Results::read(&out.join("results.json")).unwrap();
    let table = binary().arg("report").arg(&out).output().unwrap();
    let table = String::from_utf8(table.stdout).unwrap();
    assert!(table.contains("\nClock of b (127.0.0.1): "), "{table}");
    assert_eq!(Results::read(&out.join("results.json")).unwrap(), before);
}

#[test]
fn times_of_a_host_are_corrected_by_its_clocks_offset() {
    let dir = Dir::new("offset");
    let arguments = ["--dim", "1", "--repeat", "1", "--modes", "matching"];
    assert!(small(&dir, &launcher(), &arguments).output().unwrap().status.success());
    let out = dir.path().join("out");
    let measured = |file: &Results| file.runs[0].convergence_ms.unwrap();
    let before = measured(&Results::read(&out.join("results.json")).unwrap());
    let path = out.join("runs/hypercube-1-matching-0/run.json");
    let mut run: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    let offset = run["hosts"][1]["offset_ns"].as_i64().unwrap();
    // A clock that is another second behind makes its receipts a second later.
    run["hosts"][1]["offset_ns"] = (offset - 1_000_000_000).into();
    std::fs::write(&path, run.to_string()).unwrap();
    assert!(binary().arg("report").arg(&out).output().unwrap().status.success());
    let after = measured(&Results::read(&out.join("results.json")).unwrap());
    assert!((after - before - 1_000.0).abs() < 1e-6, "{before} {after}");
}

#[test]
fn calibration_floods_between_hosts_too() {
    let dir = Dir::new("flood-hosts");
    let mut command = binary();
    command.args(["experiment", "calibrate", "--dim", "2", "--repeat", "5", "--format", "json"]);
    command.args(["--hosts", "a=127.0.0.1,b=127.0.0.2", "--launcher", &launcher()]);
    let output = command.env(MARK, dir.path()).env("TMPDIR", dir.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let object: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(object["rounds"], 5, "{object}");
    assert!(object["median_ms"].as_f64().unwrap() > 0.0, "{object}");
    wait_no_orphans(&dir);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_host_with_another_version_is_named_with_both() {
    let dir = Dir::new("version");
    let hello = r#"echo '{"news":"hello","version":"0.0.1","protocol":7}'; exec cat >/dev/null"#;
    let text = refusal(&mut small(&dir, &b_does(&dir, hello), &[]));
    let own = env!("CARGO_PKG_VERSION");
    assert!(text.starts_with("host b: has kv-demo 0.0.1 (protocol 7)"), "{text}");
    assert!(text.contains(&format!("this is {own} (protocol 2)")), "{text}");
    wait_no_orphans(&dir);
}

#[test]
fn a_host_that_cannot_be_reached_is_named_with_the_launchers_last_words() {
    let dir = Dir::new("unreachable");
    let refused = "echo 'first words' >&2; echo 'ssh: connect to host b: refused' >&2; exit 255";
    let text = refusal(&mut small(&dir, &b_does(&dir, refused), &[]));
    assert_eq!(text, "host b: could not be reached: ssh: connect to host b: refused");
    let text = refusal(&mut small(&dir, &b_does(&dir, "exit 1"), &[]));
    let silent = "the launcher has ended (exit status: 1) and did not say why";
    assert_eq!(text, format!("host b: could not be reached: {silent}"));
    let text = refusal(&mut small(&dir, "no-such-launcher {host}", &[]));
    assert!(
        text.starts_with("host a: the launcher `no-such-launcher` cannot be started"),
        "{text}"
    );
    wait_no_orphans(&dir);
}

#[test]
fn a_host_that_prints_something_of_its_own_is_named_with_the_line() {
    let dir = Dir::new("motd");
    let text = refusal(&mut small(&dir, &b_does(&dir, "echo 'Welcome to b!'"), &[]));
    assert!(text.starts_with("host b: said `Welcome to b!` where an agent says hello"), "{text}");
    let endless = "yes | tr -d '\\n'";
    let text = refusal(&mut small(&dir, &b_does(&dir, endless), &[]));
    assert!(text.starts_with("host b: said `yyyy"), "{text}");
    wait_no_orphans(&dir);
}

#[test]
fn hosts_and_launchers_that_cannot_work_are_refused_before_anything_starts() {
    let dir = Dir::new("refused");
    let text = refusal(&mut small(&dir, "kv-demo agent", &[]));
    assert!(text.contains("put {host} where the host's name belongs"), "{text}");
    let mut command = small(&dir, &launcher(), &["--dim", "1"]);
    let text = refusal(command.args(["--hosts", "c=127.0.0.1"]));
    assert!(text.starts_with("3 hosts for 2 nodes"), "{text}");
    let mut command = small(&dir, &launcher(), &[]);
    let text = refusal(command.args(["--hosts", "no-such-host.invalid"]));
    assert!(text.starts_with("host no-such-host.invalid: its address is not known"), "{text}");
    assert!(text.contains("write no-such-host.invalid=ADDR"), "{text}");
}

#[test]
fn an_address_that_is_not_the_hosts_is_told_by_its_node() {
    let dir = Dir::new("not-here");
    let mut command = small(&dir, &launcher(), &["--dim", "2"]);
    let text = refusal(command.args(["--hosts", "c=192.0.2.99"]));
    assert!(text.contains(" on c has ended: "), "{text}");
    wait_no_orphans(&dir);
}

#[test]
fn an_agent_that_is_killed_in_mid_run_is_named_and_leaves_no_orphans() {
    let dir = Dir::new("killed-agent");
    let experiment = under_way(&dir);
    for agent in processes(&dir, "agent", "b") {
        signal_process(agent, "KILL");
    }
    let line = one_line_of_failure(experiment);
    assert!(line.contains("host b: its agent has ended: "), "{line}");
    assert!(line.contains("signal: 9"), "the launcher here is the agent itself: {line}");
    wait_no_orphans(&dir);
}

#[test]
fn an_agent_that_says_nothing_any_more_is_given_up_and_named() {
    let dir = Dir::new("silent-agent");
    let experiment = under_way(&dir);
    let agents = processes(&dir, "agent", "b");
    for &agent in &agents {
        signal_process(agent, "STOP");
    }
    let line = one_line_of_failure(experiment);
    assert!(line.contains("host b: no answer for 10 s: the connection is lost"), "{line}");
    // The launcher, which here is the agent itself, was ended by force.
    wait_no_orphans(&dir);
}

#[test]
fn an_interrupt_leaves_no_agent_and_no_node_behind() {
    let dir = Dir::new("interrupt-hosts");
    let experiment = under_way(&dir);
    signal_process(experiment.id(), "INT");
    let output = experiment.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", String::from_utf8_lossy(&output.stderr));
    wait_no_orphans(&dir);
}

#[test]
fn a_killed_coordinator_takes_agents_and_nodes_along() {
    let dir = Dir::new("killed-coordinator");
    let mut experiment = under_way(&dir);
    experiment.kill().unwrap();
    experiment.wait().unwrap();
    wait_no_orphans(&dir);
}

/// An agent that this test speaks with itself.
struct Agent {
    process: Child,
    out: BufReader<std::process::ChildStdout>,
}

impl Agent {
    fn start(dir: &Path) -> Self {
        let mut command = binary();
        command.arg("agent").env(MARK, dir).env("TMPDIR", dir);
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(process.stdout.take().unwrap());
        let mut agent = Self { process, out };
        assert_eq!(agent.hear()["news"], "hello");
        agent
    }

    fn say(&mut self, line: &str) {
        writeln!(self.process.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    fn hear(&mut self) -> Value {
        let mut line = String::new();
        self.out.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    /// The next news of a kind.
    fn hear_of(&mut self, kind: &str) -> Value {
        loop {
            let news = self.hear();
            if news["news"] == kind {
                return news;
            }
        }
    }

    fn spawn_node(&mut self, index: u32) {
        self.say(&format!(
            r#"{{"wish":"spawn","index":{index},"bind":"127.0.0.1","job":{{"number":{},"task":{{"do":"node","mode":"matching","preset":"local","overrides":{{}},"trace_format":"json"}}}}}}"#,
            index + 1
        ));
        while self.hear_of("report")["report"]["report"] != "bound" {}
    }
}

#[test]
fn the_end_of_its_input_ends_an_agent_and_its_children() {
    let dir = Dir::new("agent-eof");
    let mut agent = Agent::start(dir.path());
    agent.spawn_node(0);
    agent.spawn_node(1);
    assert_eq!(processes(&dir, "node", "").len(), 2);
    drop(agent.process.stdin.take());
    assert!(agent.process.wait().unwrap().success());
    assert_eq!(processes(&dir, "node", "").len(), 0, "children end before the agent does");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "its folder is gone");
}

#[test]
fn a_coordinator_that_says_nothing_any_more_ends_an_agent_and_its_children() {
    let dir = Dir::new("agent-silence");
    let mut agent = Agent::start(dir.path());
    agent.spawn_node(0);
    let status = wait_for("the agent gives up", || agent.process.try_wait().unwrap());
    assert_eq!(status.code(), Some(1));
    assert_eq!(processes(&dir, "node", "").len(), 0);
    let mut words = String::new();
    std::io::Read::read_to_string(agent.process.stderr.as_mut().unwrap(), &mut words).unwrap();
    assert!(words.contains("heard nothing from the coordinator for 15 s"), "{words}");
}

#[test]
fn an_agent_refuses_what_is_no_wish_and_goes_on() {
    let dir = Dir::new("agent-refuses");
    let mut agent = Agent::start(dir.path());
    for line in [
        "hello",
        r#"{"wish":"run","program":"sh"}"#,
        r#"{"wish":"spawn","index":0,"bind":"127.0.0.1","program":"sh","job":{"number":1,"task":{"do":"flood"}}}"#,
        r#"{"wish":"spawn","index":65536,"bind":"127.0.0.1","job":{"number":1,"task":{"do":"flood"}}}"#,
    ] {
        agent.say(line);
        assert_eq!(agent.hear()["news"], "refused", "{line}");
    }
    agent.say(&"x".repeat(1 << 20));
    assert_eq!(agent.hear()["news"], "refused");
    agent.say(r#"{"wish":"ping","t":7}"#);
    assert_eq!(agent.hear_of("pong")["ping"], 7);
    agent.spawn_node(0);
    agent.say(
        r#"{"wish":"spawn","index":0,"bind":"127.0.0.1","job":{"number":1,"task":{"do":"flood"}}}"#,
    );
    let reason = agent.hear_of("refused")["reason"].to_string();
    assert!(reason.contains("its index 0 is taken"), "{reason}");
    agent.say(r#"{"wish":"write","index":5,"key":"k","value":"v"}"#);
    let refusal = agent.hear_of("written")["refusal"].to_string();
    assert!(refusal.contains("no HTTP door"), "{refusal}");
    agent.say(r#"{"wish":"dismiss"}"#);
    agent.hear_of("dismissed");
    assert_eq!(processes(&dir, "node", "").len(), 0);
    drop(agent.process.stdin.take());
    assert!(agent.process.wait().unwrap().success());
}

#[test]
fn runs_over_hosts_and_runs_on_one_are_not_taken_for_each_other() {
    let dir = Dir::new("mixed-places");
    let flags = ["--dim", "2", "--repeat", "1", "--modes", "classic"];
    let output = small(&dir, &launcher(), &flags).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let alone = binary()
        .args(["experiment", "--interval", "100ms", "--window", "500ms", "--spacing", "2ms"])
        .args(["--calibrate-rounds", "0", "--resume", "--out"])
        .arg(dir.path().join("out"))
        .args(flags)
        .output()
        .unwrap();
    assert!(!alone.status.success());
    let error = String::from_utf8_lossy(&alone.stderr);
    assert!(error.contains("holds a run with other numbers"), "{error}");
}

#[test]
fn nodes_of_another_host_are_killed_too() {
    let dir = Dir::new("hosts-kill");
    let flags = ["--topology", "bus", "--dim", "3", "--modes", "matching", "--repeat", "1"];
    let mut command = small(&dir, &launcher(), &flags);
    command.args(["--kill", "50%", "--warm", "1", "--horizon", "1s", "--format", "json"]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let object: Value = serde_json::from_slice(&output.stdout).unwrap();
    let row = &object["runs"][0];
    assert_eq!(row["live"], 4, "{row}");
    assert!(row["error"].is_null(), "{row}");
    let run = dir.path().join("out/runs/bus-3-matching-0/run.json");
    let run: Value = serde_json::from_str(&std::fs::read_to_string(run).unwrap()).unwrap();
    let dead: Vec<u64> = run["outages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|outage| outage["node"].as_u64().unwrap())
        .collect();
    assert!(dead.iter().any(|node| *node > 4), "the second host has Node5 to Node8: {dead:?}");
    wait_no_orphans(&dir);
}
