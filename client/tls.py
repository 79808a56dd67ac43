"""TLS of the client. Imported when it is needed, because `ssl` takes long to import."""

from __future__ import annotations

import socket
import ssl

from client.settings import TLSSettings
from common.tls_socket import TLSSocket, describe


def start_tls(connected: socket.socket, host: str, settings: TLSSettings) -> TLSSocket:
    """Perform the handshake on a connected socket, and return the socket that takes its place.

    The server's certificate must be valid for ``host``, unless it is not verified. Raises `OSError` with a phrase.
    """
    try:
        context = _new_context(settings)
    except OSError:
        connected.close()
        raise
    encrypted = TLSSocket(connected, context, server_hostname=settings.server_name or host)
    try:
        encrypted.handshake()
    except ssl.SSLCertVerificationError as problem:
        encrypted.close()
        raise OSError(f"{describe(problem)} (--cacert FILE names an authority, --insecure accepts any)") from None
    except ssl.SSLError as problem:
        encrypted.close()
        does_not_speak_tls = problem.reason == "WRONG_VERSION_NUMBER"
        raise OSError("it does not speak TLS" if does_not_speak_tls else f"TLS: {describe(problem)}") from None
    except TimeoutError:  # Redis waits for the end of a line
        encrypted.close()
        raise OSError("it does not reply to a TLS handshake") from None
    except BaseException:
        encrypted.close()
        raise
    return encrypted


def _new_context(settings: TLSSettings) -> ssl.SSLContext:
    authorities = settings.authorities or None
    try:
        context = ssl.create_default_context(cafile=authorities)
    except OSError as problem:
        raise OSError(f"--cacert {authorities}: {describe(problem)}") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if not settings.verifies:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if settings.certificate:
        try:
            context.load_cert_chain(settings.certificate, settings.key or None)
        except OSError as problem:
            files = f"--cert {settings.certificate}" + (f", --key {settings.key}" if settings.key else "")
            raise OSError(f"{files}: {describe(problem)}") from None
    return context
