"""Policies over HTTP outlive restarts, and a file that is damaged keeps nobody from starting."""

import json
from pathlib import Path
from typing import Any

import pytest

from millstream.base.errors import OptionError, StorageError
from millstream.engine import policies as entries
from millstream.engine.policies import PolicyEntry
from millstream.nsqd.options import DaemonOptions
from millstream.nsqd.policies import FILE_NAME
from millstream.nsqd.reload import Reloader


async def test_what_was_set_is_there_after_a_restart_and_wins_over_the_file(start: Any, tmp_path: Path) -> None:
    config = (PolicyEntry(topic="t", max_depth=5),)
    async with start(policy=config) as one:
        one.nsqd.policies.put(PolicyEntry(topic="t", max_depth=2))
        one.nsqd.policies.put(PolicyEntry(topic="u*", channel="c", max_age_ms=1_500, overflow="drop_oldest"))

    async with start(policy=config) as one:
        assert one.host.broker.policies.of_topic("t").max_depth == 2
        assert one.host.broker.policies.of_channel("u2", "c").max_age_ns == 1_500_000_000
        assert one.nsqd.policies.delete("t", None)
        assert not one.nsqd.policies.delete("t", None)
        assert one.host.broker.policies.of_topic("t").max_depth == 5

    assert json.loads((tmp_path / FILE_NAME).read_bytes()) == {
        "version": 1,
        "policies": [{"topic": "u*", "channel": "c", "max_age": "1.5s", "overflow": "drop_oldest"}],
    }


async def test_the_last_word_wins(start: Any) -> None:
    async with start() as one:
        one.nsqd.policies.put(PolicyEntry(topic="*", max_depth=1))
        one.nsqd.policies.put(PolicyEntry(topic="t", max_depth=2))
        assert one.host.broker.policies.of_topic("t").max_depth == 2

        one.nsqd.policies.put(PolicyEntry(topic="*", max_depth=3))

        assert one.host.broker.policies.of_topic("t").max_depth == 3
        assert len(one.host.broker.policies.http) == 2


async def test_a_change_that_cannot_be_written_is_none(start: Any) -> None:
    async with start() as one:
        one.disk.is_full = True
        with pytest.raises(StorageError):
            one.nsqd.policies.put(PolicyEntry(topic="t", max_depth=2))
        one.disk.is_full = False

        assert one.host.broker.policies.is_empty


async def test_there_is_a_limit_of_policies(start: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("millstream.nsqd.policies.ENTRIES_MAX", 2)
    assert entries.ENTRIES_MAX == 1_000
    async with start() as one:
        for topic in ("a", "b"):
            one.nsqd.policies.put(PolicyEntry(topic=topic, max_depth=2))

        with pytest.raises(OptionError, match="there are 2 policies already"):
            one.nsqd.policies.put(PolicyEntry(topic="c", max_depth=2))
        one.nsqd.policies.put(PolicyEntry(topic="b", max_depth=3))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 40,
        b"[]",
        b"{}",
        b'{"version":1}',
        b'{"version":0,"policies":[]}',
        b'{"version":1,"policies":[{"topic":"t","max_dept":1}]}',
        b'{"version":1,"policies":[{"topic":"t"}]}',
        b'{"version":1,"policies":[7]}',
        b"[" * 100_000,
    ],
)
async def test_a_damaged_file_is_set_aside_and_nsqd_starts(
    start: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    (tmp_path / FILE_NAME).write_bytes(content)

    async with start(policy=(PolicyEntry(topic="t", max_depth=5),)) as one:
        assert one.host.broker.policies.of_topic("t").max_depth == 5
        one.nsqd.policies.put(PolicyEntry(topic="t", max_depth=7))

    assert "policies.damaged" in caplog.text
    assert f"{FILE_NAME} cannot be used" in caplog.text
    assert (tmp_path / f"{FILE_NAME}.bad").read_bytes() == content
    assert (tmp_path / FILE_NAME).exists()


async def test_a_file_of_a_newer_version_is_refused(start: Any, tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b'{"version":2,"policies":[]}')

    with pytest.raises(ExceptionGroup) as caught:
        async with start():
            pass

    assert "was written by a newer version" in str(caught.value.exceptions[0])
    assert (tmp_path / FILE_NAME).exists()


async def test_a_reload_takes_up_the_policies_of_the_file(start: Any) -> None:
    async with start(policy=(PolicyEntry(topic="t", max_depth=1),)) as one:
        await one.ask("POST", "/mpub?topic=t", b"a\nb")
        assert one.host.broker.topics["t"].refusal

        def read() -> DaemonOptions:
            return DaemonOptions(policy=(PolicyEntry(topic="t", max_depth=9),))

        reloader = Reloader(one.host, read)
        reloader.hooks = one.nsqd.reloader.hooks
        report = reloader.reload()

        assert "policy" in report.changed
        assert not one.host.broker.topics["t"].refusal
        assert await one.ask("GET", "/config/policy") == (200, b'[{"topic":"t","max_depth":9}]')
        assert "policy" not in reloader.reload().changed
