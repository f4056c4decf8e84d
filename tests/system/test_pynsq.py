"""A foreign client works: pynsq, as it is published, on our nsqd and nsqlookupd.

pynsq runs on tornado, and tornado on the event loop of the test.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import nsq
import pytest

Eventually = Callable[[Callable[[], bool]], Awaitable[None]]
Verdict = bool | None

DEADLINE_S = 20


class Inbox:
    """The handler of a Reader: keeps what came, and answers as `decide` says; None leaves it to the test."""

    def __init__(self, decide: Callable[[Any], Verdict] = lambda _: True) -> None:
        self._decide = decide
        self._arrived: asyncio.Queue[Any] = asyncio.Queue()

    def __call__(self, message: Any) -> bool:
        self._arrived.put_nowait(message)
        verdict = self._decide(message)
        if verdict is None:
            message.enable_async()
        return verdict is True

    async def take(self, count: int) -> list[Any]:
        async with asyncio.timeout(DEADLINE_S):
            return [await self._arrived.get() for _ in range(count)]


class Pynsq:
    """Makes Readers and Writers, and closes them."""

    def __init__(self) -> None:
        self._readers: list[nsq.Reader] = []
        self._writers: list[nsq.Writer] = []

    def reader(
        self, handler: Inbox, topic: str = "events", *, kind: type[nsq.Reader] = nsq.Reader, **options: Any
    ) -> Any:
        reader = kind(topic, "work", handler, **options)
        self._readers.append(reader)
        return reader

    async def writer(self, nsqd: Any, eventually: Eventually, **options: Any) -> Any:
        writer = nsq.Writer([nsqd.tcp_address], **options)
        self._writers.append(writer)
        await eventually(lambda: bool(writer.conns))
        return writer

    def close(self) -> None:
        for reader in self._readers:
            reader.close()
        for writer in self._writers:
            for connection in list(writer.conns.values()):
                connection.close()


@pytest.fixture
async def pynsq() -> Any:
    made = Pynsq()
    yield made
    made.close()


async def publish(method: Callable[..., object], *arguments: object) -> object:
    """Call pub, mpub or dpub, and wait for what nsqd says."""
    answered: asyncio.Future[object] = asyncio.get_running_loop().create_future()
    method(*arguments, callback=lambda _, data: answered.set_result(data))
    async with asyncio.timeout(DEADLINE_S):
        return await answered


@pytest.fixture
def nsqd(daemons: Any) -> Any:
    return daemons.nsqd()


def is_done(nsqd: Any, topic: str = "events") -> bool:
    """Whether the channel has nothing waiting, held or deferred."""
    stats = nsqd.channel(topic, "work")
    return not (stats["depth"] or stats["in_flight_count"] or stats["deferred_count"])


async def test_pynsq_publishes_and_reads_every_message_once(nsqd: Any, pynsq: Pynsq, eventually: Eventually) -> None:
    wanted = [b"%d" % number for number in range(300)]
    inbox = Inbox()
    pynsq.reader(inbox, nsqd_tcp_addresses=[nsqd.tcp_address], max_in_flight=50)
    writer = await pynsq.writer(nsqd, eventually)

    assert await publish(writer.mpub, "events", wanted[1:]) == b"OK"
    assert await publish(writer.pub, "events", wanted[0]) == b"OK"
    messages = await inbox.take(len(wanted))
    assert sorted(message.body for message in messages) == sorted(wanted)
    assert {message.attempts for message in messages} == {1}
    await eventually(lambda: is_done(nsqd))


async def test_pynsq_defers_a_message(nsqd: Any, pynsq: Pynsq, eventually: Eventually) -> None:
    inbox = Inbox()
    pynsq.reader(inbox, nsqd_tcp_addresses=[nsqd.tcp_address], max_in_flight=5)
    writer = await pynsq.writer(nsqd, eventually)

    assert await publish(writer.dpub, "events", 500, b"later") == b"OK"
    assert await publish(writer.pub, "events", b"now") == b"OK"
    assert [message.body for message in await inbox.take(2)] == [b"now", b"later"]


async def test_pynsq_is_told_what_it_did_wrong(nsqd: Any, pynsq: Pynsq, eventually: Eventually) -> None:
    writer = await pynsq.writer(nsqd, eventually)
    answer = await publish(writer.dpub, "events", 3_600_001, b"too late")

    assert isinstance(answer, nsq.Error)
    assert "E_INVALID DPUB timeout 3600001 out of range 0-3600000" in str(answer)


async def test_pynsq_requeues_and_gets_the_message_again(nsqd: Any, pynsq: Pynsq, eventually: Eventually) -> None:
    inbox = Inbox(lambda _: None)
    pynsq.reader(inbox, nsqd_tcp_addresses=[nsqd.tcp_address])
    nsqd.post("/pub?topic=events", b"again")
    (first,) = await inbox.take(1)
    first.requeue(delay=0, backoff=False)
    (second,) = await inbox.take(1)
    second.finish()

    assert (second.id, second.body, second.attempts) == (first.id, b"again", 2)
    await eventually(lambda: is_done(nsqd))
    assert nsqd.channel("events", "work")["requeue_count"] == 1


async def test_a_message_that_pynsq_does_not_answer_times_out(nsqd: Any, pynsq: Pynsq, eventually: Eventually) -> None:
    inbox = Inbox(lambda message: True if message.attempts > 1 else None)
    pynsq.reader(inbox, nsqd_tcp_addresses=[nsqd.tcp_address], msg_timeout=1)
    nsqd.post("/pub?topic=events", b"slow")
    first, second = await inbox.take(2)

    assert (second.id, second.attempts) == (first.id, 2)
    await eventually(lambda: is_done(nsqd))
    assert nsqd.channel("events", "work")["timeout_count"] == 1


async def test_a_late_answer_of_pynsq_does_not_end_its_connection(nsqd: Any, pynsq: Pynsq) -> None:
    inbox = Inbox(lambda _: None)
    reader = pynsq.reader(inbox, nsqd_tcp_addresses=[nsqd.tcp_address])
    (connection,) = await connected(reader)
    nsqd.post("/pub?topic=events", b"first")
    (first,) = await inbox.take(1)
    nsqd.post("/channel/empty?topic=events&channel=work")
    first.finish()
    nsqd.post("/pub?topic=events", b"second")
    (second,) = await inbox.take(1)
    second.finish()

    assert second.body == b"second"
    assert connection.connected()


async def connected(reader: Any) -> list[Any]:
    """The connections of a Reader, once it has one."""
    async with asyncio.timeout(DEADLINE_S):
        while not reader.conns:  # noqa: ASYNC110 - pynsq offers a dictionary, no event
            await asyncio.sleep(0.01)
    return list(reader.conns.values())


async def test_pynsq_backs_off_and_recovers(nsqd: Any, pynsq: Pynsq, eventually: Eventually) -> None:
    inbox = Inbox(lambda message: message.attempts > 1 or message.body != b"fails once")
    reader = pynsq.reader(
        inbox, nsqd_tcp_addresses=[nsqd.tcp_address], max_in_flight=10, max_backoff_duration=4, requeue_delay=0
    )
    (connection,) = await connected(reader)
    nsqd.post("/pub?topic=events", b"fails once")
    (first,) = await inbox.take(1)

    assert first.attempts == 1
    assert reader.backoff_block
    # RDY 0 has left with the requeue: nothing is delivered while it backs off, however much waits.
    nsqd.post("/mpub?topic=events", b"\n".join(b"%d" % number for number in range(20)))
    await eventually(lambda: nsqd.channel("events", "work")["clients"][0]["ready_count"] == 0)
    assert nsqd.channel("events", "work")["in_flight_count"] == 0
    await inbox.take(21)
    assert not reader.backoff_timer.get_interval()
    await eventually(lambda: nsqd.channel("events", "work")["clients"][0]["ready_count"] == 10)
    assert connection.connected()
    await eventually(lambda: is_done(nsqd))


class GivesUp(nsq.Reader):  # type: ignore[misc]
    """A Reader that says what it gave up."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.given_up: asyncio.Queue[Any] = asyncio.Queue()

    def giving_up(self, message: Any) -> None:
        self.given_up.put_nowait(message)


