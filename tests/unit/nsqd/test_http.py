"""`nsqd.http` on a real socket: looking around, creating, pausing, emptying, deleting."""

import json
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest

from millstream.net.http import Request, Response
from millstream.nsqd.http import NsqdApi, tls_required_router


def code(name: str) -> bytes:
    return b'{"message":"%s"}' % name.encode()


async def fill(one: Any, topic: str, *bodies: bytes) -> None:
    for body in bodies:
        assert await one.ask("POST", f"/pub?topic={topic}", body) == (200, b"OK")


def at_once(one: Any, target: str) -> int:
    """Have a POST carried out without a turn of the loop: the status of the answer that would leave now."""
    path, _, query = target.partition("?")
    route = NsqdApi(one.host, lambda: (0, 0), one.nsqd.policies).router().match("POST", path).route
    assert route is not None
    response = route.handler(Request("POST", path, dict(parse_qsl(query)), {}, b"", "127.0.0.1"))
    assert isinstance(response, Response)
    return response.status


async def test_ping_answers_ok_without_nsqs_header(start: Any) -> None:
    async with start() as one:
        status, headers, body = await one.exchange("GET", "/ping")

    assert (status, body) == (200, b"OK")
    assert headers["content-type"] == "text/plain; charset=utf-8"
    assert "x-nsq-content-type" not in headers


async def test_every_other_endpoint_has_nsqs_header(start: Any) -> None:
    async with start() as one:
        _, headers, _ = await one.exchange("GET", "/stats")

    assert headers["x-nsq-content-type"] == "nsq; version=1.0"


@pytest.mark.shows("nsqd: a disk that fails or is full", "nsqd GET /ping", "nsqd /stats health")
async def test_ping_and_stats_say_why_the_last_write_failed(start: Any) -> None:
    async with start() as one:
        await one.ask("POST", "/topic/create?topic=t")  # in the metadata file, which must not meet the full disk
        one.disk.is_full = True
        assert await one.ask("POST", "/pub?topic=t", b"x") == (503, code("EXITING"))

        status, body = await one.ask("GET", "/ping")
        health = (await one.stats())["health"]
        one.disk.is_full = False
        await fill(one, "t", b"x")

        assert (status, body) == (500, health.encode())
        assert health.startswith("NOK - write")
        assert await one.ask("GET", "/ping") == (200, b"OK")


async def test_info_tells_the_ports_that_are_really_listened_on(start: Any) -> None:
    async with start(broadcast_address="me", broadcast_tcp_port=1, broadcast_http_port=2) as one:
        info = json.loads((await one.ask("GET", "/info"))[1])
        ports = [int(address.rpartition(":")[2]) for address in (one.nsqd.tcp_address, one.nsqd.http_address)]

    assert list(info) == [
        "version",
        "broadcast_address",
        "hostname",
        "http_port",
        "tcp_port",
        "start_time",
        "max_heartbeat_interval",
        "max_output_buffer_size",
        "max_output_buffer_timeout",
        "max_deflate_level",
        "topology_zone",
        "topology_region",
    ]
    assert [info["tcp_port"], info["http_port"]] == ports
    assert (info["version"], info["broadcast_address"]) == ("1.3.0", "me")
    assert info["max_heartbeat_interval"] == 60 * 10**9
    assert info["start_time"] == 1_700_000_000


@pytest.mark.parametrize(
    ("target", "status", "name"),
    [
        ("/topic/create", 400, "MISSING_ARG_TOPIC"),
        ("/topic/create?topic=", 400, "INVALID_TOPIC"),
        ("/topic/create?topic=a%20b", 400, "INVALID_TOPIC"),
        ("/topic/create?topic=%zz", 400, "INVALID_REQUEST"),
        ("/topic/delete", 400, "MISSING_ARG_TOPIC"),
        ("/topic/delete?topic=a%20b", 404, "TOPIC_NOT_FOUND"),
        ("/topic/empty", 400, "MISSING_ARG_TOPIC"),
        ("/topic/empty?topic=a%20b", 400, "INVALID_TOPIC"),
        ("/topic/empty?topic=none", 404, "TOPIC_NOT_FOUND"),
        ("/topic/pause", 400, "MISSING_ARG_TOPIC"),
        ("/topic/pause?topic=none", 404, "TOPIC_NOT_FOUND"),
        ("/topic/unpause?topic=", 404, "TOPIC_NOT_FOUND"),
    ],
)
async def test_a_topic_that_cannot_be_used_is_refused(start: Any, target: str, status: int, name: str) -> None:
    async with start() as one:
        assert await one.ask("POST", target) == (status, code(name))


