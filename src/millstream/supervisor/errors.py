"""What can keep a system from coming up; each text names the place and the way out."""

from millstream.base.errors import MillstreamError


class LayoutError(MillstreamError):
    """The folder does not hold a system by the layout convention, or its system.toml cannot be used."""


class PortTaken(MillstreamError):
    """A fixed port is in use by somebody else; nothing was started."""


class StartFailed(MillstreamError):
    """A process was not ready in time; everything that had been started is stopped again."""
