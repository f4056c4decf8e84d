"""The short way through an HTTP connection: the last request again with another body, and the answer to it.

A client that publishes sends one head with many bodies. `net.http_connection` opens the short way when nothing is under
way and the last request may come again. A request that fits goes to its route's `Repeat`, and the answer to the socket;
compiled, that is one call of Python. Whatever else comes takes the long way, which leaves this one first.
"""

from collections.abc import Callable
from typing import Final, Protocol

from millstream.base import syscalls
from millstream.net.http_messages import Response
from millstream.protocol import raw

NEVER: Final = float("inf")


class Answer(Protocol):
    """Where an answer that is owed goes."""

    def give(self, response: Response) -> None:
        """This is the answer; called once."""
        ...


class Repeat:
    """What a route makes of a request that a client sends again and again with another body; this one takes none."""

    def take(self, data: bytes, start: int, answer: Answer) -> bool:  # noqa: ARG002 - what a route's own needs
        """Handle the request whose body is `data` from `start` on, and give the answer, now or later.

        False when it is not as simple as that: then nothing was done, and the route's handler is called.
        """
        return False


class Encoder(Protocol):
    """Makes the bytes of answers; they differ when `date_line` does."""

    date_line: bytes

    def encoded(self, response: Response, *, nsq_header: bool) -> bytes:
        """An answer on a connection that goes on."""
        ...


class Owner(Protocol):
    """The connection, as its short way sees it."""

    def write(self, data: bytes) -> None:
        """Send what the socket did not take now."""
        ...

    def failed(self, error: Exception) -> Response:
        """A route made a mistake: what the client is told."""
        ...


class ShortWay:
    """Belongs to one connection. It is closed at first; one answer is owed at most.

    `deadline` is when the connection has been silent for too long, in the loop's seconds. `descriptor` is the socket to
    write to, or -1: then everything goes through the transport.
    """

    def __init__(self, owner: Owner, encoder: Encoder, idle_s: float) -> None:
        self.is_open = False
        self.is_owed = False
        self.deadline = NEVER
        self._owner = owner
        self._encoder = encoder
        self._idle_s = idle_s
        self._now: Callable[[], float] = float
        self._buffered_bytes: Callable[[], int] = int
        self.descriptor = -1
        self._head = b""
        self._size = 0
        self._repeat = Repeat()
        self._nsq_header = False
        self._slot: Answer | None = None
        self._response: Response | None = None
        self._date_line = b""
        self._encoded = b""

    def connect(self, now: Callable[[], float], buffered_bytes: Callable[[], int], descriptor: int) -> None:
        """The socket is there: what tells the time, what tells how much of it is unsent, and where to write, or -1."""
        self._now = now
        self._buffered_bytes = buffered_bytes
        self.descriptor = descriptor

    def open(self, head: bytes, body_bytes: int, repeat: Repeat, *, nsq_header: bool) -> None:
        """Take what begins with `head` and has a body of this size from now on."""
        if head is not self._head or nsq_header is not self._nsq_header:
            self._response = None
        self._head = head
        self._size = len(head) + body_bytes
        self._repeat = repeat
        self._nsq_header = nsq_header
        self.is_open = True

    def leave(self, slot: Answer) -> bool:
        """Take nothing from now on. What is owed, if anything, goes to `slot`; whether it does."""
        self.is_open = False
        if self.is_owed:
            self._slot = slot
        return self.is_owed

    def take(self, data: bytes) -> bool:
        """Handle a read, if it is that request; whether it was."""
        size = len(self._head)
        if not self.is_open or self.is_owed or len(data) != self._size or not raw.same(data, 0, size, self._head):
            return False
        self.is_owed = True
        self.deadline = NEVER
        try:
            if self._repeat.take(data, size, self):
                return True
        except Exception as error:  # noqa: BLE001 - a route's bug must not take the connection's order with it
            response = self._owner.failed(error)
            if self.is_owed:
                self.give(response)
            return True
        self.is_owed = False
        return False

    def give(self, response: Response) -> None:
        """The answer that is owed."""
        self.is_owed = False
        slot = self._slot
        if slot is not None:
            self._slot = None
            slot.give(response)
            return
        encoder = self._encoder
        if response is not self._response or encoder.date_line is not self._date_line:
            self._date_line = encoder.date_line
            self._encoded = encoder.encoded(response, nsq_header=self._nsq_header)
            self._response = response
        self.deadline = self._now() + self._idle_s
        self.send(self._encoded)

    def send(self, data: bytes) -> None:
        """Write now what the socket takes; the transport gets the rest. The long way sends by this, too."""
        sent = 0
        if self.descriptor >= 0 and not self._buffered_bytes():
            # What goes wrong here goes wrong for the transport, too, and it tells the loop.
            sent = syscalls.write_to(self.descriptor, data)
            if sent < 0:
                sent = 0
        if sent < len(data):
            self._owner.write(data[sent:])
