"""All settings of the server, in one table: the fields of `Settings`.

An entry is a line of the dataclass. The name of the field gives the option (``max_line``: ``--max-line``) and the
variable in the environment (``KVLINE_MAX_LINE``). The command line, its help, the environment and CONFIG read the
entries, so a new setting is a new field and nothing else. Code that uses a setting reads the field.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from common.errors import BACKEND_STORES_DATA
from common.limits import DEFAULT_LIMITS, MIB, Limits
from common.passwords import PASSWORD_VARIABLE, check_password
from server.settings.entry import Group, Setting, setting
from server.settings.event_classes import EventClassesKind
from server.settings.kinds import (
    COUNT,
    COUNT_OR_0,
    EVICTION,
    FILE_MODE,
    MEMORY,
    PORT,
    SECONDS,
    SIZE,
    SWITCH,
    Choice,
    Integer,
    Presence,
    Text,
    check_directory,
    check_origin,
    check_socket_path,
    check_token,
)
from server.settings.output_limits import DEFAULT_OUTPUT_LIMITS, OutputLimits, OutputLimitsKind

DEFAULT_PORT = 9736
DEFAULT_PORTS = (DEFAULT_PORT,)
DEFAULT_MAX_CLIENTS = 10_000
MAX_MAX_CLIENTS = 2**32 - 1
"""Both as in Redis 7."""

DEFAULT_TRACKING_TABLE_MAX_KEYS = 1_000_000
"""As in Redis 7."""

DEFAULT_DATABASES = 16
"""As in Redis 7."""

MAX_DATABASES = 16384
"""A database takes about 3 KB after it was selected once."""

DEFAULT_FSYNC = "everysec"
DEFAULT_REWRITE_MIN_SIZE = 64 * MIB
"""Both as in Redis 7."""

DEFAULT_AUTH_TIMEOUT = 10.0
DEFAULT_TCP_KEEPALIVE = 300
"""Seconds, as in Redis 7."""

DEFAULT_MAX_BODY = 16 * MIB
DEFAULT_MAX_JSON = MIB
DEFAULT_HEAD_TIMEOUT = 10.0
DEFAULT_BODY_TIMEOUT = 30.0
DEFAULT_IDLE_TIMEOUT = 5.0
DEFAULT_BACKEND_CONNECTIONS = 50
DEFAULT_BACKEND_TIMEOUT = 5.0
DEFAULT_CACHE_KEYS = 10_000
DEFAULT_CACHE_TTL = 30.0
DEFAULT_SLOWLOG_SLOWER_THAN = 10_000
"""Microseconds, as in Redis."""

DEFAULT_SLOWLOG_MAX_LEN = 128

DEFAULT_BUSY_REPLY_THRESHOLD = 5000
"""Milliseconds, as in Redis."""

CLIENTS = Integer(f"a number of clients is from 1 to {MAX_MAX_CLIENTS}", maximum=MAX_MAX_CLIENTS)
FRAME = Integer(
    SIZE.rule,
    maximum=DEFAULT_LIMITS.max_frame,
    metavar="BYTES",
    too_large=f"a frame has at most {DEFAULT_LIMITS.max_frame} bytes",
)
IDLE_TIME = Integer("a time is from 0 to 2147483647 seconds", minimum=0, maximum=2147483647, metavar="SECONDS")
KEEPALIVE = Integer("a time is from 0 to 32767 seconds", minimum=0, maximum=32767, metavar="SECONDS")
DATABASES = Integer(f"a number of databases is from 1 to {MAX_DATABASES}", maximum=MAX_DATABASES)
LOG_LEVEL = Choice(("debug", "info", "warning", "error"))
LOG_FORMAT = Choice(("text", "json"))


LISTENERS = Group("addresses")
TLS = Group("TLS", "A port of its own. Without --port the server then has no port without TLS.")
ACCESS = Group("access", f"{PASSWORD_VARIABLE} in the environment is the password too.")
LIMITS = Group("limits")
LOG = Group("log")
DATA = Group("durable log", "Without --data, the data is in memory only.")
PUBSUB = Group("publish/subscribe")
PROCESS = Group("process")
HTTP = Group("HTTP", "A port of its own in the same process (extra: http).")
BACKEND = Group("backing Redis", "Serve the keys of a Redis or a Redis Cluster (extra: proxy).")
CACHE = Group("cache in front of the backing Redis", "Off unless one of these options is given.")


class SettingsError(Exception):
    """A setting has a value that the server cannot use, or that contradicts another setting."""

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(f"{option_of(name)} {problem}")
        self.name = name
        self.problem = problem


@dataclass(frozen=True, slots=True)
class BackendSettings:
    """The settings of the backing Redis and of the cache in front of it, with the defaults filled in."""

    url: str = field(repr=False)  # it may contain a password
    password: str | None = field(default=None, repr=False)
    """The password of the backing Redis, if ``url`` has none."""

    connections: int = DEFAULT_BACKEND_CONNECTIONS
    """Maximum number of connections for requests, to each server."""

    timeout: float = DEFAULT_BACKEND_TIMEOUT
    """Maximum seconds per request."""

    has_cache: bool = False
    cache_keys: int = DEFAULT_CACHE_KEYS
    """Maximum number of cached keys."""

    cache_ttl: float = DEFAULT_CACHE_TTL
    """Maximum age of a cached value in seconds."""

    cache_tracking: bool = False
    """Whether the backing Redis reports changed keys, so that they are invalidated at once."""


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """Files with certificates and keys."""

    certificate: str
    """The server's certificate, and after it those of intermediate authorities."""

    key: str
    """The private key of the server's certificate."""

    authorities: str | None = None
    """The authorities that sign the certificates of clients. If given, each client needs a certificate."""


