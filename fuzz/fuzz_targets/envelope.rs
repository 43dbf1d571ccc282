//! What lies inside memberlist's opaque bytes: envelope, sections, tag.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| rumormill_fuzz::envelope(
    bytes,
    rumormill_fuzz::Nodes::Some
));
