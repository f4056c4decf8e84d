"""Clients that keep a daemon waiting, one byte at a time, and thousands that never get to the point.

Each is let go within a bound that the daemon sets, memory stays bounded, and a well-behaved client beside them is
served all the time. Waits have a deadline of a minute: a busy machine only makes them longer.
"""

import asyncio
import resource
import socket
import ssl
import struct
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Final

import pytest
import trustme

DEADLINE_S: Final = 60
MIB: Final = 1 << 20
THOUSANDS: Final = 3_000


@pytest.fixture(scope="module", autouse=True)
def _descriptors() -> Iterator[None]:
    """As many as this process may have: its half of thousands of connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def nsqd(shared_nsqd: Any) -> Any:
    """The daemon under attack, with a topic that has a channel."""
    shared_nsqd.post("/topic/create?topic=t")
    shared_nsqd.post("/channel/create?topic=t&channel=c")
    return shared_nsqd


async def drip(port: int, data: bytes, *, context: ssl.SSLContext | None = None) -> bytes:
    """Send a byte at a time, over and over from the last one, until the other side ends it: what it said."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    answer = bytearray()

    async def read() -> None:
        with suppress(OSError):
            while got := await reader.read(1 << 16):
                answer.extend(got)

    reading = asyncio.create_task(read())
    async with asyncio.timeout(DEADLINE_S):
        with suppress(OSError, RuntimeError):
            for at in range(1 << 20):
                writer.write(data[at : at + 1] or data[-1:])
                await writer.drain()
                if (await asyncio.wait([reading], timeout=0.05))[0]:
                    break
        await reading
    writer.close()
    with suppress(OSError, ssl.SSLError):
        await writer.wait_closed()
    return bytes(answer)


def frame(data: bytes) -> tuple[int, bytes]:
    size, kind = struct.unpack_from(">ii", data)
    return kind, data[8 : 4 + size]


