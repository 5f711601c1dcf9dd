//! `/metrics`: the counters and gauges of a node as text of the `OpenMetrics` standard, version 1.0.

use std::fmt::Write as _;
use std::sync::atomic::Ordering::Relaxed;

use ringhold_node::cells::{Access, Cells as _};
use ringhold_node::shard_cell::Removed;
use ringhold_node::state::NodeState;
use ringhold_node::stats::Counter;
use ringhold_types::time::Now;

use crate::shared::Shared;

/// What the text is.
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What the metrics are made from.
struct Figures<'s> {
    node: &'s NodeState,
    now: Now,
    entries: u64,
    item_bytes: u64,
    removed: Removed,
    shards: usize,
}

/// A family of metrics: its name without `ringhold_`, its type, what it is, and its samples with their labels.
struct Family {
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    samples: fn(&Figures<'_>) -> Vec<(&'static str, u64)>,
}

macro_rules! families {
    ($($kind:ident $name:literal $help:literal $samples:expr;)*) => {
        const FAMILIES: &[Family] = &[
            $(Family { name: $name, kind: stringify!($kind), help: $help, samples: $samples },)*
        ];
    };
}

families! {
    counter "requests" "Commands and requests of clients." |f| vec![
        ("{protocol=\"resp\"}", f.total(Counter::Commands)), ("{protocol=\"http\"}", f.total(Counter::Requests))];
    counter "request_errors" "RESP commands answered with an error." |f| vec![("", f.total(Counter::Errors))];
    counter "hits" "Keys that reads found." |f| vec![("", f.total(Counter::Hits))];
    counter "misses" "Keys that reads did not find." |f| vec![("", f.total(Counter::Misses))];
    counter "removed_entries" "Entries that left on their own." |f| vec![
        ("{cause=\"expired\"}", f.removed.expired), ("{cause=\"evicted\"}", f.removed.evicted)];
    counter "received_bytes" "Bytes received from clients." |f| vec![("", f.total(Counter::BytesIn))];
    counter "sent_bytes" "Bytes sent to clients." |f| vec![("", f.total(Counter::BytesOut))];
    counter "accepted_connections" "Connections let in." |f| vec![("", f.total(Counter::Connections))];
    counter "rejected_connections" "Connections over the limit." |f| vec![("", f.total(Counter::ConnectionsRejected))];
    gauge "connections" "Open connections." |f| vec![("", f.node.connections() as u64)];
    gauge "entries" "Entries, expired ones that are not reclaimed yet included." |f| vec![("", f.entries)];
    gauge "item_bytes" "Bytes of keys, values and their headers." |f| vec![("", f.item_bytes)];
    gauge "memory_used_bytes" "Memory accounted to entries." |f| vec![("", f.node.budget.used())];
    gauge "memory_limit_bytes" "The most memory for entries." |f| vec![("", f.node.budget.limit())];
    gauge "resident_bytes" "Resident memory of the process." |f| vec![("", f.node.process.rss_bytes.load(Relaxed))];
    counter "cpu_seconds" "Processor time of the process." |f| vec![
        ("{mode=\"user\"}", f.node.process.cpu_user_us.load(Relaxed)),
        ("{mode=\"system\"}", f.node.process.cpu_system_us.load(Relaxed))];
    gauge "uptime_seconds" "Time since the start." |f| vec![("", f.node.uptime(f.now).as_secs())];
    gauge "shards" "Shards of the engine." |f| vec![("", f.shards as u64)];
}

impl Figures<'_> {
    fn total(&self, counter: Counter) -> u64 {
        self.node.stats.total(counter)
    }
}

/// All metrics at this time.
pub(super) fn text(shared: &Shared, now: Now) -> String {
    let mut figures = Figures {
        node: &shared.node,
        now,
        entries: 0,
        item_bytes: 0,
        removed: Removed::default(),
        shards: shared.shards.count(),
    };
    Access::each(&shared.shards).read_each(|cell| {
        let stats = cell.shard().stats();
        figures.entries += stats.entries;
        figures.item_bytes += stats.item_bytes;
        figures.removed.expired += cell.removed().expired;
        figures.removed.evicted += cell.removed().evicted;
    });
    let mut text = String::new();
    for Family { name, kind, help, samples } in FAMILIES {
        let suffix = if *kind == "counter" { "_total" } else { "" };
        let mut written =
            writeln!(text, "# TYPE ringhold_{name} {kind}\n# HELP ringhold_{name} {help}");
        for (labels, value) in samples(&figures) {
            written = written.and_then(|()| {
                write!(text, "ringhold_{name}{suffix}{labels} ")?;
                if *name == "cpu_seconds" {
                    // Its samples are microseconds.
                    return writeln!(text, "{}.{:06}", value / 1_000_000, value % 1_000_000);
                }
                writeln!(text, "{value}")
            });
        }
        debug_assert!(written.is_ok(), "a string takes everything");
    }
    text.push_str("# EOF\n");
    text
}
