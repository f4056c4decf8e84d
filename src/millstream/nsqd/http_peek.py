"""`/channel/peek` and `/topic/peek`: looks at messages without taking them, a page at a time.

`nsqd.http` routes the requests here; `engine.peeking` finds the messages.
"""

from typing import Any, Final

from millstream.base.errors import StorageError
from millstream.base.instants import parse_instant_ns
from millstream.base.log import get_logger
from millstream.base.rfc3339 import format_rfc3339
from millstream.engine import peeking
from millstream.engine.channel import Channel
from millstream.engine.peeking import Page, Question, Seen
from millstream.net.http import HttpError, Request, Response, json
from millstream.nsqd.host import Host
from millstream.nsqd.http_names import name_argument, topic_and_channel, topic_named
from millstream.protocol.bodies import body_field

log = get_logger(__name__)

LIMIT_MAX: Final = 10_000
_SWITCH: Final = {"true": True, "1": True, "false": False, "0": False}
_ID_LENGTH: Final = 16


class PeekApi:
    """The two endpoints."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def channel(self, request: Request) -> Response:
        """Messages of a channel in the states asked for; without `state`, all that it has not finished."""
        _, channel = topic_and_channel(self._host, request)
        with_body = _switch(request, "body", default=True)
        state = request.query.get("state", "")
        states = tuple(state.split(",")) if state else peeking.UNFINISHED
        if any(one not in peeking.STATES for one in states):
            raise HttpError(400, "INVALID_ARG_STATE")
        identity = request.query.get("id")
        question = self._question(request, states)
        self._host.turn.run()
        try:
            if identity is not None:
                one = peeking.look_at(channel, parse_id(identity, "id"))
                page = Page([one] if one is not None else [], None)
            else:
                page = peeking.peek(channel, question)
        except StorageError as error:
            raise _unreadable(error) from error
        return self._answer(page, channel, with_body=with_body)

    def topic(self, request: Request) -> Response:
        """Everything that the topic's log still has."""
        topic = topic_named(self._host, name_argument(request, "topic"))
        with_body = _switch(request, "body", default=True)
        question = self._question(request, (peeking.STORED,))
        self._host.turn.run()
        try:
            page = peeking.peek_log(topic.log, question)
        except StorageError as error:
            raise _unreadable(error) from error
        return self._answer(page, None, with_body=with_body)

    def _question(self, request: Request, states: tuple[str, ...]) -> Question:
        query = request.query
        limit = query.get("limit", "100")
        if not (limit.isascii() and limit.isdigit() and len(limit) <= 5 and 0 < int(limit) <= LIMIT_MAX):
            raise HttpError(400, "INVALID_ARG_LIMIT")
        return Question(
            states=states,
            start=parse_id(query["start"], "start") if "start" in query else 0,
            since_ns=self.instant_ns(request, "from", 0),
            until_ns=self.instant_ns(request, "to", peeking.FOR_EVER_NS),
            limit=int(limit),
        )

    def instant_ns(self, request: Request, name: str, otherwise: int) -> int:
        """An instant from the query. Raises HttpError 400."""
        return instant_argument(request, name, otherwise, self._host.clock.wall_ns())

    def _answer(self, page: Page, channel: Channel | None, *, with_body: bool) -> Response:
        return json(
            {
                "messages": [self._message(one, channel, with_body=with_body) for one in page.messages],
                "next": None if page.following is None else f"{page.following:016x}",
            }
        )

    def _message(self, one: Seen, channel: Channel | None, *, with_body: bool) -> dict[str, Any]:
        body = one.body
        found: dict[str, Any] = {
            "id": f"{one.sequence:016x}",
            "state": one.state,
            "timestamp": one.timestamp_ns,
            "time": format_rfc3339(one.timestamp_ns),
            "attempts": one.attempts,
            "body_bytes": len(body),
        }
        if one.due_ns:
            found |= {"due": one.due_ns, "due_time": format_rfc3339(one.due_ns)}
        if channel is not None and one.state == peeking.HELD_BY_CONSUMER:
            found |= {"deadline_time": format_rfc3339(one.deadline_ns), "client": self._client(one.owner)}
        return found | body_field(body) if with_body else found

    def _client(self, number: int) -> dict[str, str] | None:
        session = self._host.sessions.get(number)
        if session is None:
            return None
        client = session.stats()
        return {
            "client_id": client.client_id,
            "hostname": client.hostname,
            "remote_address": client.remote_address,
        }


def parse_id(text: str, name: str) -> int:
    """A message's id as a sequence. Raises HttpError 400."""
    if len(text) != _ID_LENGTH or any(char not in "0123456789abcdef" for char in text) or text[0] > "7":
        raise HttpError(400, f"INVALID_ARG_{name.upper()}")
    return int(text, 16)


def instant_argument(request: Request, name: str, otherwise: int, now_ns: int) -> int:
    """An instant from the query, in ns on the wall clock. Raises HttpError 400."""
    text = request.query.get(name)
    if text is None:
        return otherwise
    try:
        # A plus that nobody escaped arrives as a blank.
        return parse_instant_ns(text.replace(" ", "+"), now_ns)
    except ValueError as error:
        raise HttpError(400, f"INVALID_ARG_{name.upper()}: {error}") from error


def _switch(request: Request, name: str, *, default: bool) -> bool:
    value = request.query.get(name)
    if value is None:
        return default
    if value not in _SWITCH:
        raise HttpError(400, f"INVALID_ARG_{name.upper()}")
    return _SWITCH[value]


def _unreadable(error: StorageError) -> HttpError:
    log.error("http.peek_failed", error=error)
    return HttpError(500, "INTERNAL_ERROR")
