"""nsqlookupd: its TCP protocol, the life of a registration as HTTP shows it, every endpoint and what it refuses."""

import re
from typing import Final

from peer_script import Ask, Close, Dial, Quiet, Raw, Scenario, Send, Step, Take, better, case, get, on, post, sized

FIELDS: Final = '"broadcast_address":"host","hostname":"name","tcp_port":1,"http_port":2,"version":"v"'


NO_WILDCARD: Final = "* is no wildcard"
ANSWER: Final = (
    "- a: JSON",
    '- .broadcast_address = "127.0.0.1"',
    '- .hostname = "$host"',
    "- .http_port = <nsqlookupd http>",
    "- .tcp_port = <nsqlookupd tcp>",
    '- .version = "1.3.0"',
)


def who(fields: str = FIELDS) -> bytes:
    return b"IDENTIFY\n" + sized(b"{" + fields.encode() + b"}")


WHO: Final = who()
REGISTERED: Final[tuple[Step, ...]] = (WHO + b"REGISTER $t c\n", 2)
LOOKUP: Final = get("/lookup?topic=$t")
CHANNELS: Final = get("/channels?topic=$t")
NAMES: Final = [
    b"a",
    b"n" * 64,
    b"n" * 65,
    b"a#ephemeral",
    b"#ephemeral",
    b"a:b",
    b"a*",
    b"*",
    b"\xff",
    b'"',
    b"'",
    b"%41",
    b"a\x00",
]
WEB_NAMES: Final = ("n" * 64, "n" * 65, "a%23ephemeral", "%23ephemeral", "a%20b", "%C3%A9", "a:b", "a%00b")
UNKNOWN: Final = [b"", b"HELLO", b"ping", b"PING x", b"PUB a", b"SUB a b", b"NOP", b"\xff", b"REGISTERX", b"  "]
SPACES: Final = [
    b" PING",
    b"PING ",
    b"\tPING\r",
    b" REGISTER $t c ",
    b"REGISTER  $t c",
    b"REGISTER $t  c",
    b"REGISTER $t c d",
    b"PING\x0b",
    b"\x0cPING",
    b"PING\xc2\xa0",
    b"PING\xc2\x85",
]
PATHS: Final = {
    "GET": ("/ping", "/info", "/debug", "/lookup", "/topics", "/channels", "/nodes"),
    "POST": ("/topic/create", "/topic/delete", "/channel/create", "/channel/delete", "/topic/tombstone"),
}
BAD_BODIES: Final = ("", "{", "[]", "null", "{}", '{"tcp_port":"1"}', '{"tcp_port":1.0}', '{"version":1}', "{}x")
PARTS: Final = FIELDS.split(",")

