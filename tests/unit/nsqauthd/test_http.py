import json
from pathlib import Path
from urllib.parse import quote

import pytest

from millstream.net.http import HttpError, Request, Response, Router
from millstream.nsqauthd.http import AuthdApi
from millstream.nsqauthd.source import RulesFile
from millstream.nsqd.auth import parse_authorizations

RULES = """
[[rule]]
secret = "s&cret"
identity = "web"
topics = ["^clicks$"]
permissions = ["publish"]

[[rule]]
common_name = "cn"
remote_ip = "10.0.0.0/8"
tls = true
topics = ["^views$"]
permissions = ["subscribe"]
"""


@pytest.fixture
def source(tmp_path: Path) -> RulesFile:
    path = tmp_path / "rules.toml"
    path.write_text(RULES)
    source = RulesFile(str(path), parse_authorizations)
    source.load()
    return source


@pytest.fixture
def router(source: RulesFile) -> Router:
    return AuthdApi(source).router()


def ask(router: Router, method: str, url: str, body: bytes = b"") -> tuple[int, bytes]:
    path, _, query = url.partition("?")
    match = router.match(method, path)
    assert match.route is not None, match.answer
    try:
        response = match.route.handler(Request(method, path, query, body=body))
    except HttpError as error:
        response = error.response()
    assert isinstance(response, Response)
    assert path == "/ping" or response.content_type == "application/json; charset=utf-8"
    return response.status, response.body


@pytest.mark.shows("nsqauthd GET /ping", beyond="OK")
@pytest.mark.shows("nsqauthd GET /info", beyond="version, number of rules, and why the file is not in force")
def test_ping_and_info(router: Router, source: RulesFile) -> None:
    assert ask(router, "GET", "/ping") == (200, b"OK")
    assert ask(router, "GET", "/info") == (200, b'{"version":"1.3.0","rules":2,"rules_error":""}')

    source.error = "broken"

    assert json.loads(ask(router, "GET", "/info")[1])["rules_error"] == "broken"


def test_a_known_secret_is_answered_with_what_it_may_do(router: Router) -> None:
    url = f"/auth?common_name=&remote_ip=127.0.0.1&secret={quote('s&cret')}&tls=false"

    status, body = ask(router, "GET", url)

    may = parse_authorizations(body)
    assert (status, may.identity, may.ttl_s) == (200, "web", 3600)
    assert may.may_publish("clicks")


@pytest.mark.parametrize("wrong", ["", "?secret=x", "?common_name=cn&remote_ip=10.0.0.1&tls=false", "?secret=%FF"])
def test_whoever_no_rule_knows_is_refused(router: Router, wrong: str) -> None:
    assert ask(router, "GET", f"/auth{wrong}") == (403, b'{"message":"NOT_AUTHORIZED"}')


@pytest.mark.parametrize(
    "body",
    [
        {"common_name": ["cn"], "remote_ip": ["10.0.0.1"], "secret": [""], "tls": ["true"]},
        {"common_name": "cn", "remote_ip": "10.0.0.1", "tls": "true", "secret": []},
    ],
)
@pytest.mark.shows("nsqauthd POST /auth", beyond="what a client may do, as nsqd asks by POST")
def test_a_question_may_be_posted(router: Router, body: object) -> None:
    status, answer = ask(router, "POST", "/auth", json.dumps(body).encode())

    assert status == 200
    assert parse_authorizations(answer).may_subscribe("views", "c")


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b'{"secret":5}', b'{"secret":[5]}', b"\xff", b"[" * 60_000])
def test_a_body_that_is_no_question_is_refused(router: Router, body: bytes) -> None:
    assert ask(router, "POST", "/auth", body) == (400, b'{"message":"INVALID_REQUEST"}')


def test_a_query_that_cannot_be_decoded_is_refused(router: Router) -> None:
    assert ask(router, "GET", "/auth?secret=%zz") == (400, b'{"message":"INVALID_REQUEST"}')


def test_an_answer_that_no_nsqd_would_take_is_an_error(source: RulesFile, router: Router, tmp_path: Path) -> None:
    topics = json.dumps(["."] * 100)
    rule = f'[[rule]]\nsecret = "s"\ntopics = {topics}\npermissions = ["publish"]\n'
    (tmp_path / "rules.toml").write_text(rule * 11)
    source.load()

    assert ask(router, "GET", "/auth?secret=s") == (500, b'{"message":"TOO_MANY_RULES"}')
