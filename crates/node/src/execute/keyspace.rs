//! The commands on all keys of a database.
//!
//! The walk goes slot by slot in the order of their numbers and, within a slot, in the order of the keys' hashes. A
//! `SCAN` cursor is that place: the slot in the upper bits, 26 bits of the hash below. It means the same on every node
//! and after a failover, and a key that is there from the first call to the last is listed whatever is written
//! meanwhile.
#![expect(clippy::unnecessary_wraps, reason = "all commands have one signature")]

use ringhold_store::entry::EntryRef;
use ringhold_types::id::NamespaceId;
use ringhold_types::limits::DATABASES;
use ringhold_types::slot::{SLOTS, Slot};

use super::keys::kind_name;
use super::{Call, Done, Failure};
use crate::cells::{Access, Cells};
use crate::glob::Pattern;
use crate::number;

/// The bits of a cursor below the slot.
const FRAGMENT_BITS: u32 = 26;
/// The keys that `SCAN` looks at when the client says nothing, as in Redis.
const COUNT_DEFAULT: u64 = 10;
/// The most keys that one `SCAN` looks at, however many the client asks for.
const COUNT_MAX: u64 = 1_000_000;
/// The most bytes of keys that one `SCAN` answers, in bytes; beyond it the call ends early.
const PAGE_LEN_MAX: usize = 16 * 1024 * 1024;

/// A place in the walk over all keys of a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The slot.
    pub slot: Slot,
    /// The first fragment that has not been visited.
    pub fragment: u32,
}

impl Place {
    /// Where the walk begins.
    pub const START: Self = Self { slot: Slot::MIN, fragment: 0 };

    /// The place as a number; 0 is the start.
    #[must_use]
    pub fn cursor(self) -> u64 {
        u64::from(self.slot.number()) << FRAGMENT_BITS | u64::from(self.fragment)
    }

    /// The place of a number; `None` when it is none.
    #[must_use]
    pub fn of_cursor(cursor: u64) -> Option<Self> {
        let slot = u16::try_from(cursor >> FRAGMENT_BITS).ok()?;
        let fragment = u32::try_from(cursor & ((1 << FRAGMENT_BITS) - 1)).ok()?;
        Slot::new(slot).map(|slot| Self { slot, fragment })
    }
}

