"""The header of a message, in both directions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.base.errors import UsageError
from millstream.protocol.message import MESSAGE_HEADER_BYTES, BadFrame, Message, decode_message, encode_message

ID = b"0123456789abcdef"


def values(message: Message) -> tuple[bytes, bytes, int, int]:
    return message.id, message.body, message.timestamp_ns, message.attempts


@given(
    st.binary(min_size=16, max_size=16),
    st.binary(max_size=60),
    st.integers(-(2**63), 2**63 - 1),
    st.integers(0, 65_535),
)
def test_an_encoded_message_is_decoded_to_the_same(
    message_id: bytes, body: bytes, timestamp_ns: int, attempts: int
) -> None:
    decoded = decode_message(encode_message(Message(message_id, body, timestamp_ns, attempts)))

    assert values(decoded) == (message_id, body, timestamp_ns, attempts)


@given(st.binary(max_size=60))
def test_any_bytes_are_a_message_or_too_short_for_one(payload: bytes) -> None:
    if len(payload) < MESSAGE_HEADER_BYTES:
        with pytest.raises(BadFrame):
            decode_message(payload)
    else:
        assert encode_message(decode_message(payload)) == payload


@pytest.mark.shows("nsqd: a message: timestamp, attempts, id, body")
def test_a_message_has_exactly_the_bytes_of_nsq() -> None:
    message = Message(ID, b"body", 0x0102030405060708, 3)

    assert encode_message(message) == bytes.fromhex("0102030405060708 0003") + ID + b"body"


@pytest.mark.parametrize(
    ("message_id", "timestamp_ns", "attempts"),
    [(b"short", 1, 1), (ID + b"0", 1, 1), (ID, 1, 65_536), (ID, 1, -1)],
)
def test_a_value_that_does_not_fit_its_field_is_refused(message_id: bytes, timestamp_ns: int, attempts: int) -> None:
    message = Message(message_id, b"", timestamp_ns, attempts)

    with pytest.raises(UsageError):
        encode_message(message)


def test_two_deliveries_of_one_message_are_not_equal() -> None:
    assert Message(ID, b"", 1, 1) != Message(ID, b"", 1, 1)


def test_a_message_shows_its_size_and_not_its_body() -> None:
    assert repr(Message(ID, b"secret", 1, 2)) == "<Message id=b'0123456789abcdef' attempts=2 body=6 bytes>"
