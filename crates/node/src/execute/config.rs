//! `CONFIG`: the settings that Redis clients ask for, under the names of Redis.

use std::sync::atomic::Ordering;

use super::{Call, Done, Failure};
use crate::cells::{Cells, with_room};
use crate::glob::Pattern;
use crate::namespaces::Namespace;
use crate::number;
use crate::shard_cell::ShardCell;
use crate::state::NodeState;
use ringhold_store::entry::UpdateError;
use ringhold_types::id::NamespaceId;
use ringhold_types::limits::DATABASES;
use ringhold_types::slot::{SLOTS, Slot};
use ringhold_wire::resp::table::CommandId;

/// Changes a setting; the error says what it takes.
type Change = fn(&NodeState, &str) -> Result<(), String>;

/// A setting under its name of Redis.
struct Setting {
    name: &'static str,
    get: fn(&NodeState) -> String,
    /// How it is changed while the node runs; `None`: it is not.
    set: Option<Change>,
}

const fn fixed(name: &'static str, get: fn(&NodeState) -> String) -> Setting {
    Setting { name, get, set: None }
}

const SETTINGS: &[Setting] = &[
    fixed("appendonly", |_| "no".to_owned()),
    fixed("cluster-enabled", |_| "no".to_owned()),
    fixed("databases", |_| DATABASES.to_string()),
    fixed("io-threads", |node| node.workers.to_string()),
    Setting {
        name: "maxclients",
        get: |node| node.tunables.connections_max.load(Ordering::Relaxed).to_string(),
        set: Some(|node, text| {
            let count = text.parse().ok().filter(|count| *count > 0);
            let count = count.ok_or("argument must be a number above 0")?;
            node.tunables.connections_max.store(count, Ordering::Relaxed);
            Ok(())
        }),
    },
    Setting {
        name: "maxmemory",
        get: |node| node.budget.limit().to_string(),
        set: Some(|node, text| {
            let bytes = memory(text).ok_or("argument must be a memory value")?;
            node.budget.set_limit(bytes).map_err(|error| error.to_string())
        }),
    },
    Setting {
        name: POLICY,
        get: |node| policy(node).to_owned(),
        // The shards are told by `set`, which can reach them.
        set: Some(|_, text| match text {
            EVICTION | NO_EVICTION => Ok(()),
            _ => Err(format!("argument must be one of: {NO_EVICTION}, {EVICTION}")),
        }),
    },
    fixed("notify-keyspace-events", |_| String::new()),
    fixed("port", |node| node.resp_port.to_string()),
    fixed("proto-max-bulk-len", |node| node.geometry.value_len_max.to_string()),
    fixed("replica-read-only", |_| "yes".to_owned()),
    fixed("save", |_| String::new()),
    fixed("slave-read-only", |_| "yes".to_owned()),
    Setting {
        name: "timeout",
        get: |node| (node.tunables.idle_timeout_ms.load(Ordering::Relaxed) / 1000).to_string(),
        set: Some(|node, text| {
            let seconds = number::parse_i64(text.as_bytes())
                .ok_or("argument couldn't be parsed into an integer")?;
            let seconds = u32::try_from(seconds).map(u64::from);
            let seconds =
                seconds.map_err(|_| "argument must be between 0 and 4294967295 inclusive")?;
            node.tunables.idle_timeout_ms.store(seconds * 1000, Ordering::Relaxed);
            Ok(())
        }),
    },
];

const POLICY: &str = "maxmemory-policy";
const EVICTION: &str = "allkeys-lfu";
const NO_EVICTION: &str = "noeviction";

/// Redis's word for what becomes of entries when memory is full: `noeviction` when no database evicts.
pub(super) fn policy(node: &NodeState) -> &'static str {
    let mut databases = node.namespaces.all().into_iter().filter(|row| row.id.0 < DATABASES);
    if databases.any(|row| row.terms.is_evicted) { EVICTION } else { NO_EVICTION }
}

/// Switches the eviction of all databases, or of none: what was switched is switched back when a shard has no room.
fn set_policy<C: Cells>(call: &mut Call<'_, '_, C>, is_evicted: bool) -> Done {
    let mut switched = Vec::new();
    for id in (0..DATABASES).map(NamespaceId) {
        let Some(row) = call.node.namespaces.set_evicted(id, is_evicted) else { continue };
        switched.push(id);
        if let Err(error) = tell_shards(call, &row) {
            for id in switched {
                if let Some(row) = call.node.namespaces.set_evicted(id, !is_evicted) {
                    // What a shard has no room for it was not told before.
                    let _is_told: Result<(), _> = tell_shards(call, &row);
                }
            }
            return Err(error.into());
        }
    }
    Ok(())
}

