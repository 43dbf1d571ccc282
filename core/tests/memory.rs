//! What a member costs beside its own bytes.

#[path = "util/crowd.rs"]
mod crowd;

use crowd::Crowd;

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

/// Most bytes of heap for a member beyond those of its name and meta.
const BYTES_PER_MEMBER_MAX: usize = 128;

/// Heap of a node with `size` members minus heap of the same node alone, minus names and metas, per
/// member: what the allocator was asked for and has not got back, unused capacity included.
fn bytes_per_member(size: usize, meta: &[u8]) -> f64 {
    let mut crowd = Crowd::alone();
    let before = dhat::HeapStats::get().curr_bytes;
    crowd.meet(size, meta);
    let own = crowd::name(1).len() + meta.len();
    let bytes = dhat::HeapStats::get().curr_bytes - before - (size - 1) * own;
    bytes as f64 / (size - 1) as f64
}

#[test]
fn a_member_takes_at_most_128_bytes_beside_name_and_meta() {
    let _profiler = dhat::Profiler::builder().testing().build();
    for meta in [&b""[..], &[7; 40]] {
        let bytes = bytes_per_member(10_000, meta);
        println!(
            "{bytes:.1} bytes per member beside a name of 12 bytes and a meta of {}",
            meta.len()
        );
        assert!(bytes <= BYTES_PER_MEMBER_MAX as f64, "{bytes} bytes per member");
    }
}
