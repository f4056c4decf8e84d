"""Mixed clusters: an nsqd registered in an nsqlookupd, each of them the original or ours, seen from both."""

from typing import Final

from peer_script import Close, Quiet, Scenario, Send, Step, Take, Until, case, get, on, post, pub, stats

SUB: Final = b"SUB $t c\n"


def lookup(until: str = "", topic: str = "$t") -> Step:
    return get(f"/lookup?topic={topic}", until, "nsqlookupd")


def channels(until: str = "", topic: str = "$t") -> Step:
    return get(f"/channels?topic={topic}", until, "nsqlookupd")


SCENARIOS: Final[list[Scenario]] = on(
    "cluster",
    case("a topic is announced", pub(b"a"), 1, lookup("remote_address")),
    case("a topic made over HTTP is announced", post("/topic/create?topic=$t"), lookup("remote_address")),
    case("a channel is announced", SUB, 1, lookup('["c"]')),
    case(
        "a channel made over HTTP is announced",
        post("/topic/create?topic=$t"),
        post("/channel/create?topic=$t&channel=c"),
        lookup('["c"]'),
    ),
    case(
        "two channels are announced",
        SUB,
        1,
        channels('["c"]'),
        post("/channel/create?topic=$t&channel=d"),
        lookup('"d"'),
    ),
    case(
        "a deleted channel stays known",
        SUB,
        1,
        lookup('["c"]'),
        post("/channel/delete?topic=$t&channel=c"),
        1,
        channels(),
        lookup(),
    ),
    case(
        "a deleted topic is taken back",
        SUB,
        1,
        lookup('["c"]'),
        post("/topic/delete?topic=$t"),
        1,
        lookup('"producers":[]'),
        channels(),
    ),
    case(
        "an ephemeral channel is taken back",
        b"SUB $t c#ephemeral\n",
        1,
        channels('"c#ephemeral"'),
        Close(),
        channels("[]"),
        lookup(),
    ),
    case(
        "an ephemeral topic is taken back",
        b"SUB $t#ephemeral c#ephemeral\n",
        1,
        lookup('"c#ephemeral"', "$t%23ephemeral"),
        Close(),
        lookup("NOT_FOUND", "$t%23ephemeral"),
    ),
    case(
        "channels that nsqlookupd knows are made with a topic",
        post("/channel/create?topic=$t&channel=c", of="nsqlookupd"),
        post("/channel/create?topic=$t&channel=d", of="nsqlookupd"),
        pub(b"a"),
        1,
        Until(stats('"channel_name":"c","depth":1')),
        stats('"channel_name":"d","depth":1'),
        Send(SUB + b"RDY 1\n", "b"),
        Take(2, "b"),
        Send(b"SUB $t d\nRDY 1\n", "e"),
        Take(2, "e"),
    ),
    case(
        "ephemeral channels that nsqlookupd knows are not",
        post("/channel/create?topic=$t&channel=c%23ephemeral", of="nsqlookupd"),
        pub(b"a"),
        1,
        get("/stats?format=json&include_mem=false&include_clients=false&topic=$t"),
    ),
    case(
        "a topic that nsqlookupd deleted comes back with a channel",
        pub(b"a"),
        1,
        lookup("remote_address"),
        post("/topic/delete?topic=$t", of="nsqlookupd"),
        lookup("NOT_FOUND"),
        Send(SUB, "b"),
        Take(1, "b"),
        lookup('["c"]'),
    ),
    case(
        "a tombstoned topic",
        pub(b"a"),
        1,
        lookup("remote_address"),
        Quiet(0.05),
        post("/topic/tombstone?topic=$t&node=127.0.0.1:$httpport", of="nsqlookupd"),
        lookup('"producers":[]'),
    ),
    case("the node", pub(b"a"), 1, lookup("remote_address"), get("/config/nsqlookupd_tcp_addresses")),
    case("what nsqlookupd says of itself", get("/info", of="nsqlookupd"), get("/ping", of="nsqlookupd")),
)
