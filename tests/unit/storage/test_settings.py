"""How logs keep their records: what somebody gets who says nothing."""

import dataclasses

import pytest

from millstream.storage.settings import LogSettings


def test_by_default_ok_means_handed_to_the_kernel() -> None:
    settings = LogSettings()

    assert settings.durability == "log"
    assert settings.hot_bytes_max <= settings.segment_bytes_max


def test_settings_do_not_change_under_a_log() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        LogSettings().durability = "memory"  # type: ignore[misc]
