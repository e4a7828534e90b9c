//! The measured trace, and what must hold for it.

use std::collections::HashMap;

use super::lane::FULL_SPEED;
use super::{Discipline, GiveUp, Rules};
use crate::error::{Error, Result};

/// One entry per query in every column; times in nanoseconds of the stream clock.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    /// When the query is asked; not negative, ascending.
    pub arrival_ns: Vec<i64>,
    /// How long S1 works on it, alone on its machine.
    pub s1_service_ns: Vec<i64>,
    /// How long S2 works on it, alone on its machine.
    pub s2_service_ns: Vec<i64>,
    /// The last moment at which an answer is in time, not before the arrival. `i64::MAX`, or no column: none.
    pub deadline_ns: Option<Vec<i64>>,
    /// The higher, the earlier served under [`Discipline::Priority`].
    pub priority: Option<Vec<i64>>,
    /// Number of the stream that it is asked about.
    pub stream: Option<Vec<i64>>,
}

impl Trace {
    pub(super) fn len(&self) -> usize {
        self.arrival_ns.len()
    }

    pub(super) fn deadline_ns(&self, query: usize) -> i64 {
        self.deadline_ns.as_ref().map_or(i64::MAX, |deadlines| deadlines[query])
    }

    /// `slowest` is the slowest speed of a service, in millionths.
    pub(super) fn check(&self, rules: &Rules, slowest: u32) -> Result<()> {
        self.check_columns(rules)?;
        if self.arrival_ns.first().is_some_and(|&first| first < 0) {
            return Err(Error::invalid(format!(
                "arrival_ns[0] is negative: {}",
                self.arrival_ns[0]
            )));
        }
        if let Some(i) = first(self.arrival_ns.windows(2), |pair| pair[1] < pair[0]) {
            let (i, j) = (i, i + 1);
            let cause = format!(
                "arrival_ns[{j}] is earlier than arrival_ns[{i}]; sort the queries by arrival"
            );
            return Err(Error::invalid(cause));
        }
        let mut work = self.arrival_ns.last().map_or(0, |&last| i128::from(last));
        for (name, services) in
            [("s1_service_ns", &self.s1_service_ns), ("s2_service_ns", &self.s2_service_ns)]
        {
            if let Some(i) = first(services.iter(), |&service| service < 0) {
                return Err(Error::invalid(format!("{name}[{i}] is negative: {}", services[i])));
            }
            let total: i128 = services.iter().map(|&service| i128::from(service)).sum();
            // Each service may end up to a nanosecond after its work is done.
            work += total * i128::from(FULL_SPEED) / i128::from(slowest) + services.len() as i128;
        }
        if let Some(deadlines) = &self.deadline_ns {
            let mut pairs = deadlines.iter().zip(&self.arrival_ns);
            if let Some(i) = pairs.position(|(deadline, arrival)| deadline < arrival) {
                return Err(Error::invalid(format!(
                    "deadline_ns[{i}] lies before arrival_ns[{i}]"
                )));
            }
        }
        // After the last arrival something is in service until the end.
        if work >= i128::from(i64::MAX) {
            let cause = "s1_service_ns and s2_service_ns may add up to more than 2^63 ns; are they in nanoseconds?";
            return Err(Error::invalid(cause));
        }
        Ok(())
    }

    fn check_columns(&self, rules: &Rules) -> Result<()> {
        let columns = [
            ("s1_service_ns", Some(&self.s1_service_ns), false, ""),
            ("s2_service_ns", Some(&self.s2_service_ns), false, ""),
            (
                "deadline_ns",
                self.deadline_ns.as_ref(),
                rules.discipline == Discipline::EarliestDeadline
                    || rules.at_deadline != GiveUp::Never,
                "a discipline or a rule asks for deadlines",
            ),
            (
                "priority",
                self.priority.as_ref(),
                rules.discipline == Discipline::Priority,
                "the discipline asks for priorities",
            ),
            (
                "stream",
                self.stream.as_ref(),
                rules.on_newer != GiveUp::Never,
                "a newer query supersedes those of its own stream only",
            ),
        ];
        for (name, column, needed, why) in columns {
            match column {
                None if needed => return Err(Error::invalid(format!("{name} is missing: {why}"))),
                Some(column) if column.len() != self.len() => {
                    let (got, wanted) = (column.len(), self.len());
                    let cause = format!("{name} has {got} entries, arrival_ns has {wanted}");
                    return Err(Error::invalid(cause));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Position of the first entry that is `wrong`. Looks at all of them without a branch first, as few traces are wrong.
fn first<T>(entries: impl Iterator<Item = T> + Clone, wrong: impl Fn(T) -> bool) -> Option<usize> {
    let any = entries.clone().fold(false, |any, entry| any | wrong(entry));
    any.then(|| entries.into_iter().position(wrong)).flatten()
}

/// For each query the one before it in its stream.
pub(super) fn previous(stream: &[i64]) -> Vec<Option<usize>> {
    let mut newest = HashMap::new();
    stream.iter().enumerate().map(|(query, stream)| newest.insert(stream, query)).collect()
}
