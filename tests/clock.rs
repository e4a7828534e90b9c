//! Stream clocks.
#![allow(
    clippy::expect_used,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::float_cmp,
    reason = "test values are small and exact, and a test may panic"
)]

use dsb_core::Ns;
use dsb_core::clock::{Clock, RealClock, VirtualClock};
use proptest::prelude::*;

proptest! {
    #[test]
    fn virtual_time_only_moves_forward_and_as_told(
        steps in prop::collection::vec((any::<bool>(), 0_i64..1_000), 0..50),
    ) {
        let clock = VirtualClock::default();
        let mut now = 0_i64;
        for (sleep, amount) in steps {
            if sleep {
                prop_assert_eq!(clock.sleep_until(Ns(amount)), Ns((now - amount).max(0)));
                now = now.max(amount);
            } else {
                clock.charge(Ns(amount));
                now += amount;
            }
            prop_assert_eq!(clock.now(), Ns(now));
        }
    }
}

#[test]
fn threads_that_charge_at_once_lose_nothing() {
    let clock = VirtualClock::default();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..10_000).for_each(|_| clock.charge(Ns(1))));
        }
    });
    assert_eq!(clock.now(), Ns(40_000));
}

#[test]
fn a_real_clock_never_wakes_a_sleeper_early() {
    let clock = RealClock::new(1000.0).expect("a possible speed");
    let t = Ns(5_000_000_000); // 5 ms of wall time
    assert_eq!(clock.sleep_until(t), Ns::ZERO);
    assert!(clock.now() >= t);
    assert!(clock.sleep_until(Ns(1)) >= Ns(t.0 - 1), "late by what has passed since");
}

#[test]
fn work_is_not_charged_twice_to_a_real_clock() {
    let clock = RealClock::new(1e-9).expect("a possible speed");
    clock.charge(Ns(1_000_000_000));
    assert!(clock.now() < Ns(1_000_000_000));
}

#[test]
fn a_clock_needs_a_positive_finite_speed() {
    for speed in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e10] {
        assert!(RealClock::new(speed).is_err(), "{speed}");
    }
}
