import json
import random
from collections import Counter

from millstream.demo.event_id import event_id_of
from millstream.demo.traffic import Decide, Follow, Relay, Traffic, follow_of, read_recorded

CLICK = {
    "a": "Mozilla/5.0 \u00e9\r\nX-Evil: 1",
    "r": "http://t.example/",
    "al": "en",
    "h": "wfLQtf",
    "l": "orofrog",
    "u": "http://www.example.org/",
    "nk": 1,
    "tz": "America/New_York",
    "ll": [42.5, -70.9],
    "c": "US",
}


def test_a_few_links_get_most_of_the_visits() -> None:
    traffic = Traffic(random.Random(1))

    visits = Counter(action.key for action in (traffic.next() for _ in range(4_000)) if isinstance(action, Follow))

    assert sum(count for _, count in visits.most_common(20)) > sum(visits.values()) / 2
    assert len(visits) > 100


def test_heartbeats_malformed_events_and_decisions_are_part_of_it() -> None:
    traffic = Traffic(random.Random(1))
    actions = [traffic.next() for _ in range(2_000)]

    kinds = Counter(action.kind for action in actions if isinstance(action, Relay))
    assert set(kinds) == {"heartbeat", "not JSON", "wrong type", "fields missing"}
    assert any(isinstance(action, Decide) for action in actions)


def test_every_relayed_event_carries_its_id_even_when_it_is_no_json() -> None:
    traffic = Traffic(random.Random(2))

    relayed = [action for action in (traffic.next() for _ in range(2_000)) if isinstance(action, Relay)]

    assert all(event_id_of(action.body) == action.event_id for action in relayed)
    assert len({action.event_id for action in relayed}) == len(relayed)


def test_recorded_lines_are_replayed_in_order_heartbeats_and_all() -> None:
    traffic = Traffic(random.Random(3), [CLICK, {"_heartbeat_": 5}])

    replayed = []
    while len(replayed) < 3:
        action = traffic.next()
        if isinstance(action, Follow) or (isinstance(action, Relay) and action.kind == "heartbeat"):
            replayed.append(action)

    assert isinstance(replayed[0], Follow)
    assert isinstance(replayed[1], Relay)
    assert json.loads(replayed[1].body)["_heartbeat_"] == 5
    assert replayed[2] == replayed[0]


def test_a_recorded_click_becomes_a_visit_with_its_headers() -> None:
    visit = follow_of(CLICK)

    assert (visit.key, visit.url, visit.login) == ("wfLQtf", "http://www.example.org/", "orofrog")
    assert visit.headers["User-Agent"] == "Mozilla/5.0 X-Evil: 1"
    assert visit.headers["Cookie"] == "known=1"
    assert json.loads(visit.headers["X-Geo"]) == {"c": "US", "tz": "America/New_York", "ll": [42.5, -70.9]}


def test_recorded_lines_of_no_use_are_left_out() -> None:
    assert read_recorded([b'{"h": "a"}\n', b"[]\n", b"broken", b"\xff", b""]) == [{"h": "a"}]
