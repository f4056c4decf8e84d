"""`tools.nsqd_api`: what an nsqd answers becomes a value, or an error that says what to do."""

from typing import Any

import pytest

from millstream.net.http import HttpServer, Request, Response, Router
from millstream.net.http_client import HttpClient
from millstream.net.listener import listen
from millstream.tools.nsqd_api import NsqdApi, Refused


async def ask(answer: Response, token: str = "") -> tuple[Any, list[Request]]:
    seen: list[Request] = []

    def note(request: Request) -> Response:
        seen.append(request)
        return answer

    router = Router()
    router.add("GET", "/stats", note)
    server = HttpServer(router)
    listener = await listen("127.0.0.1:0", server.protocol)
    try:
        async with HttpClient() as http:
            return await NsqdApi(http, listener.address, token).get("/stats", {"topic": "a&b"}), seen
    finally:
        listener.close()
        await server.close()


async def test_an_object_is_handed_on_and_arguments_are_escaped() -> None:
    found, seen = await ask(Response(200, b'{"a":1}'), token="secret")

    assert found == {"a": 1}
    assert seen[0].query == {"topic": "a&b"}
    assert seen[0].headers["authorization"] == "Bearer secret"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Response(400, b'{"message":"INVALID_ARG_TO: no"}'), "answered 400 INVALID_ARG_TO: no"),
        (Response(404, b'{"message":"TOPIC_NOT_FOUND"}'), "answered 404 TOPIC_NOT_FOUND"),
        (Response(404, b'{"message":"NOT_FOUND"}'), "needs Millstream's nsqd"),
        (Response(500, b"oops"), "answered 500 without a reason"),
        (Response(200, b"[1]"), "answered no JSON object"),
        (Response(200, b"{"), "answered no JSON"),
        (Response(200, b"[" * 100_000), "answered no JSON"),
    ],
)
async def test_a_refusal_says_what_to_do(answer: Response, reason: str) -> None:
    with pytest.raises(Refused, match=reason):
        await ask(answer)


async def test_nobody_there_is_said() -> None:
    async with HttpClient() as http:
        with pytest.raises(Refused, match="failed"):
            await NsqdApi(http, "127.0.0.1:1").get("/stats", {})
