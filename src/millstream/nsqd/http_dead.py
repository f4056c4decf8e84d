"""`/channel/dead` and `/channel/redrive`: the dead letters of a channel, and their way back into it.

`nsqd.http` routes the requests here; `engine.redriving` reads and moves. A long redrive goes in batches, with turns of
the loop between them, so that nobody waits for it.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from millstream.base.errors import StorageError
from millstream.base.log import get_logger
from millstream.engine.channel import Channel
from millstream.engine.letters import Letter, origin_of
from millstream.engine.policies import DEAD
from millstream.engine.redriving import page, redrive
from millstream.engine.topic import Topic
from millstream.net.http import HttpError, Request, Response, Router, json
from millstream.nsqd.host import Host
from millstream.protocol import raw
from millstream.protocol.bodies import body_field
from millstream.protocol.names import is_valid_name

log = get_logger(__name__)

SHOWN: Final = 100
SHOWN_MAX: Final = 1_000
BATCH: Final = 500
_EVERYTHING: Final = 1 << 62
_SWITCH: Final = {"true": True, "1": True, "false": False, "0": False, "": True}


@dataclass(frozen=True, slots=True)
class Buried:
    """A channel, and where its dead letters wait; `dead` is None while there are none."""

    topic: Topic
    channel: Channel
    name: str
    dead_topic: Topic | None
    dead: Channel | None


class DeadLetterApi:
    """The two endpoints."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def add_to(self, router: Router) -> None:
        """Route them."""
        router.add("GET", "/channel/dead", self.show)
        router.add("POST", "/channel/redrive", self.redrive)

    def show(self, request: Request) -> Response:
        """Dead letters that wait, oldest first, page by page."""
        buried = self._find(request)
        limit = _number(request, "limit", SHOWN, SHOWN_MAX)
        after = _id(request, "after")
        found: dict[str, Any] = {"dead_letter_topic": buried.name, "letters": [], "after": None}
        if buried.dead is None:
            return json(found)
        try:
            letters = page(buried.dead, _of(buried), after=-1 if after is None else after, limit=limit)
        except StorageError as error:
            log.error("dead_letters.read_failed", topic=buried.name, error=error)
            raise HttpError(500, "INTERNAL_ERROR") from error
        found["letters"] = [
            {"letter_id": f"{sequence:016x}", "origin": origin_of(letter), **body_field(letter.body)}
            for sequence, letter in letters.letters
        ]
        found["after"] = None if letters.after is None else f"{letters.after:016x}"
        return json(found)

    async def redrive(self, request: Request) -> Response:
        """Put one, some or all back into the channel that they came from."""
        buried = self._find(request)
        if buried.channel.settings.is_ephemeral or buried.topic.is_ephemeral:
            raise HttpError(400, "INVALID_ARG_CHANNEL: an ephemeral channel would lose what is put back")
        wanted_id = _id(request, "id")
        is_everything = _SWITCH.get(request.query.get("all", "false"))
        if is_everything is None:
            raise HttpError(400, "INVALID_ARG_ALL")
        if wanted_id is None and not is_everything and "limit" not in request.query:
            raise HttpError(400, "MISSING_ARG_ID: say which with id, how many with limit, or all")
        left = _number(request, "limit", _EVERYTHING, _EVERYTHING)
        wanted = _of(buried) if wanted_id is None else _of(buried, wanted_id)
        redriven, present = await self._redrive(buried, wanted, left)
        if wanted_id is not None and not redriven + present:
            raise HttpError(404, "LETTER_NOT_FOUND")
        log.info("dead_letters.redriven", topic=buried.topic.name, channel=buried.channel.name, redriven=redriven)
        return json({"redriven": redriven, "present": present})

    async def _redrive(self, buried: Buried, wanted: Callable[[Letter], bool], left: int) -> tuple[int, int]:
        topic, channel, dead_topic, dead = buried.topic, buried.channel, buried.dead_topic, buried.dead
        redriven = present = 0
        if dead is None or dead_topic is None:
            return redriven, present
        turn = self._host.turn
        turn.run()
        # What fails again meanwhile is not put back a second time.
        after, before = -1, dead.visible_seq
        while left > 0 and _is_there(topic, channel) and _is_there(dead_topic, dead):
            try:
                found = page(dead, wanted, after=after, limit=min(left, BATCH), before=before)
                count = redrive(topic, channel, dead, found.letters) if found.letters else 0
            except StorageError as error:
                log.error("dead_letters.redrive_failed", topic=topic.name, channel=channel.name, error=error)
                raise HttpError(500, "INTERNAL_ERROR") from error
            finally:
                turn.changed(topic)
                turn.changed(dead_topic)
            redriven += count
            present += len(found.letters) - count
            left -= len(found.letters)
            if found.after is None:
                break
            after = found.after
            await asyncio.sleep(0)
            turn.run()
        return redriven, present

    def _find(self, request: Request) -> Buried:
        topics = self._host.broker.topics
        topic = topics.get(_name(request, "topic"))
        channel_name = _name(request, "channel")
        if topic is None:
            raise HttpError(404, "TOPIC_NOT_FOUND")
        channel = topic.channels.get(channel_name)
        if channel is None:
            raise HttpError(404, "CHANNEL_NOT_FOUND")
        name = request.query.get("from") or self._host.broker.policies.dead_letter_topic(topic.name, channel_name)
        dead_topic = topics.get(name)
        dead = dead_topic.channels.get(DEAD) if dead_topic is not None else None
        return Buried(topic, channel, name, dead_topic, dead)


def _is_there(topic: Topic, channel: Channel) -> bool:
    return not topic.is_deleted and topic.channels.get(channel.name) is channel


def _of(buried: Buried, sequence: int | None = None) -> Callable[[Letter], bool]:
    """Letters of a channel, or of its topic's backlog, which no channel was given; all, or one by its old id."""
    topic, names = buried.topic.name, {buried.channel.name, ""}

    def wanted(letter: Letter) -> bool:
        is_from_here = letter.topic == topic and letter.channel in names
        return is_from_here and (sequence is None or letter.sequence == sequence)

    return wanted


def _name(request: Request, name: str) -> str:
    value = request.query.get(name)
    if value is None:
        raise HttpError(400, f"MISSING_ARG_{name.upper()}")
    if not is_valid_name(value):
        raise HttpError(400, f"INVALID_ARG_{name.upper()}")
    return value


def _number(request: Request, name: str, default: int, high: int) -> int:
    value = request.query.get(name)
    if value is None:
        return default
    if not (value.isascii() and value.isdigit() and len(value) <= 18 and 0 < int(value) <= high):
        raise HttpError(400, f"INVALID_ARG_{name.upper()}")
    return int(value)


def _id(request: Request, name: str) -> int | None:
    value = request.query.get(name)
    if value is None:
        return None
    sequence = raw.get_id(value.encode(), 0) if len(value) == 16 and value.isascii() else -1
    if sequence < 0:
        raise HttpError(400, f"INVALID_ARG_{name.upper()}")
    return sequence
