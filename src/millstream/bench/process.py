"""What a process costs, as the kernel counts it: processor time, memory, descriptors. Linux only."""

import time
from pathlib import Path

from millstream.base.errors import MillstreamError


class ProcessGone(MillstreamError):
    """There is no process of this id (any more)."""


def cpu_s(pid: int) -> float:
    """Processor time of all threads so far, user and system. Raises ProcessGone.

    This is the sum of utime and stime in /proc/<pid>/stat, read through the process's clock because that one counts
    nanoseconds and not ticks of 10 ms.
    """
    try:
        return time.clock_gettime(_process_clock(pid))
    except OSError as error:
        raise ProcessGone(f"no process {pid}") from error


def resident_bytes(pid: int) -> int:
    """Memory that is resident, files that are mapped included. Raises ProcessGone."""
    return _status_bytes(pid, "VmRSS:")


def heap_bytes(pid: int) -> int:
    """Resident memory that belongs to no file. Raises ProcessGone."""
    return _status_bytes(pid, "RssAnon:")


def descriptors(pid: int) -> int:
    """How many descriptors are open. Raises ProcessGone."""
    try:
        return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
    except OSError as error:
        raise ProcessGone(f"no process {pid}") from error


def _status_bytes(pid: int, name: str) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    except OSError as error:
        raise ProcessGone(f"no process {pid}") from error
    for line in status.splitlines():
        if line.startswith(name):
            return int(line.split()[1]) << 10
    raise ProcessGone(f"process {pid} has ended")


def _process_clock(pid: int) -> int:
    """The clock id of a process's processor time, as clock_getcpuclockid(3) makes it on Linux."""
    return (~pid << 3) | 2
