"""How logs keep their records, from the options of the process."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSettings:
    """`durability` is memory, log or fsync; sizes in bytes; what is hot stays in memory after it was written.

    A journal is rewritten when it has `journal_slack_bytes` more than twice what is live; a file of stragglers' frames
    has `frames_bytes_max`, and so much may be kept in vain beyond what is needed.
    """

    durability: str = "log"
    body_bytes_max: int = 1 << 20
    segment_bytes_max: int = 64 << 20
    hot_messages_max: int = 10_000
    hot_bytes_max: int = 1 << 20
    cold_chunks_max: int = 4
    journal_slack_bytes: int = 64 << 10
    frames_bytes_max: int = 16 << 20
