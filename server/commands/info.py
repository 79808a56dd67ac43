"""INFO: the server's figures, in Redis's sections and under Redis's names.

Each section is a function that returns its fields, so a new field is one line. A field of Redis whose feature kvline
does not have (replicas, scripts, publish/subscribe ...) has the value that Redis reports while the feature is not
used, because clients and exporters read it. What is not measured has no field.
"""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Callable

from common import REDIS_VERSION, __version__
from common.replies import Lines, Reply
from server.clients.pubsub import Kind
from server.clients.stats import CommandStat, derived_lookups
from server.engines.base import InfoSection
from server.process import is_compiled, peak_resident_bytes, resident_bytes, total_memory_bytes
from server.registry import CONTROL, CommandGroup
from server.session.context import ServerContext
from server.session.session import Session
from server.settings import Settings

group = CommandGroup("server")

# Without commandstats, which is long and is not a default section of Redis either.
DEFAULT_SECTIONS = (
    "server",
    "clients",
    "memory",
    "persistence",
    "stats",
    "replication",
    "cpu",
    "modules",
    "cluster",
    "backend",
    "cache",
    "keyspace",
)


@group.control(
    "INFO [section ...]",
    "Return information and statistics about the server.",
    CONTROL,
    since="1.0.0",
    complexity="O(N) where N is the number of connections",
    categories=("dangerous",),
)
def info(session: Session, *sections: bytes) -> Reply:
    # A section that does not exist is no error, and adds nothing, as in Redis.
    wanted = {section.lower().decode(errors="replace") for section in sections}
    if wanted & {"all", "everything"}:
        wanted = set(_SECTIONS)
    # Together with other names, "default" is added to them: INFO default commandstats.
    elif not wanted or "default" in wanted:
        wanted |= set(DEFAULT_SECTIONS)
    lines: list[bytes] = []
    for name, section in _SECTIONS.items():
        figures = section(session.context) if name in wanted else None
        if figures is not None:
            if lines:
                lines.append(b"")
            lines.append(b"# CPU" if name == "cpu" else f"# {name.capitalize()}".encode())
            lines += [f"{key}:{value}".encode() for key, value in figures.items()]
    return Lines(lines, b"\r\n", terminated=True)


def _server(context: ServerContext) -> InfoSection:
    import platform  # noqa: PLC0415  # needed here only, and importing it takes 2 ms of every start

    uptime = int(time.monotonic() - context.started)
    return {
        "redis_version": REDIS_VERSION,
        "kvline_version": __version__,
        "kvline_build": "compiled" if is_compiled() else "pure",
        "redis_git_sha1": "00000000",
        "redis_git_dirty": 0,
        "redis_build_id": 0,
        "redis_mode": "standalone",
        "os": f"{platform.system()} {platform.release()} {platform.machine()}",
        "arch_bits": sys.maxsize.bit_length() + 1,
        "python_version": platform.python_version(),
        "process_id": os.getpid(),
        "process_supervised": "no",
        "run_id": context.run_id,
        "tcp_port": next(iter(context.settings.ports), context.settings.tls_port or 0),  # as in Redis
        **_listeners(context.settings),
        "server_time_usec": time.time_ns() // 1000,
        "uptime_in_seconds": uptime,
        "uptime_in_days": uptime // 86400,
        "executable": sys.executable,
        "config_file": os.path.abspath(context.settings.config_file) if context.settings.config_file else "",
    }


def _listeners(settings: Settings) -> dict[str, str]:
    """Describe what the server listens on besides HTTP, in the form of Redis 7.2."""
    ports = [("tcp", port) for port in (*settings.ports, settings.resp_port) if port is not None]
    if settings.tls_port is not None:
        ports.append(("tls", settings.tls_port))
    listeners = [f"name={name},bind={settings.host},port={port}" for name, port in ports]
    if settings.unix_socket is not None:
        listeners.append(f"name=unix,bind={settings.unix_socket}")
    return {f"listener{number}": listener for number, listener in enumerate(listeners)}


