//! `cargo xtask bench hit-ratio servers`: real servers on traces, at equal resident memory of their processes.
//!
//! Each server's own limit is set so that its process has the budget after a calibrating load (zipf 0.8 over three times
//! the budget, with the same sizes). Then each trace is replayed against a fresh process of each with read-through: a
//! `GET`, and on a miss a `SET` of the value, whose length is drawn once per key. Requests go in batches of different
//! keys, all reads of a batch before its writes, so that what happens to one key happens in the trace's order. Every value
//! that is found has the length that was stored.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail, ensure};
use serde_json::{Value, json};

use super::Ratio;
use super::requests::{KEY_LEN, Replay, Requests, value_len};
use crate::client::Client;
use crate::record::{self, say, verdict};
use crate::servers::{Program, build};

const PROGRAMS: [Program; 4] =
    [Program::Ringhold, Program::RedisLru, Program::RedisLfu, Program::Memcached];
/// Threads of ringhold and memcached: one, as redis has.
const THREADS: usize = 1;
/// The most requests in one batch.
const BATCH: usize = 64;
/// Requests of a calibrating load, and how often the limit is corrected.
const CALIBRATING: usize = 2_000_000;
const CORRECTIONS: usize = 8;
/// How near the budget is near enough: 1 in so many.
const NEAR: u64 = 100;
/// No server is given less.
const LIMIT_MIN: u64 = 2 << 20;
const RINGHOLD_LIMIT_MIN: u64 = 8 << 20;
/// Flags that are tried in this order until the process fits the budget: memcached takes a page of 1 MiB for each class of
/// sizes, whatever its limit, so that a small budget needs fewer classes.
const FACTORS: [&str; 3] = [" -f 1.25", " -f 1.5", " -f 2"];
/// On no trace may the hit ratio be farther below a peer's, in points.
const BELOW_MAX: f64 = 2.0;

/// Which memory is equal.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Of {
    /// All of the process.
    Whole,
    /// What came in addition to the empty process.
    Growth,
}

/// What is to be run.
#[derive(Debug)]
pub(crate) struct Plan {
    folder: PathBuf,
    budgets_mib: Vec<u64>,
    of: Of,
}

impl Plan {
    /// Reads the flags.
    pub(crate) fn parse(flags: &[&str]) -> anyhow::Result<Self> {
        let (mut folder, mut budgets_mib, mut of) = (None, Vec::new(), Of::Whole);
        for pair in flags.chunks(2) {
            match *pair {
                ["--traces", path] => folder = Some(path.into()),
                ["--budget-mib", number] => {
                    budgets_mib.push(number.parse().context("--budget-mib")?);
                }
                ["--of", "whole"] => of = Of::Whole,
                ["--of", "growth"] => of = Of::Growth,
                _ => bail!(
                    "bench hit-ratio servers knows --traces FOLDER, --budget-mib N and --of whole|growth"
                ),
            }
        }
        if budgets_mib.is_empty() {
            budgets_mib = vec![16, 64];
        }
        let folder = folder.context("--traces FOLDER: where the traces are")?;
        Ok(Self { folder, budgets_mib, of })
    }
}

/// What a server gets, and what its process had after the calibrating load, in bytes.
#[derive(Clone, Copy)]
struct Limit {
    limit: u64,
    /// Flags beside it.
    further: &'static str,
    empty: u64,
    rss: u64,
}

/// What one server did on one trace; memory in bytes, in the end.
#[derive(Clone, Copy)]
struct Run {
    ratio: Ratio,
    rss: u64,
    refused: u64,
}

struct Row {
    name: String,
    copies: u32,
    requests: usize,
    runs: Vec<Run>,
}

