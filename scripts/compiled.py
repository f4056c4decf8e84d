"""Says which hot modules of the installed package are compiled.

The list comes from setup.py, the answer from where Python would import each module from.  Standard library only; run it
with the Python of the environment in question.
"""

from __future__ import annotations

import ast
import importlib.machinery
import importlib.util
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def hot_modules() -> list[str]:
    """Names in setup.py's HOT whose .pxd exists: those that a build with a C compiler compiles."""
    for node in ast.parse((ROOT / "setup.py").read_text()).body:
        if isinstance(node, ast.AnnAssign) and node.value is not None and ast.unparse(node.target) == "HOT":
            names: list[str] = ast.literal_eval(node.value)
            return [name for name in names if (ROOT / "src" / f"{name.replace('.', '/')}.pxd").exists()]
    raise LookupError("setup.py has no HOT")


def is_compiled(name: str) -> bool:
    """Whether an import of the module would load machine code."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(name)
    return spec.origin.endswith(tuple(importlib.machinery.EXTENSION_SUFFIXES))


def main() -> int:
    """Print one line."""
    hot = hot_modules()
    compiled = [name.removeprefix("millstream.") for name in hot if is_compiled(name)]
    what = f"{len(compiled)} of {len(hot)} hot modules compiled"
    print(f"millstream: {what}{': ' if compiled else ''}{' '.join(compiled)}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
