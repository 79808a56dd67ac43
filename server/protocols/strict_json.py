"""JSON, read strictly: what Python's parser takes beside JSON, and what would harm it, is refused with a reason."""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

DEEPEST = 256
"""How deep arrays and objects may stand in one another. Python's parser goes as deep on the stack of a thread."""


class UnreadableJSON(ValueError):
    """The text is no JSON, or JSON that can't be kept as it is. The message says which."""


def _refuse_constant(name: str) -> NoReturn:
    raise UnreadableJSON(f"{name} is not JSON")


def _finite_float(digits: str) -> float:
    number = float(digits)
    if number in (float("inf"), float("-inf")):
        raise UnreadableJSON("a number is too large")
    return number


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite_float)

# The closing quote may be missing: where no string could be found, every quote behind it would be tried in turn, and a
# quote that is never closed would cost quadratic time.
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_BRACKET = re.compile(rb"[\[\]{}]")


def _is_too_deep(text: bytes) -> bool:
    if text.count(b"[") + text.count(b"{") <= DEEPEST:
        return False
    depth = 0
    for bracket in _BRACKET.finditer(_STRING.sub(b"", text)):
        depth += 1 if bracket[0] in b"[{" else -1
        if depth > DEEPEST:
            return True
    return False


def parse_json(text: bytes) -> Any:
    """Read JSON strictly. Raises `UnreadableJSON`, with a reason for the client."""
    if _is_too_deep(text):
        raise UnreadableJSON(f"it is nested more than {DEEPEST} deep")
    try:
        return _DECODER.decode(text.decode())
    except UnicodeDecodeError:
        raise UnreadableJSON("it is not UTF-8") from None
    except json.JSONDecodeError as problem:
        raise UnreadableJSON(f"{problem.msg} at character {problem.pos}") from None
    except UnreadableJSON:
        raise
    except ValueError:  # Python's bound on the digits of an integer
        raise UnreadableJSON("an integer has too many digits") from None


def print_json(value: Any) -> bytes:
    """Write JSON as people read it; escape what UTF-8 can't hold."""
    try:
        return json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return json.dumps(value).encode()


def word_of(value: Any) -> bytes:
    """Turn a string into UTF-8, and a number into the text that it has in JSON. Raises ValueError for all else."""
    if isinstance(value, str):
        try:
            return value.encode()
        except UnicodeEncodeError:
            raise ValueError("a string holds half a surrogate pair") from None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("arguments are strings and numbers")
    return print_json(value)
