"""pynsq drains a channel: HOST:PORT TOPIC CHANNEL MESSAGES."""

import importlib
import os
import sys
from typing import Any


def main(words: list[str]) -> None:
    """Finish every message as it comes."""
    nsq: Any = importlib.import_module("nsq")
    address, topic, channel, messages = words
    tally: Any = importlib.import_module("tally").Tally(int(messages))

    def handle(_message: object) -> bool:
        if tally.count():
            tally.report()
            os._exit(0)
        return True

    nsq.Reader(message_handler=handle, nsqd_tcp_addresses=[address], topic=topic, channel=channel, max_in_flight=2500)
    nsq.run()


if __name__ == "__main__":
    main(sys.argv[1:])
