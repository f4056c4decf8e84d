"""`/stats` as JSON and as text: every field in every situation, filters, switches. One scenario after the other."""

from typing import Final

from peer_script import (
    Ask,
    Close,
    Scenario,
    Send,
    Step,
    Take,
    Until,
    better,
    case,
    dpub,
    features,
    get,
    identify,
    mpub,
    on,
    post,
    pub,
)

SUB: Final = b"SUB $t c\n"
JSON: Final = "/stats?format=json"
NO_MEM: Final = "/stats?format=json&include_mem=false"
# The original moves messages from the topic to its channels a little later.
WAITING: Final = get(NO_MEM, '"channel_name":"c","depth":1')
TEXT: Final = "/stats?include_mem=false"
NAMED: Final = identify('{"client_id":"me","hostname":"here","user_agent":"ua/1","sample_rate":0}')
TWO_TOPICS: Final = (
    post("/topic/create?topic=$t"),
    post("/topic/create?topic=$u"),
    post("/channel/create?topic=$t&channel=d"),
    post("/channel/create?topic=$t&channel=c"),
    post("/channel/create?topic=$u&channel=c"),
)
SWITCHES: Final = ("true", "false", "1", "0", "", "yes", "FALSE", "False")
BOTH: Final = (get(NO_MEM), get(TEXT))

SITUATIONS: Final[dict[str, tuple[Step, ...]]] = {
    "nothing": (),
    "an empty topic": (post("/topic/create?topic=$t"),),
    "a topic with messages": (pub(b"a", b"bcd"), 2),
    "a topic with a batch": (mpub(b"a", b"bcd"), 1),
    "a topic filled over HTTP": (post("/mpub?topic=$t", b"a\nb\nc"),),
    "an empty channel": (post("/topic/create?topic=$t"), post("/channel/create?topic=$t&channel=c")),
    "a channel with messages": (
        post("/topic/create?topic=$t"),
        post("/channel/create?topic=$t&channel=c"),
        pub(b"a", b"b"),
        2,
        get(NO_MEM, '"channel_name":"c","depth":2'),
    ),
    "two topics and three channels": TWO_TOPICS,
    "a paused topic": (post("/topic/create?topic=$t"), post("/topic/pause?topic=$t")),
    "a paused channel": (*TWO_TOPICS, post("/channel/pause?topic=$t&channel=c")),
    "a subscriber": (SUB, 1),
    "a subscriber with RDY": (SUB + b"RDY 7\nFIN 0123456789abcdef\n", 2),
    "a subscriber with a name": (NAMED + SUB, 2),
    "a subscriber with a message": (
        SUB + b"RDY 1\n",
        1,
        Send(pub(b"a"), "p"),
        Take(1, "p"),
        1,
        Close("p"),
        get(NO_MEM, '"producers":null'),
    ),
    "a subscriber that finished": (
        SUB + b"RDY 1\n",
        1,
        Send(pub(b"a"), "p"),
        Take(1, "p"),
        1,
        Close("p"),
        b"FIN $m1\n",
        Until(get(NO_MEM, '"finish_count":1')),
        get(NO_MEM, '"producers":null'),
    ),
    "a subscriber that requeued": (
        SUB + b"RDY 1\n",
        1,
        Send(pub(b"a"), "p"),
        Take(1, "p"),
        1,
        b"RDY 0\nREQ $m1 0\n",
        get(NO_MEM, '"requeue_count":1,"connect_ts"'),
    ),
    "a subscriber that deferred": (
        SUB + b"RDY 1\n",
        1,
        Send(pub(b"a"), "p"),
        Take(1, "p"),
        1,
        b"REQ $m1 60000\n",
        get(NO_MEM, '"requeue_count":1,"connect_ts"'),
    ),
    "a message that timed out": (
        identify('{"msg_timeout":1000}') + SUB + b"RDY 1\n",
        2,
        Send(pub(b"a"), "p"),
        Take(1, "p"),
        1,
        b"RDY 0\n",
        get(
            NO_MEM,
            '"depth":1,"backend_depth":0,"in_flight_count":0,"deferred_count":0,"message_count":1,"requeue_count":0,"timeout_count":1',
        ),
    ),
    "a subscriber that is closing": (SUB + b"CLS\n", 2),
    "a subscriber that has gone": (SUB, 1, Close(), get(NO_MEM, '"client_count":0')),
    "a subscriber and its own publisher": (SUB + pub(b"a"), 2, WAITING),
    "two subscribers of a channel": (NAMED + SUB, 2, Send(NAMED.replace(b"me", b"it") + SUB, "b"), Take(2, "b")),
    "a publisher": (pub(b"a"), 1),
    "a publisher with a name": (NAMED + pub(b"a"), 2),
    "a publisher of many": (mpub(b"a", b"b", b"c"), 1, pub(b"d"), 1, dpub(b"5", b"e"), 1),
    "a publisher that has gone": (pub(b"a"), 1, Close(), get(NO_MEM, '"producers":null')),
    "a client that did nothing": (b"NOP\n",),
    "a deferred message in the topic": (dpub(b"60000", b"a"), 1),
    "a deferred message in the channel": (SUB + dpub(b"60000", b"a"), 2, get(NO_MEM, '"deferred_count":1')),
    "an ephemeral topic and channel": (b"SUB $t#ephemeral c#ephemeral\n", 1),
    "an emptied channel": (
        SUB + b"RDY 1\n",
        1,
        Send(pub(b"a", b"b"), "p"),
        Take(2, "p"),
        1,
        WAITING,
        post("/channel/empty?topic=$t&channel=c"),
    ),
    "sampling": (identify('{"sample_rate":50}') + SUB, 2),
}
GONE: Final = (
    "- .topics[0].channels[0].depth = 0",
    "+ .topics[0].channels[0].depth = 1",
    "- .topics[0].channels[0].in_flight_count = 1",
    "+ .topics[0].channels[0].in_flight_count = 0",
)
PUBLISHED: Final = (SUB + b"RDY 1\n", 1, Send(pub(b"a"), "p"), Take(1, "p"), 1)

