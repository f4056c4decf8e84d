"""Where an original nsqd is looked for, and what is said when there is none."""

import os
from pathlib import Path

import pytest

from millstream.bench.peer import PINNED, PeerMissing, find_peer, is_original


def program(folder: Path, version: str) -> Path:
    path = folder / "nsqd"
    path.write_text(f"#!/bin/sh\necho '{version}'\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def test_ours_is_not_the_original(tmp_path: Path) -> None:
    assert is_original(str(program(tmp_path, "nsqd v1.3.0 (built w/go1.21)")))
    assert not is_original(str(program(tmp_path, "nsqd v1.3.0 (built w/Python 3.11.7)")))
    assert not is_original(str(tmp_path / "absent"))


def test_the_first_original_on_the_path_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = [tmp_path / name for name in ("ours", "theirs")]
    for folder, built in zip(folders, ("Python 3.11.7", "go1.21"), strict=True):
        folder.mkdir()
        program(folder, f"nsqd v1.3.0 (built w/{built})")
    monkeypatch.setenv("PATH", os.pathsep.join(map(str, folders)))

    assert find_peer(tmp_path) == str(folders[1] / "nsqd")


def test_without_sources_it_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")

    with pytest.raises(PeerMissing, match="nothing to build one from"):
        find_peer(tmp_path)


def test_without_go_it_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in PINNED:
        (tmp_path / name).write_text("pinned", encoding="utf-8")

    with pytest.raises(PeerMissing, match="no Go"):
        find_peer(tmp_path)
