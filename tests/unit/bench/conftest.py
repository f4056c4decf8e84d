"""A broker of ours with processes for loads, started once per file; and a server that answers what a test tells it."""

import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from itertools import count

import pytest

from millstream.base.units import Address
from millstream.bench.broker import Broker
from millstream.bench.contenders import tls_flags
from millstream.bench.cores import Cores
from millstream.bench.load import LoadProcess
from millstream.bench.started import StartedBroker
from millstream.bench.trial import Trial

TIMEOUT_S = 60.0

_numbers = count()


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    folder = tmp_path_factory.mktemp("bench")
    command = [sys.executable, "-m", "millstream.cli.nsqd", *tls_flags(folder)]
    with StartedBroker("millstream", command, folder / "broker", None) as running:
        yield running


@pytest.fixture(scope="module")
def loads() -> Iterator[dict[str, LoadProcess]]:
    with ExitStack() as stack:
        yield {name: stack.enter_context(LoadProcess(None)) for name in ("pub", "sub")}


@pytest.fixture
def trial_of(broker: Broker, loads: dict[str, LoadProcess]) -> Callable[[int], Trial]:
    def make(messages: int) -> Trial:
        return Trial(
            broker=broker,
            loads=loads,
            cores=Cores(),
            topic=f"topic{next(_numbers)}",
            messages=messages,
            timeout_s=TIMEOUT_S,
        )

    return make


@pytest.fixture
def answering() -> Callable[..., AbstractContextManager[Address]]:
    return _answering


@contextmanager
def _answering(*answers: bytes) -> Iterator[Address]:
    """A server that takes one connection, sends each answer behind one read, and then says nothing more."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(TIMEOUT_S)

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.settimeout(TIMEOUT_S)
                for answer in answers:
                    if not connection.recv(1 << 20):
                        return
                    connection.sendall(answer)
                with suppress(ConnectionResetError):
                    while connection.recv(1 << 20):
                        pass

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield Address("127.0.0.1", server.getsockname()[1])
