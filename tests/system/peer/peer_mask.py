"""Replies as lines of text in which nothing is left that differs from run to run: times, ids, ports, versions of Go.

JSON becomes one line per value, with its path, in the order in which it came, so that the names and the order of
fields are compared, and a difference is a line.
"""

import json
import re
import socket
import time
from collections.abc import Iterable, Iterator, Mapping
from difflib import SequenceMatcher
from itertools import groupby
from typing import Any, Final

RESPONSE, ERROR, MESSAGE = 0, 1, 2

# What NSQ says only since the pinned version, and ours says too. Scenarios that are `exact` see it.
LATER: Final = {"topology_region", "topology_zone"}
# Lists that NSQ keeps in hash order: in nsqd, in nsqlookupd, and in what nsqadmin makes of both.
UNORDERED: Final = {
    "nsqd": {"clients", "producers"},
    "nsqlookupd": {"channels", "topics"},
    "nsqadmin": {"clients", "channels"},
}
HOST_NAME: Final = socket.gethostname()
MEMORY: Final = {
    "heap_objects",
    "heap_idle_bytes",
    "heap_in_use_bytes",
    "heap_released_bytes",
    "gc_pause_usec_100",
    "gc_pause_usec_99",
    "gc_pause_usec_95",
    "next_gc_bytes",
    "gc_total_runs",
}
TEXT_MASKS: Final = [
    (re.compile(r"built w/[^)]+\)"), "built w/...)"),
    (re.compile(r"^start_time \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d)$", re.MULTILINE), "start_time ..."),
    (re.compile(r"^uptime (\d+h)?(\d+m)?[\d.]+(s|ms|µs)$", re.MULTILINE), "uptime ..."),
    (re.compile(r"connected: (\d+h)?(\d+m)?\d+s"), "connected: ..."),
    (re.compile(rf"^(   ({'|'.join(MEMORY)}) *)\t\d+$", re.MULTILINE), r"\1..."),
    (re.compile(r"(?<=[ ,])\d+\.\d(ns|us|ms|s)(?=,|$)", re.MULTILINE), "<duration>"),
    # What a library says of a handshake that failed.
    (re.compile(r"(?<=^E_IDENTIFY_FAILED IDENTIFY failed ).*$"), "..."),
    (re.compile(r"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d(\.\d+)?"), "<time>"),
]
# In TLS 1.3 the daemon chooses, and each chooses otherwise.
TLS_13_SUITES: Final = {"Unknown 4865", "Unknown 4866", "Unknown 4867"}
ADDRESS: Final = re.compile(r"127\.0\.0\.1:\d+")
SECONDS: Final = range(1_600_000_000, 4_000_000_000)
NANOSECONDS: Final = range(SECONDS.start * 10**9, SECONDS.stop * 10**9)


class Names:
    """What is called how in one run: its own addresses and topics, and the messages that came."""

    def __init__(self, topic: str) -> None:
        self.texts: dict[str, str] = {}
        self.client_ports: dict[int, str] = {}
        self.message_ids: list[bytes] = []

        self._own = re.compile(rf"{re.escape(topic)}u?(#ephemeral)?")
        self._ports: dict[int, str] = {}

    def add_ports(self, name: str, ports: Mapping[str, int]) -> None:
        """A daemon's ports get its name, wherever they come up."""
        for kind, port in ports.items():
            called = f"<{name} {kind}>"
            self._ports[port] = called
            self.texts |= {f"127.0.0.1:{port}": called, f"127_0_0_1_{port}": called}

    def is_own(self, topic: str) -> bool:
        """Whether the topic is one of the scenario's."""
        return bool(self._own.fullmatch(topic))

    def mask(self, text: str) -> str:
        """The text with the names in it."""
        for found, name in self.texts.items():
            text = text.replace(found, name)
        for port, name in self.client_ports.items():
            text = re.sub(rf":{port}\b", f":<{name}>", text)
        for number, message_id in enumerate(self.message_ids, 1):
            text = text.replace(message_id.decode("latin-1"), f"$m{number}")
        return text

    def mask_port(self, port: int) -> str:
        """The name of a port, or its digits."""
        return self._ports.get(port, str(port))

    def message(self, data: bytes) -> str:
        """A message as a line; its id gets a name when it is new."""
        timestamp_ns = int.from_bytes(data[:8], "big")
        attempts = int.from_bytes(data[8:10], "big")
        message_id, body = data[10:26], data[26:]
        if not re.fullmatch(rb"[0-9a-f]{16}", message_id):
            return f"message {data!r}"
        if message_id not in self.message_ids:
            self.message_ids.append(message_id)
        name = f"$m{self.message_ids.index(message_id) + 1}"
        age = "" if abs(time.time_ns() - timestamp_ns) < 120 * 10**9 else f" timestamp={timestamp_ns}"
        return f"message {name} attempts={attempts} {short(body)}{age}"


