"""`nsqd.timers`: time passes in the engine while the daemon runs."""

from typing import Any


async def test_a_message_that_is_not_answered_in_time_is_delivered_again(start: Any) -> None:
    async with start(msg_timeout_ms=1_000) as one:
        peer = await one.connect()
        peer.subscribe("t", "c", ready=1)
        await peer.text()
        peer.publish("t", b"x")
        await peer.text()
        first = await peer.message()

        one.clock.move_s(1.1)

        assert await peer.message() == (*first[:2], 2)
        assert one.host.broker.topics["t"].channels["c"].timeout_count == 1


async def test_every_tick_says_how_late_it_came(start: Any) -> None:
    async with start() as one:
        before = one.host.loop_lag_s.count

        await one.until(lambda: one.host.loop_lag_s.count >= before + 2)

        assert one.host.loop_lag_s.total >= 0


async def test_the_disk_is_looked_at_while_the_daemon_runs(start: Any) -> None:
    async with start() as one:
        one.disk.free_bytes = 1

        await one.until(lambda: one.host.disk.is_low and one.host.disk.is_refusing)