SCENARIOS: Final[list[Scenario]] = on(
    "lookupd",
    # TCP
    *(case(f"the magic {magic!r}", Dial(magic)) for magic in (b"  V2", b"  V0", b"V1  ", b"GET ", b"PING")),
    *(case(f"the unknown command {line!r}", line + b"\n") for line in UNKNOWN),
    *(case(f"spaces in {line!r}", WHO, 1, line + b"\n", Quiet(0.1)) for line in SPACES),
    *(
        case(f"input that ends after {data!r}", Dial(data))
        for data in (b"  V", b"  V1", b"  V1PING", b"  V1IDENTIFY\n\x00")
    ),
    case("PING", b"PING\n"),
    case("PING after IDENTIFY", WHO + b"PING\n"),
    case("PING often", b"PING\n" * 100),
    case("every byte alone", Send(b"PING\n" + WHO + b"REGISTER $t c\nUNREGISTER $t c\n", in_pieces=True), 4),
    case("the longest line", b"PING " + b"x" * 4090 + b"\nPING\n"),
    better(
        "lines are bounded",
        case("a line too long", b"PING " + b"x" * 20_000 + b"\nPING\n"),
        "- a: b'OK'",
        "- a: b'OK'",
        "+ a: b'E_INVALID command line longer than 4096 bytes'",
    ),
    case("IDENTIFY", WHO),
    case("IDENTIFY twice", WHO + WHO),
    *(case(f"IDENTIFY with the body '{body}'", b"IDENTIFY\n" + sized(body.encode())) for body in BAD_BODIES),
    *(
        case(f"IDENTIFY without {left_out}", who(",".join(part for part in PARTS if part != left_out)))
        for left_out in PARTS
    ),
    *(
        case(f"IDENTIFY with an empty {name}", who(f'{FIELDS},"{name}":""'))
        for name in ("broadcast_address", "version", "hostname")
    ),
    *(
        case(f"IDENTIFY with {name} {value}", who(re.sub(rf'"{name}":\d', f'"{name}":{value}', FIELDS)))
        for name in ("tcp_port", "http_port")
        for value in ("0", "-1", "65535", '"4150"', "1.5", "null")
    ),
    *(
        better(
            "there is no such port",
            case(f"IDENTIFY with {name} 65536", who(re.sub(rf'"{name}":\d', f'"{name}":65536', FIELDS))),
            *ANSWER,
            "+ a: b'E_BAD_BODY IDENTIFY failed to decode JSON body'",
        )
        for name in ("tcp_port", "http_port")
    ),
    case("IDENTIFY with a field twice, the second null", who(FIELDS + ',"tcp_port":null')),
    case("IDENTIFY with a field twice", who(FIELDS + ',"hostname":"again"') + b"REGISTER $t\n", 2, LOOKUP),
    case(
        "IDENTIFY with more fields",
        who(FIELDS + ',"remote_address":"x","id":"y","unknown":[1]') + b"REGISTER $t\n",
        2,
        LOOKUP,
    ),
    case("IDENTIFY in upper case", who(FIELDS.upper())),
    case("IDENTIFY with a parameter", WHO.replace(b"IDENTIFY", b"IDENTIFY now")),
    case("IDENTIFY whose size ends early", b"IDENTIFY\n\x00\x00"),
    case("IDENTIFY whose body ends early", b"IDENTIFY\n" + sized(b"{}", 10)),
    case("IDENTIFY of no bytes", b"IDENTIFY\n" + sized(b"", 0)),
    *(case(f"{word} before IDENTIFY", word.encode() + b" $t c\n") for word in ("REGISTER", "UNREGISTER")),
    *(case(f"{word} of nothing before IDENTIFY", word.encode() + b"\n") for word in ("REGISTER", "UNREGISTER")),
    *(case(f"{word} of nothing", WHO + word.encode() + b"\n") for word in ("REGISTER", "UNREGISTER")),
    *(case(f"{word} of an empty topic", WHO + word.encode() + b" \n") for word in ("REGISTER", "UNREGISTER")),
    *(
        case(f"{word} of the topic {name!r}", WHO + word.encode() + b" " + name + b"\n")
        for word in ("REGISTER", "UNREGISTER")
        for name in NAMES
    ),
    *(
        case(f"{word} of the channel {name!r}", WHO + word.encode() + b" $t " + name + b"\n")
        for word in ("REGISTER", "UNREGISTER")
        for name in NAMES
    ),
    # the life of a registration
    case("a registered topic", WHO + b"REGISTER $t\n", 2, LOOKUP, CHANNELS),
    case("a registered channel", *REGISTERED, LOOKUP, CHANNELS),
    case("registered twice", *REGISTERED, b"REGISTER $t c\n", 1, LOOKUP),
    case("two channels", *REGISTERED, b"REGISTER $t d\n", 1, LOOKUP, CHANNELS),
    better(
        "NSQ after 1.3.0 says so too",
        case("all of a producer", *REGISTERED, LOOKUP, exact=True),
        '+ .producers[0].topology_zone = ""',
        '+ .producers[0].topology_region = ""',
    ),
    case(
        "two producers",
        *REGISTERED,
        Send(who(FIELDS.replace("host", "other")) + b"REGISTER $t d\n", "b"),
        Take(2, "b"),
        LOOKUP,
    ),
    case("two producers of one name", *REGISTERED, Send(WHO + b"REGISTER $t d\n", "b"), Take(2, "b"), LOOKUP),
    case("an unregistered channel", *REGISTERED, b"UNREGISTER $t c\n", 1, LOOKUP, CHANNELS),
    case("an unregistered topic", *REGISTERED, b"UNREGISTER $t\n", 1, LOOKUP, CHANNELS),
    case(
        "an unregistered ephemeral channel",
        WHO + b"REGISTER $t c#ephemeral\n",
        2,
        CHANNELS,
        b"UNREGISTER $t c#ephemeral\n",
        1,
        LOOKUP,
    ),
    case(
        "an unregistered ephemeral topic",
        WHO + b"REGISTER $t#ephemeral c\n",
        2,
        b"UNREGISTER $t#ephemeral\n",
        1,
        get("/lookup?topic=$t%23ephemeral"),
    ),
    case(
        "an ephemeral channel of two producers",
        WHO + b"REGISTER $t c#ephemeral\n",
        2,
        Send(WHO + b"REGISTER $t c#ephemeral\n", "b"),
        Take(2, "b"),
        b"UNREGISTER $t c#ephemeral\n",
        1,
        CHANNELS,
    ),
    case("unregistering what is not registered", WHO + b"UNREGISTER $t\nUNREGISTER $t c\n", 3, LOOKUP, CHANNELS),
    case("unregistering another's channel", *REGISTERED, Send(WHO + b"UNREGISTER $t c\n", "b"), Take(2, "b"), LOOKUP),
    case("a producer that goes", *REGISTERED, Close(), get("/lookup?topic=$t", '"producers":[]'), CHANNELS),
    case(
        "an ephemeral producer that goes",
        WHO + b"REGISTER $t c#ephemeral\n",
        2,
        Close(),
        get("/lookup?topic=$t", '"producers":[]'),
        CHANNELS,
    ),
    case("a producer that errs", *REGISTERED, b"WHAT\n", 2, get("/lookup?topic=$t", '"producers":[]')),
    case(
        "a producer that comes back",
        *REGISTERED,
        Close(),
        get("/lookup?topic=$t", '"producers":[]'),
        *REGISTERED,
        LOOKUP,
    ),
    case("a topic created over HTTP", post("/topic/create?topic=$t"), LOOKUP, CHANNELS),
    case("a channel created over HTTP", post("/channel/create?topic=$t&channel=c"), LOOKUP, CHANNELS),
    case("a topic deleted over HTTP", *REGISTERED, post("/topic/delete?topic=$t"), LOOKUP, CHANNELS),
    case("a channel deleted over HTTP", *REGISTERED, post("/channel/delete?topic=$t&channel=c"), LOOKUP, CHANNELS),
    case(
        "a topic deleted and registered again", *REGISTERED, post("/topic/delete?topic=$t"), b"REGISTER $t\n", 1, LOOKUP
    ),
    case("a tombstone", *REGISTERED, post("/topic/tombstone?topic=$t&node=host:2"), LOOKUP, CHANNELS),
    case("a tombstone of another node", *REGISTERED, post("/topic/tombstone?topic=$t&node=host:3"), LOOKUP),
    case(
        "a tombstone of one topic",
        *REGISTERED,
        b"REGISTER $u\n",
        1,
        post("/topic/tombstone?topic=$t&node=host:2"),
        LOOKUP,
        get("/lookup?topic=$u"),
    ),
    case(
        "a tombstone stays when the topic is registered again",
        *REGISTERED,
        post("/topic/tombstone?topic=$t&node=host:2"),
        b"REGISTER $t\n",
        1,
        LOOKUP,
    ),
    case(
        "a tombstone goes with UNREGISTER",
        *REGISTERED,
        post("/topic/tombstone?topic=$t&node=host:2"),
        b"UNREGISTER $t\nREGISTER $t\n",
        2,
        LOOKUP,
    ),
    # HTTP
    *(
        case(f"{wrong} {path}", Ask(wrong, path))
        for right, paths in PATHS.items()
        for path in paths
        for wrong in ("GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS")
        if wrong != right
    ),
    *(
        case(f"GET of {path}", get(path))
        for path in ("/", "/nothing", "/ping/", "/PING", "//ping", "/Lookup?topic=x", "/stats", "/create_topic")
    ),
    case("ping", get("/ping")),
    case("info", get("/info")),
    *(case(f"{path} of nothing", get(path)) for path in ("/lookup", "/channels")),
    *(case(f"{path} of an empty name", get(f"{path}?topic=")) for path in ("/lookup", "/channels")),
    *(case(f"{path} of what is unknown", get(f"{path}?topic=$t")) for path in ("/lookup", "/channels")),
    *(case(f"{path} of an invalid name", get(f"{path}?topic=a%20b")) for path in ("/lookup", "/channels")),
    *(case(f"{path} with a bad query", get(f"{path}?topic=%zz")) for path in ("/lookup", "/channels")),
    *(case(f"topic/create of '{name[:20]}' of {len(name)}", post(f"/topic/create?topic={name}")) for name in WEB_NAMES),
    *(
        case(
            f"channel/create of '{name[:20]}' of {len(name)}",
            post(f"/channel/create?topic=$t&channel={name}"),
            CHANNELS,
        )
        for name in WEB_NAMES
    ),
    *(
        case(f"topic/{endpoint} with '{query}'", post(f"/topic/{endpoint}{query}"), LOOKUP)
        for endpoint in ("create", "delete", "tombstone")
        for query in (
            "",
            "?topic=",
            "?topic=a%20b",
            "?topic=%zz",
            "?topic=$t",
            "?topic=$t&node=",
            "?node=x",
            "?topic=$t&node=x:1",
        )
    ),
    *(
        case(f"channel/{endpoint} with '{query}'", post(f"/channel/{endpoint}{query}"), CHANNELS)
        for endpoint in ("create", "delete")
        for query in (
            "",
            "?topic=$t",
            "?channel=c",
            "?topic=$t&channel=",
            "?topic=&channel=c",
            "?topic=$t&channel=a%20b",
            "?topic=a%20b&channel=c",
            "?topic=$t&channel=c",
            "?topic=$t&channel=%zz",
        )
    ),
    case(
        "channel/delete of an unknown channel",
        post("/topic/create?topic=$t"),
        post("/channel/delete?topic=$t&channel=c"),
    ),
    case("no HTTP at all", Raw(b"  V1PING\n\r\n\r\n")),
)
SCENARIOS += on(
    "shortlived",
    case(
        "a tombstone's end",
        *REGISTERED,
        post("/topic/tombstone?topic=$t&node=host:2"),
        get("/lookup?topic=$t"),
        b"PING\n",
        1,
        Quiet(0.45),
        b"PING\n",
        1,
        get("/lookup?topic=$t", '"host"'),
    ),
    case("a silent producer", *REGISTERED, Quiet(0.7), LOOKUP, b"PING\n", 1, LOOKUP),
)
SCENARIOS += on(
    "registry",
    *(case(f"{path} when there is nothing", get(path)) for path in ("/topics", "/nodes", "/debug")),
    *(
        case(
            f"{path} with two producers",
            *REGISTERED,
            Send(who(FIELDS.replace("host", "other")) + b"REGISTER $t d\nREGISTER $u\n", "b"),
            Take(3, "b"),
            get(path),
        )
        for path in ("/topics", "/nodes", "/debug")
    ),
    *(case(f"{path} with an identified client", WHO, 1, get(path)) for path in ("/topics", "/nodes", "/debug")),
    *(
        case(
            f"{path} after a producer went", *REGISTERED, Close(), get("/lookup?topic=$t", '"producers":[]'), get(path)
        )
        for path in ("/topics", "/nodes", "/debug")
    ),
    *(
        case(f"{path} after HTTP made a channel", post("/channel/create?topic=$t&channel=c"), get(path))
        for path in ("/topics", "/nodes", "/debug")
    ),
    *(
        case(
            f"{path} with a tombstone",
            *REGISTERED,
            b"REGISTER $u\n",
            1,
            post("/topic/tombstone?topic=$t&node=host:2"),
            get(path),
        )
        for path in ("/topics", "/nodes", "/debug")
    ),
    *(
        case(
            f"{path} after an ephemeral channel went",
            WHO + b"REGISTER $t c#ephemeral\nUNREGISTER $t c#ephemeral\n",
            3,
            get(path),
        )
        for path in ("/topics", "/nodes", "/debug")
    ),
    *(
        case(
            f"{path} after an ephemeral topic went",
            WHO + b"REGISTER $t#ephemeral\nUNREGISTER $t#ephemeral\n",
            3,
            get(path),
        )
        for path in ("/topics", "/nodes", "/debug")
    ),
    better(
        NO_WILDCARD,
        case("the topic * deletes everything", *REGISTERED, post("/topic/delete?topic=*"), get("/topics")),
        "- .topics = []",
        '+ .topics[0] = "$t"',
    ),
    better(
        NO_WILDCARD,
        case("the topic * has every channel", *REGISTERED, get("/channels?topic=*")),
        '- .channels[0] = "c"',
        "+ .channels = []",
    ),
    better(
        NO_WILDCARD,
        case("a tombstone on *", *REGISTERED, post("/topic/tombstone?topic=*&node=host:2"), LOOKUP),
        "- .producers = []",
        *(
            f"+ .producers[0].{line}"
            for line in (
                'remote_address = "<client a>"',
                'hostname = "name"',
                'broadcast_address = "host"',
                "tcp_port = 1",
                "http_port = 2",
                'version = "v"',
            )
        ),
    ),
    case("the channel * deletes nothing", *REGISTERED, post("/channel/delete?topic=$t&channel=*"), get("/debug")),
)
