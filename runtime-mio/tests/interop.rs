//! Our nodes beside real ones: hashicorp/memberlist at its newest and at the oldest version in the
//! field, and Serf. Both sides are processes.
//!
//! `cargo test --release -p rumormill-mio --test interop -- --nocapture` prints the matrix. It needs
//! Go and Debian's `serf`, and says so if they are missing; with `RUMORMILL_REQUIRE_PEERS=1` it fails
//! then.

#![allow(clippy::unwrap_used, reason = "this is test code")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;

#[path = "interop/members.rs"]
mod members;
#[path = "interop/mixed.rs"]
mod mixed;
#[path = "interop/packets.rs"]
mod packets;
#[path = "interop/peers.rs"]
mod peers;
#[path = "interop/process.rs"]
mod process;
#[path = "interop/serf.rs"]
mod serf;

use peers::{Kind, Peers};
use process::Outcome;

/// Cells that run at once. Each starts two processes or more, and their timings are real.
const CELLS_AT_ONCE: usize = 4;

/// How a cell is tried; `None` where there is nothing to try.
type Trial = Option<fn(&Peers, Kind) -> Outcome>;

struct Row {
    title: &'static str,
    /// In the order of [`Kind::ALL`].
    trials: [Trial; 3],
}

/// With one trial for both members that speak our lines, and one for Serf.
const fn row(title: &'static str, members: fn(&Peers, Kind) -> Outcome, serf: Trial) -> Row {
    Row { title, trials: [Some(members), Some(members), serf] }
}

const ROWS: [Row; 15] = [
    row("join: ours joins theirs", members::join_theirs, Some(serf::join_theirs)),
    row("join: theirs joins ours", members::join_ours, Some(serf::join_ours)),
    row("leave", members::leave, Some(serf::leave)),
    row("kill -9, each side", members::kill, Some(serf::kill)),
    row("suspect and refute", members::suspect_and_refute, Some(serf::suspect_and_refute)),
    row("meta update", members::meta, Some(serf::meta)),
    row("user broadcast, both ways", members::broadcast, None),
    row("reliable message", members::messages, None),
    row("push/pull state", members::state, None),
    Row { title: "label", trials: [Some(members::label), None, None] },
    row("key rotation under traffic", members::keys, Some(serf::keys)),
    row("compression on and off", members::compression, Some(serf::compression)),
    row("IPv4", members::ipv4, Some(serf::ipv4)),
    row("IPv6", members::ipv6, Some(serf::ipv6)),
    row("protocol versions 2-5", members::versions, Some(serf::versions)),
];

#[derive(Clone, Debug)]
enum Verdict {
    Pass,
    NotApplicable,
    Failed(String),
}

fn judge(peers: &Peers, kind: Kind, trial: Trial) -> Verdict {
    let Some(trial) = trial else { return Verdict::NotApplicable };
    match catch_unwind(AssertUnwindSafe(|| trial(peers, kind))) {
        Ok(Ok(())) => Verdict::Pass,
        Ok(Err(error)) => Verdict::Failed(error),
        Err(_) => Verdict::Failed("it panicked".into()),
    }
}

#[test]
fn the_matrix_of_peers() {
    let Some(peers) = peers::find() else { return };
    let cells: Vec<_> = ROWS.iter().flat_map(|row| row.trials.into_iter().zip(Kind::ALL)).collect();
    let next = Mutex::new(cells.iter().enumerate());
    let verdicts = Mutex::new(vec![Verdict::NotApplicable; cells.len()]);
    std::thread::scope(|scope| {
        for _ in 0..CELLS_AT_ONCE {
            scope.spawn(|| {
                loop {
                    let Some((index, (trial, kind))) = next.lock().unwrap().next() else { return };
                    let verdict = judge(peers, *kind, *trial);
                    verdicts.lock().unwrap()[index] = verdict;
                }
            });
        }
    });
    let verdicts = verdicts.into_inner().unwrap();
    print_matrix(&verdicts);
    let failed = verdicts.iter().filter(|verdict| matches!(verdict, Verdict::Failed(_))).count();
    assert_eq!(failed, 0, "cells failed");
}

/// Ten members each, of which memberlist's are a fifth or four fifths.
#[test]
fn every_node_of_a_mixed_cluster_gets_every_message() {
    use mixed::{Case, Links};
    let Some(peers) = peers::find() else { return };
    let case = |links, ours, relay| Case { links, ours, theirs: 10 - ours, relay };
    let cases = [
        case(Links::Ring, 8, true),
        case(Links::Regular, 8, true),
        case(Links::Ring, 2, true),
        case(Links::Ring, 8, false),
        case(Links::Ring, 2, false),
    ];
    let mut table = String::from(
        "| links | ours + Go | Go passes on | messages, heard by all | copies at a Go member | \
         after a proxy's death | after both's |\n|---|---|---|---|---|---|---|",
    );
    let mut failed = Vec::new();
    for case in cases {
        let Case { links, ours, theirs, relay } = case;
        let relay = if relay { "yes" } else { "no" };
        let title = format!("{links} | {ours} + {theirs} | {relay}");
        match mixed::run(peers, case) {
            Ok(seen) => table += &format!("\n| {title} | {seen} |"),
            Err(error) => failed.push(format!("{title}: {error}")),
        }
    }
    println!("{table}");
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// In each of eight runs. Unoptimised it is a matter of minutes, and a part must do.
const DATAGRAMS: usize = if cfg!(debug_assertions) { 1_250 } else { 12_500 };

/// One datagram in four is read by the oldest version, which knows no labels.
#[test]
fn a_hundred_thousand_datagrams_of_ours_are_read_as_meant() {
    let Some(peers) = peers::find() else { return };
    let all = &packets::KEYS[..];
    let runs = [
        ("", &all[..0], &peers.newest),
        ("blue", &all[..0], &peers.newest),
        ("", &all[2..], &peers.newest),
        ("", &all[1..], &peers.newest),
        ("", all, &peers.newest),
        ("blue", all, &peers.newest),
        ("", &all[..0], &peers.oldest),
        ("", all, &peers.oldest),
    ];
    std::thread::scope(|scope| {
        let runs = runs.into_iter().zip(1..).map(|((label, keys, program), seed)| {
            let wrapping = packets::Wrapping { label, keys };
            scope.spawn(move || packets::compare(program, seed, DATAGRAMS, wrapping))
        });
        let runs: Vec<_> = runs.collect();
        let failed: Vec<_> = runs.into_iter().filter_map(|run| run.join().unwrap().err()).collect();
        assert!(failed.is_empty(), "{}", failed.join("\n"));
    });
}

fn print_matrix(verdicts: &[Verdict]) {
    let titles = Kind::ALL.map(Kind::title);
    println!("| | {} |\n|---|---|---|---|", titles.join(" | "));
    for (row, verdicts) in ROWS.iter().zip(verdicts.chunks(titles.len())) {
        let words: Vec<_> = verdicts
            .iter()
            .map(|verdict| match verdict {
                Verdict::Pass => "pass",
                Verdict::NotApplicable => "n.a.",
                Verdict::Failed(_) => "FAILED",
            })
            .collect();
        println!("| {} | {} |", row.title, words.join(" | "));
    }
    for (index, verdict) in verdicts.iter().enumerate() {
        if let Verdict::Failed(error) = verdict {
            let (row, kind) = (&ROWS[index / titles.len()], titles[index % titles.len()]);
            println!("{} x {kind}: {error}", row.title);
        }
    }
}
