//! Live sources: stream time that runs with the wall clock, gaps, and how late frames come.
//!
//! A live source has no clock that we could read; it has frames. None of them can arrive before it was captured,
//! so the frame with the smallest difference between arrival and time stamp, the *fastest* so far, tells best how
//! the source's clock stands to ours. Stream time now is the time stamp that the fastest frame would have, did it
//! arrive now; how much later another frame came than the fastest would have is its delay.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::time::Ns;

/// What is done when the decoder of a live source ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Live {
    /// How long a lost connection is tried again. `None` for a source that has an end: when its decoder ends
    /// well, so does the source.
    pub reconnect: Option<Duration>,
}

impl Live {
    /// Pause before the first further attempt; doubled for each one after it.
    const FIRST_PAUSE: Duration = Duration::from_millis(250);
    const LONGEST_PAUSE: Duration = Duration::from_secs(8);

    /// Pause before attempt `number`, counted from 1.
    pub(super) fn pause(number: u32) -> Duration {
        let doublings = number.saturating_sub(1).min(16);
        Self::FIRST_PAUSE.saturating_mul(1 << doublings).min(Self::LONGEST_PAUSE)
    }
}

/// A span of stream time of which nothing is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Time stamp of the last frame before it.
    pub from: Ns,
    /// Time stamp of the first frame after it.
    pub to: Ns,
    /// Attempts that it took to connect again.
    pub attempts: u32,
    /// How the connection was lost.
    pub reason: String,
}

/// Quantiles of the delays of all frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delay {
    /// From capture to the ring.
    pub to_ring: Ns,
    /// From capture to the first window; `None` if none was shown.
    pub to_window: Option<Ns>,
}

/// The clock and the logbook of a live source.
///
/// **Invariants**: [`Timeline::now`] never runs backwards and is never before the time stamp of a published frame;
/// stamps increase strictly.
#[derive(Debug, Default)]
pub struct Timeline(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Wall time from which offsets count: when the first frame came.
    base: Option<Instant>,
    /// Offset (arrival - stamp, in nanoseconds) of the first frame and of the fastest one.
    first: i64,
    fastest: Option<i64>,
    /// Added to the time stamps of the present decoder.
    shift: i64,
    last: Option<Ns>,
    /// Distance of the last two frames of one decoder.
    step: i64,
    outage: Option<Outage>,
    gaps: Vec<Gap>,
    arrivals: Sample,
    shown: Sample,
}

#[derive(Debug)]
struct Outage {
    attempts: u32,
    reason: String,
}

impl Timeline {
    /// The time stamp of the next frame, which the decoder calls `pts` and which comes now.
    pub(super) fn stamp(&self, pts: Ns) -> Ns {
        self.stamp_at(pts, Instant::now())
    }

    fn stamp_at(&self, pts: Ns, now: Instant) -> Ns {
        let mut state = self.state();
        state.base.get_or_insert(now);
        if let (Some(outage), Some(last)) = (state.outage.take(), state.last) {
            let to = state.resume(now, last);
            state.shift = to.0.saturating_sub(pts.0);
            let Outage { attempts, reason } = outage;
            state.gaps.push(Gap { from: last, to, attempts, reason });
            state.last = Some(to);
            return to;
        }
        let stamp = Ns(pts.0.saturating_add(state.shift));
        if let Some(last) = state.last {
            state.step = stamp.0.saturating_sub(last.0);
        }
        state.last = Some(stamp);
        stamp
    }

    /// The frame with this time stamp is in the ring.
    pub(super) fn published(&self, stamp: Ns) {
        self.published_at(stamp, Instant::now());
    }

    fn published_at(&self, stamp: Ns, now: Instant) {
        let mut state = self.state();
        let offset = state.offset(stamp, now);
        if state.fastest.is_none() {
            state.first = offset;
        }
        state.fastest = Some(state.fastest.map_or(offset, |fastest| fastest.min(offset)));
        state.arrivals.add(offset);
    }

