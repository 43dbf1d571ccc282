//! What must hold for any bytes that reach a node. Each target is one function from bytes to a
//! panic; an input is exactly what lies on the wire, so that a captured datagram is a seed.
//!
//! | target | an input is | beyond "no panic" it holds that |
//! |---|---|---|
//! | [`packet`] | a datagram | encrypted or compressed it says the same as without; what is decoded encodes to its canonical form and back, whose size follows the input and no claim in it; a refused datagram leaves no trace but in counters; all that the node then sends, it would itself accept |
//! | [`stream`] | all bytes of a stream | encrypted or compressed they say the same as without; any way to cut them into pieces gives the same result, in the inbox and in the node; the stream is closed exactly once; the answer is a whole message |
//! | [`envelope`] | a user message | envelope, sections and tag come back byte for byte; a rumour is told once and forwarded as it came, one hop further |
//! | [`roundtrip`] | chance | any message, envelope, sections or tag, in any layers, comes back as the same |
//! | [`node`] | chance | three nodes live through it: packets real and forged, streams, time, their users; whatever happens they keep their invariants and limits, and never ask to be woken at once |
//!
//! Whole nodes cost far more than decoding does, and a fuzzer sees more if only some inputs go to
//! them: [`Nodes`].
//!
//! The node checks its own invariants whenever it is drained. libFuzzer runs these functions from
//! `fuzz_targets/`; `core/tests/corpora.rs` includes this very file and runs them over
//! the committed corpora, [`seeds`] among them, on stable Rust, in `cargo test`. So the checks use the
//! core, the standard library and `arbitrary` only, and name each other relatively.

#![forbid(unsafe_code)]

mod cluster;
mod draw;
mod envelope;
mod node;
mod packet;
mod roundtrip;
pub mod seeds;
mod stream;
mod world;

pub use envelope::envelope;
pub use node::node;
pub use packet::packet;
pub use roundtrip::roundtrip;
pub use stream::stream;

use rumormill::wire::{Full, SliceWriter};

/// Which inputs of a decoder go to whole nodes too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nodes {
    /// Each, to one of every kind.
    All,
    /// One in sixteen, by the input itself, to one of one kind.
    Some,
}

impl Nodes {
    /// Those of the kinds to which the input goes.
    fn of<T, const KINDS: usize>(self, kinds: [T; KINDS], input: &[u8]) -> Vec<T> {
        const ONE_IN: usize = 16;
        let chosen = match self {
            Self::All => None,
            Self::Some => Some(hash(input) as usize % (ONE_IN * KINDS)),
        };
        let is_chosen = |&(index, _): &(usize, T)| chosen.is_none_or(|chosen| index == chosen);
        kinds.into_iter().enumerate().filter(is_chosen).map(|(_, kind)| kind).collect()
    }
}

/// FNV-1a: chance that the input decides.
fn hash(input: &[u8]) -> u32 {
    input.iter().fold(0x811c_9dc5, |hash, &byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// How many rooms that are too small an encoder is tried with, beside none and one byte less.
const CUTS: usize = 8;

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
    let cuts = (0..len).step_by(len / CUTS + 1);
    for room in cuts.chain([len.saturating_sub(1), len]) {
        let fits = encode(&mut SliceWriter::new(&mut buf[..room])).is_ok();
        assert_eq!(fits, room >= len, "{room} bytes of room for {len}");
    }
}
