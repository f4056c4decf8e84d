"""Waits until a process answers its /ping, makes the topics and channels that its plan names, and sees them announced.

Asked by `supervisor.service` at start and after every restart: making what exists already changes nothing.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from millstream.net.http_client import HttpClient, HttpFailed
from millstream.supervisor.plan import ProcessPlan

_PAUSE_S: Final = 0.05
_STATUS_OK: Final = 200


async def wait_until_ready(client: HttpClient, plan: ProcessPlan) -> None:
    """Returns once the process is ready and prepared; give the call a deadline, it has none of its own."""

    async def answers(url: str) -> bool:
        return (await client.get(url)).status == _STATUS_OK

    async def accepts(url: str) -> bool:
        return (await client.post(url)).status == _STATUS_OK

    async def announced(url: str) -> bool:
        answer = await client.get(url)
        return answer.status == _STATUS_OK and plan.announced_as.encode() in answer.body

    if plan.ping_url is not None:
        await _until(answers, plan.ping_url)
    for url in plan.prepare_urls:
        await _until(accepts, url)
    # A reader that asks before all nsqd of its topic are known would not ask again for a minute.
    for url in plan.announce_urls:
        await _until(announced, url)


async def _until(question: Callable[[str], Awaitable[bool]], url: str) -> None:
    while True:
        try:
            if await question(url):
                return
        except HttpFailed:
            pass
        await asyncio.sleep(_PAUSE_S)
