"""Limits, retention and dead letters of a real nsqd: set in its file and over HTTP, met by clients that exist.

The foreign client is pynsq, as it is published; ours is `millstream.client`.
"""

import asyncio
import json
import os
import random
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import nsq
import pytest

from millstream.client import Reader, Writer

Connect = Callable[..., Awaitable[Any]]
Eventually = Callable[[Callable[[], bool]], Awaitable[None]]

DEADLINE_S = 20
DEAD = "events.work.dead"
POLICIES = """
[[policy]]
topic = "events"
channel = "work"
max_attempts = 2

[[policy]]
topic = "narrow*"
max_depth = 3
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "nsqd.toml"
    path.write_text(POLICIES, encoding="utf-8")
    return path


def put(nsqd: Any, query: str, **policy: object) -> Any:
    status, body = nsqd.request("PUT", f"/policy?{query}", json.dumps(policy).encode())
    assert status == 200, body
    return json.loads(body)


def letters(nsqd: Any) -> list[Any]:
    found: list[Any] = json.loads(nsqd.get("/channel/dead?topic=events&channel=work"))["letters"]
    return found


class Pynsq:
    """A Reader of pynsq on the channel `work`, whose handler fails as long as it is told to."""

    def __init__(self, nsqd: Any) -> None:
        self.fails = True
        self.seen: list[tuple[bytes, bytes, int]] = []
        self.reader = nsq.Reader(
            *("events", "work", self._handle),
            nsqd_tcp_addresses=[nsqd.tcp_address],
            requeue_delay=0,
            max_backoff_duration=0.1,
            max_in_flight=10,
        )

    def _handle(self, message: Any) -> bool:
        self.seen.append((message.id, message.body, message.attempts))
        return not self.fails


async def test_a_message_that_pynsq_fails_is_dead_lettered_redriven_and_finished(
    daemons: Any, config: Path, eventually: Eventually
) -> None:
    nsqd = daemons.nsqd(f"--config={config}")
    nsqd.post("/topic/create?topic=events")
    for channel in ("work", "other"):
        nsqd.post(f"/channel/create?topic=events&channel={channel}")
    pynsq = Pynsq(nsqd)
    nsqd.post("/pub?topic=events", b"poison")

    await eventually(lambda: bool(nsqd.request("GET", f"/stats?format=json&topic={DEAD}")[1].count(b'"depth":1')))
    [letter] = letters(nsqd)
    origin = letter["origin"]
    assert (letter["body"], origin["attempts"], origin["reason"]) == ("poison", 2, "max_attempts")
    assert origin["last_event"] == "requeue"
    assert origin["last_client"]["hostname"]
    assert [attempts for _, _, attempts in pynsq.seen] == [1, 2]

    pynsq.fails = False
    assert json.loads(nsqd.post("/channel/redrive?topic=events&channel=work&all")) == {"redriven": 1, "present": 0}

    await eventually(lambda: len(pynsq.seen) == 3)
    assert pynsq.seen[2] == (origin["id"].encode(), b"poison", 1)
    await eventually(lambda: nsqd.channel("events", "work")["in_flight_count"] == 0)
    assert (nsqd.channel("events", "work")["depth"], nsqd.channel("events", "other")["depth"]) == (0, 1)
    assert letters(nsqd) == []
    pynsq.reader.close()


async def test_our_client_reads_dead_letters_like_any_topic(daemons: Any, config: Path) -> None:
    nsqd = daemons.nsqd(f"--config={config}")
    async with (
        Writer([nsqd.tcp_address]) as writer,
        Reader("events", "work", nsqd_tcp_addresses=[nsqd.tcp_address]) as reader,
        Reader(DEAD, "dead", nsqd_tcp_addresses=[nsqd.tcp_address]) as graveyard,
        asyncio.timeout(DEADLINE_S),
    ):
        await writer.publish("events", b"\xff\xfe no text")
        async for message in reader:
            message.requeue(0)
            if message.attempts == 2:
                break
        async for message in graveyard:
            letter = json.loads(message.body)
            message.finish()
            break

    assert letter["body_base64"] == "//4gbm8gdGV4dA=="
    assert letter["origin"]["redriven"] == 0


async def test_a_writer_waits_out_a_full_topic_and_a_reload_makes_room(
    daemons: Any, config: Path, eventually: Eventually
) -> None:
    nsqd = daemons.nsqd(f"--config={config}")

    def said(text: str) -> str:
        return next((line for line in nsqd.log if text in line), "")

    async with Writer([nsqd.tcp_address]) as writer, asyncio.TaskGroup() as group:
        for number in range(4):
            await writer.publish("narrow.street", b"%d" % number)
        waiting = group.create_task(writer.publish("narrow.street", b"too much"))
        await eventually(lambda: bool(said("topic.refuses")))
        assert "topic narrow.street is beyond its max_depth of 3" in said("topic.refuses")
        assert nsqd.request("POST", "/pub?topic=narrow.street", b"x")[0] == 503
        assert not waiting.done()

        rewrite(config, "max_depth = 3", "max_depth = 300")
        os.kill(nsqd.pid, signal.SIGHUP)
        await eventually(lambda: "policy" in said("reload.done"))

    nsqd.wait_for_log("topic.accepts_again")
    rewrite(config, "max_depth", "max_dept")
    os.kill(nsqd.pid, signal.SIGHUP)
    nsqd.wait_for_log("reload.failed")
    assert json.loads(nsqd.get("/policy?topic=narrow"))["policy"]["max_depth"] == 300


def rewrite(config: Path, old: str, new: str) -> None:
    config.write_text(POLICIES.replace(old, new), encoding="utf-8")


def test_a_policy_that_cannot_work_keeps_nsqd_from_starting_and_says_why(daemons: Any, config: Path) -> None:
    rewrite(config, "max_depth", "max_dept")
    nsqd = daemons.nsqd(f"--config={config}", starts=False)

    nsqd.spawn()

    assert nsqd.wait() == 1
    assert "policy: number 2: unknown key max_dept: did you mean max_depth?" in "\n".join(nsqd.log)


async def test_what_was_set_over_http_outlives_kill_9(daemons: Any, connect: Connect) -> None:
    nsqd = daemons.nsqd()
    put(nsqd, "topic=events&channel=work", max_depth=2, overflow="drop_oldest")
    nsqd.kill()
    nsqd.start()
    nsqd.post("/topic/create?topic=events")
    nsqd.post("/channel/create?topic=events&channel=work")
    for number in range(5):
        nsqd.post("/pub?topic=events", b"%d" % number)

    stats = nsqd.channel("events", "work")
    assert (stats["depth"], stats["dropped_count"]) == (2, 3)
    client = await connect(nsqd)
    await client.subscribe("events", "work", 10)
    assert [message.body for message in await client.messages(2)] == [b"3", b"4"]


async def fail_everything(client: Any) -> None:
    """A consumer that requeues whatever it is given, as long as the connection lasts."""
    with suppress(EOFError, OSError):
        while True:
            for kind, data in await client.frames():
                if kind == 2:
                    client.send(b"REQ %b 0\n" % data[10:26])


@pytest.mark.parametrize("durability", ["log", "fsync"])
async def test_kill_9_amid_dead_letters_loses_none(daemons: Any, connect: Connect, durability: str) -> None:
    nsqd = daemons.nsqd(f"--durability={durability}")
    put(nsqd, "topic=events&channel=work", max_attempts=1)
    rng = random.Random(5)
    count = 0
    async with asyncio.TaskGroup() as group:
        for _ in range(6):
            client, publisher = await connect(nsqd), await connect(nsqd)
            await client.subscribe("events", "work", 1_000)
            group.create_task(fail_everything(client))
            for _ in range(rng.randrange(1, 20)):
                await publisher.publish("events", *(b"%d" % number for number in range(count, count + 20)))
                count += 20
            nsqd.kill()
            nsqd.start()
        client, graveyard = await connect(nsqd), await connect(nsqd)
        await client.subscribe("events", "work", 1_000)
        group.create_task(fail_everything(client))
        await graveyard.subscribe(DEAD, "dead", 2_000)
        found: set[bytes] = set()
        while len(found) < count:
            message = await graveyard.message()
            found.add(json.loads(message.body)["body"].encode())
            graveyard.finish(message)
        await client.close()

    assert found == {b"%d" % number for number in range(count)}


async def test_a_topic_retains_what_it_was_told_and_no_more(
    daemons: Any, connect: Connect, eventually: Eventually
) -> None:
    nsqd = daemons.nsqd()
    put(nsqd, "topic=events", retain_bytes="2MiB")
    client, publisher = await connect(nsqd), await connect(nsqd)
    await client.subscribe("events", "work", 2_000)
    for _ in range(100):
        await publisher.publish("events", *([b"x" * 1_000] * 100))
        client.finish(*await client.messages(100))

    def topic() -> Any:
        return json.loads(nsqd.get("/stats?format=json&include_mem=false&topic=events"))["topics"][0]

    await eventually(lambda: topic()["channels"][0]["in_flight_count"] == 0)
    await eventually(lambda: 0 < topic()["retained_bytes"] < 3 << 20)
    assert 1 << 20 < sum(path.stat().st_size for path in nsqd_files(nsqd, "events")) < 4 << 20


def nsqd_files(nsqd: Any, topic: str) -> list[Path]:
    flags = nsqd._flags  # noqa: SLF001 - the daemon is the tests' own
    folder = next(flag for flag in flags if "-data-path=" in flag).partition("=")[2]
    return list(Path(folder, f"{topic}.topic").glob("*.seg"))
