"""HTTP/1.1 for the daemons, in one place to import from: routes, requests, responses, and the server."""

from millstream.net.http_limits import HttpLimits
from millstream.net.http_messages import HttpError, Later, Request, Response, empty, json, text
from millstream.net.http_repeat import Answer, Repeat
from millstream.net.http_router import Handler, Route, Router
from millstream.net.http_server import HttpServer

__all__ = [
    "Answer",
    "Handler",
    "HttpError",
    "HttpLimits",
    "HttpServer",
    "Later",
    "Repeat",
    "Request",
    "Response",
    "Route",
    "Router",
    "empty",
    "json",
    "text",
]
