"""`client.fleet`: connections kept, limited and drained, against scripted nsqd. What users see is in test_reader."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from millstream.base.units import parse_address
from millstream.client import Message, ReaderOptions
from millstream.client.backoff import Result
from millstream.client.fleet import Fleet


@asynccontextmanager
async def running(
    *nsqd: Any, on_messages: Callable[[list[Message]], None] = lambda _: None, **options: Any
) -> AsyncIterator[Fleet]:
    chosen = ReaderOptions(**{"reconnect_delay_ms": 1, "reconnect_delay_max_ms": 10, **options})
    addresses = [parse_address(one.address) for one in nsqd]
    fleet = Fleet("events", "work", addresses, [], chosen, on_messages)
    task = asyncio.ensure_future(fleet.run())
    yield fleet
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert fleet.subscriptions == ()


async def test_it_connects_to_no_more_than_the_limit(nsqd: Any, other_nsqd: Any) -> None:
    async with running(nsqd, other_nsqd, connections_max=1) as fleet:
        await nsqd.subscriber()

        assert len(fleet.subscriptions) == 1
        assert other_nsqd.peers == []


async def test_scarce_rdy_goes_to_one_connection_only(nsqd: Any, other_nsqd: Any, eventually: Any) -> None:
    async with running(nsqd, other_nsqd, max_in_flight=1) as fleet:
        await eventually(lambda: len(fleet.subscriptions) == 2)

        assert sorted(one.rdy for one in fleet.subscriptions) == [0, 1]


async def test_holding_and_backoff_both_have_to_end_before_delivery_goes_on(nsqd: Any, eventually: Any) -> None:
    async with running(nsqd, max_in_flight=4, backoff_multiplier_ms=1) as fleet:
        peer = await nsqd.subscriber()
        await peer.saw("RDY 4")
        fleet.hold(is_held=True)
        await peer.saw("RDY 0")
        fleet.answering(Result.FAILURE)
        assert fleet.is_watching
        await eventually(lambda: not fleet.backoff.is_paused)
        assert peer.lines[-1] == "RDY 0"
        fleet.hold(is_held=False)
        await peer.saw("RDY 0", "RDY 1")
        fleet.answering(Result.SUCCESS)

        await peer.saw("RDY 1", "RDY 4")
        assert not fleet.is_watching


async def test_draining_ends_at_once_when_nothing_answers(nsqd: Any, eventually: Any) -> None:
    nsqd.mute.add("IDENTIFY")
    async with running(nsqd) as fleet:
        await nsqd.peer()
        await fleet.drain(5_000)

        assert fleet.subscriptions == ()
        await eventually(lambda: nsqd.peers[0].is_gone)


async def test_draining_goes_on_when_a_connection_is_lost_meanwhile(nsqd: Any, eventually: Any) -> None:
    nsqd.mute.add("CLS")
    async with running(nsqd, max_in_flight=3) as fleet:
        peer = await nsqd.subscriber()
        await eventually(lambda: len(fleet.subscriptions) == 1)
        draining = asyncio.ensure_future(fleet.drain(60_000))
        await peer.saw("CLS")
        peer.cut()
        async with asyncio.timeout(20):
            await draining

        assert len(nsqd.peers) == 1
