//! A client connection's protocol state: what was agreed, and what was received but not executed.

pub mod http;
pub(crate) mod queue;
pub mod resp;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use ringhold_types::time::{Instant, Now};
use ringhold_wire::http::decode::Decoder as HttpDecoder;
use ringhold_wire::resp::decode::Decoder as RespDecoder;

use crate::cells::{Access, Cells};
use crate::clients::{ClientRecord, Input};
use crate::execute::{forget_watched, http as execute_http, too_slow};
use crate::incoming::{Body, Incoming};
use crate::output::Output;
use crate::session::http::HttpSession;
use crate::session::resp::{Replies, RespSession};
use crate::state::NodeState;

/// What becomes of a connection once its answers have left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It stays.
    Open,
    /// It is served by the control plane from its first unexecuted byte on.
    HandOver,
    /// It is closed: the client asked for it, or sent what cannot be understood.
    Close,
}

/// The state of one connection.
#[derive(Debug)]
pub struct Session {
    /// What its client speaks.
    pub(crate) speaks: Speaks,
    /// Bytes that were received and belong to no executed request.
    pub(crate) leftover: Vec<u8>,
    /// The bytes that the node's account has for it.
    pub(crate) held: usize,
    /// What becomes of the connection.
    pub(crate) fate: Fate,
    /// Whether the leftover may hold a whole request (execution stopped because of the length of the answers).
    pub(crate) has_work: bool,
    /// Whether its requests wait for the end of a pause.
    pub(crate) is_paused: bool,
    /// How many turns had a whole request of it, wrapping.
    pub(crate) turns_served: u32,
    /// How many bytes must come until the leftover need be decoded again.
    pub(crate) missing: usize,
    /// A large value that is being received.
    pub(crate) incoming: Option<Box<Incoming>>,
}

/// The protocol of a connection.
#[derive(Debug)]
pub(crate) enum Speaks {
    Resp(RespSession),
    Http(HttpSession),
}

impl Session {
    /// A session that speaks RESP.
    #[must_use]
    pub fn resp(record: Arc<ClientRecord>, is_password_required: bool) -> Self {
        Self::new(Speaks::Resp(RespSession::new(record, is_password_required)))
    }

    /// A session that speaks HTTP.
    #[must_use]
    pub fn http() -> Self {
        Self::new(Speaks::Http(HttpSession::default()))
    }

    /// A session that speaks HTTP, for one request whose body has come: what is received is its head, with the body's
    /// length and without the body.
    #[must_use]
    pub fn http_with(body: Body) -> Self {
        let incoming = Some(Box::new(body.into_incoming()));
        Self { incoming, ..Self::http() }
    }

    fn new(speaks: Speaks) -> Self {
        Self {
            speaks,
            leftover: Vec::new(),
            held: 0,
            fate: Fate::Open,
            has_work: false,
            is_paused: false,
            turns_served: 0,
            missing: 0,
            incoming: None,
        }
    }

    /// Has the decoder begin again with the first unexecuted byte.
    pub(crate) fn forget_progress(&mut self) {
        self.missing = 0;
        match &mut self.speaks {
            Speaks::Resp(resp) => resp.decoder = RespDecoder::new(),
            Speaks::Http(http) => http.decoder = HttpDecoder::new(),
        }
    }

    /// Whether a large value is coming in of which bytes are missing.
    #[inline]
    pub(crate) fn awaits_value(&self) -> bool {
        self.incoming.as_ref().is_some_and(|incoming| !incoming.is_whole())
    }

    /// What becomes of the connection once its answers have left.
    #[must_use]
    pub fn fate(&self) -> Fate {
        self.fate
    }

    /// Whether requests may wait that were received and not executed.
    #[must_use]
    pub fn has_work(&self) -> bool {
        self.has_work
    }

    /// Whether its requests wait for the end of a `CLIENT PAUSE`; it is to be read again when that may be over.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.is_paused
    }

    /// Whether a command of it waits that is not to be ended now: nothing is to be done with what it sends.
    #[must_use]
    pub fn is_waiting(&self, node: &NodeState, now: Now) -> bool {
        let Speaks::Resp(RespSession { wait: Some(wait), record, .. }) = &self.speaks else {
            return false;
        };
        !record.is_unblocked()
            && wait.until.is_none_or(|until| now.instant < until)
            && !node.process.is_draining.load(Ordering::Relaxed)
    }

    /// When the command that waits is to be ended, if it has a time.
    #[must_use]
    pub fn wait_end(&self) -> Option<Instant> {
        match &self.speaks {
            Speaks::Resp(resp) => resp.wait.and_then(|wait| wait.until),
            Speaks::Http(_) => None,
        }
    }

    /// Whether a command of it waits, ended or not.
    #[must_use]
    pub fn has_wait(&self) -> bool {
        matches!(&self.speaks, Speaks::Resp(resp) if resp.wait.is_some())
    }

    /// Whether no part of a request has been received.
    #[must_use]
    pub fn is_between_requests(&self) -> bool {
        self.leftover.is_empty()
    }

    /// How many turns had a whole request of it; begins again after the greatest number.
    #[must_use]
    pub fn turns_served(&self) -> u32 {
        self.turns_served
    }

    /// The bytes of the request that has not come whole.
    #[must_use]
    pub fn received_len(&self) -> usize {
        let incoming = self.incoming.as_ref().map_or(0, |incoming| incoming.received_len());
        self.leftover.len() + incoming
    }

    /// Takes the bytes that were received and belong to no executed request.
    #[must_use]
    pub fn take_leftover(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.leftover)
    }

    /// Counts a turn that had a whole request of it, and has others know what it did.
    pub(crate) fn note_turn(&mut self, now: Now) {
        self.turns_served = self.turns_served.wrapping_add(1);
        if let Speaks::Resp(resp) = &self.speaks {
            resp.record.update(resp.state(now));
        }
    }

    /// Has others know what it holds of requests.
    pub(crate) fn tell_held(&self, node: &NodeState) {
        let Speaks::Resp(resp) = &self.speaks else { return };
        let (len, room) = (self.leftover.len(), self.leftover.capacity());
        resp.record.hold_input(Input {
            len,
            free: room - len,
            args: resp.decoder.held_len(),
            queue: resp.queue.as_ref().map_or(0, |queue| queue.held_len()),
        });
        node.clients.note_buffers(len, 0);
    }

    /// Gives up a request that comes too slowly: appends what its client is told, if it is to be told anything.
    pub fn give_up(&mut self, node: &NodeState, out: &mut Output) {
        self.fate = Fate::Close;
        match &self.speaks {
            Speaks::Resp(resp) if resp.replies == Replies::On => too_slow(out),
            Speaks::Resp(_) => {}
            Speaks::Http(_) => {
                execute_http::refused(&execute_http::too_slow(), node, out);
            }
        }
    }

    /// The record of a RESP client.
    #[must_use]
    pub fn record(&self) -> Option<&Arc<ClientRecord>> {
        match &self.speaks {
            Speaks::Resp(resp) => Some(&resp.record),
            Speaks::Http(_) => None,
        }
    }

    /// Ends it: what it holds in the shards is given back. To be called once, before it is dropped.
    pub fn end<C: Cells>(&mut self, cells: &C, node: &NodeState) {
        let is_given_back = node.held.change(self.held, 0);
        debug_assert!(is_given_back, "nothing is always granted");
        self.held = 0;
        self.incoming = None;
        if let Speaks::Resp(resp) = &mut self.speaks {
            forget_watched(resp, &mut Access::each(cells));
        }
    }
}
