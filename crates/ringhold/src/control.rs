//! The control plane: HTTP in all its forms, and everything that is not a plain request on a key.
//!
//! A worker hands over a connection that it does not read itself (HTTP/2, chunked bodies, any path that is no key's),
//! with its socket and the bytes read so far. From then on `hyper` serves it, on one thread of its own with a tokio
//! runtime. A request on a key is put into the plain form that workers read, and goes through a [`Turn`] like any
//! other ([`loopback`]), so both ways behave the same by construction; the rest is answered by [`routes`].
//!
//! Nothing here holds a shard's lock while it waits for a socket. Bodies in memory are bounded over all connections by
//! [`BODIES_LEN_MAX`]: who would pass it waits.
//!
//! [`Turn`]: ringhold_node::turn::Turn

mod batch;
mod body;
mod gather;
mod handover;
mod heads;
mod json;
mod keys;
mod loopback;
mod metrics;
mod namespaces;
mod openapi;
mod operations;
mod pages;
mod routes;
mod silence;

use std::convert::Infallible;
use std::future::{Future as _, poll_fn};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::thread::JoinHandle;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::sync::mpsc;

pub(crate) use handover::HandedOver;

use crate::shared::Shared;
use routes::State;
use silence::Activity;

/// The connections that may wait for the control plane to take them; more are closed.
const WAITING_MAX: usize = 1024;
/// The bytes of request bodies that are gathered at a time, over all connections.
const BODIES_LEN_MAX: usize = 64 * 1024 * 1024;
/// How long the head of a request may take from its first byte; the period of HTTP/2 pings.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// The most requests of one HTTP/2 connection at a time.
const STREAMS_MAX: u32 = 128;
/// The longest header list of an HTTP/2 request, in bytes: a request line's and the fields'.
const HEADER_LIST_LEN_MAX: u32 = 3 * 65_535 + 17 * 1024;

/// Where workers hand connections over.
#[derive(Clone, Debug)]
pub(crate) struct Control {
    sender: mpsc::Sender<HandedOver>,
}

impl Control {
    /// Starts the thread; it ends when every clone of the handle is gone and its connections are closed.
    pub(crate) fn start(shared: Arc<Shared>) -> io::Result<(Self, JoinHandle<()>)> {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::Builder::new().name("control".to_owned());
        let thread = thread.spawn(move || runtime.block_on(serve(shared, receiver)))?;
        Ok((Self { sender }, thread))
    }

    /// Hands a connection over; when too many wait it is closed.
    pub(crate) fn take(&self, connection: HandedOver, shared: &Shared) {
        if self.sender.try_send(connection).is_err() {
            shared.left();
        }
    }
}

async fn serve(shared: Arc<Shared>, mut receiver: mpsc::Receiver<HandedOver>) {
    let drain_timeout = shared.drain_timeout;
    let state = Arc::new(State::new(shared, BODIES_LEN_MAX));
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        // `silence` tells a slow head from a client that has nothing to ask.
        .header_read_timeout(None)
        .half_close(true)
        .max_headers(64);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEADER_LIST_LEN_MAX)
        .keep_alive_interval(HEAD_TIMEOUT);
    let graceful = GracefulShutdown::new();
    while let Some(connection) = receiver.recv().await {
        let activity = Arc::new(Activity::new(&connection.bytes));
        let Ok(stream) = connection.into_stream(Arc::clone(&activity), Arc::clone(&state.shared))
        else {
            state.left();
            continue;
        };
        let service = service_fn({
            let (state, activity) = (Arc::clone(&state), Arc::clone(&activity));
            move |request| {
                let (state, answering) = (Arc::clone(&state), activity.begin());
                async move {
                    let mut reply = state.answer(request).await?;
                    reply.body_mut().hold(answering.send());
                    Ok::<_, Infallible>(reply)
                }
            }
        });
        let served = builder.serve_connection(TokioIo::new(stream), service).into_owned();
        let served = graceful.watch(served);
        let state = Arc::clone(&state);
        drop(tokio::spawn(async move {
            let (mut served, mut silence) = (pin!(served), pin!(activity.is_over(&state.shared)));
            poll_fn(|context| {
                // An error here is the client's: it broke the protocol or went away.
                let has_ended = served.as_mut().poll(context).is_ready()
                    || silence.as_mut().poll(context).is_ready();
                if has_ended { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
            state.left();
        }));
    }
    // Every worker has ended: what runs is finished, what idles is closed.
    drop(tokio::time::timeout(drain_timeout, graceful.shutdown()).await);
}
