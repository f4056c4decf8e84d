"""A log under test, on files that fail when told, with a model beside it: the bodies that were accepted."""

from collections.abc import Callable, Sequence

import pytest

from millstream.protocol.chunks import BufferPool, Cursor
from millstream.protocol.record import undeferred
from millstream.storage.log import Log
from millstream.storage.settings import LogSettings
from millstream.testing import FaultyFiles

DIRECTORY = "data/clicks.topic"
ORIGIN = 1000
TIMESTAMP_NS = 1_700_000_000_000_000_000


def frame_of(sequence: int, body: bytes) -> bytes:
    """What a subscriber receives, written down independently of the code under test."""
    size = (4 + 8 + 2 + 16 + len(body)).to_bytes(4, "big")
    return size + b"\0\0\0\2" + TIMESTAMP_NS.to_bytes(8, "big") + b"\0\1" + b"%016x" % sequence + body


class Bench:
    """One log that is opened, crashed and opened again; `accepted` has the bodies by sequence."""

    def __init__(self, settings: LogSettings, *, origin: int = ORIGIN) -> None:
        self.settings = settings
        self.files = FaultyFiles(seed=1)
        self.files.make_directory("data")
        self.files.sync_directory("")
        self.origin = origin
        self.accepted: dict[int, bytes] = {}
        self.pending: dict[int, bytes] = {}
        self.due: dict[int, int] = {}
        self.log = self.open()

    def open(self) -> Log:
        self.pool = BufferPool()
        self.log = Log(self.files, DIRECTORY, self.settings, self.pool, self.origin)
        return self.log

    def publish(self, *bodies: bytes) -> None:
        for body in bodies:
            self.pending[self.log.next_seq] = body
            self.log.append(bytearray(b"..." + body), 3, len(body), TIMESTAMP_NS)

    def publish_batch(self, bodies: Sequence[bytes]) -> None:
        for offset, body in enumerate(bodies):
            self.pending[self.log.next_seq + offset] = body
        data = bytearray(b"-" + b"".join(len(body).to_bytes(4, "big") + body for body in bodies))
        self.log.append_batch(data, 1, len(bodies), TIMESTAMP_NS)

    def publish_deferred(self, body: bytes, due_ns: int) -> None:
        self.pending[self.log.next_seq] = body
        self.due[self.log.next_seq] = due_ns
        self.log.append_deferred(bytearray(body), 0, len(body), TIMESTAMP_NS, due_ns)

    def commit(self) -> None:
        """As a turn of the loop does it; a failure takes all that is pending with it."""
        pending, self.pending = self.pending, {}
        try:
            self.log.commit()
        except BaseException:
            for sequence in pending:
                self.due.pop(sequence, None)
            raise
        self.accepted |= pending

    def sync(self) -> None:
        """One whole group commit."""
        job = self.log.begin_sync()
        if job is not None:
            job.run()
            self.log.end_sync(job, failed=False)

    def crash(self, *, power_loss: bool = False) -> Log:
        self.files = self.files.crash(power_loss=power_loss)
        return self.open()

    def restart(self) -> Log:
        self.log.close()
        return self.open()

    def read(self, start: int, *, count: int = 1 << 30, size_bytes: int = 1 << 30) -> dict[int, bytes]:
        """Everything that a channel gets from `start` on, through slices and skips."""
        cursor = Cursor(start)
        found: dict[int, bytes] = {}
        while cursor.sequence < self.log.ready_seq:
            sequence = cursor.sequence
            part = self.log.slice(cursor, min(count, self.log.ready_seq - sequence), size_bytes)
            if part is None:
                cursor.move(max(self.log.skip(sequence), sequence + 1))
                continue
            found |= bodies_in(bytes(part), sequence, cursor.taken)
            self.pool.turn()
        return found

    def plain(self, start: int = 0) -> dict[int, bytes]:
        """What `read` should give."""
        return {seq: body for seq, body in self.accepted.items() if seq not in self.due and seq >= start}

    def check(self, start: int | None = None) -> None:
        """The log has exactly what was accepted, in each way to ask for it."""
        first = self.log.first_seq if start is None else start
        assert self.read(first) == self.plain(first)
        for sequence, body in self.accepted.items():
            if sequence >= first:
                stored = self.log.record(sequence)
                assert stored is not None, sequence
                assert undeferred(stored) == (frame_of(sequence, body), self.due.get(sequence, 0))
        assert [seq for seq in self.log.deferred if seq >= first] == sorted(s for s in self.due if s >= first)

    def segments(self) -> list[str]:
        return [name for name in self.files.names(DIRECTORY) if name.endswith(".seg")]


def bodies_in(data: bytes, sequence: int, taken: int) -> dict[int, bytes]:
    """Take a slice apart, checking every byte that is not body."""
    found: dict[int, bytes] = {}
    at = 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        body = data[at + 34 : at + 4 + size]
        assert data[at : at + 4 + size] == frame_of(sequence, body)
        found[sequence] = body
        sequence += 1
        at += 4 + size
    assert len(found) == taken
    return found


@pytest.fixture
def bench() -> Bench:
    """A log with the default settings."""
    return Bench(LogSettings())


@pytest.fixture
def small() -> Bench:
    """A log that keeps next to nothing in memory and rolls its segments often."""
    return small_bench()


@pytest.fixture
def make_bench() -> Callable[..., Bench]:
    """Make a log that keeps next to nothing in memory, with other settings."""
    return small_bench


def small_bench(**settings: object) -> Bench:
    values: dict[str, object] = {
        "segment_bytes_max": 100 << 10,
        "hot_messages_max": 4,
        "hot_bytes_max": 32 << 10,
        "cold_chunks_max": 2,
    }
    return Bench(LogSettings(**(values | settings)))  # type: ignore[arg-type]  # checked by the tests that use them


@pytest.fixture
def bench_type() -> type[Bench]:
    """For tests that make their own."""
    return Bench
