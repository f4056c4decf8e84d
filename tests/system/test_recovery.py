"""Every kind of damage to a data path, on a real nsqd: what is served, what is set aside, and what is said of it.

nsqd is killed, its files are spoilt, and it is started again. The contract is in docs/durability.md; a disk that is
full during recovery is in test_full_disk.
"""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

Connect = Callable[..., Awaitable[Any]]
Eventually = Callable[[Callable[[], bool]], Awaitable[None]]

COUNT = 900
FINISHED = 40
RECORD_BYTES = 34 + 1000
HEADER_BYTES = 64


def body(number: int) -> bytes:
    return b"%06d " % number + b"z" * 993


class Case:
    """One nsqd with a topic of several segments, whose files can be spoilt while it is down."""

    def __init__(self, nsqd: Any, path: Path, connect: Connect, eventually: Eventually) -> None:
        self.nsqd = nsqd
        self.path = path
        self.topic = path / "t.topic"
        self._connect = connect
        self._eventually = eventually
        self._said_before = 0
        self.first = path

    async def fill(self) -> None:
        """Publish, finish the first few, and kill it when the journal knows."""
        self.nsqd.post("/topic/create?topic=t")
        self.nsqd.post("/channel/create?topic=t&channel=c")
        for first in range(0, COUNT, 10):
            lines = b"\n".join(body(number) for number in range(first, first + 10))
            assert self.nsqd.post("/mpub?topic=t", lines) == b"OK"
        self.first = self.segments[0]
        client = await self._connect(self.nsqd)
        await client.subscribe("t", "c", FINISHED)
        client.finish(*await client.messages(FINISHED))
        client.send(b"RDY 0\n")
        saved = (self.topic / "c.channel").stat().st_size
        await self._eventually(lambda: self.nsqd.channel("t", "c")["in_flight_count"] <= FINISHED)
        await client.close()
        await self._eventually(lambda: self.nsqd.channel("t", "c")["in_flight_count"] == 0)
        await self._eventually(lambda: (self.topic / "c.channel").stat().st_size > saved)
        # What is left has only segments that somebody still waits for.
        await self._eventually(lambda: self.segments[0] != self.first)
        self.kill()

    def kill(self) -> None:
        self.nsqd.kill()
        self.forget_what_was_said()

    def forget_what_was_said(self) -> None:
        self._said_before = len(self.nsqd.log)

    @property
    def segments(self) -> list[Path]:
        return sorted(self.topic.glob("*.seg"))

    def place(self, segment: Path, record: int) -> tuple[int, int]:
        """Where a record of a segment begins, and the number of its message."""
        return HEADER_BYTES + RECORD_BYTES * record, int(segment.stem, 16) - int(self.first.stem, 16) + record

    def spoil(self, path: Path, at: int, change: int = 0xFF) -> None:
        data = bytearray(path.read_bytes())
        data[at] ^= change
        path.write_bytes(bytes(data))

    def said(self) -> list[str]:
        """What the log says of the recovery."""
        lines = self.nsqd.log[self._said_before :]
        return [line for line in lines if "recovery.note" in line or "log.damaged" in line]

    def damage(self) -> list[tuple[str, str | None]]:
        """What `/stats` shows: kind, and the file that was set aside."""
        stats = json.loads(self.nsqd.get("/stats?format=json"))
        found = [*stats["topics"][0].get("damage", []), *stats.get("damage", [])]
        metrics = self.nsqd.get("/metrics").decode()
        counted = sum(int(count) for count in re.findall(r"^nsqd_damage\{.*\} (\d+)$", metrics, re.MULTILINE))
        assert counted == len(found)
        return [(each["kind"], each["set_aside"]) for each in found]

    async def served(self) -> list[int]:
        """Everything that the channel still has, finished: the numbers of the messages, or -1 for one that changed."""
        client = await self._connect(self.nsqd)
        await client.subscribe("t", "c", 500)
        numbers: list[int] = []
        while True:
            channel = self.nsqd.channel("t", "c")
            if channel["depth"] == channel["in_flight_count"] == 0:
                await client.close()
                return numbers
            # Of what is in flight some may be finished, and nsqd not know it yet.
            for _ in range(channel["clients"][0]["message_count"] - len(numbers)):
                message = await client.message()
                client.finish(message)
                number = int(message.body[:6]) if message.body[:6].isdigit() else -1
                numbers.append(number if message.body == body(number) else -1)
            await asyncio.sleep(0)

    async def goes_on(self) -> None:
        """Whatever was, the next message is delivered, and nothing is said of a third start."""
        client = await self._connect(self.nsqd)
        await client.subscribe("t", "c", 1)
        await client.publish("t", b"after all")
        message = await client.message()
        assert message.body == b"after all"
        client.finish(message)
        await client.close()
        assert self.nsqd.post("/damage/acknowledge?topic=t").startswith(b'{"acknowledged":[')
        self.nsqd.post("/damage/acknowledge")
        assert self.damage() == []
        await self._eventually(lambda: self.nsqd.channel("t", "c")["in_flight_count"] == 0)
        await asyncio.to_thread(self.nsqd.signal)
        self._said_before = len(self.nsqd.log)
        self.nsqd.start()
        assert (self.said(), self.damage()) == ([], [])

    def aside(self) -> list[str]:
        """The names of all that was set aside."""
        return sorted(
            path.name for path in self.path.rglob("*") if re.search(r"\.(bad|cut)(-\d+)?(\.\d+)?$", path.name)
        )


