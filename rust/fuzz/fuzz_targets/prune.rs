//! The choice of pictures that are decoded against an exhaustive walk along their references.
#![no_main]

libfuzzer_sys::fuzz_target!(|case: dsb_fuzz::prune::Case| case.check());
