import sys

import pytest

from millstream.base.errors import OptionError
from millstream.torture.options import TortureOptions


@pytest.mark.parametrize(
    ("durability", "levels"),
    [
        ("log", ["log", "log", "log"]),
        ("fsync", ["fsync", "fsync", "fsync"]),
        ("both", ["log", "fsync", "log"]),
    ],
)
def test_pieces_have_the_level_that_was_asked_for(durability: str, levels: list[str]) -> None:
    options = TortureOptions(durability=durability)

    assert [options.durability_of(number) for number in range(3)] == levels
    assert options.command(1)[:3] == [sys.executable, "-m", "millstream.cli.nsqd"]
    assert f"--durability={levels[1]}" in options.command(1)


def test_a_command_of_the_users_is_taken_as_it_is() -> None:
    options = TortureOptions(nsqd_command="/opt/nsqd --mem-queue-size=0 '--broadcast-address=a b'")

    assert options.command(3) == ["/opt/nsqd", "--mem-queue-size=0", "--broadcast-address=a b"]
    assert options.durability_of(3) == ""


@pytest.mark.parametrize(
    ("values", "fix"),
    [
        ({"nsqd_command": "nsqd", "durability": "fsync"}, "write the level into the command"),
        ({"nsqd_command": "nsqd 'x"}, "No closing quotation"),
        ({"nsqd_command": "  "}, "write a program"),
        ({"kills": 0}, "at least 1|1 to"),
        ({"seconds_per_round": 0.0}, "0.05 to"),
        ({"durability": "maybe"}, "use one of"),
    ],
)
def test_what_cannot_work_is_refused_with_its_fix(values: dict[str, object], fix: str) -> None:
    with pytest.raises(OptionError, match=fix):
        TortureOptions(**values)  # type: ignore[arg-type]


def test_the_command_that_repeats_a_piece_repeats_its_choices() -> None:
    assert TortureOptions(kills=500, durability="both", work_dir="/data").again(1, 42, 50) == (
        "millstream torture --kills=50 --kills-per-piece=50 --seed=42 --durability=fsync --work-dir=/data"
    )
    assert TortureOptions(nsqd_command="nsqd -x", seconds_per_round=2.0).again(0, 1, 3) == (
        "millstream torture --kills=3 --kills-per-piece=3 --seed=1 '--nsqd-command=nsqd -x' --seconds-per-round=2"
    )
