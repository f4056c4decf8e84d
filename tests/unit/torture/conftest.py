"""Books on a clock that is told the time, and an nsqd in this process for those who need one to talk to."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from millstream.base.system import SystemClock
from millstream.base.units import Address, parse_address
from millstream.net.http_client import HttpClient
from millstream.nsqd.options import DaemonOptions
from millstream.nsqd.service import Nsqd
from millstream.testing.clock import FakeClock
from millstream.torture.books import Books
from millstream.torture.operators import Desk
from millstream.torture.plan import TopicPlan

RUN = 7
DEADLINE_S = 20


@dataclass(frozen=True)
class Served:
    """Where the nsqd of a test is."""

    nsqd: Nsqd
    tcp: Address
    http: Address
    client: HttpClient

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for what others do in this process."""
        async with asyncio.timeout(DEADLINE_S):
            while not condition():  # noqa: ASYNC110 - books are state, not events
                await asyncio.sleep(0.005)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def make_books(clock: FakeClock) -> Callable[..., Books]:
    """Books of a plan, on a clock that a test moves unless it asks for the real one."""

    def make(*plan: TopicPlan, real_time: bool = False) -> Books:
        return Books(plan, RUN, SystemClock() if real_time else clock)

    return make


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    """An nsqd in this process."""
    options = DaemonOptions(
        tcp_address="127.0.0.1:0", http_address="127.0.0.1:0", data_path=str(tmp_path), msg_timeout_ms=1000
    )
    nsqd = Nsqd(options, SystemClock())
    async with asyncio.TaskGroup() as group, HttpClient() as client:
        await nsqd.start(group)
        try:
            yield Served(nsqd, parse_address(nsqd.tcp_address), parse_address(nsqd.http_address), client)
        finally:
            await nsqd.stop()


class Round:
    """A desk, and the end of its nsqd, which a test says."""

    def __init__(self, served: Served, books: Books) -> None:
        self.over = asyncio.Event()
        self.answers = 0
        self.desk = Desk(served.client, served.http, self._exited, answered=self._answered, breaches=books.breaches)

    async def _exited(self) -> None:
        await self.over.wait()

    def _answered(self) -> None:
        self.answers += 1


@pytest.fixture
def make_round(served: Served) -> Callable[[Books], Round]:
    def make(books: Books) -> Round:
        return Round(served, books)

    return make


@contextmanager
def nothing_broken(books: Books) -> Iterator[None]:
    """Inside, no promise is seen broken."""
    yield
    assert dict(books.breaches.counts) == {}, books.breaches.examples


@pytest.fixture
def kept() -> Any:
    return nothing_broken
