"""Reader and Writer against real daemons: round trips, restarts, discovery, refusals.

`MILLSTREAM_TEST_NSQD` and `MILLSTREAM_TEST_NSQLOOKUPD` name other daemons to test against, such as NSQ's own.
"""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from system_ports import free_port

from millstream.client import PublishFailed, Reader, ReaderOptions, Writer, WriterOptions

START_TIMEOUT_S = 15


def broker_command() -> list[str]:
    """The command line of nsqd, without flags."""
    other = os.environ.get("MILLSTREAM_TEST_NSQD")
    return [other] if other else [sys.executable, "-m", "millstream.cli.nsqd"]


def lookupd_command() -> list[str]:
    """The command line of nsqlookupd, without flags."""
    other = os.environ.get("MILLSTREAM_TEST_NSQLOOKUPD")
    return [other] if other else [sys.executable, "-m", "millstream.cli.nsqlookupd"]


async def eventually(condition: Callable[[], bool]) -> None:
    """Wait for what only a counter tells, within a deadline."""
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - the objects under test offer counters, not events
            await asyncio.sleep(0.005)


class Daemon:
    """One process; the ports stay the same over restarts."""

    def __init__(self, command: list[str], flags: list[str]) -> None:
        self.tcp_address = f"127.0.0.1:{free_port()}"
        self.http_address = f"127.0.0.1:{free_port()}"
        self._command = [
            *command,
            f"-tcp-address={self.tcp_address}",
            f"-http-address={self.http_address}",
            "-broadcast-address=127.0.0.1",
            *flags,
        ]
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *self._command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
        )
        async with asyncio.timeout(START_TIMEOUT_S):
            for address in (self.tcp_address, self.http_address):
                await self._reachable(int(address.rpartition(":")[2]))

    async def _reachable(self, port: int) -> None:
        while True:
            assert self._process is not None
            assert self._process.returncode is None, "the daemon ended"
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.02)
            else:
                writer.close()
                await writer.wait_closed()
                return

    async def stop(self, number: int = signal.SIGTERM) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            async with asyncio.timeout(START_TIMEOUT_S):
                await self._process.wait()
            self._process = None


@pytest.fixture
async def nsqd(tmp_path: Path) -> AsyncIterator[Daemon]:
    one = Daemon(broker_command(), [f"-data-path={tmp_path}"])
    await one.start()
    yield one
    await one.stop()


@pytest.fixture
async def lookupd() -> AsyncIterator[Daemon]:
    one = Daemon(lookupd_command(), [])
    await one.start()
    yield one
    await one.stop()


def reader(nsqd: Daemon, topic: str = "events", **options: Any) -> Reader:
    chosen = ReaderOptions(**{"reconnect_delay_ms": 10, "reconnect_delay_max_ms": 100, **options})
    return Reader(topic, "work", nsqd_tcp_addresses=[nsqd.tcp_address], options=chosen)


def writer(nsqd: Daemon, **options: Any) -> Writer:
    chosen = WriterOptions(**{"reconnect_delay_ms": 10, "reconnect_delay_max_ms": 100, **options})
    return Writer([nsqd.tcp_address], options=chosen)


async def bodies(one: Reader, count: int) -> list[bytes]:
    """Take and finish this many."""
    seen: list[bytes] = []
    async with asyncio.timeout(30):
        async for message in one:
            message.finish()
            seen.append(message.body)
            if len(seen) == count:
                break
    return seen


async def test_everything_published_is_read_once(nsqd: Daemon) -> None:
    wanted = [b"%d" % number for number in range(2_000)]
    async with writer(nsqd) as out:
        await asyncio.gather(*(out.publish("events", body) for body in wanted[:1_000]))
        await out.publish_many("events", wanted[1_000:])
        async with reader(nsqd, max_in_flight=200) as one:
            seen = await bodies(one, len(wanted))

    assert sorted(seen) == sorted(wanted)


async def test_a_requeued_message_comes_again_with_one_more_attempt(nsqd: Daemon) -> None:
    async with writer(nsqd) as out, reader(nsqd) as one, asyncio.timeout(30):
        await out.publish("events", b"again")
        first = await anext(one)
        first.requeue(0, backoff=False)
        second = await anext(one)
        second.finish()

        assert (first.attempts, second.attempts, second.id) == (1, 2, first.id)


