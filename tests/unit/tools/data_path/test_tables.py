"""The table of a topic."""

from millstream.protocol.straggler_table import Row
from millstream.storage.contents import Contents
from millstream.storage.entries import ProgressState
from millstream.storage.inspection import ChannelReport, SegmentReport, TopicReport
from millstream.tools.data_path.tables import topic_lines


def segment(base: int, end: int, **fields: object) -> SegmentReport:
    contents = Contents(base, end, file_size=1000, **fields)  # type: ignore[arg-type]  # fields by name
    return SegmentReport(f"{base:016x}.seg", contents, ())


def test_segments_channels_and_damage_stand_below_their_topic() -> None:
    state = ProgressState(is_known=True)
    for sequence, due_ns in ((5, 50), (6, 200)):
        state.stragglers.put(Row(sequence, due_ns, 1, 0, 40))
    report = TopicReport(
        name="clicks",
        directory="d",
        segments=(segment(0x10, 0x20, is_sealed=True, deferred=[0x11]), segment(0x20, 0x1020, is_checked=True)),
        channels=(
            ChannelReport(
                name="archive",
                floor=0x12,
                cursor=0x30,
                waiting=12345,
                unfinished=7,
                finished_beyond=3,
                state=state,
                damage="",
            ),
        ),
        damage=("something is wrong",),
        set_aside=("a.bad",),
    )

    assert list(topic_lines(report, now_ns=100)) == [
        "topic clicks: 4112 messages, 2.0 KiB",
        "  segment           ends before       messages  deferred  bytes",
        "  0000000000000010  0000000000000020        16         1   1000  sealed",
        "  0000000000000020  0000000000001020      4096         0   1000  open, checksums",
        "  channel  floor             cursor            waiting  unfinished  finished beyond  stragglers  deferred",
        "  archive  0000000000000012  0000000000000030    12345           7                3           2         1",
        "  damaged: something is wrong",
        "  set aside earlier: a.bad",
    ]


def test_a_journal_that_says_nothing_has_no_place() -> None:
    channel = ChannelReport(
        name="c", floor=0, cursor=0, waiting=0, unfinished=0, finished_beyond=0, state=ProgressState(), damage=""
    )
    report = TopicReport(name="t", directory="d", segments=(), channels=(channel,), damage=(), set_aside=())

    lines = list(topic_lines(report, now_ns=0))

    assert lines[0] == "topic t: 0 messages, 0 bytes"
    assert lines[2].split() == ["c", "-", "-", "0", "0", "0", "0", "0"]
