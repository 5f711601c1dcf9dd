//! A fresh process: how soon it answers, and what it takes.

use std::time::Duration;

use anyhow::ensure;
use serde_json::{Value, json};

use crate::client::{Client, Protocol};
use crate::clock;
use crate::record::{median, say, verdict};
use crate::servers::{Server, free_port};

const STARTS: usize = 5;
/// What must be reached: time until the first answer, and resident memory.
const READY_MAX_MS: f64 = 50.0;
const RSS_MAX_MIB: f64 = 20.0;
/// It must answer within this time.
const PATIENCE: Duration = Duration::from_secs(10);

/// Starts it some times with the settings it has by itself; the text and the figures.
pub(super) fn run(tool: &str) -> anyhow::Result<(String, Value)> {
    let (mut ready_ms, mut rss_mib) = (Vec::new(), Vec::new());
    for _ in 0..STARTS {
        let (http, port) = (free_port()?, free_port()?);
        let flags = format!("serve --http 127.0.0.1:{http} --resp 127.0.0.1:{port}");
        let begin = clock::now();
        let server = Server::spawn(tool, &flags, (port, "resp"), None)?;
        let mut client = first_client(&server, begin + PATIENCE)?;
        client.ping()?;
        ready_ms.push(clock::now().duration_since(begin).as_secs_f64() * 1000.0);
        rss_mib.push(server.settled_rss()? as f64 / f64::from(1 << 20));
    }
    let (ready, rss) = (median(&ready_ms), median(&rss_mib));
    say(&format!("start: {ready:.1} ms, {rss:.1} MiB"))?;
    let text = format!(
        "## A fresh process\n\nMedians of {STARTS} starts without settings but ports.\n\n\
         | | measured | bound | must |\n|---|--:|--:|---|\n\
         | exec until the first PING is answered, ms | {ready:.1} | {READY_MAX_MS} | {} |\n\
         | resident memory, MiB | {rss:.1} | {RSS_MAX_MIB} | {} |\n",
        verdict(ready < READY_MAX_MS),
        verdict(rss < RSS_MAX_MIB)
    );
    Ok((text, json!({ "ready_ms": ready_ms, "rss_mib": rss_mib })))
}

fn first_client(server: &Server, until: std::time::Instant) -> anyhow::Result<Client> {
    loop {
        match Client::open(server.port, Protocol::Resp) {
            Ok(client) => return Ok(client),
            Err(error) => {
                ensure!(clock::now() < until, error.context("it does not start"));
                clock::wait(Duration::from_micros(200));
            }
        }
    }
}
