//! From operations on many keys to acts on one: what the search works on.

use std::collections::BTreeMap;

use crate::check::Anomaly;
use crate::history::{History, Key, Operation, Outcome, Record, Reply, Value};
use crate::time::Moment;

/// What one operation did to one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Act {
    /// Saw a value, or that the key is absent.
    Read(Value),
    /// Wrote a value.
    Write(Value),
    /// Deleted the key; whether it was there, if that was told.
    Delete(Option<bool>),
    /// Found the first value and wrote the second.
    Cas(Value, Value),
    /// Found something other than this.
    CasRefused(Value),
    /// Added one and was told the sum, if anything.
    Incr(Option<Value>),
}

/// An act with the time in which it took effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timed {
    /// What.
    pub act: Act,
    /// Not before this.
    pub invoked: Moment,
    /// Not after this; [`Moment::NEVER`]: at any time, or not at all.
    pub returned: Moment,
    /// What it wrote may vanish from this moment on.
    pub vanishes_from: Moment,
}

impl Timed {
    /// The value it writes, if it is a write of a given value.
    #[must_use]
    pub(crate) fn written(&self) -> Option<Value> {
        match self.act {
            Act::Write(value) | Act::Cas(_, value) => Some(value),
            Act::Read(_) | Act::Delete(_) | Act::CasRefused(_) | Act::Incr(_) => None,
        }
    }

    /// The act as it was known at a moment: not at all, without its answer, or whole.
    #[must_use]
    pub(crate) fn known_at(&self, end: u64) -> Option<Self> {
        if self.invoked.0 > end {
            return None;
        }
        if self.returned.0 <= end {
            return Some(*self);
        }
        let act = match self.act {
            Act::Read(_) | Act::CasRefused(_) => return None,
            Act::Delete(_) => Act::Delete(None),
            Act::Incr(_) => Act::Incr(None),
            same @ (Act::Write(_) | Act::Cas(..)) => same,
        };
        Some(Self { act, returned: Moment::NEVER, ..*self })
    }
}

impl core::fmt::Display for Timed {
    fn fmt(&self, text: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(text, "{}..", self.invoked)?;
        if self.returned == Moment::NEVER {
            write!(text, " in doubt    ")?;
        } else {
            write!(text, "{} ", self.returned)?;
        }
        match self.act {
            Act::Read(Value::ABSENT) => write!(text, "read nothing"),
            Act::Read(value) => write!(text, "read {}", value.0),
            Act::Write(value) => write!(text, "write {}", value.0),
            Act::Delete(found) => write!(text, "delete (was there: {found:?})"),
            Act::Cas(from, to) => write!(text, "cas {} to {}", from.0, to.0),
            Act::CasRefused(from) => write!(text, "cas from {} refused", from.0),
            Act::Incr(sum) => write!(text, "incr to {:?}", sum.map(|sum| sum.0)),
        }
    }
}

/// One act and what its reply said about order.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// The act.
    pub timed: Timed,
    /// The generation that answered; `None` in doubt.
    pub generation: Option<u64>,
    /// The version of the entry read or written; 0 when none was told.
    pub version: u64,
}

/// Everything that was done to one key, in the order of invocation.
#[derive(Clone, Debug)]
pub struct KeyHistory {
    /// The key.
    pub key: Key,
    /// Its acts.
    pub entries: Vec<Entry>,
}

/// A key may expire after this part of its time to live: clocks run up to 4 % fast, the time that a slot keeps is
/// slewed, and what expires a little early is none the worse for a cache.
const TTL_PERCENT: u32 = 90;

