import socket
from typing import Any

import pytest

from millstream.base.units import Address
from millstream.client.errors import ConnectionFailed
from millstream.torture.link import dial


@pytest.mark.parametrize(("has_timeouts", "timeout_ms"), [(True, 1_000), (False, 60_000)])
async def test_the_timeout_is_the_daemons_or_a_minute(served: Any, has_timeouts: bool, timeout_ms: int) -> None:
    connection = await dial(served.tcp, lambda _: None, has_timeouts=has_timeouts)

    assert connection.is_open
    assert connection.negotiated.msg_timeout_ms == timeout_ms
    connection.close()
    await connection.closed


async def test_where_nobody_listens_there_is_no_connection() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(ConnectionFailed):
            await dial(Address("127.0.0.1", taken.getsockname()[1]), lambda _: None, has_timeouts=False)
