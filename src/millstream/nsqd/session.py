"""One TCP client: bytes in from the transport, through the parser, to topics and channels; bytes out again.

`net.listener` makes one per connection. A read is decoded whole out of the host's shared buffer; a session has memory
of its own only while a command is incomplete. PUB, MPUB and FIN never become objects; the rest goes through
`nsqd.conversation`. OKs wait for the turn (`nsqd.turn`), so that replies leave in the order of the commands.
"""

import errno
from typing import Any, Final

from millstream.base import syscalls
from millstream.base.errors import StorageError
from millstream.engine.channel import Channel
from millstream.engine.consumer import Consumer
from millstream.engine.topic import Topic
from millstream.nsqd.admission import Refused
from millstream.nsqd.client_stats import ClientStats
from millstream.nsqd.conversation import Conversation
from millstream.nsqd.host import Host
from millstream.nsqd.replies import Replies, publish_failed
from millstream.nsqd.turn import Turn
from millstream.protocol.errors import CommandError, IdentifyFailed, Invalid
from millstream.protocol.frames import ERROR, encode_frame
from millstream.protocol.parser import CommandParser, LineTooLong

MAGIC: Final = b"  V2"
BAD_PROTOCOL: Final = encode_frame(ERROR, b"E_BAD_PROTOCOL")
UNSENT_BYTES_MAX: Final = 1 << 20

_FINISH = 1
_PUBLISH = 2
_PUBLISH_BATCH = 3
_PUBLISH_DEFERRED = 4
_UNSENT_BYTES_MAX = 1 << 20
_PENDING_MAX = 10_000
_KEEP_BYTES = 64 << 10
_SLACK_BYTES = 16 << 10
_MAGIC_BYTES = 4
_NS_PER_MS = 1_000_000

_NAMES = ("", "", "PUB", "MPUB", "DPUB")

_WOULD_BLOCK = frozenset({errno.EAGAIN, errno.EWOULDBLOCK})


