"""The scenarios and docs/compatibility.md agree: each pattern means scenarios, and no difference is left out."""

import importlib
from pathlib import Path
from typing import Final

from peer_script import Scenario
from peer_shows import SHOWS, matches, patterns_of

SCENARIOS: Final[list[tuple[str, Scenario]]] = [
    (path.stem.removeprefix("scenarios_"), scenario)
    for path in sorted(Path(__file__).parent.glob("scenarios_*.py"))
    for scenario in importlib.import_module(path.stem).SCENARIOS
]


def test_every_pattern_means_a_scenario() -> None:
    names = [f"{theme}: {scenario.name}" for theme, scenario in SCENARIOS]
    patterns = [pattern for patterns in SHOWS.values() for pattern in patterns]

    assert [pattern for pattern in patterns if not any(matches(pattern, name) for name in names)] == []


def test_every_difference_is_on_the_page() -> None:
    differing = [(theme, scenario.name) for theme, scenario in SCENARIOS if scenario.reason]

    assert [(theme, name) for theme, name in differing if not list(patterns_of(theme, name))] == []
