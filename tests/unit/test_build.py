"""What is built is what is meant: which modules are compiled, and what the pinned requirements may contain."""

import importlib
import importlib.util
import os
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[2]
HOT_MODULES_MAX: Final = 16


def load_script(name: str) -> ModuleType:
    """Load a script of this repository, which is no package."""
    spec = importlib.util.spec_from_file_location(f"millstream_script_{name}", ROOT / "scripts" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


compiled = load_script("compiled")
environments = load_script("environments")


@pytest.mark.parametrize("name", compiled.hot_modules())
def test_a_hot_module_is_compiled_exactly_when_the_environment_says_so(name: str) -> None:
    expected = os.environ.get("MILLSTREAM_EXPECT_COMPILED")
    if expected is None:
        pytest.skip("not asked: MILLSTREAM_EXPECT_COMPILED is unset")

    importlib.import_module(name)
    origin = sys.modules[name].__file__

    assert origin is not None
    assert (Path(origin).suffix in {".so", ".pyd"}) == (expected == "1")


def test_few_modules_are_hot() -> None:
    assert len(compiled.hot_modules()) <= HOT_MODULES_MAX


def test_a_pxd_with_c_classes_or_functions_belongs_to_a_hot_module() -> None:
    hot = set(compiled.hot_modules())
    declares = re.compile(r"^(cdef class|cpdef)\b", re.MULTILINE)
    forgotten = [
        name
        for header in (ROOT / "src").rglob("*.pxd")
        if (name := ".".join(header.relative_to(ROOT / "src").with_suffix("").parts)) not in hot
        and declares.search(header.read_text(encoding="utf-8"))
    ]

    assert forgotten == []


@pytest.mark.parametrize("path", sorted((ROOT / "requirements").glob("*.txt")), ids=lambda path: path.name)
def test_pinned_requirements_carry_hashes_and_no_host_names(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    pins = [number for number, line in enumerate(lines) if re.match(r"[a-z0-9._-]+(\[.*\])?==", line)]

    assert pins
    assert all("--hash=sha256:" in lines[number + 1] for number in pins)
    assert [line for line in lines if "://" in line or "index-url" in line] == []


def test_a_digest_tells_one_file_from_two() -> None:
    first, second = ROOT / "setup.py", ROOT / "LICENSE"

    assert environments.digest([first]) == environments.digest([first])
    assert len({environments.digest(paths) for paths in ([first], [second], [first, second], [second, first])}) == 4


def test_a_file_is_copied_only_when_its_bytes_differ(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "deep" / "target"
    source.write_text("one")

    environments.copy_if_changed(source, target)
    written = target.stat().st_mtime_ns
    environments.copy_if_changed(source, target)
    unchanged = target.stat().st_mtime_ns
    source.write_text("two")
    environments.copy_if_changed(source, target)

    assert unchanged == written
    assert target.read_text() == "two"
