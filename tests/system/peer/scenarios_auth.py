"""AUTH: what may be said before it, whose secret allows what, what the auth server is asked, and what if it fails."""

from typing import Final

from peer_auth import ANSWERS
from peer_script import (
    Asked,
    Compress,
    Hello,
    Quiet,
    Scenario,
    Secure,
    Sized,
    Step,
    case,
    dpub,
    features,
    get,
    identify,
    mpub,
    on,
    post,
    pub,
    sized,
    stats,
    upgraded,
)

SUB: Final = b"SUB $t c\n"
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
    "NOP": b"NOP\nEND\n",
    "IDENTIFY": features(),
}
# What goes wrong before the question who asks.
WRONG: Final[dict[str, bytes]] = {
    "PUB of nothing": b"PUB $t\n" + sized(b""),
    "PUB to no topic": b"PUB\n",
    "PUB to an invalid topic": pub(b"x", topic=b"a b"),
    "PUB of what is too large": b"PUB $t\n" + sized(b"x", 1 << 21),
    "MPUB of nothing": mpub(),
    "MPUB of half a message": mpub(b"x", size=5),
    "DPUB for too long": dpub(b"99999999999", b"x"),
    "DPUB for no time": dpub(b"x", b"x"),
    "SUB to an invalid channel": b"SUB $t a*b\n",
    "SUB to no channel": b"SUB $t\n",
    "SUB without heartbeats": identify('{"heartbeat_interval":-1}') + SUB,
}
SECRETS: Final = (
    "all",
    "publisher",
    "subscriber",
    "own",
    "other",
    "over tls",
    "in plain",
    "here",
    "elsewhere",
    "nobody's",
)
DOES: Final[dict[str, bytes]] = {
    "PUB": pub(b"x"),
    "MPUB": mpub(b"x", b"y"),
    "DPUB": dpub(b"0", b"x"),
    "PUB to another": pub(b"x", topic=b"$u"),
    "SUB": SUB,
    "SUB to another": b"SUB $u c\n",
    "SUB to another channel": b"SUB $t d1\n",
    "SUB to a third channel": b"SUB $t e\n",
    "SUB to an ephemeral channel": b"SUB $t c#ephemeral\n",
}
TLS: Final = '"tls_v1":true'
EXPIRE: Final = Quiet(1.2)
EXPIRE_LATER: Final = Quiet(5.2)


def auth(secret: str | bytes) -> bytes:
    return b"AUTH\n" + sized(secret if isinstance(secret, bytes) else secret.encode())


def odd(answer: str | bytes) -> Sized:
    """AUTH with a secret to which the auth server gives this answer."""
    return Sized(b"AUTH\n", b"$t " + (answer if isinstance(answer, bytes) else answer.encode()))


def secured(*steps: Step, certificate: str = "") -> tuple[Step, ...]:
    return (*upgraded(TLS, Secure(Hello("1.2", certificate))), *steps)


