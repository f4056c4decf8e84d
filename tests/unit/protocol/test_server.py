import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.protocol.errors import Invalid
from millstream.protocol.server import COMMANDS, ServerConnection, State

ALWAYS = {"PUB", "MPUB", "DPUB", "NOP"}
INIT = ALWAYS | {"IDENTIFY", "AUTH", "SUB"}
SUBSCRIBED = ALWAYS | {"RDY", "FIN", "REQ", "TOUCH", "CLS"}
CLOSING = ALWAYS | {"FIN", "REQ", "TOUCH"}
LEGAL = {State.INIT: INIT, State.SUBSCRIBED: SUBSCRIBED, State.CLOSING: CLOSING}


def connection(state: State) -> ServerConnection:
    found = ServerConnection()
    found.state = state
    return found


@pytest.mark.parametrize("state", list(State))
@pytest.mark.parametrize("name", sorted(COMMANDS))
@pytest.mark.shows("nsqd: which command is legal in which state")
def test_every_pair_of_state_and_command_is_decided_as_in_nsq(state: State, name: bytes) -> None:
    found = connection(state)

    if name.decode() in LEGAL[state]:
        assert found.guard(name)
    elif (state, name) == (State.CLOSING, b"RDY"):
        assert not found.guard(name)
    else:
        with pytest.raises(Invalid, match=f"^E_INVALID cannot {name.decode()} in current state$"):
            found.guard(name)
    assert found.state is state


def test_a_client_subscribes_then_closes() -> None:
    found = ServerConnection()

    found.passed(b"IDENTIFY")
    found.passed(b"PUB")
    assert found.state is State.INIT
    found.passed(b"SUB")
    found.passed(b"FIN")
    assert found.state is State.SUBSCRIBED
    found.passed(b"CLS")
    found.passed(b"RDY")
    found.passed(b"FIN")

    assert found.state is State.CLOSING


def test_the_states_have_the_numbers_that_stats_show() -> None:
    assert [state.value for state in State] == [0, 3, 4]


@pytest.mark.parametrize("name", [b"", b"pub", b"PUBX", b"\xff"])
def test_an_unknown_command_is_named(name: bytes) -> None:
    with pytest.raises(Invalid) as caught:
        ServerConnection().guard(name)

    assert caught.value.encode() == b"E_INVALID invalid command " + name


@given(st.binary(max_size=12).filter(lambda name: name != b"IDENTIFY"))
def test_without_tls_where_it_is_required_nothing_but_identify_is_legal(name: bytes) -> None:
    found = ServerConnection(needs_tls=True)
    assert found.guard(b"IDENTIFY")

    with pytest.raises(Invalid) as caught:
        found.guard(name)

    assert caught.value.encode() == b"E_INVALID cannot %b in current state (TLS required)" % name
