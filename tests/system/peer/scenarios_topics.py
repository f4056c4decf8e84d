"""Topics and channels over HTTP: create, delete, empty, pause, with what they want and what they refuse."""

from typing import Final

from peer_script import Scenario, case, post, pub, stats

NAMES: Final = (
    "",
    "n" * 64,
    "n" * 65,
    "a%23ephemeral",
    "%23ephemeral",
    "a%20b",
    "a%2Fb",
    "%C3%A9",
    "a*",
    "a+b",
    "a:b",
    "a%00",
)
TOPIC: Final = post("/topic/create?topic=$t")
CHANNEL: Final = post("/channel/create?topic=$t&channel=c")
TOPIC_ENDPOINTS: Final = ("create", "delete", "empty", "pause", "unpause")
CHANNEL_ENDPOINTS: Final = ("create", "delete", "empty", "pause", "unpause")

SCENARIOS: Final[list[Scenario]] = [
    *(case(f"topic/{endpoint}", TOPIC, post(f"/topic/{endpoint}?topic=$t"), stats()) for endpoint in TOPIC_ENDPOINTS),
    *(
        case(f"topic/{endpoint} of what is unknown", post(f"/topic/{endpoint}?topic=$t"), stats())
        for endpoint in TOPIC_ENDPOINTS
    ),
    *(case(f"topic/{endpoint} of nothing", post(f"/topic/{endpoint}")) for endpoint in TOPIC_ENDPOINTS),
    *(case(f"topic/{endpoint} of an empty name", post(f"/topic/{endpoint}?topic=")) for endpoint in TOPIC_ENDPOINTS),
    *(
        case(f"topic/{endpoint} of an invalid name", post(f"/topic/{endpoint}?topic=a%20b"))
        for endpoint in TOPIC_ENDPOINTS
    ),
    *(case(f"topic/{endpoint} with a bad query", post(f"/topic/{endpoint}?topic=%zz")) for endpoint in TOPIC_ENDPOINTS),
    *(
        case(f"topic/create of '{name[:20]}' of {len(name)}", post(f"/topic/create?topic={name}"))
        for name in NAMES
        if name
    ),
    *(
        case(f"channel/{endpoint}", TOPIC, CHANNEL, post(f"/channel/{endpoint}?topic=$t&channel=c"), stats())
        for endpoint in CHANNEL_ENDPOINTS
    ),
    *(
        case(f"channel/{endpoint} of an unknown topic", post(f"/channel/{endpoint}?topic=$t&channel=c"), stats())
        for endpoint in CHANNEL_ENDPOINTS
    ),
    *(
        case(
            f"channel/{endpoint} of an unknown channel", TOPIC, post(f"/channel/{endpoint}?topic=$t&channel=c"), stats()
        )
        for endpoint in CHANNEL_ENDPOINTS
    ),
    *(
        case(f"channel/{endpoint} with the query '{query}'", TOPIC, post(f"/channel/{endpoint}{query}"))
        for endpoint in CHANNEL_ENDPOINTS
        for query in (
            "",
            "?topic=$t",
            "?channel=c",
            "?topic=$t&channel=",
            "?topic=&channel=c",
            "?topic=$t&channel=a%20b",
            "?topic=a%20b&channel=c",
            "?topic=a%20b",
            "?topic=$t&channel=%zz",
        )
    ),
    *(
        case(
            f"channel/create of '{name[:20]}' of {len(name)}",
            TOPIC,
            post(f"/channel/create?topic=$t&channel={name}"),
            stats(),
        )
        for name in NAMES
        if name
    ),
    case("topic/pause twice", TOPIC, post("/topic/pause?topic=$t"), post("/topic/pause?topic=$t"), stats()),
    case(
        "topic/pause and unpause",
        TOPIC,
        post("/topic/pause?topic=$t"),
        stats(),
        post("/topic/unpause?topic=$t"),
        stats(),
    ),
    case(
        "channel/pause and unpause",
        TOPIC,
        CHANNEL,
        post("/channel/pause?topic=$t&channel=c"),
        stats(),
        post("/channel/unpause?topic=$t&channel=c"),
        stats(),
    ),
    case(
        "topic/empty leaves the channels",
        TOPIC,
        CHANNEL,
        pub(b"a"),
        1,
        stats('"channel_name":"c","depth":1'),
        post("/topic/empty?topic=$t"),
        stats(),
    ),
    case("topic/empty of what waits", pub(b"a", b"b"), 2, stats(), post("/topic/empty?topic=$t"), stats()),
    case(
        "topic/delete and publish again", pub(b"a"), 1, post("/topic/delete?topic=$t"), stats(), pub(b"b"), 1, stats()
    ),
    case("channel/create has what waited", pub(b"a", b"b"), 2, CHANNEL, stats('"channel_name":"c","depth":2')),
    case(
        "channel/delete has the rest stay",
        TOPIC,
        CHANNEL,
        post("/channel/create?topic=$t&channel=d"),
        post("/channel/delete?topic=$t&channel=c"),
        stats(),
    ),
    case("channel/create twice", TOPIC, CHANNEL, CHANNEL),
    case("a body where none is wanted", post("/topic/create?topic=$t", b"x" * 1000)),
]
