"""`tools.peek.service`: pages become lines. The whole way is in tests/system/test_peek_replay.py."""

import json
from typing import Any

import pytest

from millstream.net.http import HttpServer, Request, Response, Router
from millstream.net.listener import listen
from millstream.tools.peek.options import PeekOptions
from millstream.tools.peek.service import show


def message(number: int, **fields: Any) -> dict[str, Any]:
    return {"id": f"{number:016x}", "state": "ready", "time": "T", "attempts": 0, "body_bytes": 1, **fields}


async def shown(pages: list[Any], **options: Any) -> tuple[int, str, str, list[dict[str, str]]]:
    asked: list[dict[str, str]] = []

    def answer(request: Request) -> Response:
        asked.append(dict(request.query))
        return Response(200, json.dumps(pages[len(asked) - 1]).encode())

    router = Router()
    router.add("GET", "/channel/peek", answer)
    router.add("GET", "/topic/peek", answer)
    server = HttpServer(router)
    listener = await listen("127.0.0.1:0", server.protocol)
    out: list[str] = []
    complaints: list[str] = []
    try:
        found = PeekOptions(nsqd_http_address=listener.address, **options)
        status = await show(found, "t", "c", out.append, complaints.append)
    finally:
        listener.close()
        await server.close()
    return status, "".join(out), "".join(complaints), asked


async def test_pages_are_asked_for_until_there_are_no_more() -> None:
    pages = [
        {"messages": [message(1, body="a")], "next": f"{2:016x}"},
        {"messages": [message(2, body="b")], "next": None},
    ]

    status, out, _, asked = await shown(pages, limit=0)

    assert status == 0
    assert len(out.splitlines()) == 2
    assert [query.get("start") for query in asked] == [None, f"{2:016x}"]


async def test_no_more_than_the_limit_is_shown() -> None:
    page = {"messages": [message(1), message(2)], "next": f"{3:016x}"}

    _, out, _, asked = await shown([page], limit=2)

    assert len(out.splitlines()) == 2
    assert [query["limit"] for query in asked] == ["2"]


async def test_what_a_terminal_cannot_take_is_escaped_and_long_bodies_are_cut() -> None:
    bodies = [{"body": "bell\x07"}, {"body_base64": "/wA="}, {"body": "x" * 500}]
    page = {"messages": [message(number, **body) for number, body in enumerate(bodies)], "next": None}

    _, out, _, _ = await shown([page])

    assert "bell\\x07" in out
    assert out.isprintable() or all(line.isprintable() for line in out.splitlines())
    assert "... (500 bytes)" in out


@pytest.mark.parametrize("page", [{}, {"messages": 1, "next": None}, {"messages": [], "next": 5}])
async def test_an_answer_that_is_no_page_is_said(page: Any) -> None:
    status, _, complaints, _ = await shown([page])

    assert status == 1
    assert "no page of messages" in complaints


async def test_nothing_found_is_said() -> None:
    status, out, complaints, _ = await shown([{"messages": [], "next": None}])

    assert (status, out) == (0, "")
    assert "no such messages" in complaints
