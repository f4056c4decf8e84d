"""Bearer tokens for the HTTP APIs, from outside: curl, SIGHUP, and an nsqd whose nsqlookupd wants a token."""

import os
import shutil
import signal
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

DEADLINE_S = 20
Eventually = Callable[[Callable[[], bool]], Awaitable[None]]
needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl command")


def curl(*arguments: str) -> str:
    """What curl prints: the body, a blank, the status."""
    command = ["curl", "-sS", "--max-time", str(DEADLINE_S), "-w", " %{http_code}", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=2 * DEADLINE_S, check=True).stdout


@needs_curl
def test_curl_publishes_with_a_token_and_sighup_changes_it(daemons: Any, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text("# of the web service\nfirst\n")
    nsqd = daemons.nsqd(f"--http-auth-token-file={tokens}")
    url = f"http://{nsqd.http_address}"

    assert curl(f"{url}/ping") == "OK 200"
    assert curl("-d", "hello", f"{url}/pub?topic=t") == '{"message":"UNAUTHORIZED"} 401'
    assert curl("-d", "hello", "-H", "Authorization: Bearer first", f"{url}/pub?topic=t") == "OK 200"
    # Larger than what is dropped for a stranger, and sent without asking before.
    large = tmp_path / "large"
    large.write_bytes(bytes(1 << 20))
    assert curl("--data-binary", f"@{large}", f"{url}/pub?topic=t").endswith(" 401")

    tokens.write_text("second\n")
    os.kill(nsqd.pid, signal.SIGHUP)
    assert "tokens (now 1)" in nsqd.wait_for_log("reload.done")
    assert curl("-H", "Authorization: Bearer first", f"{url}/stats").endswith(" 401")
    assert "[t " in curl("-H", "Authorization: Bearer second", f"{url}/stats")
    assert not [line for line in nsqd.log if "first" in line or "second" in line]


def test_without_its_token_file_nsqd_does_not_start(daemons: Any, tmp_path: Path) -> None:
    nsqd = daemons.nsqd(f"--http-auth-token-file={tmp_path / 'none'}", starts=False)
    nsqd.spawn()

    assert nsqd.wait() == 1
    assert any("failed to read token file" in line for line in nsqd.log), nsqd.log


@pytest.mark.shows("nsqd --lookupd-http-auth-token-file", beyond="the token that nsqlookupd asks for")
@needs_curl
async def test_nsqd_asks_an_nsqlookupd_that_wants_a_token(daemons: Any, tmp_path: Path, eventually: Eventually) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text("shared\n")
    lookupd = daemons.nsqlookupd(f"--http-auth-token-file={tokens}")
    flags = (f"--lookupd-tcp-address={lookupd.tcp_address}", f"--lookupd-http-auth-token-file={tokens}")
    here, there = daemons.nsqd(*flags), daemons.nsqd(*flags)
    here.post("/topic/create?topic=t")
    here.post("/channel/create?topic=t&channel=c")
    authorization = "Authorization: Bearer shared"
    await eventually(
        lambda: '"channels":["c"]' in curl("-H", authorization, f"http://{lookupd.http_address}/channels?topic=t")
    )
    there.wait_for_log("lookupd.registered")

    there.post("/topic/create?topic=t")

    await eventually(lambda: b'"channel_name":"c"' in there.get("/stats?format=json"))
    assert not [line for line in there.log if "lookupd.query_failed" in line]
