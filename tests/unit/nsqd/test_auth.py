import asyncio
import json
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from millstream.net.http_client import HttpClient
from millstream.nsqd.auth import (
    PATTERNS_MAX,
    REPLY_BYTES_MAX,
    AuthClient,
    Authorizations,
    AuthQueryFailed,
    BadPattern,
    compile_pattern,
    parse_authorizations,
)

DEADLINE_S = 20
S = 1_000_000_000


class Clock:
    def wall_ns(self) -> int:
        return 0

    def monotonic_ns(self) -> int:
        return 5 * S


def entry(permissions: list[str], topic: str, *channels: str) -> dict[str, Any]:
    return {"permissions": permissions, "topic": topic, "channels": list(channels)}


def reply(*entries: dict[str, Any], **more: object) -> bytes:
    return json.dumps({"ttl": 60, "identity": "web", "authorizations": entries, **more}).encode()


def given_entries(*entries: dict[str, Any]) -> Authorizations:
    return parse_authorizations(reply(*entries))


# ------------------------------------------------------------------------------------------------------------ decisions


@pytest.mark.shows("nsqd: AUTH: publishing needs a channel pattern that is found in the empty text")
def test_publishing_needs_the_permission_the_topic_and_a_channel_found_in_the_empty_text() -> None:
    may = given_entries(
        entry(["publish"], "^clicks$", ".*"),
        entry(["publish"], "^narrow$", "^web$"),
        entry(["subscribe"], "^read$", ".*"),
        entry(["publish"], "^none$"),
    )

    assert may.may_publish("clicks")
    assert [may.may_publish(topic) for topic in ("clicks2", "narrow", "read", "none")] == [False] * 4


def test_subscribing_needs_the_permission_the_topic_and_the_channel_in_one_entry() -> None:
    may = given_entries(entry(["subscribe"], "^a$", "^c$"), entry(["publish", "subscribe"], "^b$", "x", "^d$"))

    assert may.may_subscribe("a", "c")
    assert may.may_subscribe("b", "d")
    assert not may.may_subscribe("a", "d")
    assert not may.may_subscribe("b", "c")


@pytest.mark.shows("nsqd: AUTH: patterns are found anywhere in a name")
def test_patterns_are_found_anywhere_in_a_name() -> None:
    may = given_entries(entry(["subscribe", "publish"], "authtopic", "ch"))

    assert may.may_subscribe("my-authtopic-2", "arch")
    assert not may.may_publish("authtopic")


def test_a_decision_is_the_same_the_second_time_and_after_a_thousand_others() -> None:
    may = given_entries(entry(["publish", "subscribe"], "^t1?$", ".*"))
    before = [may.may_publish("t"), may.may_publish("x"), may.may_subscribe("t", "c"), may.may_subscribe("x", "c")]

    for number in range(3_000):
        may.may_publish(f"t{number}")
        may.may_subscribe("t", f"c{number}")

    assert before == [True, False, True, False]
    after = [may.may_publish("t"), may.may_publish("x"), may.may_subscribe("t", "c"), may.may_subscribe("x", "c")]
    assert after == before


def test_what_is_too_long_for_a_name_is_not_allowed() -> None:
    may = given_entries(entry(["publish", "subscribe"], ".*", ".*"))

    assert may.may_publish("t" * 64)
    assert not may.may_publish("t" * 65)
    assert not may.may_subscribe("t", "c" * 65)


def test_an_answer_expires_after_its_ttl() -> None:
    may = parse_authorizations(reply(ttl=60), now_ns=1_000 * S)

    assert not may.is_expired(1_060 * S)
    assert may.is_expired(1_060 * S + 1)


@pytest.mark.shows("nsqd: AUTH: its answer")
def test_the_response_to_auth_has_the_form_of_nsq() -> None:
    may = parse_authorizations(reply(entry(["publish"], "a", ".*"), identity="<u>", identity_url="https://x"))

    assert may.encode() == b'{"identity":"\\u003cu\\u003e","identity_url":"https://x","permission_count":1}'


