"""What nsqd says to nsqlookupd, to the byte; it is named one over HTTP."""

from typing import Final

from peer_script import Close, Heard, Listen, Scenario, Step, better, case, on, post, pub, put

ADDRESSES: Final = "/config/nsqlookupd_tcp_addresses"
SUB: Final = b"SUB $t c\n"
CREATE: Final = post("/topic/create?topic=$t")
# The original asks for channels once it has come back to waiting for news: a channel that is announced says so.
ANOTHER: Final = post("/topic/create?topic=$u")
SETTLED: Final = (post("/channel/create?topic=$u&channel=c"), Heard(1))
CHANNEL: Final = post("/channel/create?topic=$t&channel=c")


def announced(name: str, *steps: Step, before: tuple[Step, ...] = (), count: int = 2, exact: bool = False) -> Scenario:
    """An nsqd that is named the listener, and then these steps; at the end it is named none."""
    named: tuple[Step, ...] = (Listen(), *before, put(ADDRESSES, b'["$listener"]'), Heard(count))
    return case(name, *named, *steps, put(ADDRESSES, b"[]"), Heard(1), exact=exact)


SCENARIOS: Final[list[Scenario]] = on(
    "alone",
    announced("nothing but itself"),
    better(
        "NSQ after 1.3.0 says so too",
        announced("all that it says of itself", exact=True),
        '+ .topology_region = ""',
        '+ .topology_zone = ""',
    ),
    announced("a topic that it has", before=(CREATE,), count=3),
    announced("a channel that it has", before=(SUB, 1), count=3),
    announced("an ephemeral topic and channel that it has", before=(b"SUB $t#ephemeral c#ephemeral\n", 1), count=3),
    announced(
        "a new topic: it asks for channels, and makes all that last",
        *SETTLED,
        CREATE,
        Heard(3, any_order=True),
        before=(ANOTHER,),
        count=3,
    ),
    announced(
        "a new topic of a publisher",
        *SETTLED,
        pub(b"x"),
        1,
        Heard(3, any_order=True),
        before=(ANOTHER,),
        count=3,
    ),
    announced("a new channel", post("/channel/create?topic=$t&channel=c"), Heard(1), before=(CREATE,), count=3),
    announced("a new channel of a consumer", SUB, 1, Heard(1), before=(CREATE,), count=3),
    announced(
        "a channel is deleted", post("/channel/delete?topic=$t&channel=c"), Heard(1), before=(CREATE, CHANNEL), count=3
    ),
    announced("a topic is deleted", post("/topic/delete?topic=$t"), Heard(1), before=(CREATE,), count=3),
    announced(
        "a topic is deleted with its channel",
        post("/topic/delete?topic=$t"),
        Heard(2, any_order=True),
        before=(CREATE, CHANNEL),
        count=3,
    ),
    announced(
        "an ephemeral channel ends with its consumer", Close(), Heard(1), before=(b"SUB $t c#ephemeral\n", 1), count=3
    ),
    announced(
        "a pause is not announced",
        post("/topic/pause?topic=$t"),
        post("/channel/create?topic=$t&channel=c"),
        Heard(1),
        before=(CREATE,),
        count=3,
    ),
    announced(
        "a message is not announced",
        pub(b"x"),
        1,
        post("/channel/create?topic=$t&channel=c"),
        Heard(1),
        before=(CREATE,),
        count=3,
    ),
    case(
        "named twice is named once",
        Listen(),
        put(ADDRESSES, b'["$listener","$listener"]'),
        Heard(2),
        put(ADDRESSES, b"[]"),
        Heard(1),
    ),
    case(
        "named again is no news",
        Listen(),
        ANOTHER,
        put(ADDRESSES, b'["$listener"]'),
        Heard(3),
        put(ADDRESSES, b'["$listener"]'),
        *SETTLED,
        CREATE,
        Heard(3, any_order=True),
        put(ADDRESSES, b"[]"),
        Heard(1),
    ),
    case(
        "named again behind none",
        Listen(),
        put(ADDRESSES, b'["$listener"]'),
        Heard(2),
        put(ADDRESSES, b"[]"),
        Heard(1),
        put(ADDRESSES, b'["$listener"]'),
        Heard(2),
        put(ADDRESSES, b"[]"),
        Heard(1),
    ),
)
