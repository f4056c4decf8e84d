"""Fuzzes the targets one after the other for a bounded time; the first input that fails ends it with status 1.

atheris measures which lines of the uncompiled package an input reaches, keeps those that reach new ones, and changes
them further. The input that fails is saved under build/fuzz/found, and a command that repeats it is printed; what
reached something new is kept in build/fuzz/corpus, so that the next run goes on where this one ended. `--input=FILE`
runs one target on one file, without atheris, and with a traceback.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

FOLDER: Final = Path(__file__).resolve().parent
ROOT: Final = FOLDER.parents[1]
BUILD: Final = ROOT / "build" / "fuzz"
SECONDS_DEFAULT: Final = 60
# One input may take so long on a busy machine; what takes longer hangs.
INPUT_SECONDS_MAX: Final = 30
INPUT_BYTES_MAX: Final = 6_000
MEMORY_MIB_MAX: Final = 1_500
# Running the corpus, and ending an input that hangs.
GRACE_S: Final = 120

sys.path.append(str(FOLDER))


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="make fuzz ARGS=", description="Throw input at what reads it.")
    parser.add_argument("--seconds", type=int, default=SECONDS_DEFAULT, help="for all targets together")
    parser.add_argument("--target", action="append", help="only this one; may be repeated")
    parser.add_argument("--input", type=Path, help="run the one target on this file, once")
    arguments = parser.parse_args(argv)
    targets = plain_targets() if arguments.input else instrumented_targets()
    names = arguments.target or list(targets)
    if unknown := sorted(set(names) - targets.keys()):
        parser.error(f"no target {unknown[0]!r}: use one of {', '.join(targets)}")
    if arguments.input:
        if len(names) != 1:
            parser.error("--input needs one --target")
        targets[names[0]].run(arguments.input.read_bytes())
        say(f"{names[0]}: nothing is wrong with {arguments.input}")
        return 0
    if arguments.seconds < len(names):
        parser.error(f"--seconds={arguments.seconds} is less than one for each of {len(names)} targets")
    return fuzz_all({name: targets[name] for name in names}, arguments.seconds)


def plain_targets() -> Mapping[str, Any]:
    from fuzz_targets import TARGETS  # noqa: PLC0415 - its folder is on the path only now

    return TARGETS


def instrumented_targets() -> Mapping[str, Any]:
    import atheris  # noqa: PLC0415 - only `make fuzz` installs it

    with Quiet(BUILD / "import.log"), atheris.instrument_imports(include=["millstream"]):
        return plain_targets()


def fuzz_all(targets: Mapping[str, Any], seconds: int) -> int:
    begun = time.monotonic()
    for number, (name, target) in enumerate(targets.items()):
        left_s = seconds - (time.monotonic() - begun)
        if status := fuzz(name, target, max(1, round(left_s / (len(targets) - number)))):
            return status
    say(f"{len(targets)} targets, {time.monotonic() - begun:.0f} s: nothing found")
    return 0


def fuzz(name: str, target: Any, seconds: int) -> int:
    """Fuzz one target in a process of its own; 1 when an input failed."""
    corpus, found, log = BUILD / "corpus" / name, BUILD / "found", BUILD / f"{name}.log"
    for folder in (corpus, found):
        folder.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(target.inputs()):
        (corpus / f"seed-{number}").write_bytes(data)
    words = BUILD / f"{name}.dict"
    words.write_text("".join(f'"{quoted(word)}"\n' for word in target.words), encoding="ascii")
    before = {*found.iterdir()}
    flags = [
        *(f"-max_total_time={seconds}", f"-timeout={INPUT_SECONDS_MAX}", f"-report_slow_units={INPUT_SECONDS_MAX}"),
        *(f"-max_len={INPUT_BYTES_MAX}", f"-rss_limit_mb={MEMORY_MIB_MAX}", "-print_final_stats=1"),
        *(f"-artifact_prefix={found / name}-", f"-dict={words}", str(corpus)),
    ]
    with tempfile.TemporaryDirectory(prefix="millstream-fuzz-") as folder:
        # What the instrumentation takes is paid once.
        if (child := os.fork()) == 0:
            tempfile.tempdir = folder
            run_child(target, flags, log)
        status = wait(child, seconds + GRACE_S)
    output = log.read_text(encoding="utf-8", errors="replace")
    if status == 0:
        say(f"{name}: {statistic(output, 'stat::number_of_executed_units')} inputs in {seconds} s")
        return 0
    told = [line for line in output.splitlines() if not line.startswith(("INFO:", "WARNING:", "#", "stat::", "0x"))]
    print("\n".join(told)[-20_000:], flush=True)  # noqa: T201 - it talks to a terminal
    say(f"{name}: FOUND, status {status}; all that was said is in {log.relative_to(ROOT)}")
    for path in sorted({*found.iterdir()} - before):
        say(f'repeat it: make fuzz ARGS="--target={name} --input={path.relative_to(ROOT)}"')
    return 1


def run_child(target: Any, flags: list[str], log: Path) -> None:
    """Never returns: libFuzzer ends the process, and saves the input that failed on its way out."""
    import atheris  # noqa: PLC0415 - see instrumented_targets

    Quiet(log).__enter__()
    atheris.Setup([sys.argv[0], *flags], target.run)
    atheris.Fuzz()
    sys.exit(1)


def wait(child: int, seconds: int) -> int:
    """The exit status of a process of ours; one that does not end is killed, which is a failure too."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.1)
    os.kill(child, 9)
    os.waitpid(child, 0)
    return -9


class Quiet:
    """Sends what this process and its libraries write to the terminal into a file, until the end of the context."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._saved: tuple[int, int] = (-1, -1)

    def __enter__(self) -> None:
        sys.stdout.flush()
        self._saved = os.dup(1), os.dup(2)
        with self._path.open("wb") as log:
            for descriptor in (1, 2):
                os.dup2(log.fileno(), descriptor)

    def __exit__(self, *_: object) -> None:
        sys.stdout.flush()
        for descriptor, saved in zip((1, 2), self._saved, strict=True):
            os.dup2(saved, descriptor)
            os.close(saved)


def quoted(word: bytes) -> str:
    """A word as libFuzzer's dictionaries have it."""
    return "".join(chr(byte) if byte < 128 and chr(byte).isalnum() else f"\\x{byte:02x}" for byte in word)


def statistic(output: str, name: str) -> str:
    """One of libFuzzer's last lines."""
    return next((line.split()[-1] for line in output.splitlines() if line.startswith(name)), "?")


def say(text: str) -> None:
    print(f"fuzz: {text}", flush=True)  # noqa: T201 - it talks to a terminal


if __name__ == "__main__":
    sys.exit(main())
