//! Decoding takes memory for what came, never for what a length in it claims.

#![allow(clippy::unwrap_used, reason = "this is test code")]

use std::fs;
use std::path::PathBuf;

use rumormill::wire::message::Message;
use rumormill::wire::packet::{self, Protection};
use rumormill::wire::stream::Inbox;

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

/// A vector that grows byte by byte is moved a few times, to twice its size each; the rest is for
/// its smallest capacity, once for each field of a message.
fn bytes_max(len: usize) -> u64 {
    4 * len as u64 + 128
}

/// What it takes to decompress: the tables, and the first piece of output.
const UNPACKING_MAX: u64 = 64 << 10;

/// Bytes that the heap handed out while `work` ran.
fn bytes(work: impl FnOnce()) -> u64 {
    let before = dhat::HeapStats::get().total_bytes;
    work();
    dhat::HeapStats::get().total_bytes - before
}

fn corpus(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder: PathBuf =
        [env!("CARGO_MANIFEST_DIR"), "..", "fuzz", "corpus", target].iter().collect();
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths.map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

#[test]
fn no_claim_in_an_input_takes_memory() {
    let _profiler = dhat::Profiler::builder().testing().build();
    for (path, datagram) in corpus("packet") {
        let label = packet::split_label(&datagram).map_or(&b""[..], |(label, _)| label);
        let Ok(parts) = packet::open(&datagram, label) else { continue };
        for part in parts {
            let taken = bytes(|| _ = Message::decode(part));
            assert!(taken <= bytes_max(part.len()), "{taken} bytes for {}", path.display());
        }
    }
    for (path, stream) in corpus("stream") {
        let (label, rest) = packet::split_label(&stream).unwrap_or((b"", &stream));
        let taken =
            bytes(|| _ = Inbox::for_request(1 << 20).push(&stream, Protection::label(label)));
        let unpacking = if rest.first() == Some(&9) { UNPACKING_MAX } else { 0 };
        let max = bytes_max(stream.len()) + unpacking;
        assert!(taken <= max, "{taken} bytes for {}", path.display());
    }
    // Four of the longest claims: of members, of user state, of bytes, of numbers.
    for claims in [
        &b"\x06\x82\xa5Nodes\xce\0\x10\0\0\xacUserStateLen\xce\x01\x40\0\0"[..],
        b"\x08\x81\xaaUserMsgLen\xce\x01\x40\0\0",
        b"\0\x81\xa4Node\xdb\xff\xff\xff\xff",
        b"\0\x81\xa4Node\xdd\xff\xff\xff\xff",
    ] {
        let taken = bytes(|| _ = Inbox::for_request(64 << 20).push(claims, Protection::label(b"")));
        assert!(taken <= bytes_max(claims.len()), "{taken} bytes for {claims:?}");
    }
}
