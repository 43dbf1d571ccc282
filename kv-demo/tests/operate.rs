//! Operating running nodes: join, leave, keys; encrypted clusters and their rotation.

#![allow(clippy::unwrap_used, reason = "this is test code")]

mod common;

use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use common::dns::Dns;
use common::{Dir, Node, binary, refusal, wait_for};
use kv_demo::keys::{Fingerprint, KeyFile};
use kv_demo::node::What;
use rumormill::Keyring;

/// `kv-demo COMMAND --http DOOR`.
fn tell(node: &Node, words: &[&str]) -> Output {
    binary().args(words).args(["--http", &node.http.to_string()]).output().unwrap()
}

/// What it prints, when it works.
#[track_caller]
fn told(node: &Node, words: &[&str]) -> String {
    let output = tell(node, words);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{words:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// Why it does not work.
#[track_caller]
fn refused(node: &Node, words: &[&str]) -> String {
    refusal(binary().args(words).args(["--http", &node.http.to_string()]))
}

/// A file with a fresh key.
fn fresh_key(dir: &Dir, name: &str) -> PathBuf {
    let output = binary().arg("keygen").output().unwrap();
    dir.file(name, &String::from_utf8(output.stdout).unwrap())
}

fn ring(file: &Path) -> Keyring {
    KeyFile::open(file).unwrap().1
}

fn fingerprint(file: &Path) -> String {
    Fingerprint::of(ring(file).primary().unwrap()).to_string()
}

/// A node with a key file of its own, a copy of `keys`.
fn encrypted(dir: &Dir, name: &str, keys: &Path, arguments: &[&str]) -> (Node, PathBuf) {
    let file = dir.file(&format!("{name}.keys"), &std::fs::read_to_string(keys).unwrap());
    let with_keys = ["--encrypt-key-file", file.to_str().unwrap()];
    (Node::start(dir, name, &[&with_keys, arguments].concat()), file)
}

// ── Join and leave ──────────────────────────────────────────────────────────────────────────────

#[test]
fn a_running_node_joins_what_it_is_told_and_says_what_became_of_it() {
    let (dir, dns) = (Dir::new("join"), Dns::start());
    let (a, b) = (Node::start(&dir, "a", &[]), Node::start(&dir, "b", &[]));
    dns.host("b.test", &["127.0.0.1".parse().unwrap()]);
    dns.service("_rumormill._udp.test", &[(b.gossip.port(), "b.test")]);
    let c = Node::start(&dir, "c", &["--dns-server", &dns.addr.to_string()]);
    let dead = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let said = told(&c, &["join", &a.join(), &dead.to_string(), "_rumormill._udp.test", "x.test"]);
    assert!(said.contains(&format!("{}: joined", a.gossip)), "{said}");
    assert!(said.contains(&format!("_rumormill._udp.test ({}): joined", b.gossip)), "{said}");
    assert!(said.contains(&format!("{dead}: ")) && said.contains("x.test:7946: "), "{said}");
    assert!(said.contains("2 of 3 addresses joined"), "{said}");
    for node in [&a, &b, &c] {
        node.wait_live(3);
    }
    // What did not answer is not tried again.
    wait_for("no seed is waited for", || (c.members().seeds_waiting == 0).then_some(()));
}

#[test]
fn nobody_who_answers_is_an_exit_code_and_a_line() {
    let dir = Dir::new("join-nobody");
    let a = Node::start(&dir, "a", &[]);
    let dead = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let text = refused(&a, &["join", &dead.to_string()]);
    assert!(text.contains("joined nobody"), "{text}");
    let text = refused(&a, &["join", &a.join()]);
    assert!(text.contains("joined nobody"), "{text}");
}

#[test]
fn a_seed_that_is_tried_for_ever_survives_a_join_that_gives_up() {
    let dir = Dir::new("join-seed");
    let early = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let a = Node::start(&dir, "a", &["--join", &early.to_string()]);
    refused(&a, &["join", &early.to_string()]);
    assert_eq!(a.members().seeds_waiting, 1);
    refused(&a, &["join", "--timeout", "1ms", "192.0.2.1:1"]);
    assert_eq!(a.members().seeds_waiting, 1);
}

#[test]
fn a_node_that_is_told_to_leave_is_seen_as_left_and_its_process_ends_well() {
    let dir = Dir::new("leave-told");
    let a = Node::start(&dir, "a", &[]);
    let mut b = Node::start(&dir, "b", &["--join", &a.join()]);
    a.wait_live(2);
    b.wait_live(2);
    assert_eq!(told(&b, &["leave"]), "b has left its cluster and ended\n");
    assert!(b.wait_end().success(), "{}", b.log());
    a.wait_change(What::Left, "b");
    let text = refused(&b, &["leave"]);
    assert!(text.contains("--http"), "{text}");
}

#[test]
fn the_doors_that_operate_a_node_open_to_no_web_page() {
    let dir = Dir::new("pages");
    let a = Node::start(&dir, "a", &[]);
    // Reading them is no way to change anything.
    assert_eq!(a.get("/leave").0, 405);
    assert_eq!(a.get("/join?seed=127.0.0.1:1").0, 405);
    assert_eq!(a.get("/keys").0, 403);
    let config = ureq::Agent::config_builder().http_status_as_error(false).build();
    let agent = ureq::Agent::from(config);
    let url = format!("http://{}/leave", a.http);
    // A form of another site; a script of another site; a page whose name leads here.
    let form = agent.post(&url).send_empty().unwrap();
    assert_eq!(form.status(), 403);
    let script = agent.post(&url).header("kv-demo-operator", "1");
    let script = script.header("origin", "http://example.org").send_empty().unwrap();
    assert_eq!(script.status(), 403);
    let page = agent.post(&url).header("kv-demo-operator", "1");
    let mut page = page.header("host", "example.org").send_empty().unwrap();
    assert_eq!(page.status(), 403);
    assert!(page.body_mut().read_to_string().unwrap().contains("by its address"));
    assert_eq!(a.members().live, 1);
    // An image of another site, whose address stores a value.
    let url = format!("http://{}/add?key=k&val=v", a.http);
    for (site, status) in [("cross-site", 403), ("same-site", 403), ("none", 200)] {
        let answer = agent.get(&url).header("sec-fetch-site", site).call().unwrap();
        assert_eq!(answer.status(), status, "{site}");
    }
}

// ── Keys ────────────────────────────────────────────────────────────────────────────────────────

#[test]
fn members_of_one_key_find_each_other_and_no_stranger_does() {
    let dir = Dir::new("key");
    let (ours, theirs) = (fresh_key(&dir, "ours"), fresh_key(&dir, "theirs"));
    let (a, _) = encrypted(&dir, "a", &ours, &["--label", "blue", "--compression", "on"]);
    let join = ["--join", &a.join()];
    let blue = [&["--label", "blue"], &join[..]].concat();
    let (b, _) = encrypted(&dir, "b", &ours, &blue);
    b.wait_live(2);
    assert_eq!(a.get("/add?key=color&val=green").0, 200);
    b.wait_value("color", Some("green"));
    let (wrong, _) = encrypted(&dir, "wrong", &theirs, &blue);
    let plain = Node::start(&dir, "plain", &blue);
    for stranger in [&wrong, &plain] {
        stranger.wait_change(What::SeedFailed, &a.join());
        assert_eq!(stranger.members().live, 1);
        assert_eq!(stranger.get("/get?key=color").0, 404);
    }
    assert_eq!(a.members().members.len(), 2);
    let text = refused(&wrong, &["join", &a.join()]);
    assert!(text.contains("joined nobody"), "{text}");
}

#[test]
fn keys_are_shown_by_fingerprints_only() {
    let dir = Dir::new("key-list");
    let key = fresh_key(&dir, "key");
    let (a, _) = encrypted(&dir, "a", &key, &[]);
    let said = told(&a, &["keys", "list"]);
    assert_eq!(said, format!("  {}  primary: encrypts and decrypts\n", fingerprint(&key)));
    let secret = std::fs::read_to_string(&key).unwrap();
    let new = fresh_key(&dir, "new");
    told(&a, &["keys", "install", new.to_str().unwrap()]);
    for text in [said, a.log()] {
        assert!(!text.contains(secret.trim()), "{text}");
    }
    assert!(a.log().contains(&fingerprint(&new)), "{}", a.log());
}

#[test]
fn what_cannot_be_done_to_keys_is_refused_with_the_fix() {
    let dir = Dir::new("key-refusals");
    let (key, new) = (fresh_key(&dir, "key"), fresh_key(&dir, "new"));
    let (a, file) = encrypted(&dir, "a", &key, &[]);
    let (key, unknown) = (fingerprint(&key), fingerprint(&new));
    for (words, hint) in [
        (&["keys", "remove", &key][..], "make another one primary"),
        (&["keys", "use", &unknown], "keys install"),
        (&["keys", "remove", &unknown], "keys install"),
        (&["keys", "use", "abc"], "fingerprint"),
        (&["keys", "install", "/nowhere/key"], "no such file"),
        (
            &["keys", "install", dir.file("bad", "\nsecret\n").to_str().unwrap()],
            "bad:2: not base64",
        ),
        (&["keys", "install", "-"], "standard input: no key"),
    ] {
        let text = refused(&a, words);
        assert!(text.contains(hint), "{words:?}: {text}");
    }
    // The file was changed by hand: it is not overwritten.
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("{text}{}", std::fs::read_to_string(&new).unwrap())).unwrap();
    let third = fresh_key(&dir, "third");
    let text = refused(&a, &["keys", "install", third.to_str().unwrap()]);
    assert!(text.contains("restart the node"), "{text}");
    assert_eq!(ring(&file).keys().count(), 2);
    assert_eq!(told(&a, &["keys", "list"]).lines().count(), 1);

    let plain = Node::start(&dir, "plain", &[]);
    for words in [&["keys", "list"][..], &["keys", "install", new.to_str().unwrap()]] {
        let text = refused(&plain, words);
        assert!(text.contains("--encrypt-key-file"), "{text}");
    }
}

/// Install, use, remove, each everywhere before the next, while values are written all the time.
#[test]
fn a_cluster_changes_its_key_while_it_is_written_to() {
    let dir = Dir::new("rotation");
    let (old, new) = (fresh_key(&dir, "old"), fresh_key(&dir, "new"));
    let (a, a_file) = encrypted(&dir, "a", &old, &[]);
    let join = ["--join", &*a.join()];
    let (b, b_file) = encrypted(&dir, "b", &old, &join);
    let (c, c_file) = encrypted(&dir, "c", &old, &join);
    let nodes = [&a, &b, &c];
    for node in nodes {
        node.wait_live(3);
    }
    let (written, is_done) = (AtomicU32::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_done.load(Ordering::Relaxed) {
                let number = written.load(Ordering::Relaxed);
                let node = nodes[number as usize % nodes.len()];
                assert_eq!(node.get(&format!("/add?key=k{number}&val=v{number}")).0, 200);
                written.store(number + 1, Ordering::Relaxed);
            }
        });
        let everywhere = |words: &[&str]| {
            for node in nodes {
                told(node, words);
                // Values are written between any two steps.
                let before = written.load(Ordering::Relaxed);
                wait_for("a write", || {
                    (written.load(Ordering::Relaxed) > before + 3).then_some(())
                });
            }
        };
        everywhere(&["keys", "install", new.to_str().unwrap()]);
        everywhere(&["keys", "use", &fingerprint(&new)]);
        everywhere(&["keys", "remove", &fingerprint(&old)]);
        is_done.store(true, Ordering::Relaxed);
    });
    for file in [&a_file, &b_file, &c_file] {
        assert_eq!(ring(file), ring(&new), "the files followed");
    }
    for node in nodes {
        for number in 0..written.load(Ordering::Relaxed) {
            node.wait_value(&format!("k{number}"), Some(&format!("v{number}")));
        }
        let changes = node.get("/events").1;
        assert!(changes.contains("\"what\":\"joined\""), "{changes}");
        for word in ["suspected", "failed", "resync"] {
            assert!(!changes.contains(&format!("\"what\":\"{word}\"")), "{changes}");
        }
    }
    let (late, _) = encrypted(&dir, "late", &old, &join);
    late.wait_change(What::SeedFailed, &a.join());
    assert_eq!(late.members().live, 1, "the old key opens nothing");
}

