//! One turn of a worker: the requests of many connections, three passes at a time.
//!
//! The worker reads each ready connection into the turn's one input buffer ([`Turn::space`], [`Turn::received`]),
//! which decodes every complete request. [`Turn::execute`] then goes over the requests in blocks: the memory that a
//! block's keys live in is fetched for all of them at once, so that the misses overlap, and the requests are executed
//! in their order. Their answers stand one after another in one output, which the worker sends
//! ([`Turn::answer`]).
//!
//! Bounds: a connection is read at most [`READ_LEN`] bytes a turn; it is answered at most `ANSWER_LEN_MAX` bytes and
//! one more request's answer, the rest of its requests waits until that has been sent.

mod decode;
mod execute;

use std::ops::Range;

use ringhold_store::hash::KeyHash;
use ringhold_types::id::NamespaceId;
use ringhold_wire::http::decode::{Plain, Refusal};
use ringhold_wire::resp::decode::DecodeError;
use ringhold_wire::resp::table::CommandId;

use crate::output::{Insert, Output};
use crate::session::{Session, Speaks};
use crate::state::NodeState;
use crate::stats::{Counter, Counts};
use decode::{decode_http, decode_resp};

/// How much is read from a connection at once, in bytes.
pub const READ_LEN: usize = 64 * 1024;
/// The length of the input buffer, in bytes: so many full reads fit into a turn.
const INPUT_LEN: usize = 16 * READ_LEN;
/// A turn that has so many requests takes no further connection: enough for the passes to be worth it, few enough that
/// the requests, their bytes and their answers stay in the core's own cache from one pass to the next.
const TURN_REQUESTS: usize = 512;
/// A connection with more unexecuted bytes than this is read and executed apart from the others.
const SHARED_LEFTOVER_MAX: usize = 4 * READ_LEN;
/// The longest RESP command, in bytes; a longer one closes its connection. A value that is received into the store's pages
/// counts nothing.
pub(crate) const COMMAND_LEN_MAX: usize = 64 * 1024 * 1024;
/// When a connection's answers of one turn are longer, its further requests wait until they are sent.
const ANSWER_LEN_MAX: usize = 256 * 1024;

/// The worker's connections.
pub trait Sessions {
    /// The session of connection `idx`, while it exists.
    fn session(&mut self, idx: usize) -> Option<&mut Session>;
}

/// The requests and answers of one turn.
#[derive(Debug)]
pub struct Turn {
    input: Vec<u8>,
    /// The bytes of `input` that are taken.
    input_len: usize,
    /// The arguments of all RESP commands, as ranges of `input`.
    ranges: Vec<Range<usize>>,
    requests: Vec<Request>,
    reads: Vec<Read>,
    answers: Vec<Answer>,
    output: Output,
    /// The words of inline commands.
    inline: Vec<u8>,
    counts: Counts,
    value_len_max: usize,
    /// Whose counters the counts are added to.
    worker: usize,
}

/// What one connection contributed.
#[derive(Clone, Debug)]
struct Read {
    connection: usize,
    /// Its bytes in the input.
    bytes: Range<usize>,
    /// Its requests.
    requests: Range<usize>,
    /// Where its first undecoded byte is.
    decoded: usize,
}

/// One decoded request.
#[derive(Clone, Debug)]
struct Request {
    /// Where its first byte is.
    start: usize,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    Resp {
        args: Range<usize>,
        command: Option<CommandId>,
        /// What is computed from its first key.
        key: Option<KeyHash>,
        /// The database at the time of decoding, where its memory is fetched from.
        namespace: NamespaceId,
        /// Whether the arguments are ranges of the inline words.
        is_inline: bool,
    },
    RespBroken(DecodeError),
    Http {
        head: Range<usize>,
        body: Range<usize>,
        key: KeyHash,
        /// What was decoded, when that is all there is to know.
        plain: Option<Plain>,
    },
    HttpRefused(Refusal),
    /// From here on the connection is the control plane's.
    HandOver,
    /// The client waits for leave to send the body.
    HttpContinue,
}

impl Request {
    /// Whether what its client may send changes when it succeeds.
    fn may_authenticate(&self) -> bool {
        matches!(self.what, What::Resp { command: Some(CommandId::Auth | CommandId::Hello), .. })
    }

    /// Where the memory of its (first) key is.
    fn place(&self) -> Option<(NamespaceId, KeyHash)> {
        match &self.what {
            What::Resp { key, namespace, .. } => key.map(|at| (*namespace, at)),
            What::Http { key, plain, .. } => {
                let namespace =
                    plain.as_ref().map_or(NamespaceId::DEFAULT, |plain| plain.namespace);
                Some((namespace, *key))
            }
            What::RespBroken(_) | What::HttpRefused(_) | What::HandOver | What::HttpContinue => {
                None
            }
        }
    }
}

/// What is to be sent to one connection.
#[derive(Clone, Copy, Debug)]
pub struct AnswerRef<'a> {
    /// The connection.
    pub connection: usize,
    /// Its first byte in the output.
    pub from: usize,
    /// The end of its bytes.
    pub to: usize,
    /// The large values between them.
    pub inserts: &'a [Insert],
}

