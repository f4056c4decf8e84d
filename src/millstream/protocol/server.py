"""What a client may do now: the states of one connection to nsqd, as a table.

`protocol.parser` asks `ServerConnection.guard` with a command's name before it looks at parameters or bodies;
`nsqd.session` reports what succeeded with `passed`. What the table does not list is illegal.
"""

from enum import Enum
from typing import Final

from millstream.protocol.errors import Invalid
from millstream.protocol.lines import text


class State(Enum):
    """The values are those that `/stats` shows."""

    INIT = 0
    SUBSCRIBED = 3
    CLOSING = 4


_IGNORED: Final = object()

NEXT: Final[dict[tuple[State, bytes], State | object]] = {
    **{(state, name): state for state in State for name in (b"PUB", b"MPUB", b"DPUB", b"NOP")},
    (State.INIT, b"IDENTIFY"): State.INIT,
    (State.INIT, b"AUTH"): State.INIT,
    (State.INIT, b"SUB"): State.SUBSCRIBED,
    (State.SUBSCRIBED, b"RDY"): State.SUBSCRIBED,
    (State.SUBSCRIBED, b"FIN"): State.SUBSCRIBED,
    (State.SUBSCRIBED, b"REQ"): State.SUBSCRIBED,
    (State.SUBSCRIBED, b"TOUCH"): State.SUBSCRIBED,
    (State.SUBSCRIBED, b"CLS"): State.CLOSING,
    (State.CLOSING, b"RDY"): _IGNORED,
    (State.CLOSING, b"FIN"): State.CLOSING,
    (State.CLOSING, b"REQ"): State.CLOSING,
    (State.CLOSING, b"TOUCH"): State.CLOSING,
}
COMMANDS: Final = frozenset(name for _, name in NEXT)


class ServerConnection:
    """The state of one connection.

    `needs_tls` makes everything but IDENTIFY illegal until TLS is up; without heartbeats there is no SUB.
    """

    def __init__(self, *, needs_tls: bool = False) -> None:
        self.state = State.INIT
        self.needs_tls = needs_tls
        self.has_heartbeats = True

    def guard(self, name: bytes) -> bool:
        """Whether the command is to be carried out; False when it is to be ignored. Raises `Invalid`."""
        if self.needs_tls and name != b"IDENTIFY":
            raise Invalid(f"cannot {text(name)} in current state (TLS required)")
        if name not in COMMANDS:
            raise Invalid(f"invalid command {text(name)}")
        following = NEXT.get((self.state, name))
        if following is None:
            raise Invalid(f"cannot {name.decode()} in current state")
        if name == b"SUB" and not self.has_heartbeats:
            raise Invalid("cannot SUB with heartbeats disabled")
        return following is not _IGNORED

    def passed(self, name: bytes) -> None:
        """A command was carried out."""
        following = NEXT.get((self.state, name))
        if isinstance(following, State):
            self.state = following
