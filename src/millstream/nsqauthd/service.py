"""Builds nsqauthd from its options, runs it until it is told to stop, and takes it down.

Start: the rules are read, then HTTP listens, then the file is watched. Stop is the reverse. The judge, who reads
answers as nsqd does, is handed in by the command: this package and nsqd's do not know each other.
"""

import asyncio
import signal
import sys

from millstream.base.errors import MillstreamError
from millstream.base.log import configure, get_logger
from millstream.base.version import NSQ_VERSION, VERSION
from millstream.net.http import HttpLimits, HttpServer
from millstream.net.listener import Listener, ListenFailed, listen
from millstream.net.runner import stop_event
from millstream.nsqauthd.explain import explain
from millstream.nsqauthd.http import AuthdApi
from millstream.nsqauthd.options import AuthdOptions
from millstream.nsqauthd.rules import BadRules, Identity, Judge
from millstream.nsqauthd.source import RulesFile

log = get_logger(__name__)


class Nsqauthd:
    """One authorisation daemon: `start` it, read its address, `watch` the file, `stop` it. It cannot be started again.

    `look` is an event of the caller's: set it to have the file read again at once, changed or not.
    """

    def __init__(self, options: AuthdOptions, judge: Judge, look: asyncio.Event) -> None:
        self._options = options
        self._look = look
        self._source = RulesFile(options.rules, judge)
        self._http = HttpServer(
            AuthdApi(self._source).router(), limits=HttpLimits(connections_max=options.max_connections)
        )
        self._listener: Listener | None = None

    @property
    def http_address(self) -> str:
        """Where HTTP is served; empty while it does not listen."""
        return self._listener.address if self._listener else ""

    async def start(self) -> None:
        """Reads the rules and listens. Raises BadRules and ListenFailed; call `stop` then too."""
        self._source.load()
        log.info("rules.loaded", path=self._options.rules, rules=len(self._source.rules.rules))
        self._listener = await listen(self._options.http_address, self._http.protocol)
        log.info("http.listening", address=self._listener.address)

    async def watch(self) -> None:
        """Reads the file again whenever it has changed, or `look` is set; until cancelled.

        In a thread, because many rules take long to read; nobody else reads the file meanwhile.
        """
        while True:
            try:
                async with asyncio.timeout(self._options.reload_interval_ms / 1000):
                    await self._look.wait()
            except TimeoutError:
                await asyncio.to_thread(self._source.reload_if_changed)
            else:
                self._look.clear()
                await asyncio.to_thread(self._source.reload)

    async def stop(self) -> None:
        """Closes listener and connections."""
        if self._listener is not None:
            self._listener.close()
            await self._listener.wait_closed()
        await self._http.close()


async def serve(options: AuthdOptions, judge: Judge) -> int:
    """Runs the daemon until SIGINT or SIGTERM; SIGHUP makes it read the rules again.

    Returns the exit status: 0, or 1 when the rules cannot be used or it could not listen.
    """
    configure(prefix=options.log_prefix, level=options.log_level)
    log.info("nsqauthd.starting", version=VERSION, nsq_version=NSQ_VERSION)
    look = asyncio.Event()
    daemon = Nsqauthd(options, judge, look)
    stopped = stop_event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, look.set)
    try:
        await daemon.start()
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(daemon.watch())
            await stopped.wait()
            watching.cancel()
    except (BadRules, ListenFailed) as error:
        log.fatal("nsqauthd.failed", error=error)
        return 1
    finally:
        await daemon.stop()
        log.info("nsqauthd.stopped")
    return 0


def check(options: AuthdOptions, judge: Judge) -> int:
    """Writes what the identity in the options may do. Returns 0 when it may do what was asked for, else 1."""
    source = RulesFile(options.rules, judge)
    identity = Identity.of(
        secret=options.secret, common_name=options.common_name, remote_ip=options.remote_ip, tls=options.tls
    )
    try:
        source.load()
        found = explain(source.rules, identity, options.topic, options.channel, judge)
    except MillstreamError as error:
        sys.stderr.write(f"nsqauthd: {error}\n")
        return 1
    sys.stdout.write("".join(f"{line}\n" for line in found.lines))
    return 0 if found.is_allowed else 1
