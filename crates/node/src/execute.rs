//! Execution of requests: RESP commands, a file per family, and HTTP requests on keys.
//!
//! Each RESP command is a function over a [`Call`]: it reads its arguments, works on the shards that the call gives
//! access to, and appends its reply. A function that fails returns a [`Failure`]; what it appended until then is taken
//! back. The names, their properties and the places of keys are data in [`ringhold_wire::resp::table`]; a new family is
//! rows there and a file here.

mod client;
mod command;
mod config;
mod connection;
mod counters;
pub mod http;
mod info;
mod keys;
pub mod keyspace;
mod lifetime;
mod object;
mod options;
mod ranges;
mod server;
mod strings;
mod transactions;

use std::borrow::Cow;

use ringhold_store::entry::UpdateError;
use ringhold_types::limits::KEY_LEN_MAX;
use ringhold_types::time::Now;
use ringhold_wire::resp::Protocol;
use ringhold_wire::resp::decode::DecodeError;
use ringhold_wire::resp::encode::Encoder;
use ringhold_wire::resp::table::{Command, CommandId, Flags};

use crate::args::{Args, LargeArg};
use crate::cells::{Access, Cells};
use crate::clients::Unblocked;
use crate::glob::PatternTooLong;
use crate::number;
use crate::output::Output;
use crate::session::Fate;
use crate::session::resp::{Replies, RespSession};
use crate::shard_cell::Key;
use crate::state::NodeState;
use crate::stats::{CallId, Counter, Counts};

pub(crate) use strings::{answer_get, set_plain};
pub use transactions::forget_watched;

/// The most bytes of a client's words that an error repeats, as in Redis.
const ECHO_LEN_MAX: usize = 128;

/// The longest reply of one command that is put together in memory, in bytes; large values in it count nothing.
const REPLY_LEN_MAX: usize = 64 * 1024 * 1024;

/// One command in execution.
pub struct Call<'a, 'c, C: Cells> {
    /// The node.
    pub node: &'a NodeState,
    /// Who asks.
    pub session: &'a mut RespSession,
    /// The shards.
    pub access: &'a mut Access<'c, C>,
    /// The time, read after the command was received.
    pub now: Now,
    /// The command and its arguments.
    pub args: Args<'a>,
    /// The arguments that were received into the store's pages.
    pub large: &'a mut [LargeArg],
    /// What is counted.
    pub counts: &'a mut Counts,
    /// Where the reply goes.
    pub out: &'a mut Output,
}

impl<C: Cells> std::fmt::Debug for Call<'_, '_, C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Call").field("args", &self.args).finish_non_exhaustive()
    }
}

/// What a command function answers with.
pub type Done = Result<(), Failure>;

/// Executes one command, `id` being its name's unless it is disabled, and appends its reply; what becomes of the connection.
pub fn command<C: Cells>(id: Option<CommandId>, mut call: Call<'_, '_, C>) -> Fate {
    let mark = (call.out.bytes.len(), call.out.inserts.len());
    let before = call.session.replies;
    let is_dropped = before != Replies::On;
    if before == Replies::SkipNext {
        call.session.replies = Replies::On;
    }
    call.counts.add(Counter::Commands, 1);
    let fate = match checked(id, &mut call) {
        Ok(fate) => fate,
        Err(Failure(text)) => {
            call.out.truncate(mark.0, mark.1);
            call.counts.error(&text);
            call.reply().error(&text);
            Fate::Open
        }
    };
    if let Some(wait) = &mut call.session.wait {
        wait.is_answered = !is_dropped && call.session.replies == Replies::On;
    }
    if is_dropped || call.session.replies != Replies::On {
        let is_turned_on = is_dropped
            && call.session.replies == Replies::On
            && match id {
                Some(CommandId::Client) => call.args.is(1, "reply"),
                Some(CommandId::Reset) => before == Replies::Off,
                _ => false,
            };
        if !is_turned_on {
            call.out.truncate(mark.0, mark.1);
        }
    }
    fate
}

