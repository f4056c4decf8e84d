from millstream.torture.plan import PLAN, Begins, ChannelPlan, Habit, TopicPlan


def test_the_mix_has_every_habit_and_every_beginning() -> None:
    channels = [channel for topic in PLAN for channel in topic.channels]

    assert {topic.habit for topic in PLAN} == set(Habit)
    assert {channel.begins for channel in channels} == set(Begins)
    assert len({topic.name for topic in PLAN}) == len(PLAN)


def test_the_mix_has_channels_that_nobody_reads_and_such_as_have_company() -> None:
    channels = [channel for topic in PLAN for channel in topic.channels]

    assert any(channel.consumers == 0 and channel.begins is Begins.AT_ONCE for channel in channels)
    assert any(channel.consumers > 1 for channel in channels)
    assert any(channel.pause_s for channel in channels)
    assert any(channel.requeued for channel in channels)
    assert any(topic.web_publishers for topic in PLAN)


def test_what_takes_away_has_a_topic_of_its_own() -> None:
    for topic in PLAN:
        takes_away = topic.habit in (Habit.EMPTIES, Habit.REPLACES, Habit.DELETES)
        assert any(channel.is_taken_away for channel in topic.channels) == takes_away


def test_only_a_topic_that_is_deleted_may_refuse() -> None:
    assert TopicPlan(name="t", channels=(), habit=Habit.DELETES).may_refuse
    assert not TopicPlan(name="t", channels=(), habit=Habit.EMPTIES).may_refuse


def test_a_channel_has_timeouts_when_messages_are_kept_or_touched() -> None:
    assert ChannelPlan(name="c", kept=0.1).has_timeouts
    assert ChannelPlan(name="c", touched=0.1).has_timeouts
    assert not ChannelPlan(name="c", requeued=0.1).has_timeouts
