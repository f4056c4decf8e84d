"""`/debug/...`: what a daemon looks like from inside while it runs. NSQ's paths, with what Python has to show there.

A daemon's service joins the routes to its router, before tokens are asked for. Everything is bounded: by time, by what
is listed, and by one of a kind at a time. A profile lasts as long as its request; `close` ends it.
"""

import asyncio
import gc
import html
import threading
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from millstream.base.clock import Clock
from millstream.base.system import command_line, release_memory, resident_bytes
from millstream.base.units import quoted
from millstream.net.cpu_profile import INTERVAL_MS, CpuProfile, ProfileUnavailable
from millstream.net.heap_report import Figures, heap_text
from millstream.net.http_messages import HTML, TEXT, Request, Response
from millstream.net.http_router import Handler, Router
from millstream.net.stack_dump import tasks_text, threads_text
from millstream.net.stall_watch import StallWatch

T = TypeVar("T")

PROFILE_S: Final = 30
BLOCK_S: Final = 5
SECONDS_MAX: Final = 120
BLOCK_RATE_NS: Final = 10_000_000
BLOCK_RATE_NS_MIN: Final = 1_000_000

# What the browser must not take for anything else, as it holds names that clients chose.
_HEADERS: Final = (("X-Content-Type-Options", "nosniff"),)
_INT64_MAX: Final = (1 << 63) - 1
_PAGES: Final = (
    ("profile?seconds=30", "where the CPU time of the next seconds goes, as text for flame graphs"),
    ("block?seconds=5", "what holds the event loop up in the next seconds, in microseconds"),
    ("goroutine", "every task and thread, and where it is"),
    ("threadcreate", "every thread, and where it is"),
    ("heap?gc=1", "objects by type, the collector, memory"),
    ("cmdline", "the command line, its words separated by NUL"),
    ("symbol", "nothing: names are in the texts already"),
)


