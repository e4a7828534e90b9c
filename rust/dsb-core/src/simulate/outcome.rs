//! What became of the queries.

/// One of the two systems.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum System {
    /// The fast one.
    S1,
    /// The slow one.
    S2,
}

/// How a query ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// Answered by its deadline.
    Answered,
    /// Answered after its deadline.
    Late,
    /// Given up without an answer for a newer query of its stream.
    Cancelled,
    /// Given up without an answer at its deadline.
    Dropped,
}

/// What became of one query; times in nanoseconds of the stream clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// When its first service began; `None` if none did.
    pub start_ns: Option<i64>,
    /// When it left: answered or given up.
    pub finish_ns: i64,
    /// How long it waited in queues, S1's and S2's together.
    pub waited_ns: i64,
    /// How it ended.
    pub status: Status,
    /// Whose answer it got.
    pub answered_by: Option<System>,
}

impl Outcome {
    /// Of a query that has only arrived.
    pub(super) const PENDING: Self = Self {
        start_ns: None,
        finish_ns: 0,
        waited_ns: 0,
        status: Status::Dropped,
        answered_by: None,
    };

    pub(super) fn answer(&mut self, by: System, at_ns: i64, deadline_ns: i64) {
        self.finish_ns = at_ns;
        self.answered_by = Some(by);
        self.status = if at_ns <= deadline_ns { Status::Answered } else { Status::Late };
    }

    pub(super) fn give_up(&mut self, status: Status, at_ns: i64) {
        self.finish_ns = at_ns;
        self.status = status;
    }
}

/// What one system did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Services that began.
    pub services: u64,
    /// Time in service over all slots, given-up services included.
    pub busy_ns: u128,
    /// Time that queries waited for it.
    pub waited_ns: u128,
}

/// Sums over all queries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Of S1.
    pub s1: Usage,
    /// Of S2.
    pub s2: Usage,
    /// From the first arrival until the last query has left.
    pub horizon_ns: i64,
    /// Queries answered by their deadline.
    pub answered: u64,
    /// Queries answered after it.
    pub late: u64,
    /// Queries given up for a newer one.
    pub cancelled: u64,
    /// Queries given up at their deadline.
    pub dropped: u64,
}

impl Totals {
    /// Queries without an answer at their deadline that were not given up for a newer one.
    pub fn missed(&self) -> u64 {
        self.late + self.dropped
    }

    /// Share of the horizon in which S1 is busy (0 for an empty horizon).
    pub fn s1_utilisation(&self) -> f64 {
        self.per_horizon(self.s1.busy_ns)
    }

    /// Share of the horizon in which a slot of S2 is busy, the mean over `slots` (0 for an empty horizon).
    #[allow(clippy::cast_precision_loss)] // Slots are few.
    pub fn s2_utilisation(&self, slots: usize) -> f64 {
        self.per_horizon(self.s2.busy_ns) / slots as f64
    }

    /// Mean number of queries that wait for S1 over the horizon (0 for an empty horizon).
    pub fn s1_mean_queue(&self) -> f64 {
        self.per_horizon(self.s1.waited_ns)
    }

    /// Mean number of queries that wait for S2 over the horizon (0 for an empty horizon).
    pub fn s2_mean_queue(&self) -> f64 {
        self.per_horizon(self.s2.waited_ns)
    }

    /// Counts how each query ended, and takes the horizon.
    pub(super) fn close(mut self, arrival_ns: &[i64], outcomes: &[Outcome]) -> Self {
        let mut ended = [0; 4];
        let mut last = 0;
        for outcome in outcomes {
            ended[outcome.status as usize] += 1;
            last = last.max(outcome.finish_ns);
        }
        [self.answered, self.late, self.cancelled, self.dropped] = ended;
        self.horizon_ns = arrival_ns.first().map_or(0, |first| last - first);
        self
    }

    #[allow(clippy::cast_precision_loss)] // 53 bits of a mean are enough.
    fn per_horizon(&self, total_ns: u128) -> f64 {
        if self.horizon_ns == 0 { 0.0 } else { total_ns as f64 / self.horizon_ns as f64 }
    }
}
