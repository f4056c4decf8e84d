"""Counts spam decisions: reads the topic `spam_api`, adds up what was decided in statsd."""

from typing import Any

from millstream.demo.distinct import DistinctCounter
from millstream.queuereader import NsqMessage, Reader, logatron_client, options, run, settings, statsd

KEYS = {"+": "spam_api.plus", "-": "spam_api.minus"}
events = DistinctCounter("spam_api.events")


def validate_message(message: dict[str, Any]) -> bool:
    """A decision says + or -, and about whom."""
    return str(message.get("o")) in KEYS and isinstance(message.get("l"), str)


def count_spam_actions(message: dict[str, Any], nsq_msg: NsqMessage) -> None:
    """One more decision of its kind."""
    events.add(message.get("id") or nsq_msg.id.decode())
    statsd.incr(KEYS[message["o"]])
    return nsq_msg.finish()


if __name__ == "__main__":
    options.parse_command_line()
    logatron_client.setup()
    Reader(
        topic=settings.get("nsqd_output_topic"),
        channel="queuereader_spam_metrics",
        validate_method=validate_message,
        message_handler=count_spam_actions,
        lookupd_http_addresses=settings.get("nsq_lookupd"),
    )
    run()
