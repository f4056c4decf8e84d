"""Every target by its name; `run.py` fuzzes them, `test_fuzz.py` throws some random input at each."""

from typing import Final

import fuzz_answers
import fuzz_daemon
import fuzz_http
import fuzz_layers
import fuzz_options
import fuzz_protocol
from fuzz_target import Target

TARGETS: Final[dict[str, Target]] = {
    "parser": fuzz_protocol.PARSER,
    "identify": fuzz_protocol.IDENTIFY,
    "session": fuzz_daemon.SESSION,
    "lookup": fuzz_protocol.LOOKUP,
    "client": fuzz_answers.CLIENT,
    "requests": fuzz_http.REQUESTS,
    "http": fuzz_daemon.HTTP,
    "http-client": fuzz_answers.HTTP_CLIENT,
    "snappy": fuzz_layers.SNAPPY,
    "deflate": fuzz_layers.DEFLATE,
    "auth": fuzz_answers.AUTH,
    "toml": fuzz_options.TOML,
    "flags": fuzz_options.FLAGS,
    "rules": fuzz_options.RULES,
}


def close() -> None:
    """End what the targets have started."""
    fuzz_daemon.close()
    fuzz_answers.close()
