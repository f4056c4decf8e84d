"""Decides about every click: reads `clicks`, keeps its decision in its own database, emits it as `spam_api`.

The decision is stored first, then published to the nsqd beside this service, then the click is finished: whatever ends
this process, the click comes again, finds its decision by the event id, and nothing is lost or decided twice.
"""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from millstream.client import ReaderOptions
from millstream.demo.distinct import DistinctCounter
from millstream.demo.spam.click import Click
from millstream.demo.spam.decisions import Decisions
from millstream.demo.spam.rules import decide
from millstream.queuereader import HandlerOptions, NsqMessage, Reader, logatron_client, options, run, settings, statsd

events = DistinctCounter("clicks.events")


def validate_message(click: Click) -> bool:
    """What is no click (a heartbeat, a broken line) is rejected, and counted."""
    if click.problem:
        events.add(click.event_id)
        statsd.incr("clicks.rejected")
        return False
    return True


class SpamDesk:
    """The handler, with the database that it opens at the first click."""

    def __init__(self, database: Path, blocklists: Mapping[str, Sequence[str]]) -> None:
        """Opens nothing yet: that takes a running loop."""
        self._path = database
        self._blocklists = blocklists
        self._opening = asyncio.Lock()
        self._decisions: Decisions | None = None

    async def judge(self, click: Click, nsq_msg: NsqMessage) -> dict[str, Any]:
        """Stores the decision about one click, and returns the event that says so."""
        del nsq_msg
        decision = await (await self._database()).record(decide(click, self._blocklists))
        events.add(click.event_id)
        statsd.incr("clicks.handled")
        return decision.event()

    async def close(self) -> None:
        """Closes the database, if it was opened."""
        if self._decisions is not None:
            await self._decisions.close()

    async def _database(self) -> Decisions:
        async with self._opening:
            if self._decisions is None:
                self._decisions = await Decisions.open(self._path)
            return self._decisions


if __name__ == "__main__":
    options.parse_command_line()
    logatron_client.setup()
    desk = SpamDesk(Path(settings.get("data_dir")) / "spam.db", settings.get("blocklists"))
    Reader(
        topic=settings.get("nsqd_input_topic"),
        channel="queuereader_spam",
        decoder=Click.decode,
        validate_method=validate_message,
        message_handler=desk.judge,
        publish_to=settings.get("nsqd_output_topic"),
        lookupd_http_addresses=settings.get("nsq_lookupd"),
        max_in_flight=settings.get("max_in_flight"),
        # What fails here passes soon (an nsqd that restarts): try again within seconds, not minutes.
        options=HandlerOptions(
            client=ReaderOptions(
                default_requeue_delay_ms=1_000, max_backoff_duration_ms=5_000, lookupd_poll_interval_ms=1_000
            )
        ),
    )
    run()
