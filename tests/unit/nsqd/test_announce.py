import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import pytest

from millstream.base.errors import OptionError
from millstream.net.http import HttpServer, Request, Response, Router, json
from millstream.net.http_auth import OwnToken
from millstream.net.http_client import HttpClient
from millstream.net.listener import listen
from millstream.nsqd.announce import AnnounceLimits, Announcer
from millstream.protocol.lookup import (
    Command,
    Identify,
    Identity,
    LookupServerConnection,
    Ping,
    Register,
    Unregister,
    encode_identity_reply,
    encode_reply,
)

T = TypeVar("T")

IDENTITY = Identity(broadcast_address="10.1.1.1", tcp_port=4150, http_port=4151, version="1.3.0", hostname="web1")
DEADLINE_S = 20
QUICK = AnnounceLimits(reconnect_delay_ms=1, reconnect_delay_ms_max=20, reconnect_interval_ms=10)


class Broker:
    """What nsqd has."""

    def __init__(self, topics: dict[str, list[str]] | None = None) -> None:
        self.by_name = topics or {}

    def topics(self) -> Iterable[tuple[str, Iterable[str]]]:
        return self.by_name.items()


Answer = Callable[["FakeLookupd", Command], bytes]


def obey(lookupd: "FakeLookupd", command: Command) -> bytes:
    if isinstance(command, Identify):
        return encode_reply(encode_identity_reply(lookupd.identity))
    return encode_reply(b"OK")


class FakeLookupd(asyncio.Protocol):
    """An nsqlookupd that notes what it hears and answers as it is told to."""

    def __init__(self, answer: Answer = obey, http_port: int = 4161) -> None:
        self.answer = answer
        self.identity = Identity(broadcast_address="127.0.0.1", tcp_port=4160, http_port=http_port, version="1.3.0")
        self.heard: asyncio.Queue[Command] = asyncio.Queue()
        self.ended: asyncio.Queue[None] = asyncio.Queue()
        self.connections: list[asyncio.Transport] = []

    def accept(self) -> asyncio.Protocol:
        return _Connection(self)

    async def next(self) -> Command:
        return await soon(self.heard.get())

    async def take(self, count: int) -> list[Command]:
        return [await self.next() for _ in range(count)]


class _Connection(asyncio.Protocol):
    def __init__(self, lookupd: FakeLookupd) -> None:
        self.lookupd = lookupd
        self.parser = LookupServerConnection()
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]  # what listen makes
        self.lookupd.connections.append(self.transport)

    def data_received(self, data: bytes) -> None:
        self.parser.receive(data)
        answers = b""
        for command in self.parser.commands():
            self.lookupd.heard.put_nowait(command)
            answers += self.lookupd.answer(self.lookupd, command)
        self.transport.write(answers)

    def connection_lost(self, _exc: Exception | None) -> None:
        self.lookupd.connections.remove(self.transport)
        self.lookupd.ended.put_nowait(None)


async def soon(waited: Awaitable[T]) -> T:
    async with asyncio.timeout(DEADLINE_S):
        return await waited


@asynccontextmanager
async def listening(lookupd: FakeLookupd, address: str = "127.0.0.1:0") -> AsyncIterator[str]:
    listener = await listen(address, lookupd.accept)
    try:
        yield listener.address
    finally:
        listener.close()
        for transport in list(lookupd.connections):
            transport.abort()
            await soon(lookupd.ended.get())


@asynccontextmanager
async def announcing(
    addresses: Iterable[str],
    broker: Broker | None = None,
    limits: AnnounceLimits = QUICK,
    token: OwnToken | None = None,
) -> AsyncIterator[Announcer]:
    async with HttpClient(connect_timeout_ms=500, request_timeout_ms=1000) as http:
        announcer = Announcer(broker or Broker(), identity=IDENTITY, http=http, limits=limits, token=token)
        announcer.set_peers(addresses)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(announcer.run())
            try:
                yield announcer
            finally:
                task.cancel()


async def free_address() -> str:
    listener = await listen("127.0.0.1:0", asyncio.Protocol)
    listener.close()
    return listener.address


