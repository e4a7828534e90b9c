//! The events of one session, in stream-time order.
//!
//! There is no clock inside: the driver takes the next event, waits until its time on whatever clock it has,
//! and acts. Frame and tick times are computed from their index in rational arithmetic and rounded up to the
//! nanosecond, so nothing drifts over any number of steps.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};

use crate::error::{Error, Result};
use crate::time::{NS_PER_S, Ns, Rational, div_ceil};

/// One step of a session.
///
/// At one time they come in the order of this list:
///
/// ```
/// use dsb_core::schedule::{Event, Poll, Query, Scheduler, Session};
/// use dsb_core::{Ns, Rational};
///
/// let t = Ns(0);
/// let second = Rational::new(1, 1)?;
/// let session = Session {
///     frame_rate: second.recip(),
///     end: t,
///     queries: vec![Query { t, key: 7 }],
///     polls: vec![Poll { key: 3, start: t, stop: Ns::MAX, period: second }],
///     prefill_stride: 1,
///     max_frames: 64,
/// };
/// assert!(Scheduler::new(session)?.eq([
///     Event::Frames { t, start: 0, stop: 1 },
///     Event::Prefill { t, start: 0, stop: 1 },
///     Event::Poll { t, key: 3, index: 0 },
///     Event::Query { t, key: 7 },
///     Event::End { t },
/// ]));
/// # Ok::<(), dsb_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Frames `[start, stop)` have come on screen.
    Frames {
        /// When the last of them came on screen.
        t: Ns,
        /// First frame.
        start: u64,
        /// Frame after the last one.
        stop: u64,
    },
    /// Frames `[start, stop)` form the next chunk to prefill.
    Prefill {
        /// When the last of them came on screen.
        t: Ns,
        /// First frame.
        start: u64,
        /// Frame after the last one.
        stop: u64,
    },
    /// A standing instruction has a tick.
    Poll {
        /// When.
        t: Ns,
        /// Which instruction.
        key: i64,
        /// Number of the tick, from 0.
        index: u64,
    },
    /// A query is asked.
    Query {
        /// When.
        t: Ns,
        /// Which query.
        key: i64,
    },
    /// Nothing follows.
    End {
        /// The last moment that matters.
        t: Ns,
    },
}

impl Event {
    /// Stream time of the event.
    pub fn t(&self) -> Ns {
        self.order().0
    }

    /// What orders the events of a session: time, kind, key.
    pub fn order(&self) -> (Ns, u8, i64) {
        match *self {
            Self::Frames { t, .. } => (t, 0, 0),
            Self::Prefill { t, .. } => (t, 1, 0),
            Self::Poll { t, key, .. } => (t, 2, key),
            Self::Query { t, key } => (t, 3, key),
            Self::End { t } => (t, 4, 0),
        }
    }
}

/// A question and the moment at which it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Query {
    /// When it is asked.
    pub t: Ns,
    /// The caller's name for it.
    pub key: i64,
}

/// A standing instruction: ticks at `start + k * period`, as long as they are before `stop`.
///
/// ```
/// use dsb_core::schedule::{Event, Poll, Scheduler, Session};
/// use dsb_core::{Ns, Rational};
///
/// let period = Rational::new(1, 3)?;
/// let thirds = Poll { key: 0, start: Ns(0), stop: Ns(1_000_000_000), period };
/// let session = Session {
///     frame_rate: Rational::new(1, 1)?,
///     end: Ns(9_000_000_000),
///     queries: Vec::new(),
///     polls: vec![thirds],
///     prefill_stride: 1,
///     max_frames: 64,
/// };
/// let events = Scheduler::new(session)?;
/// let ticks = events.filter(|event| matches!(event, Event::Poll { .. }));
/// // Each rounded up by itself, so that nothing drifts.
/// assert!(ticks.map(|tick| tick.t()).eq([Ns(0), Ns(333_333_334), Ns(666_666_667)]));
/// # Ok::<(), dsb_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Poll {
    /// The caller's name for it, unique among the polls of a session.
    pub key: i64,
    /// First tick.
    pub start: Ns,
    /// No tick is at or after it.
    pub stop: Ns,
    /// Seconds between ticks.
    pub period: Rational,
}

