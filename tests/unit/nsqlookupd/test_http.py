import asyncio
import json

import pytest

from millstream.net.http import HttpError, Request, Response, Router
from millstream.nsqlookupd.http import VERSION_HEADER, LookupdApi
from millstream.nsqlookupd.records import NEVER_NS, UNKNOWN_VERSION, Producer
from millstream.nsqlookupd.registry import Registry
from millstream.nsqlookupd.waiting import LookupWaiters
from millstream.protocol.lookup import Identity

P = {
    "remote_address": "10.0.0.1:5000",
    "hostname": "web1",
    "broadcast_address": "h",
    "tcp_port": 4150,
    "http_port": 4151,
    "version": "1.3.0",
    "topology_zone": "z",
    "topology_region": "r",
}


class Clock:
    def wall_ns(self) -> int:
        return 1_700_000_000_000_000_000

    def monotonic_ns(self) -> int:
        return 5


@pytest.fixture
def registry() -> Registry:
    registry = Registry(Clock(), inactive_after_ms=300_000, tombstone_lifetime_ms=45_000, entries_max=12)
    identity = Identity(
        broadcast_address="h",
        tcp_port=4150,
        http_port=4151,
        version="1.3.0",
        hostname="web1",
        topology_region="r",
        topology_zone="z",
    )
    registry.identify(Producer(connection_id=1, remote_address="10.0.0.1:5000", identity=identity))
    registry.register(1, "t", "c")
    return registry


@pytest.fixture
def router(registry: Registry) -> Router:
    return LookupdApi(registry).router()


def ask(router: Router, method: str, url: str) -> tuple[int, str]:
    path, _, query = url.partition("?")
    match = router.match(method, path)
    assert match.route is not None, match.answer
    try:
        response = match.route.handler(Request(method, path, query))
    except HttpError as error:
        response = error.response()
    assert isinstance(response, Response)
    return response.status, response.body.decode()


def test_ping_and_info(router: Router) -> None:
    assert ask(router, "GET", "/ping") == (200, "OK")
    assert ask(router, "GET", "/info") == (200, '{"version":"1.3.0"}')


def test_a_lookup_tells_channels_and_producers_in_the_order_of_nsq(router: Router) -> None:
    expected = json.dumps({"channels": ["c"], "producers": [P]}, separators=(",", ":"))

    assert ask(router, "GET", "/lookup?topic=t") == (200, expected)


def test_nodes_carry_topics_and_tombstones_side_by_side(router: Router) -> None:
    ask(router, "POST", "/topic/tombstone?topic=t&node=h:4151")

    node = P | {"tombstones": [True], "topics": ["t"]}
    assert ask(router, "GET", "/nodes") == (200, json.dumps({"producers": [node]}, separators=(",", ":")))
    assert ask(router, "GET", "/lookup?topic=t") == (200, '{"channels":["c"],"producers":[]}')


def test_debug_shows_every_registration_with_its_keys_sorted(router: Router) -> None:
    status, body = ask(router, "GET", "/debug")

    shown = json.loads(body)
    assert status == 200
    assert list(shown) == ["channel:t:c", "client::", "topic:t:"]
    [entry] = shown["topic:t:"]
    assert list(entry) == sorted(entry)
    assert entry == {key: value for key, value in P.items() if key != "remote_address"} | {
        "id": "10.0.0.1:5000",
        "last_update": 1_700_000_000_000_000_000,
        "tombstoned": False,
        "tombstoned_at": NEVER_NS,
    }


@pytest.mark.parametrize(
    ("method", "url", "status", "code"),
    [
        ("GET", "/lookup", 400, "MISSING_ARG_TOPIC"),
        ("GET", "/lookup?topic=", 404, "TOPIC_NOT_FOUND"),
        ("GET", "/lookup?topic=*", 404, "TOPIC_NOT_FOUND"),
        ("GET", "/lookup?topic=%zz", 400, "INVALID_REQUEST"),
        ("GET", "/channels", 400, "MISSING_ARG_TOPIC"),
        ("POST", "/topic/create", 400, "MISSING_ARG_TOPIC"),
        ("POST", "/topic/create?topic=a*", 400, "INVALID_ARG_TOPIC"),
        ("POST", "/topic/delete", 400, "MISSING_ARG_TOPIC"),
        ("POST", "/topic/tombstone?node=h:4151", 400, "MISSING_ARG_TOPIC"),
        ("POST", "/topic/tombstone?topic=t", 400, "MISSING_ARG_NODE"),
        ("POST", "/channel/create?channel=c", 400, "MISSING_ARG_TOPIC"),
        ("POST", "/channel/create?topic=a*&channel=c", 400, "INVALID_ARG_TOPIC"),
        ("POST", "/channel/create?topic=t", 400, "MISSING_ARG_CHANNEL"),
        ("POST", "/channel/create?topic=t&channel=*", 400, "INVALID_ARG_CHANNEL"),
        ("POST", "/channel/delete?topic=t&channel=other", 404, "CHANNEL_NOT_FOUND"),
        ("POST", "/channel/delete?topic=other&channel=c", 404, "CHANNEL_NOT_FOUND"),
    ],
)
def test_a_bad_request_is_answered_by_its_code(router: Router, method: str, url: str, status: int, code: str) -> None:
    assert ask(router, method, url) == (status, f'{{"message":"{code}"}}')


