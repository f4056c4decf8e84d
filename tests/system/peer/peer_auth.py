"""Auth servers: what nsqauthd is told to allow, and a server that answers nsqd as no honest one would.

A secret of the latter is `<topic of the scenario> <name of the answer>`; of several answers each is given once, the
last one from then on. The questions are kept, because both daemons have to ask the same.
"""

import asyncio
import json
import ssl
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

RULES: Final = """
[[rule]]
secret = "all"
identity = "everyone"
identity_url = "http://example.org/?a=1&b=<2>"
topics = [".*"]
permissions = ["publish", "subscribe"]

[[rule]]
secret = "publisher"
identity = "the publisher"
topics = [".*"]
permissions = ["publish"]

[[rule]]
secret = "subscriber"
identity_url = "http://example.org/subscriber"
topics = [".*"]
channels = ["^c$", "^d"]
permissions = ["subscribe"]

[[rule]]
secret = "own"
identity = "l\\u00e9onie"
topics = ["^auth_[0-9]+$"]
channels = ["^c$"]
permissions = ["publish", "subscribe"]

[[rule]]
secret = "own"
topics = ["u$"]
permissions = ["publish"]

[[rule]]
secret = "other"
topics = ["^other$"]
permissions = ["publish", "subscribe"]

[[rule]]
secret = "over tls"
tls = true
identity = "secure"
topics = [".*"]
permissions = ["publish", "subscribe"]

[[rule]]
secret = "in plain"
tls = false
identity = "insecure"
topics = [".*"]
permissions = ["publish", "subscribe"]

[[rule]]
secret = "here"
remote_ip = "127.0.0.0/8"
topics = [".*"]
permissions = ["publish", "subscribe"]

[[rule]]
secret = "elsewhere"
remote_ip = "10.0.0.0/8"
topics = [".*"]
permissions = ["publish", "subscribe"]
"""


@dataclass(frozen=True, slots=True)
class Answer:
    """Status and body; without a status nothing is answered, and the connection stays."""

    status: int
    body: bytes


def may(topic: str = ".*", channels: tuple[str, ...] = (".*",), permissions: tuple[str, ...] = ()) -> dict[str, Any]:
    """One authorization; by default to do all."""
    return {"topic": topic, "channels": channels, "permissions": permissions or ("publish", "subscribe")}


def says(*authorizations: object, status: int = 200, **fields: object) -> Answer:
    """A proper answer, with these fields."""
    return Answer(status, json.dumps({"ttl": 3600, "authorizations": authorizations, **fields}).encode())


def plain(body: str | bytes, status: int = 200) -> Answer:
    """This body."""
    return Answer(status, body.encode() if isinstance(body, str) else body)


