"""nsqd's HTTP API for those who are known only: by a certificate of an authority, by a token, or by both."""

import asyncio
import shutil
import ssl
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

DEADLINE_S = 20
pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl command")


@pytest.fixture
def ask(certificates: Any) -> Callable[..., str]:
    """Ask over HTTPS with curl: the body, a blank, the status; 000 when there was no answer."""

    def run(nsqd: Any, path: str, *options: str, client: str = "", token: str = "") -> str:
        command = ["curl", "-s", "--max-time", str(DEADLINE_S), "-w", " %{http_code}", "--cacert"]
        command.append(certificates.authority)
        if client:
            certificate, key = certificates.files(client)
            command += ["--cert", certificate, "--key", key]
        if token:
            command += ["-H", f"Authorization: Bearer {token}"]
        command += [*options, f"https://127.0.0.1:{nsqd.https_port}{path}"]
        return subprocess.run(command, capture_output=True, text=True, timeout=2 * DEADLINE_S, check=False).stdout

    return run


def test_mutual_tls_admits_whom_the_authority_knows(start: Callable[..., Any], ask: Callable[..., str]) -> None:
    nsqd = start("--tls-client-auth-policy=require-verify")

    assert ask(nsqd, "/pub?topic=t", "-d", "hello", client="client") == "OK 200"
    for client in ("", "stranger"):
        for path in ("/ping", "/stats", "/pub?topic=t"):
            assert ask(nsqd, path, client=client) == " 000"
    # Beside it there is no way in that asks for less.
    assert nsqd.request("POST", "/pub?topic=t", b"x")[0] == 403


def test_mutual_tls_and_a_token_are_both_asked_for(
    start: Callable[..., Any], ask: Callable[..., str], tmp_path: Path
) -> None:
    (tmp_path / "tokens").write_text("open-sesame\n")
    nsqd = start("--tls-client-auth-policy=require-verify", f"--http-auth-token-file={tmp_path / 'tokens'}")

    assert ask(nsqd, "/ping", client="client") == "OK 200"
    assert ask(nsqd, "/stats", client="client").endswith('{"message":"UNAUTHORIZED"} 401')
    assert ask(nsqd, "/stats", client="client", token="open-sesame").endswith(" 200")
    assert ask(nsqd, "/stats", token="open-sesame") == " 000"
    assert ask(nsqd, "/stats", client="stranger", token="open-sesame") == " 000"


def test_a_token_goes_over_https_when_plain_http_is_off(
    start: Callable[..., Any], ask: Callable[..., str], tmp_path: Path
) -> None:
    (tmp_path / "tokens").write_text("open-sesame\n")
    nsqd = start("--tls-required", f"--http-auth-token-file={tmp_path / 'tokens'}")

    assert nsqd.request("GET", "/stats")[0] == 403
    assert ask(nsqd, "/stats").endswith(" 401")
    assert ask(nsqd, "/stats", token="open-sesame").endswith(" 200")


async def test_a_client_without_a_certificate_hurts_nobody(start: Callable[..., Any], certificates: Any) -> None:
    nsqd = start("--tls-client-auth-policy=require-verify")
    context = certificates.context("client")
    reader, writer = await asyncio.open_connection("127.0.0.1", nsqd.https_port, ssl=context)
    senders: list[asyncio.StreamWriter] = []
    for client in ("", "stranger"):
        async with asyncio.timeout(DEADLINE_S):
            with pytest.raises((OSError, ssl.SSLError, EOFError)):  # noqa: PT012 - TLS 1.3 refuses at the first read
                other, sender = await asyncio.open_connection(
                    "127.0.0.1", nsqd.https_port, ssl=certificates.context(client)
                )
                senders.append(sender)
                sender.write(b"GET /ping HTTP/1.1\r\nHost: h\r\n\r\n")
                await other.readexactly(1)

    writer.write(b"GET /ping HTTP/1.1\r\nHost: h\r\n\r\n")
    async with asyncio.timeout(DEADLINE_S):
        assert b"200 OK" in await reader.readuntil(b"OK")
    for sender in (writer, *senders):
        sender.close()
        with suppress(OSError, ssl.SSLError):
            await sender.wait_closed()
