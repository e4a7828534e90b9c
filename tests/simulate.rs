//! The rules of the simulation. `tests/queueing.rs` compares it with the formulas of queueing theory,
//! `tests/core/test_simulate.py` with a slow reference that knows every rule.
#![allow(
    clippy::expect_used,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "test values are small, and a test may panic"
)]

use dsb_core::Error;
use dsb_core::simulate::{
    Discipline, GiveUp, Outcome, Route, Rules, Sharing, Simulator, Status, System, Totals, Trace,
};
use proptest::prelude::*;

#[path = "common/queries.rs"]
mod queries;
use queries::Queries;

fn give_up() -> impl Strategy<Value = GiveUp> {
    prop_oneof![Just(GiveUp::Never), Just(GiveUp::Waiting), Just(GiveUp::Running)]
}

fn queries() -> impl Strategy<Value = Queries> {
    let route = prop_oneof![Just(Route::S1), Just(Route::S2), Just(Route::Escalate)];
    let deadline = prop_oneof![Just(None), (0_i64..30).prop_map(Some)];
    let query = (0_i64..6, 0_i64..9, 0_i64..20, deadline, route, 0_i64..3);
    prop::collection::vec(query, 0..40).prop_map(|rows| {
        let mut queries = Queries::default();
        let mut now_ns = 0;
        for (gap_ns, s1_ns, s2_ns, deadline_ns, route, stream) in rows {
            now_ns += gap_ns;
            queries.arrival_ns.push(now_ns);
            queries.s1_service_ns.push(s1_ns);
            queries.s2_service_ns.push(s2_ns);
            queries.deadline_ns.push(deadline_ns.map_or(i64::MAX, |slack_ns| now_ns + slack_ns));
            queries.priority.push(s2_ns % 3 - 1);
            queries.stream.push(stream);
            queries.route.push(route);
        }
        queries
    })
}

/// How many queries wait at each whole nanosecond, summed over time: the other side of Little's law.
fn queue_integral(queries: &Queries, outcomes: &[Outcome]) -> u128 {
    let last_ns = outcomes.iter().map(|outcome| outcome.finish_ns).max().unwrap_or(0);
    let waits = |at: i64| {
        let waiting = queries.arrival_ns.iter().zip(outcomes).filter(|(arrival, outcome)| {
            (**arrival..outcome.start_ns.unwrap_or(outcome.finish_ns)).contains(&at)
        });
        waiting.count() as u128
    };
    (0..last_ns).map(waits).sum()
}

