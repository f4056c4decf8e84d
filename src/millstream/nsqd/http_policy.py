"""`/policy`: shows what holds for a topic or a channel, and sets and removes policies while nsqd runs.

`nsqd.http` routes the requests here; `nsqd.policies` keeps them. Keys and values of the JSON are those of `[[policy]]`
in the configuration file.
"""

from collections.abc import Callable
from typing import Any, Final, TypeVar

import msgspec

from millstream.base.errors import OptionError, StorageError
from millstream.base.log import get_logger
from millstream.base.options import from_mapping, to_table
from millstream.engine.policies import PolicyEntry
from millstream.net.http import HttpError, Request, Response, Router, json
from millstream.nsqd.host import Host
from millstream.nsqd.policies import Policies
from millstream.nsqd.policy_stats import policy_json
from millstream.protocol.names import is_valid_name

log = get_logger(__name__)

T = TypeVar("T")

BODY_BYTES_MAX: Final = 16 << 10


class PolicyApi:
    """The three endpoints."""

    def __init__(self, host: Host, policies: Policies) -> None:
        self._host = host
        self._policies = policies

    def add_to(self, router: Router) -> None:
        """Route them."""
        router.add("GET", "/policy", self.show)
        router.add("PUT", "/policy", self.change, body_bytes_max=BODY_BYTES_MAX)
        router.add("DELETE", "/policy", self.remove)

    def show(self, request: Request) -> Response:
        """All entries, or what holds for one topic or channel."""
        if "topic" not in request.query:
            book = self._policies.book
            return json(
                {
                    "config": [to_table(entry) for entry in book.config],
                    "http": [to_table(entry) for entry in book.http],
                }
            )
        return self._show(*_place(request))

    def _show(self, topic: str, channel: str | None) -> Response:
        book = self._policies.book
        entry = self._policies.entry(topic, channel)
        found: dict[str, Any] = {"topic": topic}
        if channel is not None:
            found["channel"] = channel
        found["entry"] = None if entry is None else to_table(entry)
        if is_valid_name(topic) and (channel is None or is_valid_name(channel)):
            policy = book.of_topic(topic) if channel is None else book.of_channel(topic, channel)
            found["policy"] = policy_json(policy)
        return json(found)

    def change(self, request: Request) -> Response:
        """Set the entry for these names, in place of one that was set before."""
        topic, channel = _place(request)
        try:
            values = msgspec.json.decode(request.body or b"{}", type=dict[str, Any])
            if "topic" in values or "channel" in values:
                raise OptionError("topic and channel stand in the query, not in the body")
            names: dict[str, object] = {"topic": topic} if channel is None else {"topic": topic, "channel": channel}
            entry = from_mapping(PolicyEntry, values | names)
            self._carry_out(lambda: self._policies.put(entry))
        except (OptionError, RecursionError, msgspec.MsgspecError) as error:
            raise HttpError(400, f"INVALID_POLICY: {error}") from error
        log.info("policy.set", **_named(topic, channel))
        return self._show(topic, channel)

    def remove(self, request: Request) -> Response:
        """Remove the entry for these names: what the file and other entries say holds again."""
        topic, channel = _place(request)
        if not self._carry_out(lambda: self._policies.delete(topic, channel)):
            raise HttpError(404, "POLICY_NOT_FOUND")
        log.info("policy.removed", **_named(topic, channel))
        return self._show(topic, channel)

    def _carry_out(self, change: Callable[[], T]) -> T:
        turn = self._host.turn
        turn.run()
        try:
            return change()
        except StorageError as error:
            log.error("policy.write_failed", error=error)
            raise HttpError(500, "INTERNAL_ERROR") from error
        finally:
            for topic in self._host.broker.topics.values():
                if topic.limits is not None:
                    turn.changed(topic)


def _place(request: Request) -> tuple[str, str | None]:
    topic = request.query.get("topic")
    if not topic:
        raise HttpError(400, "MISSING_ARG_TOPIC")
    return topic, request.query.get("channel")


def _named(topic: str, channel: str | None) -> dict[str, str]:
    return {"topic": topic} if channel is None else {"topic": topic, "channel": channel}
