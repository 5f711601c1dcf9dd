//! `ringhold status`: what a node says of itself. `ringhold version`, `ringhold completions`.

use std::io::Write;

use anyhow::Context;
use clap::{Args, CommandFactory};
use clap_complete::Shell;
use serde_json::{Value, json};

use crate::Exit;
use crate::args::Cli;
use crate::client::{Client, ClientArgs, Effect};

/// The flags of `status`.
#[derive(Args, Clone, Debug)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    client: ClientArgs,
}

/// The flags of `version`.
#[derive(Args, Clone, Debug)]
pub(crate) struct VersionArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The flags of `completions`.
#[derive(Args, Clone, Debug)]
pub(crate) struct CompletionsArgs {
    /// Shell to complete for
    shell: Shell,
}

/// `ringhold status`
pub(crate) fn status(args: &StatusArgs) -> anyhow::Result<Exit> {
    let client = Client::new(&args.client)?;
    let answer = match client.send(Effect::Read, "GET", "/v1/node", &[], &[])? {
        Ok(answer) => answer,
        Err(exit) => return Ok(exit),
    };
    let node: Value = serde_json::from_slice(&answer.body).context("the answer")?;
    let mut out = std::io::stdout().lock();
    if args.client.json {
        writeln!(out, "{node}").context("standard output")?;
        return Ok(Exit::Done);
    }
    let number = |value: &Value| value.as_u64().unwrap_or(0);
    let mib = |value: &Value| number(value) >> 20;
    let memory = &node["memory"];
    for (name, text) in [
        ("node", node["node"].as_str().unwrap_or_default().to_owned()),
        ("version", node["version"].as_str().unwrap_or_default().to_owned()),
        ("state", node["state"].as_str().unwrap_or_default().to_owned()),
        ("uptime", format!("{} s", number(&node["uptime_s"]))),
        ("connections", number(&node["connections"]).to_string()),
        ("entries", number(&node["entries"]).to_string()),
        (
            "memory",
            format!("{} of {} MiB", mib(&memory["used_bytes"]), mib(&memory["limit_bytes"])),
        ),
    ] {
        writeln!(out, "{name:<12}{text}").context("standard output")?;
    }
    Ok(Exit::Done)
}

/// `ringhold version`
pub(crate) fn version(args: &VersionArgs) -> anyhow::Result<Exit> {
    let version = env!("CARGO_PKG_VERSION");
    let target = format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS);
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{}", json!({ "version": version, "target": target }))
    } else {
        writeln!(out, "ringhold {version} ({target})")
    }
    .context("standard output")?;
    Ok(Exit::Done)
}

/// `ringhold completions`: a script for the shell.
pub(crate) fn completions(args: &CompletionsArgs) -> Exit {
    clap_complete::generate(args.shell, &mut Cli::command(), "ringhold", &mut std::io::stdout());
    Exit::Done
}
