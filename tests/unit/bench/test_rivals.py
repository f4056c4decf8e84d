"""Other clients come from an environment in the cache; what pip says when it fails is passed on."""

import hashlib
import sys
from pathlib import Path

import pytest

from millstream.bench.rivals import PINNED, RivalsMissing, find_rivals


def test_an_environment_that_is_there_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    name = hashlib.sha256("\n".join([*PINNED, sys.version]).encode()).hexdigest()[:16]
    folder = tmp_path / "millstream" / f"clients-{name}"
    folder.mkdir(parents=True)
    (folder / "installed").touch()

    assert find_rivals() == str(folder / "bin" / "python")


def test_what_cannot_be_installed_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")

    with pytest.raises(RivalsMissing, match="pynsq"):
        find_rivals()
