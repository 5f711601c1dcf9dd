//! `OBJECT` and `MEMORY`: how one entry is kept.

use ringhold_store::entry::{EntryRef, Lookup, ValueRef};
use ringhold_wire::resp::table::CommandId;

use super::{Call, Done, Failure};
use crate::cells::Cells;
use crate::number;

/// The longest string that Redis keeps in one piece with its header, in bytes.
const EMBEDDED_LEN_MAX: usize = 44;
/// Redis's answer where its policy counts uses, as ours does.
const NO_IDLE_TIME: Failure = Failure::text(
    "ERR An LFU maxmemory policy is selected, idle time not tracked. Please note that when switching between policies \
     at runtime LRU and LFU data will take some time to adjust.",
);

/// `OBJECT ENCODING | FREQ | IDLETIME | REFCOUNT key`, `OBJECT HELP`
pub(super) fn object<C: Cells>(call: &mut Call<'_, '_, C>) -> Done {
    let sub = call.args.get(1).to_ascii_lowercase();
    match sub.as_slice() {
        b"encoding" => match look(call, encoding) {
            Some(name) => call.reply().bulk(name.as_bytes()),
            None => call.reply().null(),
        },
        b"freq" => integer(call, |entry| i64::from(entry.freq())),
        b"refcount" => integer(call, |_| 1),
        b"idletime" => match look(call, |_| ()) {
            Some(()) => return Err(NO_IDLE_TIME),
            None => call.reply().null(),
        },
        _ => super::command::help(call, CommandId::Object),
    }
    Ok(())
}

/// `MEMORY USAGE key [SAMPLES count]`, `MEMORY HELP`
pub(super) fn memory<C: Cells>(call: &mut Call<'_, '_, C>) -> Done {
    if !call.args.is(1, "usage") {
        super::command::help(call, CommandId::Memory);
        return Ok(());
    }
    match call.args.len() {
        3 => {}
        // A value is one piece: there is nothing to take samples of.
        5 if call.args.is(3, "samples") => {
            if call.integer(4)? < 0 {
                return Err(Failure::SYNTAX);
            }
        }
        _ => return Err(Failure::SYNTAX),
    }
    integer(call, |entry| i64::try_from(entry.charge()).unwrap_or(i64::MAX));
    Ok(())
}

/// What `look` sees of the entry of argument 2, which is no use of it.
fn look<C: Cells, R>(call: &Call<'_, '_, C>, look: impl FnOnce(&EntryRef<'_>) -> R) -> Option<R> {
    let (key, now) = (call.key(2), call.now);
    call.access.read(key.at.slot, |cell| match cell.peek(key, now) {
        Lookup::Hit(entry) => Some(look(&entry)),
        Lookup::Miss | Lookup::Expired => None,
    })
}

fn integer<C: Cells>(call: &mut Call<'_, '_, C>, of: impl FnOnce(&EntryRef<'_>) -> i64) {
    match look(call, of) {
        Some(number) => call.reply().integer(number),
        None => call.reply().null(),
    }
}

/// How Redis would keep a string that was set to this value.
fn encoding(entry: &EntryRef<'_>) -> &'static str {
    match entry.value() {
        ValueRef::Bytes(bytes) if number::parse_i64(bytes).is_some() => "int",
        ValueRef::Bytes(bytes) if bytes.len() <= EMBEDDED_LEN_MAX => "embstr",
        ValueRef::Bytes(_) | ValueRef::Large(_) => "raw",
    }
}