@pytest.fixture
async def make(daemons: Any, connect: Connect, eventually: Eventually, tmp_path: Path) -> Any:
    async def make_case(durability: str = "log") -> Case:
        path = tmp_path / "data"
        path.mkdir()
        flags = (f"--durability={durability}", "--max-bytes-per-file=16384", "--mem-queue-size=10")
        case = Case(daemons.nsqd(f"--data-path={path}", *flags), path, connect, eventually)
        await case.fill()
        assert len(case.segments) >= 4
        return case

    return make_case


def all_but(*lost: int) -> set[int]:
    return set(range(FINISHED, COUNT)) - set(lost)


def content_of(path: Path) -> dict[Path, bytes]:
    return {found: found.read_bytes() for found in sorted(path.rglob("*")) if found.is_file()}


# ------------------------------------------------------------------------------------------------------- the segments


@pytest.mark.parametrize("durability", ["log", "fsync"])
async def test_without_damage_nothing_is_said(make: Any, durability: str) -> None:
    case = await make(durability)

    case.nsqd.start()

    assert (case.said(), case.damage(), case.aside()) == ([], [], [])
    assert sorted(await case.served()) == sorted(all_but())


@pytest.mark.parametrize("durability", ["log", "fsync"])
async def test_a_torn_tail_is_cut_off_and_kept(make: Any, durability: str) -> None:
    case = await make(durability)
    last = case.segments[-1]
    size = last.stat().st_size
    torn = last.read_bytes()[HEADER_BYTES : HEADER_BYTES + 500]
    with last.open("ab") as file:
        file.write(torn)

    case.nsqd.start()

    aside = f"{last.name}.cut-{size}"
    assert "ended in 500 bytes that are no sound record: cut, and kept as " + aside in case.said()[0]
    assert case.damage() == [("torn_tail", aside)]
    assert (case.topic / aside).read_bytes() == torn
    assert sorted(await case.served()) == sorted(all_but())
    await case.goes_on()


@pytest.mark.parametrize(("durability", "which"), [("log", 0), ("log", -1), ("fsync", 1), ("fsync", -1)])
async def test_a_damaged_header_of_a_segment_is_written_anew(make: Any, durability: str, which: int) -> None:
    case = await make(durability)
    segment = case.segments[which]
    case.spoil(segment, 10)
    damaged = segment.read_bytes()[:HEADER_BYTES]

    case.nsqd.start()

    assert "no sound header: written anew, and what was there is kept as" in case.said()[0]
    assert case.damage() == [("records", f"{segment.name}.bad-0")]
    assert (case.topic / f"{segment.name}.bad-0").read_bytes() == damaged
    assert sorted(await case.served()) == sorted(all_but())
    await case.goes_on()


