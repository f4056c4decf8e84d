"""Runs a command of Millstream from its sources, though compiled modules lie beside them.

    python -m millstream.bench.uncompiled millstream.cli.nsqd --data-path=...

The benchmark starts the uncompiled broker so: one installed package serves for both.
"""

import importlib
import importlib.abc
import importlib.machinery
import sys
from collections.abc import Sequence
from importlib.machinery import FileFinder, ModuleSpec, SourceFileLoader
from types import ModuleType
from typing import Final

_PACKAGE: Final = "millstream."


class SourcesOnly(importlib.abc.MetaPathFinder):
    """Finds modules of this package as `.py`, whatever else is there."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """The spec of the source; None for what belongs to others, or has none."""
        del target
        if not name.startswith(_PACKAGE):
            return None
        for folder in path or ():
            spec = FileFinder(folder, (SourceFileLoader, importlib.machinery.SOURCE_SUFFIXES)).find_spec(name)
            if spec is not None and spec.loader is not None:
                return spec
        return None


def main(words: Sequence[str]) -> int:
    """Run the module that the first word names with the other words; its exit status."""
    sys.meta_path.insert(0, SourcesOnly())
    module = importlib.import_module(words[0])
    status: int = module.main(list(words[1:]))
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