def _clients(context: ServerContext) -> InfoSection:
    clients = context.clients.all()
    return {
        "connected_clients": len(clients),
        "cluster_connections": 0,
        "blocked_clients": context.pause.waiting,
        "tracking_clients": context.tracking.figures.clients,
        "maxclients": context.clients.limit,
        "monitoring_clients": len(context.monitors.subscribers),
        "watching_clients": sum(client.watched_keys > 0 for client in clients),
    }


def _memory(context: ServerContext) -> InfoSection:
    # Redis reports what its allocator has handed out, and compares that with the limit. Here it is the estimate that is
    # compared with the limit, or RSS without a limit, because then nothing is counted.
    resident = resident_bytes()
    total = total_memory_bytes()
    counted = context.engine.used_memory()
    used = resident if counted is None else counted
    peak = max(peak_resident_bytes(), used)  # a value that COPY shares is counted for each key
    return {
        "used_memory": used,
        "used_memory_human": _human(used),
        "used_memory_rss": resident,
        "used_memory_rss_human": _human(resident),
        "used_memory_peak": peak,
        "used_memory_peak_human": _human(peak),
        "total_system_memory": total,
        "total_system_memory_human": _human(total),
        "used_memory_lua": 0,
        "used_memory_scripts": 0,
        "number_of_cached_scripts": 0,
        "number_of_functions": 0,
        "number_of_libraries": 0,
        "maxmemory": context.settings.max_memory,
        "maxmemory_human": _human(context.settings.max_memory),
        "maxmemory_policy": context.settings.eviction,
        "mem_fragmentation_ratio": f"{resident / used:.2f}" if used else "0.00",
        "mem_replication_backlog": 0,
        "mem_clients_slaves": 0,
        "mem_cluster_links": 0,
        "mem_allocator": "python",
        "active_defrag_running": 0,
        "lazyfree_pending_objects": 0,
        "lazyfreed_objects": 0,
    }


def _human(size: int) -> str:
    """Format a size as Redis's `bytesToHuman` does."""
    if size < 1024:
        return f"{size:.0f}B"
    power = min(int(math.log(size, 1024)), 3)
    return f"{size / 1024**power:.2f}{'BKMG'[power]}"


def _persistence(context: ServerContext) -> InfoSection:
    # redis-cli --stat and the clients' checks whether a server is ready read these, with a log and without.
    return _WITHOUT_LOG | context.engine.info_sections().get("persistence", {})


_WITHOUT_LOG: InfoSection = {
    "loading": 0,
    "async_loading": 0,
    "rdb_bgsave_in_progress": 0,
    "rdb_last_bgsave_status": "ok",
    "rdb_last_bgsave_time_sec": -1,
    "rdb_current_bgsave_time_sec": -1,
    "aof_enabled": 0,
    "aof_rewrite_in_progress": 0,
    "aof_rewrite_scheduled": 0,
    "aof_last_rewrite_time_sec": -1,
    "aof_current_rewrite_time_sec": -1,
    "aof_last_bgrewrite_status": "ok",
    "aof_last_write_status": "ok",
}


def _replication(context: ServerContext) -> InfoSection:
    # HAProxy's documented check and Redis clients expect this role of a server that accepts writes.
    return {
        "role": "master",
        "connected_slaves": 0,
        "master_failover_state": "no-failover",
        "master_replid": context.run_id,  # an ID of the data set; nothing replicates it, so it is that of the run
        "master_replid2": "0" * 40,
        "master_repl_offset": 0,
        "second_repl_offset": -1,
        "repl_backlog_active": 0,
        "repl_backlog_size": 0,
        "repl_backlog_first_byte_offset": 0,
        "repl_backlog_histlen": 0,
    }


def _cpu(context: ServerContext) -> InfoSection:
    used = os.times()
    return {
        "used_cpu_sys": f"{used.system:.6f}",
        "used_cpu_user": f"{used.user:.6f}",
        "used_cpu_sys_children": f"{used.children_system:.6f}",
        "used_cpu_user_children": f"{used.children_user:.6f}",
    }


