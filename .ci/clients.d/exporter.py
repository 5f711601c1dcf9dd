"""INFO and CONFIG as redis_exporter reads them: every field that it makes a metric of is there, and a number.

Read by the rules of its exporter/info.go and exporter/metrics.go: lines split at the first colon under the heading of
their section; `ok` is 1; command statistics and key spaces are lists of name=number. Nothing but sockets is needed.
"""

import socket
import sys

# By the exporter's names of INFO fields (its maps of gauges and counters). Left out are those of other servers, and
# what is not measured here: allocator_*, client_recent_max_*, expired_stale_perc, mem_clients_normal, aof_* of a file.
NUMBERS = """
uptime_in_seconds process_id hz configured_hz io_threads_active
connected_clients blocked_clients tracking_clients maxclients cluster_connections
used_memory used_memory_rss used_memory_peak used_memory_lua used_memory_overhead used_memory_startup
used_memory_dataset used_memory_scripts maxmemory total_system_memory mem_fragmentation_ratio mem_fragmentation_bytes
mem_clients_slaves mem_not_counted_for_evict lazyfree_pending_objects active_defrag_running
loading rdb_changes_since_last_save rdb_bgsave_in_progress rdb_last_save_time rdb_last_bgsave_status
rdb_last_bgsave_time_sec rdb_current_bgsave_time_sec rdb_last_cow_size aof_enabled aof_rewrite_in_progress
aof_rewrite_scheduled aof_last_rewrite_time_sec aof_current_rewrite_time_sec aof_last_cow_size
aof_last_bgrewrite_status aof_last_write_status module_fork_in_progress module_fork_last_cow_size
pubsub_channels pubsub_patterns latest_fork_usec migrate_cached_sockets slave_expires_tracked_keys
active_defrag_hits active_defrag_misses active_defrag_key_hits active_defrag_key_misses
connected_slaves repl_backlog_size repl_backlog_active repl_backlog_first_byte_offset repl_backlog_histlen
master_repl_offset second_repl_offset sync_full sync_partial_ok sync_partial_err cluster_enabled
total_connections_received total_commands_processed rejected_connections total_net_input_bytes
total_net_output_bytes expired_keys evicted_keys keyspace_hits keyspace_misses
used_cpu_sys used_cpu_user used_cpu_sys_children used_cpu_user_children
""".split()
LABELS = "role redis_version redis_mode os maxmemory_policy tcp_port run_id process_id master_replid".split()

stream = socket.create_connection(("127.0.0.1", int(sys.argv[1])), 10).makefile("rwb")


def line():
    return stream.readline().removesuffix(b"\r\n").decode()


def reply():
    head = line()
    kind, rest = head[0], head[1:]
    if kind == "$":
        return stream.read(int(rest) + 2)[:-2].decode() if rest != "-1" else None
    if kind == "*":
        return [reply() for _ in range(int(rest))]
    return head


def ask(*words):
    stream.write(b"*%d\r\n" % len(words))
    for word in words:
        stream.write(b"$%d\r\n%s\r\n" % (len(word), word.encode()))
    stream.flush()
    return reply()


def number(text):
    words = {"ok": 1.0, "true": 1.0, "err": 0.0, "fail": 0.0, "false": 0.0}
    return words[text] if text in words else float(text)


def pairs(text):
    return {name: float(value) for name, value in (part.split("=") for part in text.split(","))}


assert ask("SET", "k", "v", "EX", "100") == "+OK" and ask("GET", "k") == "v"
assert ask("INCR", "k").startswith("-ERR") and ask("GET").startswith("-ERR")

config = ask("CONFIG", "GET", "*")
assert len(config) % 2 == 0, config
config = dict(zip(config[::2], config[1::2]))
assert int(config["databases"]) == 16 and float(config["maxmemory"]) > 0 and float(config["maxclients"]) > 0

fields, sections = {}, {}
section = None
for row in ask("INFO", "ALL").split("\n"):
    row = row.strip()
    if row.startswith("# "):
        section = row[2:]
    elif len(row) >= 2 and ":" in row:
        name, value = row.split(":", 1)
        fields[name] = value
        sections.setdefault(section, {})[name] = value

missing = [name for name in NUMBERS if name not in fields]
assert not missing, f"INFO has no {missing}"
for name in NUMBERS:
    number(fields[name])
empty = [name for name in LABELS if not fields.get(name)]
assert not empty, f"INFO says nothing of {empty}"

commands = {name.removeprefix("cmdstat_"): value for name, value in sections["Commandstats"].items()}
assert all(name.startswith("cmdstat_") for name in sections["Commandstats"])
for name, value in commands.items():
    # The exporter goes by the order.
    assert list(pairs(value)) == ["calls", "usec", "usec_per_call", "rejected_calls", "failed_calls"], (name, value)
assert pairs(commands["get"])["calls"] >= 1 and pairs(commands["get"])["rejected_calls"] >= 1
assert pairs(commands["incr"])["failed_calls"] >= 1

spaces = {name: pairs(value) for name, value in sections["Keyspace"].items()}
assert spaces["db0"]["keys"] >= 1 and {"keys", "expires", "avg_ttl"} <= set(spaces["db0"]), spaces
