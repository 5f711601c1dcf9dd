//! What must not go back in real time: a slot's generation, an entry's version.
//!
//! If one operation returned before another was invoked, the second sees no earlier generation and, of the same key, no earlier
//! version; a write's version is later than every version that was known before it was asked for. A version stands
//! for one value.

use std::collections::BTreeMap;

use crate::check::Anomaly;
use crate::check::acts::{Act, Entry, KeyHistory};
use crate::history::Value;

/// Checks the orders of one key. O(n log n).
///
/// # Errors
///
/// `generation-back`, `version-back` or `version-of-two-values`.
pub fn check(key: &KeyHistory) -> Result<(), Anomaly> {
    let answered = || key.entries.iter().filter(|entry| entry.generation.is_some());
    let mut by_invocation: Vec<&Entry> = answered().collect();
    by_invocation.sort_by_key(|entry| entry.timed.invoked);
    let mut by_return: Vec<&Entry> = answered().collect();
    by_return.sort_by_key(|entry| entry.timed.returned);
    let mut known = by_return.into_iter().peekable();
    let (mut generation, mut version) = (0, 0);
    let mut values: BTreeMap<u64, Value> = BTreeMap::new();
    for entry in by_invocation {
        while let Some(before) = known.next_if(|one| one.timed.returned < entry.timed.invoked) {
            generation = generation.max(before.generation.unwrap_or(0));
            version = version.max(before.version);
        }
        let found = |kind, what: String| {
            Err(Anomaly { kind, text: format!("key {}: {}: {what}", key.key.0, entry.timed) })
        };
        if entry.generation.is_some_and(|own| own < generation) {
            return found("generation-back", format!("generation {generation} was seen before"));
        }
        if entry.version == 0 {
            continue;
        }
        let (is_write, value) = match entry.timed.act {
            Act::Read(value) => (false, value),
            Act::Write(value) | Act::Cas(_, value) => (true, value),
            Act::Incr(sum) => (true, sum.unwrap_or(Value::ABSENT)),
            Act::Delete(_) | Act::CasRefused(_) => continue,
        };
        if entry.version < version || (is_write && entry.version == version) {
            let what = format!("version {}, {version} was seen before", entry.version);
            return found("version-back", what);
        }
        let first = *values.entry(entry.version).or_insert(value);
        if first != value {
            let what = format!("version {} was of value {}", entry.version, first.0);
            return found("version-of-two-values", what);
        }
    }
    Ok(())
}
