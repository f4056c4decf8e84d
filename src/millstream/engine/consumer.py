"""A subscriber as its channel sees it: how much it may hold, what it has done, and what it is given.

`nsqd.session` owns one per subscribed connection and sets `ready_count` and `is_blocked`; `engine.channel` reads them
and keeps the counters.
"""

from typing import Protocol


class Sink(Protocol):
    """Where what is delivered goes."""

    def send(self, data: bytes | memoryview) -> None:
        """Write now what can be written; the buffer is good until the loop's turn ends."""
        ...


class Consumer:
    """`number` is unique among live connections. RDY is a ceiling on what is in flight, as in NSQ, not a credit.

    `distance` is one of `engine.nearness`; `client` is what a dead letter says of who had it last. `sink` gets what is
    delivered; None when nobody is there to get it.
    """

    def __init__(
        self,
        number: int,
        timeout_ns: int,
        *,
        sample_rate: int = 0,
        distance: int = 3,
        client: object = None,
        sink: Sink | None = None,
    ) -> None:
        self.number = number
        self.timeout_ns = timeout_ns
        self.sample_rate = sample_rate
        self.distance = distance
        self.client = client
        self.sink = sink
        self.ready_count = 0
        self.in_flight = 0
        self.is_blocked = False
        self.message_count = 0
        self.finish_count = 0
        self.requeue_count = 0

    def room(self) -> int:
        """How many more messages it may be given now."""
        if self.is_blocked:
            return 0
        room = self.ready_count - self.in_flight
        return room if room > 0 else 0


class Deliver:
    """Write `frames` to the connection of `consumer`. The buffer is good until the loop's turn ends."""

    def __init__(self, consumer: Consumer, frames: memoryview | bytes) -> None:
        self.consumer = consumer
        self.frames = frames
