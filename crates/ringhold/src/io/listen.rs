//! Opening the listeners: for each address one socket per worker, which the kernel spreads clients over.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use socket2::{Domain, Protocol, Socket, Type};

use crate::settings::ListenAddress;

/// The connections that the kernel keeps for us until a worker takes them.
pub(super) const BACKLOG: i32 = 4096;

/// A listening socket of one worker.
#[derive(Debug)]
pub(crate) enum Listener {
    /// One of several on the same TCP port.
    Tcp(std::net::TcpListener),
    /// The only one on its path; its worker hands connections on.
    Unix(UnixListener),
}

/// An address that is listened on.
#[derive(Debug)]
pub(crate) struct Bound {
    /// The address with the port that was really taken.
    pub(crate) address: ListenAddress,
    /// For TCP one socket per worker, in their order; for a Unix socket one.
    pub(crate) sockets: Vec<Listener>,
}

/// An address that cannot be listened on.
#[derive(Debug)]
pub struct ListenError {
    /// The address.
    pub address: ListenAddress,
    /// What the system said.
    pub source: io::Error,
}

impl fmt::Display for ListenError {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the other kinds have no advice of their own"
    )]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.source.kind() {
            io::ErrorKind::AddrInUse => write!(
                f,
                "{} is in use by another process: stop it, or choose another address",
                self.address
            ),
            io::ErrorKind::PermissionDenied => {
                write!(f, "{} may not be used by this user: choose a port above 1023", self.address)
            }
            io::ErrorKind::AddrNotAvailable => {
                write!(f, "{} is no address of this machine", self.address)
            }
            _ => write!(f, "{} cannot be listened on: {}", self.address, self.source),
        }
    }
}

impl std::error::Error for ListenError {}

/// Opens `address` for `workers` workers.
///
/// # Errors
///
/// [`ListenError`] when the address is in use (by anybody, another Ringhold included), not ours, or refused.
pub(crate) fn bind(address: &ListenAddress, workers: usize) -> Result<Bound, ListenError> {
    match address {
        ListenAddress::Tcp(tcp) => bind_tcp(*tcp, workers),
        ListenAddress::Unix(path) => bind_unix(path),
    }
    .map_err(|source| ListenError { address: address.clone(), source })
}

fn bind_tcp(address: SocketAddr, workers: usize) -> io::Result<Bound> {
    // A second process that sets SO_REUSEPORT binds in silence and takes half of the clients, so the port is
    // first taken alone, which fails while anybody else listens on it.
    let probe = tcp_socket(address, false)?;
    let actual = local_address(&probe)?;
    drop(probe);
    let sockets = (0..workers)
        .map(|_| tcp_socket(actual, true).map(|socket| Listener::Tcp(socket.into())))
        .collect::<io::Result<Vec<_>>>()?;
    Ok(Bound { address: ListenAddress::Tcp(actual), sockets })
}

fn tcp_socket(address: SocketAddr, is_shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    if is_shared {
        socket.set_reuse_port(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket)
}

fn local_address(socket: &Socket) -> io::Result<SocketAddr> {
    socket.local_addr()?.as_socket().ok_or_else(|| io::Error::other("a TCP socket has an address"))
}

fn bind_unix(path: &Path) -> io::Result<Bound> {
    remove_dead_socket(path)?;
    let listener = UnixListener::bind(path)?;
    listener.set_nonblocking(true)?;
    Ok(Bound {
        address: ListenAddress::Unix(PathBuf::from(path)),
        sockets: vec![Listener::Unix(listener)],
    })
}

/// Removes a socket file that nobody listens on any more (left by a process that was killed).
fn remove_dead_socket(path: &Path) -> io::Result<()> {
    let Ok(found) = std::fs::symlink_metadata(path) else { return Ok(()) };
    if !found.file_type().is_socket() {
        return Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "a file that is no socket is there",
        ));
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => Err(io::Error::from(io::ErrorKind::AddrInUse)),
        Err(_) => std::fs::remove_file(path),
    }
}
