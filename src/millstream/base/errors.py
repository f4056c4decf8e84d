"""The root of every error that Millstream raises on purpose.

Three families hang from it: the peer broke the rules (`protocol.errors`), the caller misused the API (`UsageError`),
and the outside failed (`net`, `storage` map `OSError` and friends to classes of their own).
"""


class MillstreamError(Exception):
    """Root of every error raised on purpose."""


class UsageError(MillstreamError):
    """The caller broke the contract of a public function; the object is unchanged."""


class OptionError(MillstreamError):
    """A flag, a configuration key or an environment variable has a value that cannot be used."""


class StorageError(MillstreamError):
    """The disk refused: full, failing, or holding something that cannot be used. Says the path and the reason.

    What was being written counts as not written; what was written before is untouched.
    """


class DiskFull(StorageError):
    """There is no room, or a quota is used up: it may work again when somebody gives room back."""
