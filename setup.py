"""Compiles the hot modules with Cython when a C compiler is there; everything else is said in pyproject.toml.

A hot module is ordinary Python; what the compiler may assume about it stands in the `.pxd` beside it.  A module of
`HOT` without a `.pxd` is left alone.  The switches come from the environment: `MILLSTREAM_PURE=1` compiles nothing,
`MILLSTREAM_REQUIRE_COMPILED=1` makes whatever keeps a module from being compiled an error, and `MILLSTREAM_ANNOTATE=1`
writes Cython's report of each module into build/annotate.
"""

import multiprocessing
import os
import shutil
import sys
import sysconfig
from pathlib import Path
from typing import Final

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

# At most sixteen, each with a measured gain. scripts/compiled.py reads this list.
HOT: Final = [
    "millstream.protocol.message",
    "millstream.protocol.frames",
    "millstream.protocol.chunk",
    "millstream.protocol.chunks",
    "millstream.protocol.parser",
    "millstream.storage.os_file",
    "millstream.storage.log",
    "millstream.engine.window",
    "millstream.engine.consumer",
    "millstream.engine.channel",
    "millstream.engine.topic",
    "millstream.net.http_repeat",
    "millstream.nsqd.replies",
    "millstream.nsqd.turn",
    "millstream.nsqd.publish_again",
    "millstream.nsqd.session",
]

# Without annotation_typing=False the annotations of the .py would count as C declarations and clash with the .pxd.
DIRECTIVES: Final[dict[str, object]] = {"language_level": 3, "annotation_typing": False}

# Directives of single modules, such as {"boundscheck": False}: only with a measured gain and a fuzz run, never in a
# module that sees a peer's bytes first.
MODULE_DIRECTIVES: Final[dict[str, dict[str, object]]] = {}

# Commands that only describe the package: they compile nothing, and have nothing to say about it.
DESCRIBING: Final = {"dist_info", "egg_info", "sdist"}

OPTIMISE: Final = [] if sys.platform == "win32" else ["-O3", "-g0"]
ROOT: Final = Path(__file__).resolve().parent


def asked(name: str) -> bool:
    """Whether a switch is set in the environment."""
    return os.environ.get(name, "") not in {"", "0"}


def say(reason: str) -> None:
    """Report what was not compiled, or fail when compiled modules are required."""
    if asked("MILLSTREAM_REQUIRE_COMPILED"):
        raise SystemExit(f"millstream: {reason}: compiled modules are required")
    print(f"millstream: {reason}: running uncompiled", file=sys.stderr, flush=True)


def missing_for_compiling() -> str | None:
    """Name what a C build lacks here, or None."""
    compiler = os.environ.get("CC") or str(sysconfig.get_config_var("CC") or "cc")
    if sys.platform != "win32" and shutil.which(compiler.split()[0]) is None:
        return "no C compiler"
    if not Path(sysconfig.get_path("include"), "Python.h").exists():
        return "no Python headers (python3-dev)"
    return None


def hot_extensions() -> list[Extension]:
    """Describe the hot modules that can be compiled here."""
    sources = [f"src/{name.replace('.', '/')}.py" for name in HOT]
    present = [
        Extension(name, [source], extra_compile_args=OPTIMISE)
        for name, source in zip(HOT, sources, strict=True)
        if (ROOT / source).with_suffix(".pxd").exists()
    ]
    if asked("MILLSTREAM_PURE") or not present or DESCRIBING.intersection(sys.argv):
        return []
    missing = missing_for_compiling()
    if missing is not None:
        say(missing)
        return []
    try:
        from Cython.Build import cythonize  # noqa: PLC0415 - a pure install does without Cython
    except ImportError:
        say("no Cython")
        return []
    annotate = asked("MILLSTREAM_ANNOTATE")
    workers = (os.cpu_count() or 1) if multiprocessing.get_start_method() == "fork" else 0
    extensions: list[Extension] = []
    for directives, modules in by_directives(present):
        extensions += cythonize(
            modules,
            build_dir="build/cython",
            include_path=["src"],
            compiler_directives=directives,
            nthreads=workers,
            annotate=annotate,
            force=annotate,
            quiet=True,
        )
    for extension in extensions:
        # cythonize() drops the flag. A module that does not get through the C compiler then stays Python.
        extension.optional = not asked("MILLSTREAM_REQUIRE_COMPILED")
    if annotate:
        collect_annotations(extensions)
    return extensions


def by_directives(modules: list[Extension]) -> list[tuple[dict[str, object], list[Extension]]]:
    """Group modules that share their directives: cythonize() takes one set per call."""
    alike = [module for module in modules if module.name not in MODULE_DIRECTIVES]
    groups = [(DIRECTIVES | MODULE_DIRECTIVES[m.name], [m]) for m in modules if m.name in MODULE_DIRECTIVES]
    return [(DIRECTIVES, alike), *groups] if alike else groups


def collect_annotations(extensions: list[Extension]) -> None:
    """Copy Cython's reports from beside the C files to build/annotate, one per module."""
    folder = ROOT / "build" / "annotate"
    folder.mkdir(parents=True, exist_ok=True)
    for extension in extensions:
        shutil.copyfile(Path(extension.sources[0]).with_suffix(".html"), folder / f"{extension.name}.html")


class BuildHot(build_ext):
    """build_ext on every core, which says aloud what did not compile."""

    def finalize_options(self) -> None:
        """Use all cores unless told otherwise."""
        super().finalize_options()
        if self.parallel is None:
            self.parallel = os.cpu_count() or 1

    def run(self) -> None:
        """Build, then look for modules that are not there."""
        super().run()
        absent = [ext.name for ext in self.extensions if not Path(self.get_ext_fullpath(ext.name)).exists()]
        if absent:
            say(f"could not compile {', '.join(absent)}")


setup(ext_modules=hot_extensions(), cmdclass={"build_ext": BuildHot})
