"""What one client says that is worth an object: IDENTIFY, SUB, RDY, REQ, TOUCH, CLS, and FINs that fail.

`nsqd.session` parses and hands commands over, `protocol.server` has said that they are legal; this carries them out
on the engine and keeps the client's heartbeats. It owns no bytes and no socket.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final, Protocol

from millstream.base.errors import StorageError
from millstream.base.log import get_logger
from millstream.engine.channel import Channel
from millstream.engine.consumer import Consumer
from millstream.engine.letters import Client
from millstream.engine.nearness import UNKNOWN, distance_of
from millstream.engine.topic import Topic
from millstream.nsqd.client_stats import ClientStats
from millstream.nsqd.credentials import Credentials
from millstream.nsqd.host import Host
from millstream.nsqd.upgrades import Upgradable, Upgrade
from millstream.protocol import raw
from millstream.protocol.commands import Auth, Cls, Command, Fin, Identify, Rdy, Req, Sub, Touch
from millstream.protocol.errors import (
    AuthDisabled,
    CommandError,
    FinFailed,
    IdentifyFailed,
    Invalid,
    ReqFailed,
    SubFailed,
    TouchFailed,
)
from millstream.protocol.frames import RESPONSE, encode_frame
from millstream.protocol.identify import Negotiated, negotiate, parse_request
from millstream.protocol.server import ServerConnection

log = get_logger(__name__)

OK: Final = encode_frame(RESPONSE, b"OK")
HEARTBEAT: Final = encode_frame(RESPONSE, b"_heartbeat_")
CLOSE_WAIT: Final = encode_frame(RESPONSE, b"CLOSE_WAIT")
_NS_PER_MS: Final = 1_000_000
_NS_PER_S: Final = 1_000_000_000


class Speaker(Upgradable, Protocol):
    """The session, as far as its conversation needs it."""

    number: int
    consumer: Consumer | None
    topic: Topic | None
    channel: Channel | None
    last_command_ns: int

    def begin_upgrade(self) -> None:
        """Read no more until the upgrade; it begins when what is owed has left."""
        ...

    def end_upgrade(self) -> None:
        """The upgrade is complete."""
        ...

    def fail(self, error: CommandError) -> None:
        """Send an error, and end the connection after a fatal one."""
        ...

    def send(self, data: bytes | memoryview) -> None:
        """Write to the client."""
        ...

    def close(self) -> None:
        """End the connection when what is owed has left."""
        ...

    def stats(self) -> ClientStats:
        """What `/stats` says of the client."""
        ...

    def suspend(self) -> None:
        """Carry out nothing more for now."""
        ...

    def resume(self) -> None:
        """Go on with what came meanwhile."""
        ...


class Conversation:
    """The client's state, identity, subscription and heartbeats."""

    def __init__(self, host: Host, session: Speaker) -> None:
        self.server = ServerConnection(needs_tls=host.needs_tls)
        self.upgrade: Upgrade | None = None
        self.identity = Negotiated.before_identify(host.features)
        self.remote_address = ""
        self.remote_port = 0
        self.connected_s = host.clock.wall_ns() // _NS_PER_S
        self._host = host
        self._session = session
        self.credentials = Credentials(host.auth, host.clock, session) if host.auth is not None else None
        self.must_repeat = False
        self._is_identified = False
        self._timer: asyncio.TimerHandle | None = None

    def opened(self, transport: Any) -> None:
        """The client connected: it has a while to say who it speaks to."""
        peer = transport.get_extra_info("peername")
        if isinstance(peer, tuple):
            host = f"[{peer[0]}]" if ":" in peer[0] else peer[0]
            self.remote_address, self.remote_port = f"{host}:{peer[1]}", peer[1]
        sessions = self._host.sessions
        if len(sessions) >= self._host.options.max_connections or self._host.is_stopping:
            log.warning("client.refused", client=self.remote_address, connections=len(sessions))
            self._session.abort()
            return
        if not self._host.gate.admit(self._remote_ip):
            self._session.abort()
            return
        sessions[self._session.number] = self._session
        self._set_timer(self._host.options.handshake_timeout_ms, self._too_slow)

    @property
    def _remote_ip(self) -> str:
        return self.remote_address.rpartition(":")[0]

    def _set_timer(self, delay_ms: int, action: Callable[[], None]) -> None:
        self._stop_timer()
        self._timer = asyncio.get_running_loop().call_later(delay_ms / 1000, action)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_slow(self) -> None:
        log.info("client.never_greeted", client=self.remote_address)
        self._session.abort()

    def _does_not_read(self) -> None:
        log.info("client.upgrade_stalled", client=self.remote_address)
        self._session.abort()

    def greeted(self) -> None:
        """The magic came: heartbeats begin."""
        self._restart_heartbeats()

    def _restart_heartbeats(self) -> None:
        self._stop_timer()
        if self.identity.heartbeat_interval_ms:
            self._set_timer(self.identity.heartbeat_interval_ms, self._beat)

    def _beat(self) -> None:
        """A heartbeat is due; a client that was silent for two of them is gone, as in NSQ without a word."""
        interval_ns = self.identity.heartbeat_interval_ms * _NS_PER_MS
        if self._host.clock.monotonic_ns() - self._session.last_command_ns >= 2 * interval_ns - interval_ns // 100:
            log.info("client.silent", client=self.remote_address)
            self._session.abort()
            return
        self._session.reply(HEARTBEAT)
        self._set_timer(self.identity.heartbeat_interval_ms, self._beat)

    def refused(self, error: CommandError) -> None:
        """The client made a fatal mistake."""
        log.info("client.refused", client=self.remote_address, error=error)

    def lost(self) -> None:
        """The connection is gone: what the client held goes to others."""
        self._stop_timer()
        if self._host.sessions.pop(self._session.number, None) is not None:
            self._host.gate.leave(self._remote_ip)
        session = self._session
        consumer, session.consumer = session.consumer, None
        if consumer is not None:
            consumer.sink = None
        if consumer is not None and session.topic is not None and session.channel is not None:
            try:
                self._host.leave(session.topic, session.channel, consumer)
            except StorageError as error:
                log.error("channel.delete_failed", channel=session.channel.name, error=error)

    def carry_out(self, command: Command) -> None:
        """Do what the client asks. Raises `CommandError`; the caller sends it."""
        match command:
            case Fin(message_id):
                self._answer(message_id, "FIN")
            case Req(message_id, delay_ms):
                self._answer(message_id, "REQ", delay_ms)
            case Touch(message_id):
                self._answer(message_id, "TOUCH")
            case Rdy(count):
                self._ready(count)
            case Sub(topic, channel):
                self._subscribe(topic, channel)
            case Identify(body):
                self._identify(body)
            case Cls():
                self._stop_deliveries()
            case Auth(secret):
                self._authenticate(secret)
            case _:
                return

    def _identify(self, body: bytes) -> None:
        request = parse_request(body)
        previous = self.identity if self._is_identified else None
        identity = negotiate(request, self._host.features, previous)
        self.server.has_heartbeats = identity.heartbeat_interval_ms > 0
        asks = identity.tls_v1 or identity.snappy or identity.deflate
        if asks and self.upgrade is not None and not self.upgrade.extend(identity):
            raise IdentifyFailed("IDENTIFY failed the connection was upgraded before")
        self.identity = identity
        self._is_identified = True
        if not asks:
            self._session.reply(encode_frame(RESPONSE, identity.encode()))
            self._restart_heartbeats()
            return
        if self.upgrade is None:
            self.upgrade = Upgrade(self._host, self._session, identity, self._upgraded)
        # No heartbeat may fall between the reply and the other end of the upgrade.
        self._set_timer(self._host.options.tls_handshake_timeout_ms, self._does_not_read)
        self._session.begin_upgrade()
        self._session.reply(encode_frame(RESPONSE, identity.encode()))

    def begin_upgrade(self) -> None:
        """What was owed in plain has left."""
        if self.upgrade is not None:
            self._stop_timer()
            self.upgrade.begin()

    def _upgraded(self) -> None:
        if self.upgrade is not None and self.upgrade.tls is not None:
            self.server.needs_tls = False
        self._session.last_command_ns = self._host.clock.monotonic_ns()
        self._session.end_upgrade()
        self._restart_heartbeats()

    def _authenticate(self, secret: bytes) -> None:
        if self.credentials is None:
            raise AuthDisabled("AUTH disabled")
        certificate = self.upgrade.common_name if self.upgrade is not None else ""
        is_secure = self.upgrade is not None and self.upgrade.tls is not None
        self.credentials.begin(secret, remote_ip=self._remote_ip, tls=is_secure, common_name=certificate)
        self.must_repeat = False
        self._host.spawn(self.credentials.ask(answers=True), f"auth {self.remote_address}")

    def may_publish(self, command: str, topic: str) -> bool:
        """Whether the client may publish now; False: the session is suspended, and repeats the command."""
        return self._may(command, topic, "")

    def may_publish_batch(self, topic: str) -> bool:
        """As `may_publish`, for MPUB, whose body is not looked at before."""
        return self._may("MPUB", topic, "")

    def _may(self, command: str, topic: str, channel: str) -> bool:
        if self.credentials is None or self.credentials.may(command, topic, channel):
            return True
        self.must_repeat = True
        self._host.spawn(self.credentials.ask(answers=False), f"auth {self.remote_address}")
        return False

    def _subscribe(self, topic_name: str, channel_name: str) -> None:
        if not self._may("SUB", topic_name, channel_name):
            return
        limit = self._host.options.max_channel_consumers
        try:
            topic, channel = self._host.subscription(topic_name, channel_name)
        except StorageError as error:
            raise SubFailed(f"SUB failed {error}") from error
        if limit and len(channel.consumers) >= limit:
            raise SubFailed(f"SUB failed consumers for {topic_name}:{channel_name} exceeds limit of {limit}")
        consumer = Consumer(
            self._session.number,
            self.identity.msg_timeout_ms * _NS_PER_MS,
            sample_rate=self.identity.sample_rate,
            distance=self._distance(),
            client=self._client(),
            sink=self._session,
        )
        channel.join(consumer)
        self._session.consumer, self._session.topic, self._session.channel = consumer, topic, channel
        self.server.passed(b"SUB")
        self._session.reply(OK)

    def _client(self) -> Client:
        """Who a dead letter says had the message last."""
        identity = self.identity
        client_id, hostname = identity.client_id, identity.hostname
        if not self._is_identified:
            client_id = hostname = self._remote_ip
        return Client(client_id=client_id, hostname=hostname, address=self.remote_address)

    def _distance(self) -> int:
        options = self._host.options
        if not options.is_topology_aware:
            return UNKNOWN
        own_zone, own_region = options.topology_zone, options.topology_region
        return distance_of(self.identity.topology_zone, self.identity.topology_region, own_zone, own_region)

    def _ready(self, count: int) -> None:
        session = self._session
        limit = self._host.options.max_rdy_count
        if count > limit:
            raise Invalid(f"RDY count {count} out of range 0-{limit}")
        if session.consumer is not None and session.topic is not None and session.channel is not None:
            session.consumer.ready_count = count
            self._host.turn.mark(session.topic, session.channel)

    def _stop_deliveries(self) -> None:
        if self._session.consumer is not None:
            self._session.consumer.ready_count = 0
        self.server.passed(b"CLS")
        self._session.reply(CLOSE_WAIT)

    def _answer(self, message_id: bytes, name: str, delay_ms: int = 0) -> None:
        """FIN, REQ or TOUCH of one message; a message that the client does not hold is an error, but not fatal."""
        session = self._session
        consumer, topic, channel = session.consumer, session.topic, session.channel
        if consumer is None or topic is None or channel is None:
            raise Invalid(f"cannot {name} in current state")
        sequence = raw.get_id(message_id, 0)
        if name == "FIN":
            done = channel.finish(consumer, sequence)
        elif name == "REQ":
            done = channel.requeue(consumer, sequence, delay_ms * _NS_PER_MS)
        else:
            done = channel.touch(consumer, sequence, self._host.clock.monotonic_ns())
        self._host.turn.mark(topic, channel)
        if done:
            return
        is_held = sequence >= 0 and channel.holder_of(sequence) >= 0
        reason = "client does not own message" if is_held else "ID not in flight"
        text = f"{name} {message_id.decode('utf-8', 'surrogateescape')} failed {reason}"
        session.fail({"FIN": FinFailed, "REQ": ReqFailed, "TOUCH": TouchFailed}[name](text))

    def stats(self, message_counts: dict[str, int]) -> ClientStats:
        """What `/stats` says of this client."""
        identity = self.identity
        consumer = self._session.consumer
        remote_ip = self._remote_ip
        return ClientStats(
            client_id=identity.client_id if self._is_identified else remote_ip,
            hostname=identity.hostname if self._is_identified else remote_ip,
            remote_address=self.remote_address,
            state=self.server.state.value,
            ready_count=consumer.ready_count if consumer else 0,
            in_flight_count=consumer.in_flight if consumer else 0,
            message_count=consumer.message_count if consumer else 0,
            finish_count=consumer.finish_count if consumer else 0,
            requeue_count=consumer.requeue_count if consumer else 0,
            connect_ts=self.connected_s,
            sample_rate=identity.sample_rate,
            user_agent=identity.user_agent,
            topology_zone=identity.topology_zone,
            topology_region=identity.topology_region,
            message_counts=message_counts,
            granted=self.credentials.granted if self.credentials is not None else None,
            deflate=self.upgrade is not None and self.upgrade.deflate,
            snappy=self.upgrade is not None and self.upgrade.snappy,
            tls=self.upgrade.tls if self.upgrade is not None else None,
        )
