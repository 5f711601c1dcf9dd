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

use std::ops::Range;

use ringhold_store::hash::KeyHash;
use ringhold_store::shard::Shard;
use ringhold_types::id::NamespaceId;
use ringhold_types::time::Now;
use ringhold_wire::http::decode::Refusal;
use ringhold_wire::resp::decode::{DecodeError, Decoded, Limits};

use crate::args::Args;
use crate::cells::{Access, Cells};
use crate::execute;
use crate::execute::http;
use crate::output::{Insert, Output};
use crate::session::http::HttpSession;
use crate::session::resp::RespSession;
use crate::session::{Fate, Session, Speaks};
use crate::state::NodeState;

/// How much is read from a connection at once, in bytes.
pub const READ_LEN: usize = 64 * 1024;
/// The length of the input buffer, in bytes: so many full reads fit into a turn.
const INPUT_LEN: usize = 16 * READ_LEN;
/// A connection with more unexecuted bytes than this is read and executed apart from the others.
const SHARED_LEFTOVER_MAX: usize = 4 * READ_LEN;
/// The longest RESP command, in bytes; a longer one closes its connection. A value over it goes through HTTP.
const COMMAND_LEN_MAX: usize = 64 * 1024 * 1024;
/// When a connection's answers of one turn are longer, its further requests wait until they are sent.
const ANSWER_LEN_MAX: usize = 256 * 1024;

/// The requests whose memory is fetched together: enough to overlap the misses, few enough to stay in the first
/// level cache.
const BLOCK_LEN: usize = 16;

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
    value_len_max: usize,
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
        key: Option<KeyHash>,
    },
    RespBroken(DecodeError),
    Http {
        head: Range<usize>,
        body: Range<usize>,
        key: KeyHash,
    },
    HttpRefused(Refusal),
    /// The client waits for leave to send the body.
    HttpContinue,
}

