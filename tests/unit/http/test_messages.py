"""A request as the functions see it: what the query says, and which entity tags meet a condition."""

from __future__ import annotations

from urllib.parse import quote_from_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.http import keys
from server.http.messages import HTTPError, Request, run_in_this_thread
from tests.harness.sessions import ClientSession, execute


def new_request(session: ClientSession, query: bytes = b"", body: bytes = b"", **headers: bytes) -> Request:
    named = {name.replace("_", "-").encode(): value for name, value in headers.items()}
    return Request(session.session, b"k", query, named, body)


args = st.binary(min_size=1, max_size=20)


@given(pairs=st.lists(st.tuples(args, st.none() | st.binary(max_size=20)), max_size=5), plus=st.booleans())
def test_a_query_is_read_as_it_was_written(pairs: list[tuple[bytes, bytes | None]], plus: bool) -> None:
    def quote(arg: bytes) -> str:
        quoted = quote_from_bytes(arg, safe="")
        return quoted.replace("%20", "+") if plus else quoted

    query = "&".join(quote(name) + ("" if value is None else "=" + quote(value)) for name, value in pairs)
    read = Request(None, b"", query.encode()).query_pairs()  # type: ignore[arg-type]
    assert read == pairs


@given(query=st.binary(max_size=40))
def test_any_query_is_read_or_refused_with_400(query: bytes) -> None:
    asked = Request(None, b"", query)  # type: ignore[arg-type]
    refusals: list[int] = []
    try:
        asked.parameters(keys.EX, keys.NX, keys.BY, keys.MATCH, keys.CURSOR)
    except HTTPError as error:
        refusals.append(error.problem.status)
    assert set(refusals) <= {400}


@pytest.mark.parametrize(
    ("query", "values"),
    [
        (b"", [None, None]),
        (b"ex=60", [60, None]),
        (b"nx", [None, True]),
        (b"nx=", [None, True]),
        (b"nx=TRUE&ex=1", [1, True]),
        (b"&&nx=false&", [None, False]),
        (b"%65x=%36%30", [60, None]),
    ],
)
def test_parameters_come_by_name(session: ClientSession, query: bytes, values: list[object]) -> None:
    assert new_request(session, query).parameters(keys.EX, keys.NX) == values


TAG = keys._etag(b"v")


@pytest.mark.parametrize(
    ("field", "has"),
    [
        (TAG, True),
        (b" " + TAG + b"\t", True),
        (b'"a", ' + TAG + b' ,"b"', True),
        (b"W/" + TAG, True),
        (b"*", True),
        (b"", False),
        (b'"a"', False),
        (TAG.strip(b'"'), False),
        (b'*, "a"', False),
        (TAG[:-2] + b'"', False),
    ],
)
def test_a_field_has_the_values_tag_or_not(session: ClientSession, field: bytes, has: bool) -> None:
    assert keys._etag_matches(new_request(session, if_match=field), b"if-match", TAG) is has
    assert keys._etag_matches(new_request(session, if_match=field), b"if-match", None) is False
    assert keys._etag_matches(new_request(session), b"if-match", TAG) is None


@given(one=st.binary(), other=st.binary())
def test_a_tag_names_its_value_and_no_other(one: bytes, other: bytes) -> None:
    assert (keys._etag(one) == keys._etag(other)) == (one == other)
    assert keys._etag(one)[:1] == keys._etag(one)[-1:] == b'"'
    assert b"," not in keys._etag(one)


def test_a_write_between_the_look_and_the_step_is_noticed(
    session: ClientSession, other: ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute(session, b"SET", b"k", b"v")
    check = keys._check_conditions

    def check_and_let_another_write(request: Request, etag: bytes | None) -> None:
        check(request, etag)
        execute(other, b"SET", b"k", b"others")

    monkeypatch.setattr(keys, "_check_conditions", check_and_let_another_write)
    with pytest.raises(HTTPError) as refused:
        run_in_this_thread(keys.put_value(new_request(session, body=b"mine", if_match=TAG)))
    assert refused.value.problem.status == 412
    assert execute(session, b"GET", b"k") == b"others"
