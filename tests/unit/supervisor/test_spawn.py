"""`supervisor.spawn`: who is cancelled while a process is made leaves none behind."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from millstream.supervisor.spawn import spawn

DEADLINE_S = 20.0


async def test_both_outputs_go_to_one_place_and_the_folder_and_environment_are_as_asked(tmp_path: Path) -> None:
    code = "import os, sys; print(os.getcwd(), os.environ['WHO'], flush=True); sys.exit(sys.stdin.read() or 'nothing')"
    process = await spawn(
        sys.executable, "-c", code, output=asyncio.subprocess.PIPE, environment={"WHO": "me"}, folder=tmp_path
    )

    said, _ = await asyncio.wait_for(process.communicate(), DEADLINE_S)

    assert said.decode() == f"{tmp_path} me\nnothing\n"
    assert process.returncode == 1


async def test_what_cannot_be_started_is_an_os_error() -> None:
    with pytest.raises(FileNotFoundError):
        await spawn("/no/such/program", output=asyncio.subprocess.DEVNULL)


@pytest.mark.parametrize("turns", range(5))
async def test_a_cancelled_start_leaves_no_process(turns: int) -> None:
    held, write_end = os.pipe()
    with os.fdopen(write_end, "wb") as output:
        task = asyncio.ensure_future(spawn("/bin/sh", "-c", "sleep 1000 & sleep 1000", output=output))
        for _ in range(turns):
            await asyncio.sleep(0)

        task.cancel()
        await asyncio.wait({task}, timeout=DEADLINE_S)

    assert task.cancelled()
    with os.fdopen(held, "rb") as log:
        # The end of the file: nobody else holds the other end.
        assert await asyncio.wait_for(asyncio.to_thread(log.read), DEADLINE_S) == b""
