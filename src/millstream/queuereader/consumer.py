"""Runs one Reader: batches from `millstream.client` in, through handlers, answers back; ticks; and a graceful end.

`queuereader.runner` starts one Consumer for each Reader and tells it when to stop. Messages are taken from the client
as soon as they are there (RDY bounds how many), so that those that wait for a worker are TOUCHed too.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Final, Protocol

from millstream.base.clock import Clock
from millstream.base.log import get_logger
from millstream.client import Reader as Source
from millstream.client import ReaderOptions
from millstream.queuereader.answers import Answers, Publisher
from millstream.queuereader.coroutines import CoroutineWorkers
from millstream.queuereader.in_hand import InHand
from millstream.queuereader.message import TAKEN_BACK, NsqMessage, Sink
from millstream.queuereader.reader import Reader
from millstream.queuereader.stats import StatsdReport
from millstream.queuereader.threads import Threads, ThreadWorkers

_MSG_TIMEOUT_MS: Final = 60_000
_TICK_S: Final = 1.0
_REPORT_INTERVAL_S: Final = 5.0
# The client waits for answers a little longer than the handlers have, so that their last ones get through.
_CLOSE_MARGIN_MS: Final = 1_000

_log = get_logger(__name__)


class Workers(Protocol):
    """Takes messages, has each handled once, and sees to it that it is answered."""

    def submit(self, messages: Sequence[NsqMessage]) -> None:
        """Handle these as soon as a worker is free; never blocks. What is answered already is passed over."""
        ...

    async def run(self) -> None:
        """Work until cancelled; raises when no more messages can be handled."""
        ...

    def expire(self, message: NsqMessage) -> None:
        """The handler of this message has had its time."""
        ...

    def close(self) -> None:
        """Take nothing more; handlers that still run are left alone."""
        ...


class Consumer:
    """One Reader at work, on the running loop."""

    def __init__(self, reader: Reader, *, clock: Clock, publisher: Publisher | None, report: StatsdReport) -> None:
        """`publisher` takes the events of a Reader with `publish_to`."""
        options = reader.options
        self._reader = reader
        self._clock = clock
        self._report = report
        self._client_options = _client_options(reader)
        self._in_hand = InHand(
            touch_interval_ns=self._client_options.msg_timeout_ms * 1_000_000 // 3,
            handler_timeout_ns=options.handler_timeout_ms * 1_000_000,
        )
        reader.attach(self._in_hand)
        self._answers = Answers(
            reader_name=reader.name,
            in_hand=self._in_hand,
            counters=reader.counters,
            publisher=publisher,
            topic=reader.publish_to,
        )
        self._sink: Sink = self._answers.put
        self._workers = self._choose_workers()
        self.name = reader.name
        self.has_left_some = False

    def _choose_workers(self) -> Workers:
        reader, options = self._reader, self._reader.options
        if reader.is_async:
            return CoroutineWorkers(reader.handling(), concurrency=options.concurrency, clock=self._clock)
        threads = Threads(options.max_threads, name=reader.name)
        if reader.middleware:
            return CoroutineWorkers(
                reader.handling(threads.call), concurrency=options.max_threads, clock=self._clock, threads=threads
            )
        self._sink = self._answers.put_from_thread
        return ThreadWorkers(
            reader.handling(), threads, count=options.max_threads, clock=self._clock, drain=self._answers.drain
        )

    async def run(self, stopping: asyncio.Event) -> None:
        """Work until `stopping` is set, then finish what is in hand, for `stop_timeout_ms` at most.

        Raises what the client or the workers raise; `has_left_some` is True when messages were left unanswered.
        """
        nsqd, lookupd = self._reader.addresses()
        _log.info("reader.starting", reader=self._reader.name, topic=self._reader.topic, nsqd=nsqd, lookupd=lookupd)
        async with (
            Source(
                self._reader.topic,
                self._reader.channel,
                nsqd_tcp_addresses=nsqd,
                lookupd_http_addresses=lookupd,
                options=self._client_options,
            ) as source,
            asyncio.TaskGroup() as group,
        ):
            tasks = [
                group.create_task(self._pump(source)),
                group.create_task(self._tick()),
                group.create_task(self._answers.publish()),
                group.create_task(self._workers.run()),
            ]
            try:
                await stopping.wait()
                await self._stop(source)
            finally:
                self._workers.close()
                self._report.send(self._reader.stats())
            for task in tasks:
                task.cancel()
        _log.info("reader.stopped", reader=self._reader.name, **_shown(self._reader))

    async def _pump(self, source: Source) -> None:
        sink, counters = self._sink, self._reader.counters
        async for batch in source.batches():
            now_ns = self._clock.monotonic_ns()
            messages = [NsqMessage(message, sink, now_ns) for message in batch]
            counters.received += len(messages)
            self._in_hand.add(messages)
            self._workers.submit(messages)

    async def _tick(self) -> None:
        """Owned by `run`, cancelled at its end."""
        # Well within the message timeout, however short it is.
        tick_s = min(_TICK_S, self._client_options.msg_timeout_ms / 4_000)
        since_report_s = 0.0
        while True:
            await asyncio.sleep(tick_s)
            since_report_s += tick_s
            touch, expired = self._in_hand.tick(self._clock.monotonic_ns())
            for message in touch:
                self._answers.touch(message)
            for message in expired:
                self._reader.counters.timed_out += 1
                self._workers.expire(message)
            if since_report_s >= _REPORT_INTERVAL_S:
                since_report_s = 0.0
                self._report.send(self._reader.stats())

    async def _stop(self, source: Source) -> None:
        """CLS, then answers; what no handler has begun with in time goes back to nsqd."""
        async with asyncio.TaskGroup() as group:
            closing = group.create_task(source.close())
            # Handlers whose connection was lost meanwhile are not the client's concern any more; they are ours.
            emptied = group.create_task(self._in_hand.wait_empty())
            await asyncio.wait({closing, emptied}, timeout=self._reader.options.stop_timeout_ms / 1_000)
            emptied.cancel()
            waiting = self._in_hand.waiting()
            for message in waiting:
                message.answer(TAKEN_BACK)
            self._answers.drain()
            self.has_left_some = len(self._in_hand) > 0
            if waiting or self.has_left_some:
                _log.error(
                    "reader.stop_timed_out", reader=self._reader.name, requeued=len(waiting), left=len(self._in_hand)
                )
        self._answers.drain()


def _client_options(reader: Reader) -> ReaderOptions:
    client = reader.options.client
    return replace(
        client,
        max_in_flight=reader.max_in_flight,
        # Counted here, so that whatever is given up is logged and counted with the rest.
        max_attempts=0,
        # Asked for even when it is the default of nsqd: TOUCH has to know.
        msg_timeout_ms=client.msg_timeout_ms or _MSG_TIMEOUT_MS,
        close_timeout_ms=reader.options.stop_timeout_ms + _CLOSE_MARGIN_MS,
    )


def _shown(reader: Reader) -> dict[str, object]:
    stats = reader.stats()
    return {
        "handled": stats.handled,
        "finished": stats.finished,
        "requeued": stats.requeued,
        "rejected": stats.rejected,
        "gave_up": stats.gave_up,
    }
