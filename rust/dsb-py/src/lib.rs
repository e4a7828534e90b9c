//! The extension module `dsb._core`: signatures, calls into the core, mapped errors, and nothing else.
//!
//! `python/dsb/_core.pyi` is its documentation. Classes are frozen handles on shared state; whatever waits or works
//! for long goes through [`door::detached`].

mod arguments;
mod clock;
mod door;
mod error;
mod ledger;
mod resample;
mod schedule;

/// The streaming core.
#[pyo3::pymodule(gil_used = false)]
mod _core {
    use pyo3::prelude::*;

    #[pymodule_export]
    use crate::clock::{RealClock, VirtualClock};
    #[pymodule_export]
    use crate::ledger::SlotLedger;
    #[pymodule_export]
    use crate::resample::{Interval, bootstrap_difference, bootstrap_ratio, sign_flip};
    #[pymodule_export]
    use crate::schedule::{Event, Scheduler};

    #[pymodule_export]
    #[allow(non_upper_case_globals)] // The name that Python gives it.
    const __version__: &str = env!("CARGO_PKG_VERSION");

    /// Whether the core was compiled without optimisation; benchmarks of such a build mean nothing.
    #[pyfunction]
    fn is_debug_build() -> bool {
        cfg!(debug_assertions)
    }
}
