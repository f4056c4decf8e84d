from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from millstream.base.errors import OptionError
from millstream.base.log import get_level, set_level
from millstream.net.http_auth import BearerTokens
from millstream.nsqlookupd.options import LookupdOptions
from millstream.nsqlookupd.reload import RELOADABLE, Reloader

OPTIONS = LookupdOptions()


@pytest.fixture(autouse=True)
def _level() -> Iterator[None]:
    before = get_level()
    yield
    set_level(before)


def test_every_option_that_can_change_exists() -> None:
    assert set(LookupdOptions.__slots__) >= RELOADABLE


def test_timeouts_and_the_log_level_are_applied_and_reported_once() -> None:
    applied: list[LookupdOptions] = []
    wanted = replace(OPTIONS, log_level="debug", inactive_producer_timeout_ms=1_000, tcp_address="127.0.0.1:1")
    reloader = Reloader(OPTIONS, lambda: wanted, applied.append)

    report = reloader.reload()

    assert report.changed == ("--log-level info -> debug", "--inactive-producer-timeout 5m0s -> 1s")
    assert (report.needs_restart, report.failed) == (("--tcp-address",), ())
    assert get_level() == "debug"
    assert applied == [replace(OPTIONS, log_level="debug", inactive_producer_timeout_ms=1_000)]
    assert reloader.reload().changed == ()
    assert len(applied) == 1


@pytest.mark.parametrize("failure", [SystemExit(1), OptionError("--log-level is 'loud'")])
def test_options_that_cannot_be_read_change_nothing(failure: BaseException) -> None:
    applied: list[LookupdOptions] = []

    def read() -> LookupdOptions:
        raise failure

    reloader = Reloader(OPTIONS, read, applied.append)

    assert len(reloader.reload().failed) == 1
    assert (applied, reloader.options) == ([], OPTIONS)


def test_the_tokens_are_read_again(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    path.write_text("first\n")
    tokens = BearerTokens(str(path))
    reloader = Reloader(OPTIONS, lambda: OPTIONS, lambda _: None, tokens)
    assert reloader.reload().changed == ()

    path.write_text("first\nsecond\n")
    assert reloader.reload().changed == ("tokens (now 2)",)
    path.unlink()
    assert len(reloader.reload().failed) == 1

    assert tokens.admits("Bearer second")
