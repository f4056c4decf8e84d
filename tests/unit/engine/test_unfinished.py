"""One unfinished message: the same answers wherever it is kept."""

from typing import Any

import pytest

from millstream.engine.eviction import evict
from millstream.engine.unfinished import (
    attempts_of,
    finish_queued,
    frame_of,
    is_unfinished,
    is_untried,
    put_back,
)

ORIGIN = 1000


@pytest.mark.parametrize("is_evicted", [False, True])
def test_a_message_is_the_same_in_the_window_and_among_the_stragglers(bench: Any, is_evicted: bool) -> None:
    consumer = bench.join(2)
    bench.publish(2)
    bench.deal()
    bench.channel.requeue(consumer, ORIGIN, 0)
    stored = bench.log.record(ORIGIN)
    if is_evicted:
        evict(bench.channel, ORIGIN + 2)

    assert attempts_of(bench.channel, ORIGIN) == 1
    assert frame_of(bench.channel, ORIGIN) == stored
    assert is_unfinished(bench.channel, ORIGIN)
    assert not is_untried(bench.channel, ORIGIN)

    assert bench.channel.redelivery.popleft() == ORIGIN
    finish_queued(bench.channel, ORIGIN)

    assert not is_unfinished(bench.channel, ORIGIN)
    assert is_unfinished(bench.channel, ORIGIN + 1)
    bench.channel.save()
    bench.open()
    assert list(bench.channel.redelivery) == [ORIGIN + 1]


def test_what_is_put_back_is_delivered_as_if_for_the_first_time_and_is_in_the_journal(bench: Any) -> None:
    consumer = bench.join(1)
    bench.publish(1)
    bench.deal()
    stored = bench.log.record(ORIGIN)
    bench.channel.finish(consumer, ORIGIN)

    put_back(bench.channel, ORIGIN, stored, 3)
    assert is_untried(bench.channel, ORIGIN)
    bench.channel.save()
    bench.open()

    assert bench.channel.redriven == {ORIGIN: 3}
    bench.join(1)
    assert bench.deal() == [(1, 0, 1)]
