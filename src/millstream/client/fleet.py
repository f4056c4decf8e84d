"""All connections of one reader: dialled, given RDY, slowed down together, and closed.

Addresses come from the user and from `client.discovery`; messages go to `client.reader` as they came in. One task per
address dials, waits for the loss of the connection, and dials again after a growing delay; `run` owns these tasks.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from millstream.base.log import get_logger
from millstream.base.system import random_fraction
from millstream.base.units import Address
from millstream.client.backoff import Backoff, Pause, Result, Strategy
from millstream.client.credit import Credit, Flow, Rdy
from millstream.client.discovery import Discovery
from millstream.client.errors import ConnectionFailed
from millstream.client.message import Message
from millstream.client.options import ReaderOptions
from millstream.client.redial import Redial
from millstream.client.stats import ReaderCounters
from millstream.client.subscription import Subscription

_MS_PER_S: Final = 1_000
_STARVED_PART: Final = 0.85

_log = get_logger("millstream.client")


class Fleet:
    """Owner of the subscriptions. Life: `run` in a task, `drain` once, then cancel the task."""

    def __init__(
        self,
        topic: str,
        channel: str,
        addresses: Sequence[Address],
        lookupd_urls: Sequence[str],
        options: ReaderOptions,
        on_messages: Callable[[list[Message]], None],
    ) -> None:
        """`on_messages` is called from the loop, with the messages of one read, and must not raise."""
        self.counters = ReaderCounters()
        self.is_watching = False
        self.last_error = ""
        self._topic = topic
        self._channel = channel
        self._direct = tuple(dict.fromkeys(addresses))
        self._options = options
        self._on_messages = on_messages
        self._loop = asyncio.get_running_loop()
        self._discovery = Discovery(topic, lookupd_urls, options, random_fraction) if lookupd_urls else None
        self._backoff = Backoff(
            multiplier_ms=options.backoff_multiplier_ms,
            duration_max_ms=options.max_backoff_duration_ms,
            strategy=Strategy(options.backoff_strategy),
            random_fraction=random_fraction,
        )
        self._credit: Credit[Subscription] = Credit(
            options.max_in_flight,
            low_rdy_idle_timeout_ms=options.low_rdy_idle_timeout_ms,
            low_rdy_timeout_ms=options.low_rdy_timeout_ms,
            random_fraction=random_fraction,
        )
        self._subscriptions: dict[Address, Subscription] = {}
        self._keepers: dict[Address, asyncio.Task[None]] = {}
        self._group: asyncio.TaskGroup | None = None
        self._pause_timer: asyncio.TimerHandle | None = None
        self._is_held = False
        self._is_draining = False
        self._progress = asyncio.Event()

    @property
    def subscriptions(self) -> tuple[Subscription, ...]:
        """Those that are connected."""
        return tuple(self._subscriptions.values())

    @property
    def backoff(self) -> Backoff:
        """The state of slowing down; only to be read."""
        return self._backoff

    @property
    def discovery(self) -> Discovery | None:
        """The poller; only to be read."""
        return self._discovery

    @property
    def max_in_flight(self) -> int:
        """The budget that all connections share."""
        return self._credit.max_in_flight

    @property
    def is_starved(self) -> bool:
        """True when a connection has nearly as much in flight as its RDY allows: time to answer some."""
        return any(one.in_flight > 0 and one.in_flight >= one.rdy * _STARVED_PART for one in self.subscriptions)

    async def run(self) -> None:
        """Connect, and stay connected, until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                for address in self._direct:
                    self._keep(address)
                if self._discovery is not None:
                    group.create_task(self._discovery.run(self._found))
                group.create_task(self._redistribute())
        finally:
            if self._pause_timer is not None:
                self._pause_timer.cancel()
            for subscription in self.subscriptions:
                subscription.drop("the reader is closed")

    def set_max_in_flight(self, count: int) -> None:
        """Change the budget; 0 stops delivery."""
        self._apply(self._credit.resize(count, now_ms=self._now_ms()))

    def hold(self, *, is_held: bool) -> None:
        """Stop delivery while the user is behind, or let it go on."""
        if is_held and not self._is_held:
            self.counters.held += 1
        self._is_held = is_held
        self._set_flow()

    async def drain(self, timeout_ms: int) -> None:
        """Take no new messages, wait for the answers to those in flight, then close; never longer than the timeout."""
        self._is_draining = True
        for address, keeper in self._keepers.items():
            if address not in self._subscriptions:
                keeper.cancel()
        for subscription in self.subscriptions:
            subscription.begin_close()
        try:
            async with asyncio.timeout(timeout_ms / _MS_PER_S):
                while not all(one.is_idle for one in self.subscriptions):
                    self._progress.clear()
                    await self._progress.wait()
        except TimeoutError:
            left = sum(one.in_flight for one in self.subscriptions)
            _log.warning("reader.close_timed_out", topic=self._topic, channel=self._channel, in_flight=left)
        # Answers given in this very turn are still queued; `close` writes them.
        closing = [one.closed for one in self.subscriptions if not one.closed.done()]
        for subscription in self.subscriptions:
            subscription.close()
        if closing:
            await asyncio.wait(closing, timeout=self._options.write_timeout_ms / _MS_PER_S)

    # What subscriptions call.

    def messages_received(self, subscription: Subscription, messages: list[Message]) -> None:
        """Pass on what a read gave; while closing, hand it back."""
        self.counters.received += len(messages)
        self._credit.note_delivery(subscription, len(messages), now_ms=self._now_ms())
        if self._is_draining:
            for message in messages:
                subscription.release(message)
        else:
            self._on_messages(messages)

    def answering(self, result: Result) -> None:
        """Slow down, or speed up, before the answer itself is queued."""
        action = self._backoff.take(result)
        if action is None:
            return
        if isinstance(action, Pause):
            _log.warning("reader.backoff", topic=self._topic, channel=self._channel, pause_ms=action.duration_ms)
            self._pause_timer = self._loop.call_later(action.duration_ms / _MS_PER_S, self._end_pause)
        self._set_flow()

    def drained(self) -> None:
        """Let `drain` look again."""
        self._progress.set()

    # Our own.

    def _end_pause(self) -> None:
        self._backoff.resume()
        self._set_flow()

    def _set_flow(self) -> None:
        # While successes only confirm that all is well, subscriptions need not report them.
        self.is_watching = self._backoff.is_active
        if self._is_held or self._backoff.is_paused:
            flow = Flow.STOPPED
        else:
            flow = Flow.PROBE if self._backoff.is_active else Flow.FULL
        self._apply(self._credit.set_flow(flow, now_ms=self._now_ms()))

    def _apply(self, changes: list[Rdy[Subscription]]) -> None:
        for change in changes:
            change.key.set_rdy(change.count)

    def _found(self, addresses: frozenset[Address]) -> None:
        for address in sorted(addresses):
            self._keep(address)

    def _keep(self, address: Address) -> None:
        if self._group is None or self._is_draining or address in self._keepers:
            return
        if len(self._keepers) >= self._options.connections_max:
            _log.warning("reader.too_many_nsqd", nsqd=address, connections_max=self._options.connections_max)
            return
        self._keepers[address] = self._group.create_task(self._stay_connected(address))

    def _is_wanted(self, address: Address) -> bool:
        if self._is_draining:
            return False
        return address in self._direct or (self._discovery is not None and address in self._discovery.known)

    async def _stay_connected(self, address: Address) -> None:
        redial = Redial(
            delay_min_ms=self._options.reconnect_delay_ms,
            delay_max_ms=self._options.reconnect_delay_max_ms,
            random_fraction=random_fraction,
        )
        # nsqlookupd forgets an nsqd the moment it dies; one that is restarted is back long before the next poll.
        wanted_until_ms = 0
        try:
            while self._is_wanted(address) or (not self._is_draining and self._now_ms() < wanted_until_ms):
                connected_ms = await self._connect(address)
                if connected_ms:
                    wanted_until_ms = self._now_ms() + self._options.lookupd_poll_interval_ms
                if self._discovery is not None:
                    self._discovery.poke()
                if not self._is_draining:
                    await asyncio.sleep(redial.next_delay_ms(connected_ms=connected_ms) / _MS_PER_S)
        finally:
            del self._keepers[address]

    async def _connect(self, address: Address) -> int:
        """Use one connection until it is lost; how many milliseconds it lasted."""
        subscription = Subscription(address, self._topic, self._channel, self._options, self)
        try:
            await subscription.open()
        except ConnectionFailed as error:
            self.counters.connect_failures += 1
            self.last_error = str(error)
            _log.warning("reader.connect_failed", nsqd=address, error=error)
            return 0
        started_ms = self._now_ms()
        self.counters.connects += 1
        _log.info("reader.connected", nsqd=address, topic=self._topic, channel=self._channel)
        try:
            self._subscriptions[address] = subscription
            self._apply(self._credit.join(subscription, cap=subscription.rdy_max, now_ms=started_ms))
            reason = await asyncio.shield(subscription.closed)
            self.last_error = self.last_error if self._is_draining else f"{address}: {reason}"
            _log.info("reader.disconnected", nsqd=address, reason=reason)
        finally:
            del self._subscriptions[address]
            subscription.drop("the reader is closed")
            self._apply(self._credit.leave(subscription, now_ms=self._now_ms()))
            self._progress.set()
        return self._now_ms() - started_ms

    async def _redistribute(self) -> None:
        while True:
            await asyncio.sleep(self._options.rdy_redistribute_interval_ms / _MS_PER_S)
            self._apply(self._credit.redistribute(now_ms=self._now_ms()))

    def _now_ms(self) -> int:
        return int(self._loop.time() * _MS_PER_S)