impl Poll {
    fn tick(&self, index: u64) -> Option<Ns> {
        // index < 2^64 and num < 2^32, and 1e9 < 2^30: the product stays below 2^126.
        let step = i128::from(index) * i128::from(self.period.num()) * i128::from(NS_PER_S);
        let t = i128::from(self.start.0) + div_ceil(step, i128::from(self.period.den()));
        i64::try_from(t).ok().map(Ns).filter(|&t| t < self.stop)
    }
}

/// What a session consists of.
#[derive(Clone, Debug)]
pub struct Session {
    /// Frames per second; frame i is on screen from `i / frame_rate`.
    pub frame_rate: Rational,
    /// The last moment that matters. Frames and ticks after it never come.
    pub end: Ns,
    /// Questions in any order.
    pub queries: Vec<Query>,
    /// Standing instructions in any order.
    pub polls: Vec<Poll>,
    /// Frames per prefill chunk.
    pub prefill_stride: u64,
    /// Most frames in one `Frames` event.
    pub max_frames: u64,
}

impl Session {
    fn check(&self) -> Result<()> {
        let rate = self.frame_rate;
        require(i64::from(rate.num()) <= NS_PER_S * i64::from(rate.den()), || {
            format!("frame_rate must be at most one frame per nanosecond, got {rate}")
        })?;
        require(self.end >= Ns::ZERO, || {
            format!("end_ns must not be negative, got {}", self.end.0)
        })?;
        require(self.prefill_stride > 0, || "prefill_stride must be at least 1".into())?;
        require(self.max_frames > 0, || "max_frames must be at least 1".into())?;
        self.check_queries()?;
        self.check_polls()
    }

    fn check_queries(&self) -> Result<()> {
        let mut seen = HashSet::new();
        for &Query { t, key } in &self.queries {
            require(Ns::ZERO <= t && t <= self.end, || {
                format!("query {key} at {t} is outside the session, which ends at {}", self.end)
            })?;
            require(seen.insert((t, key)), || format!("query {key} at {t} is listed twice"))?;
        }
        Ok(())
    }

    fn check_polls(&self) -> Result<()> {
        let mut seen = HashSet::new();
        for Poll { key, start, period, .. } in &self.polls {
            require(*start >= Ns::ZERO, || format!("poll {key} starts at {start}, before 0"))?;
            require(NS_PER_S * i64::from(period.num()) >= i64::from(period.den()), || {
                format!("the period of poll {key} must be at least 1 ns, got {period} s")
            })?;
            require(seen.insert(key), || format!("two polls have the key {key}"))?;
        }
        Ok(())
    }
}

/// The totally ordered events of one session, lazily.
///
/// **Invariants**: events ascend strictly in [`Event::order`]; `Frames` events partition the frames, and so do
/// `Prefill` events; an event at t comes after every frame that is on screen at t and before every later one.
///
/// A query comes between the frames before and after it, also in the middle of a chunk:
///
/// ```
/// use dsb_core::schedule::{Event, Query, Scheduler, Session};
/// use dsb_core::{Ns, Rational};
///
/// let ms = |ms: i64| Ns(ms * 1_000_000);
/// let session = Session {
///     frame_rate: Rational::new(2, 1)?, // at 0, 500, 1000, ... ms
///     end: ms(2000),
///     queries: vec![Query { t: ms(700), key: 7 }],
///     polls: Vec::new(),
///     prefill_stride: 4,
///     max_frames: 64,
/// };
/// assert!(Scheduler::new(session)?.eq([
///     Event::Frames { t: ms(500), start: 0, stop: 2 },
///     Event::Query { t: ms(700), key: 7 },
///     Event::Frames { t: ms(1500), start: 2, stop: 4 },
///     Event::Prefill { t: ms(1500), start: 0, stop: 4 },
///     Event::Frames { t: ms(2000), start: 4, stop: 5 },
///     Event::Prefill { t: ms(2000), start: 4, stop: 5 },
///     Event::End { t: ms(2000) },
/// ]));
/// # Ok::<(), dsb_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Scheduler {
    frame_rate: Rational,
    end: Ns,
    /// Ascending in `(t, key)`.
    queries: std::vec::IntoIter<Query>,
    polls: Vec<Poll>,
    /// The next tick of each poll that still has one: `(t, key, index, position in polls)`.
    ticks: BinaryHeap<Reverse<(Ns, i64, u64, usize)>>,
    prefill_stride: u64,
    max_frames: u64,
    /// Frames on screen by `end`.
    frames: u64,
    /// Frames announced so far.
    shown: u64,
    /// Frames handed to prefill so far, at most `shown`.
    prefilled: u64,
    ended: bool,
}

