"""`millstream peek` and `millstream replay` as processes, on a real nsqd with real clients and real archives."""

import gzip
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

DEADLINE_S = 60


def millstream(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "millstream.cli.main", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=False)


def done(*words: str) -> str:
    found = millstream(*words)
    assert found.returncode == 0, found.stderr
    return found.stdout


@pytest.fixture
def nsqd(daemons: Any) -> Any:
    one = daemons.nsqd()
    one.post("/topic/create?topic=clicks")
    for channel in ("archive", "metrics"):
        one.post(f"/channel/create?topic=clicks&channel={channel}")
    return one


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)  # another process offers its state, not events


def at(nsqd: Any) -> str:
    return f"--nsqd-http-address=127.0.0.1:{nsqd.http_port}"


async def read(connect: Any, nsqd: Any, channel: str, count: int) -> list[bytes]:
    client = await connect(nsqd)
    await client.subscribe("clicks", channel, ready_count=count)
    bodies = []
    for _ in range(count):
        message = await client.message()
        client.send(b"FIN %b\n" % message.id)
        bodies.append(message.body)
    await client.ask(b"CLS\n")
    client.writer.close()
    return bodies


async def test_messages_are_shown_and_stay(nsqd: Any, connect: Any) -> None:
    nsqd.post("/mpub?topic=clicks", b'{"n":0}\n{"n":1}\n\xff\xfe')

    text = done("peek", "clicks", "metrics", at(nsqd))
    lines = [json.loads(line) for line in done("peek", "clicks", "metrics", "--json", at(nsqd)).splitlines()]
    stored = done("peek", "clicks", "--limit=0", "--body=false", at(nsqd))

    assert [line.split()[1] for line in text.splitlines()] == ["ready"] * 3
    assert [line.get("body") for line in lines] == ['{"n":0}', '{"n":1}', None]
    assert len(stored.splitlines()) == 3
    one = done("peek", f"--id={lines[1]['id']}", at(nsqd), "clicks", "metrics")
    assert '{"n":1}' in one
    assert await read(connect, nsqd, "metrics", 3) == [b'{"n":0}', b'{"n":1}', b"\xff\xfe"]


async def test_a_channel_is_sent_back_and_a_span_replayed_also_over_a_kill(nsqd: Any, connect: Any) -> None:
    bodies = [b"%d" % number for number in range(100)]
    nsqd.post("/mpub?topic=clicks", b"\n".join(bodies))
    assert await read(connect, nsqd, "metrics", 100) == bodies

    assert "100 messages wait" in done("replay", "clicks", "metrics", "--rewind=start", at(nsqd))
    nsqd.kill()
    nsqd.start()
    assert await read(connect, nsqd, "metrics", 100) == bodies

    assert "100 messages are delivered" in done("replay", "clicks", "metrics", "--from=-1h", at(nsqd))
    nsqd.kill()
    nsqd.start()
    assert sorted(await read(connect, nsqd, "metrics", 100)) == sorted(bodies)
    assert nsqd.channel("clicks", "archive")["depth"] == 100


async def test_archives_are_a_source(nsqd: Any, connect: Any, tmp_path: Path) -> None:
    plain, packed, torn = tmp_path / "a.log", tmp_path / "b.log.gz", tmp_path / "c.log.gz"
    plain.write_bytes(b"a0\na1\n\na2")
    packed.write_bytes(gzip.compress(b"b0\nb1\n"))
    whole = gzip.compress(b"c0\n")
    torn.write_bytes(whole + whole[: len(whole) // 2])

    said = done(
        "replay",
        "clicks",
        "metrics",
        *(f"--archive={path}" for path in (plain, packed, torn)),
        "--batch=2",
        "--skip-lines=1",
        at(nsqd),
    )

    assert "5 messages of 3 files" in said
    assert sorted(await read(connect, nsqd, "metrics", 5)) == [b"a1", b"a2", b"b0", b"b1", b"c0"]
    assert nsqd.channel("clicks", "archive")["depth"] == 0


def test_what_nsq_to_file_wrote_goes_back_into_one_channel(nsqd: Any, tmp_path: Path) -> None:
    nsqd.post("/mpub?topic=clicks", b"\n".join(b'{"n":%d}' % number for number in range(50)))
    command = [
        *(sys.executable, "-m", "millstream.cli.nsq_to_file", "--topic=clicks", "--channel=archive", "--gzip"),
        *(f"--output-dir={tmp_path}", f"--nsqd-tcp-address=127.0.0.1:{nsqd.tcp_port}", "--sync-interval=100ms"),
    ]
    archiver = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until(lambda: not (found := nsqd.channel("clicks", "archive"))["depth"] and not found["in_flight_count"])
    finally:
        archiver.terminate()
        archiver.wait(DEADLINE_S)

    done("replay", "clicks", "metrics", *(f"--archive={path}" for path in sorted(tmp_path.glob("*.gz"))), at(nsqd))

    assert nsqd.channel("clicks", "metrics")["depth"] == 100


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["peek"], "name a topic"),
        (["peek", "nosuch", "metrics"], "404 TOPIC_NOT_FOUND"),
        (["peek", "clicks", "metrics", "--state=odd"], "400 INVALID_ARG_STATE"),
        (["replay", "clicks", "--from=-1h"], "name a topic and a channel"),
        (["replay", "clicks", "metrics", "--archive=/nonexistent/file"], "No such file"),
        (["replay", "clicks", "nosuch", "--from=-1h"], "404 CHANNEL_NOT_FOUND"),
        (["replay", "clicks", "metrics", "--rewind=yesterday"], "INVALID_ARG_TO"),
    ],
)
def test_what_cannot_be_done_is_said(nsqd: Any, words: list[str], reason: str) -> None:
    found = millstream(*words, at(nsqd))

    assert found.returncode != 0
    assert reason in found.stderr


def test_the_original_daemon_is_told_apart(original_nsqd: str, tmp_path: Path) -> None:
    command = [original_nsqd, f"-data-path={tmp_path}", "-tcp-address=127.0.0.1:0", "-http-address=127.0.0.1:0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            address = next(line.rsplit(" ", 1)[-1].strip() for line in process.stderr if "HTTP: listening on" in line)
            found = millstream("peek", "clicks", "metrics", f"--nsqd-http-address={address}")
        finally:
            process.terminate()

    assert found.returncode == 1
    assert "needs Millstream's nsqd" in found.stderr
