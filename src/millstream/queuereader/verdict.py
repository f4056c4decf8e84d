"""What becomes of a message: the values that a handler returns or raises.

`queuereader.handling` turns whatever a handler did into one of these; `queuereader.answers` carries it out towards nsqd
and counts it. All of them may be returned or raised; raising is for code that is deep inside the handler.
"""

from typing import Final

from millstream.base.errors import UsageError


class Verdict(Exception):
    """Root of all verdicts; an exception only so that it can be raised."""


class Finish(Verdict):
    """FIN: the message is dealt with."""


class Requeue(Verdict):
    """REQ: deliver the message again, here or to another reader of the channel.

    `delay_ms` None lets the delay grow with the attempts. With `backoff` the whole Reader slows down, because what
    failed (a database, say) would fail the next message too. A negative delay raises UsageError.
    """

    def __init__(self, delay_ms: int | None = None, *, backoff: bool = True) -> None:
        if delay_ms is not None and delay_ms < 0:
            raise UsageError(f"delay_ms is {delay_ms}: a delay is not negative")
        super().__init__(delay_ms, backoff)
        self.delay_ms = delay_ms
        self.backoff = backoff


class GiveUp(Verdict):
    """FIN, although the message could not be dealt with: counted apart and logged as an error with `reason`."""

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason)
        self.reason = reason


class Reject(Verdict):
    """FIN: the message is not what this channel reads (not JSON, not valid); counted apart, never handled."""

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason)
        self.reason = reason


FINISH: Final = Finish()
REQUEUE: Final = Requeue()


def verdict_of(result: object) -> Verdict:
    """What a handler's return value means: False requeues, a verdict is itself, all else (None too) finishes."""
    if result is None or result is True:
        return FINISH
    if result is False:
        return REQUEUE
    return result if isinstance(result, Verdict) else FINISH
