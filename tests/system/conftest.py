"""Daemons as processes, and a raw client that looks at every byte, for the tests beside this file.

A daemon is started on ports that the system chooses, others at each start; it says where it listens in its log, which
is kept to the end: a test whose daemon logged a traceback fails. The client knows the wire by itself, so that a mistake
in `millstream.protocol` cannot hide itself.
"""

import asyncio
import http.client
import importlib
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, Self

import pytest

# Test folders are no packages: this lets those below import `system_codecs`.
FOLDER = str(Path(__file__).resolve().parent)
if FOLDER not in sys.path:
    sys.path.append(FOLDER)

DEADLINE_S = 20
LISTENING = re.compile(r"INFO: (tcp|http)\.listening address=127\.0\.0\.1:(\d+)$")
UNEXPECTED = re.compile(r"Traceback|Fatal error|Unhandled|exception was never retrieved|Task was destroyed")

RESPONSE, ERROR, MESSAGE = 0, 1, 2
HEARTBEAT = (RESPONSE, b"_heartbeat_")


class Daemon:
    """One daemon; its ports are those of its last start."""

    def __init__(self, name: str, flags: tuple[str, ...]) -> None:
        self.name = name
        self.tcp_port = 0
        self.http_port = 0
        self.log: list[str] = []
        self._flags = flags
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self._logged = threading.Condition()
        self._listening = 0

    @property
    def tcp_address(self) -> str:
        return f"127.0.0.1:{self.tcp_port}"

    @property
    def http_address(self) -> str:
        return f"127.0.0.1:{self.http_port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def spawn(self) -> None:
        """Start the process, and do not wait for it."""
        self._listening = 0
        command = [
            *(sys.executable, "-m", f"millstream.cli.{self.name}"),
            "--tcp-address=127.0.0.1:0",
            "--http-address=127.0.0.1:0",
            "--broadcast-address=127.0.0.1",
            *self._flags,
        ]
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        self._reader = threading.Thread(target=self._read_log, args=(self._process,))
        self._reader.start()

    def _read_log(self, process: subprocess.Popen[str]) -> None:
        assert process.stderr is not None
        with process.stderr as lines:
            for line in lines:
                with self._logged:
                    self.log.append(line.rstrip("\n"))
                    if found := LISTENING.search(line):
                        setattr(self, f"{found[1]}_port", int(found[2]))
                        self._listening += 1
                    self._logged.notify_all()
        with self._logged:
            self._listening = 2
            self._logged.notify_all()

    def start(self, *, is_healthy: bool = True) -> None:
        """Start the process and wait until it answers, unless told otherwise that all is well."""
        self.spawn()
        with self._logged:
            assert self._logged.wait_for(lambda: self._listening >= 2, DEADLINE_S), self.log
        assert self._process is not None
        assert self._process.poll() is None, self.log
        status, answer = self.request("GET", "/ping")
        assert (status == 200) == is_healthy, answer

    def wait_for_log(self, text: str) -> str:
        """The first line of the log with this text, now or later."""
        with self._logged:
            assert self._logged.wait_for(lambda: any(text in line for line in self.log), DEADLINE_S), self.log
            return next(line for line in self.log if text in line)

    def signal(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait for the end: the exit status."""
        assert self._process is not None
        self._process.send_signal(number)
        return self.wait()

    def kill(self) -> None:
        self.signal(signal.SIGKILL)

    def wait(self) -> int:
        """Wait for the end: the exit status."""
        assert self._process is not None
        assert self._reader is not None
        status = self._process.wait(DEADLINE_S)
        self._reader.join(DEADLINE_S)
        self._process = None
        return status

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def discard(self) -> None:
        """End the process, whatever it does."""
        if self._process is not None:
            self._process.kill()
            self.wait()

    def request(self, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, bytes]:
        """One HTTP request on a connection of its own: status and body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=DEADLINE_S)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def get(self, path: str) -> bytes:
        status, body = self.request("GET", path)
        assert status == 200, body
        return body

    def post(self, path: str, body: bytes = b"") -> bytes:
        status, answer = self.request("POST", path, body)
        assert status == 200, answer
        return answer

    def channel(self, topic: str, channel: str) -> dict[str, Any]:
        """What `/stats` says of a channel."""
        stats = json.loads(self.get(f"/stats?format=json&include_mem=false&topic={topic}&channel={channel}"))
        found: dict[str, Any] = stats["topics"][0]["channels"][0]
        return found

    def resident_bytes(self) -> int:
        """How much memory the process has."""
        status = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii")
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert found
        return int(found[1]) << 10

    def unexpected(self) -> list[str]:
        """Lines of the log that speak of a mistake in the daemon."""
        return [line for line in self.log if UNEXPECTED.search(line)]


