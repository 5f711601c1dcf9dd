//! The one place where the load generator reads the time.

use std::time::Instant;

/// The present instant.
#[expect(clippy::disallowed_methods, reason = "the one place where real time enters")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
