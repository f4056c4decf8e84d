"""nsqd's side of discovery: tells every nsqlookupd what exists here, and asks them what exists elsewhere.

nsqd calls `topic_created` and its like, which only queue; `run` belongs to nsqd's task group and keeps one
`announce_peer.Peer` per address. A dead or hostile nsqlookupd delays nobody but itself: each peer has a task and a
bounded queue of its own.
"""

import asyncio
from collections.abc import Iterable
from typing import Final

import msgspec

from millstream.base.errors import OptionError
from millstream.base.log import get_logger
from millstream.base.units import Address, parse_address
from millstream.net.http_auth import OwnToken
from millstream.net.http_client import HttpClient, HttpFailed
from millstream.nsqd.announce_peer import Announced, AnnounceLimits, Peer
from millstream.protocol.lookup import Identity, Register, Unregister
from millstream.protocol.names import is_ephemeral, is_valid_name

__all__ = ["AnnounceLimits", "Announced", "Announcer"]

log = get_logger(__name__)

_HEADERS: Final = {"Accept": "application/vnd.nsq; version=1.0"}


class Announcer:
    """Every nsqlookupd that this nsqd talks to. Use within one running event loop.

    `http` asks them questions, with `token` where they want one.
    """

    def __init__(
        self,
        announced: Announced,
        *,
        identity: Identity,
        http: HttpClient,
        limits: AnnounceLimits | None = None,
        token: OwnToken | None = None,
    ) -> None:
        self._announced = announced
        self._identity = identity
        self._http = http
        self._token = token
        self._limits = limits or AnnounceLimits()
        self._peers: dict[Address, Peer] = {}
        self._tasks: dict[Address, asyncio.Task[None]] = {}
        self._group: asyncio.TaskGroup | None = None
        self._is_withdrawn = False

    async def run(self) -> None:
        """Keeps every peer informed until cancelled, which closes all connections; the peers may change meanwhile."""
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                for peer in self._peers.values():
                    self._start(peer)
                await asyncio.Event().wait()
        finally:
            self._group = None
            self._tasks.clear()

    @property
    def has_peers(self) -> bool:
        """Whether there is an nsqlookupd to talk to, reached or not."""
        return bool(self._peers)

    def set_peers(self, addresses: Iterable[str]) -> None:
        """Talks to these nsqlookupd from now on; connections to those that stay are kept.

        Raises OptionError for an address that cannot be used, or too many of them; then nothing has changed.
        """
        wanted = {parse_address(address): None for address in addresses}
        if len(wanted) > self._limits.peers_max:
            raise OptionError(
                f"{len(wanted)} addresses of nsqlookupd are too many: use at most {self._limits.peers_max}"
            )
        for address in self._peers.keys() - wanted.keys():
            del self._peers[address]
            if (task := self._tasks.pop(address, None)) is not None:
                task.cancel()
        for address in wanted.keys() - self._peers.keys():
            peer = self._peers[address] = Peer(address, self, self._identity, self._limits)
            self._start(peer)

    def topics(self) -> Iterable[tuple[str, Iterable[str]]]:
        """What a peer that connects is to register: everything, or nothing while it is withdrawn."""
        return () if self._is_withdrawn else self._announced.topics()

    def withdraw(self) -> None:
        """Take back every topic: nobody new finds this nsqd through an nsqlookupd. Its connections stay."""
        if not self._is_withdrawn:
            self._is_withdrawn = True
            for topic, _ in self._announced.topics():
                self._notify(Unregister(topic))

    def come_back(self) -> None:
        """Register everything again."""
        if self._is_withdrawn:
            self._is_withdrawn = False
            for topic, channels in self._announced.topics():
                self._notify(Register(topic))
                for channel in channels:
                    self._notify(Register(topic, channel))

    def topic_created(self, topic: str) -> None:
        """Queues the news for every peer; returns at once, as the next three do."""
        self._notify(Register(topic))

    def topic_deleted(self, topic: str) -> None:
        """Queues the news for every peer."""
        self._notify(Unregister(topic))

    def channel_created(self, topic: str, channel: str) -> None:
        """Queues the news for every peer."""
        self._notify(Register(topic, channel))

    def channel_deleted(self, topic: str, channel: str) -> None:
        """Queues the news for every peer."""
        self._notify(Unregister(topic, channel))

    async def channels_of(self, topic: str) -> list[str]:
        """The channels that a topic has elsewhere and should have here, sorted; the ephemeral ones are left out.

        Asks all connected peers at once and takes what those know that answer in the time of the HTTP client.
        """
        known = {peer.http_address for peer in self._peers.values() if peer.http_address is not None}
        if self._peers and not known:
            log.warning("lookupd.unknown", topic=topic, error="no nsqlookupd is connected")
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._ask_channels(address, topic)) for address in known]
        channels = sorted(set().union(*(task.result() for task in tasks)))
        if len(channels) > self._limits.channels_max:
            log.warning("lookupd.too_many_channels", topic=topic, channels=len(channels))
        return channels[: self._limits.channels_max]

    async def _ask_channels(self, address: Address, topic: str) -> set[str]:
        # The only character of a topic that an URL would not keep is the hash of #ephemeral.
        url = f"http://{address}/channels?topic={topic.replace('#', '%23')}"
        try:
            answer = await self._http.get(url, headers=_HEADERS | (self._token.headers() if self._token else {}))
            if answer.status != 200:
                raise HttpFailed("GET", url, f"status {answer.status}")
            names = msgspec.json.decode(answer.body, type=_Channels).channels
        except (HttpFailed, msgspec.DecodeError, RecursionError) as error:
            log.warning("lookupd.query_failed", lookupd=address, topic=topic, error=error)
            return set()
        return {name for name in names or () if is_valid_name(name) and not is_ephemeral(name)}

    def _notify(self, command: Register | Unregister) -> None:
        if self._is_withdrawn and isinstance(command, Register):
            return
        for peer in self._peers.values():
            peer.notify(command)

    def _start(self, peer: Peer) -> None:
        if self._group is not None:
            self._tasks[peer.address] = self._group.create_task(peer.run(), name=f"announce {peer.address}")


class _Channels(msgspec.Struct):
    channels: list[str] | None = None
