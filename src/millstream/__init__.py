"""Millstream: an NSQ-compatible stream platform in Python.

`millstream.client` reads and writes messages, `millstream.queuereader` builds services on it, and the folders named
after a process (`nsqd`, `nsqlookupd`) are the daemons.
"""

from millstream.base.version import VERSION

__all__ = ["__version__"]

__version__ = VERSION