impl Scheduler {
    /// The events of `session`. [`Error::Invalid`] if it is impossible: a query outside `[0, end]`, an event
    /// listed twice, a period below a nanosecond, a stride of 0.
    pub fn new(session: Session) -> Result<Self> {
        session.check()?;
        let Session { frame_rate, end, mut queries, polls, prefill_stride, max_frames } = session;
        queries.sort_unstable_by_key(|query| (query.t, query.key));
        let mut scheduler = Self {
            frame_rate,
            end,
            queries: queries.into_iter(),
            polls,
            ticks: BinaryHeap::new(),
            prefill_stride,
            max_frames,
            frames: 0,
            shown: 0,
            prefilled: 0,
            ended: false,
        };
        scheduler.frames = scheduler.frames_at(end);
        for position in 0..scheduler.polls.len() {
            scheduler.arm(position, 0);
        }
        Ok(scheduler)
    }

    /// When frame `index` comes on screen.
    fn frame_time(&self, index: u64) -> Ns {
        let exact = i128::from(index) * i128::from(self.frame_rate.den()) * i128::from(NS_PER_S);
        let t = div_ceil(exact, i128::from(self.frame_rate.num()));
        i64::try_from(t).map_or(Ns::MAX, Ns)
    }

    /// Number of frames on screen at `t >= 0`.
    fn frames_at(&self, t: Ns) -> u64 {
        // An integer is at or after ceil(x) exactly if it is at or after x, so nothing is lost by rounding down.
        let last = i128::from(t.0) * i128::from(self.frame_rate.num())
            / (i128::from(self.frame_rate.den()) * i128::from(NS_PER_S));
        u64::try_from(last).map_or(u64::MAX, |last| last.saturating_add(1))
    }

    /// Put tick `index` of a poll on the heap, if there is one.
    fn arm(&mut self, position: usize, index: u64) {
        let poll = &self.polls[position];
        if let Some(t) = poll.tick(index).filter(|&t| t <= self.end) {
            self.ticks.push(Reverse((t, poll.key, index, position)));
        }
    }

    fn next_chunk_end(&self) -> u64 {
        self.prefilled.saturating_add(self.prefill_stride).min(self.frames)
    }

    fn next_query(&self) -> Option<Ns> {
        self.queries.as_slice().first().map(|query| query.t)
    }

    fn next_tick(&self) -> Option<Ns> {
        self.ticks.peek().map(|Reverse((t, ..))| *t)
    }

    fn prefill(&mut self) -> Option<Event> {
        let (start, stop) = (self.prefilled, self.next_chunk_end());
        if stop == start || self.shown < stop {
            return None;
        }
        self.prefilled = stop;
        Some(Event::Prefill { t: self.frame_time(stop - 1), start, stop })
    }

    /// Frames that come on screen no later than whatever else is next.
    fn show(&mut self) -> Option<Event> {
        let until = [self.next_query(), self.next_tick()].into_iter().flatten().min();
        let start = self.shown;
        let stop = self
            .frames_at(until.unwrap_or(self.end))
            .min(start.saturating_add(self.max_frames))
            .min(self.next_chunk_end());
        if stop <= start {
            return None;
        }
        self.shown = stop;
        Some(Event::Frames { t: self.frame_time(stop - 1), start, stop })
    }

    fn poll(&mut self) -> Option<Event> {
        let tick = self.next_tick()?;
        if self.next_query().is_some_and(|asked| asked < tick) {
            return None;
        }
        let Reverse((t, key, index, position)) = self.ticks.pop()?;
        self.arm(position, index + 1);
        Some(Event::Poll { t, key, index })
    }

    fn query(&mut self) -> Option<Event> {
        self.queries.next().map(|Query { t, key }| Event::Query { t, key })
    }

    fn finish(&mut self) -> Option<Event> {
        (!std::mem::replace(&mut self.ended, true)).then_some(Event::End { t: self.end })
    }
}

impl Iterator for Scheduler {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        self.prefill()
            .or_else(|| self.show())
            .or_else(|| self.poll())
            .or_else(|| self.query())
            .or_else(|| self.finish())
    }
}

impl std::iter::FusedIterator for Scheduler {}

fn require(holds: bool, message: impl FnOnce() -> String) -> Result<()> {
    if holds { Ok(()) } else { Err(Error::Invalid(message())) }
}
