"""A scripted nsqd on a real socket: says what the test tells it to, and remembers every command."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from millstream.protocol.frames import ERROR, MESSAGE, RESPONSE, encode_frame
from millstream.protocol.message import Message, encode_message

WITH_BODY = ("IDENTIFY", "AUTH", "PUB", "MPUB", "DPUB")


async def eventually(condition: Callable[[], bool]) -> None:
    """Wait for what only a counter tells, within a deadline."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - the objects under test offer counters, not events
            await asyncio.sleep(0.005)


class Peer:
    """One client, as the scripted nsqd sees it. `lines` are its commands, `bodies` what came with them."""

    def __init__(self, nsqd: "ScriptedNsqd", reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.nsqd = nsqd
        self.lines: list[str] = []
        self.bodies: list[bytes] = []
        self._reader = reader
        self._writer = writer
        self._changed = asyncio.Event()
        self.is_gone = False

    def send(self, kind: int, data: bytes) -> None:
        self._writer.write(encode_frame(kind, data))

    def deliver(self, *numbers: int, attempts: int = 1, body: bytes = b"body") -> None:
        for number in numbers:
            self.send(MESSAGE, encode_message(Message(b"%016x" % number, body, 1, attempts)))

    def write(self, data: bytes) -> None:
        self._writer.write(data)

    def cut(self) -> None:
        self._writer.transport.abort()

    async def saw(self, *lines: str) -> None:
        """Wait until these commands came, in this order, with others between them or not."""

        def found() -> bool:
            rest = iter(self.lines)
            return all(any(line == seen for seen in rest) for line in lines)

        await self.until(found)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def serve(self) -> None:
        try:
            assert await self._reader.readexactly(4) == b"  V2"
            while True:
                line = (await self._reader.readuntil(b"\n")).decode().rstrip("\n")
                name = line.partition(" ")[0]
                if name in WITH_BODY:
                    size = int.from_bytes(await self._reader.readexactly(4), "big")
                    self.bodies.append(await self._reader.readexactly(size))
                self.lines.append(line)
                self._changed.set()
                self._answer(name)
        except (asyncio.IncompleteReadError, ConnectionError):
            self.is_gone = True
            self._changed.set()

    def _answer(self, name: str) -> None:
        if name in self.nsqd.mute:
            return
        if name in self.nsqd.errors:
            self.send(ERROR, self.nsqd.errors[name])
            self._writer.close()
        elif name == "IDENTIFY":
            self.send(RESPONSE, json.dumps(self.nsqd.negotiated).encode())
        elif name == "CLS":
            self.send(RESPONSE, b"CLOSE_WAIT")
        elif name in ("AUTH", "SUB", "PUB", "MPUB", "DPUB"):
            self.send(RESPONSE, b"OK")


class ScriptedNsqd:
    """`mute`: commands without a reply. `errors`: commands answered with a fatal error. `peers`: clients so far."""

    def __init__(self) -> None:
        self.peers: list[Peer] = []
        self.mute: set[str] = set()
        self.errors: dict[str, bytes] = {}
        self.negotiated: dict[str, object] = {"max_rdy_count": 2500, "auth_required": False}
        self.address = ""
        self._changed = asyncio.Event()
        self._server: asyncio.Server | None = None

    async def start(self, port: int = 0) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port)
        self.address = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for peer in self.peers:
            peer.cut()
        for peer in self.peers:
            await peer.until(lambda peer=peer: peer.is_gone)  # type: ignore[misc]

    async def peer(self, number: int = 0) -> Peer:
        """Wait for the client of this number, counted from 0."""
        async with asyncio.timeout(20):
            while len(self.peers) <= number:
                self._changed.clear()
                await self._changed.wait()
        return self.peers[number]

    async def subscriber(self, number: int = 0) -> Peer:
        """Wait until the client of this number has subscribed: messages may be sent to it now."""
        peer = await self.peer(number)
        await peer.until(lambda: any(line.startswith("SUB ") for line in peer.lines))
        return peer

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(self, reader, writer)
        self.peers.append(peer)
        self._changed.set()
        await peer.serve()
        writer.close()


@pytest.fixture
async def nsqd() -> AsyncIterator[ScriptedNsqd]:
    """A scripted nsqd that listens."""
    one = ScriptedNsqd()
    await one.start()
    yield one
    await one.stop()


@pytest.fixture
async def other_nsqd() -> AsyncIterator[ScriptedNsqd]:
    """Another one."""
    one = ScriptedNsqd()
    await one.start()
    yield one
    await one.stop()


@pytest.fixture(name="eventually")
def eventually_fixture() -> Callable[[Callable[[], bool]], Awaitable[None]]:
    """The function of that name, for the modules beside this one."""
    return eventually
