"""A server on loopback, and a client that sees every byte; all waits have a deadline."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import pytest

from millstream.net.http import HttpLimits, HttpServer, Router
from millstream.net.listener import Listener, listen

DEADLINE_S = 20


@dataclass(frozen=True, slots=True)
class Answer:
    status_line: str
    headers: dict[str, str]
    body: bytes

    @property
    def status(self) -> int:
        return int(self.status_line.split()[1])


class Peer:
    """The other end of a connection, byte by byte."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes | str) -> None:
        self.writer.write(data.encode() if isinstance(data, str) else data)

    async def answer(self, *, body: bool = True) -> Answer:
        async with asyncio.timeout(DEADLINE_S):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = dict(line.split(": ", 1) for line in head[1:-2])
            size = int(headers.get("Content-Length", 0)) if body else 0
            return Answer(head[0], headers, await self.reader.readexactly(size))

    async def rest(self) -> bytes:
        """Everything up to the end of the connection, be it a reset."""
        async with asyncio.timeout(DEADLINE_S):
            try:
                return await self.reader.read()
            except ConnectionResetError:
                return b""

    async def ask(self, data: bytes | str) -> Answer:
        self.send(data)
        return await self.answer()


@dataclass(frozen=True, slots=True)
class Served:
    server: HttpServer
    listener: Listener
    connect: Callable[[], Awaitable[Peer]]


Serve = Callable[..., Awaitable[Served]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Start servers and connect to them; everything is closed at the end."""
    started: list[Served] = []
    peers: list[Peer] = []

    async def start(router: Router, limits: HttpLimits | None = None) -> Served:
        server = HttpServer(router, limits=limits)
        listener = await listen("127.0.0.1:0", server.protocol)

        async def connect() -> Peer:
            peer = Peer(*await asyncio.open_connection(listener.host, listener.port))
            peers.append(peer)
            return peer

        served = Served(server, listener, connect)
        started.append(served)
        return served

    yield start
    for peer in peers:
        peer.writer.transport.abort()
    for served in started:
        served.listener.close()
        await served.listener.wait_closed()
        await served.server.close(grace_ms=0)
