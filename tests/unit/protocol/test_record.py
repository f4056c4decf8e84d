"""The two changes ever made to a stored frame."""

from hypothesis import given
from hypothesis import strategies as st

from millstream.protocol.chunk import Chunk
from millstream.protocol.record import redelivered, undeferred

bodies = st.binary(min_size=1, max_size=100)


def stored(body: bytes, due_ns: int | None = None) -> bytes:
    chunk = Chunk(bytearray(300), 77, 0)
    if due_ns is None:
        chunk.append(bytearray(body), 0, len(body), 5)
    else:
        chunk.append_deferred(bytearray(body), 0, len(body), 5, due_ns)
    return chunk.record(77)


@given(bodies, st.integers(1, 65535))
def test_a_redelivery_differs_in_its_attempts_alone(body: bytes, attempts: int) -> None:
    frame = stored(body)

    again = redelivered(frame, attempts)

    assert again[16:18] == attempts.to_bytes(2, "big")
    assert again[:16] + b"\0\1" + again[18:] == frame


@given(bodies, st.integers(0, (1 << 63) - 1))
def test_a_deferred_record_becomes_the_frame_of_a_plain_one(body: bytes, due_ns: int) -> None:
    assert undeferred(stored(body, due_ns)) == (stored(body), due_ns)


@given(bodies)
def test_a_plain_record_is_due_at_once(body: bytes) -> None:
    assert undeferred(stored(body)) == (stored(body), 0)
