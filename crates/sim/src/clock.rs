//! A host's clocks: what a machine is told for a moment of true time.
//!
//! The monotonic clock runs from an arbitrary origin at a rate within ±[`RATE_MAX_PPM`] of true time; the rate
//! may change. It runs on while the process is paused, as `CLOCK_BOOTTIME` does. The wall clock runs along with it from
//! an offset that may jump either way; a process sees it stand still rather than go back, as the real edge promises
//! ([`ringhold_types::time::Now`]). The real edge also slews jumps ahead; here they show at once, which is harsher.

use ringhold_types::prng::Prng;
use ringhold_types::time::{Instant, Now};

use crate::time::{Moment, SECOND};

/// The largest deviation from true time that the protocols assume, in parts per million.
pub const RATE_MAX_PPM: u32 = 40_000;

/// The clocks of one host.
#[derive(Clone, Debug)]
pub struct HostClock {
    /// True time and local time of the last change of rate.
    base: Moment,
    base_local: u64,
    /// Local nanoseconds per million true ones.
    rate: u64,
    /// Wall time when the local clock shows 0, in microseconds since 1970; may be far off.
    wall_offset: u64,
    /// What the living process was last told, in microseconds.
    wall_last: u64,
}

impl HostClock {
    /// A clock that runs true, from local time 0 and a wall clock of `wall_micros`.
    #[must_use]
    pub fn exact(wall_micros: u64) -> Self {
        Self {
            base: Moment::ZERO,
            base_local: 0,
            rate: 1_000_000,
            wall_offset: wall_micros,
            wall_last: 0,
        }
    }

    /// A clock with a random origin (up to 30 days of uptime) and a wall clock some 100 ms off 2026.
    #[must_use]
    pub fn drawn(prng: &mut Prng) -> Self {
        let base_local = prng.below(30 * 86_400 * SECOND);
        let wall = 1_767_225_600_000_000 + prng.below(100_000);
        let wall_offset = wall - base_local / 1000;
        Self { base: Moment::ZERO, base_local, rate: 1_000_000, wall_offset, wall_last: 0 }
    }

    /// Lets the clock run at `rate_ppm` (1,000,000: true) from `at` on.
    ///
    /// # Panics
    ///
    /// When the rate is further from true than [`RATE_MAX_PPM`] would allow twice over.
    pub fn set_rate(&mut self, at: Moment, rate_ppm: u32) {
        assert!(rate_ppm.abs_diff(1_000_000) <= 2 * RATE_MAX_PPM, "a clock, if a bad one");
        self.base_local = self.local(at).0;
        self.base = at;
        self.rate = u64::from(rate_ppm);
    }

    /// Moves the wall clock by `micros`; the monotonic clock does not notice.
    pub fn jump_wall(&mut self, micros: i64) {
        self.wall_offset = self.wall_offset.saturating_add_signed(micros);
    }

    /// A new process: it may be told an earlier wall time than the one before was.
    pub fn process_started(&mut self) {
        self.wall_last = 0;
    }

    /// The monotonic clock at a moment not before the last change of rate.
    #[must_use]
    pub fn local(&self, at: Moment) -> Instant {
        let passed = u128::from(at.0 - self.base.0) * u128::from(self.rate) / 1_000_000;
        Instant(self.base_local + u64::try_from(passed).expect("a run is shorter than centuries"))
    }

    /// Both clocks, as the process reads them.
    pub fn read(&mut self, at: Moment) -> Now {
        let instant = self.local(at);
        self.wall_last = self.wall_last.max(self.wall_offset + instant.0 / 1000);
        Now { instant, unix_micros: self.wall_last }
    }

    /// The first moment at which the monotonic clock shows `local` or more, if the rate stays; not before
    /// the last change of rate.
    #[must_use]
    pub fn when(&self, local: Instant) -> Moment {
        let ahead = u128::from(local.0.saturating_sub(self.base_local)) * 1_000_000;
        let passed = ahead.div_ceil(u128::from(self.rate));
        Moment(self.base.0.saturating_add(u64::try_from(passed).unwrap_or(u64::MAX)))
    }
}
