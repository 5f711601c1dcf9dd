//! A connection on its way from a worker to the control plane: its socket, and the bytes that were read from it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::silence::{Activity, Frames};
use crate::io::connection::Stream as WorkerStream;

/// The bytes that the kernel takes beyond what it has sent. Few, so that who reads slowly is seen to read: it takes more
/// when half of them went, while its buffer of megabytes would have to be a third empty.
const UNSENT_LEN_MAX: u32 = 64 * 1024;

/// What a worker gives away.
#[derive(Debug)]
pub(crate) struct HandedOver {
    /// The socket, registered nowhere.
    pub(crate) stream: WorkerStream,
    /// What was read and not executed.
    pub(crate) bytes: Vec<u8>,
}

/// A socket that gives what was read from it before, then what it receives.
#[derive(Debug)]
pub(crate) struct Rewound {
    socket: Socket,
    bytes: Vec<u8>,
    /// The bytes that were given.
    given: usize,
    activity: Arc<Activity>,
    frames: Option<Frames>,
}

#[derive(Debug)]
enum Socket {
    Tcp(tokio::net::TcpStream),
    Unix(tokio::net::UnixStream),
}

impl HandedOver {
    /// The connection as tokio reads it.
    pub(super) fn into_stream(self, activity: Arc<Activity>) -> io::Result<Rewound> {
        let socket = match self.stream {
            WorkerStream::Tcp(stream) => {
                let stream = std::net::TcpStream::from(stream);
                SockRef::from(&stream).set_tcp_notsent_lowat(UNSENT_LEN_MAX)?;
                Socket::Tcp(tokio::net::TcpStream::from_std(stream)?)
            }
            WorkerStream::Unix(stream) => {
                Socket::Unix(tokio::net::UnixStream::from_std(stream.into())?)
            }
        };
        let frames = activity.frames();
        Ok(Rewound { socket, bytes: self.bytes, given: 0, activity, frames })
    }
}

impl AsyncRead for Rewound {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.given < this.bytes.len() {
            let len = buffer.remaining().min(this.bytes.len() - this.given);
            buffer.put_slice(&this.bytes[this.given..this.given + len]);
            this.given += len;
            this.activity.received(this.activity.now_ms());
            if this.given == this.bytes.len() {
                (this.bytes, this.given) = (Vec::new(), 0);
            }
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        let read = match &mut this.socket {
            Socket::Tcp(stream) => Pin::new(stream).poll_read(context, buffer),
            Socket::Unix(stream) => Pin::new(stream).poll_read(context, buffer),
        };
        if buffer.filled().len() > before {
            this.activity.received(this.activity.now_ms());
        }
        read
    }
}

impl AsyncWrite for Rewound {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = match &mut self.socket {
            Socket::Tcp(stream) => Pin::new(stream).poll_write(context, bytes),
            Socket::Unix(stream) => Pin::new(stream).poll_write(context, bytes),
        };
        let this = &mut *self;
        match written {
            Poll::Ready(Ok(len)) => {
                let is_answer =
                    this.frames.as_mut().is_none_or(|frames| frames.sent(&bytes[..len]));
                this.activity.sent(is_answer, this.activity.now_ms());
            }
            Poll::Ready(Err(_)) => {}
            Poll::Pending => this.activity.blocked(this.activity.now_ms()),
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.socket {
            Socket::Tcp(stream) => Pin::new(stream).poll_flush(context),
            Socket::Unix(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.socket {
            Socket::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            Socket::Unix(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
