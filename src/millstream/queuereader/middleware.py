"""The onion around a handler: each middleware is `async (message, next) -> Verdict`.

`queuereader.handling` builds the chain once for each Reader; without middleware there is none, and nothing is paid.
The message is decoded and validated when it comes here (`message.event`), and answered with the verdict that leaves the
outermost. An exception passes through all of them; whoever wants another verdict than a requeue catches it.
"""

from collections.abc import Awaitable, Callable, Sequence

from millstream.queuereader import statsd
from millstream.queuereader.message import NsqMessage
from millstream.queuereader.verdict import Verdict

Next = Callable[[NsqMessage], Awaitable[Verdict]]
Middleware = Callable[[NsqMessage, Next], Awaitable[Verdict]]


def compose(middleware: Sequence[Middleware], innermost: Next) -> Next:
    """Put `innermost` into all of `middleware`, the first of them outermost."""
    chain = innermost
    for layer in reversed(middleware):
        chain = _wrap(layer, chain)
    return chain


def timing(key: str) -> Middleware:
    """Send how long the handler took to statsd, as the timer `key`."""

    async def time_handler(message: NsqMessage, next_: Next) -> Verdict:
        with statsd.timer(key):
            return await next_(message)

    return time_handler


def _wrap(layer: Middleware, inner: Next) -> Next:
    async def call(message: NsqMessage) -> Verdict:
        return await layer(message, inner)

    return call
