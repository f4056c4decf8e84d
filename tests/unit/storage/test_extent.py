"""Bytes and instants in a log: each answer is compared with what a walk over all records says."""

from collections.abc import Callable
from typing import Any

import pytest

from millstream.base.errors import StorageError
from millstream.protocol.chunks import BufferPool, ChunkQueue

HEADER = 34
SECOND_NS = 10**9
CHUNK_BYTES = 256 << 10

Measured = tuple[Any, dict[int, int], dict[int, int]]


def fill(log: Any, count: int) -> tuple[dict[int, int], dict[int, int]]:
    """Publish records of many sizes, one per second: bytes and instant of each."""
    sizes, instants = {}, {}
    for number in range(count):
        size = (1, 200, 3_000, 17_000)[number % 4]
        timestamp_ns = (number + 1) * SECOND_NS
        sizes[log.next_seq], instants[log.next_seq] = size + HEADER, timestamp_ns
        log.append(bytearray(size), 0, size, timestamp_ns)
        log.commit()
    return sizes, instants


@pytest.fixture(params=["memory", "log", "found again", "fsync"])
def measured(request: pytest.FixtureRequest, make_bench: Callable[..., Any]) -> Measured:
    if request.param == "memory":
        queue = ChunkQueue(BufferPool(), 1000)
        return queue, *fill(queue, 120)
    bench = make_bench(durability="fsync" if request.param == "fsync" else "log", segment_bytes_max=64 << 10)
    sizes, instants = fill(bench.log, 120)
    bench.sync()
    return bench.crash() if request.param == "found again" else bench.log, sizes, instants


def test_bytes_from_a_place_on_are_at_most_a_chunk_too_many(measured: Measured) -> None:
    log, sizes, _ = measured

    for sequence in sizes:
        exact = sum(size for found, size in sizes.items() if found >= sequence)
        assert exact <= log.bytes_from(sequence) <= exact + CHUNK_BYTES
    assert log.bytes_from(log.next_seq) == 0
    assert log.bytes_from(log.first_seq) == sum(sizes.values())


def test_bytes_of_what_is_in_memory_are_exact(bench: Any) -> None:
    sizes, _ = fill(bench.log, 40)
    hot = bench.log.chunks[0].base

    for sequence in range(hot, bench.log.next_seq):
        assert bench.log.bytes_from(sequence) == sum(size for found, size in sizes.items() if found >= sequence)


def test_the_place_of_so_many_bytes_is_exact(measured: Measured) -> None:
    log, sizes, _ = measured

    for size_bytes in (0, 1, 300, 17_034, 100_000, 300_000, 10_000_000):
        left = sum(sizes.values())
        expected = log.first_seq
        while left > size_bytes:
            left -= sizes[expected]
            expected += 1
        assert log.first_within(size_bytes) == expected


def test_the_place_of_an_instant_is_exact(measured: Measured) -> None:
    log, _, instants = measured

    for timestamp_ns in (0, SECOND_NS, SECOND_NS + 1, 60 * SECOND_NS, 119 * SECOND_NS + 5, 120 * SECOND_NS, 1 << 62):
        expected = next((found for found, ns in instants.items() if ns >= timestamp_ns), log.next_seq)
        assert log.first_since(timestamp_ns) == expected


def test_an_empty_log_has_nothing_anywhere(bench: Any) -> None:
    log = bench.log

    assert log.bytes_from(log.first_seq) == 0
    assert log.first_within(100) == log.first_since(5) == log.kept_from(log.next_seq, 1, 1) == log.next_seq


def test_what_is_kept_of_what_is_finished_are_whole_files(make_bench: Callable[..., Any]) -> None:
    bench = make_bench(segment_bytes_max=64 << 10)
    sizes, instants = fill(bench.log, 120)
    log = bench.log
    bases = [segment.base for segment in log.segments]
    floor = bases[-2] + 1
    bench.log.rest()

    by_size = log.kept_from(floor, 150_000, 0)
    by_age = log.kept_from(floor, 0, 60 * SECOND_NS)

    assert by_size in bases
    assert sum(size for found, size in sizes.items() if by_size <= found < bases[-2]) <= 150_000
    assert sum(size for found, size in sizes.items() if bases[bases.index(by_size) - 1] <= found < bases[-2]) > 150_000
    assert by_age in bases
    assert instants[bases[bases.index(by_age) + 1]] >= 60 * SECOND_NS
    assert instants[by_age] < 60 * SECOND_NS
    assert log.kept_from(floor, 150_000, 60 * SECOND_NS) == max(by_size, by_age)
    assert log.kept_from(floor, 1, 0) == log.kept_from(floor, 0, 1 << 62) == floor
    assert log.kept_from(floor, 1 << 40, 1) == bases[0]
    assert all(segment.is_sealed for segment in log.segments[:-1])


def test_files_are_bounded_by_size_and_by_age(make_bench: Callable[..., Any]) -> None:
    bench = make_bench(segment_bytes_max=1 << 20)
    bench.log.bound_files(40_000, 0)
    sizes, _ = fill(bench.log, 60)
    files_of_a_size = len(bench.log.segments)

    bench.log.bound_files(0, 61 * SECOND_NS)
    bench.publish(b"another")
    bench.commit()
    bench.log.bound_files(0, 1)
    bench.publish(b"and another")
    bench.commit()

    assert all(segment.size <= 2 * 40_000 for segment in bench.log.segments[:files_of_a_size])
    assert len(bench.log.segments) == files_of_a_size + 1
    assert len(sizes) + 2 == bench.log.next_seq - bench.log.first_seq
    assert bench.read(bench.log.segments[-1].base) == {
        bench.log.next_seq - 2: b"another",
        bench.log.next_seq - 1: b"and another",
    }
    bench.crash()
    assert len(bench.log.segments) == files_of_a_size + 1


def test_what_cannot_be_read_is_an_error(make_bench: Callable[..., Any]) -> None:
    bench = make_bench(segment_bytes_max=64 << 10)
    fill(bench.log, 120)
    bench.log.rest()
    bench.files.fail("read", times=50)

    with pytest.raises(StorageError):
        bench.log.first_since(5 * SECOND_NS)
    with pytest.raises(StorageError):
        bench.log.first_within(500_000)


def test_a_cut_log_counts_what_is_left(bench: Any) -> None:
    sizes, _ = fill(bench.log, 10)
    bench.publish(b"x" * 500)
    bench.files.fail("write")
    with pytest.raises(StorageError):
        bench.commit()

    bench.publish(b"y")
    bench.commit()

    assert bench.log.bytes_from(bench.log.first_seq) == sum(sizes.values()) + HEADER + 1
