//! One system in the event-driven simulation: its queue, its services, and how far they are.
//!
//! All services of a system have the same speed at any moment. So it is enough to count the work that a service which
//! never ended would have done; a service is done when that count has grown by its own work.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::outcome::Usage;

/// The speed at which services were measured. A nanosecond of work is as many units.
pub(super) const FULL_SPEED: u32 = 1_000_000;

/// What orders a queue: the discipline's key, when the query joined, its position in the trace.
type Rank = (i64, i64, usize);

/// A query in service.
#[derive(Clone, Copy, Debug)]
pub(super) struct Service {
    pub(super) query: usize,
    /// The query's deadline if it ends the service, else `i64::MAX`.
    pub(super) limit_ns: i64,
    /// The count of work at which it is done.
    done_at: u128,
}

#[derive(Debug)]
pub(super) struct Lane {
    slots: usize,
    /// Ascending by position in the trace.
    running: Vec<Service>,
    /// May hold queries that were given up since.
    waiting: BinaryHeap<Reverse<Rank>>,
    worked: u128,
    pub(super) usage: Usage,
}

impl Lane {
    pub(super) fn new(slots: usize) -> Self {
        let (running, waiting) = (Vec::new(), BinaryHeap::new());
        Self { slots, running, waiting, worked: 0, usage: Usage::default() }
    }

    /// Services that run.
    pub(super) fn busy(&self) -> usize {
        self.running.len()
    }

    pub(super) fn has_free_slot(&self) -> bool {
        self.running.len() < self.slots
    }

    pub(super) fn join(&mut self, key: i64, joined_ns: i64, query: usize) {
        self.waiting.push(Reverse((key, joined_ns, query)));
    }

    /// The query that is next in the queue.
    pub(super) fn take(&mut self) -> Option<usize> {
        self.waiting.pop().map(|Reverse((_, _, query))| query)
    }

    /// Puts a query into a free slot.
    pub(super) fn begin(&mut self, query: usize, service_ns: i64, limit_ns: i64) {
        let work = u128::from(service_ns.unsigned_abs()) * u128::from(FULL_SPEED);
        let service = Service { query, limit_ns, done_at: self.worked + work };
        let at = self.running.partition_point(|other| other.query < query);
        self.running.insert(at, service);
        self.usage.services += 1;
    }

    /// When the next service ends or reaches its limit, at this speed from `now_ns` on.
    pub(super) fn next_ns(&self, now_ns: i64, speed: u32) -> Option<i64> {
        let done_at = self.running.iter().map(|service| service.done_at).min()?;
        let limit_ns = self.running.iter().map(|service| service.limit_ns).min()?;
        let left = div_ceil(done_at.saturating_sub(self.worked), speed);
        // The whole simulation was found to last less than 2^63 ns.
        let done_ns = i64::try_from(left).map_or(i64::MAX, |left| now_ns.saturating_add(left));
        Some(done_ns.min(limit_ns))
    }

    /// Works for `duration_ns` at this speed.
    pub(super) fn advance(&mut self, duration_ns: i64, speed: u32) {
        let duration = u128::from(duration_ns.unsigned_abs());
        self.worked += duration * u128::from(speed);
        self.usage.busy_ns += duration * self.running.len() as u128;
    }

    /// Takes out the first service that is done.
    pub(super) fn next_done(&mut self) -> Option<Service> {
        let at = self.running.iter().position(|service| service.done_at <= self.worked)?;
        Some(self.running.remove(at))
    }

    /// Takes out the first service that has reached its limit.
    pub(super) fn next_overdue(&mut self, now_ns: i64) -> Option<Service> {
        let at = self.running.iter().position(|service| service.limit_ns <= now_ns)?;
        Some(self.running.remove(at))
    }

    /// Takes out the service of `query`.
    pub(super) fn abort(&mut self, query: usize) {
        self.running.retain(|service| service.query != query);
    }
}

/// `work / speed`, rounded up; almost always a division of 64 bits.
fn div_ceil(work: u128, speed: u32) -> u128 {
    match u64::try_from(work) {
        Ok(work) => u128::from(work.div_ceil(u64::from(speed))),
        Err(_) => work.div_ceil(u128::from(speed)),
    }
}
