"""A whole nsqd in this process, attacked over socket pairs: TCP clients in any state, and every HTTP endpoint.

What it must never do: fail in a callback, answer 500, send half a frame, or keep a client waiting that has nothing more
to say. After each input all topics are deleted, so that inputs do not depend on each other.
"""

import asyncio
import socket
import tempfile
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import cramjam
import httptools
from fuzz_protocol import ID
from fuzz_target import Target, pieces, sized

from millstream.base.log import set_level
from millstream.base.system import SystemClock
from millstream.net.http import HttpServer
from millstream.net.upgrade import Deflate, Snappy
from millstream.nsqd.host import Host
from millstream.nsqd.http import NsqdApi
from millstream.nsqd.options import DaemonOptions
from millstream.nsqd.service import Connection, Nsqd

DEADLINE_S: Final = 20
FRAME_KINDS: Final = (0, 1, 2)
MESSAGE_MAX: Final = 2_000
# An error repeats the name that is wrong, each of its bytes as four at the worst.
FRAME_BYTES_MAX: Final = 70_000


class _Daemon:
    """Built for the first input; lives as long as the process."""

    def __init__(self) -> None:
        set_level("fatal")
        self.loop = asyncio.new_event_loop()
        self.trouble: list[str] = []
        self.loop.set_exception_handler(lambda _, context: self.trouble.append(repr(context)))
        self._folder = tempfile.TemporaryDirectory(prefix="millstream-fuzz-")
        options = DaemonOptions(
            tcp_address="127.0.0.1:0",
            http_address="",
            data_path=self._folder.name,
            durability="memory",
            max_msg_size=MESSAGE_MAX,
            max_body_size=6_000,
        )
        self._nsqd = Nsqd(options, SystemClock())
        self._started, self._stopped = asyncio.Event(), asyncio.Event()
        self._life = self.loop.create_task(self._live())
        self.loop.run_until_complete(self._started.wait())
        assert self._nsqd.host is not None
        assert self._nsqd.policies is not None
        self.host: Host = self._nsqd.host
        self.http = HttpServer(NsqdApi(self.host, lambda: (1, 2), self._nsqd.policies).router())

    async def _live(self) -> None:
        async with asyncio.TaskGroup() as group:
            try:
                await self._nsqd.start(group)
                self._started.set()
                await self._stopped.wait()
                await self.http.close()
            finally:
                await self._nsqd.stop()

    def close(self) -> None:
        """Leave nothing behind."""
        self._stopped.set()
        self.loop.run_until_complete(self._life)
        self.loop.close()
        self._folder.cleanup()

    def attack(self, make: Callable[[], asyncio.BaseProtocol], parts: list[bytes], *, first: bytes = b"") -> bytes:
        """Send `first`, which is answered, the parts one after the other, and the end; everything that came back."""
        answer = self.loop.run_until_complete(self._attack(make, parts, first))
        assert not self.trouble, self.trouble
        return answer

    async def _attack(self, make: Callable[[], asyncio.BaseProtocol], parts: list[bytes], first: bytes) -> bytes:
        ours, theirs = socket.socketpair()
        for one in (ours, theirs):
            one.setblocking(False)
        received = bytearray()
        async with asyncio.timeout(DEADLINE_S):
            transport, _ = await self.loop.connect_accepted_socket(make, theirs)
            reading = asyncio.ensure_future(self._read(ours, received))
            with suppress(OSError):
                if first:
                    await self.loop.sock_sendall(ours, first)
                    while not received:  # noqa: ASYNC110 - filled by `_read`
                        await asyncio.sleep(0)
                for part in parts:
                    await self.loop.sock_sendall(ours, part)
                    # One turn to read it, one to carry it out.
                    await asyncio.sleep(0)
                    await asyncio.sleep(0)
                ours.shutdown(socket.SHUT_WR)
            await reading
            ours.close()
            while not transport.is_closing() or self.host.sessions:  # noqa: ASYNC110 - it offers state, not events
                await asyncio.sleep(0)
        self._forget()
        return bytes(received)

    def _forget(self) -> None:
        """Be as at the start."""
        set_level("fatal")
        self.host.drain.cancel()
        self.host.turn.run()
        for topic in list(self.host.broker.topics.values()):
            self.host.broker.delete_topic(topic)
        self.host.turn.run()

    async def _read(self, ours: socket.socket, received: bytearray) -> None:
        with suppress(ConnectionError):
            while data := await self.loop.sock_recv(ours, 1 << 16):
                received += data


_daemons: list[_Daemon] = []


def _daemon() -> _Daemon:
    if not _daemons:
        _daemons.append(_Daemon())
    return _daemons[0]


def close() -> None:
    """End the daemon, if there is one."""
    while _daemons:
        _daemons.pop().close()


# ------------------------------------------------------------------------------------------------------ TCP


def session(data: bytes) -> None:
    """What one TCP client sends; by the first byte in plain, in a compression, or as that compression's own bytes."""
    daemon = _daemon()
    kind, data = data[0] % 5 if data else 0, data[1:]
    features, codec = (("", None), ("snappy", Snappy()), ("deflate", Deflate(1)), ("snappy", None), ("deflate", None))[
        kind
    ]
    if not features:
        _check_frames(daemon.attack(lambda: Connection(daemon.host), [b"  V2", *pieces(data)]))
        return
    parts = pieces(data)
    first = b"  V2IDENTIFY\n" + sized(b'{"feature_negotiation":true,"%b":true}' % features.encode())
    encoded = [codec.encode(part) for part in parts] if codec else parts
    received = daemon.attack(lambda: Connection(daemon.host), encoded, first=first)
    end = 4 + int.from_bytes(received[:4], "big")
    _check_frames(received[:end])
    _check_frames(b"".join((codec or (Snappy() if features == "snappy" else Deflate(1))).decode(received[end:])))


