import dataclasses

import pytest

from millstream.engine.consumer import Consumer
from millstream.engine.effects import ChannelCreated, ChannelDeleted, Disconnect, TopicCreated, TopicDeleted


def test_effects_are_values() -> None:
    consumer = Consumer(1, 60)

    assert Disconnect(consumer) == Disconnect(consumer)
    assert TopicCreated("clicks") != TopicDeleted("clicks")
    assert ChannelCreated("clicks", "archive") != ChannelCreated("clicks", "metrics")


def test_an_announcement_cannot_be_changed() -> None:
    announcement = ChannelDeleted("clicks", "archive")

    with pytest.raises(dataclasses.FrozenInstanceError):
        announcement.topic = "other"  # type: ignore[misc]  # that is the point
