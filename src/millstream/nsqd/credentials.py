"""What one client may do, where an auth server is configured: AUTH, and the question before SUB and every publish.

`nsqd.conversation` owns one per connection when `--auth-http-address` is set. Asking the server takes a while: the
session is suspended for it, reads no more, and takes the command up again when the answer is there.
"""

from typing import Protocol

from millstream.base.clock import Clock
from millstream.base.log import get_logger
from millstream.nsqd.auth import AuthClient, Authorizations, AuthQueryFailed
from millstream.protocol.errors import AuthFailed, AuthFirst, CommandError, Invalid, Unauthorized
from millstream.protocol.frames import RESPONSE, encode_frame

log = get_logger(__name__)


class Suspendable(Protocol):
    """The session, as far as its credentials need it."""

    def suspend(self) -> None:
        """Carry out nothing more for now."""
        ...

    def resume(self) -> None:
        """Go on with what came meanwhile."""
        ...

    def reply(self, frame: bytes) -> None:
        """Send a frame behind what is owed."""
        ...

    def fail(self, error: CommandError) -> None:
        """Send an error, and end the connection after a fatal one."""
        ...


class Credentials:
    """The secret that a client showed, and the answer to it. `spawn` runs the question as a task of the daemon."""

    def __init__(self, client: AuthClient, clock: Clock, session: Suspendable) -> None:
        self.granted: Authorizations | None = None
        self._client = client
        self._clock = clock
        self._session = session
        self._secret = b""
        self._remote_ip = ""
        self._tls = False
        self._common_name = ""

    def begin(self, secret: bytes, *, remote_ip: str, tls: bool, common_name: str) -> None:
        """AUTH came: suspend the session; `ask` must run next. Raises `Invalid`."""
        if self.granted is not None:
            raise Invalid("AUTH already set")
        self._secret = secret
        self._remote_ip, self._tls, self._common_name = remote_ip, tls, common_name
        self._session.suspend()

    async def ask(self, *, answers: bool) -> None:
        """Ask the server, and let the session go on; `answers` says that AUTH itself is to be answered."""
        try:
            granted = await self._client.query(self._remote_ip, self._tls, self._common_name, self._secret)
        except AuthQueryFailed as error:
            log.warning("client.auth_failed", client=self._remote_ip, error=error)
            self._session.fail(AuthFailed("AUTH failed"))
            return
        if answers and granted.permission_count == 0:
            self._session.fail(Unauthorized("AUTH no authorizations found"))
            return
        self.granted = granted
        if answers:
            self._session.reply(encode_frame(RESPONSE, granted.encode()))
        self._session.resume()

    def may(self, command: str, topic: str, channel: str = "") -> bool:
        """Whether the client may; False when the server must be asked again first: suspend, and run `ask`.

        Raises `AuthFirst` before AUTH, and `Unauthorized`.
        """
        granted = self.granted
        if granted is None:
            raise AuthFirst(f"AUTH required before {command}")
        if granted.is_expired(self._clock.monotonic_ns()):
            self._session.suspend()
            return False
        allowed = granted.may_subscribe(topic, channel) if channel else granted.may_publish(topic)
        if not allowed:
            raise Unauthorized(f'AUTH failed for {command} on "{topic}" "{channel}"')
        return True