async def test_a_deferred_message_is_delivered(nsqd: Daemon) -> None:
    async with writer(nsqd) as out, reader(nsqd) as one:
        await out.publish_deferred("events", 50, b"later")

        assert await bodies(one, 1) == [b"later"]


async def test_a_message_that_times_out_is_delivered_again_and_the_late_answer_is_counted(nsqd: Daemon) -> None:
    async with writer(nsqd) as out, reader(nsqd, max_in_flight=2, msg_timeout_ms=1_000) as one, asyncio.timeout(30):
        await out.publish("events", b"slow")
        first = await anext(one)
        second = await anext(one)
        second.finish()
        first.finish()
        await eventually(lambda: one.stats().refused > 0)

        assert second.attempts == 2


async def test_heartbeats_are_answered_on_idle_connections(nsqd: Daemon) -> None:
    options: dict[str, Any] = {"heartbeat_interval_ms": 1_000, "read_timeout_ms": 2_500}
    async with writer(nsqd, **options) as out, reader(nsqd, **options) as one:
        await out.publish("events", b"1")
        await bodies(one, 1)
        # Without an answer nsqd closes after two intervals, so that the third heartbeat would not come.
        await eventually(lambda: min(one.stats().heartbeats, out.stats().heartbeats) >= 3)
        await out.publish("events", b"2")
        await bodies(one, 1)

        assert one.stats().connects == 1
        assert out.stats().connects == 1


async def test_a_refused_publish_says_why_and_the_next_goes_through(nsqd: Daemon) -> None:
    async with writer(nsqd) as out:
        with pytest.raises(PublishFailed, match="E_INVALID DPUB timeout") as caught:
            await out.publish_deferred("events", 10_000_000_000, b"x")
        assert caught.value.code == "E_INVALID"
        await out.publish("events", b"fine")


async def test_a_message_too_large_fails_and_takes_no_others_with_it(nsqd: Daemon) -> None:
    async with writer(nsqd) as out:
        results = await asyncio.gather(
            *(out.publish("events", b"small") for _ in range(20)),
            out.publish("events", bytes(3_000_000)),
            *(out.publish("events", b"small") for _ in range(20)),
            return_exceptions=True,
        )

        assert [type(result) for result in results if result is not None] == [PublishFailed]


async def test_reader_and_writer_survive_a_restart_of_nsqd(nsqd: Daemon) -> None:
    async with writer(nsqd) as out, reader(nsqd, max_in_flight=10) as one:
        await out.publish("events", b"before")
        assert await bodies(one, 1) == [b"before"]
        await nsqd.stop()
        publish = asyncio.ensure_future(out.publish("events", b"after"))
        await nsqd.start()
        await publish

        # Nsqd confirms no FIN: the one for the first message may have met its end, and the message comes again.
        while await bodies(one, 1) != [b"after"]:
            pass
        assert one.stats().connects == 2


async def test_a_topic_is_found_through_nsqlookupd(lookupd: Daemon, tmp_path: Path) -> None:
    nsqd = Daemon(broker_command(), [f"-data-path={tmp_path}", f"-lookupd-tcp-address={lookupd.tcp_address}"])
    await nsqd.start()
    options = ReaderOptions(lookupd_poll_interval_ms=100)
    async with (
        writer(nsqd) as out,
        Reader("found", "work", lookupd_http_addresses=[lookupd.http_address], options=options) as one,
    ):
        await out.publish("found", b"x")
        assert await bodies(one, 1) == [b"x"]
    await nsqd.stop()


async def test_closing_leaves_nothing_in_flight(nsqd: Daemon) -> None:
    async with writer(nsqd) as out:
        await out.publish_many("events", [b"x"] * 50)
    async with reader(nsqd, max_in_flight=20) as one, asyncio.timeout(30):
        (await anext(one)).finish()
        await one.close()
    async with reader(nsqd, max_in_flight=50) as other:
        assert await bodies(other, 49) == [b"x"] * 49
