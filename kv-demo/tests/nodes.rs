//! Nodes as people run them: processes with doors and signals.

#![allow(clippy::unwrap_used, reason = "this is test code")]

mod common;

use std::net::SocketAddr;

use common::{Dir, Node, binary, free_ports, wait_for};
use kv_demo::node::What;

#[test]
fn a_value_written_at_one_node_is_read_at_another_and_a_delete_stays() {
    let dir = Dir::new("values");
    let a = Node::start(&dir, "a", &[]);
    let b = Node::start(&dir, "b", &["--join", &a.join()]);
    let c = Node::start(&dir, "c", &["--join", &a.join()]);
    for node in [&a, &b, &c] {
        node.wait_live(3);
    }
    assert_eq!(a.get("/add?key=color&val=dark%20green"), (200, String::new()));
    for node in [&a, &b, &c] {
        node.wait_value("color", Some("dark green"));
    }
    assert_eq!(c.get("/add?key=color&val=blue").0, 200);
    for node in [&a, &b, &c] {
        node.wait_value("color", Some("blue"));
    }
    assert_eq!(b.get("/del?key=color"), (200, String::new()));
    for node in [&a, &b, &c] {
        node.wait_value("color", None);
    }
}

#[test]
fn a_late_joiner_gets_all_keys_and_no_deleted_ones() {
    let dir = Dir::new("late");
    let a = Node::start(&dir, "a", &[]);
    for number in 0..200 {
        assert_eq!(a.get(&format!("/add?key=k{number}&val=v{number}")).0, 200);
    }
    a.get("/add?key=gone&val=v");
    a.get("/del?key=gone");
    let late = Node::start(&dir, "late", &["--join", &a.join()]);
    late.wait_value("k199", Some("v199"));
    for number in 0..200 {
        late.wait_value(&format!("k{number}"), Some(&format!("v{number}")));
    }
    late.wait_value("gone", None);
}

#[test]
fn the_thesis_modes_carry_the_same_writes() {
    let dir = Dir::new("thesis");
    let a = Node::start(&dir, "a", &["--mode", "thesis-classic"]);
    let b = Node::start(&dir, "b", &["--mode", "thesis-classic", "--join", &a.join()]);
    b.wait_live(2);
    a.wait_live(2);
    a.get("/add?key=mgossip&val=better");
    b.wait_value("mgossip", Some("better"));
    b.get("/del?key=mgossip");
    a.wait_value("mgossip", None);
}

#[test]
fn the_door_says_in_one_line_what_is_wrong_with_a_request() {
    let dir = Dir::new("requests");
    let a = Node::start(&dir, "a", &[]);
    let long = "x".repeat(3_000);
    for (path, status, hint) in [
        ("/add?val=v", 400, "?key=K"),
        ("/add?key=k", 400, "&val=V"),
        ("/get", 400, "?key=K"),
        ("/add?key=&val=v", 400, "key is empty"),
        (&format!("/add?key=k&val={long}"), 413, "shorten the value"),
        ("/add?key=a&key=b&val=v", 400, "more than once"),
        ("/add?key=k&val=100%", 400, "%25"),
        ("/get?key=%zz", 400, "%25"),
        ("/events?after=x", 400, "whole number"),
    ] {
        let (found, text) = a.get(path);
        assert_eq!(found, status, "{path}: {text}");
        assert!(text.contains(hint) && text.lines().count() == 1, "{path}: {text}");
        assert!(text.ends_with('\n'), "{path}: {text}");
    }
    assert_eq!(a.get("/nowhere").0, 404);
    assert!(a.get("/").1.contains("/members"));
    a.wait_value("k", None);
}

#[test]
fn keys_and_values_are_bytes() {
    let dir = Dir::new("bytes");
    let a = Node::start(&dir, "a", &[]);
    assert_eq!(a.get("/add?key=%ff&val=%fe%00+x").0, 200);
    assert_eq!(a.get("/get?key=%fe").0, 404);
    assert_eq!(a.get_bytes("/get?key=%ff"), (200, b"\xfe\x00 x".to_vec()));
    assert_eq!(a.get("/del?key=%ff").0, 200);
    assert_eq!(a.get("/get?key=%ff").0, 404);
}

