"""The values of replies: equality, hashes, and how tests print them."""

from __future__ import annotations

from common.replies import Deferred, ErrorKind, ErrorReply, Lines, NoReply, NullArray, Push, Reply, SimpleString


def different() -> list[Reply]:
    """Return new replies, no two of which are equal."""
    return [
        SimpleString(b"a"),
        SimpleString(b"b"),
        ErrorReply(b"a", b""),
        ErrorReply(b"a", b"b"),
        Push((b"a",)),
        Push(((b"a",),)),
        NullArray(),
        NoReply(),
        Deferred(),
    ]


def test_replies_are_equal_and_have_one_hash_if_their_types_and_fields_are_equal() -> None:
    assert different() == different()
    assert list(map(hash, different())) == list(map(hash, different()))
    for reply in different():
        assert sum(other == reply for other in different()) == 1
    assert Lines([b"a"]) == Lines([b"a"])
    assert Lines([b"a"]) != Lines([b"a"], terminated=True)


def test_the_kind_of_an_error_is_not_compared() -> None:
    assert ErrorReply(b"ERR", b"x") == ErrorReply(b"ERR", b"x", ErrorKind.CONFLICT)
    assert hash(ErrorReply(b"ERR", b"x")) == hash(ErrorReply(b"ERR", b"x", ErrorKind.CONFLICT))


def test_a_reply_is_printed_with_its_fields() -> None:
    assert repr(ErrorReply(b"ERR", b"x")) == "ErrorReply(b'ERR', b'x')"