async def test_a_magic_that_drips_is_cut_off(daemons: Any) -> None:
    nsqd = daemons.nsqd("--handshake-timeout=500ms")

    async def begin(data: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", nsqd.tcp_port)
        async with asyncio.timeout(DEADLINE_S):
            for at in range(len(data)):
                writer.write(data[at : at + 1])
                await writer.drain()
            answer = await reader.read()
        writer.close()
        return answer

    assert await asyncio.gather(*[begin(data) for data in (b"", b" ", b"  ", b"  V")]) == [b""] * 4
    assert nsqd.get("/ping") == b"OK"


async def test_a_command_that_drips_is_no_sign_of_life(nsqd: Any, neighbour: Any) -> None:
    body = b'{"heartbeat_interval":1000}'
    begin = b"  V2IDENTIFY\n" + struct.pack(">i", len(body)) + body
    endless = [
        begin + b"PUB t\n" + struct.pack(">i", MIB) + b"x",
        begin + b"MPUB t\n" + struct.pack(">ii", 5 * MIB, 9) + struct.pack(">i", MIB) + b"x",
        begin + b"IDENTIFY\n" + struct.pack(">i", MIB) + b" ",
        begin + b"SUB t " + b"c",
    ]

    answers = await asyncio.gather(*[drip(nsqd.tcp_port, data) for data in endless])

    for answer in answers:
        assert frame(answer) == (0, b"OK")
        assert b"E_" not in answer
    neighbour.was_served()


async def test_http_that_drips_is_answered_408_or_cut_off(nsqd: Any, neighbour: Any) -> None:
    dripping = [
        b"GET /ping HTTP/1.1\r\nHost: ",
        b"GET /ping HTTP/1.1\r\nHost: h\r\nX-A: b\r\nX-",
        b"GET /stats?topic=",
        b"POST /pub?topic=",
    ]

    answers = await asyncio.gather(*[drip(nsqd.http_port, data + b"a") for data in dripping * 5])

    assert {answer[:12] for answer in answers} <= {b"HTTP/1.1 408", b""}
    neighbour.was_served()


@pytest.fixture
def tls_nsqd(daemons: Any, tmp_path: Path) -> Any:
    issued = trustme.CA().issue_cert("127.0.0.1")
    issued.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    issued.private_key_pem.write_to_path(tmp_path / "key.pem")
    nsqd = daemons.nsqd(
        f"--tls-cert={tmp_path / 'cert.pem'}",
        f"--tls-key={tmp_path / 'key.pem'}",
        "--https-address=127.0.0.1:0",
        "--tls-handshake-timeout=1s",
    )
    nsqd.https_port = int(nsqd.wait_for_log("https.listening").rpartition(":")[2])
    return nsqd


async def test_tls_handshakes_that_drip_are_cut_off(tls_nsqd: Any) -> None:
    # The head of a ClientHello that promises sixteen thousand bytes.
    hello = b"\x16\x03\x01\x40\x00\x01\x00\x3f\xfc\x03\x03" + bytes(32)
    body = b'{"feature_negotiation":true,"tls_v1":true}'
    identify = b"  V2IDENTIFY\n" + struct.pack(">i", len(body)) + body

    async def upgrade() -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", tls_nsqd.tcp_port)
        writer.write(identify)
        async with asyncio.timeout(DEADLINE_S):
            await reader.readexactly(int.from_bytes(await reader.readexactly(4), "big"))
            with suppress(OSError, RuntimeError):
                for at in range(len(hello)):
                    writer.write(hello[at : at + 1])
                    await writer.drain()
            answer = await reader.read()
        writer.close()
        return answer

    before = tls_nsqd.resident_bytes()
    answers = await asyncio.gather(
        *[drip(tls_nsqd.https_port, hello) for _ in range(30)], *[upgrade() for _ in range(30)]
    )

    assert answers[:30] == [b""] * 30
    for answer in answers[30:]:
        assert frame(answer) == (1, b"E_IDENTIFY_FAILED IDENTIFY failed handshake timed out")
    assert tls_nsqd.get("/ping") == b"OK"
    assert tls_nsqd.resident_bytes() - before < 48 * MIB


async def test_what_drips_into_nsqlookupd_is_cut_off(daemons: Any) -> None:
    lookupd = daemons.nsqlookupd("--handshake-timeout=1s")
    dripping = [b"  V1", b"  V", b"  V1IDENTIFY\n\x00\x00\xff\x00{", b"  V1" + b" "]

    answers = await asyncio.gather(*[drip(lookupd.tcp_port, data) for data in dripping])

    assert all(answer == b"" or b"E_" in answer for answer in answers)
    assert lookupd.get("/ping") == b"OK"


def half_open(stack: ExitStack, port: int, count: int, first: tuple[bytes, ...]) -> None:
    """Connections of which each says the beginning of something, and no more."""
    for index in range(count):
        client = stack.enter_context(socket.create_connection(("127.0.0.1", port), DEADLINE_S))
        client.sendall(first[index % len(first)])


def test_thousands_of_half_open_tcp_connections_do_no_harm(nsqd: Any, neighbour: Any) -> None:
    before = nsqd.resident_bytes()
    with ExitStack() as stack:
        half_open(
            stack, nsqd.tcp_port, THOUSANDS, (b"", b"  V", b"  V2", b"  V2PUB t", b"  V2PUB t\n\x00\x0f\x00\x00x")
        )
        neighbour.was_served()
        assert nsqd.get("/ping") == b"OK"

        # What begins a command holds 64 KiB until it goes on.
        assert nsqd.resident_bytes() - before < THOUSANDS * 2 // 5 * 68 * 1024 + 48 * MIB
    neighbour.was_served()


def test_thousands_of_half_open_http_requests_do_no_harm(nsqd: Any, neighbour: Any) -> None:
    before = nsqd.resident_bytes()
    head = b"POST /pub?topic=t HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n"
    with ExitStack() as stack:
        half_open(stack, nsqd.http_port, THOUSANDS, (b"", b"GET /ping HT", head, head + bytes(1_000)))
        neighbour.was_served()
        assert nsqd.get("/ping") == b"OK"

        assert nsqd.resident_bytes() - before < 96 * MIB
    neighbour.was_served()


def test_thousands_of_half_open_connections_to_nsqlookupd_do_no_harm(daemons: Any) -> None:
    lookupd = daemons.nsqlookupd()
    before = lookupd.resident_bytes()
    with ExitStack() as stack:
        half_open(stack, lookupd.tcp_port, THOUSANDS, (b"", b"  V1", b"  V1IDENT", b"  V1IDENTIFY\n\x00\x00\xff\x00{"))
        half_open(stack, lookupd.http_port, THOUSANDS // 3, (b"", b"GET /lookup?to", b"POST /x HTTP/1.1\r\n"))

        assert lookupd.get("/topics") == b'{"topics":[]}'
        assert lookupd.resident_bytes() - before < 96 * MIB
    assert lookupd.get("/ping") == b"OK"


def test_connections_beyond_the_limit_take_no_descriptors(daemons: Any) -> None:
    nsqd = daemons.nsqd("--max-connections=200")
    with ExitStack() as stack:
        half_open(stack, nsqd.tcp_port, 1_000, (b"  V2",))
        assert nsqd.get("/ping") == b"OK"
        assert len([*Path(f"/proc/{nsqd.pid}/fd").iterdir()]) < 400
