//! `cargo xtask bench peers`: the server's CPU per request, ours against a peer's, in one run.
//!
//! Servers run on CPU 0, the load on CPU 1, and take turns A B A B; the ratio peer / ours is taken within
//! a round, and the median counts (PERFORMANCE.md). nginx answers from its configuration (`return 200`), the cheapest it can do, and as
//! the cache that it is (`proxy_cache` in memory, 10,000 keys). Left out so far: records of latency.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use crate::record;
use crate::servers::{Server, build, free_port, require};

/// A comparison: name, peer, flags of the load, what must be reached, what we want.
struct Case(&'static str, Peer, &'static str, f64, f64);

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Peer {
    Redis,
    Memcached,
    Nginx,
    NginxCache,
}

impl Peer {
    fn is_http(self) -> bool {
        matches!(self, Self::Nginx | Self::NginxCache)
    }
}

const PIPELINE: &str = "--pipeline";
const CASES: &[Case] = &[
    Case("get-1", Peer::Redis, "1", 1.25, 1.4),
    Case("set-1", Peer::Redis, "1 --read-share 0", 1.3, 1.45),
    Case("get-16", Peer::Redis, "16", 2.5, 3.5),
    Case("set-16", Peer::Redis, "16 --read-share 0", 3.0, 4.0),
    Case("get-64", Peer::Redis, "64", 5.0, 7.0),
    Case("set-64", Peer::Redis, "64 --read-share 0", 4.5, 7.0),
    Case("get-16-memcached", Peer::Memcached, "16", 2.5, 3.0),
    Case("http-get-1", Peer::Nginx, "1 --fill v", 1.05, 1.15),
    Case("http-get-16", Peer::Nginx, "16 --fill v", 7.0, 10.0),
    Case("http-get-1-cache", Peer::NginxCache, "1 --fill v --keys 10000", 2.0, 2.5),
    Case("http-get-16-cache", Peer::NginxCache, "16 --fill v --keys 10000", 10.0, 10.0),
    Case("connections-1000", Peer::Redis, "1 --connections 1000", 1.35, 1.5),
];

/// Runs the cases whose name is `only` (all without it) and writes the record.
pub(crate) fn run(root: &Path, only: Option<&str>, rounds: usize, secs: u32) -> anyhow::Result<()> {
    ensure!(rounds > 0, "at least one round");
    let ours = build(root)?;
    let ours = Path::new(&ours);
    let mut rows = Vec::new();
    for case in CASES.iter().filter(|case| only.is_none_or(|name| name == case.0)) {
        let a = start_ours(ours, case.1)?;
        let b = start_peer(case.1)?;
        rows.push(compare(ours, case, &a, &b, rounds, secs)?);
    }
    ensure!(!rows.is_empty(), "no such case");
    record(root, &rows)
}

/// Loads `a` and `b` in turns; ratios of B's CPU per request to A's.
fn compare(
    tool: &Path,
    case: &Case,
    a: &Server,
    b: &Server,
    rounds: usize,
    secs: u32,
) -> anyhow::Result<Value> {
    let mut ratios = Vec::with_capacity(rounds);
    let fill = if case.1.is_http() { " --fill v" } else { "" };
    for server in [a, b].into_iter().filter(|server| server.has_keys) {
        load(tool, server, &format!("1 --preload --requests 1000{fill}"), 1)?;
    }
    for _ in 0..rounds {
        let ours = load(tool, a, case.2, secs)?;
        let peer = load(tool, b, case.2, secs)?;
        ratios.push(peer / ours);
    }
    ratios.sort_by(f64::total_cmp);
    let (median, low, high) = (ratios[rounds / 2], ratios[0], ratios[rounds - 1]);
    let line = format!("{}: {median:.2} × ({low:.2}–{high:.2}), must {}", case.0, case.3);
    writeln!(std::io::stderr(), "{line}")?;
    Ok(json!({ "case": case.0, "median": median, "low": low, "high": high,
        "must": case.3, "goal": case.4, "load": case.2 }))
}

