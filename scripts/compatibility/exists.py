"""Reads off the code what this repository has: flags, commands, error codes, fields and names of statistics.

Each function of `KINDS` gives names as `nsq.toml` spells them, and what each is, where the code says so; routes come
from `routes`. A name that NSQ has not is a row all the same, in the part of the page that is beyond NSQ.
"""

import inspect
import json
import tomllib
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Any, Final, Union, get_args, get_origin, get_type_hints

from compatibility.routes import routes_of_all
from millstream.base.options import describe
from millstream.nsqauthd.options import AuthdOptions
from millstream.nsqd.auth import Authorizations
from millstream.nsqd.options import DaemonOptions
from millstream.nsqd.stats import MemoryStats, NsqdStats, TopicStats, to_json
from millstream.nsqd.statsd import Report
from millstream.nsqlookupd.options import LookupdOptions
from millstream.protocol import commands, lookup
from millstream.protocol.errors import CommandError
from millstream.protocol.identify import IdentifyRequest, Negotiated, ServerFeatures, encode_request
from millstream.tools.nsq_to_file.options import ToFileOptions

ROOT: Final = Path(__file__).resolve().parents[2]

Names = Mapping[str, str]

# Every daemon has it, and `base.options` knows it without a declaration.
_VERSION: Final = {"version": "print the version and end"}
# What stands for the name of a topic or channel, and for any other text.
_TEXT: Final = "name"
# What the lists and objects of `/stats` hold.
_SINGULAR: Final = {
    "topics": "topic",
    "channels": "channel",
    "clients": "client",
    "producers": "client",
    "e2e_processing_latency": "latency",
    "percentiles": "latency",
    "pub_counts": "pub_count",
}


class Unreadable(Exception):
    """A statistic has a type of which `sample` knows no value."""


def _flags(options: type) -> Names:
    return {one.flag: one.help for one in describe(options) if one.flag} | _VERSION


def _routes(daemon: str) -> Names:
    return dict.fromkeys(routes_of_all()[daemon], "")


def _commands(union: Any) -> Names:
    """The names of the commands, each with the sentence that describes it."""
    return {_command_name(one): (inspect.getdoc(one) or "").splitlines()[0] for one in get_args(union)}


def _command_name(command: type) -> str:
    return str(getattr(command, "name", command.__name__)).upper()


def _codes() -> Names:
    return {code: inspect.getdoc(error) or "" for code, error in CommandError.by_code.items() if code}


def _asked() -> Names:
    return dict.fromkeys(json.loads(encode_request(IdentifyRequest())), "")


def _answered() -> Names:
    features = ServerFeatures()
    answer = Negotiated(features=features, feature_negotiation=True, output_buffer_timeout_ms=0, msg_timeout_ms=0)
    return dict.fromkeys(json.loads(answer.encode()), "")


def _stats() -> Names:
    """The keys of `/stats`, with what they belong to: `topic.depth`."""
    return dict.fromkeys(_keys(to_json(sample(NsqdStats)), ""), "")


def _keys(value: Any, owner: str) -> Iterator[str]:
    if isinstance(value, list):
        for element in value:
            yield from _keys(element, owner)
    elif isinstance(value, dict):
        for key, child in value.items():
            yield f"{owner}.{key}" if owner else str(key)
            yield from _keys(child, _SINGULAR.get(str(key), str(key)))


def _statsd() -> Names:
    """The names of what goes to statsd, `*` for the name of a topic or channel and for a percentile."""
    lines = Report("", exclude_ephemeral=False).lines([sample(TopicStats)], sample(MemoryStats))
    names = [line.partition(":")[0] for line in lines]
    return dict.fromkeys((name.replace(f".{_TEXT}", ".*").replace("latency_100", "latency_*") for name in names), "")


def sample(kind: Any) -> Any:
    """Any value of a type in which nothing is left out: a record is filled, a list has elements."""
    if kind is Authorizations:
        return Authorizations([], ttl_s=1, now_ns=0, identity=_TEXT, identity_url=_TEXT)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return next(iter(kind))
    if isinstance(kind, type) and is_dataclass(kind):
        hints = get_type_hints(kind)
        return kind(**{field.name: sample(hints[field.name]) for field in fields(kind)})
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return sample(next(one for one in arguments if one is not type(None)))
    if origin is tuple:
        several = 3 if arguments[-1] is ... else 1
        return tuple(sample(one) for one in arguments if one is not ...) * several
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {sample(arguments[0]): sample(arguments[1])}
    if isinstance(origin, type) and issubclass(origin, Sequence):
        return [sample(arguments[0])]
    known = {int: 1, float: 1.0, str: _TEXT, bool: True}
    if kind not in known:
        raise Unreadable(f"{kind} is no type that a statistic is known to have: teach sample() to make one")
    return known[kind]


def programs() -> Names:
    """The console scripts of this project."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return dict.fromkeys(project["scripts"], "")


KINDS: Final[Mapping[str, Callable[[], Names]]] = {
    "nsqd flags": partial(_flags, DaemonOptions),
    "nsqd routes": partial(_routes, "nsqd"),
    "nsqd commands": partial(_commands, commands.Command),
    "error codes": _codes,
    "IDENTIFY asks": _asked,
    "IDENTIFY answers": _answered,
    "stats": _stats,
    "statsd": _statsd,
    "nsqlookupd flags": partial(_flags, LookupdOptions),
    "nsqlookupd routes": partial(_routes, "nsqlookupd"),
    "nsqlookupd commands": partial(_commands, lookup.Command),
    "nsqauthd flags": partial(_flags, AuthdOptions),
    "nsqauthd routes": partial(_routes, "nsqauthd"),
    "nsq_to_file flags": partial(_flags, ToFileOptions),
    "programs": programs,
}
