//! The one place where the harness reads the clock and waits.

use std::time::{Duration, Instant};

/// The present instant.
#[expect(clippy::disallowed_methods, reason = "measuring is what this is for")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Waits for `duration`, for something outside of this process.
pub(crate) fn wait(duration: Duration) {
    let end = now() + duration;
    while let Some(left) = end.checked_duration_since(now()).filter(|left| !left.is_zero()) {
        std::thread::park_timeout(left);
    }
}
