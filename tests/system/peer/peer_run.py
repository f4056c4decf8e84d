"""Carries out one scenario on one side, and keeps what was said as lines."""

import asyncio
import re
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import peer_mask
from peer_announced import LookupListener
from peer_auth import AuthServer
from peer_certificates import Certificates
from peer_daemons import Daemon
from peer_script import (
    Ask,
    Asked,
    Close,
    Compress,
    Dial,
    Heard,
    Hello,
    Listen,
    Quiet,
    Raw,
    Scenario,
    Secure,
    Send,
    Sized,
    Step,
    Take,
    Tool,
    Until,
    sized,
)
from peer_wire import Connection

FOLDER: Final = Path(__file__).resolve().parent
STEP_DEADLINE_S: Final = 60
MAGIC: Final = {"nsqd": b"  V2", "nsqlookupd": b"  V1"}
POLL_S: Final = 0.04
IN_VAIN: Final = "waited in vain for"
HEARTBEAT: Final = b"_heartbeat_"
COMPARED_HEADERS: Final = ("allow", "content-type", "location", "x-nsq-content-type")

Transcript = list[str]


@dataclass(slots=True)
class Side:
    """The daemons of one side by what they are; a scenario speaks to `main` unless it says otherwise.

    `tools` is the folder of the original ones; `programs` bounds how many tools run at once, on all sides.
    """

    name: str
    main: str
    certificates: Certificates
    tools: Path
    programs: asyncio.Semaphore
    auth: AuthServer | None = None
    daemons: dict[str, Daemon] = field(default_factory=dict)

    def daemon(self, of: str = "") -> Daemon:
        return self.daemons[of or self.main]