#[test]
fn members_are_told_as_json_and_as_a_table() {
    let dir = Dir::new("members");
    let a = Node::start(&dir, "a", &[]);
    let b = Node::start(&dir, "b", &["--join", &a.join()]);
    b.wait_live(2);
    let view = b.members();
    let names: Vec<_> = view.members.iter().map(|member| member.name.as_str()).collect();
    assert_eq!((names, view.node.as_str()), (vec!["a", "b"], "b"));
    assert!(view.members.iter().all(|member| member.rumormill && member.state == "alive"));
    let table = binary().args(["members", "--http", &b.http.to_string()]).output().unwrap();
    let table = String::from_utf8(table.stdout).unwrap();
    assert!(table.contains("b (asked)") && table.contains("2 live"), "{table}");
}

#[test]
fn a_terminated_node_says_goodbye_and_is_seen_as_left() {
    let dir = Dir::new("leave");
    let a = Node::start(&dir, "a", &[]);
    let mut b = Node::start(&dir, "b", &["--join", &a.join()]);
    a.wait_live(2);
    b.wait_live(2);
    b.signal("TERM");
    assert!(b.wait_end().success(), "{}", b.log());
    a.wait_change(What::Left, "b");
    assert_eq!(a.state_of("b").as_deref(), Some("left"));
}

#[test]
fn an_interrupted_node_that_is_alone_ends_at_once() {
    let dir = Dir::new("alone");
    let mut a = Node::start(&dir, "a", &[]);
    a.signal("INT");
    assert!(a.wait_end().success(), "{}", a.log());
}

/// The walk of the README: kill one of three, and read why.
#[test]
fn a_killed_node_is_suspected_then_failed_and_the_causes_are_told() {
    let dir = Dir::new("kill");
    let a = Node::start(&dir, "a", &[]);
    let b = Node::start(&dir, "b", &["--join", &a.join()]);
    let mut c = Node::start(&dir, "c", &["--join", &a.join()]);
    for node in [&a, &b, &c] {
        node.wait_live(3);
    }
    c.kill();
    for node in [&a, &b] {
        let suspected = node.wait_change(What::Suspected, "c");
        assert!(suspected.cause.contains("answer"), "{}", suspected.cause);
        let failed = node.wait_change(What::Failed, "c");
        assert!(failed.cause.contains("time to refute ran out"), "{}", failed.cause);
        node.wait_live(2);
    }
}

#[test]
fn an_unreachable_seed_is_retried_and_not_fatal() {
    let dir = Dir::new("seed");
    let port = SocketAddr::from(([127, 0, 0, 1], free_ports(1)));
    let early = Node::start(&dir, "early", &["--join", &port.to_string()]);
    let change = early.wait_change(What::SeedFailed, &port.to_string());
    assert!(change.cause.contains("next one in"), "{}", change.cause);
    let seed = Node::start_with(
        &dir,
        "seed",
        &["node", "--bind", &port.to_string(), "--http", "127.0.0.1:0", "--preset", "local"],
    );
    early.wait_live(2);
    seed.wait_live(2);
    early.wait_change(What::SeedReached, &port.to_string());
}

#[test]
fn a_seed_may_be_a_host_name() {
    let dir = Dir::new("name");
    let a = Node::start(&dir, "a", &[]);
    let seed = format!("localhost:{}", a.gossip.port());
    let b = Node::start(&dir, "b", &["--join", &seed]);
    b.wait_live(2);
}

#[test]
fn clusters_of_different_labels_stay_apart() {
    let dir = Dir::new("label");
    let a = Node::start(&dir, "a", &["--label", "blue"]);
    let join = ["--join", &a.join()];
    let b = Node::start(&dir, "b", &[&["--label", "blue"], &join[..]].concat());
    b.wait_live(2);
    for (name, label) in [("red", &["--label", "red"][..]), ("bare", &[])] {
        let stranger = Node::start(&dir, name, &[label, &join].concat());
        stranger.wait_change(What::SeedFailed, &a.join());
        assert_eq!(stranger.members().live, 1, "{name}");
    }
    assert_eq!(a.members().members.len(), 2);
}