async def test_a_segment_that_is_all_garbage_is_set_aside(make: Any) -> None:
    case = await make()
    segment, following = case.segments[1:3]
    lost = range(case.place(segment, 0)[1], case.place(following, 0)[1])
    segment.write_bytes(b"\xee" * segment.stat().st_size)

    case.nsqd.start()

    assert f"no sound header; it was set aside as {segment.name}.bad" in case.said()[0]
    assert f"{len(lost)} records are missing before" in case.said()[1]
    assert case.damage() == [("segment", f"{segment.name}.bad"), ("missing", None)]
    assert sorted(await case.served()) == sorted(all_but(*lost))
    await case.goes_on()


@pytest.mark.parametrize(
    ("which", "byte"),
    [(2, 0), (2, 3), (2, 20), (-1, 1), (-1, 2), (-1, 17)],
    ids=[f"{segment} {what}" for segment in ("finished", "last") for what in ("size", "small size", "header")],
)
async def test_without_checksums_a_damaged_size_or_header_costs_its_record(make: Any, which: int, byte: int) -> None:
    case = await make("log")
    segment = case.segments[which]
    at, number = case.place(segment, 6)
    case.spoil(segment, at + byte, 0x55)

    case.nsqd.start()

    # The last segment is walked at the start, a finished one is looked at when it is read.
    assert bool(case.said()) == (which == -1)
    assert sorted(await case.served()) == sorted(all_but(number))
    case.nsqd.wait_for_log(f"{RECORD_BYTES} damaged bytes at {at}: 1 record is left out, and kept as")
    assert case.damage() == [("records", f"{segment.name}.bad-{at}")]
    assert (case.topic / f"{segment.name}.bad-{at}").stat().st_size == RECORD_BYTES
    await case.goes_on()


async def test_without_checksums_a_damaged_body_is_served_as_it_is(make: Any) -> None:
    case = await make("log")
    at, number = case.place(case.segments[2], 6)
    case.spoil(case.segments[2], at + 100)

    case.nsqd.start()

    served = await case.served()
    assert (case.said(), case.damage(), served.count(-1)) == ([], [], 1)
    assert set(served) - {-1} == all_but(number)


@pytest.mark.parametrize(
    ("which", "byte"),
    [(2, 0), (2, 9), (2, 700), (-1, 2), (-1, 20), (-1, 34)],
    ids=["finished size", "finished time", "finished body", "last size", "last id", "last body"],
)
async def test_with_checksums_any_damage_is_found_and_costs_its_commit(make: Any, which: int, byte: int) -> None:
    case = await make("fsync")
    segment = case.segments[which]
    at, number = case.place(segment, 2)
    case.spoil(segment, at + byte)

    case.nsqd.start()

    said = re.search(r"has (\d+) damaged bytes at (\d+): (\d+) records are left out, and kept as", case.said()[0])
    assert said
    # One MPUB of ten was one commit, or what of it lay in this segment.
    size, place, lost = map(int, said.groups())
    assert 0 < lost <= 10
    assert place <= at < place + size
    assert case.damage() == [("records", f"{segment.name}.bad-{place}")]
    assert (case.topic / f"{segment.name}.bad-{place}").stat().st_size == size
    served = await case.served()
    assert set(served) <= all_but(number)
    assert len(served) == len(all_but()) - lost
    await case.goes_on()


async def test_a_missing_segment_in_the_middle_is_stepped_over(make: Any) -> None:
    case = await make()
    segment, following = case.segments[2:4]
    lost = range(case.place(segment, 0)[1], case.place(following, 0)[1])
    segment.unlink()

    case.nsqd.start()

    assert f"{len(lost)} records are missing before" in case.said()[0]
    assert (case.damage(), case.aside()) == ([("missing", None)], [])
    assert sorted(await case.served()) == sorted(all_but(*lost))
    await case.goes_on()


