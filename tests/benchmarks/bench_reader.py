"""How many messages a second a Reader takes and finishes; run by hand.

    python tests/benchmarks/bench_reader.py 127.0.0.1:4150 --messages 500000

publishes to the nsqd given, then reads everything back in batches and one by one. Before that, or without an address,
bytes are fed to a connection without a socket: what decoding and answering alone cost.

The topics are ephemeral, so nsqd discards what exceeds its memory: start it with `-mem-queue-size` above `--messages`.
"""

import argparse
import asyncio
import sys
import time

from millstream.client import Reader, ReaderOptions, Writer
from millstream.client.message import Message
from millstream.protocol.client import ClientConnection, Received
from millstream.protocol.commands import Identify, Sub
from millstream.protocol.frames import MESSAGE, RESPONSE, encode_frame

BODY = b"x" * 200
BATCH = 1_000


def show(what: str, count: int, wall_s: float, cpu_s: float) -> None:
    """Write one line of results."""
    sys.stdout.write(f"{what:28} {count / wall_s:>10,.0f}/s  {cpu_s / count * 1e6:6.2f} us CPU each\n")


async def fill(address: str, topic: str, count: int) -> None:
    """Publish many with one command each, and some with one command for all."""
    async with Writer([address]) as writer:
        singles = count // 10
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        for _ in range(0, singles, BATCH):
            await asyncio.gather(*(writer.publish(topic, BODY) for _ in range(BATCH)))
        show("publish", singles, time.perf_counter() - wall_s, time.process_time() - cpu_s)
        for _ in range(0, count - singles, BATCH):
            await writer.publish_many(topic, [BODY] * BATCH)


async def read(address: str, topic: str, channel: str, count: int) -> None:
    """Read and finish that many; the channel's name says how."""
    options = ReaderOptions(max_in_flight=2_500, output_buffer_size=65_536)
    seen = 0
    async with Reader(topic, channel, nsqd_tcp_addresses=[address], options=options) as reader:
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        if channel == "batches":
            async for batch in reader.batches():
                for message in batch:
                    message.finish()
                seen += len(batch)
                if seen >= count:
                    break
        else:
            async for message in reader:
                message.finish()
                seen += 1
                if seen >= count:
                    break
        show(f"read {channel}", count, time.perf_counter() - wall_s, time.process_time() - cpu_s)


def decode_only(count: int) -> None:
    """Feed one connection from memory, in pieces as large as the socket's buffer."""
    connection = ClientConnection(Message)
    connection.send(Identify(b"{}"))
    connection.receive(encode_frame(RESPONSE, b"OK"))
    connection.send(Sub("t", "c"))
    connection.receive(encode_frame(RESPONSE, b"OK"))
    frame = encode_frame(MESSAGE, bytes(8) + b"\0\1" + b"0123456789abcdef" + BODY)
    piece = memoryview(frame * BATCH)
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    for _ in range(0, count, BATCH):
        for event in connection.receive(piece):
            if isinstance(event, Received):
                for message in event.messages:
                    connection.finish(message)
        connection.take_output()
    show("decode and FIN, no socket", count, time.perf_counter() - wall_s, time.process_time() - cpu_s)


async def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("address", nargs="?", help="host:port of an nsqd")
    parser.add_argument("--messages", type=int, default=200_000)
    arguments = parser.parse_args()
    decode_only(arguments.messages)
    if arguments.address:
        for channel in ("batches", "messages"):
            # A topic of its own for each, since a new channel gets nothing of what others hold.
            topic = f"bench_{channel}_{time.time_ns()}#ephemeral"
            await fill(arguments.address, topic, arguments.messages)
            await read(arguments.address, topic, channel, arguments.messages)


if __name__ == "__main__":
    asyncio.run(main())
