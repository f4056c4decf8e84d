"""Builds the two environments that everything runs in, and knows when they are out of date.

`.venv` holds the pinned requirements and the repository itself (editable, nothing compiled); `.venv-compiled` holds the
same requirements and a wheel with compiled modules.  What an environment was made from is kept in it as a digest, so
that a second call only reads files.  Standard library only: this runs before anything is installed.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"
STAGE = BUILD / "stage"
BUILD_LOG = BUILD / "compile.log"
REQUIREMENTS = ROOT / "requirements" / "dev.txt"
UV_REQUIREMENTS = ROOT / "requirements" / "uv.txt"
FUZZ_REQUIREMENTS = ROOT / "requirements" / "fuzz.txt"
PACKAGING = ("pyproject.toml", "setup.py", "MANIFEST.in", "LICENSE", "README.md")
BIN = "Scripts" if os.name == "nt" else "bin"
EXE = ".exe" if os.name == "nt" else ""


class SetupError(Exception):
    """An environment could not be made; the text says what to do."""


def digest(paths: list[Path], *words: str) -> str:
    """Hash names and contents of files, and words that belong to them."""
    total = hashlib.sha256("\0".join(words).encode())
    for path in paths:
        content = path.read_bytes() if path.exists() else b""
        total.update(f"\0{path.relative_to(ROOT)}\0{len(content)}\0".encode())
        total.update(content)
    return total.hexdigest()


def missing_for_compiling() -> str | None:
    """Name what a C build lacks here, or None; setup.py decides the same way inside a build."""
    compiler = os.environ.get("CC") or str(sysconfig.get_config_var("CC") or "cc")
    if os.name != "nt" and shutil.which(compiler.split()[0]) is None:
        return "no C compiler"
    if not Path(sysconfig.get_path("include"), "Python.h").exists():
        return "no Python headers (python3-dev)"
    return None


def say(text: str) -> None:
    """Tell the caller of make what happens next."""
    print(f"millstream: {text}", flush=True)


class Environment:
    """A virtual environment in the repository, with a stamp for each thing that was put into it."""

    uv_refused = False  # asked for in vain: pip does the work, more slowly

    def __init__(self, name: str) -> None:
        self.folder = ROOT / name
        self.python = self.folder / BIN / f"python{EXE}"
        self.uv = self.folder / BIN / f"uv{EXE}"

    def script(self, name: str) -> str:
        """Path of a console script."""
        return str(self.folder / BIN / f"{name}{EXE}")

    def holds(self, what: str, wanted: str) -> bool:
        """Whether `what` was installed from these inputs."""
        stamp = self.folder / f"stamp-{what}"
        return self.python.exists() and stamp.exists() and stamp.read_text() == wanted

    def stamp(self, what: str, wanted: str) -> None:
        """Remember what `what` was installed from."""
        (self.folder / f"stamp-{what}").write_text(wanted)

    def sync(self) -> None:
        """Bring the environment to the pinned requirements, each file checked against its hash."""
        wanted = digest([REQUIREMENTS, UV_REQUIREMENTS])
        if self.holds("requirements", wanted):
            return
        if not self.python.exists():
            self._create()
        say(f"installing requirements into {self.folder.name}")
        uv = self._find_uv()
        if uv is None or not run(
            [str(uv), "pip", "sync", "--quiet", "--require-hashes", "--python", str(self.python), str(REQUIREMENTS)]
        ):
            say("installing with pip, which takes longer than uv")
            if not run([*self._pip(), "--require-hashes", "-r", str(REQUIREMENTS)]):
                raise SetupError("the requirements could not be installed: see above")
        self.stamp("requirements", wanted)

    def add(self, what: str, wanted: str, requirements: Path) -> None:
        """Install pinned requirements beside those that are there, each file checked against its hash."""
        say(f"installing {requirements.name} into {self.folder.name}")
        uv = self._find_uv()
        tool = [str(uv), "pip", "install", "--quiet", "--python", str(self.python)] if uv else self._pip()
        if not run([*tool, "--require-hashes", "-r", str(requirements)]):
            raise SetupError(f"{requirements.name} could not be installed: see above")
        self.stamp(what, wanted)

    def install(self, what: str, wanted: str, *arguments: str) -> None:
        """Install the package itself, without looking at what it requires: that is there already."""
        uv = self._find_uv()
        tool = (
            [str(uv), "pip", "install", "--quiet", "--python", str(self.python), "--reinstall"] if uv else self._pip()
        )
        if not uv:
            tool.append("--force-reinstall")
        if not run([*tool, "--no-deps", "--no-build-isolation", *arguments], MILLSTREAM_PURE="1"):
            raise SetupError("millstream itself could not be installed: see above")
        self.stamp(what, wanted)

    def _create(self) -> None:
        """Make an empty environment with the Python that runs this script."""
        say(f"creating {self.folder.name} with Python {sys.version.split()[0]}")
        if run([sys.executable, "-m", "venv", "--clear", str(self.folder)]):
            return
        shutil.rmtree(self.folder, ignore_errors=True)
        raise SetupError(
            f"{sys.executable} cannot make a virtual environment: install its venv module "
            f"(Debian, Ubuntu: apt install python3-venv), or name another Python: make PYTHON=/path/to/python3"
        )

    def _pip(self) -> list[str]:
        return [str(self.python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]

    def _find_uv(self) -> Path | None:
        """Our pinned uv, installed when it can be had."""
        for uv in (self.uv, PLAIN.uv, COMPILED.uv):
            if uv.exists():
                return uv
        fetch = [*self._pip(), "--require-hashes", "-r", str(UV_REQUIREMENTS)]
        if not Environment.uv_refused and run(fetch, quiet=True) and self.uv.exists():
            return self.uv
        Environment.uv_refused = True
        return None


def run(command: list[str], *, quiet: bool = False, **variables: str) -> bool:
    """Run a command in the repository; false when it failed, after it said why (unless it was to be quiet)."""
    settings = {**os.environ, "UV_PYTHON_DOWNLOADS": "never", **variables}
    errors = subprocess.DEVNULL if quiet else None
    process = subprocess.run(command, cwd=ROOT, env=settings, stdin=subprocess.DEVNULL, stderr=errors, check=False)
    return process.returncode == 0


PLAIN = Environment(".venv")
COMPILED = Environment(".venv-compiled")


def plain() -> Environment:
    """Return `.venv`, up to date: requirements, and the repository as it is, uncompiled."""
    PLAIN.sync()
    inputs = [ROOT / name for name in ("pyproject.toml", "setup.py", "src/millstream/base/version.py")]
    wanted = digest([*inputs, REQUIREMENTS])
    if not PLAIN.holds("package", wanted):
        PLAIN.install("package", wanted, "--editable", str(ROOT))
    return PLAIN


def fuzzing() -> Environment:
    """Return `.venv` as `plain` does, with the fuzzer in it."""
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        raise SetupError(
            "the fuzzer (atheris) has builds for Linux on x86-64 only: "
            "make test ARGS=tests/fuzz throws random input at the same targets"
        )
    environment = plain()
    # The others count: what brings them up to date takes the fuzzer out again.
    wanted = digest([REQUIREMENTS, UV_REQUIREMENTS, FUZZ_REQUIREMENTS])
    if not environment.holds("fuzz", wanted):
        environment.add("fuzz", wanted, FUZZ_REQUIREMENTS)
    return environment


def compiled() -> Environment:
    """Return `.venv-compiled`, up to date: requirements, and a wheel built from the sources as they are now."""
    COMPILED.sync()
    sources = source_files()
    annotate = os.environ.get("MILLSTREAM_ANNOTATE", "")
    wanted = digest(sources, toolchain(), annotate, REQUIREMENTS.read_text())
    if not COMPILED.holds("package", wanted):
        say("compiling")
        COMPILED.install("package", wanted, str(build_wheel(sources)))
    return COMPILED


def source_files() -> list[Path]:
    """Everything that goes into a wheel."""
    ignored = {".pyc", ".so", ".pyd", ".c"}
    found = sorted(
        path
        for path in (ROOT / "src").rglob("*")
        if path.is_file() and path.suffix not in ignored and ".egg-info" not in str(path)
    )
    return [*found, *(ROOT / name for name in PACKAGING if (ROOT / name).exists())]


def toolchain() -> str:
    """What the outcome of a compilation depends on beside the sources."""
    names = ("CC", "CFLAGS", "CPPFLAGS", "LDFLAGS")
    return "\n".join([sys.version, sysconfig.get_platform(), *(os.environ.get(name, "") for name in names)])


def build_wheel(sources: list[Path]) -> Path:
    """Compile a copy of the sources and return the wheel.

    The copy is kept from build to build, and a file in it is written only when its content differs.  So its times of
    change are honest, which those of a checkout are not, and only what changed is compiled again.  Whatever those times
    cannot tell (another compiler, packaging, a file that came or went, a declaration that others inline, a build cut
    short) starts from an empty copy.
    """
    shape = [str(path.relative_to(ROOT)) for path in sources]
    declarations = [path for path in sources if path.suffix == ".pxd"]
    key = digest([*(ROOT / name for name in PACKAGING[:3]), *declarations], toolchain(), *shape)
    done = STAGE / "complete"
    if not done.exists() or done.read_text() != key:
        shutil.rmtree(STAGE, ignore_errors=True)
    done.unlink(missing_ok=True)
    for source in sources:
        copy_if_changed(source, STAGE / source.relative_to(ROOT))
    for leftover in STAGE.glob("build/lib*/**/*"):
        if leftover.is_file() and leftover.suffix not in {".so", ".pyd"}:
            leftover.unlink()
    wheels = STAGE / "dist"
    shutil.rmtree(wheels, ignore_errors=True)
    code = "import setuptools.build_meta as backend, sys; backend.build_wheel(sys.argv[1])"
    settings = {**os.environ, "MILLSTREAM_REQUIRE_COMPILED": "1", "MILLSTREAM_PURE": "0"}
    with BUILD_LOG.open("wb") as log:
        process = subprocess.run(
            [str(COMPILED.python), "-c", code, str(wheels)],
            cwd=STAGE,
            env=settings,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if process.returncode != 0:
        tail = "\n".join(BUILD_LOG.read_text(errors="replace").splitlines()[-40:])
        raise SetupError(f"compiling failed (all of it in {BUILD_LOG.relative_to(ROOT)}):\n{tail}")
    done.write_text(key)
    for report in STAGE.glob("build/annotate/*.html"):
        copy_if_changed(report, BUILD / "annotate" / report.name)
    return next(wheels.glob("*.whl"))


def copy_if_changed(source: Path, target: Path) -> None:
    """Copy a file unless the target holds the same bytes."""
    content = source.read_bytes()
    if target.exists() and target.read_bytes() == content:
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)
