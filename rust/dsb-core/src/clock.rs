//! Two clocks for stream time. The same driver runs under both.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::time::{NS_PER_S, Ns};

/// Stream time of a session, starting at 0. Durations are not negative.
pub trait Clock {
    /// The present.
    fn now(&self) -> Ns;

    /// Wait until `t` unless it is past; returns how late that is (0 if on time).
    fn sleep_until(&self, t: Ns) -> Ns;

    /// Let this much work pass. On a clock that runs by itself it has passed already.
    fn charge(&self, duration: Ns);
}

/// Stream time that moves only when told to: deterministic, as fast as the machine allows.
#[derive(Debug, Default)]
pub struct VirtualClock {
    now: AtomicI64,
}

impl Clock for VirtualClock {
    fn now(&self) -> Ns {
        Ns(self.now.load(Ordering::SeqCst))
    }

    fn sleep_until(&self, t: Ns) -> Ns {
        let before = self.now.fetch_max(t.0, Ordering::SeqCst);
        late(Ns(before), t)
    }

    fn charge(&self, duration: Ns) {
        let mut now = self.now();
        while let Err(newer) = self.now.compare_exchange_weak(
            now.0,
            now.0.saturating_add(duration.0.max(0)),
            Ordering::SeqCst,
            Ordering::SeqCst,
        ) {
            now = Ns(newer);
        }
    }
}

/// Stream time that runs with the wall clock.
#[derive(Debug)]
pub struct RealClock {
    start: Instant,
    /// Stream nanoseconds per wall second, `1..=1e18`.
    speed: u64,
}

impl RealClock {
    /// A clock that starts now and runs at `speed` stream seconds per wall second (resolution 1e-9).
    /// [`Error::Invalid`] if the speed is not a number within `[1e-9, 1e9]`.
    pub fn new(speed: f64) -> Result<Self> {
        if !(1e-9..=1e9).contains(&speed) {
            let message =
                format!("the speed of a clock must lie between 1e-9 and 1e9, got {speed}");
            return Err(Error::Invalid(message));
        }
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // Checked: 1 to 1e18.
        let speed = (speed * 1e9).round() as u64;
        Ok(Self { start: Instant::now(), speed })
    }

    /// Wall time that is left until stream time `t` (zero if it is past).
    pub fn wall_until(&self, t: Ns) -> Duration {
        let Ok(t) = u128::try_from(t.0) else { return Duration::ZERO };
        let wall = (t * u128::from(NS_PER_S.unsigned_abs())).div_ceil(u128::from(self.speed));
        let wall = Duration::from_nanos(u64::try_from(wall).unwrap_or(u64::MAX));
        wall.saturating_sub(self.start.elapsed())
    }
}

impl Clock for RealClock {
    fn now(&self) -> Ns {
        let wall = self.start.elapsed().as_nanos();
        let stream =
            wall.saturating_mul(u128::from(self.speed)) / u128::from(NS_PER_S.unsigned_abs());
        i64::try_from(stream).map_or(Ns::MAX, Ns)
    }

    fn sleep_until(&self, t: Ns) -> Ns {
        let lateness = late(self.now(), t);
        std::thread::sleep(self.wall_until(t));
        lateness
    }

    fn charge(&self, _duration: Ns) {}
}

fn late(now: Ns, t: Ns) -> Ns {
    Ns(now.0.saturating_sub(t.0).max(0))
}
