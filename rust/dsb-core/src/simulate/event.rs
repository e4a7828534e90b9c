//! The long way, for all rules: from one instant to the next at which something happens.

use super::lane::{FULL_SPEED, Lane};
use super::outcome::{Outcome, Status, System, Totals};
use super::{Discipline, GiveUp, Route, Simulator};

/// Where a query is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Not there yet, or gone.
    Outside,
    /// In a system's queue since then.
    Waiting(System, i64),
    /// In service.
    Running(System),
}

struct Events<'a> {
    simulator: &'a Simulator,
    routes: &'a [Route],
    outcomes: &'a mut [Outcome],
    places: Vec<Place>,
    superseded: Vec<bool>,
    now_ns: i64,
    /// The next query to arrive.
    next: usize,
    s1: Lane,
    s2: Lane,
}

pub(super) fn run(simulator: &Simulator, routes: &[Route], outcomes: &mut Vec<Outcome>) -> Totals {
    let queries = routes.len();
    outcomes.clear();
    outcomes.resize(queries, Outcome::PENDING);
    let mut events = Events {
        simulator,
        routes,
        outcomes,
        places: vec![Place::Outside; queries],
        superseded: vec![false; queries],
        now_ns: 0,
        next: 0,
        s1: Lane::new(1),
        s2: Lane::new(simulator.rules.slots),
    };
    while events.advance() {
        events.end_services();
        events.end_overdue_services();
        events.admit();
        events.start_s1();
        events.start_s2();
    }
    let (s1, s2) = (events.s1.usage, events.s2.usage);
    Totals { s1, s2, ..Totals::default() }.close(&simulator.trace.arrival_ns, outcomes)
}

