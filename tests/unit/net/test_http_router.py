import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.net.http import Handler, Request, Response, Router, text


def handler(_: Request) -> Response:
    return text("OK")


def make_router() -> Router:
    router = Router()
    router.add("GET", "/ping", handler, nsq_header=False)
    router.add("POST", "/pub", handler, body_bytes_max=10)
    router.add("POST", "/topic/create", handler)
    router.add("GET", "/config/:opt", handler)
    router.add("PUT", "/config/:opt", handler, body_bytes_max=lambda: 7)
    return router


def location_of(response: Response | None) -> str:
    assert response is not None
    return dict(response.headers)["Location"]


def test_a_path_and_method_find_their_route() -> None:
    match = make_router().match("POST", "/pub")

    assert match.route is not None
    assert match.route.body_limit() == 10


def test_a_named_segment_becomes_a_parameter() -> None:
    match = make_router().match("PUT", "/config/log_level")

    assert match.route is not None
    assert match.params == {"opt": "log_level"}
    assert match.route.body_limit() == 7


@pytest.mark.parametrize("path", ["/nope", "/config", "/config/", "/ping/x", "/", "", "*", "/config/:opt/x"])
def test_an_unknown_path_is_not_found(path: str) -> None:
    answer = make_router().match("GET", path).answer

    assert answer is not None
    assert (answer.status, answer.body) == (404, b'{"message":"NOT_FOUND"}')


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("HEAD", "/ping", "GET, OPTIONS"),
        ("PUT", "/pub", "OPTIONS, POST"),
        ("DELETE", "/config/x", "GET, OPTIONS, PUT"),
    ],
)
def test_another_method_on_a_known_path_is_not_allowed(method: str, path: str, allow: str) -> None:
    match = make_router().match(method, path)

    assert match.answer is not None
    assert match.nsq_header
    assert (match.answer.status, match.answer.headers) == (405, (("Allow", allow),))
    assert match.answer.body == b'{"message":"METHOD_NOT_ALLOWED"}'


def test_options_tells_the_methods() -> None:
    match = make_router().match("OPTIONS", "/ping")

    assert match.answer == Response(200, headers=(("Allow", "GET, OPTIONS"),))
    assert not match.nsq_header
    assert make_router().match("OPTIONS", "*").answer == Response(200)


@pytest.mark.parametrize(
    ("method", "path", "query", "status", "location"),
    [
        ("GET", "/ping/", "", 301, "/ping"),
        ("GET", "/PING", "a=b&c=%20", 301, "/ping?a=b&c=%20"),
        ("GET", "//ping", "", 301, "/ping"),
        ("GET", "/a/../ping", "x=\x80", 301, "/ping?x=%C2%80"),
        ("POST", "/pub/", "topic=a", 307, "/pub?topic=a"),
        ("POST", "/Topic/Create", "", 307, "/topic/create"),
        ("GET", "/CONFIG/Some Thing/", "", 301, "/config/Some%20Thing"),
        ("GET", "//evil.example/../ping", "", 301, "/ping"),
    ],
)
def test_a_path_that_is_nearly_right_redirects(method: str, path: str, query: str, status: int, location: str) -> None:
    match = make_router().match(method, path, query)

    assert match.answer is not None
    assert match.answer.status == status
    assert location_of(match.answer) == location
    assert not match.nsq_header


def test_a_path_may_be_registered_with_its_slash() -> None:
    router = make_router()
    router.add("GET", "/pages/", handler)

    assert router.match("GET", "/pages/").route is not None
    for path in ("/pages", "/Pages/", "//pages//"):
        assert location_of(router.match("GET", path).answer) == "/pages/"
    other = router.match("POST", "/pages").answer
    assert other is not None
    assert other.status == 404


def test_nothing_redirects_to_a_path_of_another_method() -> None:
    answer = make_router().match("GET", "/PUB").answer

    assert answer is not None
    assert answer.status == 404


@given(st.text(), st.text())
def test_any_path_gets_a_route_or_an_answer_that_stays_on_this_server(path: str, query: str) -> None:
    match = make_router().match("GET", path, query)

    if match.answer is not None:
        assert match.answer.status in {301, 404, 405}
        if match.answer.status == 301:
            location = location_of(match.answer)
            assert location.startswith(("/ping", "/config/"))
            assert location.isascii()
            assert location.isprintable()


def test_a_second_handler_for_one_route_is_refused() -> None:
    router = make_router()

    with pytest.raises(ValueError, match="twice"):
        router.add("GET", "/ping", handler)


def test_everything_can_have_one_answer() -> None:
    router = make_router()
    answer = Response(403)
    router.answer_everything(answer, nsq_header=False)

    for method, path in (("GET", "/ping"), ("DELETE", "/anything")):
        match = router.match(method, path)
        assert match.route is None
        assert match.answer is answer
        assert not match.nsq_header


def test_routes_can_be_guarded_but_for_some() -> None:
    router = make_router()
    router.guard(lambda _: text("no"), open_paths={"/ping"})
    router.add("GET", "/later", handler)

    def check_of(method: str, path: str) -> Response | None:
        route = router.match(method, path).route
        assert route is not None
        return route.check({}) if route.check is not None else None

    assert check_of("POST", "/pub") == check_of("PUT", "/config/x") == text("no")
    assert check_of("GET", "/ping") is check_of("GET", "/later") is None


def test_handlers_can_be_wrapped() -> None:
    router = make_router()
    before = router.match("POST", "/pub").route
    wrapped: list[tuple[str, str]] = []

    def wrapper(method: str, path: str, inner: Handler) -> Handler:
        wrapped.append((method, path))
        return lambda _: Response(201, inner.__name__.encode())

    router.wrap(wrapper)

    after = router.match("POST", "/pub").route
    assert ("POST", "/pub") in wrapped
    assert before is not None
    assert after is not None
    assert after.handler(Request("POST", "/pub")) == Response(201, b"handler")
    assert (after.body_bytes_max, after.too_big) == (before.body_bytes_max, before.too_big)
