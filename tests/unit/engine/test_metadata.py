import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.engine.metadata import MetadataError, TopicMetadata, decode, encode


def test_the_file_is_what_nsq_writes() -> None:
    topics = [TopicMetadata("u", paused=True), TopicMetadata("t", channels={"ch": False})]

    assert encode(topics) == (
        b'{"topics":[{"name":"t","paused":false,"channels":[{"name":"ch","paused":false}]},'
        b'{"name":"u","paused":true,"channels":null}],"version":"1.3.0"}'
    )
    assert encode([]) == b'{"topics":null,"version":"1.3.0"}'


def test_ephemeral_topics_and_channels_are_left_out() -> None:
    topics = [TopicMetadata("t#ephemeral"), TopicMetadata("t", channels={"c#ephemeral": False, "c": True})]

    assert decode(encode(topics)) == [TopicMetadata("t", channels={"c": True})]


@pytest.mark.parametrize("topics", ["[]", "null", None])
def test_no_topics_may_be_written_in_three_ways(topics: str | None) -> None:
    text = "{}" if topics is None else f'{{"topics":{topics}}}'

    assert decode(text.encode()) == []


def test_entries_with_invalid_names_are_skipped() -> None:
    text = {"topics": [{"name": "a b"}, {"name": 5}, {}, 7, {"name": "t", "channels": [{"name": "!"}, {"name": "c"}]}]}

    assert decode(json.dumps(text).encode()) == [TopicMetadata("t", channels={"c": False})]


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"7", b'{"topics":7}', b'{"topics":[{"name":"t","channels":{}}]}'])
def test_what_cannot_be_used_is_said(data: bytes) -> None:
    with pytest.raises(MetadataError):
        decode(data)


def test_deep_nesting_is_an_error_and_no_crash() -> None:
    with pytest.raises(MetadataError):
        decode(b'{"topics":' + b"[" * 100_000)


names = st.from_regex(r"[.a-zA-Z0-9_-]{1,20}", fullmatch=True)


@given(st.dictionaries(names, st.tuples(st.booleans(), st.dictionaries(names, st.booleans(), max_size=4)), max_size=5))
def test_what_was_written_is_read(content: dict[str, tuple[bool, dict[str, bool]]]) -> None:
    topics = [TopicMetadata(name, paused, channels) for name, (paused, channels) in sorted(content.items())]

    assert decode(encode(topics)) == topics


@given(st.binary(max_size=200))
def test_random_bytes_are_topics_or_an_error(data: bytes) -> None:
    try:
        decode(data)
    except MetadataError:
        return
