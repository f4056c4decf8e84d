"""Has messages delivered to a channel once more: from the logs of nsqds, or from archives of nsq_to_file.

`cli.replay` runs it; `tools.nsqd_api` asks. An archive is sent at the pace of the channel: while more waits there than
`--depth-max`, nothing is sent.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final

from millstream.base.errors import MillstreamError
from millstream.net.http_client import HttpClient
from millstream.tools.nsqd_api import NsqdApi, Refused
from millstream.tools.replay.archives import batches_of, counted
from millstream.tools.replay.options import ReplayOptions

_LOOK_AGAIN_S: Final = 0.2
_ID_LENGTH: Final = 16

Write = Callable[[str], object]


async def replay(options: ReplayOptions, topic: str, channel: str, write: Write, complain: Write) -> int:
    """Do it, and write what was done. The exit status: 0, or 1 with a reason."""
    sent = 0

    def count(messages: int) -> None:
        nonlocal sent
        sent += messages

    async with HttpClient(request_timeout_ms=60_000) as http:
        nsqds = [NsqdApi(http, address, options.http_token) for address in options.nsqd_http_address]
        try:
            if options.archive:
                await send_archives(nsqds[0], options, topic, channel, count)
                write(
                    f"{nsqds[0].address}: {sent} messages of {len(options.archive)} files went to {topic}/{channel}\n"
                )
            for nsqd in nsqds if not options.archive else ():
                write(await _once_more(nsqd, options, topic, channel))
        except MillstreamError as error:
            complain(f"millstream replay: {error}\n")
            if options.archive:
                complain(f"{sent} messages were taken in; go on with --skip-lines={options.skip_lines + sent}\n")
            return 1
    return 0


async def _once_more(nsqd: NsqdApi, options: ReplayOptions, topic: str, channel: str) -> str:
    query = {"topic": topic, "channel": channel}
    if options.rewind:
        is_id = len(options.rewind) == _ID_LENGTH and all(one in "0123456789abcdef" for one in options.rewind)
        found = await nsqd.change("/channel/rewind", query | {"id" if is_id else "to": options.rewind})
        return f"{nsqd.address}: {topic}/{channel} stands at {found.get('id')}, {found.get('depth')} messages wait\n"
    times = {"from": options.since, "to": options.until}
    found = await nsqd.change("/channel/replay", query | {name: value for name, value in times.items() if value})
    return f"{nsqd.address}: {found.get('messages')} messages are delivered to {topic}/{channel} once more\n"


async def send_archives(
    nsqd: NsqdApi, options: ReplayOptions, topic: str, channel: str, count: Callable[[int], None]
) -> None:
    """Send every message of the archives; `count` hears of each batch that was taken in. Raises `MillstreamError`."""
    batches = batches_of(
        [Path(path) for path in options.archive],
        skip=options.skip_lines,
        count_max=options.batch,
        bytes_max=options.batch_size_bytes,
    )
    query = {"topic": topic, "channel": channel, "binary": "true"}
    while batch := await asyncio.to_thread(next, batches, None):
        while await _depth(nsqd, topic, channel) > options.depth_max:  # noqa: ASYNC110 - nsqd offers no event
            await asyncio.sleep(_LOOK_AGAIN_S)
        await nsqd.send("/channel/mpub", query, counted(batch))
        count(len(batch))


async def _depth(nsqd: NsqdApi, topic: str, channel: str) -> int:
    query = {"topic": topic, "channel": channel, "format": "json", "include_clients": "false", "include_mem": "false"}
    stats = await nsqd.get("/stats", query)
    try:
        return int(stats["topics"][0]["channels"][0]["depth"])
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise Refused(f"{nsqd.address} has no channel {topic}/{channel}") from error
