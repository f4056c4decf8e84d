"""The grammar of commands: magic, lines, names, numbers, parameters, pipelining, pieces."""

from typing import Final

from peer_script import Dial, Quiet, Scenario, Send, better, case, dpub, features, identify, mpub, on, pub, sized

SUB: Final = b"SUB $t c\n"
ID: Final = b"0123456789abcdef"
NAMES: Final = [
    *(b"a", b"A-b_c.9", b"n" * 64, b"n" * 54 + b"#ephemeral", b".", b"-", b"9", b"a#ephemeral", b"n" * 65),
    *(b"n" * 55 + b"#ephemeral", b"#ephemeral", b"a#", b"a#ephemera", b"a#ephemeral#ephemeral", b"a#ephemeralx"),
    *(b"a:b", b"a/b", b"a*", b"a\tb", b"\xc3\xa9", b"\xff", b"a\x00", b'"', b"'", b"<a>&", b"a\\n", b"%41", b"a\r"),
]
NUMBERS: Final = [b"0", b"1", b"2500", b"2501", b"007", b"", b"-1", b"+1", b"1.0", b"1e3", b"0x1", b" 1", b"x", b"1x"]
WRAPPED: Final = [b"18446744073709551615", b"18446744073709551616", b"18446744073709551617", b"9" * 40]
UNKNOWN: Final = [b"", b"HELLO", b"pub", b"Sub $t c", b" NOP", b"NOPE", b"NO", b"SUBX", b"PUBLISH $t", b"\x00", b"\xff"]
CUT: Final = [b"  V", b"  V2P", b"  V2PUB $t", b"  V2PUB $t\n\x00\x00", b"  V2SUB $t c", b"  V2NOP\nNOP"]

