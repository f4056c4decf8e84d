"""A server context that demands a certificate of its clients and accepts any: NSQ's client policy `require`.

OpenSSL can do that with a callback that Python does not offer. So each handshake gets a context of its own, and what
the client presents is trusted there before OpenSSL looks at it: that it holds the key is still verified. `net.tls`
decides who is served by such a context.
"""

import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from millstream.base.errors import MillstreamError
from millstream.base.log import get_logger

log = get_logger(__name__)

CERTIFICATE_BYTES_MAX: Final = 64 << 10

_HOOK: Final = "_msg_callback"
_HANDSHAKE: Final = 22
_CERTIFICATE: Final = 11
_TLS13: Final = 0x0304
_HEAD_BYTES: Final = 4
# X509_V_FLAG_NO_CHECK_TIME, which the ssl module does not name.
_NO_CHECK_TIME: Final = 0x200000


class AnyCertificateUnsupported(MillstreamError):
    """This Python's ssl module lacks what it takes."""


def demand_any_certificate(context: ssl.SSLContext, make: Callable[[], ssl.SSLContext]) -> None:
    """Have `context` demand a certificate, whoever issued it; `make` makes a context like it for each connection.

    A handshake fails while `make` raises MillstreamError. Raises AnyCertificateUnsupported.
    """
    if not hasattr(type(context), _HOOK):
        raise AnyCertificateUnsupported("this Python cannot accept client certificates without verifying them")

    def choose(connection: ssl.SSLObject | ssl.SSLSocket, _name: str | None, _context: ssl.SSLContext) -> int | None:
        # What one client presents must not be trusted of another, nor pile up.
        try:
            own = make()
        except MillstreamError as error:
            # The files changed under us.
            log.error("tls.context_failed", error=error)
            return ssl.ALERT_DESCRIPTION_INTERNAL_ERROR
        _demand(own)
        connection.context = own
        return None

    _demand(context)
    context.sni_callback = choose


def _demand(context: ssl.SSLContext) -> None:
    context.verify_mode = ssl.CERT_REQUIRED
    # A certificate that is trusted itself needs no issuer; its dates are not looked at, as in NSQ.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | ssl.VerifyFlags(_NO_CHECK_TIME)
    setattr(context, _HOOK, _seen)


def _seen(connection: Any, direction: str, version: int, content_type: int, kind: int, data: bytes) -> None:
    """A message of a handshake passes by."""
    if direction == "read" and content_type == _HANDSHAKE and kind == _CERTIFICATE:
        certificate = first_certificate(data, is_tls13=version == _TLS13)
        if certificate:
            # What is no certificate will not be trusted, and OpenSSL says why.
            with suppress(ssl.SSLError, ValueError):
                connection.context.load_verify_locations(cadata=certificate)


def first_certificate(message: bytes, *, is_tls13: bool) -> bytes:
    """The first certificate (DER) of a Certificate message; empty when there is none."""
    at = _HEAD_BYTES
    if is_tls13:
        # A request context of a byte for its size and its bytes.
        at += 1 + (message[at] if len(message) > at else 0)
    at += 3
    size = int.from_bytes(message[at : at + 3], "big")
    certificate = message[at + 3 : at + 3 + size]
    return certificate if len(certificate) == size <= CERTIFICATE_BYTES_MAX else b""
