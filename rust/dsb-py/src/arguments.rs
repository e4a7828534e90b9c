//! What the core calls its argument types, read from Python's.

use std::time::Duration;

use dsb_core::{Ns, Rational};
use pyo3::buffer::{Element, PyBuffer};
use pyo3::exceptions::{PyOverflowError, PyTypeError, PyValueError};
use pyo3::prelude::*;

use crate::error::raise;

/// A count, an id or a seed. A negative number is a `ValueError`, not Python's usual `OverflowError`.
#[derive(Clone, Copy)]
pub(crate) struct Natural(pub(crate) u64);

impl<'py> FromPyObject<'_, 'py> for Natural {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        object.extract().map(Self).map_err(|error| {
            if error.is_instance_of::<PyOverflowError>(object.py()) {
                let got: &Bound<'_, PyAny> = &object;
                let message = format!("expected a number of at least 0 and below 2**64, got {got}");
                return PyValueError::new_err(message);
            }
            error
        })
    }
}

impl Natural {
    /// A size in memory.
    pub(crate) fn size(self) -> PyResult<usize> {
        let size = usize::try_from(self.0);
        size.map_err(|_| PyValueError::new_err(format!("{} is beyond the address space", self.0)))
    }

    /// A duration in nanoseconds.
    pub(crate) fn ns(self) -> PyResult<Ns> {
        let ns = i64::try_from(self.0);
        ns.map(Ns).map_err(|_| PyValueError::new_err(format!("{} ns do not fit 64 bits", self.0)))
    }
}

/// The numbers of an array, copied at once from a buffer of exactly this type, or one by one from any sequence.
pub(crate) struct Column<T>(pub(crate) Vec<T>);

impl<'py, T> FromPyObject<'_, 'py> for Column<T>
where
    T: Element + for<'a> FromPyObject<'a, 'py>,
{
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        if let Ok(buffer) = PyBuffer::<T>::get(&object) {
            if buffer.dimensions() == 1 {
                return buffer.to_vec(object.py()).map(Self);
            }
        }
        object.extract().map(Self).map_err(|error| {
            if error.is_instance_of::<PyOverflowError>(object.py()) {
                // Of all errors, a `TypeError` gets the name of its argument.
                let message = format!("a number does not fit {}", std::any::type_name::<T>());
                return PyTypeError::new_err(message);
            }
            error
        })
    }
}

/// A positive fraction, written `(numerator, denominator)`.
#[derive(Clone, Copy)]
pub(crate) struct Fraction(pub(crate) Rational);

impl<'py> FromPyObject<'_, 'py> for Fraction {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        let (num, den): (Natural, Natural) = object.extract()?;
        Rational::new(num.0, den.0).map(Self).map_err(raise)
    }
}

/// Seconds of wall time. Infinity is no limit.
#[derive(Clone, Copy)]
pub(crate) struct Timeout(pub(crate) Duration);

impl<'py> FromPyObject<'_, 'py> for Timeout {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        let seconds: f64 = object.extract()?;
        if seconds.is_nan() || seconds < 0.0 {
            let message = format!("timeout_s must not be negative, got {seconds}");
            return Err(PyValueError::new_err(message));
        }
        Ok(Self(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)))
    }
}

/// What argument `name` means by `word`.
pub(crate) fn spelled<T: Copy>(name: &str, word: &str, words: &[(&str, T)]) -> PyResult<T> {
    if let Some((_, value)) = words.iter().find(|(spelled, _)| *spelled == word) {
        return Ok(*value);
    }
    let words: Vec<String> = words.iter().map(|(word, _)| format!("'{word}'")).collect();
    let message = format!("{name} must be one of {}, got '{word}'", words.join(", "));
    Err(PyValueError::new_err(message))
}
