"""Services that read streams: `Reader` and `run`, or `App`; `settings`, `options`, `statsd`, `logatron_client`."""

from millstream.queuereader import logatron_client, options, settings, statsd
from millstream.queuereader.app import App
from millstream.queuereader.message import NsqMessage
from millstream.queuereader.middleware import Middleware, Next
from millstream.queuereader.reader import HandlerOptions, Reader
from millstream.queuereader.runner import run
from millstream.queuereader.stats import ReaderStats
from millstream.queuereader.verdict import Finish, GiveUp, Reject, Requeue, Verdict

__all__ = [
    "App",
    "Finish",
    "GiveUp",
    "HandlerOptions",
    "Middleware",
    "Next",
    "NsqMessage",
    "Reader",
    "ReaderStats",
    "Reject",
    "Requeue",
    "Verdict",
    "logatron_client",
    "options",
    "run",
    "settings",
    "statsd",
]