@pytest.mark.asyncio(loop_factories=["asyncio", "uvloop"])
@pytest.mark.shows("nsqd: nsqlookupd: IDENTIFY, then everything that exists")
async def test_a_connection_begins_with_identify_and_everything_that_exists() -> None:
    lookupd = FakeLookupd()
    broker = Broker({"t": [], "u": ["a", "b#ephemeral"], "v#ephemeral": []})
    async with listening(lookupd) as address, announcing([address], broker):
        heard = await lookupd.take(5)

    assert heard == [
        Identify(IDENTITY),
        Register("t"),
        Register("u", "a"),
        Register("u", "b#ephemeral"),
        Register("v#ephemeral"),
    ]


async def test_more_registrations_than_are_sent_at_once_all_arrive_in_order() -> None:
    lookupd = FakeLookupd()
    names = [f"t{number}" for number in range(1000)]
    async with listening(lookupd) as address, announcing([address], Broker({name: [] for name in names})):
        heard = await lookupd.take(1001)

    assert heard[1:] == [Register(name) for name in names]


@pytest.mark.asyncio(loop_factories=["asyncio", "uvloop"])
async def test_changes_are_passed_on_to_every_peer() -> None:
    first, second = FakeLookupd(), FakeLookupd()
    async with (
        listening(first) as one,
        listening(second) as other,
        announcing([one, other, one], Broker({"t": []})) as announcer,
    ):
        for lookupd in (first, second):
            assert await lookupd.take(2) == [Identify(IDENTITY), Register("t")]

        announcer.topic_created("u")
        announcer.channel_created("u", "c")
        announcer.channel_deleted("u", "c")
        announcer.topic_deleted("u")

        for lookupd in (first, second):
            assert await lookupd.take(4) == [Register("u"), Register("u", "c"), Unregister("u", "c"), Unregister("u")]


@pytest.mark.shows("nsqd: nsqlookupd: PING every 15 seconds")
async def test_a_peer_is_pinged() -> None:
    lookupd = FakeLookupd()
    async with listening(lookupd) as address, announcing([address], limits=AnnounceLimits(ping_interval_ms=1)):
        assert await lookupd.take(3) == [Identify(IDENTITY), Ping(), Ping()]


async def test_pings_are_not_put_off_by_notifications() -> None:
    lookupd = FakeLookupd()
    async with (
        listening(lookupd) as address,
        announcing([address], limits=AnnounceLimits(ping_interval_ms=20)) as announcer,
        asyncio.timeout(DEADLINE_S),
    ):
        await lookupd.next()
        while await lookupd.next() != Ping():
            for _ in range(3):
                announcer.topic_created("t")


@pytest.mark.shows(
    "nsqd: nsqlookupd: a connection that is lost",
    better="is made again after a moment, not only for the next PING or change",
)
async def test_an_nsqlookupd_that_comes_back_is_told_everything_again() -> None:
    lookupd = FakeLookupd()
    broker = Broker({"t": ["c"]})
    async with listening(lookupd) as address, announcing([address], broker) as announcer:
        assert await lookupd.take(2) == [Identify(IDENTITY), Register("t", "c")]

        lookupd.connections[0].abort()
        broker.by_name["late"] = []
        await soon(lookupd.ended.get())

        assert await lookupd.take(3) == [Identify(IDENTITY), Register("t", "c"), Register("late")]
        announcer.topic_deleted("t")
        assert await lookupd.next() == Unregister("t")


@pytest.mark.shows(
    "nsqd: nsqlookupd: a connection that is lost",
    better="is made again after a moment, not only for the next PING or change",
)
async def test_an_nsqlookupd_that_starts_late_is_found_without_waiting_for_a_ping() -> None:
    lookupd = FakeLookupd()
    address = await free_address()
    async with announcing([address], Broker({"t": []})), listening(lookupd, address):
        assert await lookupd.take(2) == [Identify(IDENTITY), Register("t")]


async def test_a_change_during_registration_is_passed_on_after_it() -> None:
    broker = Broker({"t": []})
    registering = asyncio.Event()

    def hold(lookupd: FakeLookupd, command: Command) -> bytes:
        if command == Register("t"):
            registering.set()
            return b""
        return obey(lookupd, command)

    lookupd = FakeLookupd(hold)
    async with listening(lookupd) as address, announcing([address], broker) as announcer:
        await soon(registering.wait())
        announcer.topic_deleted("t")
        lookupd.connections[0].write(encode_reply(b"OK"))

        assert await lookupd.take(3) == [Identify(IDENTITY), Register("t"), Unregister("t")]


