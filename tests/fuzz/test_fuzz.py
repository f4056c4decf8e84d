"""A little random input for every fuzz target, the same each time; `make fuzz` goes on for longer, by coverage."""

import importlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

RUN: Final = Path(__file__).parent / "run.py"
TARGETS: Final = importlib.import_module("fuzz_targets").TARGETS
EXAMPLES: Final = 120


@pytest.fixture(scope="module", autouse=True)
def _ended() -> Iterator[None]:
    yield
    importlib.import_module("fuzz_targets").close()


@st.composite
def changed(draw: st.DrawFn, target: Any) -> bytes:
    """A seed with some bytes cut out, and others, or words of the target, put in."""
    data = bytearray(draw(st.sampled_from(list(target.inputs()))))
    words = st.sampled_from(target.words)
    for _ in range(draw(st.integers(0, 5))):
        at = draw(st.integers(0, len(data)))
        data[at : at + draw(st.integers(0, 9))] = draw(st.one_of(words, st.binary(max_size=9)))
    return bytes(data)


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_do_no_harm(name: str) -> None:
    for data in TARGETS[name].inputs():
        TARGETS[name].run(data)


@pytest.mark.parametrize("name", TARGETS)
def test_random_input_does_no_harm(name: str) -> None:
    target = TARGETS[name]

    @settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
    @given(st.one_of(changed(target), changed(target), st.binary(max_size=300)))
    def throw(data: bytes) -> None:
        target.run(data)

    throw()


def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, str(RUN), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, check=False, env=os.environ)


def test_a_saved_input_can_be_repeated(tmp_path: Path) -> None:
    path = tmp_path / "input"
    path.write_bytes(b"\0\xff\xffPUB t\n\0\0\0\1x")

    done = run("--target=parser", f"--input={path}")

    assert (done.returncode, done.stdout) == (0, f"fuzz: parser: nothing is wrong with {path}\n")


@pytest.mark.parametrize("arguments", [("--target=nothing",), ()])
def test_an_input_needs_a_target(arguments: tuple[str, ...], tmp_path: Path) -> None:
    path = tmp_path / "input"
    path.write_bytes(b"")
    done = run(*arguments, f"--input={path}")

    assert done.returncode == 2
    assert "target" in done.stderr
