"""`nsqd.conversation` over a real socket: identity, subscription, answers, heartbeats."""

import asyncio
import json
from typing import Any

import pytest

NOBODY = b"%016x" % 12345


async def test_identify_is_answered_with_what_was_negotiated(start: Any) -> None:
    async with start(max_rdy_count=9) as one:
        peer = await one.connect()
        peer.identify(feature_negotiation=True, msg_timeout=1234, client_id="me")

        found = json.loads(await peer.text())

    assert (found["max_rdy_count"], found["msg_timeout"], found["version"]) == (9, 1234, "1.3.0")


async def test_identify_without_negotiation_is_ok(start: Any) -> None:
    async with start() as one:
        peer = await one.connect()
        peer.identify(client_id="me")

        assert await peer.text() == "OK"


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (b"RDY 1\n", "E_INVALID cannot RDY in current state"),
        (b"FIN " + NOBODY + b"\n", "E_INVALID cannot FIN in current state"),
        (b"REQ " + NOBODY + b" 0\n", "E_INVALID cannot REQ in current state"),
        (b"TOUCH " + NOBODY + b"\n", "E_INVALID cannot TOUCH in current state"),
        (b"CLS\n", "E_INVALID cannot CLS in current state"),
        (b"WHAT\n", "E_INVALID invalid command WHAT"),
        (b"SUB t\n", "E_INVALID SUB insufficient number of parameters"),
        (b"SUB t! c\n", 'E_BAD_TOPIC SUB topic name "t!" is not valid'),
        (b"SUB t c!\n", 'E_BAD_CHANNEL SUB channel name "c!" is not valid'),
        (b"AUTH\n\0\0\0\1x", "E_AUTH_DISABLED AUTH disabled"),
    ],
)
async def test_a_mistake_ends_the_connection(start: Any, line: bytes, error: str) -> None:
    async with start() as one:
        peer = await one.connect()
        peer.send(line)

        assert await peer.text() == error
        assert await peer.is_closed()


async def test_nobody_subscribes_twice(start: Any) -> None:
    async with start() as one:
        peer = await one.connect()
        peer.subscribe("t", "c")
        peer.subscribe("t", "d")

        assert [await peer.text(), await peer.text()] == ["OK", "E_INVALID cannot SUB in current state"]
        assert await peer.is_closed()


async def test_a_client_without_heartbeats_cannot_subscribe(start: Any) -> None:
    async with start() as one:
        peer = await one.connect()
        peer.identify(heartbeat_interval=-1)
        assert await peer.text() == "OK"
        peer.subscribe("t", "c")

        assert await peer.text() == "E_INVALID cannot SUB with heartbeats disabled"


async def test_a_full_channel_takes_no_further_consumer(start: Any) -> None:
    async with start(max_channel_consumers=1) as one:
        left, right = await one.connect(), await one.connect()
        left.subscribe("t", "c")
        assert await left.text() == "OK"
        right.subscribe("t", "c")

        assert await right.text() == "E_SUB_FAILED SUB failed consumers for t:c exceeds limit of 1"


async def test_rdy_beyond_its_limit_is_refused(start: Any) -> None:
    async with start(max_rdy_count=5) as one:
        peer = await one.connect()
        peer.subscribe("t", "c", ready=6)

        assert [await peer.text(), await peer.text()] == ["OK", "E_INVALID RDY count 6 out of range 0-5"]


@pytest.mark.parametrize(("name", "rest"), [(b"FIN", b""), (b"REQ", b" 0"), (b"TOUCH", b"")])
async def test_an_answer_to_what_is_not_held_is_no_reason_to_part(start: Any, name: bytes, rest: bytes) -> None:
    async with start() as one:
        peer = await one.connect()
        peer.subscribe("t", "c", ready=1)
        await peer.text()
        peer.send(name, b" ", NOBODY, rest, b"\n")

        word = name.decode()
        assert await peer.text() == f"E_{word}_FAILED {word} {NOBODY.decode()} failed ID not in flight"
        peer.publish("t", b"still here")
        assert {await peer.text() for _ in range(1)} == {"OK"}
        assert (await peer.message())[1] == b"still here"


async def test_a_message_of_somebody_else_cannot_be_finished(start: Any) -> None:
    async with start() as one:
        owner, thief = await one.connect(), await one.connect()
        owner.subscribe("t", "c", ready=1)
        await owner.text()
        thief.subscribe("t", "c")
        await thief.text()
        thief.publish("t", b"x")
        assert await thief.text() == "OK"
        found, _, _ = await owner.message()
        thief.send(b"FIN %s\n" % found)

        assert await thief.text() == f"E_FIN_FAILED FIN {found.decode()} failed client does not own message"


