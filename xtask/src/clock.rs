//! The one place where the harness reads clocks and waits.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// The present instant.
#[expect(clippy::disallowed_methods, reason = "measuring is what this is for")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Processor time that this thread has used so far: what others do on the machine is not in it.
pub(crate) fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let secs = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(secs, u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Waits for `duration`, for something outside of this process.
pub(crate) fn wait(duration: Duration) {
    let end = now() + duration;
    while let Some(left) = end.checked_duration_since(now()).filter(|left| !left.is_zero()) {
        std::thread::park_timeout(left);
    }
}
