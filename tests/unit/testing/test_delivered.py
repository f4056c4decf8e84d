"""`testing.delivered`: whole frames come apart, a torn run is a contradiction."""

import pytest

from millstream.testing.delivered import messages_in
from millstream.testing.expectation import Contradiction


def frame(sequence: int, body: bytes) -> bytes:
    payload = bytes(8) + b"\0\2" + b"%016x" % sequence + body
    return (len(payload) + 4).to_bytes(4, "big") + b"\0\0\0\2" + payload


def test_each_message_has_its_sequence_its_attempts_and_its_body() -> None:
    assert list(messages_in(frame(7, b"a") + frame(8, b""))) == [(7, 2, b"a"), (8, 2, b"")]


@pytest.mark.parametrize("torn", [frame(7, b"abc")[:-1], b"\0\0\0\x20\0\0\0\0" + bytes(28)])
def test_a_torn_run_is_a_contradiction(torn: bytes) -> None:
    with pytest.raises(Contradiction, match="torn"):
        list(messages_in(torn))
