"""One nsqlookupd as nsqd sees it: a connection that is kept, and what was said over it.

`nsqd.announce` runs one `Peer` per address and hands it notifications. A peer connects, identifies, registers
everything that exists, then passes notifications on and pings. Whatever goes wrong (no answer, nonsense, too many
notifications) ends the connection; the next one begins with everything again, so nothing is remembered meanwhile.
"""

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol, cast

from millstream.base.errors import MillstreamError, OptionError
from millstream.base.log import get_logger
from millstream.base.units import Address, parse_address
from millstream.net.resolver import connect_to, places_of
from millstream.protocol.lookup import (
    MAGIC_V1,
    OK,
    Command,
    Identify,
    Identity,
    Ping,
    Register,
    ReplyDecoder,
    Unregister,
    decode_identity_reply,
)

log = get_logger(__name__)


class Announced(Protocol):
    """What nsqd has, at the moment it is asked."""

    def topics(self) -> Iterable[tuple[str, Iterable[str]]]:
        """Every topic with its channels."""
        ...


class PeerFailed(MillstreamError):
    """The nsqlookupd cannot be reached, does not answer in time, or has closed the connection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnounceLimits:
    """How long an nsqlookupd is waited for, and how much is kept for it."""

    ping_interval_ms: int = 15_000
    connect_timeout_ms: int = 1_000
    reply_timeout_ms: int = 1_000
    reconnect_delay_ms: int = 250
    """After the first failure; doubled after each further one."""
    reconnect_delay_ms_max: int = 15_000
    reconnect_interval_ms: int = 1_000
    """A notification cuts a longer delay short, but never below this."""
    notifications_max: int = 1_000
    """More than these are forgotten, and everything is registered again."""
    pipelined_max: int = 64
    """Commands sent before their replies are waited for."""
    reply_bytes_max: int = 65_536
    peers_max: int = 100
    channels_max: int = 1_000
    """Channels of one topic that are taken over from what nsqlookupd knows."""


class Link(asyncio.Protocol):
    """One connection: commands go out, as many replies come back, in order."""

    def __init__(self, limits: AnnounceLimits, changed: asyncio.Event) -> None:
        self._limits = limits
        self._changed = changed
        self._decoder = ReplyDecoder(limits.reply_bytes_max)
        self._replies: deque[bytes] = deque()
        self._owed = 0
        self._transport: asyncio.Transport
        self._end: Exception | None = None
        self._closed = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection stands."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Some bytes of nsqlookupd. What nobody asked for ends the connection."""
        try:
            replies = self._decoder.feed(data)
            if len(replies) > self._owed:
                raise PeerFailed("it sent a reply that nobody asked for")
        except MillstreamError as error:
            self._end = self._end or error
            self._transport.abort()
            replies = []
        self._owed -= len(replies)
        self._replies += replies
        self._changed.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._end = self._end or exc or PeerFailed("it closed the connection")
        self._changed.set()
        self._closed.set()

    def check(self) -> None:
        """Raises what ended the connection, if anything did."""
        if self._end is not None:
            raise PeerFailed(str(self._end)) from self._end

    async def ask(self, commands: Sequence[Command], *, preface: bytes = b"") -> list[bytes]:
        """Sends commands and returns their replies. Raises PeerFailed; the connection is of no use after that."""
        self.check()
        self._owed += len(commands)
        self._transport.write(preface + b"".join([command.encode() for command in commands]))
        replies: list[bytes] = []
        try:
            while len(replies) < len(commands):
                await self._wait_for_reply()
                replies += self._replies
                self._replies.clear()
        except PeerFailed as error:
            # The reply before an end is often its reason.
            raise PeerFailed(f"{error}, after replying {replies[-1][:200]!r}" if replies else str(error)) from error
        return replies

    async def _wait_for_reply(self) -> None:
        # Notifications set `changed` too: they must not put off the moment when the peer counts as dead.
        deadline = asyncio.get_running_loop().time() + self._limits.reply_timeout_ms / 1000
        while not self._replies:
            self.check()
            self._changed.clear()
            try:
                async with asyncio.timeout_at(deadline):
                    await self._changed.wait()
            except TimeoutError as error:
                raise PeerFailed(f"no reply within {self._limits.reply_timeout_ms}ms") from error

    async def close(self) -> None:
        """Cuts the connection and returns when it is gone."""
        self._transport.abort()
        await self._closed.wait()


