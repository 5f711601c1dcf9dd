//! The first pass: from bytes to requests.

use std::ops::Range;

use ringhold_types::limits::KEY_LEN_MAX;
use ringhold_wire::http::decode::{Decoder, Method, Plain, Refusal};
use ringhold_wire::resp::decode::{DecodeError, Decoded, Limits};
use ringhold_wire::resp::inline::words;
use ringhold_wire::resp::table::find;

use super::{COMMAND_LEN_MAX, READ_LEN, Request, Turn, What};
use crate::execute::http;
use crate::session::http::HttpSession;
use crate::session::resp::RespSession;
use crate::state::NodeState;

/// Decodes the commands in `turn.input[bytes]`; where the first undecoded byte is.
pub(super) fn decode_resp(
    turn: &mut Turn,
    node: &NodeState,
    session: &mut RespSession,
    limits: Limits,
    bytes: Range<usize>,
) -> usize {
    let Range { start, end } = bytes;
    let mut at = start;
    while at < end {
        let (first, requests) = (turn.ranges.len(), turn.requests.len());
        match session.decoder.decode(&turn.input[at..end], limits, &mut turn.ranges) {
            Ok(Decoded::Command { used }) => {
                turn.ranges[first..]
                    .iter_mut()
                    .for_each(|range| *range = range.start + at..range.end + at);
                let args = first..turn.ranges.len();
                push_resp(turn, node, session, at, args);
                at += used;
                if !session.is_authenticated && is_login(turn, requests) {
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
                push_inline(turn, node, session, at, args);
                at += used;
                if !session.is_authenticated && is_login(turn, requests) {
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

/// Whether a request was added to the first `before` on whose outcome it depends what may come next.
fn is_login(turn: &Turn, before: usize) -> bool {
    turn.requests[before..].last().is_some_and(Request::may_authenticate)
}

/// Adds a command that begins at `start`, with the slot and hash of its first key; one without words is none.
#[inline]
fn push_resp(
    turn: &mut Turn,
    node: &NodeState,
    session: &RespSession,
    start: usize,
    args: Range<usize>,
) {
    let Some(name) = turn.ranges.get(args.start) else { return };
    let command = find(&turn.input[name.clone()]).filter(|id| !node.disabled_commands.has(*id));
    let key = match turn.ranges.get(args.start + 1) {
        // One that is over the limit is no key: it has no memory to fetch, and its command is refused.
        Some(key) if key.len() <= KEY_LEN_MAX && command.is_some_and(|id| id.is_keyed()) => {
            Some(node.hash_seed.key(&turn.input[key.clone()]))
        }
        Some(_) | None => None,
    };
    let what = What::Resp { args, command, key, namespace: session.namespace, is_inline: false };
    turn.requests.push(Request { start, what });
}

/// Adds a command whose words stand among the inline ones; one without words is none.
fn push_inline(
    turn: &mut Turn,
    node: &NodeState,
    session: &RespSession,
    start: usize,
    args: Range<usize>,
) {
    let Some(name) = turn.ranges.get(args.start) else { return };
    let command = find(&turn.inline[name.clone()]).filter(|id| !node.disabled_commands.has(*id));
    let what =
        What::Resp { args, command, key: None, namespace: session.namespace, is_inline: true };
    turn.requests.push(Request { start, what });
}

/// Decodes the requests in `bytes` of the input; where the first undecoded byte is. The body of the first one may be
/// apart: in the store's pages already.
pub(super) fn decode_http(
    turn: &mut Turn,
    node: &NodeState,
    session: &mut HttpSession,
    bytes: Range<usize>,
    mut is_body_apart: bool,
) -> usize {
    let Range { start, end } = bytes;
    let mut at = start;
    while at < end {
        if !is_body_apart && let Some(next) = repeated(turn, node, session, at..end) {
            at = next;
            continue;
        }
        match session.decoder.decode(&turn.input[at..end]) {
            Ok(None) => break,
            Ok(Some(request)) => {
                let head = at..at + request.head_len;
                if request.body_len > turn.value_len_max {
                    let is_head = request.method == Method::Head;
                    let refusal = Refusal { is_head, ..http::too_large() };
                    turn.requests.push(Request { start: at, what: What::HttpRefused(refusal) });
                    return end;
                }
                let is_apart = std::mem::take(&mut is_body_apart);
                let body_len = if is_apart { 0 } else { request.body_len };
                let body = head.end..head.end + body_len;
                if body.end > end {
                    if request.is_continue_expected && !session.is_continued {
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
                if body.is_empty()
                    && let Some(plain) = &plain
                    && *plain == Plain::read_of(plain.key.clone())
                {
                    session.repeat.remember(&turn.input[head.clone()], &plain.key);
                }
                let start = head.start;
                turn.requests.push(Request { start, what: What::Http { head, body, key, plain } });
            }
            Err(refusal) if refusal.is_for_control => {
                turn.requests.push(Request { start: at, what: What::HandOver });
                return end;
            }
            Err(refusal) => match push_refused(turn, refusal, at..end) {
                Some(next) => at = next,
                None => break,
            },
        }
    }
    at
}

/// Adds the request that `bytes` of the input begin with, if it repeats the connection's last plain read; where the next
/// begins.
#[inline]
fn repeated(
    turn: &mut Turn,
    node: &NodeState,
    session: &mut HttpSession,
    bytes: Range<usize>,
) -> Option<usize> {
    let start = bytes.start;
    let repeated = session.repeat.decode(&turn.input[bytes])?;
    session.decoder = Decoder::new();
    let head = start..start + repeated.head_len;
    let key = node.hash_seed.key(&turn.input[head.clone()][repeated.key.clone()]);
    let plain = Some(Plain::read_of(repeated.key));
    let next = head.end;
    turn.requests.push(Request { start, what: What::Http { head, body: next..next, key, plain } });
    Some(next)
}

/// Adds a refused request that `bytes` begin with; where the next one begins, `None` when its body is waited for.
fn push_refused(turn: &mut Turn, refusal: Refusal, bytes: Range<usize>) -> Option<usize> {
    let Range { start, end } = bytes;
    let next = refusal.used.and_then(|used| start.checked_add(used));
    let is_awaited = next.is_some_and(|next| next > end && next - start <= READ_LEN)
        && !turn.input[start..end]
            .windows(12)
            .any(|word| word.eq_ignore_ascii_case(b"100-continue"));
    if is_awaited {
        return None;
    }
    // A long body is not waited for: the answer goes out at once, and the connection closes.
    let next = next.filter(|next| *next <= end);
    let refusal = Refusal { used: refusal.used.filter(|_| next.is_some()), ..refusal };
    turn.requests.push(Request { start, what: What::HttpRefused(refusal) });
    Some(next.unwrap_or(end))
}
