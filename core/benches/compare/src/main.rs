//! The same work through three implementations in one run, at the same cluster sizes:
//!
//! - *ping*: a member's probe comes in, the answer goes out;
//! - *20 known*: gossip about 20 members comes in, nothing of it new.
//!
//! | | what comes in | what is counted |
//! |---|---|---|
//! | Rumormill | memberlist's bytes | `handle_packet`, then `poll_output` until nothing is left |
//! | foca | its own bytes, by its own codec | `handle_data` with a runtime that takes all and keeps nothing |
//! | Go memberlist | the very bytes that Rumormill gets | from the transport's channel until both of its queues are empty |
//!
//! foca's identity here is an address and a number, so that it reads, compares and keeps no names
//! and no meta. Nothing is encrypted, compressed or waiting to be told; no timer runs. Sizes,
//! implementations and works take turns, and the table has medians: time on the wall, allocations
//! per packet. Memory is the heap of a node with all its members minus the same node alone, minus
//! names.

mod foca_side;
mod go_side;
mod our_side;
mod table;

#[path = "../../../tests/util/crowd.rs"]
mod crowd;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use crowd::SIZES;
use foca_side::FocaSide;
use go_side::GoSide;
use our_side::OurSide;
use table::Row;

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

/// Turns that everybody gets for each work and size.
const ROUNDS: usize = 41;

/// Packets in one turn: as many as make a millisecond or two.
const PINGS: u32 = 2_000;
const KNOWN: u32 = 200;

/// Packets that are no longer measured before the first turn.
const WARM_UP: u32 = 2_000;

/// What a packet is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    Ping,
    Known,
}

impl Work {
    pub const ALL: [Self; 2] = [Self::Ping, Self::Known];

    const fn packets(self) -> u32 {
        match self {
            Self::Ping => PINGS,
            Self::Known => KNOWN,
        }
    }
}

/// One implementation with one cluster size.
pub trait Side {
    /// Handles the packet of this work so many times; how long all took.
    fn run(&mut self, work: Work, packets: u32) -> Duration;

    /// Allocations per packet.
    fn allocations(&mut self, work: Work, packets: u32) -> f64;

    /// Bytes of heap per member beside its name.
    fn bytes_per_member(&mut self) -> f64;
}

fn main() -> ExitCode {
    let go = go_side::build();
    if let Err(why) = &go {
        println!("skipped: Go memberlist: {why}");
    }
    let mut sides: Vec<Vec<Box<dyn Side>>> = Vec::new();
    for size in SIZES {
        let mut of_size: Vec<Box<dyn Side>> =
            vec![Box::new(OurSide::new(size)), Box::new(FocaSide::new(size))];
        if let Ok(program) = &go {
            let go = GoSide::start(program, size).expect("the Go program does what it is told");
            of_size.push(Box::new(go));
        }
        sides.push(of_size);
    }
    let rows: Vec<Row> = Work::ALL.iter().flat_map(|&work| measure(work, &mut sides)).collect();
    table::print(&rows);
    let memory: Vec<f64> =
        sides.last_mut().into_iter().flatten().map(|side| side.bytes_per_member()).collect();
    table::print_memory(&memory);
    if table::hold_bars(&rows, &memory) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn measure(work: Work, sides: &mut [Vec<Box<dyn Side>>]) -> Vec<Row> {
    let mut times: Vec<Vec<Vec<f64>>> =
        sides.iter().map(|of_size| vec![Vec::new(); of_size.len()]).collect();
    for side in sides.iter_mut().flatten() {
        side.run(work, WARM_UP);
    }
    for _ in 0..ROUNDS {
        for (of_size, times) in sides.iter_mut().zip(&mut times) {
            for (side, times) in of_size.iter_mut().zip(times) {
                let packets = work.packets();
                times.push(side.run(work, packets).as_secs_f64() * 1e9 / f64::from(packets));
            }
        }
    }
    let rows = sides.iter_mut().zip(&mut times).zip(SIZES);
    rows.map(|((of_size, times), size)| Row {
        work,
        size,
        nanos: times.iter_mut().map(|times| median(times)).collect(),
        allocations: of_size
            .iter_mut()
            .map(|side| side.allocations(work, work.packets()))
            .collect(),
    })
    .collect()
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// How long `work` takes.
#[allow(clippy::disallowed_methods, reason = "this is what measures")]
fn time(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

/// Allocations per packet while `work` handles so many of them.
fn count_allocations(packets: u32, work: impl FnOnce()) -> f64 {
    let _profiler = dhat::Profiler::builder().testing().build();
    let before = dhat::HeapStats::get().total_blocks;
    work();
    (dhat::HeapStats::get().total_blocks - before) as f64 / f64::from(packets)
}

/// Bytes of heap per member of what `build` returns.
fn heap_per_member<T>(size: usize, alone: impl FnOnce() -> T, grow: impl FnOnce(&mut T)) -> f64 {
    let _profiler = dhat::Profiler::builder().testing().build();
    let mut node = alone();
    let before = dhat::HeapStats::get().curr_bytes;
    grow(&mut node);
    let others = size - 1;
    (dhat::HeapStats::get().curr_bytes - before) as f64 / others as f64
}
