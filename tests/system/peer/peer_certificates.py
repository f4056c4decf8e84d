"""The certificates of a run, made for it: a server's, and those of clients that come with a good, bad or no one."""

import ssl
import warnings
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import trustme
from peer_script import Hello

VERSIONS: Final = {
    "1.0": ssl.TLSVersion.TLSv1,
    "1.1": ssl.TLSVersion.TLSv1_1,
    "1.2": ssl.TLSVersion.TLSv1_2,
    "1.3": ssl.TLSVersion.TLSv1_3,
}
# One suite each, so that the daemon has no choice. OpenSSL speaks the old versions at its lowest level only.
SUITES: Final = {
    "1.0": "ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0",
    "1.1": "ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0",
    "1.2": "ECDHE-ECDSA-AES128-GCM-SHA256",
}


class Certificates:
    """Files in one folder: `server.pem`, `server.key` and so on, and `ca.pem`, whom all but the stranger are known to.

    `client` is a good one, `expired` was one, `stranger` is of another authority.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        known, other = trustme.CA(), trustme.CA()
        known.cert_pem.write_to_path(folder / "ca.pem")
        past = datetime.now(UTC) - timedelta(days=1)
        self._write("server", known.issue_cert("127.0.0.1", "localhost"))
        self._write("client", known.issue_cert("localhost", common_name="client"))
        self._write("expired", known.issue_cert("localhost", common_name="expired", not_after=past))
        self._write("stranger", other.issue_cert("localhost", common_name="stranger"))

    def _write(self, name: str, issued: trustme.LeafCert) -> None:
        issued.cert_chain_pems[0].write_to_path(self.folder / f"{name}.pem")
        issued.private_key_pem.write_to_path(self.folder / f"{name}.key")

    def context(self, hello: Hello) -> ssl.SSLContext:
        """What a client that says this hello needs; it trusts the server."""
        context = ssl.create_default_context(cafile=str(self.folder / "ca.pem"))
        if hello.suite or hello.version in SUITES:
            context.set_ciphers(hello.suite or SUITES[hello.version])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version = context.maximum_version = VERSIONS[hello.version]
        if hello.certificate:
            context.load_cert_chain(self.folder / f"{hello.certificate}.pem", self.folder / f"{hello.certificate}.key")
        return context

    def server_context(self) -> ssl.SSLContext:
        """What a server here needs."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.folder / "server.pem", self.folder / "server.key")
        return context