/// Flags win over the environment, and it wins over the file.
#[test]
fn the_environment_stands_between_flags_and_file() {
    let dir = Dir::new("environment");
    let a = Node::start(&dir, "a", &["--label", "blue"]);
    let text = "[defaults]\nlabel = \"red\"\nprofile = \"local\"\n[nodes.b]\nbind = \"127.0.0.1:0\"\n\
                http = \"127.0.0.1:0\"\njoin = [\"192.0.2.1:1\"]\n";
    let file = dir.file("b.toml", text);
    let arguments = ["node", "--config", file.to_str().unwrap(), "--name", "b"];
    let environment = [("KV_DEMO_LABEL", "blue"), ("KV_DEMO_JOIN", &*a.join())];
    let b = Node::start_in(&dir, "b", &environment, &arguments);
    b.wait_live(2);
    let flags = [&arguments[..], &["--label", "green"]].concat();
    let c = Node::start_in(&dir, "c", &environment, &flags);
    c.wait_change(What::SeedFailed, &a.join());
}

#[test]
fn nodes_of_a_topology_file_form_their_cluster_in_both_formats() {
    for format in ["ini", "toml"] {
        let dir = Dir::new("topology");
        // Two free ports, and their neighbours: a bus of two.
        let base = free_ports(4);
        let text = binary()
            .args(["topology", "bus", "--dim", "1", "--format", format])
            .args(["--port", &base.to_string(), "--http-port", &(base + 2).to_string()])
            .output()
            .unwrap();
        let file = dir.file(&format!("bus.{format}"), &String::from_utf8(text.stdout).unwrap());
        let file = file.to_str().unwrap();
        let node = |name: &str| {
            let arguments = ["node", "--config", file, "--name", name, "--mode", "matching"];
            Node::start_with(&dir, name, &arguments)
        };
        let (one, two) = (node("Node1"), node("Node2"));
        one.wait_live(2);
        two.wait_live(2);
        one.get("/add?key=k&val=v");
        two.wait_value("k", Some("v"));
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_node_runs_on_when_its_output_is_full() {
    let base = free_ports(2);
    let (gossip, http) = (format!("127.0.0.1:{base}"), format!("127.0.0.1:{}", base + 1));
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let mut node = binary();
    node.args(["node", "--bind", &gossip, "--http", &http]).stdout(full);
    let mut process = node.stderr(std::process::Stdio::null()).spawn().unwrap();
    let door = kv_demo::members::Door::new(http.parse::<SocketAddr>().unwrap());
    let live = wait_for("the node answers, or has ended", || match process.try_wait().unwrap() {
        Some(_) => Some(None),
        None => door.members().ok().map(|view| Some(view.live)),
    });
    let _ = process.kill();
    process.wait().unwrap();
    assert_eq!(live, Some(1));
}

#[test]
fn a_trace_of_the_thesis_form_has_the_originals_lines() {
    let dir = Dir::new("trace");
    let log = dir.path().join("Node1.log");
    let trace = ["--trace", log.to_str().unwrap(), "--trace-format", "thesis"];
    let mode = ["--mode", "thesis-classic"];
    let mut a = Node::start(&dir, "a", &[&trace[..], &mode].concat());
    let b = Node::start(&dir, "b", &[&mode[..], &["--join", &a.join()]].concat());
    a.wait_live(2);
    a.get("/add?key=mgossip&val=better");
    b.wait_value("mgossip", Some("better"));
    a.signal("TERM");
    a.wait_end();
    let text = std::fs::read_to_string(&log).unwrap();
    assert!(text.contains("I create a message called "), "{text}");
    assert!(text.contains(&format!("I send a packet to {}, now time ", b.gossip)), "{text}");
}
