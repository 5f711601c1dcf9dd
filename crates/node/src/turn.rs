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
use ringhold_types::id::NamespaceId;
use ringhold_types::time::Now;
use ringhold_wire::http::decode::{Method, Plain, Refusal};
use ringhold_wire::resp::decode::{DecodeError, Decoded, Limits};
use ringhold_wire::resp::inline::words;
use ringhold_wire::resp::table::{CommandId, find};

use crate::args::Args;
use crate::block::Block;
use crate::cells::{Access, Cells};
use crate::clients::Pause;
use crate::execute;
use crate::execute::http;
use crate::gather::missing_len;
use crate::incoming::{Incoming, STREAMED_LEN_MIN, takes_pages};
use crate::output::{Insert, Output};
use crate::session::http::HttpSession;
use crate::session::resp::RespSession;
use crate::session::{Fate, Session, Speaks};
use crate::shard_cell::Key;
use crate::state::NodeState;
use crate::stats::{Counter, Counts};

/// How much is read from a connection at once, in bytes.
pub const READ_LEN: usize = 64 * 1024;
/// The length of the input buffer, in bytes: so many full reads fit into a turn.
const INPUT_LEN: usize = 16 * READ_LEN;
/// A connection with more unexecuted bytes than this is read and executed apart from the others.
const SHARED_LEFTOVER_MAX: usize = 4 * READ_LEN;
/// The longest RESP command, in bytes; a longer one closes its connection. A value over it goes through HTTP.
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
        self.input_len + SHARED_LEFTOVER_MAX + READ_LEN <= INPUT_LEN
    }

    /// Where the next bytes of `session` go: behind its unexecuted ones, or straight into the value that comes in.
    pub fn space<'s>(&'s mut self, session: &'s mut Session) -> &'s mut [u8] {
        if let Some(incoming) = &mut session.incoming
            && let Some(spare) = incoming.spare()
        {
            return spare;
        }
        let is_gathered = session.missing > 0;
        let from = self.input_len + if is_gathered { 0 } else { session.leftover.len() };
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
                let (bytes, requests) = (start..start, self.requests.len()..self.requests.len());
                self.reads.push(Read { connection, bytes, requests, decoded: start });
                return;
            }
            len = 0;
        }
        let from = start + session.leftover.len();
        let mut end = from + len;
        if let Some(incoming) = &mut session.incoming
            && !incoming.is_whole()
        {
            if incoming.spare().is_some() {
                incoming.advance(len);
                end = from;
            } else {
                let dropped = incoming.take(&self.input[from..end]);
                self.input.copy_within(from + dropped..end, from);
                end -= dropped;
            }
        }
        if end > self.input.len() {
            self.input.resize(end, 0);
        }
        self.input[start..from].copy_from_slice(&session.leftover);
        self.input_len = end;
        // Given back, not kept: a connection between requests takes no memory for what it received before.
        session.leftover = Vec::new();
        session.has_work = false;
        session.is_paused = false;
        let first = self.requests.len();
        let is_waiting = session.incoming.as_ref().is_some_and(|incoming| !incoming.is_whole());
        let decoded = match &mut session.speaks {
            Speaks::Resp(_) | Speaks::Http(_) if is_waiting => start,
            Speaks::Resp(resp) => {
                let limits = resp.limits(self.value_len_max.max(SHARED_LEFTOVER_MAX));
                let decoded = decode_resp(self, resp, limits, start, end);
                session.has_work =
                    !resp.is_authenticated && self.requests.len() > first && decoded < end;
                decoded
            }
            Speaks::Http(http) => {
                let is_body_apart = session.incoming.is_some();
                decode_http(self, node, http, start..end, is_body_apart)
            }
        };
        self.hash_keys(node, first);
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
        let pause = node.clients.pause_at(now);
        let mut block = Block::empty();
        for read in &reads {
            let Some(session) = sessions.session(read.connection) else { continue };
            let from = (self.output.bytes.len(), self.output.inserts.len());
            let mut consumed = read.decoded;
            if session.record().is_some_and(|record| record.is_killed()) {
                session.fate = Fate::Close;
            }
            for idx in read.requests.clone() {
                if idx >= block.end() {
                    let end = Block::<C>::end_from(idx, self.requests.len());
                    let places = self.requests[idx..end].iter().map(Request::place);
                    block.open(cells, idx, places);
                }
                if session.fate != Fate::Open {
                    consumed = read.bytes.end;
                    break;
                }
                if matches!(self.requests[idx].what, What::HandOver) {
                    session.fate = Fate::HandOver;
                    let rest = self.requests[idx].start..read.bytes.end;
                    session.leftover = self.input[rest].to_vec();
                    break;
                }
                if self.output.bytes.len() - from.0 > ANSWER_LEN_MAX {
                    consumed = self.requests[idx].start;
                    session.has_work = true;
                    break;
                }
                if pause != Pause::Off && self.must_wait(idx, session, pause) {
                    consumed = self.requests[idx].start;
                    session.is_paused = true;
                    break;
                }
                if !self.read_plainly(idx, session, &block, now) {
                    block.release();
                    self.execute_one(idx, session, cells, node, now);
                }
            }
            // Room for a value that is coming in is made under a write lock: nobody may hold a lock before.
            if session.fate == Fate::Open && consumed < read.bytes.end {
                block.release();
            }
            self.keep_rest(session, read, consumed, (cells, node, now));
            self.charge(session, node);
            if let Speaks::Resp(resp) = &session.speaks
                && !read.requests.is_empty()
            {
                resp.record.update(resp.state(now));
            }
            self.answers.push(Answer {
                connection: read.connection,
                bytes: from.0..self.output.bytes.len(),
                inserts: from.1..self.output.inserts.len(),
            });
        }
        drop(block);
        let inserted: usize = self.output.inserts.iter().map(|insert| insert.len).sum();
        self.counts.add(Counter::BytesOut, (self.output.bytes.len() + inserted) as u64);
        node.stats.take(self.worker, &mut self.counts);
        self.reads = reads;
    }

    /// Keeps what a connection sent beyond its executed requests.
    fn keep_rest<C: Cells>(
        &self,
        session: &mut Session,
        read: &Read,
        consumed: usize,
        (cells, node, now): (&C, &NodeState, Now),
    ) {
        let is_interrupted = consumed < read.decoded;
        if session.fate != Fate::Open {
            return;
        }
        let rest = &self.input[consumed..read.bytes.end];
        if is_interrupted {
            // What was decoded beyond is decoded again.
            session.forget_progress();
        } else if session.incoming.is_none()
            && !session.is_paused
            && !rest.is_empty()
            && let Some((incoming, head)) =
                begin_incoming(session, rest, self.value_len_max, (cells, node, now))
        {
            session.incoming = Some(Box::new(incoming));
            session.leftover = head;
            session.forget_progress();
            return;
        } else if !rest.is_empty() && !session.is_paused && !session.has_work {
            let len_max = self.value_len_max.max(SHARED_LEFTOVER_MAX);
            session.missing = missing_len(session, rest, len_max);
        }
        session.leftover.extend_from_slice(rest);
    }

    /// Accounts for what the connection holds; closes it, with a word, when all hold too much.
    fn charge(&mut self, session: &mut Session, node: &NodeState) {
        let held = session.leftover.len();
        if node.held.change(std::mem::replace(&mut session.held, held), held) {
            return;
        }
        session.held = 0;
        session.leftover = Vec::new();
        session.fate = Fate::Close;
        match &session.speaks {
            Speaks::Resp(_) => execute::crowded(&mut self.output),
            Speaks::Http(_) => {
                http::refused(&http::crowded(), node, &mut self.output);
            }
        }
    }

    /// Whether a request waits for the end of a pause.
    fn must_wait(&self, idx: usize, session: &Session, pause: Pause) -> bool {
        let (What::Resp { command: Some(id), .. }, Speaks::Resp(resp)) =
            (&self.requests[idx].what, &session.speaks)
        else {
            return false;
        };
        match (pause, id) {
            (_, CommandId::Client | CommandId::Quit | CommandId::Reset) | (Pause::Off, _) => false,
            (Pause::All, _) => true,
            (Pause::Writes, CommandId::Exec) => resp
                .queue
                .as_ref()
                .is_some_and(|queue| queue.iter().any(|(id, _)| id.command().is_write())),
            (Pause::Writes, id) => resp.queue.is_none() && id.command().is_write(),
        }
    }

    /// Executes a plain `GET` under the block's locks; false when the request is another, or they are released.
    #[inline]
    fn read_plainly<C: Cells>(
        &mut self,
        idx: usize,
        session: &mut Session,
        block: &Block<'_, C>,
        now: Now,
    ) -> bool {
        let (
            What::Resp {
                args, command: Some(CommandId::Get), key: Some(at), is_inline: false, ..
            },
            Speaks::Resp(resp),
        ) = (&self.requests[idx].what, &mut session.speaks)
        else {
            return false;
        };
        let Some(cell) = block.cell(idx) else { return false };
        if args.len() != 2 || !resp.is_plain() || session.incoming.is_some() {
            return false;
        }
        let bytes = &self.input[self.ranges[args.start + 1].clone()];
        let key = Key { namespace: resp.namespace, bytes, at: *at };
        let is_done =
            execute::get_from(cell, key, now, resp.protocol, &mut self.counts, &mut self.output);
        if is_done {
            resp.command = CommandId::Get as u8;
            self.counts.add(Counter::Commands, 1);
            self.counts.call(CommandId::Get);
        }
        is_done
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

    /// Computes slot and hash of the first keys of the RESP requests from `first` on.
    fn hash_keys(&mut self, node: &NodeState, first: usize) {
        for request in &mut self.requests[first..] {
            if let What::Resp { args, command: Some(id), key, is_inline: false, .. } =
                &mut request.what
                && id.is_keyed()
                && args.len() > 1
            {
                let range = self.ranges[args.start + 1].clone();
                *key = Some(node.hash_seed.key(&self.input[range]));
            }
        }
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
            (What::Resp { args, command, is_inline, .. }, Speaks::Resp(resp)) => {
                let input = if *is_inline { &self.inline } else { input };
                let args = Args { input, ranges: &self.ranges[args.clone()] };
                let mut access = Access::each(cells);
                let mut large = session.incoming.take().map(|incoming| incoming.into_arg());
                let call = execute::Call {
                    node,
                    session: resp,
                    access: &mut access,
                    now,
                    args,
                    large: large.as_mut(),
                    counts: &mut self.counts,
                    out: &mut self.output,
                };
                session.fate = execute::command(*command, call);
                if resp.record.is_killed() {
                    session.fate = Fate::Close;
                }
            }
            (What::RespBroken(error), Speaks::Resp(_)) => {
                execute::broken(*error, &mut self.output);
                session.fate = Fate::Close;
            }
            (What::Http { head, body, key, plain }, Speaks::Http(_)) => {
                let parts = http::Parts {
                    head: &input[head.clone()],
                    body: &input[body.clone()],
                    at: *key,
                    large: session.incoming.take().map(|incoming| incoming.into_arg()),
                };
                let (counts, out) = (&mut self.counts, &mut self.output);
                session.fate = match plain {
                    Some(plain) => http::plain(plain, parts, cells, (node, now), counts, out),
                    None => http::request(parts, cells, node, now, counts, out),
                };
            }
            (What::HttpRefused(refusal), Speaks::Http(_)) => {
                session.fate = http::refused(refusal, node, &mut self.output);
            }
            (What::HttpContinue, Speaks::Http(_)) => {
                self.output.bytes.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
            }
            (What::Resp { .. } | What::RespBroken(_), Speaks::Http(_))
            | (
                What::Http { .. } | What::HttpRefused(_) | What::HttpContinue | What::HandOver,
                Speaks::Resp(_),
            )
            | (What::HandOver, Speaks::Http(_)) => {
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
                push_resp(turn, session, at, args, false);
                at += used;
                if !session.is_authenticated {
                    // What may come next depends on the outcome of this one.
                    break;
                }
            }
            Ok(Decoded::Inline { line, used }) => {
                let line = &turn.input[at + line.start..at + line.end];
                if let Err(error) = words(line, &mut turn.inline, &mut turn.ranges) {
                    turn.requests.push(Request { start: at, what: What::RespBroken(error) });
                    return end;
                }
                let args = first..turn.ranges.len();
                push_resp(turn, session, at, args, true);
                at += used;
                if !session.is_authenticated {
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

/// Adds a command that begins at `start`; one without words is none.
fn push_resp(
    turn: &mut Turn,
    session: &RespSession,
    start: usize,
    args: Range<usize>,
    is_inline: bool,
) {
    let Some(name) = turn.ranges.get(args.start).cloned().filter(|_| !args.is_empty()) else {
        return;
    };
    let name = if is_inline { &turn.inline[name] } else { &turn.input[name] };
    let what = What::Resp {
        args,
        command: find(name),
        key: None,
        namespace: session.namespace,
        is_inline,
    };
    turn.requests.push(Request { start, what });
}

/// The large value that the unexecuted bytes of a connection end in, given its pages, and what is kept of its request;
/// `None` when there is none.
fn begin_incoming<C: Cells>(
    session: &mut Session,
    rest: &[u8],
    value_len_max: usize,
    (cells, node, now): (&C, &NodeState, Now),
) -> Option<(Incoming, Vec<u8>)> {
    match &mut session.speaks {
        Speaks::Resp(resp) if resp.is_authenticated && resp.queue.is_none() => {
            let awaited = resp.decoder.awaited(rest, resp.limits(value_len_max))?;
            let name = awaited.args.first().and_then(|range| rest.get(range.clone()))?;
            let id = find(name)?;
            let arg = awaited.args.len();
            if awaited.len < STREAMED_LEN_MIN || !takes_pages(id, arg) {
                return None;
            }
            let bytes = rest.get(awaited.args.get(1)?.clone())?;
            let at = node.hash_seed.key(bytes);
            let key = Key { namespace: resp.namespace, bytes, at };
            let mut incoming = Incoming::begin(cells, key, arg, awaited.len, now);
            incoming.take(rest.get(awaited.start..).unwrap_or_default());
            // The value is elsewhere: what is decoded when the rest is there has one of no bytes.
            Some((incoming, [&rest[..awaited.line], b"$0\r\n"].concat()))
        }
        Speaks::Resp(_) => None,
        Speaks::Http(http) => {
            let request = http.decoder.decode(rest).ok().flatten()?;
            let is_large = request.body_len >= STREAMED_LEN_MIN
                && request.body_len <= value_len_max
                && request.method == Method::Put;
            if !is_large {
                return None;
            }
            let at = node.hash_seed.key(&request.key);
            let namespace = http::namespace_of(&request, node);
            let mut incoming = match namespace.filter(|_| http::may_send(&request, node)) {
                Some(namespace) => {
                    let key = Key { namespace, bytes: &request.key, at };
                    Incoming::begin(cells, key, 0, request.body_len, now)
                }
                None => Incoming::dropped(0, request.body_len),
            };
            incoming.take(rest.get(request.head_len..).unwrap_or_default());
            Some((incoming, rest[..request.head_len].to_vec()))
        }
    }
}

/// Decodes the requests in `bytes` of the input; where the first undecoded byte is. The body of the first one may be
/// apart: in the store's pages already.
fn decode_http(
    turn: &mut Turn,
    node: &NodeState,
    session: &mut HttpSession,
    bytes: Range<usize>,
    mut is_body_apart: bool,
) -> usize {
    let Range { start, end } = bytes;
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
                let is_apart = std::mem::take(&mut is_body_apart);
                let body_len = if is_apart { 0 } else { request.body_len };
                let body = head.end..head.end + body_len;
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
                let may_send = http::may_send(&request, node);
                let namespace = http::namespace_of(&request, node).filter(|_| may_send);
                let plain = namespace.and_then(|id| request.plain(&turn.input[head.clone()], id));
                let start = head.start;
                turn.requests.push(Request { start, what: What::Http { head, body, key, plain } });
            }
            Err(refusal) if refusal.is_for_control => {
                turn.requests.push(Request { start: at, what: What::HandOver });
                return end;
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
