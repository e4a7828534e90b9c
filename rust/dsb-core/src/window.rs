//! Which frames a system may look at for a query at t.

use crate::error::{Error, Result};
use crate::time::{NS_PER_S, Ns, Rational, div_ceil};

/// The newest `max_frames` of the frames that were on screen at t, t - 1/rate, t - 2/rate, ... within
/// `(t - span, t]`.
///
/// A frame is on screen from its time stamp until the next one, so a sampled window may hold a frame whose time
/// stamp lies before the span. Without a rate the window holds every frame with `t - span < pts <= t`.
///
/// **Invariants**: `max_frames >= 1`; a span is positive.
///
/// Without a rate a span is half-open:
///
/// ```
/// use dsb_core::{Ns, WindowSpec, select};
///
/// let pts = [0, 10, 20, 30].map(Ns);
/// let spec = WindowSpec::new(8, Some(Ns(20)), None)?;
/// assert!(select(&spec, &pts, Ns(30)).iter().eq([2, 3]));
/// assert!(select(&spec, &pts, Ns(29)).iter().eq([1, 2]));
/// # Ok::<(), dsb_core::Error>(())
/// ```
///
/// With a rate its moments are within the span, and the frames on screen then are selected:
///
/// ```
/// use dsb_core::{Ns, Rational, WindowSpec, select};
///
/// let tenths = |tenths: i64| Ns(tenths * 100_000_000);
/// let pts = [0, 4, 8, 12, 16].map(tenths);
/// let rate = Some(Rational::new(1, 1)?);
/// // 1.9 s and 0.9 s; the frame of 0.8 s was on screen at 0.9 s.
/// let spec = WindowSpec::new(8, Some(tenths(11)), rate)?;
/// assert!(select(&spec, &pts, tenths(19)).iter().eq([2, 4]));
/// // 1.9 s alone: 0.9 s is one span ago.
/// let spec = WindowSpec::new(8, Some(tenths(10)), rate)?;
/// assert!(select(&spec, &pts, tenths(19)).iter().eq([4]));
/// # Ok::<(), dsb_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WindowSpec {
    max_frames: usize,
    span: Option<Ns>,
    rate: Option<Rational>,
}

impl WindowSpec {
    /// `span = None` reaches back to the start, `rate = None` takes every frame.
    pub fn new(max_frames: usize, span: Option<Ns>, rate: Option<Rational>) -> Result<Self> {
        if max_frames == 0 {
            return Err(Error::invalid("max_frames must be at least 1"));
        }
        if span.is_some_and(|span| span <= Ns::ZERO) {
            return Err(Error::invalid("span_ns must be positive; None reaches back to the start"));
        }
        Ok(Self { max_frames, span, rate })
    }

    /// Most frames in a window.
    pub fn max_frames(&self) -> usize {
        self.max_frames
    }

    /// How far back the window reaches.
    pub fn span(&self) -> Option<Ns> {
        self.span
    }

    /// Samples per second.
    pub fn rate(&self) -> Option<Rational> {
        self.rate
    }
}

/// Positions of selected records, ascending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// `lo, lo + 1, ... < hi`; empty if `lo == hi`.
    Packed {
        /// First position.
        lo: u64,
        /// One after the last position.
        hi: u64,
    },
    /// `lo, lo + step, ...`, `len >= 2` of them, `step >= 2`.
    Strided {
        /// First position.
        lo: u64,
        /// Number of positions.
        len: u64,
        /// Distance of neighbours.
        step: u64,
    },
    /// Positions without a common distance.
    Gather(Vec<u64>),
}

impl Selection {
    /// The most regular selection of these ascending positions.
    ///
    /// ```
    /// use dsb_core::Selection;
    ///
    /// let regular = Selection::from_positions;
    /// assert_eq!(regular(vec![4, 5, 6]), Selection::Packed { lo: 4, hi: 7 });
    /// assert_eq!(regular(vec![4, 6, 8]), Selection::Strided { lo: 4, len: 3, step: 2 });
    /// assert_eq!(regular(vec![4, 5, 8]), Selection::Gather(vec![4, 5, 8]));
    /// ```
    pub fn from_positions(positions: Vec<u64>) -> Self {
        let (lo, len) = match positions.as_slice() {
            [] => return Self::Packed { lo: 0, hi: 0 },
            [lo] => return Self::Packed { lo: *lo, hi: lo + 1 },
            [lo, ..] => (*lo, positions.len() as u64),
        };
        let step = positions[1] - lo;
        if positions.windows(2).any(|pair| pair[1] - pair[0] != step) {
            return Self::Gather(positions);
        }
        if step == 1 { Self::Packed { lo, hi: lo + len } } else { Self::Strided { lo, len, step } }
    }

