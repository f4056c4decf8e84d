"""One class per error code of the TCP protocols.

`code` is what the peer reads first in an error frame, `fatal` says whether the connection is closed after it. The text
behind the code is part of NSQ's interface too: the places that raise spell it as NSQ does.
"""

from typing import ClassVar

from millstream.base.errors import MillstreamError


class CommandError(MillstreamError):
    """The peer broke the rules; the error frame is `code`, a space, and the description."""

    code: ClassVar[str] = ""
    fatal: ClassVar[bool] = True
    by_code: ClassVar[dict[str, type["CommandError"]]] = {}

    def __init_subclass__(cls) -> None:
        if cls.by_code.setdefault(cls.code, cls) is not cls:
            raise TypeError(f"{cls.code} is defined twice")

    def __init__(self, description: str = "") -> None:
        super().__init__(f"{self.code} {description}" if description else self.code)

    def encode(self) -> bytes:
        """The payload of the error frame. Text that came from the peer goes back as the bytes it came as."""
        return str(self).encode("utf-8", "surrogateescape")


class BadProtocol(CommandError):
    """The four bytes of magic name no protocol that is spoken here."""

    code = "E_BAD_PROTOCOL"


class Invalid(CommandError):
    """Unknown command, wrong state, or a bad parameter."""

    code = "E_INVALID"


class BadBody(CommandError):
    """The body of IDENTIFY, AUTH or MPUB cannot be used."""

    code = "E_BAD_BODY"


class BadTopic(CommandError):
    """A topic name breaks the rules."""

    code = "E_BAD_TOPIC"


class BadChannel(CommandError):
    """A channel name breaks the rules."""

    code = "E_BAD_CHANNEL"


class BadMessage(CommandError):
    """The size of a message is out of bounds."""

    code = "E_BAD_MESSAGE"


class PubFailed(CommandError):
    """PUB: the message was not queued."""

    code = "E_PUB_FAILED"


class MpubFailed(CommandError):
    """MPUB: the messages were not queued."""

    code = "E_MPUB_FAILED"


class DpubFailed(CommandError):
    """DPUB: the message was not queued."""

    code = "E_DPUB_FAILED"


class SubFailed(CommandError):
    """The channel cannot be joined."""

    code = "E_SUB_FAILED"


class IdentifyFailed(CommandError):
    """Negotiation or an upgrade failed."""

    code = "E_IDENTIFY_FAILED"


class AuthDisabled(CommandError):
    """AUTH where no auth server is configured."""

    code = "E_AUTH_DISABLED"


class AuthFailed(CommandError):
    """The auth server could not be asked, or gave no usable answer."""

    code = "E_AUTH_FAILED"


class AuthFirst(CommandError):
    """A command that needs AUTH came before it."""

    code = "E_AUTH_FIRST"


class AuthError(CommandError):
    """The answer to AUTH could not be sent."""

    code = "E_AUTH_ERROR"


class Unauthorized(CommandError):
    """The identity may not do this."""

    code = "E_UNAUTHORIZED"


class FinFailed(CommandError):
    """FIN for a message that this client does not hold."""

    code = "E_FIN_FAILED"
    fatal = False


class ReqFailed(CommandError):
    """REQ for a message that this client does not hold."""

    code = "E_REQ_FAILED"
    fatal = False


class TouchFailed(CommandError):
    """TOUCH for a message that this client does not hold."""

    code = "E_TOUCH_FAILED"
    fatal = False
