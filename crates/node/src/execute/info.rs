//! `INFO`: the sections and fields that exporters, health checks and frameworks read, in the form of Redis 7.2.
#![expect(clippy::unnecessary_wraps, reason = "all commands have one signature")]

use std::fmt::Write as _;
use std::sync::atomic::Ordering::Relaxed;

use ringhold_types::id::NamespaceId;
use ringhold_types::limits::DATABASES;

use super::connection::REDIS_VERSION;
use super::keyspace::entries;
use super::{Call, Done};
use crate::cells::Cells;
use crate::shard_cell::Removed;
use crate::stats::{Calls, Counter};

/// What writes a section.
type Section<C> = fn(&Call<'_, '_, C>, &mut Lines);

/// The lines of a section.
#[derive(Default)]
struct Lines(String);

impl Lines {
    fn add(&mut self, field: &str, value: impl std::fmt::Display) {
        let written = write!(self.0, "{field}:{value}\r\n");
        debug_assert!(written.is_ok(), "a string takes everything");
    }
}

/// `INFO [section …]`
pub(super) fn info<C: Cells>(call: &mut Call<'_, '_, C>) -> Done {
    // Name, heading, whether it is there when nothing is asked for, and what writes it.
    let sections: [(&str, &str, bool, Section<C>); 12] = [
        ("server", "Server", true, server),
        ("clients", "Clients", true, clients),
        ("memory", "Memory", true, memory),
        ("persistence", "Persistence", true, persistence),
        ("stats", "Stats", true, stats),
        ("replication", "Replication", true, replication),
        ("cpu", "CPU", true, cpu),
        ("modules", "Modules", true, |_, _| {}),
        ("commandstats", "Commandstats", false, commandstats),
        ("errorstats", "Errorstats", true, errorstats),
        ("cluster", "Cluster", true, cluster),
        ("keyspace", "Keyspace", true, keyspace),
    ];
    let mut text = String::new();
    for (name, heading, is_default, section) in sections {
        let is_asked = call.args.len() == 1 && is_default
            || (1..call.args.len()).any(|idx| {
                call.args.is(idx, name)
                    || call.args.is(idx, "all")
                    || call.args.is(idx, "everything")
                    || is_default && call.args.is(idx, "default")
            });
        if is_asked {
            let mut lines = Lines::default();
            section(call, &mut lines);
            text.extend([
                if text.is_empty() { "" } else { "\r\n" },
                "# ",
                heading,
                "\r\n",
                &lines.0,
            ]);
        }
    }
    call.reply().verbatim(text.as_bytes());
    Ok(())
}

fn server<C: Cells>(call: &Call<'_, '_, C>, lines: &mut Lines) {
    let node = call.node;
    let uptime = node.uptime(call.now).as_secs();
    lines.add("redis_version", REDIS_VERSION);
    lines.add("redis_mode", "standalone");
    lines.add("ringhold_version", env!("CARGO_PKG_VERSION"));
    lines.add("ringhold_node", &node.name);
    lines.add("os", std::env::consts::OS);
    lines.add("arch_bits", usize::BITS);
    lines.add("process_id", node.process.id.load(Relaxed));
    lines.add("run_id", &node.run_id);
    lines.add("tcp_port", node.resp_port);
    lines.add("server_time_usec", call.now.unix_micros);
    lines.add("uptime_in_seconds", uptime);
    lines.add("uptime_in_days", uptime / 86_400);
    lines.add("hz", 10);
    lines.add("configured_hz", 10);
    lines.add("io_threads_active", u8::from(node.workers > 1));
}

