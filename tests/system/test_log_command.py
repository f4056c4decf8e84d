"""`millstream log` as a process: beside an nsqd that is busy, on one that was killed, and on what it cannot use."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

Connect = Callable[..., Awaitable[Any]]

DEADLINE_S = 60
FLAGS = ("--max-bytes-per-file=16384", "--mem-queue-size=10")


def millstream_log(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "millstream.cli.main", "log", *map(str, arguments)]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=DEADLINE_S)


def files_of(path: Path) -> dict[Path, tuple[int, int]]:
    """Every file with its size and the instant of its last change."""
    return {found: (found.stat().st_size, found.stat().st_mtime_ns) for found in path.rglob("*") if found.is_file()}


@pytest.mark.parametrize("durability", ["log", "fsync"])
async def test_a_busy_nsqd_is_sound_and_does_not_notice(
    daemons: Any, connect: Connect, tmp_path: Path, durability: str
) -> None:
    nsqd = daemons.nsqd(f"--data-path={tmp_path}", f"--durability={durability}", *FLAGS)
    nsqd.post("/topic/create?topic=t")
    nsqd.post("/channel/create?topic=t&channel=c")
    reader, writer, last = await connect(nsqd), await connect(nsqd), await connect(nsqd)
    await reader.subscribe("t", "c", 50)
    done = asyncio.Event()

    async def write() -> None:
        number = 0
        while not done.is_set():
            await writer.publish("t", *(b"%d" % (number + place) * 100 for place in range(20)))
            number += 20

    async def read() -> None:
        while not done.is_set():
            reader.finish(await reader.message())

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(write()), group.create_task(read())]
        for _ in range(3):
            found = await asyncio.to_thread(millstream_log, "verify", tmp_path)
            assert (found.returncode, found.stderr) == (0, ""), found.stdout
            assert found.stdout.startswith("sound: 1 topics, ")
            found = await asyncio.to_thread(millstream_log, "inspect", tmp_path)
            assert found.returncode == 0
            assert "damaged" not in found.stdout
        done.set()
        await last.publish("t", b"so that the reader is not left waiting")
        await asyncio.wait(tasks, timeout=DEADLINE_S)
    assert nsqd.get("/ping") == b"OK"


def test_a_killed_nsqd_is_shown_verified_and_dumped_and_nothing_changes(daemons: Any, tmp_path: Path) -> None:
    nsqd = daemons.nsqd(f"--data-path={tmp_path}", *FLAGS)
    nsqd.post("/topic/create?topic=t")
    nsqd.post("/channel/create?topic=t&channel=c")
    nsqd.post("/mpub?topic=t", b"\n".join(b"%d" % number for number in range(500)))
    nsqd.post("/pub?topic=t&defer=3600000", b"later")
    # The channel takes a deferred message out of the log, and its journal says so soon.
    while not millstream_log("dump", tmp_path, "--topic=t", "--channel=c").stdout:
        assert nsqd.is_running
    nsqd.kill()
    before = files_of(tmp_path)

    shown = millstream_log("inspect", tmp_path)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "topic t: 501 messages" in shown.stdout
    assert shown.stdout.splitlines()[-1].split()[-2:] == ["1", "1"]

    verified = millstream_log("verify", tmp_path)
    assert (verified.returncode, verified.stdout) == (0, "sound: 1 topics, 501 messages\n")

    dumped = millstream_log("dump", "--limit=2", tmp_path)
    first, second = map(json.loads, dumped.stdout.splitlines())
    assert (first["topic"], first["body"], second["body"]) == ("t", "0", "1")
    rest = millstream_log("dump", tmp_path, "--format=raw", f"--from={second['id']}")
    assert rest.stdout.splitlines() == [*map(str, range(1, 500)), "later"]
    deferred = json.loads(millstream_log("dump", tmp_path, "--channel=c").stdout)
    assert (deferred["body"], deferred["due"] > deferred["timestamp"]) == ("later", True)
    assert files_of(tmp_path) == before


def test_damage_is_status_1_and_what_cannot_be_used_is_status_2(daemons: Any, tmp_path: Path) -> None:
    nsqd = daemons.nsqd(f"--data-path={tmp_path}", *FLAGS)
    nsqd.post("/mpub?topic=t", b"\n".join(b"%d" % number for number in range(500)))
    nsqd.kill()
    segment = min((tmp_path / "t.topic").glob("*.seg"))
    data = bytearray(segment.read_bytes())
    # The twentieth message: the first ten have a digit less.
    data[64 + 35 * 10 + 36 * 10 + 20] ^= 1
    segment.write_bytes(bytes(data))

    found = millstream_log("verify", tmp_path)

    assert found.returncode == 1
    assert f"{segment.name} has 36 damaged bytes at" in found.stdout
    assert found.stdout.endswith("1 damaged: 1 topics, 499 messages\n")
    for arguments in (["verify"], ["verify", "a", "b"], ["verify", "--topik=t", tmp_path], ["mend", tmp_path], []):
        refused = millstream_log(*arguments)
        assert (refused.returncode, refused.stdout) == (2, "")
        assert refused.stderr
    assert millstream_log("verify", "--topic=a/b", tmp_path).returncode == 2
    assert millstream_log("verify", tmp_path / "none").returncode == 2
    for arguments in (["-h"], ["dump", "-h"]):
        assert millstream_log(*arguments).returncode == 0


def test_whoever_reads_the_dump_may_stop(daemons: Any, tmp_path: Path) -> None:
    nsqd = daemons.nsqd(f"--data-path={tmp_path}")
    nsqd.post("/mpub?topic=t", b"\n".join([b"x" * 1000] * 4000))
    command = [sys.executable, "-m", "millstream.cli.main", "log", "dump", str(tmp_path)]

    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith(b'{"topic":"t"')
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(DEADLINE_S) == 0
