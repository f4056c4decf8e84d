"""What the kernel counts of a process."""

import os
import subprocess
import sys

import pytest

from millstream.bench import process
from millstream.bench.process import ProcessGone


def test_processor_time_grows_with_work() -> None:
    before = process.cpu_s(os.getpid())

    sum(number * number for number in range(300_000))

    assert process.cpu_s(os.getpid()) > before


def test_memory_and_descriptors_are_those_of_the_process() -> None:
    assert 0 < process.heap_bytes(os.getpid()) <= process.resident_bytes(os.getpid())
    before = process.descriptors(os.getpid())
    with open(os.devnull, "rb"):  # noqa: PTH123 - a descriptor, whatever it is of
        assert process.descriptors(os.getpid()) == before + 1


@pytest.mark.parametrize("figure", [process.cpu_s, process.resident_bytes, process.heap_bytes, process.descriptors])
def test_a_process_that_is_gone_is_told(figure: object) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()

    with pytest.raises(ProcessGone):
        figure(ended.pid)  # type: ignore[operator]
