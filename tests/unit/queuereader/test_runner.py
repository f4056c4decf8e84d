import asyncio
import socket
from collections.abc import Iterator

import pytest

from millstream.base.errors import UsageError
from millstream.queuereader.message import NsqMessage
from millstream.queuereader.reader import Reader, Registry
from millstream.queuereader.runner import run, serve


@pytest.fixture
def silent_address() -> Iterator[str]:
    """An address that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        host, port = server.getsockname()
        yield f"{host}:{port}"


def make(address: str, channel: str = "spam") -> Reader:
    def handler(_: object, __: NsqMessage) -> None: ...

    return Reader("clicks", channel, handler, nsqd_tcp_addresses=[address], registry=Registry())


def test_running_nothing_is_a_mistake() -> None:
    with pytest.raises(UsageError, match="Reader"):
        run([])


async def test_readers_end_well_when_they_are_told_to_stop(silent_address: str) -> None:
    stopping = asyncio.Event()
    asyncio.get_running_loop().call_soon(stopping.set)

    went_well = await asyncio.wait_for(
        serve([make(silent_address), make(silent_address, "archive")], service="shop", stopping=stopping), 4
    )

    assert went_well


async def test_one_reader_that_fails_stops_the_others_and_says_why(
    silent_address: str, caplog: pytest.LogCaptureFixture
) -> None:
    stopping = asyncio.Event()

    went_well = await asyncio.wait_for(
        serve([make(silent_address), make("no port here")], service="shop", stopping=stopping), 4
    )

    assert not went_well
    assert stopping.is_set()
    assert "no port here" in caplog.text
