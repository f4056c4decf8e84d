from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.base.errors import OptionError
from millstream.net.http import Router, text
from millstream.net.http_auth import TOKENS_MAX, BearerTokens, OwnToken


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "tokens"
    path.write_text("# of the dashboards\nopen-sesame\n\n  second.token==  \n")
    return path


@pytest.mark.parametrize("value", ["Bearer open-sesame", "bearer second.token==", "BEARER  open-sesame "])
def test_a_token_of_the_file_is_admitted(path: Path, value: str) -> None:
    assert BearerTokens(str(path)).admits(value)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "Bearer",
        "Bearer ",
        "open-sesame",
        "Basic open-sesame",
        "Bearer open-sesam",
        "Bearer open-sesame2",
        "Bearer Open-Sesame",
        "Bearer open-sesame, Bearer open-sesame",
        "Bearer # of the dashboards",
        "Bearer \xff\ud800",
    ],
)
def test_anything_else_is_not(path: Path, value: str) -> None:
    assert not BearerTokens(str(path)).admits(value)


@given(st.text())
def test_chance_finds_no_token(tmp_path_factory: pytest.TempPathFactory, value: str) -> None:
    path = tmp_path_factory.getbasetemp() / "one-token"
    path.write_text("a-token-that-no-one-finds")

    assert not BearerTokens(str(path)).admits(f"Bearer {value}")


def request(method: str, path: str, token: str = "", *, size: int = 0) -> bytes:
    """Everything of a request but its body."""
    authorization = f"Authorization: Bearer {token}\r\n" if token else ""
    return f"{method} {path} HTTP/1.1\r\nHost: x\r\n{authorization}Content-Length: {size}\r\n\r\n".encode()


@pytest.fixture
def router(path: Path) -> Router:
    router = Router()
    for name in ("/ping", "/stats", "/config/:opt"):
        router.add("GET", name, lambda _: text("reached"))
    router.add("POST", "/pub", lambda got: text(got.body), body_bytes_max=1 << 30)
    BearerTokens(str(path)).guard(router)
    return router


async def test_every_route_but_that_of_ping_is_guarded(serve: Any, router: Router) -> None:
    peer = await (await serve(router)).connect()

    assert (await peer.ask(request("GET", "/ping"))).body == b"reached"
    for name in ("/stats", "/config/x"):
        refused = await peer.ask(request("GET", name))
        assert (refused.status, refused.body) == (401, b'{"message":"UNAUTHORIZED"}')
        assert refused.headers["WWW-Authenticate"] == "Bearer"
        assert refused.headers["Content-Type"] == "application/json; charset=utf-8"
        assert refused.headers["X-Nsq-Content-Type"] == "nsq; version=1.0"
        assert (await peer.ask(request("GET", name, "nonsense"))).status == 401
        assert (await peer.ask(request("GET", name, "open-sesame"))).body == b"reached"


async def test_a_small_body_without_a_token_is_dropped_and_the_connection_goes_on(serve: Any, router: Router) -> None:
    peer = await (await serve(router)).connect()

    peer.send(request("POST", "/pub", size=5) + b"12345" + request("POST", "/pub", "open-sesame", size=2) + b"ok")

    assert (await peer.answer()).status == 401
    assert (await peer.answer()).body == b"ok"


async def test_a_large_body_without_a_token_is_refused_before_it_comes(serve: Any, router: Router) -> None:
    served = await serve(router)
    by_size, in_chunks, expecting = await served.connect(), await served.connect(), await served.connect()

    by_size.send(request("POST", "/pub", size=1 << 29))
    in_chunks.send(b"POST /pub HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
    in_chunks.send(b"10000\r\n" + bytes(1 << 16) + b"\r\n")
    in_chunks.send((b"10000\r\n" + bytes(1 << 16) + b"\r\n") * 4)
    expecting.send(b"POST /pub HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n")

    for peer in (by_size, in_chunks, expecting):
        assert (await peer.answer()).status == 401
        assert await peer.rest() == b""


async def test_requests_without_a_token_are_counted(serve: Any, path: Path) -> None:
    router = Router()
    router.add("GET", "/stats", lambda _: text("reached"))
    tokens = BearerTokens(str(path))
    tokens.guard(router)
    peer = await (await serve(router)).connect()

    for token in ("", "wrong", "open-sesame"):
        await peer.ask(request("GET", "/stats", token))

    assert tokens.refused == 2


def test_the_token_to_show_is_the_first_of_its_file(path: Path) -> None:
    own = OwnToken(str(path))
    assert own.headers() == {"Authorization": "Bearer open-sesame"}
    assert BearerTokens(str(path)).admits(own.headers()["Authorization"])

    path.write_text("next\nopen-sesame\n")
    assert own.reload()
    assert own.headers() == {"Authorization": "Bearer next"}
    path.write_text("next\n")
    assert not own.reload()
    path.write_text("")
    with pytest.raises(OptionError):
        own.reload()
    assert own.headers() == {"Authorization": "Bearer next"}


def test_tokens_change_when_the_file_is_read_again(path: Path) -> None:
    tokens = BearerTokens(str(path))
    assert (tokens.count, tokens.reload()) == (2, False)

    path.write_text("third")
    assert tokens.reload()

    assert not tokens.admits("Bearer open-sesame")
    assert tokens.admits("Bearer third")


@pytest.mark.parametrize(
    "content",
    [b"", b"\n# nothing\n", b"with blank\n", b'quo"te\n', b"\xff\n", b"a" * 70_000, b"a\n" * (TOKENS_MAX + 1)],
)
def test_a_file_of_no_use_is_refused_and_leaves_the_tokens_in_force(path: Path, content: bytes) -> None:
    tokens = BearerTokens(str(path))
    path.write_bytes(content)

    with pytest.raises(OptionError):
        BearerTokens(str(path))
    with pytest.raises(OptionError) as refused:
        tokens.reload()

    assert str(path) in str(refused.value)
    assert "blank" not in str(refused.value)
    assert tokens.admits("Bearer open-sesame")


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="No such file"):
        BearerTokens(str(tmp_path / "none"))
