"""Messages outside the log: where they stand, when they come, and what they cost."""

import tracemalloc
from pathlib import Path
from typing import Final

import pytest

from millstream.engine.log import ForgetfulProgress
from millstream.engine.stragglers import DEFERRED, IN_FLIGHT, QUEUED, Stragglers
from millstream.storage.files import OsFileSystem
from millstream.storage.progress import Progress
from millstream.storage.settings import LogSettings
from millstream.testing import FakeClock

MANY: Final = 100_000
TIMESTAMP_NS: Final = 1_700_000_000_000_000_000


def frame_of(sequence: int, body: bytes = b"body") -> bytes:
    size = (4 + 8 + 2 + 16 + len(body)).to_bytes(4, "big")
    return size + b"\0\0\0\2" + TIMESTAMP_NS.to_bytes(8, "big") + b"\0\1" + b"%016x" % sequence + body


class Bench:
    """Stragglers in memory; instants are counted from the start of the clock."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.start_ns = self.clock.monotonic_ns()
        self.found = Stragglers(ForgetfulProgress(), self.clock)

    def defer(self, *dues_ns: int) -> None:
        for sequence, due_ns in enumerate(dues_ns):
            self.found.add_deferred([(sequence, frame_of(sequence), self.clock.wall_ns() + due_ns)])

    def hold(self, sequence: int, owner: int, deadline_ns: int) -> None:
        self.found.add_held(sequence, frame_of(sequence), 1, owner, self.start_ns + deadline_ns, self.start_ns)

    def due(self, now_ns: int) -> list[int]:
        return list(self.found.due(self.start_ns + now_ns))

    @property
    def next_due(self) -> int | None:
        return None if self.found.next_due is None else self.found.next_due - self.start_ns


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_deferred_messages_become_due_in_order_of_time(bench: Bench) -> None:
    bench.defer(30, 10, 20)

    assert (len(bench.found), bench.found.deferred_count, bench.next_due) == (3, 3, 10)
    assert bench.due(9) == []
    assert bench.due(20) == [1, 2]
    assert (bench.found.deferred_count, bench.next_due) == (1, 30)
    assert [bench.found.state_of(sequence) for sequence in range(4)] == [DEFERRED, QUEUED, QUEUED, None]


def test_a_message_deferred_again_comes_once_and_at_the_new_time(bench: Bench) -> None:
    bench.defer(10)
    bench.due(10)
    bench.found.hold(0, frame_of(0), 7, 100, 10)

    bench.found.defer(0, 40)

    assert bench.due(39) == []
    assert bench.due(40) == [0]
    assert bench.due(1000) == []
    assert bench.found.held == {}


def test_each_delivery_counts_as_an_attempt_up_to_what_a_frame_can_say(bench: Bench) -> None:
    bench.found.add_queued(0, frame_of(0), 65_533)

    attempts = []
    for _ in range(4):
        attempts.append(bench.found.hold(0, frame_of(0), 7, 100, 10))
        bench.found.queue(0)

    assert attempts == [65_534, 65_535, 65_535, 65_535]


def test_what_is_not_queued_cannot_be_held(bench: Bench) -> None:
    bench.defer(10)
    bench.hold(5, 7, 100)

    assert [bench.found.hold(sequence, frame_of(sequence), 8, 100, 10) for sequence in (0, 5, 6)] == [0, 0, 0]


def test_the_holder_alone_finds_what_it_holds(bench: Bench) -> None:
    bench.hold(5, 7, 100)

    assert bench.found.held_by(5, 8) is None
    assert bench.found.held_by(6, 7) is None
    held = bench.found.held_by(5, 7)
    assert held is not None
    assert (held.deadline_ns, held.since_ns) == (bench.start_ns + 100, bench.start_ns)
    assert held.timestamp_ns == TIMESTAMP_NS
    assert bench.found.state_of(5) == IN_FLIGHT


def test_what_is_held_too_long_is_queued(bench: Bench) -> None:
    bench.hold(5, 7, 100)
    bench.hold(6, 8, 200)

    assert bench.next_due == 100
    assert bench.found.expire(bench.start_ns + 99) == []
    assert bench.found.expire(bench.start_ns + 100) == [(5, 7)]
    assert bench.found.state_of(5) == QUEUED
    assert list(bench.found.held) == [6]


def test_what_a_lost_owner_held_is_queued(bench: Bench) -> None:
    bench.hold(5, 7, 100)
    bench.hold(6, 8, 100)

    assert bench.found.abandon(7) == [5]
    assert bench.found.abandon(7) == []
    assert list(bench.found.held) == [6]


def test_finished_messages_are_gone_whatever_they_were(bench: Bench) -> None:
    bench.defer(10, 20)
    bench.hold(5, 7, 100)

    bench.found.finish(0)
    bench.found.finish(5)
    bench.found.finish(99)

    assert (len(bench.found), bench.found.deferred_count, bench.found.held) == (1, 1, {})
    assert bench.due(10) == []
    assert bench.found.frame_of(0) is None


def test_a_frame_can_be_had_wherever_its_message_stands(bench: Bench) -> None:
    bench.defer(10, 20)
    bench.due(10)
    bench.hold(5, 7, 100)

    assert [bench.found.frame_of(sequence) for sequence in (0, 1, 5)] == [frame_of(0), frame_of(1), frame_of(5)]


def test_what_cannot_be_used_is_lost_and_counted(bench: Bench) -> None:
    bench.defer(10)

    bench.found.lose(0)

    assert (len(bench.found), bench.found.lost_count) == (0, 1)
    assert (bench.found.take_lost(), bench.found.take_lost()) == ([0], [])


def test_clearing_forgets_all(bench: Bench) -> None:
    bench.defer(10, 20)
    bench.hold(5, 7, 100)

    bench.found.clear()

    assert (len(bench.found), bench.found.deferred_count, bench.next_due) == (0, 0, None)


def test_only_what_waits_for_its_time_is_cancelled_or_moved(bench: Bench) -> None:
    bench.defer(10, 20, 30)
    bench.due(10)
    wall_ns = bench.clock.wall_ns()

    row = bench.found.cancel(1)
    before = bench.found.reschedule(2, wall_ns + 5)

    assert row is not None
    assert before is not None
    assert (row.sequence, before.due_ns) == (1, bench.start_ns + 30)
    assert bench.due(5) == [2]
    assert [bench.found.cancel(sequence) for sequence in (0, 1, 2)] == [None, None, None]
    assert [bench.found.reschedule(sequence, wall_ns) for sequence in (0, 1, 2)] == [None, None, None]


def test_a_due_time_that_no_column_could_hold_is_a_late_one(bench: Bench) -> None:
    bench.found.add_deferred([(0, frame_of(0), (1 << 64) - 1)])

    assert bench.found.deferred_count == 1
    assert bench.due(100 * 365 * 86_400 * 10**9) == []


def durable(folder: Path) -> tuple[Stragglers, Progress]:
    progress = Progress(OsFileSystem(), f"{folder}/archive.channel", LogSettings(frames_bytes_max=1 << 20))
    state = progress.load()
    found = Stragglers(progress, FakeClock())
    found.adopt(state.stragglers)
    return found, progress


def defer_many(found: Stragglers, progress: Progress) -> None:
    wall_ns = FakeClock().wall_ns()
    for sequence in range(MANY):
        delay_ns = (sequence * 7_919 % MANY + 1) * 10**9
        found.add_deferred([(sequence, frame_of(sequence, b"x" * 200), wall_ns + delay_ns)])
        if sequence % 1_000 == 0:
            progress.flush()
    progress.position(MANY, MANY, MANY)
    progress.flush()


def test_a_deferred_message_takes_64_bytes_at_most_before_and_after_a_restart(tmp_path: Path) -> None:
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        found, progress = durable(tmp_path)
        defer_many(found, progress)
        grown = tracemalloc.get_traced_memory()[0] - before
        progress.close()
        del found, progress
        before, _ = tracemalloc.get_traced_memory()
        found, progress = durable(tmp_path)
        restored = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
        progress.close()

    assert (len(found), found.deferred_count) == (MANY, MANY)
    assert found.frame_of(MANY // 2) == frame_of(MANY // 2, b"x" * 200)
    assert grown / MANY <= 64
    assert restored / MANY <= 64


def test_what_is_due_all_at_once_is_queued_in_slices_and_costs_no_more(tmp_path: Path) -> None:
    found, progress = durable(tmp_path)
    wall_ns = FakeClock().wall_ns()
    for sequence in range(MANY):
        found.add_deferred([(sequence, frame_of(sequence), wall_ns + 1)])
    progress.position(MANY, MANY, MANY)
    progress.flush()

    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        due = found.due(FakeClock().monotonic_ns() + 1)
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
        progress.close()

    assert (len(due), found.deferred_count, len(found)) == (MANY, 0, MANY)
    assert grown / MANY <= 16
