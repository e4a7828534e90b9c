//! A trace of 2^17 queries under growing sets of rules. The limits: copying the bytes that go in and out, and Lindley's
//! recursion alone, which records nothing but a sum.
#![allow(missing_docs, clippy::expect_used, reason = "criterion's macros; a bench may panic")]

use std::hint::black_box;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use dsb_core::simulate::{Discipline, GiveUp, Outcome, Route, Rules, Sharing, Simulator, Trace};

const QUERIES: u32 = 1 << 17;

/// Pseudo-random numbers below `bound`; their quality does not matter here.
fn numbers(bound: u64, factor: u64) -> Vec<i64> {
    let number = |i| ((u64::from(i) * factor) >> 7) % bound;
    (1..=QUERIES).map(|i| i64::try_from(number(i)).expect("small")).collect()
}

/// A query each 2 ms on average; S1 needs 1 ms on average, S2 5 ms.
fn trace() -> Trace {
    let gaps = numbers(4_000_000, 0x9e37_79b9);
    let clock = |now: &mut i64, gap: &i64| {
        *now += gap;
        Some(*now)
    };
    let arrival_ns: Vec<i64> = gaps.iter().scan(0, clock).collect();
    let slack_ns = numbers(40_000_000, 0x85eb_ca6b);
    let deadlines = arrival_ns.iter().zip(slack_ns).map(|(arrival, slack)| arrival + slack);
    Trace {
        s1_service_ns: numbers(2_000_000, 0xc2b2_ae35),
        s2_service_ns: numbers(10_000_000, 0x27d4_eb2f),
        deadline_ns: Some(deadlines.collect()),
        priority: Some(numbers(3, 0x1656_67b1)),
        stream: Some(numbers(64, 0xd3a2_646c)),
        arrival_ns,
    }
}

fn run(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    rules: Rules,
    routes: &[Route],
    simulate: impl Fn(
        &Simulator,
        &[Route],
        &mut Vec<Outcome>,
    ) -> dsb_core::Result<dsb_core::simulate::Totals>,
) {
    let simulator = Simulator::new(trace(), rules).expect("a possible trace");
    let mut outcomes = Vec::new();
    group.bench_function(name, |bencher| {
        bencher.iter(|| black_box(simulate(&simulator, black_box(routes), &mut outcomes)));
    });
}

fn simulate(criterion: &mut Criterion) {
    let s1: Vec<Route> = (0..QUERIES).map(|_| Route::S1).collect();
    let mixed: Vec<Route> = numbers(4, 0x0f6d_1d5b)
        .iter()
        .map(|number| {
            [Route::S1, Route::S1, Route::S2, Route::Escalate]
                [usize::try_from(*number).expect("small")]
        })
        .collect();
    let with_deadlines = Rules { slots: 4, at_deadline: GiveUp::Waiting, ..Rules::default() };
    let sharing = Sharing {
        s1: vec![1_000_000, 800_000, 700_000, 600_000, 500_000],
        s2: vec![1_000_000, 900_000, 800_000, 700_000],
        s2_beside_s1: vec![900_000, 800_000, 700_000, 600_000],
    };
    let everything = Rules {
        slots: 4,
        discipline: Discipline::EarliestDeadline,
        at_deadline: GiveUp::Running,
        on_newer: GiveUp::Running,
        sharing: Some(sharing),
    };
    let mut group = criterion.benchmark_group("simulate");
    group.throughput(Throughput::Elements(u64::from(QUERIES)));
    run(&mut group, "one server, first come first served", Rules::default(), &s1, Simulator::run);
    run(
        &mut group,
        "S1, S2 with 4 slots, deadlines",
        with_deadlines.clone(),
        &mixed,
        Simulator::run,
    );
    run(&mut group, "the same, event by event", with_deadlines, &mixed, Simulator::run_events);
    run(&mut group, "every rule, event by event", everything, &mixed, Simulator::run);
    group.bench_function("check a trace", |bencher| {
        let copy = trace();
        bencher.iter_batched(
            || copy.clone(),
            |trace| black_box(Simulator::new(trace, Rules::default())),
            criterion::BatchSize::LargeInput,
        );
    });
    limits(&mut group, &trace());
    group.finish();
}

fn limits(group: &mut BenchmarkGroup<'_, WallTime>, trace: &Trace) {
    group.bench_function("limit: Lindley's recursion", |bencher| {
        bencher.iter(|| {
            let (mut free_ns, mut waited_ns) = (0, 0);
            for (arrival_ns, service_ns) in trace.arrival_ns.iter().zip(&trace.s1_service_ns) {
                let start_ns = free_ns.max(*arrival_ns);
                waited_ns += start_ns - arrival_ns;
                free_ns = start_ns + service_ns;
            }
            black_box(waited_ns)
        });
    });
    group.bench_function("limit: copying the bytes", |bencher| {
        // Arrival, service, deadline and route go in, an outcome comes out.
        let bytes = QUERIES as usize * (3 * 8 + 1 + size_of::<Outcome>());
        let source = vec![1_u8; bytes / 2];
        let mut target = vec![0_u8; bytes / 2];
        bencher.iter(|| target.copy_from_slice(black_box(&source)));
    });
}

criterion_group!(benches, simulate);
criterion_main!(benches);
