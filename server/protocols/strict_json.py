"""Strict JSON. What Python's parser accepts beyond JSON, and what could harm the server, is refused with a reason."""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

MAX_DEPTH = 256
"""Maximum nesting of arrays and objects. Python's parser recurses as deep on a thread's stack."""


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

# The closing quote is optional. If it were required, every quote after one that is never closed would be tried in
# turn, in quadratic time.
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_BRACKET = re.compile(rb"[\[\]{}]")


def _is_too_deep(text: bytes) -> bool:
    # Two counts decide the usual case. Brackets in strings only make this bound too high.
    if text.count(b"[") + text.count(b"{") <= MAX_DEPTH:
        return False
    depth = 0
    # Without its strings. Whether the brackets match is for the parser: this only bounds how deep it can recurse.
    for bracket in _BRACKET.finditer(_STRING.sub(b"", text)):
        depth += 1 if bracket[0] in b"[{" else -1
        if depth > MAX_DEPTH:
            return True
    return False


def parse_json(text: bytes) -> Any:
    """Parse JSON strictly. Raises `UnreadableJSON`, with a reason for the client."""
    # Before parsing: a RecursionError depends on the stack that is left, and its depth on the version of Python.
    if _is_too_deep(text):
        raise UnreadableJSON(f"it is nested more than {MAX_DEPTH} deep")
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
