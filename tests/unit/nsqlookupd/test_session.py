import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from millstream.base.system import SystemClock
from millstream.net.listener import listen
from millstream.nsqlookupd.registry import Registry
from millstream.nsqlookupd.session import SessionHost, SessionLimits
from millstream.protocol.lookup import MAGIC_V1, Identify, Identity, Ping, Register, Unregister, encode_reply

IDENTITY = Identity(broadcast_address="h", tcp_port=4150, http_port=4151, version="1.3.0")
HELLO = MAGIC_V1 + Identify(IDENTITY).encode()
LIMITS = SessionLimits(connections_max=10, line_bytes_max=4096, body_bytes_max=65_536, handshake_timeout_ms=5_000)
DEADLINE_S = 20

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Lookupd:
    """The TCP side of one nsqlookupd, on a free port."""

    def __init__(self, registry: Registry, host: SessionHost, port: int) -> None:
        self.registry = registry
        self.host = host
        self.port = port

    @asynccontextmanager
    async def connect(self, data: bytes = b"") -> AsyncIterator[Streams]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(data)
        try:
            yield reader, writer
        finally:
            writer.close()

    async def exchange(self, data: bytes, *, half_close: bool = False) -> bytes:
        """Everything that comes back until the daemon closes."""
        async with asyncio.timeout(DEADLINE_S), self.connect(data) as (reader, writer):
            if half_close:
                writer.write_eof()
            return await reader.read()


@asynccontextmanager
async def running(
    limits: SessionLimits = LIMITS, entries_max: int = 1000, *, is_open: bool = True
) -> AsyncIterator[Lookupd]:
    registry = Registry(SystemClock(), inactive_after_ms=60_000, tombstone_lifetime_ms=1_000, entries_max=entries_max)
    host = SessionHost(registry, limits)
    listener = await listen("127.0.0.1:0", host.accept)
    if is_open:
        host.open(Identity(broadcast_address="me", tcp_port=1, http_port=2, version="1.3.0"))
    try:
        yield Lookupd(registry, host, listener.port)
    finally:
        listener.close()
        await host.close()


async def read_reply(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(DEADLINE_S):
        size = int.from_bytes(await reader.readexactly(4), "big")
        return await reader.readexactly(size)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not condition():  # noqa: ASYNC110 - what is waited for is the state of the registry, which tells nobody
            await asyncio.sleep(0)


@pytest.mark.asyncio(loop_factories=["asyncio", "uvloop"])
async def test_pipelined_commands_are_answered_in_order() -> None:
    async with running() as lookupd:
        data = HELLO + Register("t", "c").encode() + Ping().encode() + Unregister("t", "c").encode()
        async with lookupd.connect(data) as (reader, writer):
            replies = [await read_reply(reader) for _ in range(4)]

            assert replies[0].startswith(b'{"broadcast_address":"me"')
            assert replies[1:] == [b"OK", b"OK", b"OK"]
            lookup = lookupd.registry.lookup("t")
            assert lookup is not None
            [producer] = lookup.producers
            port = writer.get_extra_info("sockname")[1]
            assert producer.remote_address == f"127.0.0.1:{port}"


async def test_a_disconnect_takes_the_nsqd_out_of_lookups() -> None:
    async with running() as lookupd:
        async with lookupd.connect(HELLO + Register("t").encode()) as (reader, _):
            await read_reply(reader)
            await read_reply(reader)
            assert len(lookupd.registry.nodes()) == 1

        await until(lambda: not lookupd.registry.nodes())
        assert lookupd.registry.topics() == ["t"]


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"HTTP", b"E_BAD_PROTOCOL"),
        (MAGIC_V1 + b"NOPE\n", b"E_INVALID invalid command NOPE"),
        (MAGIC_V1 + b"IDENTIFY\n\xff\xff\xff\xff", b"E_BAD_BODY IDENTIFY invalid body size -1"),
        (MAGIC_V1 + b"IDENTIFY\n\x7f\xff\xff\xff", b"E_BAD_BODY IDENTIFY body too big 2147483647 > 65536"),
        (MAGIC_V1 + b"x" * 5000, b"E_INVALID command line longer than 4096 bytes"),
    ],
)
@pytest.mark.asyncio(loop_factories=["asyncio", "uvloop"])
async def test_a_broken_rule_is_told_and_the_connection_closed(data: bytes, error: bytes) -> None:
    async with running() as lookupd:
        assert await lookupd.exchange(data) == encode_reply(error)


