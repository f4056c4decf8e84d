"""The layer rules that import-linter cannot see: those of the compiled modules.

import-linter reads `import`; a `.pxd` says `cimport`.  So a `.pxd` may cimport only what the `.py` beside it
imports: the contracts in pyproject.toml then hold for both.
"""

import ast
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

SRC: Final = Path(__file__).resolve().parents[2] / "src"

# Cython's own headers are no modules of ours.
C_HEADERS: Final = ("libc", "libcpp", "cpython", "posix", "cython")

FROM_CIMPORT: Final = re.compile(r"^\s*from\s+([\w.]+)\s+cimport\s+(\([^)]*\)|[^\n#]+)", re.MULTILINE)
CIMPORT: Final = re.compile(r"^\s*cimport\s+([^\n#]+)", re.MULTILINE)


def module_exists(name: str) -> bool:
    path = SRC / name.replace(".", "/")
    return path.with_suffix(".py").exists() or path.with_suffix(".pxd").exists()


def cimported_modules(text: str) -> set[str]:
    """Modules that a .pxd cimports; `from package cimport module` names the module."""
    found = {name.split(" as ")[0].strip() for names in CIMPORT.findall(text) for name in names.split(",")}
    for module, names in FROM_CIMPORT.findall(text):
        members = [name.split(" as ")[0].strip() for name in names.strip("()\n ").split(",")]
        found |= {
            f"{module}.{member}" if module_exists(f"{module}.{member}") else module for member in members if member
        }
    return {name for name in found if name.partition(".")[0] not in C_HEADERS}


def imported_names(text: str) -> set[str]:
    """Modules that a .py imports, and every name taken from them, which may be a module too."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def read(path: Path, names: Callable[[str], set[str]]) -> set[str]:
    return names(path.read_text(encoding="utf-8")) if path.exists() else set()


def test_a_pxd_cimports_only_what_its_module_imports() -> None:
    breaches = [
        f"{header.relative_to(SRC)} cimports {module}, which the .py beside it does not import"
        for header in sorted(SRC.rglob("*.pxd"))
        for module in sorted(read(header, cimported_modules) - read(header.with_suffix(".py"), imported_names))
    ]

    assert breaches == []


def test_every_pxd_has_a_module_beside_it() -> None:
    alone = [str(path.relative_to(SRC)) for path in SRC.rglob("*.pxd") if not path.with_suffix(".py").exists()]

    assert alone == []


def test_a_cimport_is_found_in_each_of_its_forms() -> None:
    text = """
from libc.string cimport memcpy
from millstream.base.clock cimport Clock, Other as Another
from millstream.base cimport units
from millstream.base.errors cimport (
    One,
    Two,
)
cimport millstream.base.log as log
"""

    assert cimported_modules(text) == {
        "millstream.base.clock",
        "millstream.base.units",
        "millstream.base.errors",
        "millstream.base.log",
    }