async def test_missing_segments_at_the_front_are_told_by_the_journal(make: Any) -> None:
    case = await make()
    following = case.segments[2]
    lost = range(FINISHED, case.place(following, 0)[1])
    for segment in case.segments[:2]:
        segment.unlink()

    case.nsqd.start()

    assert f"{len(lost)} records are missing before {following}, by what c.channel says" in case.said()[0]
    assert case.damage() == [("missing", None)]
    assert sorted(await case.served()) == sorted(all_but(*lost))
    await case.goes_on()


# -------------------------------------------------------------------------------------------------------- the indexes


async def test_without_checksums_a_missing_index_costs_a_walk_and_nothing_else(make: Any) -> None:
    case = await make("log")
    for index in case.topic.glob("*.idx"):
        index.unlink()

    case.nsqd.start()

    assert (case.said(), case.damage(), case.aside()) == ([], [], [])
    assert len(list(case.topic.glob("*.idx"))) == len(case.segments)
    assert sorted(await case.served()) == sorted(all_but())


async def test_with_checksums_a_missing_index_is_told_and_written_anew(make: Any) -> None:
    case = await make("fsync")
    for segment in case.segments[1:3]:
        segment.with_suffix(".idx").unlink()

    case.nsqd.start()

    assert len(case.said()) == 2
    assert "idx is missing: what has no checksum is believed, and it is written anew" in case.said()[0]
    assert case.damage() == [("index", None)] * 2
    assert sorted(await case.served()) == sorted(all_but())
    await case.goes_on()


@pytest.mark.parametrize("durability", ["log", "fsync"])
async def test_the_index_of_another_segment_is_not_believed(make: Any, durability: str) -> None:
    case = await make(durability)
    first, second = (segment.with_suffix(".idx") for segment in case.segments[1:3])
    second.write_bytes(first.read_bytes())

    case.nsqd.start()

    assert "idx belongs to another segment: " in case.said()[0]
    assert case.damage() == [("index", None)]
    assert sorted(await case.served()) == sorted(all_but())
    await case.goes_on()


async def test_an_index_from_earlier_is_mended_between_segments(make: Any) -> None:
    case = await make("log")
    segment = case.segments[1]
    index = segment.with_suffix(".idx")
    files = content_of(case.topic)
    # A stop in good order finishes a segment and its index as they are then.
    segment.write_bytes(segment.read_bytes()[: HEADER_BYTES + 5 * RECORD_BYTES])
    for later in [index, *case.segments[2:]]:
        later.unlink()
    case.nsqd.start()
    await asyncio.to_thread(case.nsqd.signal)
    older = index.read_bytes()
    for path in case.topic.iterdir():
        path.unlink()
    for path, data in files.items():
        path.write_bytes(older if path == index else data)
    case.forget_what_was_said()

    case.nsqd.start()

    assert "idx is older than its segment: the segment was walked, and it is written anew" in case.said()[0]
    assert case.damage() == [("index", None)]
    assert sorted(await case.served()) == sorted(all_but())
    await case.goes_on()


@pytest.mark.parametrize(("durability", "entry"), [("log", 0), ("log", -1), ("fsync", 0), ("fsync", -1)])
async def test_a_damaged_index_loses_no_record(make: Any, durability: str, entry: int) -> None:
    case = await make(durability)
    # In fsync an entry is a commit: where there are many, none is the only one that vouches for its segment.
    index = max((path.with_suffix(".idx") for path in case.segments[:-1]), key=lambda path: path.stat().st_size)
    case.spoil(index, 8 + 24 * entry if entry >= 0 else index.stat().st_size - 5)

    case.nsqd.start()

    assert case.aside() == []
    assert sorted(await case.served()) == sorted(all_but())
    await case.goes_on()


# ------------------------------------------------------------------------------------------------------- the journals


