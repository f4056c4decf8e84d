"""Where a topic is found: asks the nsqlookupd in turn, and keeps what each of them said last.

The addresses of nsqd go to `client.fleet`, which connects to those it does not know. An nsqlookupd that cannot be asked
keeps its last good answer, so that a lookup that fails never takes an nsqd away. Where an nsqlookupd offers to wait for
news, a `client.lookup_watch` does so beside the polls, which go on: they find what a watch might miss.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from millstream.base.log import get_logger
from millstream.base.units import Address
from millstream.client.lookup import RESPONSE_BYTES_MAX, LookupAnswer, LookupFailed, ask, lookup_url
from millstream.client.lookup_watch import WAIT_MS, LookupWatch
from millstream.client.options import ReaderOptions
from millstream.client.redial import Redial
from millstream.net.http_client import HttpClient, HttpFailed

_RETRIES: Final = 2
# A connection that closes asks for a lookup at once; one that keeps closing must not make that a storm.
_POKE_GAP_MS: Final = 1_000
_MS_PER_S: Final = 1_000
_ACCEPT: Final = "application/vnd.nsq; version=1.0"

_log = get_logger("millstream.client")


class Discovery:
    """Polls for one topic. `known` is the union of the last good answers; run by the fleet until it is cancelled."""

    def __init__(
        self, topic: str, urls: Sequence[str], options: ReaderOptions, random_fraction: Callable[[], float]
    ) -> None:
        self.known: frozenset[Address] = frozenset()
        self.lookups = 0
        self.failures = 0
        self.last_error = ""
        self._urls = [lookup_url(url, topic) for url in urls]
        self._next = int(random_fraction() * len(self._urls))
        self._answers: dict[str, frozenset[Address]] = {}
        self._options = options
        self._random_fraction = random_fraction
        self._poked = asyncio.Event()
        self._offers: set[str] = set()
        self._watched: set[str] = set()

    def poke(self) -> None:
        """Ask now, or as soon as the last poll is a second ago."""
        self._poked.set()

    async def run(self, found: Callable[[frozenset[Address]], None]) -> None:
        """Poll until cancelled; `found` gets `known` after each answer."""
        interval_ms = self._options.lookupd_poll_interval_ms
        first_ms = int(self._random_fraction() * self._options.lookupd_poll_jitter * interval_ms)
        wait_ms = first_ms + interval_ms
        # Nothing known yet: a daemon or a topic that is just being started should not cost a whole interval.
        eager = Redial(delay_min_ms=500, delay_max_ms=interval_ms, random_fraction=self._random_fraction)
        headers = {"Accept": _ACCEPT}
        if self._options.auth_secret:
            headers["Authorization"] = f"Bearer {self._options.auth_secret}"
        async with self._client() as http, self._client(WAIT_MS) as patient, asyncio.TaskGroup() as group:
            while True:
                if await self._poll(http, headers):
                    found(self.known)
                for url in self._offers - self._watched:
                    self._watched.add(url)
                    group.create_task(self._watch(LookupWatch(patient, url, headers, self._random_fraction), found))
                if self.known or self._watched.issuperset(self._urls):
                    delay_ms, wait_ms = wait_ms, interval_ms
                else:
                    delay_ms = min(eager.next_delay_ms(), interval_ms)
                await self._sleep(delay_ms)

    def _client(self, wait_ms: int = 0) -> HttpClient:
        return HttpClient(
            connect_timeout_ms=self._options.connect_timeout_ms,
            request_timeout_ms=wait_ms + self._options.lookupd_poll_timeout_ms,
            response_bytes_max=RESPONSE_BYTES_MAX,
        )

    async def _watch(self, watch: LookupWatch, found: Callable[[frozenset[Address]], None]) -> None:
        """Take what one nsqlookupd says for as long as it offers to wait; a task of `run`."""

        def take(answer: LookupAnswer) -> None:
            self.lookups += 1
            self._take(watch.url, answer)
            found(self.known)

        try:
            await watch.run(take)
        finally:
            self._watched.discard(watch.url)

    def _take(self, url: str, answer: LookupAnswer) -> None:
        self._answers[url] = answer.addresses
        self.known = frozenset().union(*self._answers.values())
        if answer.version:
            self._offers.add(url)
        else:
            self._offers.discard(url)

    async def _sleep(self, delay_ms: int) -> None:
        gap_ms = min(_POKE_GAP_MS, delay_ms)
        await asyncio.sleep(gap_ms / _MS_PER_S)
        try:
            async with asyncio.timeout((delay_ms - gap_ms) / _MS_PER_S):
                await self._poked.wait()
        except TimeoutError:
            pass
        self._poked.clear()

    async def _poll(self, http: HttpClient, headers: dict[str, str]) -> bool:
        """Ask one nsqlookupd, and up to two others when it fails; True when one answered."""
        for _ in range(min(1 + _RETRIES, len(self._urls))):
            url = self._urls[self._next]
            self._next = (self._next + 1) % len(self._urls)
            self.lookups += 1
            try:
                answer = await ask(http, url, headers)
            except (HttpFailed, LookupFailed) as error:
                self.failures += 1
                self.last_error = str(error)
                _log.warning("reader.lookup_failed", url=url, error=error)
                continue
            self._take(url, answer)
            return True
        return False
