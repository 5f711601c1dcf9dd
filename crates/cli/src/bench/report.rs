//! The report: a page for people, one JSON object for programs.
//!
//! JSON fields (times in microseconds): `protocol`, `connections`, `threads`, `pipeline`, `keys`, `seed`,
//! `elapsed_s`; `answers` (of the measured part), `throughput` (per second); `hits`, `misses`,
//! `stored`, `hit_ratio` (null without reads); `wrong` and `errors` (kind → count), both of the whole
//! run; `latency_us` (`mean`, `p50`, `p90`, `p99`, `p999`, `max`); `server_cpu_us` (`user`, `system`,
//! `total`, per request; null without `--server-pid`), `server_cores` (CPU used over time, or null);
//! `own_cores`, the same of the load generator: near `threads` it is the bottleneck.

use std::time::Duration;

use serde_json::{Value, json};

use crate::bench::procfs::Cpu;
use crate::bench::settings::Plan;
use crate::bench::tally::Tally;

/// What a run measured.
#[derive(Debug)]
pub(crate) struct Report {
    /// Answers of the measured part.
    pub(crate) answered: u64,
    /// Its length.
    pub(crate) elapsed: Duration,
    /// CPU time of the watched processes in it.
    pub(crate) server_cpu: Cpu,
    /// CPU time of this process in it.
    pub(crate) own_cpu: Cpu,
    /// Counts and latencies.
    pub(crate) tally: Tally,
}

impl Report {
    /// Whether there were answers, and no wrong one and no error.
    pub(crate) fn is_clean(&self) -> bool {
        self.answered > 0 && self.tally.wrong == 0 && self.tally.errors.is_empty()
    }

    /// The JSON object, on one line.
    pub(crate) fn json(&self, plan: &Plan) -> String {
        let tally = &self.tally;
        let cpu = self.cpu_per_request(plan).map_or(
            Value::Null,
            |(user, system)| json!({ "user": user, "system": system, "total": user + system }),
        );
        let cores = (!plan.server_pids.is_empty()).then(|| self.cores(self.server_cpu));
        let object = json!({
            "protocol": plan.codec.name().text(),
            "connections": plan.connections,
            "threads": plan.threads,
            "pipeline": plan.pipeline,
            "keys": plan.keys,
            "seed": plan.seed,
            "elapsed_s": self.elapsed.as_secs_f64(),
            "answers": self.answered,
            "throughput": self.throughput(),
            "hits": tally.hits,
            "misses": tally.misses,
            "stored": tally.stored,
            "hit_ratio": self.hit_ratio(),
            "wrong": tally.wrong,
            "errors": tally.errors,
            "latency_us": {
                "mean": tally.latency.mean() / 1000.0,
                "p50": self.latency_us(0.5),
                "p90": self.latency_us(0.9),
                "p99": self.latency_us(0.99),
                "p999": self.latency_us(0.999),
                "max": self.latency_us(1.0),
            },
            "server_cpu_us": cpu,
            "server_cores": cores,
            "own_cores": self.cores(self.own_cpu),
        });
        format!("{object}\n")
    }

    /// The page for people.
    pub(crate) fn text(&self, plan: &Plan) -> String {
        let tally = &self.tally;
        let mut text = format!(
            "{:.0} answers/s ({} in {:.1} s), load generator at {:.2} cores\n",
            self.throughput(),
            self.answered,
            self.elapsed.as_secs_f64(),
            self.cores(self.own_cpu),
        );
        let us = |share| self.latency_us(share);
        let mut line = |arguments: std::fmt::Arguments<'_>| {
            text.push_str(&arguments.to_string());
            text.push('\n');
        };
        line(format_args!(
            "latency µs: p50 {:.0}, p90 {:.0}, p99 {:.0}, p99.9 {:.0}, max {:.0}",
            us(0.5),
            us(0.9),
            us(0.99),
            us(0.999),
            us(1.0)
        ));
        if let Some(ratio) = self.hit_ratio() {
            let reads = tally.hits + tally.misses;
            line(format_args!("hits: {} of {reads} reads ({:.2} %)", tally.hits, ratio * 100.0));
        }
        if let Some((user, system)) = self.cpu_per_request(plan) {
            line(format_args!(
                "server CPU µs/request: {:.3} (user {user:.3}, system {system:.3}), {:.2} cores",
                user + system,
                self.cores(self.server_cpu)
            ));
        }
        if tally.wrong > 0 {
            line(format_args!("WRONG ANSWERS: {}", tally.wrong));
        }
        for (kind, count) in &tally.errors {
            line(format_args!("errors, {kind}: {count}"));
        }
        text
    }

    fn throughput(&self) -> f64 {
        self.answered as f64 / self.elapsed.as_secs_f64()
    }

    fn hit_ratio(&self) -> Option<f64> {
        let reads = self.tally.hits + self.tally.misses;
        (reads > 0).then(|| self.tally.hits as f64 / reads as f64)
    }

    fn latency_us(&self, share: f64) -> f64 {
        self.tally.latency.value_at_quantile(share) as f64 / 1000.0
    }

    /// User and system time, in microseconds.
    fn cpu_per_request(&self, plan: &Plan) -> Option<(f64, f64)> {
        let count = self.answered as f64;
        let is_known = !plan.server_pids.is_empty() && self.answered > 0;
        is_known.then(|| (self.server_cpu.user_us / count, self.server_cpu.system_us / count))
    }

    fn cores(&self, cpu: Cpu) -> f64 {
        (cpu.user_us + cpu.system_us) / 1e6 / self.elapsed.as_secs_f64()
    }
}
