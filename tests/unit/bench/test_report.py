"""The table, the verdict and the JSON document of a small result."""

import json
from pathlib import Path

from millstream.bench.contenders import OURS, PEER
from millstream.bench.goals import Goal, Verdict
from millstream.bench.outcome import CPU, HEAP, LOAD, RATE, Outcome
from millstream.bench.report import all_medians, table, verdict_lines, write_json

RESULTS = {
    "mpub": {
        OURS: [Outcome({RATE: 3_000.0, CPU: 0.25, LOAD: 0.95})],
        PEER: [Outcome({RATE: 1_000.0, CPU: 1.0, LOAD: 0.1})],
    },
    "queued": {OURS: [Outcome({HEAP: 5.0})], PEER: [Outcome({HEAP: 50.0})]},
}
MET = Verdict(goal=Goal(workload="mpub", figure=RATE, at_least=2.0, against=PEER), found=3.0)
MISSED = Verdict(goal=Goal(workload="mpub", figure=CPU, at_most=0.1, against=PEER), found=0.25)


def test_a_row_has_its_ratios_to_the_original() -> None:
    lines = table(all_medians(RESULTS)).splitlines()

    assert lines[2].split()[:6] == ["mpub", "millstream", "3,000", "3.00x", "0.250", "0.25x"]
    assert "the load sets the pace" in lines[2]
    assert "x" not in lines[3].removeprefix("      ").replace("nsqd", "")
    assert "heap MiB 5.0 0.10x" in lines[4]


def test_the_last_line_is_the_verdict() -> None:
    assert verdict_lines([MET])[-1] == "1 of 1 goals met"
    assert verdict_lines([MET, MISSED])[-1] == ("1 of 2 goals met; missed: mpub: CPU s/M 0.25x of nsqd, at most 0.10x")
    assert verdict_lines([])[-1] == "no goal could be judged"


def test_the_document_has_every_round(tmp_path: Path) -> None:
    path = tmp_path / "new" / "bench.json"

    write_json(path, RESULTS, {"machine": "m"}, [MISSED])
    document = json.loads(path.read_text(encoding="utf-8"))

    assert document["machine"] == "m"
    assert document["rounds"]["queued"][PEER] == [{HEAP: 50.0}]
    assert document["goals"][0]["met"] is False
