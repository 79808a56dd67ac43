"""HTTPS: the port of HTTP with the certificate of the TLS port."""

from __future__ import annotations

import gc
import http.client
import json
import logging
import re
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from common.resp_client import encode_request
from server.app import Server
from server.net.addresses import format_address
from server.settings import Settings
from tests.harness.certificates import Pair, TLSFiles, certificates
from tests.harness.processes import Peer
from tests.harness.waiting import TIMEOUT, wait_until

pytest.importorskip("httptools", reason="the extra http is not installed")

from server.http.tls_accept import TLSAcceptor

__all__ = ["certificates"]


@pytest.fixture
def server(certificates: TLSFiles, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr("server.http.tls_accept.HANDSHAKE_TIMEOUT", 2.0)
    pair = certificates.server
    settings = Settings(
        ports=(),
        http_port=0,
        http_tls=True,
        tls_cert=str(pair.certificate),
        tls_key=str(pair.key),
        http_head_timeout=1.0,
    )
    with Server(settings) as running:
        yield running


def port_of(server: Server) -> int:
    assert server.http_url is not None
    assert server.http_url.startswith("https://127.0.0.1:")
    return int(server.http_url.rpartition(":")[2])


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def connect(server: Server, context: ssl.SSLContext) -> http.client.HTTPSConnection:
    return http.client.HTTPSConnection("localhost", port_of(server), timeout=TIMEOUT, context=context)


def test_https_keeps_the_connection_between_requests(server: Server, certificates: TLSFiles) -> None:
    value = b"0123456789abcdef" * 100_000
    with closing(connect(server, certificates.client_context())) as connection:
        connection.request("PUT", "/keys/a", value)
        assert connection.getresponse().read() is not None
        used = connection.sock
        for _ in range(3):
            connection.request("GET", "/keys/a")
            response = connection.getresponse()
            assert (response.status, response.read()) == (200, value)
            assert connection.sock is used
        connection.request("POST", "/", b"not JSON")
        response = connection.getresponse()
        assert response.status == 400
        response.read()


def test_https_closes_with_close_notify(server: Server, certificates: TLSFiles) -> None:
    plain = socket.create_connection(("127.0.0.1", port_of(server)), TIMEOUT)
    context = certificates.client_context()
    with context.wrap_socket(plain, server_hostname="localhost", suppress_ragged_eofs=False) as peer:
        peer.sendall(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        received = b""
        while data := peer.recv(65536):
            received += data
    assert received.startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("header", [b"", b"connection: close\r\n"], ids=["keep-alive", "close"])
@pytest.mark.parametrize("path", [b"/keys/big", b"/get/big"])
def test_https_sends_a_large_response_as_slowly_as_the_client_reads(
    certificates: TLSFiles, monkeypatch: pytest.MonkeyPatch, path: bytes, header: bytes
) -> None:
    monkeypatch.setattr("server.http.tls_accept.LINGER_TIMEOUT", 0.001)
    pair = certificates.server
    settings = Settings(
        ports=(0,),
        http_port=0,
        http_tls=True,
        tls_cert=str(pair.certificate),
        tls_key=str(pair.key),
        http_idle_timeout=0.01,
    )
    value = b"0123456789abcdef" * 500_000
    with Server(settings) as server, socket.socket() as plain:
        with closing(Peer(server.port)) as peer:
            peer.send(encode_request([b"SET", b"big", value]))
            assert peer.line() == b"+OK\r\n"
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        plain.settimeout(TIMEOUT)
        plain.connect(("127.0.0.1", port_of(server)))
        received = bytearray()
        with certificates.client_context().wrap_socket(plain, server_hostname="localhost") as reader:
            reader.sendall(b"GET %b HTTP/1.1\r\nhost: localhost\r\n%b\r\n" % (path, header))
            while data := reader.recv(65536):
                received += data
        assert received.count(b"0123456789abcdef") >= len(value) // 16 - 100, "a few are divided by a chunk"
        assert received.endswith((b"abcdef", b"0\r\n\r\n"))


def test_https_closes_a_handshake_that_does_not_continue(server: Server, certificates: TLSFiles) -> None:
    with socket.create_connection(("127.0.0.1", port_of(server)), TIMEOUT) as slow:
        slow.sendall(b"\x16")
        with closing(connect(server, certificates.client_context())) as connection:
            connection.request("GET", "/healthz")
            assert connection.getresponse().status == 200
        assert slow.recv(100) == b""


def test_https_closes_a_connection_whose_first_byte_arrives_at_the_end_of_the_time(
    server: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def speaks_tls(*_: object) -> bool:
        return True

    monkeypatch.setattr(TLSAcceptor, "_speaks_tls", speaks_tls)
    monkeypatch.setattr("server.http.tls_accept.HANDSHAKE_TIMEOUT", 0.0)
    with socket.create_connection(("127.0.0.1", port_of(server)), TIMEOUT) as late:
        assert late.recv(100) == b""
        address = format_address(late.getsockname())
    server.stop()
    gc.collect()  # asyncio logs what a task has raised when the task is freed
    assert warnings_of(caplog) == [f"the TLS handshake of {address} failed: it takes too long"]


@pytest.mark.parametrize(
    ("sent", "problem"),
    [
        (b"GET /healthz HTTP/1.1\r\n\r\n", "the client does not speak TLS"),
        (b"\x16\x03\x01\x00\x05hello", "."),
        (b"\x16", "it takes too long"),
    ],
)
def test_a_handshake_of_https_that_fails_is_logged_with_the_address(
    server: Server, caplog: pytest.LogCaptureFixture, sent: bytes, problem: str
) -> None:
    with socket.create_connection(("127.0.0.1", port_of(server)), TIMEOUT) as peer:
        peer.sendall(sent)
        expected = re.compile(f"the TLS handshake of {format_address(peer.getsockname())} failed: {problem}")
        wait_until(lambda: warnings_of(caplog), "the failure is logged")
    assert [expected.match(each) is not None for each in warnings_of(caplog)] == [True]


def test_https_uses_reloaded_certificates(certificates: TLSFiles, tmp_path: Path) -> None:
    files = Pair(tmp_path / "certificate", tmp_path / "key")

    def install(pair: Pair) -> None:
        files.certificate.write_bytes(pair.certificate.read_bytes())
        files.key.write_bytes(pair.key.read_bytes())

    install(certificates.server)
    settings = Settings(ports=(), http_port=0, http_tls=True, tls_cert=str(files.certificate), tls_key=str(files.key))
    with Server(settings) as server:
        assert server.certificates is not None
        for pair in (certificates.server, certificates.other_server):
            install(pair)
            server.certificates.reload()
            with closing(connect(server, certificates.client_context())) as connection:
                connection.connect()
                assert isinstance(connection.sock, ssl.SSLSocket)
                expected = ssl.PEM_cert_to_DER_cert(pair.certificate.read_text())
                assert connection.sock.getpeercert(binary_form=True) == expected


def test_a_request_without_tls_at_the_port_of_https_gets_status_400(server: Server) -> None:
    with closing(http.client.HTTPConnection("localhost", port_of(server), timeout=TIMEOUT)) as plain:
        plain.request("PUT", "/keys/a", b"x" * 100_000)  # more than the server reads before it replies
        response = plain.getresponse()
        assert (response.status, response.getheader("connection")) == (400, "close")
        assert json.loads(response.read()) == {"error": "this port speaks HTTPS only; use an https URL"}


def test_a_client_without_tls_at_the_port_of_https_is_closed_if_it_stays_silent(server: Server) -> None:
    with closing(Peer(port_of(server))) as silent:
        assert silent.rest() == b""


@pytest.mark.parametrize("data", [b"PING\r\n", b"*1\r\n$4\r\nPING\r\n"], ids=["text", "RESP"])
def test_other_protocols_without_tls_at_the_port_of_https_get_status_400(server: Server, data: bytes) -> None:
    with closing(Peer(port_of(server))) as peer:
        peer.send(data)
        peer.finish_sending()
        assert peer.rest().startswith(b"HTTP/1.1 400 Bad Request\r\n")


def test_curl_with_https(server: Server, certificates: TLSFiles) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    command = ["curl", "--silent", "--show-error", f"https://localhost:{port_of(server)}/healthz"]
    accepted = subprocess.run(
        [*command, "--cacert", certificates.authority.certificate], capture_output=True, timeout=TIMEOUT, check=False
    )
    assert b'"ok"' in accepted.stdout
    refused = subprocess.run(command, capture_output=True, timeout=TIMEOUT, check=False)
    assert refused.returncode == 60, "curl does not know the authority"