proptest! {
    #[test]
    fn the_short_way_ends_where_the_long_way_does(
        queries in queries(), slots in 1_usize..4, at_deadline in give_up(),
    ) {
        let rules = Rules { slots, at_deadline, ..Rules::default() };
        let simulator = Simulator::new(queries.trace(), rules).expect("a possible trace");
        let (mut short, mut long) = (Vec::new(), Vec::new());
        let totals = simulator.run(&queries.route, &mut short).expect("a route per query");
        prop_assert_eq!(simulator.run_events(&queries.route, &mut long), Ok(totals));
        prop_assert_eq!(short, long);
    }

    #[test]
    fn one_server_follows_lindley(queries in queries()) {
        let queries = Queries { route: vec![Route::S1; queries.route.len()], ..queries };
        let (outcomes, _) = queries.run(&Rules::default());
        let (mut wait_ns, mut before): (i64, Option<(i64, i64)>) = (0, None);
        for (i, outcome) in outcomes.iter().enumerate() {
            let arrival_ns = queries.arrival_ns[i];
            if let Some((earlier_ns, service_ns)) = before {
                wait_ns = (wait_ns + service_ns - (arrival_ns - earlier_ns)).max(0);
            }
            prop_assert_eq!(outcome.waited_ns, wait_ns);
            before = Some((arrival_ns, queries.s1_service_ns[i]));
        }
    }

    #[test]
    fn the_queue_over_time_holds_what_its_queries_waited(
        queries in queries(), slots in 1_usize..4, at_deadline in give_up(), on_newer in give_up(),
    ) {
        let route = queries.route.iter().map(|&route| if route == Route::S1 { route } else { Route::S2 });
        let queries = Queries { route: route.collect(), ..queries };
        let rules = Rules { slots, at_deadline, on_newer, ..Rules::default() };
        let (outcomes, totals) = queries.run(&rules);
        let waited_ns = totals.s1.waited_ns + totals.s2.waited_ns;
        prop_assert_eq!(queue_integral(&queries, &outcomes), waited_ns);
    }

    #[test]
    fn every_query_ends_once_and_no_work_is_lost(
        queries in queries(), slots in 1_usize..4, on_newer in give_up(), at_deadline in give_up(),
    ) {
        let rules = Rules { slots, at_deadline, on_newer, ..Rules::default() };
        let (outcomes, totals) = queries.run(&rules);
        let ended = totals.answered + totals.late + totals.cancelled + totals.dropped;
        prop_assert_eq!(ended, outcomes.len() as u64);
        prop_assert_eq!(totals.missed(), totals.late + totals.dropped);
        for (outcome, arrival_ns) in outcomes.iter().zip(&queries.arrival_ns) {
            let given_up = matches!(outcome.status, Status::Cancelled | Status::Dropped);
            prop_assert_eq!(outcome.answered_by.is_none(), given_up);
            prop_assert!(outcome.start_ns.is_none_or(|start_ns| *arrival_ns <= start_ns));
            prop_assert!(*arrival_ns + outcome.waited_ns <= outcome.finish_ns);
        }
        if at_deadline == GiveUp::Never && on_newer == GiveUp::Never {
            let work = |route, services: &[i64]| -> i64 {
                let goes = |&(i, _): &(usize, &i64)| {
                    queries.route[i] == route || queries.route[i] == Route::Escalate
                };
                services.iter().enumerate().filter(goes).map(|(_, service)| service).sum()
            };
            prop_assert_eq!(totals.s1.busy_ns, work(Route::S1, &queries.s1_service_ns) as u128);
            prop_assert_eq!(totals.s2.busy_ns, work(Route::S2, &queries.s2_service_ns) as u128);
        }
    }

    #[test]
    fn sharing_at_full_speed_changes_nothing(
        queries in queries(), slots in 1_usize..4, at_deadline in give_up(), on_newer in give_up(),
    ) {
        let full = |entries| vec![1_000_000; entries];
        let sharing = Sharing { s1: full(slots + 1), s2: full(slots), s2_beside_s1: full(slots) };
        let alone = Rules { slots, at_deadline, on_newer, ..Rules::default() };
        let shared = Rules { sharing: Some(sharing), ..alone.clone() };
        prop_assert_eq!(queries.run(&shared), queries.run(&alone));
    }
}

fn answered(start_ns: i64, finish_ns: i64, waited_ns: i64, by: System) -> Outcome {
    let status = Status::Answered;
    Outcome { start_ns: Some(start_ns), finish_ns, waited_ns, status, answered_by: Some(by) }
}

#[test]
fn an_escalated_query_that_its_deadline_finds_in_the_queue_gets_the_answer_of_s1() {
    let queries = Queries {
        route: vec![Route::S2, Route::Escalate],
        s1_service_ns: vec![0, 3],
        deadline_ns: vec![i64::MAX, 20],
        ..Queries::of_s2(vec![0, 5], vec![100, 100])
    };
    let (outcomes, totals) =
        queries.run(&Rules { at_deadline: GiveUp::Waiting, ..Rules::default() });
    assert_eq!(outcomes, [answered(0, 100, 0, System::S2), answered(5, 20, 12, System::S1)]);
    assert_eq!((totals.missed(), totals.s2.services), (0, 1));
}

#[test]
fn a_newer_query_of_the_same_stream_frees_the_slot_of_an_older_one() {
    let queries =
        Queries { stream: vec![4, 4, 9], ..Queries::of_s2(vec![0, 10, 20], vec![100; 3]) };
    let (outcomes, totals) = queries.run(&Rules { on_newer: GiveUp::Running, ..Rules::default() });
    let cancelled = Outcome {
        start_ns: Some(0),
        finish_ns: 10,
        waited_ns: 0,
        status: Status::Cancelled,
        answered_by: None,
    };
    let rest = [answered(10, 110, 0, System::S2), answered(110, 210, 90, System::S2)];
    assert_eq!(outcomes, [cancelled, rest[0], rest[1]]);
    assert_eq!((totals.cancelled, totals.s2.busy_ns), (1, 210));
}

