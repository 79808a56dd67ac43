"""The password of the server. It has three settings, which are names of one value."""

from __future__ import annotations

from dataclasses import replace

from common.passwords import PASSWORD_VARIABLE, read_password_file
from server.settings.table import Settings, SettingsError, option_of


def with_password(settings: Settings) -> Settings:
    """Return settings whose ``password`` is the one that was given, under whatever name. An empty one means none.

    Raises `SettingsError` if the password file cannot be used, or if two passwords were given that differ.
    """
    given: dict[str, str] = {}
    if settings.password:
        given["password"] = settings.password
    if settings.password_file is not None:
        given["password_file"] = _read(settings.password_file)
    if settings.http_token is not None:
        given["http_token"] = settings.http_token
    (first, password), *others = given.items() or [("", "")]
    for name, value in others:
        if value != password:
            other = PASSWORD_VARIABLE if first == "password" else option_of(first)
            raise SettingsError(name, f"is not the password of {other}; the server has one password for all protocols")
    return replace(settings, password=password)


def _read(path: str) -> str:
    try:
        return read_password_file(path)
    except ValueError as problem:
        raise SettingsError("password_file", f"{path} {problem}") from None
