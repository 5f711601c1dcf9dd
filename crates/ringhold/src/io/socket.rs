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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_vanished_is_noticed() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let client = TcpStream::connect(address).expect("it listens");
        tune(&client);
        let socket = SockRef::from(&client);
        assert!(socket.keepalive().expect("it can be read"));
        assert!(socket.tcp_nodelay().expect("it can be read"));
        assert_eq!(socket.tcp_keepalive_time().expect("it can be read"), KEEPALIVE_TIME);
        assert_eq!(socket.tcp_keepalive_interval().expect("it can be read"), KEEPALIVE_INTERVAL);
        assert_eq!(socket.tcp_keepalive_retries().expect("it can be read"), KEEPALIVE_RETRIES);
    }
}
