"""The originals, built once per machine and version into the user's cache; pairs of daemons, one original, one ours.

A build needs Go and the module; where it cannot be had, `build` says why, and the tests skip with that.
"""

import asyncio
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).resolve().parent
PINNED: Final = ("go.mod", "go.sum", "tools.go")
TOOLS: Final = ("nsq_stat", "nsq_tail", "nsq_to_file", "nsq_to_http", "nsq_to_nsq", "to_nsq")
PROGRAMS: Final = ("nsqd", "nsqlookupd", "nsqadmin", *TOOLS)
BUILD_DEADLINE_S: Final = 300
DEADLINE_S: Final = 60
LISTENING: Final = re.compile(
    rb"(?:(TCP|HTTPS?): listening on|INFO: (tcp|https?)\.listening address=) ?127\.0\.0\.1:(\d+)$"
)
UNEXPECTED: Final = re.compile(rb"Traceback|Fatal error|Unhandled|exception was never retrieved|Task was destroyed")
_TCP_AND_HTTP: Final = ("--tcp-address=127.0.0.1:0", "--http-address=127.0.0.1:0", "--broadcast-address=127.0.0.1")
OWN_FLAGS: Final = {
    "nsqd": (*_TCP_AND_HTTP, "--https-address=127.0.0.1:0"),
    "nsqlookupd": _TCP_AND_HTTP,
    "nsqadmin": ("--http-address=127.0.0.1:0",),
    "nsqauthd": ("--http-address=127.0.0.1:0",),
}


class BuildFailed(Exception):
    """The originals cannot be had here."""


def build() -> Path:
    """The folder of the original programs, which are built unless an earlier run did."""
    pinned = b"".join((FOLDER / name).read_bytes() for name in PINNED)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "millstream"
    folder = cache / f"peer-{hashlib.sha256(pinned).hexdigest()[:16]}"
    if all((folder / name).exists() for name in PROGRAMS):
        return folder
    go = shutil.which("go")
    if go is None:
        raise BuildFailed("Go is not installed")
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as scratch:
        packages = [f"github.com/nsqio/nsq/apps/{name}" for name in PROGRAMS]
        command = [go, "build", "-mod=readonly", "-trimpath", "-buildvcs=false", "-o", scratch, *packages]
        try:
            subprocess.run(command, cwd=FOLDER, capture_output=True, check=True, timeout=BUILD_DEADLINE_S)
        except subprocess.CalledProcessError as error:
            said = error.stderr.decode(errors="replace").strip().splitlines() or ["nothing said"]
            raise BuildFailed(f"go build: {said[-1]}") from error
        except subprocess.TimeoutExpired as error:
            raise BuildFailed(f"go build took more than {BUILD_DEADLINE_S} s") from error
        folder.mkdir(exist_ok=True)
        for name in PROGRAMS:
            (Path(scratch) / name).replace(folder / name)
    return folder


@dataclass(frozen=True, slots=True)
class Bench:
    """A pair of daemons with the same flags. A serial one carries out one scenario after the other and forgets each.

    In flags `$certs` is the folder of the certificates, `$nsqauthd` the address of an nsqauthd, `$auth` and `$tlsauth`
    those of an auth server of the pair's own (see `peer_auth`).
    """

    program: str
    flags: tuple[str, ...] = ()
    serial: bool = False


