//! `SlotLedger`.

use std::sync::{Mutex, MutexGuard, PoisonError};

use dsb_core::ledger::{Ledger, Slot};
use pyo3::prelude::*;

use crate::arguments::Natural;
use crate::error::raise;

/// Who holds which slot of a KV arena.
#[pyclass(frozen, module = "dsb._core")]
pub(crate) struct SlotLedger(Mutex<Ledger>);

impl SlotLedger {
    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl SlotLedger {
    #[new]
    fn new(capacity: Natural) -> PyResult<Self> {
        Ledger::new(capacity.0).map(|ledger| Self(Mutex::new(ledger))).map_err(raise)
    }

    #[getter]
    fn capacity(&self) -> Slot {
        self.ledger().capacity()
    }

    #[getter]
    fn used(&self) -> Slot {
        self.ledger().used()
    }

    #[pyo3(signature = (owner, slots, *, sink = false))]
    fn append(&self, owner: Natural, slots: Natural, sink: bool) -> PyResult<(Slot, Slot)> {
        let given = self.ledger().append(owner.0, slots.0, sink).map_err(raise)?;
        Ok((given.start, given.end))
    }

    fn mark(&self) -> u64 {
        self.ledger().mark()
    }

    fn rollback(&self, mark: Natural) -> PyResult<()> {
        self.ledger().rollback(mark.0).map_err(raise)
    }

    fn evict(&self, owners: Vec<Natural>) -> PyResult<Vec<(Slot, Slot)>> {
        let moves = self.ledger().evict(&ids(&owners)).map_err(raise)?;
        Ok(moves.into_iter().map(|slot| (slot.source, slot.destination)).collect())
    }

    fn slots(&self, owner: Natural) -> Vec<Slot> {
        self.ledger().slots(owner.0).to_vec()
    }

    fn owners(&self) -> Vec<u64> {
        self.ledger().owners()
    }

    fn visible(&self, owners: Vec<Natural>) -> Vec<Slot> {
        self.ledger().visible(&ids(&owners))
    }

    fn __repr__(&self) -> String {
        let ledger = self.ledger();
        format!("SlotLedger(capacity={}, used={})", ledger.capacity(), ledger.used())
    }
}

fn ids(owners: &[Natural]) -> Vec<u64> {
    owners.iter().map(|owner| owner.0).collect()
}
