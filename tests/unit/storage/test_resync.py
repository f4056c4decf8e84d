"""Walks over damaged files: what lies on both sides of the damage is found, and what lies in it is named."""

from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.protocol.chunk import Chunk
from millstream.storage.resync import Run, Span, beginnings, runs, walk
from millstream.testing import FaultyFiles
from millstream.testing.files import FaultyFile

BASE = 0x4E598B88DB
HEAD = b"h" * 64
bodies = st.lists(st.binary(min_size=1, max_size=80), min_size=6, max_size=30)


def image_of(found: Iterable[bytes], base: int = BASE) -> bytes:
    """Records as a segment has them, all of the bodies in this order."""
    data = bytearray()
    for place, body in enumerate(found):
        chunk = Chunk(bytearray(42 + len(body)), base + place, 0)
        chunk.append(bytearray(body), 0, len(body), 1_700_000_000_000_000_000)
        assert chunk.view is not None
        data += chunk.view[: chunk.used]
    return bytes(data)


def file_of(data: bytes) -> FaultyFile:
    files = FaultyFiles()
    files.overwrite("a", HEAD + data)
    return files.open("a")


def walked(data: bytes, anchor: int | None = None) -> list[Run | Span]:
    return list(walk(file_of(data), BASE, len(HEAD), len(HEAD) + len(data), anchor))


def served(parts: Iterable[Run | Span]) -> set[int]:
    """Places of the records that a walk finds."""
    return {place - BASE for part in parts if isinstance(part, Run) for place in range(part.start, part.end)}


@given(bodies)
def test_a_sound_file_is_one_run(found: list[bytes]) -> None:
    data = image_of(found)

    assert walked(data) == [Run(BASE, BASE + len(found), len(HEAD), len(HEAD) + len(data))]


@given(bodies, st.integers(0, 33), st.data())
def test_a_changed_byte_in_a_header_costs_one_record(found: list[bytes], byte: int, data: st.DataObject) -> None:
    found = [b"ten bytes." + body for body in found]
    victim = data.draw(st.integers(0, len(found) - 4))
    start = len(image_of(found[:victim]))
    image = bytearray(image_of(found))
    image[start + byte] ^= 1 if byte == 6 else data.draw(st.integers(1, 255))

    parts = walked(bytes(image))

    # The time of a message may be any, and whether it is deferred.
    lost = set() if byte == 6 or 8 <= byte < 16 else {victim}
    assert served(parts) == set(range(len(found))) - lost
    spans = [part for part in parts if isinstance(part, Span)]
    size = 34 + len(found[victim])
    assert spans == [Span(BASE + place, BASE + place + 1, 64 + start, 64 + start + size) for place in lost]


@given(bodies, st.integers(1, 300), st.binary(min_size=1, max_size=40), st.data())
def test_anything_over_anything_leaves_what_is_behind_it(
    found: list[bytes], size: int, junk: bytes, data: st.DataObject
) -> None:
    whole = image_of(found)
    tail = len(image_of(found[:-3]))
    start = data.draw(st.integers(0, tail - 1))
    end = min(start + size, tail)
    image = whole[:start] + (junk * size)[: end - start] + whole[end:]

    parts = walked(image)

    intact = {
        place
        for place in range(len(found))
        if len(image_of(found[:place])) >= end or len(image_of(found[: place + 1])) <= start
    }
    # A size that by chance leads on is believed: then nothing but the body has changed.
    assert intact <= served(parts)
    assert [part.until for part in parts][-1] == len(HEAD) + len(whole)
    for before, behind in pairwise(parts):
        assert (before.end, before.until) == (behind.start, behind.position)


@pytest.mark.parametrize("size", [31, 40, 60, 700, 2**20, 2**32 - 1])
def test_a_damaged_size_takes_only_its_own_record(size: int) -> None:
    found = [b"%d" % place * 10 for place in range(40)]
    start = len(image_of(found[:20]))
    image = bytearray(image_of(found))
    image[start : start + 4] = size.to_bytes(4, "big")

    assert served(walked(bytes(image))) == set(range(40)) - {20}


