"""Records in one buffer: appended, walked, found, read back from a file. Compiled and pure must agree."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import millstream
from millstream.protocol.chunk import Chunk, scan

BASE = 0xFF_FFFF
TIME_NS = 1_700_000_000_000_000_001
bodies = st.lists(st.tuples(st.binary(min_size=1, max_size=40), st.none() | st.integers(0, 1 << 62)), max_size=20)
Record = tuple[bytes, int | None]


def load_pure() -> Any:
    """The module's source, whether or not the imported one is compiled."""
    source = next(found for path in millstream.__path__ if (found := Path(path, "protocol", "chunk.py")).exists())
    spec = importlib.util.spec_from_file_location("pure_chunk", source)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


PURE = load_pure()


def filled(records: list[Record], capacity: int = 4096, kind: Any = Chunk) -> Any:
    chunk = kind(bytearray(capacity), BASE, 0)
    for body, due_ns in records:
        if due_ns is None:
            chunk.append(bytearray(b"##" + body), 2, len(body), TIME_NS)
        else:
            chunk.append_deferred(bytearray(b"##" + body), 2, len(body), TIME_NS, due_ns)
    return chunk


def frame(sequence: int, body: bytes, due_ns: int | None = None) -> bytes:
    tail = b"" if due_ns is None else due_ns.to_bytes(8, "big")
    mark = b"\0\0\0\2" if due_ns is None else b"\0\0\1\2"
    size = (30 + len(body) + len(tail)).to_bytes(4, "big")
    return size + mark + TIME_NS.to_bytes(8, "big") + b"\0\1" + b"%016x" % sequence + body + tail


@given(bodies)
def test_records_lie_behind_one_another_as_subscribers_receive_them(records: list[Record]) -> None:
    chunk = filled(records)

    data = b"".join(frame(BASE + place, *record) for place, record in enumerate(records))
    assert bytes(chunk.buffer[: chunk.used]) == data
    assert (chunk.end, chunk.used) == (BASE + len(records), len(data))


@given(bodies, st.lists(st.integers(0, 20), max_size=20))
def test_a_record_is_found_in_any_order(records: list[Record], order: list[int]) -> None:
    chunk = filled(records)

    for place in order:
        if place < len(records):
            assert chunk.record(BASE + place) == frame(BASE + place, *records[place])
            assert chunk.is_deferred(chunk.locate(BASE + place)) == (records[place][1] is not None)
    assert chunk.locate(chunk.end) == chunk.used


@given(st.lists(st.binary(min_size=1, max_size=60), min_size=1, max_size=20), st.integers(0, 1200))
def test_of_a_batch_as_much_is_taken_as_fits(batch: list[bytes], capacity: int) -> None:
    chunk = Chunk(bytearray(capacity), BASE, 0)
    data = bytearray(b"?" + b"".join(len(body).to_bytes(4, "big") + body for body in batch))

    taken = chunk.append_batch(data, 1, len(batch), TIME_NS)

    fitting = 0
    while fitting < len(batch) and sum(34 + len(body) for body in batch[: fitting + 1]) <= capacity:
        fitting += 1
    assert taken == fitting
    assert chunk.walked == 1 + sum(4 + len(body) for body in batch[:taken])
    assert bytes(data[:0]) + b"".join(frame(BASE + n, b) for n, b in enumerate(batch[:taken])) == bytes(
        memoryview(chunk.buffer or b"")[: chunk.used]
    )


@given(bodies, st.integers(0, 20), st.integers(0, 25), st.integers(0, 600))
def test_a_walk_ends_at_the_count_the_size_or_a_deferred_record(
    records: list[Record], start: int, count: int, size_bytes: int
) -> None:
    chunk = filled(records)
    start = min(start, len(records))
    at = chunk.locate(BASE + start)

    passed = chunk.walk(at, chunk.used, count, size_bytes)

    expected, length = 0, 0
    for body, due_ns in records[start:]:
        if expected == count or due_ns is not None or (expected > 0 and length >= size_bytes):
            break
        expected += 1
        length += 34 + len(body)
    assert (passed, chunk.walked) == (expected, at + length)


@given(bodies, st.integers(0, 100), st.integers(0, 25))
def test_what_is_read_back_are_whole_records_below_an_end(records: list[Record], cut: int, end: int) -> None:
    image = filled(records)
    size = max(0, image.used - cut)
    end = min(end, len(records))
    chunk = Chunk(bytearray(image.buffer), BASE, 0)

    chunk.adopt(size, BASE + end, image.locate(BASE + end))

    assert chunk.end <= BASE + end
    assert chunk.used == chunk.written == image.locate(chunk.end)
    if cut == 0:
        assert chunk.end == BASE + end


