"""What a scenario is made of: steps as data, which `peer_run` carries out on the original and on ours.

A theme (`scenarios_*.py`) is a list of scenarios. In bytes and paths `$t` and `$u` stand for topics of the scenario's
own, `$m1`, `$m2`, ... for the ids of the messages that it saw, in the order in which they came; `$tcp`, `$http` and
`$https` are the addresses of the daemon, `$httpport` is the port of the second, `$lookupd` where the nsqlookupd of a
cluster serves HTTP; `$listener` is a listener in the place of one; `$dir` is a folder of the scenario's own, `$certs`
that of the certificates. Bytes go to the connection "a", which is opened with the magic when it is first used; a number
takes as many frames from it. At the end every connection is closed for writing and read to its end, so that nothing
that a daemon says is overlooked.
"""

import struct
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Dial:
    """Open a connection that says something else than the magic, or says it later."""

    first: bytes
    of: str = "a"


@dataclass(frozen=True, slots=True)
class Send:
    """Send bytes, one by one where a daemon is to see them in pieces."""

    data: bytes
    of: str = "a"
    in_pieces: bool = False


@dataclass(frozen=True, slots=True)
class Sized:
    """Send a command and its body, which is counted when what `$` stands for is in it."""

    command: bytes
    body: bytes
    of: str = "a"


@dataclass(frozen=True, slots=True)
class Take:
    """Wait for frames. Where messages and responses mix, their order among each other is not compared."""

    count: int
    of: str = "a"
    any_order: bool = False


@dataclass(frozen=True, slots=True)
class Hello:
    """A TLS client: the one version that it speaks, its certificate by name, and another suite than that version's."""

    version: str = "1.3"
    certificate: str = ""
    suite: str = ""


@dataclass(frozen=True, slots=True)
class Secure:
    """Shake hands on a connection, whose IDENTIFY was answered."""

    hello: Hello = Hello()
    of: str = "a"


@dataclass(frozen=True, slots=True)
class Compress:
    """What comes and goes on a connection from now on is `snappy` or `deflate`."""

    codec: str
    of: str = "a"


@dataclass(frozen=True, slots=True)
class Quiet:
    """Nothing must come for a while; what does is written down."""

    seconds: float = 0.3
    of: str = "a"


@dataclass(frozen=True, slots=True)
class Close:
    """Close a connection, at once or when the daemon has; heartbeats before that are left out."""

    of: str = "a"
    waits: bool = False


@dataclass(frozen=True, slots=True)
class Ask:
    """One HTTP request; with `until`, asked again until the answer has that text.

    `of` names a daemon of a cluster. With `over` it goes to the port of HTTPS, over TLS.
    """

    method: str
    path: str
    body: bytes = b""
    headers: tuple[str, ...] = ()
    until: str = ""
    of: str = ""
    over: Hello | None = None


@dataclass(frozen=True, slots=True)
class Until:
    """Ask until the answer has its text, and write nothing down."""

    ask: Ask


@dataclass(frozen=True, slots=True)
class Raw:
    """Bytes to the port of HTTP, or of HTTPS, and everything that comes back."""

    data: bytes
    to_https: bool = False


@dataclass(frozen=True, slots=True)
class Asked:
    """Write down what the daemon asked the auth server for secrets with the scenario's topic."""


@dataclass(frozen=True, slots=True)
class Listen:
    """From now on there is a `$listener`."""


@dataclass(frozen=True, slots=True)
class Heard:
    """Wait for so many things that nsqd says to `$listener`; with `any_order` their order is not compared."""

    count: int
    any_order: bool = False


@dataclass(frozen=True, slots=True)
class Tool:
    """Run one of the original tools, one of ours, or a script beside this file (`peer_*.py`) to its end.

    With `until` it is asked to end, when that request has been answered as wanted. What it prints is compared, and
    what it wrote to `$dir`.
    """

    name: str
    flags: tuple[str, ...]
    stdin: bytes = b""
    is_ours: bool = False
    until: Ask | None = None