def _stats(context: ServerContext) -> InfoSection:
    totals = context.stats.totals()
    calls = sum(record.calls for record in totals.values())
    # None if a backing Redis cannot be reached. INFO must still work then, because it shows that failure.
    counts = context.engine.key_counts()
    hits, misses = derived_lookups(totals)
    if counts is not None:
        hits, misses = hits + counts.hits, misses + counts.misses
    tracking = context.tracking.figures
    figures: InfoSection = {
        "total_connections_received": context.clients.received,
        "total_commands_processed": calls,
        "instantaneous_ops_per_sec": context.call_rate.report(calls),
        "rejected_connections": context.clients.rejected,
        "sync_full": 0,
        "sync_partial_ok": 0,
        "sync_partial_err": 0,
        "evicted_clients": 0,
        "keyspace_hits": hits,
        "keyspace_misses": misses,
        "pubsub_channels": 0,
        "pubsub_patterns": 0,
        "pubsubshard_channels": 0,
        "latest_fork_usec": 0,
        "total_forks": 0,
        "migrate_cached_sockets": 0,
        "slave_expires_tracked_keys": 0,
        "active_defrag_hits": 0,
        "active_defrag_misses": 0,
        "active_defrag_key_hits": 0,
        "active_defrag_key_misses": 0,
        "tracking_total_keys": tracking.keys,
        "tracking_total_items": tracking.items,
        "tracking_total_prefixes": tracking.prefixes,
        "total_error_replies": context.stats.errors,
        "acl_access_denied_auth": context.auth.denied,
    }
    if counts is not None:
        figures["expired_keys"] = counts.expired
        figures["evicted_keys"] = counts.evicted
    figures["pubsub_channels"] = context.pubsub.count(Kind.CHANNELS)
    figures["pubsub_patterns"] = context.pubsub.count(Kind.PATTERNS)
    figures["pubsubshard_channels"] = context.pubsub.count(Kind.SHARD_CHANNELS)
    return figures


def _commandstats(context: ServerContext) -> InfoSection:
    # Commands without a call have no line, as in Redis. A subcommand is named as in Redis: cmdstat_client|list.
    records = sorted(context.stats.totals().items(), key=lambda each: each[0].name)
    return {f"cmdstat_{command.name.decode().lower()}": _record(record) for command, record in records}


def _record(record: CommandStat) -> str:
    microseconds = record.nanoseconds // 1000
    # A command may have been rejected only, so that it has a record without a call.
    average = record.nanoseconds / 1000 / record.calls if record.calls else 0.0
    return (
        f"calls={record.calls},usec={microseconds},usec_per_call={average:.2f},"
        f"rejected_calls={record.rejected},failed_calls={record.failed}"
    )


def _modules(context: ServerContext) -> InfoSection:
    return {}


def _cluster(context: ServerContext) -> InfoSection:
    # Also in front of a Redis Cluster: clients see one server with all slots.
    return {"cluster_enabled": 0}


def _of_engine(section: str) -> Callable[[ServerContext], InfoSection | None]:
    """Return a function that reads a section that only some engines have."""
    return lambda context: context.engine.info_sections().get(section)


def _keyspace(context: ServerContext) -> InfoSection:
    # A database without keys has no line, as in Redis. avg_ttl is not kept, because nothing samples the keys.
    counts = context.engine.key_counts()
    databases = {} if counts is None else counts.databases
    return {
        f"db{index}": f"keys={each.keys},expires={each.expiring},avg_ttl=0"
        for index, each in databases.items()
        if each.keys
    }


_SECTIONS: dict[str, Callable[[ServerContext], InfoSection | None]] = {
    "server": _server,
    "clients": _clients,
    "memory": _memory,
    "persistence": _persistence,
    "stats": _stats,
    "replication": _replication,
    "cpu": _cpu,
    "modules": _modules,
    "commandstats": _commandstats,
    "cluster": _cluster,
    "backend": _of_engine("backend"),
    "cache": _of_engine("cache"),
    "keyspace": _keyspace,
}
"""By name, in the order of INFO. A section is None if this server does not have it."""
