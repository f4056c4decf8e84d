"""Topic and channel where people write them: before the flags, or after."""

from collections.abc import Sequence


def topic_and_channel(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """The words in front of the first flag, two at most, and the rest."""
    names = 0
    while names < min(2, len(arguments)) and not arguments[names].startswith("-"):
        names += 1
    return list(arguments[:names]), list(arguments[names:])
