"""`millstream torture` as its users run it: exit status, last line, report, Ctrl-C, and daemons of other makes."""

import asyncio
import json
import shlex
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import pytest

DEADLINE_S: Final = 100
Eventually = Callable[[Callable[[], bool]], Awaitable[None]]
FORGETFUL: Final = shlex.join([sys.executable, "-m", "millstream.cli.nsqd", "--durability=memory"])


async def start(tmp_path: Path, *flags: str) -> Process:
    command = [sys.executable, "-m", "millstream.cli.main", "torture", f"--work-dir={tmp_path}", *flags]
    return await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=PIPE)


async def run(tmp_path: Path, *flags: str) -> tuple[int, list[str], str]:
    """Run it to its end: status, lines, and what went to stderr."""
    process = await start(tmp_path, *flags)
    async with asyncio.timeout(DEADLINE_S):
        output, errors = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode().splitlines(), errors.decode()


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def test_it_says_that_nothing_was_lost(tmp_path: Path) -> None:
    report = tmp_path / "report.json"

    status, lines, errors = await run(tmp_path, "--kills=4", "--kills-per-piece=2", "--seed=11", f"--report={report}")

    assert (status, lines[-1], errors) == (0, "lost 0", "")
    assert lines[0] == "millstream torture: 4 kills of nsqd --durability=log, --seed=11"
    data = json.loads(report.read_bytes())
    assert (data["seed"], data["kills"], data["lost"], data["holds"], len(data["pieces"])) == (11, 4, 0, True, 2)
    assert data["acknowledged"] > 0
    assert names_in(tmp_path) == ["report.json"]


async def test_it_says_what_another_nsqd_lost_and_how_to_see_it_again(tmp_path: Path) -> None:
    status, lines, _ = await run(tmp_path, "--kills=2", "--seed=11", f"--nsqd-command={FORGETFUL}")

    word, count = lines[-1].split(" ")
    assert (status, word) == (1, "lost")
    assert int(count) > 0
    rows = {line[:19].strip(): line[19:] for line in lines}
    assert shlex.split(rows["again"])[:5] == [
        *("millstream", "torture", "--kills=2", "--kills-per-piece=2", "--seed=11"),
    ]
    assert "data" in names_in(Path(rows["kept"]))


async def test_the_original_loses_what_it_had_in_memory(tmp_path: Path, original_nsqd: str) -> None:
    status, lines, _ = await run(tmp_path, "--kills=3", f"--nsqd-command={original_nsqd}")

    assert status == 1
    assert int(lines[-1].removeprefix("lost ")) > 0


@pytest.mark.parametrize("signals", [1, 2])
async def test_ctrl_c_ends_it_with_what_is_known_so_far(
    tmp_path: Path, signals: int, eventually: Eventually, is_running: Callable[[int], bool]
) -> None:
    pids = tmp_path / "pids"
    command = f'echo $$ >> {pids}; exec {sys.executable} -m millstream.cli.nsqd "$@"'
    process = await start(tmp_path, "--kills=100000", f"--nsqd-command={shlex.join(['sh', '-c', command, 'sh'])}")
    assert process.stdout is not None
    assert process.stderr is not None
    async with asyncio.timeout(DEADLINE_S):
        lines = [await process.stdout.readline()]
        while len(pids.read_text().split() if pids.exists() else ()) < 2:  # noqa: ASYNC110 - a file tells no events
            await asyncio.sleep(0.02)
        for _ in range(signals):
            process.send_signal(signal.SIGINT)
            lines.append(await process.stdout.readline())
        output, errors = await process.communicate()

    words = (b"".join(lines) + output).decode().splitlines()
    assert (process.returncode, words[-1], errors) == (130, "lost 0", b"")
    assert words[1].startswith("stopping: ")
    assert ("the piece under way was not judged" in words) == (signals == 2)
    assert names_in(tmp_path) == ["pids"]
    for pid in map(int, pids.read_text().split()):
        # Whoever is left behind by a second Ctrl-C is killed, and taken note of by the system a little later.
        await eventually(lambda pid=pid: not is_running(pid))


@pytest.mark.parametrize(
    ("flag", "status", "fix"),
    [
        ("--nsqd-command=/no/nsqd", 1, "/no/nsqd cannot be started - No such file or directory"),
        ("--work-dir=/no/folder", 1, "cannot be used - No such file or directory"),
        ("--kills=0", 2, "use 1 to"),
        ("--durability=maybe", 2, "use one of"),
    ],
)
async def test_what_cannot_work_is_refused_with_a_reason(tmp_path: Path, flag: str, status: int, fix: str) -> None:
    found, lines, errors = await run(tmp_path, flag)

    assert found == status
    assert fix in errors
    assert not any(line.startswith("lost") for line in lines)


async def test_a_report_that_cannot_be_written_is_no_success(tmp_path: Path) -> None:
    status, lines, errors = await run(
        tmp_path, "--kills=1", "--seconds-per-round=0.1", f"--report={tmp_path}/no/report.json"
    )

    assert (status, lines[-1]) == (1, "lost 0")
    assert "report.json - No such file or directory" in errors
