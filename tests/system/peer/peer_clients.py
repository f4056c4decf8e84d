"""A program that publishes and reads with pynsq or with our own client, and prints what came of it.

The bench runs it against both daemons. It publishes in every way, holds one message with TOUCH, gives one back, and
finishes all.
"""

import argparse
import asyncio
import ssl
import sys
import warnings
from collections.abc import Callable
from typing import Any, Final

DEADLINE_S: Final = 50
BODIES: Final = (b"single", b"first of two", b"comes again", b"later")
DELAY_MS: Final = 50


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("client", choices=("pynsq", "millstream"))
    parser.add_argument("--topic", required=True)
    parser.add_argument("--nsqd", required=True)
    parser.add_argument("--lookupd", default="")
    parser.add_argument("--secret", default="")
    parser.add_argument("--tls", default="", help="the CA's file")
    return parser.parse_args()


class Seen:
    """Takes messages, of either client, and says when all are finished; the delay is called so in its `requeue`."""

    def __init__(self, delay: str) -> None:
        self.lines: list[str] = []
        self._at_once = {delay: 0, "backoff": False}

    def take(self, message: Any) -> bool:
        """Answer one; True when it was the last."""
        self.lines.append(f"{message.body.decode()}, attempt {message.attempts}")
        if message.body == b"comes again" and message.attempts == 1:
            message.requeue(**self._at_once)
            return False
        if message.body == b"single":
            message.touch()
        message.finish()
        return len(self.lines) == len(BODIES) + 1


async def with_pynsq(options: argparse.Namespace) -> list[str]:
    import nsq  # noqa: PLC0415 - only half of the runs need it

    settings: dict[str, Any] = {"user_agent": "the bench", "hostname": "h"}
    if options.secret:
        settings["auth_secret"] = options.secret
    if options.tls:
        settings |= {"tls_v1": True, "tls_options": {"ca_certs": options.tls, "cert_reqs": ssl.CERT_REQUIRED}}
    writer = nsq.Writer([options.nsqd], **settings)
    while not writer.conns:  # noqa: ASYNC110 - pynsq offers a dictionary, no event
        await asyncio.sleep(0.01)

    async def publish(method: Callable[..., object], *arguments: object) -> str:
        answered: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        method(options.topic, *arguments, callback=lambda _, data: answered.set_result(data))
        return str(await answered)

    lines = [
        await publish(writer.pub, BODIES[0]),
        await publish(writer.mpub, list(BODIES[1:3])),
        await publish(writer.dpub, DELAY_MS, BODIES[3]),
    ]
    inbox: asyncio.Queue[Any] = asyncio.Queue()

    def handle(message: Any) -> None:
        message.enable_async()
        inbox.put_nowait(message)

    source = (
        {"lookupd_http_addresses": [options.lookupd], "lookupd_poll_interval": 1, "lookupd_poll_jitter": 0.0}
        if options.lookupd
        else {"nsqd_tcp_addresses": [options.nsqd]}
    )
    reader = nsq.Reader(options.topic, "work", handle, max_in_flight=5, **source, **settings)
    seen = Seen("delay")
    while not seen.take(await inbox.get()):
        pass
    reader.close()
    for connection in list(writer.conns.values()):
        connection.close()
    return lines + sorted(seen.lines)


async def with_ours(options: argparse.Namespace) -> list[str]:
    from millstream.client import Reader, ReaderOptions, Writer, WriterOptions  # noqa: PLC0415 - as above

    about = {"user_agent": "the bench", "client_id": "c", "hostname": "h", "auth_secret": options.secret}
    async with Writer([options.nsqd], options=WriterOptions(**about)) as writer:
        await writer.publish(options.topic, BODIES[0])
        await writer.publish_many(options.topic, BODIES[1:3])
        await writer.publish_deferred(options.topic, DELAY_MS, BODIES[3])
    source = (
        {"lookupd_http_addresses": [options.lookupd]} if options.lookupd else {"nsqd_tcp_addresses": [options.nsqd]}
    )
    seen = Seen("delay_ms")
    async with Reader(options.topic, "work", **source, options=ReaderOptions(max_in_flight=5, **about)) as reader:
        async for message in reader:
            if seen.take(message):
                break
    return sorted(seen.lines)


async def run(options: argparse.Namespace) -> list[str]:
    async with asyncio.timeout(DEADLINE_S):
        return await (with_pynsq(options) if options.client == "pynsq" else with_ours(options))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    sys.stdout.write("\n".join(asyncio.run(run(parsed()))) + "\n")
