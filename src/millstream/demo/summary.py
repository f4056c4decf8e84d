"""Says in words, and in JSON, whether everything published arrived: the books of `demo.books` for people and tools."""

import json
from typing import Any

from millstream.demo.books import MISSING_SHOWN_MAX, Books, End, TopicBook


def summary_lines(books: Books) -> list[str]:
    """The table of counts, what stands out, and the verdict."""
    names = [end.name for end in books.topics[0].ends] if books.topics else []
    lines = ["", f"{'':<12}" + "".join(f"{name:>12}" for name in ("published", *names))]
    for topic in books.topics:
        counts = (topic.published, *(end.found for end in topic.ends))
        lines.append(f"{topic.topic:<12}" + "".join(f"{count:>12}" for count in counts))
    lines.append("")
    for topic in books.topics:
        for end in topic.ends:
            lines += _end_lines(topic, end)
    lines += [f"restarted: {name}, {times} times" for name, times in books.restarts.items()]
    lines.append(f"left under way (depth, deferred, in flight): {books.unfinished}")
    lines += [f"nsqd {name} does not answer" for name in books.silent]
    lines += books.remarks
    lines.append(
        "OK: every event published was counted and archived, and nothing is left in flight"
        if books.balanced
        else "NOT OK: the books do not balance"
    )
    return lines


def summary_values(books: Books) -> dict[str, Any]:
    """The same for `--summary-json`."""
    return {
        "ok": books.balanced,
        "topics": {
            topic.topic: {
                "published": topic.published,
                **{
                    end.name: {
                        "found": end.found,
                        "duplicates": end.duplicates,
                        "missing": len(end.missing),
                        "unacknowledged": end.unacknowledged,
                    }
                    for end in topic.ends
                },
            }
            for topic in books.topics
        },
        "unfinished": books.unfinished,
        "silent": list(books.silent),
        "restarts": books.restarts,
        "remarks": list(books.remarks),
    }


def summary_json(books: Books) -> str:
    """The values as text."""
    return json.dumps(summary_values(books), indent=1)


def _end_lines(topic: TopicBook, end: End) -> list[str]:
    lines = []
    if end.duplicates:
        lines.append(f"{topic.topic}: {end.name} {end.duplicates} more, delivered again (recognised by event id)")
    if end.unacknowledged:
        lines.append(f"{topic.topic}: {end.name} {end.unacknowledged} more, whose publisher got no answer")
    if end.missing:
        some = ", ".join(end.missing[:MISSING_SHOWN_MAX])
        lines.append(f"{topic.topic}: {len(end.missing)} NOT {end.name}: {some}")
    return lines
