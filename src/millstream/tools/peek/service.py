"""Asks an nsqd for pages of messages and writes them as lines of text, or of JSON.

`cli.peek` runs it; `tools.nsqd_api` asks. Nothing at nsqd changes.
"""

from collections.abc import AsyncIterator, Callable
from typing import Any, Final

import msgspec

from millstream.base.errors import MillstreamError
from millstream.net.http_client import HttpClient
from millstream.protocol.bodies import body_of
from millstream.tools.nsqd_api import NsqdApi, Refused
from millstream.tools.peek.options import PeekOptions

_PAGE: Final = 500
_SHOWN_CHARACTERS: Final = 100

Write = Callable[[str], object]


async def show(options: PeekOptions, topic: str, channel: str, write: Write, complain: Write) -> int:
    """Write what was asked for; without a channel, what the topic's log has. The exit status: 0, or 1 with a reason."""
    async with HttpClient() as http:
        nsqd = NsqdApi(http, options.nsqd_http_address, options.http_token)
        count = 0
        try:
            async for message in messages(nsqd, options, topic, channel):
                write(_json(message) if options.json else _line(message))
                count += 1
        except MillstreamError as error:
            complain(f"millstream peek: {error}\n")
            return 1
    if not count:
        complain("millstream peek: no such messages\n")
    return 0


async def messages(nsqd: NsqdApi, options: PeekOptions, topic: str, channel: str) -> AsyncIterator[dict[str, Any]]:
    """Messages in order of their ids, page by page. Raises `Refused`."""
    path = "/channel/peek" if channel else "/topic/peek"
    query = {"topic": topic, "body": "true" if options.body else "false"}
    given = {"channel": channel, "state": options.state, "from": options.since, "to": options.until, "id": options.id}
    query |= {name: value for name, value in given.items() if value}
    left = options.limit
    while True:
        query["limit"] = str(min(left or _PAGE, _PAGE))
        page = await nsqd.get(path, query)
        found, following = page.get("messages"), page.get("next")
        if not isinstance(found, list) or not isinstance(following, str | None):
            raise Refused(f"{nsqd.address} answered no page of messages")
        for message in found:
            yield message
        if options.limit:
            left -= len(found)
            if left <= 0:
                return
        if following is None:
            return
        query["start"] = following


def _json(message: dict[str, Any]) -> str:
    return msgspec.json.encode(message).decode() + "\n"


def _line(message: dict[str, Any]) -> str:
    words = [str(message.get("id")), f"{message.get('state', ''):<9}", str(message.get("time"))]
    words.append(f"attempts={message.get('attempts')}")
    if "due_time" in message:
        words.append(f"due={message['due_time']}")
    client = message.get("client")
    if isinstance(client, dict):
        words.append(f"client={client.get('client_id')}@{client.get('remote_address')}")
    if "body" in message or "body_base64" in message:
        words.append(_shown(body_of(message)))
    else:
        words.append(f"{message.get('body_bytes')} bytes")
    return "  ".join(words) + "\n"


def _shown(body: bytes) -> str:
    """The beginning of a body, fit for a terminal whatever it holds."""
    text = body[: 4 * _SHOWN_CHARACTERS].decode("utf-8", "backslashreplace")
    shown = text if text.isprintable() else text.encode("unicode_escape").decode("ascii")
    return shown if len(shown) <= _SHOWN_CHARACTERS else f"{shown[:_SHOWN_CHARACTERS]}... ({len(body)} bytes)"
