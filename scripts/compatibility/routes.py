"""Asks the daemons themselves which routes they have.

Every text in the source of a daemon that looks like a path is a candidate, and OPTIONS tells the methods of those that
are one. The daemons run for a moment, on ports of this machine that the system chooses.
"""

import ast
import http.client
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Final

PACKAGE: Final = Path(__file__).resolve().parents[2] / "src" / "millstream"
DEADLINE_S: Final = 60

# What each needs to start, beside an address for HTTP.
FLAGS: Final[Mapping[str, tuple[str, ...]]] = {
    "nsqd": ("--tcp-address=127.0.0.1:0", "--data-path={folder}"),
    "nsqlookupd": ("--tcp-address=127.0.0.1:0",),
    "nsqauthd": ("--rules={folder}/rules.toml",),
}
RULES: Final = '[[rule]]\nsecret = "s"\ntopics = [".*"]\npermissions = ["publish"]\n'

_PATH: Final = re.compile(r"/[\w./:-]*")
_LISTENING: Final = re.compile(r"http\.listening address=127\.0\.0\.1:(\d+)$")


class NotStarted(Exception):
    """A daemon ended, or said nothing in time, before it listened."""


@cache
def routes_of_all() -> Mapping[str, Iterable[str]]:
    """`GET /ping` and so on, by daemon. Raises NotStarted."""
    with ExitStack() as stack:
        ports = {daemon: stack.enter_context(running(daemon, *flags)) for daemon, flags in FLAGS.items()}
        return {daemon: sorted(_routes(port, candidates(daemon))) for daemon, port in ports.items()}


def candidates(daemon: str) -> set[str]:
    """Every text that looks like a path, in the modules of a daemon and in those of `net`, which all share."""
    return {text for folder in (daemon, "net") for file in (PACKAGE / folder).glob("*.py") for text in paths_in(file)}


def paths_in(file: Path) -> Iterator[str]:
    """Every text of a module that looks like a path."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and _PATH.fullmatch(node.value):
            yield node.value


def _routes(port: int, paths: Iterable[str]) -> Iterator[str]:
    for path in paths:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE_S)
        try:
            connection.request("OPTIONS", path)
            answer = connection.getresponse()
            if answer.status == http.client.OK:
                methods = (answer.getheader("Allow") or "").split(", ")
                yield from (f"{method} {path}" for method in methods if method != "OPTIONS")
        finally:
            connection.close()


@contextmanager
def running(daemon: str, *flags: str) -> Iterator[int]:
    """The port for HTTP of a daemon that runs meanwhile. Raises NotStarted."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "rules.toml").write_text(RULES, encoding="utf-8")
        words = [flag.format(folder=folder) for flag in ("--http-address=127.0.0.1:0", *flags)]
        command = [sys.executable, "-m", f"millstream.cli.{daemon}", *words]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            late = threading.Timer(DEADLINE_S, process.kill)
            late.start()
            try:
                yield _listening_port(process, daemon)
            finally:
                late.cancel()
                process.kill()


def _listening_port(process: "subprocess.Popen[str]", daemon: str) -> int:
    log = []
    for line in process.stderr or ():
        if found := _LISTENING.search(line):
            return int(found[1])
        log.append(line)
    raise NotStarted(f"{daemon} did not start:\n{''.join(log)}")
