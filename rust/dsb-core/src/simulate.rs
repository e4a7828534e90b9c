//! When would each answer have come? Discrete-event simulation of S1, S2 and a router over measured service times.
//!
//! S1 is one server that takes its queries in the order of their arrival. S2 has `slots` equal servers behind one
//! queue with a [`Discipline`]; nothing preempts a service. The router's decisions are data: a [`Route`] per query,
//! so that many routers can be tried on one [`Simulator`]. Times are whole nanoseconds of stream time and the
//! arithmetic is exact, so results are the same everywhere.
//!
//! **One instant.** What happens at the same time happens in this order:
//! 1. services end, S1's first, then S2's by the position of the query; a query that goes on joins S2's queue;
//! 2. queries whose deadline it is are given up ([`GiveUp`]);
//! 3. queries arrive; each may supersede the older ones of its stream;
//! 4. S1 starts services until it is busy (one that needs no time ends at once), then S2 does.
//!
//! **Giving up.** A query is *overdue* at its deadline and *superseded* when a query of the same stream arrives
//! strictly later than it did. What becomes of it says `at_deadline` and `on_newer`. An escalated query that is given
//! up while S1's answer is in hand is answered with that, there and then. Whatever is given up first counts.
//!
//! **A shared GPU.** With [`Sharing`] a service of n ns is n ns of work, done at a speed that depends on how many
//! services run; it ends at the first whole nanosecond at which all of its work is done. Two tables of equal speeds
//! `1/k` are egalitarian processor sharing (Kleinrock 1976, "Queueing Systems" II, section 4.4).

mod event;
mod fifo;
mod lane;
mod outcome;
mod trace;

use crate::error::{Error, Result};
pub use outcome::{Outcome, Status, System, Totals, Usage};
pub use trace::Trace;

/// Which systems a query goes to.
///
/// ```
/// use dsb_core::simulate::{GiveUp, Route, Rules, Simulator, System, Trace};
///
/// let trace = Trace {
///     arrival_ns: vec![0],
///     s1_service_ns: vec![2],
///     s2_service_ns: vec![10],
///     deadline_ns: Some(vec![5]),
///     ..Trace::default()
/// };
/// let finish = |at_deadline| {
///     let rules = Rules { at_deadline, ..Rules::default() };
///     let mut outcomes = Vec::new();
///     Simulator::new(trace.clone(), rules)?.run(&[Route::Escalate], &mut outcomes)?;
///     Ok::<_, dsb_core::Error>((outcomes[0].finish_ns, outcomes[0].answered_by))
/// };
/// assert_eq!(finish(GiveUp::Never)?, (12, Some(System::S2)));
/// // S2 is given up at the deadline, but S1's answer is in hand.
/// assert_eq!(finish(GiveUp::Running)?, (5, Some(System::S1)));
/// # Ok::<(), dsb_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Route {
    /// S1 answers.
    S1,
    /// S2 answers.
    S2,
    /// S1 first; when it has its answer, the query goes on to S2, whose answer counts.
    Escalate,
}

/// Which waiting query a free slot of S2 takes. Ties: who joined the queue first, then the position in the trace.
///
/// ```
/// use dsb_core::simulate::{Discipline, Route, Rules, Simulator, Trace};
///
/// let trace = Trace {
///     arrival_ns: vec![0, 1, 2, 3],
///     s1_service_ns: vec![0; 4],
///     s2_service_ns: vec![10; 4],
///     deadline_ns: Some(vec![99, 60, 40, 50]),
///     priority: Some(vec![0, 1, 2, 3]),
///     ..Trace::default()
/// };
/// let starts = |discipline| {
///     let rules = Rules { discipline, ..Rules::default() };
///     let mut outcomes = Vec::new();
///     Simulator::new(trace.clone(), rules)?.run(&[Route::S2; 4], &mut outcomes)?;
///     let starts = outcomes.iter().filter_map(|outcome| outcome.start_ns);
///     Ok::<Vec<i64>, dsb_core::Error>(starts.collect())
/// };
/// // The first query finds a free slot, and keeps it.
/// assert_eq!(starts(Discipline::Fifo)?, [0, 10, 20, 30]);
/// assert_eq!(starts(Discipline::EarliestDeadline)?, [0, 30, 10, 20]);
/// assert_eq!(starts(Discipline::Priority)?, [0, 30, 20, 10]);
/// # Ok::<(), dsb_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Discipline {
    /// The one that joined the queue first.
    Fifo,
    /// The one with the earliest deadline.
    EarliestDeadline,
    /// The one with the highest priority.
    Priority,
}

