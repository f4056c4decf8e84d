"""Names become places beside the loop, and nobody waits for those that never do."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from millstream.base.units import Address
from millstream.net.resolver import connect, connect_to, places_of

on_both_loops = pytest.mark.asyncio(loop_factories=["asyncio", "uvloop"])
DEADLINE_S = 20


async def listening() -> tuple[asyncio.Server, int]:
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    return server, server.sockets[0].getsockname()[1]


class Waiting:
    """A name server that answers when it is told; each look-up of a name is counted."""

    def __init__(self, answers: dict[str, list[str]]) -> None:
        self.answers = answers
        self.asked: list[str] = []
        self.was_asked = threading.Event()
        self.may_answer = threading.Event()

    def getaddrinfo(self, host: str, port: int, *, type: int) -> list[Any]:
        self.asked.append(host)
        self.was_asked.set()
        self.may_answer.wait(DEADLINE_S)
        if host not in self.answers:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, type, 6, "", (found, port)) for found in self.answers[host]]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Iterator[Waiting]:
    found = Waiting({"here": ["127.0.0.1"], "two": ["127.0.0.2", "127.0.0.1"]})
    monkeypatch.setattr(socket, "getaddrinfo", found.getaddrinfo)
    yield found
    found.may_answer.set()
    # Whoever asks for a name that is still looked up would wait for this test's answer.
    for thread in threading.enumerate():
        if thread.name == "resolver":
            thread.join(DEADLINE_S)


@on_both_loops
async def test_a_number_a_name_and_nothing_are_found() -> None:
    assert await places_of(Address("127.0.0.1", 8125)) == [("127.0.0.1", 8125)]
    assert await places_of(Address("::1", 8125)) == [("::1", 8125)]
    for host in ("localhost", ""):
        assert {port for _, port in await places_of(Address(host, 8125), socket.SOCK_DGRAM)} == {8125}


@on_both_loops
@pytest.mark.parametrize("host", ["no-such-host.invalid", "a" * 100])
async def test_what_is_no_host_is_an_error(host: str) -> None:
    with pytest.raises((OSError, UnicodeError)):
        await places_of(Address(host, 8125))


@on_both_loops
async def test_as_long_as_there_is_no_answer_a_name_is_asked_for_once(names: Waiting) -> None:
    for _ in range(5):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(places_of(Address("here", 1)), 0.001)
    two = [asyncio.ensure_future(places_of(Address("here", 1))) for _ in range(2)]
    other = asyncio.ensure_future(places_of(Address("there", 1)))
    await asyncio.sleep(0)

    names.may_answer.set()

    async with asyncio.timeout(DEADLINE_S):
        assert await asyncio.gather(*two) == [[("127.0.0.1", 1)]] * 2
        with pytest.raises(socket.gaierror):
            await other
        assert sorted(names.asked) == ["here", "there"]
        assert await places_of(Address("here", 1)) == [("127.0.0.1", 1)]
    assert sorted(names.asked) == ["here", "here", "there"]


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_loop_ends_while_a_name_server_does_not_answer(names: Waiting, loop: str) -> None:
    new_loop = pytest.importorskip(loop).new_event_loop

    async def ask() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(places_of(Address("here", 2)), 0.001)

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(ask())

    assert names.was_asked.wait(DEADLINE_S)
    assert names.asked == ["here"]
    assert not names.may_answer.is_set()


@on_both_loops
async def test_the_next_place_is_tried_when_one_does_not_take_it(names: Waiting) -> None:
    names.may_answer.set()
    server, port = await listening()
    async with server, asyncio.timeout(DEADLINE_S):
        protocol = await connect(asyncio.Protocol, Address("two", port))
        assert isinstance(protocol, asyncio.Protocol)
        with pytest.raises(OSError, match=r"refused|failed"):
            await connect_to(asyncio.Protocol, [("127.0.0.2", port)], each_s=DEADLINE_S)
