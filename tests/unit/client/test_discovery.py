"""`client.discovery`: a failed lookup takes nothing away, and news comes at once where it is offered."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from millstream.base.units import Address
from millstream.client import Reader, ReaderOptions
from millstream.client.discovery import Discovery


class ScriptedLookupd:
    """Answers every request with `status` and `answer`."""

    def __init__(self) -> None:
        self.status = 200
        self.answer: object = {"channels": [], "producers": []}
        self.requests: list[list[str]] = []
        self.address = ""
        self.version = ""
        """Empty: it knows of no waiting, as the original."""
        self.news = asyncio.Event()

    def produce(self, *addresses: str) -> None:
        pairs = [address.rpartition(":") for address in addresses]
        self.answer = {"producers": [{"broadcast_address": host, "tcp_port": int(port)} for host, _, port in pairs]}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                self.requests.append(head.split("\r\n"))
                if self.version and f"&known={self.version} " in head:
                    await self.news.wait()
                body = json.dumps(self.answer).encode()
                offer = f"X-Millstream-Version: {self.version}\r\n" if self.version else ""
                writer.write(
                    b"HTTP/1.1 %d X\r\nX-NSQ-Content-Type: nsq; version=1.0\r\n%bContent-Length: %d\r\n\r\n%b"
                    % (self.status, offer.encode(), len(body), body)
                )
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


@pytest.fixture
async def lookupd() -> AsyncIterator[ScriptedLookupd]:
    one = ScriptedLookupd()
    server = await asyncio.start_server(one.serve, "127.0.0.1", 0)
    one.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    yield one
    server.close()


def options(**values: Any) -> ReaderOptions:
    fast = {"lookupd_poll_interval_ms": 10, "lookupd_poll_jitter": 0.0, "reconnect_delay_ms": 1}
    return ReaderOptions(**{**fast, **values})  # type: ignore[arg-type]


async def answers(discovery: Discovery, count: int) -> list[frozenset[Address]]:
    """The first answers that it gives."""
    seen: list[frozenset[Address]] = []
    enough = asyncio.Event()

    def take(known: frozenset[Address]) -> None:
        seen.append(known)
        if len(seen) >= count:
            enough.set()

    task = asyncio.ensure_future(discovery.run(take))
    async with asyncio.timeout(20):
        await enough.wait()
    task.cancel()
    await asyncio.wait([task])
    return seen


async def test_it_asks_for_the_topic_as_nsq_clients_do(lookupd: ScriptedLookupd) -> None:
    lookupd.produce("a:1")
    url = f"http://{lookupd.address}/lookup"
    discovery = Discovery("events#ephemeral", [url], options(auth_secret="sesame"), lambda: 0.0)

    assert await answers(discovery, 1) == [{Address("a", 1)}]
    head = [line.lower() for line in lookupd.requests[0]]
    assert head[0] == "get /lookup?topic=events%23ephemeral http/1.1"
    assert "accept: application/vnd.nsq; version=1.0" in head
    assert "authorization: bearer sesame" in head


async def test_an_unknown_topic_is_an_answer_without_producers(lookupd: ScriptedLookupd) -> None:
    lookupd.status = 404
    discovery = Discovery("t", [f"http://{lookupd.address}/lookup"], options(), lambda: 0.0)

    assert await answers(discovery, 1) == [frozenset()]
    assert discovery.failures == 0


async def test_a_failed_lookup_keeps_the_last_good_answer_and_asks_the_next(
    lookupd: ScriptedLookupd, eventually: Any
) -> None:
    lookupd.produce("a:1")
    good = f"http://{lookupd.address}/lookup"
    discovery = Discovery("t", [good, "http://127.0.0.1:1/lookup"], options(), lambda: 0.0)

    assert await answers(discovery, 3) == [{Address("a", 1)}] * 3
    assert discovery.failures >= 1
    lookupd.status = 500
    task = asyncio.ensure_future(discovery.run(lambda _: None))
    failures = discovery.failures
    await eventually(lambda: discovery.failures >= failures + 2)
    task.cancel()
    await asyncio.wait([task])
    assert discovery.known == {Address("a", 1)}


async def test_a_reader_connects_to_what_is_found_once(nsqd: Any, lookupd: ScriptedLookupd, eventually: Any) -> None:
    lookupd.produce(nsqd.address, nsqd.address)
    async with Reader("t", "c", lookupd_http_addresses=[lookupd.address], options=options()) as one:
        peer = await nsqd.subscriber()
        await eventually(lambda: one.stats().lookups >= 3)
        peer.deliver(1)
        async with asyncio.timeout(20):
            (await anext(one)).finish()
        assert len(nsqd.peers) == 1


async def test_a_connection_is_kept_when_its_nsqd_is_no_longer_listed(
    nsqd: Any, lookupd: ScriptedLookupd, eventually: Any
) -> None:
    lookupd.produce(nsqd.address)
    async with Reader("t", "c", lookupd_http_addresses=[lookupd.address], options=options()) as one:
        peer = await nsqd.subscriber()
        lookupd.produce()
        lookups = one.stats().lookups
        await eventually(lambda: one.stats().lookups >= lookups + 2)
        peer.deliver(1)
        async with asyncio.timeout(20):
            (await anext(one)).finish()


async def test_a_lost_nsqd_is_dialled_again_while_lookups_fail(nsqd: Any, lookupd: ScriptedLookupd) -> None:
    lookupd.produce(nsqd.address)
    async with Reader("t", "c", lookupd_http_addresses=[lookupd.address], options=options()):
        first = await nsqd.subscriber()
        lookupd.status = 500
        first.cut()
        await nsqd.subscriber(1)


async def test_an_offer_to_wait_brings_news_long_before_the_next_poll(
    lookupd: ScriptedLookupd, eventually: Any
) -> None:
    lookupd.version = "one"
    slow = options(lookupd_poll_interval_ms=300_000)
    discovery = Discovery("t", [f"http://{lookupd.address}/lookup"], slow, lambda: 0.0)
    found: asyncio.Queue[frozenset[Address]] = asyncio.Queue()
    task = asyncio.ensure_future(discovery.run(found.put_nowait))
    async with asyncio.timeout(20):
        assert [await found.get(), await found.get()] == [frozenset()] * 2
        await eventually(lambda: "known=one" in lookupd.requests[-1][0])
        lookupd.produce("a:1")
        lookupd.version = "two"
        lookupd.news.set()

        assert await found.get() == {Address("a", 1)}

    task.cancel()
    await asyncio.wait([task])
    questions = [lines[0].split(" ")[1] for lines in lookupd.requests]
    assert questions[:3] == ["/lookup?topic=t", *(f"/lookup?topic=t&wait=30000ms&known={one}" for one in ("", "one"))]


async def test_an_nsqlookupd_that_knows_of_no_waiting_is_only_polled(lookupd: ScriptedLookupd) -> None:
    lookupd.produce("a:1")
    discovery = Discovery("t", [f"http://{lookupd.address}/lookup"], options(), lambda: 0.0)

    await answers(discovery, 5)

    assert {lines[0] for lines in lookupd.requests} == {"GET /lookup?topic=t HTTP/1.1"}


async def test_a_watch_ends_when_the_offer_does(lookupd: ScriptedLookupd, eventually: Any) -> None:
    lookupd.version = "one"
    discovery = Discovery("t", [f"http://{lookupd.address}/lookup"], options(), lambda: 0.0)
    task = asyncio.ensure_future(discovery.run(lambda _: None))
    await eventually(lambda: any("known=one" in lines[0] for lines in lookupd.requests))

    lookupd.version = ""
    lookupd.news.set()

    def only_polls() -> bool:
        return len(lookupd.requests) >= 8 and not any("known" in lines[0] for lines in lookupd.requests[-5:])

    await eventually(only_polls)
    task.cancel()
    await asyncio.wait([task])