impl Events<'_> {
    /// Goes to the next instant at which something happens; false if there is none.
    fn advance(&mut self) -> bool {
        let (s1_speed, s2_speed) = self.speeds();
        let arrival_ns = self.simulator.trace.arrival_ns.get(self.next).copied();
        let s1_ns = self.s1.next_ns(self.now_ns, s1_speed);
        let s2_ns = self.s2.next_ns(self.now_ns, s2_speed);
        let Some(next_ns) = [arrival_ns, s1_ns, s2_ns].into_iter().flatten().min() else {
            return false;
        };
        let duration_ns = next_ns - self.now_ns;
        self.s1.advance(duration_ns, s1_speed);
        self.s2.advance(duration_ns, s2_speed);
        self.now_ns = next_ns;
        true
    }

    /// Of S1 and of each service of S2, with the services that run now.
    fn speeds(&self) -> (u32, u32) {
        let Some(sharing) = &self.simulator.rules.sharing else {
            return (FULL_SPEED, FULL_SPEED);
        };
        let busy = self.s2.busy();
        let s2 = if self.s1.busy() == 0 { &sharing.s2 } else { &sharing.s2_beside_s1 };
        // With nothing in service the speed does not matter.
        (sharing.s1[busy], busy.checked_sub(1).map_or(FULL_SPEED, |others| s2[others]))
    }

    fn end_services(&mut self) {
        while let Some(service) = self.s1.next_done() {
            self.end_s1(service.query);
        }
        while let Some(service) = self.s2.next_done() {
            self.answer(service.query, System::S2);
        }
    }

    fn end_overdue_services(&mut self) {
        while let Some(service) = self.s1.next_overdue(self.now_ns) {
            self.give_up(service.query, Status::Dropped, self.now_ns);
        }
        while let Some(service) = self.s2.next_overdue(self.now_ns) {
            self.give_up(service.query, Status::Dropped, self.now_ns);
        }
    }

    fn admit(&mut self) {
        let arrivals = &self.simulator.trace.arrival_ns;
        while arrivals.get(self.next) == Some(&self.now_ns) {
            let query = self.next;
            self.supersede_before(query);
            let system = if self.routes[query] == Route::S2 { System::S2 } else { System::S1 };
            self.join(query, system);
            self.next += 1;
        }
    }

    /// `query` supersedes the older ones of its stream. Those before the last older moment were superseded then.
    fn supersede_before(&mut self, query: usize) {
        let (arrivals, previous) = (&self.simulator.trace.arrival_ns, &self.simulator.previous);
        let mut older = previous.get(query).copied().flatten();
        let Some(moment_ns) = older.map(|older| arrivals[older]) else { return };
        if moment_ns == arrivals[query] {
            return;
        }
        while let Some(each) = older.filter(|&each| arrivals[each] == moment_ns) {
            self.supersede(each);
            older = self.simulator.previous[each];
        }
    }

    fn supersede(&mut self, query: usize) {
        self.superseded[query] = true;
        match self.places[query] {
            Place::Waiting(system, joined_ns) => {
                let deadline_ns = self.simulator.trace.deadline_ns(query);
                if self.overdue(query) {
                    self.stop_waiting(query, system, joined_ns, deadline_ns);
                    self.give_up(query, Status::Dropped, deadline_ns);
                } else {
                    self.stop_waiting(query, system, joined_ns, self.now_ns);
                    self.give_up(query, Status::Cancelled, self.now_ns);
                }
            }
            Place::Running(system) if self.simulator.rules.on_newer == GiveUp::Running => {
                self.lane(system).abort(query);
                self.give_up(query, Status::Cancelled, self.now_ns);
            }
            Place::Running(_) | Place::Outside => {}
        }
    }

    fn start_s1(&mut self) {
        while let Some(query) = self.start_next(System::S1) {
            if self.simulator.trace.s1_service_ns[query] == 0 {
                self.s1.abort(query);
                self.end_s1(query);
            }
        }
    }

    fn start_s2(&mut self) {
        while let Some(query) = self.start_next(System::S2) {
            if self.simulator.trace.s2_service_ns[query] == 0 {
                self.s2.abort(query);
                self.answer(query, System::S2);
            }
        }
    }

    /// Starts the service of the next query in the queue, if a slot is free and a query waits.
    fn start_next(&mut self, system: System) -> Option<usize> {
        while self.lane(system).has_free_slot() {
            let query = self.lane(system).take()?;
            let Place::Waiting(_, joined_ns) = self.places[query] else { continue };
            let deadline_ns = self.simulator.trace.deadline_ns(query);
            if self.overdue(query) {
                self.stop_waiting(query, system, joined_ns, deadline_ns);
                self.give_up(query, Status::Dropped, deadline_ns);
                continue;
            }
            self.stop_waiting(query, system, joined_ns, self.now_ns);
            self.places[query] = Place::Running(system);
            self.outcomes[query].start_ns.get_or_insert(self.now_ns);
            let trace = &self.simulator.trace;
            let services =
                if system == System::S1 { &trace.s1_service_ns } else { &trace.s2_service_ns };
            let ends = self.simulator.rules.at_deadline == GiveUp::Running;
            let limit_ns = if ends { deadline_ns } else { i64::MAX };
            self.lane(system).begin(query, services[query], limit_ns);
            return Some(query);
        }
        None
    }

    fn end_s1(&mut self, query: usize) {
        self.answer(query, System::S1);
        if self.routes[query] == Route::Escalate && !self.superseded[query] && !self.overdue(query)
        {
            self.join(query, System::S2);
        }
    }

    fn join(&mut self, query: usize, system: System) {
        self.places[query] = Place::Waiting(system, self.now_ns);
        let trace = &self.simulator.trace;
        let key = match self.simulator.rules.discipline {
            _ if system == System::S1 => 0,
            Discipline::Fifo => 0,
            Discipline::EarliestDeadline => trace.deadline_ns(query),
            // `!` turns the order around, without the overflow of a negation.
            Discipline::Priority => {
                trace.priority.as_ref().map_or(0, |priorities| !priorities[query])
            }
        };
        let now_ns = self.now_ns;
        self.lane(system).join(key, now_ns, query);
    }

    fn stop_waiting(&mut self, query: usize, system: System, joined_ns: i64, until_ns: i64) {
        let waited_ns = until_ns - joined_ns;
        self.outcomes[query].waited_ns += waited_ns;
        self.lane(system).usage.waited_ns += u128::from(waited_ns.unsigned_abs());
    }

    fn answer(&mut self, query: usize, by: System) {
        self.places[query] = Place::Outside;
        self.outcomes[query].answer(by, self.now_ns, self.simulator.trace.deadline_ns(query));
    }

    /// Ends a query without S2's answer: with S1's if that is in hand, else with none.
    fn give_up(&mut self, query: usize, status: Status, at_ns: i64) {
        self.places[query] = Place::Outside;
        let deadline_ns = self.simulator.trace.deadline_ns(query);
        let outcome = &mut self.outcomes[query];
        match outcome.answered_by {
            Some(by) => outcome.answer(by, at_ns, deadline_ns),
            None => outcome.give_up(status, at_ns),
        }
    }

    /// Whether the deadline of `query` ends its waiting.
    fn overdue(&self, query: usize) -> bool {
        self.simulator.rules.at_deadline != GiveUp::Never
            && self.now_ns >= self.simulator.trace.deadline_ns(query)
    }

    fn lane(&mut self, system: System) -> &mut Lane {
        match system {
            System::S1 => &mut self.s1,
            System::S2 => &mut self.s2,
        }
    }
}
