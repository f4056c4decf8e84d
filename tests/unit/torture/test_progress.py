import io

from millstream.torture.progress import Progress


def test_a_terminal_sees_what_is_true_for_the_moment() -> None:
    stream = io.StringIO()
    progress = Progress(stream, is_terminal=True)

    progress.line("begin")
    progress.now("one")
    progress.now("two")
    progress.line("end")
    progress.line("more")

    assert stream.getvalue() == "begin\n\r\x1b[Kone\r\x1b[Ktwo\r\x1b[Kend\nmore\n"


def test_a_file_gets_lines_only() -> None:
    stream = io.StringIO()
    progress = Progress(stream, is_terminal=False)

    progress.now("one")
    progress.line("end")

    assert stream.getvalue() == "end\n"
