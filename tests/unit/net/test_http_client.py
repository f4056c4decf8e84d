import asyncio
import ssl
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trustme

from millstream.net.http import HttpServer, Request, Response, Router, json, text
from millstream.net.http_client import HttpClient, HttpFailed
from millstream.net.listener import listen

pytestmark = pytest.mark.asyncio(loop_factories=["asyncio", "uvloop"])
Serve = Callable[..., Awaitable[Any]]


def make_router() -> Router:
    async def never(_: Request) -> Response:
        await asyncio.get_running_loop().create_future()
        return text("never")

    router = Router()
    router.add("GET", "/lookup", lambda request: json({"query": request.query, "agent": request.headers["user-agent"]}))
    router.add("GET", "/remote", lambda request: text(request.remote))
    router.add("POST", "/pub", lambda request: text(request.body), body_bytes_max=1000)
    router.add("GET", "/never", never)
    router.add("GET", "/big", lambda _: Response(200, bytes(5000)))
    return router


async def test_get_and_post_reuse_one_connection(serve: Serve) -> None:
    base = f"http://{(await serve(make_router())).listener.address}"

    async with HttpClient(user_agent="test/1") as client:
        found = await client.get(f"{base}/lookup?topic=a%20b", headers={"Accept": "application/vnd.nsq"})
        first = await client.get(f"{base}/remote")
        posted = await client.post(f"{base}/pub", b"body")
        second = await client.get(f"{base}/remote")

    assert found.status == 200
    assert found.headers["content-type"] == "application/json; charset=utf-8"
    assert found.body == b'{"query":{"topic":"a b"},"agent":"test/1"}'
    assert posted.body == b"body"
    assert first.body == second.body


async def test_every_status_is_an_answer(serve: Serve) -> None:
    base = f"http://{(await serve(make_router())).listener.address}"

    async with HttpClient() as client:
        assert (await client.get(f"{base}/nope")).body == b'{"message":"NOT_FOUND"}'
        assert (await client.get(f"{base}/lookup/")).status == 301
        assert (await client.post(f"{base}/pub", bytes(2000))).status == 413


async def test_requests_at_the_same_time_use_bounded_connections(serve: Serve) -> None:
    served = await serve(make_router())
    base = f"http://{served.listener.address}"

    async with HttpClient(connections_max=2, idle_max=1) as client:
        answers = await asyncio.gather(*(client.get(f"{base}/remote") for _ in range(10)))

    assert 1 <= len({answer.body for answer in answers}) <= 10
    assert all(answer.status == 200 for answer in answers)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://127.0.0.1/",
        "127.0.0.1:4151",
        "http://",
        "http://127.0.0.1:x/",
        "http://127.0.0.1:99999/",
        "http://a b/",
        "http://127.0.0.1/\r\nX: y",
        "http://user@127.0.0.1/",
        "http://127.0.0.1/ä",
        "http://[::1/",
    ],
)
async def test_a_bad_url_fails_as_our_error(url: str) -> None:
    async with HttpClient() as client:
        with pytest.raises(HttpFailed, match="bad request"):
            await client.get(url)


async def test_a_header_cannot_be_used_to_write_another(serve: Serve) -> None:
    base = f"http://{(await serve(make_router())).listener.address}"

    async with HttpClient() as client:
        with pytest.raises(HttpFailed, match="control character"):
            await client.get(f"{base}/remote", headers={"A": "b\r\nC: d"})


async def test_nobody_listening_fails_with_the_reason(serve: Serve) -> None:
    served = await serve(make_router())
    served.listener.close()
    await served.listener.wait_closed()

    async with HttpClient() as client:
        with pytest.raises(HttpFailed) as caught:
            await client.get(f"http://{served.listener.address}/")

    assert str(caught.value).startswith(f"GET http://{served.listener.address}/ failed - ")
    assert "refused" in caught.value.reason or "Connect call failed" in caught.value.reason


async def test_no_answer_in_time_fails(serve: Serve) -> None:
    base = f"http://{(await serve(make_router())).listener.address}"

    async with HttpClient(request_timeout_ms=30) as client:
        with pytest.raises(HttpFailed, match=r"no answer within 0\.03 s"):
            await client.get(f"{base}/never")
        assert (await client.get(f"{base}/remote")).status == 200


async def test_an_answer_beyond_the_bound_fails(serve: Serve) -> None:
    base = f"http://{(await serve(make_router())).listener.address}"

    async with HttpClient(response_bytes_max=4999) as client:
        with pytest.raises(HttpFailed, match="too large"):
            await client.get(f"{base}/big")


async def test_a_kept_connection_that_was_closed_is_replaced(serve: Serve) -> None:
    served = await serve(make_router())
    base = f"http://{served.listener.address}"

    async with HttpClient() as client:
        assert (await client.get(f"{base}/remote")).status == 200
        for connection in list(served.server._shared.connections):  # noqa: SLF001 - closed behind the client's back
            connection.abort()
        assert (await client.get(f"{base}/remote")).status == 200


async def test_closing_fails_those_who_wait(serve: Serve) -> None:
    base = f"http://{(await serve(make_router())).listener.address}"
    client = HttpClient()

    async with asyncio.timeout(20), asyncio.TaskGroup() as tg:
        waiting = tg.create_task(fails(client, f"{base}/never"))
        while not client._open:  # noqa: SLF001, ASYNC110 - the request must be under way
            await asyncio.sleep(0)
        await client.close()

    assert "closed" in waiting.result() or "lost" in waiting.result()
    assert "the client is closed" in await fails(client, f"{base}/remote")


async def fails(client: HttpClient, url: str) -> str:
    with pytest.raises(HttpFailed) as caught:
        await client.get(url)
    return str(caught.value)


async def test_https_is_spoken_with_a_trusted_server() -> None:
    authority = trustme.CA()
    server_context, client_context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(server_context)
    authority.configure_trust(client_context)
    server = HttpServer(make_router())
    listener = await listen("127.0.0.1:0", server.protocol, tls=server_context)

    async with HttpClient(tls=client_context) as client:
        assert (await client.post(f"https://{listener.address}/pub", b"body")).body == b"body"
        assert (await client.post(f"https://{listener.address}/pub", bytes(2000))).status == 413
    async with HttpClient() as client:
        with pytest.raises(HttpFailed, match=r"(?i)certificate"):
            await client.get(f"https://{listener.address}/remote")

    listener.close()
    await listener.wait_closed()
    await server.close(grace_ms=100)
