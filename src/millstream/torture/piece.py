"""One piece of a torture: an empty data path, rounds of load that end in a kill, then everything is read to its end.

`torture.service` asks for one after the other. A round starts nsqd, connects everybody of `torture.plan`, and lets
`torture.aim` choose the moment; in a third of the rounds the recovery behind it is killed too. In the end the books of
`torture.books` say what is missing.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from typing import Final

from millstream.base.clock import Clock
from millstream.client.errors import ConnectionFailed
from millstream.net.http_client import HttpClient, HttpFailed
from millstream.torture.aim import Aim, Killer
from millstream.torture.books import Books
from millstream.torture.consumer import Consumer
from millstream.torture.operators import Desk, NotAnswered, Operator, operator_of
from millstream.torture.plan import PLAN
from millstream.torture.publisher import Mixer, Publisher, WebPublisher
from millstream.torture.pulse import Pulse
from millstream.torture.stats import NotNsq, channel_names, left_in, read_stats
from millstream.torture.victim import NsqdFailed, Victim

RECOVERY_SHARE: Final = 0.35
DRAIN_STALLED_S: Final = 30.0
FIRST_OK_S: Final = 30.0

_DRAIN_READY_COUNT: Final = 1000
_DRAIN_POLL_S: Final = 0.05
_FIRST_OK_POLL_S: Final = 0.005
_RUN_BITS: Final = 32
_PATIENT_MS: Final = 60_000


@dataclass(slots=True)
class Tally:
    """What a piece has come to so far."""

    kills: Counter[Aim] = field(default_factory=Counter)
    recoveries_s: list[float] = field(default_factory=list)
    trouble: str = ""  # why it ended before its time


class Piece:
    """One piece; `run` it once. `books` and `tally` may be looked at all the time."""

    def __init__(self, victim: Victim, seed: int, clock: Clock, *, kills: int, seconds_per_round: float) -> None:
        """Choices follow `seed`; where exactly a kill strikes is up to the machine."""
        self._chance = random.Random(seed)
        self._victim = victim
        self._clock = clock
        self._kills = kills
        self._is_stopped = False
        self._killer = Killer(victim, self._own_chance(), seconds_max=seconds_per_round)
        self.books = Books(PLAN, self._chance.getrandbits(_RUN_BITS), clock)
        self.tally = Tally()
        self._operators: list[Operator] = [
            operator_of(self.books, place, self._own_chance()) for place in range(len(PLAN))
        ]

    def _own_chance(self) -> random.Random:
        """A source of choices for one of many that run side by side: it does not depend on who is first."""
        return random.Random(self._chance.getrandbits(64))

    def stop(self) -> None:
        """Make the next kill the last, and at once."""
        self._is_stopped = True
        self._killer.hurry()

    async def run(self, killed: Callable[[], None]) -> None:
        """Kill, then read everything. `killed` is called after each kill.

        Raises NsqdFailed when nsqd cannot be started even once; what goes wrong later is in the tally.
        """
        try:
            await self._kill_again_and_again(killed)
            await self._start()
            await self._drain()
        except (NsqdFailed, ConnectionFailed, HttpFailed, NotAnswered, NotNsq) as error:
            if not self.tally.kills:
                raise
            self.tally.trouble = str(error)
        finally:
            await self._victim.end()
        for line in self._victim.mistakes():
            self.books.breaches.note("the daemon's log speaks of a mistake", line)

    def _goes_on(self) -> bool:
        return self.tally.kills.total() < self._kills and not self._is_stopped

    async def _kill_again_and_again(self, killed: Callable[[], None]) -> None:
        recovery_chance = self._own_chance()
        first = True
        while self._goes_on():
            await self._start()
            aim = await self._round(first=first)
            first = False
            self._count(aim, killed)
            while self._goes_on() and recovery_chance.random() < RECOVERY_SHARE:
                await self._victim.spawn()
                aim = await self._killer.kill_in_recovery(self._median_recovery_s())
                await self._victim.gone()
                self._count(aim, killed)

    def _count(self, aim: Aim, killed: Callable[[], None]) -> None:
        self.tally.kills[aim] += 1
        killed()

    def _median_recovery_s(self) -> float | None:
        found = sorted(self.tally.recoveries_s)
        return found[len(found) // 2] if found else None

    async def _start(self) -> None:
        self.tally.recoveries_s.append(await self._victim.start())

    async def _round(self, *, first: bool) -> Aim:
        """Load, and a kill in the midst of it."""
        round_chance = self._own_chance()
        async with _client() as http, AsyncExitStack() as connections:
            desk = self._desk(http)
            if first or not await self._is_all_there(http):
                for operator in self._operators:
                    await operator.prepare(desk)
            publishers, consumers = await self._connect(round_chance, http, connections)
            pulse = Pulse(http, self._victim.http, self._clock)
            async with asyncio.TaskGroup() as group:
                group.create_task(pulse.run())
                for consumer in consumers:
                    group.create_task(consumer.run())
                for operator in self._operators:
                    operator.is_midway = 2 * self.tally.kills.total() >= self._kills
                    group.create_task(_until_killed(operator.work(desk)))
                for run in publishers:
                    group.create_task(run())
                if first:
                    await self._until_all_publish()
                aim = await self._killer.kill_under_load()
        saved_until_ns = pulse.saved_until_ns()
        for channel in self.books.every_channel():
            channel.killed(saved_until_ns, self._victim.killed_ns)
        await self._victim.gone()
        return aim

    async def _until_all_publish(self) -> None:
        """Wait until each topic has a message to lose, however busy the machine is."""
        loop = asyncio.get_running_loop()
        end_s = loop.time() + FIRST_OK_S
        while not all(topic.acknowledged for topic in self.books.topics):
            if self._is_stopped or not self._victim.is_running or loop.time() > end_s:
                return
            await asyncio.sleep(_FIRST_OK_POLL_S)

    def _desk(self, http: HttpClient) -> Desk:
        return Desk(
            http,
            self._victim.http,
            self._victim.exited,
            answered=self._killer.answered,
            breaches=self.books.breaches,
        )

    async def _connect(
        self, chance: random.Random, http: HttpClient, connections: AsyncExitStack
    ) -> tuple[list[Callable[[], Coroutine[None, None, None]]], list[Consumer]]:
        """Everybody of a round: what publishers are to run, and the consumers, which have subscribed."""
        consumers: list[Consumer] = []
        publishers: list[Callable[[], Coroutine[None, None, None]]] = []
        for place, topic in enumerate(self.books.topics):
            for book in self.books.channels[place]:
                for _ in range(book.plan.consumers):
                    own = random.Random(chance.getrandbits(64))
                    if book.exists:
                        consumer = Consumer(self.books, place, book, own, draining=False)
                        await consumer.open(self._victim.tcp, book.plan.ready_count)
                        connections.callback(consumer.drop)
                        consumers.append(consumer)
            for _ in range(topic.plan.publishers):
                mixer = Mixer(self.books, place, random.Random(chance.getrandbits(64)))
                publisher = Publisher(mixer, self.books, self._killer.acknowledged)
                await publisher.open(self._victim.tcp)
                connections.callback(publisher.drop)
                publishers.append(publisher.run)
            for _ in range(topic.plan.web_publishers):
                mixer = Mixer(self.books, place, random.Random(chance.getrandbits(64)))
                publishers.append(
                    WebPublisher(mixer, self.books, self._killer.acknowledged, http, self._victim.http).run
                )
        return publishers, consumers

    async def _is_all_there(self, http: HttpClient) -> bool:
        """Whether nsqd has each channel that was made, and none that was deleted, as far as it had answered."""
        found = channel_names(await read_stats(http, self._victim.http))
        everything = True
        for book in self.books.every_channel():
            if book.exists is True and book.name not in found:
                self.books.breaches.note("a channel was made, and is not there", book.name)
                everything = False
            if book.exists is False and book.name in found:
                self.books.breaches.note("a channel was deleted, and is there", book.name)
        return everything

    async def _drain(self) -> None:
        """Take everything that is left on every channel."""
        chance = self._own_chance()
        async with _client() as http, AsyncExitStack() as connections:
            await self._is_all_there(http)
            desk = self._desk(http)
            for operator in self._operators:
                await operator.finish(desk)
            consumers = []
            for place, channels in enumerate(self.books.channels):
                for book in channels:
                    consumer = Consumer(self.books, place, book, chance, draining=True)
                    await consumer.open(self._victim.tcp, _DRAIN_READY_COUNT)
                    connections.callback(consumer.drop)
                    consumers.append(consumer)
            async with asyncio.TaskGroup() as group:
                for consumer in consumers:
                    group.create_task(consumer.run())
                await self._until_empty(http)
                for consumer in consumers:
                    consumer.close()
        self._victim.check_running()

    async def _until_empty(self, http: HttpClient) -> None:
        """Wait until the statistics are empty: then nsqd saw every FIN, and the books have all that is on its way."""
        loop = asyncio.get_running_loop()
        least, since_s, left = -1, loop.time(), ""
        while self._victim.is_running and loop.time() < since_s + DRAIN_STALLED_S:
            try:
                found = left_in(await read_stats(http, self._victim.http))
            except (HttpFailed, NotNsq) as error:
                left = str(error)
            else:
                if not found:
                    return
                left = f"left: {found}"
                if least < 0 or sum(found.values()) < least:
                    least, since_s = sum(found.values()), loop.time()
            await asyncio.sleep(_DRAIN_POLL_S)
        self.books.breaches.note("channels were not drained", left)


def _client() -> HttpClient:
    """A client that waits: a busy machine is no failure."""
    return HttpClient(connect_timeout_ms=_PATIENT_MS, request_timeout_ms=_PATIENT_MS)


async def _until_killed(work: Coroutine[None, None, None]) -> None:
    with suppress(NotAnswered):
        await work
