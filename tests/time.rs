//! Integer stream time against exact rational arithmetic.
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "test values are small, and a test may panic"
)]

use dsb_core::{Ns, Rational, Span};
use proptest::prelude::*;

fn rationals() -> impl Strategy<Value = Rational> {
    (1_u64..1 << 32, 1_u64..1 << 32).prop_map(|(num, den)| Rational::new(num, den).unwrap())
}

proptest! {
    #[test]
    fn a_time_stamp_is_the_first_whole_nanosecond_that_is_not_before_it(
        pts in any::<i64>(), base in rationals(),
    ) {
        let (num, den) = (i128::from(base.num()), i128::from(base.den()));
        let exact = i128::from(pts) * num * 1_000_000_000;
        match Ns::from_pts(pts, base) {
            Some(Ns(ns)) => {
                let ns = i128::from(ns);
                prop_assert!(ns * den >= exact && (ns - 1) * den < exact);
            }
            None => prop_assert!(
                exact > i128::from(i64::MAX) * den || exact <= i128::from(i64::MIN) * den - den
            ),
        }
    }

    #[test]
    fn later_time_stamps_are_never_earlier(a in any::<i64>(), b in any::<i64>(), base in rationals()) {
        if let (Some(x), Some(y)) = (Ns::from_pts(a, base), Ns::from_pts(b, base)) {
            prop_assert!(a > b || x <= y);
        }
    }

    #[test]
    fn fractions_are_in_lowest_terms(num in 1_u64..1 << 20, den in 1_u64..1 << 20, k in 1_u64..1 << 10) {
        let fraction = Rational::new(num * k, den * k).unwrap();
        prop_assert_eq!(fraction, Rational::new(num, den).unwrap());
        prop_assert_eq!(u128::from(fraction.num()) * u128::from(den),
                        u128::from(num) * u128::from(fraction.den()));
        prop_assert_eq!(fraction.recip().recip(), fraction);
    }

    #[test]
    fn spans_intersect_in_their_common_moments(
        a in -20_i64..20, b in -20_i64..20, c in -20_i64..20, d in -20_i64..20,
    ) {
        prop_assert_eq!(Span::new(Ns(a), Ns(b)).is_some(), a < b);
        if let (Some(x), Some(y)) = (Span::new(Ns(a), Ns(b)), Span::new(Ns(c), Ns(d))) {
            let both = x.intersection(y);
            for t in (-20..20).map(Ns) {
                prop_assert_eq!(x.contains(t), a <= t.0 && t.0 < b);
                prop_assert_eq!(
                    both.is_some_and(|span| span.contains(t)),
                    x.contains(t) && y.contains(t)
                );
            }
        }
    }
}

#[test]
fn zero_and_numbers_beyond_32_bits_are_not_fractions() {
    for (num, den) in [(0, 1), (1, 0), (0, 0), (1 << 32, 1), (1, 1 << 32)] {
        assert!(Rational::new(num, den).is_err(), "{num}/{den}");
    }
    assert!(Rational::new(1 << 40, 1 << 39).is_ok());
}

#[test]
fn times_are_shown_in_seconds() {
    assert_eq!(Ns(1_500_000_000).to_string(), "1.500000000 s");
    assert_eq!(Ns(-1).to_string(), "-0.000000001 s");
    assert_eq!(Ns(i64::MIN).to_string(), "-9223372036.854775808 s");
}
