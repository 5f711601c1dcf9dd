//! Execution of requests: RESP commands, a file per family, and HTTP requests on keys.
//!
//! Each RESP command is a function over a [`Call`]: it reads its arguments, works on the shards that the call gives
//! access to, and appends its reply. A function that fails returns a [`Failure`]; what it appended until then is taken
//! back.

mod connection;
pub mod http;
mod keys;
mod strings;

use std::borrow::Cow;
use std::marker::PhantomData;

use ringhold_store::entry::UpdateError;
use ringhold_types::time::{Duration, Now, UnixTime};
use ringhold_wire::resp::Protocol;
use ringhold_wire::resp::decode::DecodeError;
use ringhold_wire::resp::encode::Encoder;

use crate::args::Args;
use crate::cells::{Access, Cells};
use crate::number;
use crate::output::Output;
use crate::session::Fate;
use crate::session::resp::RespSession;
use crate::shard_cell::Key;
use crate::state::NodeState;

/// The most bytes of a client's words that an error repeats, as in Redis.
const ECHO_LEN_MAX: usize = 128;

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

/// A command: its name, how many words it takes, and what it does.
struct Command<C: Cells> {
    /// In lower case.
    name: &'static str,
    /// The number of words with the name; negative: at least so many, as in Redis.
    arity: isize,
    run: for<'x, 'y, 'c> fn(&'x mut Call<'y, 'c, C>) -> Done,
}

/// The table of commands.
struct Commands<C>(PhantomData<C>);

impl<C: Cells> Commands<C> {
    /// The commands, the most frequent first.
    const ALL: [Command<C>; 28] = [
        Command { name: "get", arity: 2, run: strings::get },
        Command { name: "set", arity: -3, run: strings::set },
        Command { name: "mget", arity: -2, run: strings::mget },
        Command { name: "del", arity: -2, run: keys::del },
        Command { name: "unlink", arity: -2, run: keys::del },
        Command { name: "exists", arity: -2, run: keys::exists },
        Command { name: "incr", arity: 2, run: strings::incr },
        Command { name: "decr", arity: 2, run: strings::decr },
        Command { name: "incrby", arity: 3, run: strings::incrby },
        Command { name: "decrby", arity: 3, run: strings::decrby },
        Command { name: "setex", arity: 4, run: strings::setex },
        Command { name: "psetex", arity: 4, run: strings::psetex },
        Command { name: "setnx", arity: 3, run: strings::setnx },
        Command { name: "getset", arity: 3, run: strings::getset },
        Command { name: "getdel", arity: 2, run: strings::getdel },
        Command { name: "strlen", arity: 2, run: strings::strlen },
        Command { name: "ttl", arity: 2, run: keys::ttl },
        Command { name: "pttl", arity: 2, run: keys::pttl },
        Command { name: "expire", arity: 3, run: keys::expire },
        Command { name: "pexpire", arity: 3, run: keys::pexpire },
        Command { name: "persist", arity: 2, run: keys::persist },
        Command { name: "ping", arity: -1, run: connection::ping },
        Command { name: "echo", arity: 2, run: connection::echo },
        Command { name: "select", arity: 2, run: connection::select },
        Command { name: "auth", arity: -2, run: connection::auth },
        Command { name: "hello", arity: -1, run: connection::hello },
        Command { name: "client", arity: -2, run: connection::client },
        Command { name: "quit", arity: -1, run: connection::quit },
    ];
}

/// Executes one command and appends its reply; what becomes of the connection.
pub fn command<C: Cells>(mut call: Call<'_, '_, C>) -> Fate {
    let mark = (call.out.bytes.len(), call.out.inserts.len());
    match run(&mut call) {
        Ok(fate) => fate,
        Err(Failure(text)) => {
            call.out.truncate(mark.0, mark.1);
            call.reply().error(&text);
            Fate::Open
        }
    }
}

fn run<C: Cells>(call: &mut Call<'_, '_, C>) -> Result<Fate, Failure> {
    let name = call.args.get(0);

    let known = Commands::<C>::ALL
        .iter()
        .find(|command| name.eq_ignore_ascii_case(command.name.as_bytes()));
    let is_disabled =
        |name: &str| call.node.disabled_commands.iter().any(|disabled| disabled == name);
    let command =
        known.filter(|command| !is_disabled(command.name)).ok_or_else(|| unknown(call.args))?;
    let count = isize::try_from(call.args.len()).unwrap_or(isize::MAX);
    if command.arity != count && (command.arity > 0 || count < -command.arity) {
        return Err(Failure::owned(format!(
            "ERR wrong number of arguments for '{}' command",
            command.name
        )));
    }
    if !call.session.is_authenticated && !matches!(command.name, "auth" | "hello" | "quit") {
        return Err(Failure::text("NOAUTH Authentication required."));
    }
    (command.run)(call)?;
    Ok(if command.name == "quit" { Fate::Close } else { Fate::Open })
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

/// Answers bytes that are no command.
pub fn broken(error: DecodeError, out: &mut Output) {
    Encoder::new(&mut out.bytes, Protocol::Two).error(&error.to_string());
}

impl<'a, C: Cells> Call<'a, '_, C> {
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

    /// Argument `idx`, a positive time to live in milliseconds or (`is_seconds`) seconds, as a deadline.
    ///
    /// # Errors
    ///
    /// [`Failure`] with Redis's text when it is no number, not positive, or too far away.
    pub fn deadline(
        &self,
        idx: usize,
        is_seconds: bool,
        command: &str,
    ) -> Result<UnixTime, Failure> {
        let number = self.integer(idx)?;
        let millis = number.checked_mul(if is_seconds { 1000 } else { 1 });
        let ttl = millis.and_then(|millis| u64::try_from(millis).ok()).filter(|millis| *millis > 0);
        let ttl = ttl
            .filter(|millis| *millis <= TTL_MAX_MILLIS)
            .ok_or_else(|| Failure::invalid_expire(command))?;
        Ok(self.now.unix().after(Duration::from_millis(ttl)))
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

    /// A time to live that is not positive or too far away, in the words of Redis.
    #[must_use]
    pub fn invalid_expire(command: &str) -> Self {
        Self::owned(format!("ERR invalid expire time in '{command}' command"))
    }
}

impl From<UpdateError> for Failure {
    fn from(error: UpdateError) -> Self {
        match error {
            UpdateError::Full { retry: true } | UpdateError::NeedRoom { .. } => Self::TRY_AGAIN,
            UpdateError::Full { retry: false } => Self::OUT_OF_MEMORY,
            UpdateError::TooLarge { len, max } => Self::owned(format!(
                "ERR value of {len} bytes exceeds the limit of {max} bytes (--max-value)"
            )),
            UpdateError::KeyTooLong { len, max } => {
                Self::owned(format!("ERR key of {len} bytes exceeds the limit of {max} bytes"))
            }
        }
    }
}
