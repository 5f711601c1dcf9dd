//! `COMMAND`: the table of commands, as routers and shells read it.

use ringhold_wire::resp::encode::Encoder;
use ringhold_wire::resp::table::{COMMANDS, Command, CommandId, KeySpec, find};

use super::{Call, Done, Failure};
use crate::args::Args;
use crate::cells::Cells;
use crate::glob::Pattern;

/// `COMMAND [COUNT | INFO | DOCS | LIST | GETKEYS | GETKEYSANDFLAGS | HELP]`
pub(super) fn command<C: Cells>(call: &mut Call<'_, '_, C>) -> Done {
    let sub = call.args.get(1).to_ascii_lowercase();
    match sub.as_slice() {
        b"" => info_of_all(call),
        b"count" => {
            let count = i64::try_from(enabled(call).count()).unwrap_or(0);
            call.reply().integer(count);
        }
        b"info" => return info(call),
        b"docs" => return docs(call),
        b"list" => return list(call),
        b"getkeys" => return keys(call, false),
        b"getkeysandflags" => return keys(call, true),
        _ => help(call, CommandId::Command),
    }
    Ok(())
}

/// Answers the subcommands of a command, a line each.
pub(super) fn help<C: Cells>(call: &mut Call<'_, '_, C>, id: CommandId) {
    let command = id.command();
    let mut reply = call.reply();
    reply.array(1 + 2 * command.subcommands.len());
    reply.simple(&format!(
        "{} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        command.name.to_uppercase()
    ));
    for sub in command.subcommands {
        reply.simple(&sub.last_name().to_uppercase());
        reply.simple(&format!("    {}", sub.summary));
    }
}

fn enabled<'a, C: Cells>(
    call: &'a Call<'_, '_, C>,
) -> impl Iterator<Item = &'static Command> + use<'a, C> {
    COMMANDS.iter().filter(|command| !call.node.disabled_commands.has(command.id))
}

/// The enabled command, or `command|subcommand`, of this name.
fn named<C: Cells>(call: &Call<'_, '_, C>, name: &[u8]) -> Option<&'static Command> {
    let (name, sub) = match name.iter().position(|byte| *byte == b'|') {
        Some(bar) => (&name[..bar], Some(&name[bar + 1..])),
        None => (name, None),
    };
    let command = find(name).filter(|id| !call.node.disabled_commands.has(*id))?.command();
    match sub {
        Some(sub) => command.subcommand(sub),
        None => Some(command),
    }
}

fn info_of_all<C: Cells>(call: &mut Call<'_, '_, C>) {
    let all: Vec<_> = enabled(call).collect();
    let mut reply = call.reply();
    reply.array(all.len());
    all.iter().for_each(|command| describe(command, &mut reply));
}

fn info<C: Cells>(call: &mut Call<'_, '_, C>) -> Done {
    if call.args.len() == 2 {
        info_of_all(call);
        return Ok(());
    }
    let (start, asked) = (call.out.bytes.len(), call.args.len() - 2);
    call.reply().array(asked);
    for idx in 2..call.args.len() {
        match named(call, call.args.get(idx)) {
            Some(command) => describe(command, &mut call.reply()),
            None => call.reply().null(),
        }
        call.check_reply(start)?;
    }
    Ok(())
}

/// The ten fields of a command.
fn describe(command: &Command, reply: &mut Encoder<'_>) {
    let [first, last, step] = places(command.keys);
    reply.array(10);
    reply.bulk(command.name.as_bytes());
    reply.integer(i64::from(command.arity));
    let flags: Vec<_> = command.flags.names().collect();
    reply.set(flags.len());
    flags.iter().for_each(|flag| reply.simple(flag));
    [first, last, step].into_iter().for_each(|place| reply.integer(place));
    let categories: Vec<_> = command.categories().collect();
    reply.set(categories.len());
    categories.iter().for_each(|category| reply.simple(category));
    reply.set(command.tips.len());
    command.tips.iter().for_each(|tip| reply.bulk(tip.as_bytes()));
    reply.set(command.keys.len());
    command.keys.iter().for_each(|spec| describe_keys(spec, reply));
    reply.set(command.subcommands.len());
    command.subcommands.iter().for_each(|sub| describe(sub, reply));
}

/// The first key, the last one, and the step between, as all key specifications together give them.
fn places(keys: &[KeySpec]) -> [i64; 3] {
    let signed = |place: usize| i64::try_from(place).unwrap_or(0);
    match (keys.first(), keys.last()) {
        (Some(first), Some(last)) => {
            let end = if last.last < 0 {
                i64::from(last.last)
            } else {
                signed(last.first) + i64::from(last.last)
            };
            [signed(first.first), end, signed(first.step)]
        }
        _ => [0, 0, 0],
    }
}

