"""Topology-aware consumption: consumers in nsqd's own zone come first, then those in its region, then the others.

`nsqd.conversation` says how far a consumer is when the experiment is on; `engine.channel` asks for the nearest of those
that are ready, and only when it has a consumer that is nearer than another can be. What each class was given is
counted by consumer, so that a delivery costs nothing more.
"""

from collections.abc import Iterable
from typing import Final

from millstream.engine.consumer import Consumer

IN_ZONE: Final = 0
IN_REGION: Final = 1
ELSEWHERE: Final = 2
# The experiment is off.
UNKNOWN: Final = 3


def distance_of(zone: str, region: str, own_zone: str, own_region: str) -> int:
    """How far a consumer is from nsqd: as in NSQ names are compared as they are, and none equals none."""
    if zone == own_zone:
        return IN_ZONE
    return IN_REGION if region == own_region else ELSEWHERE


def nearest(consumers: list[Consumer]) -> list[Consumer]:
    """Those of the consumers to whom none is nearer."""
    least = min([consumer.distance for consumer in consumers], default=UNKNOWN)
    return [consumer for consumer in consumers if consumer.distance == least]


def served(consumers: Iterable[Consumer], before: list[int]) -> list[int]:
    """Messages given to consumers by their distance, on top of those that are gone."""
    counts = list(before)
    for consumer in consumers:
        counts[consumer.distance] += consumer.message_count
    return counts
