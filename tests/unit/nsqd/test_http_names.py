"""What a request names is there, or the answer says in NSQ's words what is not."""

from typing import Any

import pytest

from millstream.net.http import HttpError, Request
from millstream.nsqd.http_names import argument, id_of, name_argument, sequence_of, topic_and_channel, topic_and_name


@pytest.mark.parametrize(
    ("query", "answer"),
    [
        ("", "400 MISSING_ARG_TOPIC"),
        ("topic=a b&channel=c", "400 INVALID_ARG_TOPIC"),
        ("topic=t", "400 MISSING_ARG_CHANNEL"),
        ("topic=t&channel=%21", "400 INVALID_ARG_CHANNEL"),
        ("topic=other&channel=c", "404 TOPIC_NOT_FOUND"),
        ("topic=t&channel=other", "404 CHANNEL_NOT_FOUND"),
    ],
)
async def test_what_is_missing_is_said_in_nsqs_words(start: Any, query: str, answer: str) -> None:
    async with start() as one:
        one.host.channel(one.host.topic("t"), "c")

        with pytest.raises(HttpError, match=answer):
            topic_and_channel(one.host, Request("GET", "/", query))


async def test_topic_and_channel_are_found(start: Any) -> None:
    async with start() as one:
        topic = one.host.topic("t")
        channel = one.host.channel(topic, "c")

        assert topic_and_channel(one.host, Request("GET", "/", "topic=t&channel=c")) == (topic, channel)
        assert topic_and_name(one.host, Request("GET", "/", "topic=t&channel=new")) == (topic, "new")


def test_arguments_are_taken_from_the_query() -> None:
    request = Request("GET", "/", "a=1&name=clicks")

    assert argument(request, "a") == "1"
    assert name_argument(request, "name") == "clicks"
    with pytest.raises(HttpError, match="400 MISSING_ARG_B"):
        argument(request, "b")


@pytest.mark.parametrize(
    "message_id", ["", "1", "00000000000003EG", "00000000000003e80", "ffffffffffffffff", "\u0663" * 16]
)
def test_what_is_no_id_is_refused(message_id: str) -> None:
    with pytest.raises(HttpError, match="400 INVALID_ARG_ID"):
        sequence_of(message_id)


def test_an_id_is_the_sequence_in_hex() -> None:
    assert (sequence_of("00000000000003e8"), id_of(1000)) == (1000, "00000000000003e8")
