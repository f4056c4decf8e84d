"""`torture.victim`: a command line is started, answers, is killed, and says why it did not start."""

import asyncio
import shlex
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from millstream.base.system import SystemClock
from millstream.supervisor.ports import auto_ports
from millstream.torture.victim import NsqdFailed, Victim

NSQD = (sys.executable, "-m", "millstream.cli.nsqd")
MakeVictim = Callable[..., Victim]


@pytest.fixture
def make_victim(tmp_path: Path) -> MakeVictim:
    def make(*command: str) -> Victim:
        ports = auto_ports(("tcp", "http"))
        return Victim(command, tmp_path, SystemClock(), tcp_port=ports["tcp"], http_port=ports["http"])

    return make


async def test_nsqd_is_started_killed_and_started_again(make_victim: MakeVictim) -> None:
    victim = make_victim(*NSQD)
    for _ in range(2):
        assert await victim.start() > 0
        victim.check_running()
        assert victim.killed_ns == 0
        with socket.create_connection(victim.tcp):
            pass
        before_ns = SystemClock().monotonic_ns()
        victim.kill_now()
        killed_ns = victim.killed_ns
        victim.kill_now()
        assert before_ns < victim.killed_ns == killed_ns
        await victim.exited()
        await victim.gone()
    with pytest.raises(NsqdFailed):
        victim.check_running()
    assert victim.mistakes() == []
    assert (victim.data_path / "nsqd.dat").exists()


async def test_a_kill_reaches_what_a_wrapper_started(make_victim: MakeVictim) -> None:
    wrapper = f'{shlex.join(NSQD)} "$@" & wait'
    victim = make_victim("/bin/sh", "-c", wrapper, "sh")
    await victim.start()

    victim.kill_now()
    await victim.gone()

    async with asyncio.timeout(20):
        while True:  # the port is free when the inner process is gone
            with socket.socket() as probe:
                if probe.connect_ex(victim.http):
                    break
            await asyncio.sleep(0.01)


async def test_a_program_that_is_not_there_is_named(make_victim: MakeVictim) -> None:
    with pytest.raises(NsqdFailed, match="/no/nsqd cannot be started - No such file"):
        await make_victim("/no/nsqd").start()


async def test_what_it_said_last_is_why_it_did_not_start(make_victim: MakeVictim) -> None:
    victim = make_victim(*NSQD, "--no-such-flag")

    with pytest.raises(NsqdFailed, match=r"did not start, and said: .*no-such-flag"):
        await victim.start()


async def test_an_end_that_is_not_ours_is_a_failure(make_victim: MakeVictim) -> None:
    victim = make_victim(sys.executable, "-c", "raise SystemExit(3)")
    await victim.spawn()
    await victim.exited()
    victim.kill_now()  # too late

    with pytest.raises(NsqdFailed, match="ended by itself with status 3"):
        await victim.gone()


async def test_a_process_that_asked_for_nothing_is_ended(make_victim: MakeVictim) -> None:
    victim = make_victim(sys.executable, "-c", "import time; time.sleep(1000)")
    await victim.end()  # nothing is there
    await victim.spawn()
    await victim.end()
    await victim.gone()


async def test_signs_of_a_mistake_are_found_in_its_log(make_victim: MakeVictim) -> None:
    code = "import sys; print('fine'); print('panic: no'); raise ValueError('why')"
    victim = make_victim(sys.executable, "-c", code)
    await victim.spawn()
    await victim.exited()

    found = victim.mistakes()

    assert sorted(line.partition(" ")[0] for line in found) == ["Traceback", "panic:"]
