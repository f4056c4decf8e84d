"""Who is measured, and with which flags."""

from pathlib import Path

import pytest

from millstream.bench import contenders
from millstream.bench.contenders import OURS, PEER, PEER_SYNCED, UNCOMPILED, Field, our_commands, peer_commands
from millstream.bench.cores import Cores


def test_the_uncompiled_broker_is_always_there() -> None:
    commands = our_commands(["--flag"])

    assert commands[UNCOMPILED][-2:] == ["--flag", "--durability=log"]
    assert (OURS in commands) == bool(contenders.compiled_modules())


def test_the_original_is_measured_in_memory_on_disk_and_synced() -> None:
    commands = peer_commands(["/bin/nsqd"], [])

    assert commands[PEER][-1].startswith("--mem-queue-size=")
    assert commands[PEER_SYNCED][-2:] == ["--mem-queue-size=0", "--sync-every=1"]


def test_a_contender_starts_when_asked_for_and_only_once(tmp_path: Path) -> None:
    with Field(our_commands([]), tmp_path, Cores()) as field:
        broker = field.broker(UNCOMPILED)
        assert field.broker(UNCOMPILED) is broker
        first = broker.pid

        field.clear()

        assert field.broker(UNCOMPILED).pid != first


def test_without_openssl_there_is_no_certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")

    with pytest.raises(contenders.OptionError, match="no openssl"):
        contenders.tls_flags(tmp_path)
