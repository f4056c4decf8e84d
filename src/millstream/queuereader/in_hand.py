"""The messages that were delivered and not yet answered, and what time asks for them: TOUCH, or the end of patience.

`queuereader.consumer` adds what comes in and ticks; `queuereader.answers` takes out what is answered. Knows no clock.
"""

import asyncio
from collections.abc import Iterable
from typing import NamedTuple

from millstream.queuereader.message import NsqMessage


class Due(NamedTuple):
    """What one tick asks for."""

    touch: list[NsqMessage]
    expired: list[NsqMessage]


class InHand:
    """Messages with two deadlines each; lives on the loop."""

    def __init__(self, *, touch_interval_ns: int, handler_timeout_ns: int) -> None:
        """A message is touched every `touch_interval_ns` until its handler took `handler_timeout_ns`."""
        self._touch_interval_ns = touch_interval_ns
        self._handler_timeout_ns = handler_timeout_ns
        # A dict for its order: what came first is touched, and goes back, first.
        self._messages: dict[NsqMessage, None] = {}
        self._is_empty = asyncio.Event()
        self._is_empty.set()

    def __len__(self) -> int:
        return len(self._messages)

    def add(self, messages: Iterable[NsqMessage]) -> None:
        """These are to be answered."""
        self._messages.update(dict.fromkeys(messages))
        self._is_empty.clear()

    def discard(self, message: NsqMessage) -> None:
        """This one is answered."""
        self._messages.pop(message, None)
        if not self._messages:
            self._is_empty.set()

    async def wait_empty(self) -> None:
        """Wait until all are answered."""
        await self._is_empty.wait()

    def waiting(self) -> list[NsqMessage]:
        """Those that no handler has begun with."""
        return [message for message in self._messages if not message.started_ns and message.verdict is None]

    def tick(self, now_ns: int) -> Due:
        """Say what to touch and what has expired; each message expires once and is not touched after that.

        A message that waits for a worker is touched too, and cannot expire: it is not what takes long.
        """
        touch: list[NsqMessage] = []
        expired: list[NsqMessage] = []
        for message in self._messages:
            if message.has_expired:
                continue
            if message.verdict is None and message.started_ns and self._is_over(message, now_ns):
                message.has_expired = True
                expired.append(message)
            elif now_ns - message.touched_ns >= self._touch_interval_ns:
                message.touched_ns = now_ns
                touch.append(message)
        return Due(touch, expired)

    def _is_over(self, message: NsqMessage, now_ns: int) -> bool:
        return now_ns - message.started_ns >= self._handler_timeout_ns
