//! What an entry carries beside its key and value.

use core::fmt;

use crate::time::UnixTime;

/// The stamp of an entry: it grows with every write of the entry's slot.
///
/// Range: 0 to [`Version::MAX`] (56 bits). 0 stamps nothing that was ever written. The number is
/// the `ETag` over HTTP and the comparand of compare-and-swap everywhere; a change of the time to
/// live keeps it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub u64);

impl Version {
    /// The greatest version: microseconds since 1970 reach it after the year 4200.
    pub const MAX: Self = Self((1 << 56) - 1);

    /// The version that a write gets at `micros` (the slot's clock, microseconds since 1970) when
    /// the slot's last write got `self`: `max(self + 1, micros)`.
    ///
    /// # Panics
    ///
    /// When the versions are used up, which takes two millennia of writes.
    #[must_use]
    pub fn next(self, micros: u64) -> Self {
        let next = Self((self.0 + 1).max(micros));
        assert!(next <= Self::MAX, "a version fits 56 bits");
        next
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A row of a table of content types (type and encoding together); opaque to the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentTypeId(pub u16);

impl ContentTypeId {
    /// No content type was given.
    pub const NONE: Self = Self(0);
    /// The table was full: the text is kept with the entry. No table has this row.
    pub const INLINE: Self = Self(0xFFFF);
}

/// The content type of an entry, as the store keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentType<'a> {
    /// A row of the caller's table, never [`ContentTypeId::INLINE`].
    Row(ContentTypeId),
    /// The text itself: at most [`ContentType::TEXT_LEN_MAX`] bytes.
    Text(&'a [u8]),
}

impl ContentType<'_> {
    /// None was given; costs nothing.
    pub const NONE: Self = Self::Row(ContentTypeId::NONE);
    /// The longest text, in bytes.
    pub const TEXT_LEN_MAX: usize = 255;
}

/// When an entry turns stale and when it dies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Deadlines {
    /// The entry is invisible from this time on. `None`: it never expires.
    pub hard: Option<UnixTime>,
    /// From this time on a hit is marked as stale. `None`: never.
    pub soft: Option<UnixTime>,
}

impl Deadlines {
    /// Never stale, never dead.
    pub const NEVER: Self = Self { hard: None, soft: None };

    /// Whether the entry is dead at `now`: it is *from* its deadline on.
    #[must_use]
    pub fn is_expired(&self, now: UnixTime) -> bool {
        self.hard.is_some_and(|deadline| deadline <= now)
    }

    /// Whether the entry is past its soft deadline at `now`.
    #[must_use]
    pub fn is_stale(&self, now: UnixTime) -> bool {
        self.soft.is_some_and(|deadline| deadline <= now)
    }
}
