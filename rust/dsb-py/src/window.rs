//! `Window`.

use std::ffi::c_int;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use dsb_core::ring::Lease;
use pyo3::exceptions::{PyBufferError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyTuple;

use crate::buffer::Layout;
use crate::door::detached;

/// A read-only lease on records of a ring.
#[pyclass(frozen, module = "dsb._core")]
pub(crate) struct Window {
    ids: Vec<u64>,
    pts_ns: Vec<i64>,
    layout: Layout,
    held: Mutex<Held>,
    /// Everybody who is handed a window may ask for them, and they take a pass over its bytes.
    digests: PyOnceLock<Py<PyTuple>>,
}

/// What a window gives back when it is released.
struct Held {
    records: Option<Arc<Records>>,
    /// Buffers that look at the records.
    exports: usize,
}

struct Records {
    lease: Lease,
    /// Only of records without a common distance, which no strided array can show.
    copy: Option<Box<[u8]>>,
}

impl Records {
    /// From the first byte of the first record to the last byte of the last, and the distance of neighbours.
    fn bytes(&self) -> (&[u8], usize) {
        let copied = || (self.copy.as_deref().unwrap_or_default(), self.lease.record_bytes());
        self.lease.strided().unwrap_or_else(copied)
    }
}

impl Window {
    /// A window on leased records of shape `item`.
    pub(crate) fn new(py: Python<'_>, lease: Lease, item: &[usize]) -> PyResult<Self> {
        let copy = if lease.strided().is_none() {
            Some(detached(py, |_| Ok(Poll::Ready(lease.to_vec().into_boxed_slice())))?)
        } else {
            None
        };
        let records = Records { lease, copy };
        Ok(Self {
            ids: records.lease.ids().iter().collect(),
            pts_ns: records.lease.pts().iter().map(|pts| pts.0).collect(),
            layout: Layout::new(records.lease.len(), records.bytes().1, item),
            held: Mutex::new(Held { records: Some(Arc::new(records)), exports: 0 }),
            digests: PyOnceLock::new(),
        })
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
#[allow(unsafe_code, reason = "the two slots of the buffer protocol")]
impl Window {
    #[getter]
    fn ids<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, &self.ids)
    }

    #[getter]
    fn pts_ns<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, &self.pts_ns)
    }

    #[getter]
    fn shape<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, self.layout.shape())
    }

    #[getter]
    fn contiguous(&self) -> bool {
        self.layout.contiguous()
    }

    fn digests<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let hashed = self.digests.get_or_try_init(py, || {
            let Some(records) = self.held().records.clone() else {
                return Err(PyValueError::new_err("the window has been released"));
            };
            let digests = detached(py, |_| Ok(Poll::Ready(records.lease.digests())))?;
            PyTuple::new(py, digests).map(Bound::unbind)
        })?;
        Ok(hashed.bind(py).clone())
    }

    fn release(&self) -> PyResult<()> {
        let mut held = self.held();
        if held.exports > 0 {
            let message = "an array still looks at this window; delete it or copy it first";
            return Err(PyBufferError::new_err(message));
        }
        held.records = None;
        Ok(())
    }

    fn __len__(&self) -> usize {
        self.ids.len()
    }

    fn __enter__(this: PyRef<'_, Self>) -> PyRef<'_, Self> {
        this
    }

    #[pyo3(signature = (*exc))]
    fn __exit__(&self, exc: &Bound<'_, PyTuple>) -> PyResult<()> {
        let failed = exc.get_item(0).is_ok_and(|class| !class.is_none());
        // The traceback of a failure keeps arrays alive; complaining about them would hide it. The records are
        // given back with the last of them.
        self.release().or_else(|error| if failed { Ok(()) } else { Err(error) })
    }

    fn __repr__(&self) -> String {
        let (oldest, newest) = (self.ids.first(), self.ids.last());
        let span = oldest.zip(newest).map_or(String::new(), |(a, b)| format!(", ids {a}..={b}"));
        format!("Window(shape={:?}{span})", self.layout.shape())
    }

    /// # Safety
    /// Python passes a `view` that is ours to fill.
    unsafe fn __getbuffer__(
        this: Bound<'_, Self>,
        view: *mut ffi::Py_buffer,
        flags: c_int,
    ) -> PyResult<()> {
        // SAFETY: `view` is as our caller got it from Python, which wants to see NULL here after a failure.
        unsafe { (*view).obj = std::ptr::null_mut() };
        let window = this.get();
        let mut held = window.held();
        let Some(records) = &held.records else {
            return Err(PyBufferError::new_err("the window has been released"));
        };
        let (bytes, _) = records.bytes();
        // SAFETY: `view` is Python's, as above. Its reference to `this` keeps the layout
        // alive, and with `exports` above 0 also the records; the layout was made for their bytes.
        unsafe { window.layout.export(view, flags, bytes, this.as_any().clone()) }?;
        held.exports += 1;
        Ok(())
    }

    /// # Safety
    /// Python calls this once for each view that was filled.
    unsafe fn __releasebuffer__(&self, _view: *mut ffi::Py_buffer) {
        self.held().exports -= 1;
    }
}
