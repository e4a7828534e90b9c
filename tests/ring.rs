//! The ring against a model, step by step.
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "test values are small, and a test may panic"
)]

use std::time::Duration;

use dsb_core::ring::Geometry;
use dsb_core::{EmbeddingRing, End, Error, Lease, Ns, Overflow, Ring, Selection, WindowSpec};
use proptest::prelude::*;

const NO_WAIT: Option<Duration> = Some(Duration::ZERO);

/// What record `id` holds.
fn content(id: u64, bytes: usize) -> Vec<u8> {
    (0..bytes).map(|i| (id as usize * 7 + i * 13 + 1) as u8).collect()
}

fn pts(id: u64) -> Ns {
    Ns(id as i64 * 10)
}

#[derive(Clone, Debug)]
enum Step {
    Push(usize),
    Abandon,
    Lease { back: u64, len: u64, step: u64 },
    At { t: i64, max: usize },
    Drop(prop::sample::Index),
    Release(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (1_usize..4).prop_map(Step::Push),
        1 => Just(Step::Abandon),
        3 => (0_u64..12, 0_u64..8, 1_u64..4)
            .prop_map(|(back, len, step)| Step::Lease { back, len, step }),
        1 => (0_i64..400, 1_usize..6).prop_map(|(t, max)| Step::At { t, max }),
        3 => any::<prop::sample::Index>().prop_map(Step::Drop),
        2 => (0_u64..6).prop_map(Step::Release),
    ];
    prop::collection::vec(step, 1..60)
}

/// The same ring as three numbers and a list of leases.
struct Model {
    capacity: u64,
    newest: u64,
    released: u64,
    dropped: u64,
    leases: Vec<(Lease, Vec<u64>)>,
}

impl Model {
    fn oldest(&self) -> u64 {
        self.released.min(self.newest)
    }

    fn fits(&self, count: u64, overflow: Overflow) -> bool {
        let overwritten = (self.newest + count).saturating_sub(self.capacity);
        let free =
            self.leases.iter().all(|(_, ids)| ids.first().is_none_or(|id| *id >= overwritten));
        free && (overflow == Overflow::DropOldest || overwritten <= self.released)
    }
}

fn check(ring: &Ring, model: &Model, record: usize) {
    assert_eq!((ring.oldest(), ring.newest()), (model.oldest(), model.newest));
    assert!(ring.newest() - ring.oldest() <= ring.capacity() as u64);
    for (lease, ids) in &model.leases {
        assert_eq!(&lease.ids().iter().collect::<Vec<_>>(), ids);
        assert!(lease.pts().iter().copied().eq(ids.iter().map(|id| pts(*id))));
        let expected: Vec<u8> = ids.iter().flat_map(|id| content(*id, record)).collect();
        assert_eq!(lease.to_vec(), expected);
        if let Some((bytes, distance)) = lease.strided() {
            for (i, id) in ids.iter().enumerate() {
                assert_eq!(&bytes[i * distance..][..record], content(*id, record));
            }
        }
        if let Some(bytes) = lease.contiguous() {
            assert_eq!(bytes, expected);
        }
    }
    let mut pinned: Vec<u64> = model
        .leases
        .iter()
        .filter_map(|(_, ids)| Some(*ids.first()?..ids.last()? + 1))
        .flatten()
        .collect();
    pinned.sort_unstable();
    pinned.dedup();
    let stats = ring.stats();
    assert_eq!((stats.pushed, stats.evicted), (model.newest, model.oldest()));
    assert_eq!((stats.dropped, stats.pinned), (model.dropped, pinned.len() as u64));
}

