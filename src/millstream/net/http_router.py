"""Decides which handler a request belongs to, or which answer it gets instead; pure.

The rules are those of NSQ's router: a path that only differs by case, a trailing slash, or needless slashes and dots
redirects to the registered one; a known path with another method is 405; the rest is 404.
"""

import asyncio
import posixpath
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias
from urllib.parse import quote

from millstream.net.http_messages import HttpError, Later, Request, Response, empty, redirect
from millstream.net.http_repeat import Repeat

Handler: TypeAlias = "Callable[[Request], Response | Later | asyncio.Future[Response] | Awaitable[Response]]"


Check: TypeAlias = Callable[[Mapping[str, str]], Response | None]
"""Looks at the headers of a request before its body is read: None, or the answer that it gets instead of its route."""

_REDIRECTS_MAX_PATH: Final = 512


@dataclass(frozen=True, slots=True)
class Route:
    """A handler, and what a request may carry to it."""

    handler: Handler
    body_bytes_max: int | Callable[[], int] = 0
    too_big: str = "BODY_TOO_BIG"
    nsq_header: bool = True
    check: Check | None = None
    repeat: Callable[[Request], Repeat] | None = None

    def body_limit(self) -> int:
        """The largest body in bytes that is read, as of now."""
        limit = self.body_bytes_max
        return limit if isinstance(limit, int) else limit()


@dataclass(frozen=True, slots=True)
class Match:
    """What the router found: a route with its parameters, or else an answer."""

    route: Route | None = None
    params: dict[str, str] | None = None
    answer: Response | None = None
    nsq_header: bool = True


@dataclass(slots=True)
class _Path:
    """One registered path; `segments` is empty unless it has parameters."""

    path: str
    segments: tuple[str, ...] = ()
    routes: dict[str, Match] = field(default_factory=dict)


class Router:
    """The routes of one daemon. Routes are added before it serves."""

    def __init__(self) -> None:
        self._exact: dict[str, _Path] = {}
        self._folded: dict[str, _Path] = {}
        self._patterns: list[_Path] = []
        self._everything: Match | None = None

    def add(
        self,
        method: str,
        path: str,
        handler: Handler,
        *,
        body_bytes_max: int | Callable[[], int] = 0,
        too_big: str = "BODY_TOO_BIG",
        nsq_header: bool = True,
        repeat: Callable[[Request], Repeat] | None = None,
    ) -> None:
        """Send `method path` to `handler`. A segment `:name` matches any one segment that is not empty.

        `body_bytes_max` 0 means that the handler does not look at a body: a small one is read and dropped. A larger
        body than allowed is answered by 413 with the code `too_big`. `repeat` makes of a request what takes the next
        ones that differ in their body alone, where `body_bytes_max` is a number; it raises nothing. Raises ValueError
        on a second route of the same.
        """
        known = self._exact.get(path)
        if known is None:
            segments = tuple(path.split("/")) if ":" in path else ()
            known = self._exact[path] = _Path(path, segments)
            if segments:
                self._patterns.append(known)
            else:
                self._folded[posixpath.normpath(path.lower())] = known
        if method in known.routes:
            raise ValueError(f"{method} {path} is routed twice")
        known.routes[method] = Match(Route(handler, body_bytes_max, too_big, nsq_header, repeat=repeat))

    def answer_everything(self, answer: Response, *, nsq_header: bool = True) -> None:
        """Give every request, whatever its method, path and body, this answer."""
        self._everything = Match(answer=answer, nsq_header=nsq_header)

    def wrap(self, wrapper: Callable[[str, str, Handler], Handler]) -> None:
        """Replace the handler of each route added so far by `wrapper(method, path, handler)`."""
        for known in self._exact.values():
            for method, match in known.routes.items():
                if match.route is not None:
                    handler = wrapper(method, known.path, match.route.handler)
                    known.routes[method] = replace(match, route=replace(match.route, handler=handler, repeat=None))

    def guard(self, check: Check, *, open_paths: Collection[str]) -> None:
        """Have `check` look at each request for the routes added so far, but for those of `open_paths`."""
        for known in self._exact.values():
            for method, match in known.routes.items():
                if match.route is not None and known.path not in open_paths:
                    known.routes[method] = replace(match, route=replace(match.route, check=check))

    def match(self, method: str, path: str, raw_query: str = "") -> Match:
        """Find the route of a decoded path. `raw_query` only goes into the target of a redirect."""
        if self._everything is not None:
            return self._everything
        known = self._exact.get(path)
        if known is not None and not known.segments:
            found = known.routes.get(method)
            if found is not None:
                return found
        return self._match_slowly(method, path, raw_query)

    def _match_slowly(self, method: str, path: str, raw_query: str) -> Match:
        if path == "*":
            return _NOTHING_ELSE if method == "OPTIONS" else _NOT_FOUND
        holders = self._holders(path)
        for known, params in holders:
            found = known.routes.get(method)
            if found is not None:
                return Match(found.route, params)
        if method != "CONNECT" and path != "/" and (target := self._registered(method, path)) is not None:
            location = target + (f"?{_printable(raw_query)}" if raw_query else "")
            return Match(answer=redirect(method, location), nsq_header=False)
        if not holders:
            return _NOT_FOUND
        methods = {name for known, _ in holders for name in known.routes} | {"OPTIONS"}
        allow = (("Allow", ", ".join(sorted(methods))),)
        if method == "OPTIONS":
            return Match(answer=Response(200, headers=allow), nsq_header=False)
        refusal = HttpError(405, "METHOD_NOT_ALLOWED").response()
        return Match(answer=Response(405, refusal.body, refusal.content_type, allow))

    def _holders(self, path: str) -> list[tuple[_Path, dict[str, str]]]:
        known = self._exact.get(path)
        found: list[tuple[_Path, dict[str, str]]] = [] if known is None or known.segments else [(known, {})]
        if self._patterns:
            segments = path.split("/")
            for pattern in self._patterns:
                params = _fit(pattern.segments, segments, fold=False)
                if params is not None:
                    found.append((pattern, params))
        return found

    def _registered(self, method: str, path: str) -> str | None:
        """The path, percent-encoded, that `path` means when case and superfluous slashes are left aside."""
        if len(path) > _REDIRECTS_MAX_PATH:
            return None
        cleaned = posixpath.normpath("/" + path.lstrip("/"))
        known = self._folded.get(cleaned.lower())
        if known is not None and method in known.routes:
            return known.path
        segments = cleaned.split("/")
        for pattern in self._patterns:
            params = _fit(pattern.segments, segments, fold=True)
            if params is not None and method in pattern.routes:
                return "/".join(quote(params[s[1:]], safe="") if s[:1] == ":" else s for s in pattern.segments)
        return None


def _fit(pattern: tuple[str, ...], segments: list[str], *, fold: bool) -> dict[str, str] | None:
    """The parameters by which `segments` are an instance of `pattern`, or None."""
    if len(pattern) != len(segments):
        return None
    params: dict[str, str] = {}
    for wanted, given in zip(pattern, segments, strict=True):
        if wanted[:1] == ":":
            if not given:
                return None
            params[wanted[1:]] = given
        elif wanted != given and not (fold and wanted.lower() == given.lower()):
            return None
    return params


def _printable(raw_query: str) -> str:
    return "".join(char if "!" <= char <= "~" else quote(char) for char in raw_query)


def _code(status: int, code: str) -> Match:
    return Match(answer=HttpError(status, code).response())


_NOT_FOUND: Final[Match] = _code(404, "NOT_FOUND")
_NOTHING_ELSE: Final[Match] = Match(answer=empty(), nsq_header=False)
