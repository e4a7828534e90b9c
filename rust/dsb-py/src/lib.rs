//! The extension module `dsb._core`.
