"""What operators do over HTTP while nsqd is under load, and what the books say of it.

One operator per topic with a habit (`torture.plan`). Each lives as long as the piece, because a kill may strike between
a question and its answer: then nobody knows whether it was carried out, and the operator finds out in the next round.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Final

from millstream.base.errors import MillstreamError
from millstream.base.units import Address
from millstream.net.http_client import HttpClient, HttpFailed
from millstream.torture.books import Books, Breaches, ChannelBook, Cutoff, Ticks
from millstream.torture.plan import Begins, Habit, TopicPlan

_STATUS_OK: Final = 200
_STATUS_GONE: Final = 404


class NotAnswered(MillstreamError):
    """Nsqd was killed before it answered."""


class Desk:
    """The HTTP API of nsqd, for operators, as long as its process lives: `exited` returns when it is gone."""

    def __init__(
        self,
        http: HttpClient,
        address: Address,
        exited: Callable[[], Awaitable[None]],
        *,
        answered: Callable[[], None],
        breaches: Breaches,
    ) -> None:
        self.answered = answered
        self._http = http
        self._address = address
        self._exited = exited
        self._breaches = breaches

    async def rest(self, seconds: float) -> None:
        """Wait for a while. Raises NotAnswered when nsqd goes meanwhile."""
        try:
            async with asyncio.timeout(seconds):
                await self._exited()
        except TimeoutError:
            return
        raise NotAnswered("nsqd is gone")

    async def ask(self, path: str) -> bool:
        """POST; False when there is nothing of that name. Raises NotAnswered, once nsqd is gone."""
        try:
            answer = await self._http.post(f"http://{self._address}{path}")
        except HttpFailed as error:
            # It may be carried out as long as nsqd lives.
            await self._exited()
            raise NotAnswered(f"{path} was not answered") from error
        if answer.status not in (_STATUS_OK, _STATUS_GONE):
            self._breaches.note("an operator was refused", f"{path}: {answer.status} {answer.body[:100]!r}")
            await self._exited()
            raise NotAnswered(f"{path} was refused")
        return answer.status == _STATUS_OK


class Operator:
    """Makes a topic and its channels, each when the plan says, and does nothing else to them.

    `prepare` runs before the first message of a piece, `work` in each round, `finish` before the piece is drained; each
    raises NotAnswered when nsqd is killed meanwhile.
    """

    def __init__(self, books: Books, place: int, chance: random.Random) -> None:
        self.plan: TopicPlan = books.topics[place].plan
        self.channels: list[ChannelBook] = books.channels[place]
        self.ticks: Ticks = books.ticks
        self.chance = chance
        self.is_midway = False
        self._late: dict[str, Cutoff] = {}

    async def prepare(self, desk: Desk) -> None:
        """Make the topic and the channels that are to be there; later, those that should be there and are not."""
        await desk.ask(f"/topic/create?topic={self.plan.name}")
        for book in self.channels:
            if book.exists or (book.plan.begins is Begins.AT_ONCE and not book.has_begun):
                await desk.ask(self.channel_path("create", book))
                book.made()

    async def work(self, desk: Desk) -> None:
        """Make the channels that come midway."""
        if not self.is_midway:
            return
        for book in self.channels:
            if book.plan.begins is Begins.MIDWAY and not book.has_begun:
                await desk.rest(self.chance.uniform(0.0, 0.2))
                await self._make_late(desk, book)

    async def finish(self, desk: Desk) -> None:
        """Make the channels that come at the end, and those that should have come before."""
        for book in self.channels:
            if book.plan.begins is Begins.MIDWAY and not book.has_begun:
                await self._make_late(desk, book)
            if book.plan.begins is Begins.AT_THE_END:
                await desk.ask(self.channel_path("create", book))
                book.made()

    async def _make_late(self, desk: Desk, book: ChannelBook) -> None:
        """The channel must not see what was there before anybody asked for it, and must see all from the answer on."""
        cutoff = self._late.get(book.name) or book.cut()
        self._late[book.name] = cutoff
        book.exists = None
        await desk.ask(self.channel_path("create", book))
        cutoff.forbids, cutoff.ended = cutoff.asked, self.ticks.next()
        book.made()
        desk.answered()

    def channel_path(self, verb: str, book: ChannelBook) -> str:
        """The path that does this to a channel."""
        return f"/channel/{verb}?topic={self.plan.name}&channel={book.plan.name}"


class Pauser(Operator):
    """Pauses and unpauses the channel and the topic. Nothing may come through a channel that was paused before."""

    async def work(self, desk: Desk) -> None:
        """Now this, now that."""
        book = self.channels[0]
        while True:
            await desk.rest(self.chance.uniform(0.02, 0.15))
            if self.chance.random() < 0.3:
                verb = self.chance.choice(("pause", "unpause"))
                await desk.ask(f"/topic/{verb}?topic={self.plan.name}")
            elif book.paused_at is None:
                await desk.ask(self.channel_path("pause", book))
                book.paused_at = self.ticks.next()
            else:
                book.paused_at = None
                await desk.ask(self.channel_path("unpause", book))
            desk.answered()

    async def finish(self, desk: Desk) -> None:
        """Unpause everything."""
        book = self.channels[0]
        book.paused_at = None
        await desk.ask(f"/topic/unpause?topic={self.plan.name}")
        await desk.ask(self.channel_path("unpause", book))


class Holder(Operator):
    """Keeps the topic paused from its first moment to the end, and empties it now and then."""

    async def prepare(self, desk: Desk) -> None:
        """Pause it before there is a message."""
        await super().prepare(desk)
        await desk.ask(f"/topic/pause?topic={self.plan.name}")
        for book in self.channels:
            book.paused_at = self.ticks.next()

    async def work(self, desk: Desk) -> None:
        """Empty the topic: what was published before must not come when it is unpaused."""
        while True:
            await desk.rest(self.chance.uniform(0.05, 0.3))
            await take_away(desk, self.ticks, self.channels, f"/topic/empty?topic={self.plan.name}")

    async def finish(self, desk: Desk) -> None:
        """Let messages go."""
        for book in self.channels:
            book.paused_at = None
        await desk.ask(f"/topic/unpause?topic={self.plan.name}")


class Sweeper(Operator):
    """Empties the channel."""

    async def work(self, desk: Desk) -> None:
        """Empty it: what was published before must not come to whoever connects later."""
        while True:
            await desk.rest(self.chance.uniform(0.02, 0.2))
            await take_away(desk, self.ticks, self.channels, self.channel_path("empty", self.channels[0]))


class Deleter(Operator):
    """Deletes the topic and makes it again with its one channel, which sees all that the new topic has."""

    async def work(self, desk: Desk) -> None:
        """Delete it: what was published before must not come back."""
        topic = f"topic={self.plan.name}"
        while True:
            await desk.rest(self.chance.uniform(0.03, 0.25))
            again = (f"/topic/create?{topic}", self.channel_path("create", self.channels[0]))
            self.channels[0].exists = None
            await take_away(desk, self.ticks, self.channels, f"/topic/delete?{topic}", *again)
            self.channels[0].made()

    async def finish(self, desk: Desk) -> None:
        """See that there is something to read from, whatever the last kill left."""
        await desk.ask(f"/topic/create?topic={self.plan.name}")
        await desk.ask(self.channel_path("create", self.channels[0]))
        self.channels[0].made()


class Replacer(Operator):
    """Deletes the second channel and makes it again, which then sees nothing of what was there before.

    Nobody reads it while it may be gone: a subscription would make it.
    """

    def __init__(self, books: Books, place: int, chance: random.Random) -> None:
        super().__init__(books, place, chance)
        self._cutoff: Cutoff | None = None

    async def work(self, desk: Desk) -> None:
        """Delete it, wait a moment, make it again."""
        while True:
            await desk.rest(self.chance.uniform(0.02, 0.15))
            await self._replace(desk)

    async def finish(self, desk: Desk) -> None:
        """See that it is there."""
        if self._cutoff is not None:
            await self._replace(desk)

    async def _replace(self, desk: Desk) -> None:
        """Do it, or go on where the last kill struck."""
        book = self.channels[1]
        cutoff = self._cutoff
        if cutoff is None:
            cutoff = self._cutoff = book.cut()
        if not cutoff.forbids:
            if book.exists is not False:
                book.exists = None
                await desk.ask(self.channel_path("delete", book))
                book.exists = False
                desk.answered()
            await desk.rest(self.chance.uniform(0.0, 0.05))
            cutoff.forbids = self.ticks.next()
        book.exists = None
        await desk.ask(self.channel_path("create", book))
        cutoff.ended = self.ticks.next()
        book.made()
        self._cutoff = None
        desk.answered()


async def take_away(desk: Desk, ticks: Ticks, channels: list[ChannelBook], path: str, *again: str) -> None:
    """Ask for what takes messages away from channels, and for what makes its object `again`.

    Without an answer it may have happened or not: nothing from before is owed any more, and nothing is forbidden.
    """
    cutoffs = [book.cut() for book in channels]
    try:
        await desk.ask(path)
        for cutoff in cutoffs:
            cutoff.forbids = cutoff.asked
        desk.answered()
        for more in again:
            await desk.ask(more)
    finally:
        ended = ticks.next()
        for cutoff in cutoffs:
            cutoff.ended = ended
    desk.answered()


_BY_HABIT: Final[dict[Habit, type[Operator]]] = {
    Habit.NONE: Operator,
    Habit.PAUSES: Pauser,
    Habit.HOLDS: Holder,
    Habit.EMPTIES: Sweeper,
    Habit.REPLACES: Replacer,
    Habit.DELETES: Deleter,
}


def operator_of(books: Books, place: int, chance: random.Random) -> Operator:
    """The operator that the plan names for a topic."""
    return _BY_HABIT[books.topics[place].plan.habit](books, place, chance)
