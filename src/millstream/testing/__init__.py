"""Fakes of the outside for tests, ours and those of our users: a clock that is told the time, files that fail."""

from millstream.testing.clock import FakeClock
from millstream.testing.files import FaultyFile, FaultyFiles, Killed

__all__ = ["FakeClock", "FaultyFile", "FaultyFiles", "Killed"]
