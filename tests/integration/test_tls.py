"""TLS: what is accepted, what is refused, and that it changes nothing about requests and replies."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import pytest

from common.resp_client import encode_request
from server.app import Server, StartError
from server.net import handshakes
from server.settings import Settings, SettingsError
from tests.harness.certificates import Pair, RecordPeer, TLSFiles, TLSPeer, certificates
from tests.harness.processes import Peer
from tests.harness.waiting import TIMEOUT, wait_until

__all__ = ["certificates"]

Start = Callable[..., Server]
Connect = Callable[..., TLSPeer]

MANY = 500
"""Clients that begin a handshake and do not continue it."""


@pytest.fixture(params=[0, 1, 2], ids=lambda count: f"{count} I/O threads")
def start(request: pytest.FixtureRequest, certificates: TLSFiles) -> Iterator[Start]:
    """Start a server with TLS in this process, in each way in which connections are served."""
    with ExitStack() as started:

        def start_one(**more: object) -> Server:
            files = {"tls_cert": str(certificates.server.certificate), "tls_key": str(certificates.server.key)}
            values: dict[str, object] = {"ports": (0,), "tls_port": 0, "io_threads": request.param} | files | more
            return started.enter_context(Server(Settings(**values)))  # type: ignore[arg-type]

        yield start_one


@pytest.fixture
def connect(certificates: TLSFiles) -> Iterator[Connect]:
    with ExitStack() as opened:

        def open_one(server: Server, context: ssl.SSLContext | None = None) -> TLSPeer:
            assert server.tls_port is not None
            peer = TLSPeer(server.tls_port, context or certificates.client_context())
            opened.callback(peer.close)
            return peer

        yield open_one


def begin_records(server: Server, certificates: TLSFiles) -> RecordPeer:
    assert server.tls_port is not None
    return RecordPeer(server.tls_port, certificates.client_context())


# ---------------------------------------------------------------- requests and replies


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["TLS 1.2", "TLS 1.3"])
def test_every_protocol_is_spoken_over_tls(
    start: Start, connect: Connect, certificates: TLSFiles, version: ssl.TLSVersion
) -> None:
    peer = connect(start(), certificates.client_context(version=version))
    assert peer.tls.version() == version.name.replace("_", ".")
    assert peer.ask(b"SET key value") == b"OK"
    peer.send(encode_request([b"GET", b"key"]))
    assert peer.receive(11) == b"$5\r\nvalue\r\n"
    frame = b'{"command":"GET","args":["key"]}'
    peer.send(len(frame).to_bytes(4) + frame)
    assert b"value" in peer.receive(int.from_bytes(peer.receive(4)))


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1")
def test_tls_1_1_is_refused(start: Start, connect: Connect, certificates: TLSFiles) -> None:
    with pytest.raises(ssl.SSLError, match="ALERT_PROTOCOL_VERSION"):
        connect(start(), certificates.client_context(version=ssl.TLSVersion.TLSv1_1))


def test_pipelined_requests_over_tls_have_their_replies_in_order(start: Start, connect: Connect) -> None:
    peer = connect(start())
    count = 5000
    sending = threading.Thread(target=peer.send, args=(encode_request([b"INCR", b"n"]) * count,))
    sending.start()
    expected = b"".join(b":%d\r\n" % number for number in range(1, count + 1))
    assert peer.receive(len(expected)) == expected
    sending.join(TIMEOUT)


def test_large_values_over_tls_are_complete(start: Start, connect: Connect) -> None:
    peer = connect(start())
    value = b"0123456789abcdef" * 200_000
    peer.send(encode_request([b"SET", b"key", value]))
    assert peer.line() == b"+OK\r\n"
    for _ in range(3):
        peer.send(encode_request([b"GET", b"key"]))
        assert peer.line() == b"$%d\r\n" % len(value)
        assert peer.receive(len(value) + 2) == value + b"\r\n"


def test_a_tls_client_that_does_not_read_has_its_requests_not_executed(start: Start, connect: Connect) -> None:
    server = start()
    greedy, other = connect(server), connect(server)
    value = bytes(1_000_000)
    greedy.send(encode_request([b"SET", b"key", value]))
    assert greedy.line() == b"+OK\r\n"
    count = 100
    greedy.send(encode_request([b"GET", b"key"]) * count)

    def calls() -> int:
        return sum(record.calls for command, record in server.context.stats.totals().items() if command.name == b"GET")

    wait_until(lambda: calls() > 0, "the first request is executed")
    assert [other.ask(b"PING") for _ in range(10)] == [b"PONG"] * 10
    assert calls() < count, "backpressure"
    reply = b"$%d\r\n%b\r\n" % (len(value), value)
    for _ in range(count):
        assert greedy.receive(len(reply)) == reply


def test_monitor_over_tls_gets_the_commands_of_others(start: Start, connect: Connect) -> None:
    server = start()
    monitor = connect(server)
    assert monitor.ask(b"MONITOR") == b"OK"
    other = connect(server)
    for _ in range(3):
        assert other.ask(b"PING") == b"PONG"
        assert monitor.line().endswith(b'"PING"\n')
    monitor.send(b"RESET\n")
    assert monitor.line() == b"RESET\n"


def test_messages_arrive_while_a_record_of_the_subscriber_is_incomplete(start: Start, certificates: TLSFiles) -> None:
    server = start()
    subscriber = begin_records(server, certificates)
    subscriber.finish(subscriber.socket.sendall)
    subscriber.socket.sendall(subscriber.outgoing.read() + subscriber.send(b"SUBSCRIBE news\n"))
    assert subscriber.read() == b"subscribe news 1\n"
    record = subscriber.send(b"PING\n")
    subscriber.socket.sendall(record[:10])
    with closing(Peer(server.port)) as publisher:
        for number in range(20):  # the server has read the part of the record before one of them
            assert publisher.ask(b"PUBLISH news %d" % number) == b"1"
            assert subscriber.read() == b"message news %d\n" % number
    subscriber.socket.sendall(record[10:])
    assert subscriber.read() == b"PONG\n"
    subscriber.socket.close()


def test_a_durable_log_and_tls(start: Start, connect: Connect, tmp_path: Path) -> None:
    peer = connect(start(data=str(tmp_path / "data"), fsync="always"))
    peer.send(b"SET key value\nGET key\nKEYS *\nQUIT\n")
    assert peer.rest() == b"OK\nvalue\n1) key\nOK\n"


# ---------------------------------------------------------------- records


def test_a_handshake_and_a_request_may_arrive_byte_by_byte(start: Start, certificates: TLSFiles) -> None:
    peer = begin_records(start(), certificates)
    peer.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send_bytes(data: bytes) -> None:
        for byte in data:
            peer.socket.sendall(bytes([byte]))

    peer.finish(send_bytes)
    send_bytes(peer.send(b"PING\n"))
    assert peer.read() == b"PONG\n"
    peer.socket.close()


def test_a_request_may_arrive_with_the_end_of_the_handshake(start: Start, certificates: TLSFiles) -> None:
    peer = begin_records(start(), certificates)
    peer.finish(peer.socket.sendall)
    peer.socket.sendall(peer.outgoing.read() + peer.send(b"PING\n"))
    assert peer.read() == b"PONG\n"
    peer.socket.close()


def test_a_read_may_contain_many_records(start: Start, certificates: TLSFiles) -> None:
    peer = begin_records(start(), certificates)
    peer.finish(peer.socket.sendall)
    peer.socket.sendall(peer.send(*[b"ECHO %03d\n" % number for number in range(100)]))
    replies = b""
    while len(replies) < 400:
        replies += peer.read()
    assert replies == b"".join(b"%03d\n" % number for number in range(100))
    peer.socket.close()


def test_close_notify_may_arrive_with_the_last_request(start: Start, certificates: TLSFiles) -> None:
    server = start()
    peer = begin_records(server, certificates)
    peer.finish(peer.socket.sendall)
    last = peer.send(b"PING\n")
    with pytest.raises(ssl.SSLWantReadError):
        peer.tls.unwrap()
    peer.socket.sendall(last + peer.outgoing.read())  # and the TCP connection stays open
    received = b""
    while data := peer.socket.recv(65536):
        received += data
    peer.incoming.write(received)
    peer.tls.read(65536)
    wait_until(lambda: len(server.context.clients) == 0, "the client is deregistered")
    peer.socket.close()


def test_close_notify_is_sent_after_the_last_reply(start: Start, connect: Connect) -> None:
    peer = connect(start())
    peer.send(b"PING\nQUIT\n")
    assert peer.rest() == b"PONG\nOK\n", "an end without close_notify would be an error"


def test_close_notify_of_a_client_is_replied_to(start: Start, connect: Connect) -> None:
    server = start()
    peer = connect(server)
    assert peer.ask(b"PING") == b"PONG"
    peer.tls.unwrap().close()
    wait_until(lambda: len(server.context.clients) == 0, "the client is deregistered")


def test_close_notify_is_sent_when_the_server_stops(start: Start, connect: Connect) -> None:
    server = start()
    peer = connect(server)
    assert peer.ask(b"PING") == b"PONG"
    server.stop()
    assert peer.rest() == b""


def test_a_request_that_is_cut_off_is_not_executed(start: Start, certificates: TLSFiles) -> None:
    server = start()
    peer = begin_records(server, certificates)
    peer.finish(peer.socket.sendall)
    peer.socket.sendall(peer.outgoing.read() + peer.send(b"SET key one\n", b"SET key tw"))
    assert peer.read() == b"OK\n"
    peer.socket.close()
    wait_until(lambda: len(server.context.clients) == 0, "the client is deregistered")
    with closing(Peer(server.port)) as plain:
        assert plain.ask(b"GET key") == b"one"


def test_a_client_that_vanishes_inside_a_record_harms_nothing(start: Start, certificates: TLSFiles) -> None:
    server = start()
    for cut in (1, 5, 20):
        peer = begin_records(server, certificates)
        peer.finish(peer.socket.sendall)
        peer.socket.sendall(peer.outgoing.read() + peer.send(b"SET key value\n")[:-cut])
        peer.socket.close()
    wait_until(lambda: len(server.context.clients) == 0, "the clients are deregistered")
    with closing(Peer(server.port)) as plain:
        assert plain.ask(b"EXISTS key") == b"0"


def test_a_forged_record_ends_the_connection_with_an_alert(start: Start, certificates: TLSFiles) -> None:
    peer = begin_records(start(), certificates)
    peer.finish(peer.socket.sendall)
    peer.socket.sendall(peer.outgoing.read())
    record = bytearray(peer.send(b"SET key value\n"))
    record[-1] ^= 1
    peer.socket.sendall(record)
    with pytest.raises(ssl.SSLError, match="ALERT_BAD_RECORD_MAC"):
        peer.read()
    peer.socket.close()


def test_a_client_may_update_its_keys(start: Start, certificates: TLSFiles) -> None:
    address = f"127.0.0.1:{start().tls_port}"
    with subprocess.Popen(
        ["openssl", "s_client", "-CAfile", certificates.authority.certificate, "-connect", address],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as client:
        limit = threading.Timer(TIMEOUT, client.kill)
        limit.start()
        assert client.stdin is not None
        assert client.stdout is not None
        for typed, seen in (("K", "KEYUPDATE"), ("PING", "PONG"), ("K", "KEYUPDATE"), ("PING", "PONG")):
            client.stdin.write(f"{typed}\n")
            client.stdin.flush()
            assert any(seen in line for line in client.stdout), f"{seen} is printed"
        client.stdin.write("Q\n")
        client.stdin.flush()
        limit.cancel()


def test_renegotiation_is_refused(start: Start) -> None:
    certificates = start().certificates
    assert certificates is not None
    assert certificates.context.options & ssl.OP_NO_RENEGOTIATION


# ---------------------------------------------------------------- who is accepted


def test_clients_need_a_certificate_of_the_authority(start: Start, connect: Connect, certificates: TLSFiles) -> None:
    server = start(tls_ca=str(certificates.authority.certificate))
    assert connect(server, certificates.client_context(certificates.client)).ask(b"PING") == b"PONG"
    for pair, alert in (
        (None, "CERTIFICATE_REQUIRED"),
        (certificates.stranger, "UNKNOWN_CA"),
        (certificates.expired, "CERTIFICATE_EXPIRED"),
    ):
        with pytest.raises(ssl.SSLError, match=alert):
            connect(server, certificates.client_context(pair)).ask(b"PING")  # with TLS 1.3, a read gets the alert


@pytest.mark.parametrize("pair", ["stranger", "expired"])
def test_a_client_refuses_a_server_whose_certificate_is_not_valid(
    start: Start, connect: Connect, certificates: TLSFiles, pair: str
) -> None:
    bad: Pair = getattr(certificates, pair)
    server = start(tls_cert=str(bad.certificate), tls_key=str(bad.key))
    with pytest.raises(ssl.SSLCertVerificationError):
        connect(server)
    assert connect(server, certificates.client_context(verify=False)).ask(b"PING") == b"PONG"


def test_a_client_without_tls_gets_an_error_at_the_tls_port(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    server = start()
    assert server.tls_port is not None
    with closing(Peer(server.tls_port)) as peer:
        peer.send(b"PING\r\n" * 1000)
        assert peer.rest() == b"-ERR Protocol error: this port speaks TLS only\r\n"
    assert "the client does not speak TLS" in caplog.text
    wait_until(lambda: len(server.context.clients) == 0, "the client is deregistered")


def test_a_client_with_tls_gets_an_error_at_the_port_without_tls(start: Start, certificates: TLSFiles) -> None:
    server = start()
    with pytest.raises(ssl.SSLError, match="WRONG_VERSION_NUMBER"):
        TLSPeer(server.port, certificates.client_context())


def test_the_limit_of_clients_counts_tls_connections(start: Start, connect: Connect) -> None:
    server = start(max_clients=1)
    peer = connect(server)
    assert peer.ask(b"PING") == b"PONG"
    with pytest.raises(OSError):  # noqa: PT011  # refused without a handshake, as by Redis
        connect(server)
    assert peer.ask(b"PING") == b"PONG"


def test_client_kill_closes_a_tls_connection(start: Start, connect: Connect) -> None:
    server = start()
    peer, other = connect(server), connect(server)
    killed = peer.ask(b"CLIENT ID")
    assert other.ask(b"CLIENT KILL ID " + killed) == b"1"
    with suppress(ssl.SSLEOFError):  # Debian's Python 3.11.2 does not raise it if close_notify is missing
        assert peer.rest() == b""
    wait_until(lambda: len(server.context.clients) == 1, "the client is deregistered")


# ---------------------------------------------------------------- slow handshakes


def test_handshakes_that_do_not_continue_delay_no_client_and_time_out(
    start: Start, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handshakes, "HANDSHAKE_TIMEOUT", 3.0)
    server = start()
    assert server.tls_port is not None
    threads = threading.active_count()
    with ExitStack() as opened:
        slow = [opened.enter_context(socket.create_connection(("127.0.0.1", server.tls_port))) for _ in range(MANY)]
        for each in slow:
            each.settimeout(TIMEOUT)
            each.sendall(b"\x16")
        assert threading.active_count() == threads, "a handshake has no thread"
        with closing(Peer(server.port)) as plain:
            assert (plain.ask(b"PING"), connect(server).ask(b"PING")) == (b"PONG", b"PONG")
        assert [each.recv(100) for each in slow] == [b""] * MANY
    wait_until(lambda: len(server.context.clients) <= 1, "the clients are deregistered")


def test_a_stop_does_not_wait_for_handshakes(start: Start) -> None:
    server = start()
    assert server.tls_port is not None
    with socket.create_connection(("127.0.0.1", server.tls_port), TIMEOUT) as slow:
        slow.sendall(b"\x16")
        wait_until(lambda: len(server.context.clients) == 1, "the client is registered")
        server.stop()
        assert slow.recv(100) == b""


# ---------------------------------------------------------------- settings and certificates


def test_new_connections_get_reloaded_certificates_and_others_stay_open(
    start: Start, connect: Connect, certificates: TLSFiles, tmp_path: Path
) -> None:
    files = Pair(tmp_path / "certificate", tmp_path / "key")
    files.copy(certificates.server)
    server = start(tls_cert=str(files.certificate), tls_key=str(files.key))
    assert server.certificates is not None
    before = connect(server)
    files.copy(certificates.other_server)
    server.certificates.reload()
    names = [dict(part[0] for part in peer.tls.getpeercert()["subject"]) for peer in (before, connect(server))]  # type: ignore[index]
    assert [name["commonName"] for name in names] == ["server", "other-server"]
    assert before.ask(b"PING") == b"PONG"


def test_tls_alone_opens_no_port_without_tls(start: Start, connect: Connect) -> None:
    files = {name: getattr(start().settings, name) for name in ("tls_port", "tls_cert", "tls_key", "io_threads")}
    with Server(Settings(**files)) as server:
        assert (server.ports, server.addresses) == ([], [f"rediss://127.0.0.1:{server.tls_port}"])
        peer = connect(server)
        peer.send(b"CONFIG GET port\nCONFIG GET tls-port\nINFO server\nQUIT\n")
        replies = peer.rest().decode()
        assert replies.startswith(f"1) port\n2) 0\n1) tls-port\n2) {server.tls_port}\n")
        assert f"tcp_port:{server.tls_port}" in replies


def test_files_that_cannot_be_used_are_errors_of_the_start(certificates: TLSFiles, tmp_path: Path) -> None:
    server, other = certificates.server, certificates.other_server
    text = tmp_path / "text"
    text.write_text("no certificate")
    encrypted = tmp_path / "encrypted"
    subprocess.run(
        ["openssl", "ec", "-in", server.key, "-aes128", "-passout", "pass:secret", "-out", encrypted],
        check=True,
        capture_output=True,
        timeout=TIMEOUT,
    )
    missing = tmp_path / "missing"
    for certificate, key, authorities, problem in (
        (missing, server.key, None, f"cannot read '{missing}': No such file or directory"),
        (server.certificate, tmp_path, None, f"cannot read '{tmp_path}': Is a directory"),
        (text, server.key, None, f"{text} and {server.key} must have a certificate and its key in PEM format"),
        (server.certificate, other.key, None, f"the key in {other.key} is not the one of the certificate in"),
        (server.certificate, encrypted, None, "the key is encrypted with a passphrase"),
        (server.certificate, server.key, text, f"{text} must have certificates in PEM format"),
    ):
        ca = None if authorities is None else str(authorities)
        with pytest.raises(StartError) as raised:
            Server(Settings(tls_port=0, tls_cert=str(certificate), tls_key=str(key), tls_ca=ca))
        assert str(raised.value).startswith(f"can't start: {problem}")


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"tls_port": 0}, "--tls-port needs --tls-cert"),
        ({"tls_port": 0, "tls_cert": "a"}, "--tls-cert needs --tls-key"),
        ({"tls_port": 0, "tls_key": "a"}, "--tls-port needs --tls-cert"),
        ({"tls_ca": "a"}, "--tls-ca needs --tls-cert"),
        ({"tls_cert": "a", "tls_key": "b"}, "--tls-cert needs --tls-port, or --http-port with --http-tls"),
        ({"http_tls": True, "http_port": 0}, "--http-tls needs --tls-cert"),
        ({"http_tls": True, "tls_cert": "a", "tls_key": "b"}, "--http-tls needs --http-port"),
    ],
)
def test_settings_of_tls_that_are_not_complete_are_errors(values: dict[str, object], problem: str) -> None:
    with pytest.raises(SettingsError) as raised:
        Server(Settings(**values))  # type: ignore[arg-type]
    assert str(raised.value) == problem
