import socket

from millstream.queuereader.stats import Counters, StatsdReport, snapshot
from millstream.queuereader.statsd import StatsdClient


def test_a_snapshot_has_every_counter_and_does_not_change() -> None:
    counters = Counters(handled=3, finished=2)
    taken = snapshot(counters, in_hand=1)
    counters.finished = 9

    assert (taken.handled, taken.finished, taken.in_hand) == (3, 2, 1)


def test_a_report_sends_what_changed_since_the_last() -> None:
    receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    receiver.bind(("127.0.0.1", 0))
    receiver.settimeout(20)
    client = StatsdClient("127.0.0.1", receiver.getsockname()[1])
    report, counters = StatsdReport(client, "shop.spam"), Counters(finished=2)

    report.send(snapshot(counters, in_hand=5))
    counters.finished = 5
    report.send(snapshot(counters, in_hand=0))

    received = [receiver.recv(1_000).decode() for _ in range(4)]
    assert received == [
        "shop.spam.finished:2|c",
        "shop.spam.in_hand:5|g",
        "shop.spam.finished:3|c",
        "shop.spam.in_hand:0|g",
    ]
    client.close()
    receiver.close()
