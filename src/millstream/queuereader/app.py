"""The decorator form of a service: typed events in, events out.

    app = App("spam")

    @app.reader("clicks", "spam", publish_to="spam_api")
    async def judge(click: Click) -> SpamDecision | None:
        ...

    if __name__ == "__main__":
        app.run()

The annotation of the first parameter says what a message is decoded to (`queuereader.decode`); a function with a second
parameter gets the NsqMessage too. Each decorated function becomes a `queuereader.reader.Reader`.
"""

import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, TypeVar, get_type_hints

from millstream.base.errors import UsageError
from millstream.queuereader import logatron_client, options
from millstream.queuereader.decode import decoder_for
from millstream.queuereader.handling import Handler, Validator, is_async
from millstream.queuereader.message import NsqMessage
from millstream.queuereader.middleware import Middleware
from millstream.queuereader.reader import HandlerOptions, Reader, Registry
from millstream.queuereader.runner import run

_POSITIONAL: Final = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)

F = TypeVar("F", bound=Callable[..., Any])


class App:
    """The Readers of one service."""

    def __init__(
        self,
        service: str,
        *,
        lookupd_http_addresses: str | Iterable[str] | None = None,
        nsqd_tcp_addresses: str | Iterable[str] | None = None,
        middleware: Sequence[Middleware] = (),
    ) -> None:
        """`service` names it in logs and stats; `middleware` goes around every handler, outside of its own.

        Without addresses, they come from the settings `nsq_lookupd`, else `nsqd_tcp_address`, when it runs.
        """
        self.service = service
        self._lookupd_http_addresses = lookupd_http_addresses
        self._nsqd_tcp_addresses = nsqd_tcp_addresses
        self._middleware = tuple(middleware)
        self._registry = Registry()

    def reader(
        self,
        topic: str,
        channel: str,
        *,
        publish_to: str = "",
        validate_method: Validator | None = None,
        max_in_flight: int = 200,
        name: str = "",
        middleware: Sequence[Middleware] = (),
        options: HandlerOptions | None = None,
    ) -> Callable[[F], F]:
        """Make the decorated function the handler of a channel; see `Reader` for the parameters.

        The function stays as it is, so that tests call it directly. Raises UsageError when its first parameter cannot
        be decoded to.
        """

        def declare(function: F) -> F:
            annotation, takes_message = _signature(function)
            Reader(
                topic,
                channel,
                function if takes_message else _without_message(function),
                validate_method=validate_method,
                lookupd_http_addresses=self._lookupd_http_addresses,
                nsqd_tcp_addresses=self._nsqd_tcp_addresses,
                max_in_flight=max_in_flight,
                name=name,
                publish_to=publish_to,
                decoder=decoder_for(annotation),
                middleware=(*self._middleware, *middleware),
                options=options,
                registry=self._registry,
            )
            return function

        return declare

    @property
    def readers(self) -> tuple[Reader, ...]:
        """The Readers declared so far, for tests: `app.readers[0].handle_bytes(...)`."""
        return self._registry.readers()

    def run(self, argv: Sequence[str] | None = None) -> None:
        """Read the flags, set up logs, and run all Readers until SIGINT or SIGTERM; see `queuereader.runner.run`."""
        options.parse_command_line(argv)
        logatron_client.setup(self.service)
        run(self.readers, service=self.service)


def _signature(function: Callable[..., Any]) -> tuple[Any, bool]:
    """What the first parameter is annotated with, and whether there is a second one."""
    parameters = [p for p in inspect.signature(function).parameters.values() if p.kind in _POSITIONAL]
    required = [p for p in parameters if p.default is inspect.Parameter.empty]
    if not parameters or len(required) > 2:
        raise UsageError(f"{function!r} must take the event, and the NsqMessage if it wants to: (event, nsq_msg)")
    try:
        hints = get_type_hints(function)
    except NameError as error:
        raise UsageError(f"the annotations of {function!r} cannot be read: {error}") from error
    annotation = hints.get(parameters[0].name, dict)
    second = parameters[1] if len(parameters) > 1 else None
    return annotation, second is not None and (second in required or hints.get(second.name) is NsqMessage)


def _without_message(function: Callable[..., Any]) -> Handler:
    if is_async(function):

        async def call_async(event: Any, _: NsqMessage) -> Any:
            return await function(event)

        return call_async

    def call(event: Any, _: NsqMessage) -> Any:
        return function(event)

    return call
