import asyncio
import io
import json
import logging
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from millstream.base.log import get_logger
from millstream.client import PublishFailed
from millstream.queuereader.log_shipping import LogShipper


class Topic:
    """Where records go; `gate` holds publishes back, `is_down` fails them."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.gate = threading.Event()
        self.gate.set()
        self.is_down = False

    @asynccontextmanager
    async def open(self) -> AsyncIterator["Topic"]:
        yield self

    async def publish_many(self, topic: str, bodies: Sequence[bytes]) -> None:
        assert topic == "logatron"
        await asyncio.to_thread(self.gate.wait, 5)
        if self.is_down:
            raise PublishFailed("no nsqd answers")
        self.events += [json.loads(body) for body in bodies]


def make(topic: Topic, **arguments: Any) -> LogShipper:
    return LogShipper(service="spam", topic="logatron", open_writer=topic.open, **arguments)


def logged(shipper: LogShipper, name: str) -> logging.Logger:
    logger = logging.getLogger(name)
    logger.handlers[:] = [shipper]
    logger.propagate = False
    logger.setLevel(logging.DEBUG)
    return logger


def test_a_record_becomes_an_event_with_its_fields() -> None:
    topic = Topic()
    shipper = make(topic)
    logged(shipper, "millstream.shipping_a")

    get_logger("shipping_a").warning("message.rejected", id=b"0123", attempts=2, reason="not json")
    shipper.close_within(3)

    event = topic.events[0]
    assert (event["service"], event["level"], event["event"]) == ("spam", "warning", "message.rejected")
    assert event["fields"] == {"id": "0123", "attempts": 2, "reason": "not json"}
    assert event["message"].startswith("message.rejected id=0123")
    assert shipper.shipped == 1


def test_records_of_the_standard_library_go_too_with_their_traceback() -> None:
    topic = Topic()
    shipper = make(topic)
    logger = logged(shipper, "shipping_b")

    try:
        raise KeyError("missing")
    except KeyError:
        logger.exception("lookup of %s failed", "x")
    shipper.close_within(3)

    assert topic.events[0]["message"] == "lookup of x failed"
    assert "KeyError: 'missing'" in topic.events[0]["traceback"]


def test_whoever_logs_never_waits_and_what_found_no_room_is_counted() -> None:
    topic = Topic()
    topic.gate.clear()
    shipper = make(topic, queue_max=10)
    logger = logged(shipper, "shipping_c")

    for number in range(500):
        logger.info("record %d", number)
    topic.gate.set()
    shipper.close_within(3)

    lost = [event["count"] for event in topic.events if event["event"] == "logatron.lost"]
    kept = [event for event in topic.events if event["event"] != "logatron.lost"]
    assert sum(lost) > 0
    assert sum(lost) + len(kept) == 500


def test_what_cannot_be_published_is_written_locally() -> None:
    topic, local = Topic(), io.StringIO()
    topic.is_down = True
    shipper = make(topic, fallback=local)
    logger = logged(shipper, "shipping_d")

    logger.info("hello")
    shipper.close_within(3)

    lines = local.getvalue().splitlines()
    assert json.loads(lines[0])["message"] == "hello"
    assert "no nsqd answers" in lines[1]


def test_closing_waits_only_so_long() -> None:
    topic = Topic()
    topic.gate.clear()
    shipper = make(topic)
    logger = logged(shipper, "shipping_e")

    logger.info("hello")
    shipper.close_within(0.05)
    logger.info("after the end")
    topic.gate.set()

    assert shipper.shipped == 0


def test_a_record_that_cannot_be_formatted_harms_nobody(capsys: pytest.CaptureFixture[str]) -> None:
    topic = Topic()
    shipper = make(topic)
    logger = logged(shipper, "shipping_f")

    logger.info("%d", "no number")
    logger.info("fine")
    shipper.close_within(3)

    assert [event["message"] for event in topic.events] == ["fine"]
    assert "Logging error" in capsys.readouterr().err
