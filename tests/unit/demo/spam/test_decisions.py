from dataclasses import replace
from pathlib import Path

from millstream.demo.spam.decisions import Decisions
from millstream.demo.spam.rules import Decision

DECISION = Decision(click_id="e1", decision_id="e1.spam", spam=True, login="me", blocklist="pharmacy", time_s=5)


async def test_the_first_decision_counts_also_after_a_restart(tmp_path: Path) -> None:
    decisions = await Decisions.open(tmp_path / "spam.db")
    first = await decisions.record(DECISION)
    await decisions.close()

    decisions = await Decisions.open(tmp_path / "spam.db")
    again = await decisions.record(replace(DECISION, spam=False, blocklist=""))
    await decisions.close()

    assert first == again == DECISION