/// Tells every shard the settings of a database. What is over a quota goes with later ticks.
fn tell_shards<C: Cells>(call: &mut Call<'_, '_, C>, row: &Namespace) -> Result<(), UpdateError> {
    let now = call.now;
    // The first slots are in one shard each.
    for slot in (0..SLOTS).filter_map(Slot::new).take(call.access.cells().count()) {
        call.access.write(slot, |cell, cells| {
            let shards = u64::try_from(cells.count()).unwrap_or(u64::MAX);
            let quota = row.terms.quota.map(|quota| quota / shards);
            let tell =
                |cell: &mut ShardCell| cell.configure(row.id, quota, row.terms.is_evicted, now);
            with_room(cells, cell, now, tell).map(|_is_within| ())
        })?;
    }
    Ok(())
}

/// A number of bytes as `redis.conf` writes it: `100mb` is 100 × 2^20, `100m` is 100 × 10^6.
fn memory(text: &str) -> Option<u64> {
    let text = text.to_ascii_lowercase();
    let digits = text.trim_end_matches(|byte: char| byte.is_ascii_alphabetic());
    let unit: u64 = match &text[digits.len()..] {
        "" | "b" => 1,
        "k" => 1000,
        "kb" => 1 << 10,
        "m" => 1_000_000,
        "mb" => 1 << 20,
        "g" => 1_000_000_000,
        "gb" => 1 << 30,
        _ => return None,
    };
    number::parse_u64(digits.as_bytes())?.checked_mul(unit)
}

/// `CONFIG GET | SET | RESETSTAT | HELP`
pub(super) fn config<C: Cells>(call: &mut Call<'_, '_, C>) -> Done {
    let sub = call.args.get(1).to_ascii_lowercase();
    match sub.as_slice() {
        b"get" => get(call)?,
        b"set" => set(call)?,
        b"resetstat" => {
            call.node.stats.reset();
            call.reply().ok();
        }
        _ => super::command::help(call, CommandId::Config),
    }
    Ok(())
}

fn get<C: Cells>(call: &mut Call<'_, '_, C>) -> Done {
    let mut is_asked = [false; SETTINGS.len()];
    for idx in 2..call.args.len() {
        let pattern = call.args.get(idx).to_ascii_lowercase();
        let pattern = Pattern::new(&pattern)?;
        for (is_asked, setting) in is_asked.iter_mut().zip(SETTINGS) {
            *is_asked |= pattern.matches(setting.name.as_bytes());
        }
    }
    let asked: Vec<_> =
        SETTINGS.iter().zip(is_asked).filter_map(|(setting, is)| is.then_some(setting)).collect();
    let node = call.node;
    let mut reply = call.reply();
    reply.map(asked.len());
    for setting in asked {
        reply.bulk(setting.name.as_bytes());
        reply.bulk((setting.get)(node).as_bytes());
    }
    Ok(())
}

/// All settings or none: when a value is refused, those before it are as they were.
fn set<C: Cells>(call: &mut Call<'_, '_, C>) -> Done {
    if !call.args.len().is_multiple_of(2) {
        return Err(Failure::SYNTAX);
    }
    let word = |idx: usize| String::from_utf8_lossy(call.args.get(idx)).to_ascii_lowercase();
    let mut changes = Vec::new();
    for idx in (2..call.args.len()).step_by(2) {
        let name = word(idx);
        let setting = SETTINGS.iter().find(|setting| setting.name == name).ok_or_else(|| {
            Failure::owned(format!(
                "ERR Unknown option or number of arguments for CONFIG SET - '{name}'"
            ))
        })?;
        let value = word(idx + 1);
        match setting.set {
            Some(change) => changes.push((setting, change, value)),
            // A client that insists on what is so anyway need not fail.
            None if (setting.get)(call.node) == value => {}
            None => return Err(refused(setting, "can't set immutable config")),
        }
    }
    let mut changed: Vec<(Change, String)> = Vec::new();
    let mut is_evicted = None;
    let undo = |node: &NodeState, changed: Vec<(Change, String)>| {
        for (change, before) in changed.into_iter().rev() {
            let _is_taken: Result<(), _> = change(node, &before);
        }
    };
    for (setting, change, value) in changes {
        let before = (setting.get)(call.node);
        if let Err(why) = change(call.node, &value) {
            undo(call.node, changed);
            return Err(refused(setting, &why));
        }
        changed.push((change, before));
        if setting.name == POLICY {
            is_evicted = Some(value == EVICTION);
        }
    }
    // Last: shards are told, and what they did is not undone.
    if let Some(is_evicted) = is_evicted
        && let Err(failure) = set_policy(call, is_evicted)
    {
        undo(call.node, changed);
        return Err(failure);
    }
    call.reply().ok();
    Ok(())
}

fn refused(setting: &Setting, why: &str) -> Failure {
    Failure::owned(format!(
        "ERR CONFIG SET failed (possibly related to argument '{}') - {why}",
        setting.name
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_written_as_in_redis() {
        for (text, bytes) in [
            ("100", Some(100)),
            ("1kb", Some(1024)),
            ("1K", Some(1000)),
            ("2GB", Some(2 << 30)),
            ("x", None),
            ("", None),
            ("1tb", None),
            ("-1", None),
        ] {
            assert_eq!(memory(text), bytes, "{text}");
        }
        assert!(SETTINGS.is_sorted_by_key(|setting| setting.name));
    }
}
