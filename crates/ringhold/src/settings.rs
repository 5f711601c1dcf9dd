//! What `serve` can be told: every setting with its type, its default and where its value came from.
//!
//! A value is taken from the command line, else the environment (`RINGHOLD_…`), else the
//! configuration file, else the default. This module holds the types and the merging; it reads the file
//! that it is given and nothing else.

mod address;
mod bytes;
mod file;

pub use address::ListenAddress;
pub use bytes::ByteCount;
pub use file::{FileError, SettingsFile};

use std::path::PathBuf;
use std::time::Duration;

use ringhold_types::limits::{VALUE_LEN_CEILING, VALUE_LEN_DEFAULT};

/// The least memory that a node works with: below it a shard would hold too few segments.
pub const MEMORY_MIN: u64 = 8 * 1024 * 1024;

/// The effective settings of a node.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The node's name; in every HTTP answer as `Ringhold-Node`.
    pub node: String,
    /// Where HTTP is served.
    pub http: Vec<ListenAddress>,
    /// Where RESP is served (the standalone view).
    pub resp: Vec<ListenAddress>,
    /// What the process may use for entries, in bytes; at least [`MEMORY_MIN`].
    pub memory: u64,
    /// The longest value, in bytes; `None`: 8 MiB, or an eighth of the memory if that is less.
    pub value_len_max: Option<usize>,
    /// The number of worker threads, at least 1.
    pub threads: usize,
    /// The file with the clients' passwords; `None`: everybody may connect.
    pub password_file: Option<PathBuf>,
    /// Listens on addresses beyond this machine although no password is set.
    pub is_insecure: bool,
    /// RESP commands that answer as if they did not exist.
    pub disabled_commands: Vec<String>,
    /// Names by which clients may address this node in `Host`, beside its addresses.
    pub server_names: Vec<String>,
    /// The most client connections at a time; one more is refused.
    pub connections_max: usize,
    /// A connection without a request for this long is closed; zero: never.
    pub idle_timeout: Duration,
    /// How long a stop waits for requests under way.
    pub drain_timeout: Duration,
}

impl Settings {
    /// The settings of a node that was told nothing, on a machine with `machine_memory` bytes of memory,
    /// `cores` cores and the name `host`.
    #[must_use]
    pub fn defaults(machine_memory: u64, cores: usize, host: &str) -> Self {
        Self {
            node: format!("{host}-7380"),
            http: vec![ListenAddress::loopback(7380)],
            resp: vec![ListenAddress::loopback(7379)],
            memory: (machine_memory / 2).max(MEMORY_MIN),
            value_len_max: None,
            threads: cores.max(1),
            password_file: None,
            is_insecure: false,
            disabled_commands: Vec::new(),
            server_names: Vec::new(),
            connections_max: 10_000 + 1_000,
            idle_timeout: Duration::ZERO,
            drain_timeout: Duration::from_secs(30),
        }
    }

    /// The longest value, in bytes, whether or not it was set.
    #[must_use]
    pub fn value_len_max_effective(&self) -> usize {
        let eighth = usize::try_from(self.memory / 8).unwrap_or(usize::MAX);
        self.value_len_max.unwrap_or_else(|| VALUE_LEN_DEFAULT.min(eighth))
    }

    /// Checks what one setting alone cannot say.
    ///
    /// # Errors
    ///
    /// [`SettingsError`] with the setting, what is wrong with it and what would be right.
    pub fn check(&self) -> Result<(), SettingsError> {
        if self.memory < MEMORY_MIN {
            return Err(SettingsError::new(
                "memory",
                format!("{} bytes is too little: at least 8MiB", self.memory),
            ));
        }
        if self.threads == 0 || self.threads > 1024 {
            return Err(SettingsError::new(
                "threads",
                format!("{} is not in 1..=1024", self.threads),
            ));
        }
        if let Some(max) = self.value_len_max {
            let eighth = usize::try_from(self.memory / 8).unwrap_or(usize::MAX);
            let ceiling = VALUE_LEN_CEILING.min(eighth);
            if max == 0 || max > ceiling {
                return Err(SettingsError::new(
                    "max-value",
                    format!(
                        "{max} bytes is not in 1..={ceiling} (512 MiB and an eighth of the memory at most)"
                    ),
                ));
            }
        }
        if self.http.is_empty() && self.resp.is_empty() {
            return Err(SettingsError::new(
                "http",
                "no listener is left: name an address for http or resp".to_owned(),
            ));
        }
        self.check_exposure()
    }

    fn check_exposure(&self) -> Result<(), SettingsError> {
        if self.password_file.is_some() || self.is_insecure {
            return Ok(());
        }
        for (setting, addresses) in [("http", &self.http), ("resp", &self.resp)] {
            if let Some(exposed) = addresses.iter().find(|address| !address.is_local()) {
                return Err(SettingsError::new(
                    setting,
                    format!(
                        "{exposed} can be reached from other machines and no password is set: add --password-file FILE, \
                         or --insecure if the network itself is trusted"
                    ),
                ));
            }
        }
        Ok(())
    }
}

/// A setting that cannot be: which one, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingsError {
    /// The setting's name, as on the command line without its dashes.
    pub setting: &'static str,
    /// What is wrong and what is valid.
    pub reason: String,
}

impl SettingsError {
    fn new(setting: &'static str, reason: String) -> Self {
        Self { setting, reason }
    }
}

impl std::fmt::Display for SettingsError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.setting, self.reason)
    }
}

impl std::error::Error for SettingsError {}

#[cfg(test)]
mod tests;
