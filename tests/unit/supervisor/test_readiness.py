import asyncio
from pathlib import Path

from millstream.net.http_client import HttpClient
from millstream.supervisor.plan import ProcessPlan, Stage
from millstream.supervisor.readiness import wait_until_ready

Asked = list[str]


async def _server(asked: Asked, answers: dict[str, list[tuple[int, bytes]]]) -> asyncio.Server:
    """Answers each path with what is listed for it, the last for ever."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        method, path, _ = head.decode().split(" ", 2)
        asked.append(f"{method} {path}")
        rest = answers[path]
        status, body = rest.pop(0) if len(rest) > 1 else rest[0]
        writer.write(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b" % (status, len(body), body))
        await writer.drain()
        writer.close()

    return await asyncio.start_server(serve, "127.0.0.1", 0)


async def test_a_daemon_is_ready_once_it_answers_is_prepared_and_is_announced() -> None:
    asked: Asked = []
    server = await _server(
        asked,
        {
            "/ping": [(500, b"NOK"), (200, b"OK")],
            "/make": [(503, b""), (200, b"")],
            "/lookup": [(404, b""), (200, b'"tcp_port":70,'), (200, b'"tcp_port":7,')],
        },
    )
    base = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    plan = ProcessPlan(
        name="it",
        stage=Stage.BROKERS,
        argv=(),
        cwd=Path(),
        environment={},
        ping_url=f"{base}/ping",
        prepare_urls=(f"{base}/make",),
        announce_urls=(f"{base}/lookup",),
        announced_as='"tcp_port":7,',
    )

    async with server, HttpClient() as client, asyncio.timeout(20):
        await wait_until_ready(client, plan)

    assert asked == ["GET /ping"] * 2 + ["POST /make"] * 2 + ["GET /lookup"] * 3


async def test_a_process_without_http_is_ready_at_once() -> None:
    plan = ProcessPlan(name="it", stage=Stage.WORKERS, argv=(), cwd=Path(), environment={})

    async with HttpClient() as client:
        await wait_until_ready(client, plan)
