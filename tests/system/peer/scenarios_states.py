"""Every command in every state: Init, Subscribed, Closing."""

from typing import Final

from peer_script import (
    Close,
    Quiet,
    Scenario,
    Send,
    Take,
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
)

ID: Final = b"0123456789abcdef"
COMMANDS: Final = {
    "IDENTIFY": identify("{}"),
    "IDENTIFY that negotiates": features(),
    "AUTH": b"AUTH\n" + sized(b"secret"),
    "SUB": b"SUB $t c\n",
    "SUB elsewhere": b"SUB $u d\n",
    "RDY": b"RDY 1\n",
    "RDY 0": b"RDY 0\n",
    "RDY of no number": b"RDY x\n",
    "RDY out of range": b"RDY 2501\n",
    "FIN": b"FIN " + ID + b"\n",
    "FIN without an id": b"FIN\n",
    "REQ": b"REQ " + ID + b" 0\n",
    "REQ without an id": b"REQ\n",
    "REQ of no number": b"REQ " + ID + b" x\n",
    "TOUCH": b"TOUCH " + ID + b"\n",
    "TOUCH without an id": b"TOUCH\n",
    "CLS": b"CLS\n",
    "NOP": b"NOP\n",
    "PUB": pub(b"x", topic=b"$u"),
    "MPUB": mpub(b"x", b"y", topic=b"$u"),
    "DPUB": dpub(b"10", b"x", topic=b"$u"),
    "nothing known": b"WHAT\n",
}
STATES: Final = {
    "Init": b"",
    "Init after IDENTIFY": features(),
    "Init after PUB": pub(b"x", topic=b"$u"),
    "Subscribed": b"SUB $t c\n",
    "Subscribed with RDY": features() + b"SUB $t c\nRDY 7\n",
    "Closing": b"SUB $t c\nCLS\n",
}

SCENARIOS: Final[list[Scenario]] = [
    *(
        case(f"{name} in {state}", before + command + b"NOP\nEND\n")
        for state, before in STATES.items()
        for name, command in COMMANDS.items()
    ),
    case(
        "CLS ends deliveries",
        b"SUB $t c\nRDY 5\n" + pub(b"a"),
        3,
        b"CLS\n",
        1,
        Send(pub(b"b"), "p"),
        Take(1, "p"),
        Quiet(),
        b"FIN $m1\n",
    ),
    case(
        "what was in flight at CLS may be finished",
        b"SUB $t c\nRDY 5\n" + pub(b"a", b"b", b"c"),
        7,
        b"CLS\nFIN $m1\nREQ $m2 0\nTOUCH $m3\nFIN $m1\n",
        2,
    ),
    case("RDY after CLS changes nothing", b"SUB $t c\nCLS\nRDY 5\n", 2, pub(b"a"), 1, Quiet(), b"RDY x\nRDY 2501\n"),
    case(
        "a publisher may close when it likes",
        pub(b"a"),
        1,
        Close(),
        get("/stats?format=json&include_mem=false&include_clients=false&topic=$t"),
    ),
    case("a client may come and go", b"SUB $t c\n", 1, Close(), b"SUB $t c\n", 1),
    case("two clients of a channel", b"SUB $t c\n", 1, Send(b"SUB $t c\n", "b"), Take(1, "b")),
    case(
        "deleting a channel closes its clients",
        b"SUB $t c\n",
        1,
        Send(b"SUB $t d\n", "b"),
        Take(1, "b"),
        post("/channel/delete?topic=$t&channel=c"),
        1,
        Quiet(0.1, "b"),
    ),
    case(
        "deleting a topic closes its clients",
        b"SUB $t c\n",
        1,
        Send(b"SUB $t d\n", "b"),
        Take(1, "b"),
        post("/topic/delete?topic=$t"),
        1,
        Take(1, "b"),
    ),
    case("deleting a topic leaves its publishers", pub(b"a"), 1, post("/topic/delete?topic=$t"), pub(b"b"), 1),
    *on(
        "small",
        case("a channel has enough clients", b"SUB $t c\n", 1, Send(b"SUB $t c\n", "b"), Take(2, "b")),
        case("another channel has room", b"SUB $t c\n", 1, Send(b"SUB $t d\n", "b"), Take(1, "b")),
        case(
            "who leaves makes room",
            b"SUB $t c\n",
            1,
            Close(),
            get("/stats?format=json&include_mem=false&include_clients=false&topic=$t", '"client_count":0'),
            Send(b"SUB $t c\n", "b"),
            Take(1, "b"),
        ),
    ),
]
