import random

import pytest

from millstream.base.errors import OptionError
from millstream.supervisor.errors import PortTaken
from millstream.supervisor.ports import AUTO_FIRST, AUTO_LAST, auto_ports, fixed_ports, parse_overrides


def _always(name: str, port: int) -> bool:
    del name, port
    return True


def _never(name: str, port: int) -> bool:
    del name, port
    return False


def test_fixed_ports_stay_as_they_are() -> None:
    assert fixed_ports({"a": 1, "b": 2}, free=_always) == {"a": 1, "b": 2}


def test_a_taken_port_is_named_with_the_way_out() -> None:
    with pytest.raises(PortTaken, match=r"port 7 of a is in use.*--ports=auto"):
        fixed_ports({"a": 7}, free=_never)


def test_two_listeners_cannot_share_a_port() -> None:
    with pytest.raises(OptionError, match="a and b both want port 7"):
        fixed_ports({"a": 7, "b": 7}, free=_always)


def test_auto_ports_are_free_and_all_different() -> None:
    ports = auto_ports(
        [str(number) for number in range(50)], chance=random.Random(1), free=lambda _, port: port % 2 == 0
    )

    assert len(set(ports.values())) == 50
    assert all(port % 2 == 0 and AUTO_FIRST <= port <= AUTO_LAST for port in ports.values())


def test_the_search_for_free_ports_ends() -> None:
    with pytest.raises(PortTaken):
        auto_ports(["a"], chance=random.Random(1), free=_never)


def test_real_ports_are_probed() -> None:
    ports = auto_ports(["nsqd.tcp", "statsd"])

    assert fixed_ports(ports) == ports


def test_overrides_replace_known_listeners() -> None:
    assert parse_overrides(["a=5"], {"a": 1, "b": 2}) == {"a": 5, "b": 2}


@pytest.mark.parametrize("text", ["c=1", "a", "a=", "a=0", "a=65536", "a=-1", "a=1x", "a=²", "a=" + "9" * 5000])
def test_an_override_of_no_use_is_refused(text: str) -> None:
    with pytest.raises(OptionError):
        parse_overrides([text], {"a": 1})
