"""What `millstream log inspect` prints of a topic: its segments, its channels, and what is damaged."""

from collections.abc import Iterator, Sequence

from millstream.base.units import format_size
from millstream.storage.inspection import ChannelReport, SegmentReport, TopicReport

_SEGMENT_HEAD = ("segment", "ends before", "messages", "deferred", "bytes", "")
_CHANNEL_HEAD = (
    "channel",
    "floor",
    "cursor",
    "waiting",
    "unfinished",
    "finished beyond",
    "stragglers",
    "deferred",
)


def topic_lines(report: TopicReport, now_ns: int) -> Iterator[str]:
    """The table of one topic at an instant of the wall clock, which says what is deferred still."""
    yield f"topic {report.name}: {report.count} messages, {format_size(report.size_bytes)}"
    yield from _table(_SEGMENT_HEAD, [_segment_row(segment) for segment in report.segments])
    yield from _table(_CHANNEL_HEAD, [_channel_row(channel, now_ns) for channel in report.channels])
    yield from (f"  damaged: {text}" for text in report.damage)
    yield from (f"  set aside earlier: {name}" for name in report.set_aside)


def _segment_row(segment: SegmentReport) -> Sequence[str]:
    found = segment.contents
    notes = ["sealed" if found.is_sealed else "open", *["checksums"] * found.is_checked]
    return (
        f"{found.base:016x}",
        f"{found.end:016x}",
        str(found.count),
        str(len(found.deferred)),
        str(found.file_size),
        ", ".join(notes),
    )


def _channel_row(channel: ChannelReport, now_ns: int) -> Sequence[str]:
    outside = channel.state.stragglers
    return (
        channel.name,
        f"{channel.floor:016x}" if channel.state.is_known else "-",
        f"{channel.cursor:016x}" if channel.state.is_known else "-",
        str(channel.waiting),
        str(channel.unfinished),
        str(channel.finished_beyond),
        str(len(outside)),
        str(sum(1 for block in outside.blocks for due_ns in block.dues if due_ns > now_ns)),
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Rows under their heads; columns of figures are flush right."""
    if not rows:
        return
    lines = [head, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    is_figure = [all(row[column].isdigit() and len(row[column]) < 16 for row in rows) for column in range(len(head))]
    for line in lines:
        cells = [
            text.rjust(width) if right else text.ljust(width)
            for text, width, right in zip(line, widths, is_figure, strict=True)
        ]
        yield ("  " + "  ".join(cells)).rstrip()
