"""`nsqd.credentials` over real sockets: AUTH, and the question before SUB and every publish."""

import json
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from millstream.net.http import HttpServer, Request, Response, Router
from millstream.net.http import json as answer_json
from millstream.net.listener import listen


class AuthServer:
    """Answers /auth with what it is told to, and remembers who asked."""

    def __init__(self) -> None:
        self.asked: list[dict[str, str]] = []
        self.status = 200
        self.reply: dict[str, Any] = {
            "ttl": 60,
            "identity": "me",
            "identity_url": "https://me",
            "authorizations": [{"permissions": ["publish", "subscribe"], "topic": "^mine$", "channels": [".*"]}],
        }

    def answer(self, request: Request) -> Response:
        self.asked.append(dict(request.query))
        return answer_json(self.reply, self.status)


@asynccontextmanager
async def serving(server: AuthServer) -> AsyncIterator[str]:
    router = Router()
    router.add("GET", "/auth", server.answer)
    http = HttpServer(router)
    listener = await listen("127.0.0.1:0", http.protocol)
    try:
        yield listener.address
    finally:
        listener.close()
        await http.close()


def auth(secret: bytes) -> bytes:
    return b"AUTH\n" + struct.pack(">i", len(secret)) + secret


@pytest.mark.shows(
    "nsqd AUTH",
    "nsqd IDENTIFY answers auth_required",
    "nsqd: AUTH: who has to, and what is refused without",
    "nsqd /stats client.authed",
    "nsqd /stats client.auth_identity",
    "nsqd /stats client.auth_identity_url",
)
async def test_a_client_that_is_authorized_may_do_what_it_asks_for(start: Any) -> None:
    server = AuthServer()
    async with serving(server) as address, start(auth_http_address=(address,)) as one:
        peer = await one.connect()
        peer.identify(feature_negotiation=True)
        assert json.loads(await peer.text())["auth_required"] is True
        peer.send(auth(b"open sesame"))
        assert json.loads(await peer.text()) == {
            "identity": "me",
            "identity_url": "https://me",
            "permission_count": 1,
        }
        peer.subscribe("mine", "c", ready=1)
        peer.publish("mine", b"x")

        assert (await peer.text(), await peer.text()) == ("OK", "OK")
        assert (await peer.message())[1] == b"x"
        (client,) = (await one.stats())["topics"][0]["channels"][0]["clients"]
        assert (client["authed"], client["auth_identity"]) == (True, "me")
        assert client["auth_identity_url"] == "https://me"
        assert [asked["secret"] for asked in server.asked] == ["open sesame"]


async def test_what_follows_auth_in_the_same_piece_waits_for_the_answer(start: Any) -> None:
    async with serving(AuthServer()) as address, start(auth_http_address=(address,)) as one:
        peer = await one.connect()
        peer.send(auth(b"s") + b"PUB mine\n\x00\x00\x00\x01x" + b"SUB mine c\nRDY 1\n")

        assert json.loads(await peer.text())["permission_count"] == 1
        assert (await peer.text(), await peer.text()) == ("OK", "OK")
        assert (await peer.message())[1] == b"x"


