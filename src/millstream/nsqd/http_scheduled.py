"""`/channel/scheduled`: lists the deferred messages of a channel by their time, cancels them, and moves their time.

`nsqd.http` routes the requests here; `engine.scheduled` does it. An answer says that the change is as durable as
`--durability` promises.
"""

from collections.abc import Callable
from typing import Final, TypeVar

from millstream.base.errors import StorageError
from millstream.base.log import get_logger
from millstream.base.rfc3339 import format_rfc3339, parse_rfc3339_ns
from millstream.base.units import parse_duration_ns
from millstream.engine.channel import Channel
from millstream.engine.scheduled import Scheduled, cancel, move, scheduled
from millstream.engine.topic import Topic
from millstream.net.http import HttpError, Request, Response, Router, json
from millstream.nsqd.host import Host
from millstream.nsqd.http_names import argument, id_of, invalid, sequence_of, topic_and_channel
from millstream.protocol.bodies import body_field

log = get_logger(__name__)

LIMIT_MAX: Final = 1_000
IDS_MAX: Final = 10_000
_LIMIT: Final = 100
_ID_LINE_BYTES: Final = 18
_OFFSET: Final = len("+00:00")
_SWITCH: Final = {"true": True, "1": True, "false": False, "0": False}
_NS_PER_MS: Final = 1_000_000
_INSTANT_DIGITS_MAX: Final = 19

Done = TypeVar("Done")


class ScheduledApi:
    """The three endpoints."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def add_to(self, router: Router) -> None:
        """Have requests routed here."""
        router.add("GET", "/channel/scheduled", self.show)
        router.add("POST", "/channel/scheduled/cancel", self.cancel, body_bytes_max=IDS_MAX * _ID_LINE_BYTES)
        router.add("POST", "/channel/scheduled/move", self.move)

    def show(self, request: Request) -> Response:
        """A page of messages, those that are due first in front; `next` is what to ask for the page after it."""
        _, channel = topic_and_channel(self._host, request)
        limit = _limit(request)
        after = _after(request)
        has_body = _SWITCH.get(request.query.get("include_body", "false"))
        if has_body is None:
            raise invalid("include_body")
        self._host.turn.run()
        try:
            found, has_more = scheduled(channel, after, limit)
        except StorageError as error:
            raise _failed(error) from error
        page: dict[str, object] = {
            "count": channel.deferred_count,
            "scheduled": [_entry(each, has_body=has_body) for each in found],
        }
        if has_more:
            page["next"] = f"{found[-1].due_ns}-{id_of(found[-1].sequence)}"
        return json(page)

    def cancel(self, request: Request) -> Response:
        """Cancel the message that `id` names, or those of the body, one id per line."""
        topic, channel = topic_and_channel(self._host, request)
        if "id" in request.query:
            wanted = [sequence_of(request.query["id"])]
        else:
            wanted = list(dict.fromkeys(sequence_of(line) for line in _lines(request)))
            if not wanted:
                raise HttpError(400, "MISSING_ARG_ID")
        cancelled = set(self._change(topic, channel, lambda: cancel(topic, channel, wanted)))
        missing = [id_of(sequence) for sequence in wanted if sequence not in cancelled]
        if missing and "id" in request.query:
            raise HttpError(404, "MESSAGE_NOT_FOUND")
        log.info("channel.cancelled", topic=topic.name, channel=channel.name, count=len(cancelled))
        return json({"cancelled": len(cancelled), "missing": missing})

    def move(self, request: Request) -> Response:
        """Give the message that `id` names another time: `at` an instant, or `in` a while."""
        topic, channel = topic_and_channel(self._host, request)
        sequence = sequence_of(argument(request, "id"))
        due_ns = self._due_ns(request)
        if not self._change(topic, channel, lambda: move(topic, channel, sequence, due_ns)):
            raise HttpError(404, "MESSAGE_NOT_FOUND")
        log.info("channel.moved", topic=topic.name, channel=channel.name, id=id_of(sequence))
        return json({"id": id_of(sequence), "due": format_rfc3339(due_ns)})

    def _due_ns(self, request: Request) -> int:
        """The instant that a request asks for; one that has passed is now, as far as anybody can tell."""
        name = "at" if "at" in request.query else "in"
        value = request.query.get(name)
        if value is None:
            raise HttpError(400, "MISSING_ARG_AT")
        now_ns = self._host.clock.wall_ns()
        try:
            due_ns = _instant_ns(value) if name == "at" else now_ns + parse_duration_ns(value)
        except ValueError as error:
            raise invalid(name) from error
        if due_ns > now_ns + self._host.options.max_req_timeout_ms * _NS_PER_MS or (name == "in" and due_ns < now_ns):
            raise invalid(name)
        return max(due_ns, now_ns)

    def _change(self, topic: Topic, channel: Channel, change: Callable[[], Done]) -> Done:
        """Carry out a change when nothing is half done."""
        turn = self._host.turn
        turn.run()
        try:
            return change()
        except StorageError as error:
            raise _failed(error) from error
        finally:
            turn.mark(topic, channel)


def _entry(found: Scheduled, *, has_body: bool) -> dict[str, object]:
    entry: dict[str, object] = {
        "id": id_of(found.sequence),
        "due": format_rfc3339(found.due_ns),
        "attempts": found.attempts,
        "timestamp": found.timestamp_ns,
        "size": len(found.body or b""),
    }
    if has_body and found.body is not None:
        entry |= body_field(found.body)
    return entry


def _limit(request: Request) -> int:
    value = request.query.get("limit", str(_LIMIT))
    if not (value.isascii() and value.isdigit() and len(value) <= len(str(LIMIT_MAX))):
        raise invalid("limit")
    limit = int(value)
    if not 1 <= limit <= LIMIT_MAX:
        raise invalid("limit")
    return limit


def _after(request: Request) -> tuple[int, int] | None:
    value = request.query.get("after")
    if value is None:
        return None
    due, _, message_id = value.partition("-")
    try:
        return _digits_ns(due), sequence_of(message_id)
    except (ValueError, HttpError) as error:
        raise invalid("after") from error


def _lines(request: Request) -> list[str]:
    try:
        return request.body.decode("ascii").split()
    except UnicodeDecodeError as error:
        raise invalid("id") from error


def _instant_ns(value: str) -> int:
    if value[-_OFFSET : -_OFFSET + 1] == " ":
        # The + of an offset that was not written as %2B.
        value = f"{value[:-_OFFSET]}+{value[-_OFFSET + 1 :]}"
    return _digits_ns(value) if value.isdigit() else parse_rfc3339_ns(value)


def _digits_ns(value: str) -> int:
    if not (value.isascii() and value.isdigit() and len(value) <= _INSTANT_DIGITS_MAX) or int(value) >= 1 << 63:
        raise ValueError("no instant in nanoseconds since the Unix epoch")
    return int(value)


def _failed(error: StorageError) -> HttpError:
    log.error("http.change_failed", error=error)
    return HttpError(500, "INTERNAL_ERROR")
