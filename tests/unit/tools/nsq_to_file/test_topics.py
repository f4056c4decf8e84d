import asyncio

import pytest

from millstream.base.errors import UsageError
from millstream.net.http import HttpServer, Request, Response, Router
from millstream.net.http_client import HttpClient
from millstream.net.listener import listen
from millstream.tools.nsq_to_file.topics import TopicsFailed, find_topics, read_topics, topics_urls


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("127.0.0.1:4161", "http://127.0.0.1:4161/topics"),
        ("https://lookup.example.org:443/lookup", "https://lookup.example.org:443/topics"),
    ],
)
def test_the_url_is_made_from_an_address_or_a_url(address: str, url: str) -> None:
    assert topics_urls([address]) == [url]


def test_an_address_of_no_use_is_refused() -> None:
    with pytest.raises(UsageError):
        topics_urls(["nowhere"])


def test_names_that_no_topic_has_are_left_out() -> None:
    assert read_topics(b'{"topics":["a","b#ephemeral","../x","",7,null]}') == {"a", "b#ephemeral"}


def test_the_answer_of_an_old_nsqlookupd_is_read() -> None:
    assert read_topics(b'{"status_code":200,"data":{"topics":["a"]}}') == {"a"}


def test_no_topics_may_be_null() -> None:
    assert read_topics(b'{"topics":null}') == frozenset()


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"topics":7}', b'{"data":[]}', b"[" * 10_000, b"\xff"])
def test_an_answer_of_another_shape_is_an_error(body: bytes) -> None:
    with pytest.raises(TopicsFailed):
        read_topics(body)


async def test_one_nsqlookupd_that_fails_does_not_hide_the_others() -> None:
    async def topics(_: Request) -> Response:
        return Response(body=b'{"topics":["clicks"]}')

    router = Router()
    router.add("GET", "/topics", topics)
    server = HttpServer(router)
    listener = await listen("127.0.0.1:0", server.protocol)

    async with asyncio.timeout(20), HttpClient() as http:
        good = f"http://{listener.address}"
        found = await find_topics(http, ["http://127.0.0.1:1/topics", f"{good}/nothing", f"{good}/topics"])
    listener.close()
    await listener.wait_closed()
    await server.close()

    assert found == {"clicks"}