fn clients<C: Cells>(call: &Call<'_, '_, C>, lines: &mut Lines) {
    let mut watched = 0;
    call.access.read_each(|cell| watched += cell.watched());
    lines.add("connected_clients", call.node.clients.count());
    lines.add("ringhold_connections", call.node.connections());
    lines.add("cluster_connections", 0);
    lines.add("maxclients", call.node.tunables.connections_max.load(Relaxed));
    let mut blocked = 0;
    call.node.clients.each(|record| blocked += u32::from(record.is_waiting()));
    let (input_max, output_max) = call.node.clients.buffers_max();
    lines.add("client_recent_max_input_buffer", input_max);
    lines.add("client_recent_max_output_buffer", output_max);
    lines.add("blocked_clients", blocked);
    lines.add("tracking_clients", 0);
    lines.add("total_watched_keys", watched);
}

/// A number of bytes as people read it.
#[expect(clippy::cast_precision_loss, reason = "two digits behind the point")]
fn human(bytes: u64) -> String {
    let units = ["B", "K", "M", "G", "T"];
    let (mut size, mut unit) = (bytes as f64, 0);
    while size >= 1024.0 && unit + 1 < units.len() {
        size /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes}B") } else { format!("{size:.2}{}", units[unit]) }
}

fn memory<C: Cells>(call: &Call<'_, '_, C>, lines: &mut Lines) {
    let (node, process) = (call.node, &call.node.process);
    let (used, limit) = (node.budget.used(), node.budget.limit());
    for (field, bytes) in [
        ("used_memory", used),
        ("used_memory_rss", process.rss_bytes.load(Relaxed)),
        ("used_memory_peak", process.rss_peak_bytes.load(Relaxed)),
        ("total_system_memory", process.machine_bytes.load(Relaxed)),
        ("maxmemory", limit),
    ] {
        lines.add(field, bytes);
        lines.add(&format!("{field}_human"), human(bytes));
    }
    let mut item_bytes = 0;
    call.access.read_each(|cell| item_bytes += cell.shard().stats().item_bytes);
    lines.add("used_memory_dataset", item_bytes);
    lines.add("used_memory_overhead", used.saturating_sub(item_bytes));
    lines.add("maxmemory_policy", super::config::policy(node));
    let rss = process.rss_bytes.load(Relaxed);
    #[expect(clippy::cast_precision_loss, reason = "two digits behind the point")]
    let ratio = rss as f64 / used.max(1) as f64;
    lines.add("mem_fragmentation_ratio", format!("{ratio:.2}"));
    lines.add("mem_fragmentation_bytes", i128::from(rss) - i128::from(used));
    lines.add("mem_allocator", "ringhold");
    let mut client_bytes = 0;
    node.clients.each(|record| client_bytes += record.memory_len());
    lines.add("mem_clients_normal", client_bytes);
    // What there is none of.
    for field in [
        "used_memory_startup",
        "used_memory_lua",
        "used_memory_scripts",
        "mem_not_counted_for_evict",
        "mem_clients_slaves",
        "active_defrag_running",
        "lazyfree_pending_objects",
    ] {
        lines.add(field, 0);
    }
}

fn persistence<C: Cells>(_call: &Call<'_, '_, C>, lines: &mut Lines) {
    for (field, value) in [
        ("loading", "0"),
        ("async_loading", "0"),
        ("rdb_changes_since_last_save", "0"),
        ("rdb_bgsave_in_progress", "0"),
        ("rdb_last_save_time", "0"),
        ("rdb_last_bgsave_status", "ok"),
        ("rdb_last_bgsave_time_sec", "-1"),
        ("rdb_current_bgsave_time_sec", "-1"),
        ("rdb_last_cow_size", "0"),
        ("aof_enabled", "0"),
        ("aof_rewrite_in_progress", "0"),
        ("aof_rewrite_scheduled", "0"),
        ("aof_last_rewrite_time_sec", "-1"),
        ("aof_current_rewrite_time_sec", "-1"),
        ("aof_last_cow_size", "0"),
        ("module_fork_in_progress", "0"),
        ("module_fork_last_cow_size", "0"),
        ("aof_last_bgrewrite_status", "ok"),
        ("aof_last_write_status", "ok"),
    ] {
        lines.add(field, value);
    }
}

