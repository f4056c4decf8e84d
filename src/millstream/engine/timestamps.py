"""When a stored message was taken in, which stands in its frame.

`engine.peeking` shows it. Timestamps are those of nsqd's clock at that moment; where that clock was set back, later
messages have earlier ones.
"""

from typing import Final

_TIMESTAMP: Final = slice(8, 16)


def timestamp_of(frame: bytes) -> int:
    """When a stored frame was taken in, in ns on the wall clock."""
    return int.from_bytes(frame[_TIMESTAMP], "big")