@pytest.mark.shows(
    "nsqd E_AUTH_ERROR",
    absent="NSQ says it when the answer to AUTH cannot be encoded or sent: it always can be, or the client is gone",
)
@given(st.text(), st.text())
def test_whoever_a_client_is_it_can_be_told(identity: str, identity_url: str) -> None:
    may = parse_authorizations(reply(entry(["publish"], "a", ".*"), identity=identity, identity_url=identity_url))

    assert json.loads(may.encode()) == {"identity": identity, "identity_url": identity_url, "permission_count": 1}


# -------------------------------------------------------------------------------------------------------------- answers


def test_keys_are_taken_in_any_case_null_is_nothing_and_unknown_keys_are_ignored() -> None:
    body = b"""{"TTL": 5, "Identity": null, "extra": [1e9], "Authorizations": [
        {"Permissions": ["publish"], "TOPIC": "^t$", "channels": [".*"], "more": {}}, null, {"topic": null}]}"""

    may = parse_authorizations(body)

    assert (may.ttl_s, may.identity, may.permission_count) == (5, "", 3)
    assert may.may_publish("t")


def test_an_answer_without_authorizations_grants_nothing() -> None:
    assert parse_authorizations(b'{"ttl":1}').permission_count == 0
    assert parse_authorizations(b'{"ttl":1,"authorizations":null}').permission_count == 0


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"OK",
        b"[]",
        b"null",
        b"{}",
        b'{"ttl":0}',
        b'{"ttl":-1}',
        b'{"ttl":1.5}',
        b'{"ttl":"60"}',
        b'{"ttl":1e3}',
        b'{"ttl":99999999999999999999}',
        b'{"ttl":1,"identity":5}',
        b'{"ttl":1,"authorizations":{}}',
        b'{"ttl":1,"authorizations":["x"]}',
        b'{"ttl":1,"authorizations":[{"topic":5}]}',
        b'{"ttl":1,"authorizations":[{"channels":"x"}]}',
        b'{"ttl":1,"authorizations":[{"permissions":[1]}]}',
        b'{"ttl":1} x',
        b'{"ttl":1,"x":' + b"[" * 100_000,
        reply(entry(["publish", "admin"], ".*", ".*")),
        reply(entry(["publish"], "(", ".*")),
        reply(entry(["publish"], ".*", "[")),
        reply(*[entry(["publish"], "t", "c")] * (PATTERNS_MAX // 2 + 1)),
        reply(identity="x" * REPLY_BYTES_MAX),
    ],
    ids=lambda body: body[:60].decode(),
)
@pytest.mark.shows("nsqd: AUTH: what makes an answer unusable")
def test_an_answer_that_nsq_would_refuse_is_refused_whole(body: bytes) -> None:
    with pytest.raises(AuthQueryFailed):
        parse_authorizations(body)


@given(st.binary(max_size=200))
def test_garbage_is_an_answer_or_refused_and_nothing_else(body: bytes) -> None:
    try:
        parse_authorizations(body)
    except AuthQueryFailed:
        pass


# ------------------------------------------------------------------------------------------------------------- patterns


@pytest.mark.parametrize(
    ("pattern", "found", "missed"),
    [
        ("", "t", None),
        ("^a$", "a", "ab"),
        (r"^a\z", "a", "ab"),
        (r"^\w+-\d{2}$", "web-12", "web-1"),
        ("^(a|b)(c|d)?$", "bd", "e"),
        ("(?i)^CLICKS$", "clicks", "views"),
        ("^(?:ab)+$", "abab", "aba"),
        ("^(?P<team>a)", "ab", "ba"),
        ("[[a]", "a", "b"),
        ("^[]a]$", "a", "b"),
        ("^a.*b.*c.*d.*$", "abcd", "abc"),
        ("^(foo.*|bar.*|baz.*|qux.*|quux.*|one.*)$", "quuxx", "two"),
        ("#ephemeral$", "t#ephemeral", "t"),
        (r"^[\w.]+$", "a.b", "a-b"),
        ("^a{2}(-b){0,3}$", "aa-b-b", "a-b"),
    ],
)
def test_a_pattern_that_both_dialects_know_is_taken(pattern: str, found: str, missed: str | None) -> None:
    compiled = compile_pattern(pattern)

    assert compiled.search(found)
    assert missed is None or compiled.search(missed) is None


