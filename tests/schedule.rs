//! The event stream of a session.
#![allow(
    clippy::expect_used,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::float_cmp,
    reason = "test values are small and exact, and a test may panic"
)]

use dsb_core::schedule::{Event, Poll, Query, Scheduler, Session};
use dsb_core::{Error, Ns, Rational};
use proptest::prelude::*;

const NS: i128 = 1_000_000_000;

fn rational(num: u64, den: u64) -> Rational {
    Rational::new(num, den).expect("a positive fraction")
}

fn session() -> Session {
    Session {
        frame_rate: rational(2, 1),
        end: Ns(3_000_000_000),
        queries: Vec::new(),
        polls: Vec::new(),
        prefill_stride: 4,
        max_frames: 64,
    }
}

fn events(session: Session) -> Vec<Event> {
    Scheduler::new(session).expect("a possible session").collect()
}

/// Whether frame `index` is on screen at `t`, in exact arithmetic.
fn on_screen(rate: Rational, index: u64, t: Ns) -> bool {
    i128::from(index) * i128::from(rate.den()) * NS <= i128::from(t.0) * i128::from(rate.num())
}

fn spans(events: &[Event], prefill: bool) -> Vec<(u64, u64)> {
    let span = |event: &Event| match *event {
        Event::Frames { start, stop, .. } if !prefill => Some((start, stop)),
        Event::Prefill { start, stop, .. } if prefill => Some((start, stop)),
        _ => None,
    };
    events.iter().filter_map(span).collect()
}

fn partitions(spans: &[(u64, u64)], frames: u64) -> bool {
    let mut next = 0;
    for &(start, stop) in spans {
        if start != next || stop <= start {
            return false;
        }
        next = stop;
    }
    next == frames
}

prop_compose! {
    fn any_session()(
        num in 1_u64..100, den in 1_u64..7, end in 0_i64..5_000_000_000,
        prefill_stride in 1_u64..9, max_frames in 1_u64..9,
    )(
        queries in prop::collection::btree_set((0..=end, -3_i64..4), 0..8),
        polls in prop::collection::btree_map(
            -3_i64..4, (0..=end, 0_i64..6_000_000_000, 1_u64..20, 1_u64..20), 0..4,
        ),
        num in Just(num), den in Just(den), end in Just(end),
        prefill_stride in Just(prefill_stride), max_frames in Just(max_frames),
    ) -> Session {
        let poll = |(key, (start, stop, num, den))| Poll {
            key, start: Ns(start), stop: Ns(stop), period: rational(num, den),
        };
        Session {
            frame_rate: rational(num, den),
            end: Ns(end),
            queries: queries.into_iter().map(|(t, key)| Query { t: Ns(t), key }).collect(),
            polls: polls.into_iter().map(poll).collect(),
            prefill_stride,
            max_frames,
        }
    }
}

proptest! {
    #[test]
    fn events_are_totally_ordered(session in any_session()) {
        let events = events(session);
        for pair in events.windows(2) {
            prop_assert!(pair[0].order() < pair[1].order(), "{pair:?}");
        }
    }

    #[test]
    fn frames_and_chunks_partition_the_frames_until_the_end(session in any_session()) {
        let events = events(session.clone());
        let frames = (0..u64::MAX).take_while(|&i| on_screen(session.frame_rate, i, session.end)).count() as u64;
        let shown = spans(&events, false);
        let chunks = spans(&events, true);
        prop_assert!(partitions(&shown, frames));
        prop_assert!(partitions(&chunks, frames));
        prop_assert!(shown.iter().all(|(start, stop)| stop - start <= session.max_frames));
        let whole = &chunks[..chunks.len().saturating_sub(1)];
        prop_assert!(whole.iter().all(|(start, stop)| stop - start == session.prefill_stride));
    }

    #[test]
    fn an_event_follows_exactly_the_frames_on_screen(session in any_session()) {
        let rate = session.frame_rate;
        let (mut shown, mut prefilled) = (0, 0);
        for event in events(session) {
            match event {
                Event::Frames { t, stop, .. } => {
                    prop_assert!(on_screen(rate, stop - 1, t));
                    prop_assert!(!on_screen(rate, stop - 1, Ns(t.0 - 1)));
                    shown = stop;
                }
                Event::Prefill { t, stop, .. } => {
                    prop_assert_eq!(shown, stop);
                    prop_assert!(!on_screen(rate, shown, t));
                    prefilled = stop;
                }
                Event::Poll { t, .. } | Event::Query { t, .. } | Event::End { t } => {
                    prop_assert!(shown == 0 || on_screen(rate, shown - 1, t));
                    prop_assert!(!on_screen(rate, shown, t));
                }
            }
            prop_assert!(prefilled <= shown);
        }
    }

    #[test]
    fn every_query_and_every_tick_comes_once(session in any_session()) {
        let end = session.end;
        let mut expected: Vec<Event> =
            session.queries.iter().map(|query| Event::Query { t: query.t, key: query.key }).collect();
        for poll in &session.polls {
            for index in 0.. {
                let step = i128::from(index) * i128::from(poll.period.num()) * NS;
                let den = i128::from(poll.period.den());
                let t = i128::from(poll.start.0) + (step + den - 1) / den;
                let t = Ns(i64::try_from(t).expect("small"));
                if t >= poll.stop || t > end {
                    break;
                }
                expected.push(Event::Poll { t, key: poll.key, index });
            }
        }
        expected.push(Event::End { t: end });
        expected.sort_by_key(Event::order);
        let planned = |event: &Event| !matches!(event, Event::Frames { .. } | Event::Prefill { .. });
        let found: Vec<Event> = events(session).into_iter().filter(planned).collect();
        prop_assert_eq!(found, expected);
    }
}

