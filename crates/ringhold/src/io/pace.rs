//! How slowly a request may come in.
//!
//! A client that sends a byte now and then keeps a connection, and the memory of its request, for as long as it likes if
//! only silence is judged ("slowloris"). So a request has a time from its first byte to its last: the one in which
//! silence is borne, and a second more for every [`RATE_MIN`] bytes that have come of it.

use ringhold_types::time::{Duration, Instant};

/// What a client has to send of a request on the mean once the first patience is over, in bytes per second.
const RATE_MIN: u64 = 1024;

/// How long a request may take of which `len` bytes have come.
pub(crate) fn time_max(len: usize, patience: Duration) -> Duration {
    let len = u64::try_from(len).unwrap_or(u64::MAX);
    patience.saturating_add(Duration::from_millis(len.saturating_mul(1000) / RATE_MIN))
}

/// A request that has not come whole.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Coming {
    /// How many turns had a whole request of its connection: another number is another request.
    pub(crate) turns_served: u32,
    /// The bytes of it that have come.
    pub(crate) len: usize,
}

/// How fast the present request of a connection comes in.
#[derive(Debug)]
pub(crate) struct Pace {
    /// When it was first seen, or when the bytes came that were seen then.
    began: Instant,
    is_coming: bool,
    turns_served: u32,
}

impl Pace {
    /// The pace of a connection that has just been accepted.
    pub(crate) const fn new(now: Instant) -> Self {
        Self { began: now, is_coming: false, turns_served: 0 }
    }

    /// Whether a request comes too slowly; `None`: none is coming, or it waits for us. Bytes last came at `active`.
    pub(crate) fn is_too_slow(
        &mut self,
        (now, active): (Instant, Instant),
        coming: Option<Coming>,
        patience: Duration,
    ) -> bool {
        match coming {
            Some(coming) if coming.turns_served == self.turns_served => {
                if !std::mem::replace(&mut self.is_coming, true) {
                    // It began after the last look, which may be long ago.
                    self.began = self.began.max(active);
                }
                now.since(self.began) > time_max(coming.len, patience)
            }
            Some(Coming { turns_served, .. }) => {
                *self = Self { began: now, is_coming: true, turns_served };
                false
            }
            None => {
                (self.began, self.is_coming) = (now, false);
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_that_comes_too_slowly_is_noticed_however_steadily_it_comes() {
        let patience = Duration::from_secs(60);
        let at = |secs: u64| Instant(0).after(Duration::from_secs(secs));
        let mut pace = Pace::new(at(0));
        let coming = |turns_served, len| Some(Coming { turns_served, len });
        assert!(!pace.is_too_slow((at(100), at(0)), None, patience), "nothing has come");
        assert!(!pace.is_too_slow((at(150), at(0)), coming(0, 2), patience));
        assert!(pace.is_too_slow((at(161), at(0)), coming(0, 3), patience), "a byte now and then");
        assert!(
            !pace.is_too_slow((at(161), at(0)), coming(0, 1024 * 2), patience),
            "a steady rate"
        );
        assert!(!pace.is_too_slow((at(500), at(0)), coming(1, 10), patience), "another request");
        assert!(!pace.is_too_slow((at(560), at(0)), coming(1, 10), patience));
        assert!(pace.is_too_slow((at(561), at(0)), coming(1, 10), patience));
        assert!(!pace.is_too_slow((at(562), at(0)), None, patience), "it waits for us");
        assert!(!pace.is_too_slow((at(600), at(0)), coming(1, 10), patience));
    }

    #[test]
    fn the_time_of_a_request_begins_with_its_bytes_not_with_the_look_before() {
        let patience = Duration::from_secs(60);
        let at = |secs: u64| Instant(0).after(Duration::from_secs(secs));
        let mut pace = Pace::new(at(0));
        let coming = Some(Coming { turns_served: 0, len: 10 });
        assert!(!pace.is_too_slow((at(100), at(0)), None, patience));
        assert!(!pace.is_too_slow((at(165), at(139)), coming, patience), "26 seconds so far");
        assert!(!pace.is_too_slow((at(199), at(198)), coming, patience));
        assert!(pace.is_too_slow((at(200), at(198)), coming, patience), "however it goes on");
    }
}