#[test]
fn a_restarted_node_has_the_keys_that_it_had() {
    let dir = Dir::new("restart");
    let (old, new) = (fresh_key(&dir, "old"), fresh_key(&dir, "new"));
    let (a, _) = encrypted(&dir, "a", &old, &[]);
    let (mut b, file) = encrypted(&dir, "b", &old, &["--join", &a.join()]);
    b.wait_live(2);
    for node in [&a, &b] {
        told(node, &["keys", "install", new.to_str().unwrap()]);
    }
    told(&b, &["keys", "use", &fingerprint(&new)]);
    // Without a goodbye: what it was told must have been on the disk.
    b.kill();
    let (again, _) = encrypted(&dir, "b2", &file, &["--join", &a.join()]);
    again.wait_live(2);
    let expected = told(&again, &["keys", "list"]);
    assert!(expected.starts_with(&format!("  {}  primary", fingerprint(&new))), "{expected}");
    assert_eq!(expected.lines().count(), 2);
}

/// The walk of the protocol page §4.16: a running cluster becomes an encrypted one, member by
/// member, and at no time do two of them not understand each other.
#[test]
fn a_plain_cluster_becomes_an_encrypted_one_without_a_pause() {
    let dir = Dir::new("migration");
    let key = fresh_key(&dir, "key");
    let key = key.to_str().unwrap();
    let step = |incoming, outgoing| {
        let verify = ["--verify-incoming", incoming, "--verify-outgoing", outgoing];
        [&["--encrypt-key-file", key], &verify[..]].concat()
    };
    let steps = [Vec::new(), step("off", "off"), step("off", "on"), step("on", "on")];
    let mut anchor = Node::start(&dir, "a0", &[]);
    let mut other = Node::start(&dir, "b0", &["--join", &anchor.join()]);
    for (number, flags) in steps.iter().enumerate().skip(1) {
        anchor.wait_live(2);
        other.signal("TERM");
        other.wait_end();
        let join = ["--join", &*anchor.join()];
        other = Node::start(&dir, &format!("b{number}"), &[flags, &join[..]].concat());
        other.wait_live(2);
        anchor.wait_live(2);
        anchor.signal("TERM");
        anchor.wait_end();
        let join = ["--join", &*other.join()];
        anchor = Node::start(&dir, &format!("a{number}"), &[flags, &join[..]].concat());
        anchor.wait_live(2);
        other.wait_live(2);
    }
    let plain = Node::start(&dir, "plain", &["--join", &anchor.join()]);
    plain.wait_change(What::SeedFailed, &anchor.join());
    assert_eq!(plain.members().live, 1);
}