@dataclass(frozen=True, slots=True)
class HTTPTimeouts:
    """How long an HTTP connection waits for its client, in seconds."""

    head: float = DEFAULT_HEAD_TIMEOUT
    """For a whole request line with its headers."""

    body: float = DEFAULT_BODY_TIMEOUT
    """For the next part of a body."""

    idle: float = DEFAULT_IDLE_TIMEOUT
    """For the next request after a response."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of one server. Immutable: CONFIG SET replaces the whole object."""

    # fmt: off
    # One line or two per setting reads as a table. The formatter would give each argument a line of its own.
    config_file: str | None = setting(
        None, Text("FILE"), "a TOML file with settings, by the names of the options without --", option="--config")

    host: str = setting(
        "127.0.0.1", Text("HOST"), "the address to listen on", group=LISTENERS, config="bind")
    ports: tuple[int, ...] = setting(
        DEFAULT_PORTS, PORT, "a port to listen on; may be given more than once; 0 picks a free one",
        option="--port", repeatable=True, unset=0, group=LISTENERS, config="port")
    resp_port: int | None = setting(
        None, PORT, "a port whose replies are RESP, also to lines of text; for redis-benchmark and health checks",
        group=LISTENERS)
    unix_socket: str | None = setting(
        None, Text("PATH", check_socket_path), "the path of a Unix socket to listen on, besides the ports",
        group=LISTENERS, config="unixsocket")
    unix_socket_mode: int | None = setting(
        None, FILE_MODE, "the permissions of this socket in octal, such as 770; 0: those that the umask leaves",
        unset=0, requires="unix_socket", group=LISTENERS, config="unixsocketperm")

    tls_port: int | None = setting(
        None, PORT, "a port for TLS; 0 picks a free one", unset_config="0", requires="tls_cert", group=TLS,
        config="tls-port")
    tls_cert: str | None = setting(
        None, Text("FILE"), "the server's certificate, and those of intermediate authorities, as PEM",
        requires="tls_key", group=TLS, config="tls-cert-file")
    tls_key: str | None = setting(
        None, Text("FILE"), "the key of the certificate, as PEM, without a passphrase",
        requires="tls_cert", group=TLS, config="tls-key-file")
    tls_ca: str | None = setting(
        None, Text("FILE"), "demand a certificate from each client that these authorities have signed",
        requires="tls_cert", group=TLS, config="tls-ca-cert-file")

    password: str = setting(
        "", Text("PASSWORD", check_password), "the password that clients must send; empty: none",
        option="", variable=PASSWORD_VARIABLE, config="requirepass", mutable=True, secret=True)
    password_file: str | None = setting(
        None, Text("FILE"), "a file with the password that clients must send, in its first line", group=ACCESS)
    auth_timeout: float = setting(
        DEFAULT_AUTH_TIMEOUT, SECONDS, "close the connection of a TCP client that has not sent the password by then",
        group=ACCESS)

    max_line: int = setting(DEFAULT_LIMITS.max_line, SIZE, "the maximum length of a line of text", group=LIMITS)
    max_bulk: int = setting(
        DEFAULT_LIMITS.max_bulk, SIZE, "the maximum length of a RESP bulk string",
        group=LIMITS, config="proto-max-bulk-len", mutable=True)
    max_frame: int = setting(DEFAULT_LIMITS.max_frame, FRAME, "the maximum length of a JSON frame", group=LIMITS)
    max_clients: int = setting(
        DEFAULT_MAX_CLIENTS, CLIENTS, "the maximum number of connections, on all ports together",
        group=LIMITS, config="maxclients", mutable=True)

    output_limits: OutputLimits = setting(  # noqa: RUF009  # it returns a field; ruff knows the other types
        DEFAULT_OUTPUT_LIMITS, OutputLimitsKind(),
        "how much may wait for a subscriber that does not read: the class pubsub, hard limit, soft limit, seconds",
        option="--client-output-buffer-limit", group=LIMITS, config="client-output-buffer-limit", mutable=True)
    notify_keyspace_events: str = setting(
        "", EventClassesKind(), "the keyspace events to publish, by the letters of Redis's setting; AKE: all",
        group=PUBSUB, config="notify-keyspace-events", mutable=True, embedded=True)
    tracking_table_max_keys: int = setting(
        DEFAULT_TRACKING_TABLE_MAX_KEYS, COUNT_OR_0,
        "the keys of which the server remembers that clients with CLIENT TRACKING read them; 0: any number",
        group=LIMITS, config="tracking-table-max-keys", mutable=True, embedded=True)
    max_memory: int = setting(
        0, MEMORY, "the memory that the keys may take, such as 64mb or 1gb, by an estimate; 0: any amount",
        group=LIMITS, config="maxmemory", mutable=True, embedded=True)
    eviction: str = setting(
        "noeviction", EVICTION,
        "which keys are evicted at this limit: allkeys-lru, allkeys-lfu, allkeys-random; of those with an expiry: "
        "volatile-lru, volatile-lfu, volatile-random, volatile-ttl; none: noeviction",
        group=LIMITS, config="maxmemory-policy", mutable=True, embedded=True)

    databases: int = setting(
        DEFAULT_DATABASES, DATABASES, "the number of databases that clients can select; 1 with --backend",
        group=LIMITS, config="databases", embedded=True)

    data: str | None = setting(
        None, Text("DIR", check_directory), "keep the data in a durable log in this directory; it is made if missing",
        group=DATA, embedded=True)
    fsync: str | None = setting(
        None, Choice(("always", "everysec", "no")),
        "when a change is on the disk: before its reply, within about a second, or when the system decides",
        unset=DEFAULT_FSYNC, requires="data", group=DATA, config="appendfsync", mutable=True)
    rewrite_min_size: int | None = setting(
        None, SIZE, "the size from which the log is rewritten when it has doubled", unset=DEFAULT_REWRITE_MIN_SIZE,
        requires="data", group=DATA, config="auto-aof-rewrite-min-size", mutable=True)
    repair: bool | None = setting(
        None, SWITCH, "start without what is damaged in the log, and keep copies of the damaged files",
        requires="data", group=DATA)
    check: str | None = setting(
        None, Text("DIR", check_directory), "verify the log in a directory, change nothing, and end with status 0 or 1",
        group=DATA)

    idle_timeout: int = setting(
        0, IDLE_TIME, "close silent TCP connections after this time, except MONITOR and subscribers; 0: never",
        group=LIMITS, config="timeout", mutable=True)
    tcp_keepalive: int = setting(
        DEFAULT_TCP_KEEPALIVE, KEEPALIVE,
        "probe a silent TCP client after this time, and close the connection if it does not respond; 0: never",
        group=LIMITS, config="tcp-keepalive", mutable=True)

    log_level: str = setting(
        "info", LOG_LEVEL, "the lowest level of messages to log", group=LOG, config="loglevel", mutable=True)
    log_format: str = setting("text", LOG_FORMAT, "lines for people, or one JSON object a line", group=LOG)
    io_threads: int | None = setting(
        None, Integer("a number of threads is from 0 to 128", minimum=0, maximum=128),
        "the threads that serve the connections; 0: one for each connection, as always with --backend", group=PROCESS)
    all_cores: bool = setting(
        False, SWITCH, "let all threads use all cores, which is slower with the GIL", group=PROCESS)
    busy_reply_threshold: int = setting(
        DEFAULT_BUSY_REPLY_THRESHOLD, Integer("must be a number of at least 0", minimum=0),
        "the milliseconds after which a script that runs makes other requests fail (BUSY)",
        option="", variable="", config="busy-reply-threshold", mutable=True)
    slowlog_slower_than: int = setting(
        DEFAULT_SLOWLOG_SLOWER_THAN, Integer("must be a number of microseconds, or -1", minimum=-1),
        "log commands in SLOWLOG that take longer, in microseconds; -1 logs none",
        option="", variable="", config="slowlog-log-slower-than", mutable=True)
    slowlog_max_len: int = setting(
        DEFAULT_SLOWLOG_MAX_LEN, Integer("must be a number of at least 0", minimum=0),
        "the maximum number of entries of SLOWLOG",
        option="", variable="", config="slowlog-max-len", mutable=True)

    http_port: int | None = setting(None, PORT, "a port for HTTP; 0 picks a free one", group=HTTP)
    http_tls: bool = setting(
        False, SWITCH, "speak HTTPS on this port, with the certificate of --tls-cert", requires="tls_cert", group=HTTP)
    http_token: str | None = setting(
        None, Text("TOKEN", check_token),
        "another name for the password, which is the bearer token of HTTP; must not differ from it",
        group=HTTP, secret=True)
    http_origins: tuple[str, ...] = setting(
        (), Text("ORIGIN", check_origin), "an origin whose pages may send requests; may be given more than once",
        option="--http-cors", repeatable=True, group=HTTP)
    http_hosts: tuple[str, ...] = setting(
        (), Text("NAME"),
        "a host name that requests may use, besides the server's address and localhost; may be given more than once",
        option="--http-host", repeatable=True, group=HTTP)
    http_max_body: int = setting(DEFAULT_MAX_BODY, SIZE, "the maximum size of the body of a request", group=HTTP)
    http_max_json: int = setting(
        DEFAULT_MAX_JSON, SIZE, "the maximum size of commands in JSON in the body of a request", group=HTTP)
    http_max_clients: int | None = setting(
        None, CLIENTS, "the maximum number of HTTP connections; half of --max-clients by default", group=HTTP)
    http_head_timeout: float = setting(
        DEFAULT_HEAD_TIMEOUT, SECONDS, "the maximum time for the request line and the headers to arrive", group=HTTP)
    http_body_timeout: float = setting(
        DEFAULT_BODY_TIMEOUT, SECONDS, "the maximum time between two parts of a body, received or sent", group=HTTP)
    http_idle_timeout: float = setting(
        DEFAULT_IDLE_TIMEOUT, SECONDS, "the maximum time between a response and the next request", group=HTTP)

    backend: str | None = setting(
        None, Text("URL"), "redis://host:port/database, rediss://…, unix:///path, or redis+cluster://host:port,host:port",
        group=BACKEND, secret=True)
    backend_password: str | None = setting(
        None, Text("PASSWORD"), "the password of the backing Redis, if its URL has none",
        option="", variable="KVLINE_BACKEND_PASSWORD", requires="backend", group=BACKEND, secret=True)
    # None by default, and not the value in `unset`: `check` must see whether a setting was given without its backend.
    backend_connections: int | None = setting(
        None, COUNT, "the maximum number of connections to each server",
        unset=DEFAULT_BACKEND_CONNECTIONS, requires="backend", group=BACKEND)
    backend_timeout: float | None = setting(
        None, SECONDS, "the maximum duration of a request",
        unset=DEFAULT_BACKEND_TIMEOUT, requires="backend", group=BACKEND)
    cache_keys: int | None = setting(
        None, COUNT, f"cache GET, for at most this number of keys; {DEFAULT_CACHE_KEYS} if only others are given",
        requires="backend", group=CACHE)
    cache_ttl: float | None = setting(
        None, SECONDS, f"cache GET, each value for at most this long; {DEFAULT_CACHE_TTL:g} if only others are given",
        requires="backend", group=CACHE)
    cache_tracking: bool | None = setting(
        None, SWITCH, "cache GET, and invalidate the keys that the backing Redis (6 or newer) reports as changed",
        requires="backend", group=CACHE)
    # fmt: on

    def __post_init__(self) -> None:
        # The same object, so the ports were not given: a given tuple of the same port is another object.
        if self.tls_port is not None and self.ports is DEFAULT_PORTS:
            object.__setattr__(self, "ports", ())

    def changed(self) -> str:
        """Return the settings that differ from their defaults as options, without secrets."""
        given = [entry for entry in SETTINGS if entry.option and getattr(self, entry.name) != entry.default]
        return " ".join(option for entry in given for option in entry.as_options(getattr(self, entry.name)))

    def input_limits(self) -> Limits:
        """Return the bounds on a connection's input. A request may always be as large as its largest argument."""
        # Otherwise a --max-bulk above 1 GiB would have no effect: the request around the argument would be refused.
        max_request = max(DEFAULT_LIMITS.max_request, self.max_bulk)
        return Limits(self.max_line, self.max_bulk, self.max_frame, max_request=max_request)

    def http_places(self) -> int:
        """Return the maximum number of HTTP connections. By default the other half is left for other clients."""
        return self.http_max_clients or max(1, self.max_clients // 2)

    def http_timeouts(self) -> HTTPTimeouts:
        """Return how long HTTP connections wait for their clients."""
        return HTTPTimeouts(self.http_head_timeout, self.http_body_timeout, self.http_idle_timeout)

    def certificate_files(self) -> CertificateFiles | None:
        """Return the files for TLS, or None without TLS."""
        if self.tls_cert is None or self.tls_key is None:
            return None
        return CertificateFiles(self.tls_cert, self.tls_key, self.tls_ca)

    def demands_certificates(self) -> bool:
        """Return whether a client needs a certificate on every port."""
        has_plain_http = self.http_port is not None and not self.http_tls
        return self.tls_ca is not None and not (self.ports or self.resp_port is not None or has_plain_http)

    def uses_many_threads(self) -> bool:
        """Return whether several threads are busy at the same time, if Python has a GIL."""
        return self.http_port is not None or self.backend is not None or self.io_threads not in (None, 1)

    def backend_settings(self) -> BackendSettings | None:
        """Return the settings of the backing Redis, or None if there is no backing Redis."""
        if self.backend is None:
            return None
        return BackendSettings(
            self.backend,
            password=self.backend_password,
            connections=self.backend_connections or DEFAULT_BACKEND_CONNECTIONS,
            timeout=self.backend_timeout or DEFAULT_BACKEND_TIMEOUT,
            # Each of the three options switches the cache on, with defaults for the others.
            has_cache=self.cache_keys is not None or self.cache_ttl is not None or bool(self.cache_tracking),
            cache_keys=self.cache_keys or DEFAULT_CACHE_KEYS,
            cache_ttl=self.cache_ttl or DEFAULT_CACHE_TTL,
            cache_tracking=bool(self.cache_tracking),
        )


def check(settings: Settings) -> None:
    """Raise `SettingsError` if a value is out of its bounds, or if two settings contradict each other."""
    for entry in SETTINGS:
        value = getattr(settings, entry.name)
        for each in value if entry.repeatable else () if value is None else (value,):
            try:
                # Through text, so that values from a program obey the same rules as those from a command line.
                entry.kind.parse(entry.kind.format(each))
            except ValueError as problem:
                raise SettingsError(entry.name, f"is not valid: {problem}") from None
        # False: --no-cache-tracking without a backend is not a contradiction. 0, which is equal to it, is a port.
        if entry.requires and value is not None and value is not False and getattr(settings, entry.requires) is None:
            raise SettingsError(entry.name, f"needs {option_of(entry.requires)}")
        if entry.embedded and value != entry.default and settings.backend is not None:
            raise SettingsError(entry.name, BACKEND_STORES_DATA)
    if settings.tls_cert is not None and settings.tls_port is None and not settings.http_tls:
        raise SettingsError("tls_cert", "needs --tls-port, or --http-port with --http-tls")
    if settings.http_tls and settings.http_port is None:
        raise SettingsError("http_tls", "needs --http-port")


def option_of(name: str) -> str:
    """Return the option of a setting by the name of its field."""
    return next((entry.option or entry.name for entry in SETTINGS if entry.name == name), name)


def _entries() -> Iterable[Setting]:
    """Complete the entries with what follows from the names of their fields."""
    for each in dataclasses.fields(Settings):
        entry: Setting = each.metadata["entry"]
        # An empty string means "none", so only None may be replaced.
        option = f"--{each.name.replace('_', '-')}" if entry.option is None else entry.option
        variable = f"KVLINE_{option[2:].replace('-', '_').upper()}" if entry.variable is None else entry.variable
        yield entry._replace(name=each.name, option=option, variable=variable)


def _constant(config: str, value: str) -> Setting:
    return Setting(kind=Text(""), help="always this value", default=value, option="", variable="", config=config)


# Computed once: the names of the fields are known only after the class is complete.
SETTINGS: tuple[Setting, ...] = tuple(_entries())

CONSTANTS = (_constant("save", ""),)
"""Parameters of Redis that clients read with CONFIG GET, for features that kvline does not have."""

_DERIVED = (
    next(entry for entry in SETTINGS if entry.name == "busy_reply_threshold")._replace(config="lua-time-limit"),
    Setting(kind=Presence(""), help="whether there is a log", default="", name="data", unset="", config="appendonly"),
    Setting(kind=Text("DIR"), help="the directory of the log", default="", name="data", unset="", config="dir"),
)
"""Parameters whose values follow from settings that have another name in CONFIG."""

PARAMETERS: Mapping[str, Setting] = {
    entry.config: entry
    for entry in sorted((*SETTINGS, *CONSTANTS, *_DERIVED), key=lambda entry: entry.config)
    if entry.config
}
"""What CONFIG GET shows, by name, in alphabetical order."""
