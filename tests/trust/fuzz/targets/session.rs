//! See `trust::targets`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| trust::targets::run("session", data));
