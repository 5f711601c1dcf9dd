//! The configuration file: TOML, one key per setting, named as on the command line.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use super::{ByteCount, ListenAddress};

/// What a configuration file may say; everything is optional.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SettingsFile {
    /// `node`: the node's name.
    pub node: Option<String>,
    /// `http`: addresses, a list.
    #[serde(default, deserialize_with = "parse_all")]
    pub http: Option<Vec<ListenAddress>>,
    /// `resp`: addresses, a list.
    #[serde(default, deserialize_with = "parse_all")]
    pub resp: Option<Vec<ListenAddress>>,
    /// `memory`: an amount, as `"1GiB"`.
    #[serde(default, deserialize_with = "parse")]
    pub memory: Option<ByteCount>,
    /// `max-value`: an amount.
    #[serde(default, deserialize_with = "parse")]
    pub max_value: Option<ByteCount>,
    /// `threads`: a number.
    pub threads: Option<usize>,
    /// `password-file`: a path.
    pub password_file: Option<PathBuf>,
    /// `insecure`: true or false.
    pub insecure: Option<bool>,
    /// `disable-command`: names, a list.
    pub disable_command: Option<Vec<String>>,
    /// `server-name`: names, a list.
    pub server_name: Option<Vec<String>>,
    /// `max-connections`: a number.
    pub max_connections: Option<usize>,
    /// `idle-timeout`: seconds.
    pub idle_timeout: Option<u64>,
    /// `drain-timeout`: seconds.
    pub drain_timeout: Option<u64>,
}

/// A configuration file that cannot be used; the message names the file, the line, the key and what is
/// valid.
#[derive(Debug)]
pub enum FileError {
    /// The file could not be read.
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is no valid configuration.
    Invalid {
        /// The file.
        path: PathBuf,
        /// Line, key, reason and the valid keys, as the parser words them.
        reason: String,
    },
}

impl SettingsFile {
    /// Reads the file at `path`.
    ///
    /// # Errors
    ///
    /// [`FileError::Unreadable`] when it cannot be read, [`FileError::Invalid`] when it is not TOML or has a key,
    /// a type or a value that no setting has.
    pub fn read(path: &Path) -> Result<Self, FileError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| FileError::Unreadable { path: path.to_owned(), source })?;
        toml::from_str(&text).map_err(|error| FileError::Invalid {
            path: path.to_owned(),
            reason: error.to_string(),
        })
    }
}

/// Reads a value from its text, here and not later, so that the parser says on which line it is wrong.
fn parse<'de, D, T>(from: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err = String>,
{
    String::deserialize(from)?.parse().map(Some).map_err(D::Error::custom)
}

fn parse_all<'de, D, T>(from: D) -> Result<Option<Vec<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err = String>,
{
    let texts = Vec::<String>::deserialize(from)?;
    texts
        .iter()
        .map(|text| text.parse())
        .collect::<Result<_, _>>()
        .map(Some)
        .map_err(D::Error::custom)
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { path, source } => {
                write!(f, "the configuration file {} cannot be read: {source}", path.display())
            }
            Self::Invalid { path, reason } => {
                write!(
                    f,
                    "the configuration file {} is not valid: {}",
                    path.display(),
                    reason.trim_end()
                )
            }
        }
    }
}

impl std::error::Error for FileError {}
