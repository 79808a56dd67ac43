"""The client over TLS: it verifies the server unless it is told not to, and works as without TLS."""

from __future__ import annotations

import pytest

from tests.harness.certificates import TLSFiles, certificates
from tests.harness.processes import ServerProcess, StartServer, run_client, start_server

__all__ = ["certificates", "start_server"]


@pytest.fixture
def scheduler() -> dict[str, str]:
    return {}


@pytest.fixture
def server(start_server: StartServer, certificates: TLSFiles) -> ServerProcess:
    return start_server("--port", "0", *certificates.options(), ports=2)


@pytest.fixture
def port(server: ServerProcess) -> str:
    return server.addresses[1].rpartition(":")[2]


def test_one_command_over_tls(port: str, certificates: TLSFiles) -> None:
    authority = str(certificates.authority.certificate)
    options = ["--tls", "--cacert", authority, "-p", port]
    done = run_client(*options, "SET", "key", "two words")
    assert (done.stdout, done.stderr) == (b"OK\n", b"")
    by_url = run_client("-u", f"rediss://localhost:{port}", "--cacert", authority, "GET", "key")
    assert (by_url.stdout, by_url.stderr) == (b'"two words"\n', b"")


def test_a_batch_over_tls_has_all_replies_in_order(port: str, certificates: TLSFiles) -> None:
    options = ["--tls", "--cacert", str(certificates.authority.certificate), "-p", port]
    value = b"x" * 100_000
    lines = b"SET big " + value + b"\n" + b"INCR n\nGET big\n" * 200
    done = run_client(*options, lines=lines)
    expected = b"OK\n" + b"".join(b"%d\n%b\n" % (number, value) for number in range(1, 201))
    assert done.stdout == expected
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--tls"], "the certificate is not accepted: unable to get local issuer certificate (--cacert FILE names"),
        (["--tls", "--cacert", "CA", "--sni", "example.org"], "the certificate is not accepted: Hostname mismatch"),
        (["--tls", "--cacert", "/no/such/file"], "--cacert /no/such/file: No such file or directory"),
        (["--tls", "--insecure", "--cert", "/no/such/file"], "--cert /no/such/file: No such file or directory"),
    ],
)
def test_a_server_that_cannot_be_verified_gets_no_command(
    port: str, certificates: TLSFiles, arguments: list[str], problem: str
) -> None:
    given = [str(certificates.authority.certificate) if each == "CA" else each for each in arguments]
    done = run_client(*given, "-p", port, "SET", "key", "value")
    assert done.returncode == 1
    assert done.stdout == b""
    assert done.stderr.decode().startswith(f"kvline: can't reach a server at 127.0.0.1:{port}: {problem}")
    assert done.stderr.count(b"\n") == 1


def test_insecure_accepts_any_certificate(port: str) -> None:
    assert run_client("--tls", "--insecure", "-p", port, "PING").stdout == b"PONG\n"


def test_a_server_that_demands_a_certificate_gets_that_of_the_client(
    start_server: StartServer, certificates: TLSFiles
) -> None:
    authority = str(certificates.authority.certificate)
    server = start_server(*certificates.options(), "--tls-ca", authority)
    options = ["-u", f"rediss://localhost:{server.port}", "--cacert", authority]
    own = ["--cert", str(certificates.client.certificate), "--key", str(certificates.client.key)]
    assert run_client(*options, *own, "PING").stdout == b"PONG\n"
    without = run_client(*options, "PING")
    assert (without.returncode, without.stdout) == (1, b"")
    problem = "tlsv13 alert certificate required"
    name = f"localhost:{server.port}"
    assert without.stderr.decode() == f"kvline: the connection to the server at {name} failed: {problem}\n"


def test_the_wrong_port_is_one_sentence(server: ServerProcess, port: str) -> None:
    without = run_client("-p", port, "PING")
    assert (without.returncode, without.stdout) == (1, b"")
    reason = "ERR Protocol error: this port speaks TLS only"
    assert without.stderr.decode() == f"kvline: the server at 127.0.0.1:{port} refuses the connection: {reason}\n"
    done = run_client("--tls", "--insecure", "-p", str(server.port), "PING")
    assert done.stderr.decode() == f"kvline: can't reach a server at 127.0.0.1:{server.port}: it does not speak TLS\n"


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--cacert", "file"], "--cacert, --cert, --key, --sni and --insecure need --tls or a URL with rediss://"),
        (["--tls", "--key", "file"], "--key needs --cert"),
        (["--tls", "-s", "/tmp/socket"], "TLS needs a host, not a Unix socket"),
        (["-u", "rediss://localhost", "-s", "/tmp/socket"], "TLS needs a host, not a Unix socket"),
    ],
)
def test_options_of_tls_that_contradict_each_other_are_errors(arguments: list[str], problem: str) -> None:
    done = run_client(*arguments, "PING")
    assert done.returncode == 2
    assert problem in done.stderr.decode()