SMALL: Final = (
    "--max-msg-size=100",
    "--max-body-size=300",
    "--max-rdy-count=10",
    "--max-req-timeout=2s",
    "--max-msg-timeout=3s",
    "--msg-timeout=2s",
    "--max-channel-consumers=1",
    "--max-heartbeat-interval=5s",
    "--max-output-buffer-size=1024",
    "--min-output-buffer-timeout=100ms",
    "--max-output-buffer-timeout=1s",
    "--output-buffer-timeout=150ms",
)
TLS: Final = ("--tls-cert=$certs/server.pem", "--tls-key=$certs/server.key", "--tls-root-ca-file=$certs/ca.pem")
BENCHES: Final[dict[str, Bench]] = {
    "nsqd": Bench("nsqd"),
    "timed": Bench("nsqd"),  # of few channels: the original looks at 20 of all in turn for what is due
    "small": Bench("nsqd", SMALL),
    "quick": Bench("nsqd", ("--msg-timeout=1s", "--max-msg-timeout=3s", "--max-req-timeout=400ms")),
    "disk": Bench("nsqd", ("--mem-queue-size=2",)),
    "latency": Bench("nsqd", ("--e2e-processing-latency-percentile=0.5,1.0,0.99",), serial=True),
    "alone": Bench("nsqd", serial=True),
    "tls": Bench("nsqd", TLS),
    "tls required": Bench("nsqd", (*TLS, "--tls-required")),
    "tls required but for HTTP": Bench("nsqd", (*TLS, "--tls-required=tcp-https", "--tls-min-version=tls1.3")),
    "a certificate": Bench("nsqd", (*TLS, "--tls-client-auth-policy=require")),
    "a good certificate": Bench(
        "nsqd",
        (*TLS, "--tls-client-auth-policy=require-verify", "--tls-required=tcp-https", "--tls-min-version=tls1.2"),
    ),
    "another policy": Bench("nsqd", (*TLS, "--tls-client-auth-policy=sometimes", "--max-deflate-level=3")),
    "uncompressed": Bench("nsqd", (*TLS, "--snappy=false", "--deflate=false")),
    "auth": Bench("nsqd", (*TLS, "--auth-http-address=$nsqauthd")),
    "auth by certificate": Bench(
        "nsqd",
        (*TLS, "--tls-client-auth-policy=require", "--tls-required=tcp-https", "--auth-http-address=http://$auth/auth"),
    ),
    "auth answers": Bench("nsqd", ("--auth-http-address=$auth",)),
    "auth over TLS": Bench("nsqd", (*TLS, "--auth-http-address=https://$tlsauth/over/tls")),
    "auth is down": Bench("nsqd", ("--auth-http-address=127.0.0.1:1",)),
    "one auth of two is down": Bench("nsqd", ("--auth-http-address=127.0.0.1:1", "--auth-http-address=$nsqauthd")),
    "lookupd": Bench("nsqlookupd"),
    "shortlived": Bench("nsqlookupd", ("--tombstone-lifetime=400ms", "--inactive-producer-timeout=600ms")),
    "registry": Bench("nsqlookupd", serial=True),
}


class Daemon:
    """One process; its ports, by `tcp`, `http` and `https`, are those that it logged."""

    def __init__(self, process: asyncio.subprocess.Process, awaited: frozenset[str]) -> None:
        self.ports: dict[str, int] = {}
        self.log: list[bytes] = []
        self._process = process
        self._awaited = awaited
        self._listening = asyncio.Event()
        self._reader = asyncio.create_task(self._read())

    @classmethod
    async def start(cls, program: str, flags: tuple[str, ...], *, original: Path | None, folder: Path) -> "Daemon":
        """Start the original from its folder, or ours."""
        words = [str(original / program)] if original else [sys.executable, "-m", f"millstream.cli.{program}"]
        awaited = {flag.partition("-address=")[0].removeprefix("--") for flag in OWN_FLAGS[program]} - {"broadcast"}
        if program == "nsqd":
            folder.mkdir(parents=True)  # noqa: ASYNC240 (nothing else waits for it)
            if not any(flag.startswith("--tls-cert") for flag in flags):
                awaited.remove("https")
            flags = (*flags, f"--data-path={folder}")
        process = await asyncio.create_subprocess_exec(
            *(*words, *OWN_FLAGS[program], *flags),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        daemon = cls(process, frozenset(awaited))
        try:
            async with asyncio.timeout(DEADLINE_S):
                await daemon._listening.wait()
        except TimeoutError:
            pass
        if not daemon._listens:
            await daemon.end()
            raise AssertionError(f"{program} does not listen: {daemon.log}")
        return daemon

    @property
    def _listens(self) -> bool:
        return self.ports.keys() >= self._awaited

    async def _read(self) -> None:
        assert self._process.stderr is not None
        async for line in self._process.stderr:
            self.log.append(line.rstrip(b"\n"))
            if found := LISTENING.search(self.log[-1]):
                self.ports[(found[1] or found[2]).decode().lower()] = int(found[3])
                if self._listens:
                    self._listening.set()
        self._listening.set()

    def address(self, kind: str) -> str:
        """Where it listens for `tcp`, `http` or `https`."""
        return f"127.0.0.1:{self.ports[kind]}"

    async def end(self) -> None:
        """End the process, whatever it does."""
        with suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()
        await self._reader

    def unexpected(self) -> list[bytes]:
        """Lines of the log that speak of a mistake in the daemon."""
        return [line for line in self.log if UNEXPECTED.search(line)]
