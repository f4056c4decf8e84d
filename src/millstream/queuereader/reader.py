"""A Reader as a service declares it: which channel, which handler, which limits. It opens nothing.

Constructing one registers it; `queuereader.runner` runs those that are registered, each in a `queuereader.consumer`.
"""

from collections.abc import Iterable, Sequence, Sized
from dataclasses import dataclass, field
from typing import Final

from millstream.base.errors import OptionError, UsageError
from millstream.base.options import check, option
from millstream.client import ReaderOptions
from millstream.protocol.names import is_valid_name
from millstream.queuereader import settings
from millstream.queuereader.decode import Decoder, decoder_for
from millstream.queuereader.handling import Handler, Handling, Offload, Validator, is_async
from millstream.queuereader.message import LocalMessage, NsqMessage, Touch
from millstream.queuereader.middleware import Middleware
from millstream.queuereader.stats import Counters, ReaderStats, snapshot

_SECOND_MS: Final = 1_000
_HOUR_MS: Final = 3_600_000


@dataclass(frozen=True, slots=True, kw_only=True)
class HandlerOptions:
    """How messages are handled; `client` has what concerns connections, requeue delays and backoff.

    `max_in_flight` and `max_attempts` of `client` are not used: those of the Reader are.
    """

    max_attempts: int = option(0, "give up, unhandled, on what was delivered more often; 0 = never", low=0, high=65_535)
    max_threads: int = option(1, "worker threads of a sync handler", low=1, high=256)
    concurrency: int = option(16, "async handlers that run at a time", low=1, high=100_000)
    handler_timeout_ms: int = option(
        600_000,
        "a handler that takes longer has failed; it is TOUCHed until then",
        unit="ms",
        low=1,
        high=24 * _HOUR_MS,
    )
    stop_timeout_ms: int = option(
        10_000, "when stopping, finish what is in hand for this long", unit="ms", low=0, high=_HOUR_MS
    )
    client: ReaderOptions = field(default_factory=ReaderOptions)

    def __post_init__(self) -> None:
        """Raise OptionError when a value is out of bounds."""
        check(self)


class Registry:
    """The Readers that `run` runs, in the order in which they were made."""

    def __init__(self) -> None:
        self._readers: list[Reader] = []

    def add(self, reader: "Reader") -> None:
        """Run this one too."""
        self._readers.append(reader)

    def readers(self) -> tuple["Reader", ...]:
        """All that were added."""
        return tuple(self._readers)


PROCESS_REGISTRY: Final = Registry()


class Reader:
    """One channel and its handler."""

    def __init__(
        self,
        topic: str,
        channel: str,
        message_handler: Handler,
        *,
        validate_method: Validator | None = None,
        lookupd_http_addresses: str | Iterable[str] | None = None,
        nsqd_tcp_addresses: str | Iterable[str] | None = None,
        max_in_flight: int = 200,
        name: str = "",
        publish_to: str = "",
        decoder: Decoder | None = None,
        middleware: Sequence[Middleware] = (),
        options: HandlerOptions | None = None,
        registry: Registry = PROCESS_REGISTRY,
    ) -> None:
        """Declare a Reader; UsageError or OptionError when it cannot work.

        `message_handler(message, nsq_msg)` gets the decoded body (a dict, or what `decoder` makes of it). Addresses are
        `host:port`, a list of them or text with commas; without any, they come from the settings `nsq_lookupd`, else
        `nsqd_tcp_address`. With `publish_to`, what the handler returns is published to that topic on the nsqd of the
        setting `nsqd_tcp_address` before its message is finished. `name` (else the channel) is used in logs and stats.
        """
        for kind, text in (("topic", topic), ("channel", channel), ("publish_to", publish_to or topic)):
            if not is_valid_name(text):
                raise UsageError(f"{kind} is {text!r}: a name has 1 to 64 characters of .a-zA-Z0-9_-")
        if not 1 <= max_in_flight <= 1_000_000:
            raise OptionError(f"max_in_flight is {max_in_flight}: it must be between 1 and 1000000")
        if not callable(message_handler):
            raise UsageError(f"message_handler is {message_handler!r}: it cannot be called")
        self.topic = topic
        self.channel = channel
        self.name = name or channel
        self.publish_to = publish_to
        self.max_in_flight = max_in_flight
        self.options = options or HandlerOptions()
        self.middleware = tuple(middleware)
        self.is_async = is_async(message_handler)
        self.counters = Counters()
        self._in_hand: Sized = ()
        self._handler = message_handler
        self._validate = validate_method
        self._decoder = decoder or decoder_for(dict)
        self._lookupd_http_addresses = _addresses(lookupd_http_addresses)
        self._nsqd_tcp_addresses = _addresses(nsqd_tcp_addresses)
        registry.add(self)

    def attach(self, in_hand: Sized) -> None:
        """Whoever runs the Reader says where its unanswered messages are, for `stats`."""
        self._in_hand = in_hand

    def stats(self) -> ReaderStats:
        """The counters of this Reader as they are now."""
        return snapshot(self.counters, in_hand=len(self._in_hand))

    def addresses(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The addresses of nsqd and of nsqlookupd to use, from the settings when none were given."""
        if self._nsqd_tcp_addresses or self._lookupd_http_addresses:
            return self._nsqd_tcp_addresses, self._lookupd_http_addresses
        lookupd = _addresses(settings.get("nsq_lookupd"))
        return ((), lookupd) if lookupd else (_addresses(settings.get("nsqd_tcp_address")), ())

    def handling(self, offload: Offload | None = None) -> Handling:
        """What a message goes through. `offload` runs a sync handler where it may block, below middleware."""
        return Handling(
            reader_name=self.name,
            handler=self._handler,
            decode=self._decoder,
            validate=self._validate,
            middleware=self.middleware,
            publishes=bool(self.publish_to),
            max_attempts=self.options.max_attempts,
            offload=offload,
        )

    def handle_bytes(self, body: bytes, *, attempts: int = 1) -> NsqMessage:
        """Handle a body as if nsqd had delivered it: for tests of sync handlers, without a network.

        Nothing is published; `verdict`, `event` and `events` of the result say what would have been done.
        """
        if self.is_async or self.middleware:
            raise UsageError("an async handler, or middleware, is tried with `await reader.handle_bytes_async(...)`")
        message = NsqMessage(LocalMessage(body, attempts), _keep)
        self.handling().handle(message)
        return message

    async def handle_bytes_async(self, body: bytes, *, attempts: int = 1) -> NsqMessage:
        """Do as `handle_bytes` does, for any handler; a sync one with middleware runs on the loop."""
        message = NsqMessage(LocalMessage(body, attempts), _keep)
        if self.is_async or self.middleware:
            await self.handling().handle_async(message)
        else:
            self.handling().handle(message)
        return message


def _keep(_: NsqMessage | Touch) -> None:
    """There is nobody to tell; the message itself has the verdict."""


def _addresses(given: str | Iterable[str] | None) -> tuple[str, ...]:
    parts = given.split(",") if isinstance(given, str) else given or ()
    return tuple(part.strip() for part in parts if part.strip())
