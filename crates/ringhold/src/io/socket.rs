//! Options of a client's TCP socket.

use std::time::Duration;

use mio::net::TcpStream;
use socket2::{SockRef, TcpKeepalive};

/// A silent connection is probed after this long, as in Redis (`tcp-keepalive 300`)…
const KEEPALIVE_TIME: Duration = Duration::from_secs(300);
/// …every so often…
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(100);
/// …and is gone after so many probes without an answer.
const KEEPALIVE_RETRIES: u32 = 3;

/// Sends answers at once and notices clients that vanished. A socket that refuses an option still works, so
/// failures are ignored.
pub(super) fn tune(stream: &TcpStream) {
    let socket = SockRef::from(stream);
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_TIME)
        .with_interval(KEEPALIVE_INTERVAL)
        .with_retries(KEEPALIVE_RETRIES);
    drop(socket.set_tcp_nodelay(true));
    drop(socket.set_tcp_keepalive(&keepalive));
}
