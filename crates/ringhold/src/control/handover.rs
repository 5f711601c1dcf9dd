//! A connection on its way from a worker to the control plane: its socket, and the bytes that were read from it.
//!
//! On HTTP/1.1 hyper is given one message at a time ([`Heads`]). A head that the codec refuses, or that comes too slowly, ends
//! the connection: once all answers before it are with the socket the problem is written there, and what the client still
//! sends is dropped for a while, since a socket that is closed with unread bytes is reset, and then the client may lose the
//! answer (RFC 9112, 9.6).

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use ringhold_node::execute::http;
use ringhold_node::output::Output;
use ringhold_wire::http::decode::Refusal;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::heads::Heads;
use super::silence::{Activity, Frames};
use crate::io::connection::Stream as WorkerStream;
use crate::shared::Shared;

/// The bytes that the kernel takes beyond what it has sent. Few, so that who reads slowly is seen to read: it takes more
/// when half of them went, while its buffer of megabytes would have to be a third empty.
const UNSENT_LEN_MAX: u32 = 64 * 1024;

/// How much of a head is read at once, and of what is dropped, in bytes.
const PIECE_LEN: usize = 8 * 1024;
/// How many bytes are dropped after a refusal; with more the connection is closed at once.
const DROPPED_LEN_MAX: usize = 1024 * 1024;

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
    /// The messages on HTTP/1.1.
    heads: Option<Heads>,
    refused: Option<Refused>,
    shared: Arc<Shared>,
}

/// How a connection ends whose head was refused.
#[derive(Debug)]
struct Refused {
    answer: Vec<u8>,
    /// The bytes of it that went.
    sent: usize,
    has_ended: bool,
    /// The bytes that were dropped since.
    dropped: usize,
}

#[derive(Debug)]
enum Socket {
    Tcp(tokio::net::TcpStream),
    Unix(tokio::net::UnixStream),
}

impl HandedOver {
    /// The connection as tokio reads it.
    pub(super) fn into_stream(
        self,
        activity: Arc<Activity>,
        shared: Arc<Shared>,
    ) -> io::Result<Rewound> {
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
        let heads = frames.is_none().then(Heads::new);
        let bytes = self.bytes;
        Ok(Rewound { socket, bytes, given: 0, activity, frames, heads, refused: None, shared })
    }
}

impl Socket {
    fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Unix(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }

    fn poll_write(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Unix(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

impl Rewound {
    /// Gives what was read before, then what the socket has.
    fn poll_all(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let unread = &self.bytes[self.given..];
        if !unread.is_empty() {
            let len = buffer.remaining().min(unread.len());
            buffer.put_slice(&unread[..len]);
            self.give(len);
            self.activity.received(self.activity.now_ms());
            return Poll::Ready(Ok(()));
        }
        self.poll_socket(context, buffer)
    }

    fn poll_socket(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(self.socket.poll_read(context, buffer))?;
        if buffer.filled().len() > before {
            self.activity.received(self.activity.now_ms());
        }
        Poll::Ready(Ok(()))
    }

    /// Counts `len` more of the bytes that were read before as given.
    fn give(&mut self, len: usize) {
        self.given += len;
        if self.given == self.bytes.len() {
            (self.bytes, self.given) = (Vec::new(), 0);
        }
    }

    /// Gives bytes of the present message; its end, if that is in the buffer, is the last that is given.
    fn poll_message(
        &mut self,
        heads: &mut Heads,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let unread = &self.bytes[self.given..];
        if !unread.is_empty() {
            let len = heads.pass(&unread[..buffer.remaining().min(unread.len())]);
            buffer.put_slice(&unread[..len]);
            self.give(len);
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        ready!(self.poll_socket(context, buffer))?;
        let read = &buffer.filled()[before..];
        let len = heads.pass(read);
        self.bytes.extend_from_slice(&read[len..]);
        buffer.set_filled(before + len);
        Poll::Ready(Ok(()))
    }

    /// Gives the next message, from its head on.
    fn poll_messages(
        &mut self,
        heads: &mut Heads,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while !heads.is_in_message() {
            if !self.activity.has_answered(heads.passed(), context) {
                return Poll::Pending;
            }
            if self.activity.is_given_up(context) {
                return self.refuse(&http::too_slow(), context);
            }
            let unread = &self.bytes[self.given..];
            if !unread.is_empty() {
                self.activity.head_comes(self.activity.now_ms());
                match heads.judge(unread) {
                    Ok(true) => break,
                    Ok(false) => {}
                    Err(refusal) => return self.refuse(&refusal, context),
                }
            }
            let mut piece = [0; PIECE_LEN];
            let mut piece = ReadBuf::new(&mut piece);
            ready!(self.poll_socket(context, &mut piece))?;
            if piece.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            self.bytes.drain(..std::mem::take(&mut self.given));
            self.bytes.extend_from_slice(piece.filled());
        }
        self.poll_message(heads, context, buffer)
    }

    /// Ends the connection with a refusal.
    fn refuse(&mut self, refusal: &Refusal, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut output = Output::default();
        http::refused(&Refusal { used: None, ..*refusal }, &self.shared.node, &mut output);
        let answer = output.bytes;
        self.refused = Some(Refused { answer, sent: 0, has_ended: false, dropped: 0 });
        self.activity.refused(self.activity.now_ms());
        self.poll_refused(context)
    }

    /// Sends the refusal and drops what still comes; ready, with nothing, when the connection is to be closed.
    fn poll_refused(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(refused) = &mut self.refused else { return Poll::Ready(Ok(())) };
        if !self.activity.is_flushed(context) {
            return Poll::Pending;
        }
        while refused.sent < refused.answer.len() {
            let rest = &refused.answer[refused.sent..];
            refused.sent += ready!(self.socket.poll_write(context, rest))?;
        }
        if !refused.has_ended {
            ready!(self.socket.poll_shutdown(context))?;
            refused.has_ended = true;
        }
        while refused.dropped <= DROPPED_LEN_MAX {
            let mut piece = [0; PIECE_LEN];
            let mut piece = ReadBuf::new(&mut piece);
            ready!(self.socket.poll_read(context, &mut piece))?;
            if piece.filled().is_empty() {
                break;
            }
            refused.dropped += piece.filled().len();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Rewound {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.refused.is_some() {
            return this.poll_refused(context);
        }
        match this.heads.take() {
            None => this.poll_all(context, buffer),
            Some(mut heads) => {
                let read = this.poll_messages(&mut heads, context, buffer);
                this.heads = Some(heads);
                read
            }
        }
    }
}

impl AsyncWrite for Rewound {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let written = this.socket.poll_write(context, bytes);
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
        let this = &mut *self;
        ready!(match &mut this.socket {
            Socket::Tcp(stream) => Pin::new(stream).poll_flush(context),
            Socket::Unix(stream) => Pin::new(stream).poll_flush(context),
        })?;
        this.activity.flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.poll_shutdown(context)
    }
}
