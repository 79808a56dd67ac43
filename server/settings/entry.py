"""An entry of the table of settings: what it is called, which values it takes, and how it is given."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from dataclasses import field
from typing import Any, NamedTuple, TypeVar

from server.settings.kinds import Kind

T = TypeVar("T")

REDACTED = "(redacted)"
"""What is printed in place of a secret."""


class Group(NamedTuple):
    """A section of ``--help``."""

    title: str
    description: str | None = None


class Setting(NamedTuple):
    """One entry of `server.settings.table`. `setting` describes the fields."""

    kind: Kind[Any]
    help: str
    default: Any
    name: str = ""
    option: str | None = None
    variable: str | None = None
    repeatable: bool = False
    unset: Any = None
    unset_config: str = ""
    requires: str = ""
    group: Group | None = None
    config: str = ""
    mutable: bool = False
    secret: bool = False
    embedded: bool = False

    def default_text(self) -> str:
        """Return the default as ``--help`` shows it; an empty string if there is none."""
        if self.repeatable:
            return " ".join(map(self.kind.format, self.default))
        value = self.unset if self.default is None else self.default
        return "" if value is None else self.kind.format(value)

    def as_options(self, value: Any) -> Iterable[str]:
        """Return a value as it is given on the command line. That of a secret is not shown."""
        option = self.option or ""
        if isinstance(value, bool):
            return [option if value else f"--no-{option[2:]}"]
        values = value if self.repeatable else (value,)
        texts = (REDACTED if self.secret else shlex.quote(self.kind.format(each)) for each in values)
        return [f"{option} {text}" for text in texts]

    def text(self, settings: object) -> str:
        """Return the value in ``settings`` as CONFIG GET prints it; of a repeatable setting the first value."""
        # An entry without a field is always its default.
        value = getattr(settings, self.name) if self.name else self.default
        if self.repeatable:
            value = value[0] if value else self.unset  # Redis has one `port`, and clients expect one number
        if value is None:
            value = self.unset
        if self.secret and value:
            return REDACTED
        return self.unset_config if value is None else self.kind.format(value)


def setting(
    default: T,
    kind: Kind[Any],
    help: str,
    *,
    option: str | None = None,
    variable: str | None = None,
    repeatable: bool = False,
    unset: Any = None,
    unset_config: str = "",
    requires: str = "",
    group: Group | None = None,
    config: str = "",
    mutable: bool = False,
    secret: bool = False,
    embedded: bool = False,
) -> T:
    """Declare a field of `server.settings.Settings`.

    ``option`` and ``variable`` follow from the field's name; an empty string means that there is none. The value of a
    ``repeatable`` setting is a tuple: the option may be given several times, and the variable is a list separated by
    blanks or commas. ``unset`` is the value that is used if the setting is None or an empty tuple. If there is none,
    CONFIG GET prints ``unset_config``. ``requires`` names another setting, without which this one is an error.
    ``group`` is a section of ``--help``. ``config`` is the name of the parameter in CONFIG, and CONFIG SET may change a
    ``mutable`` one. A ``secret`` appears neither in ``repr`` nor in the log, and CONFIG GET shows only whether it is
    set. An ``embedded`` one concerns the keyspace in this process, and cannot be used with a backing Redis.
    """
    # Declared as returning T, so that a field has the type of its default. The entry travels in the field's metadata.
    entry = Setting(
        kind=kind,
        help=help,
        default=default,
        option=option,
        variable=variable,
        repeatable=repeatable,
        unset=unset,
        unset_config=unset_config,
        requires=requires,
        group=group,
        config=config,
        mutable=mutable,
        secret=secret,
        embedded=embedded,
    )
    return field(default=default, repr=not secret, metadata={"entry": entry})
