"""asyncnsq drains a channel: HOST:PORT TOPIC CHANNEL MESSAGES."""

import asyncio
import importlib
import os
import sys
from typing import Any


async def drain(address: str, topic: str, channel: str, tally: Any) -> None:
    """Finish every message as it comes."""
    asyncnsq: Any = importlib.import_module("asyncnsq")
    reader = await asyncnsq.create_reader(nsqd_tcp_addresses=[address], max_in_flight=2500)
    await reader.subscribe(topic, channel)
    async for message in reader.messages():
        await message.fin()
        if tally.count():
            tally.report()
            os._exit(0)


def main(words: list[str]) -> None:
    """Run until the last message."""
    address, topic, channel, messages = words
    tally: Any = importlib.import_module("tally").Tally(int(messages))
    asyncio.run(drain(address, topic, channel, tally))


if __name__ == "__main__":
    main(sys.argv[1:])
