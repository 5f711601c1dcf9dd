//! What a register holds, and its log: records of numbers with a check sum, so that a torn tail shows.

use std::collections::BTreeMap;

use crate::digest::Digest;
use crate::registers::message::{Numbers, put};

/// The place of an operation: term and number within the term. The later one is the newer state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp(pub u64);

impl Stamp {
    /// The place `number` of a term.
    #[must_use]
    pub fn new(term: u32, number: u32) -> Self {
        Self(u64::from(term) << 32 | u64::from(number))
    }

    /// The next place of the same term.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// What an operation does to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effect {
    /// The key.
    pub key: u32,
    /// Its new value; 0: deleted.
    pub value: u64,
}

impl Effect {
    /// Writes some, behind their number.
    pub fn encode(effects: &[Self], out: &mut Vec<u8>) {
        put(out, &[effects.len() as u64]);
        for effect in effects {
            put(out, &[u64::from(effect.key), effect.value]);
        }
    }

    pub(crate) fn decode(numbers: &mut Numbers<'_>) -> Option<Vec<Self>> {
        let count = numbers.next()?;
        let one =
            |_| Some(Self { key: u32::try_from(numbers.next()?).ok()?, value: numbers.next()? });
        (0..count).map(one).collect()
    }
}

/// Everything a register knows of its keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// The last operation in it.
    pub stamp: Stamp,
    /// Value and version of each key.
    pub entries: BTreeMap<u32, (u64, u64)>,
}

impl State {
    /// Applies an operation; its stamp is the version of what it writes.
    pub fn apply(&mut self, stamp: Stamp, effects: &[Effect]) {
        self.stamp = stamp;
        for effect in effects {
            if effect.value == 0 {
                self.entries.remove(&effect.key);
            } else {
                self.entries.insert(effect.key, (effect.value, stamp.0));
            }
        }
    }

    /// Writes it.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put(out, &[self.stamp.0, self.entries.len() as u64]);
        for (&key, &(value, version)) in &self.entries {
            put(out, &[u64::from(key), value, version]);
        }
    }

    pub(crate) fn decode(numbers: &mut Numbers<'_>) -> Option<Self> {
        let stamp = Stamp(numbers.next()?);
        let count = numbers.next()?;
        let one = |_| {
            let key = u32::try_from(numbers.next()?).ok()?;
            Some((key, (numbers.next()?, numbers.next()?)))
        };
        let entries = (0..count).map(one).collect::<Option<_>>()?;
        Some(Self { stamp, entries })
    }
}

/// One entry of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogRecord {
    /// Promised to no leader of an earlier term.
    Term(u32),
    /// An operation.
    Apply(Stamp, Vec<Effect>),
    /// Everything so far.
    Whole(State),
}

/// Numbers before a record's own: their count and the check sum.
const HEAD: usize = 2;

impl LogRecord {
    /// Appends the record.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut body = Vec::new();
        match self {
            Self::Term(term) => put(&mut body, &[0, u64::from(*term)]),
            Self::Apply(stamp, effects) => {
                put(&mut body, &[1, stamp.0]);
                Effect::encode(effects, &mut body);
            }
            Self::Whole(state) => {
                put(&mut body, &[2]);
                state.encode(&mut body);
            }
        }
        put(out, &[body.len() as u64, sum(&body)]);
        out.extend_from_slice(&body);
    }

    /// Reads a log up to its end or its torn tail: the promised term and the state.
    #[must_use]
    pub fn replay(mut log: &[u8]) -> (u32, State) {
        let (mut term, mut state) = (0, State::default());
        while let Some(record) = Self::next(&mut log) {
            match record {
                Self::Term(promised) => term = promised,
                Self::Apply(stamp, effects) => state.apply(stamp, &effects),
                Self::Whole(whole) => state = whole,
            }
        }
        (term, state)
    }

    fn next(log: &mut &[u8]) -> Option<Self> {
        let mut head = Numbers(log);
        let (body_len, expected) = (usize::try_from(head.next()?).ok()?, head.next()?);
        let end = body_len.checked_add(HEAD * 8)?;
        let body = log.get(HEAD * 8..end)?;
        if sum(body) != expected {
            return None;
        }
        *log = &log[end..];
        let mut numbers = Numbers(body);
        Some(match numbers.next()? {
            0 => Self::Term(u32::try_from(numbers.next()?).ok()?),
            1 => Self::Apply(Stamp(numbers.next()?), Effect::decode(&mut numbers)?),
            2 => Self::Whole(State::decode(&mut numbers)?),
            _ => return None,
        })
    }
}

fn sum(bytes: &[u8]) -> u64 {
    let mut digest = Digest::new();
    digest.add_bytes(bytes);
    digest.0
}
