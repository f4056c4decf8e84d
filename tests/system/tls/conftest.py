"""nsqd with a certificate on either loop, and clients that upgrade as NSQ's do, for the tests beside this file."""

import json
import os
import ssl
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from system_codecs import Deflate, Snappy

AUTHORITY = trustme.CA()
STRANGER = trustme.CA()


class Certificates:
    """The files of a server, of a client, and of a client of another authority."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = str(folder / "ca.pem")
        AUTHORITY.cert_pem.write_to_path(self.authority)
        for name, authority in (("server", AUTHORITY), ("client", AUTHORITY), ("stranger", STRANGER)):
            issued = authority.issue_cert("127.0.0.1", "localhost", common_name=name)
            certificate, key = self.files(name)
            issued.cert_chain_pems[0].write_to_path(certificate)
            issued.private_key_pem.write_to_path(key)

    def files(self, name: str) -> tuple[str, str]:
        """Certificate and key."""
        return str(self.folder / f"{name}.pem"), str(self.folder / f"{name}.key")

    def context(self, client: str = "") -> ssl.SSLContext:
        """A client that trusts the server, and has a certificate of its own if named."""
        context = ssl.create_default_context(cafile=self.authority)
        if client:
            context.load_cert_chain(*self.files(client))
        return context

    def flags(self) -> tuple[str, ...]:
        certificate, key = self.files("server")
        return f"--tls-cert={certificate}", f"--tls-key={key}", f"--tls-root-ca-file={self.authority}"


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(params=["uvloop", "asyncio"])
def either_loop(request: pytest.FixtureRequest) -> Iterator[None]:
    """Daemons started meanwhile run on this loop."""
    before = os.environ.get("MILLSTREAM_LOOP")
    os.environ["MILLSTREAM_LOOP"] = request.param
    yield
    if before is None:
        del os.environ["MILLSTREAM_LOOP"]
    else:
        os.environ["MILLSTREAM_LOOP"] = before


@pytest.fixture
def start(daemons: Any, certificates: Certificates, either_loop: None) -> Callable[..., Any]:
    """Start an nsqd that has a certificate, on either loop; `/ping` is not asked: it may be refused."""
    del either_loop

    def spawned(*flags: str) -> Any:
        nsqd = daemons.nsqd(*certificates.flags(), "--https-address=127.0.0.1:0", *flags, starts=False)
        nsqd.spawn()
        nsqd.wait_for_log("http.listening address")
        nsqd.https_port = int(nsqd.wait_for_log("https.listening").rpartition(":")[2])
        return nsqd

    return spawned


class Coded:
    """A stream of either direction with a compression over `raw`."""

    def __init__(self, raw: Any, codec: Any) -> None:
        self.raw = raw
        self._codec = codec

    def __getattr__(self, name: str) -> Any:
        return getattr(self.raw, name)

    def write(self, data: bytes) -> None:
        self.raw.write(self._codec.encode(data))

    async def read(self, size: int) -> bytes:
        while True:
            data = await self.raw.read(size)
            plain: bytes = self._codec.decode(data)
            if plain or not data:
                return plain


Upgrade = Callable[..., Awaitable[dict[str, Any]]]


@pytest.fixture
def upgrade(certificates: Certificates) -> Upgrade:
    """IDENTIFY and all that follows. Nothing is read beyond an OK: what comes after it is by other rules."""

    async def run(client: Any, certificate: str = "", **features: object) -> dict[str, Any]:
        body = json.dumps({"feature_negotiation": True, **features}).encode()
        client.send(b"IDENTIFY\n" + len(body).to_bytes(4, "big") + body)
        _, data = await client.raw_frame()
        reply: dict[str, Any] = json.loads(data)
        if reply["tls_v1"]:
            await client.writer.start_tls(certificates.context(certificate), server_hostname="127.0.0.1")
            assert await client.raw_frame() == (0, b"OK")
        if reply["snappy"] or reply["deflate"]:
            codec = Snappy() if reply["snappy"] else Deflate()
            client.reader, client.writer = Coded(client.reader, codec), Coded(client.writer, codec)
            assert await client.response() == b"OK"
        return reply

    return run
