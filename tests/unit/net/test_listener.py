import asyncio
import socket
from pathlib import Path

import pytest

from millstream.net.listener import ListenFailed, join_host_port, listen, split_host_port

pytestmark = pytest.mark.asyncio(loop_factories=["asyncio", "uvloop"])


class Greeter(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.write(b"hello")  # type: ignore[attr-defined]  # uvloop's transports have no common class
        transport.close()


async def greeting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    async with asyncio.timeout(20):
        data = await reader.read()
    writer.close()
    await writer.wait_closed()
    return data


async def test_port_zero_is_reported_as_the_real_port() -> None:
    listener = await listen("127.0.0.1:0", Greeter)

    assert listener.host == "127.0.0.1"
    assert listener.port > 0
    assert listener.address == f"127.0.0.1:{listener.port}"
    assert await greeting(*await asyncio.open_connection("127.0.0.1", listener.port)) == b"hello"

    listener.close()
    listener.close()
    await listener.wait_closed()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", listener.port)


async def test_a_name_is_resolved() -> None:
    listener = await listen("localhost:0", Greeter)

    assert listener.host in {"127.0.0.1", "::1"}

    listener.close()
    await listener.wait_closed()


async def test_a_taken_port_says_so() -> None:
    listener = await listen("127.0.0.1:0", Greeter)

    with pytest.raises(ListenFailed) as caught:
        await listen(listener.address, Greeter)

    assert str(caught.value) == f"listen ({listener.address}) failed - Address already in use"
    listener.close()
    await listener.wait_closed()


@pytest.mark.parametrize(
    "address", ["127.0.0.1:http", "127.0.0.1:65536", "127.0.0.1:-1", "127.0.0.1:", "no-such-host.invalid:0", "/\0:1"]
)
async def test_a_bad_address_fails_as_our_error(address: str) -> None:
    with pytest.raises(ListenFailed, match="listen "):
        await listen(address, Greeter)


async def test_what_is_no_host_and_port_is_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "nsqd.sock"
    listener = await listen(str(path), Greeter)

    assert listener.address == str(path)
    assert listener.port == -1
    assert await greeting(*await asyncio.open_unix_connection(str(path))) == b"hello"

    listener.close()
    await listener.wait_closed()
    assert not path.exists()


async def test_the_socket_file_of_a_killed_daemon_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "nsqd.sock"
    with socket.socket(socket.AF_UNIX) as abandoned:
        abandoned.bind(str(path))

    listener = await listen(str(path), Greeter)

    assert await greeting(*await asyncio.open_unix_connection(str(path))) == b"hello"
    listener.close()
    await listener.wait_closed()


async def test_the_socket_file_of_a_living_daemon_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "nsqd.sock"
    first = await listen(str(path), Greeter)

    with pytest.raises(ListenFailed, match="already in use"):
        await listen(str(path), Greeter)

    assert await greeting(*await asyncio.open_unix_connection(str(path))) == b"hello"
    first.close()
    await first.wait_closed()


async def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes"
    path.write_text("mine", encoding="utf-8")

    with pytest.raises(ListenFailed):
        await listen(str(path), Greeter)

    assert path.read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize(
    ("address", "parts"),
    [
        ("127.0.0.1:4150", ("127.0.0.1", "4150")),
        (":4150", ("", "4150")),
        ("[::1]:4150", ("::1", "4150")),
        ("::1:4150", None),
        ("/run/nsqd.sock", None),
        ("/run/a:b", None),
        ("nsqd.sock", None),
    ],
)
async def test_an_address_is_split_as_go_does(address: str, parts: tuple[str, str] | None) -> None:
    assert split_host_port(address) == parts


async def test_a_host_with_colons_gets_brackets() -> None:
    assert join_host_port("::1", 4150) == "[::1]:4150"
    assert join_host_port("localhost", 4150) == "localhost:4150"
