//! The NUT reader over arbitrary packets whose checksums are right, so that what lies behind them is reached.
#![no_main]

use dsb_fuzz::nut::{assemble, check};

libfuzzer_sys::fuzz_target!(|recipe: &[u8]| check(&assemble(recipe)));