@pytest.mark.parametrize(
    "pattern",
    [
        *("(", ")", "[", "*", "a**", "a{1}{2}", "a{2,1}", "(?P<n", "\\", "(" * 1_024, "a{2000}", "a{99999999999999}"),
        *("(?=a)", "(?!a)", "(?<=a)", "(?<!a)", "(?>a)", "a*+", r"(a)\1", "(?P<n>a)(?P=n)", "(a)?(?(1)b|c)", "(?#x)"),
        *("(?x)a", "(?a)a", "(?L)a", r"\Z", r"[\u0041]", "[a--b]", "a{,3}"),
        *(r"\pL", "[[:alpha:]]", r"\Qa.b\E", "a(?i)b", "(?U)a"),
        "a" * 1_025,
    ],
    ids=lambda pattern: pattern[:20],
)
@pytest.mark.shows(
    "nsqd: AUTH: what makes an answer unusable",
    better="so does a pattern that Python reads otherwise than RE2, or could take exponential time over",
)
def test_a_pattern_that_one_dialect_does_not_know_is_refused(pattern: str) -> None:
    with pytest.raises(BadPattern):
        compile_pattern(pattern)


@pytest.mark.parametrize(
    "pattern",
    [
        *("(a+)+", "(a*)*", "(a|a)*", "(a|ab)+", "([a-z]+_)*x", "((a?)b)+", "(a?){30}", "(.*){3,}"),
        *(".*.*.*.*.*x", ".*?.*?.*?.*?.*?x", "a?" * 30 + "a" * 30, "(a|a)" * 30, "(a{0,9}){9}"),
    ],
)
@pytest.mark.shows(
    "nsqd: AUTH: what makes an answer unusable",
    better="so does a pattern that Python reads otherwise than RE2, or could take exponential time over",
)
def test_a_pattern_that_backtracking_could_take_long_over_is_refused(pattern: str) -> None:
    with pytest.raises(BadPattern):
        compile_pattern(pattern)


ATOMS = st.sampled_from(["a", "b", ".", "[ab]", "[^a]", r"\w", r"\b"])


@st.composite
def patterns(draw: st.DrawFn) -> str:
    made = st.recursive(
        ATOMS,
        lambda inner: st.one_of(
            st.lists(inner, min_size=1, max_size=4).map("".join),
            st.lists(inner, min_size=2, max_size=3).map(lambda parts: f"({'|'.join(parts)})"),
            st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{1,3}", "*?"])).map(lambda p: f"(?:{p[0]}){p[1]}"),
        ),
        max_leaves=12,
    )
    return draw(made)


@given(patterns(), st.text("ab", max_size=64))
def test_whatever_pattern_is_taken_is_matched_as_python_does(pattern: str, name: str) -> None:
    try:
        compiled = compile_pattern(pattern)
    except BadPattern:
        return

    assert (compiled.search(name) is None) == (re.search(pattern, name) is None)


# ---------------------------------------------------------------------------------------------------------------- query


@dataclass
class Server:
    """Answers each request with the next answer, and keeps what it was asked."""

    answers: list[bytes]
    asked: list[bytes] = field(default_factory=list)
    address: str = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        size = re.search(rb"(?i)content-length: (\d+)", head)
        self.asked.append(head + (await reader.readexactly(int(size[1])) if size else b""))
        if self.answers:
            writer.write(self.answers.pop(0))
        writer.close()

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])


def http(status: int, body: bytes) -> bytes:
    return b"HTTP/1.1 %d X\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b" % (status, len(body), body)


