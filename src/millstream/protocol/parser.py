"""Splits the bytes of one client into commands, in whatever pieces they come.

`nsqd.session` hands in its receive buffer; `scan` looks at the next command and says what it is. What comes by the
million (runs of FIN, the bodies of PUB and MPUB) is described by offsets into that buffer, anything else as one of
`protocol.commands`. Every size, name and number is checked here, in NSQ's order and with NSQ's words.
"""

from collections.abc import Callable
from typing import Final

from millstream.base.errors import MillstreamError
from millstream.protocol import raw
from millstream.protocol.commands import Auth, Command, Identify, Nop
from millstream.protocol.errors import BadBody, BadMessage, BadTopic, Invalid
from millstream.protocol.lines import parse_line, parse_number, quoted, text
from millstream.protocol.names import is_valid_name

LINE_BYTES_MAX: Final = 16_384
INCOMPLETE: Final = 0
FINISH: Final = 1
PUBLISH: Final = 2
PUBLISH_BATCH: Final = 3
PUBLISH_DEFERRED: Final = 4
COMMAND: Final = 5

_LINE_BYTES_MAX = 16_384
_INCOMPLETE = 0
_FINISH = 1
_PUBLISH = 2
_PUBLISH_BATCH = 3
_PUBLISH_DEFERRED = 4
_COMMAND = 5
_FIN_BYTES = 21
_INT32_SIGN = 1 << 31
_SPACE = 32
_NEWLINE = 10
_ZERO = 48
_PLAIN_DIGITS_MAX = 18
_D = 68
_F = 70
_I = 73
_M = 77
_N = 78
_P = 80


def batch_of_lines(data: bytes, first: int, size_bytes_max: int) -> tuple[bytearray, int, int]:
    """Lines as MPUB has its messages, each behind its 4-byte size: (that, how many, how many bytes of messages).

    `data` has them from `first` on. What follows the last newline is a line, too; empty lines are none. Raises
    `BadMessage` for one that is too long.
    """
    return _batch_of_lines(data, first, len(data), size_bytes_max)


def _batch_of_lines(body: bytes, first: int, end: int, size_bytes_max: int) -> tuple[bytearray, int, int]:
    count = 0
    size_bytes = 0
    start = first
    while start < end:
        stop = _end_of_line(body, start, end)
        if stop - start > size_bytes_max:
            raise BadMessage(f"MPUB message too big {stop - start} > {size_bytes_max}")
        if stop > start:
            count += 1
            size_bytes += stop - start
        start = stop + 1
    batch = bytearray(size_bytes + 4 * count)
    at, start = 0, first
    while start < end:
        stop = _end_of_line(body, start, end)
        size = stop - start
        if size:
            raw.put32(batch, at, size)
            raw.copy(batch, at + 4, body, start, size)
            at += 4 + size
        start = stop + 1
    return batch, count, size_bytes


def _end_of_line(body: bytes, start: int, end: int) -> int:
    newline = raw.find_newline(body, start, end)
    return end if newline < 0 else newline


class LineTooLong(MillstreamError):
    """A command line beyond 16384 bytes: the connection is closed without an error frame, as NSQ does."""


