//! Transactions: `MULTI` queues commands, `EXEC` executes them while all their shards are held, and only if no watched
//! key was changed.
#![expect(clippy::unnecessary_wraps, reason = "all commands have one signature")]

use ringhold_wire::resp::table::CommandId;

use super::{Call, Done, Failure, REPLY_LEN_MAX, run};
use crate::cells::{Access, Cells};
use crate::session::queue::Queue;
use crate::session::resp::{RespSession, Watched};
use crate::shard_cell::Key;
use crate::stats::CallId;

/// The most keys that one connection may watch.
const WATCHED_MAX: usize = 16_384;
/// What a watched key takes beside its bytes: the row here and the one in its shard.
const WATCHED_LEN: usize = 192;

/// `MULTI`
pub(super) fn multi<C: Cells>(call: &mut Call<'_, '_, C>) -> Done {
    if call.session.queue.is_some() {
        return Err(Failure::text("ERR MULTI calls can not be nested"));
    }
    call.session.queue = Some(Box::default());
    call.reply().ok();
    Ok(())
}

/// Keeps a command for `EXEC`.
pub(super) fn queue<C: Cells>(id: CommandId, call: &mut Call<'_, '_, C>) -> Done {
    let args = call.args;
    let Some(queue) = &mut call.session.queue else { return Ok(()) };
    if !queue.push(id, args) {
        queue.is_broken = true;
        return Err(Failure::text("ERR the transaction would exceed 64 MiB"));
    }
    call.reply().simple("QUEUED");
    Ok(())
}

/// `DISCARD`
pub(super) fn discard<C: Cells>(call: &mut Call<'_, '_, C>) -> Done {
    if call.session.queue.take().is_none() {
        return Err(Failure::text("ERR DISCARD without MULTI"));
    }
    forget_watched(call.session, call.access);
    call.reply().ok();
    Ok(())
}

/// `WATCH key [key …]`
pub(super) fn watch<C: Cells>(call: &mut Call<'_, '_, C>) -> Done {
    if call.session.queue.is_some() {
        return Err(Failure::text("ERR WATCH inside MULTI is not allowed"));
    }
    let (now, namespace) = (call.now, call.session.namespace);
    for idx in 1..call.args.len() {
        let key = call.key(idx);
        let name = (namespace, key.at.hash);
        if call.session.watched.contains_key(&name) {
            continue;
        }
        if call.session.watched.len() >= WATCHED_MAX {
            return Err(Failure::text("ERR too many watched keys (16384)"));
        }
        let stamp = call.access.write(key.at.slot, |cell, _| {
            cell.reap(key, now);
            cell.watch(key, now)
        });
        let watched = Watched { at: key.at, stamp, key: Box::from(key.bytes) };
        call.session.watched.insert(name, watched);
        call.session.watched_len += key.bytes.len() + WATCHED_LEN;
    }
    call.reply().ok();
    Ok(())
}

/// `UNWATCH`
pub(super) fn unwatch<C: Cells>(call: &mut Call<'_, '_, C>) -> Done {
    forget_watched(call.session, call.access);
    call.reply().ok();
    Ok(())
}

/// Ends the watching of every key of a session; to be called before a session with watched keys is dropped.
pub fn forget_watched<C: Cells>(session: &mut RespSession, access: &mut Access<'_, C>) {
    for ((namespace, _), watched) in std::mem::take(&mut session.watched) {
        access.write(watched.at.slot, |cell, _| cell.unwatch(namespace, watched.at));
    }
    session.watched_len = 0;
}

/// `EXEC`
pub(super) fn exec<C: Cells>(call: &mut Call<'_, '_, C>) -> Done {
    let Some(queue) = call.session.queue.take() else {
        return Err(Failure::text("ERR EXEC without MULTI"));
    };
    if queue.is_broken {
        forget_watched(call.session, call.access);
        return Err(Failure::text("EXECABORT Transaction discarded because of previous errors."));
    }
    let is_done = call.holding(|call| shards_of(&queue, call), |call| execute(&queue, call));
    if is_done {
        return Ok(());
    }
    call.reply().null_array();
    Ok(())
}

/// The shards of all keys of a transaction, the watched ones included; all shards when a command walks over them.
fn shards_of<C: Cells>(queue: &Queue, call: &Call<'_, '_, C>) -> Vec<usize> {
    let cells = call.access.cells();
    let mut shards: Vec<usize> =
        call.session.watched.values().map(|watched| cells.shard_of(watched.at.slot)).collect();
    for (id, args) in queue.iter() {
        if walks_over_all(id) {
            return (0..cells.count()).collect();
        }
        shards.extend(
            id.command()
                .key_words(args.len())
                .map(|idx| cells.shard_of(call.node.hash_seed.key(args.get(idx)).slot)),
        );
    }
    if shards.is_empty() {
        // Something is held in any case, so that all of it is one step.
        shards.push(0);
    }
    shards
}

/// Whether a command touches shards beyond those of the keys that follow its name.
const fn walks_over_all(id: CommandId) -> bool {
    matches!(
        id,
        CommandId::Scan
            | CommandId::Keys
            | CommandId::RandomKey
            | CommandId::DbSize
            | CommandId::FlushDb
            | CommandId::FlushAll
            | CommandId::Info
            | CommandId::Config
            | CommandId::Object
            | CommandId::Memory
    )
}

/// Executes the queue while its shards are held; false, and nothing done, when a watched key was changed.
fn execute<C: Cells>(queue: &Queue, call: &mut Call<'_, '_, C>) -> bool {
    let now = call.now;
    let mut is_changed = false;
    for ((namespace, _), watched) in &call.session.watched {
        let key = Key { namespace: *namespace, bytes: &watched.key, at: watched.at };
        is_changed |= call.access.write(watched.at.slot, |cell, _| {
            // An entry whose time has come since is a changed one.
            cell.reap(key, now);
            cell.is_changed(key.namespace, watched.at, watched.stamp)
        });
    }
    forget_watched(call.session, call.access);
    if is_changed {
        return false;
    }
    let start = call.out.bytes.len();
    call.reply().array(queue.len());
    for (id, args) in queue.iter() {
        let mark = (call.out.bytes.len(), call.out.inserts.len());
        let mut inner = Call {
            node: call.node,
            session: &mut *call.session,
            access: &mut *call.access,
            now,
            args,
            large: &mut [],
            counts: &mut *call.counts,
            out: &mut *call.out,
        };
        // A command whose reply is one too many has been executed all the same: a transaction is not undone.
        let done = run(id, &mut inner).and_then(|()| check_replies(call, start));
        if let Err(Failure(text)) = done {
            call.out.truncate(mark.0, mark.1);
            call.counts.error(&text);
            call.counts.failed(CallId::of(id, args.get(1)));
            call.reply().error(&text);
        }
    }
    true
}

/// Fails when the replies of a transaction that began at `start` have become too long together.
fn check_replies<C: Cells>(call: &Call<'_, '_, C>, start: usize) -> Done {
    if call.out.bytes.len() - start > REPLY_LEN_MAX {
        return Err(Failure::text(
            "ERR executed, but the replies of the transaction would exceed 64 MiB",
        ));
    }
    Ok(())
}