async def test_a_requeued_message_comes_again_with_another_attempt(start: Any) -> None:
    async with start() as one:
        peer = await one.connect()
        peer.subscribe("t", "c", ready=1)
        await peer.text()
        peer.publish("t", b"x")
        await peer.text()
        first, _, attempts = await peer.message()
        peer.send(b"REQ %s 0\n" % first)

        assert attempts == 1
        assert await peer.message() == (first, b"x", 2)


async def test_a_delayed_message_waits_for_its_time(start: Any) -> None:
    async with start() as one:
        peer = await one.connect()
        peer.subscribe("t", "c", ready=1)
        await peer.text()
        peer.publish("t", b"x")
        await peer.text()
        first, _, _ = await peer.message()
        peer.send(b"REQ %s 5000\n" % first)
        peer.publish("t", b"y")
        assert await peer.text() == "OK"
        assert (await peer.message())[1] == b"y"
        channel = one.host.broker.topics["t"].channels["c"]
        assert channel.deferred_count == 1
        peer.send(b"RDY 2\n")

        one.clock.move_s(5)

        assert await peer.message() == (first, b"x", 2)


async def test_a_touched_message_gets_a_new_deadline(start: Any) -> None:
    async with start(msg_timeout_ms=10_000) as one:
        peer = await one.connect()
        peer.subscribe("t", "c", ready=1)
        await peer.text()
        peer.publish("t", b"x")
        await peer.text()
        first, _, _ = await peer.message()
        channel = one.host.broker.topics["t"].channels["c"]
        one.clock.move_s(9)
        peer.send(b"TOUCH %s\n" % first)
        peer.publish("elsewhere", b"y")
        await peer.text()
        one.clock.move_s(9)
        one.host.broker.tick(one.clock.monotonic_ns())
        assert channel.timeout_count == 0

        one.clock.move_s(2)

        assert await peer.message() == (first, b"x", 2)
        assert channel.timeout_count == 1


async def test_after_cls_nothing_more_is_delivered_but_answers_count(start: Any) -> None:
    async with start() as one:
        peer = await one.connect()
        peer.subscribe("t", "c", ready=1)
        await peer.text()
        peer.publish("t", b"x", b"y")
        assert [await peer.text(), await peer.text()] == ["OK", "OK"]
        first, _, _ = await peer.message()
        peer.send(b"CLS\n", b"RDY 5\n", b"FIN %s\n" % first)
        assert await peer.text() == "CLOSE_WAIT"

        channel = one.host.broker.topics["t"].channels["c"]
        await one.until(lambda: channel.in_flight_count == 0)
        assert channel.depth == 1


async def test_what_a_lost_client_held_goes_to_others(start: Any) -> None:
    async with start() as one:
        lost, other = await one.connect(), await one.connect()
        lost.subscribe("t", "c", ready=1)
        await lost.text()
        other.publish("t", b"x")
        await other.text()
        first, _, _ = await lost.message()
        lost.writer.close()
        other.subscribe("t", "c", ready=1)
        assert await other.text() == "OK"

        assert await other.message() == (first, b"x", 2)


async def test_a_client_that_never_says_what_it_speaks_is_let_go(start: Any) -> None:
    async with start(handshake_timeout_ms=1) as one:
        peer = await one.connect(greet=False)

        assert await peer.is_closed()


async def test_a_client_that_stays_silent_is_let_go_after_two_heartbeats(start: Any) -> None:
    async with start() as one:
        peer = await one.connect()
        peer.identify(heartbeat_interval=1000)
        assert await peer.text() == "OK"
        one.clock.move_s(2)

        assert await peer.is_closed()


async def test_a_heartbeat_comes_to_whoever_is_there(start: Any) -> None:
    async with start() as one:
        peer = await one.connect()
        peer.identify(heartbeat_interval=1000)
        assert await peer.text() == "OK"

        async with asyncio.timeout(20):
            frame = await peer.reader.readexactly(19)

    assert frame == b"\0\0\0\x0f\0\0\0\0_heartbeat_"


@pytest.mark.shows("nsqd --max-connections")
async def test_more_clients_than_allowed_are_turned_away(start: Any) -> None:
    async with start(max_connections=1) as one:
        first = await one.connect()
        await one.until(lambda: len(one.host.sessions) == 1)
        second = await one.connect()

        assert await second.is_closed()
        first.publish("t", b"x")
        assert await first.text() == "OK"
