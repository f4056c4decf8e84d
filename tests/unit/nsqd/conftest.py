"""An nsqd in this process on real sockets, with a disk that can fill up and a clock that can be moved."""

import asyncio
import json
import os
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from millstream.base.errors import DiskFull, StorageError
from millstream.base.units import parse_address
from millstream.nsqd.host import Host
from millstream.nsqd.options import DaemonOptions
from millstream.nsqd.service import Nsqd
from millstream.storage.files import OsFile, OsFileSystem

DEADLINE_S = 20


class MovableClock:
    """Stands still until a test moves it."""

    def __init__(self) -> None:
        self.now_ns = 1_700_000_000 * 10**9

    def wall_ns(self) -> int:
        return self.now_ns

    def monotonic_ns(self) -> int:
        return self.now_ns

    def move_s(self, seconds: float) -> None:
        self.now_ns += int(seconds * 10**9)


class _File(OsFile):
    def __init__(self, path: str, descriptor: int, disk: "Disk") -> None:
        super().__init__(path, descriptor)
        self._disk = disk

    def write(self, data: memoryview | bytes | bytearray, offset: int) -> None:
        if self._disk.is_full:
            raise DiskFull(f"write {self.path} - No space left on device")
        self._disk.check("write", self.path)
        super().write(data, offset)

    def read_into(self, buffer: memoryview, offset: int) -> int:
        self._disk.check("read", self.path)
        return super().read_into(buffer, offset)

    def sync(self) -> None:
        self._disk.check("sync", self.path)
        super().sync()


class Disk(OsFileSystem):
    """The real one, until `is_full`, or a call of `failing` is one for a path with what stands there in it."""

    is_full = False

    def __init__(self) -> None:
        self.failing: dict[str, str] = {}
        self.free_bytes: int | None = None

    def check(self, call: str, path: str) -> None:
        if call in self.failing and self.failing[call] in path:
            raise StorageError(f"{call} {path} - Input/output error")

    def room(self, path: str) -> tuple[int, int]:
        free, total = super().room(path)
        return (free, total) if self.free_bytes is None else (self.free_bytes, 1 << 40)

    def open(self, path: str, *, create: bool = False) -> OsFile:
        super().open(path, create=create).close()
        return _File(path, os.open(path, os.O_RDWR), self)


class Peer:
    """One TCP client that speaks bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, *parts: bytes) -> None:
        self.writer.write(b"".join(parts))

    def identify(self, **fields: Any) -> None:
        body = json.dumps(fields).encode()
        self.send(b"IDENTIFY\n", struct.pack(">i", len(body)), body)

    def publish(self, topic: str, *bodies: bytes) -> None:
        for body in bodies:
            self.send(b"PUB %s\n" % topic.encode(), struct.pack(">i", len(body)), body)

    def subscribe(self, topic: str, channel: str, ready: int = 0) -> None:
        self.send(f"SUB {topic} {channel}\n".encode(), f"RDY {ready}\n".encode() if ready else b"")

    async def frame(self) -> tuple[int, bytes]:
        """The next frame that is no heartbeat."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                size, kind = struct.unpack(">ii", await self.reader.readexactly(8))
                data = await self.reader.readexactly(size - 4)
                if data != b"_heartbeat_":
                    return kind, data

    async def text(self) -> str:
        """The next frame as text: a response, or an error."""
        return (await self.frame())[1].decode()

    async def message(self) -> tuple[bytes, bytes, int]:
        """The next frame as a message: id, body, attempts."""
        kind, data = await self.frame()
        assert kind == 2, data
        return data[10:26], data[26:], int.from_bytes(data[8:10], "big")

    async def is_closed(self) -> bool:
        """Whether nsqd ends the connection and says nothing more."""
        async with asyncio.timeout(DEADLINE_S):
            try:
                return await self.reader.read() == b""
            except ConnectionError:
                return True


class Running:
    """An nsqd and ways to talk to it."""

    def __init__(self, nsqd: Nsqd, clock: MovableClock, disk: Disk) -> None:
        assert nsqd.host is not None
        self.nsqd = nsqd
        self.host: Host = nsqd.host
        self.clock = clock
        self.disk = disk
        self._writers: list[asyncio.StreamWriter] = []

    async def open(self, address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection(*parse_address(address))
        self._writers.append(writer)
        return reader, writer

    async def connect(self, *, greet: bool = True) -> Peer:
        peer = Peer(*await self.open(self.nsqd.tcp_address))
        if greet:
            peer.send(b"  V2")
        return peer

    async def ask(self, method: str, target: str, body: bytes = b"") -> tuple[int, bytes]:
        status, _, content = await self.exchange(method, target, body)
        return status, content

    async def exchange(
        self, method: str, target: str, body: bytes = b"", token: str = ""
    ) -> tuple[int, dict[str, str], bytes]:
        reader, writer = await self.open(self.nsqd.http_address)
        head = f"{method} {target} HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: {len(body)}\r\n"
        authorization = f"Authorization: Bearer {token}\r\n" if token else ""
        writer.write(f"{head}{authorization}\r\n".encode() + body)
        async with asyncio.timeout(DEADLINE_S):
            answer = await reader.read()
        lines, _, content = answer.partition(b"\r\n\r\n")
        first, *rest = lines.decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in rest)}
        return int(first.split()[1]), headers, content

    async def stats(self, query: str = "") -> Any:
        status, body = await self.ask("GET", f"/stats?format=json{query}")
        assert status == 200
        return json.loads(body)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for what only the daemon's state tells."""
        async with asyncio.timeout(DEADLINE_S):
            while not condition():  # noqa: ASYNC110 - it offers state, not events
                await asyncio.sleep(0.005)

    def close(self) -> None:
        for writer in self._writers:
            writer.close()


Start = Callable[..., AbstractAsyncContextManager[Running]]


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """Start an nsqd with these options; a second one in the same test finds what the first has left."""
    clock = MovableClock()
    disk = Disk()

    @asynccontextmanager
    async def run(**options: Any) -> AsyncIterator[Running]:
        defaults = {"tcp_address": "127.0.0.1:0", "http_address": "127.0.0.1:0", "data_path": str(tmp_path)}
        nsqd = Nsqd(DaemonOptions(**{**defaults, **options}), clock, disk)
        async with asyncio.TaskGroup() as group:
            running = None
            try:
                await nsqd.start(group)
                running = Running(nsqd, clock, disk)
                yield running
            finally:
                await nsqd.stop()
                if running is not None:
                    running.close()

    return run