    /// Positions `start, start + step, ... < stop`.
    pub fn range(start: u64, stop: u64, step: u64) -> Result<Self> {
        if step == 0 || start > stop {
            return Err(Error::invalid(format!(
                "a window needs start <= stop and step >= 1, not {start}, {stop}, {step}"
            )));
        }
        let len = (stop - start).div_ceil(step);
        Ok(match (len, step) {
            (0 | 1, _) | (_, 1) => Self::Packed { lo: start, hi: start + len },
            _ => Self::Strided { lo: start, len, step },
        })
    }

    /// Number of positions.
    pub fn len(&self) -> usize {
        match self {
            Self::Packed { lo, hi } => usize::try_from(hi - lo).unwrap_or(usize::MAX),
            Self::Strided { len, .. } => usize::try_from(*len).unwrap_or(usize::MAX),
            Self::Gather(positions) => positions.len(),
        }
    }

    /// Whether nothing is selected.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The `index`-th position; `None` beyond the end.
    pub fn get(&self, index: usize) -> Option<u64> {
        let i = (index < self.len()).then_some(index as u64)?;
        Some(match self {
            Self::Packed { lo, .. } => lo + i,
            Self::Strided { lo, step, .. } => lo + i * step,
            Self::Gather(positions) => positions[index],
        })
    }

    /// The positions, ascending.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = u64> + ExactSizeIterator + '_ {
        (0..self.len()).map(|i| self.get(i).unwrap_or_default())
    }

    /// The same selection with every position moved up by `offset`.
    #[must_use]
    pub fn offset(self, offset: u64) -> Self {
        match self {
            Self::Packed { lo, hi } => Self::Packed { lo: lo + offset, hi: hi + offset },
            Self::Strided { lo, len, step } => Self::Strided { lo: lo + offset, len, step },
            Self::Gather(positions) => {
                Self::Gather(positions.into_iter().map(|p| p + offset).collect())
            }
        }
    }
}

/// Positions in `pts` (strictly increasing) that `spec` selects at `t`, oldest first.
///
/// Takes `O(max_frames * log pts.len())` steps, however fine the rate. No selected frame has `pts > t`.
///
/// The frame at t is the latest one with `pts <= t`:
///
/// ```
/// use dsb_core::{Ns, WindowSpec, select};
///
/// let pts = [10, 20, 30].map(Ns);
/// let newest = WindowSpec::new(1, None, None)?;
/// assert!(select(&newest, &pts, Ns(29)).iter().eq([1]));
/// assert!(select(&newest, &pts, Ns(30)).iter().eq([2]));
/// assert!(select(&newest, &pts, Ns(9)).is_empty());
/// # Ok::<(), dsb_core::Error>(())
/// ```
pub fn select(spec: &WindowSpec, pts: &[Ns], t: Ns) -> Selection {
    let visible = &pts[..on_screen(pts, t)];
    match spec.rate {
        None => every_frame(spec, visible, t),
        Some(rate) => sampled(spec, rate, visible, t),
    }
}

/// Number of frames with `pts <= t`.
fn on_screen(pts: &[Ns], t: Ns) -> usize {
    pts.partition_point(|pts| *pts <= t)
}

fn every_frame(spec: &WindowSpec, visible: &[Ns], t: Ns) -> Selection {
    // A span that reaches beyond the representable past holds everything.
    let before = spec.span.and_then(|span| t.checked_sub(span));
    let lo = before.map_or(0, |before| on_screen(visible, before));
    let lo = lo.max(visible.len().saturating_sub(spec.max_frames));
    Selection::Packed { lo: lo as u64, hi: visible.len() as u64 }
}

fn sampled(spec: &WindowSpec, rate: Rational, visible: &[Ns], t: Ns) -> Selection {
    // Tick k stands k * period / rate.num nanoseconds before t.
    let (period, num) = (i128::from(rate.den()) * i128::from(NS_PER_S), i128::from(rate.num()));
    let (t, span) = (i128::from(t.0), spec.span.map(|span| i128::from(span.0)));
    let mut newest_first = Vec::new();
    let (mut older, mut tick) = (visible, 0_i128);
    while newest_first.len() < spec.max_frames && span.is_none_or(|span| tick * period < span * num)
    {
        // Rounded up like the time stamps, else the frame whose own time this is would be missed.
        let moment = t + div_ceil(-tick * period, num);
        let Some(position) =
            older.partition_point(|pts| i128::from(pts.0) <= moment).checked_sub(1)
        else {
            break;
        };
        newest_first.push(position as u64);
        older = &visible[..position];
        // The first tick that is rounded to before this frame.
        let age = t - i128::from(visible[position].0) + 1;
        tick = div_ceil(age * num, period);
    }
    newest_first.reverse();
    Selection::from_positions(newest_first)
}