Step = (
    bytes
    | int
    | Dial
    | Send
    | Sized
    | Take
    | Secure
    | Compress
    | Quiet
    | Close
    | Ask
    | Raw
    | Asked
    | Listen
    | Heard
    | Tool
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """Steps, and the daemons that they go to.

    `bench` names a pair of daemons. With `exact` nothing is left out that NSQ has only since the pinned version. A
    scenario with a `reason` must differ, and just so: `differs` has the original's lines with "- ", ours with "+ ".
    """

    name: str
    steps: tuple[Step, ...]
    bench: str = "nsqd"
    exact: bool = False
    reason: str = ""
    differs: tuple[str, ...] = ()


def on(bench: str, *scenarios: Scenario) -> list[Scenario]:
    """The same scenarios on another pair of daemons."""
    return [replace(each, bench=bench) for each in scenarios]


def case(name: str, *steps: Step, exact: bool = False) -> Scenario:
    """A scenario in which both must say the same."""
    return Scenario(name=name, steps=steps, exact=exact)


def timed(name: str, *steps: Step) -> Scenario:
    """A scenario that waits for a timeout or a deferral."""
    return Scenario(name=name, steps=steps, bench="timed")


def better(reason: str, scenario: Scenario, *differs: str) -> Scenario:
    """A scenario in which ours says something else on purpose."""
    return replace(scenario, reason=reason, differs=differs)


def sized(body: bytes, size: int | None = None) -> bytes:
    """A body behind its size, or behind what it says is its size."""
    return struct.pack(">i", len(body) if size is None else size) + body


def packed(*bodies: bytes, count: int | None = None) -> bytes:
    """The messages of an MPUB behind their number."""
    return struct.pack(">i", len(bodies) if count is None else count) + b"".join(map(sized, bodies))


def pub(*bodies: bytes, topic: bytes = b"$t") -> bytes:
    """A PUB of each body."""
    return b"".join(b"PUB " + topic + b"\n" + sized(body) for body in bodies)


def mpub(*bodies: bytes, topic: bytes = b"$t", count: int | None = None, size: int | None = None) -> bytes:
    """One MPUB."""
    return b"MPUB " + topic + b"\n" + sized(packed(*bodies, count=count), size)


def dpub(delay: bytes, body: bytes, topic: bytes = b"$t") -> bytes:
    """One DPUB."""
    return b"DPUB " + topic + b" " + delay + b"\n" + sized(body)


def identify(body: str | bytes) -> bytes:
    """An IDENTIFY with this JSON."""
    return b"IDENTIFY\n" + sized(body if isinstance(body, bytes) else body.encode())


def features(fields: str = "") -> bytes:
    """An IDENTIFY that negotiates, with these members of its object."""
    return identify('{"feature_negotiation":true' + (f",{fields}" if fields else "") + "}")


def upgraded(fields: str, *layers: Secure | Compress, of: str = "a") -> tuple[Step, ...]:
    """An IDENTIFY that asks for layers, and each of them with its OK."""
    steps: list[Step] = [Send(features(fields), of), Take(1, of)]
    for layer in layers:
        steps += [replace(layer, of=of), Take(1, of)]
    return tuple(steps)


def get(path: str, until: str = "", of: str = "", over: Hello | None = None) -> Ask:
    return Ask("GET", path, until=until, of=of, over=over)


def post(path: str, body: bytes = b"", *headers: str, of: str = "", over: Hello | None = None) -> Ask:
    return Ask("POST", path, body, headers, of=of, over=over)


def put(path: str, body: bytes = b"") -> Ask:
    return Ask("PUT", path, body)


def stats(until: str = "", topic: str = "$t") -> Ask:
    """What `/stats` says of a topic, its channels and their clients."""
    return get(f"/stats?format=json&include_mem=false&topic={topic}", until)
