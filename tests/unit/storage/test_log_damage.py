"""A log whose files are damaged behind its back: what is read later is either what was published, or left out."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from millstream.base.errors import StorageError
from millstream.protocol.chunks import Cursor
from millstream.storage.contents import SEGMENT_HEADER_BYTES

DIRECTORY = "data/clicks.topic"
SIZES = (10, 300, 3_000)
RECORDS = 240


def body(number: int) -> bytes:
    return (b"%d," % number * 800)[: SIZES[number % 3]]


def at(base: int, sequence: int) -> int:
    """Where a record lies in a segment."""
    return SEGMENT_HEADER_BYTES + sum(34 + len(body(number)) for number in range(base, sequence))


def filled(make_bench: Callable[..., Any], *, durability: str = "log") -> Any:
    """A log with some segments, started again: all of them are finished, and nothing of them is in memory."""
    bench = make_bench(durability=durability)
    for number in range(bench.origin, bench.origin + RECORDS):
        bench.publish(body(number))
        if number % 3 == 0:
            bench.commit()
    bench.commit()
    bench.sync()
    bench.restart()
    assert len(bench.segments()) >= 3
    return bench


def spoil(bench: Any, sequence: int, byte: int, change: int) -> int:
    """Change a byte of a record in its file; where the record lies."""
    base = max(int(name[:16], 16) for name in bench.segments() if int(name[:16], 16) <= sequence)
    path = f"{DIRECTORY}/{base:016x}.seg"
    data = bytearray(bench.files.read(path))
    place = at(base, sequence)
    data[place + byte] ^= change
    bench.files.overwrite(path, bytes(data))
    return place


def served(bench: Any) -> dict[int, bytes]:
    """Every frame that a channel gets, by the sequence it has in it, through slices of a few hundred bytes."""
    cursor = Cursor(bench.log.first_seq)
    found: dict[int, bytes] = {}
    while cursor.sequence < bench.log.ready_seq:
        sequence = cursor.sequence
        part = bench.log.slice(cursor, bench.log.ready_seq - sequence, 700)
        if part is None:
            cursor.move(max(bench.log.skip(sequence), sequence + 1))
            continue
        data = bytes(part)
        while data:
            size = 4 + int.from_bytes(data[:4], "big")
            found[int(data[18:34], 16)] = data[34:size]
            data = data[size:]
        bench.pool.turn()
    return found


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, RECORDS - 2), st.integers(0, 43), st.integers(1, 255)), max_size=4))
def test_a_read_steps_over_what_is_no_record_and_serves_the_rest(
    make_bench: Callable[..., Any], changes: list[tuple[int, int, int]]
) -> None:
    bench = filled(make_bench)
    hit: set[int] = set()
    for place, byte, change in changes:
        sequence = bench.origin + place
        hit.add(sequence)
        spoil(bench, sequence, byte, change)

    found = served(bench)

    # Two damaged records in a row, or next to the end of what a walk trusts, may hide the one between them.
    near = {sequence + step for sequence in hit for step in (-2, -1, 0, 1, 2)} if len(hit) > 1 else hit
    assert {sequence: text for sequence, text in found.items() if sequence not in hit} == {
        sequence: text
        for sequence, text in bench.accepted.items()
        if sequence not in hit and (sequence in found or sequence not in near)
    }


@pytest.mark.parametrize("byte", [0, 1, 2, 3, 7, 17, 18, 33])
@pytest.mark.parametrize("number", [1000, 1001, 1007, 1100, 1237])
def test_one_damaged_header_costs_one_record_is_set_aside_and_told(
    make_bench: Callable[..., Any], number: int, byte: int
) -> None:
    bench = filled(make_bench)
    told: list[Any] = []
    bench.log.on_damage = told.append
    place = spoil(bench, number, byte, 0x55)

    found = served(bench)

    assert found == {sequence: text for sequence, text in bench.accepted.items() if sequence != number}
    (damage,) = told
    assert (damage.kind, damage.mark[16:]) == ("records", f".seg.bad-{place}")
    assert len(bench.files.read(f"{DIRECTORY}/{damage.mark}")) == 34 + len(body(number))
    assert bench.log.gaps == [(number, number + 1)]
    assert bench.log.record(number) is None
    assert bench.log.record(number + 1) is not None
    assert served(bench) == found
    assert len(told) == 1


def test_a_size_that_would_take_the_memory_is_not_followed(make_bench: Callable[..., Any]) -> None:
    bench = make_bench(segment_bytes_max=64 << 20, cold_chunks_max=4)
    for number in range(bench.origin, bench.origin + RECORDS):
        bench.publish(body(number))
    bench.publish(b"large" * (3 << 20))
    bench.publish(b"end")
    bench.commit()
    bench.restart()
    spoil(bench, bench.origin + 100, 1, 0x80)

    found = served(bench)

    assert set(bench.accepted) - set(found) == {bench.origin + 100}
    assert found[bench.origin + RECORDS] == b"large" * (3 << 20)


def test_a_disk_that_cannot_be_read_is_no_damage(make_bench: Callable[..., Any]) -> None:
    bench = filled(make_bench)
    bench.files.fail("read", times=100)

    with pytest.raises(StorageError, match="read"):
        bench.log.find(bench.origin)

    bench.files.heal()
    assert served(bench) == bench.accepted
    assert bench.log.gaps == []


def test_damage_found_while_reading_is_told_at_the_next_start_until_it_is_acknowledged(
    make_bench: Callable[..., Any],
) -> None:
    bench = filled(make_bench)
    spoil(bench, bench.origin + 7, 20, 1)
    served(bench)
    (aside,) = [name for name in bench.files.names(DIRECTORY) if ".bad" in name]

    bench.crash()
    assert [(damage.kind, damage.mark) for damage in bench.log.recovered.damage] == [("records", aside)]

    bench.files.rename(f"{DIRECTORY}/{aside}", f"{DIRECTORY}/{aside}.ack")
    bench.crash()
    served(bench)
    assert bench.log.recovered.damage == []
    assert bench.log.gaps == [(bench.origin + 7, bench.origin + 8)]


def test_a_full_disk_does_not_keep_a_read_from_going_on(make_bench: Callable[..., Any]) -> None:
    bench = filled(make_bench)
    spoil(bench, bench.origin + 7, 20, 1)
    bench.files.capacity_bytes = bench.files.used_bytes

    found = served(bench)

    assert set(bench.accepted) - set(found) == {bench.origin + 7}
    assert "could not be copied" in bench.log.recovered.notes[0]


def test_a_segment_of_which_nothing_is_left_is_passed(make_bench: Callable[..., Any]) -> None:
    bench = filled(make_bench)
    name, following = bench.segments()[1:3]
    data = bench.files.read(f"{DIRECTORY}/{name}")
    bench.files.overwrite(f"{DIRECTORY}/{name}", data[:SEGMENT_HEADER_BYTES] + bytes(len(data) - SEGMENT_HEADER_BYTES))

    found = served(bench)

    lost = range(int(name[:16], 16), int(following[:16], 16))
    assert set(bench.accepted) - set(found) == set(lost)


def test_with_checksums_what_a_start_found_damaged_is_not_read_either(make_bench: Callable[..., Any]) -> None:
    bench = filled(make_bench, durability="fsync")
    spoil(bench, bench.origin + 101, 40, 1)
    spoil(bench, bench.origin + 7, 40, 1)

    bench.crash()
    found = served(bench)

    lost = set(bench.accepted) - set(found)
    assert {bench.origin + 101, bench.origin + 7} <= lost
    assert len(lost) <= 6
    assert all(found[sequence] == bench.accepted[sequence] for sequence in found)