@pytest.mark.parametrize("verb", ["create", "delete", "empty", "pause", "unpause"])
@pytest.mark.parametrize(
    ("query", "status", "name"),
    [
        ("", 400, "MISSING_ARG_TOPIC"),
        ("?topic=t", 400, "MISSING_ARG_CHANNEL"),
        ("?topic=a%20b&channel=c", 400, "INVALID_ARG_TOPIC"),
        ("?topic=t&channel=", 400, "INVALID_ARG_CHANNEL"),
        ("?topic=none&channel=c", 404, "TOPIC_NOT_FOUND"),
        ("?topic=t&channel=none", 404, "CHANNEL_NOT_FOUND"),
    ],
)
async def test_a_channel_that_cannot_be_used_is_refused(
    start: Any, verb: str, query: str, status: int, name: str
) -> None:
    async with start() as one:
        await one.ask("POST", "/topic/create?topic=t")
        answer = await one.ask("POST", f"/channel/{verb}{query}")

    assert answer == (
        (200, b"") if (verb, status, name) == ("create", 404, "CHANNEL_NOT_FOUND") else (status, code(name))
    )


async def test_creating_twice_is_no_error(start: Any) -> None:
    async with start() as one:
        for target in ["/topic/create?topic=t", "/channel/create?topic=t&channel=c"] * 2:
            assert await one.ask("POST", target) == (200, b"")

        assert list(one.host.broker.topics["t"].channels) == ["c"]


async def test_a_wrong_method_names_the_right_one(start: Any) -> None:
    async with start() as one:
        status, headers, body = await one.exchange("GET", "/pub?topic=t")

    assert (status, body, headers["allow"]) == (405, code("METHOD_NOT_ALLOWED"), "OPTIONS, POST")


async def test_a_paused_topic_keeps_its_messages(start: Any, tmp_path: Path) -> None:
    async with start() as one:
        await one.ask("POST", "/topic/create?topic=t")
        await one.ask("POST", "/channel/create?topic=t&channel=c")
        assert await one.ask("POST", "/topic/pause?topic=t") == (200, b"")
        saved = json.loads((tmp_path / "nsqd.dat").read_bytes())
        await fill(one, "t", b"a", b"b")

        topic = (await one.stats())["topics"][0]
        assert (topic["paused"], topic["depth"], topic["channels"][0]["depth"]) == (True, 2, 0)
        assert saved["topics"][0]["paused"] is True

        assert await one.ask("POST", "/topic/unpause?topic=t") == (200, b"")
        topic = (await one.stats())["topics"][0]
        assert (topic["paused"], topic["depth"], topic["channels"][0]["depth"]) == (False, 0, 2)
        assert json.loads((tmp_path / "nsqd.dat").read_bytes())["topics"][0]["paused"] is False


async def test_a_paused_channel_delivers_again_when_unpaused(start: Any, tmp_path: Path) -> None:
    async with start() as one:
        await one.ask("POST", "/topic/create?topic=t")
        await one.ask("POST", "/channel/create?topic=t&channel=c")
        assert await one.ask("POST", "/channel/pause?topic=t&channel=c") == (200, b"")
        assert json.loads((tmp_path / "nsqd.dat").read_bytes())["topics"][0]["channels"][0]["paused"] is True
        peer = await one.connect()
        peer.subscribe("t", "c", ready=1)
        assert await peer.text() == "OK"
        await fill(one, "t", b"a")
        channel = (await one.stats())["topics"][0]["channels"][0]
        assert (channel["paused"], channel["depth"], channel["in_flight_count"]) == (True, 1, 0)

        assert await one.ask("POST", "/channel/unpause?topic=t&channel=c") == (200, b"")

        assert (await peer.message())[1] == b"a"