/// CPU µs per request of `server` under `flags`.
fn load(tool: &Path, server: &Server, flags: &str, secs: u32) -> anyhow::Result<f64> {
    let address = format!("127.0.0.1:{}", server.port);
    let (pid, duration) = (server.pid().to_string(), format!("{secs}s"));
    let mut command = Command::new(tool);
    command.args(["bench", "--json", "--cpu", "1", "--addr", &address, "--server-pid", &pid]);
    command.args(["--protocol", server.protocol, PIPELINE]).args(flags.split(' '));
    if !flags.contains("--requests") {
        command.args(["--duration", &duration]);
    }
    let output = command.output()?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "the load on {} failed: {text}", server.protocol);
    let report: Value = serde_json::from_slice(&output.stdout)?;
    report["server_cpu_us"]["total"].as_f64().context("CPU per request")
}

fn start_ours(tool: &Path, peer: Peer) -> anyhow::Result<Server> {
    let (http, resp) = (free_port()?, free_port()?);
    let flags =
        format!("serve --http 127.0.0.1:{http} --resp 127.0.0.1:{resp} --memory 1GiB --threads 1");
    let (port, protocol) = if peer.is_http() { (http, "http") } else { (resp, "resp") };
    start(&tool.to_string_lossy(), &flags, port, protocol)
}

fn start_peer(peer: Peer) -> anyhow::Result<Server> {
    let port = free_port()?;
    match peer {
        Peer::Redis => {
            let flags =
                format!("--port {port} --bind 127.0.0.1 --save  --appendonly no --maxclients 5000");
            start("redis-server", &flags, port, "resp")
        }
        Peer::Memcached => {
            let flags = format!("-u root -l 127.0.0.1 -p {port} -U 0 -t 1 -m 1024 -c 5000 -R 200");
            start("memcached", &flags, port, "memcached")
        }
        Peer::Nginx | Peer::NginxCache => start_nginx(peer, port),
    }
}

/// nginx as one process that is master and worker, so that its CPU time is all there is. As a cache it has itself behind
/// it, which is asked once for each key.
fn start_nginx(peer: Peer, port: u16) -> anyhow::Result<Server> {
    let value = "v".repeat(100);
    let answer =
        format!("location / {{ default_type application/octet-stream; return 200 \"{value}\"; }}");
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    let folder = folder.join(format!("ringhold-bench-nginx-{port}"));
    std::fs::create_dir_all(&folder)?;
    let servers = if peer == Peer::NginxCache {
        let (behind, cache) = (free_port()?, folder.join("cache"));
        format!(
            "proxy_cache_path {} keys_zone=all:32m levels=1:2 inactive=1h use_temp_path=off;\n\
             server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://127.0.0.1:{behind};\n\
             proxy_cache all; proxy_cache_valid 200 1h; }} }}\n\
             server {{ listen 127.0.0.1:{behind}; {answer} }}\n",
            cache.display()
        )
    } else {
        format!("server {{ listen 127.0.0.1:{port}; {answer} }}\n")
    };
    let text = format!(
        "daemon off; master_process off; worker_processes 1; error_log stderr; pid /dev/null;\n\
         events {{ worker_connections 4096; }}\n\
         http {{ access_log off; keepalive_requests 1000000000;\n{servers} }}\n"
    );
    let file = folder.join("nginx.conf");
    std::fs::write(&file, text)?;
    let mut server = start("nginx", &format!("-c {}", file.display()), port, "http")?;
    (server.has_keys, server.folder) = (false, Some(folder));
    Ok(server)
}

fn start(program: &str, flags: &str, port: u16, protocol: &'static str) -> anyhow::Result<Server> {
    require(program)?;
    Server::start(program, flags, (port, protocol), Some(0))
}

fn record(root: &Path, rows: &[Value]) -> anyhow::Result<()> {
    let mut text = "| case | median | spread | must | goal |\n|---|--:|--:|--:|--:|\n".to_owned();
    for row in rows {
        let number = |name: &str| row[name].as_f64().unwrap_or(f64::NAN);
        let (median, low, high) = (number("median"), number("low"), number("high"));
        let name = row["case"].as_str().unwrap_or_default();
        let (must, goal) = (number("must"), number("goal"));
        writeln!(text, "| {name} | {median:.2} × | {low:.2}–{high:.2} | {must} | {goal} |")?;
    }
    record::write(
        root,
        ("peers", "Peers"),
        "cargo xtask bench peers",
        &text,
        &json!({ "cases": rows }),
    )
}

#[cfg(test)]
mod tests;