SCENARIOS: Final[list[Scenario]] = on(
    "alone",
    *(case(f"{name}, as JSON", *steps, get(NO_MEM)) for name, steps in SITUATIONS.items()),
    *(case(f"{name}, as text", *steps, get(TEXT)) for name, steps in SITUATIONS.items()),
    case("memory, as JSON", get(JSON)),
    case("memory, as text", get("/stats")),
    *(case(f"include_mem={switch}", get(f"{JSON}&include_mem={switch}")) for switch in SWITCHES),
    *(case(f"include_clients={switch}", *PUBLISHED, get(f"{NO_MEM}&include_clients={switch}")) for switch in SWITCHES),
    *(
        case(f"include_clients={switch}, as text", *PUBLISHED, get(f"{TEXT}&include_clients={switch}"))
        for switch in ("0", "1")
    ),
    *(
        case(f"format={format_}", get(f"/stats?include_mem=false&format={format_}"))
        for format_ in ("text", "JSON", "", "xml")
    ),
    *(
        case(
            f"the filter {query}",
            *TWO_TOPICS,
            Send(pub(b"a"), "p"),
            Take(1, "p"),
            WAITING,
            get(f"{NO_MEM}&topic=$t", '"channel_name":"d","depth":1'),
            get(f"{NO_MEM}{query}"),
            get(f"{TEXT}{query}"),
        )
        for query in (
            "&topic=$t",
            "&topic=$u",
            "&topic=nothing",
            "&channel=c",
            "&channel=d",
            "&channel=nothing",
            "&topic=$t&channel=d",
            "&topic=$u&channel=d",
            "&topic=",
            "&channel=",
            "&topic=a%20b",
            "&topic=%zz",
            "&topic=$t&topic=$u",
            "&topic=$t%23ephemeral",
        )
    ),
    case(
        "a publisher to two topics with a filter",
        pub(b"a") + pub(b"b", b"c", topic=b"$u"),
        3,
        get(f"{NO_MEM}&topic=$u"),
        get(f"{TEXT}&topic=$t"),
    ),
    case(
        "a publisher to another topic with a filter",
        pub(b"a"),
        1,
        post("/topic/create?topic=$u"),
        get(f"{NO_MEM}&topic=$u"),
        get(f"{TEXT}&topic=$u"),
    ),
    case(
        "a publisher without an unknown topic",
        pub(b"a"),
        1,
        get(f"{NO_MEM}&topic=unknown"),
        get(f"{TEXT}&topic=unknown"),
    ),
    case("the answer to Accept", Ask("GET", NO_MEM, headers=("Accept: application/vnd.nsq; version=1.0",))),
    case(
        "a message count over several deliveries",
        SUB + b"RDY 1\n",
        1,
        Send(pub(b"a"), "p"),
        Take(1, "p"),
        1,
        b"REQ $m1 0\n",
        1,
        b"REQ $m1 0\n",
        1,
        b"FIN $m1\n",
        get(NO_MEM, '"finish_count":1'),
        *BOTH,
    ),
    better(
        "what a client held when it went goes to the next at once",
        case(
            "a subscriber that went with a message",
            SUB + b"RDY 1\n",
            1,
            Send(pub(b"a"), "p"),
            Take(1, "p"),
            1,
            Close(),
            get(NO_MEM, '"client_count":0'),
        ),
        *GONE,
    ),
    better(
        "NSQ after 1.3.0 says so too",
        case("all of a client", SUB, 1, get(NO_MEM), exact=True),
        '+ .topics[0].channels[0].clients[0].topology_zone = ""',
        '+ .topics[0].channels[0].clients[0].topology_region = ""',
    ),
    case(
        "features in a client",
        features('"output_buffer_size":64,"user_agent":"<a>&b","client_id":"\\u00e9"') + SUB,
        2,
        *BOTH,
    ),
    case("long names", b"SUB $t-" + b"x" * 40 + b" c-" + b"y" * 40 + b"\n", 1, *BOTH),
)
SCENARIOS += on(
    "disk",
    case("two messages fit into memory", pub(b"a", b"b"), 2, get(f"{NO_MEM}&topic=$t")),
    case("more messages are on disk", pub(*[b"x"] * 7), 7, get(f"{NO_MEM}&topic=$t")),
    case(
        "more messages of a channel are on disk",
        SUB + pub(*[b"x"] * 7),
        8,
        get(f"{NO_MEM}&topic=$t", '"channel_name":"c","depth":7'),
    ),
    case(
        "what is in flight is not on disk",
        SUB + b"RDY 3\n" + pub(*[b"x"] * 3),
        7,
        get(f"{NO_MEM}&topic=$t", '"in_flight_count":3'),
    ),
)
SCENARIOS += on(
    "latency",
    *(
        case(f"latency {name}, as {form}", *steps, get(f"{path}&topic=$t"))
        for form, path in (("JSON", NO_MEM), ("text", TEXT))
        for name, steps in {
            "of nothing": (post("/topic/create?topic=$t"), post("/channel/create?topic=$t&channel=c")),
            "of a topic without a channel": (post("/topic/create?topic=$t"),),
            "of what is not finished": (SUB + b"RDY 1\n" + pub(b"a"), 3),
            "of a message": (
                SUB + b"RDY 1\n" + pub(b"a"),
                3,
                b"FIN $m1\n",
                get(f"{NO_MEM}&topic=$t", '"finish_count":1'),
            ),
            "of a message that was requeued": (
                SUB + b"RDY 1\n" + pub(b"a"),
                3,
                b"REQ $m1 0\n",
                1,
                b"FIN $m1\n",
                get(f"{NO_MEM}&topic=$t", '"finish_count":1'),
            ),
        }.items()
    ),
)