/// Runs the plan and writes the record.
pub(crate) fn run(root: &Path, plan: &Plan) -> anyhow::Result<()> {
    let tool = build(root)?;
    let sources = Requests::read_folder(&plan.folder)?;
    let calibrating = &Requests::generated()[0];
    let (mut text, mut figures) = (introduction(plan.of), Vec::new());
    for &mib in &plan.budgets_mib {
        let budget = mib << 20;
        let mut load = calibrating.for_budget(budget);
        load.keys.truncate(CALIBRATING);
        let limits =
            side_by_side(|_, program| calibrate(program, &tool, (budget, plan.of), &load))?;
        for (program, limit) in PROGRAMS.iter().zip(&limits) {
            let (name, limit, rss) = (program.name(), limit.limit / 1024, limit.rss / 1024);
            say(&format!("{mib} MiB: {name} is given {limit} KiB and has {rss} KiB"))?;
        }
        let mut rows = Vec::new();
        for source in &sources {
            let replay = source.for_budget(budget);
            let runs = side_by_side(|idx, program| replayed(program, &tool, limits[idx], &replay))?;
            let hits: Vec<String> = runs.iter().map(|run| format!("{:.2}", run.ratio.0)).collect();
            say(&format!("{mib} MiB {}: {}", source.name, hits.join(" ")))?;
            let (copies, requests) = (replay.copies, replay.keys.len());
            rows.push(Row { name: source.name.clone(), copies, requests, runs });
        }
        text.push_str(&section(mib, &limits, &rows)?);
        figures.push(figures_of(mib, &limits, &rows));
    }
    let budgets: Vec<String> =
        plan.budgets_mib.iter().map(|mib| format!(" --budget-mib {mib}")).collect();
    let of = if plan.of == Of::Whole { "whole" } else { "growth" };
    let command = format!(
        "cargo xtask bench hit-ratio servers --traces FOLDER{} --of {of}",
        budgets.concat()
    );
    let budgets: Vec<String> = plan.budgets_mib.iter().map(|mib| format!("-{mib}")).collect();
    let topic = format!("hit-ratio-servers-{of}{}", budgets.concat());
    record::write(root, (&topic, "Hit ratio of servers"), &command, &text, &json!(figures))
}

/// Does the same for all programs at a time.
fn side_by_side<T: Send>(
    run: impl Fn(usize, Program) -> anyhow::Result<T> + Sync,
) -> anyhow::Result<Vec<T>> {
    std::thread::scope(|scope| {
        let run = &run;
        let start = |(idx, &program)| scope.spawn(move || run(idx, program));
        let threads: Vec<_> = PROGRAMS.iter().enumerate().map(start).collect();
        let join = |thread: std::thread::ScopedJoinHandle<'_, anyhow::Result<T>>| {
            thread.join().map_err(|_| anyhow!("a load thread panicked"))?
        };
        threads.into_iter().map(join).collect()
    })
}

/// Finds the limit with which the process has the budget after `load`. A server that takes its limit in MiB gets the
/// lesser one that is not below.
fn calibrate(
    program: Program,
    tool: &str,
    (budget, of): (u64, Of),
    load: &Replay,
) -> anyhow::Result<Limit> {
    let least = if program == Program::Ringhold { RINGHOLD_LIMIT_MIN } else { LIMIT_MIN };
    let step = if program == Program::Memcached { 1 << 20 } else { 1 };
    let empty = program.start(tool, least.max(budget), THREADS)?.settled_rss()?;
    let target = if of == Of::Whole { budget } else { budget + empty };
    let mut tried = Limit { limit: least, further: "", empty, rss: 0 };
    if program == Program::Memcached {
        for further in FACTORS {
            tried.further = further;
            if replayed(program, tool, tried, load)?.rss <= target {
                break;
            }
        }
    }
    tried.limit = target.saturating_sub(empty).max(least);
    let mut best: Option<Limit> = None;
    for _ in 0..CORRECTIONS {
        tried.limit = tried.limit.next_multiple_of(step);
        tried.rss = replayed(program, tool, tried, load)?.rss;
        if best.is_none_or(|best| is_nearer(tried.rss, best.rss, target)) {
            best = Some(tried);
        }
        let near = if step == 1 { target / NEAR } else { 0 };
        let next = (tried.limit + target).saturating_sub(tried.rss).max(least) / step * step;
        if tried.rss.abs_diff(target) <= near || next == tried.limit {
            break;
        }
        tried.limit = next;
    }
    best.context("at least one limit was tried")
}

