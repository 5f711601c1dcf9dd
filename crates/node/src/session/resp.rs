//! The state of a connection that speaks RESP.

use std::collections::BTreeMap;
use std::sync::Arc;

use ringhold_store::hash::KeyHash;
use ringhold_types::id::NamespaceId;
use ringhold_types::time::{Instant, Now};
use ringhold_wire::resp::Protocol;
use ringhold_wire::resp::decode::{Decoder, LIMITS_UNAUTHENTICATED, Limits, limits};

use crate::clients::{ClientRecord, ClientState};
use crate::session::queue::Queue;

/// What a RESP connection has agreed on.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "what a client may choose, in any combination")]
pub struct RespSession {
    /// What others may know of it.
    pub record: Arc<ClientRecord>,
    /// The version of the protocol.
    pub protocol: Protocol,
    /// The database that `SELECT` chose.
    pub namespace: NamespaceId,
    /// Whether the client may execute commands.
    pub is_authenticated: bool,
    /// Whether a password is asked for at all.
    pub is_password_required: bool,
    /// What becomes of its answers.
    pub replies: Replies,
    /// Its reads do not count as use of a key: `CLIENT NO-TOUCH`.
    pub is_no_touch: bool,
    /// The transaction that `MULTI` opened.
    pub(crate) queue: Option<Box<Queue>>,
    /// The keys that the next `EXEC` depends on, by namespace and hash.
    pub(crate) watched: BTreeMap<(NamespaceId, u64), Watched>,
    /// The bytes that they take.
    pub(crate) watched_len: usize,
    /// Its last command, as an index of the table.
    pub(crate) command: u8,
    /// Which of the subcommands of that; `u8::MAX`: none.
    pub(crate) subcommand: u8,
    /// The `WAIT` that goes on.
    pub(crate) wait: Option<Wait>,
    /// Where decoding stopped in an incomplete command.
    pub(crate) decoder: Decoder,
}

/// A command that waits; what follows it on its connection waits too.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wait {
    /// Until when; `None`: until somebody ends it.
    pub(crate) until: Option<Instant>,
    /// Whether its answer is sent.
    pub(crate) is_answered: bool,
}

/// A key that `WATCH` named.
#[derive(Clone, Debug)]
pub(crate) struct Watched {
    pub(crate) at: KeyHash,
    /// The stamp of the key's shard when it began to be watched.
    pub(crate) stamp: u64,
    pub(crate) key: Box<[u8]>,
}

/// What becomes of a connection's answers: `CLIENT REPLY`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replies {
    /// They are sent.
    On,
    /// They are dropped.
    Off,
    /// That of the next command is dropped.
    SkipNext,
}

impl RespSession {
    pub(crate) fn new(record: Arc<ClientRecord>, is_password_required: bool) -> Self {
        Self {
            record,
            protocol: Protocol::Two,
            namespace: NamespaceId::DEFAULT,
            is_authenticated: !is_password_required,
            is_password_required,
            replies: Replies::On,
            is_no_touch: false,
            queue: None,
            watched: BTreeMap::new(),
            watched_len: 0,
            command: u8::MAX,
            subcommand: u8::MAX,
            wait: None,
            decoder: Decoder::new(),
        }
    }

    /// Begins to wait, as others can see.
    pub(crate) fn begin_wait(&mut self, wait: Wait) {
        self.record.begin_wait();
        self.wait = Some(wait);
    }

    /// Puts everything back that a client can change; the watched keys are forgotten by the caller, who has the shards.
    pub(crate) fn reset(&mut self) {
        self.protocol = Protocol::Two;
        self.namespace = NamespaceId::DEFAULT;
        self.is_authenticated = !self.is_password_required;
        self.replies = Replies::On;
        self.is_no_touch = false;
        self.queue = None;
        self.record.rename(|names| names.name = Box::from(""));
        self.record.set_no_evict(false);
    }

    /// The bytes that it holds for a transaction.
    #[inline]
    pub(crate) fn held_len(&self) -> usize {
        self.watched_len + self.queue.as_ref().map_or(0, |queue| queue.held_len())
    }

    /// What its record may say of it.
    pub(crate) fn state(&self, now: Now) -> ClientState {
        ClientState {
            now,
            command: self.command,
            subcommand: self.subcommand,
            namespace: self.namespace.0,
            protocol: if self.protocol == Protocol::Three { 3 } else { 2 },
            queued: self
                .queue
                .as_ref()
                .map_or(-1, |queue| i64::try_from(queue.len()).unwrap_or(i64::MAX)),
            watched: u64::try_from(self.watched.len()).unwrap_or(u64::MAX),
            is_no_touch: self.is_no_touch,
        }
    }

    /// Whether a plain read needs to look at nothing but the key.
    #[inline]
    pub(crate) fn is_plain(&self) -> bool {
        self.is_authenticated
            && self.queue.is_none()
            && self.replies == Replies::On
            && !self.is_no_touch
    }

    /// What the connection may send at present; `value_len_max`: the longest value of this node, in bytes.
    pub(crate) fn limits(&self, value_len_max: usize) -> Limits {
        if self.is_authenticated { limits(value_len_max) } else { LIMITS_UNAUTHENTICATED }
    }
}
