"""The server's certificates: read from files, and replaced while the server runs."""

from __future__ import annotations

import ssl
from typing import NoReturn

from common.tls_socket import describe
from server.settings import CertificateFiles


class CertificateError(Exception):
    """A file cannot be used. The text is one sentence that names it."""


class Certificates:
    """The TLS context of new connections. Raises `CertificateError`."""

    def __init__(self, files: CertificateFiles) -> None:
        self._files = files
        self.context = _new_context(files)

    def reload(self) -> None:
        """Read the files again, for connections that begin from now on. On `CertificateError` nothing changes."""
        # A new context: OpenSSL would replace a certificate in the old one before it finds that its key does not match.
        self.context = _new_context(self._files)


def _new_context(files: CertificateFiles) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # A client could demand handshake after handshake, each of which costs the server much more than the client.
    context.options |= ssl.OP_NO_RENEGOTIATION
    for path in (files.certificate, files.key, files.authorities):
        if path is not None:
            _check_readable(path)
    try:
        context.load_cert_chain(files.certificate, files.key, password=_refuse_encrypted_key)
    except OSError as problem:
        if getattr(problem, "reason", None) == "KEY_VALUES_MISMATCH":
            raise CertificateError(
                f"the key in {files.key} is not the one of the certificate in {files.certificate}"
            ) from None
        raise CertificateError(
            f"{files.certificate} and {files.key} must have a certificate and its key in PEM format "
            f"that OpenSSL accepts ({describe(problem)})"
        ) from None
    if files.authorities is not None:
        try:
            context.load_verify_locations(files.authorities)
        except OSError:
            raise CertificateError(f"{files.authorities} must have certificates in PEM format") from None
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _check_readable(path: str) -> None:
    # First, because the error of `load_cert_chain` does not name the file.
    try:
        with open(path, "rb") as file:
            file.read(1)
    except (OSError, ValueError) as problem:  # ValueError: a NUL in the path
        reason = getattr(problem, "strerror", None) or problem
        raise CertificateError(f"cannot read {path!r}: {reason}") from None


def _refuse_encrypted_key() -> NoReturn:
    # Otherwise OpenSSL would ask for the passphrase at the terminal, and the server would wait for it.
    raise CertificateError("the key is encrypted with a passphrase, which kvline does not support")
