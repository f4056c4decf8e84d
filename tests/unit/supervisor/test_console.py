import io
from pathlib import Path

from millstream.supervisor.console import Console


def test_every_line_has_its_process_in_front() -> None:
    stream = io.StringIO()
    console = Console(stream)
    console.align(["a", "a.much.longer.name.than.usual"])

    console.line("a", "said")
    console.alarm("a", "went")

    said, went = stream.getvalue().splitlines()
    assert said == f"{'a':<29} | said"
    assert went == f"{'a':<29} ! went"


def test_a_quiet_console_keeps_lines_in_the_file_only(tmp_path: Path) -> None:
    stream = io.StringIO()
    console = Console(stream, quiet=True)
    console.keep_in(tmp_path / "log")

    console.line("a", "said")
    console.notice("a", "started")
    console.close()

    assert "said" not in stream.getvalue()
    assert "started" in stream.getvalue()
    assert "said" in (tmp_path / "log").read_text()


def test_a_process_keeps_its_colour() -> None:
    first, second = io.StringIO(), io.StringIO()
    Console(first, color=True).line("a", "x")
    Console(second, color=True).line("a", "x")

    assert first.getvalue() == second.getvalue()
    assert "\x1b[" in first.getvalue()


def test_a_live_table_takes_the_lines_over_and_gives_them_back() -> None:
    stream, taken = io.StringIO(), list[str]()
    console = Console(stream)

    console.redirect(taken.append)
    console.text("one")
    console.redirect(None)
    console.text("two")

    assert taken == ["one"]
    assert stream.getvalue() == "two\n"
