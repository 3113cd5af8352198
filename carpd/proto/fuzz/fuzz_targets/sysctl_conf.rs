//! sysctl.conf: see carpd's `fuzzed`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| carpd::fuzzed::sysctl_conf(bytes));