ANSWERS: Final[dict[str, tuple[Answer, ...]]] = {
    # Which are none.
    "status 500": (plain('{"message":"INTERNAL_ERROR"}', 500),),
    "status 404": (plain("not here", 404),),
    "status 403": (plain('{"message":"NOT_AUTHORIZED"}', 403),),
    "status 403 in no JSON": (plain("no", 403),),
    "status 201": (says(may(), status=201),),
    "status 204": (plain("", 204),),
    "no JSON": (plain("<html>"),),
    "half the JSON": (plain('{"ttl":3600,"authorizations":['),),
    "an empty body": (plain(""),),
    "an empty object": (plain("{}"),),
    "a list": (plain("[]"),),
    "null": (plain("null"),),
    "silence": (Answer(0, b""),),
    # In which something is odd.
    "no authorizations": (says(),),
    "null for authorizations": (plain('{"ttl":3600,"authorizations":null}'),),
    "an object for authorizations": (plain('{"ttl":3600,"authorizations":{}}'),),
    "null for an authorization": (plain('{"ttl":3600,"authorizations":[null]}'),),
    "an empty authorization": (plain('{"ttl":3600,"authorizations":[{}]}'),),
    "no ttl": (plain(json.dumps({"authorizations": [may()]})),),
    "the ttl 0": (says(may(), ttl=0),),
    "the ttl -1": (says(may(), ttl=-1),),
    "the ttl as text": (says(may(), ttl="3600"),),
    "the ttl 1.5": (says(may(), ttl=1.5),),
    "an unknown permission": (says(may(permissions=("publish", "admire"))),),
    "a permission in capitals": (says(may(permissions=("PUBLISH",))),),
    "no permissions": (says(may() | {"permissions": []}),),
    "a topic that is no pattern": (says(may("(")),),
    "a channel that is no pattern": (says(may(channels=("*",))),),
    "no channels": (says(may(channels=())),),
    "a channel for everything but the empty name": (says(may(channels=("^.+$",))),),
    "an identity that is a number": (says(may(), identity=7),),
    "keys in capitals": (
        plain('{"TTL":60,"Identity":"loud","AUTHORIZATIONS":[{"Topic":"","CHANNELS":[""],"permissions":["publish"]}]}'),
    ),
    "unknown keys": (says(may(), identity="me", more={"a": [1]}),),
    # Which are good.
    "all": (says(may(), identity="everyone", identity_url="http://example.org/"),),
    "escapes": (says(may(), identity='<a>&"\u2028\u00e9\ud83d\ude00', identity_url="http://e/?a=1&b=2"),),
    "three": (says(may("^a$"), may("^b$"), may("^auth_"), identity="three"),),
    "a pattern within a name": (says(may("uth_")),),
    "another topic": (says(may("^other$")),),
    # Which expire in a second, and what is answered then; or later, when there is something to do before.
    "the same again": (says(may(), ttl=1, identity="first"), says(may(), identity="second")),
    "less again": (says(may(), ttl=1), says(may(permissions=("subscribe",)))),
    "nothing again": (says(may(), ttl=1, identity="first"), says(identity="second")),
    "an error again": (says(may(), ttl=1), plain("", 500)),
    "the same later": (says(may(), ttl=5, identity="first"), says(may(), identity="second")),
    "an error later": (says(may(), ttl=5), plain("", 500)),
    "a refusal again": (says(may(), ttl=1), plain('{"message":"NOT_AUTHORIZED"}', 403)),
}


class AuthServer:
    """Answers nsqd by `ANSWERS`; over TLS as well, where one that is asked to come back there is answered."""

    def __init__(self) -> None:
        self.port = 0
        self.tls_port = 0
        self._questions: list[tuple[str, str]] = []
        self._asked: Counter[str] = Counter()
        self._servers: list[asyncio.Server] = []

    async def start(self, context: ssl.SSLContext) -> None:
        """Listen, in plain and over TLS."""
        for tls in (None, context):
            server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=tls)
            self._servers.append(server)
        self.port, self.tls_port = (server.sockets[0].getsockname()[1] for server in self._servers)

    def close(self) -> None:
        """Listen no more."""
        for server in self._servers:
            server.close()

    def questions(self, topic: str) -> list[str]:
        """What was asked for secrets with this topic, in order."""
        return [question for asked, question in self._questions if asked == topic]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            answer = self._answer(head, is_secure=writer.get_extra_info("ssl_object") is not None)
            if answer.status:
                writer.write(
                    b"HTTP/1.1 %d Answer\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"
                    b"Connection: close\r\n\r\n" % (answer.status, len(answer.body)) + answer.body
                )
                await writer.drain()
            else:
                await reader.read()
        writer.close()

    def _answer(self, head: str, *, is_secure: bool) -> Answer:
        line, *fields = head.split("\r\n")
        method, target, _ = line.split(" ")
        secret = parse_qs(urlsplit(target).query).get("secret", [""])[0]
        topic, _, name = secret.partition(" ")
        accepts = [field.partition(": ")[2] for field in fields if field.lower().startswith("accept:")]
        self._questions.append((topic, f"{'https' if is_secure else 'http'} {method} {target} {' '.join(accepts)}"))
        if name == "come over TLS" and not is_secure:
            return Answer(403, json.dumps({"message": "TLS_REQUIRED", "https_port": self.tls_port}).encode())
        answers = ANSWERS.get(name, ANSWERS["all"])
        self._asked[secret] += 1
        return answers[min(self._asked[secret], len(answers)) - 1]
