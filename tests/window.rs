//! Window selection against its definition, tick by tick.
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "test values are small, and a test may panic"
)]

use dsb_core::{Ns, Rational, Selection, WindowSpec, select};
use proptest::prelude::*;

const NS_PER_S: i128 = 1_000_000_000;

/// The definition, with one step per tick and exact fractions: frames on screen at t, t - 1/rate, ... within
/// `(t - span, t]`, without doubles, the newest `max_frames` of them.
fn brute_force(spec: &WindowSpec, pts: &[Ns], t: Ns) -> Vec<u64> {
    let on_screen = |moment: i128| (0..pts.len()).rfind(|i| i128::from(pts[*i].0) <= moment);
    let inside = |age_num: i128, den: i128| {
        spec.span().is_none_or(|span| age_num < i128::from(span.0) * den)
    };
    let mut chosen: Vec<u64> = match spec.rate() {
        None => (0..pts.len())
            .filter(|i| pts[*i] <= t && inside(i128::from(t.0) - i128::from(pts[*i].0), 1))
            .map(|i| i as u64)
            .collect(),
        Some(rate) => {
            let (num, den) = (i128::from(rate.num()), i128::from(rate.den()));
            let mut frames = Vec::new();
            for k in 0.. {
                let age = k * den * NS_PER_S;
                // Rounded up: the smallest integer that is not below t - age / num.
                let moment = i128::from(t.0) - age / num;
                match on_screen(moment).filter(|_| inside(age, num)) {
                    Some(frame) => frames.push(frame as u64),
                    None => break,
                }
            }
            frames.dedup();
            frames.reverse();
            frames
        }
    };
    chosen.drain(..chosen.len().saturating_sub(spec.max_frames()));
    chosen
}

fn specs() -> impl Strategy<Value = WindowSpec> {
    let rate = prop::option::of((1_u64..60, 1_u64..8));
    (1_usize..20, prop::option::of(1_i64..4_000_000_000), rate).prop_map(|(max, span, rate)| {
        let rate = rate.map(|(num, den)| Rational::new(num, den).unwrap());
        WindowSpec::new(max, span.map(Ns), rate).unwrap()
    })
}

/// Constant and variable frame rates.
fn time_stamps() -> impl Strategy<Value = Vec<Ns>> {
    let constant = (1_u64..60, 1_u64..3, 0_i64..50, 0_i64..5).prop_map(|(num, den, len, first)| {
        let base = Rational::new(den, num).unwrap();
        (first..first + len).map(|i| Ns::from_pts(i, base).unwrap()).collect()
    });
    let variable = prop::collection::vec(1_i64..400_000_000, 0..50).prop_map(|steps| {
        let mut t = -1;
        steps.iter().map(|step| (t += step, Ns(t)).1).collect()
    });
    prop_oneof![constant, variable]
}

/// Any moment, and often exactly that of a frame.
fn moment(pts: &[Ns], free: i64, frame: Option<prop::sample::Index>) -> Ns {
    match frame {
        Some(frame) if !pts.is_empty() => pts[frame.index(pts.len())],
        _ => Ns(free),
    }
}

