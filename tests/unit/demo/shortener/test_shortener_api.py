import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from starlette.types import Message

from millstream.client import PublishFailed
from millstream.demo.shortener.links import Links
from millstream.demo.shortener.shortener_api import BODY_BYTES_MAX, ShortenerApi, make_app


class Nsqd:
    """Where events go; refuses some of them first."""

    def __init__(self) -> None:
        self.published: list[tuple[str, bytes]] = []
        self.refusals: list[str] = []

    async def publish(self, topic: str, body: bytes) -> None:
        if self.refusals:
            raise PublishFailed("refused", code=self.refusals.pop(0))
        self.published.append((topic, body))


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


class Client:
    """Asks the app as a web server would."""

    def __init__(self, links: Links, nsqd: Nsqd) -> None:
        api = ShortenerApi(links, nsqd, short_host="mill.st", clicks_topic="clicks", spam_topic="spam_api")
        self._app = make_app(api)
        self.nsqd = nsqd

    async def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> Answer:
        sent: list[Message] = []
        chunks = [body[start : start + 1000] for start in range(0, len(body), 1000)] or [b""]

        async def receive() -> Message:
            chunk = chunks.pop(0)
            return {"type": "http.request", "body": chunk, "more_body": bool(chunks)}

        async def send(message: Message) -> None:
            sent.append(message)

        scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": b"",
            "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
        }
        async with asyncio.timeout(20):
            await self._app(scope, receive, send)
        found = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        return Answer(sent[0]["status"], found, b"".join(message.get("body", b"") for message in sent[1:]))


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    links = await Links.open(tmp_path / "shortener.db")
    yield Client(links, Nsqd())
    await links.close()


async def _shortened(client: Client) -> str:
    answer = await client.ask("POST", "/shorten", b'{"url": "http://a.example/x", "login": "me"}')
    assert answer.status == 201
    return str(json.loads(answer.body)["code"])


async def test_a_redirect_publishes_a_click_before_it_answers(client: Client) -> None:
    code = await _shortened(client)

    answer = await client.ask("GET", f"/{code}", user_agent="Mozilla")

    assert answer.status == 302
    assert answer.headers["location"] == "http://a.example/x"
    ((topic, body),) = client.nsqd.published
    event = json.loads(body)
    assert topic == "clicks"
    assert (event["id"], event["u"], event["a"]) == (answer.headers["x-event-id"], "http://a.example/x", "Mozilla")


async def test_a_click_waits_while_the_nsqd_restarts(client: Client) -> None:
    code = await _shortened(client)
    client.nsqd.refusals = ["", "E_PUB_FAILED"]

    assert (await client.ask("GET", f"/{code}")).status == 302
    assert len(client.nsqd.published) == 1


async def test_an_event_that_the_nsqd_will_never_take_is_an_error(client: Client) -> None:
    code = await _shortened(client)
    client.nsqd.refusals = ["E_BAD_TOPIC"]

    assert (await client.ask("GET", f"/{code}")).status == 503
    assert client.nsqd.published == []


async def test_an_unknown_code_publishes_nothing(client: Client) -> None:
    assert (await client.ask("GET", "/nothing")).status == 404
    assert client.nsqd.published == []


async def test_a_click_of_another_front_end_is_published_as_one_line(client: Client) -> None:
    assert (await client.ask("POST", "/clicks", b'{"id":"x"\n broken')).status == 200
    assert client.nsqd.published == [("clicks", b'{"id":"x"  broken')]


async def test_a_spam_decision_is_an_event(client: Client) -> None:
    answer = await client.ask("POST", "/spam/decision", b'{"link": "abc", "spam": true, "by": "me"}')

    ((topic, body),) = client.nsqd.published
    event = json.loads(body)
    assert topic == "spam_api"
    assert (event["id"], event["o"], event["l"], event["bl"]) == (answer.headers["x-event-id"], "+", "abc", "me")


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/shorten", b"", 400),
        ("/shorten", b"[]", 400),
        ("/shorten", b"[" * 5000, 400),
        ("/shorten", b'{"url": 1}', 400),
        ("/shorten", b'{"url": "ftp://a.example/"}', 400),
        ("/shorten", b'{"url": "http://[bad/"}', 400),
        ("/shorten", b'{"url": "http://a.example/", "login": ""}', 400),
        ("/clicks", b"", 400),
        ("/clicks", b"x" * (BODY_BYTES_MAX + 1), 413),
        ("/spam/decision", b'{"link": "abc"}', 400),
        ("/spam/decision", b'{"link": "abc", "spam": 1}', 400),
    ],
)
async def test_a_body_of_no_use_is_refused(client: Client, path: str, body: bytes, status: int) -> None:
    assert (await client.ask("POST", path, body)).status == status
    assert client.nsqd.published == []


async def test_ping_and_help_answer(client: Client) -> None:
    assert (await client.ask("GET", "/ping")).body == b"OK"
    assert b"/shorten" in (await client.ask("GET", "/")).body
