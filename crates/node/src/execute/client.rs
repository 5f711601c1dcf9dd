//! `CLIENT`: what a connection is called, what others are there, and what becomes of them.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use ringhold_types::time::Duration;
use ringhold_wire::resp::table::CommandId;

use super::connection::valid_name;
use super::{Call, Done, Failure};
use crate::cells::Cells;
use crate::clients::ClientRecord;
use crate::number;
use crate::session::resp::Replies;

/// The longest pause, in milliseconds: a day.
const PAUSE_MAX_MILLIS: i64 = 24 * 60 * 60 * 1000;

const NO_SUCH_CLIENT: Failure = Failure::text("ERR No such client");

/// `CLIENT GETNAME | ID | INFO | KILL | LIST | NO-EVICT | NO-TOUCH | PAUSE | REPLY | SETINFO | SETNAME | UNBLOCK |
/// UNPAUSE | HELP`
pub(super) fn client<C: Cells>(call: &mut Call<'_, '_, C>) -> Done {
    let sub = call.args.get(1).to_ascii_lowercase();
    match sub.as_slice() {
        b"id" => {
            let id = signed(call.session.record.id);
            call.reply().integer(id);
        }
        b"getname" => getname(call),
        b"setname" => {
            let name = valid_name(call.args.get(2))?;
            call.session.record.rename(|names| names.name = name);
            call.reply().ok();
        }
        b"setinfo" => setinfo(call)?,
        b"info" => {
            let mut line = String::new();
            call.tell_record();
            call.session.record.describe(call.now, &mut line);
            line.push('\n');
            call.reply().verbatim(line.as_bytes());
        }
        b"list" => list(call)?,
        b"kill" => kill(call)?,
        b"pause" => pause(call)?,
        b"unpause" => {
            call.node.clients.unpause();
            call.reply().ok();
        }
        b"reply" => reply(call)?,
        b"no-evict" => {
            let is_on = on_or_off(call, 2)?;
            call.session.record.set_no_evict(is_on);
            call.reply().ok();
        }
        b"no-touch" => {
            call.session.is_no_touch = on_or_off(call, 2)?;
            call.reply().ok();
        }
        b"unblock" => unblock(call)?,
        _ => super::command::help(call, CommandId::Client),
    }
    Ok(())
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn on_or_off<C: Cells>(call: &Call<'_, '_, C>, idx: usize) -> Result<bool, Failure> {
    if call.args.is(idx, "on") {
        Ok(true)
    } else if call.args.is(idx, "off") {
        Ok(false)
    } else {
        Err(Failure::SYNTAX)
    }
}

fn getname<C: Cells>(call: &mut Call<'_, '_, C>) {
    let name = call.session.record.names().name;
    if name.is_empty() { call.reply().null() } else { call.reply().bulk(name.as_bytes()) }
}

/// `CLIENT SETINFO LIB-NAME name | LIB-VER version`
fn setinfo<C: Cells>(call: &mut Call<'_, '_, C>) -> Done {
    let attribute = call.args.get(2).to_ascii_lowercase();
    let is_library = match attribute.as_slice() {
        b"lib-name" => true,
        b"lib-ver" => false,
        _ => {
            let word = String::from_utf8_lossy(call.args.get(2)).into_owned();
            return Err(Failure::owned(format!("ERR Unrecognized option '{word}'")));
        }
    };
    let value = valid_name(call.args.get(3)).map_err(|_| {
        let word = String::from_utf8_lossy(&attribute).into_owned();
        Failure::owned(format!("ERR {word} cannot contain spaces, newlines or special characters."))
    })?;
    call.session.record.rename(|names| {
        *(if is_library { &mut names.library } else { &mut names.library_version }) = value;
    });
    call.reply().ok();
    Ok(())
}

/// Whether a `TYPE` names what every client here is; the others are kinds that Redis knows.
fn is_type_normal<C: Cells>(call: &Call<'_, '_, C>, idx: usize) -> Result<bool, Failure> {
    let word = call.args.get(idx).to_ascii_lowercase();
    match word.as_slice() {
        b"normal" => Ok(true),
        b"master" | b"replica" | b"slave" | b"pubsub" => Ok(false),
        _ => {
            let word = String::from_utf8_lossy(&word).into_owned();
            Err(Failure::owned(format!("ERR Unknown client type '{word}'")))
        }
    }
}

/// Argument `idx` as the number of a client.
fn client_id<C: Cells>(call: &Call<'_, '_, C>, idx: usize) -> Result<u64, Failure> {
    let id = number::parse_u64(call.args.get(idx)).filter(|id| *id > 0);
    id.ok_or(Failure::text("ERR client-id should be greater than 0"))
}

/// Argument `idx` as the age of a connection, in seconds.
fn age_s<C: Cells>(call: &Call<'_, '_, C>, idx: usize) -> Result<u64, Failure> {
    let age_s = number::parse_i64(call.args.get(idx));
    let age_s = age_s.ok_or(Failure::text("ERR maxage is not an integer or out of range"))?;
    let age_s = u64::try_from(age_s).ok().filter(|age_s| *age_s > 0);
    age_s.ok_or(Failure::text("ERR maxage should be greater than 0"))
}

/// `CLIENT LIST [TYPE type] [ID id …]`
fn list<C: Cells>(call: &mut Call<'_, '_, C>) -> Done {
    let mut ids = None;
    let mut is_shown = true;
    if call.args.len() > 2 {
        if call.args.is(2, "type") && call.args.len() == 4 {
            is_shown = is_type_normal(call, 3)?;
        } else if call.args.is(2, "id") && call.args.len() > 3 {
            let invalid = |_| Failure::text("ERR Invalid client ID");
            let asked: Result<Vec<u64>, _> =
                (3..call.args.len()).map(|idx| client_id(call, idx).map_err(invalid)).collect();
            let mut asked = asked?;
            // Sorted, since they are looked for while nobody can come or go.
            asked.sort_unstable();
            ids = Some(asked);
        } else {
            return Err(Failure::SYNTAX);
        }
    }
    call.tell_record();
    let mut text = String::new();
    call.node.clients.each(|record| {
        if is_shown && ids.as_ref().is_none_or(|ids| ids.binary_search(&record.id).is_ok()) {
            record.describe(call.now, &mut text);
            text.push('\n');
        }
    });
    call.reply().verbatim(text.as_bytes());
    Ok(())
}

/// What `CLIENT KILL` looks for; every part that is there must hold.
#[derive(Default)]
struct Victims {
    id: Option<u64>,
    address: Option<String>,
    local_address: Option<String>,
    age_s_min: Option<u64>,
    spares_me: bool,
    is_nobody: bool,
}

impl Victims {
    /// Reads the filters from argument 2 on.
    fn parse<C: Cells>(call: &Call<'_, '_, C>) -> Result<Self, Failure> {
        let mut victims = Self { spares_me: true, ..Self::default() };
        let text = |idx: usize| String::from_utf8_lossy(call.args.get(idx)).into_owned();
        if !call.args.len().is_multiple_of(2) {
            return Err(Failure::SYNTAX);
        }
        for idx in (2..call.args.len()).step_by(2) {
            let filter = call.args.get(idx).to_ascii_lowercase();
            match filter.as_slice() {
                b"id" => victims.id = Some(client_id(call, idx + 1)?),
                b"addr" => victims.address = Some(text(idx + 1)),
                b"laddr" => victims.local_address = Some(text(idx + 1)),
                b"type" => victims.is_nobody |= !is_type_normal(call, idx + 1)?,
                b"user" if call.args.get(idx + 1) == crate::auth::DEFAULT_USER => {}
                b"user" => {
                    let user = text(idx + 1);
                    return Err(Failure::owned(format!("ERR No such user '{user}'")));
                }
                b"maxage" => victims.age_s_min = Some(age_s(call, idx + 1)?),
                b"skipme" if call.args.is(idx + 1, "yes") => victims.spares_me = true,
                b"skipme" if call.args.is(idx + 1, "no") => victims.spares_me = false,
                _ => return Err(Failure::SYNTAX),
            }
        }
        Ok(victims)
    }

    fn has(&self, record: &ClientRecord, me: u64, now: ringhold_types::time::Now) -> bool {
        !self.is_nobody
            && self.id.is_none_or(|id| record.id == id)
            && self.address.as_ref().is_none_or(|address| **address == *record.address)
            && self.local_address.as_ref().is_none_or(|address| **address == *record.local_address)
            && self.age_s_min.is_none_or(|age| record.age_s(now) >= age)
            && !(self.spares_me && record.id == me)
    }
}

/// `CLIENT KILL address:port`, or `CLIENT KILL filter value [filter value …]`
fn kill<C: Cells>(call: &mut Call<'_, '_, C>) -> Done {
    let (me, now) = (call.session.record.id, call.now);
    if call.args.len() == 3 {
        let address = String::from_utf8_lossy(call.args.get(2)).into_owned();
        if call.node.clients.kill(|record| *record.address == *address) == 0 {
            return Err(NO_SUCH_CLIENT);
        }
        call.reply().ok();
        return Ok(());
    }
    let victims = Victims::parse(call)?;
    let count = call.node.clients.kill(|record| victims.has(record, me, now));
    call.reply().integer(i64::try_from(count).unwrap_or(i64::MAX));
    Ok(())
}

/// `CLIENT PAUSE milliseconds [WRITE | ALL]`
fn pause<C: Cells>(call: &mut Call<'_, '_, C>) -> Done {
    let is_of_all = match call.args.len() {
        3 => true,
        4 if call.args.is(3, "all") => true,
        4 if call.args.is(3, "write") => false,
        4 => return Err(Failure::text("ERR CLIENT PAUSE mode must be WRITE or ALL")),
        _ => return Err(Failure::SYNTAX),
    };
    let millis = number::parse_i64(call.args.get(2)).filter(|millis| *millis <= PAUSE_MAX_MILLIS);
    let millis = millis.ok_or(Failure::BAD_TIMEOUT)?;
    let millis = u64::try_from(millis).map_err(|_| Failure::NEGATIVE_TIMEOUT)?;
    if call.node.process.is_draining.load(Ordering::Relaxed) {
        return Err(Failure::text("ERR the node is stopping"));
    }
    let until = call.now.unix().after(Duration::from_millis(millis));
    call.node.clients.pause(until, is_of_all, call.now);
    call.reply().ok();
    Ok(())
}

/// `CLIENT REPLY ON | OFF | SKIP`
fn reply<C: Cells>(call: &mut Call<'_, '_, C>) -> Done {
    if call.args.is(2, "on") {
        call.session.replies = Replies::On;
        call.reply().ok();
    } else if call.args.is(2, "off") {
        call.session.replies = Replies::Off;
    } else if call.args.is(2, "skip") {
        // Once they are off, skipping one changes nothing.
        if call.session.replies == Replies::On {
            call.session.replies = Replies::SkipNext;
        }
    } else {
        return Err(Failure::SYNTAX);
    }
    Ok(())
}

/// `CLIENT UNBLOCK id [TIMEOUT | ERROR]`
fn unblock<C: Cells>(call: &mut Call<'_, '_, C>) -> Done {
    if call.args.len() > 4 {
        let word = String::from_utf8_lossy(call.args.get(1)).into_owned();
        return Err(Failure::owned(format!(
            "ERR unknown subcommand or wrong number of arguments for '{word}'. Try CLIENT HELP."
        )));
    }
    let is_error = call.args.is(3, "error");
    if call.args.len() == 4 && !is_error && !call.args.is(3, "timeout") {
        return Err(Failure::text("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR"));
    }
    let id = u64::try_from(call.integer(2)?);
    let is_freed = id.is_ok_and(|id| call.node.clients.unblock(id, is_error));
    call.reply().integer(i64::from(is_freed));
    Ok(())
}

impl<C: Cells> Call<'_, '_, C> {
    /// Has the record say what the session is at this moment, so that a list is right about the one who asks.
    fn tell_record(&self) {
        let record = Arc::clone(&self.session.record);
        record.update(self.session.state(self.now));
    }
}