fn stats<C: Cells>(call: &Call<'_, '_, C>, lines: &mut Lines) {
    let stats = &call.node.stats;
    let mut removed = Removed::default();
    call.access.read_each(|cell| {
        removed.expired += cell.removed().expired;
        removed.evicted += cell.removed().evicted;
    });
    lines.add("total_connections_received", stats.total(Counter::Connections));
    lines.add("total_commands_processed", stats.total(Counter::Commands));
    lines.add("ringhold_http_requests", stats.total(Counter::Requests));
    lines.add("instantaneous_ops_per_sec", stats.commands_per_second());
    lines.add("total_net_input_bytes", stats.total(Counter::BytesIn));
    lines.add("total_net_output_bytes", stats.total(Counter::BytesOut));
    lines.add("rejected_connections", stats.total(Counter::ConnectionsRejected));
    lines.add("expired_keys", removed.expired);
    lines.add("evicted_keys", removed.evicted);
    lines.add("keyspace_hits", stats.total(Counter::Hits));
    lines.add("keyspace_misses", stats.total(Counter::Misses));
    lines.add("total_error_replies", stats.total(Counter::Errors));
    for field in [
        "sync_full",
        "sync_partial_ok",
        "sync_partial_err",
        "pubsub_channels",
        "pubsub_patterns",
        "latest_fork_usec",
        "migrate_cached_sockets",
        "slave_expires_tracked_keys",
        "active_defrag_hits",
        "active_defrag_misses",
        "active_defrag_key_hits",
        "active_defrag_key_misses",
        "unexpected_error_replies",
    ] {
        lines.add(field, 0);
    }
}

fn replication<C: Cells>(call: &Call<'_, '_, C>, lines: &mut Lines) {
    lines.add("role", "master");
    lines.add("connected_slaves", 0);
    lines.add("master_failover_state", "no-failover");
    lines.add("master_replid", &call.node.run_id);
    lines.add("master_repl_offset", 0);
    lines.add("second_repl_offset", -1);
    for field in [
        "repl_backlog_active",
        "repl_backlog_size",
        "repl_backlog_first_byte_offset",
        "repl_backlog_histlen",
    ] {
        lines.add(field, 0);
    }
}

fn cpu<C: Cells>(call: &Call<'_, '_, C>, lines: &mut Lines) {
    let seconds = |micros: u64| format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
    lines.add("used_cpu_sys", seconds(call.node.process.cpu_system_us.load(Relaxed)));
    lines.add("used_cpu_user", seconds(call.node.process.cpu_user_us.load(Relaxed)));
    lines.add("used_cpu_sys_children", "0.000000");
    lines.add("used_cpu_user_children", "0.000000");
}

/// Time is not measured per command, so that none pays for a reading of the clock: it is 0.
fn commandstats<C: Cells>(call: &Call<'_, '_, C>, lines: &mut Lines) {
    for Calls { name, calls, rejected, failed } in call.node.stats.calls() {
        lines.add(
            &format!("cmdstat_{name}"),
            format_args!(
                "calls={calls},usec=0,usec_per_call=0.00,rejected_calls={rejected},failed_calls={failed}"
            ),
        );
    }
}

/// Errors by the word that they begin with.
fn errorstats<C: Cells>(call: &Call<'_, '_, C>, lines: &mut Lines) {
    for (code, count) in call.node.stats.errors() {
        lines.add(&format!("errorstat_{code}"), format_args!("count={count}"));
    }
}

fn cluster<C: Cells>(_call: &Call<'_, '_, C>, lines: &mut Lines) {
    lines.add("cluster_enabled", 0);
}

fn keyspace<C: Cells>(call: &Call<'_, '_, C>, lines: &mut Lines) {
    for database in 0..DATABASES {
        let keys = entries(call.access, NamespaceId(database));
        if keys > 0 {
            // How many of them have a time to live is not counted.
            lines.add(&format!("db{database}"), format_args!("keys={keys},expires=0,avg_ttl=0"));
        }
    }
}