@pytest.mark.parametrize(
    ("commands", "error"),
    [
        (b"PUB mine\n\x00\x00\x00\x01x", "E_AUTH_FIRST AUTH required before PUB"),
        (b"MPUB mine\n\x00\x00\x00\x09\x00\x00\x00\x01\x00\x00\x00\x01x", "E_AUTH_FIRST AUTH required before MPUB"),
        (b"MPUB mine\n", "E_AUTH_FIRST AUTH required before MPUB"),
        (b"DPUB mine 1\n\x00\x00\x00\x01x", "E_AUTH_FIRST AUTH required before DPUB"),
        (b"DPUB mine 0\n\x00\x00\x00\x01x", "E_AUTH_FIRST AUTH required before DPUB"),
        (b"SUB mine c\n", "E_AUTH_FIRST AUTH required before SUB"),
        (auth(b"s") + b"PUB other\n\x00\x00\x00\x01x", 'E_UNAUTHORIZED AUTH failed for PUB on "other" ""'),
        (auth(b"s") + b"SUB other c\n", 'E_UNAUTHORIZED AUTH failed for SUB on "other" "c"'),
        (auth(b"s") + auth(b"t"), "E_INVALID AUTH already set"),
        (b"AUTH x\n", "E_INVALID AUTH invalid number of parameters"),
    ],
)
@pytest.mark.shows(
    "nsqd E_AUTH_FIRST", "nsqd E_UNAUTHORIZED", "nsqd AUTH", "nsqd: AUTH: who has to, and what is refused without"
)
async def test_what_is_not_allowed_ends_the_connection(start: Any, commands: bytes, error: str) -> None:
    async with serving(AuthServer()) as address, start(auth_http_address=(address,)) as one:
        peer = await one.connect()
        peer.send(commands)

        text = await peer.text()
        assert (await peer.text() if text.startswith("{") else text) == error
        assert await peer.is_closed()


@pytest.mark.shows("nsqd E_AUTH_FAILED", "nsqd E_UNAUTHORIZED")
async def test_without_authorizations_or_an_answer_auth_fails(start: Any) -> None:
    server = AuthServer()
    async with serving(server) as address, start(auth_http_address=(address,)) as one:
        server.reply["authorizations"] = []
        peer = await one.connect()
        peer.send(auth(b"s"))
        assert await peer.text() == "E_UNAUTHORIZED AUTH no authorizations found"

        server.status = 403
        peer = await one.connect()
        peer.send(auth(b"s"))
        assert await peer.text() == "E_AUTH_FAILED AUTH failed"


@pytest.mark.shows("nsqd: AUTH: an answer expires after its ttl")
async def test_an_expired_answer_is_asked_for_again(start: Any) -> None:
    server = AuthServer()
    async with serving(server) as address, start(auth_http_address=(address,)) as one:
        peer = await one.connect()
        peer.send(auth(b"s"))
        await peer.text()
        one.clock.move_s(61)
        peer.publish("mine", b"x", b"y")

        assert (await peer.text(), await peer.text()) == ("OK", "OK")
        assert len(server.asked) == 2

        one.clock.move_s(61)
        server.status = 500
        peer.publish("mine", b"z")
        assert await peer.text() == "E_AUTH_FAILED AUTH failed"
        assert one.host.broker.topics["mine"].message_count == 2


async def test_a_batch_in_pieces_waits_for_the_question_that_its_topic_raises(start: Any) -> None:
    server = AuthServer()
    async with serving(server) as address, start(auth_http_address=(address,)) as one:
        peer = await one.connect()
        peer.send(auth(b"s"))
        await peer.text()
        one.clock.move_s(61)
        peer.send(b"MPUB mine\n\x00\x00\x00\x09\x00\x00")
        await one.until(lambda: len(server.asked) == 2)
        peer.send(b"\x00\x01\x00\x00\x00\x01x")

        assert await peer.text() == "OK"


async def test_an_answer_that_has_come_to_allow_nothing_refuses_the_command(start: Any) -> None:
    server = AuthServer()
    async with serving(server) as address, start(auth_http_address=(address,)) as one:
        peer = await one.connect()
        peer.send(auth(b"s"))
        await peer.text()
        one.clock.move_s(61)
        server.reply["authorizations"] = []
        peer.publish("mine", b"x")

        assert await peer.text() == 'E_UNAUTHORIZED AUTH failed for PUB on "mine" ""'


async def test_auth_where_it_is_not_configured_is_refused(start: Any) -> None:
    async with start() as one:
        peer = await one.connect()
        peer.send(auth(b"s"))

        assert await peer.text() == "E_AUTH_DISABLED AUTH disabled"


@pytest.mark.shows("nsqd: HTTP: AUTH does not cover it")
async def test_http_asks_for_no_secret(start: Any) -> None:
    server = AuthServer()
    async with serving(server) as address, start(auth_http_address=(address,)) as one:
        assert await one.ask("POST", "/pub?topic=other", b"x") == (200, b"OK")
        assert server.asked == []
