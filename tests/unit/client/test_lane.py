"""`client.lane`: publishes matched to answers in order, against a scripted nsqd."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from millstream.base.units import parse_address
from millstream.client import WriterOptions
from millstream.client.lane import Lane, Publish
from millstream.protocol.commands import Pub
from millstream.protocol.errors import CommandError
from millstream.protocol.frames import ERROR, RESPONSE


class Owner:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.heartbeats = 0
        self.done: list[Publish] = []
        self.errors: list[tuple[Publish, str]] = []
        self.was_writable = False

    def confirmed(self, lane: Lane, publishes: list[Publish]) -> None:
        assert lane.has_progress
        self.done += publishes

    def refused(self, lane: Lane, publish: Publish, error: CommandError) -> None:
        assert lane.is_refused
        assert not lane.is_ready
        self.errors.append((publish, str(error)))

    def writable(self) -> None:
        self.was_writable = True


@pytest.fixture
def owner() -> Owner:
    return Owner()


@pytest.fixture
async def lane(nsqd: Any, owner: Owner) -> AsyncIterator[Lane]:
    async with opened(nsqd, owner) as one:
        yield one


@asynccontextmanager
async def opened(nsqd: Any, owner: Owner, **options: Any) -> AsyncIterator[Lane]:
    """A lane to an nsqd that answers no PUB."""
    nsqd.mute.add("PUB")
    one = Lane(parse_address(nsqd.address), 0, WriterOptions(**options), owner)
    await one.open()
    yield one
    one.drop("the test is over")
    await one.closed


def publish(topic: str, body: bytes = b"x") -> Publish:
    return Publish(Pub(topic, body).encode(), asyncio.get_running_loop().create_future(), 0.0)


async def test_answers_go_to_the_oldest(nsqd: Any, lane: Lane, owner: Owner, eventually: Any) -> None:
    publishes = [publish(name) for name in ("a", "b", "c")]
    for one in publishes:
        lane.send(one)
    peer = await nsqd.peer()
    await peer.saw("PUB a", "PUB b", "PUB c")
    peer.send(RESPONSE, b"OK")
    peer.send(RESPONSE, b"_heartbeat_")
    peer.send(ERROR, b"E_BAD_TOPIC no")
    await eventually(lambda: bool(owner.errors))

    assert owner.done == publishes[:1]
    assert owner.errors == [(publishes[1], "E_BAD_TOPIC no")]
    assert owner.heartbeats == 1
    assert await lane.closed == "E_BAD_TOPIC no"
    assert lane.take_sent() == publishes[2:]
    assert lane.take_sent() == []


async def test_an_error_before_any_publish_ends_the_lane(nsqd: Any, lane: Lane, owner: Owner) -> None:
    (await nsqd.peer()).send(ERROR, b"E_INVALID no")

    assert await lane.closed == "E_INVALID no"
    assert owner.errors == []


async def test_a_publish_without_an_answer_ends_the_lane(nsqd: Any, owner: Owner) -> None:
    one = publish("a")
    async with opened(nsqd, owner, response_timeout_ms=100) as lane:
        lane.send(one)

        async with asyncio.timeout(20):
            assert await lane.closed == "a publish was not answered for 100 ms"
        assert lane.take_sent() == [one]


async def test_it_tells_when_a_full_socket_takes_bytes_again(nsqd: Any, lane: Lane, owner: Owner) -> None:
    nsqd.mute.clear()
    assert lane.is_ready
    lane.send(publish("a", bytes(20_000_000)))
    async with asyncio.timeout(20):
        while not owner.done:  # noqa: ASYNC110 - the lane tells its owner, who only notes it
            await asyncio.sleep(0.005)

    assert owner.was_writable
    assert lane.is_ready
