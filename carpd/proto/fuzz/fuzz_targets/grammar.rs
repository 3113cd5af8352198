//! Grammar of ifconfig(8) in carpctl and rc.conf.
#![no_main]

#[path = "../../../../dbus/tests/fuzzed/grammar.rs"]
mod grammar;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| grammar::grammar(bytes));