class CommandParser:
    """What `scan` found is in the attributes: `position` is behind it.

    FINISH: the lines from the start up to `position` are 21-byte FINs. PUBLISH and PUBLISH_DEFERRED: the body is
    `size` bytes at `body`; the latter by `delay_ms`, which may be 0. PUBLISH_BATCH: `count` bodies, each behind its
    4-byte size, from `body` on, `size` bytes of bodies in sum. COMMAND: `command`. INCOMPLETE: more bytes are needed;
    it goes on at offset `needed`, and says of itself that it ends at `declared`; when `needed` is 0 nobody can say yet.
    The guard is asked with the name of every command that is not on the fast path; when `is_guarded` nothing is on it.
    `may_publish_batch`, where set, is asked with the topic of an MPUB before its body is looked at, as NSQ does; False:
    the command is INCOMPLETE for now.
    """

    def __init__(
        self,
        guard: Callable[[bytes], bool],
        message_bytes_max: int,
        body_bytes_max: int,
        req_timeout_ms_max: int,
    ) -> None:
        self._guard = guard
        self.message_bytes_max = message_bytes_max
        self.body_bytes_max = body_bytes_max
        self.req_timeout_ms_max = req_timeout_ms_max
        self.position = 0
        self.needed = 0
        self.declared = 0
        self.topic = ""
        self.body = 0
        self.size = 0
        self.count = 0
        self.delay_ms = 0
        self.command: Command = Nop()
        self.is_guarded = False
        self.may_publish_batch: Callable[[str], bool] | None = None
        self._topic_bytes = b""
        self._seen_count = 0
        self._seen_bytes = 0

    def scan(self, data: bytearray, start: int, end: int) -> int:
        """What the next command in data[start:end] is. Raises `CommandError` and `LineTooLong`, both final."""
        return self._scan(data, start, end)

    def _scan(self, data: bytearray, start: int, end: int) -> int:
        if start >= end:
            self.needed = 0
            return _INCOMPLETE
        first = 0 if self.is_guarded else data[start]
        if first == _F:
            stop = self._fin_run(data, start, end)
            if stop > start:
                self.position = stop
                return _FINISH
        newline = raw.find_newline(data, start, end)
        if newline < 0 or newline - start >= _LINE_BYTES_MAX:
            if end - start >= _LINE_BYTES_MAX:
                raise LineTooLong("a command line of more than 16384 bytes")
            self.needed = 0
            return _INCOMPLETE
        stop = newline
        if stop > start and data[stop - 1] == 13:
            stop -= 1
        if first == _P and self._is_publish(data, start, stop, 4):
            return self._publish(data, start + 4, stop, newline + 1, end)
        if first == _M and self._is_publish(data, start, stop, 5):
            return self._publish_batch(data, start + 5, stop, newline + 1, end)
        if first == _D and self._is_publish(data, start, stop, 5):
            return self._publish_deferred(data, start, stop, newline + 1, end)
        return self._command(bytes(data[start:stop]), data, newline + 1, end)

    def _fin_run(self, data: bytearray, start: int, end: int) -> int:
        """Where the run of FIN lines that begins at `start` ends."""
        at = start
        while end - at >= _FIN_BYTES:
            if data[at] != _F or data[at + 1] != _I or data[at + 2] != _N:
                break
            if data[at + 3] != _SPACE or data[at + 20] != _NEWLINE:
                break
            at += _FIN_BYTES
        return at

    def line(self, data: bytearray, start: int, end: int) -> int:
        """As `scan`, for a line that looked like FIN and was none that could be carried out in a run."""
        newline = raw.find_newline(data, start, end)
        stop = newline - 1 if data[newline - 1] == 13 else newline
        return self._command(bytes(data[start:stop]), data, newline + 1, end)

    def _is_publish(self, data: bytearray, start: int, stop: int, prefix: int) -> bool:
        """Whether a line is PUB or MPUB with exactly one parameter."""
        if stop - start < prefix or data[start + prefix - 1] != _SPACE:
            return False
        at = start + prefix - 4
        return bool(data[at] == _P and data[at + 1] == 85 and data[at + 2] == 66)

    def _take_topic(self, data: bytearray, start: int, stop: int, name: str, code: str) -> None:
        """Set `topic`; mostly it is the one of the command before."""
        if raw.same(data, start, stop - start, self._topic_bytes) and stop > start:
            return
        raw_name = bytes(data[start:stop]).split(b" ", 1)[0]
        self._set_topic(raw_name, name, code)

    def _set_topic(self, raw_name: bytes, name: str, code: str) -> None:
        topic = text(raw_name)
        if not is_valid_name(topic):
            raise BadTopic(f"{code}{name} topic name {quoted(raw_name)} is not valid")
        self.topic = topic
        self._topic_bytes = raw_name

    def _publish(self, data: bytearray, start: int, stop: int, body: int, end: int) -> int:
        self._take_topic(data, start, stop, "PUB", "")
        return self._message(data, body, end, "PUB", _PUBLISH)

    def _publish_deferred(self, data: bytearray, start: int, stop: int, body: int, end: int) -> int:
        """DPUB with a topic and a plain number; whatever else stands there goes the way of all commands."""
        topic = at = start + 5
        while at < stop and data[at] != _SPACE:
            at += 1
        behind_topic = at
        at += 1
        delay_ms = 0
        is_plain = 0 < stop - at <= _PLAIN_DIGITS_MAX
        while is_plain and at < stop:
            digit = data[at] - _ZERO
            is_plain = 0 <= digit <= 9
            delay_ms = 10 * delay_ms + digit
            at += 1
        if not is_plain or delay_ms > self.req_timeout_ms_max:
            return self._command(bytes(data[start:stop]), data, body, end)
        self._take_topic(data, topic, behind_topic, "DPUB", "")
        self.delay_ms = delay_ms
        return self._message(data, body, end, "DPUB", _PUBLISH_DEFERRED)

    def _message(self, data: bytearray, body: int, end: int, name: str, kind: int) -> int:
        """The size and body of PUB and DPUB."""
        if end - body < 4:
            self.needed = 0
            return _INCOMPLETE
        size = raw.get32(data, body)
        if size >= _INT32_SIGN:
            size -= 1 << 32
        if size <= 0:
            raise BadMessage(f"{name} invalid message body size {size}")
        if size > self.message_bytes_max:
            raise BadMessage(f"{name} message too big {size} > {self.message_bytes_max}")
        if end - body - 4 < size:
            self.needed = self.declared = body + 4 + size
            return _INCOMPLETE
        self.body = body + 4
        self.size = size
        self.position = body + 4 + size
        return kind

    def _publish_batch(self, data: bytearray, start: int, stop: int, body: int, end: int) -> int:
        self._take_topic(data, start, stop, "MPUB", "E_BAD_TOPIC ")
        return self._batch(data, body, end)

    def _batch(self, data: bytearray, body: int, end: int) -> int:
        """The sizes, the count and the bodies of MPUB."""
        is_asking = self.may_publish_batch is not None and not self.may_publish_batch(self.topic)
        if is_asking or end - body < 4:
            self.needed = 0
            return _INCOMPLETE
        size = raw.get32(data, body)
        if size >= _INT32_SIGN:
            size -= 1 << 32
        if size <= 0:
            raise BadBody(f"MPUB invalid body size {size}")
        if size > self.body_bytes_max:
            raise BadBody(f"MPUB body too big {size} > {self.body_bytes_max}")
        if end - body < 8:
            self.needed = 0
            return _INCOMPLETE
        count = raw.get32(data, body + 4)
        if count >= _INT32_SIGN:
            count -= 1 << 32
        if count <= 0 or count > (self.body_bytes_max - 4) // 5:
            raise BadBody(f"MPUB invalid message count {count}")
        self.declared = body + 4 + size
        return self._walk_batch(data, body + 8, end, count)

    def _walk_batch(self, data: bytearray, first: int, end: int, count: int) -> int:
        """Check the size of every message before the first is taken.

        As in NSQ the count and these sizes say where the command ends; the size of the body was only checked for its
        range. The walk goes on where the last one ended, so that a slow client costs no more than a fast one.
        """
        index = self._seen_count
        at = first + self._seen_bytes
        while index < count:
            if end - at < 4:
                return self._more_of_batch(index, at - first, at + 4)
            size = raw.get32(data, at)
            if size >= _INT32_SIGN or size == 0:
                raise BadMessage(
                    f"MPUB invalid message({index}) body size {size - (1 << 32) if size >= _INT32_SIGN else 0}"
                )
            if size > self.message_bytes_max:
                raise BadMessage(f"MPUB message too big {size} > {self.message_bytes_max}")
            if at - first + size > self.body_bytes_max:
                raise BadBody(f"MPUB body too big {at - first + 8 + size} > {self.body_bytes_max}")
            if end - at - 4 < size:
                return self._more_of_batch(index, at - first, at + 4 + size)
            at += 4 + size
            index += 1
        self._seen_count = self._seen_bytes = 0
        self.body = first
        self.size = at - first - 4 * count
        self.count = count
        self.position = at
        return _PUBLISH_BATCH

    def _more_of_batch(self, index: int, seen_bytes: int, needed: int) -> int:
        self._seen_count = index
        self._seen_bytes = seen_bytes
        self.needed = needed
        return _INCOMPLETE

    def _command(self, line: bytes, data: bytearray, body: int, end: int) -> int:
        """Anything that is not worth a fast path. The guard speaks before parameters and bodies are looked at."""
        name, *parameters = line.split(b" ")
        self.position = body
        if not self._guard(name):
            self.command = Nop()
            return _COMMAND
        if name in (b"PUB", b"MPUB", b"DPUB"):
            return self._slow_publish(name.decode(), parameters, data, body, end)
        if name in (b"IDENTIFY", b"AUTH"):
            return self._body_command(name.decode(), parameters, data, body, end)
        self.command = parse_line(name, parameters, self.req_timeout_ms_max)
        return _COMMAND

    def _slow_publish(self, name: str, parameters: list[bytes], data: bytearray, body: int, end: int) -> int:
        if len(parameters) < (2 if name == "DPUB" else 1):
            raise Invalid(f"{name} insufficient number of parameters")
        self._set_topic(parameters[0], name, "E_BAD_TOPIC " if name == "MPUB" else "")
        if name == "PUB":
            return self._message(data, body, end, name, _PUBLISH)
        if name == "MPUB":
            return self._batch(data, body, end)
        delay_ms = parse_number(parameters[1])
        if delay_ms < 0:
            raise Invalid(f"DPUB could not parse timeout {text(parameters[1])}")
        if delay_ms > self.req_timeout_ms_max:
            raise Invalid(f"DPUB timeout {delay_ms} out of range 0-{self.req_timeout_ms_max}")
        self.delay_ms = delay_ms
        return self._message(data, body, end, name, _PUBLISH_DEFERRED)

    def _body_command(self, name: str, parameters: list[bytes], data: bytearray, body: int, end: int) -> int:
        if name == "AUTH" and parameters:
            raise Invalid("AUTH invalid number of parameters")
        if end - body < 4:
            self.needed = 0
            return _INCOMPLETE
        size = int.from_bytes(data[body : body + 4], "big", signed=True)
        if size > self.body_bytes_max:
            raise BadBody(f"{name} body too big {size} > {self.body_bytes_max}")
        if size <= 0:
            raise BadBody(f"{name} invalid body size {size}")
        if end - body - 4 < size:
            self.needed = self.declared = body + 4 + size
            return _INCOMPLETE
        payload = bytes(data[body + 4 : body + 4 + size])
        self.command = Identify(payload) if name == "IDENTIFY" else Auth(payload)
        self.position = body + 4 + size
        return _COMMAND

    def cut_short(self, data: bytearray, end: int) -> None:
        """The client stops in the middle of data[:end]: raises what NSQ says of a body that never comes."""
        newline = raw.find_newline(data, 0, end)
        if newline < 0:
            return
        name = text(bytes(data[:newline]).removesuffix(b"\r").split(b" ", 1)[0])
        have = end - newline - 1
        if name == "MPUB" and have >= 8:
            if self._walk_batch(data, newline + 9, end, raw.get32(data, newline + 5)) == _INCOMPLETE:
                is_size = self.needed - newline - 9 - self._seen_bytes == 4
                lacks = f"({self._seen_count}) body size" if is_size else " body"
                raise BadMessage(f"MPUB failed to read message{lacks}")
        elif name == "MPUB" and have >= 4:
            raise BadBody("MPUB failed to read message count")
        elif name in ("PUB", "DPUB"):
            raise BadMessage(f"{name} failed to read message body{' size' if have < 4 else ''}")
        else:
            raise BadBody(f"{name} failed to read body{' size' if have < 4 else ''}")