proptest! {
    #[test]
    fn every_step_does_what_the_model_does(
        steps in steps(), record in prop_oneof![Just(4097_usize), Just(1024), Just(4096)],
        wish in 1_usize..6, overflow in prop_oneof![Just(Overflow::Block), Just(Overflow::DropOldest)],
    ) {
        let (mut writer, ring) = Ring::new(record, wish, overflow).unwrap();
        let capacity = ring.capacity() as u64;
        let mut model = Model { capacity, newest: 0, released: 0, dropped: 0, leases: Vec::new() };
        // Rings of small records hold a page full of them: reach the seam in few steps.
        let scale = capacity.div_ceil(8);
        for step in steps {
            match step {
                Step::Push(count) => for _ in 0..count as u64 * scale {
                    if !model.fits(1, overflow) {
                        if overflow == Overflow::DropOldest {
                            let refused = matches!(writer.reserve(1, pts(model.newest)), Err(Error::Full { .. }));
                            prop_assert!(refused);
                            writer.drop_incoming();
                            model.dropped += 1;
                        }
                        break;
                    }
                    let mut slot = writer.reserve(1, pts(model.newest)).unwrap();
                    slot.record_mut(0).copy_from_slice(&content(model.newest, record));
                    prop_assert_eq!(slot.publish().unwrap(), model.newest);
                    model.newest += 1;
                    model.released = model.released.max(model.newest.saturating_sub(capacity));
                },
                Step::Abandon => if model.fits(1, overflow) {
                    // An unpublished slot may cost the oldest record, but is never seen.
                    writer.reserve(1, pts(model.newest)).unwrap().record_mut(0).fill(0xEE);
                    model.released = model.released.max((model.newest + 1).saturating_sub(capacity));
                },
                Step::Lease { back, len, step } => {
                    let start = model.newest.saturating_sub(back * scale);
                    let stop = start + len * scale;
                    let ids: Vec<u64> = (start..stop).step_by(step as usize).collect();
                    match ring.window(start, stop, step) {
                        Ok(lease) => model.leases.push((lease, ids)),
                        Err(Error::Evicted { wanted, oldest }) => {
                            prop_assert!(wanted == start && oldest == model.oldest() && wanted < oldest);
                        }
                        Err(Error::NotReady { wanted, newest }) => {
                            prop_assert!(wanted == ids[ids.len() - 1] && newest == model.newest);
                            prop_assert!(wanted >= newest);
                        }
                        Err(error) => prop_assert!(false, "{}", error),
                    }
                }
                Step::At { t, max } => {
                    let t = Ns(t * scale as i64);
                    let lease = ring.at(t, &WindowSpec::new(max, None, None).unwrap());
                    let seen: Vec<u64> = (model.oldest()..model.newest).filter(|id| pts(*id) <= t).collect();
                    let ids = seen[seen.len().saturating_sub(max)..].to_vec();
                    model.leases.push((lease, ids));
                }
                Step::Drop(index) => if !model.leases.is_empty() {
                    model.leases.swap_remove(index.index(model.leases.len()));
                },
                Step::Release(ahead) => {
                    let id = model.oldest() + ahead * scale;
                    ring.release_before(id);
                    model.released = model.released.max(id);
                }
            }
            check(&ring, &model, record);
        }
        drop(writer);
        drop(ring);
        // Leases outlive the ring's handles.
        for (lease, ids) in &model.leases {
            let expected: Vec<u8> = ids.iter().flat_map(|id| content(*id, record)).collect();
            prop_assert_eq!(lease.to_vec(), expected);
        }
    }

    #[test]
    fn the_number_of_records_until_t_is_exact_or_an_error(
        count in 0_u64..200, released in 0_u64..220, t in -20_i64..2500, wish in 1_usize..9,
    ) {
        let (mut writer, ring) = Ring::new(4096, wish, Overflow::DropOldest).unwrap();
        for id in 0..count {
            writer.reserve(1, pts(id)).unwrap().publish().unwrap();
        }
        ring.release_before(released);
        writer.finish(End::Eof);
        let expected = (0..count).filter(|id| pts(*id) <= Ns(t)).count() as u64;
        match ring.wait_until(Ns(t), NO_WAIT) {
            Ok(number) => prop_assert_eq!(number, expected),
            Err(Error::Evicted { .. }) => prop_assert!(expected < ring.oldest()),
            Err(error) => prop_assert!(false, "{}", error),
        }
    }

    #[test]
    fn a_ring_is_whole_pages_and_no_larger_than_needed(
        record in 1_usize..200_000, wish in 1_usize..300, page in prop_oneof![Just(1_usize), Just(4096), Just(65536)],
    ) {
        let plan = Geometry::plan(record, wish, page).unwrap();
        prop_assert_eq!(plan.record, record);
        prop_assert!(plan.stride == record || plan.stride == record.next_multiple_of(256));
        prop_assert!(plan.capacity >= wish);
        prop_assert_eq!(plan.capacity * plan.stride % page, 0);
        let smaller = (wish..plan.capacity).find(|capacity| (capacity * plan.stride).is_multiple_of(page));
        prop_assert_eq!(smaller, None);
    }

    #[test]
    fn pushing_records_together_equals_pushing_them_one_by_one(
        batches in prop::collection::vec(0_usize..9, 1..20), record in prop_oneof![Just(100_usize), Just(4096)],
    ) {
        let ring = EmbeddingRing::new(record, 8).unwrap();
        let capacity = ring.ring().capacity();
        let mut newest = 0;
        for batch in batches {
            let bytes: Vec<u8> = (newest..newest + batch as u64).flat_map(|id| content(id, record)).collect();
            let first = ring.push(&bytes, Ns(newest as i64));
            if batch == 0 || batch > capacity {
                prop_assert!(matches!(first, Err(Error::Invalid(_))));
                continue;
            }
            prop_assert_eq!(first.unwrap(), newest);
            newest += batch as u64;
            let oldest = ring.ring().oldest();
            let window = ring.window(oldest, newest, 1).unwrap();
            let expected: Vec<u8> = (oldest..newest).flat_map(|id| content(id, record)).collect();
            prop_assert_eq!(window.to_vec(), expected);
        }
    }
}

