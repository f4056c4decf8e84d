"""`nsqd.client_stats`: the record that a session gives of its client."""

from dataclasses import FrozenInstanceError
from typing import Any

import pytest


async def test_a_client_that_never_identified_is_known_by_its_address(start: Any) -> None:
    async with start() as one:
        await one.connect()
        await one.until(lambda: bool(one.host.sessions))
        (session,) = one.host.sessions.values()

        stats = session.stats()

    assert (stats.client_id, stats.hostname, stats.state) == ("127.0.0.1", "127.0.0.1", 0)
    assert stats.remote_address.startswith("127.0.0.1:")
    assert stats.connect_ts == 1_700_000_000
    with pytest.raises(FrozenInstanceError):
        stats.state = 1


async def test_counters_follow_what_the_client_does(start: Any) -> None:
    async with start() as one:
        peer = await one.connect()
        peer.subscribe("t", "c", ready=2)
        peer.publish("t", b"a", b"b", b"c")
        for _ in range(4):
            assert await peer.frame()
        ids = [(await peer.message())[0] for _ in range(2)]
        (session,) = one.host.sessions.values()
        before = session.stats()
        peer.send(b"FIN %s\n" % ids[0], b"REQ %s 60000\n" % ids[1])
        await peer.message()
        after = session.stats()

    assert (before.ready_count, before.in_flight_count, before.message_count) == (2, 2, 2)
    assert (after.finish_count, after.requeue_count, after.message_count, after.in_flight_count) == (1, 1, 3, 1)
    assert dict(after.message_counts) == {"t": 3}
