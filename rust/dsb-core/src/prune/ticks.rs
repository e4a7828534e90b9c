//! The times at which a video is sampled, in the units of its track.

use crate::time::Rational;

/// The grid `k / rate` of stream time, as it falls onto a track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticks {
    /// Ticks per second.
    rate: Rational,
    /// Units of the track per second.
    timescale: u32,
    /// Stream time 0 on the track's clock, in its units.
    origin: i64,
    /// How far the decoder's rounding may move a picture, in units of the track.
    slack: i64,
    /// The first tick that counts.
    first: i128,
}

impl Ticks {
    /// All ticks of `rate` per second on a track of `timescale` units per second whose container starts at
    /// `start_us` microseconds of its own clock.
    ///
    /// A container that does not start at 0 is moved there by the decoder, which computes in microseconds: then a
    /// picture next to a tick counts on both sides of it.
    pub fn new(rate: Rational, timescale: u32, start_us: i64) -> Self {
        let scaled = i128::from(start_us) * i128::from(timescale);
        let origin = i64::try_from(scaled.div_euclid(1_000_000)).unwrap_or(i64::MAX);
        let slack = if start_us == 0 { 0 } else { i64::from(timescale / 1_000_000) + 2 };
        Self { rate, timescale, origin, slack, first: i128::MIN }
    }

    /// The same grid, of which only the ticks at or after `from_ns` count.
    #[must_use]
    pub fn from(self, from_ns: i64) -> Self {
        let (num, den) = (i128::from(self.rate.num()), i128::from(self.rate.den()));
        Self { first: div_ceil(i128::from(from_ns) * num, den * 1_000_000_000), ..self }
    }

    /// Whether one of the ticks falls into `start..end`, times of the track.
    pub fn fall_into(&self, start: i64, end: i64) -> bool {
        let (start, end) = (i128::from(start), i128::from(end));
        let (slack, origin) = (i128::from(self.slack), i128::from(self.origin));
        let first = self.first_at(start - origin - slack).max(self.first);
        first < self.first_at(end - origin + slack)
    }

    /// Whether a picture of this time comes after the first tick that counts.
    pub(super) fn is_after_start(&self, time: i64) -> bool {
        self.first_at(i128::from(time) - i128::from(self.origin) + i128::from(self.slack))
            > self.first
    }

    /// Whether the first tick that counts comes at or before a picture of this time.
    pub(super) fn reaches_start(&self, time: i64) -> bool {
        let time = i128::from(time) - i128::from(self.origin) - i128::from(self.slack);
        self.first_at(time + 1) > self.first
    }

    /// The first tick at or after this time.
    fn first_at(&self, time: i128) -> i128 {
        let (num, den) = (i128::from(self.rate.num()), i128::from(self.rate.den()));
        div_ceil(time * num, i128::from(self.timescale) * den)
    }
}

fn div_ceil(a: i128, b: i128) -> i128 {
    -(-a).div_euclid(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticks(start_us: i64) -> Ticks {
        Ticks::new(Rational::new(2, 1).unwrap(), 1000, start_us)
    }

    #[test]
    fn a_tick_belongs_to_the_picture_that_is_on_screen_then() {
        assert!(ticks(0).fall_into(500, 533));
        assert!(ticks(0).fall_into(499, 501));
        assert!(!ticks(0).fall_into(467, 500));
        assert!(!ticks(0).fall_into(501, 1000));
    }

    #[test]
    fn a_moved_origin_moves_the_grid_and_counts_both_sides_of_a_tick() {
        assert!(ticks(100_000).fall_into(600, 633));
        assert!(ticks(100_000).fall_into(567, 600));
        assert!(!ticks(100_000).fall_into(550, 590));
    }

    #[test]
    fn ticks_before_the_start_do_not_count() {
        let late = ticks(0).from(1_000_000_001);
        assert!(!late.fall_into(0, 1400));
        assert!(late.fall_into(1400, 1501));
    }
}