@asynccontextmanager
async def listening(*answers: bytes, tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    one = Server(list(answers))
    server = await asyncio.start_server(one.serve, "127.0.0.1", 0, ssl=tls)
    one.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield one
    finally:
        server.close()


Ask = Callable[..., Awaitable[Authorizations]]


@pytest.fixture
async def ask() -> AsyncIterator[Ask]:
    """Ask these servers about one client, within a deadline."""
    clients: list[HttpClient] = []

    async def query(*addresses: str, method: str = "get", chance: float = 0.0, **client: Any) -> Authorizations:
        http_client = HttpClient(**client)
        clients.append(http_client)
        auth = AuthClient(addresses, http_client, clock=Clock(), method=method, chance=lambda: chance)
        async with asyncio.timeout(DEADLINE_S):
            return await auth.query("127.0.0.1", False, "cn x", b"s&\xff=1")

    yield query
    for one in clients:
        await one.close()


GOOD = http(200, reply(entry(["publish"], "^t$", ".*")))


@pytest.mark.shows("nsqd: AUTH: the question to the auth server by GET")
async def test_a_question_by_get_has_its_parameters_in_alphabetical_order(ask: Ask) -> None:
    async with listening(GOOD) as server:
        may = await ask(server.address)

    request = server.asked[0]
    assert request.startswith(b"GET /auth?common_name=cn+x&remote_ip=127.0.0.1&secret=s%26%FF%3D1&tls=false HTTP/1.1")
    assert b"\r\nAccept: application/vnd.nsq; version=1.0\r\n" in request
    assert may.may_publish("t")
    assert may.expires_ns == 65 * S


@pytest.mark.shows("nsqd: AUTH: the question to the auth server by GET")
async def test_a_url_is_used_as_it_is_and_gets_a_second_question_mark(ask: Ask) -> None:
    async with listening(GOOD) as server:
        await ask(f"http://{server.address}/who?x=1")

    assert server.asked[0].startswith(b"GET /who?x=1?common_name=")


@pytest.mark.shows("nsqd: AUTH: the question to the auth server by POST")
async def test_a_question_by_post_is_an_object_of_lists(ask: Ask) -> None:
    async with listening(GOOD) as server:
        await ask(server.address, method="post")

    head, _, body = server.asked[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /auth HTTP/1.1")
    assert b"\r\nContent-Type: application/json" in head
    expected = '{"common_name":["cn x"],"remote_ip":["127.0.0.1"],"secret":["s\\u0026\ufffd=1"],"tls":["false"]}'
    assert body == expected.encode()


@pytest.mark.shows("nsqd: AUTH: several auth servers")
async def test_the_first_server_is_chosen_by_chance_and_the_others_follow(ask: Ask) -> None:
    async with listening(http(500, b"")) as first, listening(http(403, b"{}")) as second, listening(GOOD) as third:
        addresses = [first.address, second.address, third.address]

        await ask(*addresses, chance=0.34)

    assert [len(one.asked) for one in (first, second, third)] == [0, 1, 1]


async def test_when_no_server_knows_every_reason_is_told_but_not_the_secret(ask: Ask) -> None:
    async with listening(http(500, b"")) as broken, listening(http(200, b"{}")) as odd, listening() as silent:
        with pytest.raises(AuthQueryFailed) as failed:
            await ask(broken.address, odd.address, silent.address, "127.0.0.1:1", "ftp://x", "http://h/a b?secret=s")

    text = str(failed.value)
    assert [text.count(f"{address}/auth: ") for address in (broken.address, odd.address, silent.address)] == [1] * 3
    assert "status 500" in text
    assert "ttl" in text
    assert "secret" not in text
    assert "s%26" not in text
    assert failed.value.__cause__ is None


async def test_a_server_that_does_not_answer_in_time_is_left_for_the_next(ask: Ask) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with listening(GOOD) as good:
        may = await ask(address, good.address, request_timeout_ms=50)
    server.close()

    assert may.identity == "web"


async def test_without_a_server_the_question_fails(ask: Ask) -> None:
    with pytest.raises(AuthQueryFailed, match="no auth server"):
        await ask()


@pytest.mark.parametrize("method", ["get", "post"])
async def test_a_server_that_wants_tls_is_asked_again_over_tls(ask: Ask, method: str) -> None:
    authority = trustme.CA()
    inside, outside = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(inside)
    authority.configure_trust(outside)
    async with listening(GOOD, tls=inside) as secure:
        refusal = http(403, b'{"message": "TLS_REQUIRED", "https_port": %d}' % secure.port)
        async with listening(refusal) as plain:
            may = await ask(plain.address, method=method, tls=outside)

    assert may.identity == "web"
    assert plain.asked[0].split(b"\r\n")[0] == secure.asked[0].split(b"\r\n")[0]


@pytest.mark.parametrize("body", [b"", b"[]", b'{"https_port":"1"}', b'{"https_port":0}', b'{"https_port":70000}'])
async def test_another_403_is_a_refusal(ask: Ask, body: bytes) -> None:
    async with listening(http(403, body)) as server:
        with pytest.raises(AuthQueryFailed, match="status 403"):
            await ask(server.address)

    assert len(server.asked) == 1
