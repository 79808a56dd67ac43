"""Certificates for the tests of TLS, made by ``openssl``, and a connection that uses them."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.harness.processes import Peer
from tests.harness.waiting import TIMEOUT

STRICT = ("-addext", "keyUsage=critical,keyCertSign,cRLSign")
"""What a certificate of an authority needs since Python 3.13, whose default contexts have ``VERIFY_X509_STRICT``."""

NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


class Pair(NamedTuple):
    """The files of a certificate and its key."""

    certificate: Path
    key: Path

    def copy(self, pair: Pair) -> None:
        """Overwrite both files with those of another pair, as a renewal does."""
        self.certificate.write_bytes(pair.certificate.read_bytes())
        self.key.write_bytes(pair.key.read_bytes())


class Authority:
    """A certificate authority, in a directory of its own."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self._directory = directory
        self.pair = self._files("authority")
        self.certificate = self.pair.certificate
        openssl(
            "req", "-x509", *NEW_KEY, "-days", "2", "-subj", f"/CN={directory.name}", *STRICT,
            "-out", self.pair.certificate, "-keyout", self.pair.key,
        )  # fmt: skip

    def issue(self, name: str, *, days: int = 2) -> Pair:
        """Issue a certificate for ``localhost`` and 127.0.0.1. One of -1 days has expired."""
        pair = self._files(name)
        request = self._directory / f"{name}.request"
        extensions = self._directory / "extensions"
        extensions.write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\nauthorityKeyIdentifier=keyid\n")
        openssl("req", "-new", *NEW_KEY, "-subj", f"/CN={name}", "-out", request, "-keyout", pair.key)
        openssl(
            "x509", "-req", "-in", request, "-CA", self.pair.certificate, "-CAkey", self.pair.key, "-CAcreateserial",
            "-days", str(days), "-extfile", extensions, "-out", pair.certificate,
        )  # fmt: skip
        return pair

    def _files(self, name: str) -> Pair:
        return Pair(self._directory / f"{name}.pem", self._directory / f"{name}.key")


class TLSFiles(NamedTuple):
    """What most tests of TLS need."""

    authority: Authority
    server: Pair
    other_server: Pair
    client: Pair
    expired: Pair
    stranger: Pair
    """A certificate of another authority."""

    def options(self) -> list[str]:
        """Return the options of a server that uses them."""
        return ["--tls-port", "0", "--tls-cert", str(self.server.certificate), "--tls-key", str(self.server.key)]

    def client_context(
        self, pair: Pair | None = None, version: ssl.TLSVersion | None = None, *, verify: bool = True
    ) -> ssl.SSLContext:
        """Return the context of a client that accepts the authority, with a certificate of its own if given."""
        context = ssl.create_default_context(cafile=self.authority.certificate)
        if not verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if pair is not None:
            context.load_cert_chain(*pair)
        if version is not None:
            context.set_ciphers("DEFAULT:@SECLEVEL=0")  # otherwise OpenSSL itself refuses to use old versions
            context.minimum_version = context.maximum_version = version
        return context


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> TLSFiles:
    """Make the certificates. Skip the tests that need them if ``openssl`` is not installed."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl, which makes the certificates, is not installed")
    directory = tmp_path_factory.mktemp("certificates")
    authority, other = Authority(directory / "authority"), Authority(directory / "other")
    return TLSFiles(
        authority,
        authority.issue("server"),
        authority.issue("other-server"),
        authority.issue("client"),
        authority.issue("expired", days=-1),
        other.issue("stranger"),
    )


def openssl(*args: str | Path) -> None:
    """Run ``openssl`` with these arguments."""
    subprocess.run(["openssl", *args], check=True, capture_output=True, timeout=TIMEOUT)


class TLSPeer(Peer):
    """One TLS connection to a server. Raises `ssl.SSLError` if the handshake fails."""

    def __init__(self, port: int, context: ssl.SSLContext) -> None:
        plain = socket.create_connection(("127.0.0.1", port), TIMEOUT)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # Without suppression, so that an end without close_notify is an error.
        self.tls = context.wrap_socket(plain, server_hostname="localhost", suppress_ragged_eofs=False)
        self.socket = self.tls
        self._replies = self.tls.makefile("rb")


class RecordPeer:
    """A TLS client that decides which bytes it sends when."""

    def __init__(self, port: int, context: ssl.SSLContext) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), TIMEOUT)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname="localhost")

    def finish(self, send: Callable[[bytes], None]) -> None:
        """Perform the handshake, but leave the last bytes of the client in ``outgoing``. Raises `ssl.SSLError`."""
        while True:
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                send(self.outgoing.read())
                self.receive()
            else:
                return

    def send(self, *data: bytes) -> bytes:
        """Encrypt each part as a record, and return everything that is to be sent."""
        for part in data:
            self.tls.write(part)
        return self.outgoing.read()

    def receive(self) -> None:
        """Receive encrypted bytes."""
        received = self.socket.recv(65536)
        if received:
            self.incoming.write(received)
        else:
            self.incoming.write_eof()

    def read(self) -> bytes:
        """Return the next data. Raises `ssl.SSLError` if the connection ends without close_notify."""
        while True:
            try:
                return self.tls.read(65536)
            except ssl.SSLWantReadError:
                self.receive()
