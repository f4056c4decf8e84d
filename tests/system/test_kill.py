"""Nothing acknowledged is lost: nsqd is killed with `kill -9` at chosen moments under load, and started again.

The load, the kills and the books are `millstream torture`'s (docs/torture.md); a failure prints the command that
repeats it. What OK means is said in docs/durability.md.
"""

import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import pytest

from millstream.base.system import SystemClock
from millstream.torture.options import TortureOptions
from millstream.torture.progress import Progress
from millstream.torture.service import Torture
from millstream.torture.verdict import Verdict

KILLS: Final = 50
FSYNC_KILLS: Final = 8

Connect = Callable[..., Awaitable[Any]]


async def torture(tmp_path: Path, **options: Any) -> Verdict:
    """Kill, read everything, and return what it comes to."""
    chosen = TortureOptions(work_dir=str(tmp_path), seconds_per_round=0.2, **options)
    one = Torture(chosen, Progress(sys.stdout, is_terminal=False), SystemClock())
    await one.run()
    print(one.verdict.to_text())  # noqa: T201 - pytest shows it on failure
    return one.verdict


def check(verdict: Verdict, kills: int) -> None:
    """Nothing acknowledged was lost, no promise was seen broken, and there was something to lose everywhere."""
    assert verdict.lost == 0
    assert verdict.breaches == {}
    assert [piece.trouble for piece in verdict.pieces] == [""]
    assert verdict.holds
    assert verdict.kills.total() == kills
    for channel in verdict.pieces[0].channels:
        assert channel.acknowledged > 0, channel
        assert channel.duplicated <= channel.duplicated_max, channel
        if channel.name in ("clicks/audit", "backlog/first"):
            # Nobody read it before the end, so that no kill explains a duplicate.
            assert (channel.duplicated, channel.duplicated_max) == (0, 0)
            assert channel.finished >= channel.acknowledged


@pytest.mark.timeout(60 + 5 * KILLS)
@pytest.mark.shows("nsqd: what kill -9 leaves", better="every acknowledged message; NSQ loses what is in memory")
async def test_no_acknowledged_message_is_lost_when_nsqd_is_killed(tmp_path: Path) -> None:
    check(await torture(tmp_path, kills=KILLS, durability="log"), KILLS)


@pytest.mark.timeout(60 + 10 * FSYNC_KILLS)
async def test_no_acknowledged_message_is_lost_when_nsqd_is_killed_between_syncs(tmp_path: Path) -> None:
    check(await torture(tmp_path, kills=FSYNC_KILLS, durability="fsync"), FSYNC_KILLS)


async def test_channels_that_were_there_before_the_first_message_keep_it(daemons: Any, connect: Connect) -> None:
    nsqd = daemons.nsqd()
    for number in range(5):
        topic = f"young{number}"
        publisher, left, right = [await connect(nsqd) for _ in range(3)]
        await left.subscribe(topic, "left")
        await right.subscribe(topic, "right")
        await publisher.publish(topic, b"first")
        nsqd.kill()
        nsqd.start()

        for channel in ("left", "right"):
            client = await connect(nsqd)
            await client.subscribe(topic, channel, 1)
            assert (await client.message()).body == b"first"


@pytest.mark.parametrize("durability", ["log", "fsync"])
async def test_a_deletion_that_a_kill_has_cut_short_is_finished(
    daemons: Any, connect: Connect, tmp_path: Path, durability: str
) -> None:
    path = tmp_path / "data"
    path.mkdir()
    nsqd = daemons.nsqd(f"--data-path={path}", f"--durability={durability}", "--max-bytes-per-file=16384")
    nsqd.post("/topic/create?topic=t")
    nsqd.post("/channel/create?topic=t&channel=c")
    for _ in range(10):
        nsqd.post("/mpub?topic=t", b"\n".join([b"x" * 1000] * 20))
    nsqd.kill()
    rest = path / "t.topic.deleted"
    (path / "t.topic").rename(rest)
    segments = sorted(rest.glob("*.seg"))
    for segment in segments[:-2]:
        segment.unlink()

    nsqd.start()

    assert len(segments) > 5
    assert not rest.exists()
    stats = json.loads(nsqd.get("/stats?format=json"))
    assert stats["topics"][0]["depth"] == nsqd.channel("t", "c")["depth"] == 0
    assert not any("damage" in found for found in (stats, stats["topics"][0]))
    client = await connect(nsqd)
    await client.subscribe("t", "c", 1)
    await client.publish("t", b"after all")
    assert (await client.message()).body == b"after all"
