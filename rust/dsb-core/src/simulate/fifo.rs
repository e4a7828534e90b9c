//! The short way: first come first served, nothing supersedes, no GPU is shared.
//!
//! Then a service's start follows from the moment at which a slot becomes free, by Lindley's recursion for one slot
//! (Lindley 1952) and that of Kiefer & Wolfowitz (1955) for several, and no queue is kept. Queries that S1 hands on
//! come to S2 in order, so one look at the oldest of them merges them with those that go to S2 at once.

use std::collections::VecDeque;

use super::outcome::{Outcome, Status, System, Totals, Usage};
use super::{GiveUp, Route, Rules, Trace};

/// A query at the queue of a system.
#[derive(Clone, Copy)]
struct Leg {
    query: usize,
    joined_ns: i64,
    service_ns: i64,
    deadline_ns: i64,
}

/// How a leg went.
struct Passage {
    start_ns: Option<i64>,
    end_ns: i64,
    done: bool,
}

impl Leg {
    fn new(trace: &Trace, service_ns: &[i64], query: usize, joined_ns: i64) -> Self {
        let deadline_ns = trace.deadline_ns(query);
        Self { query, joined_ns, service_ns: service_ns[query], deadline_ns }
    }

    /// Takes a server that is free from `free_ns` on, and says when it is free again.
    fn pass(self, free_ns: i64, give_up: GiveUp, usage: &mut Usage) -> (Passage, i64) {
        let start_ns = self.joined_ns.max(free_ns);
        if give_up != GiveUp::Never && start_ns >= self.deadline_ns {
            usage.waited_ns += wide(self.deadline_ns - self.joined_ns);
            return (Passage { start_ns: None, end_ns: self.deadline_ns, done: false }, free_ns);
        }
        let end_ns = start_ns + self.service_ns;
        let done = give_up != GiveUp::Running || end_ns <= self.deadline_ns;
        let end_ns = if done { end_ns } else { self.deadline_ns };
        usage.services += 1;
        usage.waited_ns += wide(start_ns - self.joined_ns);
        usage.busy_ns += wide(end_ns - start_ns);
        (Passage { start_ns: Some(start_ns), end_ns, done }, end_ns)
    }
}

/// A system: when each of its slots becomes free, and what it did.
struct Slots<F> {
    system: System,
    /// One entry per slot; an array where the number is known, for speed.
    free_ns: F,
    give_up: GiveUp,
    usage: Usage,
}

impl<F: AsMut<[i64]>> Slots<F> {
    fn new(system: System, free_ns: F, give_up: GiveUp) -> Self {
        Self { system, free_ns, give_up, usage: Usage::default() }
    }

    fn serve(&mut self, leg: Leg, outcome: &mut Outcome) {
        // There is a slot for each query, or all that there are.
        let Some(free_ns) = self.free_ns.as_mut().iter_mut().min() else { return };
        let (passage, free_again) = leg.pass(*free_ns, self.give_up, &mut self.usage);
        *free_ns = free_again;
        outcome.waited_ns += passage.start_ns.unwrap_or(passage.end_ns) - leg.joined_ns;
        outcome.start_ns = outcome.start_ns.or(passage.start_ns);
        match outcome.answered_by {
            _ if passage.done => outcome.answer(self.system, passage.end_ns, leg.deadline_ns),
            Some(by) => outcome.answer(by, passage.end_ns, leg.deadline_ns),
            None => outcome.give_up(Status::Dropped, passage.end_ns),
        }
    }
}

pub(super) fn run(
    trace: &Trace,
    rules: &Rules,
    routes: &[Route],
    outcomes: &mut Vec<Outcome>,
) -> Totals {
    outcomes.clear();
    outcomes.reserve(trace.len());
    let give_up = rules.at_deadline;
    let mut s1 = Slots::new(System::S1, [0], give_up);
    let mut s2 = Slots::new(System::S2, vec![0; rules.slots.min(trace.len())], give_up);
    // Queries with an answer of S1 that are on their way to S2.
    let mut escalated: VecDeque<Leg> = VecDeque::new();
    for (query, (&route, &arrival_ns)) in routes.iter().zip(&trace.arrival_ns).enumerate() {
        while let Some(&leg) = escalated.front().filter(|leg| leg.joined_ns <= arrival_ns) {
            escalated.pop_front();
            s2.serve(leg, &mut outcomes[leg.query]);
        }
        let mut outcome = Outcome::PENDING;
        if route == Route::S2 {
            s2.serve(Leg::new(trace, &trace.s2_service_ns, query, arrival_ns), &mut outcome);
        } else {
            let leg = Leg::new(trace, &trace.s1_service_ns, query, arrival_ns);
            s1.serve(leg, &mut outcome);
            let in_hand = outcome.answered_by.is_some();
            let overdue = give_up != GiveUp::Never && outcome.finish_ns >= leg.deadline_ns;
            if route == Route::Escalate && in_hand && !overdue {
                escalated.push_back(Leg::new(
                    trace,
                    &trace.s2_service_ns,
                    query,
                    outcome.finish_ns,
                ));
            }
        }
        outcomes.push(outcome);
    }
    for leg in escalated {
        s2.serve(leg, &mut outcomes[leg.query]);
    }
    Totals { s1: s1.usage, s2: s2.usage, ..Totals::default() }.close(&trace.arrival_ns, outcomes)
}

/// A duration is not negative.
fn wide(duration_ns: i64) -> u128 {
    u128::from(duration_ns.unsigned_abs())
}
