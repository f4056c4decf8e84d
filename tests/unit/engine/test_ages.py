"""How far a log is older than an age: never back, and without a search while the last answer holds."""

from millstream.engine.ages import Expiry
from millstream.protocol.chunks import BufferPool
from millstream.storage.log import Log
from millstream.storage.settings import LogSettings
from millstream.testing.files import FaultyFiles

SECOND_NS = 10**9
ORIGIN = 1000


class Counted(Log):
    """A log that counts how often it is searched."""

    searches = 0

    def first_since(self, timestamp_ns: int) -> int:
        self.searches += 1
        return super().first_since(timestamp_ns)


def log_of(files: FaultyFiles, count: int, kind: type[Log] = Log) -> Log:
    files.make_directory("data")
    log = kind(files, "data/t.topic", LogSettings(hot_messages_max=1, hot_bytes_max=1), BufferPool(), ORIGIN)
    append(log, 1, count)
    return log


def append(log: Log, first: int, count: int) -> None:
    for number in range(first, first + count):
        log.append(bytearray(9_000), 0, 9_000, number * SECOND_NS)
        log.commit()


def test_the_first_message_that_is_not_too_old() -> None:
    log = log_of(FaultyFiles(), 20)
    expiry = Expiry(log)

    answers = [expiry.until(seconds * SECOND_NS) for seconds in (0, 1, 5, 5, 20, 21)]

    assert answers == [ORIGIN, ORIGIN, ORIGIN + 4, ORIGIN + 4, ORIGIN + 19, ORIGIN + 20]


def test_nothing_is_searched_while_the_answer_holds() -> None:
    log = log_of(FaultyFiles(), 20, Counted)
    assert isinstance(log, Counted)
    expiry = Expiry(log)

    for _ in range(5):
        expiry.until(5 * SECOND_NS)
    assert log.searches == 1
    for seconds in range(30, 40):
        assert expiry.until(seconds * SECOND_NS) == ORIGIN + 20
    assert log.searches == 2
    append(log, 100, 1)
    assert expiry.until(50 * SECOND_NS) == ORIGIN + 20


def test_an_answer_is_never_taken_back() -> None:
    log = log_of(FaultyFiles(), 20)
    expiry = Expiry(log)

    assert expiry.until(10 * SECOND_NS) == ORIGIN + 9
    assert expiry.until(3 * SECOND_NS) == ORIGIN + 9


def test_a_disk_that_fails_leaves_the_last_answer() -> None:
    files = FaultyFiles()
    log = log_of(files, 20)
    expiry = Expiry(log)
    expiry.until(3 * SECOND_NS)
    log.rest()
    files.fail("read", times=50)

    assert expiry.until(9 * SECOND_NS) == ORIGIN + 2
    files.heal()
    assert expiry.until(9 * SECOND_NS) == ORIGIN + 8
