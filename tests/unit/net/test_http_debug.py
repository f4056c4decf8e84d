"""`/debug/...` on real sockets. What takes time is ended by `close`, so that no test waits for a clock."""

import asyncio
import signal
import time
from typing import Any

import pytest

from millstream.base.system import SystemClock
from millstream.net.http import Router, text
from millstream.net.http_debug import SECONDS_MAX, DebugApi

DEADLINE_S = 60


class Debugged:
    """A server with the routes, and an answer to whatever is asked."""

    def __init__(self, served: Any, api: DebugApi) -> None:
        self.api = api
        self.connect = served.connect

    async def ask(self, target: str, method: str = "GET") -> tuple[int, str]:
        peer = await self.connect()
        peer.send(request(target, method))
        async with asyncio.timeout(DEADLINE_S):
            head = (await peer.reader.readuntil(b"\r\n\r\n")).decode()
            size = int(head.lower().partition("content-length: ")[2].split("\r\n")[0])
            return int(head.split()[1]), (await peer.reader.readexactly(size)).decode()


def request(target: str, method: str = "GET") -> str:
    return f"{method} /debug/{target} HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"


@pytest.fixture
async def debugged(serve: Any) -> Debugged:
    api = DebugApi("nsqd <1>", SystemClock(), lambda: [("nsqd_clients", 7)])
    router = Router()
    router.add("GET", "/ping", lambda _: text("OK"))
    api.join(router)
    return Debugged(await serve(router), api)


async def until(condition: Any) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not condition():  # noqa: ASYNC110 - it offers state, not events
            await asyncio.sleep(0.005)


def is_profiling() -> bool:
    return any(signal.getitimer(signal.ITIMER_PROF))


def burn() -> None:
    end = time.process_time() + 0.1
    while time.process_time() < end:
        sum(range(1_000))


async def test_the_index_leads_to_every_page(debugged: Debugged) -> None:
    status, page = await debugged.ask("pprof/")
    links = [part.partition('"')[0] for part in page.split('href="')[1:]]

    assert status == 200
    assert "nsqd &lt;1&gt;" in page
    assert len(links) == 7
    for link in links:
        if "seconds" not in link:
            assert (await debugged.ask(link.removeprefix("/debug/")))[0] == 200


async def test_the_small_ones_answer_at_once(debugged: Debugged) -> None:
    _, words = await debugged.ask("pprof/cmdline")
    _, goroutine = await debugged.ask("pprof/goroutine")
    _, threads = await debugged.ask("pprof/threadcreate")
    _, heap = await debugged.ask("pprof/heap?gc=1")

    assert "pytest" in words or "python" in words
    assert "test_the_small_ones_answer_at_once" in goroutine
    assert goroutine.startswith("tasks: ")
    assert threads.startswith("threads: ")
    assert "\nnsqd_clients                    7\n" in heap
    for method in ("GET", "POST"):
        assert await debugged.ask("pprof/symbol", method) == (200, "num_symbols: 0\n")


async def test_memory_is_freed_on_demand(debugged: Debugged) -> None:
    status, said = await debugged.ask("freememory", "POST")

    assert status == 200
    assert "objects collected; resident bytes before" in said


@pytest.mark.asyncio(loop_factories=["asyncio", "uvloop"])
async def test_a_profile_says_what_the_loop_did_and_the_daemon_goes_on_meanwhile(debugged: Debugged) -> None:
    profile = asyncio.create_task(debugged.ask(f"pprof/profile?seconds={SECONDS_MAX}"))
    await until(is_profiling)

    assert (await debugged.ask("pprof/symbol"))[0] == 200
    status, said = await debugged.ask("pprof/profile?seconds=1")
    assert (status, said.startswith("a CPU profile is under way")) == (503, True)
    for _ in range(5):
        burn()
        await asyncio.sleep(0)
    debugged.api.close()
    status, body = await profile

    assert status == 200
    heading, *lines = body.splitlines()
    assert heading.startswith("# ")
    assert any("test_http_debug.py:burn" in line and line.rpartition(" ")[2].isdigit() for line in lines)
    assert not is_profiling()


async def test_a_client_that_leaves_ends_its_profile(debugged: Debugged) -> None:
    peer = await debugged.connect()
    peer.send(request("pprof/profile"))
    await until(is_profiling)
    peer.writer.transport.abort()
    await until(lambda: not is_profiling())

    again = asyncio.create_task(debugged.ask("pprof/profile"))
    await until(is_profiling)
    debugged.api.close()
    assert (await again)[0] == 200


async def test_what_holds_the_loop_up_is_shown(debugged: Debugged) -> None:
    assert await debugged.ask("setblockrate?rate=1000000", "PUT") == (200, "OK")
    block = asyncio.create_task(debugged.ask(f"pprof/block?seconds={SECONDS_MAX}"))
    for _ in range(10):
        burn()
        await asyncio.sleep(0.01)
    assert (await debugged.ask("pprof/block"))[0] == 503
    debugged.api.close()
    status, body = await block

    assert status == 200
    assert " times longer than 1000000 ns; microseconds\n" in body
    assert "test_http_debug.py:burn" in body


async def test_a_block_profile_can_be_turned_off(debugged: Debugged) -> None:
    assert await debugged.ask("setblockrate?rate=-1", "PUT") == (200, "OK")

    assert (await debugged.ask("pprof/block"))[1].startswith("# off")


@pytest.mark.parametrize(
    ("rate", "reason"),
    [
        ("", "invalid syntax"),
        ("x", "invalid syntax"),
        ("1.5", "invalid syntax"),
        ("9" * 20, "value out of range"),
        ("9" * 9_000, "value out of range"),
    ],
)
async def test_a_rate_that_is_no_number_is_refused_in_nsqs_words(debugged: Debugged, rate: str, reason: str) -> None:
    status, said = await debugged.ask(f"setblockrate?rate={rate}", "PUT")

    assert status == 400
    assert said.startswith('invalid block rate : strconv.Atoi: parsing "')
    assert said.endswith(f'": {reason}')
    assert len(said) < 200


@pytest.mark.parametrize("seconds", ["0", "-1", "x", "1.5", "121", "1" * 5_000, "%C2%B2"])
@pytest.mark.parametrize("page", ["profile", "block"])
async def test_seconds_beyond_the_bounds_are_refused(debugged: Debugged, page: str, seconds: str) -> None:
    status, said = await debugged.ask(f"pprof/{page}?seconds={seconds}")

    assert (status, said) == (400, 'invalid value for "seconds" - must be a whole number from 1 to 120\n')


@pytest.mark.parametrize(
    ("method", "target", "allow"),
    [
        ("POST", "pprof/heap", "GET, OPTIONS"),
        ("GET", "freememory", "OPTIONS, POST"),
        ("POST", "setblockrate", "OPTIONS, PUT"),
        ("PUT", "pprof/symbol", "GET, OPTIONS, POST"),
    ],
)
async def test_other_methods_are_not_allowed(debugged: Debugged, method: str, target: str, allow: str) -> None:
    peer = await debugged.connect()
    peer.send(request(target, method))
    answer = await peer.answer()

    assert (answer.status, answer.headers["Allow"]) == (405, allow)
    assert (await debugged.ask("pprof/mutex"))[0] == 404