/// Executes a command, or queues it when a transaction is open.
fn checked<C: Cells>(id: Option<CommandId>, call: &mut Call<'_, '_, C>) -> Result<Fate, Failure> {
    let id = match admit(id, call) {
        Ok(id) => id,
        Err(failure) => {
            if let Some(queue) = &mut call.session.queue {
                queue.is_broken = true;
            }
            if let Some(id) = id {
                call.counts.rejected(CallId::of(id, call.args.get(1)));
            }
            return Err(failure);
        }
    };
    call.session.command = id as u8;
    call.session.subcommand = id.command().subcommand_idx(call.args.get(1));
    let counted = CallId::of(id, call.args.get(1));
    call.counts.call(counted);
    let is_immediate = matches!(
        id,
        CommandId::Multi
            | CommandId::Exec
            | CommandId::Discard
            | CommandId::Watch
            | CommandId::Quit
            | CommandId::Reset
    );
    if call.session.queue.is_some() && !is_immediate {
        transactions::queue(id, call)?;
        return Ok(Fate::Open);
    }
    run(id, call).inspect_err(|_| call.counts.failed(counted))?;
    Ok(if id == CommandId::Quit { Fate::Close } else { Fate::Open })
}

/// The command, if there is one of this name to be executed, it has as many words as it takes, and the client may use it.
fn admit<C: Cells>(id: Option<CommandId>, call: &Call<'_, '_, C>) -> Result<CommandId, Failure> {
    let id = id.ok_or_else(|| unknown(call.args))?;
    let command = id.command();
    if !command.takes(call.args.len()) {
        return Err(Failure::arity(command));
    }
    if !call.session.is_authenticated && !command.flags.has(Flags::NO_AUTH) {
        return Err(Failure::text("NOAUTH Authentication required."));
    }
    if !command.subcommands.is_empty() && call.args.len() > 1 {
        let sub = command.subcommand(call.args.get(1));
        let sub = sub.ok_or_else(|| unknown_subcommand(command, call.args.get(1)))?;
        if !sub.takes(call.args.len()) {
            return Err(Failure::arity(sub));
        }
        check_keys(sub, call.args)?;
    }
    check_keys(command, call.args)?;
    Ok(id)
}

/// Fails when a key is over the limit, in a read as in a write: it cannot be, so it is a mistake.
fn check_keys(command: &Command, args: Args<'_>) -> Done {
    // What is all together no longer has no such key.
    let end = args.ranges.last().map_or(0, |range| range.end);
    if args.ranges.first().is_none_or(|range| end - range.start <= KEY_LEN_MAX) {
        return Ok(());
    }
    let mut lens = command.key_words(args.len()).map(|idx| args.get(idx).len());
    match lens.find(|len| *len > KEY_LEN_MAX) {
        Some(len) => Err(UpdateError::KeyTooLong { len, max: KEY_LEN_MAX }.into()),
        None => Ok(()),
    }
}

/// Executes a command that was admitted.
fn run<C: Cells>(id: CommandId, call: &mut Call<'_, '_, C>) -> Done {
    match id {
        CommandId::Get => strings::get(call),
        CommandId::Set => strings::set(call),
        CommandId::MGet => strings::mget(call),
        CommandId::MSet => strings::mset(call),
        CommandId::MSetNx => strings::msetnx(call),
        CommandId::SetEx => strings::setex(call),
        CommandId::PSetEx => strings::psetex(call),
        CommandId::SetNx => strings::setnx(call),
        CommandId::GetEx => strings::getex(call),
        CommandId::GetDel => strings::getdel(call),
        CommandId::GetSet => strings::getset(call),
        CommandId::DelIfEq => strings::delifeq(call),
        CommandId::Incr => counters::incr(call),
        CommandId::Decr => counters::decr(call),
        CommandId::IncrBy => counters::incrby(call),
        CommandId::DecrBy => counters::decrby(call),
        CommandId::IncrByFloat => counters::incrbyfloat(call),
        CommandId::Append => ranges::append(call),
        CommandId::StrLen => ranges::strlen(call),
        CommandId::GetRange | CommandId::SubStr => ranges::getrange(call),
        CommandId::SetRange => ranges::setrange(call),
        CommandId::Del | CommandId::Unlink => keys::del(call),
        CommandId::Exists => keys::exists(call),
        CommandId::Touch => keys::touch(call),
        CommandId::Type => keys::kind(call),
        CommandId::Rename => keys::rename(call),
        CommandId::RenameNx => keys::renamenx(call),
        CommandId::Copy => keys::copy(call),
        CommandId::Object => object::object(call),
        CommandId::Expire => lifetime::expire(call),
        CommandId::PExpire => lifetime::pexpire(call),
        CommandId::ExpireAt => lifetime::expireat(call),
        CommandId::PExpireAt => lifetime::pexpireat(call),
        CommandId::Ttl => lifetime::ttl(call),
        CommandId::PTtl => lifetime::pttl(call),
        CommandId::ExpireTime => lifetime::expiretime(call),
        CommandId::PExpireTime => lifetime::pexpiretime(call),
        CommandId::Persist => lifetime::persist(call),
        CommandId::RandomKey => keyspace::randomkey(call),
        CommandId::Scan => keyspace::scan(call),
        CommandId::Keys => keyspace::keys(call),
        CommandId::DbSize => keyspace::dbsize(call),
        CommandId::FlushDb => keyspace::flushdb(call),
        CommandId::FlushAll => keyspace::flushall(call),
        CommandId::Multi => transactions::multi(call),
        CommandId::Exec => transactions::exec(call),
        CommandId::Discard => transactions::discard(call),
        CommandId::Watch => transactions::watch(call),
        CommandId::Unwatch => transactions::unwatch(call),
        CommandId::Ping => connection::ping(call),
        CommandId::Echo => connection::echo(call),
        CommandId::Select => connection::select(call),
        CommandId::Auth => connection::auth(call),
        CommandId::Hello => connection::hello(call),
        CommandId::Reset => connection::reset(call),
        CommandId::Quit => connection::quit(call),
        CommandId::Client => client::client(call),
        CommandId::Info => info::info(call),
        CommandId::Time => server::time(call),
        CommandId::Role => server::role(call),
        CommandId::Wait => server::wait(call),
        CommandId::Command => command::command(call),
        CommandId::Config => config::config(call),
        CommandId::Memory => object::memory(call),
    }
}

