//! The life of some nodes. At the end it says how many inputs a life had on average.
#![no_main]

use std::sync::atomic::{AtomicU64, Ordering};

static LIVES: AtomicU64 = AtomicU64::new(0);
static INPUTS: AtomicU64 = AtomicU64::new(0);

libfuzzer_sys::fuzz_target!(|chance: &[u8]| {
    let inputs = rumormill_fuzz::node(chance) as u64;
    let inputs = INPUTS.fetch_add(inputs, Ordering::Relaxed) + inputs;
    let lives = LIVES.fetch_add(1, Ordering::Relaxed) + 1;
    // Often enough that a short run says it too.
    if lives.is_power_of_two() || lives % 100_000 == 0 {
        eprintln!("inputs per life: {} in {lives} lives", inputs / lives);
    }
});
