import asyncio
import socket

import pytest

from millstream.supervisor.errors import PortTaken
from millstream.supervisor.statsd import StatsdListener


async def _received(listener: StatsdListener, count: int) -> None:
    turn, loop = asyncio.Event(), asyncio.get_running_loop()
    while listener.metrics.datagrams < count:
        turn.clear()
        loop.call_soon(turn.set)
        await turn.wait()


async def test_datagrams_are_added_up() -> None:
    listener = await StatsdListener.open(0)
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for _ in range(100):
                sender.sendto(b"a:1|c", ("127.0.0.1", listener.port))
        async with asyncio.timeout(20):
            await _received(listener, 100)
    finally:
        listener.close()

    assert listener.metrics.datagrams == 100


async def test_a_taken_port_is_said() -> None:
    first = await StatsdListener.open(0)
    try:
        with pytest.raises(PortTaken, match=str(first.port)):
            await StatsdListener.open(first.port)
    finally:
        first.close()
