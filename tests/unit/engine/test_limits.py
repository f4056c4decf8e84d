from millstream.engine.limits import BrokerSettings, ChannelSettings


def test_by_default_a_channel_is_lasting() -> None:
    settings = ChannelSettings()

    assert not settings.is_ephemeral
    assert settings.max_msg_timeout_ns == 15 * 60 * 10**9


def test_a_window_has_a_power_of_two_as_its_cap() -> None:
    assert BrokerSettings().window_slots_max == ChannelSettings().window_slots_max == 1 << 20
    assert BrokerSettings().consumers_max == 0
