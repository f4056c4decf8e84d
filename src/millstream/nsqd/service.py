"""Builds nsqd from its options, runs it until it is told to stop, and takes it down.

Start: the data path is locked, both ports listen, logs and metadata are recovered, then clients are heard. Stop is
the reverse: nobody new, clients are let go, journals and metadata are written, files are closed.
"""

import asyncio
import gc
import signal
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

from millstream.base.clock import Clock
from millstream.base.errors import MillstreamError, OptionError, StorageError
from millstream.base.log import configure, get_logger
from millstream.base.system import SystemClock, allow_descriptors, host_name, random_bits, random_fraction
from millstream.base.version import NSQ_VERSION, VERSION
from millstream.engine.broker import Broker
from millstream.engine.limits import BrokerSettings
from millstream.net.http import HttpServer
from millstream.net.http_auth import BearerTokens, OwnToken
from millstream.net.http_client import HttpClient
from millstream.net.http_debug import DebugApi
from millstream.net.listener import Listener, ListenFailed, listen
from millstream.net.runner import on_signal, stop_event
from millstream.net.tls import client_context
from millstream.nsqd.announce import Announcer
from millstream.nsqd.auth import REPLY_BYTES_MAX, AuthClient
from millstream.nsqd.disk import DiskGuard
from millstream.nsqd.host import Host
from millstream.nsqd.http import NsqdApi, tls_required_router
from millstream.nsqd.memory import memory_figures
from millstream.nsqd.metadata import MetadataFile
from millstream.nsqd.options import DaemonOptions
from millstream.nsqd.policies import Policies
from millstream.nsqd.reload import Hook, Reloader
from millstream.nsqd.security import renew_certificate, tls_context
from millstream.nsqd.session import Session
from millstream.nsqd.statsd import Statsd, statsd_prefix
from millstream.nsqd.timers import Ticker
from millstream.protocol.chunks import BufferPool
from millstream.protocol.lookup import Identity
from millstream.storage.files import DirectoryLock, FileSystem, OsFileSystem
from millstream.storage.settings import LogSettings
from millstream.storage.store import DiskStore

log = get_logger(__name__)

# A sequence is 63 bits; a random start leaves half of them to count, and makes ids of two logs meet never.
_ORIGIN_BITS: Final = 62
_LOOKUPD_REPLY_BYTES_MAX: Final = 1 << 20


class Connection(Session, asyncio.BufferedProtocol):
    """A session as stock asyncio recognises it: it asks for the buffered form by class."""

    __slots__ = ()


