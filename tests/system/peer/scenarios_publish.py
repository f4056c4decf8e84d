"""PUB, MPUB, DPUB: sizes, counts, limits, what arrives."""

from typing import Final

from peer_script import Scenario, better, case, dpub, mpub, on, packed, pub, sized, stats, timed

LARGE: Final = bytes(range(256)) * 4096
READ: Final = b"SUB $t c\nRDY 100\n"
SIZES: Final = (0, -1, -(1 << 31), (1 << 31) - 1, 1048577)

EMPTY_TOPIC: Final = (
    *(
        '- .topics[0].topic_name = "$t"',
        "- .topics[0].channels = []",
        "- .topics[0].depth = 0",
        "- .topics[0].backend_depth = 0",
    ),
    *("- .topics[0].message_count = 0", "- .topics[0].message_bytes = 0", "- .topics[0].paused = false"),
    *("- .topics[0].e2e_processing_latency.count = 0", "- .topics[0].e2e_processing_latency.percentiles = null"),
    "+ .topics = null",
)

SCENARIOS: Final[list[Scenario]] = [
    *(case(f"PUB of {size} bytes", b"PUB $t\n" + sized(b"", size)) for size in SIZES),
    *(case(f"DPUB of {size} bytes", b"DPUB $t 5\n" + sized(b"", size)) for size in SIZES),
    *(case(f"MPUB of {size} bytes", b"MPUB $t\n" + sized(b"", size)) for size in (*SIZES, 1, 3, 4, 5242880, 5242881)),
    *(
        case(f"MPUB of {count} messages", b"MPUB $t\n" + sized(packed(count=count), 100))
        for count in (0, -1, 1048575, 1048576, (1 << 31) - 1, -(1 << 31))
    ),
    *(
        case(f"MPUB with a message of {size} bytes", b"MPUB $t\n" + sized(packed(count=1) + sized(b"", size)))
        for size in SIZES
    ),
    *(
        case(
            f"MPUB of two, the second of {size} bytes", b"MPUB $t\n" + sized(packed(b"ok", count=2) + sized(b"", size))
        )
        for size in SIZES
    ),
    case("PUB whose size ends early", b"PUB $t\n\x00"),
    case("PUB whose body ends early", b"PUB $t\n" + sized(b"abc", 4)),
    case("DPUB whose size ends early", b"DPUB $t 1\n\x00"),
    case("DPUB whose body ends early", b"DPUB $t 1\n" + sized(b"abc", 4)),
    case("MPUB whose size ends early", b"MPUB $t\n\x00\x00\x00"),
    case("MPUB whose count ends early", b"MPUB $t\n" + sized(b"\x00\x00", 100)),
    case("MPUB whose message's size ends early", b"MPUB $t\n" + sized(packed(count=1) + b"\x00", 100)),
    case("MPUB whose message's body ends early", b"MPUB $t\n" + sized(packed(count=1) + sized(b"ab", 3), 100)),
    case("MPUB whose second message is missing", b"MPUB $t\n" + sized(packed(b"a", count=2), 100)),
    case("a PUB arrives", READ + pub(b"a"), 3, b"FIN $m1\n"),
    case("a PUB of every byte arrives", READ + pub(bytes(range(256))), 3),
    case("the largest message arrives", READ + pub(LARGE), 3),
    case("an MPUB arrives in order", READ + mpub(*[b"%d" % number for number in range(50)]), 52),
    case("an MPUB of one arrives", READ + mpub(b"a"), 3),
    case("an MPUB of large messages arrives", READ + mpub(LARGE, LARGE[1:], LARGE[2:]), 5),
    case("a DPUB of 0 arrives", READ + dpub(b"0", b"a"), 3),
    timed("a DPUB arrives later", READ + dpub(b"400", b"late") + pub(b"soon"), 4, 1),
    case(
        "a batch with a mistake queues nothing",
        pub(b"first") + b"MPUB $t\n" + sized(packed(b"a", count=2) + sized(b"", -1)),
        3,
        stats(),
    ),
    better(
        "a refused MPUB leaves no topic",
        case("an MPUB without a body", b"MPUB $t\n" + sized(b"", 0), 2, stats()),
        *EMPTY_TOPIC,
    ),
    case("a PUB with a mistake leaves no topic", b"PUB $t\n" + sized(b"", 0), 2, stats()),
    case("a DPUB out of range leaves no topic", dpub(b"3600001", b"x"), 2, stats()),
    case("the size of an MPUB that is too small", mpub(b"abc", b"de", size=5) + b"END\n"),
    case("the size of an MPUB that is too large", mpub(b"abc", b"de", size=4000) + b"END\n"),
    case("what follows the messages of an MPUB is a command", b"MPUB $t\n" + sized(packed(b"a") + b"NOP\nEND\n")),
    case("messages wait for the first channel", pub(b"a", b"b") + READ, 5),
    case(
        "a topic of the same name with #ephemeral",
        pub(b"a") + pub(b"b", topic=b"$t#ephemeral") + b"SUB $t#ephemeral c\nRDY 5\n",
        4,
    ),
    *on(
        "small",
        case("a message at its limit", READ.replace(b"100", b"10") + pub(b"x" * 100), 3),
        case("a message above its limit", pub(b"x" * 101)),
        case("a deferred message above its limit", dpub(b"1", b"x" * 101)),
        case("a batch's message at its limit", mpub(b"x" * 100)),
        case("a batch's message above its limit", mpub(b"x" * 101)),
        case("a batch at its limit", mpub(b"x" * 88, b"y" * 96, b"z" * 96)),
        case("a batch above its limit", mpub(b"x" * 89, b"y" * 96, b"z" * 96)),
        case("a batch's count at its limit", b"MPUB $t\n" + sized(packed(*[b"x"] * 59))),
        case("a batch's count above its limit", b"MPUB $t\n" + sized(packed(*[b"x"] * 60))),
    ),
]
