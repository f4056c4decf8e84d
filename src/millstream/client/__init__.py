"""What users import to read and write topics: `Reader` and `Writer` on asyncio, with their options and errors."""

from millstream.client.errors import ConnectionFailed, PublishFailed
from millstream.client.message import Message
from millstream.client.options import ReaderOptions, WriterOptions
from millstream.client.reader import Reader
from millstream.client.stats import ReaderStats, SubscriptionStats, WriterStats
from millstream.client.writer import Writer

__all__ = [
    "ConnectionFailed",
    "Message",
    "PublishFailed",
    "Reader",
    "ReaderOptions",
    "ReaderStats",
    "SubscriptionStats",
    "Writer",
    "WriterOptions",
    "WriterStats",
]