proptest! {
    #[test]
    fn selection_follows_the_definition(
        spec in specs(), pts in time_stamps(),
        free in -1_000_000_000_i64..8_000_000_000, frame in any::<Option<prop::sample::Index>>(),
    ) {
        let t = moment(&pts, free, frame);
        let chosen: Vec<u64> = select(&spec, &pts, t).iter().collect();
        prop_assert_eq!(chosen, brute_force(&spec, &pts, t));
    }

    #[test]
    fn no_selected_frame_is_later_than_t_and_later_frames_change_nothing(
        spec in specs(), pts in time_stamps(), free in 0_i64..8_000_000_000,
    ) {
        let t = Ns(free);
        let selection = select(&spec, &pts, t);
        prop_assert!(selection.iter().all(|i| pts[i as usize] <= t));
        let past: Vec<Ns> = pts.into_iter().filter(|pts| *pts <= t).collect();
        prop_assert_eq!(selection, select(&spec, &past, t));
    }

    #[test]
    fn the_newest_selected_frame_never_goes_back(
        spec in specs(), pts in time_stamps(), a in 0_i64..8_000_000_000, b in 0_i64..8_000_000_000,
    ) {
        let newest = |t| select(&spec, &pts, Ns(t)).iter().next_back();
        let (early, late) = (newest(a.min(b)), newest(a.max(b)));
        prop_assert!(late.is_none() || early <= late);
    }

    #[test]
    fn the_form_of_a_selection_is_the_most_regular_one(
        positions in prop::collection::btree_set(0_u64..12, 0..6), offset in 0_u64..100,
    ) {
        let positions: Vec<u64> = positions.into_iter().collect();
        let selection = Selection::from_positions(positions.clone());
        prop_assert_eq!(selection.iter().collect::<Vec<_>>(), positions.clone());
        prop_assert_eq!(selection.len(), positions.len());
        let steps: std::collections::BTreeSet<u64> =
            positions.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let regular = steps.len() <= 1;
        let adjacent = regular && steps.iter().all(|step| *step == 1);
        prop_assert_eq!(matches!(selection, Selection::Packed { .. }), adjacent);
        prop_assert_eq!(matches!(selection, Selection::Gather(_)), !regular);
        let moved: Vec<u64> = positions.iter().map(|i| i + offset).collect();
        prop_assert_eq!(selection.offset(offset).iter().collect::<Vec<_>>(), moved);
    }

    #[test]
    fn a_range_counts_like_a_loop(start in 0_u64..20, len in 0_u64..20, step in 1_u64..7) {
        let range = Selection::range(start, start + len, step).unwrap();
        let expected: Vec<u64> =
            (start..start + len).step_by(usize::try_from(step).unwrap()).collect();
        prop_assert_eq!(range.iter().collect::<Vec<_>>(), expected.clone());
        if !expected.is_empty() {
            prop_assert_eq!(range, Selection::from_positions(expected));
        }
    }
}

#[test]
fn a_frame_is_selected_at_its_own_time() {
    // 3 fps: no time stamp but the whole seconds is a whole number of nanoseconds.
    let pts: Vec<Ns> =
        (0..10).map(|i| Ns::from_pts(i, Rational::new(1, 3).unwrap()).unwrap()).collect();
    let spec = WindowSpec::new(4, None, Some(Rational::new(3, 1).unwrap())).unwrap();
    for newest in 3..10 {
        let chosen: Vec<u64> = select(&spec, &pts, pts[newest]).iter().collect();
        assert_eq!(chosen, (newest as u64 - 3..=newest as u64).collect::<Vec<_>>());
    }
}

#[test]
fn a_span_of_n_periods_holds_n_frames() {
    let pts: Vec<Ns> = (0..100).map(|i| Ns(i * 500_000_000)).collect();
    for rate in [None, Some(Rational::new(2, 1).unwrap())] {
        let spec = WindowSpec::new(64, Some(Ns(4_000_000_000)), rate).unwrap();
        assert_eq!(select(&spec, &pts, Ns(20_000_000_000)), Selection::Packed { lo: 33, hi: 41 });
    }
}

#[test]
fn half_the_rate_is_a_strided_window() {
    let pts: Vec<Ns> = (0..100).map(|i| Ns(i * 500_000_000)).collect();
    let spec = WindowSpec::new(4, None, Some(Rational::new(1, 1).unwrap())).unwrap();
    let expected = Selection::Strided { lo: 34, len: 4, step: 2 };
    assert_eq!(select(&spec, &pts, Ns(20_000_000_000)), expected);
}

#[test]
fn extreme_times_do_not_overflow() {
    let pts = [Ns(i64::MIN), Ns(0), Ns(i64::MAX)];
    let rate = Rational::new(u32::MAX.into(), 1).unwrap();
    for spec in [
        WindowSpec::new(9, Some(Ns::MAX), None).unwrap(),
        WindowSpec::new(9, None, Some(rate)).unwrap(),
        WindowSpec::new(9, None, Some(rate.recip())).unwrap(),
    ] {
        for t in [Ns(i64::MIN), Ns(0), Ns::MAX] {
            assert!(!select(&spec, &pts, t).is_empty());
        }
    }
}

#[test]
fn a_window_needs_room_and_a_positive_span() {
    assert!(WindowSpec::new(0, None, None).is_err());
    assert!(WindowSpec::new(1, Some(Ns(0)), None).is_err());
}
