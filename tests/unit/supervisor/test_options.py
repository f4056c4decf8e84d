from pathlib import Path

import pytest

from millstream.base.errors import OptionError
from millstream.base.options import parse
from millstream.supervisor.options import UpOptions, make_plan, wants_color


def _system(root: Path) -> Path:
    (root / "shop").mkdir()
    (root / "shop" / "shop_api.py").write_text("")
    return root


def test_automatic_ports_are_free_and_a_named_one_is_kept(tmp_path: Path) -> None:
    named = make_plan(_system(tmp_path), UpOptions(ports="auto"), environment={}).statsd_port

    plan = make_plan(tmp_path, UpOptions(ports="auto", port=(f"statsd={named}",)), environment={})

    assert plan.statsd_port == named
    assert plan.web_addresses["shop"] != "127.0.0.1:8080"


def test_an_unknown_listener_is_named(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"web\.shop\.http"):
        make_plan(_system(tmp_path), UpOptions(ports="auto", port=("nothing=1",)), environment={})


def test_processes_inherit_the_environment(tmp_path: Path) -> None:
    plan = make_plan(_system(tmp_path), UpOptions(ports="auto"), environment={"A": "b"})

    assert all(process.environment["A"] == "b" for process in plan.processes)
    assert all(process.environment["PYTHONUNBUFFERED"] == "1" for process in plan.processes)


def test_flags_are_read() -> None:
    options = parse(UpOptions, ["--ports=auto", "--port=a=1", "--port=b=2", "--start-timeout=5s"], program="up")

    assert options == UpOptions(ports="auto", port=("a=1", "b=2"), start_timeout_ms=5_000)
    assert not wants_color(UpOptions(color="never"))
    assert wants_color(UpOptions(color="always"))
