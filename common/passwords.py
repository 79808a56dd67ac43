"""The password of a server, as the server and the client get it: from the environment or from a file."""

from __future__ import annotations

PASSWORD_VARIABLE = "KVLINE_PASSWORD"
"""The variable in the environment that has the password."""

MAX_PASSWORD_SIZE = 2048
"""Bytes of a password. In every protocol it fits into a request before authentication, even if each byte is escaped."""


def to_bytes(password: str) -> bytes:
    """Return the bytes of a password. Those that are not UTF-8 were decoded with ``surrogateescape``."""
    return password.encode(errors="surrogateescape")


def check_password(text: str) -> str:
    """Return a password, or raise `ValueError` if no client could send it. The error does not contain it."""
    if len(to_bytes(text)) > MAX_PASSWORD_SIZE:
        raise ValueError(f"a password has at most {MAX_PASSWORD_SIZE} bytes")
    return text


def read_password_file(path: str) -> str:
    """Return the first line of a file, without its line break.

    Raises `ValueError` if the file cannot be read, is empty, or has no password in its first line. The error is a part
    of a sentence whose subject is the file, and contains nothing of it.
    """
    try:
        with open(path, "rb") as file:
            line = file.readline(MAX_PASSWORD_SIZE + 16)  # the rest may be anything, and may never end
    except (OSError, ValueError) as problem:  # ValueError: a path with a NUL byte
        raise ValueError(f"can't be read: {getattr(problem, 'strerror', None) or problem}") from None
    # An editor on Windows may begin the file with a byte order mark, which no client would send.
    password = line.rstrip(b"\r\n").decode("utf-8-sig", errors="surrogateescape")
    if not password:
        raise ValueError("has no password in its first line")
    if len(to_bytes(password)) > MAX_PASSWORD_SIZE:
        raise ValueError(f"has a password of more than {MAX_PASSWORD_SIZE} bytes in its first line")
    return password
