"""TLS: each policy, version and certificate on TCP and HTTPS; what is refused without; what statistics say of it."""

from typing import Final

from peer_script import (
    Ask,
    Hello,
    Quiet,
    Raw,
    Scenario,
    Secure,
    Send,
    Step,
    Take,
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
    put,
    stats,
    upgraded,
)

TLS: Final = '"tls_v1":true'
SUB: Final = b"SUB $t c\n"
VERSIONS: Final = ("1.0", "1.1", "1.2", "1.3")
CERTIFICATES: Final = ("", "client", "expired", "stranger")
HELLOS: Final = {
    f"TLS {version} and {f'the certificate {certificate}' if certificate else 'no certificate'}": Hello(
        version, certificate
    )
    for version in ("1.2", "1.3")
    for certificate in CERTIFICATES
}
SUITES: Final = (
    "ECDHE-ECDSA-AES128-SHA",
    "ECDHE-ECDSA-AES256-SHA",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
)
COMMANDS: Final[dict[str, bytes]] = {
    "PUB": pub(b"x"),
    "MPUB": mpub(b"x"),
    "DPUB": dpub(b"0", b"x"),
    "SUB": SUB,
    "RDY": b"RDY 1\n",
    "FIN": b"FIN 0123456789abcdef\n",
    "REQ": b"REQ 0123456789abcdef 0\n",
    "TOUCH": b"TOUCH 0123456789abcdef\n",
    "CLS": b"CLS\n",
    "NOP": b"NOP\n",
    "AUTH": b"AUTH\n\x00\x00\x00\x01x",
    "an unknown command": b"HELLO\n",
    "an empty line": b"\n",
}
PLAIN: Final = b"GET /ping HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
ENDPOINTS: Final[dict[str, Ask]] = {
    "ping": get("/ping"),
    "info": get("/info"),
    "a publish": post("/pub?topic=$t", b"x"),
    "a topic": post("/topic/create?topic=$t"),
    "what does not exist": get("/nothing"),
    "a wrong method": post("/ping"),
    "configuration": put("/config/log_level", b"info"),
}
REQUIRING: Final = (
    "tls required",
    "tls required but for HTTP",
    "a certificate",
    "a good certificate",
    "another policy",
)


def secured(hello: Hello, *steps: Step, fields: str = TLS, of: str = "a") -> tuple[Step, ...]:
    """The upgrade to TLS alone, and then these steps."""
    return (*upgraded(fields, Secure(hello), of=of), *steps)


def over_https(ask: Ask, hello: Hello) -> Ask:
    return Ask(ask.method, ask.path, ask.body, ask.headers, over=hello)


TWICE: Final = (SUB + pub(b"a", b"b") + b"RDY 5\n", 5)


def _on_every_policy(name: str, *steps: Step) -> list[Scenario]:
    return [each for bench in REQUIRING for each in on(bench, case(f"{bench}: {name}", *steps))]


