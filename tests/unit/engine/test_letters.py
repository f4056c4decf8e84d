"""A dead letter is one JSON object that anybody can read, and that says everything needed to put the message back."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.engine.letters import (
    Client,
    Letter,
    LetterError,
    body_of,
    decode,
    encode,
)
from millstream.protocol.chunks import BufferPool, ChunkQueue

PUBLISHED_NS = 1_714_564_800_123_456_789
LETTER = Letter(
    topic="clicks",
    channel="archive",
    sequence=0x1F,
    attempts=5,
    first_ns=PUBLISHED_NS,
    last_ns=PUBLISHED_NS + 60 * 10**9,
    reason="max_attempts",
    event="requeue",
    client=Client(client_id="worker", hostname="worker.example", address="10.0.0.1:5000"),
    redriven=1,
    body=b'{"url":"http://x/?a=1&b=\xc3\xa9"}\n',
)


def test_a_letter_is_json_with_the_origin_and_the_body() -> None:
    data = encode(LETTER)

    assert b"\n" not in data
    assert json.loads(data) == {
        "origin": {
            "topic": "clicks",
            "channel": "archive",
            "id": "000000000000001f",
            "attempts": 5,
            "first_time": "2024-05-01T12:00:00.123456789Z",
            "last_time": "2024-05-01T12:01:00.123456789Z",
            "reason": "max_attempts",
            "last_event": "requeue",
            "last_client": {
                "client_id": "worker",
                "hostname": "worker.example",
                "address": "10.0.0.1:5000",
            },
            "redriven": 1,
        },
        "body": '{"url":"http://x/?a=1&b=\u00e9"}\n',
    }


def test_what_is_not_known_is_left_out_and_bytes_are_base64() -> None:
    letter = Letter(
        topic="t", channel="", sequence=1, attempts=0, first_ns=0, last_ns=1, reason="max_depth", body=b"\xff\0"
    )

    found = json.loads(encode(letter))

    assert found["body_base64"] == "/wA="
    assert found["origin"].keys() == {"topic", "id", "attempts", "first_time", "last_time", "reason", "redriven"}
    assert decode(encode(letter)) == letter


@given(
    st.binary(min_size=1, max_size=80),
    st.integers(0, (1 << 63) - 1),
    st.integers(0, 65_535),
    st.integers(0, 9 * 10**18),
    st.one_of(st.none(), st.builds(Client, client_id=st.text(), hostname=st.text(), address=st.text())),
)
def test_every_letter_is_read_back(
    body: bytes, sequence: int, attempts: int, first_ns: int, client: Client | None
) -> None:
    letter = Letter(
        topic="t",
        channel="c#ephemeral",
        sequence=sequence,
        attempts=attempts,
        first_ns=first_ns,
        last_ns=first_ns + 1,
        reason="max_age",
        client=client,
        body=body,
    )

    assert decode(encode(letter)) == letter


@given(st.recursive(st.none() | st.integers() | st.text(), lambda inner: st.dictionaries(st.text(), inner)))
def test_anything_else_is_no_letter(content: Any) -> None:
    with pytest.raises(LetterError):
        decode(json.dumps(content).encode())


@pytest.mark.parametrize(
    ("where", "value"),
    [
        ("topic", "no name"),
        ("channel", 5),
        ("id", "1f"),
        ("id", "8000000000000000"),
        ("id", "000000000000001F"),
        ("attempts", -1),
        ("attempts", True),
        ("first_time", "yesterday"),
        ("first_time", "1969-01-01T00:00:00.000000000Z"),
        ("first_time", "2024-13-01T00:00:00.000000000Z"),
        ("reason", None),
        ("last_client", "somebody"),
        ("last_client", {"client_id": "x"}),
        ("redriven", 1.5),
    ],
)
def test_a_letter_that_was_tampered_with_is_none(where: str, value: object) -> None:
    content = json.loads(encode(LETTER))
    content["origin"][where] = value

    with pytest.raises(LetterError):
        decode(json.dumps(content).encode())


@pytest.mark.parametrize("body", [{}, {"body": ""}, {"body": 5}, {"body_base64": "?"}, {"body_base64": 5}])
def test_a_letter_without_a_body_is_none(body: dict[str, object]) -> None:
    content = json.loads(encode(LETTER))
    del content["body"]

    with pytest.raises(LetterError):
        decode(json.dumps(content | body).encode())


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff", b"[" * 100_000])
def test_what_is_no_json_is_no_letter(data: bytes) -> None:
    with pytest.raises(LetterError):
        decode(data)


@pytest.mark.parametrize("is_deferred", [False, True])
def test_a_message_is_rebuilt_as_it_was_stored(is_deferred: bool) -> None:
    queue = ChunkQueue(BufferPool(), LETTER.sequence)
    data = bytearray(LETTER.body)
    if is_deferred:
        queue.append_deferred(data, 0, len(data), PUBLISHED_NS, PUBLISHED_NS + 5)
    else:
        queue.append(data, 0, len(data), PUBLISHED_NS)
    stored = queue.record(LETTER.sequence)
    assert stored is not None

    assert body_of(stored) == (LETTER.body, PUBLISHED_NS)
    if not is_deferred:
        assert LETTER.frame() == stored
