"""The original nsqadmin on every mixture of daemons: its pages, what it reads from them, and what it does to them."""

from typing import Final

from peer_script import Ask, Close, Scenario, Send, Step, Take, case, get, mpub, on, post, pub, stats

SUB: Final = b"SUB $t c\n"
KNOWN: Final = get("/lookup?topic=$t", '["c"]', "nsqlookupd")
HAS_CHANNEL: Final[tuple[Step, ...]] = (SUB, 1, KNOWN)
BODIES: Final[dict[str, bytes]] = {
    "nothing": b"",
    "no JSON": b"{",
    "an empty object": b"{}",
    "an unknown action": b'{"action":"paint"}',
    "an invalid topic": b'{"topic":"a b","action":""}',
    "an invalid channel": b'{"topic":"$t","channel":"a b"}',
}
ACTIONS: Final = ("pause", "unpause", "empty")


def admin(path: str, until: str = "") -> Ask:
    return get(path, until, "nsqadmin")


def act(path: str, body: bytes = b"", method: str = "POST") -> Ask:
    return Ask(method, path, body, of="nsqadmin")


def done(action: str) -> bytes:
    return b'{"action":"%s"}' % action.encode()


SCENARIOS: Final[list[Scenario]] = on(
    "cluster",
    case("the page", admin("/"), admin("/topics"), admin("/nodes"), admin("/counter"), admin("/lookup")),
    case("the page of a topic and a channel", admin("/topics/$t"), admin("/topics/$t/c"), admin("/nodes/$http")),
    case("the ping", admin("/ping")),
    case("what is not there", admin("/nothing"), admin("/api/nothing"), admin("/static/nothing")),
    case("topics", *HAS_CHANNEL, admin("/api/topics", '"$t"')),
    case(
        "topics without producers",
        post("/topic/create?topic=$t", of="nsqlookupd"),
        post("/channel/create?topic=$t&channel=c", of="nsqlookupd"),
        admin("/api/topics?inactive=true", '"$t"'),
        admin("/api/topics"),
    ),
    case("no topic without producers", *HAS_CHANNEL, admin("/api/topics?inactive=true")),
    case("a topic", *HAS_CHANNEL, pub(b"one"), 1, admin("/api/topics/$t", '"channel_name":"c","depth":1')),
    case("an unknown topic", admin("/api/topics/$t")),
    case(
        "an ephemeral topic",
        b"SUB $t#ephemeral c#ephemeral\n",
        1,
        get("/lookup?topic=$t%23ephemeral", "c#ephemeral", "nsqlookupd"),
        admin("/api/topics/$t%23ephemeral", "c#ephemeral"),
    ),
    case(
        "a channel with a consumer",
        *HAS_CHANNEL,
        b"RDY 3\n" + pub(b"one"),
        2,
        b"FIN $m1\n",
        admin("/api/topics/$t/c", '"finish_count":1'),
    ),
    case(
        "a channel with messages in flight",
        *HAS_CHANNEL,
        b"RDY 1\n" + mpub(b"one", b"two"),
        2,
        admin("/api/topics/$t/c", '"depth":1,"memory_depth":1,"backend_depth":0,"in_flight_count":1'),
    ),
    case("an unknown channel", *HAS_CHANNEL, admin("/api/topics/$t/unknown")),
    case("two channels", *HAS_CHANNEL, Send(b"SUB $t d\n", "b"), Take(1, "b"), admin("/api/topics/$t", '"d"')),
    case("nodes", *HAS_CHANNEL, admin("/api/nodes", '"$t"')),
    case(
        "a node",
        *HAS_CHANNEL,
        pub(b"one"),
        1,
        admin("/api/nodes/$http", '"topic_name":"$t","channel_name":"c","depth":1'),
    ),
    case("an unknown node", admin("/api/nodes/127.0.0.1:1")),
    case(
        "the counter",
        *HAS_CHANNEL,
        mpub(b"one", b"two"),
        1,
        admin("/api/counter", '$t:c:$http":{"node":"$http","topic_name":"$t","channel_name":"c","message_count":2'),
    ),
    case(
        "a topic is made",
        act("/api/topics", b'{"topic":"$t"}'),
        get("/lookup?topic=$t", "channels", "nsqlookupd"),
        admin("/api/topics", '"$t"'),
    ),
    case(
        "a topic and a channel are made",
        act("/api/topics", b'{"topic":"$t","channel":"c"}'),
        get("/channels?topic=$t", '"c"', "nsqlookupd"),
        pub(b"one"),
        1,
        stats('"channel_name":"c","depth":1'),
    ),
    case(
        "a channel is made of a topic that nsqd has",
        pub(b"one"),
        1,
        get("/lookup?topic=$t", "remote_address", "nsqlookupd"),
        act("/api/topics", b'{"topic":"$t","channel":"c"}'),
        stats('"channel_name":"c","depth":1'),
    ),
    *(case(f"a topic is made with {name}", act("/api/topics", body)) for name, body in BODIES.items()),
    *(
        case(f"a topic is acted on with {name}", *HAS_CHANNEL, act("/api/topics/$t", body))
        for name, body in BODIES.items()
    ),
    *(
        case(f"a channel is acted on with {name}", *HAS_CHANNEL, act("/api/topics/$t/c", body))
        for name, body in BODIES.items()
    ),
    *(
        case(f"a topic: {action}", *HAS_CHANNEL, act("/api/topics/$t", done(action)), stats(), admin("/api/topics/$t"))
        for action in ACTIONS
    ),
    *(
        case(
            f"a channel: {action}",
            *HAS_CHANNEL,
            mpub(b"one", b"two"),
            1,
            stats('"channel_name":"c","depth":2'),
            act("/api/topics/$t/c", done(action)),
            stats(),
            admin("/api/topics/$t/c"),
        )
        for action in ACTIONS
    ),
    case(
        "a topic is paused and goes on",
        *HAS_CHANNEL,
        act("/api/topics/$t", done("pause")),
        b"RDY 1\n" + pub(b"one"),
        1,
        stats('"paused":true'),
        act("/api/topics/$t", done("unpause")),
        1,
    ),
    case(
        "a channel is paused and goes on",
        *HAS_CHANNEL,
        act("/api/topics/$t/c", done("pause")),
        b"RDY 1\n" + pub(b"one"),
        1,
        stats('"channel_name":"c","depth":1'),
        act("/api/topics/$t/c", done("unpause")),
        1,
    ),
    *(case(f"an unknown topic: {action}", act("/api/topics/$t", done(action))) for action in ACTIONS),
    *(
        case(f"an unknown channel: {action}", *HAS_CHANNEL, act("/api/topics/$t/unknown", done(action)))
        for action in ACTIONS
    ),
    case(
        "a channel is deleted",
        *HAS_CHANNEL,
        act("/api/topics/$t/c", method="DELETE"),
        1,
        stats('"channels":[]'),
        get("/channels?topic=$t", "[]", "nsqlookupd"),
    ),
    case(
        "a topic is deleted",
        *HAS_CHANNEL,
        act("/api/topics/$t", method="DELETE"),
        1,
        get("/lookup?topic=$t", "NOT_FOUND", "nsqlookupd"),
        stats(),
    ),
    case("an unknown channel is deleted", *HAS_CHANNEL, act("/api/topics/$t/unknown", method="DELETE")),
    case("an unknown topic is deleted", act("/api/topics/$t", method="DELETE")),
    case(
        "a topic without producers is deleted",
        post("/topic/create?topic=$t", of="nsqlookupd"),
        act("/api/topics/$t", method="DELETE"),
        get("/lookup?topic=$t", of="nsqlookupd"),
    ),
    case(
        "a node is tombstoned, and loses the topic",
        *HAS_CHANNEL,
        act("/api/nodes/$http", b'{"topic":"$t"}', "DELETE"),
        1,
        stats(),
    ),
    case(
        "an ephemeral channel goes with its consumer",
        b"SUB $t c#ephemeral\n",
        1,
        get("/channels?topic=$t", "c#eph", "nsqlookupd"),
        Close(),
        stats('"channels":[]'),
        get("/channels?topic=$t", "[]", "nsqlookupd"),
        admin("/api/topics/$t"),
    ),
)
