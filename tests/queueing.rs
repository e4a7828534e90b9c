//! The simulation of long random traces against the formulas of queueing theory.
#![allow(
    clippy::expect_used,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "test values are small, and a test may panic"
)]

use dsb_core::simulate::{Outcome, Rules, Sharing};

#[path = "common/queries.rs"]
mod queries;
#[path = "common/random.rs"]
mod random;
use queries::Queries;
use random::Random;

const QUERIES: usize = 400_000;
const BATCHES: usize = 20;

/// Poisson arrivals at `load` per `mean_ns`, with the services that `service` draws.
fn poisson(seed: u64, load: f64, mean_ns: f64, service: impl Fn(&mut Random) -> f64) -> Queries {
    let mut random = Random(seed);
    let mut now_ns = 0;
    let mut rows = || {
        now_ns += (random.exponential() * mean_ns / load) as i64;
        (now_ns, service(&mut random) as i64)
    };
    let (arrivals, services) = (0..QUERIES).map(|_| rows()).unzip();
    Queries::of_s2(arrivals, services)
}

/// Whether `expected` lies in the 99.9 % interval of the mean of `values`, from the means of batches that are long
/// enough to be almost independent (t with 19 degrees of freedom).
fn agrees(values: &[f64], expected: f64) -> Result<(), String> {
    let length = values.len() / BATCHES;
    let batches: Vec<f64> = values
        .chunks_exact(length)
        .map(|batch| batch.iter().sum::<f64>() / length as f64)
        .collect();
    let mean = batches.iter().sum::<f64>() / BATCHES as f64;
    let squares: f64 = batches.iter().map(|batch| (batch - mean).powi(2)).sum();
    let half = 3.883 * (squares / ((BATCHES - 1) * BATCHES) as f64).sqrt();
    // An interval wider than a tenth of its value would prove nothing.
    if (mean - expected).abs() <= half && half < 0.1 * expected {
        return Ok(());
    }
    Err(format!("{mean} +- {half}, expected {expected}"))
}

fn waits(outcomes: &[Outcome]) -> Vec<f64> {
    outcomes.iter().map(|outcome| outcome.waited_ns as f64).collect()
}

#[test]
fn one_server_waits_as_pollaczek_and_khinchine_say() {
    // Mean wait = load / (1 - load) * E[S^2] / (2 E[S]).
    let (load, mean_ns) = (0.7, 1e6);
    let spread = |factor: f64| load / (1.0 - load) * mean_ns * factor / 2.0;
    let constant = poisson(1, load, mean_ns, |_| mean_ns);
    let exponential = poisson(2, load, mean_ns, |random| random.exponential() * mean_ns);
    // Half of the services take 0.2, half 1.8 of the mean: E[S^2] = 1.64 E[S]^2.
    let two = |random: &mut Random| if random.uniform() < 0.5 { 0.2 } else { 1.8 } * mean_ns;
    for (queries, factor) in
        [(constant, 1.0), (exponential, 2.0), (poisson(3, load, mean_ns, two), 1.64)]
    {
        let (outcomes, _) = queries.run(&Rules::default());
        agrees(&waits(&outcomes), spread(factor)).expect("Pollaczek-Khinchine");
    }
}

#[test]
fn several_servers_wait_as_erlang_says() {
    // Erlang C for 3 servers at 2.1 Erlang: P(wait) = 0.4572, mean wait = P / (3 - 2.1) * E[S].
    let (offered, mean_ns) = (2.1_f64, 1e6);
    let tail = offered.powi(3) / 6.0 * 3.0 / (3.0 - offered);
    let waits_at_all = tail / (1.0 + offered + offered.powi(2) / 2.0 + tail);
    let queries = poisson(4, offered, mean_ns, |random| random.exponential() * mean_ns);
    let (outcomes, _) = queries.run(&Rules { slots: 3, ..Rules::default() });
    agrees(&waits(&outcomes), waits_at_all / (3.0 - offered) * mean_ns).expect("Erlang C");
}

#[test]
fn a_shared_server_delays_as_processor_sharing_does() {
    // Mean time in the system = E[S] / (1 - load), whatever the services' distribution is (Kleinrock 1976, 4.4).
    let (load, mean_ns, slots) = (0.6, 1e6, 200);
    let sharing = Sharing {
        s1: vec![1_000_000; slots + 1],
        s2: (1..=200).map(|busy| 1_000_000 / busy).collect(),
        s2_beside_s1: vec![1_000_000; slots],
    };
    let rules = Rules { slots, sharing: Some(sharing), ..Rules::default() };
    let two = |random: &mut Random| if random.uniform() < 0.5 { 0.2 } else { 1.8 } * mean_ns;
    let queries = poisson(5, load, mean_ns, two);
    let (outcomes, totals) = queries.run(&rules);
    assert_eq!(totals.s2.waited_ns, 0, "a slot for each query");
    let times: Vec<f64> = outcomes
        .iter()
        .zip(&queries.arrival_ns)
        .map(|(outcome, arrival_ns)| (outcome.finish_ns - arrival_ns) as f64)
        .collect();
    agrees(&times, mean_ns / (1.0 - load)).expect("processor sharing");
}

#[test]
fn little_holds_for_the_number_in_the_system_seen_at_random_moments() {
    // L = rate * W, with L from looking at the system and W from the queries.
    let mean_ns = 1e6;
    let queries = poisson(6, 0.8, mean_ns, |random| random.exponential() * mean_ns);
    let (outcomes, totals) = queries.run(&Rules::default());
    let mut random = Random(7);
    let (mut arrived, mut left) = (0, 0);
    let mut now_ns = 0;
    let mut seen = Vec::new();
    let until_ns = queries.arrival_ns[QUERIES - 1];
    loop {
        now_ns += (random.exponential() * 2.0 * mean_ns) as i64;
        if now_ns >= until_ns {
            break;
        }
        while queries.arrival_ns[arrived] <= now_ns {
            arrived += 1;
        }
        while outcomes[left].finish_ns <= now_ns {
            left += 1;
        }
        seen.push((arrived - left) as f64);
    }
    let in_system: i64 =
        outcomes.iter().zip(&queries.arrival_ns).map(|(o, arrival)| o.finish_ns - arrival).sum();
    agrees(&seen, in_system as f64 / totals.horizon_ns as f64).expect("Little");
    assert!((totals.s2_utilisation(1) - 0.8).abs() < 0.01, "{}", totals.s2_utilisation(1));
}
