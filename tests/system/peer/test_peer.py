"""The original and ours are given the same bytes and requests, and must say the same, or better where that is stated.

The scenarios are data in `scenarios_*.py`. Needs Go and the pinned module once, to build the originals; skips where
they cannot be had.
"""

import asyncio
import importlib
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest
from peer_daemons import BuildFailed, build
from peer_fleet import outcomes
from peer_mask import difference
from peer_run import IN_VAIN, Transcript
from peer_script import Scenario
from peer_shows import rows_shown

SCENARIOS_MIN: Final = 2_500
THEMES: Final[dict[str, list[Scenario]]] = {
    path.stem.removeprefix("scenarios_"): importlib.import_module(path.stem).SCENARIOS
    for path in sorted(Path(__file__).parent.glob("scenarios_*.py"))
}
# The key is the topic of the scenario as well.
ALL: Final[dict[str, tuple[str, Scenario]]] = {
    f"{theme}_{number}": (theme, scenario)
    for theme, scenarios in THEMES.items()
    for number, scenario in enumerate(scenarios, 1)
}
PARAMETERS: Final = [
    pytest.param(key, id=f"{theme}: {scenario.name}", marks=rows_shown(theme, scenario))
    for key, (theme, scenario) in ALL.items()
]
Said = Mapping[str, Mapping[str, Transcript]]

# The first test builds the originals and carries out every scenario.
pytestmark = pytest.mark.timeout(600)
count: Final[Counter[tuple[str, str]]] = Counter()


@pytest.fixture(scope="module")
def original() -> Path:
    """The folder of the original programs."""
    try:
        return build()
    except BuildFailed as reason:
        pytest.skip(f"the original NSQ cannot be built here: {reason}")


@pytest.fixture(scope="module")
def said(original: Path, request: pytest.FixtureRequest) -> Said:
    """What all sides said in every scenario that is asked for, each by its key."""
    wanted = [
        item.callspec.params["key"]
        for item in request.session.items
        if hasattr(item, "callspec") and "key" in item.callspec.params and item.path == request.path
    ]
    return asyncio.run(outcomes({key: ALL[key][1] for key in wanted}, original))


@pytest.mark.parametrize("key", PARAMETERS)
def test_ours_says_what_the_original_says(key: str, said: Said) -> None:
    theme, scenario = ALL[key]
    count[theme, "failed"] += 1
    (_, theirs), *others = said[key].items()
    assert not [line for line in theirs if line.startswith(IN_VAIN)], "what the scenario waits for is never said"
    for side, ours in others:
        assert difference(theirs, ours) == list(scenario.differs), f"{side}\n" + "\n".join(theirs)
    count[theme, "failed"] -= 1
    count[theme, "better" if scenario.reason else "equal"] += 1


def test_there_are_enough_scenarios_and_each_is_named_once() -> None:
    names = [f"{theme}: {scenario.name}" for theme, scenario in ALL.values()]

    assert len(names) >= SCENARIOS_MIN
    assert sorted(set(names)) == sorted(names)
    assert all(bool(scenario.reason) == bool(scenario.differs) for _, scenario in ALL.values())


def test_the_counts_are_printed(said: Said, capsys: pytest.CaptureFixture[str]) -> None:
    assert said
    columns = ("equal", "better", "failed")
    rows = [(theme, *(count[theme, column] for column in columns)) for theme in THEMES]
    rows.append(("all", *(sum(row[number] for row in rows) for number in (1, 2, 3))))
    lines = [f"{'compared with NSQ':<20}" + "".join(f"{column:>8}" for column in columns)]
    lines += [f"{theme:<20}" + "".join(f"{number:>8}" for number in numbers) for theme, *numbers in rows]
    with capsys.disabled():  # stderr: with xdist, the workers' stdout is not for people
        sys.stderr.write("\n" + "\n".join(lines) + "\n")