async def test_too_many_changes_are_forgotten_and_everything_is_registered_again() -> None:
    silent = FakeLookupd()
    broker = Broker({"t": []})
    limits = AnnounceLimits(notifications_max=10, reconnect_delay_ms=1, reconnect_interval_ms=1)
    async with listening(silent) as address, announcing([address], broker, limits) as announcer:
        assert await silent.take(2) == [Identify(IDENTITY), Register("t")]

        for number in range(100_000):
            announcer.topic_created(f"t{number}")
        broker.by_name = {"last": []}

        heard = await silent.take(1)
        while heard[-1] != Register("last"):
            heard.append(await silent.next())
        assert Identify(IDENTITY) in heard
        assert len(heard) < 100


def say(data: bytes, to: type[Command]) -> Answer:
    return lambda lookupd, command: data if isinstance(command, to) else obey(lookupd, command)


@pytest.mark.parametrize(
    "answer",
    [
        say(encode_reply(b"E_INVALID invalid command IDENTIFY"), Identify),
        say(encode_reply(b"[]"), Identify),
        say(b"\xff\xff\xff\xff", Identify),
        say(b"HTTP/1.1 400 Bad Request\r\n", Identify),
        say(b"", Identify),
        say(encode_reply(b"OK") * 1000, Register),
        say(b"\x00\x00\x00\x09half", Register),
    ],
    ids=["error", "no object", "negative size", "http", "silence", "too many replies", "half a reply"],
)
@pytest.mark.asyncio(loop_factories=["asyncio", "uvloop"])
@pytest.mark.shows(
    "nsqd: nsqlookupd: one that does not answer",
    better="keeps neither the others nor nsqd waiting; it is left and tried again",
)
async def test_a_hostile_nsqlookupd_is_left_and_tried_again(answer: Answer) -> None:
    hostile, good = FakeLookupd(answer), FakeLookupd()
    limits = AnnounceLimits(reply_timeout_ms=50, reconnect_delay_ms=1, reconnect_delay_ms_max=1)
    async with (
        listening(hostile) as bad_address,
        listening(good) as address,
        announcing([bad_address, address], Broker({"t": []}), limits) as announcer,
    ):
        for _ in range(3):
            await soon(hostile.ended.get())
        assert await good.take(2) == [Identify(IDENTITY), Register("t")]
        announcer.topic_created("u")
        assert await good.next() == Register("u")


async def test_notifications_do_not_keep_a_silent_peer_alive() -> None:
    silent = FakeLookupd(say(b"", Register))
    limits = AnnounceLimits(reply_timeout_ms=50, reconnect_delay_ms=1)
    async with listening(silent) as address, announcing([address], Broker({"t": []}), limits) as announcer:
        async with asyncio.timeout(DEADLINE_S):
            while silent.ended.empty():
                announcer.topic_created("u")
                await asyncio.sleep(0)


async def test_a_refused_registration_is_tolerated() -> None:
    lookupd = FakeLookupd(say(encode_reply(b"E_BAD_TOPIC no"), Register))
    async with listening(lookupd) as address, announcing([address], Broker({"t": []})) as announcer:
        await lookupd.take(2)
        announcer.topic_deleted("t")
        assert await lookupd.next() == Unregister("t")


@pytest.mark.shows("nsqd: nsqlookupd: the list is changed over HTTP")
async def test_peers_can_be_replaced_while_others_keep_their_connection() -> None:
    kept, dropped, added = FakeLookupd(), FakeLookupd(), FakeLookupd()
    async with (
        listening(kept) as kept_address,
        listening(dropped) as dropped_address,
        listening(added) as added_address,
        announcing([kept_address, dropped_address], Broker({"t": []})) as announcer,
    ):
        for lookupd in (kept, dropped):
            await lookupd.take(2)

        announcer.set_peers([kept_address, added_address])

        await soon(dropped.ended.get())
        assert await added.take(2) == [Identify(IDENTITY), Register("t")]
        announcer.topic_created("u")
        assert await kept.next() == Register("u")
        assert kept.ended.empty()


@pytest.mark.parametrize(
    "addresses", [["127.0.0.1"], ["http://127.0.0.1:4160"], [f"127.0.0.1:{n}" for n in range(1, 200)]]
)
async def test_unusable_addresses_change_nothing(addresses: list[str]) -> None:
    lookupd = FakeLookupd()
    async with listening(lookupd) as address, announcing([address], Broker({"t": []})) as announcer:
        await lookupd.take(2)
        with pytest.raises(OptionError):
            announcer.set_peers(addresses)

        announcer.topic_created("u")
        assert await lookupd.next() == Register("u")


