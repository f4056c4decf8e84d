"""Frames are read apart from the product's own decoder, and checked."""

import pytest

from millstream.bench import wire
from millstream.bench.wire import LoadFailed


def test_whole_frames_are_walked_and_the_rest_is_left() -> None:
    data = bytearray(wire.response(b"OK") + wire.response(b"CLOSE_WAIT")[:-1])

    assert list(wire.frames(data, 0, len(data))) == [(wire.RESPONSE, 8, 10)]


@pytest.mark.parametrize("size", [0, 3, 1 << 30])
def test_a_frame_of_an_impossible_size_is_refused(size: int) -> None:
    data = bytearray(size.to_bytes(4, "big") + bytes(4))

    with pytest.raises(LoadFailed, match="frame of"):
        list(wire.frames(data, 0, len(data)))


def test_what_the_broker_said_is_shown_short() -> None:
    assert wire.readable(b"E_BAD") == "b'E_BAD'"
    assert len(wire.readable(bytes(1000))) < 1000
