//! The command line's shape: the subcommands. Each one's flags are in its own file.

use clap::{Parser, Subcommand};

use crate::bench::settings::BenchArgs;
use crate::config::ConfigArgs;
use crate::keys::{DelArgs, GetArgs, IncrArgs, KeysArgs, SetArgs, TtlArgs};
use crate::namespaces::NamespacesArgs;
use crate::serve::ServeArgs;
use crate::status::{CompletionsArgs, StatusArgs, VersionArgs};

/// A distributed in-memory cache.
#[derive(Debug, Parser)]
#[command(name = "ringhold", version, arg_required_else_help = true)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve a cache over HTTP and RESP, until SIGTERM or Ctrl-C
    Serve(Box<ServeArgs>),
    /// Read a key: the bytes of its value and nothing else
    Get(GetArgs),
    /// Write a key
    Set(Box<SetArgs>),
    /// Delete keys
    Del(DelArgs),
    /// Add to a counter and print it
    Incr(IncrArgs),
    /// Print the time to live of a key in seconds, or set it
    Ttl(TtlArgs),
    /// List keys
    Keys(KeysArgs),
    /// List, make and delete namespaces
    Ns(NamespacesArgs),
    /// Print what a node says of itself
    Status(StatusArgs),
    /// Load a server, check its answers, report throughput, latency and the server's CPU
    Bench(Box<BenchArgs>),
    /// Print the settings that serve would have with these flags, and where each came from
    Config(Box<ConfigArgs>),
    /// Print the version
    Version(VersionArgs),
    /// Print a completion script for a shell
    Completions(CompletionsArgs),
}
