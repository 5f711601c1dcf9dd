//! The longest call in a long mix of operations on full memory, by its work and by its time.

use std::fmt::Write as _;
use std::time::Duration;

use ringhold_store::entry::{Decision, EntryRef, Lookup, UpdateError};
use ringhold_store::hash::KeyHash;
use ringhold_types::entry::Deadlines;
use ringhold_types::prng::Prng;
use ringhold_types::time::UnixTime;
use serde_json::{Value, json};

use super::{COPIED_MAX, EVACUATIONS_MAX, KEY_LEN, Most, WORDS_MAX, key, ns};
use crate::clock;
use crate::hit_ratio::requests::{VALUE_LEN_CUT, Zipf, value_len};
use crate::record::{say, verdict};
use crate::shards::{NS, START, Shards, put_of};

const LIMIT: u64 = 1 << 30;
const CORES: usize = 2;
/// So many keys that their entries take three times the limit.
const KEYS: u32 = 8_000_000;
const SKEW: f64 = 0.99;
/// Of 100 operations so many read and so many delete; the others write.
const READS: u64 = 50;
const DELETES: u64 = 5;
/// Of 100 writes so many have a time to live, 1 s to 1 h.
const MORTAL: u64 = 10;
/// Operations in a millisecond of the entries' time, and between ticks of one shard.
const PER_MS: u64 = 1000;
const PER_TICK: u64 = 5000;
const TICK_ITEMS: u64 = 512;
const ATTEMPTS_MAX: usize = 1000;

/// The kinds of calls that are told apart.
const KINDS: [&str; 6] =
    ["look-up", "write", "write of a large value", "delete", "evict for another shard", "tick"];
const LOOKUP: usize = 0;
const WRITE: usize = 1;
const LARGE: usize = 2;
const DELETE: usize = 3;
const EVICT: usize = 4;
const TICK: usize = 5;

/// What the calls of one kind did.
#[derive(Clone, Copy, Default)]
struct Calls {
    count: u64,
    most: Most,
    /// Of processor time, with the draw of the operation; and of the wall's.
    longest: Duration,
    longest_wall: Duration,
    over_ms: u64,
}

struct Mix {
    shards: Shards,
    calls: [Calls; KINDS.len()],
    refused: u64,
    now: UnixTime,
    /// Processor time at the end of the last call: reading it once a call is dear enough.
    last: Duration,
    value: Vec<u8>,
}

/// Runs so many operations; the text and the figures.
pub(super) fn run(operations: u64) -> anyhow::Result<(String, Value)> {
    let shards = Shards::new(LIMIT, CORES)?;
    let mut mix = Mix {
        shards,
        calls: [Calls::default(); KINDS.len()],
        refused: 0,
        now: START,
        last: Duration::ZERO,
        value: vec![b'v'; VALUE_LEN_CUT],
    };
    let zipf = Zipf::new(KEYS, SKEW);
    mix.last = clock::thread_time();
    let mut prng = Prng::new(5);
    for operation in 0..operations {
        let key = key(zipf.draw(&mut prng));
        let at = mix.shards.seed.key(&key);
        let kind = prng.below(100);
        if kind < READS {
            mix.look(&key, at);
        } else if kind < READS + DELETES {
            mix.change(DELETE, &key, at, || Decision::Delete);
        } else {
            mix.write(&key, at, &mut prng);
        }
        if operation % PER_MS == 0 {
            mix.now.0 += 1;
        }
        if operation % PER_TICK == 0 {
            mix.tick(operation / PER_TICK);
        }
        if operation % 10_000_000 == 0 {
            say(&format!("longest call: {operation} operations"))?;
        }
    }
    report(operations, &mix)
}

impl Mix {
    /// Makes a call on shard `idx` and notes its work and its time.
    fn call<T>(&mut self, kind: usize, idx: usize, call: impl FnOnce(&mut Shards) -> T) -> T {
        let before = self.shards.all[idx].work();
        let begin = clock::now();
        let done = call(&mut self.shards);
        let wall = clock::now().duration_since(begin);
        let end = clock::thread_time();
        let time = end.saturating_sub(std::mem::replace(&mut self.last, end));
        let calls = &mut self.calls[kind];
        calls.most.note(before, self.shards.all[idx].work());
        calls.count += 1;
        calls.longest = calls.longest.max(time);
        calls.longest_wall = calls.longest_wall.max(wall);
        calls.over_ms += u64::from(time > Duration::from_millis(1));
        done
    }

    fn look(&mut self, key: &[u8; KEY_LEN], at: KeyHash) {
        let (idx, now) = (self.shards.geometry.shard_of(at.slot), self.now);
        let is_expired = self.call(LOOKUP, idx, |shards| {
            matches!(shards.all[idx].lookup(NS, key, at, now), Lookup::Expired)
        });
        if is_expired {
            self.change(DELETE, key, at, || Decision::Keep);
        }
    }

