"""Reads a JSON object, and writes one, by the rules of Go's encoding/json.

Bodies come from `protocol.identify` and go back there key by key. Python's own reader takes more than Go's (NaN), less
(bytes that are not UTF-8) and something else (one value of a repeated key), and clients of NSQ know Go's only.
"""

import json
import re
from collections.abc import Iterator
from typing import Any, Final

_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_SPACE: Final = re.compile(r"[ \t\n\r]*")
# What Go's encoder escapes beyond JSON's own rules.
_ESCAPES: Final = str.maketrans({char: f"\\u{ord(char):04x}" for char in "<>&\u2028\u2029"})

_INTEGER_DIGITS_MAX: Final = 20


class NotDecodable(ValueError):
    """Go would not decode this."""


def members(body: bytes) -> Iterator[tuple[str, Any]]:
    """Every key and value of a JSON object, in order, a repeated key as often as it comes; nothing for `null`.

    NotDecodable for anything else, as soon as it is met: what came before may have been taken already. Values are for
    `typed`: an integer comes as its digits in `bytes`, so that a huge one in a key that nobody reads costs nothing.
    """
    # Each byte that is not UTF-8 becomes one U+FFFD, as in Go; "replace" would make one of several.
    text = without_surrogates(body.decode("utf-8", "surrogateescape"))
    at = _after_space(text, 0)
    if text.startswith("null", at):
        at = _after_space(text, at + len("null"))
    else:
        at = _after(text, at, "{")
        more = not text.startswith("}", at)
        while more:
            if not text.startswith('"', at):
                raise NotDecodable("a key is a string")
            key, at = _value(text, at)
            value, at = _value(text, _after(text, _after_space(text, at), ":"))
            yield key, value
            at = _after_space(text, at)
            more = text.startswith(",", at)
            if more:
                at = _after(text, at, ",")
        at = _after(text, at, "}")
    if at != len(text):
        raise NotDecodable("something follows the object")


def typed(value: object, wanted: type, bits: int = 64) -> str | bool | int:
    """A value of `members` as a field of type str, bool, or int of so many bits; NotDecodable when it is none."""
    if wanted is str and isinstance(value, str):
        return without_surrogates(value)
    if wanted is bool and isinstance(value, bool):
        return value
    if wanted is int and isinstance(value, bytes) and len(value) <= _INTEGER_DIGITS_MAX:
        number = int(value)
        if -(1 << bits - 1) <= number < 1 << bits - 1:
            return number
    raise NotDecodable(f"the value is no {wanted.__name__} of the width")


def folded(key: str) -> str:
    """The key as it is compared with names of fields, which are ASCII in lower case."""
    # Go folds two letters from outside ASCII: the Kelvin sign, as `lower` does too, and the long s.
    return key.lower().replace("\u017f", "s")


def without_surrogates(text: str) -> str:
    """The text with U+FFFD for each half of a pair, which UTF-8 cannot write."""
    return _SURROGATE.sub("\ufffd", text)


def encode(value: dict[str, str | int | bool]) -> bytes:
    """A flat object, compact and escaped as Go writes it, keys in the order given."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return without_surrogates(text).translate(_ESCAPES).encode()


def _value(text: str, at: int) -> tuple[Any, int]:
    try:
        return _DECODER.raw_decode(text, at)
    except RecursionError as error:
        raise NotDecodable("nested too deep") from error
    except ValueError as error:
        raise NotDecodable(str(error)) from error


def _after_space(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match else at


def _after(text: str, at: int, token: str) -> int:
    if not text.startswith(token, at):
        raise NotDecodable(f"{token} expected")
    return _after_space(text, at + len(token))


def _no_constant(name: str) -> None:
    raise NotDecodable(f"{name} is not JSON")


_DECODER: Final = json.JSONDecoder(parse_int=str.encode, parse_constant=_no_constant)