class Session:
    """A connection; the methods that asyncio calls have asyncio's names."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.number = host.next_number()
        self.transport: Any = None
        self.consumer: Consumer | None = None
        self.topic: Topic | None = None
        self.channel: Channel | None = None
        self.conversation = Conversation(host, self)
        self.replies = Replies()
        self.is_closed = False
        self.is_closing = False
        self.is_waiting = False
        self.is_upgrading = False
        self.is_suspended = False
        self._turn: Turn = host.turn
        self._view = host.view
        self.last_command_ns = host.clock.monotonic_ns()
        self._parser = CommandParser(
            self.conversation.server.guard,
            host.options.max_msg_size,
            host.options.max_body_size,
            host.options.max_req_timeout_ms,
        )
        self._parser.is_guarded = host.needs_tls
        self._needs_auth = host.auth is not None
        if self._needs_auth:
            self._parser.may_publish_batch = self.conversation.may_publish_batch
        self._publishing: Topic | None = None
        self._publishing_name = ""
        self._admission = 0
        self._descriptor = -1
        self._is_greeted = False
        self._is_blocked = False
        self._is_reading_paused = False
        self._own: bytearray | None = None
        self._have = 0
        self._needed = 0

    def connection_made(self, transport: Any) -> None:
        """A client connected."""
        self.transport = transport
        # Zero marks make `pause_writing` mean "there are unsent bytes": then nothing is dealt to this client.
        transport.set_write_buffer_limits(high=0, low=0)
        self._descriptor = transport.get_extra_info("socket").fileno()
        self.conversation.opened(transport)

    def connection_lost(self, error: Exception | None) -> None:
        """The client is gone, or was told to go."""
        del error
        self.is_closed = True
        self._descriptor = -1
        self._own = None
        self.conversation.lost()

    def eof_received(self) -> bool:
        """The client sends no more: as in NSQ the connection ends, with the replies that it is owed."""
        if self._own is not None and self._is_greeted and not self.is_closing:
            try:
                self._parser.cut_short(self._own, self._have)
            except CommandError as error:
                self.fail(error)
        self.close()
        return True

    def pause_writing(self) -> None:
        """Bytes are left unsent: deal nothing more to this client."""
        self._is_blocked = True
        if self.consumer is not None:
            self.consumer.is_blocked = True

    def resume_writing(self) -> None:
        """Everything was sent."""
        self._is_blocked = False
        if self.is_upgrading:
            self._upgrade()
        elif self._is_reading_paused and not self.is_suspended:
            self._is_reading_paused = False
            self.transport.resume_reading()
        if self.consumer is not None:
            self.consumer.is_blocked = False
            if self.topic is not None and self.channel is not None:
                self._turn.mark(self.topic, self.channel)

    def get_buffer(self, size_hint: int) -> memoryview:
        """Where the next read goes: the buffer that all share, or our own behind an incomplete command."""
        del size_hint
        if self._own is None:
            return self._view
        return memoryview(self._own)[self._have :]

    def buffer_updated(self, count: int) -> None:
        """Bytes came."""
        if self.is_closed or self.is_closing:
            return
        own = self._own
        if own is None:
            data = self.host.buffer
            end = count
        else:
            data = own
            end = self._have + count
            self._have = end
            if end < self._needed and not self.is_suspended:
                return
        if self.is_suspended:
            self._keep(data, 0, end)
        else:
            self._process(data, end)

    def _process(self, data: bytearray, end: int) -> None:
        """Carry out what is whole in data[:end], and keep the rest."""
        try:
            used = self._feed(data, end)
        except CommandError as error:
            self.fail(error)
            return
        except LineTooLong:
            self.close()
            return
        if self.is_closing or (used == end and not self.is_suspended):
            self._own = None
            self._needed = 0
        else:
            self._keep(data, used, end)

    def _keep(self, data: bytearray, used: int, end: int) -> None:
        """Hold on to an incomplete command. Memory follows what was really sent, not what a size promises."""
        rest = end - used
        needed = self._parser.needed - used if self._parser.needed else 0
        declared = self._parser.declared - used if needed else 0
        own = self._own
        if data is own and used == 0 and end < len(data):
            self._needed = needed if needed <= len(data) else 0
            return
        capacity = 2 * rest + _KEEP_BYTES
        if capacity > declared + _KEEP_BYTES and declared > rest:
            capacity = declared + _KEEP_BYTES
        view = memoryview(data)
        # The same buffer again, when it is nearly as large as wanted and not far too large: a new one is zeroed.
        if data is own and capacity <= len(data) + _SLACK_BYTES and len(data) <= 2 * capacity:
            view[:rest] = view[used:end]
        else:
            own = bytearray(capacity)
            own[:rest] = view[used:end]
            self._own = own
        self._have = rest
        self._needed = needed if needed <= capacity else 0

    def _feed(self, data: bytearray, end: int) -> int:
        """Carry out every whole command in data[:end]; how many bytes that were."""
        parser = self._parser
        at = 0
        if not self._is_greeted:
            if end < _MAGIC_BYTES:
                parser.needed = 0
                return 0
            if data[:4] != MAGIC:
                self.send(BAD_PROTOCOL)
                self.close()
                return end
            self._is_greeted = True
            self.conversation.greeted()
            at = _MAGIC_BYTES
        finished = False
        while at < end:
            kind = parser.scan(data, at, end)
            if kind == 0:
                break
            if kind == _FINISH:
                if self.channel is None or self.consumer is None:
                    raise Invalid("cannot FIN in current state")
                finished = True
                at = self.channel.finish_run(self.consumer, data, at, parser.position)
                if at < parser.position:
                    parser.line(data, at, end)
                    self.conversation.carry_out(parser.command)
                    at = parser.position
                continue
            if kind <= _PUBLISH_DEFERRED:
                if self._needs_auth and not self.conversation.may_publish(_NAMES[kind], parser.topic):
                    break
                self._publish(kind, data)
            else:
                self.conversation.carry_out(parser.command)
                if self.is_closing:
                    return end
                if self.is_suspended:
                    at = at if self.conversation.must_repeat else parser.position
                    break
                if self.is_upgrading:
                    if parser.position < end:
                        raise IdentifyFailed("IDENTIFY failed more was sent before its answer")
                    self._upgrade()
                    return end
            at = parser.position
        if finished and self.topic is not None and self.channel is not None:
            self._turn.mark(self.topic, self.channel)
        if at > 0:
            # Pieces of a command are no sign of life.
            self.last_command_ns = self._turn.monotonic_ns()
        return at

    def _publish(self, kind: int, data: bytearray) -> None:
        """Append what the parser found; the OK comes when it is as durable as promised."""
        parser = self._parser
        topic = self._publishing
        try:
            is_known = topic is not None and not topic.is_barred and self._admission == self._turn.admission
            if topic is None or not is_known or self._publishing_name != parser.topic:
                topic = self.host.topic_to_publish(parser.topic)
                self._publishing = topic
                self._admission = self._turn.admission
                self._publishing_name = parser.topic
            now_ns = self._turn.wall_ns()
            if kind == _PUBLISH or (kind == _PUBLISH_DEFERRED and not parser.delay_ms):
                topic.publish(data, parser.body, parser.size, now_ns)
                self.replies.published(topic, kind, 1)
            elif kind == _PUBLISH_BATCH:
                topic.publish_batch(data, parser.body, parser.count, parser.size, now_ns)
                self.replies.published(topic, kind, parser.count)
            else:
                due_ns = now_ns + parser.delay_ms * _NS_PER_MS
                topic.publish_deferred(data, parser.body, parser.size, now_ns, due_ns)
                self.replies.published(topic, kind, 1)
        except Refused as error:
            raise publish_failed(kind, str(error)) from error
        except StorageError as error:
            self.host.publish_failures += 1
            raise publish_failed(kind, str(error)) from error
        if self.is_waiting and topic.is_dirty:
            return
        self._turn.published(topic, None if self.is_waiting else self)
        self.is_waiting = True

    def stats(self) -> ClientStats:
        """What `/stats` says of this client."""
        return self.conversation.stats(self.replies.message_counts())

    def settle(self) -> bool:
        """Send the OKs that are due; True when none is left."""
        oks = self.replies.take_oks()
        if oks is not None:
            self.send(oks)
        else:
            data, error = self.replies.take()
            if data:
                self.send(data)
            if error is not None:
                self.host.publish_failures += 1
                self.fail(error)
        self.is_waiting = not self.replies.is_empty
        if self.is_waiting:
            self._bound_pending()
            return False
        if self.is_closing:
            self._end()
        elif self.is_upgrading:
            self._upgrade()
        return True

    def suspend(self) -> None:
        """Carry out nothing more until `resume`: an auth server is asked."""
        self.is_suspended = True
        self._parser.needed = 0
        self.transport.pause_reading()

    def resume(self) -> None:
        """Go on with what came meanwhile."""
        self.is_suspended = False
        if self.is_closed or self.is_closing:
            return
        if self._own is not None and self._have:
            self._process(self._own, self._have)
        if not self.is_suspended and not self.is_closing:
            self._is_reading_paused = False
            self.transport.resume_reading()

    def begin_upgrade(self) -> None:
        """Read no more: what comes next is by other rules. Call it before the answer to IDENTIFY is sent."""
        self.is_upgrading = True
        self.transport.pause_reading()

    def _upgrade(self) -> None:
        if self.replies.is_empty and not self._is_blocked and not self.is_closing:
            self.conversation.begin_upgrade()

    def upgraded(self, transport: Any) -> None:
        """From now on speak through a transport that is not the socket's."""
        self.transport = transport
        self._descriptor = -1
        self._is_reading_paused = False

    def end_upgrade(self) -> None:
        """The last layer is in place: go on."""
        self.is_upgrading = False
        self._parser.is_guarded = self.conversation.server.needs_tls

    def _bound_pending(self) -> None:
        """Read no further while thousands of publishes wait for their sync."""
        if self.is_upgrading or self.is_suspended:
            return
        if self.replies.waiting > _PENDING_MAX and not self._is_reading_paused and not self.is_closed:
            self._is_reading_paused = True
            self.transport.pause_reading()
        elif self._is_reading_paused and not self._is_blocked and self.replies.waiting <= _PENDING_MAX // 2:
            self._is_reading_paused = False
            self.transport.resume_reading()

    def reply(self, frame: bytes) -> None:
        """Send a response or an error, behind the OKs that are still due."""
        if self.replies.is_empty:
            self.send(frame)
        else:
            self.replies.then(frame)

    def fail(self, error: CommandError) -> None:
        """Tell the client what it did wrong, and after a fatal error let it go."""
        self.reply(encode_frame(ERROR, error.encode()))
        if error.fatal:
            self.conversation.refused(error)
            self.close()

    def send(self, data: bytes | memoryview) -> None:
        """Write now what the socket takes; the transport gets a copy of the rest."""
        if self.is_closed:
            return
        if self._is_blocked or self._descriptor < 0:
            self.transport.write(bytes(data))
            self._bound_unsent()
            return
        sent = syscalls.write_to(self._descriptor, data)
        if sent < 0:
            if -sent not in _WOULD_BLOCK:
                self.is_closed = True
                self.transport.abort()
                return
            sent = 0
        if sent < len(data):
            self.transport.write(bytes(memoryview(data)[sent:]))

    def _bound_unsent(self) -> None:
        """A client that does not read its replies is not read from either."""
        if self._is_reading_paused or self.is_upgrading:
            return
        if self.transport.get_write_buffer_size() > _UNSENT_BYTES_MAX:
            self._is_reading_paused = True
            self.transport.pause_reading()

    def close(self) -> None:
        """End the connection when the replies that are due have left."""
        if not self.is_closing:
            self.is_closing = True
            if self.replies.is_empty:
                self._end()

    def _end(self) -> None:
        self._descriptor = -1
        if not self.is_closed:
            self.transport.close()

    def abort(self) -> None:
        """End the connection at once."""
        self.is_closing = True
        self._descriptor = -1
        if not self.is_closed:
            self.transport.abort()
