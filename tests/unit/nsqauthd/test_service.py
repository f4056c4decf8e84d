import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from millstream.base.system import SystemClock
from millstream.net.http_client import HttpClient
from millstream.net.listener import ListenFailed
from millstream.nsqauthd.options import AuthdOptions
from millstream.nsqauthd.rules import BadRules
from millstream.nsqauthd.service import Nsqauthd, check
from millstream.nsqd.auth import AuthClient, AuthQueryFailed, parse_authorizations

DEADLINE_S = 20


def rule(secret: str) -> str:
    return f'[[rule]]\nsecret = "{secret}"\nidentity = "{secret}"\ntopics = ["."]\npermissions = ["publish"]\n'


def write(path: Path, text: str) -> None:
    path.write_text(text)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "rules.toml"
    path.write_text(rule("first"))
    return path


def options(path: Path, **more: object) -> AuthdOptions:
    values: dict[str, Any] = {"rules": str(path), "http_address": "127.0.0.1:0", **more}
    return AuthdOptions(**values)


@asynccontextmanager
async def running(options: AuthdOptions, look: asyncio.Event, *, watches: bool = False) -> AsyncIterator[Nsqauthd]:
    daemon = Nsqauthd(options, parse_authorizations, look)
    try:
        await daemon.start()
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(daemon.watch()) if watches else None
            yield daemon
            if watching is not None:
                watching.cancel()
    finally:
        await daemon.stop()


async def is_known(daemon: Nsqauthd, http: HttpClient, secret: str, method: str = "get") -> bool:
    client = AuthClient([daemon.http_address], http, clock=SystemClock(), method=method)
    try:
        return (await client.query("127.0.0.1", False, "", secret.encode())).identity == secret
    except AuthQueryFailed as error:
        assert "403" in str(error)  # noqa: PT017 - any other failure is one of the test
        return False


@pytest.mark.parametrize("method", ["get", "post"])
async def test_the_client_of_nsqd_is_answered(path: Path, method: str) -> None:
    async with asyncio.timeout(DEADLINE_S), HttpClient() as http, running(options(path), asyncio.Event()) as daemon:
        assert await is_known(daemon, http, "first", method)
        assert not await is_known(daemon, http, "second", method)


@pytest.mark.asyncio(loop_factories=["asyncio", "uvloop"])
async def test_a_changed_file_comes_into_force_and_a_broken_one_does_not(path: Path) -> None:
    fast = options(path, reload_interval_ms=10)
    async with (
        asyncio.timeout(DEADLINE_S),
        HttpClient() as http,
        running(fast, asyncio.Event(), watches=True) as daemon,
    ):
        write(path, rule("second"))
        while not await is_known(daemon, http, "second"):
            pass

        write(path, "[[rule]]")
        while b'"rules_error":""' in (await http.get(f"http://{daemon.http_address}/info")).body:
            pass

        assert await is_known(daemon, http, "second")


async def test_it_looks_at_once_when_it_is_told_to(path: Path) -> None:
    look = asyncio.Event()
    slow = options(path, reload_interval_ms=3_600_000)
    async with asyncio.timeout(DEADLINE_S), HttpClient() as http, running(slow, look, watches=True) as daemon:
        write(path, rule("second"))
        look.set()
        while not await is_known(daemon, http, "second"):
            pass


async def test_it_does_not_start_with_broken_rules_or_on_a_taken_port(path: Path) -> None:
    async with running(options(path), asyncio.Event()) as first:
        with pytest.raises(ListenFailed):
            async with running(options(path, http_address=first.http_address), asyncio.Event()):
                pass
        write(path, "[[rule]]")
        with pytest.raises(BadRules):
            async with running(options(path), asyncio.Event()):
                pass


@pytest.mark.parametrize(
    ("more", "status", "told"),
    [
        ({"secret": "first", "topic": "t"}, 0, 'publish to "t": yes, by rule 1'),
        ({"secret": "first", "topic": "t", "channel": "c"}, 1, 'subscribe to "t" "c": no'),
        ({"secret": "x"}, 1, "no rule holds"),
    ],
)
def test_a_check_tells_and_ends_with_the_verdict(
    path: Path, capsys: pytest.CaptureFixture[str], more: dict[str, str], status: int, told: str
) -> None:
    assert check(options(path, check=True, **more), parse_authorizations) == status
    assert told in capsys.readouterr().out


def test_a_check_of_broken_rules_says_why(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path.write_text("[[rule]]")

    assert check(options(path, check=True), parse_authorizations) == 1
    assert "rule 1 has no condition" in capsys.readouterr().err
