//! A datagram at the gossip port.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| rumormill_fuzz::packet(
    bytes,
    rumormill_fuzz::Nodes::Some
));
