"""House rules that no linter knows: sizes, words, owners of tasks, and a test beside every module.

Each rule is a function from a parsed file to complaints; a test fails with the list of all of them.
"""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[2]
PACKAGE: Final = ROOT / "src" / "millstream"
UNIT_TESTS: Final = ROOT / "tests" / "unit"

MODULE_LINES_MAX: Final = 500
FUNCTION_LINES_MAX: Final = 60

# Whoever is called so is a task group, or an owner that awaits its tasks before it ends.
TASK_OWNERS: Final = {"tg", "group", "tasks", "self._tasks", "self._group"}

# Modules without a mirrored unit test, each with the reason.
TESTED_ELSEWHERE: Final[dict[str, str]] = {
    "bench/programs/client_": "clients as programs: tests/unit/bench/workloads/test_clients.py runs them",
    "cli/": "argv to options to service, no logic: tests/system starts the real processes",
}

# Services of users read the clock as users do; everything below them is handed one.
READS_THE_CLOCK: Final = PACKAGE / "demo"

# Words are put together here so that this file may speak of them.
UNFINISHED: Final = re.compile(rf"\b({'|'.join(['TO' + 'DO', 'FIX' + 'ME', 'XX' + 'X'])})\b")
REPLACED_PARTS: Final = re.compile(rf"\b{'mo' + 'ck'}", re.IGNORECASE)

Function = ast.FunctionDef | ast.AsyncFunctionDef


def python_files(*folders: str) -> list[Path]:
    """Python files of the repository under these folders, without what was built."""
    found = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    return sorted([*found, ROOT / "setup.py"])


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def at(path: Path, node: ast.stmt | ast.expr | None = None) -> str:
    """Place of a complaint, as an editor understands it."""
    name = str(path.relative_to(ROOT))
    return name if node is None else f"{name}:{node.lineno}"


def report(complaints: list[str]) -> None:
    """Fail with all of them at once, one per line."""
    if complaints:
        pytest.fail("\n" + "\n".join(complaints), pytrace=False)


def calls(path: Path) -> Iterator[ast.Call]:
    return (node for node in ast.walk(tree(path)) if isinstance(node, ast.Call))


def functions(path: Path) -> Iterator[Function]:
    return (node for node in ast.walk(tree(path)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def test_no_module_is_longer_than_a_reader_can_hold() -> None:
    too_long = [
        f"{at(path)}: {count} lines"
        for path in python_files("src", "scripts", "tests")
        if (count := len(path.read_text(encoding="utf-8").splitlines())) > MODULE_LINES_MAX
    ]

    report(too_long)


def test_no_function_is_longer_than_a_screen() -> None:
    too_long = [
        f"{at(path, node)}: {node.name} has {count} lines"
        for path in python_files("src", "scripts")
        for node in functions(path)
        if (count := (node.end_lineno or node.lineno) - node.lineno + 1) > FUNCTION_LINES_MAX
    ]

    report(too_long)


def test_every_module_says_what_it_is_for() -> None:
    silent = [at(path) for path in python_files("src", "scripts") if not ast.get_docstring(tree(path))]

    report(silent)


def test_the_package_never_prints() -> None:
    prints = [
        at(path, call)
        for path in python_files("src")
        for call in calls(path)
        if path.is_relative_to(PACKAGE) and isinstance(call.func, ast.Name) and call.func.id == "print"
    ]

    report(prints)


def test_every_task_has_an_owner() -> None:
    orphans = [
        complaint for path in python_files("src") for node in functions(path) for complaint in orphans_of(path, node)
    ]

    report(orphans)


def orphans_of(path: Path, function: Function) -> Iterator[str]:
    """Tasks made in a function that no group owns, no object keeps, and the function does not await itself."""
    kept = {id(value) for value in kept_or_awaited(function)}
    for call in (node for node in ast.walk(function) if isinstance(node, ast.Call)):
        name = ast.unparse(call.func)
        owner, _, method = name.rpartition(".")
        if method in {"create_task", "ensure_future"} and owner not in TASK_OWNERS and id(call) not in kept:
            yield f"{at(path, call)}: {name}: use a TaskGroup, or keep the task where it is ended and awaited"


def kept_or_awaited(function: Function) -> Iterator[ast.expr]:
    """Values assigned to an attribute, or to a name that the function awaits or hands to an attribute."""
    used: set[str] = set()
    for node in ast.walk(function):
        if isinstance(node, ast.Await):
            used |= names_in(node)
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Attribute):
            used |= names_in(node.value)
        if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("self."):
            used |= {argument.id for argument in node.args if isinstance(argument, ast.Name)}
    for node in ast.walk(function):
        if isinstance(node, ast.Assign):
            target = node.targets[0]
            if isinstance(target, ast.Attribute) or (isinstance(target, ast.Name) and target.id in used):
                yield node.value


def names_in(node: ast.AST) -> set[str]:
    return {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}


def test_nobody_reads_the_wall_clock_behind_the_clock_port() -> None:
    readers = [
        at(path, node)
        for path in python_files("src")
        if not path.is_relative_to(READS_THE_CLOCK)
        for node in ast.walk(tree(path))
        if (isinstance(node, ast.Attribute) and ast.unparse(node) == "time.time")
        or (isinstance(node, ast.ImportFrom) and node.module == "time" and any(n.name == "time" for n in node.names))
    ]

    report(readers)


def test_nothing_is_left_for_later() -> None:
    texts = [*python_files("src", "scripts", "tests"), *PACKAGE.rglob("*.pxd"), *ROOT.glob("*.md")]
    unfinished = [
        f"{at(path)}:{number}: {line.strip()}"
        for path in texts
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if UNFINISHED.search(line)
    ]

    report(unfinished)


def test_no_part_of_ours_is_replaced_in_a_test() -> None:
    replaced = [
        f"{at(path)}:{number}: {line.strip()}"
        for path in python_files("tests")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if REPLACED_PARTS.search(line)
    ]

    report(replaced)


def test_every_module_with_logic_has_its_unit_test() -> None:
    untested = [
        f"{at(path)}: no {at(mirror)}"
        for path in sorted(PACKAGE.rglob("*.py"))
        if not (mirror := mirrored_test(path)).exists() and has_logic(path) and not is_tested_elsewhere(path)
    ]

    report(untested)


def mirrored_test(path: Path) -> Path:
    relative = path.relative_to(PACKAGE)
    return UNIT_TESTS / relative.parent / f"test_{relative.name}"


def has_logic(path: Path) -> bool:
    """Whether any function but a constructor has a statement beside its docstring, `...` and `pass`."""
    return path.name != "__init__.py" and any(
        not isinstance(statement, ast.Pass)
        and not (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant))
        for function in functions(path)
        if function.name != "__init__"
        for statement in function.body
    )


def is_tested_elsewhere(path: Path) -> bool:
    relative = path.relative_to(PACKAGE).as_posix()
    return any(
        relative == entry or (entry.endswith(("/", "_")) and relative.startswith(entry)) for entry in TESTED_ELSEWHERE
    )


def test_the_exceptions_of_this_file_still_exist() -> None:
    gone = [entry for entry in TESTED_ELSEWHERE if not list(PACKAGE.glob(f"{entry}*"))]

    report(gone)
