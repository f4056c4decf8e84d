"""`client.connection`: the handshake, its failures, and the deadlines."""

import asyncio
from typing import Any

import pytest

from millstream.base.units import parse_address
from millstream.client import ConnectionFailed, ReaderOptions, WriterOptions
from millstream.client.connection import Happening, NsqdConnection, identify_request
from millstream.protocol.commands import Pub


def connection(nsqd: Any, events: list[Happening] | None = None, **options: Any) -> NsqdConnection:
    chosen = WriterOptions(**options)
    taken: list[Happening] = [] if events is None else events
    return NsqdConnection(parse_address(nsqd.address), chosen, identify_request(chosen), taken.append)


async def test_it_identifies_itself(nsqd: Any) -> None:
    nsqd.negotiated["max_rdy_count"] = 77
    one = connection(nsqd, client_id="me", hostname="here", user_agent="test/1")
    await one.open()

    body = (await nsqd.peer()).bodies[0]
    for part in (b'"client_id":"me"', b'"hostname":"here"', b'"user_agent":"test/1"', b'"feature_negotiation":true'):
        assert part in body
    assert one.negotiated.max_rdy_count == 77
    one.close()
    await one.closed


async def test_a_refused_dial_is_reported() -> None:
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    options = WriterOptions()
    one = NsqdConnection(parse_address(f"127.0.0.1:{port}"), options, identify_request(options), lambda _: None)

    with pytest.raises(ConnectionFailed, match=f"127.0.0.1:{port}"):
        await one.open()
    assert one.closed.done()


async def test_a_refused_identify_is_reported_with_its_text(nsqd: Any) -> None:
    nsqd.errors["IDENTIFY"] = b"E_BAD_BODY IDENTIFY heartbeat interval (100) is invalid"

    with pytest.raises(ConnectionFailed, match=r"E_BAD_BODY IDENTIFY heartbeat interval \(100\) is invalid"):
        await connection(nsqd).open()


async def test_a_silent_nsqd_fails_the_handshake_in_time(nsqd: Any) -> None:
    nsqd.mute.add("IDENTIFY")

    with pytest.raises(ConnectionFailed, match="IDENTIFY timed out"):
        await connection(nsqd, handshake_timeout_ms=20).open()


async def test_auth_is_given_where_it_is_required(nsqd: Any) -> None:
    nsqd.negotiated["auth_required"] = True
    one = connection(nsqd, auth_secret="sesame")
    await one.open()

    peer = await nsqd.peer()
    await peer.saw("IDENTIFY", "AUTH")
    assert peer.bodies[1] == b"sesame"
    one.close()
    await one.closed


async def test_auth_without_a_secret_fails(nsqd: Any) -> None:
    nsqd.negotiated["auth_required"] = True

    with pytest.raises(ConnectionFailed, match="auth_secret"):
        await connection(nsqd).open()


async def test_an_http_port_is_recognised() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    options = ReaderOptions()
    address = parse_address(f"127.0.0.1:{server.sockets[0].getsockname()[1]}")
    one = NsqdConnection(address, options, identify_request(options), lambda _: None)

    with pytest.raises(ConnectionFailed, match="an HTTP port"):
        await one.open()
    server.close()
    await server.wait_closed()


async def test_what_is_queued_in_one_turn_arrives_in_order(nsqd: Any) -> None:
    one = connection(nsqd)
    await one.open()
    for number in range(10):
        one.send(Pub(f"t{number}", b"x"))

    peer = await nsqd.peer()
    await peer.saw(*(f"PUB t{number}" for number in range(10)))
    one.close()
    await one.closed


async def test_closing_writes_what_is_queued(nsqd: Any) -> None:
    one = connection(nsqd)
    await one.open()
    one.send(Pub("last", b"x"))
    one.close()
    await one.closed

    await (await nsqd.peer()).saw("PUB last")


async def test_a_connection_that_stays_silent_is_dropped(nsqd: Any) -> None:
    one = connection(nsqd, heartbeat_interval_ms=1_000, read_timeout_ms=1_000)
    await one.open()

    async with asyncio.timeout(20):
        assert await one.closed == "silent for 1000 ms"


async def test_garbage_ends_the_connection(nsqd: Any) -> None:
    one = connection(nsqd)
    await one.open()
    (await nsqd.peer()).write(b"\x00\x00\x00\x00garbage")

    async with asyncio.timeout(20):
        assert "size 0" in await one.closed


async def test_a_peer_that_takes_no_bytes_is_dropped() -> None:
    async def stall(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"IDENTIFY\n")
        writer.write(b"\x00\x00\x00\x06\x00\x00\x00\x00OK")
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        await released.wait()
        writer.transport.abort()

    released = asyncio.Event()
    server = await asyncio.start_server(stall, "127.0.0.1", 0)
    options = WriterOptions(write_timeout_ms=100)
    address = parse_address(f"127.0.0.1:{server.sockets[0].getsockname()[1]}")
    one = NsqdConnection(address, options, identify_request(options), lambda _: None)
    await one.open()
    one.send(Pub("t", bytes(30_000_000)))

    async with asyncio.timeout(20):
        assert await one.closed == "took no bytes for 100 ms"
    released.set()
    server.close()
    await server.wait_closed()
