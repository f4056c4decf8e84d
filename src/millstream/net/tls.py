"""What a server needs to speak TLS: a context built from files and policies, and the names of what was negotiated.

A daemon builds a context from its options once, and hands it to `net.listener` (HTTPS) and `net.handshake` (TCP
connections that are upgraded). The names are those that NSQ shows.
"""

import ssl
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Final

from millstream.base.errors import MillstreamError
from millstream.net.any_certificate import AnyCertificateUnsupported, demand_any_certificate

VERSIONS: Final[Mapping[str, ssl.TLSVersion]] = {
    "tls1.0": ssl.TLSVersion.TLSv1,
    "tls1.1": ssl.TLSVersion.TLSv1_1,
    "tls1.2": ssl.TLSVersion.TLSv1_2,
    "tls1.3": ssl.TLSVersion.TLSv1_3,
}

# OpenSSL refuses the hashes of TLS 1.0 and 1.1 above level 0, Python's own list leaves their suites out.
_OLD_CIPHERS: Final = (
    "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:DHE+CHACHA20:ECDHE+AES:DHE+AES:RSA+AESGCM:RSA+AES"
    ":!aNULL:!eNULL:!aDSS:!PSK:!SRP:@SECLEVEL=0"
)

# The suites that NSQ knows by name, as IANA numbers them.
_SUITES: Final[Mapping[int, str]] = {
    0x0005: "TLS_RSA_WITH_RC4_128_SHA",
    0x000A: "TLS_RSA_WITH_3DES_EDE_CBC_SHA",
    0x002F: "TLS_RSA_WITH_AES_128_CBC_SHA",
    0x0035: "TLS_RSA_WITH_AES_256_CBC_SHA",
    0xC007: "TLS_ECDHE_ECDSA_WITH_RC4_128_SHA",
    0xC009: "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
    0xC00A: "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
    0xC011: "TLS_ECDHE_RSA_WITH_RC4_128_SHA",
    0xC012: "TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA",
    0xC013: "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
    0xC014: "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
    0xC02B: "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    0xC02F: "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
}


class TlsUnusable(MillstreamError):
    """The certificate, the key or the CA file cannot be used; the text names the file and what is wrong."""


class ClientAuth(Enum):
    """What is asked of clients; the values are NSQ's words for it."""

    NONE = ""
    REQUIRE = "require"
    REQUIRE_VERIFY = "require-verify"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerTls:
    """Where the files are (PEM), and who may connect. An empty `root_ca_path` means the CAs that the system trusts."""

    cert_path: str
    key_path: str
    root_ca_path: str = ""
    client_auth: ClientAuth = ClientAuth.NONE
    min_version: str = "tls1.0"


@dataclass(frozen=True, slots=True)
class TlsFacts:
    """What was negotiated on one connection, in NSQ's words."""

    version: str
    cipher_suite: str
    negotiated_protocol: str


def server_context(settings: ServerTls) -> ssl.SSLContext:
    """The context of a server. Reads the files, which takes a moment. Raises TlsUnusable."""
    context = _basic_context(settings)
    if settings.client_auth is ClientAuth.REQUIRE_VERIFY:
        context.verify_mode = ssl.CERT_REQUIRED
        _trust(context, settings.root_ca_path)
    elif settings.client_auth is ClientAuth.REQUIRE:
        try:
            demand_any_certificate(context, lambda: _basic_context(settings))
        except AnyCertificateUnsupported as error:
            raise TlsUnusable(f"{error}: use require-verify") from error
    return context


def client_context(root_ca_path: str) -> ssl.SSLContext:
    """The context of a client that trusts the authorities in a file. Raises TlsUnusable."""
    _check_readable(root_ca_path)
    try:
        return ssl.create_default_context(cafile=root_ca_path)
    except ssl.SSLError as error:
        raise TlsUnusable(f"certificates {root_ca_path}: {reason_of(error)}") from error


def _basic_context(settings: ServerTls) -> ssl.SSLContext:
    if settings.min_version not in VERSIONS:
        raise TlsUnusable(f"no TLS version {settings.min_version!r}: use one of {', '.join(VERSIONS)}")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with warnings.catch_warnings():
        # Old versions are the user's decision; the documentation advises against them.
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = VERSIONS[settings.min_version]
    context.options |= ssl.OP_NO_RENEGOTIATION
    if settings.min_version in {"tls1.0", "tls1.1"}:
        context.set_ciphers(_OLD_CIPHERS)
    for path in (settings.cert_path, settings.key_path):
        _check_readable(path)
    try:
        # A password, though wrong, keeps OpenSSL from asking for one on the terminal.
        context.load_cert_chain(settings.cert_path, settings.key_path, password="")
    except ssl.SSLError as error:
        reason = reason_of(error)
        if error.reason == "KEY_VALUES_MISMATCH":
            reason = "the key belongs to another certificate"
        raise TlsUnusable(f"certificate {settings.cert_path} with key {settings.key_path}: {reason}") from error
    except (OSError, ValueError) as error:
        raise TlsUnusable(f"certificate {settings.cert_path} with key {settings.key_path}: {error}") from error
    return context


def _trust(context: ssl.SSLContext, path: str) -> None:
    if not path:
        context.load_default_certs(ssl.Purpose.CLIENT_AUTH)
        return
    _check_readable(path)
    try:
        context.load_verify_locations(path)
    except (OSError, ValueError) as error:
        raise TlsUnusable(f"CA file {path}: {reason_of(error)}") from error


def _check_readable(path: str) -> None:
    """OpenSSL's errors do not say which file they are about."""
    if not path:
        raise TlsUnusable("a certificate and its key are both needed")
    try:
        Path(path).read_bytes()
    except OSError as error:
        raise TlsUnusable(f"cannot read {path}: {error.strerror or error}") from error


def reason_of(error: BaseException) -> str:
    """What went wrong, without OpenSSL's source lines."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate verify failed: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        # Only OpenSSL's own errors have a reason.
        reason: str | None = getattr(error, "reason", None)
        return reason.replace("_", " ").lower() if reason else str(error.strerror or error)
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, ConnectionError) and not str(error):
        return "the connection ended"
    return str(error) or type(error).__name__


def facts(connection: ssl.SSLObject) -> TlsFacts:
    """What a connection negotiated, after its handshake."""
    cipher = connection.cipher()
    version = connection.version() or ""
    name = version.replace("TLSv", "TLS")
    return TlsFacts(
        name if "." in name else f"{name}.0",
        _suite_name(connection.context, cipher[0]) if cipher else "",
        connection.selected_alpn_protocol() or "",
    )


def common_name(certificate: Mapping[str, Any] | None) -> str:
    """The common name in a peer's certificate as `ssl` decodes it: one that was verified, or that `require` takes."""
    for names in (certificate or {}).get("subject", ()):
        for key, value in names:
            if key == "commonName":
                return str(value)
    return ""


def _suite_name(context: ssl.SSLContext, openssl_name: str) -> str:
    for suite in context.get_ciphers():
        if suite["name"] == openssl_name:
            # The upper half of OpenSSL's number is a version.
            number = suite["id"] & 0xFFFF
            return _SUITES.get(number, f"Unknown {number}")
    return f"Unknown {openssl_name}"
