//! `ringhold config`: the settings that `serve` would have, and where each came from.

use std::io::Write;

use anyhow::Context;
use clap::parser::ValueSource;
use clap::{ArgMatches, Args};
use ringhold::settings::{ByteCount, ListenAddress, Settings, SettingsFile};
use serde_json::{Map, Value, json};

use crate::Exit;
use crate::serve::{ServeArgs, settings};

/// The flags of `config`: those of `serve`, and how to print.
#[derive(Args, Clone, Debug)]
pub(crate) struct ConfigArgs {
    /// Print the effective settings, each with its origin (what is done anyway)
    #[arg(long)]
    show: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    serve: ServeArgs,
}

/// A setting: its name on the command line, its value, and whether the file has it.
type Row = (&'static str, Value, bool);

/// `ringhold config`; `matches` are those of the subcommand.
pub(crate) fn show(args: &ConfigArgs, matches: &ArgMatches) -> anyhow::Result<Exit> {
    let file = match args.serve.config() {
        Some(path) => SettingsFile::read(path)?,
        None => SettingsFile::default(),
    };
    let effective = settings(args.serve.clone())?;
    effective.check()?;
    let mut out = std::io::stdout().lock();
    let mut all = Map::new();
    for (name, value, is_in_file) in rows(&effective, &file) {
        let origin = match matches.value_source(&name.replace('-', "_")) {
            Some(ValueSource::CommandLine) => "command line".to_owned(),
            Some(ValueSource::EnvVariable) => {
                format!("environment: RINGHOLD_{}", name.replace('-', "_").to_ascii_uppercase())
            }
            _ if is_in_file => {
                let path = args.serve.config().map(|path| path.display().to_string());
                format!("file: {}", path.unwrap_or_default())
            }
            _ => "default".to_owned(),
        };
        if args.json {
            all.insert(name.to_owned(), json!({ "value": value, "origin": origin }));
        } else if value.is_null() {
            writeln!(out, "# {name} is not set").context("standard output")?;
        } else {
            // As it would stand in the file.
            writeln!(out, "{:<58} # {origin}", format!("{name} = {value}"))
                .context("standard output")?;
        }
    }
    if args.json {
        writeln!(out, "{}", Value::Object(all)).context("standard output")?;
    }
    Ok(Exit::Done)
}

fn rows(settings: &Settings, file: &SettingsFile) -> Vec<Row> {
    let addresses = |all: &[ListenAddress]| -> Value {
        all.iter().map(|address| Value::from(address.to_string())).collect()
    };
    let amount = |bytes: u64| Value::from(ByteCount(bytes).to_string());
    let max_value = settings.value_len_max_effective();
    vec![
        ("node", settings.node.as_str().into(), file.node.is_some()),
        ("http", addresses(&settings.http), file.http.is_some()),
        ("resp", addresses(&settings.resp), file.resp.is_some()),
        ("memory", amount(settings.memory), file.memory.is_some()),
        ("max-value", amount(max_value as u64), file.max_value.is_some()),
        ("threads", settings.threads.into(), file.threads.is_some()),
        (
            "password-file",
            settings.password_file.as_ref().map(|path| path.display().to_string()).into(),
            file.password_file.is_some(),
        ),
        ("insecure", settings.is_insecure.into(), file.insecure.is_some()),
        (
            "disable-command",
            settings.disabled_commands.clone().into(),
            file.disable_command.is_some(),
        ),
        ("server-name", settings.server_names.clone().into(), file.server_name.is_some()),
        ("max-connections", settings.connections_max.into(), file.max_connections.is_some()),
        ("idle-timeout", settings.idle_timeout.as_secs().into(), file.idle_timeout.is_some()),
        ("drain-timeout", settings.drain_timeout.as_secs().into(), file.drain_timeout.is_some()),
    ]
}
