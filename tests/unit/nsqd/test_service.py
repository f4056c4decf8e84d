"""`nsqd.service`: start, stop, and what the next start finds."""

import asyncio
import signal
from pathlib import Path
from typing import Any

import pytest

from millstream.base.errors import StorageError
from millstream.base.system import SystemClock
from millstream.net.listener import ListenFailed
from millstream.nsqd.options import DaemonOptions
from millstream.nsqd.service import Nsqd


@pytest.mark.parametrize("durability", ["memory", "log", "fsync"])
async def test_a_restart_finds_everything_as_it_was(start: Any, durability: str) -> None:
    async with start(durability=durability) as one:
        for target in ("/topic/create?topic=t", "/channel/create?topic=t&channel=c", "/topic/create?topic=quiet"):
            await one.ask("POST", target)
        await one.ask("POST", "/topic/pause?topic=quiet")
        await one.ask("POST", "/mpub?topic=t", b"a\nb\nc")
        await one.ask("POST", "/pub?topic=t&defer=60000", b"later")
        peer = await one.connect()
        peer.subscribe("t", "c", ready=2)
        await peer.text()
        (first, _, _), (second, _, _) = await peer.message(), await peer.message()
        peer.send(b"FIN %s\n" % first)
        assert (await peer.message())[1] == b"c"

    async with start(durability=durability) as one:
        topics = {found["topic_name"]: found for found in (await one.stats())["topics"]}
        (channel,) = topics["t"]["channels"]
        assert (topics["quiet"]["paused"], topics["t"]["paused"]) == (True, False)
        assert (channel["depth"], channel["deferred_count"]) == (2, 1)
        peer = await one.connect()
        peer.subscribe("t", "c", ready=5)
        await peer.text()
        redelivered = [await peer.message() for _ in range(2)]
        assert [body for _, body, _ in redelivered] == [b"b", b"c"]
        assert redelivered[0] == (second, b"b", 2)
        peer.send(*[b"FIN %s\n" % found for found, _, _ in redelivered])
        await one.until(lambda: one.host.broker.topics["t"].channels["c"].in_flight_count == 0)
        one.clock.move_s(60)
        assert (await peer.message())[1] == b"later"


async def test_the_backlog_of_a_paused_topic_survives(start: Any) -> None:
    async with start() as one:
        await one.ask("POST", "/topic/create?topic=t")
        await one.ask("POST", "/channel/create?topic=t&channel=c")
        await one.ask("POST", "/topic/pause?topic=t")
        await one.ask("POST", "/mpub?topic=t", b"a\nb")

    async with start() as one:
        (topic,) = (await one.stats())["topics"]
        assert (topic["paused"], topic["depth"], topic["channels"][0]["depth"]) == (True, 2, 0)
        await one.ask("POST", "/topic/unpause?topic=t")
        peer = await one.connect()
        peer.subscribe("t", "c", ready=5)
        await peer.text()
        assert [(await peer.message())[1] for _ in range(2)] == [b"a", b"b"]


async def test_ephemeral_topics_and_channels_do_not_survive(start: Any) -> None:
    async with start() as one:
        await one.ask("POST", "/topic/create?topic=t%23ephemeral")
        await one.ask("POST", "/topic/create?topic=u")
        await one.ask("POST", "/channel/create?topic=u&channel=c%23ephemeral")

    async with start() as one:
        (topic,) = (await one.stats())["topics"]

    assert (topic["topic_name"], topic["channels"]) == ("u", [])


async def test_stopping_lets_clients_go_and_closes_the_ports(start: Any) -> None:
    async with start() as one:
        peer = await one.connect()
        peer.publish("t", b"x")
        assert await peer.text() == "OK"
        tcp_address, http_address = one.nsqd.tcp_address, one.nsqd.http_address

    assert await peer.is_closed()
    for address in (tcp_address, http_address):
        with pytest.raises(ConnectionError):
            await one.open(address)


async def test_one_data_path_has_one_nsqd(start: Any, tmp_path: Path) -> None:
    async with start() as one, asyncio.TaskGroup() as group:
        second = Nsqd(
            DaemonOptions(tcp_address="127.0.0.1:0", http_address="127.0.0.1:0", data_path=str(tmp_path)), SystemClock()
        )
        with pytest.raises(StorageError, match="failed to lock data-path"):
            await second.start(group)
        await second.stop()

        assert await one.ask("POST", "/pub?topic=t", b"x") == (200, b"OK")


