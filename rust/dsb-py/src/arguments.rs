//! What the core calls its argument types, read from Python's.

use dsb_core::{Ns, Rational};
use pyo3::exceptions::{PyOverflowError, PyValueError};
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
    /// A duration in nanoseconds.
    pub(crate) fn ns(self) -> PyResult<Ns> {
        let ns = i64::try_from(self.0);
        ns.map(Ns).map_err(|_| PyValueError::new_err(format!("{} ns do not fit 64 bits", self.0)))
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
