"""The shortener's web app: shortens links, redirects visitors, and publishes what happened.

A request becomes an event on the nsqd beside this service, and is answered only after that nsqd said OK: what a visitor
was told has been written.  While the nsqd restarts, the answer waits.
"""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from millstream.client import PublishFailed, Writer, WriterOptions
from millstream.demo.shortener import events
from millstream.demo.shortener.links import Links
from millstream.queuereader import logatron_client, options, settings

BODY_BYTES_MAX: Final = 16 * 1024
URL_CHARACTERS_MAX: Final = 2048
NAME_CHARACTERS_MAX: Final = 64
PUBLISH_DEADLINE_S: Final = 20.0
_PUBLISH_PAUSE_S: Final = 0.1
# Failures that pass: no connection, or an nsqd that cannot write just now.
_PASSING: Final = ("", "E_PUB_FAILED")

HELP: Final = """Millstream's reference system: a link shortener.

POST /shorten        {"url": "https://example.org/", "login": "you"}
GET  /<code>         redirects, and publishes a `clicks` event
POST /clicks         a click that another front end saw, published as it is
POST /spam/decision  {"link": "<code>", "spam": true, "by": "you"}
"""


class Publisher(Protocol):
    """What is needed of a Writer."""

    async def publish(self, topic: str, body: bytes) -> None:
        """Returns once the nsqd has the event, or raises PublishFailed."""
        ...


class ShortenerApi:
    """The handlers, around the database and the writer."""

    def __init__(self, links: Links, writer: Publisher, *, short_host: str, clicks_topic: str, spam_topic: str) -> None:
        """Opens nothing itself."""
        self._links = links
        self._writer = writer
        self._short_host = short_host
        self._clicks_topic = clicks_topic
        self._spam_topic = spam_topic

    async def help(self, request: Request) -> Response:
        """What can be asked here."""
        del request
        return PlainTextResponse(HELP)

    async def ping(self, request: Request) -> Response:
        """Says that the app is ready."""
        del request
        return PlainTextResponse("OK")

    async def shorten(self, request: Request) -> Response:
        """Stores a link and answers with its code."""
        body = await _json_body(request)
        url, login = _text(body, "url", URL_CHARACTERS_MAX), _text(body, "login", NAME_CHARACTERS_MAX, "anonymous")
        try:
            parts = urlsplit(url)
        except ValueError:
            parts = urlsplit("")
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise HTTPException(400, "url: expected an http or https address")
        link = await self._links.add(url, login)
        return JSONResponse({"code": link.code, "short_url": f"http://{self._short_host}/{link.code}"}, 201)

    async def redirect(self, request: Request) -> Response:
        """Sends the visitor on, once the click is published."""
        link = await self._links.find(request.path_params["code"])
        if link is None:
            raise HTTPException(404, "no such link")
        event_id = events.new_event_id()
        click = events.click(event_id, link, request.headers, short_host=self._short_host, now_s=int(time.time()))
        await self._publish(self._clicks_topic, events.encode(click))
        return RedirectResponse(link.url, 302, headers={"X-Event-Id": event_id, "Cache-Control": "no-store"})

    async def relay_click(self, request: Request) -> Response:
        """Publishes a click from another front end as it came: whether it makes sense is for its readers to say."""
        body = (await _body(request)).replace(b"\n", b" ")
        if not body:
            raise HTTPException(400, "the body is empty")
        await self._publish(self._clicks_topic, body)
        return JSONResponse({"published": self._clicks_topic})

    async def decide_spam(self, request: Request) -> Response:
        """Publishes that somebody decided about a link."""
        body = await _json_body(request)
        spam = body.get("spam")
        if not isinstance(spam, bool):
            raise HTTPException(400, "spam: expected true or false")
        link, source = _text(body, "link", NAME_CHARACTERS_MAX), _text(body, "by", NAME_CHARACTERS_MAX, "editor")
        event_id = events.new_event_id()
        decision = events.spam_decision(event_id, spam=spam, link=link, source=source, now_s=int(time.time()))
        await self._publish(self._spam_topic, events.encode(decision))
        return JSONResponse({"id": event_id}, headers={"X-Event-Id": event_id})

    async def _publish(self, topic: str, body: bytes) -> None:
        # The nsqd comes back within seconds when it is restarted; a visitor waits rather than losing the event.
        # An event that was written before the connection broke is written twice: its id tells.
        try:
            async with asyncio.timeout(PUBLISH_DEADLINE_S):
                while True:
                    try:
                        await self._writer.publish(topic, body)
                    except PublishFailed as error:
                        if error.code not in _PASSING:
                            raise HTTPException(503, "the event could not be written") from error
                        await asyncio.sleep(_PUBLISH_PAUSE_S)
                    else:
                        return
        except TimeoutError:
            raise HTTPException(503, "the event could not be written; try again") from None


def make_app(
    api: ShortenerApi, lifespan: Callable[[Starlette], AbstractAsyncContextManager[None]] | None = None
) -> Starlette:
    """The app around the handlers."""
    return Starlette(
        routes=[
            Route("/", api.help),
            Route("/ping", api.ping),
            Route("/shorten", api.shorten, methods=["POST"]),
            Route("/clicks", api.relay_click, methods=["POST"]),
            Route("/spam/decision", api.decide_spam, methods=["POST"]),
            Route("/{code:str}", api.redirect),
        ],
        lifespan=lifespan,
    )


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_BYTES_MAX:
            raise HTTPException(413, f"the body is longer than {BODY_BYTES_MAX} bytes")
    return bytes(body)


async def _json_body(request: Request) -> dict[str, Any]:
    try:
        value = json.loads(await _body(request))
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise HTTPException(400, "the body is no JSON object")
    return value


def _text(body: dict[str, Any], key: str, characters_max: int, default: str = "") -> str:
    value = body.get(key, default)
    if not isinstance(value, str) or not 0 < len(value) <= characters_max:
        raise HTTPException(400, f"{key}: expected a text of 1 to {characters_max} characters")
    return value


async def serve() -> None:
    """Runs the app until it is told to stop."""
    address = str(settings.get("http_address"))
    host, _, port = address.rpartition(":")
    links = await Links.open(Path(settings.get("data_dir")) / "shortener.db")
    writer = Writer([settings.get("nsqd_tcp_address")], options=WriterOptions(reconnect_delay_max_ms=1_000))
    api = ShortenerApi(
        links,
        writer,
        short_host=settings.get("short_host") or address,
        clicks_topic=settings.get("clicks_topic"),
        spam_topic=settings.get("spam_topic"),
    )

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with writer:
            yield
        await links.close()

    config = uvicorn.Config(
        make_app(api, lifespan),
        host=host,
        port=int(port),
        log_level="warning",
        lifespan="on",
        limit_concurrency=1000,
        timeout_graceful_shutdown=5,
    )
    await uvicorn.Server(config).serve()


if __name__ == "__main__":
    options.parse_command_line()
    logatron_client.setup()
    asyncio.run(serve())
