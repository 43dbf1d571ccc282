//! What must hold for any bytes that reach a node. Each target is one function from bytes to a
//! panic; an input is exactly what lies on the wire, so that a captured datagram is a seed.
//!
//! | target | an input is | beyond "no panic" it holds that |
//! |---|---|---|
//! | [`packet`] | a datagram | what is decoded encodes to its canonical form and back, whose size follows the input and no claim in it; a refused datagram leaves no trace but in counters; all that the node then sends, it would itself accept |
//! | [`stream`] | all bytes of a stream | any way to cut them into pieces gives the same result, in the inbox and in the node; the stream is closed exactly once; the answer is a whole message |
//! | [`envelope`] | a user message | envelope, sections and tag come back byte for byte; a rumour is told once and forwarded as it came, one hop further |
//!
//! The node checks its own invariants whenever it is drained. libFuzzer runs these functions from
//! `fuzz_targets/`; `core/tests/corpora.rs` includes this very file and runs them over
//! the committed corpora, [`seeds`] among them, on stable Rust, in `cargo test`. So the checks use the
//! core and the standard library only, and name each other relatively.

#![forbid(unsafe_code)]

mod envelope;
mod packet;
pub mod seeds;
mod stream;
mod world;

pub use envelope::envelope;
pub use packet::packet;
pub use stream::stream;

use rumormill::wire::{Full, SliceWriter};

/// Longest record whose encoder is tried with every room that is too small.
const CUT_LEN_MAX: usize = 200;

/// Runs an encoder into a vector.
fn encoded(encode: impl FnOnce(&mut Vec<u8>) -> Result<(), Full>) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(&mut bytes).expect("a vector is never full");
    bytes
}

/// Fails unless an encoder that writes `len` bytes takes exactly that room, and says so if there is
/// less.
#[track_caller]
fn assert_never_cut(len: usize, encode: impl Fn(&mut SliceWriter<'_>) -> Result<(), Full>) {
    let mut buf = vec![0; len];
    let shorter = len.saturating_sub(1).min(CUT_LEN_MAX);
    for room in (0..shorter).chain([len.saturating_sub(1), len]) {
        let fits = encode(&mut SliceWriter::new(&mut buf[..room])).is_ok();
        assert_eq!(fits, room >= len, "{room} bytes of room for {len}");
    }
}
