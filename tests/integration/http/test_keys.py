"""Keys as resources: every method, status, parameter and condition, with any bytes as keys and values."""

from __future__ import annotations

import json
from urllib.parse import quote_from_bytes

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.harness.http_wire import Wire
from tests.harness.processes import ServerProcess
from tests.harness.profiles import examples
from tests.harness.waiting import wait_until

EVERY_BYTE = bytes(range(256))


def error_of(answer: httpx.Response) -> str:
    """Return the text of an error response, which has no other member."""
    assert answer.headers["content-type"] == "application/json"
    assert list(answer.json()) == ["error"]
    sentence = answer.json()["error"]
    assert isinstance(sentence, str)
    return sentence


def test_get_returns_the_bytes_that_put_wrote(http: httpx.Client) -> None:
    assert http.put("/keys/k", content=EVERY_BYTE).status_code == 201
    got = http.get("/keys/k")
    assert (got.status_code, got.content) == (200, EVERY_BYTE)
    assert got.headers["content-type"] == "application/octet-stream"
    assert got.headers["x-content-type-options"] == "nosniff"


def test_putting_again_replaces(http: httpx.Client) -> None:
    assert [http.put("/keys/k", content=value).status_code for value in ("a", "b")] == [201, 200]
    assert http.get("/keys/k").text == "b"


def test_an_empty_value_is_a_value(http: httpx.Client) -> None:
    assert http.put("/keys/k").status_code == 201
    got = http.get("/keys/k")
    assert (got.status_code, got.content) == (200, b"")


def test_a_missing_key_is_404_with_an_error_text(http: httpx.Client) -> None:
    got = http.get("/keys/k")
    assert (got.status_code, error_of(got)) == (404, "no such key")
    assert http.head("/keys/k").status_code == 404
    assert http.delete("/keys/k").status_code == 404


def test_deleting_is_204_once(http: httpx.Client) -> None:
    http.put("/keys/k", content="v")
    deleted = http.delete("/keys/k")
    assert (deleted.status_code, deleted.content) == (204, b"")
    assert "content-length" not in deleted.headers
    assert http.get("/keys/k").status_code == 404


def test_head_returns_the_headers_of_get_without_the_value(http: httpx.Client) -> None:
    http.put("/keys/k", content="hello")
    head, got = http.head("/keys/k"), http.get("/keys/k")
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", "5")
    assert head.headers["etag"] == got.headers["etag"]


def test_both_listeners_serve_one_store(http: httpx.Client, server: ServerProcess) -> None:
    peer = server.connect()
    http.put("/keys/from-http", content="1")
    assert peer.ask(b"INCR from-http") == b"2"
    assert http.get("/keys/from-http").text == "2"


# ---------------------------------------------------------------- keys


@pytest.mark.parametrize(
    "key",
    [EVERY_BYTE, b"", b"a/b", b"/", b"a/incr", b"incr", b"a\nb", b"a\r\n", b"%41", b"a+b", b"?x=1", b"\xff", b"keys/x"],
    ids=repr,
)
def test_any_bytes_make_a_key(wire: Wire, server: ServerProcess, key: bytes) -> None:
    path = b"/keys/" + quote_from_bytes(key, safe="").encode()
    assert wire.ask(b"PUT", path, b"value").status == 201
    assert wire.ask(b"GET", path).body == b"value"
    assert wire.ask(b"HEAD", path).status == 200
    peer = server.connect()
    peer.send(b"*2\r\n$3\r\nGET\r\n$%d\r\n%b\r\n" % (len(key), key))
    assert (peer.line(), peer.line()) == (b"$5\r\n", b"value\r\n")
    assert wire.ask(b"PUT", path, b"1").status == 200
    assert wire.ask(b"POST", path + b"/incr").body == b"2"
    assert wire.ask(b"DELETE", path).status == 204