class DebugApi:
    """The endpoints of one daemon called `program`. `figures` are what its heap report says beside Python's own."""

    def __init__(self, program: str, clock: Clock, figures: Callable[[], Figures] = tuple) -> None:
        self._program = program
        self._clock = clock
        self._figures = figures
        self._block_rate_ns = BLOCK_RATE_NS
        self._under_way: set[str] = set()
        self._closed = asyncio.Event()

    def join(self, router: Router, *, index_path: str = "/debug/pprof/") -> None:
        """Add the routes; NSQ's daemons have the index at different paths."""
        pages: dict[tuple[str, str], Handler] = {
            ("GET", index_path): self._index,
            ("GET", "/debug/pprof/block"): self._alone("a block profile", self._block),
            ("GET", "/debug/pprof/cmdline"): self._cmdline,
            ("GET", "/debug/pprof/goroutine"): self._goroutine,
            ("GET", "/debug/pprof/heap"): self._alone("a heap report", self._heap),
            ("GET", "/debug/pprof/profile"): self._alone("a CPU profile", self._profile),
            ("GET", "/debug/pprof/symbol"): self._symbol,
            ("POST", "/debug/pprof/symbol"): self._symbol,
            ("GET", "/debug/pprof/threadcreate"): self._threadcreate,
            ("PUT", "/debug/setblockrate"): self._set_block_rate,
            ("POST", "/debug/freememory"): self._alone("a heap report", self._free_memory),
        }
        for (method, path), handler in pages.items():
            router.add(method, path, handler, nsq_header=False)

    def close(self) -> None:
        """End what is under way: it is answered with what was seen so far."""
        self._closed.set()

    def _index(self, _request: Request) -> Response:
        title = f"{html.escape(self._program)}: /debug/pprof/"
        rows = [f'<li><a href="/debug/pprof/{page}">{page}</a>: {text}</li>' for page, text in _PAGES]
        page = ["<!DOCTYPE html>", "<html><head>", f"<title>{title}</title>", "</head><body>", f"<h1>{title}</h1>"]
        page += ["<ul>", *rows, "</ul>", "</body></html>", ""]
        return Response(200, "\n".join(page).encode(), HTML, _HEADERS)

    def _cmdline(self, _request: Request) -> Response:
        return _text("\0".join(command_line()))

    def _symbol(self, _request: Request) -> Response:
        # By this pprof's tools know that there are no addresses to ask for.
        return _text("num_symbols: 0\n")

    def _goroutine(self, _request: Request) -> Response:
        return _text(f"{tasks_text(asyncio.get_running_loop())}\n{threads_text()}")

    def _threadcreate(self, _request: Request) -> Response:
        return _text(threads_text())

    async def _profile(self, request: Request) -> Response:
        seconds = _seconds(request, PROFILE_S)
        if seconds is None:
            return _BAD_SECONDS
        profile = CpuProfile()
        try:
            profile.start()
        except ProfileUnavailable as error:
            return _refusal(500, f"Could not enable CPU profiling: {error}")
        try:
            await self._pause(seconds)
        finally:
            profile.stop()
        return _text(f"# {profile.samples} looks, one for each {INTERVAL_MS} ms of CPU time\n{profile.text()}")

    async def _block(self, request: Request) -> Response:
        seconds = _seconds(request, BLOCK_S)
        if seconds is None:
            return _BAD_SECONDS
        if not self._block_rate_ns:
            return _text("# off: PUT /debug/setblockrate?rate=<nanoseconds> turns it on\n")
        loop, here = asyncio.get_running_loop(), threading.get_ident()
        watch = StallWatch(loop, here, self._clock, threshold_ns=self._block_rate_ns)
        watching = loop.run_in_executor(None, watch.run)
        try:
            await self._pause(seconds)
        finally:
            watch.stop()
            await _ended(watching)
        return _text(f"# {watch.stalls} times longer than {self._block_rate_ns} ns; microseconds\n{watch.text()}")

    async def _heap(self, request: Request) -> Response:
        if request.query.get("gc", "") not in {"", "0"}:
            gc.collect()
        report = asyncio.get_running_loop().run_in_executor(None, heap_text, tuple(self._figures()))
        return _text(await _ended(report))

    async def _free_memory(self, _request: Request) -> Response:
        before = resident_bytes()
        collected = gc.collect()
        await _ended(asyncio.get_running_loop().run_in_executor(None, release_memory))
        return _text(f"{collected} objects collected; resident bytes before {before}, after {resident_bytes()}\n")

    def _set_block_rate(self, request: Request) -> Response:
        value = request.query.get("rate", "")
        digits = value[1:] if value[:1] in {"+", "-"} else value
        reason = ""
        if not (digits.isascii() and digits.isdigit()):
            reason = "invalid syntax"
        elif len(digits) > 100 or int(digits) > _INT64_MAX:
            reason = "value out of range"
        if reason:
            return _text(f"invalid block rate : strconv.Atoi: parsing {quoted(value)}: {reason}", 400)
        rate_ns = int(value)
        self._block_rate_ns = max(rate_ns, BLOCK_RATE_NS_MIN) if rate_ns > 0 else 0
        return _text("OK")

    def _alone(self, what: str, handler: Callable[[Request], Awaitable[Response]]) -> Handler:
        """The handler, which refuses while another of the kind is under way."""

        async def run(request: Request) -> Response:
            if what in self._under_way:
                return _refusal(503, f"{what} is under way already: ask again when it is done")
            self._under_way.add(what)
            try:
                return await handler(request)
            finally:
                self._under_way.discard(what)

        return run

    async def _pause(self, seconds: int) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._closed.wait()
        except TimeoutError:
            return


async def _ended(work: asyncio.Future[T]) -> T:
    """Wait for a thread to the end, also when the client has gone: until then no other of the kind may begin."""
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        await asyncio.wait([work])
        raise


def _seconds(request: Request, default: int) -> int | None:
    """How long the client wants to look; None when it says what cannot be done."""
    value = request.query.get("seconds", "")
    if not value:
        return default
    if value.isascii() and value.isdigit() and len(value) <= 9 and 1 <= int(value) <= SECONDS_MAX:
        return int(value)
    return None


def _text(body: str, status: int = 200) -> Response:
    return Response(status, body.encode("utf-8", "replace"), TEXT, _HEADERS)


def _refusal(status: int, reason: str) -> Response:
    return _text(f"{reason}\n", status)


_BAD_SECONDS: Final = _refusal(400, f'invalid value for "seconds" - must be a whole number from 1 to {SECONDS_MAX}')
