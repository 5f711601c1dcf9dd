//! The node's clock: the one place where real time enters.
//!
//! Durations come from `CLOCK_BOOTTIME`, which runs on while the machine is suspended. The wall time
//! that deadlines are compared with starts at the machine's wall clock and follows it by slewing, at
//! most [`SLEW_PER_MILLE`] per mille: a clock that is set back never makes a dead entry live again, and
//! one that jumps ahead never kills a working set at once.

use ringhold_types::time::{Instant, Now};
use rustix::time::{ClockId, clock_gettime};

/// How fast the node's wall time approaches the machine's, in thousandths of the time that passes.
const SLEW_PER_MILLE: u64 = 10;

/// Reads the time. Each worker owns one; they agree within the machine's own clock error.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    /// The last reading of the monotonic clock, in nanoseconds.
    last_nanos: u64,
    /// The wall time at that reading, in nanoseconds since 1970.
    unix_nanos: u64,
}

impl Clock {
    /// A clock that shows the machine's wall time now.
    #[must_use]
    pub(crate) fn start() -> Self {
        Self { last_nanos: boot_nanos(), unix_nanos: wall_nanos() }
    }

    /// Reads both clocks; about 60 ns.
    pub(crate) fn now(&mut self) -> Now {
        let nanos = boot_nanos();
        let passed = nanos.saturating_sub(self.last_nanos);
        self.last_nanos = self.last_nanos.max(nanos);
        self.unix_nanos = slewed(self.unix_nanos, passed, wall_nanos());
        Now { instant: Instant(nanos), unix_micros: self.unix_nanos / 1000 }
    }
}

/// The node's wall time after `passed` nanoseconds, moved towards `target` within the slew limit.
fn slewed(before: u64, passed: u64, target: u64) -> u64 {
    let free = before.saturating_add(passed);
    let step = passed / 1000 * SLEW_PER_MILLE;
    if target >= free { target.min(free.saturating_add(step)) } else { target.max(free - step) }
}

fn boot_nanos() -> u64 {
    nanos(ClockId::Boottime)
}

fn wall_nanos() -> u64 {
    nanos(ClockId::Realtime)
}

fn nanos(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wall_clock_that_agrees_is_followed_exactly() {
        assert_eq!(slewed(1_000_000, 5_000, 1_005_000), 1_005_000);
        assert_eq!(slewed(1_000_000, 100_000, 1_100_900), 1_100_900);
    }

    #[test]
    fn a_wall_clock_set_back_slows_time_but_never_turns_it_back() {
        assert_eq!(slewed(1_000_000, 100_000, 0), 1_100_000 - 1_000);
    }

    #[test]
    fn a_wall_clock_set_forward_is_approached_by_one_per_cent() {
        assert_eq!(slewed(1_000_000, 100_000, u64::MAX), 1_100_000 + 1_000);
    }

    #[test]
    fn time_passes_and_the_wall_time_is_the_machines() {
        let mut clock = Clock::start();
        let (first, second) = (clock.now(), clock.now());
        assert!(first.instant <= second.instant && first.unix_micros <= second.unix_micros);
        assert!(first.unix_micros.abs_diff(wall_nanos() / 1000) < 1_000_000);
    }
}
