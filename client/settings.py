"""Where the server is and how to log in: from options, from a URL, or from the environment."""

from __future__ import annotations

from collections.abc import Mapping

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 9736
DEFAULT_URL_PORT = 6379
"""The port of a URL without one, as the registration of the scheme ``redis`` says."""

URL_VARIABLES = ("KVLINE_URL", "REDIS_URL")
"""Environment variables that hold a URL. The first one that is set counts."""

_UNIX_SCHEMES = ("unix", "redis+unix")
_SCHEMES = {"redis": False, "rediss": True} | dict.fromkeys(_UNIX_SCHEMES, False)
"""Schemes of a URL, and whether they mean TLS."""


class InvalidAddress(ValueError):
    """Raised for a URL or a port that cannot be used. The text is shown to the user."""


class _Settings:
    """Settings that are equal if all of them are. `repr` has none of them, because one is a password."""

    __slots__: tuple[str, ...] = ()
    __hash__ = None  # type: ignore[assignment]  # options replace single settings

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and all(getattr(self, name) == getattr(other, name) for name in self.__slots__)


class TLSSettings(_Settings):
    """How TLS is used. An empty string means that the option was not given."""

    __slots__ = ("authorities", "certificate", "key", "server_name", "verifies")

    def __init__(
        self, authorities: str = "", certificate: str = "", key: str = "", server_name: str = "", verifies: bool = True
    ) -> None:
        self.authorities = authorities
        """A file with the authorities that may sign the server's certificate, as PEM. Empty: those of the system."""
        self.certificate = certificate
        """A file with the client's own certificate, as PEM."""
        self.key = key
        """A file with its key, as PEM. Empty: it is in the same file."""
        self.server_name = server_name
        """The name that the server's certificate must have, and that is sent to the server (SNI). Empty: the host."""
        self.verifies = verifies
        """Whether the server's certificate is verified."""


class ConnectionSettings(_Settings):
    """Where the server is and how to log in."""

    __slots__ = ("database", "host", "password", "port", "socket_path", "tls", "tls_settings", "user")

    def __init__(
        self,
        host: str = DEFAULT_HOST,
        port: int = DEFAULT_PORT,
        *,
        socket_path: str = "",
        user: str = "",
        password: str | None = None,
        database: int = 0,
        tls: bool = False,
    ) -> None:
        self.host = host
        self.port = port
        self.socket_path = socket_path
        """The path of a Unix socket, which replaces host and port. Empty for TCP."""
        self.user = user
        """The name for AUTH. Empty for the default user."""
        self.password = password
        self.database = database
        self.tls = tls
        self.tls_settings = TLSSettings()

    @property
    def name(self) -> str:
        """The address as the prompt and error messages show it, without secrets."""
        if self.socket_path:
            return self.socket_path
        # The colons of an IPv6 address would be taken for the one before the port (RFC 3986, 3.2.2).
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def settings_from_environment(variables: Mapping[str, str]) -> ConnectionSettings:
    """Return the settings of the URL in the environment, else the defaults. Raises `InvalidAddress`."""
    for name in URL_VARIABLES:
        if url := variables.get(name):
            try:
                return parse_url(url)
            except InvalidAddress as problem:
                raise InvalidAddress(f"{name}: {problem}") from None
    return ConnectionSettings()


def parse_port(text: str) -> int:
    """Convert a port. The resolver would take a number above 65535 modulo 65536, and connect to another server.

    Raises `InvalidAddress`.
    """
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise InvalidAddress(f"a port is a number from 1 to 65535, not {text!r}")
    return int(text)


def parse_url(url: str) -> ConnectionSettings:
    """Parse ``redis[s]://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE]`` or ``unix://[[USER]:PASSWORD@]/PATH[?db=DATABASE]``.

    User, password and path may be percent-encoded. ``redis+unix`` means the same as ``unix``, and ``?password=`` gives
    the password too, as in redis-py. What precedes ``@`` is the password if it has no colon, as in
    redis-cli. Raises `InvalidAddress`, whose text has no password in it.
    """
    from urllib.parse import parse_qs, unquote, urlsplit  # noqa: PLC0415  # takes 3 ms, which most starts do not need

    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError as problem:  # brackets around what is no IPv6 address
        raise InvalidAddress(f"the URL cannot be read: {problem}") from None
    if parts.scheme not in _SCHEMES:
        raise InvalidAddress(f"a URL begins with redis://, rediss:// or unix://, not {parts.scheme + '://'!r}")
    query = parse_qs(parts.query)
    path, database = unquote(parts.path), query.get("db", [""])[-1]
    location: dict[str, str | int] = {"socket_path": path}
    if parts.scheme in _UNIX_SCHEMES:
        if not path or host:
            raise InvalidAddress(f"a URL with {parts.scheme}:// needs an absolute path: {parts.scheme}:///PATH")
    else:
        # After the host only: `parts.port` would not quote what it refuses.
        port = parts.netloc.rpartition("@")[2].rpartition("]")[2].partition(":")[2]
        location = {"host": host or DEFAULT_HOST, "port": parse_port(port) if port else DEFAULT_URL_PORT}
        database = path.strip("/") or database
    if database and not database.isdecimal():
        raise InvalidAddress(f"a database is a number, not {database!r}")
    user, password = (None if each is None else unquote(each) for each in (parts.username, parts.password))
    password = query.get("password", [password])[-1]
    if password is None:
        user, password = None, user
    return ConnectionSettings(
        **location,  # type: ignore[arg-type]  # the keys are names of fields
        user=user or "",
        password=password,
        database=int(database or 0),
        tls=_SCHEMES[parts.scheme],
    )
