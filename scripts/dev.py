"""What `make` calls: each command makes the environment it needs, then runs.

Standard library only, and it says what is missing on a bare machine.  `python3 scripts/dev.py` lists the commands.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

if sys.version_info < (3, 11):  # noqa: UP036 - whatever python3 is runs this first
    sys.exit(
        f"millstream needs Python 3.11 or newer, this is {sys.version.split()[0]}: make PYTHON=/path/to/python3.11"
    )

import environments
from environments import ROOT, Environment, SetupError, missing_for_compiling, say

LINTED = [["ruff", "format", "--check"], ["ruff", "check"], ["mypy"], ["lint-imports"]]
TIDY_TESTS = ["tests/unit/test_tidy.py", "tests/unit/test_layers.py"]
LOCKED_ALONE = [("fuzz", "fuzz"), ("bootstrap", "uv")]
WORKERS = ["-n", "auto", "--maxprocesses=8", "--dist", "loadfile"]


def setup(_arguments: list[str]) -> int:
    """Make .venv: requirements, and this repository uncompiled."""
    environments.plain()
    return 0


def compiled(_arguments: list[str]) -> int:
    """Make .venv-compiled: requirements, and a wheel with compiled modules."""
    missing = missing_for_compiling()
    if missing is not None:
        raise SetupError(f"{missing}: nothing to compile with")
    return call([str(environments.compiled().python), "scripts/compiled.py"])


def test(arguments: list[str]) -> int:
    """Run the tests uncompiled and, with a C compiler, compiled. Arguments go to pytest."""
    status = run_tests(environments.plain(), arguments, expect_compiled="0", loop="asyncio")
    missing = missing_for_compiling()
    if missing is not None:
        say(f"{missing}: tested uncompiled only")
        return status
    return run_tests(environments.compiled(), arguments, expect_compiled="1", loop="uvloop") or status


def run_tests(environment: Environment, arguments: list[str], *, expect_compiled: str, loop: str) -> int:
    """Run pytest in one environment, where `millstream` is what was installed there."""
    call([str(environment.python), "scripts/compiled.py"])
    variables = {
        "MILLSTREAM_EXPECT_COMPILED": expect_compiled,
        "MILLSTREAM_LOOP": os.environ.get("MILLSTREAM_LOOP", loop),
    }
    workers = [] if any(word.startswith("-n") for word in arguments) else WORKERS
    return call([str(environment.python), "-m", "pytest", *workers, *arguments], **variables)


def check(_arguments: list[str]) -> int:
    """Format, lint, types, layers, tidy tests."""
    environment = environments.plain()
    commands = [[environment.script(command[0]), *command[1:]] for command in LINTED]
    commands.append([str(environment.python), "-m", "pytest", "-q", *TIDY_TESTS])
    failed = []
    for command in commands:
        name = " ".join([os.path.basename(command[0]), *command[1:]])  # noqa: PTH119 - a name to print
        say(name)
        if call(command) != 0:
            failed.append(name)
    for name in failed:
        say(f"FAILED: {name}")
    return 1 if failed else 0


def demo(arguments: list[str]) -> int:
    """Run the reference system until Ctrl-C, or as long as --seconds=20 says."""
    return replace([fastest().script("millstream"), "demo", *arguments])


def torture(arguments: list[str]) -> int:
    """Kill nsqd 1,000 times, and count what it lost. Arguments go to millstream torture."""
    levels = [] if any("nsqd-command" in word for word in arguments) else ["--durability=both"]
    return replace([fastest().script("millstream"), "torture", "--kills=1000", *levels, *arguments])


def bench(arguments: list[str]) -> int:
    """Measure nsqd beside the original, and the clients. Arguments go to millstream bench."""
    return replace([fastest().script("millstream"), "bench", *arguments])


def instructions(_arguments: list[str]) -> int:
    """Count the compiled core's instructions per message, and write them into tests/benchmarks/instructions.json."""
    test = ["tests/benchmarks/test_instructions.py", "-n0", "-q"]
    variables = {"MILLSTREAM_EXPECT_COMPILED": "1", "MILLSTREAM_WRITE_FIGURES": "1"}
    return call([str(environments.compiled().python), "-m", "pytest", *test], **variables)


def fuzz(arguments: list[str]) -> int:
    """Throw input at what reads it for 60 s; ARGS=--seconds=600 for longer. A finding is saved, with status 1."""
    return replace([str(environments.fuzzing().python), "tests/fuzz/run.py", *arguments])


def fastest() -> Environment:
    """Return the compiled environment where it can be had, and say so where it cannot."""
    missing = missing_for_compiling()
    if missing is None:
        try:
            return environments.compiled()
        except SetupError as error:
            say(str(error))
            missing = "compiling failed"
    say(f"{missing}: running uncompiled")
    return environments.plain()


def format_(_arguments: list[str]) -> int:
    """Format the code and fix what ruff can fix."""
    ruff = environments.plain().script("ruff")
    return call([ruff, "format"]) or call([ruff, "check", "--fix"])


def lock(arguments: list[str]) -> int:
    """Pin the requirements again; ARGS=--upgrade takes what is current."""
    uv = environments.plain().script("uv")
    pin = [uv, "pip", "compile", "--quiet", "--universal", "--python-version=3.11", "--generate-hashes"]
    pin += ["--no-emit-index-url", "--custom-compile-command=make lock", *arguments]
    everything = [*pin, "--all-extras", "--group=dev", "pyproject.toml", "--output-file=requirements/dev.txt"]
    groups = [[*pin, f"--group={group}", f"--output-file=requirements/{file}.txt"] for group, file in LOCKED_ALONE]
    return next((status for command in [everything, *groups] if (status := call(command))), 0)


def compatibility(_arguments: list[str]) -> int:
    """Write docs/compatibility.md from what the tests show, and say what is missing in it."""
    return call([str(environments.plain().python), "-m", "compatibility"], PYTHONPATH="scripts")


def clean(_arguments: list[str]) -> int:
    """Delete what was built, and every cache; .venv stays."""
    for name in (".venv-compiled", "build", "dist", ".demo", ".mypy_cache", ".ruff_cache", ".pytest_cache"):
        shutil.rmtree(ROOT / name, ignore_errors=True)
    for name in (".hypothesis", ".import_linter_cache"):
        shutil.rmtree(ROOT / name, ignore_errors=True)
    for folder in ("src", "tests", "scripts"):
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in {".so", ".pyd", ".pyc"}:
                path.unlink()
    return 0


def call(command: list[str], **variables: str) -> int:
    """Run a command in the repository and return its status."""
    return subprocess.run(command, cwd=ROOT, env={**os.environ, **variables}, check=False).returncode


def replace(command: list[str]) -> int:
    """Become another program, so that Ctrl-C and the exit status are its own."""
    if os.name != "nt":
        os.chdir(ROOT)
        os.execv(command[0], command)  # noqa: S606 - an argument list, no shell
    return call(command)


COMMANDS = {
    "setup": setup,
    "demo": demo,
    "test": test,
    "check": check,
    "compiled": compiled,
    "bench": bench,
    "torture": torture,
    "fuzz": fuzz,
    "instructions": instructions,
    "format": format_,
    "lock": lock,
    "compatibility": compatibility,
    "clean": clean,
}


def main(words: list[str]) -> int:
    """Run one command."""
    command = COMMANDS.get(words[0] if words else "")
    if command is None:
        for name, function in COMMANDS.items():
            print(f"  make {name:<15}{function.__doc__}")
        return 0 if not words or words[0] == "help" else 2
    try:
        return command(words[1:])
    except SetupError as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
