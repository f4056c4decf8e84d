"""`client.writer` with what is below it, against scripted nsqd on real sockets."""

import asyncio
from typing import Any

import pytest

from millstream.base.errors import UsageError
from millstream.client import PublishFailed, Writer, WriterOptions
from millstream.protocol.frames import RESPONSE

FAST: dict[str, Any] = {"reconnect_delay_ms": 1, "reconnect_delay_max_ms": 20, "publish_timeout_ms": 4_000}


def writer(*nsqd: Any, **options: Any) -> Writer:
    return Writer([one.address for one in nsqd], options=WriterOptions(**{**FAST, **options}))


async def within(awaitable: Any) -> Any:
    async with asyncio.timeout(20):
        return await awaitable


async def test_each_kind_of_publish_is_confirmed(nsqd: Any) -> None:
    async with writer(nsqd) as one:
        await one.publish("events", b"a")
        await one.publish_many("events", [b"b", b"c"])
        await one.publish_deferred("events", 50, b"d")
        await one.publish_many("events", [])

        peer = await nsqd.peer()
        assert peer.lines == ["IDENTIFY", "PUB events", "MPUB events", "DPUB events 50"]
        assert peer.bodies[1:] == [b"a", b"\0\0\0\2\0\0\0\1b\0\0\0\1c", b"d"]
        assert (one.stats().published, one.stats().pending, one.stats().pending_bytes) == (3, 0, 0)
        assert one.stats().nsqd_address == nsqd.address


@pytest.mark.parametrize(
    ("topic", "body"), [("bad topic", b"x"), ("", b"x"), ("t", b""), ("t", "text"), ("t", bytearray(b"x"))]
)
async def test_misuse_is_refused_without_sending(nsqd: Any, topic: str, body: Any) -> None:
    async with writer(nsqd) as one:
        with pytest.raises(UsageError):
            await one.publish(topic, body)
        with pytest.raises(UsageError):
            await one.publish_many(topic, [body])
        with pytest.raises(UsageError):
            await one.publish_deferred(topic, 1, body)
        with pytest.raises(UsageError):
            await one.publish_deferred("t", -1, b"x")
        await one.publish("t", b"fine")
        assert (await nsqd.peer()).lines == ["IDENTIFY", "PUB t"]


def test_a_writer_without_addresses_is_refused() -> None:
    with pytest.raises(UsageError, match="at least one"):
        Writer([])


async def test_a_writer_that_is_not_open_refuses_publishes(nsqd: Any) -> None:
    one = writer(nsqd)
    with pytest.raises(UsageError, match="not open"):
        await one.publish("t", b"x")
    async with one:
        await one.publish("t", b"x")
    with pytest.raises(UsageError, match="not open"):
        await one.publish("t", b"x")


async def test_many_publishes_are_pipelined_and_matched_in_order(nsqd: Any) -> None:
    nsqd.mute.add("PUB")
    async with writer(nsqd) as one:
        publishes = [asyncio.ensure_future(one.publish("t", b"%d" % number)) for number in range(3)]
        peer = await nsqd.peer()
        await peer.saw("PUB t", "PUB t", "PUB t")
        peer.send(RESPONSE, b"OK")
        peer.send(RESPONSE, b"_heartbeat_")
        await peer.saw("NOP")
        assert [publish.done() for publish in publishes] == [True, False, False]
        peer.send(RESPONSE, b"OK")
        peer.send(RESPONSE, b"OK")
        await within(asyncio.gather(*publishes))


async def test_a_refused_publish_fails_at_once_and_the_others_go_over_a_new_connection(nsqd: Any) -> None:
    nsqd.errors["DPUB"] = b"E_INVALID DPUB timeout 9999999 out of range 0-3600000"
    async with writer(nsqd) as one:
        before = asyncio.ensure_future(one.publish("t", b"1"))
        await asyncio.sleep(0)
        bad = asyncio.ensure_future(one.publish_deferred("t", 9_999_999, b"2"))
        await asyncio.sleep(0)
        after = asyncio.ensure_future(one.publish("t", b"3"))

        with pytest.raises(PublishFailed, match="out of range") as caught:
            await within(bad)
        await within(asyncio.gather(before, after))
        assert caught.value.code == "E_INVALID"
        assert (await nsqd.peer(0)).lines[1:3] == ["PUB t", "DPUB t 9999999"]
        assert (await nsqd.peer(1)).bodies[1:] == [b"3"]
        assert one.stats().failed == 1


async def test_a_publish_without_confirmation_is_sent_again_over_the_next_connection(nsqd: Any) -> None:
    nsqd.mute.add("PUB")
    async with writer(nsqd) as one:
        publish = asyncio.ensure_future(one.publish("t", b"x"))
        first = await nsqd.peer()
        await first.saw("PUB t")
        nsqd.mute.clear()
        first.cut()
        await within(publish)

        assert (await nsqd.peer(1)).bodies[1:] == [b"x"]
        assert one.stats().resent == 1


async def test_it_waits_for_an_nsqd_that_comes_up_later(nsqd: Any, eventually: Any) -> None:
    port = int(nsqd.address.rpartition(":")[2])
    await nsqd.stop()
    async with writer(nsqd) as one:
        publish = asyncio.ensure_future(one.publish("t", b"x"))
        await eventually(lambda: one.stats().connect_failures != 0)
        await nsqd.start(port)
        await within(publish)


async def test_a_publish_fails_after_its_timeout_and_says_why(nsqd: Any) -> None:
    await nsqd.stop()
    async with writer(nsqd, publish_timeout_ms=100) as one:
        with pytest.raises(PublishFailed, match="not confirmed in time: ") as caught:
            await within(one.publish("t", b"x"))
        assert nsqd.address in str(caught.value)
        assert caught.value.code == ""
        assert one.stats().pending == 0


