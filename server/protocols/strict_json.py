"""Strict JSON. What Python's parser accepts beyond JSON, and what could harm the server, is refused with a reason.

Python's parser holds the GIL until it is done, and 16 MiB of ``[],`` become 0.7 GB of lists. So the structure of a text
is bounded before it is parsed, by counting.
"""

from __future__ import annotations

import json
from itertools import accumulate
from typing import Any, NoReturn

from common.limits import DEFAULT_LIMITS

MAX_DEPTH = 256
"""Maximum nesting of arrays and objects. Python's parser recurses as deep on a thread's stack."""

MAX_VALUES = DEFAULT_LIMITS.max_args
"""Maximum number of values and of names in objects. A request has as many arguments."""

MAX_CONTAINERS = 128 * 1024
"""Maximum number of arrays and objects. Each takes about a hundred times the memory of its brackets."""


class UnreadableJSON(ValueError):
    """Raised for text that is not JSON, or JSON that cannot be stored unchanged. The message is for the client."""


def _refuse_constant(name: str) -> NoReturn:
    raise UnreadableJSON(f"{name} is not JSON")


def _finite_float(digits: str) -> float:
    number = float(digits)
    # 1e999 becomes an infinity, which would be stored as "Infinity". That is not JSON (RFC 8259, 6).
    if number in (float("inf"), float("-inf")):
        raise UnreadableJSON("a number is too large")
    return number


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite_float)

# Maps brackets to +1 and -1 as signed bytes. All other bytes are deleted.
_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[{]}"))

_TOO_MANY_VALUES = f"it has more than {MAX_VALUES} values"


def _check_structure(text: bytes) -> None:
    """Raise `UnreadableJSON` if a text is nested too deep or has too many values to be parsed.

    Brackets that do not match are left to the parser, which fails there.
    """
    # Most texts are within the bounds even if what is in their strings counts too.
    if _count_containers(text) <= MAX_DEPTH and _count_values(text) <= MAX_VALUES:
        return
    # To remove the strings takes time for each of them. A string has at most two quotes with no backslash before them.
    if text.count(b'"') - text.count(b'\\"') > 2 * MAX_VALUES:
        raise UnreadableJSON(_TOO_MANY_VALUES)
    bare = _without_strings(text)
    if _count_values(bare) > MAX_VALUES:
        raise UnreadableJSON(_TOO_MANY_VALUES)
    if _count_containers(bare) > MAX_CONTAINERS:
        raise UnreadableJSON(f"it has more than {MAX_CONTAINERS} arrays and objects")
    steps = memoryview(bare.translate(_STEPS, _NOT_BRACKETS)).cast("b")
    if max(accumulate(steps), default=0) > MAX_DEPTH:
        raise UnreadableJSON(f"it is nested more than {MAX_DEPTH} deep")


def _count_values(bare: bytes) -> int:
    # One more than commas in each array and object that is not empty, and one per name in an object.
    return 1 + bare.count(b",") + bare.count(b":")


def _count_containers(bare: bytes) -> int:
    return bare.count(b"[") + bare.count(b"{")


def _without_strings(text: bytes) -> bytes:
    # Without escaped backslashes and escaped quotes, every second part is between the quotes of a string.
    return b"".join(text.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')[::2])


def parse_json(text: bytes) -> Any:
    """Parse JSON strictly. Raises `UnreadableJSON`, with a reason for the client."""
    # Before parsing: a RecursionError depends on the stack that is left, and its depth on the version of Python.
    _check_structure(text)
    try:
        return _DECODER.decode(text.decode())
    except UnicodeDecodeError:
        raise UnreadableJSON("it is not UTF-8") from None
    except json.JSONDecodeError as problem:
        raise UnreadableJSON(f"{problem.msg} at character {problem.pos}") from None
    except UnreadableJSON:
        raise
    except ValueError:  # Python's limit on the digits of an integer
        raise UnreadableJSON("an integer has too many digits") from None


def dump_json(value: Any) -> bytes:
    """Write JSON with characters as they are. Escape them only if UTF-8 cannot encode one (half a surrogate pair)."""
    try:
        return json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return json.dumps(value).encode()


def to_argument(value: Any) -> bytes:
    """Convert a string to UTF-8, and a number to its JSON text. Raises ValueError for every other value."""
    if isinstance(value, str):
        try:
            return value.encode()
        except UnicodeEncodeError:
            raise ValueError("a string contains half a surrogate pair") from None
    # bool is a subclass of int. Redis has no booleans, and "true" or "1" would be a guess.
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("an argument must be a string or a number")
    return dump_json(value)