    /// The connection was lost.
    pub(super) fn lost(&self, reason: String) {
        self.state().outage.get_or_insert(Outage { attempts: 0, reason });
    }

    /// A further attempt to connect begins.
    pub(super) fn attempt(&self) {
        if let Some(outage) = &mut self.state().outage {
            outage.attempts += 1;
        }
    }

    /// Stream time now.
    pub fn now(&self) -> Ns {
        self.state().stream_time(Instant::now())
    }

    /// Frames with these time stamps stand in a window now, for the first time.
    pub fn shown(&self, stamps: &[Ns]) {
        let now = Instant::now();
        let mut state = self.state();
        for stamp in stamps {
            let offset = state.offset(*stamp, now);
            state.shown.add(offset);
        }
    }

    /// Spans without frames that are over.
    pub fn gaps(&self) -> Vec<Gap> {
        self.state().gaps.clone()
    }

    /// The present outage: stamp of the last frame before it, attempts, reason. `None` while frames come.
    pub fn outage(&self) -> Option<(Ns, u32, String)> {
        let state = self.state();
        let outage = state.outage.as_ref()?;
        Some((state.last?, outage.attempts, outage.reason.clone()))
    }

    /// The `q`-quantile (nearest rank) of the delays so far; `None` before the first frame.
    pub fn delay(&self, q: f64) -> Option<Delay> {
        let state = self.state();
        let fastest = state.fastest?;
        let delay = |offset: i64| Ns(offset.saturating_sub(fastest));
        let to_ring = delay(state.arrivals.quantile(q)?);
        Some(Delay { to_ring, to_window: state.shown.quantile(q).map(delay) })
    }

    /// Each change is complete before the next fallible step, so a poisoned lock is still good.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn offset(&self, stamp: Ns, now: Instant) -> i64 {
        self.elapsed(now).saturating_sub(stamp.0)
    }

    fn elapsed(&self, now: Instant) -> i64 {
        let elapsed = self.base.map_or(Duration::ZERO, |base| now.saturating_duration_since(base));
        i64::try_from(elapsed.as_nanos()).unwrap_or(i64::MAX)
    }

    fn stream_time(&self, now: Instant) -> Ns {
        Ns(self.elapsed(now).saturating_sub(self.fastest.unwrap_or(0)).max(0))
    }

    /// The time stamp of the first frame after an outage: the wall clock says how long it was, and the frame is as
    /// old as the first frame of all was, because the decoder takes as long to begin.
    fn resume(&self, now: Instant, last: Ns) -> Ns {
        let start_up = self.first.saturating_sub(self.fastest.unwrap_or(self.first));
        let captured = self.stream_time(now).0.saturating_sub(start_up);
        Ns(captured.max(last.0.saturating_add(self.step.max(1))))
    }
}

/// Numbers of which quantiles are wanted, thinned evenly when they are too many to keep.
#[derive(Debug, Default)]
struct Sample {
    kept: Vec<i64>,
    seen: u64,
    /// Every `2^thinned`-th number is kept.
    thinned: u32,
}

impl Sample {
    const MOST: usize = 1 << 16;

    fn add(&mut self, number: i64) {
        if self.seen.is_multiple_of(1 << self.thinned) {
            if self.kept.len() == Self::MOST {
                let mut place = 0;
                self.kept.retain(|_| {
                    place += 1;
                    place % 2 == 1
                });
                self.thinned += 1;
            }
            self.kept.push(number);
        }
        self.seen += 1;
    }