def short(data: bytes) -> str:
    """Bytes as text, of long ones the length and a bit."""
    return repr(data) if len(data) <= 2_000 else f"{len(data)} bytes {data[:10]!r}...{data[-10:]!r} {hash(data)}"


def payload(data: bytes, names: Names, *, exact: bool, program: str) -> list[str]:
    """Text or JSON as lines."""
    if data[:1] in {b"{", b"["}:
        try:
            value = json.loads(data)
        except ValueError:
            pass
        else:
            compact = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
            spaces = "" if _unescaped(data.decode()) == compact else " with spaces"
            if isinstance(value, dict):
                _leave_out_others(value, names, program)
            return [f"JSON{spaces}", *_flat(value, "", names, exact=exact, program=program)]
    text = data.decode("utf-8", "backslashreplace")
    for pattern, replacement in TEXT_MASKS:
        text = pattern.sub(replacement, text)
    if "\n" not in text:
        return [short((names.mask_port(int(text)) if text.isdigit() else names.mask(text)).encode())]
    lines = names.mask(text).split("\n")
    groups = [
        (is_client, list(group)) for is_client, group in groupby(lines, lambda line: line.lstrip().startswith("[V2 "))
    ]
    return ["text:", *(line for is_client, group in groups for line in (sorted(group) if is_client else group))]


def _leave_out_others(value: dict[str, Any], names: Names, program: str) -> None:
    """What other scenarios do at the same time is not compared."""
    if program == "nsqd" and isinstance(value.get("producers"), list):
        value["producers"] = [each for each in value["producers"] if each["remote_address"] in names.texts] or None
    if program != "nsqadmin":
        return
    for node in value.get("nodes") or ():
        if "topics" in node:
            node["topics"] = [each for each in node["topics"] or () if names.is_own(each["topic"])]
    match value.get("topics"):
        case dict() as topics:
            value["topics"] = {name: channels for name, channels in topics.items() if names.is_own(name)}
        case list() as topics:
            value["topics"] = [
                each for each in topics if names.is_own(each if isinstance(each, str) else each["topic_name"])
            ]
    if "stats" in value:
        value["stats"] = {key: each for key, each in value["stats"].items() if names.is_own(each["topic_name"])}
    for total in ("total_messages", "total_clients"):
        if total in value:
            value[total] = "of all topics"


def _unescaped(text: str) -> str:
    """JSON without the escapes that Go adds for HTML."""
    for character in "<>&":
        text = text.replace(f"\\u{ord(character):04x}", character)
    return text


def _flat(value: Any, path: str, names: Names, *, exact: bool, program: str) -> Iterator[str]:
    key = path.rpartition(".")[2]
    if isinstance(value, dict) and value:
        if "tombstones" in value and value["topics"]:  # beside each other
            pairs = sorted(zip(value["topics"], value["tombstones"], strict=True))
            value = value | {"topics": [topic for topic, _ in pairs], "tombstones": [flag for _, flag in pairs]}
        for name, child in value.items():
            if exact or name not in LATER:
                yield from _flat(child, f"{path}.{names.mask(name)}", names, exact=exact, program=program)
    elif isinstance(value, list) and value:
        in_a_list = {"remote_addresses": ".remote_addresses"}.get(key, "")
        children = [list(_flat(child, in_a_list, names, exact=exact, program=program)) for child in value]
        for index, lines in enumerate(sorted(children) if _is_unordered(program, key, value) else children):
            yield from [f"{path}[{index}]{line}" for line in lines]
    else:
        yield f"{path} = {_scalar(value, key, names)}"


def _is_unordered(program: str, key: str, value: list[Any]) -> bool:
    return key in UNORDERED[program] or (program == "nsqlookupd" and isinstance(value[0], dict))


def _scalar(value: object, key: str, names: Names) -> str:
    if key == "hostname" and value == HOST_NAME:
        return '"$host"'
    if isinstance(value, int) and not isinstance(value, bool):
        if key in MEMORY or (key == "value" and value > 0):
            return "<int>"
        if key == "connected":
            return "<ns>"
        if key.endswith("_port"):
            return names.mask_port(value)
        if value in SECONDS:
            return "<s>"
        if value in NANOSECONDS:
            return "<ns>"
    if key == "tls_cipher_suite" and value in TLS_13_SUITES:
        return '"<a suite of TLS 1.3>"'
    text = names.mask(json.dumps(value, ensure_ascii=False))
    return ADDRESS.sub("<address>", text) if key in {"remote_address", "remote_addresses", "id"} else text


def difference(theirs: Iterable[str], ours: Iterable[str]) -> list[str]:
    """The lines that differ: the original's with "- ", ours with "+ "."""
    old, new = list(theirs), list(ours)
    lines: list[str] = []
    for kind, old_start, old_end, new_start, new_end in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if kind != "equal":
            lines += [f"- {line}" for line in old[old_start:old_end]]
            lines += [f"+ {line}" for line in new[new_start:new_end]]
    return lines
