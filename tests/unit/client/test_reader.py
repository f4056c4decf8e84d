"""`client.reader` with what is below it, against a scripted nsqd on a real socket."""

import asyncio
from typing import Any

import pytest

from millstream.base.errors import UsageError
from millstream.client import Message, Reader, ReaderOptions
from millstream.protocol.frames import ERROR, RESPONSE

FAST: dict[str, Any] = {"reconnect_delay_ms": 1, "reconnect_delay_max_ms": 20, "close_timeout_ms": 2_000}


def reader(nsqd: Any, *more: Any, **options: Any) -> Reader:
    addresses = [one.address for one in (nsqd, *more)]
    return Reader("events", "work", nsqd_tcp_addresses=addresses, options=ReaderOptions(**{**FAST, **options}))


async def take(one: Reader) -> Message:
    async with asyncio.timeout(20):
        return await anext(one)


@pytest.mark.parametrize(("topic", "channel"), [("", "c"), ("a b", "c"), ("t", "c!"), ("t", "x" * 65)])
def test_a_bad_name_is_refused(topic: str, channel: str) -> None:
    with pytest.raises(UsageError, match="not a valid name"):
        Reader(topic, channel, nsqd_tcp_addresses=["127.0.0.1:4150"])


def test_a_reader_without_addresses_is_refused() -> None:
    with pytest.raises(UsageError, match="nsqd_tcp_addresses or lookupd_http_addresses"):
        Reader("t", "c")


async def test_a_reader_that_was_not_entered_says_so() -> None:
    one = Reader("t", "c", nsqd_tcp_addresses=["127.0.0.1:4150"])

    with pytest.raises(UsageError, match="enter"):
        await anext(one)
    await one.close()


async def test_it_subscribes_takes_finishes_requeues_and_touches(nsqd: Any) -> None:
    async with reader(nsqd, max_in_flight=5) as one:
        peer = await nsqd.subscriber()
        await peer.saw("IDENTIFY", "SUB events work", "RDY 5")
        peer.deliver(1, 2, 3)
        first, second, third = [await take(one) for _ in range(3)]
        assert (first.topic, first.channel, first.nsqd_address) == ("events", "work", nsqd.address)
        assert (first.id, first.body, first.attempts, first.timestamp_ns) == (b"%016x" % 1, b"body", 1, 1)
        assert not first.has_responded

        first.finish()
        second.touch()
        second.requeue(7, backoff=False)
        third.requeue(backoff=False)

        await peer.saw(
            "FIN 0000000000000001", "TOUCH 0000000000000002", "REQ 0000000000000002 7", "REQ 0000000000000003 90000"
        )
        assert first.has_responded
        stats = one.stats()
        assert (stats.received, stats.finished, stats.requeued, stats.touched) == (3, 1, 2, 1)
    assert peer.lines[-1] == "CLS"


async def test_a_batch_is_what_came_in_one_read(nsqd: Any) -> None:
    async with reader(nsqd, max_in_flight=100) as one:
        peer = await nsqd.subscriber()
        await peer.saw("RDY 100")
        peer.deliver(*range(50))
        numbers: list[int] = []
        async with asyncio.timeout(20):
            async for batch in one.batches():
                assert batch
                numbers += [int(message.id, 16) for message in batch]
                for message in batch:
                    message.finish()
                if len(numbers) == 50:
                    break
        assert numbers == list(range(50))


async def test_answering_twice_is_an_error_and_a_late_touch_is_not(nsqd: Any) -> None:
    async with reader(nsqd) as one:
        (await nsqd.subscriber()).deliver(1)
        message = await take(one)
        message.finish()
        message.touch()

        with pytest.raises(UsageError, match="answered before"):
            message.finish()
        with pytest.raises(UsageError, match="answered before"):
            message.requeue()
        assert one.stats().touched == 0


async def test_a_negative_delay_is_refused_and_the_message_can_still_be_answered(nsqd: Any) -> None:
    async with reader(nsqd) as one:
        (await nsqd.subscriber()).deliver(1)
        message = await take(one)

        with pytest.raises(UsageError, match="negative"):
            message.requeue(-1)
        message.finish()


async def test_the_requeue_delay_grows_with_attempts_up_to_a_maximum(nsqd: Any) -> None:
    options = {"max_in_flight": 5, "default_requeue_delay_ms": 1_000, "max_requeue_delay_ms": 2_500, "max_attempts": 0}
    async with reader(nsqd, **options) as one:
        peer = await nsqd.subscriber()
        for number in (1, 2, 3):
            peer.deliver(number, attempts=number)
            (await take(one)).requeue(backoff=False)

        await peer.saw("REQ 0000000000000001 1000", "REQ 0000000000000002 2000", "REQ 0000000000000003 2500")