/// Splits a history by key. What was certainly not executed and reads without an answer say nothing and are left out.
#[must_use]
pub fn split(history: &History) -> Vec<KeyHistory> {
    let mut keys: BTreeMap<Key, Vec<Entry>> = BTreeMap::new();
    for record in history.records() {
        let reply = match record.outcome {
            Outcome::Done(reply) => Some(reply),
            Outcome::Unknown => None,
            Outcome::NotApplied => continue,
        };
        let mut add = |key: Key, act: Option<Act>, expires: Moment| {
            let Some(act) = act else { return };
            let vanishes_from = expires.min(history.evictable_from(key));
            keys.entry(key).or_default().push(entry(record, reply, act, vanishes_from));
        };
        match &record.operation {
            Operation::SetMany(pairs) => {
                for &(key, value) in pairs {
                    add(key, Some(Act::Write(value)), Moment::NEVER);
                }
            }
            Operation::SetFor(key, value, ttl) => {
                let expires = record.invoked.after(*ttl * TTL_PERCENT / 100);
                add(*key, Some(Act::Write(*value)), expires);
            }
            Operation::Set(key, value) => add(*key, Some(Act::Write(*value)), Moment::NEVER),
            Operation::Get(key) => {
                add(*key, reply.map(|reply| Act::Read(reply.value)), Moment::NEVER);
            }
            Operation::Delete(key) => {
                let found = reply.map(|reply| reply.is_applied);
                add(*key, Some(Act::Delete(found)), Moment::NEVER);
            }
            Operation::Cas { key, expected, value } => {
                let is_refused = reply.is_some_and(|reply| !reply.is_applied);
                let act = if is_refused {
                    Act::CasRefused(*expected)
                } else {
                    Act::Cas(*expected, *value)
                };
                add(*key, Some(act), Moment::NEVER);
            }
            Operation::Incr(key) => {
                add(*key, Some(Act::Incr(reply.map(|reply| reply.value))), Moment::NEVER);
            }
        }
    }
    keys.into_iter().map(|(key, entries)| KeyHistory { key, entries }).collect()
}

fn entry(record: &Record, reply: Option<Reply>, act: Act, vanishes_from: Moment) -> Entry {
    let timed = Timed { act, invoked: record.invoked, returned: record.returned, vanishes_from };
    Entry {
        timed,
        generation: reply.map(|reply| reply.generation),
        version: reply.map_or(0, |reply| reply.version),
    }
}

/// The acts of each generation. A write in doubt belongs to the generation that saw its value; one whose value nobody saw,
/// and deletions and increments in doubt, may belong to any.
///
/// # Errors
///
/// `value-in-two-generations` when a reset slot still showed a value from before.
pub fn generations(key: &KeyHistory) -> Result<Vec<(u64, Vec<Timed>)>, Anomaly> {
    let mut split: BTreeMap<u64, Vec<Timed>> = BTreeMap::new();
    for entry in &key.entries {
        if let Some(generation) = entry.generation {
            split.entry(generation).or_default().push(entry.timed);
        }
    }
    if split.len() <= 1 {
        // The common case, without looking at values: what is in doubt belongs here.
        let generation = split.keys().next().copied().unwrap_or(0);
        return Ok(vec![(generation, key.entries.iter().map(|entry| entry.timed).collect())]);
    }
    let homes = homes(key)?;
    for entry in key.entries.iter().filter(|entry| entry.generation.is_none()) {
        match entry.timed.act {
            Act::Write(value) | Act::Cas(_, value) => {
                match homes.get(&value).and_then(|home| split.get_mut(home)) {
                    Some(acts) => acts.push(entry.timed),
                    // Only a deletion, an increment or a refusal may have met it, which do not tell what they saw.
                    None => split.values_mut().for_each(|acts| acts.push(entry.timed)),
                }
            }
            Act::Delete(_) | Act::Incr(_) => {
                split.values_mut().for_each(|acts| acts.push(entry.timed));
            }
            Act::Read(_) | Act::CasRefused(_) => {}
        }
    }
    for acts in split.values_mut() {
        acts.sort_by_key(|act| act.invoked);
    }
    Ok(split.into_iter().collect())
}

/// The generation in which each value was seen or acknowledged.
fn homes(key: &KeyHistory) -> Result<BTreeMap<Value, u64>, Anomaly> {
    let has_counters = key.entries.iter().any(|entry| matches!(entry.timed.act, Act::Incr(_)));
    let mut homes = BTreeMap::new();
    for entry in &key.entries {
        let Some(generation) = entry.generation else { continue };
        let seen = match entry.timed.act {
            Act::Read(value) | Act::Write(value) => [value, Value::ABSENT],
            Act::Cas(from, to) => [from, to],
            Act::Delete(_) | Act::CasRefused(_) | Act::Incr(_) => continue,
        };
        for value in seen.into_iter().filter(|&value| value != Value::ABSENT) {
            let home = *homes.entry(value).or_insert(generation);
            if home != generation && !has_counters {
                let text = format!(
                    "key {}: value {} in generations {home} and {generation}",
                    key.key.0, value.0
                );
                return Err(Anomaly { kind: "value-in-two-generations", text });
            }
        }
    }
    Ok(homes)
}
