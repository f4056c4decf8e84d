"""nsqd over HTTP: every endpoint with what it wants and what it refuses, routes, methods, malformed requests."""

from typing import Final

from peer_script import (
    Ask,
    Raw,
    Scenario,
    Send,
    Take,
    better,
    case,
    get,
    on,
    packed,
    post,
    pub,
    put,
    sized,
    stats,
    timed,
)

MALFORMED: Final = "a malformed request is answered 400, and no more is said"
PATHS_GET: Final = ("/ping", "/info", "/stats", "/config/log_level")
PATHS_POST: Final = (
    *("/pub", "/mpub", "/topic/create", "/topic/delete", "/topic/empty", "/topic/pause", "/topic/unpause"),
    *("/channel/create", "/channel/delete", "/channel/empty", "/channel/pause", "/channel/unpause"),
)
OTHER_METHODS: Final = ("HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE")
UNKNOWN: Final = (
    "/",
    "/nothing",
    "/put",
    "/mput",
    "/create_topic",
    "/pub/x",
    "/topic",
    "/config",
    "/config/",
    "/config/a/b",
    "/favicon.ico",
    "/debug",
    "/%70ub/x",
)
MOVED: Final = (
    "/ping/",
    "/PING",
    "/Ping",
    "//ping",
    "/./ping",
    "/x/../ping",
    "/stats/",
    "/STATS?format=json",
    "/info//",
    "/topic//create",
    "/ping%2f",
    "/%70ing",
    "/ping?",
    "/ping?x=%zz",
    "/stats?x=%zz",
    "/stats?a;b",
)
BAD_QUERIES: Final = ("?topic=%zz", "?topic=$t&x=%", "?topic=$t;channel=c", "?%", "?topic=%g0")
DEFERS: Final = (
    "0",
    "1",
    "3600000",
    "3600001",
    "-1",
    "",
    "x",
    "1.5",
    "+1",
    "007",
    "1e3",
    "99999999999999999999",
    "%201",
    "0x10",
)
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
BINARY: Final = ("true", "1", "false", "0", "", "yes", "TRUE")

