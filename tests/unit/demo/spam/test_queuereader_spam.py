from pathlib import Path

from millstream.demo.spam.click import Click
from millstream.demo.spam.queuereader_spam import SpamDesk, validate_message
from millstream.queuereader import Finish, HandlerOptions, Reader, Reject
from millstream.queuereader.reader import Registry

CLICK = b'{"id": "e1", "h": "abc", "l": "me", "u": "http://pills.example/", "t": 5}'


def _reader(desk: SpamDesk) -> Reader:
    return Reader(
        topic="clicks",
        channel="queuereader_spam",
        decoder=Click.decode,
        validate_method=validate_message,
        message_handler=desk.judge,
        publish_to="spam_api",
        options=HandlerOptions(),
        registry=Registry(),
    )


async def test_a_click_becomes_a_decision_and_the_same_one_when_it_comes_again(tmp_path: Path) -> None:
    desk = SpamDesk(tmp_path / "spam.db", {"pharmacy": ["pills"]})
    reader = _reader(desk)

    first = await reader.handle_bytes_async(CLICK)
    again = await reader.handle_bytes_async(CLICK, attempts=2)
    await desk.close()

    assert isinstance(first.verdict, Finish)
    assert first.events == again.events == [b'{"id":"e1.spam","o":"+","l":"me","bl":"pharmacy","t":5}']


async def test_what_is_no_click_is_rejected(tmp_path: Path) -> None:
    reader = _reader(SpamDesk(tmp_path / "spam.db", {}))

    for body in (b"broken", b'{"_heartbeat_": 1}', b"{}"):
        message = await reader.handle_bytes_async(body)
        assert isinstance(message.verdict, Reject)
