//! What a packet costs that teaches nothing new: time, and allocations, which must be none.
//!
//! The node handles the packet and is drained; it knows 10, 1 000 or 10 000 members. The bytes of
//! the packet are the same at every size but for the names in it.

#[path = "../tests/util/crowd.rs"]
mod crowd;

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion};
use crowd::{Crowd, SIZES};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

/// Packets handled while allocations are counted.
const COUNTED: u64 = 1_000;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    measure(&mut criterion, "ping to ack", |_| crowd::ping());
    measure(&mut criterion, "20 known updates", crowd::known_updates);
    criterion.final_summary();
}

fn measure(criterion: &mut Criterion, what: &str, packet: impl Fn(usize) -> Vec<u8>) {
    let mut group = criterion.benchmark_group(what);
    for size in SIZES {
        let (mut crowd, packet) = (Crowd::new(size, b""), packet(size));
        // The first packets grow buffers.
        for _ in 0..COUNTED {
            crowd.receive(&packet);
        }
        group.bench_with_input(BenchmarkId::from_parameter(size), &packet, |bench, packet| {
            bench.iter(|| crowd.receive(black_box(packet)));
        });
        let blocks = allocations(|| {
            for _ in 0..COUNTED {
                crowd.receive(&packet);
            }
        });
        println!("{what}, {size} members: {blocks} allocations in {COUNTED} packets");
        assert_eq!(blocks, 0, "{what} allocates");
    }
    group.finish();
}

/// Counted apart from the time: counting costs some.
fn allocations(work: impl FnOnce()) -> u64 {
    let _profiler = dhat::Profiler::builder().testing().build();
    let before = dhat::HeapStats::get().total_blocks;
    work();
    dhat::HeapStats::get().total_blocks - before
}