async def test_a_message_tried_too_often_is_reported_and_finished_and_not_handed_out(nsqd: Any) -> None:
    gone: list[bytes] = []
    async with reader(nsqd, max_in_flight=5, gave_up=lambda message: gone.append(message.id)) as one:
        peer = await nsqd.subscriber()
        peer.deliver(1, attempts=6)
        peer.deliver(2, attempts=5)
        message = await take(one)
        assert message.attempts == 5
        message.finish()

        await peer.saw("FIN 0000000000000001", "FIN 0000000000000002")
        assert gone == [b"%016x" % 1]
        assert one.stats().gave_up == 1


async def test_a_message_whose_report_failed_is_requeued(nsqd: Any) -> None:
    def fail(message: Message) -> None:
        raise RuntimeError(message.id)

    async with reader(nsqd, gave_up=fail):
        peer = await nsqd.subscriber()
        peer.deliver(1, attempts=6)

        await peer.saw("REQ 0000000000000001 540000")


async def test_a_heartbeat_is_answered_while_a_handler_waits(nsqd: Any) -> None:
    async with reader(nsqd) as one:
        peer = await nsqd.subscriber()
        peer.deliver(1)
        message = await take(one)
        peer.send(RESPONSE, b"_heartbeat_")

        await peer.saw("NOP")
        message.finish()


async def test_backoff_sends_rdy_before_the_answer_and_probes_with_one_message(nsqd: Any) -> None:
    async with reader(nsqd, max_in_flight=5, backoff_multiplier_ms=1, default_requeue_delay_ms=9) as one:
        peer = await nsqd.subscriber()
        await peer.saw("RDY 5")
        for number in (1, 2):
            peer.deliver(number)
            (await take(one)).requeue()
            await peer.until(lambda number=number: peer.lines.count("RDY 1") == number)  # type: ignore[misc]
        peer.deliver(3)
        (await take(one)).finish()
        await peer.until(lambda: peer.lines.count("RDY 1") == 3)
        peer.deliver(4)
        (await take(one)).finish()
        await peer.saw("FIN 0000000000000004")

        assert peer.lines[peer.lines.index("RDY 5") :] == [
            *("RDY 5", "RDY 0", "REQ 0000000000000001 9", "RDY 1", "RDY 0", "REQ 0000000000000002 9", "RDY 1"),
            *("RDY 0", "FIN 0000000000000003", "RDY 1", "RDY 5", "FIN 0000000000000004"),
        ]


async def test_rdy_is_shared_over_connections_and_follows_their_loss(nsqd: Any, other_nsqd: Any) -> None:
    async with reader(nsqd, other_nsqd, max_in_flight=10):
        one, other = await nsqd.subscriber(), await other_nsqd.subscriber()
        await one.until(lambda: one.lines[-1] == "RDY 5")
        await other.until(lambda: other.lines[-1] == "RDY 5")
        other_nsqd.mute.add("IDENTIFY")
        other.cut()

        await one.until(lambda: one.lines[-1] == "RDY 10")


async def test_a_lost_connection_is_made_again_and_answers_to_its_messages_vanish(nsqd: Any) -> None:
    async with reader(nsqd) as one:
        first = await nsqd.subscriber()
        first.deliver(1)
        message = await take(one)
        first.cut()
        second = await nsqd.subscriber(1)
        await second.saw("RDY 1")
        message.finish()
        message.touch()
        second.deliver(2)
        (await take(one)).finish()

        await second.saw("FIN 0000000000000002")
        assert "FIN 0000000000000001" not in first.lines + second.lines
        assert (one.stats().late, one.stats().connects) == (1, 2)


async def test_what_nobody_took_when_the_connection_was_lost_is_not_handed_out(nsqd: Any, eventually: Any) -> None:
    async with reader(nsqd, max_in_flight=5) as one:
        first = await nsqd.subscriber()
        first.deliver(1, 2)
        await eventually(lambda: one.stats().unread == 2)
        first.cut()
        second = await nsqd.subscriber(1)
        second.deliver(3)
        message = await take(one)
        message.finish()

        assert int(message.id, 16) == 3
        assert one.stats().dropped == 2


async def test_it_connects_when_nsqd_comes_up_later(nsqd: Any, eventually: Any) -> None:
    port = int(nsqd.address.rpartition(":")[2])
    await nsqd.stop()
    async with reader(nsqd) as one:
        await eventually(lambda: one.stats().connect_failures != 0)
        await nsqd.start(port)
        (await nsqd.subscriber()).deliver(1)
        (await take(one)).finish()


