"""`net.tls`: contexts from files, handshakes in memory, and NSQ's names of what came out."""

import ssl
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme

from millstream.net.tls import ClientAuth, ServerTls, TlsFacts, TlsUnusable, facts, reason_of, server_context

AUTHORITY = trustme.CA()
STRANGER = trustme.CA()
KEYED = AUTHORITY.issue_cert("localhost")


@pytest.fixture
def files(tmp_path: Path) -> ServerTls:
    KEYED.private_key_pem.write_to_path(tmp_path / "key.pem")
    KEYED.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    AUTHORITY.cert_pem.write_to_path(tmp_path / "ca.pem")
    return ServerTls(cert_path=str(tmp_path / "cert.pem"), key_path=str(tmp_path / "key.pem"))


def changed(files: ServerTls, **values: object) -> ServerTls:
    found = {name: getattr(files, name) for name in files.__slots__}
    return ServerTls(**{**found, **values})


def client_context(certificate: trustme.LeafCert | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    AUTHORITY.configure_trust(context)
    if certificate is not None:
        certificate.configure_cert(context)
    return context


def handshake(server: ssl.SSLContext, client: ssl.SSLContext) -> ssl.SSLObject:
    """Both sides in memory; the error of whichever fails first."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = server.wrap_bio(to_server, to_client, server_side=True)
    theirs = client.wrap_bio(to_client, to_server, server_hostname="localhost")
    for _ in range(4):
        for side in (theirs, ours):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                pass
    return ours


def limited(version: ssl.TLSVersion, ciphers: str = "") -> ssl.SSLContext:
    context = client_context()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = version
    if ciphers:
        context.set_ciphers(ciphers)
    return context


def test_a_plain_server_asks_no_certificate_of_its_clients(files: ServerTls) -> None:
    connection = handshake(server_context(files), client_context())

    assert facts(connection).version == "TLS1.3"


@pytest.mark.parametrize(
    ("version", "ciphers", "expected"),
    [
        (
            ssl.TLSVersion.TLSv1_2,
            "ECDHE-ECDSA-AES128-GCM-SHA256",
            TlsFacts("TLS1.2", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", ""),
        ),
        (ssl.TLSVersion.TLSv1_2, "ECDHE-ECDSA-AES256-GCM-SHA384", TlsFacts("TLS1.2", "Unknown 49196", "")),
        (
            ssl.TLSVersion.TLSv1,
            "ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0",
            TlsFacts("TLS1.0", "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA", ""),
        ),
        (
            ssl.TLSVersion.TLSv1_1,
            "ECDHE-ECDSA-AES256-SHA:@SECLEVEL=0",
            TlsFacts("TLS1.1", "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA", ""),
        ),
    ],
    ids=["1.2 of a known suite", "1.2 of another suite", "1.0", "1.1"],
)
@pytest.mark.shows("nsqd: names of TLS versions and cipher suites")
def test_versions_and_suites_have_nsqs_names(
    files: ServerTls, version: ssl.TLSVersion, ciphers: str, expected: TlsFacts
) -> None:
    assert facts(handshake(server_context(files), limited(version, ciphers))) == expected


@pytest.mark.shows("nsqd: names of TLS versions and cipher suites")
def test_a_suite_of_tls13_is_a_number(files: ServerTls) -> None:
    connection = handshake(server_context(files), limited(ssl.TLSVersion.TLSv1_3))

    assert facts(connection).cipher_suite in {"Unknown 4865", "Unknown 4866", "Unknown 4867"}


@pytest.mark.parametrize(
    ("min_version", "refused"),
    [
        ("tls1.1", ssl.TLSVersion.TLSv1),
        ("tls1.2", ssl.TLSVersion.TLSv1_1),
        ("tls1.3", ssl.TLSVersion.TLSv1_2),
    ],
)
def test_a_version_below_the_minimum_is_refused(files: ServerTls, min_version: str, refused: ssl.TLSVersion) -> None:
    server = server_context(changed(files, min_version=min_version))

    with pytest.raises(ssl.SSLError):
        handshake(server, limited(refused, "ALL:@SECLEVEL=0"))
    assert facts(handshake(server, client_context())).version == "TLS1.3"


def verifying(files: ServerTls) -> ServerTls:
    root_ca_path = str(Path(files.cert_path).with_name("ca.pem"))
    return changed(files, client_auth=ClientAuth.REQUIRE_VERIFY, root_ca_path=root_ca_path)


def requiring(files: ServerTls) -> ServerTls:
    return changed(files, client_auth=ClientAuth.REQUIRE)


Versions = pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])


@Versions
@pytest.mark.parametrize("policy", [verifying, requiring])
def test_a_client_without_a_certificate_is_refused(
    files: ServerTls, policy: Callable[[ServerTls], ServerTls], version: ssl.TLSVersion
) -> None:
    with pytest.raises(ssl.SSLError, match="PEER_DID_NOT_RETURN_A_CERTIFICATE"):
        handshake(server_context(policy(files)), limited(version))


@Versions
def test_require_verify_looks_at_the_issuer(files: ServerTls, version: ssl.TLSVersion) -> None:
    server = server_context(verifying(files))
    known, unknown = limited(version), limited(version)
    AUTHORITY.issue_cert("client").configure_cert(known)
    STRANGER.issue_cert("client").configure_cert(unknown)

    assert handshake(server, known).getpeercert()
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(server, unknown)


@Versions
def test_require_takes_any_certificate(files: ServerTls, version: ssl.TLSVersion) -> None:
    server = server_context(requiring(files))

    for authority in (STRANGER, AUTHORITY, STRANGER):
        client = limited(version)
        authority.issue_cert("client").configure_cert(client)
        assert handshake(server, client).getpeercert(binary_form=True)


def test_require_ends_handshakes_while_the_files_are_gone(files: ServerTls) -> None:
    server = server_context(requiring(files))
    client = client_context(AUTHORITY.issue_cert("client"))
    key = Path(files.key_path)
    kept = key.read_bytes()

    key.unlink()
    with pytest.raises(ssl.SSLError):
        handshake(server, client)
    key.write_bytes(kept)
    assert handshake(server, client).getpeercert(binary_form=True)


def test_without_a_ca_file_the_systems_authorities_are_asked(files: ServerTls) -> None:
    server = server_context(changed(files, client_auth=ClientAuth.REQUIRE_VERIFY))

    with pytest.raises(ssl.SSLCertVerificationError) as raised:
        handshake(server, client_context(STRANGER.issue_cert("client")))
    assert reason_of(raised.value).startswith("certificate verify failed: unable to get local issuer")


def test_what_cannot_be_used_is_named(files: ServerTls, tmp_path: Path) -> None:
    garbage = tmp_path / "garbage.pem"
    garbage.write_text("no PEM")
    other = tmp_path / "other.pem"
    STRANGER.issue_cert("other").private_key_pem.write_to_path(other)
    locked = tmp_path / "locked.pem"
    locked.write_text("-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----\n")

    wrong = {
        "cannot read /nowhere/cert.pem: No such file": changed(files, cert_path="/nowhere/cert.pem"),
        "cannot read /nowhere/key.pem": changed(files, key_path="/nowhere/key.pem"),
        "both needed": changed(files, key_path=""),
        "cannot read": changed(files, cert_path=str(tmp_path)),
        "garbage.pem with key": changed(files, cert_path=str(garbage)),
        "garbage.pem: ": changed(files, key_path=str(garbage)),
        "belongs to another": changed(files, key_path=str(other)),
        "locked.pem: ": changed(files, key_path=str(locked)),
        "CA file": changed(files, client_auth=ClientAuth.REQUIRE_VERIFY, root_ca_path=str(garbage)),
        "ca.pem: No such": changed(files, client_auth=ClientAuth.REQUIRE_VERIFY, root_ca_path="/nowhere/ca.pem"),
        "use one of tls1.0": changed(files, min_version="ssl3.0"),
    }
    for text, settings in wrong.items():
        with pytest.raises(TlsUnusable, match=text):
            server_context(settings)


def test_reasons_are_short() -> None:
    assert reason_of(ConnectionResetError(104, "Connection reset by peer")) == "Connection reset by peer"
    assert reason_of(ConnectionResetError()) == "the connection ended"
    assert reason_of(ssl.SSLError(1, "something")) == "something"
