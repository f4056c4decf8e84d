import pytest

from millstream.torture.bodies import FILLER_BYTES_MAX, Content, make_body, read_body


@pytest.mark.parametrize("filler_bytes", [0, 1, 300, FILLER_BYTES_MAX])
def test_a_body_says_which_message_it_is(filler_bytes: int) -> None:
    body = make_body(1, 2, 3, delay_ms=4, filler_bytes=filler_bytes)

    assert read_body(body) == Content(run=1, topic=2, number=3, delay_ms=4)
    assert len(body) == 22 + filler_bytes


def test_a_body_that_changed_says_nothing() -> None:
    body = make_body(1, 2, 3, filler_bytes=50)

    for at in range(len(body)):
        changed = bytearray(body)
        changed[at] ^= 1
        assert read_body(bytes(changed)) is None
    for size in range(len(body)):
        assert read_body(body[:size]) is None
    assert read_body(body + b"x") is None
