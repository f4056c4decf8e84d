"""Our client drains a channel, or fills one: HOST:PORT TOPIC CHANNEL MODE MESSAGES.

Modes: `async` (a Reader, and a handler that does nothing), `json` (a service's Reader, which decodes, validates and
counts), `thread` (the same with a sync handler in its thread), `write` (a Writer).
"""

import asyncio
import sys
from collections import Counter
from typing import Any

import uvloop

from millstream.bench.programs.tally import Tally
from millstream.client import Reader as ClientReader
from millstream.client import ReaderOptions, Writer, WriterOptions
from millstream.queuereader.message import NsqMessage
from millstream.queuereader.reader import Reader
from millstream.queuereader.runner import serve

IN_FLIGHT = 2500
AT_ONCE = 1000
BODY = b"x" * 200


async def drain(address: str, topic: str, channel: str, tally: Tally) -> None:
    """The client's Reader alone, with an async handler for each message."""

    async def handle(_message: object) -> None:
        return

    async with ClientReader(
        topic, channel, nsqd_tcp_addresses=[address], options=ReaderOptions(max_in_flight=IN_FLIGHT)
    ) as reader:
        async for batch in reader.batches():
            for message in batch:
                await handle(message)
                message.finish()
                if tally.count():
                    tally.report()
                    return


def is_sound(message: Any) -> bool:
    """What a service checks before it handles anything."""
    return isinstance(message.get("id"), str) and isinstance(message.get("at"), int)


async def handle(address: str, topic: str, channel: str, tally: Tally, *, in_thread: bool) -> None:
    """A service's Reader, whose handler counts what the message says."""
    paths: Counter[str] = Counter()
    loop, stopping = asyncio.get_running_loop(), asyncio.Event()

    def on_message(message: Any, nsq_message: NsqMessage) -> None:
        del nsq_message
        paths[message["path"]] += 1
        if tally.count():
            tally.report()
            loop.call_soon_threadsafe(stopping.set)

    async def on_message_async(message: Any, nsq_message: NsqMessage) -> None:
        on_message(message, nsq_message)

    reader = Reader(
        topic,
        channel,
        on_message if in_thread else on_message_async,
        validate_method=is_sound,
        nsqd_tcp_addresses=address,
        max_in_flight=IN_FLIGHT,
    )
    await serve([reader], service="bench", stopping=stopping)


async def write(address: str, topic: str, tally: Tally) -> None:
    """A Writer with a thousand tasks."""
    async with Writer([address], options=WriterOptions()) as writer:
        tally.begin()

        async def some(count: int) -> None:
            for _ in range(count):
                await writer.publish(topic, BODY)

        await asyncio.gather(*(some(tally.messages // AT_ONCE) for _ in range(AT_ONCE)))
        tally.seen = tally.messages // AT_ONCE * AT_ONCE
        tally.report()


def main(words: list[str]) -> None:
    """Run the mode that the command line names."""
    address, topic, channel, mode, messages = words
    tally = Tally(int(messages))
    if mode == "async":
        uvloop.run(drain(address, topic, channel, tally))
    elif mode == "write":
        uvloop.run(write(address, topic, tally))
    else:
        uvloop.run(handle(address, topic, channel, tally, in_thread=mode == "thread"))


if __name__ == "__main__":
    main(sys.argv[1:])
