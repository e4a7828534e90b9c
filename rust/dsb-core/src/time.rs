//! Stream time: integer nanoseconds, positive rationals, half-open spans.
//!
//! **Rounding.** Time stamps that are not whole nanoseconds round *up*, and so must query times. Then
//! `pts <= t` between rounded values agrees with exact arithmetic to within 1 ns, and a query at a frame's own
//! time sees that frame.

use std::fmt;

use crate::error::{Error, Result};

/// Nanoseconds in a second.
pub const NS_PER_S: i64 = 1_000_000_000;

/// A moment or a length on the stream clock, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ns(pub i64);

impl Ns {
    /// The start of the stream.
    pub const ZERO: Self = Self(0);
    /// After every other moment.
    pub const MAX: Self = Self(i64::MAX);

    /// The moment `pts * time_base`, rounded up to whole nanoseconds; `None` if it does not fit.
    ///
    /// ```
    /// use dsb_core::{Ns, Rational};
    /// let third = Rational::new(1, 3).unwrap();
    /// assert_eq!(Ns::from_pts(1, third), Some(Ns(333_333_334)));
    /// ```
    pub fn from_pts(pts: i64, time_base: Rational) -> Option<Self> {
        // |pts| < 2^63, num < 2^32 and 1e9 < 2^30: the product stays below 2^125.
        let scaled = i128::from(pts) * i128::from(time_base.num) * i128::from(NS_PER_S);
        i64::try_from(div_ceil(scaled, i128::from(time_base.den))).ok().map(Self)
    }

    /// The sum, or `None` if it does not fit.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// The difference, or `None` if it does not fit.
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).map(Self)
    }
}

impl fmt::Display for Ns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sign, abs) = (if self.0 < 0 { "-" } else { "" }, self.0.unsigned_abs());
        let ns_per_s = NS_PER_S.unsigned_abs();
        write!(f, "{sign}{}.{:09} s", abs / ns_per_s, abs % ns_per_s)
    }
}

/// A positive fraction in lowest terms: a time base (seconds per tick), a rate (frames per second), a period.
///
/// **Invariants**: `num >= 1`, `den >= 1`, `gcd(num, den) == 1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rational {
    num: u32,
    den: u32,
}

impl Rational {
    /// The fraction `num / den`. Both must be positive and fit 32 bits in lowest terms, else [`Error::Invalid`].
    pub fn new(num: u64, den: u64) -> Result<Self> {
        let divisor = gcd(num, den).max(1);
        match (u32::try_from(num / divisor), u32::try_from(den / divisor)) {
            (Ok(num @ 1..), Ok(den @ 1..)) => Ok(Self { num, den }),
            _ => Err(Error::invalid(format!(
                "{num}/{den} is not a fraction of two positive 32-bit numbers"
            ))),
        }
    }

    /// Numerator.
    pub fn num(self) -> u32 {
        self.num
    }

    /// Denominator.
    pub fn den(self) -> u32 {
        self.den
    }

    /// `den / num`: the time base of a rate, the rate of a time base.
    #[must_use]
    pub fn recip(self) -> Self {
        Self { num: self.den, den: self.num }
    }
}

impl fmt::Display for Rational {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.num, self.den)
    }
}

/// The moments `start <= t < end`.
///
/// **Invariant**: `start < end`; an empty or inverted span cannot be written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Span {
    start: Ns,
    end: Ns,
}

impl Span {
    /// The span from `start` up to, but without, `end`; `None` if that holds no moment.
    pub fn new(start: Ns, end: Ns) -> Option<Self> {
        (start < end).then_some(Self { start, end })
    }

    /// First moment.
    pub fn start(self) -> Ns {
        self.start
    }

    /// First moment after the span.
    pub fn end(self) -> Ns {
        self.end
    }

    /// Whether `t` lies in the span.
    pub fn contains(self, t: Ns) -> bool {
        self.start <= t && t < self.end
    }

    /// The common moments; `None` if there are none.
    pub fn intersection(self, other: Self) -> Option<Self> {
        Self::new(self.start.max(other.start), self.end.min(other.end))
    }
}

/// The smallest integer that is not below `a / b`, for positive `b`.
pub(crate) fn div_ceil(a: i128, b: i128) -> i128 {
    -((-a).div_euclid(b))
}

pub(crate) fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}
