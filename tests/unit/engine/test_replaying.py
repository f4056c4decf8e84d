"""`engine.replaying`: a span of the log once more, and messages that are one channel's alone."""

import random
from typing import Any

import pytest

from millstream.engine import replaying
from millstream.engine.replaying import feed, is_clear, left_to_replay, replay
from millstream.engine.rewinding import rewind

ORIGIN = 1000


def finish_all(bench: Any, consumer: Any) -> list[int]:
    seen: list[int] = []
    while dealt := bench.deal():
        for _, place, attempts in dealt:
            assert attempts == 1
            bench.channel.finish(consumer, ORIGIN + place)
            seen.append(place)
    return seen


def test_a_span_is_delivered_once_more_and_the_cursor_stays(bench: Any) -> None:
    consumer = bench.join(10)
    bench.publish(6)
    finish_all(bench, consumer)

    assert replay(bench.channel, ORIGIN + 1, ORIGIN + 4) == 3

    assert bench.channel.depth == 3
    assert finish_all(bench, consumer) == [1, 2, 3]
    assert bench.channel.is_idle


def test_what_is_unfinished_comes_once(bench: Any) -> None:
    consumer = bench.join(2)
    bench.publish(4)
    bench.deal()
    bench.channel.finish(consumer, ORIGIN)

    assert replay(bench.channel, ORIGIN, ORIGIN + 4) == 4
    assert bench.channel.depth == 3  # of those that were never delivered, and of the one that is held, there is no copy

    bench.channel.finish(consumer, ORIGIN + 1)
    assert sorted(finish_all(bench, consumer)) == [0, 2, 3]


def test_a_deferred_publish_is_replayed_as_the_message_that_it_was(bench: Any) -> None:
    consumer = bench.join(2)
    bench.publish(1, delay_ns=10**9)
    bench.publish(1)
    bench.wait(10**9)
    finish_all(bench, consumer)

    replay(bench.channel, ORIGIN, ORIGIN + 2)

    assert sorted(finish_all(bench, consumer)) == [0, 1]


def test_a_long_span_is_fed_as_the_channel_works_it_off(bench: Any) -> None:
    many = 10_000
    consumer = bench.join(2 * many)
    bench.publish(many)
    finish_all(bench, consumer)

    replay(bench.channel, ORIGIN, ORIGIN + many)
    assert bench.channel.depth == replaying.FEED_COUNT
    assert not feed(bench.channel)
    assert left_to_replay(bench.channel) == many - replaying.FEED_COUNT

    seen = finish_all(bench, consumer)
    while feed(bench.channel):
        seen += finish_all(bench, consumer)
    assert seen == list(range(many))
    assert left_to_replay(bench.channel) == 0


def test_a_restart_goes_on_with_what_was_saved(bench: Any) -> None:
    many = 6_000
    consumer = bench.join(2 * many)
    bench.publish(many)
    finish_all(bench, consumer)
    replay(bench.channel, ORIGIN, ORIGIN + many)
    bench.channel.save()

    bench.open()
    bench.channel.see(bench.log.ready_seq)
    consumer = bench.join(2 * many)

    seen = finish_all(bench, consumer)
    while feed(bench.channel):
        seen += finish_all(bench, consumer)
    assert sorted(seen) == list(range(many))


def test_an_emptied_channel_replays_nothing_more(bench: Any) -> None:
    consumer = bench.join(20_000)
    bench.publish(6_000)
    finish_all(bench, consumer)
    replay(bench.channel, ORIGIN, ORIGIN + 6_000)

    bench.channel.empty()

    assert bench.channel.is_idle
    bench.open()
    assert left_to_replay(bench.channel) == 0


def test_messages_of_its_own_are_delivered_and_outlive_a_restart(bench: Any) -> None:
    first_id = 1 << 60
    assert is_clear(bench.channel, first_id, 2)
    replaying.publish(bench.channel, [b"own", b"another"], first_id, 5)
    bench.channel.save()
    assert not is_clear(bench.channel, first_id + 1, 2)

    bench.open()
    consumer = bench.join(2)
    frames = b"".join(bytes(one.frames) for one in bench.channel.deal(bench.now_ns))

    assert b"own" in frames
    assert b"another" in frames
    assert bench.channel.finish(consumer, first_id)
    assert bench.channel.finish(consumer, first_id + 1)
    assert bench.channel.is_idle


def test_ids_near_those_of_the_log_are_not_clear(bench: Any) -> None:
    assert not is_clear(bench.channel, ORIGIN + 5, 1)
    assert not is_clear(bench.channel, ORIGIN, 1)
    assert not is_clear(bench.channel, 0, 2_000)


@pytest.mark.parametrize("seed", range(150))
def test_whatever_happens_everything_owed_is_delivered(make_bench: Any, seed: int) -> None:
    rng = random.Random(seed)
    bench = make_bench(window_slots_max=64)
    consumer = bench.join(rng.choice([3, 30, 300]))
    owed: set[int] = set()
    held: set[int] = set()
    for _ in range(60):
        match rng.choice(
            ["publish", "publish", "defer", "deal", "deal", "finish", "finish", "requeue", "wait", "save"]
            + ["rewind", "replay", "restart"] * (rng.random() < 0.4)
        ):
            case "publish" | "defer" as how:
                count = rng.randrange(1, 40)
                owed |= set(range(bench.published, bench.published + count))
                bench.publish(count, delay_ns=5 * 10**9 if how == "defer" else 0)
            case "deal":
                held |= {place for _, place, _ in bench.deal()}
            case "finish":
                for place in rng.sample(sorted(held), rng.randrange(len(held) + 1)):
                    if bench.channel.finish(consumer, ORIGIN + place):
                        owed.discard(place)
                    held.discard(place)
            case "requeue":
                for place in rng.sample(sorted(held), min(3, len(held))):
                    bench.channel.requeue(consumer, ORIGIN + place, rng.choice([0, 10**9]))
                    held.discard(place)
            case "wait":
                bench.wait(rng.choice([10**8, 2 * 10**9, 11 * 10**9]))
            case "save":
                bench.channel.save()
            case "rewind":
                start = rng.randrange(bench.channel.cursor.sequence - ORIGIN + 1)
                rewind(bench.channel, ORIGIN + start)
                owed |= set(range(start, bench.published))
            case "replay":
                start, end = sorted(rng.choices(range(bench.published + 1), k=2))
                replay(bench.channel, ORIGIN + start, ORIGIN + end)
                owed |= set(range(start, end))
            case "restart":
                bench.channel.save()
                bench.open()
                bench.channel.see(bench.log.ready_seq)
                consumer = bench.join(consumer.ready_count)
                held.clear()
        assert consumer.in_flight == bench.channel.in_flight_count, f"seed={seed}"

    seen: set[int] = set()
    consumer.ready_count = 10_000
    for _ in range(100):
        bench.wait(11 * 10**9)
        feed(bench.channel)
        for _, place, _ in bench.deal():
            seen.add(place)
            bench.channel.finish(consumer, ORIGIN + place)
    assert owed <= seen, f"lost {sorted(owed - seen)[:10]}; seed={seed}"
    assert bench.channel.is_idle, f"seed={seed}"