/// Visits the entries of `namespace` from `from` on, in order, until `count_max` have been visited or `is_enough`;
/// where to go on, `None` after the last. Entries of equal hash are visited together. One shard's lock is held at a
/// time, for a slot's part of the walk.
pub fn walk<C: Cells>(
    access: &Access<'_, C>,
    namespace: NamespaceId,
    from: Place,
    count_max: u64,
    now: ringhold_types::time::Now,
    mut visit: impl FnMut(EntryRef<'_>) -> bool,
) -> Option<Place> {
    let mut count = 0;
    let mut is_enough = false;
    let mut fragment = from.fragment;
    for slot in from.slot.number()..SLOTS {
        let Some(slot) = Slot::new(slot) else { break };
        if is_enough || count >= count_max {
            return Some(Place { slot, fragment });
        }
        let next = access.read(slot, |cell| {
            let mut next = Some(fragment);
            while let Some(at) = next.filter(|_| !is_enough && count < count_max) {
                // One group of equal fragments at a time, so that the count is kept.
                next = cell.shard().scan(namespace, slot, at, 1, now.unix(), |entry| {
                    count += 1;
                    is_enough |= visit(entry);
                });
            }
            next
        });
        if let Some(fragment) = next {
            return Some(Place { slot, fragment });
        }
        fragment = 0;
    }
    None
}

/// `SCAN cursor [MATCH pattern] [COUNT count] [TYPE type]`
pub(super) fn scan<C: Cells>(call: &mut Call<'_, '_, C>) -> Done {
    let from = number::parse_u64(call.args.get(1)).and_then(Place::of_cursor);
    let from = from.ok_or(Failure::text("ERR invalid cursor"))?;
    let (mut pattern, mut kind) = (None, None);
    let mut count = COUNT_DEFAULT;
    let mut idx = 2;
    while idx < call.args.len() {
        if idx + 1 >= call.args.len() {
            return Err(Failure::SYNTAX);
        }
        if call.args.is(idx, "match") {
            pattern = Some(Pattern::new(call.args.get(idx + 1))?);
        } else if call.args.is(idx, "count") {
            count = u64::try_from(call.integer(idx + 1)?).unwrap_or(0);
            if count == 0 {
                return Err(Failure::SYNTAX);
            }
        } else if call.args.is(idx, "type") {
            kind = Some(call.args.get(idx + 1).to_ascii_lowercase());
        } else {
            return Err(Failure::SYNTAX);
        }
        idx += 2;
    }
    let mut found = Vec::new();
    let mut keys_len = 0;
    let namespace = call.session.namespace;
    let next = walk(call.access, namespace, from, count.min(COUNT_MAX), call.now, |entry| {
        let is_of_kind =
            kind.as_ref().is_none_or(|kind| kind_name(entry.kind()).as_bytes() == kind);
        if is_of_kind && pattern.is_none_or(|pattern| pattern.matches(entry.key())) {
            keys_len += entry.key().len();
            found.push(entry.key().to_vec());
        }
        keys_len > PAGE_LEN_MAX
    });
    let cursor = next.map_or(0, Place::cursor);
    let mut reply = call.reply();
    reply.array(2);
    reply.bulk(cursor.to_string().as_bytes());
    reply.array(found.len());
    found.iter().for_each(|key| reply.bulk(key));
    Ok(())
}

/// `KEYS pattern`
pub(super) fn keys<C: Cells>(call: &mut Call<'_, '_, C>) -> Done {
    let pattern = Pattern::new(call.args.get(1))?;
    let mut found = Vec::new();
    let mut count = 0;
    let namespace = call.session.namespace;
    let mut encoder = ringhold_wire::resp::encode::Encoder::new(&mut found, call.session.protocol);
    let mut is_too_long = false;
    let mut len = 0;
    walk(call.access, namespace, Place::START, u64::MAX, call.now, |entry| {
        if pattern.matches(entry.key()) {
            encoder.bulk(entry.key());
            count += 1;
            len += entry.key().len() + 16;
            is_too_long = len > super::REPLY_LEN_MAX;
        }
        is_too_long
    });
    if is_too_long {
        return Err(Failure::text("ERR the reply would exceed 64 MiB, use SCAN"));
    }
    call.reply().array(count);
    call.out.bytes.extend_from_slice(&found);
    Ok(())
}

/// `RANDOMKEY`: the first key from a place on that the time chooses.
pub(super) fn randomkey<C: Cells>(call: &mut Call<'_, '_, C>) -> Done {
    let mut prng = ringhold_types::prng::Prng::new(call.now.unix_micros);
    let chosen = u16::try_from(prng.below(u64::from(SLOTS))).unwrap_or(0);
    let from = Slot::new(chosen).map_or(Place::START, |slot| Place { slot, fragment: 0 });
    let mut key = None;
    for from in [from, Place::START] {
        if key.is_none() {
            walk(call.access, call.session.namespace, from, 1, call.now, |entry| {
                key.get_or_insert_with(|| entry.key().to_vec());
                true
            });
        }
    }
    match key {
        Some(key) => call.reply().bulk(&key),
        None => call.reply().null(),
    }
    Ok(())
}

/// `DBSIZE`: expired entries that have not been reclaimed yet are counted, as in Redis.
pub(super) fn dbsize<C: Cells>(call: &mut Call<'_, '_, C>) -> Done {
    let count = entries(call.access, call.session.namespace);
    call.reply().integer(i64::try_from(count).unwrap_or(i64::MAX));
    Ok(())
}

/// The entries of a namespace, expired ones that have not been reclaimed yet included.
pub fn entries<C: Cells>(access: &Access<'_, C>, namespace: NamespaceId) -> u64 {
    let mut count = 0;
    access.read_each(|cell| count += cell.shard().space_stats(namespace).entries);
    count
}

/// `FLUSHDB [ASYNC | SYNC]`: the memory is always reclaimed later.
pub(super) fn flushdb<C: Cells>(call: &mut Call<'_, '_, C>) -> Done {
    let namespace = call.session.namespace;
    flush(call, namespace.0..namespace.0 + 1)
}

/// `FLUSHALL [ASYNC | SYNC]`: the sixteen databases; other namespaces are not theirs to clear.
pub(super) fn flushall<C: Cells>(call: &mut Call<'_, '_, C>) -> Done {
    flush(call, 0..DATABASES)
}

fn flush<C: Cells>(call: &mut Call<'_, '_, C>, namespaces: std::ops::Range<u16>) -> Done {
    let is_known = match call.args.len() {
        1 => true,
        2 => call.args.is(1, "async") || call.args.is(1, "sync"),
        _ => false,
    };
    if !is_known {
        return Err(Failure::SYNTAX);
    }
    let now = call.now;
    for namespace in namespaces.map(NamespaceId) {
        if entries(call.access, namespace) == 0 {
            continue;
        }
        for slot in (0..SLOTS).filter_map(Slot::new) {
            call.access.write(slot, |cell, _| {
                if cell.shard().slot_stats(namespace, slot).entries > 0 {
                    cell.clear(namespace, slot, now);
                }
            });
        }
    }
    call.reply().ok();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_a_place() {
        for (slot, fragment) in [(0, 0), (0, 1), (16_383, (1 << 26) - 1), (77, 5)] {
            let place = Place { slot: Slot::new(slot).expect("a slot"), fragment };
            assert_eq!(Place::of_cursor(place.cursor()), Some(place));
        }
        assert_eq!(Place::of_cursor(1 << 40), None);
        assert_eq!(Place::of_cursor(u64::MAX), None);
    }
}
