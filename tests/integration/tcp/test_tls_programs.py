"""TLS between processes: the server's lines and signals, redis-py and redis-cli."""

from __future__ import annotations

import re
import signal
import ssl
import subprocess
import threading
from pathlib import Path

import pytest
import redis

from common.resp_client import encode_request
from tests.harness.certificates import Pair, TLSFiles, TLSPeer, certificates
from tests.harness.processes import ServerProcess, StartServer, run_server
from tests.harness.redis_server import find_redis_cli
from tests.harness.waiting import TIMEOUT, wait_until

__all__ = ["certificates"]


def tls_port(server: ServerProcess) -> int:
    (address,) = (address for address in server.addresses if address.startswith("rediss://"))
    return int(address.rpartition(":")[2])


def name_of(peer: TLSPeer) -> str:
    certificate = peer.tls.getpeercert()
    assert certificate is not None
    return str(dict(part[0] for part in certificate["subject"])["commonName"])  # type: ignore[misc]


@pytest.mark.every_scheduler
def test_sighup_reloads_certificates_under_load(
    start_server: StartServer, certificates: TLSFiles, tmp_path: Path
) -> None:
    files = Pair(tmp_path / "certificate", tmp_path / "key")
    files.copy(certificates.server)
    options = ["--tls-port", "0", "--tls-cert", str(files.certificate), "--tls-key", str(files.key)]
    server = start_server("--port", "0", *options, ports=2)
    context = certificates.client_context()
    stop = threading.Event()
    counts: list[int] = []

    def count() -> None:
        peer = TLSPeer(tls_port(server), context)
        replies = 0
        while not stop.is_set():
            assert peer.ask(b"PING") == b"PONG"
            replies += 1
        peer.close()
        counts.append(replies)

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()

    def presented() -> str:
        peer = TLSPeer(tls_port(server), context)
        name = name_of(peer)
        peer.close()
        return name

    assert presented() == "server"
    files.copy(certificates.other_server)
    server.signal(signal.SIGHUP)
    wait_until(lambda: presented() == "other-server", "new connections get the new certificate")
    files.key.write_text("broken")
    server.signal(signal.SIGHUP)
    wait_until(lambda: "the certificates are not replaced" in server.log, "the failure is logged")
    assert re.search(
        rf"SIGHUP: the certificates are not replaced: {files.certificate} and {files.key} must", server.log
    )
    assert presented() == "other-server"
    stop.set()
    for thread in threads:
        thread.join(TIMEOUT)
    assert len(counts) == 4, "no connection was closed"
    server.check()


def test_a_certificate_that_cannot_be_read_is_one_sentence(certificates: TLSFiles) -> None:
    done = run_server("--tls-port", "0", "--tls-cert", "/no/such/file", "--tls-key", str(certificates.server.key))
    assert done.returncode == 1
    assert done.stderr.rstrip().endswith("kvline can't start: cannot read '/no/such/file': No such file or directory")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.every_scheduler
def test_clients_at_the_wrong_port_are_logged(start_server: StartServer, certificates: TLSFiles) -> None:
    server = start_server("--port", "0", *certificates.options(), ports=2)
    with pytest.raises(ssl.SSLError):
        TLSPeer(server.port, certificates.client_context())
    wait_until(lambda: "this port does not speak TLS" in server.log, "the client with TLS is logged")
    peer = server.connect(tls_port(server))
    peer.send(b"PING\r\n")
    assert peer.rest() == b"-ERR Protocol error: this port speaks TLS only\r\n"
    wait_until(lambda: "the client does not speak TLS" in server.log, "the client without TLS is logged")


@pytest.mark.parametrize("protocol", [2, 3], ids=["RESP2", "RESP3"])
def test_redis_py_over_tls(start_server: StartServer, certificates: TLSFiles, protocol: int) -> None:
    server = start_server(*certificates.options(), "--tls-ca", str(certificates.authority.certificate))
    with redis.Redis(
        port=tls_port(server),
        protocol=protocol,
        ssl=True,
        ssl_ca_certs=str(certificates.authority.certificate),
        ssl_certfile=str(certificates.client.certificate),
        ssl_keyfile=str(certificates.client.key),
        socket_timeout=TIMEOUT,
    ) as client:
        assert client.set("key", bytes(300_000)) is True
        assert client.get("key") == bytes(300_000)
        pipeline = client.pipeline(transaction=False)
        for _ in range(1000):
            pipeline.incr("n")
        assert pipeline.execute() == list(range(1, 1001))


def test_redis_cli_over_tls(start_server: StartServer, certificates: TLSFiles) -> None:
    program = find_redis_cli()
    if program is None:
        pytest.skip("there is no redis-cli here")
    server = start_server(*certificates.options())
    command = [program, "--tls", "--cacert", str(certificates.authority.certificate), "-p", str(tls_port(server))]

    def run(*args: str, lines: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        return subprocess.run([*command, *args], input=lines, capture_output=True, timeout=TIMEOUT, check=False)

    first = run("SET", "key", "two words")
    if b"Unrecognized option" in first.stderr:
        pytest.skip("this redis-cli was built without TLS")
    assert (first.stdout, run("GET", "key").stdout) == (b"OK\n", b"two words\n")
    requests = encode_request([b"INCR", b"n"]) * 20_000
    assert b"errors: 0, replies: 20000" in run("--pipe", lines=requests).stdout
