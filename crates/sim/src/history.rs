//! What the clients asked for and what they were told: the oracle's record of one run.
//!
//! An operation whose outcome is [`Outcome::Unknown`] (no answer came) may have taken effect at any moment after it was
//! asked for, or never; nobody calls it failed. Values are unique within a run, so a value names the write that it came
//! from; counters count from 1.

use std::collections::BTreeMap;

use ringhold_types::time::Duration;

use crate::machine::HostId;
use crate::time::Moment;

/// A call of one client, numbered by it from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CallId(pub u32);

/// A key, as the workload numbers them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key(pub u32);

/// A value: unique per write, or a counter's number. 0 says that the key is absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Value(pub u64);

impl Value {
    /// There is no such key.
    pub const ABSENT: Self = Self(0);
}

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// The value of a key.
    Get(Key),
    /// Writes a key.
    Set(Key, Value),
    /// Writes a key with a time to live.
    SetFor(Key, Value, Duration),
    /// Deletes a key.
    Delete(Key),
    /// Writes a key if it still has the value (that is: the version) that the client saw.
    Cas {
        /// The key.
        key: Key,
        /// The value that must be there; the version on the wire stands for it.
        expected: Value,
        /// The new value.
        value: Value,
    },
    /// Adds one to a counter; an absent one becomes 1.
    Incr(Key),
    /// Writes several keys of one slot at once.
    SetMany(Vec<(Key, Value)>),
}

impl Operation {
    /// Whether it changes anything.
    #[must_use]
    pub fn is_write(&self) -> bool {
        !matches!(self, Self::Get(_))
    }

    /// The keys it is about.
    pub fn keys(&self) -> impl Iterator<Item = Key> {
        let (one, many): (Option<Key>, &[(Key, Value)]) = match self {
            Self::Get(key)
            | Self::Set(key, _)
            | Self::SetFor(key, ..)
            | Self::Delete(key)
            | Self::Cas { key, .. }
            | Self::Incr(key) => (Some(*key), &[]),
            Self::SetMany(pairs) => (None, pairs),
        };
        one.into_iter().chain(many.iter().map(|pair| pair.0))
    }
}

/// What a reply said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    /// `Get`: the value. `Incr`: the new number. Others: not looked at.
    pub value: Value,
    /// `Cas`: it was written. `Delete`: the key was there. Others: not looked at.
    pub is_applied: bool,
    /// The version of the entry read or written; 0 when none was told.
    pub version: u64,
    /// The generation of the slot that answered; grows when the slot was reset to empty.
    pub generation: u64,
}

/// What a client knows of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was executed, and this came of it.
    Done(Reply),
    /// It was certainly not executed.
    NotApplied,
    /// It may have been executed.
    Unknown,
}

/// One operation of the run.
#[derive(Clone, Debug)]
pub struct Record {
    /// Who asked.
    pub client: HostId,
    /// What for.
    pub operation: Operation,
    /// When it was asked.
    pub invoked: Moment,
    /// When the outcome was known; [`Moment::NEVER`] while it is not.
    pub returned: Moment,
    /// What came of it; unknown until it is told.
    pub outcome: Outcome,
}

/// All operations of a run, in the order in which they were asked.
#[derive(Clone, Debug, Default)]
pub struct History {
    records: Vec<Record>,
    open: BTreeMap<(HostId, CallId), usize>,
    /// Keys that may vanish at any time from a moment on, by eviction.
    evictable: BTreeMap<Key, Moment>,
}

impl History {
    /// A client asks.
    ///
    /// # Panics
    ///
    /// When the client used this call before without an answer.
    pub fn invoked(&mut self, client: HostId, call: CallId, operation: Operation, at: Moment) {
        let before = self.open.insert((client, call), self.records.len());
        assert!(before.is_none(), "a call is made once");
        let outcome = Outcome::Unknown;
        self.records.push(Record {
            client,
            operation,
            invoked: at,
            returned: Moment::NEVER,
            outcome,
        });
    }

    /// A client knows what came of a call. An [`Outcome::Unknown`] stays open for ever.
    ///
    /// # Panics
    ///
    /// When the call was not made or was answered before.
    pub fn returned(&mut self, client: HostId, call: CallId, outcome: Outcome, at: Moment) {
        let idx = self.open.remove(&(client, call)).expect("an answer belongs to an open call");
        let record = &mut self.records[idx];
        record.outcome = outcome;
        if outcome != Outcome::Unknown {
            record.returned = at;
        }
    }

    /// From `from` on the key may vanish at any moment (its space evicts); once gone, only a write brings it back.
    pub fn may_evict(&mut self, key: Key, from: Moment) {
        self.evictable.insert(key, from);
    }

    /// When a key may begin to vanish by eviction; [`Moment::NEVER`] for most.
    #[must_use]
    pub fn evictable_from(&self, key: Key) -> Moment {
        self.evictable.get(&key).copied().unwrap_or(Moment::NEVER)
    }

    /// All operations, in the order in which they were asked.
    #[must_use]
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// Operations that were answered with certainty.
    #[must_use]
    pub fn done_count(&self) -> usize {
        self.records.iter().filter(|record| matches!(record.outcome, Outcome::Done(_))).count()
    }
}
