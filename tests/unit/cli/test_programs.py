"""The programs of NSQ that are not built yet are no console commands: when one is, its rows of the page are due."""

from typing import Final

import pytest

from compatibility.exists import programs
from compatibility.table import read_sections

NOT_BUILT: Final = ("nsqadmin", "nsq_stat", "nsq_tail", "nsq_to_http", "nsq_to_nsq", "to_nsq")


def rows_of(program: str) -> list[str]:
    """The program itself, and everything that is listed of it."""
    sections = [section for section in read_sections() if section.program == program]
    listed = [section.row(text, is_nsqs=True).name for section in sections for text in section.rows]
    return [f"program {program}", *listed]


@pytest.mark.parametrize(
    "program",
    [pytest.param(name, marks=pytest.mark.shows(*rows_of(name), absent="not built yet")) for name in NOT_BUILT],
)
def test_a_program_that_is_not_built_yet_is_no_console_command(program: str) -> None:
    assert program not in programs()
