"""A clock that moves when told, a series of files in a folder of the test, and an nsqd that says what it is told."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from millstream.protocol.frames import MESSAGE, RESPONSE, encode_frame
from millstream.protocol.message import Message, encode_message
from millstream.tools.nsq_to_file.file_name import FileName
from millstream.tools.nsq_to_file.file_series import FileSeries
from millstream.tools.nsq_to_file.options import ToFileOptions

DEADLINE_S = 20
NS_PER_S = 1_000_000_000


@dataclass
class TestClock:
    """Both readings move together."""

    __test__ = False

    elapsed_ns: int = 0
    start_ns: int = int(datetime(2026, 11, 22, 18, 30, tzinfo=UTC).timestamp()) * NS_PER_S

    def advance(self, *, seconds: float) -> None:
        self.elapsed_ns += int(seconds * NS_PER_S)

    def wall_ns(self) -> int:
        return self.start_ns + self.elapsed_ns

    def monotonic_ns(self) -> int:
        return self.elapsed_ns


@dataclass
class OneClientNsqd:
    """`finished` and `requeued` are ids in the order of the answers; `lines` every command of the last client."""

    address: str = ""
    lines: list[str] = field(default_factory=list)
    _writer: asyncio.StreamWriter | None = None
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def finished(self) -> list[int]:
        return [int(line.split()[1], 16) for line in self.lines if line.startswith("FIN ")]

    def deliver(self, *numbers: int) -> None:
        assert self._writer is not None
        messages = [Message(b"%016x" % number, b'{"n":%d}' % number, 1, 1) for number in numbers]
        self._writer.write(b"".join(encode_frame(MESSAGE, encode_message(message)) for message in messages))

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def ready(self) -> None:
        """Wait until the client asked for messages."""
        await self.until(lambda: any(line.startswith("RDY ") for line in self.lines))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        try:
            await reader.readexactly(4)
            while line := (await reader.readline()).decode().strip():
                if line == "IDENTIFY":
                    await reader.readexactly(int.from_bytes(await reader.readexactly(4), "big"))
                    writer.write(encode_frame(RESPONSE, json.dumps({"max_rdy_count": 2500}).encode()))
                if line.startswith(("SUB", "CLS")):
                    writer.write(encode_frame(RESPONSE, b"OK" if line.startswith("SUB") else b"CLOSE_WAIT"))
                self.lines.append(line)
                self._changed.set()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        writer.close()


@pytest.fixture
async def nsqd() -> AsyncIterator[OneClientNsqd]:
    """An nsqd that listens."""
    one = OneClientNsqd()
    server = await asyncio.start_server(one.serve, "127.0.0.1", 0)
    one.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield one


@pytest.fixture
def clock() -> TestClock:
    return TestClock()


MakeSeries = Callable[..., FileSeries]


@pytest.fixture
def series(tmp_path: Path, clock: TestClock) -> MakeSeries:
    """Make a series of files of the topic `clicks` with these options."""

    def make(kind: type[FileSeries] = FileSeries, **changes: object) -> FileSeries:
        options = ToFileOptions(
            topics=("clicks",),
            nsqd_tcp_addresses=("127.0.0.1:1",),
            output_dir=str(tmp_path),
            **changes,  # type: ignore[arg-type] # any option
        )
        name = FileName(
            filename_format=options.filename_format,
            datetime_format=options.datetime_format,
            topic="clicks",
            host="h",
            process_id=7,
            has_revisions=options.has_revisions,
            gzip=options.gzip,
            zone=UTC,
        )
        return kind(options, name, clock)

    return make


@pytest.fixture
def contents(tmp_path: Path) -> Callable[[], dict[str, bytes]]:
    """Names and contents of all files of the test's folder."""
    return lambda: {
        str(path.relative_to(tmp_path)): path.read_bytes() for path in sorted(tmp_path.rglob("*")) if path.is_file()
    }
