from millstream.net.http_limits import HttpLimits


def test_the_shortest_timeout_paces_the_watch() -> None:
    assert HttpLimits(idle_timeout_ms=7, linger_ms=900).shortest_ms() == 7
    assert HttpLimits(linger_ms=3).shortest_ms() == 3
