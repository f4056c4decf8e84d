"""Waits for news of one topic at one nsqlookupd that offers to: it answers when the producers are others than before.

`client.discovery` runs one for each nsqlookupd whose answers have a version, and takes what comes. The questions never
follow each other faster than a limit, whatever the other side does.
"""

import asyncio
from collections.abc import Callable
from typing import Final
from urllib.parse import quote

from millstream.base.log import get_logger
from millstream.client.lookup import LookupAnswer, LookupFailed, ask
from millstream.client.redial import Redial
from millstream.net.http_client import HttpClient, HttpFailed

WAIT_MS: Final = 30_000
"""How long one question waits; the client that carries it has to be that patient."""

_GAP_MS: Final = 50
_RETRY_MIN_MS: Final = 250
_RETRY_MAX_MS: Final = 15_000
# An answer without news that comes before this part of the wait is over: no room there, or somebody between who waits
# less.
_PATIENCE: Final = 0.5
_MS_PER_S: Final = 1_000

_log = get_logger("millstream.client")


class LookupWatch:
    """One topic at one nsqlookupd; `url` is the question of a plain lookup."""

    def __init__(
        self, http: HttpClient, url: str, headers: dict[str, str], random_fraction: Callable[[], float]
    ) -> None:
        self.url = url
        self._http = http
        self._headers = headers
        self._retry = Redial(delay_min_ms=_RETRY_MIN_MS, delay_max_ms=_RETRY_MAX_MS, random_fraction=random_fraction)

    async def run(self, take: Callable[[LookupAnswer], None]) -> None:
        """Ask until an answer does not offer to wait any more, or cancelled; `take` gets each answer with news."""
        loop = asyncio.get_running_loop()
        version = ""
        while True:
            asked = loop.time()
            try:
                answer = await ask(self._http, self._question(version), self._headers)
            except (HttpFailed, LookupFailed) as error:
                # The polls tell of failures too, and count them: a long wait may be cut by whatever lies between.
                _log.debug("reader.watch_failed", url=self.url, error=error)
                await asyncio.sleep(self._retry.next_delay_ms() / _MS_PER_S)
                continue
            has_news = answer.version != version
            if has_news:
                take(answer)
            if not answer.version:
                return
            version = answer.version
            if has_news or (loop.time() - asked) * _MS_PER_S >= WAIT_MS * _PATIENCE:
                self._retry.reset()
                await asyncio.sleep(_GAP_MS / _MS_PER_S)
            else:
                await asyncio.sleep(self._retry.next_delay_ms() / _MS_PER_S)

    def _question(self, version: str) -> str:
        return f"{self.url}&wait={WAIT_MS}ms&known={quote(version, safe='')}"
