"""`client.outbox`: room, order, deadlines, and publishes that nobody waits for any more."""

import asyncio

import pytest

from millstream.client import PublishFailed
from millstream.client.lane import Publish
from millstream.client.outbox import Outbox


def outbox(pending_max: int = 10, bytes_max: int = 100) -> Outbox:
    return Outbox(pending_max=pending_max, bytes_max=bytes_max)


def put(one: Outbox, encoded: bytes, deadline_s: float = 1e9) -> Publish:
    assert one.try_reserve(len(encoded))
    return one.add(encoded, deadline_s)


def send_all(one: Outbox) -> list[Publish]:
    sent = []
    while (publish := one.first_unsent()) is not None:
        one.take_first()
        sent.append(publish)
    return sent


async def test_publishes_leave_in_order_and_count_until_confirmed() -> None:
    one = outbox()
    publishes = [put(one, b"a"), put(one, b"bb")]

    assert send_all(one) == publishes
    assert (one.pending, one.pending_bytes) == (2, 3)
    one.confirm(publishes)
    assert (one.pending, one.pending_bytes, one.published) == (0, 0, 2)
    assert all(publish.answer.done() for publish in publishes)


async def test_what_comes_back_goes_before_what_was_never_sent() -> None:
    one = outbox()
    first, second = put(one, b"1"), put(one, b"2")
    send_all(one)
    third = put(one, b"3")

    assert one.put_back([first, second]) == 2
    assert send_all(one) == [first, second, third]


async def test_a_cancelled_publish_is_not_sent() -> None:
    one = outbox()
    publish = put(one, b"x")
    publish.answer.cancel()

    assert one.first_unsent() is None
    assert one.pending == 0


async def test_a_cancelled_publish_that_was_sent_counts_until_answered() -> None:
    one = outbox()
    publish = put(one, b"x")
    send_all(one)
    publish.answer.cancel()

    assert one.pending == 1
    one.confirm([publish])
    assert (one.pending, one.published) == (0, 0)


async def test_a_publish_beyond_its_deadline_fails_and_says_why() -> None:
    one = outbox()
    late, early = put(one, b"x", deadline_s=1.0), put(one, b"y", deadline_s=2.0)
    one.note_error("127.0.0.1:1: Connection refused")

    assert one.expire(1.5) == 2.0
    with pytest.raises(PublishFailed, match=r"not confirmed in time: 127\.0\.0\.1:1: Connection refused"):
        await late.answer
    assert send_all(one) == [early]
    assert one.expire(2.5) is None
    with pytest.raises(PublishFailed):
        await early.answer


async def test_callers_wait_for_room_in_order() -> None:
    one = outbox(pending_max=1)
    first = put(one, b"1")
    send_all(one)
    order: list[str] = []

    async def take(name: str) -> None:
        await one.reserve(1, asyncio.get_running_loop().time() + 5)
        order.append(name)
        publish = one.add(b"x", 1e9)
        send_all(one)
        one.confirm([publish])

    async with asyncio.TaskGroup() as group:
        for name in ("a", "b", "c"):
            group.create_task(take(name))
        await asyncio.sleep(0)
        assert order == []
        assert not one.try_reserve(1)
        one.confirm([first])

    assert order == ["a", "b", "c"]
    assert one.pending == 0


async def test_waiting_for_room_ends_at_the_deadline() -> None:
    one = outbox(pending_max=1)
    put(one, b"1")

    with pytest.raises(TimeoutError):
        await one.reserve(1, asyncio.get_running_loop().time() + 0.01)
    assert one.pending == 1


async def test_a_publish_above_the_limit_of_bytes_goes_alone() -> None:
    one = outbox(bytes_max=10)
    huge = put(one, b"x" * 50)

    assert not one.try_reserve(1)
    one.confirm(send_all(one))
    assert huge.answer.done()
    assert one.try_reserve(1)


async def test_closing_fails_those_who_wait() -> None:
    one = outbox(pending_max=1)
    publish = put(one, b"1")
    waiting = asyncio.ensure_future(one.reserve(1, asyncio.get_running_loop().time() + 5))
    await asyncio.sleep(0)
    one.fail_all("the writer was closed")

    with pytest.raises(PublishFailed, match="closed"):
        await publish.answer
    with pytest.raises(PublishFailed, match="closed"):
        await waiting
    assert one.pending == 0


async def test_waiting_until_empty_ends_with_the_last_confirmation() -> None:
    one = outbox()
    publish = put(one, b"1")
    waiting = asyncio.ensure_future(one.wait_empty())
    await asyncio.sleep(0)
    assert not waiting.done()
    one.confirm(send_all(one))

    await waiting
    assert publish.answer.done()