/// Whether one size of a process is better than another: not below the target, else nearer to it.
fn is_nearer(rss: u64, than: u64, target: u64) -> bool {
    let is_enough = |rss: u64| rss + target / NEAR >= target;
    match (is_enough(rss), is_enough(than)) {
        (true, false) => true,
        (false, true) => false,
        _ => rss.abs_diff(target) < than.abs_diff(target),
    }
}

/// Starts the program with its limit and replays the requests.
fn replayed(program: Program, tool: &str, given: Limit, replay: &Replay) -> anyhow::Result<Run> {
    let server = program.start_with(tool, given.limit, THREADS, given.further)?;
    let mut client = Client::open(server.port, program.protocol())?;
    let warm = replay.keys.len() / 4;
    let longest = (0..replay.count).map(value_len).max().unwrap_or(0);
    let value = vec![b'v'; usize::try_from(longest)?];
    let mut batches = vec![usize::MAX; replay.count as usize];
    let (mut hits, mut hit_bytes, mut bytes, mut refused) = (0u64, 0u64, 0u64, 0u64);
    let (mut at, mut missing) = (0, Vec::new());
    while at < replay.keys.len() {
        let len = batch_len(&replay.keys[at..], &mut batches, at);
        missing.iter().for_each(|&key| client.set(&name(key), &value[..stored_len(key)]));
        replay.keys[at..at + len].iter().for_each(|&key| client.get(&name(key)));
        client.flush()?;
        for _ in missing.drain(..) {
            refused += u64::from(!client.stored()?);
        }
        for (idx, &key) in replay.keys.iter().enumerate().skip(at).take(len) {
            let found = client.got()?.map(<[u8]>::len);
            ensure!(found.is_none_or(|len| len == stored_len(key)), "key {key} has a wrong value");
            if found.is_none() {
                missing.push(key);
            }
            if idx >= warm {
                bytes += value_len(key);
                hits += u64::from(found.is_some());
                hit_bytes += found.map_or(0, |_| value_len(key));
            }
        }
        at += len;
    }
    let percent = |part: u64, all: u64| part as f64 * 100.0 / all.max(1) as f64;
    let counted = u64::try_from(replay.keys.len() - warm)?;
    let ratio = (percent(hits, counted), percent(hit_bytes, bytes));
    Ok(Run { ratio, rss: server.settled_rss()?, refused })
}

/// How many of the first keys are all different, and not too many for a batch. `batches` remembers each key's last batch.
fn batch_len(keys: &[u32], batches: &mut [usize], batch: usize) -> usize {
    let is_new = |&&key: &&u32| std::mem::replace(&mut batches[key as usize], batch) != batch;
    keys.iter().take(BATCH).take_while(is_new).count()
}

fn stored_len(key: u32) -> usize {
    usize::try_from(value_len(key)).unwrap_or(usize::MAX)
}

fn name(key: u32) -> Vec<u8> {
    format!("{key:0width$}", width = usize::try_from(KEY_LEN).unwrap_or(16)).into_bytes()
}

fn introduction(of: Of) -> String {
    let memory = match of {
        Of::Whole => "The budget is the resident memory of the whole process",
        Of::Growth => "The budget is the resident memory beyond that of the empty process",
    };
    format!(
        "{memory}, reached by setting each server's own limit (calibrated with zipf 0.8 and the same sizes). One thread each; \
         `maxmemory-samples 5`. Traces are replayed with read-through against fresh processes, all servers at a time; hits in per \
         cent of the requests after the first quarter, in brackets of the bytes; sizes are Facebook's ETC (mean 329 B), drawn once \
         per key; *copies*: how often a trace is repeated with shifted keys so that its keys take three times the budget. *RSS*: the \
         processes' memory after the trace, in the order of the servers.\n\n\
         Must: the mean is above each peer's; on no trace more than {BELOW_MAX} points below one.\n\n"
    )
}

/// Our hit ratio less a peer's, on average and where it is least.
fn against(rows: &[Row], peer: usize) -> (f64, f64) {
    let differences = rows.iter().map(|row| row.runs[0].ratio.0 - row.runs[peer].ratio.0);
    let sum: f64 = differences.clone().sum();
    (sum / rows.len().max(1) as f64, differences.fold(f64::INFINITY, f64::min))
}