async def test_the_next_address_takes_over_and_the_first_is_preferred_again(
    nsqd: Any, other_nsqd: Any, eventually: Any
) -> None:
    port = int(nsqd.address.rpartition(":")[2])
    async with writer(nsqd, other_nsqd, preferred_retry_ms=20) as one:
        await one.publish("t", b"1")
        assert one.stats().nsqd_address == nsqd.address
        await nsqd.stop()
        await within(one.publish("t", b"2"))
        assert (await other_nsqd.peer()).bodies[1:] == [b"2"]

        await nsqd.start(port)
        await nsqd.peer(1)
        await eventually(lambda: one.stats().nsqd_address == nsqd.address)
        await within(one.publish("t", b"3"))
        assert nsqd.peers[-1].bodies[1:] == [b"3"]
        await other_nsqd.peers[0].until(lambda: other_nsqd.peers[0].is_gone)


async def test_an_nsqd_that_does_not_answer_is_left_for_the_next(nsqd: Any, other_nsqd: Any) -> None:
    nsqd.mute.add("PUB")
    async with writer(nsqd, other_nsqd, response_timeout_ms=50) as one:
        await within(one.publish("t", b"x"))

        assert (await other_nsqd.peer()).bodies[1:] == [b"x"]
        assert "not answered" in one.stats().last_error


async def test_an_nsqd_that_cannot_queue_is_left_for_the_next(nsqd: Any, other_nsqd: Any) -> None:
    nsqd.errors["PUB"] = b"E_PUB_FAILED PUB failed exiting"
    async with writer(nsqd, other_nsqd) as one:
        await within(one.publish("t", b"x"))

        assert (await other_nsqd.peer()).bodies[1:] == [b"x"]


async def test_a_publish_over_which_connections_are_lost_fails_alone(nsqd: Any) -> None:
    async def cut_over_the_huge_one() -> None:
        for number in range(3):
            peer = await nsqd.peer(number)
            await peer.until(lambda peer=peer: b"huge" in peer.bodies)  # type: ignore[misc]
            if number == 2:
                nsqd.mute.clear()
            peer.cut()

    nsqd.mute |= {"DPUB", "PUB"}
    async with writer(nsqd, publish_attempts_max=3) as one, asyncio.TaskGroup() as group:
        group.create_task(cut_over_the_huge_one())
        huge = asyncio.ensure_future(one.publish_deferred("t", 1, b"huge"))
        await asyncio.sleep(0)
        others = [asyncio.ensure_future(one.publish("t", b"small")) for _ in range(5)]

        with pytest.raises(PublishFailed, match="lost 3 connections over it"):
            await within(huge)
        await within(asyncio.gather(*others))
        assert one.stats().connects == 4


async def test_callers_wait_for_room(nsqd: Any) -> None:
    nsqd.mute.add("PUB")
    async with writer(nsqd, pending_max=2) as one:
        publishes = [asyncio.ensure_future(one.publish("t", b"%d" % number)) for number in range(3)]
        peer = await nsqd.peer()
        await peer.saw("PUB t", "PUB t")
        assert one.stats().pending == 2
        nsqd.mute.clear()
        peer.send(RESPONSE, b"OK")
        peer.send(RESPONSE, b"OK")
        await within(asyncio.gather(*publishes))
        assert peer.bodies[1:] == [b"0", b"1", b"2"]


async def test_a_publish_that_finds_no_room_fails_after_its_timeout(nsqd: Any) -> None:
    nsqd.mute.add("PUB")
    async with writer(nsqd, pending_max=1, publish_timeout_ms=100) as one:
        results = await within(asyncio.gather(*(one.publish("t", b"x") for _ in range(3)), return_exceptions=True))

        assert [type(result) for result in results] == [PublishFailed] * 3
        nsqd.peers[0].send(RESPONSE, b"OK")


async def test_a_cancelled_publish_does_not_disturb_the_others(nsqd: Any) -> None:
    nsqd.mute.add("PUB")
    async with writer(nsqd) as one:
        first, second = (asyncio.ensure_future(one.publish("t", body)) for body in (b"1", b"2"))
        peer = await nsqd.peer()
        await peer.saw("PUB t", "PUB t")
        first.cancel()
        peer.send(RESPONSE, b"OK")
        peer.send(RESPONSE, b"OK")
        await within(second)
        assert first.cancelled()


async def test_closing_waits_for_confirmations(nsqd: Any) -> None:
    nsqd.mute.add("PUB")
    async with writer(nsqd) as one:
        publish = asyncio.ensure_future(one.publish("t", b"x"))
        peer = await nsqd.peer()
        await peer.saw("PUB t")
        closing = asyncio.ensure_future(one.close())
        await asyncio.sleep(0)
        assert not closing.done()
        peer.send(RESPONSE, b"OK")
        await within(closing)
        await publish


async def test_closing_fails_what_is_not_confirmed_in_time(nsqd: Any) -> None:
    nsqd.mute.add("PUB")
    async with writer(nsqd, close_timeout_ms=20) as one:
        publish = asyncio.ensure_future(one.publish("t", b"x"))
        await (await nsqd.peer()).saw("PUB t")
    with pytest.raises(PublishFailed, match="closed"):
        await publish


async def test_large_publishes_go_through_a_full_socket(nsqd: Any) -> None:
    async with writer(nsqd) as one:
        bodies = [bytes([number]) * 1_000_000 for number in range(20)]
        await within(asyncio.gather(*(one.publish("t", body) for body in bodies)))

        assert (await nsqd.peer()).bodies[1:] == bodies
