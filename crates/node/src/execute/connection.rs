//! Commands about the connection itself.
#![expect(clippy::unnecessary_wraps, reason = "all commands have one signature")]

use ringhold_types::id::NamespaceId;
use ringhold_types::limits::DATABASES;
use ringhold_wire::resp::Protocol;

use super::transactions::forget_watched;
use super::{Call, Done, Failure};
use crate::auth::DEFAULT_USER;
use crate::cells::Cells;
use crate::number;

/// The version of Redis whose behaviour clients may count on.
pub(super) const REDIS_VERSION: &str = "7.2.5";

/// The longest name of a connection, in bytes.
const NAME_LEN_MAX: usize = 256;

const WRONG_PASSWORD: Failure =
    Failure::text("WRONGPASS invalid username-password pair or user is disabled.");

/// `PING [message]`
pub(super) fn ping<C: Cells>(call: &mut Call<'_, '_, C>) -> Done {
    let message = call.args.get(1);
    match call.args.len() {
        1 => call.reply().simple("PONG"),
        2 => call.reply().bulk(message),
        _ => return Err(Failure::text("ERR wrong number of arguments for 'ping' command")),
    }
    Ok(())
}

/// `ECHO message`
pub(super) fn echo<C: Cells>(call: &mut Call<'_, '_, C>) -> Done {
    let message = call.args.get(1);
    call.reply().bulk(message);
    Ok(())
}

/// `QUIT`; the connection closes after the answer.
pub(super) fn quit<C: Cells>(call: &mut Call<'_, '_, C>) -> Done {
    call.reply().ok();
    Ok(())
}

/// `RESET`: the connection is as it was when it was accepted, its number and library excepted.
pub(super) fn reset<C: Cells>(call: &mut Call<'_, '_, C>) -> Done {
    forget_watched(call.session, call.access);
    call.session.reset();
    call.reply().simple("RESET");
    Ok(())
}

/// `SELECT database`
pub(super) fn select<C: Cells>(call: &mut Call<'_, '_, C>) -> Done {
    let number = call.integer(1)?;
    let number = u16::try_from(number).ok().filter(|number| *number < DATABASES);
    call.session.namespace =
        NamespaceId(number.ok_or(Failure::text("ERR DB index is out of range"))?);
    call.reply().ok();
    Ok(())
}

/// `AUTH [username] password`
pub(super) fn auth<C: Cells>(call: &mut Call<'_, '_, C>) -> Done {
    let (user, password) = match call.args.len() {
        2 => (DEFAULT_USER, call.args.get(1)),
        3 => (call.args.get(1), call.args.get(2)),
        _ => return Err(Failure::SYNTAX),
    };
    if call.args.len() == 2 && !call.node.passwords.are_required() {
        return Err(Failure::text(
            "ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?",
        ));
    }
    authenticate(call, user, password)?;
    call.reply().ok();
    Ok(())
}

fn authenticate<C: Cells>(call: &mut Call<'_, '_, C>, user: &[u8], password: &[u8]) -> Done {
    let is_right = !call.node.passwords.are_required() || call.node.passwords.accept(password);
    if user != DEFAULT_USER || !is_right {
        return Err(WRONG_PASSWORD);
    }
    call.session.is_authenticated = true;
    Ok(())
}

/// `HELLO [version [AUTH username password] [SETNAME name]]`
pub(super) fn hello<C: Cells>(call: &mut Call<'_, '_, C>) -> Done {
    let mut protocol = call.session.protocol;
    if call.args.len() > 1 {
        protocol = match number::parse_i64(call.args.get(1)) {
            Some(2) => Protocol::Two,
            Some(3) => Protocol::Three,
            Some(_) => return Err(Failure::text("NOPROTO unsupported protocol version")),
            None => {
                return Err(Failure::text(
                    "ERR Protocol version is not an integer or out of range",
                ));
            }
        };
    }
    let mut name = None;
    let mut idx = 2;
    while idx < call.args.len() {
        let (word, left) = (call.args.get(idx), call.args.len() - idx - 1);
        if word.eq_ignore_ascii_case(b"auth") && left >= 2 {
            authenticate(call, call.args.get(idx + 1), call.args.get(idx + 2))?;
            idx += 3;
        } else if word.eq_ignore_ascii_case(b"setname") && left >= 1 {
            name = Some(valid_name(call.args.get(idx + 1))?);
            idx += 2;
        } else {
            let word = String::from_utf8_lossy(word).into_owned();
            return Err(Failure::owned(format!("ERR Syntax error in HELLO option '{word}'")));
        }
    }
    if !call.session.is_authenticated {
        return Err(Failure::text(
            "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time",
        ));
    }
    call.session.protocol = protocol;
    if let Some(name) = name {
        call.session.record.rename(|names| names.name = name);
    }
    let id = i64::try_from(call.session.record.id).unwrap_or(i64::MAX);
    let mut reply = call.reply();
    reply.map(7);
    for (field, value) in [("server", "redis"), ("version", REDIS_VERSION)] {
        reply.bulk(field.as_bytes());
        reply.bulk(value.as_bytes());
    }
    reply.bulk(b"proto");
    reply.integer(if protocol == Protocol::Three { 3 } else { 2 });
    reply.bulk(b"id");
    reply.integer(id);
    for (field, value) in [("mode", "standalone"), ("role", "master")] {
        reply.bulk(field.as_bytes());
        reply.bulk(value.as_bytes());
    }
    reply.bulk(b"modules");
    reply.array(0);
    Ok(())
}

/// A name that a client gives: no spaces, nothing that breaks a line of `CLIENT LIST`.
pub(super) fn valid_name(name: &[u8]) -> Result<Box<str>, Failure> {
    let is_valid = name.len() <= NAME_LEN_MAX && name.iter().all(u8::is_ascii_graphic);
    let name = std::str::from_utf8(name).ok().filter(|_| is_valid);
    name.map(Box::from).ok_or(Failure::text(
        "ERR Client names cannot contain spaces, newlines or special characters.",
    ))
}
