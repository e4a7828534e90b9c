//! Queries to simulate.

use dsb_core::simulate::{Outcome, Route, Rules, Simulator, Totals, Trace};

/// The columns of a trace, and where its queries go.
#[derive(Clone, Debug, Default)]
pub(crate) struct Queries {
    pub(crate) arrival_ns: Vec<i64>,
    pub(crate) s1_service_ns: Vec<i64>,
    pub(crate) s2_service_ns: Vec<i64>,
    pub(crate) deadline_ns: Vec<i64>,
    pub(crate) priority: Vec<i64>,
    pub(crate) stream: Vec<i64>,
    pub(crate) route: Vec<Route>,
}

impl Queries {
    /// Queries that only S2 answers, without deadlines, all of one stream.
    pub(crate) fn of_s2(arrival_ns: Vec<i64>, s2_service_ns: Vec<i64>) -> Self {
        let queries = arrival_ns.len();
        Self {
            arrival_ns,
            s1_service_ns: vec![0; queries],
            s2_service_ns,
            deadline_ns: vec![i64::MAX; queries],
            priority: vec![0; queries],
            stream: vec![0; queries],
            route: vec![Route::S2; queries],
        }
    }

    pub(crate) fn trace(&self) -> Trace {
        Trace {
            arrival_ns: self.arrival_ns.clone(),
            s1_service_ns: self.s1_service_ns.clone(),
            s2_service_ns: self.s2_service_ns.clone(),
            deadline_ns: Some(self.deadline_ns.clone()),
            priority: Some(self.priority.clone()),
            stream: Some(self.stream.clone()),
        }
    }

    pub(crate) fn run(&self, rules: &Rules) -> (Vec<Outcome>, Totals) {
        let mut outcomes = Vec::new();
        let simulator = Simulator::new(self.trace(), rules.clone()).expect("a possible trace");
        let totals = simulator.run(&self.route, &mut outcomes).expect("a route per query");
        (outcomes, totals)
    }
}
