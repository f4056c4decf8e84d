from millstream.engine.log import ForgetfulProgress
from millstream.protocol.straggler_table import Columns, Row


def test_the_journal_of_memory_knows_the_floor_alone() -> None:
    progress = ForgetfulProgress()

    progress.begin_snapshot()
    progress.finished(1, 2)
    progress.attempts(1, 2)
    progress.update(1, 0, 2)
    progress.stragglers(Columns())
    progress.position(7, 9, 9)
    progress.flush()
    progress.settle()
    progress.close()
    progress.delete()

    assert progress.saved_floor == 7
    assert not progress.wants_snapshot


def test_the_journal_of_memory_has_the_frames_of_stragglers_until_they_are_done() -> None:
    progress = ForgetfulProgress()
    rows = [Row(at, 0, 1, progress.straggler(at, 0, 1, b"frame %d" % at), 7) for at in range(3)]

    assert [progress.frame(row) for row in rows] == [b"frame 0", b"frame 1", b"frame 2"]
    assert progress.thin is None
    progress.done(rows[1])
    assert [progress.frame(row) for row in rows] == [b"frame 0", None, b"frame 2"]
    progress.clear()
    assert [progress.frame(row) for row in rows] == [None] * 3
