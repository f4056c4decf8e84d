"""The HTTP side of nsqd: operators look around, create, pause, empty and delete; publishers without TCP publish.

Requests come from `net.http`. Publishing is `nsqd.publishing`'s, `nsqd.stats` answers `/stats`. What changes topics
and channels lets the turn finish first, so that it finds nothing half done, and then wakes it to carry out the rest.
"""

from collections.abc import Callable
from typing import Final

from millstream.base.errors import StorageError
from millstream.base.log import get_logger
from millstream.base.system import host_name
from millstream.base.version import NSQ_VERSION
from millstream.engine.channel import Channel
from millstream.engine.topic import Topic
from millstream.net.http import HttpError, Request, Response, Router, empty, json, text
from millstream.nsqd.client_stats import ClientStats
from millstream.nsqd.host import Host
from millstream.nsqd.http_config import ConfigApi
from millstream.nsqd.http_damage import DamageApi
from millstream.nsqd.http_dead import DeadLetterApi
from millstream.nsqd.http_drain import DrainApi
from millstream.nsqd.http_names import argument, topic_and_channel, topic_and_name, topic_named
from millstream.nsqd.http_peek import PeekApi
from millstream.nsqd.http_policy import PolicyApi
from millstream.nsqd.http_replay import ReplayApi
from millstream.nsqd.http_scheduled import ScheduledApi
from millstream.nsqd.metrics import MetricsApi
from millstream.nsqd.policies import Policies
from millstream.nsqd.publishing import Publishing
from millstream.nsqd.stats import NsqdStats, Question, collect_memory, collect_topics, to_json
from millstream.nsqd.stats_text import to_text
from millstream.protocol.names import is_valid_name

log = get_logger(__name__)

_SWITCH: Final = {"true": True, "1": True, "false": False, "0": False}
_NS_PER_MS: Final = 1_000_000
_JSON: Final = "application/json; charset=utf-8"