SCENARIOS: Final[list[Scenario]] = [
    # routes
    *(
        case(f"{method} {path}", Ask(method, path))
        for path in (*PATHS_GET, *PATHS_POST)
        for method in OTHER_METHODS
        if not (path.startswith("/config") and method == "PUT")
    ),
    *(case(f"POST {path}", post(path)) for path in PATHS_GET),
    *(case(f"GET {path}", get(path)) for path in PATHS_POST),
    *(case(f"GET of the unknown {path}", get(path)) for path in UNKNOWN),
    *(case(f"POST to the unknown {path}", post(path)) for path in UNKNOWN),
    *(case(f"GET of {path}", get(path)) for path in MOVED if not path.startswith(("/stats", "/STATS", "/info"))),
    *on(
        "alone",
        *(case(f"GET of {path}", get(path)) for path in MOVED if path.startswith(("/stats", "/STATS", "/info"))),
    ),
    *(
        case(f"POST to {path}", post(path, b"x"))
        for path in ("/pub/?topic=$t", "/PUB?topic=$t", "//mpub?topic=$t", "/topic/Create?topic=$t")
    ),
    case("ping", get("/ping")),
    case("ping with a parameter", get("/ping?topic=x")),
    case("info", get("/info")),
    case("an Accept header", Ask("GET", "/ping", headers=("Accept: application/vnd.nsq; version=1.0",))),
    case("an Accept header at the info", Ask("GET", "/info", headers=("Accept: application/vnd.nsq; version=1.0",))),
    # malformed
    case("no HTTP at all", Raw(b"  V2SUB $t c\n\r\n\r\n")),
    case("a request line of one word", Raw(b"GET\r\n\r\n")),
    case("a request of HTTP/1.0", Raw(b"GET /ping HTTP/1.0\r\n\r\n")),
    better(
        MALFORMED,
        case("no Host", Raw(b"GET /ping HTTP/1.1\r\nConnection: close\r\n\r\n")),
        "- HTTP 400 Bad Request: missing required Host header",
        "+ HTTP 400 Bad Request",
        "- b'400 Bad Request: missing required Host header'",
        "+ b'400 Bad Request'",
    ),
    better(
        MALFORMED,
        case("an unknown version", Raw(b"GET /ping HTTP/3.0\r\nHost: x\r\n\r\n")),
        "- HTTP 505 HTTP Version Not Supported: unsupported protocol version",
        "+ HTTP 400 Bad Request",
        "- b'505 HTTP Version Not Supported: unsupported protocol version'",
        "+ b'400 Bad Request'",
    ),
    better(
        "a method that HTTP does not know is malformed",
        case("an unknown method", Ask("FOO", "/ping")),
        "- HTTP 405 Method Not Allowed",
        "- allow: GET, OPTIONS",
        "- content-type: application/json; charset=utf-8",
        "- x-nsq-content-type: nsq; version=1.0",
        "- JSON",
        '- .message = "METHOD_NOT_ALLOWED"',
        "+ HTTP 400 Bad Request",
        "+ content-type: text/plain; charset=utf-8",
        "+ b'400 Bad Request'",
    ),
    better(
        "NSQ after 1.3.0 says so too",
        case("all of the info", get("/info"), exact=True),
        '+ .topology_zone = ""',
        '+ .topology_region = ""',
    ),
    case("a length that is no number", Raw(b"POST /pub?topic=$t HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\nx")),
    case("a negative length", Raw(b"POST /pub?topic=$t HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\nx")),
    case("a header without a colon", Raw(b"GET /ping HTTP/1.1\r\nHost: x\r\nnonsense\r\n\r\n")),
    case(
        "a chunked body",
        Raw(
            b"POST /pub?topic=$t HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n"
            b"\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
        ),
        Send(b"SUB $t c\nRDY 1\n"),
        2,
    ),
    case(
        "two requests on one connection",
        Raw(b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\nGET /ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
    ),
    better(
        "a body that is here already is not asked for",
        case(
            "expecting to continue",
            Raw(
                b"POST /pub?topic=$t HTTP/1.1\r\nHost: x\r\nConnection: close\r\nExpect: 100-continue\r\n"
                b"Content-Length: 1\r\n\r\nx"
            ),
        ),
        "- HTTP 100 Continue",
    ),
    # pub
    case("pub", post("/pub?topic=$t", b"hello"), b"SUB $t c\nRDY 1\n", 2),
    case("pub of every byte", post("/pub?topic=$t", bytes(range(256))), b"SUB $t c\nRDY 1\n", 2),
    case("pub of nothing", post("/pub?topic=$t")),
    case("pub of nothing to nowhere", post("/pub")),
    case("pub to nowhere", post("/pub", b"x")),
    case("pub of a form", post("/pub", b"topic=$t", "Content-Type: application/x-www-form-urlencoded")),
    case("pub at the limit", post("/pub?topic=$t", b"x" * 1048576)),
    case("pub to the first of two topics", post("/pub?topic=$t&topic=$u", b"x"), stats(), stats(topic="$u")),
    *(case(f"pub to the topic '{name[:20]}' of {len(name)}", post(f"/pub?topic={name}", b"x")) for name in NAMES),
    *(case(f"pub deferred by '{defer}'", post(f"/pub?topic=$t&defer={defer}", b"x")) for defer in DEFERS),
    case(
        "pub deferred is counted",
        b"SUB $t c\n",
        1,
        post("/pub?topic=$t&defer=60000", b"x"),
        stats('"deferred_count":1'),
    ),
    timed("pub deferred arrives", b"SUB $t c\nRDY 1\n", 1, post("/pub?topic=$t&defer=200", b"x"), 1),
    case("pub with a bad deferral leaves its topic", post("/pub?topic=$t&defer=x", b"x"), stats()),
    case("pub of nothing leaves no topic", post("/pub?topic=$t"), stats()),
    *(case(f"pub with the query {query}", post(f"/pub{query}", b"x")) for query in BAD_QUERIES),
    # mpub
    case("mpub of lines", post("/mpub?topic=$t", b"a\nb\nc"), b"SUB $t c\nRDY 9\n", 4),
    case("mpub with a last newline", post("/mpub?topic=$t", b"a\nb\n"), b"SUB $t c\nRDY 9\n", 3, stats()),
    case("mpub with empty lines", post("/mpub?topic=$t", b"\n\na\n\n\nb\n\n"), b"SUB $t c\nRDY 9\n", 3, stats()),
    case("mpub keeps carriage returns", post("/mpub?topic=$t", b"a\r\nb\r\n"), b"SUB $t c\nRDY 9\n", 3),
    case("mpub of nothing", post("/mpub?topic=$t"), stats()),
    case("mpub of newlines", post("/mpub?topic=$t", b"\n\n\n"), stats()),
    case("mpub to nowhere", post("/mpub", b"x")),
    case("mpub to an invalid topic", post("/mpub?topic=a%20b", b"x")),
    case("mpub ignores a deferral", post("/mpub?topic=$t&defer=x", b"x")),
    *(
        case(
            f"mpub that is binary={value}",
            post(f"/mpub?topic=$t&binary={value}", packed(b"a\nb", b"c")),
            b"SUB $t c\nRDY 9\n",
            3,
        )
        for value in BINARY
    ),
    *(
        case(f"mpub of lines that are binary={value}", post(f"/mpub?topic=$t&binary={value}", b"a\nb"))
        for value in BINARY
    ),
    case("binary mpub of nothing", post("/mpub?topic=$t&binary=true"), stats()),
    *(
        case(f"binary mpub of {count} messages", post("/mpub?topic=$t&binary=true", packed(count=count)))
        for count in (0, -1, 1, 1048575, 1048576)
    ),
    *(
        case(
            f"binary mpub of a message of {size} bytes",
            post("/mpub?topic=$t&binary=true", packed(count=1) + sized(b"", size)),
        )
        for size in (0, -1, 1, 1048577)
    ),
    case("binary mpub with something behind", post("/mpub?topic=$t&binary=true", packed(b"a") + b"more"), stats()),
    case("binary mpub whose size ends early", post("/mpub?topic=$t&binary=true", packed(count=1) + b"\0")),
    *(case(f"mpub with the query {query}", post(f"/mpub{query}", b"x")) for query in BAD_QUERIES),
    *on(
        "small",
        case("small limits: pub at the limit", post("/pub?topic=$t", b"x" * 100)),
        case("small limits: pub above the limit", post("/pub?topic=$t", b"x" * 101), stats()),
        case("small limits: pub above the limit to nowhere", post("/pub", b"x" * 101)),
        case(
            "small limits: pub above the limit in chunks",
            Raw(
                b"POST /pub?topic=$t HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n"
                b"\r\n65\r\n" + b"x" * 101 + b"\r\n0\r\n\r\n"
            ),
        ),
        case("small limits: mpub at the limit", post("/mpub?topic=$t", (b"x" * 99 + b"\n") * 3)),
        case("small limits: mpub above the limit", post("/mpub?topic=$t", (b"x" * 99 + b"\n") * 3 + b"x"), stats()),
        case(
            "small limits: mpub above the limit in chunks",
            Raw(
                b"POST /mpub?topic=$t HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n"
                b"\r\n12d\r\n" + (b"x" * 99 + b"\n") * 3 + b"x\r\n0\r\n\r\n"
            ),
        ),
        case("small limits: mpub of a line above the limit", post("/mpub?topic=$t", b"ok\n" + b"x" * 101), stats()),
        case(
            "small limits: binary mpub above the message's limit",
            post("/mpub?topic=$t&binary=true", packed(b"x" * 101)),
        ),
        case(
            "small limits: binary mpub above the count's limit",
            post("/mpub?topic=$t&binary=true", packed(*[b"x"] * 59, count=60)),
        ),
        case("small limits: a deferral above the limit", post("/pub?topic=$t&defer=2001", b"x")),
        *(
            case(f"small limits: config/{name}", get(f"/config/{name}"))
            for name in ("max_msg_size", "msg_timeout", "max_rdy_count", "max_req_timeout", "output_buffer_timeout")
        ),
        case("small limits: info", get("/info")),
        case("small limits: a PUT above the message's limit", put("/config/log_level", b"x" * 101)),
    ),
    case("who publishes over TCP reads over HTTP", Send(pub(b"a"), "p"), Take(1, "p"), stats()),
]
