//! `ringhold ns`: the namespaces of a running node.

use std::io::Write;

use anyhow::Context;
use clap::{Args, Subcommand};
use serde_json::{Map, Value};

use crate::Exit;
use crate::client::{Client, ClientArgs, Effect, encoded};

/// The flags of `ns`.
#[derive(Args, Clone, Debug)]
pub(crate) struct NamespacesArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Clone, Debug, Subcommand)]
enum Action {
    /// List the namespaces
    List(ListArgs),
    /// Print the settings of a namespace and what it uses
    Get(NameArgs),
    /// Make a namespace, or replace its settings
    Set(SetArgs),
    /// Delete a namespace with all its keys
    Del(NameArgs),
}

#[derive(Args, Clone, Debug)]
struct ListArgs {
    #[command(flatten)]
    client: ClientArgs,
}

#[derive(Args, Clone, Debug)]
struct NameArgs {
    /// Name of the namespace
    name: String,
    #[command(flatten)]
    client: ClientArgs,
}

#[derive(Args, Clone, Debug)]
struct SetArgs {
    /// Name of the namespace: lower-case letters, digits, -, _ and .
    name: String,
    /// What its entries may take of the node's memory, as 64MiB [default: all of it]
    #[arg(long, value_name = "AMOUNT")]
    quota: Option<String>,
    /// Time to live of entries written without one, as 5m [default: none]
    #[arg(long, value_name = "DURATION")]
    default_ttl: Option<String>,
    /// Refuse writes when it is full instead of evicting entries
    #[arg(long)]
    no_eviction: bool,
    #[command(flatten)]
    client: ClientArgs,
}

/// `ringhold ns`
pub(crate) fn run(args: &NamespacesArgs) -> anyhow::Result<Exit> {
    match &args.action {
        Action::List(args) => ask(&args.client, (Effect::Read, "GET"), "/v1/ns", &[], |all| {
            let rows = all["namespaces"].as_array().map_or(&[][..], Vec::as_slice);
            rows.iter().map(line).collect()
        }),
        Action::Get(args) => {
            let path = format!("/v1/ns/{}", encoded(&args.name));
            ask(&args.client, (Effect::Read, "GET"), &path, &[], table)
        }
        Action::Set(args) => {
            let mut settings = Map::new();
            settings.insert("eviction".to_owned(), (!args.no_eviction).into());
            for (name, text) in [("quota", &args.quota), ("default_ttl", &args.default_ttl)] {
                if let Some(text) = text {
                    settings.insert(name.to_owned(), text.as_str().into());
                }
            }
            let path = format!("/v1/ns/{}", encoded(&args.name));
            let body = Value::Object(settings).to_string();
            ask(&args.client, (Effect::Write, "PUT"), &path, body.as_bytes(), table)
        }
        Action::Del(args) => {
            let path = format!("/v1/ns/{}", encoded(&args.name));
            ask(&args.client, (Effect::Write, "DELETE"), &path, &[], |_| String::new())
        }
    }
}

/// Sends a request and prints its answer: as it is for `--json`, else in the words of `text`.
fn ask(
    args: &ClientArgs,
    (effect, method): (Effect, &str),
    path: &str,
    sent: &[u8],
    text: impl Fn(&Value) -> String,
) -> anyhow::Result<Exit> {
    let client = Client::new(args)?;
    let answer = match client.send(effect, method, path, &[], sent)? {
        Ok(answer) => answer,
        Err(exit) => return Ok(exit),
    };
    let bytes = answer.body;
    let mut out = std::io::stdout().lock();
    if args.json || bytes.is_empty() {
        out.write_all(&bytes).context("standard output")?;
    } else {
        let answered: Value = serde_json::from_slice(&bytes).context("the answer")?;
        out.write_all(text(&answered).as_bytes()).context("standard output")?;
    }
    Ok(Exit::Done)
}

/// A setting in words.
fn word(value: &Value, none: &str) -> String {
    match value {
        Value::Null => none.to_owned(),
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

/// One namespace on one line.
fn line(row: &Value) -> String {
    let eviction =
        if row["eviction"].as_bool().unwrap_or(true) { "evicts" } else { "refuses when full" };
    format!(
        "{:<24} quota {:<14} ttl {:<14} {eviction}\n",
        word(&row["name"], ""),
        word(&row["quota"], "none"),
        word(&row["default_ttl"], "none"),
    )
}

/// One namespace on several lines.
fn table(row: &Value) -> String {
    ["name", "quota", "default_ttl", "eviction", "entries", "used_bytes"]
        .iter()
        .map(|name| format!("{name:<14}{}\n", word(&row[*name], "none")))
        .collect()
}