@settings(max_examples=examples(25), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(key=st.binary(max_size=100), value=st.binary(max_size=100))
def test_get_returns_any_value_under_any_key(wire: Wire, key: bytes, value: bytes) -> None:
    path = b"/keys/" + b"".join(b"%%%02x" % byte for byte in key)
    assert wire.ask(b"PUT", path, value).status in (200, 201)
    assert wire.ask(b"GET", path).body == value


def test_a_slash_in_a_key_need_not_be_percent_encoded(wire: Wire) -> None:
    assert wire.ask(b"PUT", b"/keys/a/b", b"v").status == 201
    assert wire.ask(b"GET", b"/keys/a%2Fb").body == b"v"


def test_a_plus_in_a_path_is_a_plus(wire: Wire) -> None:
    assert wire.ask(b"PUT", b"/keys/a+b", b"v").status == 201
    assert wire.ask(b"GET", b"/keys/a%2Bb").body == b"v"


@pytest.mark.parametrize("path", [b"/keys%2Fgreeting", b"/%6Beys/greeting"])
def test_no_other_spelling_of_a_path_names_another_key(wire: Wire, server: ServerProcess, path: bytes) -> None:
    for key in (b"2Fgreeting", b"eeting", b"ys/greeting"):
        assert server.connect().ask(b"SET %b wrong" % key) == b"OK"
    assert wire.ask(b"GET", path).status >= 400
    assert wire.ask(b"DELETE", path).status >= 400
    assert server.connect().ask(b"DBSIZE") == b"3"


# ---------------------------------------------------------------- JSON


def test_a_value_is_returned_as_json_if_that_is_accepted(http: httpx.Client) -> None:
    http.put("/keys/text", content='sn☃w "\n')
    http.put("/keys/bytes", content=b"\xff\x00")
    as_json = {"Accept": "text/html, application/json"}
    assert http.get("/keys/text", headers=as_json).json() == {"value": 'sn☃w "\n'}
    assert http.get("/keys/bytes", headers=as_json).json() == {"base64": "/wA="}
    assert http.get("/keys/text", headers=as_json).headers["content-type"] == "application/json"
    assert http.get("/keys/text").headers["vary"] == "accept, kvline-database"


# ---------------------------------------------------------------- databases


def test_a_header_selects_the_database_of_a_request(http: httpx.Client) -> None:
    other = {"Kvline-Database": "1"}
    assert http.put("/keys/k", content="0").status_code == 201
    assert http.put("/keys/k", content="1", headers=other).status_code == 201
    assert (http.get("/keys/k").text, http.get("/keys/k", headers=other).text) == ("0", "1")
    assert http.post("/", json=["DBSIZE"], headers=other).json() == {"result": 1}
    assert http.post("/multi-exec", json=[["SELECT", "0"], ["GET", "k"]], headers=other).json()[1] == {"result": "0"}
    assert http.delete("/keys", headers=other).status_code == 204
    assert (http.get("/keys/k").text, http.get("/keys/k", headers=other).status_code) == ("0", 404)


@pytest.mark.parametrize(
    ("index", "error"), [("16", "ERR DB index is out of range"), ("x", "ERR value is not an integer or out of range")]
)
def test_a_database_that_does_not_exist_is_refused_and_nothing_is_done(
    http: httpx.Client, index: str, error: str
) -> None:
    answer = http.put("/keys/k", content="v", headers={"Kvline-Database": index})
    assert (answer.status_code, answer.json()) == (400, {"error": error})
    assert http.get("/keys/k").status_code == 404


# ---------------------------------------------------------------- expiry and conditions


def test_ex_and_px_let_a_key_expire(http: httpx.Client, server: ServerProcess) -> None:
    http.put("/keys/seconds?ex=100", content="v")
    http.put("/keys/milliseconds?px=100000", content="v")
    http.put("/keys/soon?px=1", content="v")
    for key in (b"seconds", b"milliseconds"):
        assert 0 < int(server.connect().ask(b"PTTL " + key)) <= 100_000
    wait_until(lambda: http.get("/keys/soon").status_code == 404, "the key has expired")


@pytest.mark.parametrize(
    ("query", "there", "status"),
    [
        ("nx", False, 201),
        ("nx", True, 412),
        ("nx=true", True, 412),
        ("nx=false", True, 200),
        ("xx", True, 200),
        ("xx", False, 412),
        ("xx=1", False, 412),
        ("xx=0", False, 201),
        ("nx&ex=10", False, 201),
    ],
)
def test_nx_and_xx_decide_whether_it_is_written(http: httpx.Client, query: str, there: bool, status: int) -> None:
    if there:
        http.put("/keys/k", content="old")
    assert http.put(f"/keys/k?{query}", content="new").status_code == status
    assert http.get("/keys/k").text == ("new" if status != 412 else "old" if there else '{"error":"no such key"}')


@pytest.mark.parametrize(
    "query",
    [
        "ex=0",
        "ex=-1",
        "ex=x",
        "ex=",
        "ex",
        "px=1.5",
        "ex=%31%20",
        "ex=9223372036854775808",
        "ex=9223372036854775807",
        "nx=maybe",
        "ttl=1",
        "ex=1&ex=2",
        "ex=1&px=1",
        "nx&xx",
        "%FF=1",
    ],
)
def test_an_invalid_query_is_400_and_changes_nothing(http: httpx.Client, query: str) -> None:
    http.put("/keys/k", content="old")
    refused = http.put(f"/keys/k?{query}", content="new")
    assert refused.status_code == 400
    assert error_of(refused)
    assert http.get("/keys/k").text == "old"


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_a_parameter_that_a_method_does_not_know_is_400(http: httpx.Client, method: str) -> None:
    http.put("/keys/k", content="v")
    refused = http.request(method, "/keys/k?ex=1")
    assert (refused.status_code, error_of(refused)) == (400, "unknown parameter 'ex'")


@pytest.mark.parametrize("query", ["ex=1&px=1", "nx&xx"])
def test_two_options_that_exclude_each_other_are_an_error(http: httpx.Client, query: str) -> None:
    assert "only one" in error_of(http.put(f"/keys/k?{query}", content="v"))
    assert http.get("/keys/k").status_code == 404


def test_equal_values_have_equal_entity_tags_and_other_values_other_tags(http: httpx.Client) -> None:
    tags = [http.put(f"/keys/{key}", content=value).headers["etag"] for key, value in ("ax", "bx", "cy")]
    assert tags[0] == tags[1] != tags[2]
    assert http.get("/keys/a").headers["etag"] == tags[0]
    assert http.get("/keys/a", headers={"Accept": "application/json"}).headers["etag"] == tags[0]


def test_a_reader_that_has_the_value_gets_304(http: httpx.Client) -> None:
    tag = http.put("/keys/k", content="v").headers["etag"]
    for field in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        unchanged = http.get("/keys/k", headers={"If-None-Match": field})
        assert (unchanged.status_code, unchanged.content, unchanged.headers["etag"]) == (304, b"", tag)
        assert http.head("/keys/k", headers={"If-None-Match": field}).status_code == 304
    assert http.get("/keys/k", headers={"If-None-Match": '"other"'}).status_code == 200


@pytest.mark.parametrize(
    ("header", "field", "there", "is_met"),
    [
        ("If-Match", "TAG", True, True),
        ("If-Match", '"other", TAG', True, True),
        ("If-Match", '"other"', True, False),
        ("If-Match", "*", True, True),
        ("If-Match", "*", False, False),
        ("If-Match", "TAG", False, False),
        ("If-None-Match", "*", True, False),
        ("If-None-Match", "*", False, True),
        ("If-None-Match", "TAG", True, False),
        ("If-None-Match", '"other"', True, True),
    ],
)
@pytest.mark.parametrize("method", ["PUT", "DELETE", "POST"])
def test_a_write_is_done_only_if_the_tags_allow_it(
    http: httpx.Client, method: str, header: str, field: str, there: bool, is_met: bool
) -> None:
    tag = http.put("/keys/k", content="7").headers["etag"]
    if not there:
        http.delete("/keys/k")
    path = "/keys/k/incr" if method == "POST" else "/keys/k"
    before = http.get("/keys/k").content
    status = http.request(method, path, headers={header: field.replace("TAG", tag)}, content=b"").status_code
    assert (status != 412) == is_met
    assert (http.get("/keys/k").content == before) == (not is_met or (method == "DELETE" and not there))


def test_conditions_of_query_and_headers_must_all_hold(http: httpx.Client) -> None:
    tag = http.put("/keys/k", content="v").headers["etag"]
    assert http.put("/keys/k?nx", headers={"If-Match": tag}, content="w").status_code == 412
    assert http.put("/keys/k?xx&ex=50", headers={"If-Match": tag}, content="w").status_code == 200


# ---------------------------------------------------------------- counting


def test_incr_and_decr_return_the_new_integer(http: httpx.Client) -> None:
    assert [http.post(f"/keys/n/incr{query}").text for query in ("", "?by=10", "?by=-12")] == ["1", "11", "-1"]
    assert http.post("/keys/n/incr", headers={"Accept": "application/json"}).json() == {"value": 0}
    assert http.post("/keys/n/incr").headers["content-type"].startswith("text/plain")


@pytest.mark.parametrize("value", ["hello", "1.0", " 1", "", "9223372036854775807"])
def test_a_value_that_is_no_integer_or_would_overflow_is_409_and_unchanged(http: httpx.Client, value: str) -> None:
    http.put("/keys/n", content=value)
    refused = http.post("/keys/n/incr")
    assert refused.status_code == 409
    assert error_of(refused)
    assert http.get("/keys/n").text == value


@pytest.mark.parametrize("by", ["", "x", "1.5", "9223372036854775808"])
def test_by_is_an_integer_of_64_bits(http: httpx.Client, by: str) -> None:
    assert http.post(f"/keys/n/incr?by={by}").status_code == 400
    assert http.get("/keys/n").status_code == 404


# ---------------------------------------------------------------- all keys


def test_the_listing_goes_through_all_keys_with_its_cursor(http: httpx.Client, server: ServerProcess) -> None:
    names = {f"k{number}" for number in range(250)}
    server.connect().ask(b"MSET " + b" ".join(f"{name} v".encode() for name in names))
    found: list[str] = []
    cursor = ""
    while cursor != "0":
        page = http.get("/keys", params={"count": 100} | ({"cursor": cursor} if cursor else {})).json()
        assert set(page) == {"cursor", "keys"}
        found += page["keys"]
        cursor = page["cursor"]
    assert sorted(found) == sorted(names)


def test_the_listing_matches_a_pattern(http: httpx.Client) -> None:
    for key in ("ax", "bx", "ay"):
        http.put(f"/keys/{key}", content="v")
    assert sorted(http.get("/keys?match=a*&count=1000").json()["keys"]) == ["ax", "ay"]


def test_keys_that_are_not_utf_8_are_listed_in_base64_if_the_header_asks_for_it(http: httpx.Client) -> None:
    http.put("/keys/%FF", content="v")
    assert http.get("/keys").json()["keys"] == ["�"]
    assert http.get("/keys", headers={"Upstash-Encoding": "base64"}).json()["keys"] == ["/w=="]


@pytest.mark.parametrize(
    "query", ["count=0", "count=x", "cursor=-1", "cursor=x", "cursor=", "page=2", "match=a&match=b"]
)
def test_an_invalid_listing_is_400(http: httpx.Client, query: str) -> None:
    assert http.get(f"/keys?{query}").status_code == 400


def test_deleting_all_keys_empties_the_store(http: httpx.Client, server: ServerProcess) -> None:
    http.put("/keys/k", content="v")
    assert http.delete("/keys").status_code == 204
    assert server.connect().ask(b"DBSIZE") == b"0"


def test_compact_rebuilds_the_store(http: httpx.Client) -> None:
    http.put("/keys/greeting", content="hello you")
    http.put("/keys/n", content="1")
    compacted = http.get("/compact")
    assert compacted.text == 'SET greeting "hello you"\nSET n 1\n'
    assert compacted.headers["content-type"] == "text/plain; charset=utf-8"


def test_large_bodies_are_complete(http: httpx.Client) -> None:
    value = EVERY_BYTE * 4096
    http.put("/keys/k", content=value)
    assert http.get("/keys/k").content == value
    text = ("sn☃w" * 100_000).encode()
    http.put("/keys/text", content=text)
    assert json.loads(http.get("/keys/text", headers={"Accept": "application/json"}).content)["value"] == text.decode()
    assert len(http.get("/compact").content) > len(value)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("PATCH", "/keys/k", 405),
        ("PUT", "/keys", 405),
        ("POST", "/keys", 405),
        ("POST", "/keys/k", 405),
        ("POST", "/compact", 405),
        ("DELETE", "/healthz", 405),
        ("OPTIONS", "/keys/k", 405),
        ("GET", "/", 405),
        ("PUT", "/keys/k/incr", 405),
        ("GET", "/docs/nothing", 404),
    ],
)
def test_an_unknown_path_or_method_is_an_error_with_text(
    http: httpx.Client, method: str, path: str, status: int
) -> None:
    refused = http.request(method, path)
    assert refused.status_code == status
    assert error_of(refused)
    assert ("allow" in refused.headers) == (status == 405)


def test_a_method_that_a_path_does_not_have_changes_no_other_resource(http: httpx.Client) -> None:
    assert http.put("/keys/k/incr", content=b"v").headers["allow"] == "POST"
    assert http.delete("/keys/k/incr").status_code == http.get("/keys/k/incr").status_code == 405
    assert http.get("/keys").json()["keys"] == []
    assert http.put("/keys/k%2Fincr", content=b"v").status_code == 201
    assert http.get("/keys").json()["keys"] == ["k/incr"]


def test_a_header_that_is_given_twice_is_one_list(http: httpx.Client) -> None:
    http.put("/keys/k", content=b"v")
    tag = http.get("/keys/k").headers["etag"]
    for first, second in ((tag, '"other"'), ('"other"', tag)):
        headers = [("If-Match", first), ("If-Match", second)]
        assert http.put("/keys/k", content=b"v", headers=headers).status_code == 200
