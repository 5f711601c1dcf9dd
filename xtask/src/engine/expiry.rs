//! A million entries die in the same millisecond while clients go on reading.
//!
//! One worker is played in simulated time, which passes by the processor time that its calls take: every 100 ms it ticks
//! all shards, and at once again while work is left; whenever its ticks have handled so many entries, and between passes, it
//! answers the look-ups that have come, at a fixed rate. A look-up's latency counts from when it came, so those that wait
//! for ticks have waited.

use std::fmt::Write as _;

use anyhow::ensure;
use ringhold_store::entry::Lookup;
use ringhold_types::entry::Deadlines;
use ringhold_types::prng::Prng;
use ringhold_types::time::{Duration, UnixTime};
use serde_json::{Value, json};

use super::{COPIED_MAX, EVACUATIONS_MAX, Most, VALUE_LEN, key, ns};
use crate::clock::thread_time;
use crate::record::{say, verdict};
use crate::shards::{NS, START, Shards};

const LIMIT: u64 = 1 << 30;
const ENTRIES: u32 = 1_000_000;
const TTL: Duration = Duration::from_secs(10);
/// As the worker ticks (`ringhold::io::worker_loop`): its period, the items and the shards before clients are served.
const TICK_NS: u64 = 100_000_000;
const TICK_ITEMS: u64 = 512;
const SHARDS_PER_TURN: usize = 8;
/// A look-up comes every so many nanoseconds.
const ARRIVAL_NS: u64 = 10_000;
/// Simulated time after the deadline.
const END_NS: u64 = 3_000_000_000;
/// Memory is back (reusable, or returned to all shards) when no more than one in so many bytes of the dead entries is held;
/// tables may stay as large as they were.
const BACK_PART: u64 = 10;
/// What must be reached.
const BACK_MAX_NS: u64 = 2_000_000_000;
const LATENCY_MAX_NS: u64 = 1_000_000;

/// What the worker did after the deadline.
#[derive(Default)]
struct Played {
    back_ns: Option<u64>,
    latencies: Vec<u64>,
    ticks: u64,
    ticking_ns: u64,
    tick_max_ns: u64,
    pass_max_ns: u64,
    most: Most,
    /// The shard whose tick is next, and whether one of those before has more to do.
    next_shard: usize,
    is_more: bool,
}

impl Played {
    /// The latency that so many thousandths of the look-ups do not pass; they are sorted.
    fn latency(&self, thousandths: usize) -> u64 {
        let at = self.latencies.len() * thousandths / 1000;
        self.latencies.get(at).or_else(|| self.latencies.last()).copied().unwrap_or(0)
    }
}

/// Plays it; the text and the figures.
pub(super) fn run() -> anyhow::Result<(String, Value)> {
    let mut shards = Shards::new(LIMIT, 1)?;
    let value = [b'v'; VALUE_LEN];
    for number in 0..ENTRIES {
        ensure!(shards.put(&key(number), &value, Deadlines::NEVER, START), "there is room");
    }
    let before = held(&shards);
    let hard = START.after(TTL);
    for number in ENTRIES..2 * ENTRIES {
        let deadlines = Deadlines { hard: Some(hard), soft: None };
        ensure!(shards.put(&key(number), &value, deadlines, START), "there is room");
    }
    let full = held(&shards);
    let mut played = play(&mut shards, hard, before + (full - before) / BACK_PART);
    played.latencies.sort_unstable();
    let tables: u64 = shards.all.iter().map(|shard| shard.space_stats(NS).table_bytes).sum();
    let used = [before, full, held(&shards), tables, shards.budget.used()];
    say(&format!("expiry: back after {:?} ns, p99.9 {} ns", played.back_ns, played.latency(999)))?;
    Ok((page(&played, shards.all.len(), used)?, figures(&played, used)))
}

