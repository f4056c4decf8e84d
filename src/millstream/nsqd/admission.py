"""Who and what is let in: connections by address, and topics and channels by whether they were declared.

`nsqd.host` asks here. The limits of an address count TCP and HTTP connections together and are off when 0; unix
sockets have no address and no limit. `--auto-create=declared` refuses what nobody made over HTTP, so that a mistyped
name is an error and not a topic.
"""

from dataclasses import dataclass
from typing import Final

from millstream.base.clock import Clock
from millstream.base.errors import MillstreamError
from millstream.base.log import get_logger
from millstream.protocol.errors import BadChannel, BadTopic

log = get_logger(__name__)

ADDRESSES_MAX: Final = 10_000
_NS_PER_S: Final = 1_000_000_000


class Refused(MillstreamError):
    """No messages are taken now."""


class OverLimit(Refused):
    """A policy keeps the topic, or one of its channels, from growing."""


class Draining(Refused):
    """The daemon is told to run empty: it takes no more messages."""

    def __init__(self) -> None:
        super().__init__("draining: publish to another nsqd")


def undeclared_topic(topic: str) -> BadTopic:
    """`--auto-create=declared`, and nobody made the topic."""
    fix = f"create it with POST /topic/create?topic={_escaped(topic)}, or start nsqd with --auto-create=all"
    return BadTopic(f'topic "{topic}" does not exist: {fix}')


def undeclared_channel(topic: str, channel: str) -> BadChannel:
    """`--auto-create=declared`, and nobody made the channel."""
    target = f"/channel/create?topic={_escaped(topic)}&channel={_escaped(channel)}"
    fix = f"create it with POST {target}, or start nsqd with --auto-create=all"
    return BadChannel(f'channel "{channel}" of topic "{topic}" does not exist: {fix}')


def _escaped(name: str) -> str:
    """A valid name in a URL: of what it may hold only the hash of #ephemeral has to be escaped."""
    return name.replace("#", "%23")


@dataclass(slots=True)
class _Tokens:
    """How many connections an address may still open at once, as of an instant."""

    count: float
    at_ns: int


class AddressGate:
    """Counts the connections of each address. `connections_max` and `rate_max` (new ones a second) of 0 are none.

    `refused_connections` and `refused_rate` count what was refused because of which.
    """

    def __init__(self, clock: Clock, *, connections_max: int = 0, rate_max: int = 0) -> None:
        self.connections_max = connections_max
        self.rate_max = rate_max
        self.refused_connections = 0
        self.refused_rate = 0
        self._clock = clock
        self._open: dict[str, int] = {}
        self._tokens: dict[str, _Tokens] = {}
        self._said_ns = -_NS_PER_S

    def set_limits(self, *, connections_max: int, rate_max: int) -> None:
        """From now on; connections that are open stay."""
        if rate_max != self.rate_max:
            self._tokens.clear()
        self.connections_max = connections_max
        self.rate_max = rate_max

    def admit(self, address: str) -> bool:
        """Count a new connection in; False when it must be refused. An admitted one has to `leave`."""
        if not address:
            return True
        count = self._open.get(address, 0)
        if self.connections_max and count >= self.connections_max:
            self.refused_connections += 1
            self._say("connections", address)
            return False
        if self.rate_max and not self._take_token(address):
            self.refused_rate += 1
            self._say("rate", address)
            return False
        self._open[address] = count + 1
        return True

    def leave(self, address: str) -> None:
        """An admitted connection is gone."""
        count = self._open.get(address, 0)
        if count > 1:
            self._open[address] = count - 1
        else:
            self._open.pop(address, None)

    def _take_token(self, address: str) -> bool:
        """A bucket for each address that holds one second's worth."""
        now_ns = self._clock.monotonic_ns()
        tokens = self._tokens.pop(address, None) or _Tokens(self.rate_max, now_ns)
        earned = (now_ns - tokens.at_ns) * self.rate_max / _NS_PER_S
        tokens.count = min(float(self.rate_max), tokens.count + earned)
        tokens.at_ns = now_ns
        self._tokens[address] = tokens
        if len(self._tokens) > ADDRESSES_MAX:
            # The one that was silent for longest: mostly its bucket is full again.
            del self._tokens[next(iter(self._tokens))]
        if tokens.count < 1:
            return False
        tokens.count -= 1
        return True

    def _say(self, limit: str, address: str) -> None:
        """Once a second at most: whoever is refused thousands of times must not fill the log, too."""
        now_ns = self._clock.monotonic_ns()
        if now_ns - self._said_ns < _NS_PER_S:
            return
        self._said_ns = now_ns
        refused = self.refused_connections + self.refused_rate
        log.warning("connection.refused", limit=limit, address=address, refused=refused)
