//! Settings of a D-Bus call: see carpd's `fuzzed`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| carpd::fuzzed::settings(bytes));
