//! Who touches which record, for the models of `tests/loom_ring.rs`.

/// Tells a model about accesses through raw pointers, which it cannot see. One that the locks do not order against
/// a write of the same record ends the test.
#[cfg(loom)]
mod model {
    use loom::cell::UnsafeCell;

    #[derive(Debug)]
    pub(in crate::ring) struct Watch(Vec<UnsafeCell<()>>);

    // SAFETY: the cells hold nothing, and a model runs one thread at a time.
    unsafe impl Sync for Watch {}

    impl Watch {
        pub(in crate::ring) fn new(records: usize) -> Self {
            Self((0..records).map(|_| UnsafeCell::new(())).collect())
        }

        pub(in crate::ring) fn read(&self, id: u64, count: u64) {
            (id..id + count).for_each(|id| self.cell(id).with(|_| ()));
        }

        pub(in crate::ring) fn write(&self, id: u64, count: u64) {
            (id..id + count).for_each(|id| self.cell(id).with_mut(|_| ()));
        }

        fn cell(&self, id: u64) -> &UnsafeCell<()> {
            &self.0[usize::try_from(id).unwrap_or(usize::MAX) % self.0.len()]
        }
    }
}

/// Nothing, outside a model.
#[cfg(not(loom))]
mod model {
    #[derive(Debug)]
    pub(in crate::ring) struct Watch;

    #[expect(clippy::unused_self, reason = "as in a model")]
    impl Watch {
        pub(in crate::ring) fn new(_records: usize) -> Self {
            Self
        }

        #[inline]
        pub(in crate::ring) fn read(&self, _id: u64, _count: u64) {}

        #[inline]
        pub(in crate::ring) fn write(&self, _id: u64, _count: u64) {}
    }
}

pub(super) use model::Watch;
