"""The HTTP side of nsqlookupd: consumers ask where a topic is, operators look around and clean up.

Requests come from `net.http`, answers are read from the registry or say that it was changed. Every answer is whole and
of one moment. A lookup may ask to wait for a change: it sleeps in `nsqlookupd.waiting`, and is answered afterwards.
"""

from collections.abc import Awaitable, Mapping
from dataclasses import replace
from typing import Final

from millstream.base.units import parse_duration_ns
from millstream.base.version import NSQ_VERSION
from millstream.net.http import HttpError, Request, Response, Router, empty, json, text
from millstream.nsqlookupd.records import UNKNOWN_VERSION, Node, Producer, Registration, lookup_version
from millstream.nsqlookupd.registry import Registry, RegistryFull
from millstream.nsqlookupd.waiting import WAIT_MS_MAX, LookupWaiters
from millstream.protocol.names import is_valid_name

VERSION_HEADER: Final = "X-Millstream-Version"
"""Comes with every lookup: what to send back as `known`, and a sign that lookups can wait here."""

_NS_PER_MS: Final = 1_000_000


class LookupdApi:
    """The endpoints of one nsqlookupd over its registry. Without `waiters` every lookup is answered at once."""

    def __init__(self, registry: Registry, waiters: LookupWaiters | None = None) -> None:
        self._registry = registry
        self._waiters = waiters

    def router(self) -> Router:
        """Every route, as NSQ has them."""
        router = Router()
        router.add("GET", "/ping", self._ping, nsq_header=False)
        router.add("GET", "/info", self._info)
        router.add("GET", "/lookup", self._lookup)
        router.add("GET", "/topics", self._topics)
        router.add("GET", "/channels", self._channels)
        router.add("GET", "/nodes", self._nodes)
        router.add("GET", "/debug", self._debug)
        router.add("POST", "/topic/create", self._create_topic)
        router.add("POST", "/topic/delete", self._delete_topic)
        router.add("POST", "/topic/tombstone", self._tombstone)
        router.add("POST", "/channel/create", self._create_channel)
        router.add("POST", "/channel/delete", self._delete_channel)
        return router

    def _ping(self, _request: Request) -> Response:
        return text("OK")

    def _info(self, _request: Request) -> Response:
        return json({"version": NSQ_VERSION})

    def _lookup(self, request: Request) -> Response | Awaitable[Response]:
        topic = _argument(request, "topic")
        wait_ms = _wait_ms(request)
        answer, version = self._find(topic)
        # Whoever says nothing about what it knows waits for the topic to appear.
        known = request.query.get("known", UNKNOWN_VERSION)
        if self._waiters is None or not wait_ms or version != known or not is_valid_name(topic):
            return answer
        return self._lookup_later(self._waiters, topic, known, wait_ms)

    async def _lookup_later(self, waiters: LookupWaiters, topic: str, known: str, wait_ms: int) -> Response:
        await waiters.wait(topic, known, wait_ms)
        return self._find(topic)[0]

    def _find(self, topic: str) -> tuple[Response, str]:
        found = self._registry.lookup(topic)
        version = lookup_version(found)
        if found is None:
            answer = HttpError(404, "TOPIC_NOT_FOUND").response()
        else:
            answer = json({"channels": found.channels, "producers": [_producer(one) for one in found.producers]})
        return replace(answer, headers=((VERSION_HEADER, version),)), version

    def _topics(self, _request: Request) -> Response:
        return json({"topics": self._registry.topics()})

    def _channels(self, request: Request) -> Response:
        return json({"channels": self._registry.channels(_argument(request, "topic"))})

    def _nodes(self, _request: Request) -> Response:
        return json({"producers": [_node(one) for one in self._registry.nodes()]})

    def _debug(self, _request: Request) -> Response:
        by_key: dict[str, list[Mapping[str, object]]] = {}
        for one in self._registry.registrations():
            by_key.setdefault(one.key, []).append(_registration(one))
        return json({key: by_key[key] for key in sorted(by_key)})

    def _create_topic(self, request: Request) -> Response:
        topic = _name(request, "topic")
        try:
            self._registry.create_topic(topic)
        except RegistryFull as error:
            raise HttpError(503, "REGISTRY_FULL") from error
        return empty()

    def _delete_topic(self, request: Request) -> Response:
        self._registry.delete_topic(_argument(request, "topic"))
        return empty()

    def _tombstone(self, request: Request) -> Response:
        topic, node = _argument(request, "topic"), _argument(request, "node")
        self._registry.tombstone(topic, node)
        return empty()

    def _create_channel(self, request: Request) -> Response:
        topic, channel = _name(request, "topic"), _name(request, "channel")
        try:
            self._registry.create_channel(topic, channel)
        except RegistryFull as error:
            raise HttpError(503, "REGISTRY_FULL") from error
        return empty()

    def _delete_channel(self, request: Request) -> Response:
        topic, channel = _name(request, "topic"), _name(request, "channel")
        if not self._registry.delete_channel(topic, channel):
            raise HttpError(404, "CHANNEL_NOT_FOUND")
        return empty()


def _argument(request: Request, name: str) -> str:
    value = request.query.get(name)
    if value is None:
        raise HttpError(400, f"MISSING_ARG_{name.upper()}")
    return value


def _wait_ms(request: Request) -> int:
    """How long the client is ready to wait, within the bounds; 0 when it does not ask for that."""
    if (text_of_wait := request.query.get("wait")) is None:
        return 0
    try:
        wait_ns = parse_duration_ns(text_of_wait)
    except ValueError as error:
        raise HttpError(400, "INVALID_ARG_WAIT") from error
    if wait_ns < 0:
        raise HttpError(400, "INVALID_ARG_WAIT")
    return min(wait_ns // _NS_PER_MS, WAIT_MS_MAX)


def _name(request: Request, name: str) -> str:
    value = _argument(request, name)
    if not is_valid_name(value):
        raise HttpError(400, f"INVALID_ARG_{name.upper()}")
    return value


def _producer(producer: Producer) -> dict[str, object]:
    identity = producer.identity
    return {
        "remote_address": producer.remote_address,
        "hostname": identity.hostname,
        "broadcast_address": identity.broadcast_address,
        "tcp_port": identity.tcp_port,
        "http_port": identity.http_port,
        "version": identity.version,
        "topology_zone": identity.topology_zone,
        "topology_region": identity.topology_region,
    }


def _node(node: Node) -> dict[str, object]:
    return _producer(node.producer) | {"tombstones": node.tombstones, "topics": node.topics}


def _registration(registration: Registration) -> dict[str, object]:
    fields = _producer(registration.producer)
    fields |= {
        "id": fields.pop("remote_address"),
        "last_update": registration.last_update_ns,
        "tombstoned": registration.is_tombstoned,
        "tombstoned_at": registration.tombstoned_ns,
    }
    return {key: fields[key] for key in sorted(fields)}