class Run:
    """One scenario on one side."""

    def __init__(self, scenario: Scenario, side: Side, topic: str, folder: Path) -> None:
        self.lines: Transcript = []
        self._scenario = scenario
        self._side = side
        self._topic = topic
        self._folder = folder
        self._connections: dict[str, Connection] = {}
        self._names = peer_mask.Names(topic)
        for name, daemon in side.daemons.items():
            self._names.add_ports(name, daemon.ports)
        self._names.texts |= {str(folder): "$dir", str(side.certificates.folder): "$certs", topic: "$t"}
        if side.auth is not None:
            self._names.add_ports("auth", {"http": side.auth.port, "https": side.auth.tls_port})
        self._listener = LookupListener(lambda data: self._payload(data, "nsqlookupd"), self._names.is_own)
        self._values = self._known_values()

    def _known_values(self) -> dict[str, str]:
        """What `$` and a word stand for."""
        side, daemon = self._side, self._side.daemon()
        values = {kind: daemon.address(kind) for kind in daemon.ports}
        if "nsqlookupd" in side.daemons:
            values["lookupd"] = side.daemon("nsqlookupd").address("http")
        return values | {
            "httpport": str(daemon.ports["http"]),
            "dir": str(self._folder),
            "certs": str(side.certificates.folder),
            "t": self._topic,
            "u": f"{self._topic}u",
        }

    async def run(self) -> Transcript:
        """Every step, then every connection to its end."""
        try:
            for step in self._scenario.steps:
                await self._step(step)
            for name in sorted(self._connections):
                await self._drain(name)
        except TimeoutError:
            self.lines.append(f"{IN_VAIN} what should come next")
        except Exception as error:
            error.add_note(f"in the scenario {self._scenario.name!r} on {self._side.name}")
            raise
        finally:
            for connection in self._connections.values():
                connection.close()
            self._listener.close()
        return self.lines

    async def _step(self, step: Step) -> None:
        match step:
            case bytes():
                await (await self._connection("a")).send(self._filled(step))
            case int():
                await self._take(Take(step))
            case Dial():
                self._connections[step.of] = await self._dial(step.of, step.first)
            case Send():
                await (await self._connection(step.of)).send(self._filled(step.data), in_pieces=step.in_pieces)
            case Sized():
                data = self._filled(step.command) + sized(self._filled(step.body))
                await (await self._connection(step.of)).send(data)
            case Take():
                await self._take(step)
            case Secure():
                await self._secure(step)
            case Compress():
                self._connections[step.of].compress(step.codec)
            case Quiet():
                with suppress(TimeoutError):
                    await self._take(Take(1_000, step.of), step.seconds)
            case Close():
                await self._close(step)
            case Ask():
                await self._ask(step)
            case Until():
                await self._wanted(step.ask)
            case Raw():
                port = self._side.daemon().ports["https" if step.to_https else "http"]
                self._answered(await self._exchange(port, self._filled(step.data), None))
            case Asked():
                assert self._side.auth is not None
                self.lines += [self._names.mask(question) for question in self._side.auth.questions(self._topic)]
            case Listen():
                await self._listen()
            case Heard():
                async with asyncio.timeout(STEP_DEADLINE_S):
                    heard = await self._listener.heard(step.count)
                self.lines += [line for said in (sorted(heard) if step.any_order else heard) for line in said]
            case Tool():
                async with self._side.programs:
                    await self._tool(step)

    async def _listen(self) -> None:
        await self._listener.start()
        self._values["listener"] = f"127.0.0.1:{self._listener.port}"
        self._names.add_ports("listener", {"tcp": self._listener.port})

    def _filled(self, data: bytes) -> bytes:
        """The bytes with what `$` stands for; of words that begin alike the longest."""
        if b"$" not in data:
            return data
        values = self._values | {
            f"m{number}": found.decode() for number, found in enumerate(self._names.message_ids, 1)
        }
        pattern = rb"\$(" + b"|".join(sorted((name.encode() for name in values), key=len, reverse=True)) + rb")"
        return re.sub(pattern, lambda found: values[found[1].decode()].encode(), data)

    # TCP

    async def _dial(self, name: str, first: bytes) -> Connection:
        has_kind = self._side.main == "nsqd"
        connection = await Connection.open(self._side.daemon().ports["tcp"], first, has_kind=has_kind)
        self._names.texts[f"127.0.0.1:{connection.port}"] = f"<client {name}>"
        self._names.client_ports[connection.port] = name
        return connection

    async def _connection(self, name: str) -> Connection:
        if name not in self._connections:
            self._connections[name] = await self._dial(name, MAGIC[self._side.main])
        return self._connections[name]

    async def _secure(self, step: Secure) -> None:
        async with asyncio.timeout(STEP_DEADLINE_S):
            done = await self._connections[step.of].secure(self._side.certificates.context(step.hello))
        self.lines.append(f"{step.of}: {done}")

    async def _take(self, step: Take, seconds: float = STEP_DEADLINE_S) -> None:
        """Frames up to a number or the end; messages among them are put behind the rest."""
        connection = await self._connection(step.of)
        others: list[str] = []
        messages: list[str] = []
        count = 0
        try:
            async with asyncio.timeout(seconds):
                while count < step.count and not connection.is_closed:
                    frame = await connection.frame()
                    count += 1
                    if frame is None:
                        others.append(f"{step.of}: closed")
                    elif frame[0] == peer_mask.MESSAGE:
                        messages.append(f"{step.of}: {self._names.message(frame[1])}")
                    else:
                        others += self._reply(step.of, *frame)
        finally:
            lines = others + messages
            self.lines += sorted(lines) if step.any_order else lines

    def _reply(self, name: str, kind: int, data: bytes) -> list[str]:
        lines = self._payload(data)
        word = {peer_mask.RESPONSE: "", peer_mask.ERROR: "error "}.get(kind, f"kind {kind} ")
        return [f"{name}: {word}{lines[0]}", *lines[1:]]

    async def _drain(self, name: str) -> None:
        connection = self._connections[name]
        if not connection.is_closed:
            await connection.end()
            await self._take(Take(1_000_000, name))

    async def _close(self, step: Close) -> None:
        connection = self._connections[step.of]
        if step.waits:
            await self._take(Take(1_000_000, step.of))
            self.lines = [line for line in self.lines if line != f"{step.of}: {HEARTBEAT!r}"]
        connection.close()
        del self._connections[step.of]

    def _payload(self, data: bytes, of: str = "") -> list[str]:
        return peer_mask.payload(data, self._names, exact=self._scenario.exact, program=of or self._side.main)

    # HTTP

    async def _ask(self, step: Ask) -> None:
        self._answered(await self._wanted(step), step.of)

    async def _wanted(self, step: Ask) -> bytes:
        """The answer, or that of the last attempt, once it has what is waited for."""
        wanted = self._filled(step.until.encode())
        end = time.monotonic() + STEP_DEADLINE_S
        while True:
            answer = await self.request(step)
            is_nsqd = (step.of or self._side.main) == "nsqd"  # of which other scenarios' publishers are at the end
            told = answer.partition(b'"producers":[')[0] if is_nsqd else answer
            if wanted in told:
                return answer
            if time.monotonic() > end:
                self.lines.append(f"{IN_VAIN} {step.until}")
                return answer
            await asyncio.sleep(POLL_S)

    async def request(self, step: Ask) -> bytes:
        path = self._filled(step.path.encode())
        headers = ["Host: localhost", "Connection: close", *step.headers]
        if (step.body or step.method in {"POST", "PUT"}) and not any("Content-Length" in line for line in headers):
            headers.append(f"Content-Length: {len(self._filled(step.body))}")
        head = step.method.encode() + b" " + path + b" HTTP/1.1\r\n" + "\r\n".join(headers).encode() + b"\r\n\r\n"
        port = self._side.daemon(step.of).ports["https" if step.over else "http"]
        return await self._exchange(port, head + self._filled(step.body), step.over)

    async def _exchange(self, port: int, data: bytes, over: Hello | None) -> bytes:
        async with asyncio.timeout(STEP_DEADLINE_S):
            connection = await Connection.open(port, b"" if over else data, has_kind=False)
            try:
                if over is not None:
                    await connection.secure(self._side.certificates.context(over))
                    await connection.send(data)
                return await connection.rest()
            finally:
                connection.close()

    def _answered(self, answer: bytes, of: str = "") -> None:
        """Of each answer the status, those headers that NSQ's clients look at, and the body."""
        if not answer:
            self.lines.append("HTTP is not answered")
        while answer:
            head, _, answer = answer.partition(b"\r\n\r\n")
            status, *fields = head.decode("latin-1").split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in fields)}
            if headers.get("transfer-encoding") == "chunked":
                body, answer = _unchunked(answer), b""
            else:
                length = 0 if " 100 " in status else int(headers.get("content-length", len(answer)))
                body, answer = answer[:length], answer[length:]
            self.lines.append(f"HTTP {status.partition(' ')[2]}")
            self.lines += [self._names.mask(f"{name}: {headers[name]}") for name in COMPARED_HEADERS if name in headers]
            if body:
                self.lines += self._payload(body, of)

    # Tools

    async def _tool(self, step: Tool) -> None:
        flags = [self._filled(flag.encode()).decode() for flag in step.flags]
        self._folder.mkdir(parents=True, exist_ok=True)
        pipe = asyncio.subprocess.PIPE
        is_script = step.name.startswith("peer_")
        if is_script:
            words = [sys.executable, str(FOLDER / f"{step.name}.py")]
        elif step.is_ours:
            words = [sys.executable, "-m", f"millstream.cli.{step.name}"]
        else:
            words = [str(self._side.tools / step.name)]
        process = await asyncio.create_subprocess_exec(
            *words, *flags, stdin=pipe, stdout=pipe, stderr=pipe if is_script else asyncio.subprocess.DEVNULL
        )
        try:
            async with asyncio.timeout(STEP_DEADLINE_S):
                if step.until is not None:
                    await self._wanted(step.until)
                    process.terminate()
                output, errors = await process.communicate(self._filled(step.stdin))
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        # That both fail alike would say nothing of the daemons.
        assert not (is_script and process.returncode), errors.decode()
        self.lines.append(f"{step.name} exited {process.returncode}")
        self.lines += self._names.mask(output.decode()).splitlines()
        for path in sorted(self._folder.rglob("*")):
            self.lines.append(f"wrote {self._names.mask(path.name)} {peer_mask.short(path.read_bytes())}")


def _unchunked(data: bytes) -> bytes:
    """The body of an answer that came in chunks."""
    body = b""
    while data:
        size, _, data = data.partition(b"\r\n")
        length = int(size, 16)
        body, data = body + data[:length], data[length + 2 :]
    return body
