"""gnsq drains a channel: HOST:PORT TOPIC CHANNEL MESSAGES."""

import importlib
import os
import sys
from typing import Any


def main(words: list[str]) -> None:
    """Finish every message as it comes."""
    gnsq: Any = importlib.import_module("gnsq")
    address, topic, channel, messages = words
    tally: Any = importlib.import_module("tally").Tally(int(messages))
    consumer = gnsq.Consumer(topic, channel, nsqd_tcp_addresses=[address], max_in_flight=2500)

    def handle(_consumer: object, message: object) -> None:  # the signal passes it by this name
        del message
        if tally.count():
            tally.report()
            os._exit(0)

    consumer.on_message.connect(handle, weak=False)
    consumer.start()


if __name__ == "__main__":
    main(sys.argv[1:])