class Daemons:
    """Starts daemons and ends them all."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._started: list[Daemon] = []

    def nsqd(self, *flags: str, starts: bool = True) -> Daemon:
        """An nsqd with a data path of its own, unless the flags name one."""
        if not any("-data-path=" in flag for flag in flags):
            path = self.folder / f"nsqd{len(self._started)}"
            path.mkdir()
            flags = (*flags, f"--data-path={path}")
        return self._add(Daemon("nsqd", flags), starts=starts)

    def nsqlookupd(self, *flags: str) -> Daemon:
        return self._add(Daemon("nsqlookupd", flags), starts=True)

    def _add(self, daemon: Daemon, *, starts: bool) -> Daemon:
        self._started.append(daemon)
        if starts:
            daemon.start()
        return daemon

    def end(self) -> None:
        for daemon in self._started:
            daemon.discard()
        unexpected = [line for daemon in self._started for line in daemon.unexpected()]
        assert not unexpected, [daemon.log for daemon in self._started if daemon.unexpected()]


class Delivered(NamedTuple):
    """A message as it came."""

    timestamp_ns: int
    attempts: int
    id: bytes
    body: bytes


class Client:
    """A connection of which nothing is hidden; `closed` is an answer like any other."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self._buffer = bytearray()
        self._frames: list[tuple[int, bytes]] = []

    @classmethod
    async def open(cls, port: int, first: bytes = b"  V2") -> Self:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        client = cls(reader, writer)
        client.send(first)
        return client

    def send(self, data: bytes) -> None:
        try:
            self.writer.write(data)
        except RuntimeError as error:  # uvloop's word for a connection that the other side has closed
            raise ConnectionResetError(str(error)) from error

    async def ask(self, data: bytes) -> bytes:
        """Send, and wait for the response."""
        self.send(data)
        return await self.response()

    async def identify(self, **features: object) -> Any:
        body = json.dumps({"feature_negotiation": True, **features}).encode()
        return json.loads(await self.ask(b"IDENTIFY\n" + sized(body)))

    async def subscribe(self, topic: str, channel: str, ready_count: int = 0) -> None:
        assert await self.ask(f"SUB {topic} {channel}\n".encode()) == b"OK"
        if ready_count:
            self.send(b"RDY %d\n" % ready_count)

    async def publish(self, topic: str, *bodies: bytes) -> None:
        """One PUB, or an MPUB of several."""
        if len(bodies) == 1:
            data = b"PUB %b\n" % topic.encode() + sized(bodies[0])
        else:
            packed = struct.pack(">i", len(bodies)) + b"".join(map(sized, bodies))
            data = b"MPUB %b\n" % topic.encode() + sized(packed)
        self.send(data)
        await self.writer.drain()
        assert await self.response() == b"OK"

    def finish(self, *messages: Delivered) -> None:
        self.send(b"".join([b"FIN %b\n" % message.id for message in messages]))

    async def frames(self) -> list[tuple[int, bytes]]:
        """The next frames, at least one. Heartbeats are answered and left out. Raises EOFError at the end."""
        while not self._frames:
            data = await self.reader.read(1 << 16)
            if not data:
                raise EOFError
            self._buffer += data
            self._split()
        frames, self._frames = self._frames, []
        return frames

    def _split(self) -> None:
        at = 0
        buffer = self._buffer
        while len(buffer) - at >= 8:
            size, kind = struct.unpack_from(">ii", buffer, at)
            if len(buffer) - at - 4 < size:
                break
            frame = (kind, bytes(buffer[at + 8 : at + 4 + size]))
            at += 4 + size
            if frame == HEARTBEAT:
                self.send(b"NOP\n")
            else:
                self._frames.append(frame)
        del buffer[:at]

    async def frame(self) -> tuple[int, bytes]:
        """The next frame that is no heartbeat, within a deadline."""
        async with asyncio.timeout(DEADLINE_S):
            first, *rest = await self.frames()
        self._frames = rest
        return first

    async def raw_frame(self) -> tuple[int, bytes]:
        """The next frame, a heartbeat as well, which is not answered."""
        async with asyncio.timeout(DEADLINE_S):
            (size,) = struct.unpack(">i", await self.reader.readexactly(4))
            data = await self.reader.readexactly(size)
        return int.from_bytes(data[:4], "big"), data[4:]

    async def response(self) -> bytes:
        kind, data = await self.frame()
        assert kind == RESPONSE, data
        return data

    async def error(self) -> bytes:
        kind, data = await self.frame()
        assert kind == ERROR, data
        return data

    async def message(self) -> Delivered:
        kind, data = await self.frame()
        assert kind == MESSAGE, data
        return delivered(data)

    async def messages(self, count: int) -> list[Delivered]:
        return [await self.message() for _ in range(count)]

    async def closed(self) -> list[tuple[int, bytes]]:
        """Wait for the other side to close: the frames that came before."""
        frames: list[tuple[int, bytes]] = []
        async with asyncio.timeout(DEADLINE_S):
            with suppress(EOFError, OSError):
                while True:
                    frames += await self.frames()
        return frames

    async def close(self) -> None:
        self.writer.close()
        with suppress(OSError):
            await self.writer.wait_closed()


