import asyncio

import pytest

from millstream.net.http_limits import HttpLimits
from millstream.net.http_router import Router
from millstream.net.http_shared import HttpShared

pytestmark = pytest.mark.asyncio(loop_factories=["asyncio", "uvloop"])


class FixedClock:
    def wall_ns(self) -> int:
        return 1_700_000_000_000_000_000

    def monotonic_ns(self) -> int:
        return 0


class Connection:
    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.expired = asyncio.Event()

    def expire(self) -> None:
        self.expired.set()


async def test_the_watch_expires_whose_deadline_has_passed() -> None:
    shared = HttpShared(Router(), HttpLimits(linger_ms=1), FixedClock())
    late, patient = Connection(-1), Connection(float("inf"))

    assert shared.join(patient)
    assert shared.join(late)

    async with asyncio.timeout(20):
        await late.expired.wait()
    assert not patient.expired.is_set()
    assert shared.date_line == b"Date: Tue, 14 Nov 2023 22:13:20 GMT\r\n"
    shared.leave(late)
    assert not shared.empty.is_set()
    shared.leave(patient)
    assert shared.empty.is_set()


async def test_no_more_connections_join_than_allowed() -> None:
    shared = HttpShared(Router(), HttpLimits(connections_max=1), FixedClock())
    first, second = Connection(float("inf")), Connection(float("inf"))

    assert shared.join(first)
    assert not shared.join(second)
    assert shared.refused == 1

    shared.leave(second)
    shared.leave(first)
    shared.closing = True
    assert not shared.join(first)
    shared.leave(first)
