"""nsqd on a small disk of its own that fills up: publishers are told, consumers go on, nothing acknowledged is lost.

The disk is a tmpfs of 8 MiB that each test mounts. Mounting takes root; without it, the whole file is run once more in
a user namespace, where the tests are root. Where there is neither, that one is skipped, and says so.
"""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

Connect = Callable[..., Awaitable[Any]]
Eventually = Callable[[Callable[[], bool]], Awaitable[None]]

DISK_BYTES: Final = 8 << 20
BODY: Final = b"%08d " + b"z" * 991
BATCH: Final = 20
IS_ROOT: Final = os.geteuid() == 0
TELLS_WHY: Final = {"--disk-min-free=0": "No space left on device", "": "is nearly full"}


class SmallDisk:
    """A disk of its own, which somebody else may fill."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._others = path / "others"

    def fill(self) -> None:
        """Somebody else takes all that is left."""
        with self._others.open("ab", buffering=0) as file:
            for size in (1 << 16, 1 << 12, 1):
                try:
                    while file.write(b"o" * size) == size:
                        pass
                except OSError:
                    continue

    def leave(self) -> None:
        """They are gone."""
        self._others.unlink()

    @property
    def free_bytes(self) -> int:
        found = os.statvfs(self.path)
        return found.f_bavail * found.f_frsize


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    if not IS_ROOT:
        pytest.skip("mounting takes root: run by test_all_of_this_in_a_namespace")
    path = tmp_path / "disk"
    path.mkdir()
    # Whoever is root and still must not mount has to say so aloud: give the container the right (SYS_ADMIN).
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(path)], check=True)
    try:
        yield SmallDisk(path)
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)


@pytest.mark.skipif(IS_ROOT, reason="the tests of this file have run")
def test_all_of_this_in_a_namespace() -> None:
    command = ["unshare", "--user", "--map-root-user", "--mount"]
    if subprocess.run([*command, "true"], check=False, capture_output=True).returncode != 0:
        pytest.skip("neither root nor allowed to make a user namespace: a full disk is not tested here")
    subprocess.run([*command, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__], check=True)


class Publisher:
    """Publishes numbered messages over HTTP; `accepted` are those that were answered with OK."""

    def __init__(self, nsqd: Any, topic: str) -> None:
        self._nsqd = nsqd
        self._topic = topic
        self._number = 0
        self.accepted: set[bytes] = set()

    def publish(self, count: int = BATCH) -> bool:
        bodies = [BODY % (self._number + place) for place in range(count)]
        self._number += count
        status, _ = self._nsqd.request("POST", f"/mpub?topic={self._topic}", b"\n".join(bodies))
        if status == 200:
            self.accepted.update(bodies)
        return bool(status == 200)

    def publish_until_refused(self) -> None:
        while self.publish():
            assert len(self.accepted) * 1000 < 2 * DISK_BYTES, "more was taken than there is room for"


async def drain(nsqd: Any, connect: Connect, topic: str, channel: str) -> list[bytes]:
    """Finish everything that a channel has: the bodies."""
    client = await connect(nsqd)
    await client.subscribe(topic, channel, 200)
    bodies: list[bytes] = []
    while (found := nsqd.channel(topic, channel))["depth"] or found["in_flight_count"]:
        # Of what is in flight some may be finished, and nsqd not know it yet.
        for _ in range(found["clients"][0]["message_count"] - len(bodies)):
            message = await client.message()
            client.finish(message)
            bodies.append(message.body)
        await asyncio.sleep(0)
    await client.close()
    return bodies


@pytest.fixture
def nsqd_on(daemons: Any) -> Callable[..., Any]:
    def start(disk: SmallDisk, *flags: str) -> Any:
        return daemons.nsqd(f"--data-path={disk.path}", "--max-bytes-per-file=262144", *filter(None, flags))

    return start


marks = pytest.mark.parametrize("mark", ["", "--disk-min-free=0"])


@marks
@pytest.mark.parametrize("durability", ["log", "fsync"])
async def test_a_disk_fills_up_and_is_given_back(
    disk: SmallDisk, nsqd_on: Any, connect: Connect, eventually: Eventually, durability: str, mark: str
) -> None:
    nsqd = nsqd_on(disk, f"--durability={durability}", mark)
    for channel in ("a", "b"):
        nsqd.post("/topic/create?topic=t")
        nsqd.post(f"/channel/create?topic=t&channel={channel}")
    publisher = Publisher(nsqd, "t")

    publisher.publish_until_refused()

    assert len(publisher.accepted) * 1000 > DISK_BYTES // 2
    status, answer = nsqd.request("GET", "/ping")
    assert (status, answer[:6]) == (500, b"NOK - ")
    assert TELLS_WHY[mark].encode() in answer
    client = await connect(nsqd)
    if mark:
        # What is left is less than this.
        client.send(b"PUB t\n" + (DISK_BYTES // 16).to_bytes(4, "big") + b"x" * (DISK_BYTES // 16))
    else:
        client.send(b"PUB t\n\0\0\0\1x")
    assert (await client.error()).startswith(b"E_PUB_FAILED PUB failed ")

    for channel in ("a", "b"):
        bodies = await drain(nsqd, connect, "t", channel)
        assert sorted(bodies) == sorted(publisher.accepted)

    await eventually(publisher.publish)
    await eventually(lambda: nsqd.request("GET", "/ping")[0] == 200)
    assert disk.free_bytes > DISK_BYTES // 2
    assert b"nsqd_disk_refusing 0" in nsqd.get("/metrics")


@pytest.mark.parametrize("durability", ["log", "fsync"])
async def test_a_disk_that_others_fill_is_given_back_all_the_same(
    disk: SmallDisk, nsqd_on: Any, connect: Connect, eventually: Eventually, durability: str
) -> None:
    nsqd = nsqd_on(disk, f"--durability={durability}")
    nsqd.post("/topic/create?topic=t")
    nsqd.post("/channel/create?topic=t&channel=c")
    publisher = Publisher(nsqd, "t")
    for _ in range(150):
        assert publisher.publish()

    disk.fill()

    assert disk.free_bytes == 0
    await eventually(lambda: nsqd.request("GET", "/ping")[0] == 500)
    assert not publisher.publish()
    client = await connect(nsqd)
    await client.subscribe("t", "c", 2000)
    first = await client.messages(2000)
    # Which of them are finished takes more than the rest of a page: the journal has to grow.
    client.finish(*first[::2])
    nsqd.wait_for_log("disk.reserve_given_up")
    client.finish(*first[1::2])
    await client.close()
    bodies = [message.body for message in first] + await drain(nsqd, connect, "t", "c")
    assert set(bodies) == publisher.accepted
    # Nobody else has left: the room is that of what was finished.
    await eventually(publisher.publish)
    await eventually(lambda: nsqd.request("GET", "/ping")[0] == 200)


@marks
async def test_a_kill_on_a_full_disk_loses_nothing_that_was_acknowledged(
    disk: SmallDisk, nsqd_on: Any, connect: Connect, eventually: Eventually, mark: str
) -> None:
    nsqd = nsqd_on(disk, mark)
    nsqd.post("/topic/create?topic=t")
    nsqd.post("/channel/create?topic=t&channel=c")
    publisher = Publisher(nsqd, "t")
    publisher.publish_until_refused()
    disk.fill()
    client = await connect(nsqd)
    await client.subscribe("t", "c", 10)
    finished = await client.messages(10)
    client.finish(*finished)

    nsqd.kill()
    nsqd.start(is_healthy=False)

    # What a journal could not hold before the kill comes once more.
    bodies = await drain(nsqd, connect, "t", "c")
    assert publisher.accepted == {*bodies, *(message.body for message in finished)}
    if mark:
        disk.leave()
    await eventually(publisher.publish)
    await eventually(lambda: nsqd.request("GET", "/ping")[0] == 200)


@pytest.mark.parametrize("durability", ["log", "fsync"])
async def test_a_start_on_a_disk_without_any_room_serves_and_says_so(
    disk: SmallDisk, nsqd_on: Any, connect: Connect, eventually: Eventually, durability: str
) -> None:
    nsqd = nsqd_on(disk, f"--durability={durability}")
    nsqd.post("/topic/create?topic=t")
    nsqd.post("/channel/create?topic=t&channel=c")
    publisher = Publisher(nsqd, "t")
    for _ in range(20):
        assert publisher.publish()
    nsqd.kill()
    segment = max((disk.path / "t.topic").glob("*.seg"))
    data = bytearray(segment.read_bytes())
    data[64 + 34 + 1000 + 20] ^= 1
    segment.write_bytes(bytes(data) + b"torn")
    (disk.path / "nsqd.reserve").unlink()
    disk.fill()

    nsqd.start(is_healthy=False)

    assert any("could not be copied" in line for line in nsqd.log)
    assert any("could not be cut" in line for line in nsqd.log)
    bodies = await drain(nsqd, connect, "t", "c")
    # A record, or where there are checksums its commit.
    assert len(bodies) == len(set(bodies))
    assert len(publisher.accepted) - BATCH <= len(bodies) < len(publisher.accepted)
    assert set(bodies) < publisher.accepted
    topic = json.loads(nsqd.get("/stats?format=json"))["topics"][0]
    assert sorted(found["kind"] for found in topic["damage"]) == ["records", "torn_tail"]
    disk.leave()
    await eventually(publisher.publish)
    await eventually(lambda: nsqd.request("GET", "/ping")[0] == 200)