SCENARIOS: Final[list[Scenario]] = [
    *on(
        "tls",
        case("the answer to IDENTIFY", features(TLS), 1),
        case("nothing is said before the handshake", features(TLS), 1, Quiet()),
        case("TLS that nobody asked for", features(), SUB, 2),
        case("TLS without negotiation is none", identify('{"tls_v1":true}'), SUB, 2),
        *(case(f"the version {version}", *secured(Hello(version), *TWICE)) for version in VERSIONS),
        *(
            case(f"the suite {suite}", *secured(Hello("1.2", suite=suite), SUB, 1, stats('"tls":true')))
            for suite in SUITES
        ),
        *(
            case(f"statistics of the version {version}", *secured(Hello(version), SUB, 1, stats('"tls":true')))
            for version in VERSIONS
        ),
        case("a certificate that nobody asked for", *secured(Hello("1.2", "stranger"), SUB, 1)),
        case("a publisher in statistics", *secured(Hello("1.2"), pub(b"a"), 1, stats())),
        case(
            "all commands over TLS",
            *secured(
                Hello(),
                SUB + b"RDY 1\n" + pub(b"a"),
                3,
                b"TOUCH $m1\nREQ $m1 0\n",
                1,
                b"FIN $m1\n" + mpub(b"b", b"c") + dpub(b"0", b"d"),
                3,
                b"CLS\n",
            ),
        ),
        case("an error over TLS ends the connection", *secured(Hello(), pub(b"a", topic=b"a b"))),
        case("an error over TLS that does not", *secured(Hello(), SUB + b"FIN 0123456789abcdef\n" + pub(b"a"), 3)),
        case("a heartbeat over TLS", *secured(Hello(), 1, b"NOP\n", 1, fields=f'{TLS},"heartbeat_interval":1000')),
        case("a large message over TLS", *secured(Hello(), SUB + b"RDY 1\n" + pub(b"x" * 900_000), 3)),
        case("every byte alone over TLS", *secured(Hello(), Send(SUB + pub(b"abc"), in_pieces=True), 2)),
        case(
            "a consumer over TLS and a publisher in plain",
            *secured(Hello(), SUB + b"RDY 1\n", 1),
            Send(pub(b"a"), "p"),
            Take(1, "p"),
            1,
        ),
        case("IDENTIFY again over TLS", *secured(Hello(), features('"client_id":"again"'), 1, SUB, 1)),
        case("bytes that are no TLS", features(TLS), 1, b"PUB $t\n\x00\x00\x00\x01x" * 3),
        case("a connection that ends before the handshake", features(TLS), 1),
        *(case(f"HTTPS: {name}", over_https(ask, Hello())) for name, ask in ENDPOINTS.items()),
        *(case(f"HTTP beside it: {name}", ask) for name, ask in ENDPOINTS.items()),
        *(case(f"HTTPS with the version {version}", over_https(get("/ping"), Hello(version))) for version in VERSIONS),
        case("publishing over HTTPS", over_https(post("/mpub?topic=$t", b"a\nb"), Hello()), SUB + b"RDY 2\n", 3),
        case("statistics over HTTPS", SUB, 1, over_https(stats(), Hello())),
        case(
            "pausing over HTTPS",
            SUB,
            1,
            over_https(post("/channel/pause?topic=$t&channel=c"), Hello()),
            stats('"paused":true'),
        ),
        better(
            "nothing is said in plain where TLS is spoken",
            case("HTTP on the port of HTTPS", Raw(PLAIN, to_https=True)),
            "- HTTP 400 Bad Request",
            "- text:",
            "- Client sent an HTTP request to an HTTPS server.",
            "- ",
            "+ HTTP is not answered",
        ),
        case("noise on the port of HTTPS", Raw(b"\x00" * 40, to_https=True)),
    ),
    *(
        each
        for bench in ("tls", *REQUIRING)
        for name, hello in HELLOS.items()
        for each in on(bench, case(f"{bench}: {name}", *secured(hello, *TWICE)))
    ),
    *(
        each
        for bench in REQUIRING
        for version in ("1.0", "1.1")
        for each in on(bench, case(f"{bench}: the version {version}", *secured(Hello(version, "client"), *TWICE)))
    ),
    *(
        each
        for bench in REQUIRING
        for name, hello in HELLOS.items()
        for each in on(bench, case(f"{bench}: HTTPS with {name}", over_https(get("/ping"), hello)))
    ),
    *(each for name, command in COMMANDS.items() for each in _on_every_policy(f"{name} without TLS", command)),
    *(
        each
        for name, command in COMMANDS.items()
        for each in on("tls required", case(f"{name} behind an IDENTIFY without TLS", features() + command))
    ),
    *_on_every_policy("IDENTIFY without TLS", features(), identify("{}"), identify('{"client_id":1}')),
    *_on_every_policy("an IDENTIFY that does not negotiate", identify('{"tls_v1":true}') + SUB),
    *(each for name, ask in ENDPOINTS.items() for each in _on_every_policy(f"HTTP: {name}", ask)),
    *_on_every_policy(
        "tls_required in the configuration", over_https(get("/config/tls_required"), Hello("1.3", "client"))
    ),
    *_on_every_policy(
        "tls_min_version in the configuration", over_https(get("/config/tls_min_version"), Hello("1.3", "client"))
    ),
    *_on_every_policy(
        "the policy in the configuration", over_https(get("/config/tls_client_auth_policy"), Hello("1.3", "client"))
    ),
    *_on_every_policy("a large body over HTTP", post("/pub?topic=$t", b"x" * 300_000)),
]