class _Announced:
    """What exists here, for nsqlookupd."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def topics(self) -> Iterable[tuple[str, Iterable[str]]]:
        """Topics with their channels."""
        return [(topic.name, list(topic.channels)) for topic in self._broker.topics.values()]


class Nsqd:
    """One broker: `start` it, read its addresses, `stop` it. It cannot be started again."""

    def __init__(
        self,
        options: DaemonOptions,
        clock: Clock,
        files: FileSystem | None = None,
        *,
        read_again: Callable[[], DaemonOptions] | None = None,
    ) -> None:
        self.options = options
        self._clock = clock
        self._files = files or OsFileSystem()
        self._data_path = str(Path(options.data_path or ".").absolute())
        self._pool = BufferPool()
        self._lock: DirectoryLock | None = None
        self._tcp: Listener | None = None
        self._http: Listener | None = None
        self._https: Listener | None = None
        self._http_servers: list[HttpServer] = []
        self._debug: DebugApi | None = None
        self._client: HttpClient | None = None
        self._auth_http: HttpClient | None = None
        self._lookupd_token: OwnToken | None = None
        self._announcing: asyncio.Task[None] | None = None
        self._pushing: asyncio.Task[None] | None = None
        self._ticker: Ticker | None = None
        self._read_again = read_again or (lambda: options)
        self.on_drained: Callable[[], None] | None = None
        self.reloader: Reloader | None = None
        self.policies: Policies | None = None
        self.host: Host | None = None
        self._is_recovered = False

    @property
    def tcp_address(self) -> str:
        """Where TCP clients connect; empty while it does not listen."""
        return self._tcp.address if self._tcp else ""

    @property
    def http_address(self) -> str:
        """Where HTTP is served; empty while it does not listen."""
        return self._http.address if self._http else ""

    @property
    def https_address(self) -> str:
        """Where HTTPS is served; empty while it does not listen."""
        return self._https.address if self._https else ""

    async def start(self, group: asyncio.TaskGroup) -> None:
        """Recover and listen. Raises `MillstreamError` and says why; call `stop` then too."""
        try:
            self._lock = DirectoryLock(self._data_path)
        except StorageError as error:
            raise StorageError(f"failed to lock data-path: {error}") from error
        tls = tls_context(self.options)
        tokens = BearerTokens(path) if (path := self.options.http_auth_token_file) else None
        self._lookupd_token = OwnToken(path) if (path := self.options.lookupd_http_auth_token_file) else None
        host, policies = self._recover()
        host.tls = tls
        host.tokens = tokens
        host.auth = self._auth_client()
        host.drain.on_empty = self.on_drained
        self.reloader = Reloader(host, self._read_again)
        self.reloader.hooks.append(Hook(apply=self._reload_policies, options=frozenset({"policy"})))
        self.reloader.hooks += self._reload_hooks(host)
        host.open(group, None)
        self._tcp = await listen(self.options.tcp_address, lambda: Connection(host))
        log.info("tcp.listening", address=self._tcp.address)
        await self._serve_http(host, policies)
        self._announce(host, group)
        if self.options.statsd_address:
            statsd = Statsd(host, statsd_prefix(self.options, self._ports()[1]))
            self._pushing = group.create_task(statsd.run(), name="statsd")
        self._ticker = Ticker(host)
        self._ticker.start()
        host.turn.wake()
        # What was built so far stays: the collector need not look at it again, and pauses stay short.
        gc.collect()
        gc.freeze()

    def _reload_hooks(self, host: Host) -> Iterator[Hook]:
        if host.tls is not None:
            renew = partial(renew_certificate, host.tls)
            yield Hook(apply=renew, options=frozenset({"tls_cert", "tls_key"}))
        if (tokens := host.tokens) is not None:
            yield Hook(apply=lambda _: [f"tokens (now {tokens.count})"] if tokens.reload() else [])
        if (token := self._lookupd_token) is not None:
            yield Hook(apply=lambda _: ["the token for nsqlookupd"] if token.reload() else [])

    def _auth_client(self) -> AuthClient | None:
        options = self.options
        if not options.auth_http_address:
            return None
        self._auth_http = HttpClient(
            connect_timeout_ms=options.http_client_connect_timeout_ms,
            request_timeout_ms=options.http_client_request_timeout_ms,
            response_bytes_max=REPLY_BYTES_MAX,
            tls=client_context(options.tls_root_ca_file) if options.tls_root_ca_file else None,
        )
        return AuthClient(
            options.auth_http_address, self._auth_http, clock=self._clock, method=options.auth_http_request_method
        )

    async def _serve_http(self, host: Host, policies: Policies) -> None:
        options = self.options
        router = NsqdApi(host, self._ports, policies).router()
        self._debug = DebugApi("nsqd", self._clock, partial(memory_figures, host, self._pool))
        self._debug.join(router)
        if host.tokens is not None:
            host.tokens.guard(router)
        if host.tls is not None and options.https_address:
            server = HttpServer(router, gate=host.gate)
            self._http_servers.append(server)
            self._https = await listen(
                options.https_address,
                server.protocol,
                tls=host.tls,
                tls_handshake_timeout_ms=options.tls_handshake_timeout_ms,
            )
            log.info("https.listening", address=self._https.address)
        if options.http_address:
            https_port = self._https.port if self._https else 0
            router = tls_required_router(https_port) if options.http_needs_tls else router
            server = HttpServer(router, gate=host.gate)
            self._http_servers.append(server)
            self._http = await listen(options.http_address, server.protocol)
            log.info("http.listening", address=self._http.address)

    def _ports(self) -> tuple[int, int]:
        return self._tcp.port if self._tcp else 0, self._http.port if self._http else 0

    def _recover(self) -> tuple[Host, Policies]:
        options = self.options
        settings = LogSettings(
            durability=options.durability,
            body_bytes_max=options.max_msg_size,
            segment_bytes_max=options.max_bytes_per_file,
            hot_messages_max=max(1, options.mem_queue_size),
        )
        pool = self._pool
        store = DiskStore(self._files, self._data_path, settings, pool)
        broker = Broker(
            store,
            pool,
            self._clock,
            origin=lambda: random_bits(_ORIGIN_BITS),
            chance=random_fraction,
            settings=BrokerSettings(
                mem_queue_size=options.mem_queue_size,
                max_msg_timeout_ns=options.max_msg_timeout_ms * 1_000_000,
                latency_window_ns=options.latency_window_ns,
            ),
        )
        metadata = MetadataFile(self._files, self._data_path, sync=options.durability == "fsync")
        disk = DiskGuard(self._files, self._data_path, warn_free=options.disk_warn_free, min_free=options.disk_min_free)
        self.host = host = Host(
            options,
            broker,
            pool,
            self._clock,
            write_metadata=lambda: metadata.write(broker.metadata()),
            disk=disk,
            damage=store.damage,
            acknowledge=store.acknowledge,
        )
        store.refuse_newer()
        store.remove_deleted()
        self.policies = policies = Policies(self._files, self._data_path, broker, sync=options.durability == "fsync")
        policies.load(options.policy)
        broker.load(metadata.read())
        for damage in metadata.damage:
            store.damage.add("", damage)
        for note in [damage.text for damage in metadata.damage] + store.notes:
            log.warning("recovery.note", text=note)
        store.damage.take_unsaid()
        log.info("recovery.done", topics=len(broker.topics))
        disk.poll()
        self._is_recovered = True
        host.save_metadata()
        return host, policies

    def _reload_policies(self, options: DaemonOptions) -> list[str]:
        if self.host is None or self.policies is None or not self.policies.set_config(options.policy):
            return []
        self.host.set_options(replace(self.host.options, policy=options.policy))
        return ["policy"]

    def _announce(self, host: Host, group: asyncio.TaskGroup) -> None:
        # Without any nsqlookupd as well: the first may be named over HTTP.
        options = self.options
        tcp_port, http_port = self._ports()
        identity = Identity(
            broadcast_address=options.broadcast_address or host_name(),
            hostname=host_name(),
            tcp_port=options.broadcast_tcp_port or tcp_port,
            http_port=options.broadcast_http_port or http_port,
            version=NSQ_VERSION,
            topology_region=options.topology_region,
            topology_zone=options.topology_zone,
        )
        self._client = HttpClient(
            connect_timeout_ms=options.http_client_connect_timeout_ms,
            request_timeout_ms=options.http_client_request_timeout_ms,
            response_bytes_max=_LOOKUPD_REPLY_BYTES_MAX,
        )
        announcer = Announcer(_Announced(host.broker), identity=identity, http=self._client, token=self._lookupd_token)
        announcer.set_peers(options.lookupd_tcp_address)
        host.open(group, announcer)
        self._announcing = group.create_task(announcer.run(), name="announce")

    def begin_drain(self) -> None:
        """Run empty; what was made of `host.drain.on_empty` says what happens then."""
        if self.host is not None and not self.host.is_stopping:
            self.host.drain.begin()

    def reload(self) -> None:
        """Take up what has changed in the configuration."""
        if self.reloader is not None:
            self.reloader.reload()

    async def stop(self) -> None:
        """Let clients go, and bring everything to its files."""
        if self._announcing is not None:
            self._announcing.cancel()
        if self._pushing is not None:
            self._pushing.cancel()
        host = self.host
        if host is not None:
            host.is_stopping = True
            host.drain.stop()
        for listener in (self._tcp, self._http, self._https):
            if listener is not None:
                listener.close()
        if self._ticker is not None:
            self._ticker.stop()
        if host is not None:
            host.limits.stop()
            host.turn.run()
            for session in list(host.sessions.values()):
                session.close()
        if self._debug is not None:
            self._debug.close()
        for server in self._http_servers:
            await server.close()
        for client in (self._client, self._auth_http):
            if client is not None:
                await client.close()
        if host is not None:
            host.turn.stop()
            if self._is_recovered:
                # Who could not start does not know what is there.
                host.save_metadata()
            for error in host.broker.close():
                log.error("log.close_failed", error=error)
        if self._lock is not None:
            self._lock.release()
            self._lock = None


async def serve(options: DaemonOptions, read_again: Callable[[], DaemonOptions] | None = None) -> int:
    """Run the daemon until SIGINT or SIGTERM, or until it is drained. SIGHUP takes the options of `read_again`.

    Returns the exit status: 0, or 1 when it could not start.
    """
    configure(prefix=options.log_prefix, level=options.log_level)
    log.info("nsqd.starting", version=VERSION, nsq_version=NSQ_VERSION, durability=options.durability)
    allow_descriptors()
    daemon = Nsqd(options, SystemClock(), read_again=read_again)
    stopped = stop_event()
    on_signal(signal.SIGUSR1, daemon.begin_drain)
    on_signal(signal.SIGHUP, daemon.reload)
    async with asyncio.TaskGroup() as group:
        try:
            daemon.on_drained = stopped.set
            await daemon.start(group)
            await stopped.wait()
        except (ListenFailed, StorageError, OptionError) as error:
            log.fatal("nsqd.failed", error=f"failed to instantiate nsqd - {error}")
            return 1
        except MillstreamError as error:
            log.fatal("nsqd.failed", error=error)
            return 1
        finally:
            await daemon.stop()
            log.info("nsqd.stopped")
    return 0
