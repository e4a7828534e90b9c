//! The NUT reader over arbitrary bytes.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| dsb_fuzz::nut::check(bytes));
