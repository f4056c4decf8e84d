"""The options of nsqauthd, in the manner of NSQ's daemons; those of `--check` are a question to the same rules."""

from dataclasses import dataclass

from millstream.base.errors import OptionError
from millstream.base.log import LEVELS
from millstream.base.options import check, option


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthdOptions:
    """Everything that can be set; `base.options.parse` reads it from flags and from a TOML file."""

    config: str = option("", "path of a TOML file with these options", key="")
    log_level: str = option("info", "write log events from this level on: debug, info, warn, error or fatal")
    log_prefix: str = option("[nsqauthd] ", "what each line of the log starts with")

    http_address: str = option("0.0.0.0:4181", "host:port, or path of a unix socket, to listen on for nsqd")
    rules: str = option("", "path of the TOML file with the rules")
    reload_interval_ms: int = option(
        1_000, "look this often whether the file with the rules has changed", unit="ms", low=10
    )
    max_connections: int = option(4_096, "HTTP connections at once; further ones are closed", low=1)

    check: bool = option(False, "do not serve: explain what the identity below may do, and by which rule", key="")
    secret: str = option("", "with --check: the secret of the identity", key="")
    common_name: str = option("", "with --check: the common name in its certificate", key="")
    remote_ip: str = option("", "with --check: the address that it connects from", key="")
    tls: bool = option(False, "with --check: it connects over TLS", key="")
    topic: str = option("", "with --check: may it publish to this topic?", key="")
    channel: str = option("", "with --check: may it subscribe to this channel of the topic?", key="")

    def __post_init__(self) -> None:
        check(self)
        if self.log_level.lower() not in LEVELS:
            raise OptionError(f"--log-level is {self.log_level!r}: use one of {', '.join(LEVELS)}")
        if not self.rules:
            raise OptionError("--rules is missing: use --rules=FILE")
        if self.channel and not self.topic:
            raise OptionError("--channel needs a topic: add --topic=NAME")
        if not self.check and any((self.secret, self.common_name, self.remote_ip, self.tls, self.topic, self.channel)):
            raise OptionError("--secret, --common-name, --remote-ip, --tls, --topic and --channel go with --check")
