"""nsqd's HTTP API with bearer tokens, on real sockets: what is open, what is not, and new tokens while it runs."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
import trustme

from millstream.base.errors import OptionError
from millstream.base.system import SystemClock
from millstream.net.http_client import HttpClient, HttpFailed
from millstream.net.tls import client_context
from millstream.nsqd.options import DaemonOptions
from millstream.nsqd.service import Nsqd


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    path = tmp_path / "tokens"
    path.write_text("publisher\noperator\n")
    return path


def write(path: Path, content: str) -> None:
    path.write_text(content)


async def status(one: Any, method: str, target: str, body: bytes = b"", token: str = "") -> int:
    found, _, _ = await one.exchange(method, target, body, token)
    return int(found)


@pytest.mark.shows("nsqd --http-auth-token-file", beyond="bearer tokens for the HTTP API")
async def test_every_endpoint_but_ping_wants_a_token(start: Any, tokens: Path) -> None:
    async with start(http_auth_token_file=str(tokens)) as one:
        for method, path in (
            ("POST", "/pub"),
            ("GET", "/stats"),
            ("PUT", "/config/log_level"),
            ("GET", "/metrics"),
            ("GET", "/debug/pprof/heap"),
        ):
            assert await status(one, method, path) == 401
            assert await status(one, method, path, token="stranger") == 401
        refused, headers, body = await one.exchange("POST", "/pub?topic=t", b"x")

        assert (refused, headers["www-authenticate"], body) == (401, "Bearer", b'{"message":"UNAUTHORIZED"}')
        assert await status(one, "GET", "/ping") == 200
        assert "t" not in one.host.broker.topics
        for token in ("publisher", "operator"):
            assert await status(one, "POST", "/pub?topic=t", b"x", token) == 200
        assert await status(one, "GET", "/nowhere") == 404
        assert one.host.broker.topics["t"].message_count == 2


async def test_clients_of_tcp_need_no_token(start: Any, tokens: Path) -> None:
    async with start(http_auth_token_file=str(tokens)) as one:
        client = await one.connect()
        client.publish("t", b"x")

        assert await client.text() == "OK"


async def test_a_reload_reads_the_tokens_again(start: Any, tokens: Path) -> None:
    async with start(http_auth_token_file=str(tokens)) as one:
        write(tokens, "next\n")
        assert one.nsqd.reloader.reload().changed == ["tokens (now 1)"]

        assert await status(one, "GET", "/stats", token="publisher") == 401
        assert await status(one, "GET", "/stats", token="next") == 200
        write(tokens, "no token\n")
        report = one.nsqd.reloader.reload()
        assert (report.changed, len(report.failed)) == ([], 1)
        assert await status(one, "GET", "/stats", token="next") == 200


async def test_refused_requests_are_counted(start: Any, tokens: Path) -> None:
    async with start(http_auth_token_file=str(tokens)) as one:
        await one.ask("GET", "/stats")
        _, _, body = await one.exchange("GET", "/metrics", token="operator")

    assert b"\nnsqd_http_unauthorized_total 1\n" in body


@pytest.mark.parametrize("option", ["http_auth_token_file", "lookupd_http_auth_token_file"])
async def test_a_token_file_of_no_use_keeps_it_from_starting(tmp_path: Path, option: str) -> None:
    nsqd = Nsqd(DaemonOptions(data_path=str(tmp_path), **{option: str(tmp_path / "none")}), SystemClock())
    async with asyncio.TaskGroup() as group:
        with pytest.raises(OptionError, match="failed to read token file"):
            await nsqd.start(group)
        await nsqd.stop()


async def test_the_token_file_is_shown_and_no_token(start: Any, tokens: Path) -> None:
    async with start(http_auth_token_file=str(tokens)) as one:
        _, _, body = await one.exchange("GET", "/config/http_auth_token_file", token="operator")
        _, _, stats = await one.exchange("GET", "/stats?format=json", token="operator")

    assert body == str(tokens).encode()
    assert "operator" not in json.dumps(json.loads(stats))


async def test_a_certificate_and_a_token_may_both_be_wanted_over_https(
    start: Any, tokens: Path, tmp_path: Path
) -> None:
    authority = trustme.CA()
    files = {}
    for name in ("server", "client"):
        issued = authority.issue_cert("127.0.0.1")
        files[name] = (str(tmp_path / f"{name}.pem"), str(tmp_path / f"{name}.key"))
        issued.cert_chain_pems[0].write_to_path(files[name][0])
        issued.private_key_pem.write_to_path(files[name][1])
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    stranger, known = client_context(str(tmp_path / "ca.pem")), client_context(str(tmp_path / "ca.pem"))
    known.load_cert_chain(*files["client"])
    async with start(
        http_auth_token_file=str(tokens),
        https_address="127.0.0.1:0",
        tls_cert=files["server"][0],
        tls_key=files["server"][1],
        tls_root_ca_file=str(tmp_path / "ca.pem"),
        tls_client_auth_policy="require-verify",
    ) as one:
        url = f"https://{one.nsqd.https_address}/stats"
        headers = {"Authorization": "Bearer operator"}
        async with HttpClient(tls=known) as http:
            answers = [(await http.get(url, headers=given)).status for given in (headers, {})]
        async with HttpClient(tls=stranger) as http:
            with pytest.raises(HttpFailed):
                await http.get(url, headers=headers)
        plain = await status(one, "GET", "/stats", token="operator")

    assert (answers, plain) == ([200, 401], 403)