/// Which queries are given up when they are overdue or superseded.
///
/// ```
/// use dsb_core::simulate::{GiveUp, Route, Rules, Simulator, Status, Trace};
///
/// let trace = Trace {
///     arrival_ns: vec![0, 10],
///     s1_service_ns: vec![0, 0],
///     s2_service_ns: vec![100, 5],
///     deadline_ns: Some(vec![80, 90]),
///     ..Trace::default()
/// };
/// let ends = |at_deadline| {
///     let rules = Rules { at_deadline, ..Rules::default() };
///     let mut outcomes = Vec::new();
///     Simulator::new(trace.clone(), rules)?.run(&[Route::S2; 2], &mut outcomes)?;
///     let ends = outcomes.iter().map(|outcome| (outcome.finish_ns, outcome.status));
///     Ok::<Vec<_>, dsb_core::Error>(ends.collect())
/// };
/// assert_eq!(ends(GiveUp::Never)?, [(100, Status::Late), (105, Status::Late)]);
/// assert_eq!(ends(GiveUp::Waiting)?, [(100, Status::Late), (90, Status::Dropped)]);
/// assert_eq!(ends(GiveUp::Running)?, [(80, Status::Dropped), (85, Status::Answered)]);
/// # Ok::<(), dsb_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GiveUp {
    /// None: an answer that is late is an answer.
    Never,
    /// Those that wait. One in service is finished, but it does not go on to S2.
    Waiting,
    /// Those in service too, which frees the server.
    Running,
}

/// Speeds of services that share a GPU, in millionths of the speed at which the trace was measured.
///
/// ```
/// use dsb_core::simulate::{Route, Rules, Sharing, Simulator, Trace};
///
/// let trace = Trace {
///     arrival_ns: vec![0, 0],
///     s1_service_ns: vec![10, 0],
///     s2_service_ns: vec![0, 30],
///     ..Trace::default()
/// };
/// // Side by side each has half of the GPU.
/// let sharing = Sharing {
///     s1: vec![1_000_000, 500_000],
///     s2: vec![1_000_000],
///     s2_beside_s1: vec![500_000],
/// };
/// let rules = Rules { sharing: Some(sharing), ..Rules::default() };
/// let mut outcomes = Vec::new();
/// Simulator::new(trace, rules)?.run(&[Route::S1, Route::S2], &mut outcomes)?;
/// assert_eq!((outcomes[0].finish_ns, outcomes[1].finish_ns), (20, 40));
/// # Ok::<(), dsb_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sharing {
    /// Of S1 while 0, 1, ... `slots` services of S2 run.
    pub s1: Vec<u32>,
    /// Of each service of S2 while 1, 2, ... `slots` of them run and S1 is idle.
    pub s2: Vec<u32>,
    /// The same while S1 is busy.
    pub s2_beside_s1: Vec<u32>,
}

/// How the systems work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Queries that S2 serves at a time.
    pub slots: usize,
    /// Order of S2's queue.
    pub discipline: Discipline,
    /// Which overdue queries are given up.
    pub at_deadline: GiveUp,
    /// Which superseded queries are given up.
    pub on_newer: GiveUp,
    /// How services slow each other down; `None`: not at all.
    pub sharing: Option<Sharing>,
}

impl Default for Rules {
    /// One slot, first come first served, every query is served, no GPU is shared.
    fn default() -> Self {
        Self {
            slots: 1,
            discipline: Discipline::Fifo,
            at_deadline: GiveUp::Never,
            on_newer: GiveUp::Never,
            sharing: None,
        }
    }
}

