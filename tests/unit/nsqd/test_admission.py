"""Connections by address, and topics and channels that have to be declared."""

from typing import Any

import pytest

from millstream.nsqd.admission import ADDRESSES_MAX, AddressGate
from millstream.testing import FakeClock


def test_without_limits_everybody_is_let_in() -> None:
    gate = AddressGate(FakeClock())

    assert all(gate.admit("10.0.0.1") for _ in range(1000))


def test_an_address_has_no_more_connections_than_allowed() -> None:
    gate = AddressGate(FakeClock(), connections_max=2)

    assert [gate.admit("10.0.0.1") for _ in range(3)] == [True, True, False]
    assert gate.admit("10.0.0.2")
    gate.leave("10.0.0.1")
    assert gate.admit("10.0.0.1")
    assert (gate.refused_connections, gate.refused_rate) == (1, 0)


def test_an_address_opens_no_more_connections_a_second_than_allowed() -> None:
    clock = FakeClock()
    gate = AddressGate(clock, rate_max=2)

    assert [gate.admit("10.0.0.1") for _ in range(3)] == [True, True, False]
    assert gate.admit("10.0.0.2")
    clock.advance(ms=500)
    assert [gate.admit("10.0.0.1") for _ in range(2)] == [True, False]
    clock.advance(ms=60_000)
    assert [gate.admit("10.0.0.1") for _ in range(3)] == [True, True, False]
    assert (gate.refused_connections, gate.refused_rate) == (0, 3)


def test_a_unix_socket_has_no_address_and_no_limit() -> None:
    gate = AddressGate(FakeClock(), connections_max=1, rate_max=1)

    assert all(gate.admit("") for _ in range(5))


def test_limits_that_are_set_later_count_what_is_open() -> None:
    gate = AddressGate(FakeClock())
    gate.admit("10.0.0.1")
    gate.set_limits(connections_max=1, rate_max=0)

    assert not gate.admit("10.0.0.1")


def test_memory_stays_bounded_whoever_connects() -> None:
    gate = AddressGate(FakeClock(), rate_max=1)
    for number in range(ADDRESSES_MAX + 500):
        gate.admit(f"10.{number}")
        gate.leave(f"10.{number}")

    assert len(gate._tokens) == ADDRESSES_MAX  # noqa: SLF001  (what is kept cannot be seen from outside)
    assert gate._open == {}  # noqa: SLF001


@pytest.mark.shows("nsqd --max-connections-per-address")
async def test_tcp_and_http_share_the_limit_of_an_address(start: Any) -> None:
    async with start(max_connections_per_address=2) as one:
        first = await one.connect()
        first.publish("t", b"x")
        assert await first.text() == "OK"
        assert (await one.ask("GET", "/ping"))[0] == 200
        second = await one.connect()
        second.publish("t", b"x")
        assert await second.text() == "OK"

        assert (await one.ask("GET", "/ping"))[0] == 503
        assert await (await one.connect()).is_closed()
        assert one.host.gate.refused_connections == 2

        first.writer.close()
        await one.until(lambda: len(one.host.sessions) == 1)
        assert (await one.ask("GET", "/ping"))[0] == 200


@pytest.mark.shows("nsqd --max-connection-rate")
async def test_new_connections_are_limited_by_the_second(start: Any) -> None:
    async with start(max_connection_rate=1) as one:
        assert (await one.ask("GET", "/ping"))[0] == 200
        assert (await one.ask("GET", "/ping"))[0] == 503
        one.clock.move_s(1)
        assert (await one.ask("GET", "/ping"))[0] == 200
        assert one.host.gate.refused_rate == 1


@pytest.mark.shows("nsqd --auto-create")
async def test_an_undeclared_topic_is_refused_with_the_fix(start: Any) -> None:
    async with start(auto_create="declared") as one:
        for command in (b"PUB nope\n\0\0\0\1x", b"DPUB nope 5\n\0\0\0\1x", b"SUB nope c\n"):
            client = await one.connect()
            client.send(command)
            assert await client.text() == (
                'E_BAD_TOPIC topic "nope" does not exist: create it with POST /topic/create?topic=nope,'
                " or start nsqd with --auto-create=all"
            )
            assert await client.is_closed()
        for target in ("/pub?topic=nope", "/mpub?topic=nope"):
            assert await one.ask("POST", target, b"x") == (404, b'{"message":"TOPIC_NOT_FOUND"}')
        assert one.host.broker.topics == {}


async def test_an_undeclared_channel_is_refused_with_the_fix(start: Any) -> None:
    async with start(auto_create="declared") as one:
        await one.ask("POST", "/topic/create?topic=t%23ephemeral")
        client = await one.connect()
        client.subscribe("t#ephemeral", "c")
        assert await client.text() == (
            'E_BAD_CHANNEL channel "c" of topic "t#ephemeral" does not exist: create it with POST'
            " /channel/create?topic=t%23ephemeral&channel=c, or start nsqd with --auto-create=all"
        )
        assert await client.is_closed()


async def test_what_was_declared_is_used_and_an_ephemeral_channel_needs_no_declaration(start: Any) -> None:
    async with start(auto_create="declared") as one:
        await one.ask("POST", "/topic/create?topic=t")
        await one.ask("POST", "/channel/create?topic=t&channel=c")
        for channel in ("c", "tail#ephemeral"):
            client = await one.connect()
            client.subscribe("t", channel, 1)
            assert await client.text() == "OK"
            assert await one.ask("POST", "/pub?topic=t", b"x") == (200, b"OK")
            assert (await client.message())[1] == b"x"


async def test_what_was_declared_is_still_there_after_a_restart(start: Any) -> None:
    async with start(auto_create="declared") as one:
        await one.ask("POST", "/topic/create?topic=t")
        await one.ask("POST", "/channel/create?topic=t&channel=c")
    async with start(auto_create="declared") as one:
        assert await one.ask("POST", "/pub?topic=t", b"x") == (200, b"OK")
        client = await one.connect()
        client.subscribe("t", "c", 1)
        assert await client.text() == "OK"