async def test_a_port_that_is_taken_is_said(start: Any, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    async with start() as one, asyncio.TaskGroup() as group:
        second = Nsqd(DaemonOptions(tcp_address=one.nsqd.tcp_address, data_path=str(other)), SystemClock())
        with pytest.raises(ListenFailed, match=one.nsqd.tcp_address):
            await second.start(group)
        await second.stop()

        assert (second.tcp_address, second.http_address) == ("", "")


async def test_a_metadata_file_of_no_use_is_set_aside_and_written_anew(start: Any, tmp_path: Path) -> None:
    async with start() as one:
        await one.ask("POST", "/pub?topic=t", b"x")
    (tmp_path / "nsqd.dat").write_bytes(b"{")

    async with start() as one:
        stats = await one.stats()

    assert [(topic["topic_name"], topic["depth"]) for topic in stats["topics"]] == [("t", 1)]
    assert (tmp_path / "nsqd.dat.bad").read_bytes() == b"{"
    assert b'"name":"t"' in (tmp_path / "nsqd.dat").read_bytes()


def content_of(path: Path) -> dict[Path, bytes]:
    return {found: found.read_bytes() for found in path.rglob("*") if found.is_file()}


async def test_who_cannot_start_leaves_the_data_path_as_it_is(start: Any, tmp_path: Path) -> None:
    async with start() as one:
        for topic in ("a", "z"):
            await one.ask("POST", f"/pub?topic={topic}", b"x")
        await one.ask("POST", "/topic/pause?topic=a")
    (segment,) = (tmp_path / "z.topic").glob("*.seg")
    data = segment.read_bytes()
    segment.write_bytes(data[:7] + b"\x02" + data[8:])
    (other,) = (tmp_path / "a.topic").glob("*.seg")
    other.write_bytes(other.read_bytes() + b"torn")
    before = content_of(tmp_path)

    for durability in ("log", "fsync"):
        with pytest.raises(ExceptionGroup) as raised:
            async with start(durability=durability):
                pass
        assert raised.group_contains(StorageError, match="written by a newer version")

    assert content_of(tmp_path) == before


@pytest.mark.shows("nsqd: nsqd.dat", better="topics with messages come back without it")
async def test_messages_are_found_without_the_metadata_file(start: Any, tmp_path: Path) -> None:
    async with start() as one:
        await one.ask("POST", "/pub?topic=t", b"x")
    (tmp_path / "nsqd.dat").unlink()

    async with start() as one:
        (topic,) = (await one.stats())["topics"]

    assert (topic["topic_name"], topic["depth"]) == ("t", 1)


@pytest.mark.shows("nsqd --http-address", "nsqd: HTTP: on a unix socket, or not at all")
async def test_http_can_be_left_out(tmp_path: Path) -> None:
    nsqd = Nsqd(DaemonOptions(tcp_address="127.0.0.1:0", http_address="", data_path=str(tmp_path)), SystemClock())
    async with asyncio.TaskGroup() as group:
        await nsqd.start(group)
        try:
            assert nsqd.tcp_address
            assert nsqd.http_address == ""
        finally:
            await nsqd.stop()


@pytest.mark.shows("nsqd: the TCP port on a unix socket", "nsqd --tcp-address")
async def test_unix_sockets_do_as_well(start: Any, tmp_path: Path) -> None:
    path = tmp_path / "tcp"
    async with start(tcp_address=str(path)) as one:
        reader, writer = await asyncio.open_unix_connection(str(path))
        writer.write(b"  V2PUB t\n\0\0\0\1x")
        async with asyncio.timeout(20):
            assert await reader.readexactly(10) == b"\0\0\0\x06\0\0\0\0OK"
        status, body = await one.ask("GET", "/info")
        writer.close()

    assert status == 200
    assert b'"tcp_port":-1' in body


async def test_it_can_be_looked_into(start: Any) -> None:
    async with start() as one:
        await one.ask("POST", "/pub?topic=t", b"x")
        moved, headers, _ = await one.exchange("GET", "/debug/pprof")
        index, _, _ = await one.exchange("GET", "/debug/pprof/")
        _, heap_headers, heap = await one.exchange("GET", "/debug/pprof/heap")

    assert (moved, headers["location"], index) == (301, "/debug/pprof/", 200)
    assert b"nsqd_topics                     1" in heap
    assert "x-nsq-content-type" not in heap_headers


async def test_stopping_does_not_wait_for_a_profile(start: Any) -> None:
    async with start() as one:
        asking = asyncio.create_task(one.exchange("GET", "/debug/pprof/profile?seconds=120"))
        await one.until(lambda: any(signal.getitimer(signal.ITIMER_PROF)))

    status, _, _ = await asking
    assert status == 200