async def test_pynsq_gives_up_after_max_tries(nsqd: Any, pynsq: Pynsq, eventually: Eventually) -> None:
    inbox = Inbox(lambda _: False)
    reader = pynsq.reader(
        inbox,
        kind=GivesUp,
        nsqd_tcp_addresses=[nsqd.tcp_address],
        max_tries=2,
        max_backoff_duration=0.1,
        requeue_delay=0,
    )
    nsqd.post("/pub?topic=events", b"hopeless")
    tried = await inbox.take(2)
    async with asyncio.timeout(DEADLINE_S):
        given_up = await reader.given_up.get()

    assert [message.attempts for message in tried] == [1, 2]
    assert (given_up.attempts, given_up.body) == (3, b"hopeless")
    await eventually(lambda: is_done(nsqd))


class CountsHeartbeats(nsq.Reader):  # type: ignore[misc]
    """A Reader that notices heartbeats."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.heartbeats: asyncio.Queue[Any] = asyncio.Queue()

    def heartbeat(self, conn: Any) -> None:
        self.heartbeats.put_nowait(conn)


async def test_pynsq_answers_heartbeats_and_stays(nsqd: Any, pynsq: Pynsq) -> None:
    inbox = Inbox()
    reader = pynsq.reader(inbox, kind=CountsHeartbeats, nsqd_tcp_addresses=[nsqd.tcp_address], heartbeat_interval=1)
    async with asyncio.timeout(DEADLINE_S):
        beating = [await reader.heartbeats.get() for _ in range(3)]
    nsqd.post("/pub?topic=events", b"still here")
    (message,) = await inbox.take(1)

    # Who does not answer is let go after the second: a third heartbeat of the same connection says enough.
    assert len(set(map(id, beating))) == 1
    assert message.body == b"still here"


@pytest.fixture
def two_nsqd(daemons: Any) -> tuple[Any, Any, Any]:
    """nsqlookupd, and two nsqd that are announced there."""
    lookupd = daemons.nsqlookupd()
    flag = f"--lookupd-tcp-address={lookupd.tcp_address}"
    return lookupd, daemons.nsqd(flag), daemons.nsqd(flag)


async def test_pynsq_discovers_every_nsqd_that_has_the_topic(
    two_nsqd: tuple[Any, Any, Any], pynsq: Pynsq, eventually: Eventually
) -> None:
    lookupd, left, right = two_nsqd
    inbox = Inbox()
    left.post("/pub?topic=events", b"from the left")
    pynsq.reader(
        inbox,
        lookupd_http_addresses=[lookupd.http_address],
        lookupd_poll_interval=1,
        lookupd_poll_jitter=0.0,
        max_in_flight=4,
    )
    (first,) = await inbox.take(1)
    right.post("/pub?topic=events", b"from the right")
    (second,) = await inbox.take(1)

    assert (first.body, second.body) == (b"from the left", b"from the right")
    producers = json.loads(lookupd.get("/lookup?topic=events"))["producers"]
    assert sorted(producer["tcp_port"] for producer in producers) == sorted((left.tcp_port, right.tcp_port))
    await eventually(lambda: is_done(left) and is_done(right))


@pytest.fixture
async def authd(tmp_path: Path) -> AsyncIterator[str]:
    """The address of an nsqauthd that knows one secret."""
    rules = tmp_path / "rules.toml"
    rules.write_text(
        '[[rule]]\nsecret = "sesame"\nidentity = "web"\ntopics = ["^events$"]\nchannels = [".*"]\n'
        'permissions = ["publish", "subscribe"]\n'
    )
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "millstream.cli.nsqauthd", "--http-address=127.0.0.1:0", f"--rules={rules}"),
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    try:
        async with asyncio.timeout(DEADLINE_S):
            while b"http.listening" not in (line := await process.stderr.readline()):
                assert line
        yield line.decode().rpartition("address=")[2].strip()
    finally:
        process.terminate()
        await process.wait()


@pytest.mark.shows("nsqd --auth-http-address", "nsqd: AUTH: who has to, and what is refused without")
async def test_pynsq_shows_its_secret_and_may_do_what_the_rules_say(
    daemons: Any, pynsq: Pynsq, eventually: Eventually, authd: str
) -> None:
    nsqd = daemons.nsqd(f"--auth-http-address={authd}")
    inbox = Inbox()
    pynsq.reader(inbox, nsqd_tcp_addresses=[nsqd.tcp_address], auth_secret="sesame")
    writer = await pynsq.writer(nsqd, eventually, auth_secret="sesame")

    assert await publish(writer.pub, "events", b"with a secret") == b"OK"
    (message,) = await inbox.take(1)
    assert message.body == b"with a secret"

    refused = await publish(writer.pub, "secrets", b"not ours")
    assert isinstance(refused, nsq.Error)
    assert "E_UNAUTHORIZED" in str(refused)
