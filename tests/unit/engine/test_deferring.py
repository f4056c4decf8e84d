"""Deferred records leave a channel's line when it sees them, or all of them stay."""

from typing import Any

import pytest

from millstream.base.errors import StorageError
from millstream.protocol.chunks import BufferPool, ChunkQueue

SECOND_NS = 10**9


class Unreadable(ChunkQueue):
    """A log that cannot be read back while it `fails`."""

    fails = True

    def record(self, sequence: int) -> bytes | None:
        if self.fails:
            raise StorageError("read - Input/output error")
        return super().record(sequence)


def test_deferred_records_become_stragglers_that_are_due_in_time(bench: Any) -> None:
    bench.publish(1)
    bench.publish(2, delay_ns=5 * SECOND_NS)
    assert bench.counts == (1, 0, 2)

    bench.join(10)
    assert [place for _, place, _ in bench.deal()] == [0]
    bench.wait(5 * SECOND_NS)
    assert [place for _, place, _ in bench.deal()] == [1, 2]


def test_what_is_a_straggler_already_is_not_taken_twice(bench: Any) -> None:
    bench.publish(1, delay_ns=SECOND_NS)
    bench.channel.scanned -= 1
    bench.channel.see(bench.log.ready_seq)

    assert bench.counts == (0, 0, 1)


def test_of_a_log_that_cannot_be_read_nothing_is_taken(bench: Any) -> None:
    bench.log = Unreadable(BufferPool(), bench.log.next_seq)
    bench.open()

    with pytest.raises(StorageError):
        bench.publish(1, delay_ns=SECOND_NS)
    assert bench.counts == (0, 0, 0)

    Unreadable.fails = False
    bench.channel.see(bench.log.ready_seq)
    assert bench.counts == (0, 0, 1)


class UnreadableFrom(ChunkQueue):
    """A log of which what lies from `stop` on cannot be read back."""

    stop = 0

    def record(self, sequence: int) -> bytes | None:
        if sequence >= self.stop:
            raise StorageError("read - Input/output error")
        return super().record(sequence)


def test_of_many_those_that_can_be_read_are_taken_and_the_line_ends_before_the_others(bench: Any) -> None:
    bench.log = UnreadableFrom(BufferPool(), bench.log.next_seq)
    bench.open()
    UnreadableFrom.stop = bench.log.next_seq + 700

    with pytest.raises(StorageError):
        bench.publish(1_000, delay_ns=SECOND_NS)
    taken = bench.channel.deferred_count
    assert 0 < taken <= 700
    assert bench.counts == (0, 0, taken)

    UnreadableFrom.stop += 1_000
    bench.channel.see(bench.log.ready_seq)
    assert bench.counts == (0, 0, 1_000)
