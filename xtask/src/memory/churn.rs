//! Peak memory under writes of every size, with thousands of idle connections beside them.

use std::fmt::Write as _;

use anyhow::{Context, anyhow, ensure};
use ringhold_types::prng::Prng;
use serde_json::{Value, json};

use super::{THREADS, as_u64};
use crate::client::{Client, Protocol};
use crate::record::{say, verdict};
use crate::servers::Program;

/// `--memory`, in MiB.
const MEMORY_MIB: [u64; 2] = [64, 256];
/// Runs of each; the one with the highest peak counts, because the peak depends on which thread frees what.
const RUNS: usize = 3;
/// So many times the memory is written.
const TIMES: u64 = 10;
/// The longest value, in bytes; lengths are log-uniform from 1 on.
const VALUE_LEN_MAX: f64 = 8.0 * 1024.0 * 1024.0;
const KEYS: u64 = 200_000;
const IDLE_CONNECTIONS: usize = 10_000;
const WRITERS: u64 = 4;
/// One request in so many is a read.
const READ_EVERY: u64 = 7;

/// What a run showed, in bytes.
struct Churn {
    memory_mib: u64,
    peak_kib: u64,
    rss_kib: u64,
    idle_kib: u64,
    writes: u64,
    refused: u64,
}

impl Churn {
    /// 1.03 × memory + 64 MiB.
    fn bound_kib(&self) -> u64 {
        self.memory_mib * 1024 * 103 / 100 + 64 * 1024
    }
}

/// Both memories; the text and the figures.
pub(super) fn run(tool: &str) -> anyhow::Result<(String, Value)> {
    let mut text = format!(
        "## Churn\n\n{WRITERS} connections write {TIMES} × the memory in values of 1 B to 8 MiB (log-uniform) under {KEYS} keys and \
         read with one request in {READ_EVERY}, while {IDLE_CONNECTIONS} connections are idle. Resident memory in MiB; the peak is \
         the kernel's (`VmHWM`), the greatest of {RUNS} runs. Must: at most 1.03 × `--memory` + 64 MiB.\n\n\
         | `--memory`, MiB | with idle connections only | in the end | peak | bound | writes | refused | must |\n\
         |--:|--:|--:|--:|--:|--:|--:|---|\n"
    );
    let mut figures = Vec::new();
    for memory_mib in MEMORY_MIB {
        let runs =
            (0..RUNS).map(|_| churned(tool, memory_mib)).collect::<anyhow::Result<Vec<_>>>()?;
        let peaks: Vec<u64> = runs.iter().map(|churn| churn.peak_kib).collect();
        let worst = runs.into_iter().max_by_key(|churn| churn.peak_kib);
        let churn = worst.context("there is a run")?;
        let is_met = churn.peak_kib <= churn.bound_kib();
        let mib = |kib: u64| kib as f64 / 1024.0;
        writeln!(
            text,
            "| {memory_mib} | {:.1} | {:.1} | {:.1} | {:.1} | {} | {} | {} |",
            mib(churn.idle_kib),
            mib(churn.rss_kib),
            mib(churn.peak_kib),
            mib(churn.bound_kib()),
            churn.writes,
            churn.refused,
            verdict(is_met)
        )?;
        say(&format!("churn {memory_mib} MiB: peak {:.1} MiB", mib(churn.peak_kib)))?;
        figures.push(
            json!({ "memory_mib": memory_mib, "idle_kib": churn.idle_kib, "rss_kib": churn.rss_kib,
            "peak_kib": churn.peak_kib, "peaks_kib": peaks, "bound_kib": churn.bound_kib(), "writes": churn.writes,
            "refused": churn.refused, "is_met": is_met }),
        );
    }
    text.push('\n');
    Ok((text, json!(figures)))
}

fn churned(tool: &str, memory_mib: u64) -> anyhow::Result<Churn> {
    let server = Program::Ringhold.start(tool, memory_mib << 20, THREADS)?;
    let mut idle = Vec::with_capacity(IDLE_CONNECTIONS);
    for _ in 0..IDLE_CONNECTIONS {
        let mut client = Client::open(server.port, Protocol::Resp)?;
        client.ping()?;
        idle.push(client);
    }
    let idle_kib = server.status_kib("VmRSS")?;
    let share = (memory_mib << 20) * TIMES / WRITERS;
    let port = server.port;
    let (mut writes, mut refused) = (0, 0);
    std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..WRITERS).map(|seed| scope.spawn(move || written(port, seed, share))).collect();
        for thread in threads {
            let (one_writes, one_refused) =
                thread.join().map_err(|_| anyhow!("a writer panicked"))??;
            writes += one_writes;
            refused += one_refused;
        }
        anyhow::Ok(())
    })?;
    for client in &mut idle {
        client.ping()?;
    }
    let (peak_kib, rss_kib) = (server.status_kib("VmHWM")?, server.status_kib("VmRSS")?);
    Ok(Churn { memory_mib, peak_kib, rss_kib, idle_kib, writes, refused })
}

/// Writes values until `share` bytes were stored; how many writes there were, and how many of them were refused.
fn written(port: u16, seed: u64, share: u64) -> anyhow::Result<(u64, u64)> {
    let mut client = Client::open(port, Protocol::Resp)?;
    let mut prng = Prng::new(seed);
    let value = vec![b'v'; lens(1.0)];
    let (mut stored, mut writes, mut refused) = (0, 0, 0);
    while stored < share {
        let key = format!("key:{}", prng.below(KEYS));
        if prng.chance(1, READ_EVERY) {
            client.get(key.as_bytes());
            client.flush()?;
            let is_right = client.got()?.is_none_or(|found| found.iter().all(|&byte| byte == b'v'));
            ensure!(is_right, "{key} has a value that nobody wrote");
            continue;
        }
        let len = lens(prng.below(1 << 53) as f64 / (1u64 << 53) as f64);
        client.set(key.as_bytes(), &value[..len]);
        client.flush()?;
        writes += 1;
        if client.stored()? {
            stored += as_u64(len);
        } else {
            refused += 1;
        }
        ensure!(refused < 1000 || refused < writes / 2, "most writes are refused");
    }
    Ok((writes, refused))
}

/// A length, log-uniform for `uniform` in 0..=1.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "1 to the longest")]
fn lens(uniform: f64) -> usize {
    (uniform * VALUE_LEN_MAX.ln()).exp().clamp(1.0, VALUE_LEN_MAX) as usize
}
