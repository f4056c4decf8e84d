"""What an nsqd says to nsqlookupd: a listener that takes it down and answers as nsqlookupd does, over TCP and HTTP."""

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from typing import Final

GET: Final = b"GET "


class LookupListener:
    """Speaks to one nsqd after the other; of every topic it knows a channel, and one that is ephemeral.

    One port is enough: HTTP does not begin as NSQ does. `payload` makes lines of what was said. PINGs are left out,
    which come every 15 s of nsqd's life, and what is said of topics that are not `is_own`: nsqd may be late to say that
    those of an earlier scenario are gone.
    """

    def __init__(self, payload: Callable[[bytes], list[str]], is_own: Callable[[str], bool]) -> None:
        self.port = 0
        self._payload = payload
        self._is_own = is_own
        self._heard: asyncio.Queue[list[str]] = asyncio.Queue()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen on a port of the system's choice."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    def close(self) -> None:
        """Listen no more."""
        if self._server is not None:
            self._server.close()

    async def heard(self, count: int) -> list[list[str]]:
        """The next things that were said, each as lines."""
        return [await self._heard.get() for _ in range(count)]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first = b""
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            first = await reader.readexactly(len(GET))
            if first == GET:
                await self._answer(reader, writer)
            else:
                self._heard.put_nowait(self._payload(first))
                await self._reply(reader, writer)
        if first != GET:
            self._heard.put_nowait(["closed"])
        writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line, *fields = (GET + await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        accepts = [field for field in fields if field.lower().startswith("accept:")]
        self._heard.put_nowait(self._payload(" ".join([line, *accepts]).encode()))
        body = b'{"channels":["x","y#ephemeral"]}'
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()

    async def _reply(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            said = self._payload(line.removesuffix(b"\n"))
            reply = b"OK"
            if line == b"IDENTIFY\n":
                said += self._payload(await reader.readexactly(int.from_bytes(await reader.readexactly(4), "big")))
                about = {"broadcast_address": "127.0.0.1", "http_port": self.port, "version": "1.3.0"}
                reply = json.dumps(about).encode()
            if self._counts(line.decode().split()):
                self._heard.put_nowait(said)
            writer.write(len(reply).to_bytes(4, "big") + reply)

    def _counts(self, words: list[str]) -> bool:
        match words:
            case ["PING"]:
                return False
            case ["REGISTER" | "UNREGISTER", topic, *_]:
                return self._is_own(topic)
        return True