def test_a_torn_end_is_no_span() -> None:
    image = image_of([b"a"] * 10)

    parts = walked(image[:-3])

    assert served(parts) == set(range(9))
    assert all(isinstance(part, Run) for part in parts)


def test_where_the_end_is_known_the_last_records_are_missed() -> None:
    image = image_of([b"a"] * 10)

    parts = walked(image[:-70] + b"\0" * 70, anchor=BASE + 10)

    assert parts[-1] == Span(BASE + 8, BASE + 10, 64 + len(image) - 70, 64 + len(image))


def test_where_the_end_is_known_a_size_that_stops_short_is_found() -> None:
    found = [b"a" * 50] * 10
    image = bytearray(image_of(found))
    image[-84:-80] = (60).to_bytes(4, "big")

    assert served(walked(bytes(image), anchor=BASE + 10)) == set(range(9))


def test_a_body_that_holds_records_is_no_place_to_go_on() -> None:
    for first in (-10, 0, 1, 2, 3):
        copies = image_of([b"copy"] * 5, BASE + first)
        found = [b"x", copies, copies, b"y", b"z", b"z", b"z"]
        for victim in (1, 2, 3):
            image = bytearray(image_of(found))
            image[len(image_of(found[:victim])) + 20] ^= 0xFF

            assert served(walked(bytes(image))) == {*range(7)} - {victim}, (first, victim)


@pytest.mark.parametrize("offset", [-35, 7, 100_000_000])
def test_a_record_with_an_impossible_id_is_no_place_to_go_on(offset: int) -> None:
    image = image_of([b"a"] * 3) + b"\xff" * 40 + image_of([b"b"] * 3, BASE + 3 + offset)

    assert served(walked(image)) == {0, 1, 2}


def test_records_larger_than_a_buffer_are_walked_without_reading_them() -> None:
    found = [b"a", b"b" * (3 << 20), b"c", b"d" * (2 << 20)]
    image = image_of(found)

    assert served(walked(image)) == {0, 1, 2, 3}
    assert served(walked(image[:-1])) == {0, 1, 2}


def test_a_large_damaged_record_is_passed() -> None:
    found = [b"a", b"b" * (3 << 20), *[b"c"] * 5]
    image = bytearray(image_of(found))
    image[40] ^= 1

    assert served(walked(bytes(image))) == {0, 2, 3, 4, 5, 6}


def test_deferred_records_are_named_and_those_that_are_lost_are_not() -> None:
    chunk = Chunk(bytearray(1000), BASE, 0)
    for _ in range(8):
        chunk.append_deferred(bytearray(b"a"), 0, 1, 1, 2)
    image = bytearray(chunk.buffer or b"")[: chunk.used]
    image[chunk.locate(BASE + 3)] = 1

    parts = walked(bytes(image))

    deferred = [sequence - BASE for part in parts if isinstance(part, Run) for sequence in part.deferred]
    assert deferred == [0, 1, 2, 4, 5, 6, 7]


def test_runs_end_at_the_limit() -> None:
    image = image_of([b"a"] * 5)

    assert [run.end for run in runs(file_of(image), BASE, 64, 64 + 35 * 3)] == [BASE + 3]
    assert list(runs(file_of(image), BASE, 64, 64 + 20)) == []


@given(st.lists(st.binary(min_size=1, max_size=80), max_size=10), st.binary(max_size=50))
def test_every_beginning_is_found_whatever_lies_before(found: list[bytes], before: bytes) -> None:
    data = before + image_of(found)

    places = dict(beginnings(file_of(data), 0, 64 + len(data)))

    expected = {64 + len(before) + len(image_of(found[:place])): BASE + place for place in range(len(found))}
    assert expected.items() <= places.items()


def test_a_beginning_across_two_buffers_is_found_once() -> None:
    for shift in range(-36, 3):
        data = b"." * ((1 << 20) + shift) + image_of([b"a"])
        assert list(beginnings(file_of(data), 64, 64 + len(data))) == [(64 + (1 << 20) + shift, BASE)]
