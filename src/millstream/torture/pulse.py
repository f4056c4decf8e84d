"""Asks nsqd all the time whether it is there: by its answers, which FINs it must have saved before it was killed.

A journal is written some milliseconds behind a FIN, and later where nsqd does not get the processor or its disk makes
it wait. How much later is not guessed but seen: nsqd has one loop, which answers this, reads the FINs and saves.
`torture.piece` takes the pulse of each process under load, and tells the books what it comes to.
"""

import asyncio
from typing import Final

from millstream.base.clock import Clock
from millstream.base.units import Address
from millstream.net.http_client import HttpClient, HttpFailed

# A journal is written 5 ms behind a change; timers of event loops count whole milliseconds, which may add another.
SAVED_WITHIN_NS: Final = 10_000_000

_REST_S: Final = 0.004
_ANSWERS: Final = 5


class Pulse:
    """The pulse of one process of nsqd; `run` it while there is load, once."""

    def __init__(self, http: HttpClient, address: Address, clock: Clock) -> None:
        self._url = f"http://{address}/ping"
        self._http = http
        self._clock = clock
        self._beats: list[tuple[int, int]] = []

    async def run(self) -> None:
        """Ask until there is no answer any more."""
        while True:
            asked_ns = self._clock.monotonic_ns()
            try:
                await self._http.get(self._url)
            except HttpFailed:
                return
            self.note(asked_ns, self._clock.monotonic_ns())
            await asyncio.sleep(_REST_S)

    def note(self, asked_ns: int, answered_ns: int) -> None:
        """One question and its answer, whatever that said; the next was asked later."""
        self._beats.append((asked_ns, answered_ns))

    def saved_until_ns(self) -> int:
        """What was finished before this instant is in the journals; 0 when that is known of nothing.

        Five answers show it: behind the first, the FIN has left; behind the second, nsqd has read it; behind the third,
        its save has a time; the fourth was asked for when that was over, so that the save comes in that round of the
        loop or at the begin of the next; behind the fifth, it is done.
        """
        beats = self._beats
        if len(beats) < _ANSWERS:
            return 0
        due_ns = beats[-2][0] - SAVED_WITHIN_NS
        for place in range(len(beats) - 3, 1, -1):
            if beats[place][1] <= due_ns:
                return beats[place - 2][0]
        return 0
