//! The simulated experiment against theory: with the thesis' delays, without piggyback and with phases
//! at random, spreading must take the time that first principles and an independent simulator say.
//!
//! The larger dimensions take minutes and are run by hand: `kv-demo experiment --suite thesis --delay
//! thesis --piggyback off --phase random`; the closing figures stand in DESIGN.md.

#![allow(clippy::unwrap_used, reason = "this is test code")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use kv_demo::config::{Mode, Overrides, Phase, Preset};
use kv_demo::experiment::{Conditions, Continue, Delay, Keep, Options, Place, WorldPlan, run_all};
use kv_demo::metrics::RunFigures;
use kv_demo::report::Results;
use kv_demo::summary::Statistics;
use kv_demo::topology::{Graph, Topology};
use kv_demo::trace::TraceFormat;

const REPEATS: u32 = 20;

/// Times in seconds by dimension: `classic`, `thesis-matching` on hypercube, ring, bus; and copies in
/// the window of `thesis-classic`, `classic` and `thesis-matching` on the hypercube, where known.
const EXPECTED: [(u32, [f64; 4], Option<[f64; 3]>); 3] = [
    (2, [0.55, 0.97, 0.97, 1.51], Some([307.0, 35.0, 23.0])),
    (3, [1.11, 1.01, 1.45, 2.65], None),
    (4, [1.46, 1.40, 2.60, 5.07], Some([11_392.0, 291.0, 294.0])),
];

/// When the last node can have a rumour at the earliest, in milliseconds: hypercube, ring, bus.
const LIMITS: [(u32, [f64; 3]); 5] = [
    (2, [500.0, 500.0, 750.0]),
    (3, [525.0, 550.0, 850.0]),
    (4, [550.0, 650.0, 1_050.0]),
    (5, [575.0, 850.0, 1_450.0]),
    (6, [600.0, 1_250.0, 2_250.0]),
];

const TOPOLOGIES: [Topology; 3] = [Topology::Hypercube, Topology::Ring, Topology::Bus];

#[test]
fn gossip_by_ticks_takes_the_time_and_the_copies_that_theory_says() {
    for (dim, times, loads) in EXPECTED {
        let cube = run("ticks-cube", Topology::Hypercube, dim, &Mode::ALL, REPEATS);
        let seconds = |runs: &Results, mode| {
            figures(runs, mode, |run| run.convergence_ms.map(|ms| ms / 1_000.0))
        };
        close(dim, "classic", &seconds(&cube, Mode::Classic), times[0]);
        close(dim, "cube", &seconds(&cube, Mode::ThesisMatching), times[1]);
        for (topology, expected) in [(Topology::Ring, times[2]), (Topology::Bus, times[3])] {
            let runs = run("ticks-line", topology, dim, &[Mode::ThesisMatching], REPEATS);
            close(dim, topology.name(), &seconds(&runs, Mode::ThesisMatching), expected);
        }
        let copies = |mode| {
            figures(&cube, mode, |run| u32::try_from(run.tick_copies_in_window).ok().map(f64::from))
        };
        if let Some([no_dedup, classic, matching]) = loads {
            close(dim, "copies without dedup", &copies(Mode::ThesisClassic), no_dedup);
            close(dim, "copies of classic", &copies(Mode::Classic), classic);
            close(dim, "copies on the cube", &copies(Mode::ThesisMatching), matching);
        }
    }
}

#[test]
fn forwarding_at_once_takes_exactly_the_limit_of_the_graph() {
    for (dim, limits) in LIMITS {
        for (topology, limit) in TOPOLOGIES.into_iter().zip(limits) {
            let results = run("at-once", topology, dim, &[Mode::Matching], 2);
            for run in &results.runs {
                assert_eq!(run.convergence_ms, Some(limit), "{topology} {dim}");
                assert_eq!(run.receipts_ms.len() + 1, run.nodes as usize, "{topology} {dim}");
            }
            let floor = Some(results.header.calibrate[0].median_ms);
            assert_eq!(floor, Some(limit), "the floor says so too");
        }
    }
}

/// Within 10 % or two standard errors, whichever is wider.
fn close(dim: u32, what: &str, found: &Statistics, expected: f64) {
    let (mean, std) = (found.mean().unwrap(), found.std().unwrap());
    let allowed = (expected * 0.1).max(2.0 * std / f64::from(REPEATS).sqrt());
    assert!(
        (mean - expected).abs() <= allowed,
        "{what} of dimension {dim}: {mean} instead of {expected}, allowed is ± {allowed}"
    );
}

fn figures(
    results: &Results,
    mode: Mode,
    figure: impl Fn(&RunFigures) -> Option<f64>,
) -> Statistics {
    results.runs.iter().filter(|run| run.mode == mode).filter_map(figure).collect()
}

fn run(name: &str, topology: Topology, dim: u32, modes: &[Mode], repeats: u32) -> Results {
    let folder = format!("rumormill-theory-{}-{name}-{topology}-{dim}", std::process::id());
    let out = Folder(std::env::temp_dir().join(folder));
    // Floor and repair are faster than a long list alone.
    let overrides = Overrides {
        piggyback: Some(false),
        phase: Some(Phase::Random),
        repair: Some(false),
        floor: Some(false),
        ..Overrides::default()
    };
    let options = Options {
        graphs: vec![Arc::new(Graph::of_dim(topology, dim, 1).unwrap())],
        seed: 1,
        modes: modes.to_vec(),
        repeats,
        preset: Preset::Thesis,
        override_words: overrides.words(),
        overrides,
        conditions: Conditions::default(),
        window_ms: None,
        horizon_ms: 20_000,
        spacing_ms: 1,
        warm_up_ms: 0,
        calibrate_rounds: 0,
        trace_format: TraceFormat::Json,
        place: Place::World(WorldPlan { seed: 1, delay: Delay::Thesis, loss_ppm: 0 }),
        keep: Keep::Figures,
        go_on: Continue::Never,
        out: out.0.clone(),
        hosts: None,
    };
    run_all(Path::new("no process is started"), &options).unwrap()
}

/// A folder that goes with its owner.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