class NsqdApi:
    """The endpoints of one nsqd. `ports` tells the TCP and the HTTP port that it really listens on."""

    def __init__(self, host: Host, ports: Callable[[], tuple[int, int]], policies: Policies) -> None:
        self._host = host
        self._ports = ports
        self._policies = policies

    def router(self) -> Router:
        """Every route, as NSQ has them."""
        router = Router()
        options = self._host.options
        publishing = Publishing(self._host)
        router.add(
            "POST",
            "/pub",
            publishing.publish,
            body_bytes_max=options.max_msg_size,
            too_big="MSG_TOO_BIG",
            repeat=publishing.again,
        )
        router.add(
            "POST",
            "/mpub",
            publishing.publish_batch,
            body_bytes_max=options.max_body_size,
            repeat=publishing.batch_again,
        )
        router.add("GET", "/ping", self._ping, nsq_header=False)
        router.add("GET", "/info", self._info)
        router.add("GET", "/stats", self._stats)
        router.add("GET", "/metrics", MetricsApi(self._host).show, nsq_header=False)
        router.add("POST", "/topic/create", self._create_topic)
        router.add("POST", "/topic/delete", self._delete_topic)
        router.add("POST", "/topic/empty", self._empty_topic)
        router.add("POST", "/topic/pause", self._pause_topic)
        router.add("POST", "/topic/unpause", self._unpause_topic)
        router.add("POST", "/channel/create", self._create_channel)
        router.add("POST", "/channel/delete", self._delete_channel)
        router.add("POST", "/channel/empty", self._empty_channel)
        router.add("POST", "/channel/pause", self._pause_channel)
        router.add("POST", "/channel/unpause", self._unpause_channel)
        ScheduledApi(self._host).add_to(router)
        router.add("POST", "/damage/acknowledge", DamageApi(self._host).acknowledge)
        drain = DrainApi(self._host.drain)
        router.add("GET", "/drain", drain.show)
        router.add("POST", "/drain", drain.change)
        peek = PeekApi(self._host)
        router.add("GET", "/topic/peek", peek.topic)
        router.add("GET", "/channel/peek", peek.channel)
        replay = ReplayApi(self._host)
        router.add("POST", "/channel/rewind", replay.rewind)
        router.add("POST", "/channel/replay", replay.replay)
        router.add("POST", "/channel/mpub", replay.publish, body_bytes_max=options.max_body_size)
        PolicyApi(self._host, self._policies).add_to(router)
        DeadLetterApi(self._host).add_to(router)
        config = ConfigApi(self._host, self._ports)
        router.add("GET", "/config/:opt", config.show)
        router.add("PUT", "/config/:opt", config.change, body_bytes_max=options.max_msg_size, too_big="INVALID_VALUE")
        return router

    def _ping(self, _request: Request) -> Response:
        health = self._host.health
        return text(health, 200 if health == "OK" else 500)

    def _info(self, _request: Request) -> Response:
        options = self._host.options
        tcp_port, http_port = self._ports()
        return json(
            {
                "version": NSQ_VERSION,
                "broadcast_address": options.broadcast_address or host_name(),
                "hostname": host_name(),
                "http_port": http_port,
                "tcp_port": tcp_port,
                "start_time": self._host.start_time_s,
                "max_heartbeat_interval": options.max_heartbeat_interval_ms * _NS_PER_MS,
                "max_output_buffer_size": options.max_output_buffer_size,
                "max_output_buffer_timeout": options.max_output_buffer_timeout_ms * _NS_PER_MS,
                "max_deflate_level": options.max_deflate_level,
                "topology_zone": options.topology_zone,
                "topology_region": options.topology_region,
            }
        )

    def _stats(self, request: Request) -> Response:
        query = request.query
        question = Question(
            topic=query.get("topic", ""),
            channel=query.get("channel", ""),
            include_clients=_SWITCH.get(query.get("include_clients", ""), True),
            include_memory=_SWITCH.get(query.get("include_mem", ""), True),
        )
        host = self._host
        clients: dict[Channel, list[ClientStats]] = {}
        producers: list[ClientStats] = []
        if question.include_clients:
            for session in host.sessions.values():
                client = session.stats()
                if session.channel is not None:
                    clients.setdefault(session.channel, []).append(client)
                if client.message_counts:
                    producers.append(client)
        percentiles = host.options.e2e_processing_latency_percentile
        topics = collect_topics(
            host.broker.topics, question, clients, host.options.mem_queue_size, percentiles, host.damage.of
        )
        stats = NsqdStats(
            health=host.health,
            start_time_s=host.start_time_s,
            topic=question.topic,
            topics=topics,
            memory=collect_memory() if question.include_memory else None,
            producers=tuple(producers) if question.include_clients and topics is not None else None,
            damage=tuple(host.damage.of("")),
        )
        if query.get("format") == "json":
            return json(to_json(stats))
        return text(to_text(stats, host.clock.wall_ns()))

    def _create_topic(self, request: Request) -> Response:
        name = argument(request, "topic")
        if not is_valid_name(name):
            raise HttpError(400, "INVALID_TOPIC")
        return self._change(lambda: self._host.topic(name))

    def _delete_topic(self, request: Request) -> Response:
        topic = topic_named(self._host, argument(request, "topic"))
        return self._change(lambda: self._host.broker.delete_topic(topic))

    def _empty_topic(self, request: Request) -> Response:
        name = argument(request, "topic")
        if not is_valid_name(name):
            raise HttpError(400, "INVALID_TOPIC")
        topic = topic_named(self._host, name)
        return self._change(topic.empty, topic, *topic.channels.values())

    def _pause_topic(self, request: Request) -> Response:
        topic = topic_named(self._host, argument(request, "topic"))
        return self._change(topic.pause, topic, writes_metadata=True)

    def _unpause_topic(self, request: Request) -> Response:
        topic = topic_named(self._host, argument(request, "topic"))
        return self._change(topic.unpause, topic, *topic.channels.values(), writes_metadata=True)

    def _create_channel(self, request: Request) -> Response:
        topic, name = topic_and_name(self._host, request)
        return self._change(lambda: self._host.channel(topic, name))

    def _delete_channel(self, request: Request) -> Response:
        topic, channel = topic_and_channel(self._host, request)
        host = self._host

        def unlist() -> None:
            host.metadata_changed()
            host.settle_metadata()

        return self._change(lambda: host.broker.delete_channel(topic, channel, unlist=unlist))

    def _empty_channel(self, request: Request) -> Response:
        topic, channel = topic_and_channel(self._host, request)
        return self._change(lambda: topic.empty_channel(channel), topic, channel)

    def _pause_channel(self, request: Request) -> Response:
        topic, channel = topic_and_channel(self._host, request)
        return self._change(lambda: _set_paused(channel, paused=True), topic, channel, writes_metadata=True)

    def _unpause_channel(self, request: Request) -> Response:
        topic, channel = topic_and_channel(self._host, request)
        return self._change(lambda: _set_paused(channel, paused=False), topic, channel, writes_metadata=True)

    def _change(
        self,
        change: Callable[[], object],
        topic: Topic | None = None,
        *channels: Channel,
        writes_metadata: bool = False,
    ) -> Response:
        """Carry out a change when nothing is half done, and have the turn look at the channels that it concerns.

        What is answered holds: the files say so before.
        """
        turn = self._host.turn
        turn.run()
        try:
            change()
            turn.run()  # now what the change decided is known to all, and the metadata file to be behind
            if writes_metadata:
                self._host.metadata_changed()
            self._host.settle_metadata()
        except StorageError as error:
            log.error("http.change_failed", error=error)
            raise HttpError(500, "INTERNAL_ERROR") from error
        finally:
            for channel in channels:
                if topic is not None:
                    turn.mark(topic, channel)
            turn.wake()
        return empty()


def tls_required_router(https_port: int) -> Router:
    """The routes of plain HTTP where TLS is required: every request is told so, in NSQ's spelling."""
    refusal = Response(403, b'{"message": "TLS_REQUIRED", "https_port": %d}' % https_port, _JSON)
    router = Router()
    router.answer_everything(refusal)
    return router


def _set_paused(channel: Channel, *, paused: bool) -> None:
    channel.paused = paused