#[test]
fn frames_of_common_sizes_are_contiguous_also_across_the_seam() {
    for (height, width) in [(448, 448), (336, 336), (720, 1280), (252, 448)] {
        let bytes = height * width * 3;
        let (mut writer, ring) = Ring::new(bytes, 16, Overflow::DropOldest).unwrap();
        let count = ring.capacity() as u64 + 5;
        (0..count).for_each(|id| {
            let mut slot = writer.reserve(1, pts(id)).unwrap();
            slot.record_mut(0)[..8].copy_from_slice(&id.to_le_bytes());
            slot.publish().unwrap();
        });
        let window = ring.window(count - 8, count, 1).unwrap();
        assert_eq!(window.contiguous().unwrap().len(), 8 * bytes);
        for (record, id) in window.records().zip(count - 8..) {
            assert_eq!(record[..8], id.to_le_bytes());
        }
    }
}

#[test]
fn a_window_without_common_distance_is_copied_record_by_record() {
    let (mut writer, ring) = Ring::new(4096, 8, Overflow::Block).unwrap();
    for (id, t) in [0, 10, 25, 30].into_iter().enumerate() {
        let mut slot = writer.reserve(1, Ns(t * 100_000_000)).unwrap();
        slot.record_mut(0).copy_from_slice(&content(id as u64, 4096));
        slot.publish().unwrap();
    }
    let spec = WindowSpec::new(3, None, Some(dsb_core::Rational::new(1, 1).unwrap())).unwrap();
    let window = ring.at(Ns(3_000_000_000), &spec);
    assert_eq!(window.ids(), &Selection::Gather(vec![0, 1, 3]));
    assert!(window.strided().is_none());
    assert_eq!(window.to_vec(), [content(0, 4096), content(1, 4096), content(3, 4096)].concat());
}

#[test]
fn digests_name_the_content() {
    let ring = EmbeddingRing::new(3, 4).unwrap();
    ring.push(b"abcabcabd", Ns(0)).unwrap();
    let digests = ring.window(0, 3, 1).unwrap().digests();
    assert_eq!(digests[0], blake3::hash(b"abc").to_hex()[..32]);
    assert!(digests[0] == digests[1] && digests[1] != digests[2]);
}

#[test]
fn a_pinned_embedding_refuses_the_push_that_would_overwrite_it() {
    let ring = EmbeddingRing::new(4096, 2).unwrap();
    ring.push(&[1; 8192], Ns(0)).unwrap();
    let window = ring.window(0, 1, 1).unwrap();
    let again = window.clone();
    drop(window);
    assert!(matches!(ring.push(&[2; 4096], Ns(1)), Err(Error::Full { .. })));
    assert_eq!(again.record(0), Some(&[1; 4096][..]));
    drop(again);
    assert_eq!(ring.push(&[2; 4096], Ns(1)), Ok(2));
}

#[test]
fn time_does_not_run_backwards() {
    let ring = EmbeddingRing::new(8, 8).unwrap();
    ring.push(&[0; 8], Ns(5)).unwrap();
    ring.push(&[0; 8], Ns(5)).unwrap();
    assert!(matches!(ring.push(&[0; 8], Ns(4)), Err(Error::Invalid(_))));
    assert!(matches!(ring.push(&[0; 7], Ns(6)), Err(Error::Invalid(_))));
}

#[test]
fn memory_that_the_machine_does_not_have_is_an_error() {
    // Of the second ring the records may fit the address space, their time stamps do not.
    for (record, wish) in [(1 << 40, 1 << 10), (1, 1 << 44)] {
        let error = Ring::new(record, wish, Overflow::Block).unwrap_err();
        assert!(matches!(error, Error::Memory { .. }), "{error:?}");
        assert!(error.to_string().contains("smaller capacity"), "{error}");
    }
}

#[test]
fn impossible_rings_are_refused() {
    for (record, wish) in [(0, 1), (1, 0), (usize::MAX, 1), (1 << 40, 1 << 40), (1, usize::MAX)] {
        assert!(Ring::new(record, wish, Overflow::Block).is_err(), "{record} x {wish}");
    }
}
