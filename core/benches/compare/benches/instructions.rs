//! How many instructions a packet costs that teaches nothing new, as callgrind counts them: the
//! same on a busy machine. `instructions.sh` runs this and holds the bar.

#![allow(unused_qualifications, missing_docs, reason = "what gungraun's macros write")]

#[path = "../../../tests/util/crowd.rs"]
mod crowd;

use std::hint::black_box;

use crowd::Crowd;
use gungraun::{library_benchmark, library_benchmark_group, main};

/// A node and a packet that it has seen before.
fn ping(size: usize) -> (Box<Crowd>, Vec<u8>) {
    warm(size, crowd::ping())
}

fn known(size: usize) -> (Box<Crowd>, Vec<u8>) {
    warm(size, crowd::known_updates(size))
}

fn warm(size: usize, packet: Vec<u8>) -> (Box<Crowd>, Vec<u8>) {
    let mut crowd = Box::new(Crowd::new(size, b""));
    // The first packets grow buffers.
    for _ in 0..100 {
        crowd.receive(&packet);
    }
    (crowd, packet)
}

// Node and packet are given back: freeing them is no part of the work.
#[library_benchmark(setup = ping)]
#[bench::members_10(10)]
#[bench::members_1000(1_000)]
#[bench::members_10000(10_000)]
fn ping_to_ack((mut crowd, packet): (Box<Crowd>, Vec<u8>)) -> (Box<Crowd>, Vec<u8>) {
    crowd.receive(black_box(&packet));
    (crowd, packet)
}

#[library_benchmark(setup = known)]
#[bench::members_10(10)]
#[bench::members_1000(1_000)]
#[bench::members_10000(10_000)]
fn known_updates((mut crowd, packet): (Box<Crowd>, Vec<u8>)) -> (Box<Crowd>, Vec<u8>) {
    crowd.receive(black_box(&packet));
    (crowd, packet)
}

library_benchmark_group!(name = packets, benchmarks = [ping_to_ack, known_updates]);
main!(library_benchmark_groups = packets);