async def test_delivery_stops_while_too_much_is_unread(nsqd: Any) -> None:
    async with reader(nsqd, max_in_flight=10, unread_bytes_max=15) as one:
        peer = await nsqd.subscriber()
        await peer.saw("RDY 10")
        peer.deliver(1, 2, body=b"0123456789")
        await peer.saw("RDY 0")
        assert one.stats().unread_bytes == 20
        for _ in range(2):
            (await take(one)).finish()

        await peer.saw("RDY 0", "RDY 10")
        assert one.stats().held == 1


async def test_a_refused_answer_is_counted_and_the_connection_goes_on(nsqd: Any) -> None:
    async with reader(nsqd) as one:
        peer = await nsqd.subscriber()
        await peer.saw("RDY 1")
        peer.send(ERROR, b"E_FIN_FAILED FIN 0000000000000001 failed ID not in flight")
        peer.deliver(2)
        (await take(one)).finish()

        assert (one.stats().refused, one.stats().connects) == (1, 1)


async def test_closing_waits_for_answers_and_requeues_what_nobody_took(nsqd: Any) -> None:
    async with reader(nsqd, max_in_flight=5) as one:
        peer = await nsqd.subscriber()
        await peer.saw("RDY 5")
        peer.deliver(1, 2)
        message = await take(one)
        closing = asyncio.ensure_future(one.close())
        await peer.saw("REQ 0000000000000002 0", "CLS")
        assert not closing.done()
        message.finish()
        await closing

        assert peer.lines[-1] == "FIN 0000000000000001"
        with pytest.raises(StopAsyncIteration):
            await anext(one)


async def test_closing_requeues_what_still_arrives(nsqd: Any) -> None:
    nsqd.mute.add("CLS")
    async with reader(nsqd, max_in_flight=5) as one:
        peer = await nsqd.subscriber()
        await peer.saw("RDY 5")
        closing = asyncio.ensure_future(one.close())
        await peer.saw("CLS")
        peer.deliver(1)
        await peer.saw("REQ 0000000000000001 0")
        peer.send(RESPONSE, b"CLOSE_WAIT")
        await closing


async def test_closing_without_answers_ends_at_its_timeout(nsqd: Any) -> None:
    async with reader(nsqd, close_timeout_ms=20) as one:
        peer = await nsqd.subscriber()
        peer.deliver(1)
        await take(one)
    await peer.until(lambda: peer.is_gone)


async def test_an_exception_in_the_body_closes_without_waiting(nsqd: Any) -> None:
    async def fail() -> None:
        async with reader(nsqd, close_timeout_ms=60_000) as one:
            (await nsqd.subscriber()).deliver(1)
            await take(one)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()


async def test_closing_ends_the_iteration_of_every_task(nsqd: Any) -> None:
    async def count(one: Reader) -> int:
        seen = 0
        async for message in one:
            message.finish()
            seen += 1
        return seen

    async with reader(nsqd, max_in_flight=10) as one:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(count(one)) for _ in range(3)]
            peer = await nsqd.subscriber()
            await peer.saw("RDY 10")
            peer.deliver(*range(1, 8))
            await peer.until(lambda: sum(line.startswith("FIN") for line in peer.lines) == 7)
            await one.close()
        assert sum(task.result() for task in tasks) == 7


async def test_a_cancelled_task_loses_no_message(nsqd: Any) -> None:
    async with reader(nsqd) as one:
        peer = await nsqd.subscriber()
        await peer.saw("RDY 1")
        first, second = asyncio.ensure_future(anext(one)), asyncio.ensure_future(anext(one))
        await asyncio.sleep(0)
        first.cancel()
        peer.deliver(1)
        async with asyncio.timeout(20):
            (await second).finish()
        assert first.cancelled() or first.cancelling()
        await asyncio.gather(first, return_exceptions=True)


async def test_max_in_flight_can_be_changed(nsqd: Any) -> None:
    async with reader(nsqd) as one:
        peer = await nsqd.subscriber()
        await peer.saw("RDY 1")
        one.set_max_in_flight(7)
        await peer.saw("RDY 7")
        one.set_max_in_flight(0)
        await peer.saw("RDY 7", "RDY 0")
        with pytest.raises(UsageError):
            one.set_max_in_flight(-1)


async def test_it_is_starved_when_nearly_all_is_in_flight(nsqd: Any) -> None:
    async with reader(nsqd, max_in_flight=2) as one:
        peer = await nsqd.subscriber()
        await peer.saw("RDY 2")
        assert not one.is_starved
        peer.deliver(1, 2)
        messages = [await take(one), await take(one)]
        assert one.is_starved
        for message in messages:
            message.finish()
        assert not one.is_starved


async def test_two_times_the_same_address_is_one_connection(nsqd: Any) -> None:
    async with reader(nsqd, nsqd) as one:
        peer = await nsqd.subscriber()
        await peer.saw("RDY 1")
        peer.deliver(1)
        (await take(one)).finish()
        assert len(nsqd.peers) == 1
