"""The one place that asks the operating system for time, chance, names and the environment.

The daemons and the client hand what is here to the parts below them, so that those can be tested, and simulated, with
time and chance of the test's choosing.
"""

import ctypes
import os
import random
import resource
import socket
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

_RANDOM = random.SystemRandom()


class SystemClock:
    """The host's clock; fits `base.clock.Clock`.

    `wall_ns()` is nanoseconds since the Unix epoch and jumps when the host's clock is set; `monotonic_ns()` is
    nanoseconds since an arbitrary start and never goes back.
    """

    __slots__ = ()

    # The functions themselves: the broker asks once per command, and a method around them would cost more than they do.
    wall_ns = staticmethod(time.time_ns)
    monotonic_ns = staticmethod(time.monotonic_ns)


def random_bits(n: int) -> int:
    """A uniform integer of `n` random bits, from the kernel."""
    return _RANDOM.getrandbits(n)


def random_fraction() -> float:
    """A uniform number in [0, 1)."""
    return _RANDOM.random()


def host_name() -> str:
    """The name that this host gives itself; not necessarily one that others can resolve."""
    return socket.gethostname()


def process_id() -> int:
    """The number of this process."""
    return os.getpid()


def resident_bytes() -> int:
    """How much memory of this process lies in RAM; 0 where the system does not say."""
    try:
        return int(Path("/proc/self/statm").read_bytes().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError, ValueError):
        return 0


def release_memory() -> bool:
    """Give memory that is free inside the C library back to the system; False where that cannot be asked for."""
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError, TypeError):
        return False
    trim(0)
    return True


def command_line() -> list[str]:
    """The words that this process was started with."""
    return list(sys.orig_argv)


def open_descriptors() -> int:
    """How many files and sockets this process has open; 0 where the system does not say."""
    for folder in ("/proc/self/fd", "/dev/fd"):
        try:
            # One of them is open for reading the list.
            return sum(1 for _ in Path(folder).iterdir()) - 1
        except OSError:
            continue
    return 0


def allow_descriptors() -> None:
    """Let this process open as many files and connections as it is allowed to allow itself, as Go's runtime does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        # Some systems say "unlimited" and accept no such number.
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def descriptors_allowed() -> int:
    """How many files and connections this process may have open at once."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if soft == resource.RLIM_INFINITY else soft


def environment() -> Mapping[str, str]:
    """The environment as it is now: what `base.options.parse` takes as `environ`."""
    return dict(os.environ)