@pytest.mark.parametrize("durability", ["log", "fsync"])
async def test_a_channel_without_its_journal_begins_at_the_oldest_record(make: Any, durability: str) -> None:
    case = await make(durability)
    oldest = case.place(case.segments[0], 0)[1]
    (case.topic / "c.channel").unlink()

    case.nsqd.start()

    assert "c.channel is missing: it starts at the oldest record" in case.said()[0]
    assert (case.damage(), case.aside()) == ([("journal", None)], [])
    assert sorted(await case.served()) == list(range(oldest, COUNT))
    await case.goes_on()


@pytest.mark.parametrize("durability", ["log", "fsync"])
async def test_a_journal_damaged_in_the_middle_goes_back_and_delivers_again(make: Any, durability: str) -> None:
    case = await make(durability)
    journal = case.topic / "c.channel"
    case.spoil(journal, 8 + 9)
    damaged = journal.read_bytes()

    case.nsqd.start()

    assert "c.channel is damaged at 8: what was done since then may be done again, and kept as" in case.said()[0]
    assert case.damage() == [("journal", "c.channel.bad")]
    assert (case.topic / "c.channel.bad").read_bytes() == damaged
    served = await case.served()
    assert all_but() <= set(served) <= set(range(COUNT))
    assert len(served) == len(set(served))
    await case.goes_on()


@pytest.mark.parametrize("durability", ["log", "fsync"])
async def test_a_journal_damaged_at_its_end_forgets_the_last_moment(make: Any, durability: str) -> None:
    case = await make(durability)
    journal = case.topic / "c.channel"
    case.spoil(journal, journal.stat().st_size - 1)

    case.nsqd.start()

    assert "bytes that are no sound batch: left out, and kept as c.channel.cut-" in case.said()[0]
    assert [kind for kind, _ in case.damage()] == ["journal"]
    served = await case.served()
    assert all_but() <= set(served) <= set(range(COUNT))
    await case.goes_on()


async def test_a_journal_that_is_all_garbage_is_set_aside(make: Any) -> None:
    case = await make()
    (case.topic / "c.channel").write_bytes(b"\xee" * 300)

    case.nsqd.start()

    assert "c.channel has no sound header: it starts at the oldest record, and kept as c.channel.bad" in case.said()[0]
    assert case.damage() == [("journal", "c.channel.bad")]
    oldest = case.place(case.segments[0], 0)[1]
    assert sorted(await case.served()) == list(range(oldest, COUNT))
    await case.goes_on()


# ------------------------------------------------------------------------------------------------- the data path itself


@pytest.mark.parametrize("name", ["last segment", "journal"])
async def test_a_newer_version_is_refused_and_nothing_is_touched(make: Any, name: str) -> None:
    case = await make()
    case.nsqd.start()
    case.nsqd.post("/pub?topic=a-topic-before-it", b"x")
    case.kill()
    case.spoil(case.segments[-1] if name == "last segment" else case.topic / "c.channel", 7, 0x40)
    # Without it, this would be cut off.
    with next((case.path / "a-topic-before-it.topic").glob("*.seg")).open("ab") as file:
        file.write(b"torn")
    before = content_of(case.path)

    case.nsqd.spawn()

    assert case.nsqd.wait() == 1
    fatal = case.nsqd.wait_for_log("FATAL")
    formats = "format 65, this one reads up to 1" if name == "last segment" else "format 66, this one reads 2"
    assert f"was written by a newer version ({formats}); start that version" in fatal
    assert content_of(case.path) == before


async def test_a_damaged_metadata_file_is_set_aside(make: Any) -> None:
    case = await make()
    (case.path / "nsqd.dat").write_bytes(b'{"topics":[{"na\0\0\0\0\0')

    case.nsqd.start()

    assert "nsqd.dat is no JSON" in case.said()[0]
    assert "without messages, are forgotten; it was set aside as nsqd.dat.bad" in case.said()[0]
    assert case.damage() == [("metadata", "nsqd.dat.bad")]
    assert sorted(await case.served()) == sorted(all_but())
    await case.goes_on()
