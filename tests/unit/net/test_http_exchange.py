import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.net.http_exchange import ClientResponse, ExchangeFailed, HttpExchange

pytestmark = pytest.mark.asyncio(loop_factories=["asyncio", "uvloop"])


class ScriptedServer(asyncio.Protocol):
    """Sends its script, chunk by chunk, when something is asked."""

    def __init__(self, script: list[bytes], *, close: bool) -> None:
        self.script = script
        self.close = close

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, _: bytes) -> None:
        for chunk in self.script:
            self.transport.write(chunk)  # type: ignore[attr-defined]  # uvloop's transports have no common class
        if self.close:
            self.transport.close()


Exchange = Callable[..., Awaitable[tuple[ClientResponse, bool]]]


@pytest.fixture
async def exchange() -> AsyncIterator[Exchange]:
    loop = asyncio.get_running_loop()
    servers: list[asyncio.Server] = []

    async def ask(*script: bytes, close: bool = False, size_max: int = 1000) -> tuple[ClientResponse, bool]:
        server = await loop.create_server(lambda: ScriptedServer(list(script), close=close), "127.0.0.1", 0)
        servers.append(server)
        lost = asyncio.Event()
        port = server.sockets[0].getsockname()[1]
        _, client = await loop.create_connection(
            lambda: HttpExchange(size_max, on_made=lambda _: None, on_lost=lambda _: lost.set()), "127.0.0.1", port
        )
        try:
            async with asyncio.timeout(20):
                response = await client.ask(b"GET / HTTP/1.1\r\n\r\n")
                return response, client.usable
        finally:
            client.abort()
            async with asyncio.timeout(20):
                await lost.wait()

    yield ask
    for server in servers:
        server.close()
    await asyncio.sleep(0)


async def test_a_body_of_known_length(exchange: Exchange) -> None:
    response, usable = await exchange(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nA: b\r\nA: c\r\n\r\nhe", b"llo")

    assert response == ClientResponse(200, {"content-length": "5", "a": "b, c"}, b"hello")
    assert usable


async def test_a_chunked_body(exchange: Exchange) -> None:
    response, usable = await exchange(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", b"2\r\nde\r\n0\r\nT: x\r\n\r\n"
    )

    assert response.body == b"abcde"
    assert "t" not in response.headers
    assert usable


async def test_a_body_that_ends_with_the_connection(exchange: Exchange) -> None:
    response, usable = await exchange(b"HTTP/1.0 200 OK\r\n\r\nhe", b"llo", close=True)

    assert response.body == b"hello"
    assert not usable


async def test_an_interim_response_is_skipped(exchange: Exchange) -> None:
    response, _ = await exchange(b"HTTP/1.1 103 Early Hints\r\nA: b\r\n\r\n", b"HTTP/1.1 204 No Content\r\n\r\n")

    assert response == ClientResponse(204, {}, b"")


async def test_a_server_that_says_close_is_believed(exchange: Exchange) -> None:
    _, usable = await exchange(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")

    assert not usable


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ([b"garbage\r\n\r\n"], "."),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n"], "too large"),
        ([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n" + bytes(1001)], "larger than"),
        ([b"HTTP/1.1 200 OK\r\n\r\n" + bytes(1001)], "larger than"),
        ([b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 300], "too many headers"),
        ([b"HTTP/1.1 200 OK\r\nA: ", *[b"x" * 50_000] * 8], "too large"),
        ([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;", *[b"x" * 50_000] * 8], "too large"),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"], "."),
        ([b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n"], "switches"),
    ],
)
async def test_a_server_that_breaks_the_rules_fails_the_request(
    exchange: Exchange, script: list[bytes], reason: str
) -> None:
    with pytest.raises(ExchangeFailed, match=reason):
        await exchange(*script)


@pytest.mark.parametrize(
    "script", [b"", b"HTTP/1.1 200 OK\r\nContent-Le", b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab"]
)
async def test_half_a_response_fails(exchange: Exchange, script: bytes) -> None:
    with pytest.raises(ExchangeFailed, match="connection closed") as caught:
        await exchange(script, close=True)

    assert caught.value.untouched is (script == b"")


class DeafTransport(asyncio.Transport):
    def write(self, data: object) -> None:
        pass

    def close(self) -> None:
        pass

    def abort(self) -> None:
        pass


@given(
    st.lists(st.one_of(st.binary(max_size=30), st.just(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc")), max_size=5)
)
async def test_random_bytes_give_a_response_or_our_error(chunks: list[bytes]) -> None:
    client = HttpExchange(100, on_made=lambda _: None, on_lost=lambda _: None)
    client.connection_made(DeafTransport())

    async def play() -> None:
        for chunk in chunks:
            client.data_received(chunk)
        client.connection_lost(None)

    async with asyncio.TaskGroup() as tg:
        tg.create_task(play())
        try:
            response = await client.ask(b"GET / HTTP/1.1\r\n\r\n")
        except ExchangeFailed:
            response = ClientResponse(200, {}, b"")

    assert len(response.body) <= 100
