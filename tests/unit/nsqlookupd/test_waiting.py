import asyncio
from collections.abc import Callable

import pytest

from millstream.nsqlookupd.records import Producer, lookup_version
from millstream.nsqlookupd.registry import Registry
from millstream.nsqlookupd.waiting import LookupWaiters
from millstream.protocol.lookup import Identity

DEADLINE_S = 20
LONG_MS = 60_000


class Clock:
    def __init__(self) -> None:
        self.now_ns = 10**12

    def wall_ns(self) -> int:
        return self.now_ns

    def monotonic_ns(self) -> int:
        return self.now_ns


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def registry(clock: Clock) -> Registry:
    registry = Registry(clock, inactive_after_ms=300_000, tombstone_lifetime_ms=45_000)
    for number in (1, 2):
        identity = Identity(broadcast_address=f"h{number}", tcp_port=4150, http_port=4151, version="1.3.0")
        registry.identify(Producer(connection_id=number, remote_address="10.0.0.1:1", identity=identity))
    registry.register(1, "t", "c")
    return registry


@pytest.fixture
def waiters(registry: Registry) -> LookupWaiters:
    return LookupWaiters(registry, waiters_max=2)


def version(registry: Registry, topic: str) -> str:
    return lookup_version(registry.lookup(topic))


async def begin(waiters: LookupWaiters, registry: Registry, topic: str) -> asyncio.Task[None]:
    """One who knows what there is now, and waits for more."""
    count = waiters.count
    task = asyncio.create_task(waiters.wait(topic, version(registry, topic), LONG_MS))
    async with asyncio.timeout(DEADLINE_S):
        while waiters.count == count:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0)
    return task


async def turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    "change",
    [
        lambda registry: registry.register(2, "t"),
        lambda registry: registry.unregister(1, "t"),
        lambda registry: registry.disconnect(1),
        lambda registry: registry.delete_topic("t"),
        lambda registry: registry.tombstone("t", "h1:4151"),
    ],
)
async def test_other_producers_end_the_wait(
    registry: Registry, waiters: LookupWaiters, change: Callable[[Registry], None]
) -> None:
    task = await begin(waiters, registry, "t")

    change(registry)

    async with asyncio.timeout(DEADLINE_S):
        await task
    assert waiters.count == 0


async def test_an_unknown_topic_that_appears_ends_the_wait(registry: Registry, waiters: LookupWaiters) -> None:
    task = await begin(waiters, registry, "new")

    registry.create_topic("new")

    async with asyncio.timeout(DEADLINE_S):
        await task


async def test_what_is_no_news_does_not(registry: Registry, waiters: LookupWaiters) -> None:
    task = await begin(waiters, registry, "t")

    registry.register(1, "t", "another")
    registry.register(2, "u")
    registry.ping(1)
    registry.register(2, "t")
    registry.unregister(2, "t")
    await turns()

    assert not task.done()
    task.cancel()
    await asyncio.wait([task])
    assert waiters.count == 0


async def test_an_nsqd_that_falls_silent_ends_the_wait(
    registry: Registry, waiters: LookupWaiters, clock: Clock
) -> None:
    clock.now_ns += 299_999_000_000
    task = await begin(waiters, registry, "t")
    clock.now_ns += 1_000_001

    async with asyncio.timeout(DEADLINE_S):
        await task


async def test_the_wait_ends_by_itself(registry: Registry, waiters: LookupWaiters) -> None:
    async with asyncio.timeout(DEADLINE_S):
        await waiters.wait("t", version(registry, "t"), 1)


@pytest.mark.shows("nsqlookupd --max-lookup-waiters")
async def test_those_who_are_too_many_do_not_wait(registry: Registry, waiters: LookupWaiters) -> None:
    tasks = [await begin(waiters, registry, topic) for topic in ("t", "new")]

    async with asyncio.timeout(DEADLINE_S):
        await waiters.wait("t", version(registry, "t"), LONG_MS)

    assert (waiters.count, waiters.refused) == (2, 1)
    waiters.close()
    async with asyncio.timeout(DEADLINE_S):
        await asyncio.gather(*tasks)
        await waiters.wait("t", version(registry, "t"), LONG_MS)
    assert (waiters.count, waiters.refused) == (0, 2)


async def test_other_timeouts_are_looked_at_at_once(registry: Registry, waiters: LookupWaiters, clock: Clock) -> None:
    clock.now_ns += 1_000_000_000
    task = await begin(waiters, registry, "t")

    registry.set_timeouts(inactive_after_ms=500, tombstone_lifetime_ms=1)
    waiters.look_again()

    async with asyncio.timeout(DEADLINE_S):
        await task
