//! The extension module `dsb._core`: signatures, calls into the core, mapped errors, and nothing else.
//!
//! `python/dsb/_core.pyi` and the files that it names are its documentation. Classes are frozen handles on shared
//! state; whatever waits or works for long goes through [`door::detached`].
#![allow(clippy::needless_pass_by_value, reason = "arguments are converted to values of our own")]
#![allow(clippy::similar_names, reason = "`start`, `stop` and `step` are Python's words")]

mod arguments;
mod buffer;
mod clock;
mod door;
mod embedding_ring;
mod error;
mod frame_ring;
mod frame_source;
mod ledger;
mod packet_index;
mod resample;
mod ring_stats;
mod schedule;
mod simulate;
mod window;
mod window_spec;

/// The streaming core.
#[pyo3::pymodule(gil_used = false)]
mod _core {
    use pyo3::prelude::*;

    #[pymodule_export]
    use crate::clock::{RealClock, VirtualClock};
    #[pymodule_export]
    use crate::embedding_ring::EmbeddingRing;
    #[pymodule_export]
    use crate::frame_ring::FrameRing;
    #[pymodule_export]
    use crate::frame_source::FrameSource;
    #[pymodule_export]
    use crate::ledger::SlotLedger;
    #[pymodule_export]
    use crate::packet_index::{PacketIndex, Pruning};
    #[pymodule_export]
    use crate::resample::{
        Curve, Interval, bootstrap_curve, bootstrap_difference, bootstrap_quantile,
        bootstrap_ratio, sign_flip, swap_test,
    };
    #[pymodule_export]
    use crate::ring_stats::RingStats;
    #[pymodule_export]
    use crate::schedule::{Event, Scheduler};
    #[pymodule_export]
    use crate::simulate::{Simulation, Simulator};
    #[pymodule_export]
    use crate::window::Window;
    #[pymodule_export]
    use crate::window_spec::{WindowSpec, select};

    #[pymodule_export]
    #[allow(non_upper_case_globals)] // The name that Python gives it.
    const __version__: &str = env!("CARGO_PKG_VERSION");

    /// Whether the core was compiled without optimisation; benchmarks of such a build mean nothing.
    #[pyfunction]
    fn is_debug_build() -> bool {
        cfg!(debug_assertions)
    }
}
