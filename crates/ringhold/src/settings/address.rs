//! Addresses to listen on: `127.0.0.1:7380`, `[::1]:7380`, `localhost:7380`, `unix:PATH`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::str::FromStr;

/// Where a listener is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddress {
    /// An IPv4 or IPv6 address and port; port 0 takes a free one.
    Tcp(SocketAddr),
    /// A Unix socket at this path, made at start (mode 0700 of its folder is the user's matter) and
    /// removed at the end.
    Unix(PathBuf),
}

impl ListenAddress {
    /// IPv4 loopback at `port`.
    #[must_use]
    pub fn loopback(port: u16) -> Self {
        Self::Tcp(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port))
    }

    /// Whether only this machine can reach it.
    #[must_use]
    pub fn is_local(&self) -> bool {
        match self {
            Self::Tcp(address) => address.ip().is_loopback(),
            Self::Unix(_) => true,
        }
    }
}

impl FromStr for ListenAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            if path.is_empty() {
                return Err("`unix:` needs a path, as in unix:/run/ringhold.sock".to_owned());
            }
            return Ok(Self::Unix(PathBuf::from(path)));
        }
        let valid =
            "write ADDRESS:PORT, as in 127.0.0.1:7380, [::1]:7380 or 0.0.0.0:7380, or unix:PATH";
        let mut found = text
            .to_socket_addrs()
            .map_err(|error| format!("`{text}` is no address ({error}): {valid}"))?;
        found.next().map(Self::Tcp).ok_or_else(|| format!("`{text}` has no address: {valid}"))
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}
