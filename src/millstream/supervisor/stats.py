"""Asks every nsqd of the plan for its /stats, and turns the answers into rows of topics and channels.

The rows go to `supervisor.board` and to whoever waits for the system to be idle; an nsqd that does not answer is named,
never skipped in silence.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from millstream.net.http_client import HttpClient, HttpFailed


class ChannelStats(msgspec.Struct, frozen=True):
    """What is used of a channel's stats."""

    channel_name: str
    depth: int = 0
    in_flight_count: int = 0
    deferred_count: int = 0
    message_count: int = 0
    requeue_count: int = 0
    timeout_count: int = 0
    client_count: int = 0


class TopicStats(msgspec.Struct, frozen=True):
    """What is used of a topic's stats."""

    topic_name: str
    channels: list[ChannelStats] | None = None
    depth: int = 0
    message_count: int = 0


class _NsqdStats(msgspec.Struct, frozen=True):
    topics: list[TopicStats] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One channel of one topic on one nsqd; the topic's own row has no channel."""

    nsqd: str
    topic: str
    channel: str
    depth: int
    in_flight: int
    deferred: int
    messages: int
    requeues: int
    clients: int

    @property
    def unfinished(self) -> int:
        """Messages that wait, are out with a reader, or are deferred."""
        return self.depth + self.in_flight + self.deferred


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """All rows at one moment, and the nsqds that did not answer."""

    taken_s: float
    rows: tuple[Row, ...]
    silent: tuple[str, ...]

    @property
    def unfinished(self) -> int:
        """Messages on their way, over all rows."""
        return sum(row.unfinished for row in self.rows)

    @property
    def idle(self) -> bool:
        """True when every nsqd answered and nothing is on its way."""
        return not self.silent and self.unfinished == 0


def rows_of(nsqd: str, body: bytes) -> tuple[Row, ...]:
    """The rows of one /stats?format=json answer. Raises ValueError when it is something else."""
    stats = msgspec.json.decode(body, type=_NsqdStats)
    rows = []
    for topic in stats.topics or ():
        rows.append(
            Row(
                nsqd=nsqd,
                topic=topic.topic_name,
                channel="",
                depth=topic.depth,
                in_flight=0,
                deferred=0,
                messages=topic.message_count,
                requeues=0,
                clients=0,
            )
        )
        rows += [
            Row(
                nsqd=nsqd,
                topic=topic.topic_name,
                channel=channel.channel_name,
                depth=channel.depth,
                in_flight=channel.in_flight_count,
                deferred=channel.deferred_count,
                messages=channel.message_count,
                requeues=channel.requeue_count + channel.timeout_count,
                clients=channel.client_count,
            )
            for channel in topic.channels or ()
        ]
    return tuple(rows)


async def take_snapshot(client: HttpClient, addresses: Mapping[str, str]) -> Snapshot:
    """Asks all nsqds at once (`addresses`: name to host:port of HTTP)."""
    answers = await asyncio.gather(*(_ask(client, name, address) for name, address in addresses.items()))
    return Snapshot(
        taken_s=asyncio.get_running_loop().time(),
        rows=tuple(row for rows in answers if rows is not None for row in rows),
        silent=tuple(name for name, rows in zip(addresses, answers, strict=True) if rows is None),
    )


async def _ask(client: HttpClient, name: str, address: str) -> tuple[Row, ...] | None:
    try:
        answer = await client.get(f"http://{address}/stats?format=json&include_clients=false&include_mem=false")
        return rows_of(name, answer.body)
    except (HttpFailed, ValueError):
        return None


def rates_per_s(before: Snapshot | None, after: Snapshot) -> dict[tuple[str, str, str], float]:
    """Messages a second of each (nsqd, topic, channel) between two snapshots; a restarted counter gives 0."""
    if before is None or after.taken_s <= before.taken_s:
        return {}
    old = {(row.nsqd, row.topic, row.channel): row.messages for row in before.rows}
    elapsed_s = after.taken_s - before.taken_s
    return {
        key: max(0, row.messages - old[key]) / elapsed_s
        for row in after.rows
        if (key := (row.nsqd, row.topic, row.channel)) in old
    }