def sized(body: bytes) -> bytes:
    """A body behind its size, as commands carry it."""
    return struct.pack(">i", len(body)) + body


def delivered(data: bytes) -> Delivered:
    """The message in a frame."""
    timestamp_ns, attempts = struct.unpack_from(">qH", data)
    return Delivered(timestamp_ns, attempts, data[10:26], data[26:])


class Neighbour:
    """A well-behaved client: publishes, reads what it published, finishes it, and says when something is odd."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), DEADLINE_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._stream = self._socket.makefile("rb")
        self._thread = threading.Thread(target=self._run)
        self._served = threading.Condition()
        self._stopped = threading.Event()
        self.rounds = 0
        self.trouble = ""

    def start(self) -> None:
        self._socket.sendall(b"  V2SUB neighbour work\nRDY 1\n")
        assert self._frame() == (0, b"OK")
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join(DEADLINE_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._stream.close()
        self._socket.close()

    def was_served(self) -> None:
        """Wait for a whole round that began after this call."""
        with self._served:
            wanted = self.rounds + 2
            assert self._served.wait_for(lambda: self.rounds >= wanted or self.trouble, DEADLINE_S), "no longer served"
        assert not self.trouble

    def _run(self) -> None:
        try:
            while not self._stopped.wait(0.002):
                self._round()
                with self._served:
                    self.rounds += 1
                    self._served.notify_all()
        except (OSError, AssertionError, struct.error) as error:
            with self._served:
                self.trouble = repr(error)
                self._served.notify_all()

    def _round(self) -> None:
        body = b"%d" % self.rounds
        self._socket.sendall(b"PUB neighbour\n" + struct.pack(">i", len(body)) + body)
        frames = sorted((self._frame(), self._frame()))
        assert frames[0] == (0, b"OK"), frames
        assert (frames[1][0], frames[1][1][26:]) == (2, body), frames
        self._socket.sendall(b"FIN %b\n" % frames[1][1][10:26])

    def _frame(self) -> tuple[int, bytes]:
        size, kind = struct.unpack(">ii", self._stream.read(8))
        data = self._stream.read(size - 4)
        if data == b"_heartbeat_":
            self._socket.sendall(b"NOP\n")
            return self._frame()
        return kind, data


@pytest.fixture
def daemons(tmp_path: Path) -> Iterator[Daemons]:
    """Starts nsqd and nsqlookupd for one test."""
    started = Daemons(tmp_path)
    try:
        yield started
    finally:
        started.end()


@pytest.fixture(scope="module")
def shared_nsqd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """One nsqd for the tests of a module."""
    started = Daemons(tmp_path_factory.mktemp("shared"))
    try:
        yield started.nsqd()
    finally:
        started.end()


@pytest.fixture(scope="module")
def neighbour(shared_nsqd: Daemon) -> Iterator[Neighbour]:
    """A client of `shared_nsqd` that goes on all the time."""
    one = Neighbour(shared_nsqd.tcp_port)
    one.start()
    try:
        yield one
    finally:
        one.stop()


@pytest.fixture
def served(neighbour: Neighbour) -> Iterator[None]:
    """Makes sure that the neighbour is served before and after a test."""
    neighbour.was_served()
    yield
    neighbour.was_served()


@pytest.fixture
async def connect() -> Any:
    """Connects clients, and closes them when the test is over."""
    clients: list[Client] = []

    async def open_one(daemon: Daemon, first: bytes = b"  V2") -> Client:
        client = await Client.open(daemon.tcp_port, first)
        clients.append(client)
        return client

    yield open_one
    await asyncio.gather(*(client.close() for client in clients))


@pytest.fixture
async def eventually() -> Callable[[Callable[[], bool]], Awaitable[None]]:
    """Waits, within a deadline, for what another process does and only tells when asked."""

    async def wait(condition: Callable[[], bool]) -> None:
        end = time.monotonic() + DEADLINE_S
        while not condition():
            assert time.monotonic() < end, "it did not happen"
            await asyncio.sleep(0.02)

    return wait


@pytest.fixture(scope="session")
def original_nsqd() -> str:
    """The original nsqd: the one that MILLSTREAM_PEER_NSQD names, else the one that the differential bench builds."""
    named = os.environ.get("MILLSTREAM_PEER_NSQD", "")
    if named:
        return named
    folder = str(Path(__file__).parent / "peer")
    if folder not in sys.path:
        sys.path.append(folder)
    peer = importlib.import_module("peer_daemons")
    try:
        return str(peer.build() / "nsqd")
    except peer.BuildFailed as reason:
        pytest.skip(f"the original NSQ cannot be built here: {reason}")
