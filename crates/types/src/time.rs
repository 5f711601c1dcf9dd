//! Three kinds of time, three types: [`Instant`], [`UnixTime`] and [`Duration`].
//!
//! Nothing below the edge reads a clock. The edge reads it once per batch of requests and hands the
//! reading down as [`Now`].

pub use core::time::Duration;

/// A reading of this node's monotonic clock, in nanoseconds from an arbitrary origin; for what stays
/// on this node (time-outs, idle times).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(pub u64);

impl Instant {
    /// This instant and `duration` more, saturating.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// How long ago `earlier` was; zero when it was not earlier.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// A time of the wall clock, in milliseconds since 1970-01-01 UTC; for deadlines that are stored and
/// that travel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixTime(pub u64);

impl UnixTime {
    /// The earliest time; nothing has expired then.
    pub const ZERO: Self = Self(0);

    /// This time and `duration` more (whole milliseconds, rounded down), saturating.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
    }

    /// How long it takes from `now` to this time; zero when it is past.
    #[must_use]
    pub fn remaining(self, now: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(now.0))
    }

    /// Whole milliseconds since 1970.
    #[must_use]
    pub fn as_millis(self) -> u64 {
        self.0
    }
}

/// One reading of both clocks, taken after the requests it is used for were received.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// The monotonic clock.
    pub instant: Instant,
    /// The wall clock in microseconds since 1970; never steps back while the process lives.
    pub unix_micros: u64,
}

impl Now {
    /// The wall clock in milliseconds, as deadlines are kept.
    #[must_use]
    pub fn unix(self) -> UnixTime {
        UnixTime(self.unix_micros / 1000)
    }
}
