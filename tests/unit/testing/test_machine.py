from millstream.engine.topic import Topic
from millstream.protocol.chunks import ChunkQueue
from millstream.storage.log import Log
from millstream.testing.expectation import ExpectedTopic, Published
from millstream.testing.machine import Machine


def machine(durability: str) -> Machine:
    return next(found for seed in range(100) if (found := Machine(seed)).durability == durability)


def publish(host: Machine, name: str, body: bytes) -> Topic:
    topic = host.broker.topic(name)
    expected = host.expected.setdefault(name, ExpectedTopic(name, topic.moved_seq))
    expected.pending.append(Published(topic.log.next_seq, body, 0))
    topic.publish(bytearray(body), 0, len(body), host.clock.wall_ns())
    return topic


def test_a_killed_broker_comes_back_with_what_was_committed() -> None:
    host = machine("log")
    host.journal.append("test")
    topic = publish(host, "clicks", b"one")
    host.commit()
    before = topic.log.ready_seq

    host.crash()

    assert host.broker.topics["clicks"].log.ready_seq == before
    assert host.broker.topics["clicks"] is not topic


def test_a_graceful_restart_keeps_what_is_in_memory_only() -> None:
    host = machine("memory")
    publish(host, "clicks", b"one")
    host.commit()

    host.restart()

    assert host.broker.topics["clicks"].depth == 1


def test_what_a_failing_disk_refuses_was_never_accepted() -> None:
    host = machine("log")
    host.journal.append("test")
    publish(host, "clicks", b"one")
    host.is_faulty = True
    host.files.fail("open", times=50)

    host.commit()

    assert not host.expected["clicks"].accepted
    assert [message.body for message in host.expected["clicks"].refused] == [b"one"]


def test_a_group_commit_makes_records_durable() -> None:
    host = machine("fsync")
    host.journal.append("test")
    topic = publish(host, "clicks", b"one")

    host.commit_topic(topic, sync=False)
    waiting = topic.log.durable_seq < topic.log.next_seq
    host.commit_topic(topic, sync=True)

    assert isinstance(topic.log, Log)
    assert waiting
    assert topic.log.durable_seq == topic.log.next_seq


def test_an_ephemeral_topic_is_gone_after_a_crash() -> None:
    host = machine("log")
    host.journal.append("test")
    topic = publish(host, "passing#ephemeral", b"one")
    host.commit()

    host.crash()

    assert isinstance(topic.log, ChunkQueue)
    assert not host.broker.topics
    assert not host.expected
