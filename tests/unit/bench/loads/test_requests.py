"""Requesters insist on the right answer to each request, though they read answers in runs."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from millstream.bench import wire
from millstream.bench.loads.requests import RequestPlan, http_request
from millstream.bench.wire import LoadFailed

Answering = Callable[..., AbstractContextManager[wire.Address]]

OK = wire.response(wire.OK)
HTTP_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK"


def run(address: wire.Address, requests: int, *, is_http: bool = False, timeout_s: float = 20.0) -> int:
    plan = RequestPlan(address=address, request=b"request", connections=1, requests=requests, is_http=is_http)
    load = plan.build()
    try:
        return load.run(time.monotonic() + timeout_s)
    finally:
        load.close()


def test_each_answer_is_followed_by_the_next_request(answering: Answering) -> None:
    with answering(*([OK] * 201)) as address:
        assert run(address, 200) == 200


def test_a_wrong_answer_is_noticed_behind_right_ones(answering: Answering) -> None:
    with answering(OK, OK, b"\0\0\0\6\0\0\0\0KO", OK) as address, pytest.raises(LoadFailed, match="KO"):
        run(address, 3)


def test_an_answer_that_never_comes_has_its_time(answering: Answering) -> None:
    with answering(OK, OK) as address, pytest.raises(LoadFailed, match="in time"):
        run(address, 2, timeout_s=0.05)


def test_http_answers_are_checked(answering: Answering) -> None:
    with answering(HTTP_OK, HTTP_OK) as address:
        assert run(address, 2, is_http=True) == 2
    refused = HTTP_OK.replace(b"200 OK", b"503 NO")
    with answering(refused) as address, pytest.raises(LoadFailed, match="503"):
        run(address, 1, is_http=True)


def test_an_http_request_says_how_long_its_body_is() -> None:
    request = http_request(wire.Address("127.0.0.1", 80), "/pub?topic=t", b"body")

    assert request == b"POST /pub?topic=t HTTP/1.1\r\nHost: 127.0.0.1:80\r\nContent-Length: 4\r\n\r\nbody"
