"""`client.lookup_watch`: each question says what is known, and a server that does not wait makes no storm."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Any

import pytest

from millstream.client.lookup import LookupAnswer
from millstream.client.lookup_watch import LookupWatch
from millstream.net.http_client import HttpClient


class Lookupd:
    """Answers with the next of the script: a version, empty for none, or None to close; then it is silent."""

    def __init__(self) -> None:
        self.script: deque[str | None] = deque()
        self.known: list[str] = []
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                line = (await reader.readuntil(b"\r\n\r\n")).decode().split(" ")[1]
                self.known.append(line.partition("&known=")[2])
                if not self.script:
                    continue
                version = self.script.popleft()
                if version is None:
                    break
                offer = f"X-Millstream-Version: {version}\r\n" if version else ""
                writer.write(f"HTTP/1.1 404 X\r\n{offer}Content-Length: 0\r\n\r\n".encode())
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        writer.close()


@pytest.fixture
async def lookupd() -> AsyncIterator[Lookupd]:
    one = Lookupd()
    server = await asyncio.start_server(one.serve, "127.0.0.1", 0)
    one.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/lookup?topic=t"
    yield one
    server.close()


async def test_it_asks_with_what_it_knows_until_there_is_no_offer(lookupd: Lookupd) -> None:
    lookupd.script.extend(["a", "b", ""])
    taken: list[LookupAnswer] = []

    async with asyncio.timeout(20), HttpClient() as http:
        await LookupWatch(http, lookupd.url, {}, lambda: 0.0).run(taken.append)

    assert lookupd.known == ["", "a", "b"]
    assert [one.version for one in taken] == ["a", "b", ""]


async def test_after_a_failure_it_asks_again_with_what_it_knew(lookupd: Lookupd) -> None:
    lookupd.script.extend(["a", None, "a", ""])
    taken: list[LookupAnswer] = []

    async with asyncio.timeout(20), HttpClient() as http:
        await LookupWatch(http, lookupd.url, {}, lambda: 0.9).run(taken.append)

    assert lookupd.known[:1] == [""]
    assert set(lookupd.known[1:]) == {"a"}
    assert [one.version for one in taken] == ["a", ""]


async def test_a_server_that_answers_without_news_or_waiting_makes_no_storm(lookupd: Lookupd, eventually: Any) -> None:
    lookupd.script.extend(["a"] * 1_000)
    async with HttpClient() as http:
        task = asyncio.ensure_future(LookupWatch(http, lookupd.url, {}, lambda: 0.0).run(lambda _: None))
        await eventually(lambda: len(lookupd.known) >= 3)
        # 50 ms after the news, then 250 ms and doubling: a storm would have used the script up.
        assert len(lookupd.script) > 900
        task.cancel()
        await asyncio.wait([task])