fn page(played: &Played, shards: usize, used: [u64; 5]) -> anyhow::Result<String> {
    let (p999, longest) = (played.latency(999), played.latency(1000));
    let is_back = played.back_ns.is_some_and(|ns| ns <= BACK_MAX_NS);
    let is_within = played.most.is_within(EVACUATIONS_MAX, COPIED_MAX);
    let mut text = format!(
        "## Expiry\n\n{ENTRIES} entries with a time to live of 10 s die in the same millisecond beside {ENTRIES} that live. One worker \
         for all {} shards, in simulated time that passes by its processor time: `tick` for every shard each 100 ms, \
         {TICK_ITEMS} items and {SHARDS_PER_TURN} shards at most before look-ups are answered, and again at once while work is left; {} look-ups a second of living entries come until memory is back, their latency counts from \
         when they came.\n\n| | measured | must | |\n|---|--:|--:|---|\n",
        shards,
        1_000_000_000 / ARRIVAL_NS
    );
    let ms = |ns: u64| ns as f64 / 1e6;
    let back = played.back_ns.map_or_else(|| "never".to_owned(), |ns| format!("{:.0}", ms(ns)));
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    writeln!(
        text,
        "| memory is reusable (all but 1/{BACK_PART}) after, ms | {back} | {} | {} |",
        ms(BACK_MAX_NS),
        verdict(is_back)
    )?;
    writeln!(
        text,
        "| look-ups, p99.9, ms | {:.3} | {} | {} |",
        ms(p999),
        ms(LATENCY_MAX_NS),
        verdict(p999 < LATENCY_MAX_NS)
    )?;
    writeln!(
        text,
        "| look-ups, p50, p99, longest, ms | {:.4} {:.3} {:.3} | | |",
        ms(played.latency(500)),
        ms(played.latency(990)),
        ms(longest)
    )?;
    writeln!(
        text,
        "| held by the namespace before, with all, in the end; of these tables; charged in the end, MiB | {:.1} {:.1} {:.1}; {:.1}; {:.1} | | |",
        mib(used[0]),
        mib(used[1]),
        mib(used[2]),
        mib(used[3]),
        mib(used[4])
    )?;
    writeln!(
        text,
        "| ticks; processor time, ms; longest tick and longest time of ticks between look-ups, ms | {}; {:.1}; {:.3}, {:.3} | | |",
        played.ticks,
        ms(played.ticking_ns),
        ms(played.tick_max_ns),
        ms(played.pass_max_ns)
    )?;
    writeln!(
        text,
        "| most of one tick: segments, words moved, KiB copied | {} {} {:.1} | {EVACUATIONS_MAX} 32768 64 | {} |\n",
        played.most.evacuations,
        played.most.words,
        played.most.copied as f64 / 1024.0,
        verdict(is_within)
    )?;
    Ok(text)
}

fn figures(played: &Played, used: [u64; 5]) -> Value {
    json!({ "back_ns": played.back_ns, "p50_ns": played.latency(500), "p99_ns": played.latency(990),
        "p999_ns": played.latency(999), "longest_ns": played.latency(1000),
        "held_before": used[0], "held_full": used[1], "held_after": used[2], "tables_after": used[3], "charged_after": used[4], "ticks": played.ticks,
        "ticking_ns": played.ticking_ns, "tick_max_ns": played.tick_max_ns, "pass_max_ns": played.pass_max_ns,
        "most_evacuations": played.most.evacuations, "most_words": played.most.words,
        "most_copied": played.most.copied })
}

/// Bytes held by the namespace in all shards: what a shard keeps for its next writes, reusable, is not among them.
fn held(shards: &Shards) -> u64 {
    shards.all.iter().map(|shard| shard.space_stats(NS).held).sum()
}

/// From the deadline on; `enough` bytes held count as back.
fn play(shards: &mut Shards, deadline: UnixTime, enough: u64) -> Played {
    let mut played = Played::default();
    let mut prng = Prng::new(4);
    let (mut time, mut next_tick, mut arrival) = (0, TICK_NS, 0);
    while time < END_NS {
        let now = deadline.after(Duration::from_nanos(time));
        if time >= next_tick {
            let (spent, is_over) = tick_some(shards, now, &mut played);
            time += spent;
            let is_more = !is_over || std::mem::take(&mut played.is_more);
            next_tick = if is_more { time } else { time + TICK_NS };
            if played.back_ns.is_none() && held(shards) <= enough {
                played.back_ns = Some(time);
            }
        }
        while arrival <= time {
            let number = u32::try_from(prng.below(u64::from(ENTRIES))).unwrap_or(0);
            let begin = thread_time();
            let key = key(number);
            let at = shards.seed.key(&key);
            let is_hit = matches!(shards.of(at).lookup(NS, &key, at, now), Lookup::Hit(_));
            assert!(is_hit, "what has no deadline stays");
            time += ns(thread_time().saturating_sub(begin));
            if played.back_ns.is_none() {
                played.latencies.push(time - arrival);
            }
            arrival += ARRIVAL_NS;
        }
        time = time.max(arrival.min(next_tick));
    }
    played
}

/// Goes on with a pass over all shards; its processor time, and whether the pass is over.
fn tick_some(shards: &mut Shards, now: UnixTime, played: &mut Played) -> (u64, bool) {
    let (mut spent, mut left) = (0, TICK_ITEMS);
    for _ in 0..SHARDS_PER_TURN {
        let Some(shard) = shards.all.get_mut(played.next_shard) else { break };
        let (before, begin) = (shard.work(), thread_time());
        let tick = shard.tick(now, &mut shards.log, left);
        let time = ns(thread_time().saturating_sub(begin));
        played.most.note(before, shard.work());
        played.ticks += 1;
        played.tick_max_ns = played.tick_max_ns.max(time);
        played.is_more |= tick.more;
        played.next_shard += 1;
        spent += time;
        left = left.saturating_sub(tick.handled);
        if left == 0 {
            break;
        }
    }
    played.ticking_ns += spent;
    played.pass_max_ns = played.pass_max_ns.max(spent);
    let is_over = played.next_shard >= shards.all.len();
    if is_over {
        played.next_shard = 0;
    }
    (spent, is_over)
}
