"""Five fixed pieces of work for the compiled core, run under callgrind by `test_instructions.py`.

    valgrind --tool=callgrind --dump-before=getppid ... python tests/benchmarks/instructions.py FOLDER

A whole nsqd is started in this process, on a data path in FOLDER; bytes go straight into sessions and the turn is
called by hand, so there is no socket, no second thread and no timer in what is counted. What lies between two calls of
getppid is one piece: callgrind writes its counts at each.
"""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any, Final

import uvloop

from millstream.net.http import HttpServer, Router
from millstream.nsqd.options import DaemonOptions
from millstream.nsqd.publishing import Publishing
from millstream.nsqd.service import Nsqd
from millstream.nsqd.session import Session
from millstream.protocol.commands import Fin, Identify, Mpub, Pub, Rdy, Sub

BODY: Final = bytes(range(200))
BATCH: Final = 200
BATCHES: Final = 50
SINGLES: Final = 2_000
TURNS: Final = 1_000
RDY: Final = 2_500
FIN_BYTES: Final = 21


class FixedClock:
    """Time does not pass: nothing that is counted depends on it."""

    def wall_ns(self) -> int:
        """An instant."""
        return 1_700_000_000 * 10**9

    def monotonic_ns(self) -> int:
        """Another one."""
        return 10**9


class Nowhere:
    """A transport whose bytes are thrown away."""

    def __init__(self) -> None:
        self._file = open(os.devnull, "wb", buffering=0)  # noqa: PTH123, SIM115 - its descriptor is written to

    def fileno(self) -> int:
        """Where a session writes."""
        return self._file.fileno()

    def get_extra_info(self, name: str) -> Any:
        """The socket is this."""
        return {"socket": self, "peername": ("127.0.0.1", 1)}.get(name)

    def get_write_buffer_size(self) -> int:
        """Everything is gone at once."""
        return 0

    def set_write_buffer_limits(self, **_: int) -> None:
        """There is no buffer."""

    def pause_reading(self) -> None:
        """Bytes come by hand."""

    def resume_reading(self) -> None:
        """Bytes come by hand."""

    def close(self) -> None:
        """Throw no more away."""
        self._file.close()

    abort = close


def feed(session: Session, data: bytes | memoryview) -> None:
    """Hand bytes over as a loop does: a read fills at most what the session offers."""
    rest = memoryview(data)
    while rest:
        view = session.get_buffer(-1)
        count = min(len(view), len(rest))
        view[:count] = rest[:count]
        session.buffer_updated(count)
        rest = rest[count:]


def uncounted() -> None:
    """Stands for the mark while everything is done for the first time."""


async def run(folder: str) -> None:
    """Do everything once as a warm-up, then once between the marks."""
    options = DaemonOptions(tcp_address="127.0.0.1:0", http_address="127.0.0.1:0", data_path=folder)
    nsqd = Nsqd(options, FixedClock())
    async with asyncio.TaskGroup() as group:
        await nsqd.start(group)
        host = nsqd.host
        assert host is not None

        def connect() -> Session:
            session = Session(host)
            session.connection_made(Nowhere())
            feed(session, b"  V2" + Identify(json.dumps({"client_id": "c"}).encode()).encode())
            return session

        publisher, subscriber = connect(), connect()
        feed(subscriber, Sub("t", "c").encode())
        host.turn.run()
        topic = host.broker.topics["t"]
        batches = Mpub("t", [BODY] * BATCH).encode()
        single = Pub("t", BODY).encode()
        singles = single * SINGLES
        first = topic.log.next_seq

        def publish_batches() -> None:
            for _ in range(BATCHES):
                feed(publisher, batches)
                host.turn.run()

        def fins() -> memoryview:
            """The answers to all that is ready; made outside of what is counted."""
            answers = (Fin(b"%016x" % seq).encode() for seq in range(first, topic.log.ready_seq))
            return memoryview(b"".join(answers))

        def deliver(answers: memoryview) -> None:
            nonlocal first
            channel = topic.channels["c"]
            feed(subscriber, Rdy(RDY).encode())
            while answers:
                host.turn.run()
                count = channel.in_flight_count
                feed(subscriber, answers[: count * FIN_BYTES])
                answers = answers[count * FIN_BYTES :]
                first += count
            feed(subscriber, Rdy(0).encode())

        def publish_singles() -> None:
            feed(publisher, singles)
            host.turn.run()

        def publish_in_turns() -> None:
            for _ in range(TURNS):
                feed(publisher, single)
                host.turn.run()

        publishing, router = Publishing(host), Router()
        router.add("POST", "/pub", publishing.publish, body_bytes_max=len(BODY), repeat=publishing.again)
        connection: Any = HttpServer(router).protocol()
        connection.connection_made(Nowhere())
        request = b"POST /pub?topic=t HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY)

        def publish_over_http() -> None:
            for _ in range(TURNS):
                connection.data_received(request)
                host.turn.run()

        for counts in (uncounted, os.getppid):
            counts()
            publish_batches()
            counts()
            answers = fins()
            counts()
            deliver(answers)
            counts()
            publish_singles()
            counts()
            publish_in_turns()
            counts()
            publish_over_http()
            counts()
            deliver(fins())
        assert topic.channels["c"].in_flight_count == 0
        assert topic.channels["c"].depth == 0
        publisher.abort()
        subscriber.abort()
        connection.abort()
        await nsqd.stop()


if __name__ == "__main__":
    Path(sys.argv[1]).mkdir(exist_ok=True)
    uvloop.run(run(sys.argv[1]))
