"""`nsqd.trouble`: what does not work, place by place."""

from millstream.nsqd.trouble import METADATA, READ, SAVE, WRITE, Place, Troubles


def test_without_trouble_there_is_nothing_to_say() -> None:
    troubles = Troubles()
    troubles.worked(Place("t", WRITE))
    troubles.forget_topic("t")

    assert (bool(troubles.errors), troubles.text, list(troubles.places(WRITE))) == (False, "", [])


def test_one_topic_that_works_says_nothing_of_another() -> None:
    troubles = Troubles()
    troubles.failed(Place("a", WRITE), "full")
    troubles.failed(Place("b", WRITE), "broken")

    troubles.worked(Place("b", WRITE))
    troubles.worked(Place("a", READ, "c"))

    assert troubles.text == "full"
    troubles.worked(Place("a", WRITE))
    assert not troubles.errors


def test_one_is_named_and_the_others_are_counted() -> None:
    troubles = Troubles()
    troubles.failed(Place("a", WRITE), "full")
    troubles.failed(Place("a", SAVE), "full, too")
    assert troubles.text == "full"

    troubles.failed(Place("b", READ, "c"), "broken")
    assert troubles.text == "full (and 1 more topic)"

    troubles.failed(Place("", METADATA), "broken")
    assert troubles.text == "full (and 2 more topics)"


def test_failed_writes_are_counted_by_topic_and_reads_are_not() -> None:
    troubles = Troubles()
    for what in (WRITE, SAVE, READ):
        troubles.failed(Place("a", what), "full")
    troubles.worked(Place("a", WRITE))

    assert (troubles.failures("a"), troubles.failures("b")) == (2, 0)
    troubles.forget_topic("a")
    assert (troubles.failures("a"), bool(troubles.errors)) == (0, False)


def test_a_channel_that_is_gone_has_no_trouble() -> None:
    troubles = Troubles()
    troubles.failed(Place("a", READ, "c"), "broken")
    troubles.failed(Place("a", READ, "d"), "broken")

    troubles.forget_channel("a", "c")

    assert list(troubles.places(READ)) == [Place("a", READ, "d")]


def test_topics_that_are_gone_are_forgotten() -> None:
    troubles = Troubles()
    for topic in ("a", "b", ""):
        troubles.failed(Place(topic, WRITE), "full")

    troubles.keep_only({"b": None})

    assert list(troubles.places(WRITE)) == [Place("b", WRITE), Place("", WRITE)]


def test_places_take_turns() -> None:
    troubles = Troubles()
    for topic in "abc":
        troubles.failed(Place(topic, WRITE), "full")

    first = [next(troubles.places(WRITE)).topic for _ in range(4)]

    assert first == ["a", "b", "c", "a"]
