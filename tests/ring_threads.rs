//! The ring with a writer and readers that run at the same time.
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "test values are small, and a test may panic"
)]

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use dsb_core::ring::Writer;
use dsb_core::{End, Error, Ns, Overflow, Ring, WindowSpec};

const RECORD: usize = 4096;

fn push(writer: &mut Writer, id: u64) -> Result<u64, Error> {
    let mut slot = writer.reserve(1, Ns(id as i64))?;
    slot.record_mut(0).chunks_exact_mut(8).for_each(|word| word.copy_from_slice(&id.to_le_bytes()));
    slot.publish()
}

fn holds(record: &[u8], id: u64) -> bool {
    record.chunks_exact(8).all(|word| word == id.to_le_bytes())
}

#[test]
fn a_reader_never_sees_a_torn_or_foreign_record() {
    let (mut writer, ring) = Ring::new(RECORD, 16, Overflow::DropOldest).unwrap();
    let (ring, done) = (&ring, &AtomicBool::new(false));
    thread::scope(|scope| {
        for step in [1, 3] {
            scope.spawn(move || {
                let mut seen = 0_u64;
                while !done.load(Ordering::Relaxed) || seen == 0 {
                    let newest = ring.newest();
                    // What was live may be gone by now; then it is an error, never another record.
                    let Ok(window) = ring.window(newest.saturating_sub(4), newest, step) else {
                        continue;
                    };
                    for (record, id) in window.records().zip(window.ids().iter()) {
                        assert!(holds(record, id), "record {id}");
                        seen += 1;
                    }
                    drop(window);
                    thread::yield_now();
                }
            });
        }
        scope.spawn(move || {
            let mut id = 0;
            while id < 1_000 {
                match push(&mut writer, id) {
                    Ok(pushed) => {
                        assert_eq!(pushed, id);
                        id += 1;
                    }
                    Err(Error::Full { .. }) => thread::yield_now(),
                    Err(error) => panic!("{error}"),
                }
            }
            done.store(true, Ordering::Relaxed);
        });
    });
}

#[test]
fn a_blocking_ring_delivers_every_record_once_and_in_order() {
    let (mut writer, ring) = Ring::new(RECORD, 4, Overflow::Block).unwrap();
    let count = 2_000;
    thread::scope(|scope| {
        scope.spawn(move || {
            (0..count).for_each(|id| assert_eq!(push(&mut writer, id), Ok(id)));
            writer.finish(End::Eof);
        });
        let mut id = 0;
        while ring.wait(id, None).unwrap() {
            let window = ring.window(id, id + 1, 1).unwrap();
            ring.release_before(id + 1);
            assert!(holds(window.record(0).unwrap(), id));
            id += 1;
        }
        assert_eq!(id, count);
    });
    assert_eq!(ring.stats().dropped, 0);
}

#[test]
fn what_a_blocking_ring_shows_does_not_depend_on_the_speed_of_the_writer() {
    let (mut writer, ring) = Ring::new(RECORD, 8, Overflow::Block).unwrap();
    thread::scope(|scope| {
        scope.spawn(move || {
            (0..100).for_each(|id| assert!(push(&mut writer, id).is_ok()));
            writer.finish(End::Eof);
        });
        let spec = WindowSpec::new(8, None, None).unwrap();
        for t in 0..100 {
            assert_eq!(ring.wait_until(Ns(t), None).unwrap(), t as u64 + 1);
            let window = ring.at(Ns(t), &spec);
            let first = (t - 3).max(0) as u64;
            assert_eq!(
                window.ids().iter().collect::<Vec<_>>(),
                (first..=t as u64).collect::<Vec<_>>()
            );
            ring.release_before((t - 2).max(0) as u64);
        }
    });
}

