"""Starts a process so that whoever is cancelled meanwhile leaves none behind.

A cancelled `create_subprocess_exec` of uvloop forgets the process that it has just made: nobody can stop it or wait
for it, and its end is told to a loop that may be closed by then.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import IO


async def spawn(
    *command: str,
    output: int | IO[bytes],
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> asyncio.subprocess.Process:
    """Start `command` in a process group of its own, reading nothing, with both outputs going to `output`.

    Raises OSError when it cannot be started.
    """
    starting = asyncio.ensure_future(
        asyncio.create_subprocess_exec(
            *command,
            cwd=folder,
            env=None if environment is None else dict(environment),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
    )
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        with contextlib.suppress(OSError):
            process = await starting
            # The leader's id is the group's.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
        raise