#[test]
fn a_million_polls_do_not_drift() {
    // A third of a second is no whole number of nanoseconds.
    let period = rational(1, 3);
    let poll = Poll { key: 5, start: Ns(7), stop: Ns::MAX, period };
    let mut session =
        Session { polls: vec![poll], frame_rate: rational(1, 4_000_000_000), ..session() };
    session.end = Ns(333_333_333_333_341);
    let mut expected = 0_u64;
    for event in Scheduler::new(session).expect("a possible session") {
        let Event::Poll { t, index, .. } = event else { continue };
        assert_eq!(index, expected);
        // The smallest integer t with 3 * (t - 7) >= index * 1e9.
        let (scaled, exact) = (3 * i128::from(t.0 - 7), i128::from(index) * NS);
        assert!(exact <= scaled && scaled < exact + 3, "tick {index} at {t}");
        expected += 1;
    }
    assert_eq!(expected, 1_000_001);
}

#[test]
fn a_question_at_the_time_of_a_frame_sees_it() {
    let query = Query { t: Ns(500_000_000), key: 9 };
    let poll = Poll { key: 1, start: query.t, stop: Ns::MAX, period: rational(10, 1) };
    let events =
        events(Session { queries: vec![query], polls: vec![poll], prefill_stride: 2, ..session() });
    let t = query.t;
    let expected = [
        Event::Frames { t, start: 0, stop: 2 },
        Event::Prefill { t, start: 0, stop: 2 },
        Event::Poll { t, key: 1, index: 0 },
        Event::Query { t, key: 9 },
    ];
    assert_eq!(events[..4], expected);
}

#[test]
fn a_long_pause_comes_in_several_frames_events() {
    let events = events(Session { prefill_stride: 100, max_frames: 3, ..session() });
    assert_eq!(spans(&events, false), [(0, 3), (3, 6), (6, 7)]);
    assert_eq!(spans(&events, true), [(0, 7)]);
}

#[test]
fn impossible_sessions_are_refused() {
    let query = |t| Query { t: Ns(t), key: 1 };
    let poll = |key, start, num, den| Poll {
        key,
        start: Ns(start),
        stop: Ns::MAX,
        period: rational(num, den),
    };
    let impossible = [
        (Session { queries: vec![query(-1)], ..session() }, "query 1 at -0.000000001 s is outside"),
        (Session { queries: vec![query(3_000_000_001)], ..session() }, "query 1 at 3.000000001 s"),
        (Session { queries: vec![query(5), query(5)], ..session() }, "listed twice"),
        (Session { polls: vec![poll(2, -1, 1, 1)], ..session() }, "poll 2 starts at"),
        (Session { polls: vec![poll(2, 0, 1, 2_000_000_000)], ..session() }, "at least 1 ns"),
        (Session { polls: vec![poll(2, 0, 1, 1), poll(2, 1, 1, 1)], ..session() }, "the key 2"),
        (Session { prefill_stride: 0, ..session() }, "prefill_stride"),
        (Session { max_frames: 0, ..session() }, "max_frames"),
        (Session { end: Ns(-1), ..session() }, "end_ns"),
        (Session { frame_rate: rational(2_000_000_000, 1), ..session() }, "frame_rate"),
    ];
    for (session, part) in impossible {
        match Scheduler::new(session) {
            Err(Error::Invalid(message)) => assert!(message.contains(part), "{message}"),
            other => panic!("{part}: {other:?}"),
        }
    }
}
