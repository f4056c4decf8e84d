"""A new certificate at SIGHUP: old connections live on, new ones get the new one."""

import asyncio
import os
import shutil
import signal
import ssl
from contextlib import suppress
from pathlib import Path
from typing import Any

import trustme

DEADLINE_S = 20


async def shown(port: int) -> tuple[bytes, asyncio.StreamReader, asyncio.StreamWriter]:
    """The certificate of a fresh HTTPS connection, and the connection."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    certificate = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    return certificate, reader, writer


async def ping(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    writer.write(b"GET /ping HTTP/1.1\r\nHost: h\r\n\r\n")
    async with asyncio.timeout(DEADLINE_S):
        return (await reader.readuntil(b"\r\n\r\nOK")).split(b"\r\n", 1)[0]


async def test_sighup_takes_up_a_new_certificate_and_drops_nobody(
    daemons: Any, connect: Any, upgrade: Any, certificates: Any, tmp_path: Path, either_loop: None
) -> None:
    del either_loop
    files = [str(tmp_path / name) for name in ("cert.pem", "key.pem")]
    for source, target in zip(certificates.files("server"), files, strict=True):
        shutil.copy(source, target)
    nsqd = daemons.nsqd(f"--tls-cert={files[0]}", f"--tls-key={files[1]}", "--https-address=127.0.0.1:0", starts=False)
    nsqd.spawn()
    nsqd.wait_for_log("http.listening address")
    port = int(nsqd.wait_for_log("https.listening").rpartition(":")[2])
    subscriber = await connect(nsqd)
    assert (await upgrade(subscriber, tls_v1=True))["tls_v1"] is True
    old, reader, writer = await shown(port)

    renewed = trustme.CA().issue_cert("127.0.0.1")
    renewed.cert_chain_pems[0].write_to_path(files[0])
    renewed.private_key_pem.write_to_path(files[1])
    os.kill(nsqd.pid, signal.SIGHUP)
    assert "the TLS certificate" in nsqd.wait_for_log("reload.done")

    new, _, other = await shown(port)
    assert new != old
    assert new == ssl.PEM_cert_to_DER_cert(renewed.cert_chain_pems[0].bytes().decode())
    assert await ping(reader, writer) == b"HTTP/1.1 200 OK"
    assert await subscriber.ask(b"SUB t c\n") == b"OK"
    for opened in (writer, other):
        opened.close()
        with suppress(OSError, ssl.SSLError):
            await opened.wait_closed()
