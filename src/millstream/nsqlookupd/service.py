"""Builds nsqlookupd from its options, runs it until it is told to stop, and takes it down.

Start: the snapshot is read, TCP listens, then HTTP, then nsqd are heard, because the reply to IDENTIFY tells the ports
of both. Stop: no more connections, then the snapshot is written while every nsqd still counts, then all are closed.
"""

import asyncio
import dataclasses
import signal
from collections.abc import Callable

from millstream.base.clock import Clock
from millstream.base.errors import OptionError
from millstream.base.log import configure, get_logger
from millstream.base.system import SystemClock, host_name
from millstream.base.version import NSQ_VERSION, VERSION
from millstream.net.http import HttpServer
from millstream.net.http_auth import BearerTokens
from millstream.net.http_debug import DebugApi
from millstream.net.listener import Listener, ListenFailed, listen
from millstream.net.runner import on_signal, stop_event
from millstream.nsqlookupd.http import LookupdApi
from millstream.nsqlookupd.keeper import Keeper
from millstream.nsqlookupd.metrics import MetricsApi
from millstream.nsqlookupd.options import LookupdOptions
from millstream.nsqlookupd.registry import Registry
from millstream.nsqlookupd.reload import Reloader
from millstream.nsqlookupd.session import SessionHost, SessionLimits
from millstream.nsqlookupd.waiting import LookupWaiters
from millstream.protocol.lookup import Identity
from millstream.storage.files import OsFileSystem

log = get_logger(__name__)


class Nsqlookupd:
    """One discovery daemon: `start` it, read its addresses, `stop` it. It cannot be started again.

    `read_again` gives the options that `reload` takes up.
    """

    def __init__(
        self, options: LookupdOptions, clock: Clock, read_again: Callable[[], LookupdOptions] | None = None
    ) -> None:
        self._options = options
        self._read_again = read_again or (lambda: options)
        self._registry = Registry(
            clock,
            inactive_after_ms=options.inactive_producer_timeout_ms,
            tombstone_lifetime_ms=options.tombstone_lifetime_ms,
            entries_max=options.max_registrations,
        )
        limits = SessionLimits(
            connections_max=options.max_connections,
            line_bytes_max=options.max_line_size_bytes,
            body_bytes_max=options.max_identify_size_bytes,
            handshake_timeout_ms=options.handshake_timeout_ms,
        )
        self._sessions = SessionHost(self._registry, limits)
        self._waiters = LookupWaiters(self._registry, waiters_max=options.max_lookup_waiters)
        self._keeper = self._make_keeper() if options.snapshot_path else None
        metrics = MetricsApi(self._registry, self._sessions, self._waiters, self._keeper)
        self._router = LookupdApi(self._registry, self._waiters).router()
        metrics.join(self._router)
        self._debug = DebugApi("nsqlookupd", clock)
        self._debug.join(self._router, index_path="/debug/pprof")
        self._http = HttpServer(self._router)
        metrics.http_connections = lambda: self._http.connection_count
        self._metrics = metrics
        self._reloader: Reloader | None = None
        self._keeping: asyncio.Task[None] | None = None
        self._tcp_listener: Listener | None = None
        self._http_listener: Listener | None = None

    @property
    def tcp_address(self) -> str:
        """Where nsqd connects; empty while it does not listen."""
        return self._tcp_listener.address if self._tcp_listener else ""

    @property
    def http_address(self) -> str:
        """Where HTTP is served; empty while it does not listen."""
        return self._http_listener.address if self._http_listener else ""

    async def start(self) -> None:
        """Listens on both ports. Raises ListenFailed, and OptionError for the token file; call `stop` then too."""
        tokens = BearerTokens(self._options.http_auth_token_file) if self._options.http_auth_token_file else None
        if tokens is not None:
            tokens.guard(self._router)
            self._metrics.tokens = tokens
        self._metrics.count(self._router)
        self._reloader = Reloader(self._options, self._read_again, self._apply, tokens)
        if self._keeper is not None:
            self._keeper.load()
        tcp = self._tcp_listener = await listen(self._options.tcp_address, self._sessions.accept)
        log.info("tcp.listening", address=tcp.address)
        http = self._http_listener = await listen(self._options.http_address, self._http.protocol)
        log.info("http.listening", address=http.address)
        if self._keeper is not None:
            # Not before both ports are ours: another nsqlookupd that has them may have the snapshot too.
            self._keeping = asyncio.create_task(self._keeper.run())
        host = host_name()
        self._sessions.open(
            Identity(
                broadcast_address=self._options.broadcast_address or host,
                hostname=host,
                tcp_port=tcp.port,
                http_port=http.port,
                version=NSQ_VERSION,
            )
        )

    def reload(self) -> None:
        """Reads the options again, and takes up those that can change while it runs; what changed is logged."""
        if self._reloader is not None:
            self._reloader.reload()

    async def stop(self) -> None:
        """Closes listeners and connections; every nsqd connects again when there is somebody to connect to."""
        for listener in (self._tcp_listener, self._http_listener):
            if listener is not None:
                listener.close()
                await listener.wait_closed()
        if self._keeper is not None and self._keeping is not None:
            self._keeping.cancel()
            await asyncio.wait([self._keeping])
            self._keeper.save()
        self._waiters.close()
        self._debug.close()
        await self._sessions.close()
        await self._http.close()

    def _make_keeper(self) -> Keeper:
        options = self._options
        return Keeper(
            self._registry,
            OsFileSystem(),
            options.snapshot_path,
            producers_max=options.max_connections,
            entries_max=options.max_registrations,
        )

    def _apply(self, options: LookupdOptions) -> None:
        self._registry.set_timeouts(
            inactive_after_ms=options.inactive_producer_timeout_ms,
            tombstone_lifetime_ms=options.tombstone_lifetime_ms,
        )
        self._sessions.limits = dataclasses.replace(
            self._sessions.limits, handshake_timeout_ms=options.handshake_timeout_ms
        )
        self._waiters.look_again()


async def serve(options: LookupdOptions, read_again: Callable[[], LookupdOptions] | None = None) -> int:
    """Runs the daemon until SIGINT or SIGTERM. SIGHUP takes up the options of `read_again`.

    Returns the exit status: 0, or 1 when it could not listen, or not read the token file.
    """
    configure(prefix=options.log_prefix, level=options.log_level)
    log.info("nsqlookupd.starting", version=VERSION, nsq_version=NSQ_VERSION)
    daemon = Nsqlookupd(options, SystemClock(), read_again)
    stopped = stop_event()
    on_signal(signal.SIGHUP, daemon.reload)
    try:
        await daemon.start()
        await stopped.wait()
    except (ListenFailed, OptionError) as error:
        log.fatal("nsqlookupd.failed", error=error)
        return 1
    finally:
        await daemon.stop()
        log.info("nsqlookupd.stopped")
    return 0
