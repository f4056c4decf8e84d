"""Topology-aware consumption as clients and operators see it."""

import json
from typing import Any

import pytest

AWARE = {"enable_experiment": ("topology-aware-consumption",), "topology_region": "r", "topology_zone": "z"}


async def consumer(one: Any, ready: int, **topology: str) -> Any:
    client = await one.connect()
    client.identify(feature_negotiation=True, **topology)
    reply = json.loads(await client.text())
    assert (reply["topology_region"], reply["topology_zone"]) == ("r", "z")
    client.subscribe("t", "c", ready)
    assert await client.text() == "OK"
    return client


@pytest.mark.shows(
    "nsqd: topology-aware consumption",
    "nsqd --enable-experiment",
    "nsqd --topology-region",
    "nsqd --topology-zone",
    "nsqd IDENTIFY topology_region",
    "nsqd IDENTIFY topology_zone",
    "nsqd /stats channel.zone_local_msg_count",
    "nsqd /stats channel.region_local_msg_count",
    "nsqd /stats channel.global_msg_count",
)
async def test_messages_go_to_the_nearest_first_and_are_counted(start: Any) -> None:
    async with start(**AWARE) as one:
        far = await consumer(one, 3)
        region = await consumer(one, 3, topology_region="r")
        zone = await consumer(one, 3, topology_region="r", topology_zone="z")
        await one.until(
            lambda: all(each.ready_count == 3 for each in one.host.broker.topics["t"].channels["c"].consumers)
        )
        for number in range(9):
            assert (await one.ask("POST", "/pub?topic=t", b"%d" % number))[0] == 200

        bodies = [[(await client.message())[1] for _ in range(3)] for client in (zone, region, far)]
        found = (await one.stats())["topics"][0]["channels"][0]

    assert bodies == [[b"0", b"1", b"2"], [b"3", b"4", b"5"], [b"6", b"7", b"8"]]
    assert [found[f"{name}_msg_count"] for name in ("zone_local", "region_local", "global")] == [3, 3, 3]


async def test_info_names_region_and_zone(start: Any) -> None:
    async with start(**AWARE) as one:
        info = json.loads((await one.ask("GET", "/info"))[1])

    assert (info["topology_region"], info["topology_zone"]) == ("r", "z")


@pytest.mark.shows(
    "nsqd /stats channel.zone_local_msg_count",
    "nsqd /stats channel.region_local_msg_count",
    "nsqd /stats channel.global_msg_count",
    better="left out without the experiment, in which NSQ counts every message as global",
)
async def test_without_the_experiment_nobody_comes_first_and_nothing_is_counted(start: Any) -> None:
    async with start(**{**AWARE, "enable_experiment": ("something-else",)}) as one:
        await consumer(one, 1, topology_region="r", topology_zone="z")
        assert (await one.ask("POST", "/pub?topic=t", b"x"))[0] == 200
        found = (await one.stats())["topics"][0]["channels"][0]
        channel = one.host.broker.topics["t"].channels["c"]

    assert not channel.is_ranked
    assert not any(name.endswith("_msg_count") for name in found)