#[test]
fn a_gpu_that_is_shared_finishes_in_between() {
    // S1 at half speed while S2 runs, S2 at four fifths while S1 runs.
    let sharing =
        Sharing { s1: vec![1_000_000, 500_000], s2: vec![1_000_000], s2_beside_s1: vec![800_000] };
    let queries = Queries {
        route: vec![Route::S2, Route::S1],
        s1_service_ns: vec![0, 10],
        ..Queries::of_s2(vec![0, 5], vec![30, 0])
    };
    let (outcomes, _) = queries.run(&Rules { sharing: Some(sharing), ..Rules::default() });
    // S1 runs from 5 to 25; meanwhile 16 of S2's 25 remaining ns are done, and the last 9 at full speed.
    assert_eq!(outcomes, [answered(0, 34, 0, System::S2), answered(5, 25, 0, System::S1)]);
}

#[test]
fn no_query_is_a_simulation_too() {
    let (outcomes, totals) = Queries::default().run(&Rules::default());
    assert_eq!((outcomes, totals), (Vec::new(), Totals::default()));
    assert_eq!((totals.s1_utilisation(), totals.s2_mean_queue()), (0.0, 0.0));
}

#[test]
fn impossible_traces_and_rules_are_refused() {
    let good = Queries::of_s2(vec![1, 2], vec![3, 4]);
    let refused = |change: fn(&mut Queries), rules: Rules| {
        let mut queries = good.clone();
        change(&mut queries);
        Simulator::new(queries.trace(), rules).map(drop)
    };
    let without = |change: fn(&mut Trace), rules: Rules| {
        let mut trace = good.trace();
        change(&mut trace);
        Simulator::new(trace, rules).map(drop)
    };
    let plain = Rules::default;
    let speeds = |s1: &[u32], s2: &[u32]| {
        let sharing = Sharing { s1: s1.into(), s2: s2.into(), s2_beside_s1: vec![1] };
        Rules { sharing: Some(sharing), ..Rules::default() }
    };
    let edf = || Rules { discipline: Discipline::EarliestDeadline, ..Rules::default() };
    let ranked = || Rules { discipline: Discipline::Priority, ..Rules::default() };
    let newest = || Rules { on_newer: GiveUp::Waiting, ..Rules::default() };
    let simulator = Simulator::new(good.trace(), plain()).expect("possible");
    let one_route = simulator.run(&[Route::S1], &mut Vec::new()).map(drop);
    let impossible = [
        (refused(|q| q.arrival_ns[0] = -1, plain()), "arrival_ns[0] is negative"),
        (refused(|q| q.arrival_ns[0] = 3, plain()), "arrival_ns[1] is earlier"),
        (refused(|q| q.s1_service_ns[1] = -1, plain()), "s1_service_ns[1] is negative"),
        (refused(|q| q.s2_service_ns[0] = -7, plain()), "s2_service_ns[0] is negative"),
        (refused(|q| q.s2_service_ns[0] = i64::MAX, plain()), "2^63"),
        (refused(|q| q.s2_service_ns[0] = 1 << 60, speeds(&[1, 1], &[1])), "2^63"),
        (refused(|q| q.deadline_ns[1] = 1, plain()), "deadline_ns[1] lies before"),
        (refused(|q| q.s1_service_ns.push(1), plain()), "s1_service_ns has 3 entries"),
        (refused(|q| q.stream.push(1), plain()), "stream has 3 entries"),
        (without(|t| t.deadline_ns = None, edf()), "deadline_ns is missing"),
        (without(|t| t.priority = None, ranked()), "priority is missing"),
        (without(|t| t.stream = None, newest()), "stream is missing"),
        (refused(|_| {}, Rules { slots: 0, ..plain() }), "slots"),
        (refused(|_| {}, speeds(&[1], &[1])), "sharing.s1 has 1 speeds"),
        (refused(|_| {}, speeds(&[1, 1], &[0])), "sharing.s2[0] is 0"),
        (one_route, "route has 1 entries"),
    ];
    for (outcome, part) in impossible {
        match outcome {
            Err(Error::Invalid(message)) => assert!(message.contains(part), "{message}"),
            other => panic!("{part}: {other:?}"),
        }
    }
}
