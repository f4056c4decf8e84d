"""What an auth server is asked by a real nsqd: the method, and the name in a client's certificate."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

Upgrade = Callable[..., Awaitable[dict[str, Any]]]

GRANTED = {"ttl": 60, "authorizations": [{"permissions": ["publish"], "topic": ".*", "channels": [".*"]}]}


class AuthServer:
    """Grants everything, and keeps what it was asked: the first line, and the body behind the headers."""

    def __init__(self) -> None:
        self.address = ""
        self.asked: list[tuple[str, str]] = []

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = next((int(line.split(":")[1]) for line in head.lower().splitlines() if "content-length" in line), 0)
        self.asked.append((head.splitlines()[0], (await reader.readexactly(length)).decode()))
        body = json.dumps(GRANTED).encode()
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        writer.close()


@pytest.fixture
async def auth_server() -> AsyncIterator[AuthServer]:
    server = AuthServer()
    listening = await asyncio.start_server(server.answer, "127.0.0.1", 0)
    host, port = listening.sockets[0].getsockname()
    server.address = f"{host}:{port}"
    async with listening:
        yield server


async def authenticate(client: Any) -> None:
    assert json.loads(await client.ask(b"AUTH\n\0\0\0\6sesame"))["permission_count"] == 1


@pytest.mark.shows("nsqd --auth-http-request-method", "nsqd: AUTH: the question to the auth server by POST")
@pytest.mark.parametrize(
    ("method", "line", "body"),
    [
        ("get", "GET /auth?common_name=&remote_ip=127.0.0.1&secret=sesame&tls=false HTTP/1.1", ""),
        (
            "post",
            "POST /auth HTTP/1.1",
            '{"common_name":[""],"remote_ip":["127.0.0.1"],"secret":["sesame"],"tls":["false"]}',
        ),
    ],
)
async def test_the_auth_server_is_asked_by_the_method_of_the_flag(
    daemons: Any, connect: Any, auth_server: AuthServer, method: str, line: str, body: str
) -> None:
    nsqd = daemons.nsqd(f"--auth-http-address={auth_server.address}", f"--auth-http-request-method={method}")
    await authenticate(await connect(nsqd))

    assert auth_server.asked == [(line, body)]


@pytest.mark.shows("nsqd: AUTH: common_name")
@pytest.mark.parametrize(
    ("policy", "certificate"), [("require", "client"), ("require", "stranger"), ("require-verify", "client")]
)
async def test_the_name_in_a_certificate_is_told(
    start: Callable[..., Any], connect: Any, upgrade: Upgrade, auth_server: AuthServer, policy: str, certificate: str
) -> None:
    nsqd = start(f"--auth-http-address={auth_server.address}", f"--tls-client-auth-policy={policy}")
    client = await connect(nsqd)
    await upgrade(client, certificate, tls_v1=True)
    await authenticate(client)

    ((line, _),) = auth_server.asked
    assert f"common_name={certificate}&" in line
    assert line.endswith("tls=true HTTP/1.1")
