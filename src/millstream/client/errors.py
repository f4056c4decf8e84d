"""What the client raises: the outside failed, and the caller may want to do something about it.

Misuse is `base.errors.UsageError`, an option out of bounds `base.errors.OptionError`.
"""

from millstream.base.errors import MillstreamError


class ConnectionFailed(MillstreamError):
    """An nsqd could not be reached, or refused the connection. Readers and writers try again by themselves."""


class PublishFailed(MillstreamError):
    """A publish was refused, or not confirmed in time.

    `code` is the error code of nsqd (`E_BAD_TOPIC` …), or empty when there was none; then the message may have been
    published nevertheless, and publishing again may publish it twice.
    """

    def __init__(self, text: str, *, code: str = "") -> None:
        super().__init__(text)
        self.code = code
