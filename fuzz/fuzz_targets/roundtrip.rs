//! Any value, through all layers.
#![no_main]

libfuzzer_sys::fuzz_target!(|chance: &[u8]| rumormill_fuzz::roundtrip(chance));
