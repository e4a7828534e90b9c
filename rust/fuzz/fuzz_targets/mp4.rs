//! The tables of MP4 files, pruning by them, and reading what comes out.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| dsb_fuzz::mp4::check(bytes));