    fn write(&mut self, key: &[u8; KEY_LEN], at: KeyHash, prng: &mut Prng) {
        let drawn = u32::try_from(prng.below(1 << 32)).unwrap_or(0);
        let len = usize::try_from(value_len(drawn)).unwrap_or(0);
        let is_mortal = prng.below(100) < MORTAL;
        let ttl = Duration::from_millis(1000 + prng.below(3_600_000));
        let hard = is_mortal.then(|| self.now.after(ttl));
        let deadlines = Deadlines { hard, soft: None };
        let is_large = len + KEY_LEN + 32 > self.shards.geometry.large_len_min;
        let value = std::mem::take(&mut self.value);
        let kind = if is_large { LARGE } else { WRITE };
        self.change(kind, key, at, || Decision::Put(put_of(&value[..len], deadlines)));
        self.value = value;
    }

    /// Changes an entry, making room in other shards as often as it is asked for.
    fn change<'v>(
        &mut self,
        kind: usize,
        key: &[u8; KEY_LEN],
        at: KeyHash,
        decision: impl Fn() -> Decision<'v>,
    ) {
        let (idx, now) = (self.shards.geometry.shard_of(at.slot), self.now);
        for _ in 0..ATTEMPTS_MAX {
            let decide = |_: Option<EntryRef<'_>>| decision();
            let changed = self.call(kind, idx, |shards| {
                shards.all[idx].update(NS, key, at, now, &mut shards.log, decide)
            });
            match changed {
                Ok(_) => return,
                Err(UpdateError::NeedRoom { shard }) => {
                    self.call(EVICT, shard, |shards| {
                        shards.all[shard].evict_one(now, &mut shards.log)
                    });
                }
                Err(_) => break,
            }
        }
        self.refused += 1;
    }

    fn tick(&mut self, number: u64) {
        let count = u64::try_from(self.shards.all.len()).unwrap_or(1);
        let (idx, now) = (usize::try_from(number % count).unwrap_or(0), self.now);
        self.call(TICK, idx, |shards| shards.all[idx].tick(now, &mut shards.log, TICK_ITEMS));
    }
}

fn report(operations: u64, mix: &Mix) -> anyhow::Result<(String, Value)> {
    let seg_len = u64::try_from(mix.shards.geometry.seg_len)?;
    // A large value needs as many segments as it fills, and half as many are judged (docs/decisions/0023).
    let charge_max = u64::try_from(VALUE_LEN_CUT)? + 64 * 1024;
    let filled = charge_max.div_ceil(seg_len);
    let large_max = EVACUATIONS_MAX + filled + filled / 2;
    let mut text = format!(
        "## Longest call\n\n{operations} operations, limit 1 GiB, {KEYS} keys (zipf {SKEW}), values of ETC's sizes drawn per write: \
         {READS} % reads, {DELETES} % deletes, the others writes, of which {MORTAL} % with a time to live of up to an hour. The most that one call did, \
         and its time: \
         of the processor (with about a microsecond for drawing the operation), and of the wall, where others who use the processor count; a look-up does no such work, so that its \
         longest is the machine's noise. {} writes refused.\n\n\
         Must: {EVACUATIONS_MAX} segments, {WORDS_MAX} words, {} KiB copied; a large value has room made for it too ({large_max} segments at most here).\n\n\
         | call | calls | segments evacuated | words moved | KiB copied | longest, µs of processor | longer than 1 ms | longest, µs of wall | must |\n\
         |---|--:|--:|--:|--:|--:|--:|--:|---|\n",
        mix.refused,
        COPIED_MAX / 1024
    );
    let mut figures = Vec::new();
    for (idx, (name, calls)) in KINDS.iter().zip(&mix.calls).enumerate() {
        let most = calls.most;
        let is_met = if idx == LARGE {
            most.is_within(large_max, COPIED_MAX + charge_max / 2)
        } else {
            most.is_within(EVACUATIONS_MAX, COPIED_MAX)
        };
        writeln!(
            text,
            "| {name} | {} | {} | {} | {:.1} | {:.0} | {} | {:.0} | {} |",
            calls.count,
            most.evacuations,
            most.words,
            most.copied as f64 / 1024.0,
            calls.longest.as_secs_f64() * 1e6,
            calls.over_ms,
            calls.longest_wall.as_secs_f64() * 1e6,
            verdict(is_met)
        )?;
        figures.push(json!({ "call": name, "calls": calls.count, "evacuations": most.evacuations,
            "words_moved": most.words, "bytes_copied": most.copied, "longest_ns": ns(calls.longest), "longest_wall_ns": ns(calls.longest_wall),
            "over_1_ms": calls.over_ms, "is_met": is_met }));
    }
    text.push('\n');
    Ok((text, json!({ "operations": operations, "refused": mix.refused, "calls": figures })))
}
