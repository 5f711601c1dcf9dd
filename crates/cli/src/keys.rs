//! `ringhold get`, `set`, `del`, `incr`, `ttl`, `keys`: keys of a running node, over HTTP.

use std::io::{Read, Write};
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use serde_json::{Value, json};

use crate::Exit;
use crate::client::{Answer, Client, ClientArgs, Effect, Outcome, encoded};

/// The flags of `get`.
#[derive(Args, Clone, Debug)]
pub(crate) struct GetArgs {
    /// Key to read
    key: String,
    #[command(flatten)]
    client: ClientArgs,
}

/// The flags of `set`.
#[derive(Args, Clone, Debug)]
pub(crate) struct SetArgs {
    /// Key to write
    key: String,
    /// Its value; without it, and without --file, standard input
    value: Option<String>,
    /// Read the value from a file
    #[arg(long, value_name = "FILE", conflicts_with = "value")]
    file: Option<PathBuf>,
    /// Time to live, as 250ms, 30s, 5m, 2h or 7d
    #[arg(long, value_name = "DURATION")]
    ttl: Option<String>,
    /// How long it can be read as stale after that
    #[arg(long, value_name = "DURATION", requires = "ttl")]
    stale_for: Option<String>,
    /// Only if the key does not exist
    #[arg(long, conflicts_with_all = ["if_present", "if_version"])]
    if_absent: bool,
    /// Only if the key exists
    #[arg(long, conflicts_with = "if_version")]
    if_present: bool,
    /// Only if the entry has this version
    #[arg(long, value_name = "VERSION")]
    if_version: Option<u64>,
    #[command(flatten)]
    client: ClientArgs,
}

/// The flags of `del`.
#[derive(Args, Clone, Debug)]
pub(crate) struct DelArgs {
    /// Keys to delete
    #[arg(required = true)]
    keys: Vec<String>,
    #[command(flatten)]
    client: ClientArgs,
}

/// The flags of `incr`.
#[derive(Args, Clone, Debug)]
pub(crate) struct IncrArgs {
    /// Counter to change
    key: String,
    /// What is added
    #[arg(long, default_value_t = 1, allow_negative_numbers = true)]
    by: i64,
    /// What a missing counter begins at
    #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
    initial: i64,
    /// Time to live of a new counter
    #[arg(long, value_name = "DURATION")]
    ttl: Option<String>,
    #[command(flatten)]
    client: ClientArgs,
}

/// The flags of `ttl`.
#[derive(Args, Clone, Debug)]
pub(crate) struct TtlArgs {
    /// Key to look at
    key: String,
    /// Give it this time to live
    #[arg(long, value_name = "DURATION")]
    set: Option<String>,
    #[command(flatten)]
    client: ClientArgs,
}

/// The flags of `keys`.
#[derive(Args, Clone, Debug)]
pub(crate) struct KeysArgs {
    /// Only keys that begin with this
    #[arg(long, default_value = "")]
    prefix: String,
    /// At most so many keys
    #[arg(long, value_name = "COUNT")]
    limit: Option<usize>,
    #[command(flatten)]
    client: ClientArgs,
}

/// Writes bytes to standard output.
fn print(bytes: &[u8]) -> anyhow::Result<Exit> {
    let mut out = std::io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).context("standard output")?;
    Ok(Exit::Done)
}

fn print_json(value: &Value) -> anyhow::Result<Exit> {
    print(format!("{value}\n").as_bytes())
}

/// The version in an answer.
fn version(answer: &Answer) -> Option<String> {
    Some(answer.field("etag")?.trim_matches('"').to_owned())
}

/// Bytes as JSON can carry them: text under `name`, anything else under `name_b64`.
fn bytes_json(name: &str, bytes: &[u8]) -> (String, Value) {
    use base64::Engine as _;
    match std::str::from_utf8(bytes) {
        Ok(text) => (name.to_owned(), json!(text)),
        Err(_) => {
            let text = base64::engine::general_purpose::STANDARD.encode(bytes);
            (format!("{name}_b64"), json!(text))
        }
    }
}

/// `ringhold get`: the bytes of the value and nothing else.
pub(crate) fn get(args: &GetArgs) -> anyhow::Result<Exit> {
    let client = Client::new(&args.client)?;
    let path = client.key_path(&args.key, "");
    let answer = match client.send(Effect::Read, "GET", &path, &[], &[])? {
        Ok(answer) => answer,
        Err(exit) => return Ok(exit),
    };
    if !args.client.json {
        return print(&answer.body);
    }
    let (name, text) = bytes_json("value", &answer.body);
    print_json(&json!({ "key": args.key, name: text, "version": version(&answer) }))
}