/// A trace and rules that fit it.
///
/// A query waits while S2 is busy, and then takes as long as it was measured to take:
///
/// ```
/// use dsb_core::simulate::{Outcome, Route, Rules, Simulator, Status, System, Trace};
///
/// let trace = Trace {
///     arrival_ns: vec![0, 10],
///     s1_service_ns: vec![1, 1],
///     s2_service_ns: vec![100, 50],
///     ..Trace::default()
/// };
/// let simulator = Simulator::new(trace, Rules::default())?;
/// let mut outcomes = Vec::new();
/// let totals = simulator.run(&[Route::S2, Route::S2], &mut outcomes)?;
/// assert_eq!(
///     outcomes[1],
///     Outcome {
///         start_ns: Some(100),
///         finish_ns: 150,
///         waited_ns: 90,
///         status: Status::Answered,
///         answered_by: Some(System::S2),
///     }
/// );
/// assert_eq!((totals.horizon_ns, totals.s2_utilisation(1)), (150, 1.0));
/// // Another router on the same measurements.
/// simulator.run(&[Route::S2, Route::S1], &mut outcomes)?;
/// assert_eq!(outcomes[1].finish_ns, 11);
/// # Ok::<(), dsb_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Simulator {
    trace: Trace,
    rules: Rules,
    /// For each query the one before it in its stream; empty unless newer queries supersede.
    previous: Vec<Option<usize>>,
}

impl Simulator {
    /// [`Error::Invalid`] if a column of `trace` has another length than `arrival_ns`, arrivals are negative or not
    /// in order, a service takes negative time, a deadline lies before its arrival, a column is missing that `rules`
    /// need, there is no slot, a table of speeds has another length than its meaning asks for or holds a 0, or the
    /// simulation might last longer than 2^63 ns.
    pub fn new(trace: Trace, rules: Rules) -> Result<Self> {
        let slowest = rules.check()?;
        trace.check(&rules, slowest)?;
        let previous = match &trace.stream {
            Some(stream) if rules.on_newer != GiveUp::Never => trace::previous(stream),
            _ => Vec::new(),
        };
        Ok(Self { trace, rules, previous })
    }

    /// What becomes of each query, in the order of the trace, when the router decides `routes`. The contents of
    /// `outcomes` are replaced; its memory is used again.
    /// [`Error::Invalid`] unless there is one route per query.
    pub fn run(&self, routes: &[Route], outcomes: &mut Vec<Outcome>) -> Result<Totals> {
        let plain = self.rules.discipline == Discipline::Fifo
            && self.rules.on_newer == GiveUp::Never
            && self.rules.sharing.is_none();
        if !plain {
            return self.run_events(routes, outcomes);
        }
        self.check(routes)?;
        Ok(fifo::run(&self.trace, &self.rules, routes, outcomes))
    }

    /// The same as [`run`](Self::run), event by event whatever the rules are; `run` takes a shorter way where it can.
    #[doc(hidden)]
    pub fn run_events(&self, routes: &[Route], outcomes: &mut Vec<Outcome>) -> Result<Totals> {
        self.check(routes)?;
        Ok(event::run(self, routes, outcomes))
    }

    fn check(&self, routes: &[Route]) -> Result<()> {
        let (queries, routes) = (self.trace.arrival_ns.len(), routes.len());
        if queries == routes {
            return Ok(());
        }
        Err(Error::invalid(format!("route has {routes} entries, arrival_ns has {queries}")))
    }
}

impl Rules {
    /// The slowest speed that they know, in millionths.
    fn check(&self) -> Result<u32> {
        if self.slots == 0 {
            return Err(Error::invalid("slots must be at least 1"));
        }
        let Some(sharing) = &self.sharing else { return Ok(lane::FULL_SPEED) };
        let tables = [
            ("s1", &sharing.s1, self.slots.saturating_add(1)),
            ("s2", &sharing.s2, self.slots),
            ("s2_beside_s1", &sharing.s2_beside_s1, self.slots),
        ];
        for (name, speeds, wanted) in tables {
            if speeds.len() != wanted {
                let got = speeds.len();
                let cause = format!(
                    "sharing.{name} has {got} speeds, {} slots of S2 need {wanted}",
                    self.slots
                );
                return Err(Error::invalid(cause));
            }
            if let Some(i) = speeds.iter().position(|&speed| speed == 0) {
                return Err(Error::invalid(format!(
                    "sharing.{name}[{i}] is 0; a service would never end"
                )));
            }
        }
        let speeds = tables.iter().flat_map(|(_, speeds, _)| speeds.iter());
        Ok(speeds.copied().min().unwrap_or(lane::FULL_SPEED))
    }
}
