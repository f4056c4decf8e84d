import json

import pytest

from millstream.supervisor.stats import Row, Snapshot, rates_per_s, rows_of


def _stats(depth: int = 0) -> bytes:
    channel = {
        "channel_name": "archive",
        "depth": depth,
        "in_flight_count": 2,
        "deferred_count": 1,
        "message_count": 9,
        "requeue_count": 3,
        "timeout_count": 4,
        "client_count": 1,
        "clients": None,
    }
    topic = {"topic_name": "clicks", "depth": 0, "message_count": 9, "channels": [channel], "paused": False}
    return json.dumps({"version": "1.3.0", "health": "OK", "topics": [topic], "producers": None}).encode()


def _snapshot(taken_s: float, *rows: Row, silent: tuple[str, ...] = ()) -> Snapshot:
    return Snapshot(taken_s=taken_s, rows=rows, silent=silent)


def _row(messages: int) -> Row:
    return Row(
        nsqd="n", topic="t", channel="c", depth=0, in_flight=0, deferred=0, messages=messages, requeues=0, clients=0
    )


def test_topics_and_channels_become_rows() -> None:
    topic, channel = rows_of("shop", _stats(depth=5))

    assert (topic.topic, topic.channel, topic.messages) == ("clicks", "", 9)
    assert (channel.channel, channel.unfinished, channel.requeues) == ("archive", 8, 7)


@pytest.mark.parametrize("body", [b"", b"[]", b'{"topics": 1}', b'{"topics": [{}]}'])
def test_another_answer_is_no_stats(body: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        rows_of("shop", body)


def test_no_topics_are_no_rows() -> None:
    assert rows_of("shop", b'{"topics": null}') == ()


def test_a_system_is_idle_when_all_answer_and_nothing_is_on_its_way() -> None:
    assert _snapshot(0, _row(1)).idle
    assert not _snapshot(0, _row(1), silent=("n",)).idle
    assert not _snapshot(0, *rows_of("n", _stats())).idle


def test_rates_are_differences_over_time() -> None:
    assert rates_per_s(_snapshot(10, _row(100)), _snapshot(12, _row(150))) == {("n", "t", "c"): 25.0}


def test_a_counter_that_started_anew_has_no_negative_rate() -> None:
    assert rates_per_s(_snapshot(10, _row(100)), _snapshot(12, _row(1))) == {("n", "t", "c"): 0.0}
