"""`net.handshake`: plain connections become secure ones on both loops, or end with a last word in plain."""

import asyncio
import ssl
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trustme

from millstream.net.handshake import HandshakeFailed, upgrade_to_tls

BOTH_LOOPS = pytest.mark.asyncio(loop_factories=["asyncio", "uvloop"])
DEADLINE_S = 20
AUTHORITY = trustme.CA()
KEYED = AUTHORITY.issue_cert("localhost")
START, READY = b"START", b"READY"


class Server(asyncio.BufferedProtocol):
    """Says READY to START, upgrades, and then echoes; `outcome` is the secure transport or the error."""

    def __init__(self, context: ssl.SSLContext, timeout_ms: int, *, closes: bool) -> None:
        self.outcome: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.task: asyncio.Task[None] | None = None
        self._transport: Any = None
        self._context = context
        self._timeout_ms = timeout_ms
        self._closes = closes
        self._buffer = bytearray(100)

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def get_buffer(self, _size_hint: int) -> bytearray:
        return self._buffer

    def buffer_updated(self, count: int) -> None:
        if self.outcome.done():
            self.outcome.result().write(bytes(self._buffer[:count]))
            return
        self._transport.pause_reading()
        self._transport.write(READY)
        self.task = asyncio.get_running_loop().create_task(self._upgrade())
        if self._closes:
            self._transport.close()

    async def _upgrade(self) -> None:
        # What arrives while nobody reads must not be lost.
        await asyncio.sleep(0)
        try:
            secure = await upgrade_to_tls(
                self._transport,
                self,
                self._context,
                timeout_ms=self._timeout_ms,
                farewell=lambda reason: f"failed: {reason}".encode(),
            )
        except HandshakeFailed as error:
            self.outcome.set_result(error)
        else:
            self.outcome.set_result(secure)


Open = Callable[..., Any]


@asynccontextmanager
async def serving(timeout_ms: int = 2000, *, closes: bool = False) -> AsyncIterator[tuple[int, list[Server]]]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    KEYED.configure_cert(context)
    made: list[Server] = []

    def make() -> Server:
        made.append(Server(context, timeout_ms, closes=closes))
        return made[-1]

    server = await asyncio.get_running_loop().create_server(make, "127.0.0.1", 0)
    async with asyncio.timeout(DEADLINE_S):
        yield server.sockets[0].getsockname()[1], made
        for one in made:
            if one.task is not None:
                await one.task
    server.close()


async def begin(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(START)
    assert await reader.readexactly(5) == READY
    return reader, writer


@BOTH_LOOPS
async def test_a_connection_goes_on_inside_tls() -> None:
    context = ssl.create_default_context()
    AUTHORITY.configure_trust(context)
    async with serving() as (port, made):
        reader, writer = await begin(port)

        await writer.start_tls(context, server_hostname="localhost")
        secure = await made[0].outcome
        for text in (b"hello", b"again"):
            writer.write(text)
            assert await reader.readexactly(5) == text
        secure.close()
        assert await reader.read() == b""
        writer.close()


@BOTH_LOOPS
@pytest.mark.parametrize(
    "said",
    [b"NOP\n" * 20, b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00", bytes(5000)],
    ids=["plain", "bad hello", "zeros"],
)
async def test_who_speaks_no_tls_hears_why_in_plain(said: bytes) -> None:
    async with serving() as (port, made):
        reader, writer = await begin(port)

        writer.write(said)
        assert (await reader.readexactly(8)) == b"failed: "
        assert isinstance(await made[0].outcome, HandshakeFailed)
        writer.close()


@BOTH_LOOPS
async def test_who_says_nothing_hears_why_in_plain() -> None:
    async with serving(timeout_ms=50) as (port, made):
        reader, writer = await begin(port)

        assert await reader.read() == b"failed: handshake timed out"
        assert str(await made[0].outcome) == "handshake timed out"
        writer.close()


@BOTH_LOOPS
async def test_a_peer_that_leaves_during_the_handshake_is_a_failure() -> None:
    async with serving() as (port, made):
        _, writer = await begin(port)
        writer.close()

        assert isinstance(await made[0].outcome, HandshakeFailed)


@BOTH_LOOPS
async def test_a_peer_that_resets_during_the_handshake_is_a_failure() -> None:
    async with serving() as (port, made):
        _, writer = await begin(port)
        sock = writer.get_extra_info("socket")
        sock.setsockopt(1, 13, struct.pack("ii", 1, 0))  # SO_LINGER of no time: close() sends a reset
        writer.close()

        assert isinstance(await made[0].outcome, HandshakeFailed)


@BOTH_LOOPS
async def test_a_connection_that_is_closed_already_is_a_failure() -> None:
    async with serving(closes=True) as (port, made):
        _, writer = await begin(port)

        assert isinstance(await made[0].outcome, HandshakeFailed)
        writer.close()
