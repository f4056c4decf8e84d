"""`/damage/acknowledge`: somebody has seen what is damaged of a topic, and wants to hear no more of it.

`nsqd.http` routes the requests here. `/stats` and `/metrics` show what there is; what was set aside stays where it is.
"""

from millstream.base.errors import StorageError
from millstream.base.log import get_logger
from millstream.net.http import HttpError, Request, Response, json
from millstream.nsqd.host import Host

log = get_logger(__name__)


class DamageApi:
    """The endpoint of one nsqd."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def acknowledge(self, request: Request) -> Response:
        """That of `topic`, or without one that of the data path itself; the answer says what it was."""
        topic = request.query.get("topic", "")
        if topic and topic not in self._host.broker.topics:
            raise HttpError(404, "TOPIC_NOT_FOUND")
        try:
            done = self._host.acknowledge(topic)
        except StorageError as error:
            log.error("http.change_failed", error=error)
            raise HttpError(500, "INTERNAL_ERROR") from error
        for damage in done:
            log.info("damage.acknowledged", topic=topic, kind=damage.kind, text=damage.text)
        return json({"acknowledged": [damage.text for damage in done]})
