import os
from pathlib import Path

import pytest

from millstream.nsqauthd.rules import BadRules, Identity
from millstream.nsqauthd.source import FILE_BYTES_MAX, RulesFile
from millstream.nsqd.auth import parse_authorizations


def rule(secret: str) -> str:
    return f'[[rule]]\nsecret = "{secret}"\ntopics = ["."]\npermissions = ["publish"]\n'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "rules.toml"
    path.write_text(rule("first"))
    return path


@pytest.fixture
def source(path: Path) -> RulesFile:
    source = RulesFile(str(path), parse_authorizations)
    source.load()
    return source


def is_known(source: RulesFile, secret: str) -> bool:
    return bool(source.rules.holding(Identity.of(secret=secret)))


def test_a_changed_file_is_read_and_an_unchanged_one_is_not(source: RulesFile, path: Path) -> None:
    assert not source.reload_if_changed()

    path.write_text(rule("another"))

    assert source.reload_if_changed()
    assert is_known(source, "another")
    assert not is_known(source, "first")
    assert not source.reload_if_changed()


def test_a_file_that_was_put_in_its_place_is_read_even_with_the_same_time_and_size(
    source: RulesFile, path: Path
) -> None:
    found = path.stat()
    other = path.with_name("new")
    other.write_text(rule("thief"))
    os.utime(other, ns=(found.st_atime_ns, found.st_mtime_ns))
    other.rename(path)

    assert source.reload_if_changed()
    assert is_known(source, "thief")


@pytest.mark.parametrize("content", [b"", b"[[rule]]", b"\xff", b"x" * (FILE_BYTES_MAX + 1), None])
def test_a_broken_file_is_told_once_and_the_old_rules_stay(
    source: RulesFile, path: Path, content: bytes | None
) -> None:
    path.unlink() if content is None else path.write_bytes(content)

    assert not source.reload_if_changed()
    assert source.error.startswith(f"failed to load rules file {path} - ")
    assert is_known(source, "first")
    error, source.error = source.error, "told"
    assert not source.reload_if_changed()
    assert source.error == "told"

    path.write_text(rule("repaired"))

    assert source.reload_if_changed()
    assert error
    assert source.error == ""
    assert is_known(source, "repaired")


def test_a_broken_file_at_the_start_is_an_error(path: Path) -> None:
    path.write_text("[[rule]]")
    source = RulesFile(str(path), parse_authorizations)

    with pytest.raises(BadRules, match=r"failed to load rules file .* - rule 1 has no condition"):
        source.load()


def test_a_path_that_cannot_be_one_is_an_error() -> None:
    with pytest.raises(BadRules, match="failed to load rules file"):
        RulesFile("a\0b", parse_authorizations).load()
