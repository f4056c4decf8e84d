"""pynsq and our own client on both daemons: every way to publish, and every answer to a message.

Compression is not among it: pynsq stumbles over what the original sends in more than one piece, now and then.
"""

from typing import Final

from peer_script import Scenario, Tool, case, get, on, stats

GONE: Final = stats('"client_count":0')
CA: Final = "--tls=$certs/ca.pem"
LOOKUP: Final = "--lookupd=http://$lookupd"


def client(name: str, *flags: str) -> Tool:
    return Tool("peer_clients", (name, "--topic=$t", "--nsqd=$tcp", *flags))


SCENARIOS: Final[list[Scenario]] = [
    *(case(name, client(name), GONE) for name in ("pynsq", "millstream")),
    *on("tls", case("pynsq over TLS", client("pynsq", CA), GONE)),
    *on("tls required", case("pynsq where TLS is required", client("pynsq", CA), stats())),
    *on(
        "auth",
        *(case(f"{name} with a secret", client(name, "--secret=all"), GONE) for name in ("pynsq", "millstream")),
        case("pynsq with a secret over TLS", client("pynsq", "--secret=over tls", CA), GONE),
    ),
    *on(
        "cluster",
        *(
            case(f"{name} finds the topic", client(name, LOOKUP), GONE, get("/lookup?topic=$t", of="nsqlookupd"))
            for name in ("pynsq", "millstream")
        ),
    ),
]
