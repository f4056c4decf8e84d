"""What a broker and its channels have to keep to, as plain values from the options of the process."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelSettings:
    """Bounds of one channel. End-to-end latency is measured over `latency_window_ns`; 0: not at all."""

    is_ephemeral: bool = False
    max_msg_timeout_ns: int = 900 * 10**9
    window_slots_max: int = 1 << 20
    latency_window_ns: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerSettings:
    """Bounds of a broker. `mem_queue_size` counts messages; 0 consumers per channel is no bound."""

    mem_queue_size: int = 10_000
    max_msg_timeout_ns: int = 900 * 10**9
    window_slots_max: int = 1 << 20
    consumers_max: int = 0
    latency_window_ns: int = 0