#[derive(Clone, Debug)]
struct Answer {
    connection: usize,
    bytes: Range<usize>,
    inserts: Range<usize>,
}

impl Turn {
    /// An empty turn of worker `worker`; it takes a megabyte for its input.
    #[must_use]
    pub fn new(node: &NodeState, worker: usize) -> Self {
        Self {
            input: vec![0; INPUT_LEN],
            input_len: 0,
            ranges: Vec::new(),
            requests: Vec::new(),
            reads: Vec::new(),
            answers: Vec::new(),
            output: Output::default(),
            inline: Vec::new(),
            counts: Counts::default(),
            value_len_max: node.geometry.value_len_max,
            worker,
        }
    }

    /// Begins a new turn.
    pub fn begin(&mut self) {
        self.input_len = 0;
        self.ranges.clear();
        self.requests.clear();
        self.reads.clear();
        self.answers.clear();
        self.output.clear();
        self.inline.clear();
        if self.input.len() > INPUT_LEN {
            self.input.truncate(INPUT_LEN);
            self.input.shrink_to_fit();
        }
    }

    /// Whether another connection can be read in this turn.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.requests.len() < TURN_REQUESTS
            && self.input_len + SHARED_LEFTOVER_MAX + READ_LEN <= INPUT_LEN
    }

    /// Where the next bytes of `session` go: behind its unexecuted ones, or straight into the value that comes in.
    pub fn space<'s>(&'s mut self, session: &'s mut Session) -> &'s mut [u8] {
        let is_apart = session.missing > 0 || session.awaits_value();
        if let Some(incoming) = &mut session.incoming
            && let Some(spare) = incoming.spare()
        {
            return spare;
        }
        let from = self.input_len + if is_apart { 0 } else { session.leftover.len() };
        if from + READ_LEN > self.input.len() {
            self.input.resize(from + READ_LEN, 0);
        }
        &mut self.input[from..from + READ_LEN]
    }

    /// Notes that `len` bytes were put where [`Turn::space`] said, and decodes what is complete.
    pub fn received(
        &mut self,
        node: &NodeState,
        connection: usize,
        session: &mut Session,
        len: usize,
    ) {
        self.counts.add(Counter::BytesIn, len as u64);
        let start = self.input_len;
        let mut len = len;
        if session.missing > 0 {
            session.leftover.extend_from_slice(&self.input[start..start + len]);
            session.missing = session.missing.saturating_sub(len);
            if session.missing > 0 {
                return self.pass(connection);
            }
            len = 0;
        }
        // What is not the value's follows behind what is kept of its request.
        let mut unread = start..start + len;
        if let Some(incoming) = &mut session.incoming
            && !incoming.is_whole()
        {
            if incoming.spare().is_some() {
                incoming.advance(len);
                unread = start..start;
            } else {
                unread.start += incoming.take(&self.input[unread.clone()]);
            }
            if session.awaits_value() {
                return self.pass(connection);
            }
        } else {
            unread = start + session.leftover.len()..start + session.leftover.len() + len;
        }
        let from = start + session.leftover.len();
        let end = from + unread.len();
        if end > self.input.len() {
            self.input.resize(end, 0);
        }
        self.input.copy_within(unread, from);
        self.input[start..from].copy_from_slice(&session.leftover);
        self.input_len = end;
        // Given back, not kept: a connection between requests takes no memory for what it received before.
        session.leftover = Vec::new();
        session.has_work = false;
        session.is_paused = false;
        let first = self.requests.len();
        let decoded = match &mut session.speaks {
            Speaks::Resp(resp) => {
                let limits = resp.limits(self.value_len_max.max(SHARED_LEFTOVER_MAX));
                let decoded = decode_resp(self, node, resp, limits, start..end);
                session.has_work = !resp.is_authenticated
                    && decoded < end
                    && self.requests[first..].last().is_some_and(Request::may_authenticate);
                decoded
            }
            Speaks::Http(http) => {
                let is_body_apart = session.incoming.is_some();
                decode_http(self, node, http, start..end, is_body_apart)
            }
        };
        self.reads.push(Read {
            connection,
            bytes: start..end,
            requests: first..self.requests.len(),
            decoded,
        });
    }

    /// Notes a connection of which nothing can be decoded yet.
    fn pass(&mut self, connection: usize) {
        let (start, request) = (self.input_len, self.requests.len());
        let (bytes, requests) = (start..start, request..request);
        self.reads.push(Read { connection, bytes, requests, decoded: start });
    }

    /// How many connections have an answer (which may be empty).
    #[must_use]
    pub fn answers(&self) -> usize {
        self.answers.len()
    }

    /// Answer `number`, in the order of reading.
    ///
    /// # Panics
    ///
    /// Unless `number` < [`Turn::answers`].
    #[must_use]
    pub fn answer(&self, number: usize) -> AnswerRef<'_> {
        let answer = &self.answers[number];
        AnswerRef {
            connection: answer.connection,
            from: answer.bytes.start,
            to: answer.bytes.end,
            inserts: &self.output.inserts[answer.inserts.clone()],
        }
    }

    /// All answers of the turn.
    #[must_use]
    pub fn output(&self) -> &Output {
        &self.output
    }
}
