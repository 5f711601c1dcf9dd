//! The second pass: the requests of all connections are executed in order, block by block.

use ringhold_store::shard::Probe;
use ringhold_types::time::Now;
use ringhold_wire::http::decode::{Decoder as HttpDecoder, Method};
use ringhold_wire::resp::table::{CommandId, find};

use super::{ANSWER_LEN_MAX, Answer, Read, Request, SHARED_LEFTOVER_MAX, Sessions, Turn, What};
use crate::args::Args;
use crate::block::{BLOCK_LEN, Block};
use crate::cells::{Access, Cells};
use crate::clients::Pause;
use crate::execute;
use crate::execute::http;
use crate::gather::missing_len;
use crate::incoming::{BEFORE_LEN_MAX, Incoming, STREAMED_LEN_MIN, has_many_values, key_of_value};
use crate::session::{Fate, Session, Speaks};
use crate::shard_cell::Key;
use crate::state::NodeState;
use crate::stats::{CallId, Counter};

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
        let mut block = Block::empty();
        for read in &reads {
            let Some(session) = sessions.session(read.connection) else { continue };
            let from = (self.output.bytes.len(), self.output.inserts.len());
            let mut consumed = read.decoded;
            if session.record().is_some_and(|record| record.is_killed()) {
                session.fate = Fate::Close;
            }
            if session.has_wait() && !self.end_wait(session, node, now) {
                (consumed, session.is_paused) = (read.bytes.start, true);
            }
            for idx in read.requests.clone() {
                if session.is_paused {
                    break;
                }
                if idx >= block.end() {
                    let places = self.requests[idx..].iter().take(BLOCK_LEN).map(Request::place);
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
                // For each request anew: the one before may have begun the pause, or ended it.
                let pause = node.clients.pause_at(now);
                if pause != Pause::Off && self.must_wait(idx, session, pause) {
                    consumed = self.requests[idx].start;
                    session.is_paused = true;
                    break;
                }
                if self.read_plainly(idx, session, &block, (node, now)) {
                    continue;
                }
                block.release();
                if !self.write_plainly(idx, session, block.probe(idx), (cells, node, now)) {
                    self.execute_one(idx, session, cells, node, now);
                    if session.has_wait() {
                        (consumed, session.is_paused) = (self.start_after(idx, read), true);
                    }
                }
            }
            // Room for a value that is coming in is made under a write lock: nobody may hold a lock before.
            if session.fate == Fate::Open && consumed < read.bytes.end {
                block.release();
            }
            self.keep_rest(session, read, consumed, (cells, node, now));
            self.charge(session, node);
            if !read.requests.is_empty() {
                session.note_turn(now);
            }
            self.answers.push(Answer {
                connection: read.connection,
                bytes: from.0..self.output.bytes.len(),
                inserts: from.1..self.output.inserts.len(),
            });
        }
        drop(block);
        self.reads = reads;
        self.count(node);
    }

    /// Adds what was counted to the node's.
    fn count(&mut self, node: &NodeState) {
        let inserted: usize = self.output.inserts.iter().map(|insert| insert.len).sum();
        self.counts.add(Counter::BytesOut, (self.output.bytes.len() + inserted) as u64);
        node.stats.take(self.worker, &mut self.counts);
    }

    /// Where in the input what follows request `idx` of a read begins.
    fn start_after(&self, idx: usize, read: &Read) -> usize {
        let next = self.requests[..read.requests.end].get(idx + 1);
        next.map_or(read.decoded, |next| next.start)
    }

    /// Answers the command of a session that waits, if it is to be ended now; whether it was.
    fn end_wait(&mut self, session: &mut Session, node: &NodeState, now: Now) -> bool {
        if session.is_waiting(node, now) {
            return false;
        }
        let Speaks::Resp(resp) = &mut session.speaks else { return true };
        let ended = resp.record.end_wait();
        if let Some(wait) = resp.wait.take() {
            execute::waited(ended, wait.is_answered, &mut self.counts, &mut self.output);
        }
        true
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
        } else if !session.awaits_value()
            && !session.is_paused
            && !rest.is_empty()
            && let Some((incoming, head)) =
                begin_incoming(session, rest, self.value_len_max, (cells, node, now))
        {
            // Values of the same command that have come stay before it.
            let incoming = match session.incoming.take() {
                Some(before) => incoming.after(*before),
                None => incoming,
            };
            session.incoming = Some(Box::new(incoming));
            session.leftover = head;
            return;
        } else if !session.awaits_value()
            && !rest.is_empty()
            && !session.is_paused
            && !session.has_work
        {
            let len_max = self.value_len_max.max(SHARED_LEFTOVER_MAX);
            session.missing = missing_len(session, rest, len_max);
        }
        session.leftover.extend_from_slice(rest);
    }

    /// Accounts for what the connection holds; closes it, with a word, when all hold too much.
    fn charge(&mut self, session: &mut Session, node: &NodeState) {
        let held = session.leftover.len()
            + match &session.speaks {
                Speaks::Resp(resp) => resp.held_len(),
                Speaks::Http(_) => 0,
            };
        let before = std::mem::replace(&mut session.held, held);
        if before > 0 || held > 0 {
            session.tell_held(node);
        }
        if node.held.change(before, held) {
            return;
        }
        session.held = 0;
        session.leftover = Vec::new();
        session.fate = Fate::Close;
        match &mut session.speaks {
            Speaks::Resp(resp) => {
                resp.queue = None;
                execute::crowded(&mut self.output);
            }
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

    /// Answers a plain read under the block's locks; false when the request is another, or they are released.
    #[inline]
    fn read_plainly<C: Cells>(
        &mut self,
        idx: usize,
        session: &mut Session,
        block: &Block<'_, C>,
        (node, now): (&NodeState, Now),
    ) -> bool {
        if session.incoming.is_some() {
            return false;
        }
        let (counts, out) = (&mut self.counts, &mut self.output);
        match (&self.requests[idx].what, &mut session.speaks) {
            (
                What::Resp {
                    args,
                    command: Some(CommandId::Get),
                    key: Some(_),
                    namespace,
                    is_inline: false,
                },
                Speaks::Resp(resp),
            ) if args.len() == 2 && resp.is_plain() && *namespace == resp.namespace => {
                let key = &self.input[self.ranges[args.start + 1].clone()];
                let Some(lookup) = block.lookup(idx, key, now) else { return false };
                let is_done = execute::answer_get(lookup, resp.protocol, counts, out);
                if is_done {
                    (resp.command, resp.subcommand) = (CommandId::Get as u8, u8::MAX);
                    counts.add(Counter::Commands, 1);
                    counts.call(CallId::plain(CommandId::Get));
                }
                is_done
            }
            (What::Http { head, key: at, plain: Some(plain), .. }, Speaks::Http(_))
                if matches!(plain.method, Method::Get | Method::Head) =>
            {
                let key = &self.input[head.clone()][plain.key.clone()];
                let Some(lookup) = block.lookup(idx, key, now) else { return false };
                match http::answer_read(lookup, (plain, at.slot), (node, now), counts, out) {
                    Some(fate) => session.fate = fate,
                    None => return false,
                }
                true
            }
            _ => false,
        }
    }

    /// Executes a plain `SET`; false when the request is another.
    #[inline]
    fn write_plainly<C: Cells>(
        &mut self,
        idx: usize,
        session: &mut Session,
        probe: Probe,
        (cells, node, now): (&C, &NodeState, Now),
    ) -> bool {
        let (
            What::Resp {
                args,
                command: Some(CommandId::Set),
                key: Some(at),
                namespace,
                is_inline: false,
            },
            Speaks::Resp(resp),
        ) = (&self.requests[idx].what, &mut session.speaks)
        else {
            return false;
        };
        let is_plain = args.len() == 3 && resp.is_plain() && *namespace == resp.namespace;
        if !is_plain || session.incoming.is_some() {
            return false;
        }
        let bytes = &self.input[self.ranges[args.start + 1].clone()];
        let value = &self.input[self.ranges[args.start + 2].clone()];
        let key = Key { namespace: *namespace, bytes, at: *at };
        let (counts, out) = (&mut self.counts, &mut self.output);
        execute::set_plain(key, value, probe, (cells, node, now), counts, out);
        (resp.command, resp.subcommand) = (CommandId::Set as u8, u8::MAX);
        counts.add(Counter::Commands, 1);
        counts.call(CallId::plain(CommandId::Set));
        true
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
                let incoming = session.incoming.take();
                let mut large = incoming.map_or_else(Vec::new, |incoming| incoming.into_args());
                let call = execute::Call {
                    node,
                    session: resp,
                    access: &mut access,
                    now,
                    args,
                    large: &mut large,
                    counts: &mut self.counts,
                    out: &mut self.output,
                };
                session.fate = execute::command(*command, call);
                if resp.record.is_killed() {
                    session.fate = Fate::Close;
                }
            }
            (What::RespBroken(error), Speaks::Resp(_)) => {
                execute::broken(*error, &mut self.counts, &mut self.output);
                session.fate = Fate::Close;
            }
            (What::Http { head, body, key, plain }, Speaks::Http(_)) => {
                let parts = http::Parts {
                    head: &input[head.clone()],
                    body: &input[body.clone()],
                    at: *key,
                    large: session.incoming.take().and_then(|incoming| incoming.into_args().pop()),
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
            (What::HttpContinue, Speaks::Http(http)) => {
                http.is_continued = true;
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
            let is_large = awaited.len >= STREAMED_LEN_MIN && awaited.line <= BEFORE_LEN_MAX;
            let key_arg = key_of_value(id, arg).filter(|_| is_large)?;
            let bytes = rest.get(awaited.args.get(key_arg)?.clone())?;
            let at = node.hash_seed.key(bytes);
            let key = Key { namespace: resp.namespace, bytes, at };
            let mut incoming = Incoming::begin(cells, key, arg, awaited.len, now);
            if incoming.is_crowded_out() && has_many_values(id) {
                return None;
            }
            incoming.take(rest.get(awaited.start..).unwrap_or_default());
            // The value is elsewhere: what is decoded when the rest is there has one of no bytes. What was decoded before it
            // stays so.
            Some((incoming, [&rest[..awaited.line], b"$0\r\n"].concat()))
        }
        Speaks::Resp(_) => None,
        // The body of its present request has come.
        Speaks::Http(_) if session.incoming.is_some() => None,
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
            let head = rest[..request.head_len].to_vec();
            http.decoder = HttpDecoder::new();
            Some((incoming, head))
        }
    }
}
