//! The bytes of a stream, whichever side dialled.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| rumormill_fuzz::stream(
    bytes,
    rumormill_fuzz::Nodes::Some
));
