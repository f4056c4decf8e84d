"""Runs every registered Reader in this process until it is told to stop, and ends with an exit code.

`run` is the last line of a service's script: event loop, signals, the Writer that events go through, and a
`queuereader.consumer` for each Reader. SIGINT and SIGTERM stop gracefully; a second one stops at once.
"""

import asyncio
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from typing import Final

from millstream.base.errors import MillstreamError, UsageError
from millstream.base.log import get_logger
from millstream.base.system import SystemClock
from millstream.client import Writer
from millstream.queuereader import logatron_client, settings, statsd
from millstream.queuereader.consumer import Consumer
from millstream.queuereader.reader import PROCESS_REGISTRY, Reader
from millstream.queuereader.stats import StatsdReport

EXIT_FAILED: Final = 1

_log = get_logger(__name__)


def run(readers: Sequence[Reader] | None = None, *, service: str = "") -> None:
    """Run `readers` (all that were constructed, when None) until SIGINT or SIGTERM.

    Returns when all of them ended well. Raises SystemExit(1) when one failed, or messages had to be left unanswered
    after `stop_timeout_ms`; UsageError when there is no Reader. `service` is the first part of the statsd keys; without
    it, the service's name of the settings.
    """
    chosen = PROCESS_REGISTRY.readers() if readers is None else tuple(readers)
    if not chosen:
        raise UsageError("there is nothing to run: construct a Reader first")
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            went_well = runner.run(_run_until_signal(chosen, service or settings.service_name()))
    except (MillstreamError, asyncio.CancelledError, KeyboardInterrupt) as error:
        _log.error("service.failed", error=error)
        went_well = False
    finally:
        logatron_client.close()
    if not went_well:
        raise SystemExit(EXIT_FAILED)


async def serve(readers: Sequence[Reader], *, service: str, stopping: asyncio.Event) -> bool:
    """Run `readers` until `stopping` is set, or one of them fails and stops the others; True when all went well.

    Raises OptionError or UsageError when one cannot even start.
    """
    clock = SystemClock()
    # Looks the host up now, not at the first message.
    client = statsd.client()
    async with AsyncExitStack() as stack:
        publisher = None
        if any(reader.publish_to for reader in readers):
            publisher = await stack.enter_async_context(Writer([str(settings.get("nsqd_tcp_address"))]))
        consumers = [
            Consumer(reader, clock=clock, publisher=publisher, report=StatsdReport(client, _prefix(service, reader)))
            for reader in readers
        ]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_guard(consumer, stopping)) for consumer in consumers]
        return all(task.result() for task in tasks)


async def _guard(consumer: Consumer, stopping: asyncio.Event) -> bool:
    """Run one consumer; its failure stops the others gracefully. True when it ended well."""
    try:
        await consumer.run(stopping)
    except* MillstreamError as group:
        for error in _leaves(group):
            _log.error("reader.failed", reader=consumer.name, error=error)
        consumer.has_left_some = True
    except* Exception as group:  # noqa: BLE001 - whatever it is, the other Readers are to end in order
        for error in _leaves(group):
            _log.exception("reader.failed", error, reader=consumer.name)
        consumer.has_left_some = True
    stopping.set()
    return not consumer.has_left_some


async def _run_until_signal(readers: Sequence[Reader], service: str) -> bool:
    stopping = asyncio.Event()
    loop, task = asyncio.get_running_loop(), asyncio.current_task()

    def stop(number: signal.Signals) -> None:
        if stopping.is_set() and task is not None:
            _log.warning("service.stopping_at_once", signal=number.name)
            task.cancel()
        else:
            _log.info("service.stopping", signal=number.name)
            stopping.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        if sys.platform == "win32":
            signal.signal(number, lambda received, _: loop.call_soon_threadsafe(stop, signal.Signals(received)))
        else:
            loop.add_signal_handler(number, stop, number)
    return await serve(readers, service=service, stopping=stopping)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        import uvloop  # noqa: PLC0415 - not there on Windows
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop


def _prefix(service: str, reader: Reader) -> str:
    # A dot would look like one more level.
    return f"{service.replace('.', '_')}.{reader.name.replace('.', '_')}"


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    leaves: list[BaseException] = []
    for error in group.exceptions:
        leaves += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return leaves
