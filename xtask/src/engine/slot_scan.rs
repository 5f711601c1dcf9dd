//! A scan of one slot among few and among many other entries.

use std::fmt::Write as _;

use anyhow::ensure;
use ringhold_types::entry::Deadlines;
use ringhold_types::slot::Slot;
use serde_json::{Value, json};

use super::{VALUE_LEN, key, ns};
use crate::clock::thread_time;
use crate::record::{median, say, verdict};
use crate::shards::{NS, START, Shards};

/// All entries; the slot has the same ones in each case, spread evenly over the order of writing.
const ENTRIES: [u32; 2] = [100_000, 10_000_000];
const IN_SLOT: u32 = 610;
const LIMIT: u64 = 4 << 30;
const CORES: usize = 2;
/// The hash tag of the slot's keys.
const TAG: &str = "{scan}";
const SCANS_PER_ROUND: usize = 20;
/// Written between two scans, so that the slot is in no cache of the processor.
const CACHE_LEN: usize = 64 << 20;
const SCAN_MAX_US: f64 = 100.0;

/// Both cases; the text and the figures.
pub(super) fn run(rounds: usize) -> anyhow::Result<(String, Value)> {
    let mut text = format!(
        "## Scan of one slot\n\n{IN_SLOT} entries in the slot, the same in each case; µs of processor time for the whole slot, medians of \
         {} scans: *cold* after {} MiB of other memory were written, *warm* directly after one another. *other slots*: of 100 others of about that size, once each.\n\n\
         | entries in all | cold | warm | other slots | must |\n|--:|--:|--:|--:|---|\n",
        rounds * SCANS_PER_ROUND,
        CACHE_LEN >> 20
    );
    let (mut figures, mut colds) = (Vec::new(), Vec::new());
    for entries in ENTRIES {
        let shards = filled(entries)?;
        let slot = Slot::of_key(TAG.as_bytes());
        let mut other = vec![0u8; CACHE_LEN];
        let (mut cold, mut warm) = (Vec::new(), Vec::new());
        for round in 0..rounds * SCANS_PER_ROUND {
            let mark = u8::try_from(round % 256)?;
            other.iter_mut().step_by(64).for_each(|byte| *byte = mark);
            cold.push(scanned(&shards, slot, Some(IN_SLOT))?);
            warm.push(scanned(&shards, slot, Some(IN_SLOT))?);
        }
        ensure!(other.iter().step_by(64).all(|&byte| byte == other[0]), "it was written");
        let others = (0..100).filter_map(|number| Slot::new(number * 160 + 1));
        let others = others.map(|slot| scanned(&shards, slot, None));
        let others = others.collect::<anyhow::Result<Vec<f64>>>()?;
        let (cold, warm, others) = (median(&cold), median(&warm), median(&others));
        let must = format!("≤ {SCAN_MAX_US} µs: {}", verdict(cold <= SCAN_MAX_US));
        writeln!(text, "| {entries} | {cold:.1} | {warm:.1} | {others:.1} | {must} |")?;
        say(&format!("scan, {entries} entries: cold {cold:.1} µs, warm {warm:.1} µs"))?;
        figures.push(
            json!({ "entries": entries, "cold_us": cold, "warm_us": warm, "others_us": others }),
        );
        colds.push(cold);
    }
    writeln!(text, "\nAmong many over among few, cold: {:.2}.\n", colds[1] / colds[0])?;
    Ok((text, json!(figures)))
}

/// `entries` in all, [`IN_SLOT`] of them in the slot of the tag.
fn filled(entries: u32) -> anyhow::Result<Shards> {
    let mut shards = Shards::new(LIMIT, CORES)?;
    let value = [b'v'; VALUE_LEN];
    let slot = Slot::of_key(TAG.as_bytes());
    let every = entries / IN_SLOT;
    let mut in_slot = 0;
    for number in 0..entries {
        if number % every == 0 && in_slot < IN_SLOT {
            let key = format!("{TAG}{in_slot:026}");
            ensure!(shards.put(key.as_bytes(), &value, Deadlines::NEVER, START), "there is room");
            in_slot += 1;
        } else if Slot::of_key(&key(number)) != slot {
            ensure!(shards.put(&key(number), &value, Deadlines::NEVER, START), "there is room");
        }
    }
    ensure!(in_slot == IN_SLOT, "all of the slot's entries are written");
    Ok(shards)
}

/// Scans a slot as a whole, with a look at every value; the microseconds.
fn scanned(shards: &Shards, slot: Slot, expected: Option<u32>) -> anyhow::Result<f64> {
    let shard = &shards.all[shards.geometry.shard_of(slot)];
    let (mut count, mut bytes) = (0, 0);
    let begin = thread_time();
    let rest = shard.scan(NS, slot, 0, usize::MAX, START, |entry| {
        count += 1;
        bytes += entry.key().len() + entry.value().len();
    });
    let time = ns(thread_time().saturating_sub(begin)) as f64 / 1000.0;
    ensure!(rest.is_none() && bytes == count as usize * (32 + VALUE_LEN), "all was seen");
    ensure!(expected.is_none_or(|expected| count == expected), "{count} entries in the slot");
    Ok(time)
}