impl Request {
    /// What is computed from its (first) key.
    fn key(&self) -> Option<KeyHash> {
        match &self.what {
            What::Resp { key, .. } => *key,
            What::Http { key, .. } => Some(*key),
            What::RespBroken(_) | What::HttpRefused(_) | What::HttpContinue => None,
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
    /// An empty turn; it takes a megabyte for its input.
    #[must_use]
    pub fn new(node: &NodeState) -> Self {
        Self {
            input: vec![0; INPUT_LEN],
            input_len: 0,
            ranges: Vec::new(),
            requests: Vec::new(),
            reads: Vec::new(),
            answers: Vec::new(),
            output: Output::default(),
            value_len_max: node.geometry.value_len_max,
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
        if self.input.len() > INPUT_LEN {
            self.input.truncate(INPUT_LEN);
            self.input.shrink_to_fit();
        }
    }

    /// Whether another connection can be read in this turn.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.input_len + SHARED_LEFTOVER_MAX + READ_LEN <= INPUT_LEN
    }

    /// Where the next bytes of `session` go; its unexecuted ones are moved before them.
    pub fn space(&mut self, session: &Session) -> &mut [u8] {
        let from = self.input_len + session.leftover.len();
        if from + READ_LEN > self.input.len() {
            self.input.resize(from + READ_LEN, 0);
        }
        self.input[self.input_len..from].copy_from_slice(&session.leftover);
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
        let start = self.input_len;
        let end = start + session.leftover.len() + len;
        self.input_len = end;
        // Given back, not kept: a connection between requests takes no memory for what it received before.
        session.leftover = Vec::new();
        session.has_work = false;
        let first = self.requests.len();
        let decoded = match &mut session.speaks {
            Speaks::Resp(resp) => {
                let limits = resp.limits(self.value_len_max.max(SHARED_LEFTOVER_MAX));
                let decoded = decode_resp(self, resp, limits, start, end);
                session.has_work =
                    !resp.is_authenticated && self.requests.len() > first && decoded < end;
                decoded
            }
            Speaks::Http(http) => decode_http(self, node, http, start, end),
        };
        self.reads.push(Read {
            connection,
            bytes: start..end,
            requests: first..self.requests.len(),
            decoded,
        });
    }
}

impl Turn {
    /// Executes what was decoded, in order.
    pub fn execute<C: Cells>(
        &mut self,
        sessions: &mut impl Sessions,
        cells: &C,
        node: &NodeState,
        now: Now,
    ) {
        let reads = std::mem::take(&mut self.reads);
        self.hash_keys(node);
        let mut fetched = 0;
        for read in &reads {
            let Some(session) = sessions.session(read.connection) else { continue };
            let from = (self.output.bytes.len(), self.output.inserts.len());
            let mut consumed = read.decoded;
            for idx in read.requests.clone() {
                if idx >= fetched {
                    fetched = self.fetch(idx, cells);
                }
                if session.fate != Fate::Open {
                    consumed = read.bytes.end;
                    break;
                }
                if self.output.bytes.len() - from.0 > ANSWER_LEN_MAX {
                    consumed = self.requests[idx].start;
                    session.has_work = true;
                    break;
                }
                self.execute_one(idx, session, cells, node, now);
            }
            if consumed < read.decoded {
                // What was decoded beyond is decoded again.
                session.forget_progress();
            }
            if session.fate == Fate::Open {
                session.leftover.extend_from_slice(&self.input[consumed..read.bytes.end]);
            }
            self.answers.push(Answer {
                connection: read.connection,
                bytes: from.0..self.output.bytes.len(),
                inserts: from.1..self.output.inserts.len(),
            });
        }
        self.reads = reads;
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

    /// Computes slot and hash of every RESP request's first key.
    fn hash_keys(&mut self, node: &NodeState) {
        for request in &mut self.requests {
            if let What::Resp { args, key } = &mut request.what
                && args.len() > 1
            {
                let range = self.ranges[args.start + 1].clone();
                *key = Some(node.hash_seed.key(&self.input[range]));
            }
        }
    }

    /// Has the memory of a block of requests fetched, from request `first` on; where the next block begins. Each stage
    /// reads what the one before it fetched, so the misses of the whole block overlap.
    fn fetch<C: Cells>(&self, first: usize, cells: &C) -> usize {
        let end = (first + BLOCK_LEN).min(self.requests.len());
        let keys = || self.requests[first..end].iter().filter_map(Request::key);
        if end - first > 1 {
            for stage in [Shard::prefetch_home, Shard::prefetch_item] {
                for at in keys() {
                    stage(cells.read(cells.shard_of(at.slot)).shard(), NamespaceId::DEFAULT, at);
                }
            }
        }
        end
    }

    fn execute_one<C: Cells>(
        &mut self,
        idx: usize,
        session: &mut Session,
        cells: &C,
        node: &NodeState,
        now: Now,
    ) {
        let input = &self.input;
        match (&self.requests[idx].what, &mut session.speaks) {
            (What::Resp { args, .. }, Speaks::Resp(resp)) => {
                let args = Args { input, ranges: &self.ranges[args.clone()] };
                let mut access = Access::each(cells);
                let call = execute::Call {
                    node,
                    session: resp,
                    access: &mut access,
                    now,
                    args,
                    out: &mut self.output,
                };
                session.fate = execute::command(call);
            }
            (What::RespBroken(error), Speaks::Resp(_)) => {
                execute::broken(*error, &mut self.output);
                session.fate = Fate::Close;
            }
            (What::Http { head, body, key }, Speaks::Http(_)) => {
                let parts = http::Parts {
                    head: &input[head.clone()],
                    body: &input[body.clone()],
                    at: *key,
                };
                session.fate = http::request(&parts, cells, node, now, &mut self.output);
            }
            (What::HttpRefused(refusal), Speaks::Http(_)) => {
                session.fate = http::refused(refusal, node, &mut self.output);
            }
            (What::HttpContinue, Speaks::Http(_)) => {
                self.output.bytes.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
            }
            (What::Resp { .. } | What::RespBroken(_), Speaks::Http(_))
            | (What::Http { .. } | What::HttpRefused(_) | What::HttpContinue, Speaks::Resp(_)) => {
                unreachable!("a session's requests are of its protocol")
            }
        }
    }
}

/// Decodes the commands in `turn.input[start..end]`; where the first undecoded byte is.
fn decode_resp(
    turn: &mut Turn,
    session: &mut RespSession,
    limits: Limits,
    start: usize,
    end: usize,
) -> usize {
    let mut at = start;
    while at < end {
        let first = turn.ranges.len();
        match session.decoder.decode(&turn.input[at..end], limits, &mut turn.ranges) {
            Ok(Decoded::Command { used }) => {
                turn.ranges[first..]
                    .iter_mut()
                    .for_each(|range| *range = range.start + at..range.end + at);
                let args = first..turn.ranges.len();
                if !args.is_empty() {
                    turn.requests.push(Request { start: at, what: What::Resp { args, key: None } });
                }
                at += used;
                if !session.is_authenticated {
                    // What may come next depends on the outcome of this one.
                    break;
                }
            }
            Ok(Decoded::Incomplete) if end - at > COMMAND_LEN_MAX => {
                turn.requests.push(Request {
                    start: at,
                    what: What::RespBroken(DecodeError::CommandTooLong),
                });
                return end;
            }
            Ok(Decoded::Incomplete) => break,
            Err(error) => {
                turn.requests.push(Request { start: at, what: What::RespBroken(error) });
                return end;
            }
        }
    }
    at
}

/// Decodes the requests in `turn.input[start..end]`; where the first undecoded byte is.
fn decode_http(
    turn: &mut Turn,
    node: &NodeState,
    session: &mut HttpSession,
    start: usize,
    end: usize,
) -> usize {
    let mut at = start;
    while at < end {
        match session.decoder.decode(&turn.input[at..end]) {
            Ok(None) => break,
            Ok(Some(request)) => {
                let head = at..at + request.head_len;
                if request.body_len > turn.value_len_max {
                    turn.requests
                        .push(Request { start: at, what: What::HttpRefused(http::too_large()) });
                    return end;
                }
                let body = head.end..head.end + request.body_len;
                if body.end > end {
                    if request.is_continue_expected && !session.is_continued {
                        session.is_continued = true;
                        turn.requests.push(Request { start: at, what: What::HttpContinue });
                    }
                    break;
                }
                session.is_continued = false;
                at = body.end;
                let key = node.hash_seed.key(&request.key);
                turn.requests
                    .push(Request { start: head.start, what: What::Http { head, body, key } });
            }
            Err(refusal) => {
                let next = refusal.used.map(|used| at + used);
                if next.is_some_and(|next| next > end) {
                    break;
                }
                turn.requests.push(Request { start: at, what: What::HttpRefused(refusal) });
                match next {
                    Some(next) => at = next,
                    None => return end,
                }
            }
        }
    }
    at
}
