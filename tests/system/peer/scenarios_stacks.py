"""Compression, alone and over TLS: every combination that IDENTIFY can ask for, in order, and what it carries."""

from itertools import product
from typing import Final

from peer_script import (
    Compress,
    Hello,
    Quiet,
    Scenario,
    Secure,
    Send,
    Step,
    Take,
    better,
    case,
    dpub,
    features,
    identify,
    mpub,
    on,
    pub,
    stats,
    upgraded,
)

SUB: Final = b"SUB $t c\n"
TLS: Final = Secure(Hello("1.2"))
STACKS: Final[dict[str, tuple[str, tuple[Secure | Compress, ...]]]] = {
    "snappy": ('"snappy":true', (Compress("snappy"),)),
    "deflate": ('"deflate":true', (Compress("deflate"),)),
    "TLS": ('"tls_v1":true', (TLS,)),
    "TLS and snappy": ('"tls_v1":true,"snappy":true', (TLS, Compress("snappy"))),
    "TLS and deflate": ('"tls_v1":true,"deflate":true', (TLS, Compress("deflate"))),
}
LEVELS: Final = ("-1", "0", "1", "2", "3", "4", "5", "6", "7", "9", "10", "99", "null", '"6"', "6.0")
LAYERS: Final[dict[str, Secure | Compress]] = {
    "tls_v1": TLS,
    "snappy": Compress("snappy"),
    "deflate": Compress("deflate"),
}
ASKS: Final[list[dict[str, str]]] = [
    {name: value for name, value in zip(LAYERS, values, strict=True) if value}
    for values in product(("", "true", "false"), repeat=3)
]
# What a connection has, what it asks for in a second IDENTIFY, and whether the original, too, ends with an error.
SECOND: Final = (("snappy", "TLS", True), ("snappy", "deflate", False), ("TLS", "TLS", True))
# Who grants what.
GRANTS: Final[dict[str, tuple[str, ...]]] = {
    "tls": ("tls_v1", "snappy", "deflate"),
    "nsqd": ("snappy", "deflate"),
    "uncompressed": ("tls_v1",),
    "another policy": ("tls_v1", "snappy", "deflate"),
}
RANDOM: Final = bytes((number * number * 7919 + number * 104_729) >> 7 & 0xFF for number in range(200_000))


def stacked(name: str, *steps: Step, fields: str = "", of: str = "a") -> tuple[Step, ...]:
    """The stack with this name, and then these steps."""
    asked, layers = STACKS[name]
    return (*upgraded(f"{asked},{fields}" if fields else asked, *layers, of=of), *steps)


def _text(ask: dict[str, str]) -> str:
    return ",".join(f'"{name}":{value}' for name, value in ask.items())


def _granted(bench: str, ask: dict[str, str]) -> Scenario:
    """The answer to IDENTIFY, and the OK of every layer that it grants."""
    granted = [name for name in GRANTS[bench] if ask.get(name) == "true"]
    is_refused = "snappy" in granted and "deflate" in granted
    layers = () if is_refused else tuple(LAYERS[name] for name in granted)
    return case(f"{bench}: asked for {{{_text(ask)}}}", *upgraded(_text(ask), *layers), SUB)


def _second(had: str, wanted: str, *, fails_too: bool) -> Scenario:
    answer = {"tls_v1": str(wanted == "TLS").lower(), "deflate": str(wanted == "deflate").lower()}
    return better(
        "NSQ takes the layer away that there is, and still shows it in statistics",
        case(f"{had}, and {wanted} in a second IDENTIFY", *stacked(had, features(STACKS[wanted][0]))),
        "- a: JSON",
        "- .max_rdy_count = 2500",
        '- .version = "1.3.0"',
        "- .max_msg_timeout = 900000",
        "- .msg_timeout = 60000",
        f"- .tls_v1 = {answer['tls_v1']}",
        f"- .deflate = {answer['deflate']}",
        "- .deflate_level = 6",
        "- .max_deflate_level = 6",
        "- .snappy = false",
        "- .sample_rate = 0",
        "- .auth_required = false",
        "- .output_buffer_size = 16384",
        "- .output_buffer_timeout = 250",
        *(() if fails_too else ("+ a: error b'E_IDENTIFY_FAILED IDENTIFY failed ...'",)),
    )


def _deflates(level: str) -> tuple[Compress, ...]:
    return () if level in {'"6"', "6.0"} else (Compress("deflate"),)


