//! Fuzz target `uplink_frames`, see `trust::fuzz_targets`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| trust::fuzz_targets::run("uplink_frames", data));
