from millstream.demo.books import Books, TopicBook, compare

PUBLISHED = frozenset({"a", "b", "c"})


def test_all_that_was_published_arrived() -> None:
    end = compare("archived", PUBLISHED, ["a", "b", "c"])

    assert end.complete
    assert (end.found, end.duplicates, end.unacknowledged) == (3, 0, 0)


def test_what_came_twice_is_one_event_and_one_duplicate() -> None:
    end = compare("archived", PUBLISHED, ["a", "b", "b", "c", "c", "c"])

    assert (end.found, end.duplicates, end.complete) == (3, 3, True)


def test_a_counter_tells_the_duplicates_of_a_set() -> None:
    assert compare("counted", PUBLISHED, ["a", "b", "c"], total=5).duplicates == 2


def test_fewer_counts_than_ids_are_no_negative_duplicates() -> None:
    assert compare("counted", PUBLISHED, ["a", "b", "c"], total=2).duplicates == 0


def test_what_is_missing_is_named() -> None:
    end = compare("archived", PUBLISHED, ["a"])

    assert end.missing == ("b", "c")
    assert not end.complete


def test_what_nobody_confirmed_may_arrive() -> None:
    end = compare("archived", PUBLISHED, ["a", "b", "c", "d"])

    assert (end.found, end.unacknowledged, end.complete) == (3, 1, True)


def test_books_balance_when_nothing_is_missing_left_or_remarked() -> None:
    topic = TopicBook(topic="t", published=3, ends=(compare("archived", PUBLISHED, ["a", "b", "c"]),))
    torn = TopicBook(topic="t", published=3, ends=(compare("archived", PUBLISHED, ["a"]),))

    assert Books(topics=(topic,), unfinished=0).balanced
    assert not Books(topics=(topic, torn), unfinished=0).balanced
    assert not Books(topics=(topic,), unfinished=1).balanced
    assert not Books(topics=(topic,), unfinished=0, silent=("n",)).balanced
    assert not Books(topics=(topic,), unfinished=0, remarks=("x",)).balanced
