"""What the properties draw: arguments, replies, and ways to cut a stream."""

from __future__ import annotations

from functools import partial

from hypothesis import strategies as st

from common.replies import ErrorReply, Lines, Reply, SimpleString

MEANINGFUL = [
    b"\r\n",
    b"\n",
    b"\r",
    b"*1\r\n",
    b"$1\r\n",
    b" ",
    b"\t",
    b'"',
    b"'",
    b"\\",
    b"\\x",
    b"(",
    "é".encode(),
    b"\xc3",
]

args = st.binary(max_size=12) | st.lists(st.binary(max_size=3) | st.sampled_from(MEANINGFUL), max_size=6).map(b"".join)
"""Any bytes, more often those that have a meaning in a protocol."""

requests = st.lists(args, min_size=1, max_size=5)

sizes = st.lists(st.integers(1, 20), max_size=4)
"""The sizes of the pieces that a stream is cut into; none leaves it whole."""

_line = st.binary(max_size=20).map(lambda data: data.replace(b"\r", b"").replace(b"\n", b""))

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | args
    | _line.map(SimpleString)
    | _line.map(ErrorReply.from_text)
    | st.lists(_line, max_size=5).map(Lines)
    | st.lists(_line, min_size=1, max_size=5).map(partial(Lines, terminated=True))
)

replies: st.SearchStrategy[Reply] = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(args, inner, max_size=4),
    max_leaves=20,
)
