"""TLS from outside: handshakes that fail, TLS as a duty, HTTPS with curl and openssl, client certificates."""

import asyncio
import json
import shutil
import ssl
import subprocess
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

Eventually = Callable[[Callable[[], bool]], Awaitable[None]]
Upgrade = Callable[..., Awaitable[dict[str, Any]]]

DEADLINE_S = 20
needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl command")
needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl command")


@pytest.mark.shows(
    "nsqd: a TLS handshake that fails",
    better="no TLS alert stands before the plain error frame; the reason is in OpenSSL's words",
)
async def test_who_fails_the_handshake_hears_why_in_plain(start: Callable[..., Any], connect: Any) -> None:
    nsqd = start()
    client = await connect(nsqd)
    await client.identify(tls_v1=True)
    client.send(b"SUB events work\n")
    ((kind, text),) = await client.closed()

    assert kind == 1
    assert text.startswith(b"E_IDENTIFY_FAILED IDENTIFY failed ")
    nsqd.wait_for_log("client.handshake_failed")


@pytest.mark.shows("nsqd: a TLS handshake that takes too long", "nsqd --tls-handshake-timeout")
async def test_a_handshake_that_takes_too_long_is_ended(
    start: Callable[..., Any], connect: Any, upgrade: Upgrade
) -> None:
    nsqd = start("--tls-handshake-timeout=300ms")
    bystander = await connect(nsqd)
    silent, dripping = await connect(nsqd), await connect(nsqd)
    for client in (silent, dripping):
        await client.identify(tls_v1=True)
    dripping.send(b"\x16\x03\x01\x02\x00\x01")

    for client in (silent, dripping):
        assert await client.closed() == [(1, b"E_IDENTIFY_FAILED IDENTIFY failed handshake timed out")]
    reader, writer = await asyncio.open_connection("127.0.0.1", nsqd.https_port)
    async with asyncio.timeout(DEADLINE_S):
        assert await reader.read() == b""
    writer.close()
    await upgrade(bystander, tls_v1=True)


async def test_a_client_that_leaves_during_the_handshake_is_forgotten(
    start: Callable[..., Any], connect: Any, eventually: Eventually
) -> None:
    nsqd = start("--max-connections=1")
    for number in range(3):
        client = await connect(nsqd)
        await client.identify(tls_v1=True)
        client.writer.transport.abort()
        await eventually(lambda seen=number: len([line for line in nsqd.log if "handshake_failed" in line]) > seen)

    assert nsqd.signal() == 0


@pytest.mark.shows("nsqd --tls-required", "nsqd: which command is legal in which state")
async def test_tls_required_masks_every_command_but_identify(
    start: Callable[..., Any], connect: Any, upgrade: Upgrade
) -> None:
    nsqd = start("--tls-required")
    commands = [b"NOP", b"PUB events", b"MPUB events", b"FIN 0123456789abcdef", b"HELLO", b"SUB a b"]
    for command in commands:
        client = await connect(nsqd)
        client.send(command + b"\n")
        name = command.split()[0]
        assert await client.closed() == [(1, b"E_INVALID cannot " + name + b" in current state (TLS required)")]

    client = await connect(nsqd)
    await upgrade(client, snappy=True)
    client.send(b"NOP\n")
    assert await client.error() == b"E_INVALID cannot NOP in current state (TLS required)"
    client = await connect(nsqd)
    await upgrade(client, tls_v1=True, snappy=True)
    await client.publish("events", b"one")
    await client.publish("events", b"two", b"three")


@pytest.mark.shows("nsqd: HTTP: 403 TLS_REQUIRED where TLS is required", "nsqd --tls-required")
def test_plain_http_is_refused_where_tls_is_required(start: Callable[..., Any]) -> None:
    nsqd = start("--tls-required=true")
    body = b'{"message": "TLS_REQUIRED", "https_port": %d}' % nsqd.https_port

    for method, path in (("GET", "/ping"), ("POST", "/pub?topic=t"), ("PUT", "/nothing"), ("GET", "/debug/pprof")):
        assert nsqd.request(method, path) == (403, body)


@pytest.mark.shows("nsqd --tls-required")
async def test_plain_http_stays_open_with_tcp_https(start: Callable[..., Any], connect: Any) -> None:
    nsqd = start("--tls-required=tcp-https")
    client = await connect(nsqd)
    client.send(b"NOP\n")

    assert nsqd.get("/ping") == b"OK"
    assert b"TLS required" in await client.error()


def curl(nsqd: Any, certificates: Any, *arguments: str, client: str = "") -> "subprocess.CompletedProcess[str]":
    keyed = [part for pair in zip(["--cert", "--key"], certificates.files(client), strict=True) for part in pair]
    trusted = ["--cacert", certificates.authority, "--max-time", str(DEADLINE_S)]
    url = f"https://127.0.0.1:{nsqd.https_port}"
    *options, path = arguments
    command = ["curl", "-sS", *trusted, *(keyed if client else []), *options, url + path]
    return subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=False)