/// What each of two waiters gets when `act` happens while they wait.
fn wake(act: impl FnOnce(Writer, &Ring)) -> [Result<u64, Error>; 2] {
    let (mut writer, ring) = Ring::new(RECORD, 4, Overflow::Block).unwrap();
    push(&mut writer, 0).unwrap();
    thread::scope(|scope| {
        let id = scope.spawn(|| ring.wait(1, None).map(u64::from));
        let time = scope.spawn(|| ring.wait_until(Ns(7), None));
        thread::sleep(Duration::from_millis(20));
        act(writer, &ring);
        [id.join().unwrap(), time.join().unwrap()]
    })
}

#[test]
fn the_end_of_the_source_wakes_every_waiter() {
    assert_eq!(wake(|writer, _| writer.finish(End::Eof)), [Ok(0), Ok(1)]);
}

#[test]
fn a_failure_reaches_every_waiter() {
    let error = Error::invalid("the reason");
    let expected = [Err(error.clone()), Err(error.clone())];
    assert_eq!(wake(|writer, _| writer.finish(End::Failed(error))), expected);
}

#[test]
fn a_writer_that_disappears_wakes_every_waiter() {
    assert_eq!(wake(|writer, _| drop(writer)), [Err(Error::Closed), Err(Error::Closed)]);
}

#[test]
fn a_later_record_wakes_those_who_wait_for_a_time() {
    let woken = wake(|mut writer, _| {
        push(&mut writer, 7).unwrap();
        push(&mut writer, 8).unwrap();
    });
    assert_eq!(woken, [Ok(1), Ok(2)]);
}

#[test]
fn records_that_were_published_stay_readable_after_a_failure() {
    let (mut writer, ring) = Ring::new(RECORD, 4, Overflow::Block).unwrap();
    push(&mut writer, 0).unwrap();
    writer.finish(End::Failed(Error::Timeout));
    assert_eq!(ring.wait(0, None), Ok(true));
    assert_eq!(ring.window(0, 1, 1).unwrap().len(), 1);
    assert_eq!(ring.wait(1, None), Err(Error::Timeout));
}

#[test]
fn the_frame_at_t_is_known_only_when_a_later_one_was_seen() {
    let (mut writer, ring) = Ring::new(RECORD, 4, Overflow::Block).unwrap();
    let limit = Some(Duration::from_millis(1));
    push(&mut writer, 3).unwrap();
    assert_eq!(ring.wait_until(Ns(2), limit), Ok(0));
    assert_eq!(ring.wait_until(Ns(3), limit), Err(Error::Timeout));
    push(&mut writer, 4).unwrap();
    assert_eq!(ring.wait_until(Ns(3), limit), Ok(1));
    writer.finish(End::Eof);
    assert_eq!(ring.wait_until(Ns(9), limit), Ok(2));
}

#[test]
fn waiting_for_what_cannot_come_before_a_release_is_an_error_not_a_hang() {
    let (mut writer, ring) = Ring::new(RECORD, 4, Overflow::Block).unwrap();
    thread::scope(|scope| {
        scope.spawn(move || (0..6).try_for_each(|id| push(&mut writer, id).map(drop)));
        assert!(matches!(ring.wait(4, None), Err(Error::Full { .. })));
        assert!(matches!(ring.wait_until(Ns(9), None), Err(Error::Full { .. })));
        ring.release_before(2);
        assert_eq!(ring.wait(5, None), Ok(true));
    });
}

#[test]
fn a_lease_holds_up_a_blocking_writer_until_it_is_dropped() {
    let (mut writer, ring) = Ring::new(RECORD, 2, Overflow::Block).unwrap();
    push(&mut writer, 0).unwrap();
    push(&mut writer, 1).unwrap();
    let lease = ring.window(0, 1, 1).unwrap();
    ring.release_before(2);
    thread::scope(|scope| {
        scope.spawn(move || push(&mut writer, 2).unwrap());
        assert_eq!(ring.wait(2, Some(Duration::from_millis(20))), Err(Error::Timeout));
        assert!(holds(lease.record(0).unwrap(), 0));
        drop(lease);
        assert_eq!(ring.wait(2, None), Ok(true));
    });
}
