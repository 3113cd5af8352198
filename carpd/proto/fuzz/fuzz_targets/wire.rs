//! Parsers of all formats.
#![no_main]

#[path = "../../tests/fuzzed/wire.rs"]
mod wire;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| wire::wire(bytes));