def _all(stack: str) -> list[Scenario]:
    consumer = stacked(stack, SUB + b"RDY 5\n", 1)
    return [
        case(
            f"{stack}: publish and subscribe",
            *stacked(stack, SUB + b"RDY 5\n" + pub(b"a") + mpub(b"b", b"c") + dpub(b"0", b"d"), 8),
        ),
        case(
            f"{stack}: all answers",
            *consumer,
            pub(b"a"),
            2,
            b"TOUCH $m1\nREQ $m1 0\n",
            1,
            b"FIN $m1\n",
            b"FIN $m1\n",
            1,
            b"CLS\n",
            1,
        ),
        case(f"{stack}: a message that compresses well", *consumer, pub(b"x" * 900_000), 2),
        case(f"{stack}: a message that does not", *consumer, pub(RANDOM), 2),
        case(f"{stack}: many messages", *consumer, mpub(*[b"%d" % number for number in range(5)]), 6),
        case(f"{stack}: an error", *stacked(stack, pub(b"x", topic=b"a b"))),
        case(f"{stack}: an unknown command", *stacked(stack, b"HELLO\n")),
        case(f"{stack}: every byte alone", *stacked(stack, Send(SUB + pub(b"abc"), in_pieces=True), 2)),
        case(f"{stack}: a heartbeat", *stacked(stack, 1, b"NOP\n", 1, fields='"heartbeat_interval":1000')),
        case(f"{stack}: statistics", *stacked(stack, SUB, 1, stats('"client_count":1'))),
        case(f"{stack}: a publisher in statistics", *stacked(stack, pub(b"a"), 1, stats())),
        case(f"{stack}: one side in plain", *consumer, Send(pub(b"a"), "p"), Take(1, "p"), 1),
        case(f"{stack}: both sides", *consumer, *stacked(stack, Send(pub(b"a"), "p"), Take(1, "p"), of="p"), 1),
        case(f"{stack}: IDENTIFY again that asks for nothing", *stacked(stack, features(), 1, SUB, 1)),
        case(
            f"{stack}: without an output buffer",
            *stacked(stack, SUB + b"RDY 1\n" + pub(b"a"), 3, fields='"output_buffer_size":-1'),
        ),
        case(
            f"{stack}: with everything else",
            *stacked(
                stack,
                SUB,
                1,
                stats('"client_count":1'),
                fields='"client_id":"me","sample_rate":99,"msg_timeout":5000,"output_buffer_timeout":100',
            ),
        ),
        case(f"{stack}: nothing comes unasked", *stacked(stack, Quiet())),
        case(f"{stack}: the end at once", *stacked(stack)),
    ]


SCENARIOS: Final[list[Scenario]] = [
    *on("tls", *(each for stack in STACKS for each in _all(stack))),
    *(each for bench in GRANTS for ask in ASKS for each in on(bench, _granted(bench, ask))),
    *on(
        "tls",
        *(
            case(f"without negotiation, asked for {{{_text(ask)}}}", identify(f"{{{_text(ask)}}}"), 1, SUB, 1)
            for ask in ASKS
        ),
    ),
    *(
        each
        for bench in ("nsqd", "another policy")
        for level in LEVELS
        for each in on(
            bench,
            case(
                f"{bench}: deflate_level {level}",
                *upgraded(f'"deflate":true,"deflate_level":{level}', *_deflates(level)),
            ),
        )
    ),
    *on(
        "nsqd",
        *(case(f"deflate_level {level} without deflate", features(f'"deflate_level":{level}'), 1) for level in LEVELS),
    ),
    *on(
        "nsqd",
        *(
            case(
                f"messages at the level {level}",
                *upgraded(f'"deflate":true,"deflate_level":{level}', Compress("deflate")),
                SUB + b"RDY 1\n" + pub(b"x" * 50_000),
                3,
            )
            for level in ("1", "6", "9")
        ),
    ),
    *on(
        "tls",
        *(
            case(
                f"TLS, and {codec} in a second IDENTIFY",
                *stacked("TLS", *stacked(codec, SUB + b"RDY 1\n" + pub(b"a"), 3, stats('"client_count":1'))),
            )
            for codec in ("snappy", "deflate")
        ),
        *(_second(had, wanted, fails_too=fails_too) for had, wanted, fails_too in SECOND),
    ),
]