SCENARIOS: Final[list[Scenario]] = [
    *(case(f"the magic {magic!r}", Dial(magic)) for magic in (b"  V1", b"  V3", b"  v2", b"V2  ", b"HTTP", b"GET ")),
    *(case(f"a topic named {name!r}", b"PUB " + name + b"\n" + sized(b"x")) for name in NAMES),
    *(case(f"a channel named {name!r}", b"SUB $t " + name + b"\n") for name in NAMES),
    *(case(f"the unknown command {line!r}", line + b"\n") for line in UNKNOWN),
    *(case(f"input that ends after {data!r}", Dial(data)) for data in CUT),
    *(case(f"RDY {number!r}", SUB + b"RDY " + number + b"\nNOP\nEND\n") for number in NUMBERS + WRAPPED[1:3]),
    *(
        better(
            "a count is unsigned, as it was sent",
            case(f"RDY {number!r}", SUB + b"RDY " + number + b"\n"),
            f"- a: error b'E_INVALID RDY count {(seen ^ 1 << 63) - (1 << 63)} out of range 0-2500'",
            f"+ a: error b'E_INVALID RDY count {seen} out of range 0-2500'",
        )
        for number in (WRAPPED[0], WRAPPED[3])
        for seen in [int(number) % (1 << 64)]
    ),
    *(case(f"DPUB deferred by {number!r}", dpub(number, b"x") + b"END\n") for number in NUMBERS + WRAPPED),
    *(case(f"REQ deferred by {number!r}", SUB + b"REQ " + ID + b" " + number + b"\n") for number in NUMBERS + WRAPPED),
    case("a carriage return before the newline", b"NOP\r\nSUB $t c\r\nRDY 1\r\n" + b"PUB $t\r\n" + sized(b"x"), 3),
    case("two carriage returns", b"SUB $t c\r\r\n"),
    case("a carriage return alone is no end", b"NOP\rNOP\n"),
    case("two spaces make an empty parameter", b"SUB  $t c\n"),
    case("a space behind the topic", b"PUB $t \n" + sized(b"x")),
    case("parameters too many for SUB", b"SUB $t c d e\n"),
    case("parameters too many for PUB", b"PUB $t extra\n" + sized(b"x")),
    case("parameters too many for MPUB", b"MPUB $t extra\n" + mpub(b"x").partition(b"\n")[2]),
    case("parameters too many for DPUB", b"DPUB $t 0 extra\n" + sized(b"x")),
    case("parameters too many for RDY", SUB + b"RDY 1 2 3\nEND\n"),
    case("parameters too many for FIN", SUB + b"FIN " + ID + b" extra\n"),
    case("parameters too many for REQ", SUB + b"REQ " + ID + b" 0 extra\n"),
    case("parameters too many for TOUCH", SUB + b"TOUCH " + ID + b" extra\n"),
    case("parameters too many for CLS", SUB + b"CLS now\n"),
    case("parameters too many for NOP", b"NOP now\nEND\n"),
    case("parameters too many for IDENTIFY", b"IDENTIFY now\n" + sized(b"{}")),
    case("parameters too many for AUTH", b"AUTH now\n" + sized(b"s")),
    case("a space behind AUTH", b"AUTH \n" + sized(b"s")),
    *(
        case(f"{line!r} has too few parameters", line + b"\n" + sized(b"x"))
        for line in (b"PUB", b"MPUB", b"DPUB", b"SUB")
    ),
    case("'DPUB $t' has too few parameters", b"DPUB $t\n" + sized(b"x")),
    case("'SUB $t' has too few parameters", b"SUB $t\n"),
    case("'SUB $t ' has an empty channel", b"SUB $t \n"),
    case("'SUB ' has too few parameters", b"SUB \n"),
    case("'PUB ' has an empty topic", b"PUB \n" + sized(b"x")),
    case("'MPUB ' has an empty topic", b"MPUB \n" + sized(b"x")),
    case("'DPUB  0' has an empty topic", b"DPUB  0\n" + sized(b"x")),
    *(case(f"{line!r} has no message id", SUB + line + b"\n") for line in (b"FIN", b"REQ", b"TOUCH", b"REQ " + ID)),
    *(case(f"{word!r} with an empty message id", SUB + word + b" \n") for word in (b"FIN", b"REQ", b"TOUCH")),
    *(case(f"{word!r} with a short message id", SUB + word + b" abc 0\n") for word in (b"FIN", b"REQ", b"TOUCH")),
    *(
        case(f"{word!r} with a long message id", SUB + word + b" " + ID + b"0 0\n")
        for word in (b"FIN", b"REQ", b"TOUCH")
    ),
    *(
        case(f"{word!r} of what is not in flight", SUB + word + b" " + ID + b" 0\nNOP\nEND\n")
        for word in (b"FIN", b"REQ", b"TOUCH")
    ),
    case("an id that is not hexadecimal", SUB + b"FIN " + b"z" * 16 + b"\nTOUCH " + b"\xff" * 16 + b"\n"),
    case("RDY without a number means one", SUB + b"RDY\n" + pub(b"a", b"b"), 4, Quiet()),
    case("a line as long as the buffer", b"NOP " + b"x" * 16379 + b"\nEND\n"),
    case("a line longer than the buffer", b"NOP " + b"x" * 16380 + b"\nEND\n"),
    case("many commands at once", b"NOP\n" * 5_000 + pub(*[b"x"] * 200) + SUB),
    case("every byte alone", Send(b"NOP\n" + pub(b"abc") + mpub(b"d", b"e") + SUB + b"RDY 1\n", in_pieces=True), 4),
    case("the magic in pieces", Dial(b" "), Send(b" V2SUB $t c\n", in_pieces=True)),
    case("IDENTIFY in pieces", Send(features(), in_pieces=True)),
    case("a body that looks like commands", pub(b"\nSUB $t c\nEND\n") + SUB + b"RDY 1\n", 3),
    case("commands behind a fatal one are not carried out", b"END\n" + pub(b"x") + SUB),
    case("SUB, RDY and PUB at once", SUB + b"RDY 5\n" + pub(b"a", b"b", b"c"), 7),
    case("a publisher that says nothing else", pub(b"a")),
    case("replies come in order", pub(b"a") + mpub(b"b") + dpub(b"0", b"c") + identify("{}") + SUB + b"CLS\nEND\n"),
    *on("small", case("RDY at its limit", SUB + b"RDY 10\nEND\n"), case("RDY above its limit", SUB + b"RDY 11\n")),
    *on(
        "small",
        case("DPUB at its limit", dpub(b"2000", b"x") + b"END\n"),
        case("DPUB above its limit", dpub(b"2001", b"x") + b"END\n"),
    ),
]