/// `ringhold set`
pub(crate) fn set(args: &SetArgs) -> anyhow::Result<Exit> {
    let client = Client::new(&args.client)?;
    let value = match (&args.value, &args.file) {
        (Some(value), _) => value.clone().into_bytes(),
        (None, Some(path)) => {
            std::fs::read(path).with_context(|| format!("the file {}", path.display()))?
        }
        (None, None) => {
            let mut value = Vec::new();
            std::io::stdin().lock().read_to_end(&mut value).context("standard input")?;
            value
        }
    };
    let mut query = String::new();
    for (name, text) in [("ttl", &args.ttl), ("stale_for", &args.stale_for)] {
        if let Some(text) = text {
            let sign = if query.is_empty() { '?' } else { '&' };
            query.extend([sign.to_string(), format!("{name}={}", encoded(text))]);
        }
    }
    let mut fields = Vec::new();
    if args.if_absent {
        fields.push(("if-none-match", "*".to_owned()));
    }
    if args.if_present {
        fields.push(("if-match", "*".to_owned()));
    }
    if let Some(version) = args.if_version {
        fields.push(("if-match", format!("\"{version}\"")));
    }
    let path = client.key_path(&args.key, &query);
    match client.send(Effect::Write, "PUT", &path, &fields, &value)? {
        Err(exit) => Ok(exit),
        Ok(answer) if args.client.json => print_json(&json!({
            "key": args.key,
            "created": answer.status == 201,
            "version": version(&answer),
        })),
        Ok(_) => Ok(Exit::Done),
    }
}

/// `ringhold del`: done when every key is gone, whether or not it existed.
pub(crate) fn del(args: &DelArgs) -> anyhow::Result<Exit> {
    let client = Client::new(&args.client)?;
    let mut deleted = 0;
    for key in &args.keys {
        let path = client.key_path(key, "");
        match client.send(Effect::Write, "DELETE", &path, &[], &[])? {
            Ok(_) => deleted += 1,
            Err(exit) => return Ok(exit),
        }
    }
    if args.client.json { print_json(&json!({ "deleted": deleted })) } else { Ok(Exit::Done) }
}

/// `ringhold incr`: prints the new value.
pub(crate) fn incr(args: &IncrArgs) -> anyhow::Result<Exit> {
    let client = Client::new(&args.client)?;
    let mut suffix = format!(":incr?by={}&initial={}", args.by, args.initial);
    if let Some(ttl) = &args.ttl {
        suffix.extend(["&ttl=", &encoded(ttl)]);
    }
    let path = client.key_path(&args.key, &suffix);
    let answer = match client.send(Effect::Write, "POST", &path, &[], &[])? {
        Ok(answer) => answer,
        Err(exit) => return Ok(exit),
    };
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    if args.client.json {
        let value: i64 = text.parse().context("the answer is no number")?;
        return print_json(
            &json!({ "key": args.key, "value": value, "version": version(&answer) }),
        );
    }
    print(format!("{text}\n").as_bytes())
}

/// `ringhold ttl`: prints whole seconds, or `none`.
pub(crate) fn ttl(args: &TtlArgs) -> anyhow::Result<Exit> {
    let client = Client::new(&args.client)?;
    if let Some(ttl) = &args.set {
        let path = client.key_path(&args.key, &format!(":touch?ttl={}", encoded(ttl)));
        let sent: Outcome = client.send(Effect::Write, "POST", &path, &[], &[])?;
        return Ok(sent.map_or_else(|exit| exit, |_| Exit::Done));
    }
    let path = client.key_path(&args.key, "");
    // A GET, since the answer to HEAD has no words for what went wrong.
    let answer = match client.send(Effect::Read, "GET", &path, &[], &[])? {
        Ok(answer) => answer,
        Err(exit) => return Ok(exit),
    };
    let status = answer.field("cache-status");
    let seconds = status
        .and_then(|status| status.split("ttl=").nth(1))
        .and_then(|seconds| seconds.parse::<i64>().ok());
    if args.client.json {
        return print_json(&json!({ "key": args.key, "ttl_s": seconds }));
    }
    let text = seconds.map_or_else(|| "none".to_owned(), |seconds| seconds.to_string());
    print(format!("{text}\n").as_bytes())
}

/// `ringhold keys`: one key a line, all pages; a key that is no plain text is printed as base64 behind `base64:`.
pub(crate) fn keys(args: &KeysArgs) -> anyhow::Result<Exit> {
    let client = Client::new(&args.client)?;
    let mut cursor = "0".to_owned();
    let mut left = args.limit.unwrap_or(usize::MAX);
    while left > 0 {
        let path = format!(
            "{}?prefix={}&limit={}&cursor={cursor}",
            client.keys_path(),
            encoded(&args.prefix),
            left.min(1000)
        );
        let answer = match client.send(Effect::Read, "GET", &path, &[], &[])? {
            Ok(answer) => answer,
            Err(exit) => return Ok(exit),
        };
        let page: Value = serde_json::from_slice(&answer.body).context("the answer")?;
        let mut text = String::new();
        for entry in page["keys"].as_array().into_iter().flatten().take(left) {
            left -= 1;
            match (args.client.json, entry["key"].as_str()) {
                (true, _) => text.push_str(&entry.to_string()),
                (false, Some(key)) if !key.contains(char::is_control) => text.push_str(key),
                (false, Some(key)) => text.push_str(&key.escape_default().to_string()),
                (false, None) => {
                    text.extend(["base64:", entry["key_b64"].as_str().unwrap_or_default()]);
                }
            }
            text.push('\n');
        }
        print(text.as_bytes())?;
        match page["next"].as_str() {
            Some(next) => cursor = next.to_owned(),
            None => break,
        }
    }
    Ok(Exit::Done)
}