SCENARIOS: Final[list[Scenario]] = [
    *on(
        "auth",
        *(case(f"{name} before AUTH", command) for name, command in COMMANDS.items()),
        *(case(f"{name} before AUTH", command) for name, command in WRONG.items()),
        *(case(f"{name} behind AUTH", auth("all") + command) for name, command in WRONG.items()),
        *(
            case(f"{secret}: {name}", auth(secret), 1, command, 1)
            for secret in SECRETS
            for name, command in DOES.items()
        ),
        *(case(f"{secret}: AUTH over TLS", *secured(auth(secret), 1, pub(b"x"), 1)) for secret in SECRETS),
        *(
            case(f"{codec}: AUTH", *upgraded(f'"{codec}":true', Compress(codec)), auth("all"), 1, pub(b"x"), 1)
            for codec in ("snappy", "deflate")
        ),
        case(
            "AUTH over TLS and snappy",
            *upgraded(f'{TLS},"snappy":true', Secure(Hello()), Compress("snappy")),
            auth("over tls"),
            1,
            pub(b"x"),
            1,
        ),
        case("IDENTIFY says that AUTH is needed", features()),
        case("IDENTIFY behind AUTH", auth("all"), 1, features(), 1, pub(b"x"), 1),
        case("AUTH twice", auth("all"), 1, auth("all")),
        case("AUTH with another secret", auth("all"), 1, auth("nobody's")),
        case("AUTH behind SUB", auth("all") + SUB, 2, auth("all")),
        case("AUTH again behind a refusal", auth("nobody's") + auth("all")),
        case("AUTH and commands at once", auth("all") + SUB + b"RDY 1\n" + pub(b"x"), 4),
        case("AUTH and IDENTIFY at once", features() + auth("all") + pub(b"x"), 3),
        case("AUTH with the size 0", b"AUTH\n" + sized(b"", 0)),
        case("AUTH with the size -1", b"AUTH\n" + sized(b"", -1)),
        case("AUTH with a size too large", b"AUTH\n" + sized(b"", 5242881)),
        case("AUTH that ends early", b"AUTH\n" + sized(b"al", 3)),
        case("AUTH whose size ends early", b"AUTH\n\x00\x00"),
        case("AUTH with a parameter", b"AUTH all\n" + sized(b"all")),
        case("AUTH in small letters", b"auth\n" + sized(b"all")),
        case("a secret with a newline", auth("all\n")),
        case("a secret in capitals", auth("ALL")),
        case("a secret of bytes", auth(b"\xff\x00\xfe")),
        case("a secret for a form", auth("a&b=c+d e%20/?#")),
        case("an error behind AUTH", auth("all"), 1, b"FIN 0123456789abcdef\n"),
        case("a consumer in statistics", auth("all") + SUB, 2, stats('"authed":true')),
        case("a consumer with an address only in statistics", auth("subscriber") + SUB, 2, stats('"authed":true')),
        case("a consumer without a name in statistics", auth("here") + SUB, 2, stats('"authed":true')),
        case("a publisher in statistics", auth("all") + pub(b"x"), 2, stats()),
        case(
            "HTTP needs no AUTH",
            post("/pub?topic=$t", b"x"),
            get("/stats?format=json&include_mem=false&topic=$t&include_clients=false", '"depth":1'),
        ),
        case("the addresses in the configuration", get("/config/auth_http_addresses")),
    ),
    *on(
        "auth by certificate",
        *(
            case(
                f"the certificate {certificate}",
                *secured(odd("all"), 1, pub(b"x"), 1, Asked(), certificate=certificate),
            )
            for certificate in ("client", "expired", "stranger")
        ),
        case("before TLS", odd("all"), Asked()),
        case(
            "the auth server wants TLS itself",
            *secured(odd("come over TLS"), 1, pub(b"x"), 1, Asked(), certificate="client"),
        ),
        case("before AUTH over TLS", *secured(pub(b"x"), certificate="client"), Asked()),
    ),
    *on(
        "auth answers",
        *(
            case(f"the answer is {name}", odd(name), 1, pub(b"x"), 1, Asked())
            for name in ANSWERS
            if not name.endswith(("again", "later"))
        ),
        *(
            case(f"the answer is {name}, for SUB", odd(name), 1, SUB, 1)
            for name in ANSWERS
            if not name.endswith(("again", "later"))
        ),
        *(
            case(f"then {name}, for {word}", odd(name), 1, EXPIRE, command, 1, command, 1, Asked())
            for name in ANSWERS
            if name.endswith("again")
            for word, command in (("PUB", pub(b"x")), ("MPUB", mpub(b"x")), ("DPUB", dpub(b"0", b"x")))
        ),
        *(
            case(f"then {name}, for SUB", odd(name), 1, EXPIRE, SUB, 1, Asked())
            for name in ANSWERS
            if name.endswith("again")
        ),
        case(
            "many commands when the answer has expired",
            odd("the same again"),
            1,
            EXPIRE,
            pub(b"a", b"b") + mpub(b"c") + SUB + b"RDY 5\n",
            7,
            Asked(),
        ),
        case(
            "a subscription outlives its answer",
            odd("an error later"),
            SUB + b"RDY 1\n",
            2,
            EXPIRE_LATER,
            post("/pub?topic=$t", b"x"),
            1,
            b"FIN $m1\n",
            Asked(),
        ),
        case(
            "statistics behind an answer that has expired",
            odd("the same later"),
            SUB,
            2,
            EXPIRE_LATER,
            stats('"authed":true'),
            Asked(),
        ),
        case(
            "statistics behind another answer",
            odd("the same again"),
            1,
            EXPIRE,
            SUB,
            1,
            stats('"authed":true'),
            Asked(),
        ),
        case("AUTH when the answer has expired", odd("the same again"), 1, EXPIRE, auth("all"), Asked()),
        case("an answer is asked for once", odd("all"), 1, pub(b"a", b"b") + SUB, 3, Asked()),
        case("what is asked in another connection", odd("all"), 1, Asked()),
        case("a secret for a form is asked so", odd("all &=+%/?#\n~*\u00e9"), 1, Asked()),
        case("a secret of bytes is asked so", odd(b"all \xff\xfe\x00"), 1, Asked()),
        case("where TLS is told to be, without trust", odd("come over TLS"), 1, pub(b"x"), 1),
    ),
    *on(
        "auth over TLS",
        case("asked over TLS", odd("all"), 1, pub(b"x"), 1, Asked()),
        case("a client over TLS is told of", *secured(odd("all"), 1, Asked())),
        case("an error over TLS", odd("status 500"), 1, Asked()),
    ),
    *on(
        "auth is down",
        case("nobody answers", auth("all")),
        case("nobody answers, then a command", auth("all") + pub(b"x")),
        case("nobody is asked before AUTH", pub(b"x")),
    ),
    *on(
        "one auth of two is down",
        *(case(f"the other answers {number}", auth("all"), 1, pub(b"x"), 1) for number in range(1, 7)),
        case("the other refuses", auth("nobody's")),
    ),
]