class Peer:
    """Keeps one nsqlookupd informed, as long as `run` runs."""

    def __init__(self, address: Address, announced: Announced, identity: Identity, limits: AnnounceLimits) -> None:
        self.address = address
        self.http_address: Address | None = None
        """Where it answers questions; None while it is not connected."""
        self._announced = announced
        self._identity = identity
        self._limits = limits
        self._queue: deque[Register | Unregister] = deque()
        self._is_queueing = False
        self._is_overflown = False
        self._changed = asyncio.Event()
        self._delay_ms = limits.reconnect_delay_ms

    def notify(self, command: Register | Unregister) -> None:
        """Passes a change on, soon. While not connected there is no need: all is registered on connecting."""
        if self._is_queueing:
            if len(self._queue) < self._limits.notifications_max:
                self._queue.append(command)
            else:
                self._is_overflown = True
        self._changed.set()

    async def run(self) -> None:
        """Connects, and connects again, until cancelled."""
        while True:
            try:
                await self._converse()
            except (MillstreamError, OSError, ValueError) as error:
                log.warning("lookupd.failed", lookupd=self.address, error=error, retry_ms=self._delay_ms)
            await self._hold_off()

    async def _converse(self) -> None:
        link = await self._connect()
        try:
            await self._identify(link)
            await self._register_all(link)
            self._delay_ms = self._limits.reconnect_delay_ms
            await self._keep_up(link)
        finally:
            self.http_address = None
            self._is_queueing = False
            self._queue.clear()
            await link.close()

    async def _identify(self, link: Link) -> None:
        [reply] = await link.ask([Identify(self._identity)], preface=MAGIC_V1)
        answer = decode_identity_reply(reply)
        log.info("lookupd.identified", lookupd=self.address, version=answer.version)
        if not answer.broadcast_address or answer.http_port <= 0:
            log.warning("lookupd.unnamed", lookupd=self.address, error="it tells no address for HTTP")
            return
        try:
            self.http_address = parse_address(str(Address(answer.broadcast_address, answer.http_port)))
        except OptionError as error:
            log.warning("lookupd.unnamed", lookupd=self.address, error=error)

    async def _register_all(self, link: Link) -> None:
        # No await between the reading of what exists and the first notification that is kept: nothing falls between.
        self._queue.clear()
        self._is_overflown = False
        self._is_queueing = True
        commands = [
            Register(topic, channel)
            for topic, channels in self._announced.topics()
            for channel in (list(channels) or [""])
        ]
        for start in range(0, len(commands), self._limits.pipelined_max):
            await self._tell(link, commands[start : start + self._limits.pipelined_max])
        log.info("lookupd.registered", lookupd=self.address, registrations=len(commands))

    async def _keep_up(self, link: Link) -> None:
        loop = asyncio.get_running_loop()
        ping_interval_s = self._limits.ping_interval_ms / 1000
        next_ping = loop.time() + ping_interval_s
        while True:
            link.check()
            if self._is_overflown:
                raise PeerFailed(f"more than {self._limits.notifications_max} notifications: registering all again")
            # Only a ping counts as a sign of life, so notifications must not put it off.
            if loop.time() >= next_ping:
                next_ping = loop.time() + ping_interval_s
                await self._tell(link, [Ping()])
            elif self._queue:
                count = min(len(self._queue), self._limits.pipelined_max)
                commands = list(islice(self._queue, count))
                await self._tell(link, commands)
                for _ in range(count):
                    self._queue.popleft()
            else:
                self._changed.clear()
                await self._wait_for_change(next_ping - loop.time())

    async def _tell(self, link: Link, commands: Sequence[Command]) -> None:
        for command, reply in zip(commands, await link.ask(commands), strict=True):
            if reply != OK:
                log.warning("lookupd.refused", lookupd=self.address, command=command, reply=reply[:200])

    async def _connect(self) -> Link:
        timeout_s = self._limits.connect_timeout_ms / 1000
        try:
            async with asyncio.timeout(timeout_s):
                places = await places_of(self.address)
        except TimeoutError as error:
            raise PeerFailed("looking up its name takes too long") from error
        try:
            return await connect_to(lambda: Link(self._limits, self._changed), places, each_s=timeout_s)
        except OSError as error:
            raise PeerFailed(f"cannot connect: {str(error) or 'it takes too long'}") from error

    async def _hold_off(self) -> None:
        delay_ms, self._delay_ms = self._delay_ms, min(self._delay_ms * 2, self._limits.reconnect_delay_ms_max)
        least_ms = min(delay_ms, self._limits.reconnect_interval_ms)
        await asyncio.sleep(least_ms / 1000)
        self._changed.clear()
        await self._wait_for_change((delay_ms - least_ms) / 1000)

    async def _wait_for_change(self, timeout_s: float) -> None:
        try:
            async with asyncio.timeout(max(0.0, timeout_s)):
                await self._changed.wait()
        except TimeoutError:
            return
