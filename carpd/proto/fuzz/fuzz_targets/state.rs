//! Run-time state: see carpd's `fuzzed`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| carpd::fuzzed::state(bytes));
