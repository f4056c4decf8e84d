"""Topics that nobody used for longest let their files go."""

import pytest

from millstream.base.system import descriptors_allowed
from millstream.engine.broker import Broker
from millstream.engine.limits import BrokerSettings
from millstream.nsqd.resting import OpenTopics, growth_limit
from millstream.protocol.chunks import BufferPool
from millstream.storage.settings import LogSettings
from millstream.storage.store import DiskStore
from millstream.testing import FakeClock, FaultyFiles


class Place:
    """A broker, and the files that it has open."""

    def __init__(self, *, durability: str = "log") -> None:
        pool = BufferPool()
        self.files = FaultyFiles(seed=1)
        self.files.make_directory("data")
        store = DiskStore(self.files, "data", LogSettings(durability=durability), pool)
        settings = BrokerSettings()
        self.broker = Broker(store, pool, FakeClock(), origin=lambda: 1000, chance=lambda: 0.5, settings=settings)

    def publish(self, name: str) -> None:
        topic = self.broker.topic(name)
        self.broker.channel(topic, "archive")
        topic.publish(bytearray(b"body"), 0, 4, 1)
        topic.commit()

    def save(self, name: str) -> None:
        self.broker.topics[name].save()


@pytest.fixture
def place() -> Place:
    return Place()


def test_thousands_of_topics_keep_no_more_files_open_than_a_few_need(place: Place) -> None:
    opened = OpenTopics(files_max=12)
    for number in range(200):
        place.publish(f"t{number}")
        opened.used(place.broker.topics[f"t{number}"])
        place.save(f"t{number}")
        opened.used(place.broker.topics[f"t{number}"])

    assert place.files.open_count <= opened.files <= 12


def test_files_of_deferred_messages_are_counted_too(place: Place) -> None:
    opened = OpenTopics(files_max=12)
    for number in range(50):
        place.publish(f"t{number}")
        topic = place.broker.topics[f"t{number}"]
        topic.publish_deferred(bytearray(b"body"), 0, 4, 1, FakeClock().wall_ns() + 10**9)
        topic.commit()
        place.save(topic.name)
        opened.used(topic)

    assert place.files.open_count <= opened.files <= 12


def test_a_topic_that_rested_takes_more(place: Place) -> None:
    opened = OpenTopics(files_max=3)
    for name in ("a", "b", "a", "b"):
        place.publish(name)
        place.save(name)
        opened.used(place.broker.topics[name])

    assert [place.broker.topics[name].message_count for name in "ab"] == [2, 2]
    assert [place.broker.topics[name].channels["archive"].depth for name in "ab"] == [2, 2]
    assert place.files.open_count <= 3


@pytest.mark.parametrize(("grows_to", "rests"), [(100, False), (9, True), (0, True)])
def test_topics_that_come_back_again_and_again_stay_open_as_far_as_it_goes(
    place: Place, grows_to: int, *, rests: bool
) -> None:
    opened = OpenTopics(files_max=6, grows_to=grows_to)
    names = [f"t{number}" for number in range(10)]
    for _ in range(6):
        for name in names:
            place.publish(name)
            place.save(name)
            opened.used(place.broker.topics[name])

    assert place.files.open_count <= opened.files <= max(6, min(30, grows_to))
    before = place.files.open_count
    place.publish("t0")
    assert (place.files.open_count > before) == rests


def test_topics_that_came_back_once_do_not_stay_open(place: Place) -> None:
    opened = OpenTopics(files_max=6, grows_to=100)
    for _ in range(2):
        for number in range(10):
            place.publish(f"t{number}")
            opened.used(place.broker.topics[f"t{number}"])

    assert opened.files <= 6


def test_the_limit_leaves_descriptors_for_connections() -> None:
    assert 0 < growth_limit() <= descriptors_allowed() // 4


def test_a_deleted_topic_is_forgotten(place: Place) -> None:
    opened = OpenTopics(files_max=3)
    place.publish("gone")
    topic = place.broker.topics["gone"]
    opened.used(topic)
    place.broker.delete_topic(topic)
    place.publish("next")
    opened.used(place.broker.topics["next"])

    assert opened.files == 3


def test_a_topic_with_more_channels_than_files_may_be_open_rests_at_once(place: Place) -> None:
    opened = OpenTopics(files_max=10)
    place.publish("wide")
    topic = place.broker.topics["wide"]
    for number in range(50):
        place.broker.channel(topic, f"c{number}")
    place.publish("wide")
    place.save("wide")
    assert place.files.open_count > 10
    opened.used(topic)

    assert (place.files.open_count, opened.files) == (0, 0)
    place.publish("wide")
    assert topic.channels["c7"].depth == 2


def test_what_waits_for_a_sync_is_asked_again_later() -> None:
    place = Place(durability="fsync")
    opened = OpenTopics(files_max=3)
    for name in ("a", "b"):
        place.publish(name)
        opened.used(place.broker.topics[name])

    assert opened.files == 6


def test_a_topic_in_memory_has_no_files(place: Place) -> None:
    opened = OpenTopics(files_max=3)
    place.publish("clicks#ephemeral")
    opened.used(place.broker.topics["clicks#ephemeral"])

    assert opened.files == 0
