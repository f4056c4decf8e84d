"""`tools.replay.service`: what was sent is counted, so that a failure can be gone on from."""

from pathlib import Path

from millstream.net.http import HttpServer, Request, Response, Router
from millstream.net.listener import listen
from millstream.tools.replay.options import ReplayOptions
from millstream.tools.replay.service import replay

STATS = b'{"topics":[{"channels":[{"depth":%d}]}]}'


async def test_a_batch_that_is_refused_ends_it_with_the_number_to_go_on_from(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(b"0\n1\n2\n3\n")
    depths = iter([50, 0, 0])
    taken: list[bytes] = []

    def publish(request: Request) -> Response:
        if taken:
            return Response(503, b'{"message":"STORAGE_FAILED"}')
        taken.append(request.body)
        return Response(200, b"OK")

    router = Router()
    router.add("GET", "/stats", lambda _request: Response(200, STATS % next(depths)))
    router.add("POST", "/channel/mpub", publish, body_bytes_max=1_000)
    server = HttpServer(router)
    listener = await listen("127.0.0.1:0", server.protocol)
    complaints: list[str] = []
    try:
        options = ReplayOptions(
            nsqd_http_address=(listener.address,), archive=(str(path),), batch=2, depth_max=10, skip_lines=1
        )
        status = await replay(options, "t", "c", lambda _text: None, complaints.append)
    finally:
        listener.close()
        await server.close()

    assert status == 1
    assert taken == [b"\0\0\0\2\0\0\0\1" + b"1\0\0\0\1" + b"2"]
    assert "503 STORAGE_FAILED" in complaints[0]
    assert "--skip-lines=3" in complaints[1]
