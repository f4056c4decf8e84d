from typing import Any

import pytest

from millstream.base.units import parse_address
from millstream.net.http import Response, Router
from millstream.net.http_client import HttpClient
from millstream.net.http_server import HttpServer
from millstream.net.listener import listen
from millstream.torture.stats import NotNsq, channel_names, left_in, read_stats


async def test_the_statistics_say_what_is_there_and_what_is_left(served: Any) -> None:
    url = f"http://{served.http}"
    for path in ("/topic/create?topic=t", "/channel/create?topic=t&channel=c", "/topic/create?topic=alone"):
        await served.client.post(url + path)
    await served.client.post(url + "/pub?topic=t", b"one")
    await served.client.post(url + "/pub?topic=t&defer=60000", b"two")
    await served.client.post(url + "/pub?topic=alone", b"three")

    stats = await read_stats(served.client, served.http)

    assert channel_names(stats) == {"t/c"}
    assert left_in(stats) == {"t/c": 2, "alone": 1}


@pytest.mark.parametrize("body", [b"", b"nsqd v1", b"[]", b'{"topics":[{"topic_name":"t"}]}'])
async def test_what_is_no_nsqd_is_told_so(body: bytes) -> None:
    router = Router()
    router.answer_everything(lambda _: Response(200, body))
    server = HttpServer(router)
    listener = await listen("127.0.0.1:0", server.protocol)
    async with HttpClient() as client:
        with pytest.raises(NotNsq, match="not that of an nsqd"):
            await read_stats(client, parse_address(listener.address))
    listener.close()
    await server.close()