async def test_commands_before_the_broken_one_are_carried_out_and_those_after_it_not() -> None:
    async with running() as lookupd:
        answer = await lookupd.exchange(
            MAGIC_V1 + b"PING\nNOPE\n" + HELLO.removeprefix(MAGIC_V1) + Register("late").encode()
        )

        assert answer == encode_reply(b"OK") + encode_reply(b"E_INVALID invalid command NOPE")
        assert lookupd.registry.topics() == []


async def test_the_end_of_input_closes_and_tells_what_it_cut() -> None:
    async with running() as lookupd:
        assert await lookupd.exchange(MAGIC_V1 + b"PING\n", half_close=True) == encode_reply(b"OK")
        assert await lookupd.exchange(MAGIC_V1 + b"IDENTIFY\n\0", half_close=True) == encode_reply(
            b"E_BAD_BODY IDENTIFY failed to read body size"
        )


@pytest.mark.parametrize("data", [b"", b"  V", MAGIC_V1, MAGIC_V1 + b"IDENT", MAGIC_V1 + b"IDENTIFY\n\0\0\0\x09{"])
@pytest.mark.shows("nsqlookupd --handshake-timeout")
async def test_a_peer_that_never_finishes_its_first_command_is_closed(data: bytes) -> None:
    limits = SessionLimits(connections_max=10, line_bytes_max=4096, body_bytes_max=65_536, handshake_timeout_ms=50)
    async with running(limits) as lookupd:
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            async with asyncio.timeout(DEADLINE_S), lookupd.connect(data) as (reader, _):
                await reader.readexactly(1)


@pytest.mark.shows("nsqlookupd --max-connections")
async def test_connections_beyond_the_limit_are_closed_and_room_is_made_by_a_leaver() -> None:
    limits = SessionLimits(connections_max=1, line_bytes_max=4096, body_bytes_max=65_536, handshake_timeout_ms=5_000)
    async with running(limits) as lookupd:
        async with lookupd.connect(HELLO) as (reader, _):
            await read_reply(reader)
            with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
                async with asyncio.timeout(DEADLINE_S), lookupd.connect() as (refused, _):
                    await refused.readexactly(1)

        await until(lambda: not lookupd.registry.nodes())
        async with lookupd.connect(MAGIC_V1 + b"PING\n") as (reader, _):
            assert await read_reply(reader) == b"OK"


@pytest.mark.asyncio(loop_factories=["asyncio", "uvloop"])
async def test_a_peer_that_does_not_read_its_replies_is_not_read_and_at_last_cut() -> None:
    limits = SessionLimits(connections_max=10, line_bytes_max=4096, body_bytes_max=65_536, handshake_timeout_ms=300)
    pings = b"PING\n" * 100_000
    async with running(limits) as lookupd, asyncio.timeout(DEADLINE_S):
        _, transport_protocol = await asyncio.get_running_loop().create_connection(_Deaf, "127.0.0.1", lookupd.port)
        for _ in range(40):
            transport_protocol.transport.write(pings)

        await transport_protocol.lost.wait()


@pytest.mark.asyncio(loop_factories=["asyncio", "uvloop"])
async def test_a_slow_reader_gets_every_reply() -> None:
    count = 200_000
    async with running() as lookupd, asyncio.timeout(DEADLINE_S), lookupd.connect() as (reader, writer):
        writer.write(MAGIC_V1 + b"PING\n" * count)

        assert await reader.readexactly(6 * count) == encode_reply(b"OK") * count


@pytest.mark.shows("nsqlookupd --max-registrations")
async def test_a_full_registry_is_told() -> None:
    async with running(entries_max=5) as lookupd:
        answer = await lookupd.exchange(HELLO + b"REGISTER t c\nREGISTER u c\n")

        assert b"E_INVALID REGISTER failed the registry has 4 entries, the limit is 5" in answer


async def test_peers_that_come_before_the_host_is_open_are_heard_later() -> None:
    async with running(is_open=False) as lookupd, lookupd.connect(HELLO) as (reader, _):
        async with lookupd.connect() as (_, other):
            await other.drain()
        assert not lookupd.registry.nodes()

        lookupd.host.open(Identity(broadcast_address="late", tcp_port=1, http_port=2, version="1.3.0"))

        assert b'"late"' in await read_reply(reader)


async def test_closing_cuts_every_connection_and_empties_the_nodes() -> None:
    async with running() as lookupd, lookupd.connect(HELLO) as (reader, _):
        await read_reply(reader)

        await lookupd.host.close()

        assert lookupd.registry.nodes() == []


class _Deaf(asyncio.Protocol):
    """Writes and never reads."""

    def __init__(self) -> None:
        self.lost = asyncio.Event()
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]  # what create_connection makes
        self.transport.pause_reading()

    def connection_lost(self, _exc: Exception | None) -> None:
        self.lost.set()
