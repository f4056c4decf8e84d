"""nsqd as its operator sees it: draining, reloading, limits, and the descriptors of many topics."""

import json
import os
import signal
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

Connect = Callable[..., Awaitable[Any]]
Eventually = Callable[[Callable[[], bool]], Awaitable[None]]

DESCRIPTORS_MAX = 800


def open_descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


@pytest.mark.shows(
    "nsqd: SIGUSR1 lets it run empty and end",
    beyond="publishes are refused, nsqlookupd is told, the process ends with the last message",
)
async def test_sigusr1_drains_and_ends_with_status_0(daemons: Any, connect: Connect) -> None:
    nsqd = daemons.nsqd()
    publisher, subscriber = await connect(nsqd), await connect(nsqd)
    await subscriber.subscribe("t", "c", 1)
    await publisher.publish("t", b"one", b"two")
    first = await subscriber.message()
    os.kill(nsqd.pid, signal.SIGUSR1)
    nsqd.wait_for_log("drain.began")

    assert nsqd.request("POST", "/pub?topic=t", b"x") == (503, b'{"message":"DRAINING"}')
    assert json.loads(nsqd.get("/drain"))["in_flight_count"] == 1
    subscriber.finish(first)
    subscriber.finish(await subscriber.message())

    assert nsqd.wait() == 0
    assert any("drain.done" in line for line in nsqd.log)


async def test_consumers_do_not_find_an_nsqd_that_drains(daemons: Any, eventually: Eventually) -> None:
    lookupd = daemons.nsqlookupd()
    nsqd = daemons.nsqd(f"--lookupd-tcp-address={lookupd.tcp_address}")
    nsqd.post("/pub?topic=t", b"x")

    def producers() -> int:
        status, body = lookupd.request("GET", "/lookup?topic=t")
        return len(json.loads(body)["producers"]) if status == 200 else 0

    await eventually(lambda: producers() == 1)
    nsqd.post("/drain")
    await eventually(lambda: producers() == 0)
    nsqd.post("/drain?cancel=true")
    await eventually(lambda: producers() == 1)
    assert nsqd.is_running


async def test_where_an_nsqd_stands_is_found_wherever_nsqlookupd_speaks_of_it(
    daemons: Any, eventually: Eventually
) -> None:
    lookupd = daemons.nsqlookupd()
    topology = ("--topology-region=eu", "--topology-zone=eu-1")
    nsqd = daemons.nsqd(f"--lookupd-tcp-address={lookupd.tcp_address}", *topology)
    nsqd.post("/topic/create?topic=t")
    await eventually(lambda: lookupd.request("GET", "/lookup?topic=t")[0] == 200)

    (found,) = json.loads(lookupd.get("/lookup?topic=t"))["producers"]
    (node,) = json.loads(lookupd.get("/nodes"))["producers"]
    (entry,) = json.loads(lookupd.get("/debug"))["topic:t:"]
    for shown in (found, node, entry):
        assert (shown["topology_region"], shown["topology_zone"]) == ("eu", "eu-1")


@pytest.mark.shows("nsqd --config")
@pytest.mark.shows("nsqd: SIGHUP", better="reads the configuration file again; NSQ has no such thing")
async def test_sighup_takes_up_a_changed_file_and_drops_nobody(daemons: Any, connect: Connect, tmp_path: Path) -> None:
    config = tmp_path / "nsqd.toml"
    config.write_text('log_level = "info"\nmax_rdy_count = 100\n', encoding="utf-8")
    nsqd = daemons.nsqd(f"--config={config}")
    subscriber = await connect(nsqd)
    await subscriber.subscribe("t", "c", 50)

    config.write_text('log_level = "info"\nmax_rdy_count = 10\nmem_queue_size = 5\n', encoding="utf-8")
    os.kill(nsqd.pid, signal.SIGHUP)

    line = nsqd.wait_for_log("reload.done")
    assert "--max-rdy-count" in line
    assert "--mem-queue-size" in line.partition("needs_restart")[2]
    nsqd.post("/pub?topic=t", b"x")
    assert (await subscriber.message()).body == b"x"

    config.write_text("max_rdy_count = 0\n", encoding="utf-8")
    os.kill(nsqd.pid, signal.SIGHUP)
    nsqd.wait_for_log("reload.failed")
    assert nsqd.get("/config/max_rdy_count") == b"10"


def test_a_busy_nsqd_is_profiled_and_goes_on(daemons: Any) -> None:
    nsqd = daemons.nsqd()
    with ThreadPoolExecutor() as pool:
        profile = pool.submit(nsqd.get, "/debug/pprof/profile?seconds=1")
        block = pool.submit(nsqd.get, "/debug/pprof/block?seconds=1")
        while not (profile.done() and block.done()):
            nsqd.post("/pub?topic=t", b"x")

    heading, *stacks = profile.result().decode().splitlines()
    assert heading.startswith("# ")
    assert all(line.rpartition(" ")[2].isdigit() for line in stacks)
    assert block.result().startswith(b"# ")
    assert b"nsqd_topics                     1\n" in nsqd.get("/debug/pprof/heap?gc=1")
    assert b"millstream/nsqd/service.py:serve" in nsqd.get("/debug/pprof/goroutine")
    assert b"millstream.cli.nsqd" in nsqd.get("/debug/pprof/cmdline")


@pytest.mark.parametrize("durability", ["log", "fsync"])
async def test_many_topics_do_not_use_up_the_descriptors(daemons: Any, connect: Connect, durability: str) -> None:
    nsqd = daemons.nsqd(f"--durability={durability}")
    publisher = await connect(nsqd)
    for number in range(500):
        await publisher.publish(f"t{number}", b"one")
        nsqd.post(f"/channel/create?topic=t{number}&channel=c")
    last = await connect(nsqd)
    await last.subscribe("t0", "c", 1)

    assert open_descriptors(nsqd.pid) <= DESCRIPTORS_MAX
    assert (await last.message()).body == b"one"
