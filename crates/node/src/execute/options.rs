//! Options that several commands share: times to live, and conditions of a write.

use ringhold_store::entry::EntryRef;
use ringhold_types::entry::Deadlines;
use ringhold_types::time::UnixTime;

use super::{Call, Failure};
use crate::cells::Cells;

/// The latest time that an entry can end at, in milliseconds since 1970: in November 2059, since the store keeps
/// deadlines in 40 bits from 2025 on. What a client sets beyond it ends then.
pub(super) const DEADLINE_MAX_MILLIS: u64 = 1_735_689_600_000 + (1 << 40) - 2;

/// What becomes of a key's time to live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lifetime {
    /// It gets the default of its namespace.
    Default,
    /// It stays as it is; a new key gets the default.
    Keep,
    /// It ends.
    Never,
    /// It ends at this time.
    Until(UnixTime),
}

impl Lifetime {
    /// The deadlines of an entry after a write; `default` is that of its namespace.
    pub(super) fn deadlines(
        self,
        old: Option<&EntryRef<'_>>,
        default: Option<UnixTime>,
    ) -> Deadlines {
        let fresh = Deadlines { hard: default, soft: None };
        match self {
            Self::Default => fresh,
            Self::Keep => old.map_or(fresh, EntryRef::deadlines),
            Self::Never => Deadlines::NEVER,
            Self::Until(time) => Deadlines { hard: Some(time), soft: None },
        }
    }
}

/// The unit of a time in a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Seconds,
    Millis,
}

impl Unit {
    /// The number in milliseconds; `None` beyond 64 bits.
    pub(super) fn millis(self, number: i64) -> Option<i64> {
        number.checked_mul(match self {
            Self::Seconds => 1000,
            Self::Millis => 1,
        })
    }
}

/// What a time in a command counts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Base {
    Now,
    /// 1970.
    Epoch,
}

impl<C: Cells> Call<'_, '_, C> {
    /// Argument `idx`, a positive time to live or a time since 1970, as a deadline; `command` is named in the error.
    pub(super) fn deadline(
        &self,
        idx: usize,
        unit: Unit,
        base: Base,
        command: &str,
    ) -> Result<UnixTime, Failure> {
        let from = match base {
            Base::Now => self.now.unix().as_millis(),
            Base::Epoch => 0,
        };
        let millis = unit.millis(self.integer(idx)?).filter(|millis| *millis > 0);
        let deadline = millis
            .and_then(|millis| i64::try_from(from).ok()?.checked_add(millis))
            .and_then(|deadline| u64::try_from(deadline).ok())
            .ok_or_else(|| Failure::invalid_expire(command))?;
        Ok(UnixTime(deadline.min(DEADLINE_MAX_MILLIS)))
    }

    /// The lifetime that the option at `idx` asks for, if it is one of `EX PX EXAT PXAT`, which take the next argument.
    pub(super) fn lifetime(&self, idx: usize, command: &str) -> Result<Option<Lifetime>, Failure> {
        let known = [
            ("ex", Unit::Seconds, Base::Now),
            ("px", Unit::Millis, Base::Now),
            ("exat", Unit::Seconds, Base::Epoch),
            ("pxat", Unit::Millis, Base::Epoch),
        ];
        let option = known.iter().find(|(word, _, _)| self.args.is(idx, word));
        let Some((_, unit, base)) = option.filter(|_| idx + 1 < self.args.len()) else {
            return Ok(None);
        };
        self.deadline(idx + 1, *unit, *base, command).map(|until| Some(Lifetime::Until(until)))
    }
}