@needs_curl
@pytest.mark.shows("nsqd: HTTP: HTTPS beside HTTP", "nsqd --https-address")
def test_curl_works_on_https(start: Callable[..., Any], certificates: Any) -> None:
    nsqd = start("--tls-required=true")

    assert curl(nsqd, certificates, "/ping").stdout == "OK"
    assert curl(nsqd, certificates, "-d", "hello", "/pub?topic=events").stdout == "OK"
    assert curl(nsqd, certificates, "--tlsv1.2", "--tls-max", "1.2", "/ping").stdout == "OK"
    assert json.loads(curl(nsqd, certificates, "/stats?format=json").stdout)["topics"][0]["message_count"] == 1


@needs_openssl
@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
@pytest.mark.shows("nsqd --tls-cert", "nsqd --tls-key")
def test_openssl_sees_the_certificate(start: Callable[..., Any], certificates: Any, version: str) -> None:
    nsqd = start()
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{nsqd.https_port}", version]
    command += ["-CAfile", certificates.authority, "-verify_return_error"]
    done = subprocess.run(command, input="", capture_output=True, text=True, timeout=DEADLINE_S, check=False)

    assert "Verify return code: 0 (ok)" in done.stdout, done.stderr


@needs_openssl
@pytest.mark.shows("nsqd --tls-min-version")
def test_a_version_below_the_minimum_is_refused(start: Callable[..., Any]) -> None:
    nsqd = start("--tls-min-version=tls1.3")
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{nsqd.https_port}", "-tls1_2"]
    done = subprocess.run(command, input="", capture_output=True, text=True, timeout=DEADLINE_S, check=False)

    assert done.returncode != 0


POLICIES = [
    # policy, client's certificate, whether it may come in
    ("", "", True),
    ("", "stranger", True),
    ("require", "", False),
    ("require", "client", True),
    ("require", "stranger", True),
    ("require-verify", "", False),
    ("require-verify", "client", True),
    ("require-verify", "stranger", False),
    ("something-else", "", True),
]


@needs_curl
@pytest.mark.parametrize("policy", ["", "require", "require-verify", "something-else"])
@pytest.mark.shows("nsqd --tls-client-auth-policy", "nsqd --tls-root-ca-file")
async def test_client_certificates_follow_the_policy(
    start: Callable[..., Any], connect: Any, upgrade: Upgrade, certificates: Any, policy: str
) -> None:
    nsqd = start(f"--tls-client-auth-policy={policy}")
    for _, certificate, may_enter in [case for case in POLICIES if case[0] == policy]:
        assert (curl(nsqd, certificates, "/ping", client=certificate).stdout == "OK") is may_enter
        client = await connect(nsqd)
        try:
            await upgrade(client, certificate, tls_v1=True)
            entered = True
        except (OSError, EOFError, ssl.SSLError):
            entered = False
        assert entered is may_enter, certificate
    # Any policy, known or not, requires TLS.
    assert nsqd.request("GET", "/ping")[0] == (403 if policy else 200)


WRONG = {
    "--tls-cert=/nowhere.pem --tls-key=/nowhere.key": "failed to build TLS config - cannot read /nowhere.pem",
    "--tls-cert=/nowhere.pem": "failed to build TLS config",
    "--tls-key=/nowhere.pem": "failed to build TLS config",
    "--tls-required": "cannot require TLS client connections without TLS key and cert",
    "--tls-client-auth-policy=require": "cannot require TLS client connections without TLS key and cert",
}


@pytest.mark.parametrize(("flags", "text"), WRONG.items())
@pytest.mark.shows("nsqd: a start that fails: status 1 and NSQ's words")
def test_what_cannot_work_ends_the_start(daemons: Any, flags: str, text: str) -> None:
    nsqd = daemons.nsqd(*flags.split(), starts=False)
    nsqd.spawn()

    assert nsqd.wait() == 1
    assert any(text in line for line in nsqd.log), nsqd.log


@pytest.mark.parametrize("flag", ["--tls-min-version=ssl3.0", "--tls-required=maybe", "--max-deflate-level=10"])
@pytest.mark.shows(
    "nsqd: a value out of bounds",
    better="is refused as a wrong flag, status 2, with its bounds; NSQ takes it, or ends with status 1",
)
def test_a_value_that_does_not_exist_is_a_usage_error(daemons: Any, flag: str) -> None:
    nsqd = daemons.nsqd(flag, starts=False)
    nsqd.spawn()

    assert nsqd.wait() == 2