def test_topics_and_channels_are_created_and_deleted(router: Router) -> None:
    assert ask(router, "POST", "/channel/create?topic=u&channel=d") == (200, "")
    assert ask(router, "POST", "/topic/create?topic=v%23ephemeral") == (200, "")
    assert ask(router, "GET", "/topics") == (200, '{"topics":["t","u","v#ephemeral"]}')
    assert ask(router, "GET", "/channels?topic=u") == (200, '{"channels":["d"]}')
    assert ask(router, "GET", "/lookup?topic=u") == (200, '{"channels":["d"],"producers":[]}')

    assert ask(router, "POST", "/channel/delete?topic=u&channel=d") == (200, "")
    assert ask(router, "POST", "/topic/delete?topic=t") == (200, "")
    assert ask(router, "POST", "/topic/delete?topic=unknown") == (200, "")
    assert ask(router, "GET", "/topics") == (200, '{"topics":["u","v#ephemeral"]}')
    assert ask(router, "GET", "/channels?topic=t") == (200, '{"channels":[]}')


def test_deleting_a_star_wipes_nothing(router: Router) -> None:
    assert ask(router, "POST", "/topic/delete?topic=*") == (200, "")
    assert ask(router, "GET", "/topics") == (200, '{"topics":["t"]}')


def test_a_full_registry_is_told(registry: Registry, router: Router) -> None:
    number = 0
    while registry.entries < 12:
        registry.create_topic(f"t{number}")
        number += 1

    assert ask(router, "POST", "/topic/create?topic=one_more") == (503, '{"message":"REGISTRY_FULL"}')
    assert ask(router, "POST", "/channel/create?topic=t&channel=d") == (503, '{"message":"REGISTRY_FULL"}')


def version_of(router: Router, url: str) -> str:
    path, _, query = url.partition("?")
    route = router.match("GET", path).route
    assert route is not None
    response = route.handler(Request("GET", path, query))
    assert isinstance(response, Response)
    return dict(response.headers)[VERSION_HEADER]


def test_every_lookup_has_a_version_which_changes_with_the_producers(registry: Registry, router: Router) -> None:
    first = version_of(router, "/lookup?topic=t")
    registry.create_channel("t", "d")

    assert version_of(router, "/lookup?topic=t") == first
    assert version_of(router, "/lookup?topic=other") == UNKNOWN_VERSION
    registry.tombstone("t", "h:4151")
    assert version_of(router, "/lookup?topic=t") not in {first, UNKNOWN_VERSION}


@pytest.mark.parametrize("wait", ["", "x", "5", "-1s", "1h" * 1_000])
def test_a_wait_that_is_no_duration_is_refused(router: Router, wait: str) -> None:
    assert ask(router, "GET", f"/lookup?topic=t&wait={wait}") == (400, '{"message":"INVALID_ARG_WAIT"}')


@pytest.mark.parametrize(
    "query", ["topic=t&wait=60s", "topic=t&wait=60s&known=other", "topic=new&wait=60s&known=other"]
)
async def test_who_knows_other_producers_does_not_wait(registry: Registry, query: str) -> None:
    router = LookupdApi(registry, LookupWaiters(registry, waiters_max=10)).router()

    assert ask(router, "GET", f"/lookup?{query}") == ask(router, "GET", f"/lookup?{query.partition('&')[0]}")


@pytest.mark.parametrize("query", ["topic=new&wait=10000h", "topic=new&wait=60s&known=unknown"])
async def test_an_unknown_topic_is_answered_when_it_appears(registry: Registry, query: str) -> None:
    waiters = LookupWaiters(registry, waiters_max=10)
    route = LookupdApi(registry, waiters).router().match("GET", "/lookup").route
    assert route is not None
    answer = route.handler(Request("GET", "/lookup", query))
    assert not isinstance(answer, Response)

    waiting = asyncio.ensure_future(answer)
    async with asyncio.timeout(20):
        while not waiters.count:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0)
        registry.register(1, "new", "c")
        response = await waiting

    assert json.loads(response.body) == {"channels": ["c"], "producers": [P]}
    assert dict(response.headers)[VERSION_HEADER] == version_of(LookupdApi(registry).router(), "/lookup?topic=new")


async def test_names_that_no_topic_has_are_answered_at_once(registry: Registry) -> None:
    router = LookupdApi(registry, LookupWaiters(registry, waiters_max=10)).router()

    assert ask(router, "GET", "/lookup?topic=a*&wait=60s") == (404, '{"message":"TOPIC_NOT_FOUND"}')
