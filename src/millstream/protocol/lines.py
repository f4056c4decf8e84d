"""The parameters of commands that come as one line: SUB, RDY, FIN, REQ, TOUCH, CLS, NOP.

`protocol.parser` splits the line at single spaces and brings the pieces here, after the guard has let the command
pass. Checks come in NSQ's order, with NSQ's words. Extra parameters are ignored, as there.
"""

from typing import Final

from millstream.protocol.commands import Cls, Command, Fin, Nop, Rdy, Req, Sub, Touch
from millstream.protocol.errors import BadChannel, BadTopic, Invalid
from millstream.protocol.names import is_valid_name

ID_BYTES: Final = 16
_DIGITS_AT_ONCE = 1024  # Python refuses to convert very long numbers; a line holds 16384
_MODULO = 1 << 64
_ESCAPES: Final = {
    '"': '\\"',
    "\\": "\\\\",
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
}


def text(raw: bytes) -> str:
    """Bytes from the peer as text that goes back to it unchanged."""
    return raw.decode("utf-8", "surrogateescape")


def quoted(raw: bytes) -> str:
    """Bytes from the peer as NSQ shows a name that is none: in double quotes, escaped as Go's `%q` does it."""
    return '"' + "".join(map(_escaped, text(raw))) + '"'


def _escaped(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    if character.isprintable():
        return character
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def parse_number(raw: bytes) -> int:
    """NSQ's numbers: decimal digits modulo 2**64, nothing is 0; -1 for anything else."""
    if not raw:
        return 0
    if not raw.isdigit():
        return -1
    value = 0
    for at in range(0, len(raw), _DIGITS_AT_ONCE):
        digits = raw[at : at + _DIGITS_AT_ONCE]
        value = (value * 10 ** len(digits) + int(digits)) % _MODULO
    return value


def parse_line(name: bytes, parameters: list[bytes], req_timeout_ms_max: int) -> Command:
    """The command. Raises `CommandError` with the text that NSQ has for it."""
    match name:
        case b"SUB":
            return _subscribe(parameters)
        case b"RDY":
            return _ready(parameters)
        case b"FIN":
            if not parameters:
                raise Invalid("FIN insufficient number of params")
            return Fin(_message_id(parameters[0]))
        case b"REQ":
            return _requeue(parameters, req_timeout_ms_max)
        case b"TOUCH":
            if not parameters:
                raise Invalid("TOUCH insufficient number of params")
            return Touch(_message_id(parameters[0]))
        case b"CLS":
            return Cls()
        case b"NOP":
            return Nop()
        case _:
            raise Invalid(f"invalid command {text(name)}")


def _message_id(raw: bytes) -> bytes:
    if len(raw) != ID_BYTES:
        raise Invalid("invalid message ID")
    return raw


def _subscribe(parameters: list[bytes]) -> Sub:
    if len(parameters) < 2:
        raise Invalid("SUB insufficient number of parameters")
    topic, channel = text(parameters[0]), text(parameters[1])
    if not is_valid_name(topic):
        raise BadTopic(f"SUB topic name {quoted(parameters[0])} is not valid")
    if not is_valid_name(channel):
        raise BadChannel(f"SUB channel name {quoted(parameters[1])} is not valid")
    return Sub(topic, channel)


def _ready(parameters: list[bytes]) -> Rdy:
    if not parameters:
        return Rdy(1)
    count = parse_number(parameters[0])
    if count < 0:
        raise Invalid(f"RDY could not parse count {text(parameters[0])}")
    return Rdy(count)


def _requeue(parameters: list[bytes], req_timeout_ms_max: int) -> Req:
    if len(parameters) < 2:
        raise Invalid("REQ insufficient number of params")
    message_id = _message_id(parameters[0])
    delay_ms = parse_number(parameters[1])
    if delay_ms < 0:
        raise Invalid(f"REQ could not parse timeout {text(parameters[1])}")
    return Req(message_id, min(delay_ms, req_timeout_ms_max))