/// Redis's answer to a command that it does not know.
fn unknown(args: Args<'_>) -> Failure {
    let word = |idx: usize, max: usize| {
        let word = args.get(idx);
        String::from_utf8_lossy(&word[..word.len().min(max)]).into_owned()
    };
    let mut echoed = String::new();
    for idx in 1..args.len() {
        if echoed.len() >= ECHO_LEN_MAX {
            break;
        }
        let word = word(idx, ECHO_LEN_MAX - echoed.len());
        echoed.extend(["'", &word, "' "]);
    }
    Failure::owned(format!(
        "ERR unknown command '{}', with args beginning with: {echoed}",
        word(0, ECHO_LEN_MAX)
    ))
}

/// Redis's answer to a subcommand that it does not know.
fn unknown_subcommand(command: &Command, word: &[u8]) -> Failure {
    let word = String::from_utf8_lossy(&word[..word.len().min(ECHO_LEN_MAX)]).into_owned();
    let name = command.name.to_uppercase();
    Failure::owned(format!("ERR unknown subcommand '{word}'. Try {name} HELP."))
}

/// Answers a `WAIT` that has ended.
pub(crate) fn waited(ended: Unblocked, is_answered: bool, counts: &mut Counts, out: &mut Output) {
    let mark = out.bytes.len();
    let mut reply = Encoder::new(&mut out.bytes, Protocol::Two);
    match ended {
        Unblocked::No | Unblocked::AsTimedOut => reply.integer(0),
        Unblocked::WithError => {
            let text = "UNBLOCKED client unblocked via CLIENT UNBLOCK";
            counts.error(text);
            reply.error(text);
        }
    }
    if !is_answered {
        out.bytes.truncate(mark);
    }
}

/// Answers bytes that are no command.
pub fn broken(error: DecodeError, counts: &mut Counts, out: &mut Output) {
    let text = error.to_string();
    counts.error(&text);
    Encoder::new(&mut out.bytes, Protocol::Two).error(&text);
}

/// Tells a client that its command is not waited for any longer.
pub fn too_slow(out: &mut Output) {
    Encoder::new(&mut out.bytes, Protocol::Two)
        .error("ERR the command comes too slowly: send it at once");
}

/// Tells a client that its command is not waited for: all clients together have sent too much of commands that are not
/// complete.
pub fn crowded(out: &mut Output) {
    Encoder::new(&mut out.bytes, Protocol::Two).error(
        "TRYAGAIN too many bytes of incomplete commands are held for all clients, try again",
    );
}

