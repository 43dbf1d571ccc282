//! What the fuzzers check, on stable Rust: the committed corpora, whole and cut off.

#![allow(clippy::unwrap_used, reason = "this is test code")]

use std::fs;
use std::path::{Path, PathBuf};

#[path = "../../fuzz/src/lib.rs"]
#[allow(unreachable_pub, dead_code, reason = "the same file is a crate's root in fuzz/")]
mod checks;

use checks::Nodes;

/// A corpus is for people to look through.
const FILES_MAX: usize = 64;
const BYTES_MAX: usize = 100_000;

/// Places in which each input is cut off, beside its own end.
const CUTS: usize = 8;

fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder: PathBuf =
        [env!("CARGO_MANIFEST_DIR"), "..", "fuzz", "corpus", target].iter().collect();
    inputs(&folder)
}

/// What real peers sent.
fn captured(kind: &str) -> Vec<(String, Vec<u8>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/captured");
    let of = |peer| inputs(&root.join(peer).join(kind));
    ["0.7.0", "0.2.2", "serf"].into_iter().flat_map(of).collect()
}

fn inputs(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut inputs: Vec<_> = fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap())
        .map(|entry| {
            (entry.file_name().to_string_lossy().into_owned(), fs::read(entry.path()).unwrap())
        })
        .collect();
    inputs.sort();
    inputs
}

fn replay(target: &str, check: fn(&[u8])) {
    replay_all(target, corpus(target), check);
}

fn replay_all(target: &str, inputs: Vec<(String, Vec<u8>)>, check: fn(&[u8])) {
    for (name, bytes) in inputs {
        for cut in 0..=CUTS {
            let len = bytes.len() * cut / CUTS;
            // Shown if the check fails.
            println!("{target}: {len} bytes of {name}");
            check(&bytes[..len]);
        }
    }
}

#[test]
fn datagrams_of_the_corpus_pass_all_checks() {
    replay("packet", |bytes| checks::packet(bytes, Nodes::All));
    replay_all("captured packet", captured("packets"), |bytes| checks::packet(bytes, Nodes::All));
}

#[test]
fn streams_of_the_corpus_pass_all_checks() {
    replay("stream", |bytes| checks::stream(bytes, Nodes::All));
    replay_all("captured stream", captured("streams"), |bytes| checks::stream(bytes, Nodes::All));
}

#[test]
fn user_messages_of_the_corpus_pass_all_checks() {
    replay("envelope", |bytes| checks::envelope(bytes, Nodes::All));
}

#[test]
fn values_of_the_corpus_come_back() {
    replay("roundtrip", checks::roundtrip);
}

#[test]
fn lives_of_the_corpus_keep_all_invariants() {
    replay("node", |chance| assert!(checks::node(chance) > 0, "a life has inputs"));
}

#[test]
fn the_corpora_hold_every_seed_as_it_is_written_today_and_are_small() {
    use checks::seeds;
    let targets =
        [("packet", seeds::packet()), ("stream", seeds::stream()), ("envelope", seeds::envelope())];
    for (target, seeds) in targets {
        let corpus = corpus(target);
        for seed in seeds {
            let file = corpus.iter().find(|(name, _)| name == seed.name);
            let is_current = file.is_some_and(|(_, bytes)| *bytes == seed.bytes);
            assert!(is_current, "{target}/{}: write the seeds, see fuzz/README.md", seed.name);
        }
    }
    for target in ["packet", "stream", "envelope", "roundtrip", "node"] {
        let corpus = corpus(target);
        let bytes: usize = corpus.iter().map(|(_, bytes)| bytes.len()).sum();
        assert!(corpus.len() <= FILES_MAX, "{target} has {} files", corpus.len());
        assert!(bytes <= BYTES_MAX, "{target} has {bytes} bytes");
    }
}