@given(bodies.filter(lambda found: len(found) > 1), st.data())
def test_nothing_damaged_is_read_back_nor_a_size_followed_that_leads_nowhere(
    records: list[Record], data: st.DataObject
) -> None:
    image = filled(records)
    victim = data.draw(st.integers(0, len(records) - 1))
    # Byte 6 may say either thing, and of the time any is possible.
    byte = image.locate(BASE + victim) + data.draw(st.sampled_from([*range(6), 7, *range(16, 34)]))
    end_at = image.used
    image.buffer[byte] ^= data.draw(st.integers(1, 255))
    chunk, pure = Chunk(image.buffer, BASE, 0), PURE.Chunk(image.buffer, BASE, 0)

    for one in (chunk, pure):
        one.adopt(end_at, BASE + len(records), end_at)

    assert victim - 1 <= chunk.end - BASE <= victim
    assert (chunk.used, chunk.end) == (pure.used, pure.end)


def test_a_chunk_that_was_let_go_is_dead() -> None:
    chunk = filled([(b"a", None)])
    buffer = chunk.buffer

    assert chunk.let_go() is buffer
    assert chunk.view is None
    assert chunk.let_go() is None


@given(bodies)
def test_a_scan_finds_every_sound_record(records: list[Record]) -> None:
    chunk = filled(records)

    deferred = [BASE + place for place, (_, due_ns) in enumerate(records) if due_ns is not None]
    assert scan(chunk.buffer, 0, chunk.used, BASE) == (chunk.used, BASE + len(records), deferred)


@given(bodies.filter(bool), st.data())
def test_a_scan_ends_at_the_first_spoilt_header(records: list[Record], data: st.DataObject) -> None:
    chunk = filled(records)
    victim = data.draw(st.integers(0, len(records) - 1))
    # Bytes 0 to 3 are the size, 8 to 15 the timestamp: any of these may be sound by accident.
    byte = chunk.locate(BASE + victim) + data.draw(st.sampled_from([4, 5, 7, *range(16, 34)]))
    chunk.buffer[byte] ^= data.draw(st.integers(1, 255))

    _, end, _ = scan(chunk.buffer, 0, chunk.used, BASE)

    assert end == BASE + victim


@given(bodies, st.integers(1, 90))
def test_a_scan_leaves_a_torn_record_out(records: list[Record], cut: int) -> None:
    chunk = filled(records)
    size = max(0, chunk.used - cut)

    used, end, _ = scan(chunk.buffer, 0, size, BASE)

    assert used == chunk.locate(end) <= size


@pytest.mark.parametrize("due_ns", [None, 5])
def test_a_scan_refuses_a_record_without_a_body(due_ns: int | None) -> None:
    chunk = filled([(b"", due_ns)])

    assert scan(chunk.buffer, 0, chunk.used, BASE) == (0, BASE, [])


@given(st.binary(max_size=200), st.integers(0, (1 << 62)))
def test_a_scan_of_anything_ends(data: bytes, sequence: int) -> None:
    image = bytearray(data)

    assert scan(image, 0, len(image), sequence) == PURE.scan(image, 0, len(image), sequence)


@given(bodies, st.integers(0, 20), st.integers(0, 25), st.integers(0, 600))
def test_compiled_and_pure_agree(records: list[Record], start: int, count: int, size_bytes: int) -> None:
    ours, pure = filled(records), filled(records, kind=PURE.Chunk)
    start = min(start, len(records))

    assert ours.buffer == pure.buffer
    assert (ours.used, ours.end) == (pure.used, pure.end)
    at = ours.locate(BASE + start)
    assert at == pure.locate(BASE + start)
    assert ours.walk(at, ours.used, count, size_bytes) == pure.walk(at, pure.used, count, size_bytes)
    assert ours.walked == pure.walked
    assert scan(ours.buffer, 0, ours.used, BASE) == PURE.scan(pure.buffer, 0, pure.used, BASE)


@given(bodies, st.integers(-10, 700), st.integers(0, 30))
def test_places_are_found_by_offset_and_by_instant(records: list[Record], offset: int, since: int) -> None:
    chunk = Chunk(bytearray(4096), BASE, 0)
    pure = PURE.Chunk(bytearray(4096), BASE, 0)
    offsets = []
    for place, (body, _) in enumerate(records):
        offsets.append(chunk.used)
        for each in (chunk, pure):
            each.append(bytearray(body), 0, len(body), TIME_NS + place)

    by_offset = next((place for place, at in enumerate(offsets) if at >= offset), len(records))

    assert chunk.first_from(offset) == pure.first_from(offset) == BASE + by_offset
    instant = TIME_NS + since
    assert chunk.first_since(instant) == pure.first_since(instant) == BASE + min(since, len(records))
