"""Access control: the password, allowed host names, cross-site request forgery (CSRF) and CORS."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator, Sequence

import httpx
import pytest

from server.http.application import GROUPS
from server.http.documentation import routes_for
from server.http.messages import HTTPError, Request, Response
from server.http.routes import Route
from server.http.security import AccessPolicy
from server.session.auth import Authenticator
from tests.harness.cases import case
from tests.harness.http_wire import Wire, fetch, new_http_client, start_with_http
from tests.harness.processes import ServerProcess, StartServer
from tests.harness.waiting import wait_until

PASSWORD = "a-password-of-the-test"
FRIEND = "https://friend.example"


@pytest.fixture(scope="module")
def guarded() -> Iterator[ServerProcess]:
    """A server with a password and an allowed origin."""
    server = start_with_http(ServerProcess, "--http-cors", FRIEND, KVLINE_PASSWORD=PASSWORD)
    yield server
    server.check()
    server.close()


@pytest.fixture
def http_guarded(guarded: ServerProcess) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {PASSWORD}"}
    with httpx.Client(base_url=guarded.http_url, headers=headers, verify=False) as client:
        yield client


@pytest.fixture
def stranger(guarded: ServerProcess) -> Iterator[httpx.Client]:
    """A client of the same server that has no password."""
    with new_http_client(guarded.http_url) as client:
        yield client


def policy_for(host: str, password: str = "", origins: Sequence[str] = (), names: Sequence[str] = ()) -> AccessPolicy:
    auth = Authenticator()
    auth.set_password(password)
    return AccessPolicy(host, auth, origins, names)


def route(*, safe: bool = False, public: bool = False) -> Route:
    async def handler(_: Request) -> Response:
        return Response(200)

    return Route("GET", "/", handler, safe=safe, public=public)


def status(policy: AccessPolicy, route: Route, **headers: str) -> int:
    """Return the status with which the policy refuses, or 200."""
    try:
        given = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
        policy.check(route, given, "10.0.0.1:5000")
    except HTTPError as error:
        return error.problem.status
    return 200


# ---------------------------------------------------------------- names


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("localhost", 200),
        ("LOCALHOST:80", 200),
        ("127.0.0.1:9780", 200),
        ("[::1]:9780", 200),
        ("[::1]", 200),
        ("192.168.0.7", 200),
        ("", 200),
        ("evil.example", 403),
        ("evil.example:80", 403),
        ("localhost.evil.example", 403),
        ("127.0.0.1.evil.example:9780", 403),
        ("127.0.0.1:80:evil.example", 403),
        ("evil.example:localhost", 403),
        ("1234", 403),
        ("2130706433", 403),
        ("1234:80", 403),
    ],
)
def test_only_allowed_host_names_are_accepted(name: str, expected: int) -> None:
    for host in ("127.0.0.1", "localhost", "::1", "127.8.9.1", "LocalHost", "127.1", "0.0.0.0"):
        policy = policy_for(host)
        with case(host):
            assert status(policy, route(safe=True), host=name) == expected
            assert status(policy, route(public=True, safe=True), host=name) == expected


@pytest.mark.parametrize(
    ("host", "password", "names", "expected"),
    [
        ("0.0.0.0", "", ["kvline.example"], 200),
        ("127.0.0.1", "", ["KVLINE.example"], 200),
        ("0.0.0.0", "", ["other.example"], 403),
        ("0.0.0.0", PASSWORD, [], 200),
        ("127.0.0.1", PASSWORD, [], 403),
    ],
    ids=["named", "named, on loopback", "another", "with a password", "with a password, on loopback"],
)
def test_a_host_name_is_allowed_that_was_given_or_that_needs_the_password(
    host: str, password: str, names: list[str], expected: int
) -> None:
    policy = policy_for(host, password, names=names)
    assert status(policy, route(public=True), host="kvline.example:9780") == expected


@pytest.mark.parametrize("path", ["/keys", "/keys/k", "/healthz", "/metrics", "/compact", "/get/k"])
def test_dns_rebinding_reads_nothing(http: httpx.Client, path: str) -> None:
    refused = http.get(path, headers={"Host": "evil.example"})
    assert refused.status_code == 403
    assert "name" in refused.json()["error"]


# ---------------------------------------------------------------- origins


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, 200),
        ({"origin": "http://localhost:9780"}, 200),
        ({"origin": "HTTP://LOCALHOST:9780"}, 200),
        ({"origin": "https://localhost:9780"}, 200),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "http://localhost:3000"}, 403),
        ({"origin": "http://localhost"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": ""}, 403),
        ({"sec_fetch_site": "none"}, 200),
        ({"sec_fetch_site": "same-origin"}, 200),
        ({"sec_fetch_site": "same-site"}, 403),
        ({"sec_fetch_site": "cross-site"}, 403),
        ({"sec_fetch_site": "nonsense"}, 403),
    ],
    ids=str,
)
def test_csrf_pages_of_other_origins_may_send_safe_requests_only(headers: dict[str, str], expected: int) -> None:
    policy = policy_for("127.0.0.1")
    assert status(policy, route(), host="localhost:9780", **headers) == expected
    assert status(policy, route(safe=True), host="localhost:9780", **headers) == 200


@pytest.mark.parametrize(
    ("origins", "origin", "expected"),
    [
        ([FRIEND], FRIEND, 200),
        ([FRIEND, "http://other.example"], "http://other.example", 200),
        ([FRIEND], "http://friend.example", 403),
        ([FRIEND], FRIEND + ".evil.example", 403),
        (["*"], "http://anybody.example", 200),
    ],
)
def test_csrf_allowed_origins_may_send_any_request(origins: list[str], origin: str, expected: int) -> None:
    policy = policy_for("127.0.0.1", origins=origins)
    assert status(policy, route(), host="localhost:9780", origin=origin, sec_fetch_site="cross-site") == expected


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "/keys/k"),
        ("DELETE", "/keys/k"),
        ("DELETE", "/keys"),
        ("POST", "/keys/k/incr"),
        ("POST", "/"),
        ("POST", "/pipeline"),
        ("POST", "/multi-exec"),
        ("POST", "/set/k"),
        ("GET", "/set/k/new"),
        ("HEAD", "/set/k/new"),
    ],
)
@pytest.mark.parametrize("headers", [{"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}], ids=str)
def test_csrf_every_request_that_may_change_something_is_checked(
    http: httpx.Client, method: str, path: str, headers: dict[str, str]
) -> None:
    http.put("/keys/k", content="old")
    body = {"/": '["SET", "k", "new"]', "/pipeline": '[["SET", "k", "new"]]', "/multi-exec": '[["SET", "k", "new"]]'}
    refused = http.request(method, path, headers=headers, content=body.get(path, "5"))
    assert refused.status_code == 403
    assert http.get("/keys/k").text == "old"


# ---------------------------------------------------------------- headers of every response


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/healthz"),
        ("GET", "/docs"),
        ("GET", "/keys/missing"),
        ("PUT", "/keys/k"),
        ("PATCH", "/keys"),
        ("GET", "/ping"),
    ],
)
def test_browsers_guess_the_type_of_no_response(http: httpx.Client, method: str, path: str) -> None:
    assert http.request(method, path).headers["x-content-type-options"] == "nosniff"


def test_browsers_guess_the_type_of_no_error(wire: Wire) -> None:
    wire.send(b"NONSENSE\r\n\r\n")
    assert wire.answer().headers[b"x-content-type-options"] == b"nosniff"


def test_the_page_of_the_documentation_is_shown_in_no_frame(http: httpx.Client) -> None:
    assert http.get("/docs").headers["content-security-policy"] == "frame-ancestors 'none'"


# ---------------------------------------------------------------- HEAD


@pytest.mark.parametrize("path", ["/set/k/new", "/flushall", "/config/set/maxclients/7", "/getdel/k", "/SET/k/new"])
def test_a_head_request_never_writes(http: httpx.Client, path: str) -> None:
    http.put("/keys/k", content="old")
    refused = http.head(path)
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET, POST")
    assert http.get("/keys/k").text == "old"
    assert "10000" in http.get("/config/get/maxclients").text


def test_a_head_request_of_a_command_that_reads_has_the_status_of_get(http: httpx.Client) -> None:
    http.put("/keys/k", content="value")
    assert http.head("/get/k").status_code == 200


# ---------------------------------------------------------------- CORS


def test_cors_no_page_may_read_unless_its_origin_is_allowed(http: httpx.Client) -> None:
    for method in ("GET", "OPTIONS"):
        response = http.request(
            method, "/keys", headers={"Origin": "http://evil.example", "Access-Control-Request-Method": "GET"}
        )
        assert not [name for name in response.headers if name.startswith("access-control")]


def test_cors_pages_of_an_allowed_origin_may_send_and_read(http_guarded: httpx.Client) -> None:
    response = http_guarded.put("/keys/k", headers={"Origin": FRIEND}, content="v")
    assert response.status_code in (200, 201)
    assert response.headers["access-control-allow-origin"] == FRIEND
    assert response.headers["access-control-expose-headers"] == "ETag, X-Cache, Age"
    assert "origin" in response.headers["vary"].lower()


@pytest.mark.parametrize("method", ["GET", "PUT", "POST", "DELETE", "HEAD"])
def test_cors_preflight_needs_no_password(stranger: httpx.Client, method: str) -> None:
    asked = {
        "Origin": FRIEND,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": "authorization,if-match",
    }
    response = stranger.options("/keys/k", headers=asked)
    assert response.status_code == 200
    assert response.headers["access-control-allow-origin"] == FRIEND
    assert method in response.headers["access-control-allow-methods"]
    assert response.headers["access-control-allow-headers"] == "authorization,if-match"


def test_cors_other_origins_are_not_allowed(http_guarded: httpx.Client) -> None:
    asked = {"Origin": "http://evil.example", "Access-Control-Request-Method": "PUT"}
    assert http_guarded.options("/keys/k", headers=asked).status_code == 400
    response = http_guarded.get("/healthz", headers={"Origin": "http://evil.example"})
    assert "access-control-allow-origin" not in response.headers


# ---------------------------------------------------------------- the password


def basic(user: str, password: str) -> str:
    return "Basic " + b64encode(f"{user}:{password}".encode()).decode()


WRONG = [
    f"Bearer {PASSWORD}x",
    f"Bearer {PASSWORD[:-1]}",
    "Bearer",
    "Basic",
    "Bearer \xff",
    basic("", "wrong"),
    basic("", ""),
    basic("default", PASSWORD + "x"),
    basic("root", PASSWORD),
    basic(PASSWORD, ""),
    "Basic " + b64encode(PASSWORD.encode()).decode(),
]
MISSING = [None, "", f"Basic {PASSWORD}", "Basic ====", PASSWORD, f"Digest {PASSWORD}"]


@pytest.mark.parametrize(
    "path", ["/keys/k", "/keys", "/compact", "/metrics", "/get/k", "/nonsense", "/docs", "/openapi.json"]
)
def test_the_password_is_required_for_every_read(stranger: httpx.Client, path: str) -> None:
    for authorization in (*MISSING, *WRONG):
        headers = {} if authorization is None else {"Authorization": authorization.encode("latin-1")}
        with case(authorization):
            refused = stranger.get(path, headers=headers)  # type: ignore[arg-type]
            assert refused.status_code == 401
            assert refused.headers.get_list("www-authenticate") == ["Bearer", 'Basic realm="kvline", charset="UTF-8"']
            assert refused.json()["error"].partition(" ")[0] == ("NOAUTH" if authorization in MISSING else "WRONGPASS")
            assert PASSWORD not in refused.text


@pytest.mark.parametrize("path", ["/", "/pipeline", "/multi-exec", "/set/k"])
def test_the_password_is_required_for_every_command(stranger: httpx.Client, path: str) -> None:
    assert stranger.post(path, content='["SET","k","v"]').status_code == 401


def test_a_body_without_the_password_is_neither_stored_nor_awaited(guarded: ServerProcess) -> None:
    with Wire(guarded.http_url) as wire:
        wire.send(b"PUT /keys/k HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n")
        assert wire.answer().status == 401


def test_the_password_is_not_required_for_health_alone(stranger: httpx.Client) -> None:
    assert stranger.get("/healthz").status_code == 200
    public = [route.path for group in (*GROUPS, routes_for(GROUPS)) for route in group.routes if route.public]
    assert public == ["/healthz"]


def test_the_password_allows_every_read(http_guarded: httpx.Client) -> None:
    for path in ("/keys", "/compact", "/metrics", "/ping", "/docs", "/openapi.json"):
        assert http_guarded.get(path).status_code == 200


@pytest.mark.parametrize(
    "authorization",
    [
        f"Bearer {PASSWORD}",
        f"bearer {PASSWORD}",
        f"BEARER  {PASSWORD}",
        basic("", PASSWORD),
        basic("default", PASSWORD),
        basic("", PASSWORD).replace("Basic", "bAsIc"),
    ],
)
def test_the_password_is_accepted_as_bearer_token_and_by_basic(stranger: httpx.Client, authorization: str) -> None:
    assert stranger.get("/dbsize", headers={"Authorization": authorization}).status_code == 200


@pytest.mark.parametrize("password", ["two words", "pässwörd", "a:b", "☃"])
def test_a_password_with_blanks_colons_and_other_letters_is_accepted_by_basic(
    start_server: StartServer, password: str
) -> None:
    server = start_with_http(start_server, KVLINE_PASSWORD=password)
    assert fetch("GET", server.http_url + "/keys", headers={"Authorization": basic("", password)}).status_code == 200
    token = f"Bearer {password}".encode()
    assert fetch("GET", server.http_url + "/keys", headers={"Authorization": token}).status_code == 200  # type: ignore[dict-item]


def test_the_http_token_is_the_password_of_all_protocols(start_server: StartServer) -> None:
    server = start_with_http(start_server, KVLINE_HTTP_TOKEN=PASSWORD)
    assert fetch("GET", server.http_url + "/keys").status_code == 401
    assert fetch("GET", server.http_url + "/keys", headers={"Authorization": f"Bearer {PASSWORD}"}).status_code == 200
    peer = server.connect()
    assert peer.ask(b"PING") == b"(error) NOAUTH Authentication required."
    assert peer.ask(f"AUTH {PASSWORD}".encode()) == b"OK"
    assert PASSWORD not in server.log


def test_a_password_that_is_changed_by_a_command_holds_for_http_at_once(start_server: StartServer) -> None:
    server = start_with_http(start_server)
    with new_http_client(server.http_url) as client:
        assert client.post("/", json=["CONFIG", "SET", "requirepass", "new"]).json() == {"result": "OK"}
        assert client.get("/ping").status_code == 401
        client.headers["Authorization"] = "Bearer new"
        assert client.get("/ping").status_code == 200
        assert client.post("/", json=["CONFIG", "SET", "requirepass", ""]).status_code == 200
        del client.headers["Authorization"]
        assert client.get("/ping").status_code == 200


def test_auth_over_http_says_whether_the_password_is_right(http_guarded: httpx.Client) -> None:
    wrong = http_guarded.post("/", json=["AUTH", "wrong"])
    assert wrong.status_code == 401
    assert "www-authenticate" in wrong.headers
    assert http_guarded.post("/", json=["AUTH", PASSWORD]).json() == {"result": "OK"}
    replies = http_guarded.post("/pipeline", json=[["PING"], ["RESET"], ["PING"], ["AUTH", PASSWORD], ["PING"]]).json()
    assert [next(iter(reply)) for reply in replies] == ["result", "result", "error", "result", "result"]


def test_wrong_passwords_over_http_are_counted_in_info_and_metrics(start_server: StartServer) -> None:
    server = start_with_http(start_server, KVLINE_PASSWORD=PASSWORD)
    with new_http_client(server.http_url) as client:
        client.get("/ping")  # without a password: not counted
        for authorization in ("Bearer wrong", basic("", "wrong")):
            client.get("/ping", headers={"Authorization": authorization})
        client.headers["Authorization"] = f"Bearer {PASSWORD}"
        assert "acl_access_denied_auth:2" in client.get("/info/stats").json()["result"]
        assert "kvline_denied_authentications_total 2.0" in client.get("/metrics").text
    wait_until(lambda: "sent a wrong password or user name" in server.log, "the address is logged")


# ---------------------------------------------------------------- requests without Origin and Sec-Fetch-Site


@pytest.fixture(scope="module")
def in_the_open() -> Iterator[ServerProcess]:
    """A server that other machines can reach, without a password."""
    server = start_with_http(ServerProcess, "--host", "0.0.0.0")
    yield server
    server.check()
    server.close()


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/set/k/v", 403),
        ("HEAD", "/flushall", 405),
        ("GET", "/config/set/slowlog-max-len/7", 403),
        ("POST", "/set/k/v", 200),
        ("GET", "/strlen/k", 200),
        ("GET", "/keys/absent", 404),
        ("GET", "/nosuch/command", 400),
    ],
)
def test_csrf_get_that_any_page_can_cause_changes_nothing(
    in_the_open: ServerProcess, method: str, path: str, status: int
) -> None:
    url = in_the_open.http_url.replace("0.0.0.0", "127.0.0.1")
    assert httpx.request(method, url + path).status_code == status


def test_csrf_get_that_the_user_typed_may_write(in_the_open: ServerProcess) -> None:
    url = in_the_open.http_url.replace("0.0.0.0", "127.0.0.1")
    assert fetch("GET", url + "/set/k/v", headers={"Sec-Fetch-Site": "none"}).status_code == 200


@pytest.fixture(scope="module")
def guarded_in_the_open() -> Iterator[ServerProcess]:
    """A server that other machines can reach, with a password, and pages of all origins are allowed."""
    server = start_with_http(ServerProcess, "--host", "0.0.0.0", "--http-cors", "*", KVLINE_PASSWORD=PASSWORD)
    yield server
    server.check()
    server.close()


@pytest.mark.parametrize(
    ("authorization", "status"), [(f"Bearer {PASSWORD}", 200), (basic("", PASSWORD), 403)], ids=["Bearer", "Basic"]
)
def test_csrf_get_with_a_password_that_browsers_add_by_themselves_changes_nothing(
    guarded_in_the_open: ServerProcess, authorization: str, status: int
) -> None:
    url = guarded_in_the_open.http_url.replace("0.0.0.0", "127.0.0.1")
    headers = {"Authorization": authorization}
    assert fetch("GET", url + "/set/k/v", headers=headers).status_code == status
    assert fetch("GET", url + "/strlen/k", headers=headers).status_code == 200
    assert fetch("GET", url + "/set/k/v", headers=headers | {"Sec-Fetch-Site": "none"}).status_code == 200


@pytest.mark.parametrize(
    ("authorization", "status"), [(f"Bearer {PASSWORD}", 200), (basic("", PASSWORD), 403)], ids=["Bearer", "Basic"]
)
def test_cors_with_a_password_that_browsers_add_by_themselves_allows_no_write(
    guarded_in_the_open: ServerProcess, authorization: str, status: int
) -> None:
    url = guarded_in_the_open.http_url.replace("0.0.0.0", "127.0.0.1")
    headers = {"Authorization": authorization, "Origin": "http://evil.example"}
    assert fetch("POST", url + "/set/k/v", headers=headers).status_code == status
