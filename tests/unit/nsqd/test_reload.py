"""SIGHUP: what can change while nsqd runs does, and no connection is dropped."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from millstream.base.errors import OptionError
from millstream.base.log import get_level, set_level
from millstream.nsqd.options import DaemonOptions
from millstream.nsqd.reload import RELOADABLE, Hook, Reloader


@pytest.fixture(autouse=True)
def _level() -> Any:
    before = get_level()
    yield
    set_level(before)


def changed(one: Any, **options: Any) -> Callable[[], DaemonOptions]:
    return lambda: replace(one.host.options, **options)


def test_every_option_that_can_change_exists() -> None:
    assert set(DaemonOptions.__slots__) >= RELOADABLE


async def test_limits_and_timeouts_change_and_connections_live(start: Any) -> None:
    async with start() as one:
        client = await one.connect()
        client.subscribe("t", "c")
        assert await client.text() == "OK"
        reloader = Reloader(one.host, changed(one, max_rdy_count=10, max_msg_timeout_ms=70_000, max_connections=7))

        report = reloader.reload()

        assert sorted(report.changed) == ["--max-connections", "--max-msg-timeout", "--max-rdy-count"]
        assert (report.needs_restart, report.failed) == ([], [])
        assert one.host.broker.topics["t"].channels["c"].settings.max_msg_timeout_ns == 70 * 10**9
        assert one.host.features.max_rdy_count == 10
        client.send(b"RDY 11\n")
        assert await client.text() == "E_INVALID RDY count 11 out of range 0-10"


async def test_limits_of_an_address_are_taken_up(start: Any) -> None:
    async with start() as one:
        Reloader(one.host, changed(one, max_connections_per_address=5, max_connection_rate=6)).reload()

        assert (one.host.gate.connections_max, one.host.gate.rate_max) == (5, 6)


async def test_the_marks_of_the_disk_are_taken_up(start: Any) -> None:
    async with start() as one:
        one.disk.free_bytes = 1 << 30
        report = Reloader(one.host, changed(one, disk_min_free=2 << 30)).reload()

        assert report.changed == ["--disk-min-free"]
        assert one.host.disk.is_refusing
        one.disk.free_bytes = None


async def test_the_log_level_is_that_of_the_file_again(start: Any) -> None:
    async with start() as one:
        set_level("error")
        Reloader(one.host, changed(one, log_level="debug")).reload()

        assert get_level() == "debug"


async def test_what_needs_a_restart_is_named_and_left_alone(start: Any) -> None:
    async with start() as one:
        report = Reloader(one.host, changed(one, durability="fsync", mem_queue_size=1)).reload()

        assert sorted(report.needs_restart) == ["--durability", "--mem-queue-size"]
        assert report.changed == []
        assert one.host.options.durability == "log"


@pytest.mark.parametrize("failure", [SystemExit(1), OptionError("--msg-timeout is 0")])
async def test_options_that_cannot_be_read_change_nothing(start: Any, failure: BaseException) -> None:
    def read() -> DaemonOptions:
        raise failure

    async with start() as one:
        before = one.host.options
        report = Reloader(one.host, read).reload()

        assert report.failed
        assert one.host.options is before


async def test_hooks_are_called_at_each_reload_and_answer_for_their_options(start: Any) -> None:
    async with start() as one:
        reloader = Reloader(one.host, changed(one, tls_cert="/new.pem"))
        seen: list[str] = []

        def apply(options: DaemonOptions) -> list[str]:
            seen.append(options.tls_cert)
            return ["certificates"]

        def fail(_options: DaemonOptions) -> list[str]:
            raise OptionError("no such file")

        reloader.hooks += [Hook(apply=apply, options=frozenset({"tls_cert"})), Hook(apply=fail)]
        report = reloader.reload()

        assert seen == ["/new.pem"]
        assert (report.changed, report.needs_restart, report.failed) == (["certificates"], [], ["no such file"])
