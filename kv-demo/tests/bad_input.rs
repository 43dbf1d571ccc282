//! Bad input: one line that names the fix, and an exit code that is not 0.

#![allow(clippy::unwrap_used, reason = "this is test code")]

mod common;

use std::net::{TcpListener, UdpSocket};

use common::{Dir, binary, misuse, refusal};

const GOOD: &str = "[nodes.Node1]\nbind = \"127.0.0.1:0\"\n[nodes.Node2]\nbind = \"127.0.0.1:0\"\n";

fn node_of(file: &std::path::Path, name: &str) -> String {
    refusal(binary().args(["node", "--config", file.to_str().unwrap(), "--name", name]))
}

#[test]
fn a_name_that_is_not_in_the_file() {
    let dir = Dir::new("no-name");
    let text = node_of(&dir.file("two.toml", GOOD), "Node9");
    assert!(text.contains("two.toml") && text.contains("Node9"), "{text}");
    assert!(text.contains("Node1"), "it lists the names that are there: {text}");
}

#[test]
fn a_file_that_is_not_there() {
    let text = node_of(std::path::Path::new("nowhere.toml"), "Node1");
    assert!(text.contains("nowhere.toml"), "{text}");
}

#[test]
fn malformed_files_are_named_with_their_line() {
    let dir = Dir::new("malformed");
    for (file, text) in [
        ("broken.toml", "[nodes.Node1]\nbind = \n"),
        ("port.toml", "[nodes.Node1]\nbind = \"127.0.0.1:99999\"\n"),
        ("key.toml", "[nodes.Node1]\nbnid = \"127.0.0.1:1\"\n"),
        ("broken.ini", "[Node1\nbindAddr=127.0.0.1\n"),
        ("port.ini", "[Node1]\nbindAddr=127.0.0.1\nbindPort=many\n"),
        ("missing.ini", "[Node1]\nbindAddr=127.0.0.1\n"),
    ] {
        let refused = node_of(&dir.file(file, text), "Node1");
        assert!(refused.contains(file), "{file}: {refused}");
        assert!(refused.contains(':'), "{file}: {refused}");
    }
}

#[test]
fn a_gossip_port_that_is_taken() {
    let held = UdpSocket::bind("127.0.0.1:0").unwrap();
    let taken = held.local_addr().unwrap().to_string();
    let text = refusal(binary().args(["node", "--bind", &taken, "--http", "127.0.0.1:0"]));
    assert!(text.contains(&taken) && text.contains("bind another port"), "{text}");
}

#[test]
fn an_http_port_that_is_taken() {
    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = held.local_addr().unwrap().to_string();
    let text = refusal(binary().args(["node", "--bind", "127.0.0.1:0", "--http", &taken]));
    assert!(text.contains(&taken) && text.contains("--http"), "{text}");
}

#[test]
fn an_address_of_another_host() {
    let text = refusal(binary().args(["node", "--bind", "192.0.2.1:1", "--http", "127.0.0.1:0"]));
    assert!(text.contains("192.0.2.1"), "{text}");
}

#[test]
fn numbers_that_do_not_fit() {
    let doors = ["node", "--bind", "127.0.0.1:0", "--http", "127.0.0.1:0"];
    let text = refusal(binary().args(doors).args(["--fanout", "0"]));
    assert!(text.contains("gossip_fanout") && text.contains("between 1 and 64"), "{text}");
    let text = refusal(binary().args(["experiment", "--fanout", "999"]));
    assert!(text.contains("gossip_fanout"), "{text}");
}

#[test]
fn a_label_that_does_not_fit() {
    let doors = ["node", "--bind", "127.0.0.1:0", "--http", "127.0.0.1:0", "--label"];
    let text = refusal(binary().args(doors).arg("x".repeat(256)));
    assert!(text.contains("label length is 256") && text.contains("255"), "{text}");
}

#[test]
fn key_files_that_hold_no_ring() {
    let dir = Dir::new("keys");
    let node = |file: &str| {
        let doors = ["node", "--bind", "127.0.0.1:0", "--http", "127.0.0.1:0"];
        refusal(binary().args(doors).args(["--encrypt-key-file", file]))
    };
    for (name, text, hint) in [
        ("base64", "# mine\nnot a key\n", "base64:2: not base64"),
        ("short", "c2VjcmV0\n", "this one has 6: make one with `kv-demo keygen`"),
        ("empty", "", "no key: put in what `kv-demo keygen` prints"),
        ("comments", "# only\n\n", "no key"),
        ("binary", "\u{0}\u{1}", "not base64"),
    ] {
        let refused = node(dir.file(name, text).to_str().unwrap());
        assert!(refused.contains(hint), "{name}: {refused}");
    }
    let refused = node(dir.path().join("missing").to_str().unwrap());
    assert!(refused.contains("missing: no such file") && refused.contains("keygen"), "{refused}");
    let refused = node(dir.path().to_str().unwrap());
    assert!(refused.contains("cannot be read"), "{refused}");
    assert!(node("-").contains("name a file"));
}

#[test]
fn verifying_without_keys() {
    for flag in ["--verify-incoming", "--verify-outgoing"] {
        let text = refusal(binary().args(["node", "--bind", "127.0.0.1:0", flag, "on"]));
        assert!(text.contains("--encrypt-key-file"), "{text}");
    }
}

