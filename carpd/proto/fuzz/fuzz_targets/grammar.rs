//! The words of ifconfig(8), as carpctl and rc.conf have them.
#![no_main]

#[path = "../../../../dbus/tests/fuzzed/grammar.rs"]
mod grammar;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| grammar::grammar(bytes));
