//! Look-ups in batches and one by one, beside a hashbrown of words over a log of the same items.

use std::fmt::Write as _;

use anyhow::ensure;
use hashbrown::HashTable;
use ringhold_store::entry::{Lookup, ValueRef};
use ringhold_store::hash::KeyHash;
use ringhold_types::entry::Deadlines;
use ringhold_types::prng::Prng;
use serde_json::{Value, json};

use super::{KEY_LEN, VALUE_LEN, key, ns};
use crate::clock::thread_time;
use crate::record::{median, say, verdict};
use crate::shards::{NS, START, Shards};

const ENTRIES: [u32; 2] = [1_000_000, 10_000_000];
/// Look-ups of a round, uniform over the entries.
const LOOKUPS: usize = 1 << 20;
const BATCH: usize = 16;
const LIMIT: u64 = 8 << 30;
const CORES: usize = 2;
/// What must be reached: batched over one by one, one by one over hashbrown.
const BATCHED_MAX: f64 = 0.5;
const SINGLE_MAX: f64 = 1.25;
/// The header of an item in the log: flags, key length, value length, version, as in the engine without time to live.
const HEADER_LEN: usize = 12;

type Key = [u8; KEY_LEN];

/// Both numbers of entries; the text and the figures.
pub(super) fn run(rounds: usize) -> anyhow::Result<(String, Value)> {
    let mut text = format!(
        "## Look-ups\n\nKeys of {KEY_LEN} B, values of {VALUE_LEN} B that are copied out, {LOOKUPS} uniform look-ups a round, \
         hashing included; ns of processor time a look-up, medians of {rounds} rounds; ratios within a round (spread in brackets). \
         *hashbrown*: a table of 8-byte words in each shard over segments with the same items.\n\n\
         | entries | batch of {BATCH} | one by one | hashbrown | batch / one by one | must | one by one / hashbrown | must |\n\
         |--:|--:|--:|--:|--:|---|--:|---|\n"
    );
    let mut figures = Vec::new();
    for entries in ENTRIES {
        let times = measure(entries, rounds)?;
        let of = |idx: usize| times.iter().map(|round| round[idx]).collect::<Vec<f64>>();
        let ratio = |a: usize, b: usize| {
            let mut ratios: Vec<f64> = times.iter().map(|round| round[a] / round[b]).collect();
            ratios.sort_by(f64::total_cmp);
            (median(&ratios), format!("({:.2}–{:.2})", ratios[0], ratios[ratios.len() - 1]))
        };
        let ((batched, batched_spread), (single, single_spread)) = (ratio(0, 1), ratio(1, 2));
        writeln!(
            text,
            "| {entries} | {:.0} | {:.0} | {:.0} | {batched:.2} {batched_spread} | ≤ {BATCHED_MAX}: {} | {single:.2} {single_spread} | ≤ {SINGLE_MAX}: {} |",
            median(&of(0)),
            median(&of(1)),
            median(&of(2)),
            verdict(batched <= BATCHED_MAX),
            verdict(single <= SINGLE_MAX)
        )?;
        say(&format!("look-ups, {entries} entries: {batched:.2}, {single:.2}"))?;
        figures.push(json!({ "entries": entries, "batched_ns": of(0), "single_ns": of(1), "hashbrown_ns": of(2),
            "batched_ratio": batched, "single_ratio": single }));
    }
    text.push('\n');
    Ok((text, json!(figures)))
}

/// Nanoseconds a look-up in each round: batched, one by one, hashbrown.
fn measure(entries: u32, rounds: usize) -> anyhow::Result<Vec<[f64; 3]>> {
    let mut shards = Shards::new(LIMIT, CORES)?;
    let mut words = Words::new(shards.geometry.shards, shards.geometry.seg_len);
    let mut value = [b'v'; VALUE_LEN];
    for number in 0..entries {
        value[..4].copy_from_slice(&number.to_le_bytes());
        let is_stored = shards.put(&key(number), &value, Deadlines::NEVER, START);
        ensure!(is_stored, "there is room for everything");
        words.insert(&shards, &key(number), &value);
    }
    let mut prng = Prng::new(3);
    let mut times = Vec::new();
    // The first round warms up: it raises the frequencies, which later ones find at their highest.
    for _ in 0..=rounds {
        let drawn = std::iter::repeat_with(|| prng.below(u64::from(entries)));
        let drawn = drawn.take(LOOKUPS).map(|number| key(u32::try_from(number).unwrap_or(0)));
        let keys: Vec<Key> = drawn.collect();
        let mut out = Vec::with_capacity(BATCH * VALUE_LEN);
        times.push([
            timed(&keys, &mut out, |keys, out| batched(&shards, keys, out))?,
            timed(&keys, &mut out, |keys, out| single(&shards, keys, out))?,
            timed(&keys, &mut out, |keys, out| words.look(&shards, keys, out))?,
        ]);
    }
    times.remove(0);
    Ok(times)
}