#[test]
fn switches_that_no_chosen_mode_obeys() {
    for (modes, switch, fix) in [
        ("classic", ["--prune", "off"], "mode matching: choose that mode, or leave --prune out"),
        ("thesis-matching,classic", ["--immediate", "on"], "mode matching"),
        ("thesis-classic", ["--repair", "off"], "mode matching"),
        ("thesis-matching", ["--floor", "off"], "mode matching"),
        ("matching", ["--dedup", "off"], "modes thesis-classic, thesis-matching and classic"),
        ("thesis-classic,classic", ["--overlay", "static"], "modes thesis-matching and matching"),
        ("matching", ["--retransmit", "3"], "and for matching with --prune off: choose one of"),
        ("matching", ["--piggyback", "off"], "or leave --piggyback out"),
    ] {
        let experiment = ["experiment", "--runtime", "sim", "--modes", modes];
        let text = refusal(binary().args(experiment).args(switch));
        assert!(
            text.contains(&format!("{} is for mode", switch[0])) && text.contains(fix),
            "{text}"
        );
        let mode = modes.split(',').next().unwrap();
        let node = ["node", "--bind", "127.0.0.1:0", "--http", "127.0.0.1:0", "--mode", mode];
        assert_eq!(refusal(binary().args(node).args(switch)), text, "a node says the same");
    }
    let links = ["node", "--bind", "127.0.0.1:0", "--neighbor", "127.0.0.1:1"];
    let text = refusal(binary().args(links));
    assert!(text.contains("--neighbor is for modes thesis-matching and matching"), "{text}");
}

#[test]
fn flags_that_do_not_go_together_end_like_values_that_are_wrong() {
    let experiment = |flags: &[&str]| misuse(binary().arg("experiment").args(flags));
    for (flags, fix) in [
        (&["--modes", "classic", "--prune", "off"][..], "mode matching: choose that mode"),
        (&["--runtime", "udp", "--loss", "5%"], "add --runtime sim"),
        (&["--topology", "hypercube", "--nodes", "10"], "hypercube"),
        (&["--churn", "400%/min"], "write it as 50%/min, from 0.0001% to 100%"),
        (&["--rate", "0.5"], "a whole number of messages per second, 1 to 100000"),
    ] {
        let text = experiment(flags);
        assert!(text.contains(fix), "{text}");
    }
    let node = ["node", "--bind", "127.0.0.1:0", "--mode", "classic", "--floor", "off"];
    assert!(misuse(binary().args(node)).contains("choose that mode"));
    // A file is no command line.
    let file = ["experiment", "--topology", "file:/nowhere/at/all"];
    let output = binary().args(file).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn keys_of_a_file_that_its_mode_does_not_obey() {
    let dir = Dir::new("unheeded");
    for (mode, key) in [("classic", "prune = false"), ("matching", "dedup = false")] {
        let text = format!("[defaults]\nmode = \"{mode}\"\n{key}\n{GOOD}");
        let refused = node_of(&dir.file("modes.toml", &text), "Node1");
        let name = key.split(' ').next().unwrap();
        assert!(refused.contains(&format!("modes.toml: {name} is for mode")), "{refused}");
    }
}

#[test]
fn joining_nobody() {
    let text = refusal(binary().arg("join"));
    assert!(text.contains("kv-demo join HOST[:PORT]"), "{text}");
    for (seed, hint) in [
        (":7946", "is not a seed"),
        ("host:80000", "is not a seed"),
        ("/host", "before the slash"),
        ("_a._udp.b:1", "leave the port out"),
    ] {
        let text = refusal(binary().args(["join", seed]));
        assert!(text.contains(hint), "{seed}: {text}");
    }
    for command in [&["join", "127.0.0.1"][..], &["leave"], &["keys", "list"]] {
        let text = refusal(binary().args(command).args(["--http", "127.0.0.1:1"]));
        assert!(text.contains("127.0.0.1:1") && text.contains("--http"), "{text}");
    }
}

#[test]
fn a_trace_that_cannot_be_written() {
    let doors = ["node", "--bind", "127.0.0.1:0", "--http", "127.0.0.1:0"];
    let text = refusal(binary().args(doors).args(["--trace", "/nowhere/at/all.log"]));
    assert!(text.contains("/nowhere/at/all.log"), "{text}");
}

#[test]
fn nobody_at_the_door() {
    let text = refusal(binary().args(["members", "--http", "127.0.0.1:1"]));
    assert!(text.contains("127.0.0.1:1") && text.contains("--http"), "{text}");
}

#[test]
fn topologies_that_do_not_exist() {
    let text = refusal(binary().args(["topology", "ring", "--dim", "99"]));
    assert!(text.contains("99"), "{text}");
    let hosts = ["topology", "ring", "--dim", "1", "--hosts", "10.0.0.1,10.0.0.2,10.0.0.3"];
    assert!(!refusal(binary().args(hosts)).is_empty());
}

#[test]
fn a_folder_without_runs() {
    let dir = Dir::new("no-runs");
    let text = refusal(binary().args(["report", dir.path().to_str().unwrap()]));
    assert!(text.contains("no runs"), "{text}");
}
