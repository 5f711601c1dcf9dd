//! The conductor: starts the threads, changes the phases, reads the server's CPU time around the
//! measured part, adds up.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{Builder, ScopedJoinHandle, park_timeout, scope};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use indicatif::{ProgressBar, ProgressStyle};
use rustix::thread::{CpuSet, sched_setaffinity};

use crate::bench::clock::now;
use crate::bench::connection;
use crate::bench::procfs::Cpu;
use crate::bench::report::Report;
use crate::bench::settings::Plan;
use crate::bench::tally::Tally;
use crate::bench::worker::{MEASURE, STOP, Shared, Worker};

/// How often the conductor looks up from waiting.
const LOOK_PERIOD: Duration = Duration::from_millis(5);
/// How many looks pass between two progress lines.
const LOOKS_PER_LINE: u32 = 40;

/// Runs the plan.
///
/// # Errors
///
/// When the server cannot be reached, a watched process is gone, or a thread cannot be started.
pub(crate) fn run(plan: &Plan) -> anyhow::Result<Report> {
    let mut idle = Vec::with_capacity(plan.idle_connections);
    for _ in 0..plan.idle_connections {
        idle.push(connection::open(plan.address, plan.codec.greeting())?);
    }
    let answered = (0..plan.threads).map(|_| AtomicU64::new(0)).collect();
    let shared = Shared { answered, ..Shared::default() };
    let report = scope(|scope| {
        let shared = &shared;
        let mut threads = Vec::with_capacity(plan.threads);
        for idx in 0..plan.threads {
            let started = Builder::new()
                .name(format!("load-{idx}"))
                .spawn_scoped(scope, move || load(plan, shared, idx))?;
            threads.push(started);
        }
        let report = conduct(plan, shared, &threads);
        shared.phase.store(STOP, Ordering::Release);
        let mut sum = Tally::new()?;
        for thread in threads {
            let mut tally = thread.join().map_err(|_| anyhow!("a load thread panicked"))??;
            sum.add(&mut tally)?;
        }
        let mut report = report?;
        report.tally = sum;
        Ok(report)
    });
    drop(idle);
    report
}

fn load(plan: &Plan, shared: &Shared, idx: usize) -> anyhow::Result<Tally> {
    if let Some(first) = plan.cpu {
        let mut set = CpuSet::new();
        set.set(first + idx);
        sched_setaffinity(None, &set)
            .with_context(|| format!("the thread cannot run on CPU {}", first + idx))?;
    }
    Worker::new(plan, shared, idx)?.run()
}

type Threads<'scope> = [ScopedJoinHandle<'scope, anyhow::Result<Tally>>];

/// Leads through the phases and measures time, answers and CPU of the measured part.
fn conduct(plan: &Plan, shared: &Shared, threads: &Threads<'_>) -> anyhow::Result<Report> {
    let progress = progress(plan);
    let threads_count = u64::try_from(threads.len())?;
    let is_over = || threads.iter().any(ScopedJoinHandle::is_finished);
    watch(shared, &progress, "preload", || {
        shared.ready.load(Ordering::Acquire) == threads_count || is_over()
    });
    let warm_at = now() + plan.warmup;
    watch(shared, &progress, "warm-up", || now() >= warm_at || is_over());
    let (cpu, own) = (Cpu::of(&plan.server_pids)?, Cpu::of(&[std::process::id()])?);
    let (count, start) = (answered(shared), now());
    shared.phase.store(MEASURE, Ordering::Release);
    let is_timed = plan.requests.is_none();
    let end_at = start + plan.duration;
    watch(shared, &progress, "measured", || {
        let is_finished = threads.iter().all(ScopedJoinHandle::is_finished);
        is_finished || (is_timed && now() >= end_at)
    });
    let (answered, elapsed) = (answered(shared) - count, now().duration_since(start));
    progress.finish_and_clear();
    Ok(Report {
        answered,
        elapsed,
        server_cpu: Cpu::of(&plan.server_pids)?.since(cpu),
        own_cpu: Cpu::of(&[std::process::id()])?.since(own),
        tally: Tally::new()?,
    })
}

fn answered(shared: &Shared) -> u64 {
    shared.answered.iter().map(|count| count.load(Ordering::Relaxed)).sum()
}

fn progress(plan: &Plan) -> ProgressBar {
    if !plan.has_progress {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new_spinner();
    match ProgressStyle::with_template("{elapsed} {msg}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// Waits until `is_done`, showing the phase and the present throughput.
fn watch(shared: &Shared, progress: &ProgressBar, phase: &str, is_done: impl Fn() -> bool) {
    let (mut count, mut at): (u64, Instant) = (answered(shared), now());
    for look in 1u32.. {
        if is_done() {
            return;
        }
        park_timeout(LOOK_PERIOD);
        if look % LOOKS_PER_LINE == 0 {
            let (count_now, at_now) = (answered(shared), now());
            let rate = (count_now - count) as f64 / at_now.duration_since(at).as_secs_f64();
            progress.set_message(format!("{phase}: {rate:.0} answers/s"));
            progress.tick();
            (count, at) = (count_now, at_now);
        }
    }
}