async def test_emptying_a_topic_leaves_its_channels_alone(start: Any) -> None:
    async with start() as one:
        await one.ask("POST", "/topic/create?topic=t")
        await one.ask("POST", "/channel/create?topic=t&channel=c")
        await fill(one, "t", b"a")
        await one.ask("POST", "/topic/pause?topic=t")
        await fill(one, "t", b"b", b"c")

        assert await one.ask("POST", "/topic/empty?topic=t") == (200, b"")
        await one.ask("POST", "/topic/unpause?topic=t")

        topic = (await one.stats())["topics"][0]
        peer = await one.connect()
        peer.subscribe("t", "c", ready=5)
        await peer.text()
        await fill(one, "t", b"d")
        assert topic["depth"] == 0
        assert [(await peer.message())[1] for _ in range(2)] == [b"a", b"d"]


async def test_emptying_a_channel_drops_what_waits_is_held_and_is_deferred(start: Any) -> None:
    async with start() as one:
        peer = await one.connect()
        peer.subscribe("t", "c", ready=1)
        await peer.text()
        await fill(one, "t", b"a", b"b")
        await one.ask("POST", "/pub?topic=t&defer=60000", b"later")
        await peer.message()

        assert await one.ask("POST", "/channel/empty?topic=t&channel=c") == (200, b"")

        channel = (await one.stats())["topics"][0]["channels"][0]
        assert [channel[name] for name in ("depth", "in_flight_count", "deferred_count")] == [0, 0, 0]
        assert channel["clients"][0]["in_flight_count"] == 0
        await fill(one, "t", b"new")
        assert (await peer.message())[1] == b"new"


async def test_deleting_a_channel_disconnects_its_consumers(start: Any) -> None:
    async with start() as one:
        peer = await one.connect()
        peer.subscribe("t", "c")
        await peer.text()

        assert await one.ask("POST", "/channel/delete?topic=t&channel=c") == (200, b"")

        assert await peer.is_closed()
        assert (await one.stats())["topics"][0]["channels"] == []


async def test_deleting_a_topic_takes_channels_consumers_and_files_with_it(start: Any, tmp_path: Path) -> None:
    async with start() as one:
        peer = await one.connect()
        peer.subscribe("t", "c")
        await peer.text()
        await fill(one, "t", b"a")
        assert (tmp_path / "t.topic").exists()

        assert await one.ask("POST", "/topic/delete?topic=t") == (200, b"")

        assert await peer.is_closed()
        assert (await one.stats())["topics"] == []
        assert not (tmp_path / "t.topic").exists()
        await fill(one, "t", b"again")
        assert (await one.stats())["topics"][0]["depth"] == 1


async def test_a_change_that_the_disk_refuses_is_an_internal_error(start: Any) -> None:
    async with start() as one:
        await one.ask("POST", "/topic/create?topic=t")
        await fill(one, "t", b"a")
        one.disk.is_full = True

        assert await one.ask("POST", "/topic/pause?topic=t") == (500, code("INTERNAL_ERROR"))

        one.disk.is_full = False
        assert await one.ask("POST", "/topic/pause?topic=t") == (200, b"")


CHANGES: dict[str, dict[str, dict[str, int]]] = {
    "/topic/create?topic=new": {"t": {"": 1, "c": 3, "d": 3}, "new": {"": 0}},
    "/channel/create?topic=t&channel=e": {"t": {"": 1, "c": 3, "d": 3, "e": 0}},
    "/channel/delete?topic=t&channel=c": {"t": {"": 1, "d": 3}},
    "/channel/empty?topic=t&channel=c": {"t": {"": 1, "c": 0, "d": 3}},
    "/topic/empty?topic=t": {"t": {"": 0, "c": 3, "d": 3}},
    "/topic/unpause?topic=t": {"t": {"": 0, "c": 4, "d": 4}},
    "/topic/delete?topic=t": {},
}


