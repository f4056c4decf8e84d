"""Byte primitives. Compiled modules take their C twins from raw.pxd; test_chunk and test_parser compare those."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.protocol import raw

u32 = st.integers(0, (1 << 32) - 1)
u64 = st.integers(0, (1 << 64) - 1)


@given(u32, u64, st.integers(0, 5))
def test_what_is_put_is_got(small: int, large: int, at: int) -> None:
    data = bytearray(20)

    raw.put32(data, at, small)
    raw.put64(data, at + 4, large)

    assert (raw.get32(data, at), raw.get64(data, at + 4)) == (small, large)
    assert data[at : at + 12] == small.to_bytes(4, "big") + large.to_bytes(8, "big")


@given(st.integers(0, (1 << 63) - 1))
def test_an_id_is_its_sequence(sequence: int) -> None:
    data = bytearray(40)

    raw.put_header(data, 3, 5, 7, sequence)

    assert raw.get_id(data, 3 + 18) == sequence


def test_a_header_is_laid_out_as_nsq_has_it() -> None:
    data = bytearray(34)

    raw.put_header(data, 0, 5, 7, 0xABC)

    assert bytes(data) == bytes.fromhex("00000023 00000002 0000000000000007 0001") + b"0000000000000abc"


@pytest.mark.parametrize(
    "text",
    [b"000000000000000G", b"000000000000000A", b"8000000000000000", b"000", b" 00000000000000f", b"0x0000000000000f"],
)
def test_an_id_of_somebody_else_is_none_of_ours(text: bytes) -> None:
    assert raw.get_id(text.ljust(16, b"\n") if len(text) < 16 else text, 0) == -1


@given(st.binary(max_size=30), st.integers(0, 30), st.integers(0, 30), st.sampled_from([bytes, bytearray, memoryview]))
def test_a_newline_is_found_within_bounds(data: bytes, at: int, end: int, kind: type) -> None:
    end = min(end, len(data))
    expected = next((place for place in range(at, end) if data[place] == 10), -1)

    assert raw.find_newline(kind(data), at, end) == expected


def test_a_part_is_compared_whole() -> None:
    assert raw.same(b"xPUBx", 1, 3, b"PUB")
    assert not raw.same(b"xPUBx", 1, 3, b"PU")
    assert not raw.same(b"xPUBx", 1, 2, b"PUB")
    assert not raw.same(b"xPU", 1, 3, b"PUB")


def test_a_part_is_copied_between_buffers() -> None:
    target = bytearray(6)

    raw.copy(target, 2, memoryview(b"abcdef"), 1, 3)

    assert target == b"\0\0bcd\0"


@given(st.integers(0, (1 << 63) - 1), st.integers(1, 1 << 20), st.booleans())
def test_a_stored_record_is_known_by_its_header(sequence: int, size: int, is_deferred: bool) -> None:
    data = bytearray(40)
    raw.put_header(data, 3, size + 8 * is_deferred, 7, sequence)
    data[3 + 6] = is_deferred

    assert raw.is_stored(data, 3, sequence)
    assert not raw.is_stored(data, 3, (sequence + 1) % (1 << 63))
    for byte, change in ((4, 1), (5, 1), (6, 2), (7, 1), (16, 1), (17, 1), (20, 0x20)):
        data[3 + byte] ^= change
        assert not raw.is_stored(data, 3, sequence)
        data[3 + byte] ^= change


@pytest.mark.parametrize(("mark", "smallest"), [(0, 31), (1, 39)])
def test_a_stored_record_has_a_body(mark: int, smallest: int) -> None:
    for size in (smallest - 1, smallest):
        data = bytearray(34)
        raw.put_header(data, 0, size - 30, 7, 5)
        data[6] = mark

        assert raw.is_stored(data, 0, 5) == (size == smallest)
