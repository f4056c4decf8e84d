"""`nsqd.http_damage`: what is damaged is shown until somebody has acknowledged it."""

from pathlib import Path
from typing import Any

import pytest


async def spoilt(start: Any, tmp_path: Path) -> None:
    """A topic and a metadata file that are damaged; a topic that is not."""
    async with start() as one:
        for topic in ("t", "u"):
            await one.ask("POST", f"/pub?topic={topic}", b"x")
    (segment,) = (tmp_path / "t.topic").glob("*.seg")
    segment.with_suffix(".idx").unlink()
    segment.write_bytes(segment.read_bytes() + b"torn")
    (tmp_path / "nsqd.dat").write_bytes(b"{")


@pytest.mark.shows("nsqd POST /damage/acknowledge", beyond="damage that was seen is told no more")
@pytest.mark.shows(
    "nsqd /stats topic.damage",
    "nsqd /stats damage",
    "nsqd /stats damage.kind",
    "nsqd /stats damage.text",
    "nsqd /stats damage.set_aside",
    beyond="what was found damaged on the disk, while there is any",
)
async def test_damage_is_shown_in_stats_and_metrics_until_it_is_acknowledged(start: Any, tmp_path: Path) -> None:
    await spoilt(start, tmp_path)
    async with start() as one:
        stats = await one.stats()
        (torn,) = stats["topics"][0]["damage"]
        assert (torn["kind"], torn["set_aside"].partition(".")[2]) == ("torn_tail", "seg.cut-99")
        assert torn["text"].endswith(f"kept as {torn['set_aside']}")
        assert "damage" not in stats["topics"][1]
        assert [found["set_aside"] for found in stats["damage"]] == ["nsqd.dat.bad"]
        text = (await one.ask("GET", "/stats"))[1].decode()
        assert f"\n      damage: {torn['text']}\n" in text
        assert f"\nDamage: {stats['damage'][0]['text']}\n" in text
        metrics = (await one.ask("GET", "/metrics"))[1]
        assert b'nsqd_damage{topic="t",kind="torn_tail"} 1' in metrics
        assert b'nsqd_damage{topic="",kind="metadata"} 1' in metrics

        status, body = await one.ask("POST", "/damage/acknowledge?topic=t")
        assert (status, torn["text"].encode() in body) == (200, True)
        assert (await one.ask("POST", "/damage/acknowledge"))[0] == 200
        assert await one.ask("POST", "/damage/acknowledge?topic=t") == (200, b'{"acknowledged":[]}')

        stats = await one.stats()
        assert "damage" not in stats
        assert "damage" not in stats["topics"][0]
        assert b"nsqd_damage" not in (await one.ask("GET", "/metrics"))[1]
    assert (tmp_path / "nsqd.dat.bad.ack").read_bytes() == b"{"
    assert (tmp_path / "t.topic" / f"{torn['set_aside']}.ack").read_bytes() == b"torn"


async def test_what_nobody_has_acknowledged_is_shown_by_the_next_process(start: Any, tmp_path: Path) -> None:
    await spoilt(start, tmp_path)
    async with start():
        pass

    async with start() as one:
        stats = await one.stats()

    assert [found["kind"] for found in stats["topics"][0]["damage"]] == ["torn_tail"]
    assert "set aside at an earlier start" in stats["topics"][0]["damage"][0]["text"]
    assert [found["kind"] for found in stats["damage"]] == ["metadata"]


async def test_what_does_not_exist_cannot_be_acknowledged(start: Any) -> None:
    async with start() as one:
        assert await one.ask("POST", "/damage/acknowledge?topic=none") == (404, b'{"message":"TOPIC_NOT_FOUND"}')
        assert await one.ask("POST", "/damage/acknowledge") == (200, b'{"acknowledged":[]}')


async def test_damage_that_is_found_later_is_told_in_the_log_and_shown(start: Any, tmp_path: Path, caplog: Any) -> None:
    async with start() as one:
        await one.ask("POST", "/mpub?topic=t", b"\n".join([b"x" * 100] * 50))
    (segment,) = (tmp_path / "t.topic").glob("*.seg")
    data = bytearray(segment.read_bytes())
    data[64 + 134 * 3 + 20] ^= 1
    segment.write_bytes(bytes(data))

    async with start() as one:
        peer = await one.connect()
        peer.subscribe("t", "c", ready=100)
        assert await peer.text() == "OK"
        for _ in range(49):
            assert (await peer.message())[1] == b"x" * 100
        await one.until(lambda: any("log.damaged" in found.getMessage() for found in caplog.records))
        (damage,) = (await one.stats())["topics"][0]["damage"]
        assert one.host.broker.topics["t"].channels["c"].depth == 0

    assert (damage["kind"], damage["set_aside"].partition(".")[2]) == ("records", "seg.bad-466")