impl<'a, 'c, C: Cells> Call<'a, 'c, C> {
    /// The writer of the reply, in the client's version of the protocol.
    #[inline]
    pub fn reply(&mut self) -> Encoder<'_> {
        Encoder::new(&mut self.out.bytes, self.session.protocol)
    }

    /// Argument `idx` as a key of the client's database.
    #[inline]
    pub fn key(&self, idx: usize) -> Key<'a> {
        let bytes = self.args.get(idx);
        Key { namespace: self.session.namespace, bytes, at: self.node.hash_seed.key(bytes) }
    }

    /// Argument `idx` as a signed integer.
    ///
    /// # Errors
    ///
    /// [`Failure`] with Redis's text when it is none.
    pub fn integer(&self, idx: usize) -> Result<i64, Failure> {
        number::parse_i64(self.args.get(idx)).ok_or(Failure::NOT_INTEGER)
    }

    /// Fails when the reply that began at `start` has become too long.
    ///
    /// # Errors
    ///
    /// [`Failure`] beyond `REPLY_LEN_MAX` bytes.
    fn check_reply(&self, start: usize) -> Done {
        if self.out.bytes.len() - start > REPLY_LEN_MAX {
            return Err(Failure::text("ERR the reply would exceed 64 MiB, ask for fewer keys"));
        }
        Ok(())
    }

    /// Does `work` while the shards `idxs` are held, so that others see all of it or nothing.
    fn holding<R>(
        &mut self,
        idxs: impl FnOnce(&Self) -> Vec<usize>,
        work: impl FnOnce(&mut Call<'_, 'c, C>) -> R,
    ) -> R {
        if self.access.is_holding() {
            return work(self);
        }
        let mut held = Access::holding(self.access.cells(), idxs(self));
        work(&mut Call {
            node: self.node,
            session: &mut *self.session,
            access: &mut held,
            now: self.now,
            args: self.args,
            large: &mut *self.large,
            counts: &mut *self.counts,
            out: &mut *self.out,
        })
    }

    /// The shards of the keys among the arguments of this command.
    fn shards_of_keys(&self, id: CommandId) -> Vec<usize> {
        let words = id.command().key_words(self.args.len());
        words.map(|idx| self.access.cells().shard_of(self.key(idx).at.slot)).collect()
    }
}

/// The longest time to live, in milliseconds: deadlines are stored in 40 bits.
pub const TTL_MAX_MILLIS: u64 = 10 * 366 * 24 * 60 * 60 * 1000;

/// Why a command failed: the text of the RESP error, its code first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure(pub Cow<'static, str>);

impl Failure {
    /// A combination of words that the command does not know.
    pub const SYNTAX: Self = Self::text("ERR syntax error");
    /// An argument, or a stored value, that is no signed 64-bit integer.
    pub const NOT_INTEGER: Self = Self::text("ERR value is not an integer or out of range");
    /// A counter would leave 64 bits.
    pub const OVERFLOW: Self = Self::text("ERR increment or decrement would overflow");
    /// A time to wait that is no integer, or too long.
    pub const BAD_TIMEOUT: Self = Self::text("ERR timeout is not an integer or out of range");
    /// A time to wait below zero.
    pub const NEGATIVE_TIMEOUT: Self = Self::text("ERR timeout is negative");
    /// No room, and nothing may be evicted.
    pub const OUT_OF_MEMORY: Self =
        Self::text("OOM command not allowed when used memory > 'maxmemory'.");
    /// No room now, but soon.
    pub const TRY_AGAIN: Self = Self::text("TRYAGAIN there is no room at the moment, try again");

    /// A failure with a fixed text.
    #[must_use]
    pub const fn text(text: &'static str) -> Self {
        Self(Cow::Borrowed(text))
    }

    /// A failure whose text was made for this case.
    #[must_use]
    pub const fn owned(text: String) -> Self {
        Self(Cow::Owned(text))
    }

    /// A number of words that the command does not take, in the words of Redis.
    #[must_use]
    pub fn arity(command: &Command) -> Self {
        Self::owned(format!("ERR wrong number of arguments for '{}' command", command.name))
    }

    /// A time to live that is not positive or too far away, in the words of Redis.
    #[must_use]
    pub fn invalid_expire(command: &str) -> Self {
        Self::owned(format!("ERR invalid expire time in '{command}' command"))
    }
}

impl From<PatternTooLong> for Failure {
    fn from(PatternTooLong { len, max }: PatternTooLong) -> Self {
        Self::owned(format!("ERR pattern of {len} bytes exceeds the limit of {max} bytes"))
    }
}

impl From<UpdateError> for Failure {
    fn from(error: UpdateError) -> Self {
        match error {
            UpdateError::Full { retry: true } | UpdateError::NeedRoom { .. } => Self::TRY_AGAIN,
            UpdateError::Full { retry: false } => Self::OUT_OF_MEMORY,
            UpdateError::TooManySpaces { max } => {
                Self::owned(format!("ERR there are {max} namespaces with entries already"))
            }
            UpdateError::TooLarge { len, max } => Self::owned(format!(
                "ERR value of {len} bytes exceeds the limit of {max} bytes (--max-value)"
            )),
            UpdateError::KeyTooLong { len, max } => {
                Self::owned(format!("ERR key of {len} bytes exceeds the limit of {max} bytes"))
            }
        }
    }
}
