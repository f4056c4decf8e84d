"""`engine.timestamps`: what stands in a frame."""

from typing import Any

from millstream.engine.timestamps import timestamp_of


def test_it_is_the_instant_of_the_publish(bench: Any) -> None:
    bench.publish(1)

    assert timestamp_of(bench.log.record(1000)) == bench.clock.wall_ns()
