import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from millstream.base.errors import OptionError, StorageError, UsageError
from millstream.base.system import SystemClock
from millstream.net.http import HttpServer, Request, Response, Router
from millstream.net.http import json as json_response
from millstream.net.listener import listen
from millstream.tools.nsq_to_file.options import ToFileOptions
from millstream.tools.nsq_to_file.service import NsqToFile

Contents = Callable[[], dict[str, bytes]]


def service(tmp_path: Path, stopped: asyncio.Event, **changes: Any) -> NsqToFile:
    values: dict[str, Any] = {"output_dir": str(tmp_path), "filename_format": "<TOPIC>.log", "max_in_flight": 1}
    return NsqToFile(ToFileOptions(**values | changes), SystemClock(), stopped)


@pytest.mark.shows("nsq_to_file --topic-refresh", better="the first question is asked at once, not after one interval")
async def test_topics_are_found_and_archived(nsqd: Any, tmp_path: Path, contents: Contents) -> None:
    host, _, port = nsqd.address.partition(":")
    router = Router()

    async def topics(_: Request) -> Response:
        return json_response({"topics": ["clicks", "pages"]})

    async def lookup(_: Request) -> Response:
        return json_response({"channels": [], "producers": [{"broadcast_address": host, "tcp_port": int(port)}]})

    router.add("GET", "/topics", topics)
    router.add("GET", "/lookup", lookup)
    server = HttpServer(router)
    listener = await listen("127.0.0.1:0", server.protocol)
    stopped = asyncio.Event()
    one = service(tmp_path, stopped, lookupd_http_addresses=(listener.address,), topic_pattern="^cl")

    async with asyncio.TaskGroup() as group:
        running = group.create_task(one.run())
        await nsqd.ready()
        nsqd.deliver(1)
        await nsqd.until(lambda: nsqd.finished == [1])
        stopped.set()
    listener.close()
    await listener.wait_closed()
    await server.close()

    assert running.result() == 0
    assert contents() == {"clicks.log": b'{"n":1}\n'}


async def test_a_failing_disk_stops_everything_with_status_1(nsqd: Any, tmp_path: Path) -> None:
    (tmp_path / "full.log").symlink_to("/dev/full")
    stopped = asyncio.Event()
    one = service(tmp_path, stopped, topics=("full",), nsqd_tcp_addresses=(nsqd.address,))

    async with asyncio.TaskGroup() as group:
        running = group.create_task(one.run())
        await nsqd.ready()
        nsqd.deliver(1)

    assert (running.result(), stopped.is_set(), nsqd.finished) == (1, True, [])


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"nsqd_tcp_addresses": ("nowhere",)}, UsageError),
        ({"gzip": True}, OptionError),
        ({"topic_pattern": "^other"}, OptionError),
        ({"output_dir": "/dev/null/x"}, StorageError),
        ({"topics": (), "topic_pattern": "x", "nsqd_tcp_addresses": (), "lookupd_http_addresses": ("x",)}, UsageError),
    ],
)
async def test_what_cannot_start_says_so_at_once(
    tmp_path: Path, changes: dict[str, Any], error: type[Exception]
) -> None:
    needed: dict[str, Any] = {"topics": ("clicks",), "nsqd_tcp_addresses": ("127.0.0.1:1",)}

    with pytest.raises(error):
        await service(tmp_path, asyncio.Event(), **needed | changes).run()