@pytest.mark.parametrize("level", ["log", "fsync"])
@pytest.mark.parametrize("target", CHANGES)
async def test_what_is_answered_holds_when_nsqd_is_killed_at_once(
    start: Any, tmp_path: Path, target: str, level: str
) -> None:
    source, remains = tmp_path / "source", tmp_path / "remains"
    source.mkdir()
    async with start(data_path=str(source), durability=level) as one:
        for path in ["/topic/create?topic=t", "/channel/create?topic=t&channel=c", "/channel/create?topic=t&channel=d"]:
            assert await one.ask("POST", path) == (200, b"")
        await fill(one, "t", b"a", b"b")
        await one.ask("POST", "/pub?topic=t&defer=60000", b"later")
        await one.ask("POST", "/topic/pause?topic=t")
        await fill(one, "t", b"held")

        assert at_once(one, target) == 200
        shutil.copytree(source, remains)

    async with start(data_path=str(remains), durability=level) as one:
        topics = (await one.stats())["topics"]

    found = {
        topic["topic_name"]: {"": topic["depth"]}
        | {found["channel_name"]: found["depth"] + found["deferred_count"] for found in topic["channels"]}
        for topic in topics
    }
    assert found == CHANGES[target]


async def test_a_change_that_cannot_be_written_down_is_an_internal_error(start: Any, tmp_path: Path) -> None:
    async with start() as one:
        one.disk.is_full = True
        assert await one.ask("POST", "/topic/create?topic=t") == (500, code("INTERNAL_ERROR"))
        one.disk.is_full = False

        assert await one.ask("POST", "/topic/create?topic=t") == (200, b"")

        assert json.loads((tmp_path / "nsqd.dat").read_bytes())["topics"][0]["name"] == "t"


async def test_stats_are_filtered_by_topic_and_channel(start: Any) -> None:
    async with start() as one:
        for name in ("b", "a"):
            await one.ask("POST", f"/topic/create?topic={name}")
        for name in ("y", "x"):
            await one.ask("POST", f"/channel/create?topic=a&channel={name}")

        async def seen(query: str) -> Any:
            topics = (await one.stats(query))["topics"]
            return topics and {one["topic_name"]: [each["channel_name"] for each in one["channels"]] for one in topics}

        assert list(await seen("")) == ["a", "b"]
        assert await seen("") == {"a": ["x", "y"], "b": []}
        assert await seen("&topic=a&channel=x") == {"a": ["x"]}
        assert await seen("&channel=x") == {"a": ["x"]}
        assert await seen("&topic=b&channel=x") == []
        assert await seen("&topic=none") is None


async def test_stats_show_consumers_and_producers_unless_told_not_to(start: Any) -> None:
    async with start() as one:
        peer = await one.connect()
        peer.identify(client_id="me", hostname="box", user_agent="a/1")
        await peer.text()
        peer.subscribe("t", "c", ready=7)
        await peer.text()
        peer.publish("p", b"1", b"2")
        assert [await peer.text(), await peer.text()] == ["OK", "OK"]

        full = await one.stats()
        bare = await one.stats("&include_clients=false&include_mem=0")

    client = full["topics"][1]["channels"][0]["clients"][0]
    assert full["producers"] == [client]
    assert (client["client_id"], client["hostname"], client["user_agent"]) == ("me", "box", "a/1")
    assert (client["state"], client["ready_count"]) == (3, 7)
    assert client["pub_counts"] == [{"topic": "p", "count": 2}]
    assert set(full["memory"]) >= {"heap_objects", "gc_total_runs"}
    assert (bare["topics"][1]["channels"][0]["clients"], bare["producers"]) == (None, None)
    assert "memory" not in bare
    assert bare["topics"][1]["channels"][0]["client_count"] == 1


async def test_stats_are_text_unless_json_is_asked_for(start: Any) -> None:
    async with start() as one:
        _, headers, body = await one.exchange("GET", "/stats?format=xml")

    assert headers["content-type"] == "text/plain; charset=utf-8"
    assert body.startswith(b"nsqd v1.3.0 (built w/Python ")


def test_plain_http_can_be_closed_in_favour_of_https() -> None:
    router = tls_required_router(4152)
    for method, path in (("GET", "/ping"), ("POST", "/pub"), ("DELETE", "/nothing")):
        response = router.match(method, path).answer
        assert response is not None
        assert response.status == 403
        assert response.body == b'{"message": "TLS_REQUIRED", "https_port": 4152}'
        assert response.content_type == "application/json; charset=utf-8"