fn describe_keys(spec: &KeySpec, reply: &mut Encoder<'_>) {
    let field = |reply: &mut Encoder<'_>, name: &str, number: i64| {
        reply.bulk(name.as_bytes());
        reply.integer(number);
    };
    let signed = |place: usize| i64::try_from(place).unwrap_or(0);
    reply.map(3 + usize::from(spec.notes.is_some()));
    if let Some(notes) = spec.notes {
        reply.bulk(b"notes");
        reply.bulk(notes.as_bytes());
    }
    reply.bulk(b"flags");
    reply.set(spec.access.len());
    spec.access.iter().for_each(|flag| reply.simple(flag));
    reply.bulk(b"begin_search");
    reply.map(2);
    reply.bulk(b"type");
    reply.bulk(b"index");
    reply.bulk(b"spec");
    reply.map(1);
    field(reply, "index", signed(spec.first));
    reply.bulk(b"find_keys");
    reply.map(2);
    reply.bulk(b"type");
    reply.bulk(b"range");
    reply.bulk(b"spec");
    reply.map(3);
    field(reply, "lastkey", i64::from(spec.last));
    field(reply, "keystep", signed(spec.step));
    field(reply, "limit", 0);
}

fn docs<C: Cells>(call: &mut Call<'_, '_, C>) -> Done {
    let asked: Vec<_> = if call.args.len() == 2 {
        enabled(call).collect()
    } else {
        (2..call.args.len()).filter_map(|idx| named(call, call.args.get(idx))).collect()
    };
    let start = call.out.bytes.len();
    call.reply().map(asked.len());
    for command in asked {
        document(command, &mut call.reply());
        call.check_reply(start)?;
    }
    Ok(())
}

fn document(command: &Command, reply: &mut Encoder<'_>) {
    reply.bulk(command.name.as_bytes());
    reply.map(3 + usize::from(!command.subcommands.is_empty()));
    for (field, text) in
        [("summary", command.summary), ("since", command.since), ("group", command.group.name())]
    {
        reply.bulk(field.as_bytes());
        reply.bulk(text.as_bytes());
    }
    if !command.subcommands.is_empty() {
        reply.bulk(b"subcommands");
        reply.map(command.subcommands.len());
        command.subcommands.iter().for_each(|sub| document(sub, reply));
    }
}

/// `COMMAND LIST [FILTERBY MODULE name | ACLCAT category | PATTERN pattern]`
fn list<C: Cells>(call: &mut Call<'_, '_, C>) -> Done {
    let filter = match call.args.len() {
        2 => None,
        5 if call.args.is(2, "filterby") => Some((call.args.get(3), call.args.get(4))),
        _ => return Err(Failure::SYNTAX),
    };
    let mut names: Vec<&Command> = Vec::new();
    for command in enabled(call) {
        names.extend(std::iter::once(command).chain(command.subcommands));
    }
    if let Some((kind, word)) = filter {
        let kind = kind.to_ascii_lowercase();
        match kind.as_slice() {
            b"module" => names.clear(),
            b"aclcat" => names.retain(|command| {
                command
                    .categories()
                    .any(|category| category.as_bytes()[1..].eq_ignore_ascii_case(word))
            }),
            b"pattern" => {
                let pattern = Pattern::new(word)?;
                names.retain(|command| pattern.matches(command.name.as_bytes()));
            }
            _ => return Err(Failure::SYNTAX),
        }
    }
    let mut reply = call.reply();
    reply.set(names.len());
    names.iter().for_each(|command| reply.bulk(command.name.as_bytes()));
    Ok(())
}

/// `COMMAND GETKEYS command [argument …]`, with what is done with each key if `are_flags_wanted`.
fn keys<C: Cells>(call: &mut Call<'_, '_, C>, are_flags_wanted: bool) -> Done {
    let asked: Args<'_> = call.args.from(2);
    let command =
        named(call, asked.get(0)).ok_or(Failure::text("ERR Invalid command specified"))?;
    let command = command.subcommand(asked.get(1)).unwrap_or(command);
    if command.keys.is_empty() {
        return Err(Failure::text("ERR The command has no key arguments"));
    }
    if !command.takes(asked.len()) {
        return Err(Failure::text("ERR Invalid number of arguments specified for command"));
    }
    let words: Vec<usize> = command.key_words(asked.len()).collect();
    let access = |word: usize| {
        // As Redis, which looks at the words of SET: without GET it does not read.
        let is_get = |idx: usize| asked.is(idx, "get");
        if command.id == CommandId::Set {
            let does_read = (3..asked.len()).any(is_get);
            return if does_read { &["RW", "access", "update"][..] } else { &["OW", "update"] };
        }
        command.keys.iter().rfind(|spec| spec.first <= word).map_or(&[][..], |spec| spec.access)
    };
    let mut reply = call.reply();
    reply.array(words.len());
    for word in words {
        if are_flags_wanted {
            reply.array(2);
        }
        reply.bulk(asked.get(word));
        if are_flags_wanted {
            reply.set(access(word).len());
            access(word).iter().for_each(|flag| reply.simple(flag));
        }
    }
    Ok(())
}
