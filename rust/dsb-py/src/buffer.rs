//! Python's buffer protocol, in both directions.
//!
//! An exporter must refuse a consumer that did not ask for strides when it needs them, and must leave the fields
//! NULL that were not asked for. Otherwise `numpy.frombuffer` of a strided window silently reads wrong bytes.
#![allow(
    unsafe_code,
    reason = "the buffer protocol is a C interface of raw pointers; every block argues"
)]

use std::ffi::c_int;
use std::ptr;

use pyo3::buffer::PyUntypedBuffer;
use pyo3::exceptions::PyBufferError;
use pyo3::ffi;
use pyo3::prelude::*;

/// The bits that these requests add to `PyBUF_STRIDES`.
const C_ORDER: c_int = ffi::PyBUF_C_CONTIGUOUS & !ffi::PyBUF_STRIDES;
const F_ORDER: c_int = ffi::PyBUF_F_CONTIGUOUS & !ffi::PyBUF_STRIDES;
const ANY_ORDER: c_int = ffi::PyBUF_ANY_CONTIGUOUS & !ffi::PyBUF_STRIDES;

/// Shape and strides of an array of bytes: records at a common distance, each in C order.
pub(crate) struct Layout {
    shape: Box<[isize]>,
    strides: Box<[isize]>,
}

impl Layout {
    /// `records` records of shape `item`, `distance` bytes apart.
    pub(crate) fn new(records: usize, distance: usize, item: &[usize]) -> Self {
        let mut strides = vec![1; item.len()];
        for axis in (1..item.len()).rev() {
            strides[axis - 1] = strides[axis] * item[axis];
        }
        Self { shape: signed(records, item), strides: signed(distance, &strides) }
    }

    pub(crate) fn shape(&self) -> &[isize] {
        &self.shape
    }

    /// Bytes that the array holds, without the gaps between records.
    fn len(&self) -> isize {
        self.shape.iter().product()
    }

    /// Whether the records lie back to back.
    pub(crate) fn contiguous(&self) -> bool {
        self.shape[0] <= 1 || self.len() == self.shape[0] * self.strides[0]
    }

    /// Whether C and Fortran order are the same: at most one axis is longer than 1.
    fn flat(&self) -> bool {
        self.shape.iter().filter(|&&length| length > 1).count() <= 1
    }

    /// Refuses a consumer that would read wrong bytes.
    fn check(&self, flags: c_int) -> PyResult<()> {
        let asks = |bits| flags & bits == bits;
        let refusal = if asks(ffi::PyBUF_WRITABLE) {
            "a window is read-only"
        } else if asks(F_ORDER) && !(self.contiguous() && self.flat()) {
            "a window is not in Fortran order"
        } else if !self.contiguous()
            && (!asks(ffi::PyBUF_STRIDES) || asks(C_ORDER) || asks(ANY_ORDER))
        {
            "the records of this window do not lie back to back; go through numpy.asarray(window)"
        } else {
            return Ok(());
        };
        Err(PyBufferError::new_err(refusal))
    }

    /// Fills `view` with what `flags` asks for.
    ///
    /// # Safety
    /// `view` is the valid, writable argument of `getbuffer`. `owner` keeps `self` and `bytes` alive and unchanged,
    /// and `bytes` covers this layout.
    pub(crate) unsafe fn export(
        &self,
        view: *mut ffi::Py_buffer,
        flags: c_int,
        bytes: &[u8],
        owner: Bound<'_, PyAny>,
    ) -> PyResult<()> {
        self.check(flags)?;
        let asked = |bits| flags & bits == bits;
        let if_asked = |bits, values: &[isize]| {
            if asked(bits) { values.as_ptr().cast_mut() } else { ptr::null_mut() }
        };
        // SAFETY: the caller vouches for `view`. The pointers lead into `bytes` and `self`, which live as long as
        // `owner`, whose reference the view takes over and gives back in `PyBuffer_Release`. Consumers must not
        // write through them: `readonly` is set, and shape and strides are theirs to read only.
        unsafe {
            *view = ffi::Py_buffer {
                buf: bytes.as_ptr().cast_mut().cast(),
                obj: owner.into_ptr(),
                len: self.len(),
                itemsize: 1,
                readonly: 1,
                ndim: if asked(ffi::PyBUF_ND) { self.ndim() } else { 1 },
                format: if asked(ffi::PyBUF_FORMAT) {
                    c"B".as_ptr().cast_mut()
                } else {
                    ptr::null_mut()
                },
                shape: if_asked(ffi::PyBUF_ND, &self.shape),
                strides: if_asked(ffi::PyBUF_STRIDES, &self.strides),
                suboffsets: ptr::null_mut(),
                internal: ptr::null_mut(),
            };
        }
        Ok(())
    }

    fn ndim(&self) -> c_int {
        c_int::try_from(self.shape.len()).unwrap_or(c_int::MAX)
    }
}

/// `first`, then `rest`. Sizes of memory that exists fit `isize`.
fn signed(first: usize, rest: &[usize]) -> Box<[isize]> {
    let sizes = std::iter::once(first).chain(rest.iter().copied());
    sizes.map(|size| isize::try_from(size).unwrap_or(isize::MAX)).collect()
}

/// Calls `read` with the bytes of a C-contiguous buffer of any item type.
pub(crate) fn with_bytes<T>(
    buffer: &PyUntypedBuffer,
    _attached: Python<'_>,
    read: impl FnOnce(&[u8]) -> T,
) -> PyResult<T> {
    if !buffer.is_c_contiguous() {
        let message = "expected a C-contiguous buffer; go through numpy.ascontiguousarray";
        return Err(PyBufferError::new_err(message));
    }
    if buffer.len_bytes() == 0 {
        return Ok(read(&[]));
    }
    // SAFETY: the exporter keeps these bytes allocated while `buffer` is held, and they are contiguous. `read` runs
    // attached and calls no Python, so only a thread that writes to memory which it lends out could race with it.
    let bytes = unsafe { std::slice::from_raw_parts(buffer.buf_ptr().cast(), buffer.len_bytes()) };
    Ok(read(bytes))
}