def _check_frames(received: bytes) -> None:
    at = 0
    while at < len(received):
        size, kind = int.from_bytes(received[at : at + 4], "big"), int.from_bytes(received[at + 4 : at + 8], "big")
        assert kind in FRAME_KINDS
        assert 4 <= size <= FRAME_BYTES_MAX
        payload = received[at + 8 : at + 4 + size]
        assert len(payload) == size - 4, "half a frame"
        assert kind != 1 or payload.startswith(b"E_")
        assert kind != 2 or len(payload) > 26
        at += 4 + size


# ------------------------------------------------------------------------------------------------------ HTTP


class _Answers:
    """Notes the statuses that a parser of HTTP responses finds."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.parser: Any = httptools.HttpResponseParser(self)

    def on_message_begin(self) -> None:
        self.statuses.append(0)

    def on_headers_complete(self) -> None:
        self.statuses[-1] = self.parser.get_status_code()


def http(data: bytes) -> None:
    """What comes over one HTTP connection to nsqd."""
    daemon = _daemon()
    received = daemon.attack(daemon.http.protocol, pieces(data))
    if b"HEAD" in data or not received:
        # The parser cannot know that an answer to HEAD has no body.
        return
    assert received.startswith(b"HTTP/1.1 ")
    answers = _Answers()
    answers.parser.feed_data(received)
    assert 500 not in answers.statuses, received


def _post(target: bytes, body: bytes = b"") -> bytes:
    return b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (target, len(body), body)


def _get(target: bytes) -> bytes:
    return b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n" % target


_IDENTIFY: Final = b"IDENTIFY\n" + sized(b'{"feature_negotiation":true,"heartbeat_interval":-1,"msg_timeout":1000}')
_PATHS: Final = tuple(
    path.encode()
    for path in (
        *(
            "/pub?topic=t",
            "/mpub?topic=t&binary=true",
            "/mpub?topic=t",
            "/pub?topic=t&defer=10",
            "/topic/create?topic=t",
        ),
        *("/topic/delete?topic=t", "/topic/empty?topic=t", "/topic/pause?topic=t", "/channel/create?topic=t&channel=c"),
        *("/channel/delete?topic=t&channel=c", "/channel/empty?topic=t&channel=c", "/channel/pause?topic=t&channel=c"),
        *("/drain", "/drain?cancel=true", "/config/nsqlookupd_tcp_addresses", "/config/log_level", "/metrics", "/info"),
        *("/stats?format=json&topic=t&channel=c", "/stats?include_clients=false", "/ping"),
    )
)

_SAID: Final = (
    b"PUB t\n" + sized(b"one") + b"SUB t c\nRDY 5\nFIN " + ID + b"\n" + b"CLS\n",
    b"SUB t c\nRDY 2\nPUB t\n" + sized(b"one") + b"MPUB t\n" + sized(b"\0\0\0\2" + sized(b"a") + sized(b"b")),
    _IDENTIFY + b"PUB t#ephemeral\n" + sized(b"x") + b"NOP\nDPUB t 100\n" + sized(b"later"),
    b"SUB t c\nREQ " + ID + b" 0\nTOUCH " + ID + b"\nAUTH\n" + sized(b"s"),
    b"PUB t\n" + sized(bytes(MESSAGE_MAX)) + b"PUB t\n" + sized(bytes(MESSAGE_MAX + 1)),
)
SESSION: Final = Target(
    session,
    (
        *(kind + cut + said for said in _SAID for kind in (b"\0", b"\1", b"\2") for cut in (b"\xff\xff", b"\x13\x47")),
        b"\3\xff\xff" + bytes(cramjam.snappy.compress(_SAID[0])),
        b"\4\xff\xff" + Deflate(1).encode(_SAID[0]),
    ),
    (
        *(b"PUB t\n", b"MPUB t\n", b"DPUB t 1\n", b"SUB t c\n", b"RDY 1\n", b"FIN ", b"REQ ", b"TOUCH ", b"CLS\n"),
        *(
            b"IDENTIFY\n",
            b"AUTH\n",
            b"\x00\x00\x00\x01x",
            ID,
            b'"sample_rate":',
            b'"output_buffer_size":',
            b"#ephemeral",
        ),
        *(
            b"RDY 2501\n",
            b"REQ 0000000000000000 3600001\n",
            b"DPUB t 3600001\n",
            b"\x00\x00\x07\xd1",
            b"\xff\xff\xff\xff",
        ),
    ),
    is_cut=False,
)
HTTP: Final = Target(
    http,
    (
        b"".join(_post(path, b"\0\0\0\1\0\0\0\1x") for path in _PATHS[:4]) + _get(b"/stats?format=json"),
        b"".join(_post(path) for path in _PATHS[4:13]) + _get(b"/stats"),
        *(_get(path) for path in _PATHS[13:]),
        b'PUT /config/nsqlookupd_tcp_addresses HTTP/1.1\r\nHost: x\r\nContent-Length: 7\r\n\r\n["h:1"]',
        b"PUT /config/log_level HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nfatal",
        _post(b"/pub?topic=t", b"x").replace(
            b"Content-Length: 1\r\n\r\nx", b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"
        ),
    ),
    (
        *_PATHS,
        b"GET ",
        b"POST ",
        b"PUT ",
        b" HTTP/1.1\r\nHost: x\r\n",
        b"Content-Length: 9\r\n\r\n",
        b"&binary=1",
        b"%23ephemeral",
    ),
)