/// Looks all keys up, a batch at a time; nanoseconds for each. Every key must be found.
fn timed(
    keys: &[Key],
    out: &mut Vec<u8>,
    mut look: impl FnMut(&[Key; BATCH], &mut Vec<u8>),
) -> anyhow::Result<f64> {
    let (batches, _) = keys.as_chunks::<BATCH>();
    let (before, mut bytes) = (thread_time(), 0);
    for batch in batches {
        out.clear();
        look(batch, out);
        bytes += out.len();
    }
    let elapsed = ns(thread_time().saturating_sub(before)) as f64;
    ensure!(bytes == batches.len() * BATCH * VALUE_LEN, "every key is found");
    Ok(elapsed / (batches.len() * BATCH) as f64)
}

fn single(shards: &Shards, keys: &[Key; BATCH], out: &mut Vec<u8>) {
    for key in keys {
        let at = shards.seed.key(key);
        copy(shards.of(at).lookup(NS, key, at, START), out);
    }
}

fn batched(shards: &Shards, keys: &[Key; BATCH], out: &mut Vec<u8>) {
    let ats: [KeyHash; BATCH] = std::array::from_fn(|idx| shards.seed.key(&keys[idx]));
    let mut probes = ats.map(|at| (at, shards.of(at).probe(NS, at)));
    probes.iter().for_each(|(at, probe)| shards.of(*at).probe_words(probe));
    probes.iter_mut().for_each(|(at, probe)| shards.of(*at).probe_item(probe));
    for (key, (at, probe)) in keys.iter().zip(&probes) {
        copy(shards.of(*at).finish(probe, key, START), out);
    }
}

#[inline]
fn copy(lookup: Lookup<'_>, out: &mut Vec<u8>) {
    if let Lookup::Hit(entry) = lookup
        && let ValueRef::Bytes(value) = entry.value()
    {
        out.extend_from_slice(value);
    }
}

/// In each shard a hashbrown of words and a log; a word is the number of an item's segment and its place there.
struct Words {
    shards: Vec<(HashTable<u64>, Log)>,
    seg_len: usize,
}

/// Segments of items; the last one is being filled.
struct Log {
    segs: Vec<Vec<u8>>,
}

impl Log {
    /// The key and the value of an item.
    #[inline]
    fn item(&self, word: u64) -> (&[u8], &[u8]) {
        let at = usize::try_from(word & 0xFFFF_FFFF).unwrap_or(0);
        let item = &self.segs[usize::try_from(word >> 32).unwrap_or(0)][at..];
        let key_len = usize::from(item[2]);
        let value_len = usize::from(u16::from_le_bytes([item[3], item[4]]));
        let item = &item[HEADER_LEN..];
        (&item[..key_len], &item[key_len..key_len + value_len])
    }
}

impl Words {
    fn new(shards: usize, seg_len: usize) -> Self {
        let shard = |_| (HashTable::new(), Log { segs: vec![] });
        Self { shards: (0..shards).map(shard).collect(), seg_len }
    }

    fn insert(&mut self, shards: &Shards, key: &Key, value: &[u8; VALUE_LEN]) {
        let at = shards.seed.key(key);
        let (table, log) = &mut self.shards[shards.geometry.shard_of(at.slot)];
        let len = (HEADER_LEN + KEY_LEN + VALUE_LEN).next_multiple_of(4);
        if log.segs.last().is_none_or(|seg| seg.len() + len > self.seg_len) {
            log.segs.push(Vec::with_capacity(self.seg_len));
        }
        let number = log.segs.len() - 1;
        let seg = &mut log.segs[number];
        let word = (number as u64) << 32 | seg.len() as u64;
        let end = seg.len() + len;
        seg.extend_from_slice(&[0; 2]);
        seg.push(u8::try_from(KEY_LEN).unwrap_or(0));
        seg.extend_from_slice(&u16::try_from(VALUE_LEN).unwrap_or(0).to_le_bytes());
        seg.extend_from_slice(&[0; 7]);
        seg.extend_from_slice(key);
        seg.extend_from_slice(value);
        seg.resize(end, 0);
        table.insert_unique(at.hash, word, |&word| shards.seed.hash(log.item(word).0));
    }

    fn look(&self, shards: &Shards, keys: &[Key; BATCH], out: &mut Vec<u8>) {
        for key in keys {
            let at = shards.seed.key(key);
            let (table, log) = &self.shards[shards.geometry.shard_of(at.slot)];
            if let Some(&word) = table.find(at.hash, |&word| log.item(word).0 == key) {
                out.extend_from_slice(log.item(word).1);
            }
        }
    }
}

#[cfg(test)]
mod tests;
