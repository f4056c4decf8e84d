"""Topology-aware consumption: who is near is served first, and everybody when nobody is nearer."""

from typing import Any

import pytest

from millstream.engine.consumer import Consumer
from millstream.engine.nearness import ELSEWHERE, IN_REGION, IN_ZONE, UNKNOWN, distance_of, nearest, served


@pytest.mark.parametrize(
    ("zone", "region", "distance"),
    [
        ("z", "r", IN_ZONE),
        ("z", "other", IN_ZONE),
        ("other", "r", IN_REGION),
        ("other", "other", ELSEWHERE),
        ("", "", ELSEWHERE),
    ],
)
def test_names_are_compared_as_they_are(zone: str, region: str, distance: int) -> None:
    assert distance_of(zone, region, "z", "r") == distance


def test_no_zone_equals_no_zone() -> None:
    assert distance_of("", "r", "", "") == IN_ZONE


def test_the_nearest_are_those_to_whom_none_is_nearer() -> None:
    near, far, also_near = [Consumer(at, 1, distance=distance) for at, distance in enumerate((1, 2, 1))]

    assert nearest([near, far, also_near]) == [near, also_near]
    assert nearest([far]) == [far]
    assert nearest([]) == []


def join(bench: Any, number: int, ready_count: int, distance: int) -> Consumer:
    consumer = Consumer(number, 10 * 10**9, distance=distance)
    consumer.ready_count = ready_count
    bench.channel.join(consumer)
    return consumer


def test_the_zone_comes_first_then_the_region_then_the_others(bench: Any) -> None:
    join(bench, 1, 3, ELSEWHERE)
    join(bench, 2, 3, IN_REGION)
    join(bench, 3, 3, IN_ZONE)
    bench.publish(9)

    rounds = []
    while dealt := bench.deal():
        rounds.append([number for number, _, _ in dealt])
        if not bench.channel.has_more:
            break

    assert rounds == [[3, 3, 3], [2, 2, 2], [1, 1, 1]]
    assert served(bench.channel.consumers, bench.channel.served_before)[:3] == [3, 3, 3]


def test_a_zone_without_room_leaves_messages_to_the_others(bench: Any) -> None:
    near = join(bench, 1, 1, IN_ZONE)
    join(bench, 2, 5, ELSEWHERE)
    near.is_blocked = True
    bench.publish(2)

    assert [number for number, _, _ in bench.deal()] == [2, 2]


def test_consumers_of_one_zone_share_evenly(bench: Any) -> None:
    join(bench, 1, 10, IN_ZONE)
    join(bench, 2, 10, IN_ZONE)
    join(bench, 3, 10, ELSEWHERE)
    bench.publish(6)

    assert sorted(number for number, _, _ in bench.deal()) == [1, 1, 1, 2, 2, 2]


def test_what_is_delivered_again_goes_to_the_zone_first_too(bench: Any) -> None:
    far = join(bench, 1, 1, ELSEWHERE)
    bench.publish(1)
    assert bench.deal() == [(1, 0, 1)]
    join(bench, 2, 1, IN_ZONE)
    bench.channel.leave(far)
    join(bench, 3, 1, ELSEWHERE)

    assert bench.deal() == [(2, 0, 2)]
    assert served(bench.channel.consumers, bench.channel.served_before)[:3] == [1, 0, 1]


def test_without_the_experiment_nobody_is_ranked_or_counted(bench: Any) -> None:
    join(bench, 1, 1, UNKNOWN)
    bench.publish(1)

    assert not bench.channel.is_ranked
    assert bench.deal() == [(1, 0, 1)]
    assert served(bench.channel.consumers, bench.channel.served_before)[:3] == [0, 0, 0]
