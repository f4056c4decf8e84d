"""The benchmark as a whole, on a workload or two; and which workloads a command line chooses."""

import json
from pathlib import Path

import pytest

from millstream.base.errors import OptionError
from millstream.bench.broker import Broker
from millstream.bench.catalogue import catalogue
from millstream.bench.contenders import UNCOMPILED
from millstream.bench.goals import Goal, Verdict
from millstream.bench.options import BenchOptions
from millstream.bench.outcome import RATE
from millstream.bench.service import choose, exit_status, run

WORKLOADS = catalogue(steady_minutes=1, steady_rate=100)


def chosen(**options: object) -> list[str]:
    return [one.name for one in choose(WORKLOADS, BenchOptions(**options))]  # type: ignore[arg-type]


def test_names_may_stand_behind_commas_and_be_patterns() -> None:
    assert chosen(only=("mpub,pub-16", "http-*-1")) == ["mpub", "pub-16", "http-pub-1", "http-mpub-1"]
    assert "mpub" not in chosen(skip=("mpub",))


def test_the_quick_form_is_shorter_and_long_ones_are_named() -> None:
    assert 0 < len(chosen(quick=True)) < len(chosen())
    assert "steady" not in chosen()
    assert chosen(only=("steady",)) == ["steady"]


def test_a_name_that_fits_none_is_refused() -> None:
    with pytest.raises(OptionError, match="--list"):
        chosen(only=("mbup",))
    with pytest.raises(OptionError, match="no workload is left"):
        chosen(only=("mpub",), skip=("m*",))


def test_the_list_says_what_each_does(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(BenchOptions(list=True, only=("mpub",))) == 0
    assert capsys.readouterr().out == "mpub              MPUB of 200 x 200 B, 16 unanswered\n"


def test_a_run_prints_a_table_and_writes_its_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = {"json": str(tmp_path / "bench.json"), "chart": str(tmp_path / "bench.svg")}

    status = run(BenchOptions(only=("mpub",), rounds=1, scale=0.01, peer="none", **paths))  # type: ignore[arg-type]

    assert status == 0
    assert UNCOMPILED in capsys.readouterr().out
    document = json.loads(Path(paths["json"]).read_text(encoding="utf-8"))
    assert document["medians"]["mpub"][UNCOMPILED][RATE] > 0
    assert Path(paths["chart"]).read_text(encoding="utf-8").startswith("<svg")


def test_a_peer_that_runs_already_is_measured_beside_ours(broker: Broker, capsys: pytest.CaptureFixture[str]) -> None:
    peer = f"tcp://{broker.address}:{broker.pid}"

    assert run(BenchOptions(only=("mpub", "sub-cold"), rounds=1, scale=0.002, peer=peer)) == 0

    said = capsys.readouterr().out
    assert f"nsqd: process {broker.pid} on {broker.address}" in said
    assert any(line.split()[:2] == ["mpub", "nsqd"] for line in said.splitlines())
    assert broker.ask("GET", "/ping") == b"OK"


def test_a_peer_that_is_not_there_is_told() -> None:
    with pytest.raises(OptionError, match="no program"):
        run(BenchOptions(only=("mpub",), peer="/absent/nsqd"))


def test_the_status_follows_the_goals() -> None:
    goal = Goal(workload="mpub", figure=RATE, at_least=2.0)

    assert exit_status([Verdict(goal=goal, found=2.0)]) == 0
    assert exit_status([Verdict(goal=goal, found=1.0)]) == 1
    assert exit_status([]) == 1