fn section(mib: u64, limits: &[Limit], rows: &[Row]) -> anyhow::Result<String> {
    let mut text = format!(
        "## {mib} MiB\n\n| | limit, KiB | empty, KiB | calibrated, KiB |\n|---|--:|--:|--:|\n"
    );
    for (program, limit) in PROGRAMS.iter().zip(limits) {
        let (name, kib) = (program.name(), |bytes: u64| bytes / 1024);
        writeln!(
            text,
            "| {name}{} | {} | {} | {} |",
            limit.further,
            kib(limit.limit),
            kib(limit.empty),
            kib(limit.rss)
        )?;
    }
    text.push_str("\n| trace | copies |");
    PROGRAMS.iter().try_for_each(|program| write!(text, " {} |", program.name()))?;
    PROGRAMS[1..].iter().try_for_each(|program| write!(text, " ours − {} |", program.name()))?;
    text.push_str(" RSS, MiB |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|---|\n");
    for row in rows {
        write!(text, "| {} | {} |", row.name, row.copies)?;
        for run in &row.runs {
            write!(text, " {:.2} ({:.2}) |", run.ratio.0, run.ratio.1)?;
        }
        for peer in &row.runs[1..] {
            write!(text, " {:+.2} |", row.runs[0].ratio.0 - peer.ratio.0)?;
        }
        let rss = row.runs.iter().map(|run| format!("{:.1}", run.rss as f64 / f64::from(1 << 20)));
        writeln!(text, " {} |", rss.collect::<Vec<_>>().join(" "))?;
    }
    let count = rows.len().max(1) as f64;
    write!(text, "| **mean** | |")?;
    for idx in 0..PROGRAMS.len() {
        let sum = rows.iter().fold((0.0, 0.0), |sum, row| {
            (sum.0 + row.runs[idx].ratio.0, sum.1 + row.runs[idx].ratio.1)
        });
        write!(text, " {:.2} ({:.2}) |", sum.0 / count, sum.1 / count)?;
    }
    for peer in 1..PROGRAMS.len() {
        write!(text, " **{:+.2}** |", against(rows, peer).0)?;
    }
    text.push_str(
        " |\n\n| against | mean, points | must | least, points | must |\n|---|--:|---|--:|---|\n",
    );
    for (peer, program) in PROGRAMS.iter().enumerate().skip(1) {
        let (mean, least) = against(rows, peer);
        let (name, is_above) = (program.name(), verdict(mean > 0.0));
        let is_near = verdict(least >= -BELOW_MAX);
        writeln!(text, "| {name} | {mean:+.2} | {is_above} | {least:+.2} | {is_near} |")?;
    }
    text.push('\n');
    Ok(text)
}

fn figures_of(mib: u64, limits: &[Limit], rows: &[Row]) -> Value {
    let limits = PROGRAMS.iter().zip(limits).map(|(program, limit)| {
        json!({ "server": program.name(), "limit": limit.limit, "flags": limit.further, "empty_rss": limit.empty, "rss": limit.rss })
    });
    let rows = rows.iter().map(|row| {
        let runs = PROGRAMS.iter().zip(&row.runs).map(|(program, run)| {
            json!({ "server": program.name(), "hits": run.ratio.0, "bytes": run.ratio.1, "rss": run.rss,
                "refused": run.refused })
        });
        let runs: Vec<Value> = runs.collect();
        json!({ "trace": row.name, "copies": row.copies, "requests": row.requests, "runs": runs })
    });
    json!({ "budget_mib": mib, "limits": limits.collect::<Vec<_>>(), "rows": rows.collect::<Vec<_>>() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_ends_before_a_key_that_is_in_it() {
        let mut batches = vec![usize::MAX; 100];
        let keys: Vec<u32> = [1, 2, 1, 2, 2].into_iter().chain(0..100).collect();
        assert_eq!(batch_len(&keys, &mut batches, 0), 2);
        assert_eq!(batch_len(&keys[2..], &mut batches, 2), 2);
        assert_eq!(batch_len(&keys[4..], &mut batches, 4), 3, "2, 0 and 1");
        assert_eq!(batch_len(&keys[7..], &mut batches, 7), BATCH);
        assert_eq!(batch_len(&[], &mut batches, 8), 0);
    }
}