    fn quantile(&self, q: f64) -> Option<i64> {
        let mut sorted = self.kept.clone();
        sorted.sort_unstable();
        let last = sorted.len().checked_sub(1)?;
        #[expect(clippy::cast_precision_loss, reason = "at most 65536")]
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rank")]
        let rank = (q.clamp(0.0, 1.0) * sorted.len() as f64).ceil() as usize;
        sorted.get(rank.saturating_sub(1).min(last)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    /// Frames as `(pts, wall)` in tenths of a second after `begin`.
    fn play(timeline: &Timeline, begin: Instant, frames: &[(i64, u64)]) -> Vec<Ns> {
        frames
            .iter()
            .map(|(pts, wall)| {
                let now = begin + Duration::from_millis(100 * wall);
                let stamp = timeline.stamp_at(Ns(pts * SECOND / 10), now);
                timeline.published_at(stamp, now);
                stamp
            })
            .collect()
    }

    fn tenths(ns: Ns) -> i64 {
        ns.0 * 10 / SECOND
    }

    #[test]
    fn the_fastest_frame_sets_the_clock() {
        let (timeline, begin) = (Timeline::default(), Instant::now());
        // Half a second is buffered while the decoder looks at the stream, then frames come as they are made.
        play(&timeline, begin, &[(0, 0), (5, 0), (10, 5), (15, 11)]);
        let at = begin + Duration::from_secs(2);
        assert_eq!(tenths(timeline.state().stream_time(at)), 25);
        let median = timeline.delay(0.5).unwrap();
        assert_eq!((tenths(median.to_ring), median.to_window), (0, None));
        assert_eq!(tenths(timeline.delay(1.0).unwrap().to_ring), 5);
    }

    #[test]
    fn an_outage_lasts_as_long_in_stream_time_as_on_the_wall() {
        let (timeline, begin) = (Timeline::default(), Instant::now());
        play(&timeline, begin, &[(0, 0), (5, 5), (10, 10)]);
        timeline.lost("reset".to_owned());
        timeline.attempt();
        timeline.attempt();
        assert_eq!(timeline.outage(), Some((Ns(SECOND), 2, "reset".to_owned())));
        let stamps = play(&timeline, begin, &[(0, 70), (5, 75)]);
        assert_eq!(stamps.into_iter().map(tenths).collect::<Vec<_>>(), [70, 75]);
        let gap = &timeline.gaps()[0];
        assert_eq!((tenths(gap.from), tenths(gap.to), gap.attempts), (10, 70, 2));
        assert_eq!(timeline.outage(), None);
    }

    #[test]
    fn what_the_decoder_buffers_at_its_start_is_no_part_of_an_outage() {
        let (timeline, begin) = (Timeline::default(), Instant::now());
        play(&timeline, begin, &[(0, 0), (5, 0), (10, 5)]);
        timeline.lost("reset".to_owned());
        // Captured at 2.0 s on the wall, as the first frame was captured at -0.5 s.
        let stamps = play(&timeline, begin, &[(0, 25), (5, 25), (10, 30)]);
        assert_eq!(stamps.into_iter().map(tenths).collect::<Vec<_>>(), [25, 30, 35]);
        assert_eq!(tenths(timeline.state().stream_time(begin + Duration::from_secs(3))), 35);
    }

    #[test]
    fn stamps_increase_even_if_a_connection_comes_back_at_once() {
        let (timeline, begin) = (Timeline::default(), Instant::now());
        play(&timeline, begin, &[(0, 0), (5, 0), (10, 0)]);
        timeline.lost("reset".to_owned());
        assert_eq!(tenths(play(&timeline, begin, &[(0, 0)])[0]), 15);
    }

    #[test]
    fn a_thinned_sample_keeps_its_quantiles() {
        let mut sample = Sample::default();
        (0..1_000_000).for_each(|number| sample.add(number));
        assert!(sample.kept.len() <= Sample::MOST);
        let median = sample.quantile(0.5).unwrap();
        assert!((median - 500_000).abs() < 100, "{median}");
        assert_eq!(Sample::default().quantile(0.5), None);
    }

    #[test]
    fn pauses_grow_to_a_limit() {
        let pauses: Vec<_> = (1..8).map(|number| Live::pause(number).as_millis()).collect();
        assert_eq!(pauses, [250, 500, 1000, 2000, 4000, 8000, 8000]);
    }
}