async def test_stopping_closes_every_connection_and_says_nothing() -> None:
    lookupd = FakeLookupd()
    async with listening(lookupd) as address:
        async with announcing([address], Broker({"t": []})):
            await lookupd.take(2)
        await soon(lookupd.ended.get())

    assert lookupd.heard.empty()


@asynccontextmanager
async def knowing(answer: Callable[[Request], Response]) -> AsyncIterator[int]:
    router = Router()
    router.add("GET", "/channels", answer)
    server = HttpServer(router)
    listener = await listen("127.0.0.1:0", server.protocol)
    try:
        yield listener.port
    finally:
        listener.close()
        await server.close()


@pytest.mark.shows("nsqd: nsqlookupd: channels that it knows are made with a topic")
async def test_channels_known_elsewhere_are_merged_without_ephemeral_and_bad_names() -> None:
    def first(request: Request) -> Response:
        assert request.query == {"topic": "t#ephemeral"}
        assert request.headers["accept"] == "application/vnd.nsq; version=1.0"
        return json({"channels": ["b", "c#ephemeral", "not a name", "a"]})

    async with (
        knowing(first) as port,
        knowing(lambda _request: json({"channels": ["c", "b"]})) as other_port,
        knowing(lambda _request: json(["no object"])) as broken_port,
        knowing(lambda _request: json({"channels": None})) as empty_port,
    ):
        lookupds = [FakeLookupd(http_port=number) for number in (port, other_port, broken_port, empty_port)]
        async with (
            listening(lookupds[0]) as a,
            listening(lookupds[1]) as b,
            listening(lookupds[2]) as c,
            listening(lookupds[3]) as d,
            announcing([a, b, c, d], Broker({"t": []})) as announcer,
        ):
            for lookupd in lookupds:
                await lookupd.take(2)

            assert await soon(announcer.channels_of("t#ephemeral")) == ["a", "b", "c"]


async def test_an_nsqlookupd_that_wants_a_token_is_shown_it(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("open-sesame")
    asked: list[str] = []

    def answer(request: Request) -> Response:
        asked.append(request.headers["authorization"])
        return json({"channels": ["c"]})

    async with knowing(answer) as port:
        lookupd = FakeLookupd(http_port=port)
        own = OwnToken(str(tmp_path / "token"))
        async with (
            listening(lookupd) as address,
            announcing([address], Broker({"t": []}), token=own) as announcer,
        ):
            await lookupd.take(2)

            assert await soon(announcer.channels_of("t")) == ["c"]
    assert asked == ["Bearer open-sesame"]


async def test_no_channels_are_known_while_no_nsqlookupd_is_connected() -> None:
    async with announcing([await free_address()]) as announcer:
        assert await soon(announcer.channels_of("t")) == []


async def test_an_nsqlookupd_without_an_http_address_is_not_asked() -> None:
    lookupd = FakeLookupd(http_port=0)
    async with listening(lookupd) as address, announcing([address], Broker({"t": []})) as announcer:
        await lookupd.take(2)

        assert await soon(announcer.channels_of("t")) == []


# ---------------------------------------------------------------------------------------------------------- withdrawing


async def test_a_withdrawn_nsqd_unregisters_its_topics_and_comes_back_with_all() -> None:
    lookupd = FakeLookupd()
    async with listening(lookupd) as address, announcing([address], Broker({"t": ["c"], "u": []})) as announcer:
        await lookupd.take(3)
        announcer.withdraw()
        announcer.withdraw()
        announcer.topic_created("new")
        announcer.channel_deleted("t", "old")
        assert await lookupd.take(3) == [Unregister("t"), Unregister("u"), Unregister("t", "old")]

        announcer.come_back()
        assert await lookupd.take(3) == [Register("t"), Register("t", "c"), Register("u")]


async def test_who_connects_to_a_withdrawn_nsqd_hears_of_no_topic() -> None:
    lookupd = FakeLookupd()
    pinging = AnnounceLimits(ping_interval_ms=5)
    async with listening(lookupd) as address, announcing([address], Broker({"t": ["c"]}), pinging) as announcer:
        announcer.withdraw()
        assert await lookupd.take(2) == [Identify(IDENTITY), Ping()]
