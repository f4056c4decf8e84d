"""`/debug/...` of the daemons as processes: NSQ's paths, and what Python has to show there."""

import urllib.error
import urllib.request
from typing import Any, Final

import pytest

DEADLINE_S: Final = 60

# What each page begins with or holds, so that none of them can be empty or another one.
PAGES: Final = {
    "GET cmdline": b"millstream.cli.",
    "GET symbol": b"num_symbols: 0",
    "POST symbol": b"num_symbols: 0",
    "GET profile?seconds=1": b" looks, one for each ",
    "GET heap": b"resident_bytes",
    "GET goroutine": b"tasks: ",
    "GET block?seconds=1": b" times longer than ",
    "GET threadcreate": b"threads: ",
}
INDEX: Final = {"nsqd": "/debug/pprof/", "nsqlookupd": "/debug/pprof"}


def rows(program: str) -> list[str]:
    pages = [
        f"{method} /debug/pprof/{page.partition('?')[0]}"
        for method, _, page in (found.partition(" ") for found in PAGES)
    ]
    beyond = ["PUT /debug/setblockrate", "POST /debug/freememory"] if program == "nsqd" else []
    return [f"{program} {row}" for row in (f"GET {INDEX[program]}", *pages, *beyond)]


def ask(daemon: Any, request: str) -> bytes:
    method, _, path = request.partition(" ")
    url = f"http://127.0.0.1:{daemon.http_port}{path}"
    with urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=DEADLINE_S) as answer:
        found: bytes = answer.read()
        return found


@pytest.mark.shows(
    *rows("nsqd"), *rows("nsqlookupd"), better="NSQ shows a runtime of Go there, this shows Python's, as text"
)
@pytest.mark.shows("nsqlookupd PUT /debug/setblockrate", beyond="notes what holds the event loop up for longer")
@pytest.mark.shows("nsqlookupd POST /debug/freememory", beyond="gives memory back to the system")
@pytest.mark.parametrize("program", ["nsqd", "nsqlookupd"])
def test_a_daemon_shows_what_it_does_at_nsqs_paths(daemons: Any, program: str) -> None:
    daemon = getattr(daemons, program)()

    for request, held in PAGES.items():
        method, _, page = request.partition(" ")
        assert held in ask(daemon, f"{method} /debug/pprof/{page}"), request
    assert b"goroutine" in ask(daemon, f"GET {INDEX[program]}")
    assert b"resident bytes before" in ask(daemon, "POST /debug/freememory")
    assert ask(daemon, "PUT /debug/setblockrate?rate=0") == b"OK"
    assert b"# off" in ask(daemon, "GET /debug/pprof/block?seconds=1")
    with pytest.raises(urllib.error.HTTPError) as refused:
        ask(daemon, "PUT /debug/setblockrate?rate=often")
    with refused.value as answer:
        assert answer.code == 400
        assert b"invalid block rate" in answer.read()
