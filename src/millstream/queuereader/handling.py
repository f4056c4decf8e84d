"""The way of one message through a handler: decode, validate, call, and a verdict at the end, whatever happens.

`queuereader.threads` walks it in a worker thread (`handle`), `queuereader.coroutines` on the loop (`handle_async`).
Nothing but cancellation and the end of the process leaves these two: a body of no use is rejected, an exception of the
handler is logged with its traceback and requeues.
"""

import inspect
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Final

from millstream.base.errors import UsageError
from millstream.base.log import get_logger
from millstream.queuereader.decode import Decoder, Undecodable, encode_events
from millstream.queuereader.message import NsqMessage
from millstream.queuereader.middleware import Middleware, Next, compose
from millstream.queuereader.verdict import FINISH, REQUEUE, GiveUp, Reject, Verdict, verdict_of

# Enough of a body to see what it is; the whole may be megabytes.
_EXCERPT_BYTES: Final = 120

Handler = Callable[[Any, NsqMessage], Any]
Validator = Callable[[Any], object]
# Runs a sync handler somewhere that may block.
Offload = Callable[[Handler, Any, NsqMessage], Awaitable[Any]]

_log = get_logger(__name__)


def is_async(handler: Callable[..., Any]) -> bool:
    """True when calling it gives a coroutine: functions, methods, partials and objects with such a `__call__`."""
    while isinstance(handler, partial):
        handler = handler.func
    return inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(getattr(handler, "__call__", None))  # noqa: B004 - the method itself is looked at


class Handling:
    """Decoder, validator, handler and middleware of one Reader; holds no message."""

    def __init__(
        self,
        *,
        reader_name: str,
        handler: Handler,
        decode: Decoder,
        validate: Validator | None = None,
        middleware: Sequence[Middleware] = (),
        publishes: bool = False,
        max_attempts: int = 0,
        offload: Offload | None = None,
    ) -> None:
        """With `publishes`, what the handler returns is an event. `offload` is for a sync handler with middleware."""
        self._reader_name = reader_name
        self._handler = handler
        self._decode = decode
        self._validate = validate
        self._publishes = publishes
        self._max_attempts = max_attempts
        self._offload = offload
        self._awaits = is_async(handler)
        self._chain: Next | None = compose(middleware, self._innermost) if middleware else None

    def handle(self, message: NsqMessage) -> None:
        """Answer the message by way of a sync handler."""
        try:
            if self._admit(message):
                message.was_handled = True
                self._conclude(message, self._handler(message.event, message))
        except Verdict as verdict:
            self._answer(message, verdict)
        except Exception as error:  # noqa: BLE001 - the handler's errors are the framework's input
            self._fail(message, error)

    async def handle_async(self, message: NsqMessage) -> None:
        """Answer the message by way of an async handler, or of middleware."""
        try:
            if self._admit(message):
                message.was_handled = True
                if self._chain is None:
                    self._conclude(message, await self._handler(message.event, message))
                else:
                    self._answer(message, await self._chain(message))
        except Verdict as verdict:
            self._answer(message, verdict)
        except Exception as error:  # noqa: BLE001 - the handler's errors are the framework's input
            self._fail(message, error)

    def _admit(self, message: NsqMessage) -> bool:
        if message.verdict is not None:
            return False
        if 0 < self._max_attempts < message.attempts:
            self._answer(message, GiveUp(f"delivered {message.attempts} times"))
            return False
        try:
            message.event = self._decode(message.body)
        except Undecodable as error:
            _log.warning(
                "message.rejected",
                reader=self._reader_name,
                id=message.id,
                error=error,
                body=repr(message.body[:_EXCERPT_BYTES]),
            )
            message.answer(Reject(str(error)))
            return False
        if self._validate is not None and not self._validate(message.event):
            _log.debug("message.rejected", reader=self._reader_name, id=message.id, reason="validate_method")
            message.answer(Reject("validate_method"))
            return False
        return True

    async def _innermost(self, message: NsqMessage) -> Verdict:
        if self._awaits:
            result = await self._handler(message.event, message)
        elif self._offload is not None:
            result = await self._offload(self._handler, message.event, message)
        else:
            result = self._handler(message.event, message)
        return self._judge(message, result)

    def _conclude(self, message: NsqMessage, result: object) -> None:
        if result is None:
            message.answer(FINISH)
        else:
            self._answer(message, self._judge(message, result))

    def _judge(self, message: NsqMessage, result: object) -> Verdict:
        if inspect.isawaitable(result):
            raise UsageError("the handler returned an awaitable: declare it `async def`")
        if self._publishes and not (result is None or isinstance(result, bool | Verdict)):
            if message.verdict is not None:
                raise UsageError("the handler answered the message and returned an event: it is not published")
            message.events = encode_events(result)
            return FINISH
        return message.verdict or verdict_of(result)

    def _answer(self, message: NsqMessage, verdict: Verdict) -> None:
        if not isinstance(verdict, Verdict):
            raise UsageError(f"a middleware returned {type(verdict).__name__}, which is no Verdict")
        if isinstance(verdict, GiveUp) and message.verdict is None:
            _log.error(
                "message.gave_up",
                reader=self._reader_name,
                id=message.id,
                attempts=message.attempts,
                reason=verdict.reason,
                body=repr(message.body[:_EXCERPT_BYTES]),
            )
        message.answer(verdict)

    def _fail(self, message: NsqMessage, error: Exception) -> None:
        _log.exception("handler.failed", error, reader=self._reader_name, id=message.id, attempts=message.attempts)
        message.has_failed = True
        message.answer(REQUEUE)
